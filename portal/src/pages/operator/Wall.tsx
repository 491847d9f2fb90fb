import { Text, makeStyles, tokens } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { Why } from "./Why";
import { State, type Look } from "./looks";
import { Card, Cards, Section } from "./parts";
import type { Told } from "./status";
import { PROMISES, type Verdict } from "./verdicts";

const SHOWN = 3;

const useStyles = makeStyles({
  state: { fontSize: tokens.fontSizeBase500, lineHeight: tokens.lineHeightBase500 },
  small: { fontSize: tokens.fontSizeBase200, color: tokens.colorNeutralForeground2 },
  reasons: { margin: 0, paddingLeft: tokens.spacingHorizontalL },
});

/** The promises, each at its place, so that somebody who passes by sees at once which one has changed. */
export function Wall({ told, old, firstOverdue }: { told: Told; old: boolean; firstOverdue: string | null }) {
  const { operator } = useApp().texts;
  return (
    <Section title={operator.wall}>
      <Cards label={operator.wall}>
        {told.verdicts.map((verdict) => (
          <Tile key={verdict.promise} verdict={verdict} told={told} old={old} firstOverdue={firstOverdue} />
        ))}
      </Cards>
    </Section>
  );
}

interface TileProps {
  verdict: Verdict;
  told: Told;
  old: boolean;
  firstOverdue: string | null;
}

function Tile({ verdict: { promise, state, reasons }, told, old, firstOverdue }: TileProps) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const styles = useStyles();
  const [name, words] = operator.promises[promise] ?? operator.unknownPromise;
  const look: Look = state === "broken" ? "bad" : state === "unwatched" ? "plain" : old ? "old" : "good";
  const why = (each: (typeof reasons)[number], index: number) => (
    <li key={index}>
      <Why reason={each} status={told.status} firstOverdue={firstOverdue} />
    </li>
  );
  return (
    <Card title={`${promise} ${name}`} look={look}>
      <div className={styles.state}>
        <State look={look}>{look === "old" ? operator.states.held : operator.states[state]}</State>
      </div>
      <Text>{words}</Text>
      {state === "unwatched" && <span className={styles.small}>{operator.unwatched}</span>}
      {state !== "unwatched" && operator.partly[promise] && <span className={styles.small}>{operator.partly[promise]}</span>}
      {state === "broken" && reasons.length === 0 && PROMISES.includes(promise) && <Text>{operator.noReason}</Text>}
      {reasons.length > 0 && <ul className={styles.reasons}>{reasons.slice(0, SHOWN).map(why)}</ul>}
      {reasons.length > SHOWN && (
        <details>
          <summary>{operator.moreReasons(formats.number(reasons.length - SHOWN))}</summary>
          <ul className={styles.reasons}>{reasons.slice(SHOWN).map(why)}</ul>
        </details>
      )}
      {state !== "unwatched" && <Since promise={promise} told={told} />}
    </Card>
  );
}

/** Since when it has been so, as far as this tab has seen it: the status does not say. */
function Since({ promise, told }: { promise: string; told: Told }) {
  const { texts, formats } = useApp();
  const styles = useStyles();
  const seen = told.since[promise];
  if (!seen) return null;
  const first = formats.instant(seen.first);
  return (
    <span className={styles.small}>
      {seen.before === null
        ? texts.operator.seenSince(first)
        : texts.operator.changed(formats.instant(seen.before), first)}
    </span>
  );
}
