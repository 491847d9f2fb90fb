import { administrator } from "./en/administrator";
import { desk } from "./en/desk";
import { operator } from "./en/operator";
import { reviewer } from "./en/reviewer";

/** A title, and what to do about it. */
type Told = readonly [string, string];

interface Troubles {
  unknown: Told;
  [kind: string]: Told;
}

const troubles: Troubles = {
  unknown: ["That did not work.", "Nothing was changed. Try again, and tell your operator if it goes on."],
  offline: ["There is no connection.", "What you entered is still here. Try again when you are online."],
  "signed-out": ["Your sign-in has ended.", "Sign in again: you come back to this page, and what you entered is still here."],
  forbidden: ["You are not allowed to do this.", "Your account lacks the role for it. Ask whoever assigns roles in your organisation."],
  "not-found": ["It is not there.", "It may have been removed meanwhile."],
  "precondition-failed": ["Somebody else has changed the setting meanwhile.", "Look at what holds now, then decide again."],
  "geo-pinned": ["The data lies in another geo.", "To move, switch sharing off, and on again in the other geo."],
  "geo-not-served": ["This geo is served elsewhere.", "Open the page of the deployment that serves it."],
  "too-many-opt-ins": ["Sharing was switched on too often.", "Switching off is always possible. Switch it on again later."],
  "notice-outdated": ["There is a newer notice.", "Read the one in force, then agree to it."],
  "notice-required": ["The notice must be agreed to.", "Read it, then switch sharing on."],
  "deletion-finished": ["The deletion is finished already.", "Its receipt is below."],
  "grant-not-pending": ["The grant has been decided on meanwhile.", "Look at what holds now."],
  "grant-required": ["There is no live grant.", "Ask for one, or wait until it is approved."],
  "too-many-exports": ["Too many exports are being made.", "Wait until one is ready, or delete one."],
  "export-not-ready": ["The export is still being made.", "Wait until it is ready."],
  "unknown-verdict": ["There is no such verdict.", "The verdicts have changed meanwhile. Load the page again to see which there are."],
  "too-many-labels": ["There are too many labels to compare at once.", "Choose fewer days."],
  "purpose-refused": ["Captures may not be read for this purpose.", "Choose another purpose."],
  unavailable: ["The service cannot answer now.", "Nothing was lost. Try again in a few seconds."],
  "internal-error": ["Something went wrong in the service.", "Try again, and tell your operator if it goes on."],
};

export const en = {
  product: "Copilot data sharing",
  loading: "Loading",
  signIn: "Sign in",
  signOut: "Sign out",
  welcome: "Sign in to see what is shared, and when it will be gone.",
  noPage: "Your account has none of the roles that these pages are for.",
  noPortal: "This deployment offers no pages, or cannot be reached.",
  tryAgain: "Try again",
  more: "Show more",
  stepUp: "A stronger sign-in is needed.",
  stepUpAdvice: "Sign in again as reviewing demands it.",
  retryAfter: (minutes: string) => `It can be tried again in ${minutes} min.`,
  language: "Language",
  appearance: "Appearance",
  appearances: { system: "As the system", light: "Light", dark: "Dark", contrast: "High contrast" },
  pages: {
    administrator: "Data sharing",
    operator: "Promises",
    reviewer: "Review",
    approver: "Approvals",
  },
  troubles,
  administrator,
  desk,
  operator,
  reviewer,
};

export type Messages = typeof en;
