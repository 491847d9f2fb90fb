import type { Schemas } from "../../../app/api";
import type { Selection } from "./filter";
import type { Found } from "./label";

/** What is asked for: all that match, or a sample of them. */
export type Ask = { selection: Selection; sample: null } | { selection: Selection; sample: { size: number; seed: number } };

type Page = Schemas["FoundCapturesAnswer"] & { matched?: number };

/** How far a search has come. */
export interface Progress {
  found: readonly Found[];
  /** What was gone through, over all pages. */
  scanned: Schemas["ScannedCaptures"];
  /** Of a sample, how many matched. */
  matched: number;
  /** Where it goes on; null at the end. */
  cursor: string | null;
}

export const START: Progress = { found: [], scanned: { captures: 0, batches: 0, unreadable: 0 }, matched: 0, cursor: null };

/** So many are looked for before somebody has to ask for more. */
export const AT_ONCE = 50;

/** Returns the progress with one more page. */
export function added(before: Progress, page: Page): Progress {
  const { scanned } = page;
  return {
    found: [...before.found, ...page.value],
    scanned: {
      captures: before.scanned.captures + scanned.captures,
      batches: before.scanned.batches + scanned.batches,
      unreadable: before.scanned.unreadable + scanned.unreadable,
    },
    matched: page.matched ?? before.matched,
    cursor: page.cursor ?? null,
  };
}

/**
 * Follows the cursor until enough is found, or there is no more: a page may be empty and have one.
 *
 * @param from where it begins: `START`, or what is there already
 * @param read reads the page at a cursor, the first one without
 * @param tell is told of each page
 * @param most so many captures at most are looked for
 */
export async function follow(
  from: Progress,
  read: (cursor: string | null) => Promise<Page>,
  tell: (progress: Progress) => void,
  most: number,
): Promise<void> {
  let progress = from;
  do {
    const asked = progress.cursor;
    progress = added(progress, await read(asked));
    // A cursor that leads to itself would never end.
    if (asked !== null && progress.cursor === asked) throw new Error("The cursor leads to itself.");
    tell(progress);
  } while (progress.cursor !== null && progress.found.length - from.found.length < most);
}
