import { Button, Field, Input, Select, Text, makeStyles, tokens, type InputProps } from "@fluentui/react-components";
import { useEffect, useId, useRef, useState, type ReactNode } from "react";
import { useApp } from "../../../app/context";
import {
  CONDITIONS_MAX,
  NAME_MAX,
  NOTHING,
  SEED_MAX,
  SIZE_MAX,
  anySeed,
  selectionOf,
  wholeOf,
  type Condition,
  type Faults,
  type Filter,
  type How,
  type Selection,
} from "./filter";
import type { Ask } from "./search";

/** The fields that are typed into. */
type Typed = Exclude<keyof Filter, "telemetry" | "labelled" | "verdict">;

const HOWS: readonly How[] = ["equals", "over", "under"];

const useStyles = makeStyles({
  form: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalM },
  fields: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 13rem), 1fr))",
    gap: `${tokens.spacingVerticalM} ${tokens.spacingHorizontalL}`,
    alignItems: "start",
  },
  wide: { gridColumn: "1 / -1" },
  group: {
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusMedium,
    margin: 0,
    minWidth: 0,
    padding: tokens.spacingHorizontalM,
  },
  row: { display: "flex", flexWrap: "wrap", alignItems: "end", gap: tokens.spacingHorizontalM },
  // Otherwise a field is at least as wide as the browser likes it.
  input: { minWidth: 0, width: "100%" },
});

/**
 * Asks which captures, and what to do with them: find them, draw a sample of them, or make a file of them.
 *
 * What is typed is kept by the page only, and not in the session as elsewhere: it may be something that a customer said.
 */
export function FilterForm({
  filter,
  onChange,
  verdicts,
  onAsk,
  onExport,
  isExporting,
}: {
  filter: Filter;
  onChange: (filter: Filter) => void;
  verdicts: readonly string[];
  onAsk: (ask: Ask) => void;
  onExport: (selection: Selection) => void;
  isExporting: boolean;
}) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const { desk } = texts;
  const { members, filter: words } = desk;
  const [faults, setFaults] = useState<Faults>({});
  const [size, setSize] = useState("20");
  const [seed, setSeed] = useState(() => String(anySeed()));
  const [wrong, setWrong] = useState<{ size?: true; seed?: true }>({});
  const form = useRef<HTMLFormElement>(null);

  // Whoever cannot see the messages gets to the first field that is wrong.
  useEffect(() => {
    if (Object.keys(faults).length > 0 || wrong.size || wrong.seed) {
      form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
    }
  }, [faults, wrong]);

  const set = (change: Partial<Filter>): void => onChange({ ...filter, ...change });
  const setCondition = (index: number, change: Partial<Condition>): void =>
    set({ telemetry: filter.telemetry.map((each, at) => (at === index ? { ...each, ...change } : each)) });
  const told = (name: string) => {
    const fault = faults[name];
    if (!fault) return {};
    return { validationMessage: fault === "long" ? desk.faults.long(formats.number(NAME_MAX)) : desk.faults[fault] };
  };

  /** Does something with what is asked for, if it can be asked for. */
  function withSelection(work: (selection: Selection) => void): void {
    const asked = selectionOf(filter);
    setFaults("faults" in asked ? asked.faults : {});
    setWrong({});
    if ("selection" in asked) work(asked.selection);
  }

  function draw(): void {
    const wanted = { size: wholeOf(size, 1, SIZE_MAX), seed: wholeOf(seed, 0, SEED_MAX) };
    withSelection((selection) => {
      const { size: howMany, seed: from } = wanted;
      if (howMany !== null && from !== null) onAsk({ selection, sample: { size: howMany, seed: from } });
      else setWrong({ ...(howMany === null && { size: true }), ...(from === null && { seed: true }) });
    });
  }

  const typed = (name: Typed, type: InputProps["type"] = "text", hint?: string, className?: string): ReactNode => (
    <Field label={members[name]} {...(hint && { hint })} {...(className && { className })} {...told(name)}>
      <Typing type={type} value={filter[name]} onChange={(value) => set({ [name]: value })} />
    </Field>
  );
  const chosen = (name: "labelled" | "verdict", options: readonly (readonly [string, string])[]): ReactNode => (
    <Field label={members[name]} {...told(name)}>
      <Select className={styles.input} value={filter[name]} onChange={(_, { value }) => set({ [name]: value })}>
        <option value="">{words.any}</option>
        {options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </Select>
    </Field>
  );

  return (
    <form
      ref={form}
      className={styles.form}
      noValidate
      autoComplete="off"
      aria-label={words.title}
      onSubmit={(event) => {
        event.preventDefault();
        withSelection((selection) => onAsk({ selection, sample: null }));
      }}
    >
      <Text>{words.hint}</Text>
      <div className={styles.fields}>
        {typed("firstDay", "date")}
        {typed("lastDay", "date")}
        {typed("capturedFrom", "datetime-local")}
        {typed("capturedBefore", "datetime-local")}
        {typed("feature")}
        {typed("environmentId")}
        {typed("conversationId")}
        {typed("model")}
        {typed("language", "text", words.languageHint)}
        {chosen("labelled", [
          ["yes", words.yes],
          ["no", words.no],
        ])}
        {chosen(
          "verdict",
          verdicts.map((each) => [each, each]),
        )}
        {typed("tag")}
        {typed("text", "text", words.textHint, styles.wide)}
      </div>
      {filter.telemetry.map((condition, index) => (
        <Conditions
          key={index}
          number={formats.number(index + 1)}
          condition={condition}
          onChange={(change) => setCondition(index, change)}
          onRemove={() => {
            setFaults({});
            set({ telemetry: filter.telemetry.filter((_, at) => at !== index) });
          }}
          nameTold={told(`name ${index}`)}
          valueTold={told(`value ${index}`)}
        />
      ))}
      <div className={styles.row}>
        <Button
          disabledFocusable={filter.telemetry.length >= CONDITIONS_MAX}
          onClick={() => set({ telemetry: [...filter.telemetry, { name: "", how: "equals", value: "" }] })}
        >
          {words.add}
        </Button>
        <Button
          onClick={() => {
            setFaults({});
            onChange(NOTHING);
          }}
        >
          {words.clear}
        </Button>
      </div>
      <div className={styles.row}>
        <Button type="submit" appearance="primary">
          {desk.find}
        </Button>
        <Button disabledFocusable={isExporting} onClick={() => isExporting || withSelection(onExport)}>
          {desk.export}
        </Button>
      </div>
      <fieldset className={styles.group}>
        <legend>{desk.sample.title}</legend>
        <div className={styles.row}>
          <Field
            label={desk.sample.size}
            {...(wrong.size && { validationMessage: desk.faults.whole("1", formats.number(SIZE_MAX)) })}
          >
            <Typing inputMode="numeric" value={size} onChange={setSize} />
          </Field>
          <Field
            label={desk.sample.seed}
            {...(wrong.seed && { validationMessage: desk.faults.whole("0", formats.number(SEED_MAX)) })}
          >
            <Typing inputMode="numeric" value={seed} onChange={setSeed} />
          </Field>
          <Button onClick={() => setSeed(String(anySeed()))}>{desk.sample.another}</Button>
          <Button onClick={draw}>{desk.sample.draw}</Button>
        </div>
        <Text size={200}>{desk.sample.seedHint}</Text>
      </fieldset>
    </form>
  );
}

