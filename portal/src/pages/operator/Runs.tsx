import { makeStyles, tokens } from "@fluentui/react-components";
import { When } from "../../app/When";
import { useApp } from "../../app/context";
import { accountsOf, placeOf } from "./accounts";
import { State } from "./looks";
import { Advice, Card, Cards, Code, Fact, Facts, Failure, Section } from "./parts";
import { ranLately, ranWell, type Heartbeat, type Status } from "./status";

const useStyles = makeStyles({
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalL },
});

/** When each job last ran, and what it came to. */
export function Runs({ status, old, now }: { status: Status; old: boolean; now: Date }) {
  const { operator } = useApp().texts;
  return (
    <Section title={operator.runs}>
      <Cards label={operator.runs}>
        {accountsOf(status).flatMap(([name, { lastPurge, lastSweep }]) => [
          <Run key={`${name} purge`} place={placeOf(name, status)} job="purge" run={lastPurge} old={old} now={now} />,
          <Run key={`${name} sweep`} place={placeOf(name, status)} job="sweep" run={lastSweep} old={old} now={now} />,
        ])}
        <Run place={operator.ledger} job="sweep" run={status.ledger.lastSweep} old={old} now={now} />
      </Cards>
    </Section>
  );
}

interface RunProps {
  place: string;
  job: Heartbeat["kind"];
  run: Heartbeat | null;
  old: boolean;
  now: Date;
}

function Run({ place, job, run, old, now }: RunProps) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const styles = useStyles();
  const title = operator.jobIn(operator.jobs[job] ?? job, place);
  if (!run) {
    return (
      <Card title={title} look="bad">
        <State look="bad">{operator.neverRan}</State>
        <Advice topic="stopped" />
      </Card>
    );
  }
  const well = ranWell(run);
  const lately = ranLately(run, now);
  const counts = Object.entries(run.counts).filter(([, count]) => count > 0);
  const postponed = run.postponed ?? [];
  return (
    // The edge stays plain: green is for the promises.
    <Card title={title} look={well && lately ? "plain" : "bad"}>
      {!lately && <State look="bad">{operator.outcomes.late}</State>}
      {!lately && <Advice topic="stopped" />}
      {(lately || !well) && <State look={!well ? "bad" : old ? "old" : "good"}>{operator.outcomes[outcomeOf(run)]}</State>}
      {!well && <Failure code={run.error ?? run.outcome} />}
      <Facts>
        <Fact label={operator.ended} wide>
          {formats.until(run.at, now)} · <When at={run.at} />
        </Fact>
        {counts.length > 0 && (
          <Fact label={operator.counts} wide>
            {counts.map(([kind, count], index) => (
              <span key={kind}>
                {index > 0 && " · "}
                <Code>{kind}</Code> {formats.number(count)}
              </span>
            ))}
          </Fact>
        )}
      </Facts>
      {postponed.length > 0 && (
        <details>
          <summary>{operator.postponed(formats.number(postponed.length))}</summary>
          <ul className={styles.list}>
            {postponed.map(({ container, error, retryAt }) => (
              <li key={container}>
                <Code>{container}</Code> {operator.retryAt}: {formats.until(retryAt, now)} <Failure code={error} />
              </li>
            ))}
          </ul>
        </details>
      )}
    </Card>
  );
}

function outcomeOf({ outcome }: Heartbeat): "done" | "more" | "failed" | "unknown" {
  const known: string[] = ["done", "more", "failed"] satisfies Heartbeat["outcome"][];
  return known.includes(outcome) ? outcome : "unknown";
}
