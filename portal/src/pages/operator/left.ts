/** How near the end is: `soon` is what an alert is made of, `over` is past it. */
export type Nearness = "far" | "soon" | "over";

const DAY_MS = 86_400_000;

/** P4 and P5: nothing is stored for longer, whatever the settings say. */
export const LIMIT_DAYS = 30;

export interface Left {
  /** What is left, between 0 and 1. */
  share: number;
  nearness: Nearness;
}

/** Returns how much of its thirty days a deletion still has. Below a day somebody has to look (docs/operations.md). */
export function leftOfDeletion(deadline: string, now: Date): Left {
  return leftOf(Date.parse(deadline), now, DAY_MS);
}

/** Returns how much of the promised thirty days the captures of a UTC day still have; below three hours it is late. */
export function leftOfDay(day: string, now: Date): Left {
  return leftOf(limitOf(day).getTime(), now, DAY_MS / 8);
}

/** The first instant at which nothing of a UTC day may be stored any more. */
export function limitOf(day: string): Date {
  return new Date(Date.parse(`${day.slice(0, 10)}T00:00:00Z`) + LIMIT_DAYS * DAY_MS);
}

function leftOf(end: number, now: Date, soon: number): Left {
  const left = end - now.getTime();
  // What is no number is no time that is left.
  if (!(left > 0)) return { share: 0, nearness: "over" };
  return { share: Math.min(1, left / (LIMIT_DAYS * DAY_MS)), nearness: left < soon ? "soon" : "far" };
}
