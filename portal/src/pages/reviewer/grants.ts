import type { Schemas } from "../../app/api";

export type Grant = Schemas["GrantAnswer"];

/** Tells from an answer's date how far the service's clock is ahead. A date has no fractions: rather too late than too early. */
export function aheadBy(date: string | null, now: number): number {
  const there = Date.parse(date ?? "");
  return Number.isNaN(there) ? 0 : there + 1000 - now;
}

/** Returns the grant that counts: of those that are live, the one that was approved last. */
export function liveOf(mine: readonly Grant[], over: ReadonlySet<string>): Grant | null {
  let found: Grant | null = null;
  for (const each of mine) {
    const isLive = each.status === "approved" && !over.has(each.grantId);
    if (isLive && (!found || (each.approvedAt ?? "") > (found.approvedAt ?? ""))) found = each;
  }
  return found;
}
