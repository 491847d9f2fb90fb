import { Text } from "@fluentui/react-components";
import type { Schemas } from "../../app/api";
import { When } from "../../app/When";
import { useApp } from "../../app/context";
import { Bar } from "./Bar";
import { LIMIT_DAYS, leftOfDay, leftOfDeletion, limitOf, type Left, type Nearness } from "./left";
import { State, type Look } from "./looks";
import { Card, Cards, Fact, Facts, Failure, Section } from "./parts";
import type { Status } from "./status";

const LOOKS: Record<Exclude<Nearness, "far">, Look> = { soon: "soon", over: "bad" };

/** What is stored where, for how long it may still be, and what has to be deleted. */
export function Geos({ status, now }: { status: Status; now: Date }) {
  const { operator } = useApp().texts;
  const geos = Object.entries(status.geos);
  return (
    <Section title={operator.geos}>
      {geos.length === 0 && <State look="bad">{operator.noGeos}</State>}
      <Cards label={operator.geos}>
        {geos.map(([name, geo]) => (
          <Geo key={name} name={name} geo={geo} now={now} />
        ))}
        <Ledger ledger={status.ledger} now={now} />
      </Cards>
      <Text>{operator.limitNote}</Text>
    </Section>
  );
}

function Geo({ name, geo, now }: { name: string; geo: Schemas["GeoAnswer"]; now: Date }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const day = geo.oldestDay === null ? null : leftOfDay(geo.oldestDay, now);
  const deletion = geo.oldestDeadline === null ? null : leftOfDeletion(geo.oldestDeadline, now);
  const bad = geo.error !== null || geo.overdueDeletions !== 0 || geo.unreadable > 0;
  const look = bad ? "bad" : nearest(day, deletion);
  // Null means nothing only where the geo could be read.
  const nothing = geo.error === null ? operator.nothing : operator.notKnown;
  return (
    <Card title={name} look={look}>
      {geo.error !== null && (
        <div>
          <State look="bad">{operator.cannotBeRead}</State> <Failure code={geo.error} />
        </div>
      )}
      <Facts>
        <Fact label={operator.oldestDay} wide>
          {geo.oldestDay === null || !day ? (
            nothing
          ) : (
            <>
              {formats.day(geo.oldestDay)} ·{" "}
              <Span left={day}>{operator.limit(formats.until(limitOf(geo.oldestDay), now), formats.number(LIMIT_DAYS))}</Span>
              <Bar left={day} />
            </>
          )}
        </Fact>
        <Fact label={operator.firstDeadline} wide>
          {geo.oldestDeadline === null || !deletion ? nothing : <Deadline at={geo.oldestDeadline} left={deletion} now={now} />}
        </Fact>
        <Fact label={operator.pending}>{known(geo.pendingDeletions)}</Fact>
        <Fact label={operator.overdue}>
          <Faults number={geo.overdueDeletions} />
        </Fact>
        <Fact label={operator.unreadableItems}>
          <Faults number={geo.unreadable} />
        </Fact>
        <Fact label={operator.account}>{geo.storageAccount}</Fact>
      </Facts>
    </Card>
  );

  function known(number: number | null): string {
    return number === null ? operator.notKnown : formats.number(number);
  }
}

function Ledger({ ledger, now }: { ledger: Schemas["LedgerAnswer"]; now: Date }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const bad = ledger.unreadable !== 0 || ledger.unreadableOptOuts !== 0;
  return (
    <Card title={operator.ledger} look={bad ? "bad" : "plain"}>
      <Facts>
        <Fact label={operator.unscheduled}>{formats.number(ledger.unscheduledOptOuts)}</Fact>
        <Fact label={operator.oldestUnscheduled}>
          {ledger.oldestUnscheduledAt === null ? operator.nothing : formats.until(ledger.oldestUnscheduledAt, now)}
        </Fact>
        <Fact label={operator.unreadableOptOuts}>
          <Faults number={ledger.unreadableOptOuts} />
        </Fact>
        <Fact label={operator.unreadableItems}>
          <Faults number={ledger.unreadable} />
        </Fact>
      </Facts>
    </Card>
  );
}

/** A number that must be 0. */
function Faults({ number }: { number: number | null }) {
  const { texts, formats } = useApp();
  if (number === 0) return formats.number(0);
  return <State look="bad">{number === null ? texts.operator.notKnown : formats.number(number)}</State>;
}

/** A deletion's deadline: what is left until it, in words and as a bar. */
export function Deadline({ at, left, now }: { at: string; left: Left; now: Date }) {
  const { formats } = useApp();
  return (
    <>
      <When at={at} /> · <Span left={left}>{formats.until(at, now)}</Span>
      <Bar left={left} />
    </>
  );
}

/** A span of time; it has a sign only if somebody has to look. */
function Span({ left: { nearness }, children }: { left: Left; children: string }) {
  return nearness === "far" ? children : <State look={LOOKS[nearness]}>{children}</State>;
}

function nearest(...all: readonly (Left | null)[]): Look {
  const near = all.map((left) => left?.nearness);
  return near.includes("over") ? "bad" : near.includes("soon") ? "soon" : "plain";
}
