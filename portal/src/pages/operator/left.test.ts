import { expect, test } from "vitest";
import { leftOfDay, leftOfDeletion, limitOf } from "./left";

const NOW = new Date("2026-11-21T12:00:00Z");

test("a deletion has thirty days, and somebody has to look on the last", () => {
  expect(leftOfDeletion("2026-12-06T12:00:00Z", NOW)).toEqual({ share: 0.5, nearness: "far" });
  expect(leftOfDeletion("2026-11-22T11:00:00Z", NOW).nearness).toBe("soon");
  expect(leftOfDeletion("2026-11-21T12:00:00Z", NOW)).toEqual({ share: 0, nearness: "over" });
  expect(leftOfDeletion("2027-11-21T12:00:00Z", NOW).share).toBe(1);
});

test("a day must be gone thirty days after it began", () => {
  expect(limitOf("2026-10-22").toISOString()).toBe("2026-11-21T00:00:00.000Z");
  expect(leftOfDay("2026-10-22", NOW).nearness).toBe("over");
  expect(leftOfDay("2026-10-23", NOW).nearness).toBe("far");
  expect(leftOfDay("2026-10-23", new Date("2026-11-21T21:30:00Z")).nearness).toBe("soon");
});

test("what is no instant has no time left", () => {
  expect(leftOfDeletion("soon", NOW).nearness).toBe("over");
});
