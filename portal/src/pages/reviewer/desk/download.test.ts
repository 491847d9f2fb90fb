import { expect, test } from "vitest";
import { sha256 } from "../../../ledger/canonical";
import { PART, assembled } from "./download";

const SIZE = 2 * PART + 5;
const FILE = Uint8Array.from({ length: SIZE }, (_, index) => index % 251);

test("a file is put together of its parts, each asked for by itself", async () => {
  const asked: [number, number][] = [];
  const told: number[] = [];
  const file = await assembled(
    SIZE,
    (first, last) => {
      asked.push([first, last]);
      return Promise.resolve(FILE.slice(first, last + 1).buffer);
    },
    (got) => told.push(got),
  );
  expect(await sha256(file)).toBe(await sha256(FILE));
  expect(asked).toEqual([
    [0, PART - 1],
    [PART, 2 * PART - 1],
    [2 * PART, SIZE - 1],
  ]);
  expect(told).toEqual([PART, 2 * PART, SIZE]);
});

test("a part that is answered in part is asked for again from where it ends", async () => {
  const half = PART / 2;
  const read = (first: number, last: number) => Promise.resolve(FILE.slice(first, Math.min(last + 1, first + half)).buffer);
  const file = await assembled(PART, read, () => undefined);
  expect(await sha256(file)).toBe(await sha256(FILE.slice(0, PART)));
});

test("a part that has nothing or too much is no part", async () => {
  for (const length of [0, PART + 1]) {
    await expect(assembled(PART, () => Promise.resolve(new ArrayBuffer(length)), () => undefined)).rejects.toThrow();
  }
});

test("the hash is that of the bytes, as the service writes it", async () => {
  expect(await sha256(new TextEncoder().encode("test"))).toBe("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
  expect(await sha256("test")).toBe("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
});
