import type { Schemas } from "../../app/api";
import { accountsOf } from "./accounts";
import { reasonOf, type Reason } from "./reasons";

/** `unwatched`: the status does not speak of it. */
export type State = "holds" | "broken" | "unwatched";

export interface Verdict {
  promise: string;
  state: State;
  reasons: readonly Reason[];
}

export const PROMISES = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12"];

/**
 * Returns what is to be said of each promise, those that the page does not know last.
 *
 * It fails closed. A promise holds only if the status says exactly that, gives no reason against it, and the page knows
 * what it is. One that the status does not speak of is not watched, and is broken if an account's setup breaks it.
 * What reviewers make of captures is deleted with their containers, by the same jobs. So what the status does not say of
 * P12 follows from the promises of these.
 */
export function verdictsOf(status: Schemas["StatusAnswer"]): readonly Verdict[] {
  const told = new Set([...Object.keys(status.promises), ...Object.keys(status.reasons)]);
  const unknown = [...told].filter((promise) => !PROMISES.includes(promise)).sort();
  const verdicts = [...PROMISES, ...unknown].map((promise): Verdict => {
    if (!told.has(promise)) {
      const reasons = setupFaults(status, promise);
      return { promise, state: reasons.length > 0 ? "broken" : "unwatched", reasons };
    }
    const reasons = (status.reasons[promise] ?? []).map(reasonOf);
    const holds = status.promises[promise] === true && reasons.length === 0 && PROMISES.includes(promise);
    return { promise, state: holds ? "holds" : "broken", reasons };
  });
  return verdicts.map((each) => (each.promise === "P12" && !told.has("P12") ? deduced(each, verdicts) : each));
}

/** What P12 rests on: that days, enrollments and what is owed are deleted. */
const DELETIONS = ["P4", "P5", "P6"];

/** Returns the verdict of a promise that holds only if all of those do: one of which nothing is known does not. */
function deduced({ promise, reasons: own }: Verdict, verdicts: readonly Verdict[]): Verdict {
  const lacking = DELETIONS.filter((each) => verdicts.find((other) => other.promise === each)?.state !== "holds");
  const reasons: readonly Reason[] = lacking.length > 0 ? [...own, { kind: "rests", promises: lacking }] : own;
  return { promise, state: reasons.length > 0 ? "broken" : "holds", reasons };
}

/** Tells whether everything that is watched holds, and something is. */
export function allHold(status: Schemas["StatusAnswer"], verdicts: readonly Verdict[]): boolean {
  const watched = verdicts.filter(({ state }) => state !== "unwatched");
  return status.holds && watched.length > 0 && watched.every(({ state }) => state === "holds");
}

/** Tells whether promises may rest on what was found; an outcome that the page does not know is none to rest on. */
export function rests(finding: Schemas["Finding"]): boolean {
  return finding.outcome === "holds" || finding.outcome === "development";
}

/** The setup of every account, by the place's name in the reasons. */
export function postures(status: Schemas["StatusAnswer"]): readonly [string, Schemas["PostureAnswer"] | null][] {
  const accounts = accountsOf(status).map(([name, { posture }]): [string, typeof posture] => [name, posture]);
  return [["Cosmos DB", status.ledger.posture], ...accounts];
}

function setupFaults(status: Schemas["StatusAnswer"], promise: string): Reason[] {
  return postures(status).flatMap(([place, posture]) =>
    (posture?.findings ?? [])
      .filter((finding) => !rests(finding) && finding.promises.includes(promise))
      .map(({ property, found }): Reason => ({ kind: "setup", place, property, found })),
  );
}
