/** What was checked, when it holds and when it does not. */
type Checked = readonly [string, string];

/** Of the pages of administrators. */
export const administrator = {
  tabs: { overview: "Sharing", history: "History", access: "Access log" },
  title: "Data sharing of your organisation",
  reading: "Reading what holds. An answer that sharing is off takes two seconds: it is given only when it holds everywhere.",
  geos: { asia: "Asia", europe: "Europe", southamerica: "South America" },
  switchLabel: "Share Copilot data",
  on: (geo: string, since: string) => `Sharing is on. The data lies in ${geo}. It has been on since ${since}.`,
  off: "Sharing is off. No captures are taken.",
  agreedTo: (notice: string) => `Agreed to: notice ${notice}.`,
  renewTitle: "There is a newer notice.",
  renewAdvice: (until: string | null) =>
    until === null
      ? "Captures are refused until somebody agrees to it."
      : `Captures are taken under the earlier agreement until ${until}.`,
  renew: "Read it and agree",
  switchOn: {
    title: "Switch sharing on",
    meaning: [
      "What people type, what Copilot answers and telemetry about it are stored from now on.",
      "The data stays in the geo that you choose and is deleted after at most 30 days.",
      "You can switch sharing off at any time; everything is then deleted within 30 days.",
    ],
    geo: "Geo in which the data lies",
    notice: (version: string) => `Notice ${version}`,
    agree: "I have read the notice and agree on behalf of my organisation",
    confirm: "Agree and switch on",
    renew: "Agree",
  },
  switchOff: {
    title: "Switch sharing off",
    meaning: [
      "No captures are taken once this is answered.",
      "What was stored is deleted in any case, and a signed receipt says so.",
      "Switching on again begins anew; it brings nothing back.",
    ],
    review: "Stop review now: nobody reads what is stored, whatever was granted",
    deletion: "When shall what is stored be deleted?",
    within: "Within 30 days",
    now: "Now: deletion begins within minutes",
    confirm: "Switch off",
  },
  cancel: "Cancel",
  saving: "Saving, and waiting two seconds until no part of the service works by the old setting.",
  hastening: "Sharing is off. Asking for the deletion to begin now.",
  changedMeanwhile: (state: string) => `What holds now: ${state} What you have chosen is kept.`,
  gone: (deadline: string | null) => `Sharing is off. Everything will be gone ${deadline === null ? "within 30 days" : `by ${deadline}`}.`,
  goneSoon: (deadline: string | null) =>
    `Sharing is off. The deletion begins within minutes, and everything is gone ${deadline === null ? "within 30 days" : `by ${deadline}`} at the latest.`,
  saved: "Sharing is on.",
  notHastened: "Sharing is off, but the deletion was not told to begin now. Ask for it in the timeline below.",
  timeline: "Timeline",
  empty: "Sharing has never been on.",
  enrollment: (geo: string, since: string) => `${geo}, since ${since}`,
  live: "Live",
  statuses: { scheduled: "To be deleted", purged: "Deleted, to be proved", verified: "Gone, and proved" },
  steps: {
    optedIn: "Switched on",
    renewed: "Agreed again",
    reviewStopped: "Review stopped",
    optedOut: "Switched off",
    notBefore: "Deletion begins",
    purged: "Storage found empty",
    verified: "Looked again: gone",
    reappeared: "Data was there again",
    deadline: "Gone by",
  },
  hasten: "Delete now",
  hastened: "The deletion begins with the next run, within minutes.",
  stopReview: "Stop review",
  reviewStopped: "Nobody reads what is stored any more.",
  receipts: {
    deletion: "Receipt of the deletion",
    consent: "Receipt of consent",
    download: "Download",
    check: "Check",
    checking: "Checking the signature and the ledger",
    holds: "The receipt is genuine. This browser has checked:",
    fails: "The receipt is NOT genuine. This browser has checked:",
    checks: {
      signature: [
        "One of the published keys of this service has signed it.",
        "None of the published keys of this service has signed it.",
      ],
      facts: [
        "What is shown beside the signature is exactly what was signed.",
        "What is shown is not what was signed.",
      ],
      ledger: [
        "The ledger has the very events that it names.",
        "The ledger does not have the events that it names.",
      ],
      chain: [
        "Each event of the ledger carries the hash of the one before it; none is missing.",
        "The ledger has a gap, or an event was changed.",
      ],
      deadline: [
        "Storage was found empty before the deadline.",
        "Storage was found empty only after the deadline.",
      ],
    } satisfies Record<string, Checked> as Record<"signature" | "facts" | "ledger" | "chain" | "deadline", Checked>,
  },
  history: {
    title: "Who switched sharing on and off",
    columns: { when: "When", what: "What", who: "Who", how: "By", notice: "Notice" },
    kinds: {
      optedIn: "Switched on",
      renewed: "Agreed again",
      optedOut: "Switched off",
      reviewStopped: "Review stopped",
      reappeared: "Data was there again, and is deleted",
    },
    channels: { api: "API", portal: "This page", "tenant-settings": "Tenant settings" },
    service: "the service",
  },
  access: {
    title: "Who looked at what, when and why",
    columns: { when: "When", who: "Who", what: "What", purpose: "Purpose", why: "Why", day: "Day" },
    actions: {
      requested: "Asked for a grant",
      purposeRefused: "Refused: purpose not allowed",
      approved: "Approved a grant",
      revoked: "Ended a grant",
      listed: "Listed what there is",
      read: "Read a batch",
    },
    empty: "Nobody has asked for or looked at anything.",
  },
  unreadable: (count: string) => `${count} entries cannot be read; your operator knows.`,
  csv: "Download all as CSV",
};
