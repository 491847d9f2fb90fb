import { Button, Field, Input, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useAction } from "../../../app/action";
import { answered, type Schemas } from "../../../app/api";
import { useApp } from "../../../app/context";
import { Section } from "../Section";
import { DeskTrouble } from "./DeskTrouble";
import { useRefusal } from "./useRefusal";

const useStyles = makeStyles({
  form: { display: "flex", flexWrap: "wrap", alignItems: "end", gap: tokens.spacingHorizontalM },
  input: { minWidth: 0 },
  scroll: { overflowX: "auto" },
  table: {
    borderCollapse: "collapse",
    width: "100%",
    "& caption": { textAlign: "start", overflowWrap: "anywhere", padding: `${tokens.spacingVerticalS} 0` },
    "& th, & td": {
      textAlign: "start",
      padding: tokens.spacingHorizontalS,
      borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    },
  },
});

/** How far each two reviewers agree, of all verdicts and of each. */
export function Agreement({ tenantId, onRefused }: { tenantId: string; onRefused: () => void }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const words = texts.desk.agreement;
  const [firstDay, setFirstDay] = useState("");
  const [lastDay, setLastDay] = useState("");
  const [isWrong, setWrong] = useState(false);
  const [compared, setCompared] = useState<Schemas["LabelAgreementAnswer"] | null>(null);
  const { busy, trouble, run } = useAction();
  useRefusal(trouble, onRefused);

  function compare(): void {
    const isBackwards = firstDay !== "" && lastDay !== "" && firstDay > lastDay;
    setWrong(isBackwards);
    if (isBackwards || busy) return;
    void run(async () => {
      const query = { ...(firstDay && { firstDay }), ...(lastDay && { lastDay }) };
      setCompared(await answered(api.GET("/tenants/{tenantId}/label-agreement", { params: { path: { tenantId }, query } })));
    });
  }

  return (
    <Section title={words.title}>
      <Text>{words.meaning}</Text>
      <form
        className={styles.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          compare();
        }}
      >
        <Field label={texts.desk.members.firstDay} {...(isWrong && { validationMessage: texts.desk.faults.days })}>
          <Input className={styles.input} type="date" value={firstDay} onChange={(_, { value }) => setFirstDay(value)} />
        </Field>
        <Field label={texts.desk.members.lastDay}>
          <Input className={styles.input} type="date" value={lastDay} onChange={(_, { value }) => setLastDay(value)} />
        </Field>
        <Button type="submit" appearance="primary" disabledFocusable={busy}>
          {words.show}
        </Button>
      </form>
      {trouble && <DeskTrouble trouble={trouble} retry={compare} />}
      <Text role="status">
        {busy && texts.loading}
        {!busy && compared && `${words.labels(formats.number(compared.labels))} ${compared.value.length === 0 ? words.none : ""}`}
      </Text>
      {compared?.value.map((each) => (
        <Pair key={each.reviewers.join(" ")} pair={each} />
      ))}
    </Section>
  );
}

function Pair({ pair }: { pair: Schemas["AgreementAnswer"] }) {
  const styles = useStyles();
  const { texts, formats, person } = useApp();
  const words = texts.desk.agreement;
  const { columns } = words;
  const [one = "", other = ""] = pair.reviewers.map((each) => (each === person.objectId ? texts.reviewer.you : each));
  const kappa = (value: number | undefined): string => (value === undefined ? words.notDefined : formats.fraction(value));
  const overall = words.overall(formats.number(pair.captures), formats.percent(pair.observed));
  const title = words.table(one, other);
  return (
    <div className={styles.scroll} role="region" aria-label={title} tabIndex={0}>
      <table className={styles.table}>
        <caption>
          <Text weight="semibold" block>
            {title}
          </Text>
          {overall}
        </caption>
        <thead>
          <tr>
            {[columns.verdict, columns.kappa, columns.both, columns.first, columns.second].map((each) => (
              <th key={each} scope="col">
                {each}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">{words.all}</th>
            <td>{kappa(pair.kappa)}</td>
            <td />
            <td />
            <td />
          </tr>
          {pair.verdicts.map((each) => (
            <tr key={each.verdict}>
              <th scope="row">{each.verdict}</th>
              <td>{kappa(each.kappa)}</td>
              <td>{formats.number(each.both)}</td>
              <td>{formats.number(each.first)}</td>
              <td>{formats.number(each.second)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
