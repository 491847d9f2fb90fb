/** How urgent what is left of a grant is: `soon` in its last five minutes, `last` in the last one. */
export type Urgency = "calm" | "soon" | "last" | "over";

/**
 * Returns the whole seconds that are left.
 *
 * @param expiresAt when the grant ends, by the service's clock
 * @param longest the grant's length in seconds: however wrong this machine's clock is, there cannot be more
 * @param now the time in milliseconds, by the service's clock as far as we know it
 */
export function secondsLeft(expiresAt: string, longest: number, now: number): number {
  return Math.min(longest, Math.max(0, Math.ceil((Date.parse(expiresAt) - now) / 1000) || 0));
}

export function urgency(seconds: number): Urgency {
  if (seconds <= 0) return "over";
  return seconds <= 60 ? "last" : seconds <= 300 ? "soon" : "calm";
}

/** Writes seconds as a clock does: `1:02:03`, `2:03`. */
export function digits(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
