import type { Schemas } from "../../app/api";
import { topicOfCode, topicOfFinding, type Topic } from "./runbook";

/** Why a promise does not hold, as far as the page understands the service's words; else the words themselves. */
export type Reason =
  | { kind: "overdue"; count: number }
  | { kind: "undone" | "lost" | "unreadable" }
  | { kind: "unreachable"; place: string; code: string }
  | { kind: "day"; place: string; day: string }
  | { kind: "never" | "round" | "abandoned"; place: string }
  | { kind: "failed"; place: string; job: string; code: string }
  | { kind: "idle"; place: string; job: string; at: string }
  | { kind: "found"; place: string; count: number; finding: string }
  | { kind: "setup"; place: string; property: string; found: string }
  | { kind: "rests"; promises: readonly string[] }
  | { kind: "other"; text: string };

/** The words of shared/watch/status.py and posture.py. The last is the widest, so the order counts. */
const FORMS: readonly (readonly [RegExp, (parts: readonly string[]) => Reason])[] = [
  [/^(\d+) deletions are overdue$/, ([count = ""]) => ({ kind: "overdue", count: Number(count) })],
  [/^ledger: an opt-out without a deletion is past its deadline$/, () => ({ kind: "undone" })],
  [/^ledger: an opt-out has waited for its deletion for more than three hours$/, () => ({ kind: "lost" })],
  [/^ledger: opt-outs or deletions cannot be read$/, () => ({ kind: "unreadable" })],
  [/^(.+?): it cannot be read \((.*)\)$/, ([place = "", code = ""]) => ({ kind: "unreachable", place, code })],
  [/^(.+?): (\d{4}-\d\d-\d\d) is stored, which is past its deadline$/, ([place = "", day = ""]) => ({ kind: "day", place, day })],
  [/^(.+?): a job has not run yet, or what it came to cannot be read$/, ([place = ""]) => ({ kind: "never", place })],
  [/^(.+?): the first round of the sweep is not over$/, ([place = ""]) => ({ kind: "round", place })],
  [/^(.+?): it is configured no more, and not empty$/, ([place = ""]) => ({ kind: "abandoned", place })],
  [/^(.+?): the last (\w+) failed \((.*)\)$/, ([place = "", job = "", code = ""]) => ({ kind: "failed", place, job, code })],
  [/^(.+?): the last (\w+) was at (\d{4}-\S+Z)$/, ([place = "", job = "", at = ""]) => ({ kind: "idle", place, job, at })],
  [/^(.+?): the sweep has (\d+) (\w+)$/, ([place = "", count = "", finding = ""]) => ({ kind: "found", place, count: Number(count), finding })],
  [/^(.+?): (\S+) is (.+)$/, ([place = "", property = "", found = ""]) => ({ kind: "setup", place, property, found })],
];

export function reasonOf(text: string): Reason {
  for (const [form, make] of FORMS) {
    const parts = form.exec(text);
    if (parts) return make(parts.slice(1));
  }
  return { kind: "other", text };
}

/** Returns what the runbook has on a reason. */
export function topicOf(reason: Reason): Topic {
  switch (reason.kind) {
    case "overdue":
      return "overdue";
    case "undone":
    case "lost":
      return "feed";
    case "unreadable":
      return "itemsUnreadable";
    case "unreachable":
    case "failed":
      return topicOfCode(reason.code);
    case "day":
      return "pastDeadline";
    case "never":
    case "idle":
      return "stopped";
    case "round":
      return "firstRound";
    case "abandoned":
      return "abandoned";
    case "found":
      return topicOfFinding(reason.finding);
    case "setup":
      return reason.found === "not-checked" ? "notChecked" : "posture";
    case "rests":
      return "rests";
    case "other":
      return "unknown";
  }
}

/** What a reason rests on, and when that was. */
export interface Evidence {
  by: "run" | "look" | "deadline";
  at: string;
}

/**
 * Returns when what a reason speaks of was found; null if the status itself has just found it.
 *
 * @param firstOverdue the deadline of the deletion that is overdue for longest, if the page knows it
 */
export function evidenceOf(
  reason: Reason,
  { ledger, accounts }: Schemas["StatusAnswer"],
  firstOverdue: string | null,
): Evidence | null {
  switch (reason.kind) {
    case "overdue":
      return firstOverdue === null ? null : { by: "deadline", at: firstOverdue };
    case "failed":
    case "found": {
      const place = reason.place === "ledger" ? { ...ledger, lastPurge: null } : accounts[reason.place];
      const run = reason.kind === "failed" && reason.job === "purge" ? place?.lastPurge : place?.lastSweep;
      return run ? { by: "run", at: run.at } : null;
    }
    case "setup": {
      const posture = (reason.place === "Cosmos DB" ? ledger : accounts[reason.place])?.posture;
      return posture ? { by: "look", at: posture.at } : null;
    }
    default:
      return null;
  }
}
