import { Spinner, Text, Title3 } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import type { Loaded } from "../../app/load";
import { TroubleBar } from "../../app/TroubleBar";
import type { LedgerEvent } from "../../ledger/receipts";
import type { Deletion } from "./calls";
import { Enrollment } from "./Enrollment";

export interface Past {
  events: LedgerEvent[];
  deletions: Deletion[];
}

/** All enrollments, the newest first, each with what became of it. */
export function Timeline({ past }: { past: Loaded<Past> }) {
  const { texts } = useApp();
  const words = texts.administrator;
  const ids = [...new Set(past.data?.events.map((each) => each.enrollmentId))];
  return (
    <section aria-labelledby="timeline">
      <Title3 as="h3" id="timeline">
        {words.timeline}
      </Title3>
      {past.trouble && <TroubleBar trouble={past.trouble} retry={past.reload} />}
      {past.loading && <Spinner size="tiny" label={texts.loading} />}
      {past.data && ids.length === 0 && <Text block>{words.empty}</Text>}
      {past.data &&
        ids.map((id) => (
          <Enrollment
            key={id}
            events={past.data?.events ?? []}
            enrollmentId={id}
            deletion={past.data?.deletions.find((each) => each.enrollmentId === id) ?? null}
            now={past.at ?? new Date()}
            reload={past.reload}
          />
        ))}
    </section>
  );
}
