import type { Messages } from "../../messages/en";

/** What there is advice on. */
export type Topic = keyof Messages["operator"]["advice"];

/**
 * Returns where the runbook has more on it: a section of docs/operations.md, which is in English. It is named and not
 * linked, because the service does not serve it and nobody knows where a deployment's people keep it.
 */
export function sectionOf(topic: Topic): string {
  return SECTIONS[topic] ?? "Codes";
}

const SECTIONS: Partial<Record<Topic, string>> = {
  overdue: "A deletion is overdue, or about to be",
  deletionsLate: "A deletion is overdue, or about to be",
  accountFails: "A storage account fails",
  abandoned: "Several accounts in a geo",
  stopped: "Purge or sweep does not run",
  notChecked: "Purge or sweep does not run",
  feed: "The change feed lags or is off",
  statusUnreadable: "The status cannot be read",
  firstRound: "How is it?",
  unknown: "How is it?",
  rests: "How is it?",
  posture: "How is it? (and posture.md)",
  notice: "Publishing a notice",
  unpaired: "Codes: account-unpaired, account-of-another-deployment",
  ledgerStrange: "Codes: ledger-empty, ledger-strange",
  unknownEnrollment: "What the sweep finds: unknownEnrollment",
  wrongAccount: "What the sweep finds: wrongAccount",
  afterReceipt: "What the sweep finds: afterReceipt",
  pastDeadline: "What the sweep finds: pastDeadline",
  impossibleDay: "What the sweep finds: impossibleDay",
  foreignContainers: "What the sweep finds: foreignContainers",
  softDeleted: "What the sweep finds: softDeleted",
  deletionsCreated: "What the sweep finds: deletionsCreated",
  deletionsDisagreeing: "What the sweep finds: deletionsDisagreeing",
  receiptsInvalid: "What the sweep finds: receiptsInvalid",
  deletionsWithoutEvent: "What the sweep finds: deletionsWithoutEvent",
  eventsChanged: "What the sweep finds: eventsMissing, eventsChanged",
  itemsUnreadable: "What the sweep finds: itemsUnreadable",
  settingsDisagreeing: "What the sweep finds: settingsDisagreeing",
};

const CODES: Readonly<Record<string, Topic>> = {
  "storage-timeout": "storageSilent",
  "storage-unreachable": "storageSilent",
  "storage-ServerBusy": "storageSilent",
  "storage-InternalError": "storageSilent",
  "storage-AuthorizationFailure": "storageRefused",
  "storage-AuthorizationPermissionMismatch": "storageRefused",
  "storage-403": "storageRefused",
  "storage-unauthenticated": "storageRefused",
  "storage-AuthenticationFailed": "storageClock",
  "cosmos-timeout": "cosmosSilent",
  "cosmos-unreachable": "cosmosSilent",
  "cosmos-503": "cosmosSilent",
  "cosmos-401": "cosmosRefused",
  "cosmos-403": "cosmosRefused",
  "cosmos-404": "cosmosMissing",
  "cosmos-429": "cosmosBusy",
  "cosmos-item-unreadable": "itemsUnreadable",
  "containers-found": "containersFound",
  "being-deleted": "beingDeleted",
  "soft-deleted": "softDeleted",
  "ledger-empty": "ledgerStrange",
  "ledger-strange": "ledgerStrange",
  "ledger-unsound": "ledgerUnsound",
  "ledger-unclear": "ledgerUnsound",
  "account-unpaired": "unpaired",
  "account-of-another-deployment": "unpaired",
  "geo-exchanged": "geoExchanged",
  "deletion-disagrees": "deletionsDisagreeing",
  "deletion-without-event": "deletionsWithoutEvent",
  "enrollment-live": "deletionsWithoutEvent",
  conflict: "conflict",
  unexpected: "unexpected",
};

/** Returns what a code of a failure is about; the widest advice for one that the runbook does not know. */
export function topicOfCode(code: string): Topic {
  const known = Object.hasOwn(CODES, code) ? CODES[code] : undefined;
  if (known) return known;
  if (code.startsWith("storage-")) return "storageOther";
  if (code.startsWith("vault-")) return "vault";
  return "unknownCode";
}

const FINDINGS: Readonly<Record<string, Topic>> = {
  failures: "accountFails",
  unknownEnrollment: "unknownEnrollment",
  wrongAccount: "wrongAccount",
  afterReceipt: "afterReceipt",
  pastDeadline: "pastDeadline",
  impossibleDay: "impossibleDay",
  foreignContainers: "foreignContainers",
  softDeleted: "softDeleted",
  deletionsCreated: "deletionsCreated",
  deletionsLate: "deletionsLate",
  deletionsDisagreeing: "deletionsDisagreeing",
  receiptsInvalid: "receiptsInvalid",
  deletionsWithoutEvent: "deletionsWithoutEvent",
  eventsMissing: "eventsChanged",
  eventsChanged: "eventsChanged",
  itemsUnreadable: "itemsUnreadable",
  settingsDisagreeing: "settingsDisagreeing",
};

/** Returns what a kind of finding is about. */
export function topicOfFinding(kind: string): Topic {
  return (Object.hasOwn(FINDINGS, kind) ? FINDINGS[kind] : undefined) ?? "unknown";
}
