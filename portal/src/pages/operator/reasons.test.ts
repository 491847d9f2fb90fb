import { expect, test } from "vitest";
import type { Schemas } from "../../app/api";
import { evidenceOf, reasonOf, topicOf } from "./reasons";

/** The words of the service (shared/watch/status.py and posture.py), what they say, and what the runbook has on it. */
const WORDS = [
  ["3 deletions are overdue", { kind: "overdue", count: 3 }, "overdue"],
  ["ledger: an opt-out without a deletion is past its deadline", { kind: "undone" }, "feed"],
  ["ledger: an opt-out has waited for its deletion for more than three hours", { kind: "lost" }, "feed"],
  ["ledger: opt-outs or deletions cannot be read", { kind: "unreadable" }, "itemsUnreadable"],
  ["steurope: it cannot be read (storage-timeout)", { kind: "unreachable", place: "steurope", code: "storage-timeout" }, "storageSilent"],
  ["steurope: 2026-10-21 is stored, which is past its deadline", { kind: "day", place: "steurope", day: "2026-10-21" }, "pastDeadline"],
  ["stasia: a job has not run yet, or what it came to cannot be read", { kind: "never", place: "stasia" }, "stopped"],
  ["stasia: the last purge failed (cosmos-429)", { kind: "failed", place: "stasia", job: "purge", code: "cosmos-429" }, "cosmosBusy"],
  [
    "ledger: the last sweep was at 2026-11-21T08:20:00.000000Z",
    { kind: "idle", place: "ledger", job: "sweep", at: "2026-11-21T08:20:00.000000Z" },
    "stopped",
  ],
  ["stasia: the first round of the sweep is not over", { kind: "round", place: "stasia" }, "firstRound"],
  ["stasia: the sweep has 2 wrongAccount", { kind: "found", place: "stasia", count: 2, finding: "wrongAccount" }, "wrongAccount"],
  ["stasia: the sweep has 1 failures", { kind: "found", place: "stasia", count: 1, finding: "failures" }, "accountFails"],
  ["stasia: it is configured no more, and not empty", { kind: "abandoned", place: "stasia" }, "abandoned"],
  [
    "Cosmos DB: containers.access.expires is not-checked",
    { kind: "setup", place: "Cosmos DB", property: "containers.access.expires", found: "not-checked" },
    "notChecked",
  ],
  ["steurope: sku.name is Standard_GRS", { kind: "setup", place: "steurope", property: "sku.name", found: "Standard_GRS" }, "posture"],
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
    accounts: { steurope: { lastPurge: run("2026-11-21T11:00:00Z"), lastSweep: run("2026-11-21T10:30:00Z"), posture: null } },
  } as unknown as Schemas["StatusAnswer"];
  const evidence = (text: string) => evidenceOf(reasonOf(text), status, "2026-11-20T00:00:00Z");
  expect(evidence("steurope: the last purge failed (unexpected)")).toEqual({ by: "run", at: "2026-11-21T11:00:00Z" });
  expect(evidence("steurope: the sweep has 1 wrongAccount")).toEqual({ by: "run", at: "2026-11-21T10:30:00Z" });
  expect(evidence("ledger: the last sweep failed (unexpected)")).toEqual({ by: "run", at: "2026-11-21T10:00:00Z" });
  expect(evidence("Cosmos DB: writeLocations is 2 entries")).toEqual({ by: "look", at: "2026-11-21T09:00:00Z" });
  expect(evidence("1 deletions are overdue")).toEqual({ by: "deadline", at: "2026-11-20T00:00:00Z" });
  expect(evidence("steurope: sku.name is Standard_GRS")).toBeNull();
  expect(evidence("mars: the sweep has 1 wrongAccount")).toBeNull();
});
