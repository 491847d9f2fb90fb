import { expect, test } from "vitest";
import { batchOf, conversationsOf, repeated, written, type Capture } from "./captures";

const line = (members: object): string => JSON.stringify(members);

const captures = (...lines: object[]): readonly Capture[] => batchOf("b", lines.map(line).join("\n")).captures;

test("a line ends with a line feed and with nothing else", () => {
  const batch = batchOf("b", `{"input":"a\u2028b\u0085c"}\n{"input":"d"}\n`);
  expect(batch.bad).toEqual([]);
  expect(batch.captures.map(({ asked }) => asked[0]?.parts[0]?.text)).toEqual(["a\u2028b\u0085c", "d"]);
});

test("a line that is no capture is kept as it is, with its number, and hides no other", () => {
  const batch = batchOf("b", '{"input":"a"}\n{"input":\n\n[1]\nnull\n{"input":"b"}\n');
  expect(batch.captures.map((each) => each.line)).toEqual([1, 6]);
  expect(batch.bad).toEqual([
    { batchId: "b", line: 2, text: '{"input":' },
    { batchId: "b", line: 3, text: "" },
    { batchId: "b", line: 4, text: "[1]" },
    { batchId: "b", line: 5, text: "null" },
  ]);
});

test("an empty batch has no captures and no bad lines", () => {
  expect(batchOf("b", "")).toEqual({ captures: [], bad: [] });
});

test("input and output are what user and assistant said; the rest is beside", () => {
  const [capture] = captures({
    capturedAt: "2026-11-21T12:00:00.000000Z",
    feature: "power-fx.formula",
    input: "Total",
    output: "Sum()",
    telemetry: { latencyMs: 812 },
    surprise: [1],
  });
  expect(capture).toEqual({
    batchId: "b",
    line: 1,
    capturedAt: "2026-11-21T12:00:00.000000Z",
    conversationId: null,
    asked: [{ role: "user", parts: [{ type: "text", text: "Total", members: [] }], members: [] }],
    answered: [{ role: "assistant", parts: [{ type: "text", text: "Sum()", members: [] }], members: [] }],
    about: [["feature", "power-fx.formula"]],
    telemetry: [["latencyMs", 812]],
    others: [["surprise", [1]]],
  });
});

test("messages keep roles, tool calls and what is unknown of them", () => {
  const [capture] = captures({
    systemInstructions: [{ type: "text", content: "Be brief" }],
    inputMessages: [{ role: "user", parts: [{ type: "text", content: "Hi", lang: "en" }], name: "n" }],
    outputMessages: [
      { role: "assistant", parts: [{ type: "tool_call", id: "1", name: "find", arguments: { q: "x" } }], finish_reason: "tool_call" },
      { role: "tool", parts: [{ type: "uri", uri: "https://evil.example/" }] },
    ],
  });
  expect(capture?.asked.map(({ role }) => role)).toEqual(["system", "user"]);
  expect(capture?.asked[1]).toEqual({
    role: "user",
    parts: [{ type: "text", text: "Hi", members: [["lang", "en"]] }],
    members: [["name", "n"]],
  });
  expect(capture?.answered[0]?.parts).toEqual([
    { type: "tool_call", text: null, members: [["id", "1"], ["name", "find"], ["arguments", { q: "x" }]] },
  ]);
  expect(capture?.answered[1]?.parts[0]?.text).toBeNull();
});

test("members of another shape than expected are shown and break nothing", () => {
  const [capture] = captures({
    capturedAt: 5,
    conversationId: { a: 1 },
    input: ["a"],
    inputMessages: "none",
    outputMessages: [null, "text", { role: 1, parts: "x" }, { role: "user", parts: [null, 7, "plain", { type: 3 }] }],
    telemetry: [1],
    constructor: "c",
  });
  expect(capture?.capturedAt).toBe("");
  expect(capture?.asked).toEqual([]);
  expect(capture?.others.map(([name]) => name)).toEqual([
    "capturedAt", "conversationId", "input", "inputMessages", "telemetry", "constructor",
  ]);
  expect(capture?.answered).toHaveLength(4);
  expect(capture?.answered[2]?.members).toEqual([["role", 1], ["parts", "x"]]);
});

test("names that objects have by themselves are names like any other", () => {
  const { captures: [capture] } = batchOf("b", '{"__proto__":{"input":"x"},"outputMessages":[{"role":"a","parts":[{"type":"__proto__"},{"type":"toString"}]}]}');
  expect(capture?.asked).toEqual([]);
  expect(capture?.others).toEqual([["__proto__", { input: "x" }]]);
  expect(capture?.answered[0]?.parts.map(({ text }) => text)).toEqual([null, null]);
});

test("captures of one conversation are together in order of time; the first conversation is at the top", () => {
  const found = conversationsOf(
    captures(
      { capturedAt: "2026-11-21T12:00:03Z", conversationId: "c", input: "3" },
      { capturedAt: "2026-11-21T12:00:02Z", input: "alone" },
      { capturedAt: "2026-11-21T12:00:01Z", conversationId: "c", input: "1" },
      { capturedAt: "2026-11-21T12:00:02Z", input: "alone too" },
      { capturedAt: "never", conversationId: "c", input: "last" },
    ),
  );
  expect(found.map(({ id, captures: all }) => [id, all.map((each) => each.asked[0]?.parts[0]?.text)])).toEqual([
    ["c", ["1", "3", "last"]],
    [null, ["alone"]],
    [null, ["alone too"]],
  ]);
});

test("what an assistant is told again is not shown again", () => {
  const user = (content: string) => ({ role: "user", parts: [{ type: "text", content }] });
  const said = (content: string, more = {}) => ({ role: "assistant", parts: [{ type: "text", content }], ...more });
  const [first, second, third] = captures(
    {
      systemInstructions: [{ type: "text", content: "s" }],
      inputMessages: [user("a")],
      outputMessages: [said("b", { finish_reason: "stop" })],
    },
    { inputMessages: [user("a"), said("b"), user("c")], outputMessages: [said("d")] },
    { inputMessages: [user("another")], outputMessages: [] },
  );
  if (!first || !second || !third) throw new Error();
  expect(repeated(first, undefined)).toBe(0);
  expect(repeated(second, first)).toBe(2);
  expect(repeated(third, second)).toBe(0);
});

test("a value is written as text", () => {
  expect([written("a"), written(1), written(null), written({ a: 1 })]).toEqual(["a", "1", "null", '{\n  "a": 1\n}']);
});
