import { expect, test } from "vitest";
import { Formats } from "../../app/formats";
import { en } from "../../messages/en";
import { detailsOf } from "./accessDetails";
import type { AccessRecord } from "./calls";

const record = (more: Partial<AccessRecord>): AccessRecord => ({
  tenantId: "t",
  sequence: 1,
  recordId: "0".repeat(32),
  at: "2026-11-27T10:00:00Z",
  action: "found",
  actor: "somebody",
  purpose: "improve",
  lockbox: "notApplicable",
  ...more,
});

const said = (more: Partial<AccessRecord>): string => detailsOf(record(more), en, new Formats("en"), "en").join(" ");

test("a search is told by its days, its members and what it showed, and by nothing that it looked for", () => {
  expect(said({ firstDay: "2026-11-20", lastDay: "2026-11-27", filteredBy: ["feature", "text"], captures: 1200 })).toBe(
    "Days: Nov 20, 2026 to Nov 27, 2026. Chosen by: Feature, Text. What was searched for is on no record. Captures: 1,200.",
  );
  expect(said({ filteredBy: [] })).toBe("Chosen by nothing: all captures of the days.");
});

test("a download is told by its file's hash and its bytes, and a stop by its reason", () => {
  expect(said({ action: "exportDownloaded", exportId: "e", sha256: "abc", firstByte: 0, lastByte: 4095 })).toBe(
    "Export: e. SHA-256 of the file: abc. Bytes 0 to 4,095.",
  );
  expect(said({ reason: "grant-ended" })).toBe("Why: The grant had ended.");
});

test("words to come are shown as they are, and no other member's", () => {
  expect(said({ reason: "constructor", filteredBy: ["toString"] })).toBe(
    "Chosen by: toString. What was searched for is on no record. Why: constructor",
  );
  expect(said({})).toBe("");
});

test("a label is told by its place, counted from one", () => {
  expect(said({ action: "labelled", batchId: "b", line: 0 })).toBe("Batch: b. Line: 1.");
});
