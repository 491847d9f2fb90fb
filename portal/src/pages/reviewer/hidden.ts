/** A run of what somebody said: plain text, or a character that would not be seen or would rearrange what is. */
export interface Run {
  text: string;
  /** Whether `text` stands for a hidden character. */
  hidden: boolean;
}

/**
 * Characters that have no shape of their own: controls (but for line feed and tab), marks that change the direction of
 * writing, characters without width, tags, variation selectors, and halves of characters. With them a text can look
 * different from what it says.
 */
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\p{Cs}\uFFF9-\uFFFB]/u;

/** What makes one picture of several, as in a family or a red heart: there these two characters are part of the picture. */
const PICTURE = /\p{Emoji}(?:\uFE0E|\uFE0F)|\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?\u200D(?=\p{Extended_Pictographic})/u;

/** A line end that Windows writes says nothing that need be shown. */
const PIECES = new RegExp(`${PICTURE.source}|\\r\\n|(${HIDDEN.source})\\1*`, "gu");

/** Splits what somebody said, so that nothing of it stays hidden. The same character many times in a row is one run. */
export function runs(said: string): Run[] {
  const found: Run[] = [];
  let plain = "";
  let end = 0;
  for (const { 0: piece, 1: hidden, index } of said.matchAll(PIECES)) {
    plain += said.slice(end, index);
    end = index + piece.length;
    if (hidden === undefined) {
      plain += piece === "\r\n" ? "\n" : piece;
      continue;
    }
    if (plain) found.push({ text: plain, hidden: false });
    plain = "";
    found.push({ text: named(hidden, piece.length / hidden.length), hidden: true });
  }
  plain += said.slice(end);
  if (plain) found.push({ text: plain, hidden: false });
  return found;
}

function named(character: string, times: number): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return times === 1 ? `U+${code}` : `U+${code} × ${times}`;
}

/** Returns the beginning of a text, without cutting a character in two. */
export function beginning(said: string, length: number): string {
  const isHalf = said.length > length && /[\uD800-\uDBFF]/.test(said.charAt(length - 1));
  return said.slice(0, isHalf ? length - 1 : length);
}
