/** What a key asks for while a capture is open. */
export type Act = { verdict: number } | "next" | "previous" | "comment" | "close" | "leave";

export interface Pressed {
  key: string;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
  /** Letters are being put together, as for Japanese. */
  isComposing: boolean;
}

const ACTS: Readonly<Record<string, Act>> = {
  n: "next",
  ArrowRight: "next",
  p: "previous",
  ArrowLeft: "previous",
  c: "comment",
  Escape: "close",
};

/**
 * Returns what a key asks for, or null.
 *
 * @param isTyping whether a field has the focus: there letters and digits are what is written, and Escape leaves it
 */
export function actOf(pressed: Pressed, isTyping: boolean): Act | null {
  if (pressed.ctrlKey || pressed.altKey || pressed.metaKey || pressed.isComposing) return null;
  if (isTyping) return pressed.key === "Escape" ? "leave" : null;
  if (/^[1-9]$/.test(pressed.key)) return { verdict: Number(pressed.key) - 1 };
  return Object.hasOwn(ACTS, pressed.key) ? (ACTS[pressed.key] ?? null) : null;
}

/** Tells whether what has the focus takes keys for itself. */
export function isField(target: EventTarget): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
