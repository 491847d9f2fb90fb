import { Trouble, answered, type Api, type Schemas } from "../../app/api";
import { remember, type Seen } from "./since";
import { verdictsOf, type Verdict } from "./verdicts";

export type Status = Schemas["StatusAnswer"];
export type Heartbeat = Schemas["HeartbeatAnswer"];
export type Posture = Schemas["PostureAnswer"];

/** What GET /status told, and what the page makes of it. */
export interface Told {
  status: Status;
  verdicts: readonly Verdict[];
  /** Since when each promise has been seen as it is. */
  since: Readonly<Record<string, Seen>>;
}

/**
 * Reads the status.
 *
 * Throws a `Trouble` also if the answer is no status, or is the very one that was read before: then something between
 * here and the service keeps answers, and nothing is known of now.
 */
export async function readStatus(api: Api, signal: AbortSignal, before: Told | null): Promise<Told> {
  const status = await answered(api.GET("/status", { signal, cache: "no-store" }));
  if (!isStatus(status) || status.at === before?.status.at) throw new Trouble("unavailable");
  const verdicts = verdictsOf(status);
  return { status, verdicts, since: remember(sessionStorage, status.at, verdicts) };
}

/** The time by the service's clock, on which all deadlines are: this machine's may be wrong. */
export function serviceTime(status: Status, readAt: number | null, now: number): Date {
  return new Date(Date.parse(status.at) + Math.max(0, now - (readAt ?? now)));
}

/** Tells whether a job's last run was in order; an outcome that the page does not know was not. */
export function ranWell(run: Heartbeat): boolean {
  return run.outcome === "done" || run.outcome === "more";
}

/** After so long without a run a job counts as one that does not run (three schedules; the service says the same). */
const RUNS_WITHIN_MS = { purge: 15 * 60_000, sweep: 3 * 3600_000 };

export function ranLately(run: Heartbeat, now: Date): boolean {
  return now.getTime() - Date.parse(run.at) <= RUNS_WITHIN_MS[run.kind];
}

/** What the page reads without looking must be there; the rest is the verdicts' to doubt. */
function isStatus(status: unknown): status is Status {
  if (typeof status !== "object" || status === null) return false;
  const { at, promises, reasons, findings, ledger, accounts } = status as Record<string, unknown>;
  const parts = [promises, reasons, findings, ledger, accounts];
  return (
    typeof at === "string" &&
    !Number.isNaN(Date.parse(at)) &&
    parts.every((part) => typeof part === "object" && part !== null)
  );
}