/** A field that the browser neither fills nor corrects. What the `Field` around it says comes with the other members. */
function Typing({ onChange, ...others }: Omit<InputProps, "onChange"> & { onChange: (value: string) => void }) {
  const styles = useStyles();
  return (
    <Input
      {...others}
      className={styles.input}
      autoComplete="off"
      spellCheck={false}
      onChange={(_, { value }) => onChange(value)}
    />
  );
}

interface Told {
  validationMessage?: string;
}

function Conditions(props: {
  number: string;
  condition: Condition;
  onChange: (change: Partial<Condition>) => void;
  onRemove: () => void;
  nameTold: Told;
  valueTold: Told;
}) {
  const styles = useStyles();
  const { filter: words } = useApp().texts.desk;
  const { condition, onChange } = props;
  const id = useId();
  return (
    <fieldset className={styles.group} aria-labelledby={id}>
      <legend id={id}>{words.condition(props.number)}</legend>
      <div className={styles.fields}>
        <Field label={words.name} hint={words.nameHint} {...props.nameTold}>
          <Typing value={condition.name} onChange={(name) => onChange({ name })} />
        </Field>
        <Field label={words.how}>
          <Select className={styles.input} value={condition.how} onChange={(_, { value }) => onChange({ how: value as How })}>
            {HOWS.map((each) => (
              <option key={each} value={each}>
                {words.hows[each]}
              </option>
            ))}
          </Select>
        </Field>
        <Field label={words.value} {...(condition.how === "equals" && { hint: words.valueHint })} {...props.valueTold}>
          <Typing value={condition.value} onChange={(value) => onChange({ value })} />
        </Field>
      </div>
      <Button size="small" onClick={props.onRemove}>
        {words.remove(props.number)}
      </Button>
    </fieldset>
  );
}
