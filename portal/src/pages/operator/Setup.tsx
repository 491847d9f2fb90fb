import { makeStyles, tokens } from "@fluentui/react-components";
import type { Schemas } from "../../app/api";
import { When } from "../../app/When";
import { useApp } from "../../app/context";
import { placeOf } from "./accounts";
import { State } from "./looks";
import { Advice, Card, Cards, Code, Section } from "./parts";
import type { Posture, Status } from "./status";
import { postures, rests } from "./verdicts";

type Finding = Schemas["Finding"];

const useStyles = makeStyles({
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalL },
});

/** How the accounts are set up, as far as promises rest on that (docs/posture.md). */
export function Setup({ status, old }: { status: Status; old: boolean }) {
  const { operator } = useApp().texts;
  return (
    <Section title={operator.posture}>
      <Cards label={operator.posture}>
        {postures(status).map(([place, posture]) => (
          <Account key={place} place={placeOf(place, status)} posture={posture} old={old} />
        ))}
      </Cards>
    </Section>
  );
}

function Account({ place, posture, old }: { place: string; posture: Posture | null; old: boolean }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const styles = useStyles();
  if (!posture || posture.findings.length === 0) {
    return (
      <Card title={place} look="bad">
        <State look="bad">{operator.neverLooked}</State>
        <Advice topic="notChecked" />
      </Card>
    );
  }
  const { findings } = posture;
  const broken = findings.filter((finding) => !rests(finding));
  const item = (finding: Finding) => (
    <li key={finding.property}>
      <Property finding={finding} />
    </li>
  );
  return (
    <Card title={place} look={broken.length > 0 ? "bad" : "plain"}>
      <State look={broken.length > 0 ? "bad" : old ? "old" : "good"}>
        {broken.length > 0
          ? operator.setupBroken(formats.number(broken.length), formats.number(findings.length))
          : operator.setupHolds(formats.number(findings.length))}
      </State>
      {broken.length > 0 && <ul className={styles.list}>{broken.map(item)}</ul>}
      {broken.length > 0 && <Advice topic="posture" />}
      <span>
        {operator.lookedAt} <When at={posture.at} />
      </span>
      {posture.development && <span>{operator.development}</span>}
      <details>
        <summary>{operator.showAll}</summary>
        <ul className={styles.list}>{findings.map(item)}</ul>
      </details>
    </Card>
  );
}

function Property({ finding }: { finding: Finding }) {
  const { texts, locale } = useApp();
  const { operator } = texts;
  const outcomes: Record<string, string> = operator.setupOutcomes;
  const known = Object.hasOwn(outcomes, finding.outcome) ? outcomes[finding.outcome] : undefined;
  return (
    <>
      <Code>{finding.property}</Code>: {operator.found} <Code>{finding.found}</Code>, {operator.needed}{" "}
      <span lang="en">{finding.needed}</span>.{" "}
      {operator.restsOn(new Intl.ListFormat(locale, { type: "unit" }).format(finding.promises))}.{" "}
      <State look={rests(finding) ? "plain" : "bad"}>{known ?? operator.setupOutcomes.unknown}</State>
    </>
  );
}
