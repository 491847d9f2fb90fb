import type { Schemas } from "../../../app/api";
import { characters } from "../ask";

export type Selection = Schemas["Selection"];

export const NAME_MAX = 200;
export const TEXT_MAX = 200;
export const CONDITIONS_MAX = 8;
export const SIZE_MAX = 200;
export const SEED_MAX = 2 ** 31 - 1;

export type How = "equals" | "over" | "under";

/** What is typed for one condition on the telemetry. */
export interface Condition {
  name: string;
  how: How;
  value: string;
}

/** What is typed into the form; nothing that is empty asks for anything. */
export interface Filter {
  firstDay: string;
  lastDay: string;
  capturedFrom: string;
  capturedBefore: string;
  feature: string;
  environmentId: string;
  conversationId: string;
  model: string;
  language: string;
  text: string;
  labelled: "" | "yes" | "no";
  verdict: string;
  tag: string;
  telemetry: readonly Condition[];
}

export const NOTHING: Filter = {
  firstDay: "",
  lastDay: "",
  capturedFrom: "",
  capturedBefore: "",
  feature: "",
  environmentId: "",
  conversationId: "",
  model: "",
  language: "",
  text: "",
  labelled: "",
  verdict: "",
  tag: "",
  telemetry: [],
};

export type Fault = "days" | "language" | "word" | "long" | "blank" | "name" | "number" | "value" | "time";

/** What is wrong, by the field that it is wrong in; of a condition, `name 0` or `value 0`. */
export type Faults = Readonly<Record<string, Fault>>;

const NAMES = ["feature", "environmentId", "conversationId", "model"] as const;
const TIMES = ["capturedFrom", "capturedBefore"] as const;
const WORD = /^[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?$/;

export const isWord = (text: string): boolean => WORD.test(text);

/** Returns what the form asks for as the API's `Selection`, or what is wrong with it. */
export function selectionOf(filter: Filter): { selection: Selection } | { faults: Faults } {
  const faults: Record<string, Fault> = {};
  const selection: Selection = {};
  if (filter.firstDay) selection.firstDay = filter.firstDay;
  if (filter.lastDay) selection.lastDay = filter.lastDay;
  if (filter.firstDay && filter.lastDay && filter.firstDay > filter.lastDay) faults["firstDay"] = "days";
  for (const name of TIMES) {
    const at = filter[name].trim() && instantOf(filter[name].trim());
    if (at === null) faults[name] = "time";
    else if (at) selection[name] = at;
  }
  for (const name of NAMES) {
    // As it is: a name may begin with a space.
    if (characters(filter[name]) > NAME_MAX) faults[name] = "long";
    else if (filter[name]) selection[name] = filter[name];
  }
  const language = filter.language.trim();
  if (language && !/^[a-z]{2,3}$/.test(language)) faults["language"] = "language";
  else if (language) selection.language = language;
  if (characters(filter.text) > TEXT_MAX) faults["text"] = "long";
  else if (filter.text && !filter.text.trim()) faults["text"] = "blank";
  else if (filter.text) selection.text = filter.text;
  if (filter.labelled) selection.labelled = filter.labelled === "yes";
  for (const name of ["verdict", "tag"] as const) {
    const word = filter[name].trim();
    if (word && !isWord(word)) faults[name] = "word";
    else if (word) selection[name] = word;
  }
  const conditions = filter.telemetry.map((each, index) => conditionOf(each, index, faults));
  if (conditions.length > 0) selection.telemetry = conditions;
  return Object.keys(faults).length > 0 ? { faults } : { selection };
}

function conditionOf(
  { name, how, value }: Condition,
  index: number,
  faults: Record<string, Fault>,
): Schemas["TelemetryCondition"] {
  if (!name) faults[`name ${index}`] = "name";
  else if (characters(name) > NAME_MAX) faults[`name ${index}`] = "long";
  if (how === "equals") {
    if (!value.trim()) faults[`value ${index}`] = "value";
    return { name, equals: valueOf(value.trim()) };
  }
  const bound = numberOf(value);
  if (bound === null) faults[`value ${index}`] = "number";
  return { name, [how]: bound ?? 0 };
}

/** What somebody who types `true`, `12` or `fast` means; in double quotes it is a text in any case. */
export function valueOf(typed: string): string | number | boolean {
  if (typed === "true" || typed === "false") return typed === "true";
  const quoted = /^"([\s\S]*)"$/.exec(typed)?.[1];
  return quoted ?? numberOf(typed) ?? typed;
}

/** A number as JSON writes it; null for anything else. */
export function numberOf(typed: string): number | null {
  const text = typed.trim();
  const value = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : null;
}

/** Reads a whole number between bounds; null if it is none. */
export function wholeOf(typed: string, least: number, most: number): number | null {
  const value = /^\d{1,10}$/.test(typed.trim()) ? Number(typed) : NaN;
  return value >= least && value <= most ? value : null;
}

/** What a field for date and time holds, which is meant in UTC, as an instant; null if it is none. */
function instantOf(typed: string): string | null {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?$/.exec(typed);
  return match ? `${match[1] ?? ""}T${match[2] ?? ""}${match[3] ?? ":00"}Z` : null;
}

/** A seed that nobody has chosen. */
export function anySeed(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) & SEED_MAX;
}
