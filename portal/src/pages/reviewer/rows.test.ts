import { expect, test } from "vitest";
import { rowsInSight } from "./rows";

test("of ten thousand rows only those in sight are shown, and some on either side", () => {
  expect(rowsInSight(0, 400, 40, 10_000)).toEqual([0, 20]);
  expect(rowsInSight(200_000, 400, 40, 10_000)).toEqual([4990, 5020]);
  expect(rowsInSight(399_600, 400, 40, 10_000)).toEqual([9980, 10_000]);
});

test("a list that has become shorter shows its end", () => {
  expect(rowsInSight(400_000, 400, 40, 5)).toEqual([5, 5]);
  expect(rowsInSight(0, 400, 40, 0)).toEqual([0, 0]);
});
