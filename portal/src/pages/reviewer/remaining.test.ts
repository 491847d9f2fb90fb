import { expect, test } from "vitest";
import { digits, secondsLeft, urgency } from "./remaining";

const END = "2026-11-27T12:00:00.000000Z";

test("a second that has begun counts, and after the end nothing is left", () => {
  expect(secondsLeft(END, 3600, Date.parse(END) - 1)).toBe(1);
  expect(secondsLeft(END, 3600, Date.parse(END))).toBe(0);
  expect(secondsLeft(END, 3600, Date.parse(END) + 5000)).toBe(0);
});

test("a clock that is days behind does not make a grant longer", () => {
  expect(secondsLeft(END, 3600, Date.parse("2026-11-20T12:00:00Z"))).toBe(3600);
});

test("an end that cannot be read is one that has passed", () => {
  expect(urgency(secondsLeft("", 3600, 0))).toBe("over");
});

test("the last five minutes and the last one are urgent", () => {
  expect([301, 300, 61, 60, 1, 0].map(urgency)).toEqual(["calm", "soon", "soon", "last", "last", "over"]);
});

test("seconds are written as a clock does", () => {
  expect([3723, 3600, 599, 60, 9, 0].map(digits)).toEqual(["1:02:03", "1:00:00", "9:59", "1:00", "0:09", "0:00"]);
});
