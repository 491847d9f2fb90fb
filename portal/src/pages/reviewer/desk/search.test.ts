import { expect, test } from "vitest";
import type { Found } from "./label";
import { START, follow, type Progress } from "./search";

const found = (line: number): Found => ({ day: "2026-11-27", batchId: "b", line, capture: {}, labels: [] });

const page = (lines: readonly number[], cursor?: string) => ({
  value: lines.map(found),
  scanned: { captures: 100, batches: 2, unreadable: 1 },
  ...(cursor !== undefined && { cursor }),
});

/** Answers pages in turn, and tells by which cursors they were asked for. */
function answering(pages: readonly (ReturnType<typeof page> & { matched?: number })[]) {
  const asked: (string | null)[] = [];
  return {
    asked,
    read: (cursor: string | null) => {
      const answer = pages[asked.push(cursor) - 1];
      return answer ? Promise.resolve(answer) : Promise.reject(new Error("There is no such page."));
    },
  };
}

test("a page that is empty and has a cursor is not the end, and what was gone through adds up", async () => {
  const { asked, read } = answering([page([], "a"), page([], "b"), page([1, 2])]);
  const told: Progress[] = [];
  await follow(START, read, (each) => told.push(each), 50);
  expect(asked).toEqual([null, "a", "b"]);
  expect(told.map(({ found }) => found.length)).toEqual([0, 0, 2]);
  expect(told.at(-1)).toMatchObject({ cursor: null, scanned: { captures: 300, batches: 6, unreadable: 3 } });
});

test("it stops when enough is found, and goes on from there", async () => {
  const { asked, read } = answering([page([1, 2], "a"), page([3], "b"), page([4])]);
  let last = START;
  const tell = (each: Progress) => (last = each);
  await follow(START, read, tell, 3);
  expect([last.found.length, last.cursor]).toEqual([3, "b"]);
  await follow(last, read, tell, 3);
  expect(asked).toEqual([null, "a", "b"]);
  expect(last.found.map(({ line }) => line)).toEqual([1, 2, 3, 4]);
});

test("what cannot be read keeps what was read before", async () => {
  const { read } = answering([page([1], "a")]);
  let last = START;
  await expect(follow(START, read, (each) => (last = each), 50)).rejects.toThrow();
  expect([last.found.length, last.cursor]).toEqual([1, "a"]);
});

test("a cursor that leads to itself ends", async () => {
  await expect(follow(START, answering([page([], "a"), page([], "a")]).read, () => undefined, 50)).rejects.toThrow();
});

test("of a sample the number that match is that of the last page", async () => {
  const { read } = answering([{ ...page([], "a"), matched: 3 }, { ...page([1]), matched: 7 }]);
  let last = START;
  await follow(START, read, (each) => (last = each), Infinity);
  expect(last.matched).toBe(7);
});
