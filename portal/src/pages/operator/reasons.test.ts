import { expect, test } from "vitest";
import type { Schemas } from "../../app/api";
import { evidenceOf, reasonOf, topicOf } from "./reasons";

/** The words of the service (shared/watch/status.py and posture.py), what they say, and what the runbook has on it. */
const WORDS = [
  ["3 deletions are overdue", { kind: "overdue", count: 3 }, "overdue"],
  ["ledger: an opt-out without a deletion is past its deadline", { kind: "undone" }, "feed"],
  ["ledger: an opt-out has waited for its deletion for more than three hours", { kind: "lost" }, "feed"],
  ["ledger: opt-outs or deletions cannot be read", { kind: "unreadable" }, "itemsUnreadable"],
  ["europe: it cannot be read (storage-timeout)", { kind: "unreachable", place: "europe", code: "storage-timeout" }, "storageSilent"],
  ["europe: 2026-10-21 is stored, which is past its deadline", { kind: "day", place: "europe", day: "2026-10-21" }, "pastDeadline"],
  ["asia: a job has not run yet, or what it came to cannot be read", { kind: "never", place: "asia" }, "stopped"],
  ["asia: the last purge failed (cosmos-429)", { kind: "failed", place: "asia", job: "purge", code: "cosmos-429" }, "cosmosBusy"],
  [
    "ledger: the last sweep was at 2026-11-21T08:20:00.000000Z",
    { kind: "idle", place: "ledger", job: "sweep", at: "2026-11-21T08:20:00.000000Z" },
    "stopped",
  ],
  ["asia: the first round of the sweep is not over", { kind: "round", place: "asia" }, "firstRound"],
  ["asia: the sweep has 2 wrongAccount", { kind: "found", place: "asia", count: 2, finding: "wrongAccount" }, "wrongAccount"],
  ["asia: the sweep has 1 failures", { kind: "found", place: "asia", count: 1, finding: "failures" }, "geoFails"],
  [
    "Cosmos DB: containers.access.expires is not-checked",
    { kind: "setup", place: "Cosmos DB", property: "containers.access.expires", found: "not-checked" },
    "notChecked",
  ],
  ["europe: sku.name is Standard_GRS", { kind: "setup", place: "europe", property: "sku.name", found: "Standard_GRS" }, "posture"],
  ["words to come", { kind: "other", text: "words to come" }, "unknown"],
] as const;

test.each(WORDS)("%s", (text, reason, topic) => {
  expect(reasonOf(text)).toEqual(reason);
  expect(topicOf(reasonOf(text))).toBe(topic);
});

test("a reason is dated by the run, the look or the deadline that it follows from", () => {
  const run = (at: string): Schemas["HeartbeatAnswer"] => ({ kind: "sweep", startedAt: at, at, outcome: "failed", counts: {} });
  const posture = { at: "2026-11-21T09:00:00Z", holds: false, development: false, findings: [] };
  const status = {
    ledger: { lastSweep: run("2026-11-21T10:00:00Z"), posture },
    geos: { europe: { lastPurge: run("2026-11-21T11:00:00Z"), lastSweep: run("2026-11-21T10:30:00Z"), posture: null } },
  } as unknown as Schemas["StatusAnswer"];
  const evidence = (text: string) => evidenceOf(reasonOf(text), status, "2026-11-20T00:00:00Z");
  expect(evidence("europe: the last purge failed (unexpected)")).toEqual({ by: "run", at: "2026-11-21T11:00:00Z" });
  expect(evidence("europe: the sweep has 1 wrongAccount")).toEqual({ by: "run", at: "2026-11-21T10:30:00Z" });
  expect(evidence("ledger: the last sweep failed (unexpected)")).toEqual({ by: "run", at: "2026-11-21T10:00:00Z" });
  expect(evidence("Cosmos DB: writeLocations is 2 entries")).toEqual({ by: "look", at: "2026-11-21T09:00:00Z" });
  expect(evidence("1 deletions are overdue")).toEqual({ by: "deadline", at: "2026-11-20T00:00:00Z" });
  expect(evidence("europe: sku.name is Standard_GRS")).toBeNull();
  expect(evidence("mars: the sweep has 1 wrongAccount")).toBeNull();
});
