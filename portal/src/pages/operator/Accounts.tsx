import { Text } from "@fluentui/react-components";
import type { Schemas } from "../../app/api";
import { When } from "../../app/When";
import { useApp } from "../../app/context";
import { Bar } from "./Bar";
import { geosOf } from "./accounts";
import { LIMIT_DAYS, leftOfDay, leftOfDeletion, limitOf, type Left, type Nearness } from "./left";
import { State, type Look } from "./looks";
import { Card, Fact, Facts, Failure, Group, Groups, Section } from "./parts";
import type { Status } from "./status";

const LOOKS: Record<Exclude<Nearness, "far">, Look> = { soon: "soon", over: "bad" };

/** What is stored where, for how long it may still be, and what has to be deleted. */
export function Accounts({ status, now }: { status: Status; now: Date }) {
  const { operator } = useApp().texts;
  const geos = geosOf(status);
  return (
    <Section title={operator.accounts}>
      {geos.length === 0 && <State look="bad">{operator.noAccounts}</State>}
      <Groups>
        {geos.map(({ geo, accounts }) => (
          <Group key={geo} title={geo} wide={accounts.length > 1}>
            {accounts.map(([name, account]) => (
              <Account key={name} name={name} account={account} now={now} />
            ))}
          </Group>
        ))}
        <Group title={operator.ledger}>
          <Ledger ledger={status.ledger} now={now} />
        </Group>
      </Groups>
      <Text>{operator.limitNote}</Text>
    </Section>
  );
}

function Account({ name, account, now }: { name: string; account: Schemas["AccountAnswer"]; now: Date }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const day = account.oldestDay === null ? null : leftOfDay(account.oldestDay, now);
  const deletion = account.oldestDeadline === null ? null : leftOfDeletion(account.oldestDeadline, now);
  const bad = account.error !== null || account.overdueDeletions !== 0 || account.unreadable > 0;
  const look = bad ? "bad" : nearest(day, deletion);
  // Null means nothing only where the account could be read.
  const nothing = account.error === null ? operator.nothing : operator.notKnown;
  return (
    <Card title={name} look={look} level={4}>
      {account.error !== null && (
        <div>
          <State look="bad">{operator.cannotBeRead}</State> <Failure code={account.error} />
        </div>
      )}
      <Facts>
        <Fact label={operator.oldestDay} wide>
          {account.oldestDay === null || !day ? (
            nothing
          ) : (
            <>
              {formats.day(account.oldestDay)} ·{" "}
              <Span left={day}>{operator.limit(formats.until(limitOf(account.oldestDay), now), formats.number(LIMIT_DAYS))}</Span>
              <Bar left={day} />
            </>
          )}
        </Fact>
        <Fact label={operator.firstDeadline} wide>
          {account.oldestDeadline === null || !deletion ? nothing : <Deadline at={account.oldestDeadline} left={deletion} now={now} />}
        </Fact>
        <Fact label={operator.pending}>{known(account.pendingDeletions)}</Fact>
        <Fact label={operator.overdue}>
          <Faults number={account.overdueDeletions} />
        </Fact>
        <Fact label={operator.unreadableItems}>
          <Faults number={account.unreadable} />
        </Fact>
        <Fact label={operator.newEnrollments}>{operator.accountStates[account.state] ?? account.state}</Fact>
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
    <Card title="Cosmos DB" look={bad ? "bad" : "plain"} level={4}>
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
