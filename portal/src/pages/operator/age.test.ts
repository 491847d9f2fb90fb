import { expect, test } from "vitest";
import { isOld, waitAfter } from "./age";

test("a refresh that fails is tried again later and later, and at least every five minutes", () => {
  const waits = [0, 1, 2, 3, 4, 50].map((failures) => waitAfter(30_000, failures, null) / 1000);
  expect(waits).toEqual([30, 60, 120, 240, 300, 300]);
});

test("the service is left alone for as long as it asks", () => {
  expect(waitAfter(30_000, 1, 5)).toBe(60_000);
  expect(waitAfter(30_000, 1, 900)).toBe(900_000);
});

test("what failed to be refreshed, or was not for long, is old", () => {
  const read = { readAt: 1000, trouble: null };
  expect(isOld(read, 30_000, 91_000)).toBe(false);
  expect(isOld(read, 30_000, 91_001)).toBe(true);
  expect(isOld({ ...read, trouble: {} }, 30_000, 1000)).toBe(true);
  expect(isOld({ ...read, readAt: null }, 30_000, 1000)).toBe(true);
});
