import { expect, test } from "vitest";
import { draftOf, isSame, labelBy, labelOf, labelled, type Draft, type Found, type Label } from "./label";

const EMPTY: Draft = { verdict: null, score: "", tags: "", comment: "" };

const label = (reviewer: string, more: Partial<Label> = {}): Label => ({
  reviewer,
  tags: [],
  at: "2026-11-27T10:00:00Z",
  ...more,
});

test("a label says what was typed, and nothing of what is empty", () => {
  expect(labelOf({ verdict: "incorrect", score: " 0,25", tags: " b a  b ", comment: "It counts closed orders." })).toEqual({
    body: { verdict: "incorrect", score: 0.25, tags: ["b", "a"], comment: "It counts closed orders." },
  });
  expect(labelOf({ ...EMPTY, verdict: "correct", comment: "  " })).toEqual({ body: { verdict: "correct" } });
  expect(labelOf({ ...EMPTY, score: "0" })).toEqual({ body: { score: 0 } });
});

test("each fault is said where it is", () => {
  expect(labelOf(EMPTY)).toEqual({ faults: { empty: true } });
  for (const score of ["1.1", "-0.1", "much"]) expect(labelOf({ ...EMPTY, score })).toHaveProperty("faults.score", true);
  for (const tags of ["Wrong", "a!", "1 2 3 4 5 6 7 8 9 10 11"]) {
    expect(labelOf({ ...EMPTY, tags })).toHaveProperty("faults.tags", true);
  }
  expect(labelOf({ ...EMPTY, comment: "👍".repeat(2000) })).toHaveProperty("body");
  expect(labelOf({ ...EMPTY, comment: "x".repeat(2001) })).toEqual({ faults: { comment: true } });
});

test("what there is comes back into the fields", () => {
  const draft = draftOf(label("me", { verdict: "correct", score: 0.5, tags: ["a", "b"], comment: "c" }));
  expect(draft).toEqual({ verdict: "correct", score: "0.5", tags: "a b", comment: "c" });
  expect(isSame(draft, { ...draft })).toBe(true);
  expect(isSame(draft, { ...draft, tags: "a" })).toBe(false);
  expect(draftOf(undefined)).toEqual(EMPTY);
});

test("one's own label is put in the place of the one before, and others' stay", () => {
  const found: Found = { day: "2026-11-27", batchId: "b", line: 0, capture: {}, labels: [label("other"), label("me")] };
  const changed = labelled(found, "me", label("me", { verdict: "correct" }));
  expect(changed.labels).toHaveLength(2);
  expect(labelBy(changed, "me")?.verdict).toBe("correct");
  expect(labelled(changed, "me", null).labels).toEqual([label("other")]);
});
