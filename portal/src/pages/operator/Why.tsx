import { useApp } from "../../app/context";
import type { Messages } from "../../messages/en";
import type { Formats } from "../../app/formats";
import { placeOf } from "./accounts";
import { Advice, Code } from "./parts";
import { evidenceOf, topicOf, type Reason } from "./reasons";
import type { Status } from "./status";

/** Why a promise does not hold, when that was found, and what to do about it. */
export function Why({ reason, status, firstOverdue }: { reason: Reason; status: Status; firstOverdue: string | null }) {
  const { texts, formats, locale } = useApp();
  const { operator } = texts;
  const evidence = evidenceOf(reason, status, firstOverdue);
  return (
    <>
      {/* Words that the page does not know are the service's, and those are English. */}
      <span lang={reason.kind === "other" ? "en" : undefined}>{wordsOf(reason, status, operator, formats, locale)}</span>
      {(reason.kind === "failed" || reason.kind === "unreachable") && (
        <>
          {" "}
          <Code>{reason.code}</Code>
        </>
      )}
      {evidence && <> {operator.evidence[evidence.by](formats.instant(evidence.at))}</>}
      <Advice topic={topicOf(reason)} />
    </>
  );
}

function wordsOf(reason: Reason, status: Status, operator: Messages["operator"], formats: Formats, locale: string): string {
  const { reasons, jobs, ledger } = operator;
  const named = (place: string) => (place === "ledger" ? ledger : placeOf(place, status));
  const job = (name: string) => jobs[name] ?? name;
  switch (reason.kind) {
    case "overdue":
      return reasons.overdue(formats.number(reason.count));
    case "undone":
    case "lost":
    case "unreadable":
      return reasons[reason.kind];
    case "unreachable":
    case "never":
    case "round":
    case "abandoned":
      return reasons[reason.kind](named(reason.place));
    case "day":
      return reasons.day(named(reason.place), formats.day(reason.day));
    case "failed":
      return reasons.failed(named(reason.place), job(reason.job));
    case "idle":
      return reasons.idle(named(reason.place), job(reason.job), formats.instant(reason.at));
    case "found":
      return reasons.found(named(reason.place), formats.number(reason.count), reason.finding);
    case "setup":
      return reasons.setup(named(reason.place), reason.property, reason.found);
    case "rests":
      return reasons.rests(new Intl.ListFormat(locale, { type: "unit" }).format(reason.promises));
    case "other":
      return reason.text;
  }
}
