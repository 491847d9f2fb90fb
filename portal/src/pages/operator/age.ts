import type { Trouble } from "../../app/api";

export interface Refreshed<T> {
  /** The last thing that was read; it stays while refreshes fail. */
  data: T | null;
  /** When that was, by this machine's clock. */
  readAt: number | null;
  /** Why the last refresh failed; null if it did not. */
  trouble: Trouble | null;
  /** Whether somebody has asked for a refresh that is still under way. */
  loading: boolean;
  refresh: () => void;
}

const SLOWEST_MS = 5 * 60_000;

/**
 * Returns how long to wait before the next refresh: longer after each failure, and at least as long as the service asks.
 *
 * @param period milliseconds between two refreshes that succeed
 * @param failures how many have failed in a row
 * @param retryAfter seconds that the service asked to be left alone for
 */
export function waitAfter(period: number, failures: number, retryAfter: number | null): number {
  const backOff = Math.min(period * 2 ** Math.min(failures, 10), Math.max(SLOWEST_MS, period));
  return Math.max(failures === 0 ? period : backOff, (retryAfter ?? 0) * 1000);
}

/** Tells whether what is shown must not be taken for what is so now. One failure suffices: a wall says what it knows. */
export function isOld(
  refreshed: { readAt: number | null; trouble: object | null },
  period: number,
  now: number,
): boolean {
  return refreshed.trouble !== null || refreshed.readAt === null || now - refreshed.readAt > 3 * period;
}
