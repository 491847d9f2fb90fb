import type { LedgerEvent } from "../../ledger/receipts";
import type { Deletion } from "./calls";

/** A step in the life of an enrollment; what is still to come has not happened. */
export interface Step {
  name: "optedIn" | "renewed" | "reviewStopped" | "optedOut" | "notBefore" | "purged" | "verified" | "reappeared" | "deadline";
  at: string;
}

/** What happened to an enrollment and what will, in the order of time. */
export function stepsOf(events: readonly LedgerEvent[], enrollmentId: string, deletion: Deletion | null): Step[] {
  const steps: Step[] = events
    .filter((each) => each.enrollmentId === enrollmentId)
    .flatMap((each): Step[] => [
      { name: each.kind, at: each.at },
      ...(each.kind === "optedOut" && each.stopReview ? [{ name: "reviewStopped" as const, at: each.at }] : []),
    ]);
  if (deletion) {
    steps.push({ name: "notBefore", at: deletion.notBefore });
    if (deletion.purgedAt !== undefined) steps.push({ name: "purged", at: deletion.purgedAt });
    if (deletion.receipt) steps.push({ name: "verified", at: deletion.receipt.secondLookAt });
    steps.push({ name: "deadline", at: deletion.deadline });
  }
  return steps.sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
}
