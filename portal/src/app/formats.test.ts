import { expect, test } from "vitest";
import { Formats } from "./formats";

test("a day is the same everywhere, and an instant has its UTC beside it", () => {
  const formats = new Formats("en");
  expect(formats.day("2028-02-29")).toBe("Feb 29, 2028");
  expect(formats.utc("2026-11-27T00:30:00+09:00")).toBe("2026-11-26 15:30:00 UTC");
});

test("what is left is said in the largest unit that fits", () => {
  const now = new Date("2026-11-27T10:00:00Z");
  expect(new Formats("en").until("2026-11-30T09:00:00Z", now)).toBe("in 2 days");
  expect(new Formats("de").until("2026-11-27T08:30:00Z", now)).toBe("vor 1 Stunde");
});
