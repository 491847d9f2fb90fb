import { expect, test } from "vitest";
import { remember } from "./since";
import type { State } from "./verdicts";

function storeOf(kept: string | null = null) {
  let value = kept;
  return { getItem: () => value, setItem: (_: string, next: string) => void (value = next) };
}

const saw = (state: State) => [{ promise: "P4", state, reasons: [] }];

test("what this tab saw first may have been so for longer", () => {
  const store = storeOf();
  remember(store, "2026-11-21T12:00:00Z", saw("holds"));
  const { P4 } = remember(store, "2026-11-21T12:00:30Z", saw("holds"));
  expect(P4).toEqual({ state: "holds", first: "2026-11-21T12:00:00Z", last: "2026-11-21T12:00:30Z", before: null });
});

test("a change happened between two looks", () => {
  const store = storeOf();
  for (const at of ["2026-11-21T12:00:00Z", "2026-11-21T12:00:30Z"]) remember(store, at, saw("holds"));
  const { P4 } = remember(store, "2026-11-21T12:05:00Z", saw("broken"));
  expect(P4).toMatchObject({ state: "broken", first: "2026-11-21T12:05:00Z", before: "2026-11-21T12:00:30Z" });
});

test.each(["{", "null", "7", '{"P4": {"state": "holds"}}', '{"P4": {"state": "holds", "first": "x", "last": "y", "before": null}}'])(
  "what was kept and is not understood is forgotten: %s",
  (kept) => {
    const { P4 } = remember(storeOf(kept), "2026-11-21T12:00:00Z", saw("holds"));
    expect(P4?.first).toBe("2026-11-21T12:00:00Z");
  },
);

test("a store that is full costs the memory and nothing else", () => {
  const full = {
    getItem: () => null,
    setItem: () => {
      throw new Error("full");
    },
  };
  expect(remember(full, "2026-11-21T12:00:00Z", saw("broken"))["P4"]?.state).toBe("broken");
});
