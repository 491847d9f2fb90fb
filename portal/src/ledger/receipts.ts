import type { Schemas } from "../app/api";
import { canonical, sha256, type Json } from "./canonical";
import { signedBy, type Key } from "./signature";

/** Whose receipt was asked for, and of which enrollment. */
export interface About {
  tenantId: string;
  enrollmentId: string;
}

export type LedgerEvent = Schemas["LedgerPageAnswer"]["value"][number];

/**
 * What is looked at, one after the other:
 * `signature` one of the published keys has signed it; `facts` what is shown beside the signature is what was signed,
 * and is about what was asked for;
 * `ledger` the ledger has the very events that it names; `chain` each event of the ledger follows the one before it;
 * `deadline` storage was found empty in time.
 */
export type CheckName = "signature" | "facts" | "ledger" | "chain" | "deadline";

export interface Check {
  name: CheckName;
  holds: boolean;
}

/** Members of a deletion that stand in its `receipt`; all others stand in the deletion itself. */
const OF_RECEIPT = ["firstDay", "lastDay", "containersDeleted", "firstLookAt", "secondLookAt", "reappeared", "downloads"];

/** Checks a deletion's receipt as `python -m audit verify-receipt` does, and against the ledger besides. */
export async function checkDeletion(
  about: About,
  deletion: Schemas["DeletionAnswer"],
  keys: readonly Key[],
  events: readonly LedgerEvent[],
): Promise<Check[]> {
  const receipt = deletion.receipt;
  const claims = receipt ? await signedBy(receipt.jws, keys) : null;
  if (!receipt || !claims) return [{ name: "signature", holds: false }];
  return [
    { name: "signature", holds: true },
    { name: "facts", holds: isAbout(about, claims) && showsWhatWasSigned(deletion, receipt, claims) },
    { name: "ledger", holds: isOptOut(events, claims) && (await hasEvents(events, [claims], about)) },
    { name: "chain", holds: await isChain(events) },
    { name: "deadline", holds: text(claims["secondLookAt"]) !== "" && text(claims["secondLookAt"]) <= text(claims["deadline"]) },
  ];
}

/** Checks a receipt of consent: the record is exactly what was signed, and the ledger has the decisions. */
export async function checkConsent(
  about: About,
  answer: Schemas["ConsentReceiptAnswer"],
  keys: readonly Key[],
  events: readonly LedgerEvent[],
): Promise<Check[]> {
  const claims = await signedBy(answer.jws, keys);
  if (!claims) return [{ name: "signature", holds: false }];
  const named = Array.isArray(claims["events"]) ? (claims["events"] as Record<string, Json>[]) : [];
  return [
    { name: "signature", holds: true },
    { name: "facts", holds: isAbout(about, claims) && canonical(answer.record) === canonical(claims) },
    { name: "ledger", holds: named.length > 0 && (await hasEvents(events, named, about)) },
    { name: "chain", holds: await isChain(events) },
  ];
}

function showsWhatWasSigned(
  deletion: Schemas["DeletionAnswer"],
  receipt: Schemas["Receipt"],
  claims: Record<string, Json>,
): boolean {
  const beside = deletion as unknown as Record<string, Json | undefined>;
  const within = receipt as unknown as Record<string, Json | undefined>;
  for (const [name, signed] of Object.entries(claims)) {
    const shown = OF_RECEIPT.includes(name) ? within[name] : beside[name];
    if (shown === undefined || canonical(shown) !== canonical(signed)) return false;
  }
  if (Object.keys(within).some((name) => name !== "jws" && !(name in claims))) return false;
  return deletion.purgedAt === undefined || deletion.purgedAt === claims["firstLookAt"];
}

const isAbout = ({ tenantId, enrollmentId }: About, claims: Record<string, Json>): boolean =>
  claims["tenantId"] === tenantId && claims["enrollmentId"] === enrollmentId;

/** Tells whether the event that is named is an opt-out, with the deadline that was signed. */
function isOptOut(events: readonly LedgerEvent[], claims: Record<string, Json>): boolean {
  const event = events.find((one) => one.sequence === claims["sequence"]);
  return event?.kind === "optedOut" && event.deadline === claims["deadline"];
}

async function hasEvents(
  events: readonly LedgerEvent[],
  named: readonly Record<string, Json>[],
  { tenantId, enrollmentId }: About,
): Promise<boolean> {
  for (const each of named) {
    const event = events.find((one) => one.sequence === each["sequence"]);
    if (event?.tenantId !== tenantId || event.enrollmentId !== enrollmentId) return false;
    if ((await hashOf(event)) !== each["ledgerHash"]) return false;
  }
  return true;
}

/** Tells whether the events, in whatever order, are all there are, each with the hash of the one before it. */
export async function isChain(events: readonly LedgerEvent[]): Promise<boolean> {
  let hash = "0".repeat(64);
  for (const [index, event] of [...events].sort((one, other) => one.sequence - other.sequence).entries()) {
    if (event.sequence !== index + 1 || event.previousHash !== hash) return false;
    hash = await hashOf(event);
  }
  return events.length > 0;
}

const hashOf = (event: LedgerEvent): Promise<string> => sha256(canonical(event));

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
