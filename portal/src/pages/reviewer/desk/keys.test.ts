import { expect, test } from "vitest";
import { actOf, type Pressed } from "./keys";

const press = (key: string, more: Partial<Pressed> = {}): Pressed => ({
  key,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  isComposing: false,
  ...more,
});

test("single keys ask for verdicts, other captures, the comment, and the end", () => {
  const acts = ["1", "9", "n", "ArrowRight", "p", "ArrowLeft", "c", "Escape"].map((key) => actOf(press(key), false));
  expect(acts).toEqual([{ verdict: 0 }, { verdict: 8 }, "next", "next", "previous", "previous", "comment", "close"]);
});

test("other keys are the browser's, and so are all with another one held", () => {
  for (const key of ["0", "10", "Enter", " ", "Tab", "ArrowDown", "constructor", "N"]) {
    expect(actOf(press(key), false)).toBeNull();
  }
  for (const held of ["ctrlKey", "altKey", "metaKey", "isComposing"] as const) {
    expect(actOf(press("1", { [held]: true }), false)).toBeNull();
    expect(actOf(press("Escape", { [held]: true }), true)).toBeNull();
  }
});

test("where something is typed no key is taken but the one that leaves", () => {
  for (const key of ["1", "n", "p", "c", "ArrowLeft"]) expect(actOf(press(key), true)).toBeNull();
  expect(actOf(press("Escape"), true)).toBe("leave");
});
