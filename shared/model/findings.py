"""What a sweep can find, by the name under which it is counted, shown and alerted on."""

from enum import StrEnum


class LedgerFault(StrEnum):
    """How a ledger, or a deletion beside it, can be wrong; each is reported."""

    MISSING = "eventsMissing"
    CHANGED = "eventsChanged"
    UNREADABLE = "itemsUnreadable"
    SETTING = "settingsDisagreeing"
    WITHOUT_EVENT = "deletionsWithoutEvent"
    DISAGREEING = "deletionsDisagreeing"
    RECEIPT = "receiptsInvalid"


class Trespass(StrEnum):
    """Why a container has no business where it lies; each is deleted."""

    UNKNOWN_ENROLLMENT = "unknownEnrollment"
    WRONG_ACCOUNT = "wrongAccount"
    AFTER_RECEIPT = "afterReceipt"
    PAST_DEADLINE = "pastDeadline"
    IMPOSSIBLE_DAY = "impossibleDay"


class Notable(StrEnum):
    """What else a sweep finds: repaired, or not ours to repair."""

    DELETION_CREATED = "deletionsCreated"
    FOREIGN_CONTAINER = "foreignContainers"
    SOFT_DELETED = "softDeleted"


LATE = "deletionsLate"
"""The deletions of the last year that were finished after their deadline."""

STANDING = frozenset({LATE})
"""What each round of a sweep counts anew, so that it is no more in two rounds than in one."""

FINDINGS = (*LedgerFault, *Trespass, *Notable)
