import { expect, test } from "vitest";
import { beginning, runs } from "./hidden";

/** What is shown: a hidden character in brackets. */
const shown = (said: string): string => runs(said).map(({ text, hidden }) => (hidden ? `[${text}]` : text)).join("");

test("what changes the direction of writing is named and no longer works", () => {
  expect(shown("pay \u202Egpj.exe\u202C now")).toBe("pay [U+202E]gpj.exe[U+202C] now");
  expect(shown("\u2066a\u2067b\u2068c\u2069\u200E\u200F\u061C")).toBe(
    "[U+2066]a[U+2067]b[U+2068]c[U+2069][U+200E][U+200F][U+061C]",
  );
});

test("what has no width is named, also tags, fillers, soft hyphens and separators of lines", () => {
  expect(shown("a\u200Bb\u200Cc\u200Dd\u2060e\uFEFFf\u00ADg\u3164h")).toBe(
    "a[U+200B]b[U+200C]c[U+200D]d[U+2060]e[U+FEFF]f[U+00AD]g[U+3164]h",
  );
  expect(shown("hi\u{E0041}\u{E007F}")).toBe("hi[U+E0041][U+E007F]");
  expect(shown("a\u2028b\u2029c")).toBe("a[U+2028]b[U+2029]c");
});

test("controls are named, but lines and tabs stay what they are", () => {
  expect(shown("a\0b\u001B[31mc\u0085d\r")).toBe("a[U+0000]b[U+001B][31mc[U+0085]d[U+000D]");
  expect(shown("a\n\tb\r\nc")).toBe("a\n\tb\nc");
});

test("the same hidden character a hundred thousand times is one run", () => {
  expect(runs(`a${"\u200B".repeat(100_000)}b`)).toEqual([
    { text: "a", hidden: false },
    { text: "U+200B × 100000", hidden: true },
    { text: "b", hidden: false },
  ]);
});

test("half a character is named", () => {
  expect(shown("a\uD83Db")).toBe("a[U+D83D]b");
});

test("pictures of several characters, and letters of every script, stay whole", () => {
  for (const said of ["👨‍👩‍👧 ❤️ 👩🏽‍💻 1️⃣", "売上の合計", "שלום", "مرحبا", "Grüße", "e\u0301"]) {
    expect(runs(said)).toEqual([{ text: said, hidden: false }]);
  }
});

test("only pictures may join: between letters, the same character is named", () => {
  expect(shown("a\u200Db a\uFE0Fb")).toBe("a[U+200D]b a[U+FE0F]b");
});

test("markup stays text", () => {
  expect(shown("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
});

test("a beginning cuts no character in two", () => {
  expect(beginning("ab👍", 3)).toBe("ab");
  expect(beginning("ab👍", 4)).toBe("ab👍");
  expect(beginning("ab", 10)).toBe("ab");
});
