import { expect, test } from "vitest";
import { NOTHING, anySeed, SEED_MAX, selectionOf, valueOf, wholeOf, type Filter } from "./filter";

const selection = (typed: Partial<Filter>) => selectionOf({ ...NOTHING, ...typed });

test("what is empty asks for nothing", () => {
  expect(selection({})).toEqual({ selection: {} });
});

test("each field is a member of the search", () => {
  expect(
    selection({
      firstDay: "2026-11-20",
      lastDay: "2026-11-27",
      capturedFrom: "2026-11-20T08:30",
      capturedBefore: "2026-11-21T00:00:30",
      feature: "power-fx.formula",
      environmentId: "e",
      conversationId: " c",
      model: "m",
      language: " de ",
      text: " open orders",
      labelled: "no",
      verdict: "incorrect",
      tag: "wrong-table",
      telemetry: [
        { name: "accepted", how: "equals", value: "false" },
        { name: "latencyMs", how: "over", value: "2000" },
        { name: "/usage/outputTokens", how: "under", value: "1e3" },
      ],
    }),
  ).toEqual({
    selection: {
      firstDay: "2026-11-20",
      lastDay: "2026-11-27",
      capturedFrom: "2026-11-20T08:30:00Z",
      capturedBefore: "2026-11-21T00:00:30Z",
      feature: "power-fx.formula",
      environmentId: "e",
      conversationId: " c",
      model: "m",
      language: "de",
      text: " open orders",
      labelled: false,
      verdict: "incorrect",
      tag: "wrong-table",
      telemetry: [
        { name: "accepted", equals: false },
        { name: "latencyMs", over: 2000 },
        { name: "/usage/outputTokens", under: 1000 },
      ],
    },
  });
});

test("each fault is said where it is", () => {
  expect(
    selection({
      firstDay: "2026-11-28",
      lastDay: "2026-11-27",
      capturedFrom: "yesterday",
      feature: "x".repeat(201),
      language: "German",
      text: "  ",
      verdict: "Wrong!",
      tag: "-",
      telemetry: [
        { name: "", how: "equals", value: " " },
        { name: "latencyMs", how: "over", value: "much" },
      ],
    }),
  ).toEqual({
    faults: {
      firstDay: "days",
      capturedFrom: "time",
      feature: "long",
      language: "language",
      text: "blank",
      verdict: "word",
      tag: "word",
      "name 0": "name",
      "value 0": "value",
      "value 1": "number",
    },
  });
  expect(selection({ text: "👍".repeat(200) })).toHaveProperty("selection");
  expect(selection({ text: "👍".repeat(201) })).toEqual({ faults: { text: "long" } });
});

test("a value is what somebody who types it means", () => {
  expect(["true", "12", "-0.5", "fast", '"12"', '"true"', "0x10", "Infinity", "1e999"].map(valueOf)).toEqual([
    true,
    12,
    -0.5,
    "fast",
    "12",
    "true",
    "0x10",
    "Infinity",
    "1e999",
  ]);
});

test("a size and a seed are whole numbers within their bounds", () => {
  expect(["1", " 200 "].map((each) => wholeOf(each, 1, 200))).toEqual([1, 200]);
  for (const typed of ["0", "201", "1.5", "", "-1"]) expect(wholeOf(typed, 1, 200)).toBeNull();
  expect(wholeOf("2147483647", 0, SEED_MAX)).toBe(SEED_MAX);
  expect(wholeOf("2147483648", 0, SEED_MAX)).toBeNull();
  for (let times = 0; times < 50; times += 1) expect(wholeOf(String(anySeed()), 0, SEED_MAX)).not.toBeNull();
});
