import type { Schemas } from "../../app/api";
import { useApp } from "../../app/context";
import { Deadline } from "./Accounts";
import { Listing } from "./Listing";
import { leftOfDeletion } from "./left";
import { Card, Code, Fact, Facts, Failure } from "./parts";
import type { Refreshed } from "./age";

export type OverdueDeletion = Schemas["OverdueDeletionAnswer"];

interface OverdueProps {
  list: Refreshed<readonly OverdueDeletion[]>;
  old: boolean;
  /** How many the status counts. The list was read at another moment, and has an end. */
  counted: number;
  now: Date;
}

/** The deletions that are past their deadline, the longest overdue first. */
export function Overdue({ list, old, counted, now }: OverdueProps) {
  const { operator } = useApp().texts;
  return (
    <Listing
      title={operator.overdueList}
      nothing={operator.noOverdue}
      list={list}
      old={old}
      whole={list.data !== null && list.data.length >= counted}
      card={(each) => <OverdueCard key={each.enrollmentId} deletion={each} now={now} />}
    />
  );
}

function OverdueCard({ deletion, now }: { deletion: OverdueDeletion; now: Date }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  return (
    <Card title={`${deletion.geo}, ${deletion.storageAccount}`} look="bad">
      <Facts>
        <Fact label={operator.deadline} wide>
          <Deadline at={deletion.deadline} left={leftOfDeletion(deletion.deadline, now)} now={now} />
        </Fact>
        <Fact label={operator.lastError} wide>
          {deletion.lastError === null ? operator.notTried : <Failure code={deletion.lastError} />}
        </Fact>
        <Fact label={operator.deletionStatus} wide>
          {operator.deletionStates[deletion.status] ?? deletion.status}
        </Fact>
        <Fact label={operator.attempts}>{formats.number(deletion.attempts)}</Fact>
        <Fact label={operator.retryAt}>
          {deletion.retryAt === null ? operator.notKnown : formats.until(deletion.retryAt, now)}
        </Fact>
        <Fact label={operator.tenant} wide>
          <Code>{deletion.tenantId}</Code>
        </Fact>
        <Fact label={operator.enrollment} wide>
          <Code>{deletion.enrollmentId}</Code>
        </Fact>
      </Facts>
    </Card>
  );
}
