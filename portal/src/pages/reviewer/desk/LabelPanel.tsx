import { Button, Field, Input, Subtitle2, Text, Textarea, ToggleButton, makeStyles, tokens } from "@fluentui/react-components";
import type { RefObject } from "react";
import { useApp } from "../../../app/context";
import { When } from "../../../app/When";
import { Said } from "../Said";
import { COMMENT_MAX, labelBy, type Draft, type Found, type Label } from "./label";
import type { Labelling } from "./useLabelling";

const useStyles = makeStyles({
  panel: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalM },
  heading: { margin: 0 },
  row: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalS },
  key: {
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    padding: `0 ${tokens.spacingHorizontalXS}`,
    marginRight: tokens.spacingHorizontalXS,
    border: "1px solid currentColor",
    borderRadius: tokens.borderRadiusSmall,
  },
  fields: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 14rem), 1fr))",
    gap: `${tokens.spacingVerticalM} ${tokens.spacingHorizontalL}`,
    alignItems: "start",
  },
  input: { minWidth: 0, width: "100%" },
  others: { margin: 0, paddingLeft: tokens.spacingHorizontalXL },
  id: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere" },
});

/** What the reviewer says of a capture, and what others have said. */
export function LabelPanel({
  found,
  verdicts,
  labelling,
  comment,
}: {
  found: Found;
  verdicts: readonly string[];
  labelling: Labelling;
  /** The field for the comment, to which a key leads. */
  comment: RefObject<HTMLTextAreaElement | null>;
}) {
  const styles = useStyles();
  const { texts, formats, person } = useApp();
  const words = texts.desk.label;
  const draft = labelling.draft(found);
  const faults = labelling.faults(found);
  const own = labelBy(found, person.objectId);
  const others = found.labels.filter((each) => each.reviewer !== person.objectId);
  const set = (change: Partial<Draft>): void => labelling.change(found, { ...draft, ...change });
  return (
    <form
      className={styles.panel}
      noValidate
      autoComplete="off"
      aria-label={words.title}
      onSubmit={(event) => {
        event.preventDefault();
        labelling.save(found, draft);
      }}
    >
      <Subtitle2 as="h5" className={styles.heading}>
        {words.title}
      </Subtitle2>
      <Text size={200}>{words.keys}</Text>
      <div className={styles.row} role="group" aria-label={words.verdicts}>
        {verdicts.map((verdict, index) => (
          <ToggleButton
            key={verdict}
            checked={draft.verdict === verdict}
            {...(index < 9 && { "aria-keyshortcuts": String(index + 1) })}
            onClick={() => labelling.save(found, { ...draft, verdict })}
          >
            {index < 9 && <kbd className={styles.key}>{index + 1}</kbd>}
            {verdict}
          </ToggleButton>
        ))}
        {verdicts.length === 0 && <Text>{words.noVerdicts}</Text>}
      </div>
      <div className={styles.fields}>
        <Field label={words.score} {...(faults.score && { validationMessage: words.scoreWrong })}>
          <Input
            className={styles.input}
            inputMode="decimal"
            value={draft.score}
            onChange={(_, { value }) => set({ score: value })}
          />
        </Field>
        <Field label={words.tags} hint={words.tagsHint} {...(faults.tags && { validationMessage: words.tagsWrong })}>
          <Input
            className={styles.input}
            spellCheck={false}
            value={draft.tags}
            onChange={(_, { value }) => set({ tags: value })}
          />
        </Field>
      </div>
      <Field
        label={words.comment}
        hint={words.commentHint}
        {...(faults.comment && { validationMessage: texts.desk.faults.long(formats.number(COMMENT_MAX)) })}
      >
        <Textarea
          textarea={{ ref: comment }}
          className={styles.input}
          rows={3}
          resize="vertical"
          aria-keyshortcuts="c"
          value={draft.comment}
          onChange={(_, { value }) => set({ comment: value })}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) labelling.save(found, draft);
          }}
        />
      </Field>
      {faults.empty && <Text role="alert">{words.empty}</Text>}
      <div className={styles.row}>
        <Button type="submit" appearance="primary">
          {words.save}
        </Button>
        <Button disabledFocusable={!own} onClick={() => own && labelling.withdraw(found)}>
          {words.withdraw}
        </Button>
      </div>
      {others.length > 0 && (
        // Whoever sees what others say first does not judge by themselves, and agreement would say nothing.
        <details>
          <summary>{words.others(formats.number(others.length))}</summary>
          <Text size={200}>{words.othersWhy}</Text>
          <ul className={styles.others}>
            {others.map((each) => (
              <Other key={each.reviewer} label={each} />
            ))}
          </ul>
        </details>
      )}
    </form>
  );
}

function Other({ label }: { label: Label }) {
  const styles = useStyles();
  const { formats } = useApp();
  const parts = [label.verdict, label.score === undefined ? undefined : formats.number(label.score), ...label.tags];
  return (
    <li>
      <span className={styles.id}>{label.reviewer}</span>, <When at={label.at} />
      {": "}
      {parts.filter((each) => each !== undefined).join(", ")}
      {label.comment !== undefined && <Said>{label.comment}</Said>}
    </li>
  );
}
