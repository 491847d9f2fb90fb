import { expect, test } from "vitest";
import runbook from "../../../../docs/operations.md?raw";
import { de } from "../../messages/de";
import { en } from "../../messages/en";
import { ja } from "../../messages/ja";
import { sectionOf, topicOfCode, topicOfFinding, type Topic } from "./runbook";

const TOPICS = Object.keys(en.operator.advice) as Topic[];

test("a code leads to its advice, and one that nobody knows to the log", () => {
  expect(topicOfCode("storage-403")).toBe("storageRefused");
  expect(topicOfCode("storage-LeaseIdMissing")).toBe("storageOther");
  expect(topicOfCode("vault-403")).toBe("vault");
  expect(topicOfCode("a-code-to-come")).toBe("unknownCode");
  expect(topicOfCode("constructor")).toBe("unknownCode");
  expect(topicOfFinding("eventsMissing")).toBe("eventsChanged");
  expect(topicOfFinding("toString")).toBe("unknown");
});

test("each language has advice on everything, and words for every promise", () => {
  for (const { operator } of [de, ja]) {
    expect(Object.keys(operator.advice)).toEqual(TOPICS);
    expect(Object.keys(operator.promises)).toEqual(Object.keys(en.operator.promises));
    expect(Object.keys(operator.jobs)).toEqual(Object.keys(en.operator.jobs));
    expect(Object.keys(operator.deletionStates)).toEqual(Object.keys(en.operator.deletionStates));
  }
});

test("the runbook has the sections that the page names", () => {
  const headings = runbook
    .split("\n")
    .filter((line) => line.startsWith("#"))
    .map((line) => line.replaceAll("`", ""));
  for (const topic of TOPICS) {
    const [section = "", finding] = sectionOf(topic).replace(/ \(and .*\)$/, "").split(": ");
    expect(headings.some((heading) => heading.endsWith(` ${section}`)), section).toBe(true);
    if (section === "What the sweep finds") expect(headings.some((heading) => heading.startsWith(`### ${finding ?? ""}`)), finding).toBe(true);
  }
});
