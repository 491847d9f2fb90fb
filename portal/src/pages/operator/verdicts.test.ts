import { expect, test } from "vitest";
import type { Schemas } from "../../app/api";
import { PROMISES, allHold, verdictsOf } from "./verdicts";

type Status = Schemas["StatusAnswer"];

const WATCHED = ["P1", "P2", "P3", "P4", "P5", "P6", "P9"];

function statusOf(change: Partial<Status> = {}): Status {
  return {
    at: "2026-11-21T12:00:00Z",
    holds: true,
    promises: Object.fromEntries(WATCHED.map((promise) => [promise, true])),
    reasons: {},
    overdueDeletions: 0,
    feedLagSeconds: 0,
    findings: {},
    ledger: { unscheduledOptOuts: 0, oldestUnscheduledAt: null, unreadableOptOuts: 0, lastSweep: null, posture: null, unreadable: 0 },
    accounts: {},
    ...change,
  };
}

const stateOf = (status: Status, promise: string) => verdictsOf(status).find((each) => each.promise === promise)?.state;

test("what the status says holds, and what it does not speak of is not watched", () => {
  const verdicts = verdictsOf(statusOf());
  expect(verdicts.map(({ promise }) => promise)).toEqual(PROMISES);
  expect(verdicts.filter(({ state }) => state === "holds").map(({ promise }) => promise)).toEqual([
    ...WATCHED,
    "P12",
  ]);
  expect(verdicts.filter(({ state }) => state === "unwatched").map(({ promise }) => promise)).toEqual([
    "P7",
    "P8",
    "P10",
    "P11",
  ]);
  expect(allHold(statusOf(), verdicts)).toBe(true);
});

test("a promise does not hold if the status says anything but that it does", () => {
  for (const said of [false, null, "true", 1] as unknown as boolean[]) {
    expect(stateOf(statusOf({ promises: { P1: said } }), "P1")).toBe("broken");
  }
  expect(stateOf(statusOf({ reasons: { P1: ["europe: something"] } }), "P1")).toBe("broken");
  expect(stateOf(statusOf({ promises: {}, reasons: { P7: ["something"] } }), "P7")).toBe("broken");
});

test("a promise that the page does not know does not hold", () => {
  const verdicts = verdictsOf(statusOf({ promises: { P1: true, P13: true } }));
  expect(verdicts.at(-1)).toEqual({ promise: "P13", state: "broken", reasons: [] });
});

test("the setup of an account breaks also a promise that the status does not speak of", () => {
  const finding = { property: "logging.enabled", found: "true", needed: "false", promises: ["P8"] };
  const withOutcome = (outcome: string) => {
    const posture = { at: "2026-11-21T12:00:00Z", holds: true, development: false };
    const findings = [{ ...finding, outcome: outcome as Schemas["Outcome"] }];
    return statusOf({ ledger: { ...statusOf().ledger, posture: { ...posture, findings } } });
  };
  expect(stateOf(withOutcome("holds"), "P8")).toBe("unwatched");
  expect(stateOf(withOutcome("development"), "P8")).toBe("unwatched");
  expect(stateOf(withOutcome("broken"), "P8")).toBe("broken");
  expect(stateOf(withOutcome("an outcome to come"), "P8")).toBe("broken");
});

test("what reviewers make is as sure to be deleted as the captures are, and no surer", () => {
  expect(stateOf(statusOf(), "P12")).toBe("holds");
  for (const promise of ["P4", "P5", "P6"]) {
    const others = Object.fromEntries(WATCHED.filter((each) => each !== promise).map((each) => [each, true]));
    for (const promises of [others, { ...others, [promise]: false }]) {
      const verdict = verdictsOf(statusOf({ promises })).find((each) => each.promise === "P12");
      expect(verdict).toEqual({ promise: "P12", state: "broken", reasons: [{ kind: "rests", promises: [promise] }] });
    }
    expect(stateOf(statusOf({ reasons: { [promise]: ["something"] } }), "P12")).toBe("broken");
  }
  expect(stateOf(statusOf({ promises: { P1: true, P12: true } }), "P12")).toBe("holds");
  expect(stateOf(statusOf({ reasons: { P12: ["something"] } }), "P12")).toBe("broken");
});

test("the whole holds only if the status says so, and something is watched", () => {
  for (const status of [
    statusOf({ holds: false }),
    statusOf({ promises: {} }),
    statusOf({ promises: { P1: true, P2: false } }),
    statusOf({ promises: { P1: true, P99: true } }),
  ]) {
    expect(allHold(status, verdictsOf(status))).toBe(false);
  }
});
