import type { State, Verdict } from "./verdicts";

/** Since when a promise has been seen in the state that it is in. The status does not tell, so the tab remembers. */
export interface Seen {
  state: State;
  /** The first look that saw it so. */
  first: string;
  /** The last one. */
  last: string;
  /** The last look that saw it otherwise; null if there was none, and it may have been so for longer. */
  before: string | null;
}

const KEY = "operator.since";

/**
 * Takes down what a look has seen, and returns for each promise since when it has been so.
 *
 * @param store lasts as long as the tab
 * @param at when the status was told
 */
export function remember(
  store: Pick<Storage, "getItem" | "setItem">,
  at: string,
  verdicts: readonly Verdict[],
): Record<string, Seen> {
  const kept = keptIn(store);
  const seen: Record<string, Seen> = {};
  for (const { promise, state } of verdicts) {
    const old = kept[promise];
    seen[promise] =
      old?.state === state ? { ...old, last: at } : { state, first: at, last: at, before: old?.last ?? null };
  }
  try {
    store.setItem(KEY, JSON.stringify(seen));
  } catch {
    // Without a place to keep it the page only forgets sooner, and says "since" a later time.
  }
  return seen;
}

/** What was kept; nothing if it is not as this page writes it. */
function keptIn(store: Pick<Storage, "getItem">): Partial<Record<string, Seen>> {
  try {
    const kept: unknown = JSON.parse(store.getItem(KEY) ?? "{}");
    if (typeof kept !== "object" || kept === null) return {};
    return Object.fromEntries(Object.entries(kept).filter((entry): entry is [string, Seen] => isSeen(entry[1])));
  } catch {
    return {};
  }
}

function isSeen(value: unknown): value is Seen {
  if (typeof value !== "object" || value === null) return false;
  const { state, first, last, before } = value as Record<string, unknown>;
  return typeof state === "string" && isInstant(first) && isInstant(last) && (before === null || isInstant(before));
}

const isInstant = (value: unknown): boolean => typeof value === "string" && !Number.isNaN(Date.parse(value));
