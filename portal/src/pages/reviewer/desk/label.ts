import type { Schemas } from "../../../app/api";
import { isWord, numberOf } from "./filter";

export type Found = Schemas["FoundCapture"];
export type Label = Schemas["FoundLabel"];

export const TAGS_MAX = 10;
export const COMMENT_MAX = 2000;

/** What is typed for a label. */
export interface Draft {
  verdict: string | null;
  score: string;
  tags: string;
  comment: string;
}

export interface Faults {
  score?: true;
  tags?: true;
  comment?: true;
  /** It says nothing at all. */
  empty?: true;
}

/** Names a capture among all that are found. */
export const keyOf = ({ day, batchId, line }: Found): string => `${day}/${batchId}/${line}`;

export const labelBy = (found: Found, reviewer: string): Label | undefined =>
  found.labels.find((each) => each.reviewer === reviewer);

/** Returns what the fields show of a label that there is, or that there is not yet. */
export function draftOf(label: Label | undefined): Draft {
  return {
    verdict: label?.verdict ?? null,
    score: label?.score === undefined ? "" : String(label.score),
    tags: label?.tags.join(" ") ?? "",
    comment: label?.comment ?? "",
  };
}

export const isSame = (one: Draft, other: Draft): boolean =>
  one.verdict === other.verdict && one.score === other.score && one.tags === other.tags && one.comment === other.comment;

/** Returns the body of the request, or what is wrong with it. */
export function labelOf(draft: Draft): { body: Schemas["LabelRequest"] } | { faults: Faults } {
  const faults: Faults = {};
  const score = draft.score.trim() ? numberOf(draft.score.replace(",", ".")) : undefined;
  const tags = [...new Set(draft.tags.split(/\s+/).filter(Boolean))];
  if (score === null || (score !== undefined && (score < 0 || score > 1))) faults.score = true;
  if (tags.length > TAGS_MAX || !tags.every(isWord)) faults.tags = true;
  if (Array.from(draft.comment).length > COMMENT_MAX) faults.comment = true;
  const body: Schemas["LabelRequest"] = {
    ...(draft.verdict !== null && { verdict: draft.verdict }),
    ...(score !== undefined && { score }),
    ...(tags.length > 0 && { tags }),
    ...(draft.comment.trim() && { comment: draft.comment }),
  };
  if (Object.keys(body).length === 0) faults.empty = true;
  return Object.keys(faults).length > 0 ? { faults } : { body };
}

/** Returns a capture with a reviewer's label in the place of the one before, or without. */
export function labelled(found: Found, reviewer: string, label: Label | null): Found {
  const others = found.labels.filter((each) => each.reviewer !== reviewer);
  return { ...found, labels: label ? [...others, label] : others };
}
