import { expect, test } from "vitest";
import { csvOf } from "./csv";

test("commas, quotes and line ends stay in their cell", () => {
  expect(csvOf([["a", 'say "b"', "c,d", "e\r\nf", undefined, 5]])).toBe('a,"say ""b""","c,d","e\r\nf",,5\r\n');
});

test.each(["=1+1", "+1", "-1", "@A1", "\t=1", " =cmd|' /C calc'!A0", "＝1", "\ttext"])("%s is no formula", (text) => {
  expect(csvOf([[text]])).toMatch(/^"?'/);
});
