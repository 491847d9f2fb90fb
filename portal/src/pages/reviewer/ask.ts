import type { Schemas } from "../../app/api";

export const PURPOSES: readonly Schemas["ReviewGrantRequest"]["purpose"][] = ["build", "improve", "validate"];

export const VISIBLE_MIN = 20;
export const JUSTIFICATION_MAX = 500;
export const MINUTES_MAX = 480;

/** Counts characters as the service does: those that one can see, which some letters are by name alone. */
export function visible(text: string): number {
  return text.match(/(?![\u115F\u1160\u2800\u3164\uFFA0])[\p{L}\p{N}\p{P}\p{S}\p{Mc}]/gu)?.length ?? 0;
}

/** Counts characters as the service does for the longest justification. */
export const characters = (text: string): number => Array.from(text).length;

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Returns a tenant id as the API writes it, or null if it is none. */
export function tenantIdOf(text: string): string | null {
  const id = text.trim().toLowerCase();
  return GUID.test(id) ? id : null;
}

/** What is wrong with a wish for a grant, by the field that it is wrong in. */
export interface Faults {
  purpose?: true;
  justification?: "short" | "long";
  minutes?: true;
  enrollmentId?: true;
}

export interface Wish {
  purpose: string;
  justification: string;
  minutes: string;
  enrollmentId: string;
}

/** Returns the body of the request, or what is wrong with it. */
export function requestOf(wish: Wish): { body: Schemas["ReviewGrantRequest"] } | { faults: Faults } {
  const purpose = PURPOSES.find((each) => each === wish.purpose);
  const durationMinutes = /^\d{1,3}$/.test(wish.minutes.trim()) ? Number(wish.minutes) : 0;
  const enrollmentId = wish.enrollmentId.trim().toLowerCase();
  const faults: Faults = {};
  if (!purpose) faults.purpose = true;
  if (visible(wish.justification) < VISIBLE_MIN) faults.justification = "short";
  else if (characters(wish.justification) > JUSTIFICATION_MAX) faults.justification = "long";
  if (durationMinutes < 1 || durationMinutes > MINUTES_MAX) faults.minutes = true;
  if (enrollmentId && !/^[0-9a-f]{32}$/.test(enrollmentId)) faults.enrollmentId = true;
  if (!purpose || Object.keys(faults).length > 0) return { faults };
  return { body: { purpose, justification: wish.justification, durationMinutes, ...(enrollmentId && { enrollmentId }) } };
}
