/** What a batch says, read without trusting it: the service stores what it was sent, and members may come and go. */

export type Members = readonly (readonly [name: string, value: unknown])[];

/** Something that somebody said: a text, or what a tool was asked or answered, or whatever else there is. */
export interface Part {
  type: string;
  /** What is read as text; null for a part that is only shown by its members. */
  text: string | null;
  members: Members;
}

/** What one side said at a time. */
export interface Message {
  role: string;
  parts: readonly Part[];
  members: Members;
}

export interface Capture {
  /** Where it is from: its batch, and its line there. */
  batchId: string;
  line: number;
  /** RFC 3339; empty if there is none. */
  capturedAt: string;
  conversationId: string | null;
  /** What was said to the assistant, and by it, in order. */
  asked: readonly Message[];
  answered: readonly Message[];
  /** What is shown beside: who, where, with what. */
  about: Members;
  telemetry: Members;
  /** Members that this page does not know. */
  others: Members;
}

/** A line that holds no capture. */
export interface BadLine {
  batchId: string;
  line: number;
  text: string;
}

export interface Batch {
  captures: readonly Capture[];
  bad: readonly BadLine[];
}

const ABOUT = ["feature", "model", "userId", "environmentId", "traceId", "spanId", "truncated"];

/**
 * Reads a batch: JSON Lines.
 *
 * A line ends with a line feed and with nothing else: a text may hold U+2028 and other characters that end lines elsewhere.
 */
export function batchOf(batchId: string, content: string): Batch {
  const lines = content.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const captures: Capture[] = [];
  const bad: BadLine[] = [];
  lines.forEach((text, index) => {
    const value = parsed(text);
    if (isObject(value)) captures.push(captureOf(batchId, index + 1, value));
    else bad.push({ batchId, line: index + 1, text });
  });
  return { captures, bad };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/**
 * Reads a capture.
 *
 * @param line its place in its batch, counted from 1
 */
export function captureOf(batchId: string, line: number, value: object): Capture {
  const rest = new Map<string, unknown>(Object.entries(value));
  const take = <T>(name: string, read: (value: unknown) => T | null): T | null => {
    const taken = read(rest.get(name));
    if (taken !== null) rest.delete(name);
    return taken;
  };
  return {
    batchId,
    line,
    capturedAt: take("capturedAt", textOf) ?? "",
    conversationId: take("conversationId", textOf),
    asked: [
      ...(take("systemInstructions", partsOf("system")) ?? []),
      ...(take("inputMessages", messagesOf) ?? []),
      ...(take("input", saidBy("user")) ?? []),
    ],
    answered: [...(take("outputMessages", messagesOf) ?? []), ...(take("output", saidBy("assistant")) ?? [])],
    about: ABOUT.flatMap((name) => take(name, (each) => (each == null ? null : [[name, each] as const])) ?? []),
    telemetry: take("telemetry", (each) => (isObject(each) ? Object.entries(each) : null)) ?? [],
    others: [...rest],
  };
}

const saidBy = (role: string) => (value: unknown): Message[] | null =>
  typeof value === "string" ? [{ role, parts: [{ type: "text", text: value, members: [] }], members: [] }] : null;

const partsOf = (role: string) => (value: unknown): Message[] | null =>
  Array.isArray(value) ? [{ role, parts: value.map(partOf), members: [] }] : null;

function messagesOf(value: unknown): Message[] | null {
  return Array.isArray(value) ? value.map(messageOf) : null;
}

function messageOf(value: unknown): Message {
  if (!isObject(value)) return { role: "", parts: [partOf(value)], members: [] };
  const rest = new Map<string, unknown>(Object.entries(value));
  const role = textOf(rest.get("role"));
  const parts = rest.get("parts");
  if (role !== null) rest.delete("role");
  if (Array.isArray(parts)) rest.delete("parts");
  return { role: role ?? "", parts: Array.isArray(parts) ? parts.map(partOf) : [], members: [...rest] };
}

/** The member of a part that is read as text. Addresses and media are none: nothing is fetched or played here. */
const READ_AS_TEXT: Readonly<Record<string, string>> = { text: "content", reasoning: "content" };

function partOf(value: unknown): Part {
  if (typeof value === "string") return { type: "text", text: value, members: [] };
  if (!isObject(value)) return { type: "", text: null, members: [["", value]] };
  const rest = new Map<string, unknown>(Object.entries(value));
  const type = textOf(rest.get("type")) ?? "";
  if (type) rest.delete("type");
  const member = Object.hasOwn(READ_AS_TEXT, type) ? READ_AS_TEXT[type] : undefined;
  const text = member === undefined ? null : textOf(rest.get(member));
  if (member !== undefined && text !== null) rest.delete(member);
  return { type, text, members: [...rest] };
}

const textOf = (value: unknown): string | null => (typeof value === "string" ? value : null);

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value);

export interface Conversation {
  /** Null for a capture that names none: it stands alone. */
  id: string | null;
  key: string;
  captures: readonly Capture[];
}

/** Puts the captures of one conversation together, in order of time, and the conversation that began first at the top. */
export function conversationsOf(captures: readonly Capture[]): Conversation[] {
  const found = new Map<string, Capture[]>();
  for (const each of [...captures].sort(byTime)) {
    const key = each.conversationId === null ? `alone ${each.batchId} ${each.line}` : `together ${each.conversationId}`;
    const others = found.get(key);
    if (others) others.push(each);
    else found.set(key, [each]);
  }
  return [...found].map(([key, together]) => ({ key, id: together[0]?.conversationId ?? null, captures: together }));
}

function byTime(one: Capture, other: Capture): number {
  return timeOf(one) - timeOf(other) || (one.capturedAt < other.capturedAt ? -1 : one.capturedAt > other.capturedAt ? 1 : 0);
}

/** What has no time comes last. */
function timeOf({ capturedAt }: Capture): number {
  const time = Date.parse(capturedAt);
  return Number.isNaN(time) ? Number.MAX_SAFE_INTEGER : time;
}

/** Tells how many of a capture's messages the one before it has shown: an assistant is told the whole talk each time. */
export function repeated(capture: Capture, before: Capture | undefined): number {
  let shown = before ? [...before.asked, ...before.answered] : [];
  // What the system told the assistant need not be told again.
  if (capture.asked[0]?.role !== "system") shown = shown.filter(({ role }) => role !== "system");
  let same = 0;
  while (same < capture.asked.length && same < shown.length && isSame(capture.asked[same], shown[same])) same += 1;
  return same;
}

/** An answer that comes back as history may have lost its other members, such as why it ended. */
function isSame(one: Message | undefined, other: Message | undefined): boolean {
  return one?.role === other?.role && JSON.stringify(one?.parts) === JSON.stringify(other?.parts);
}

/** Writes any value of JSON as text. */
export function written(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
