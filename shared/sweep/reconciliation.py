"""What the sweep compares: a ledger with itself, and a container with the ledger (P9). Pure functions."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import pairwise

from shared.accounts import Account
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.findings import Intruder, LedgerFault
from shared.model.ledger import FIRST_PREVIOUS_HASH, Event, OptedIn, OptedOut, TenantLedger


def ledger_faults(ledger: TenantLedger, deleted: Collection[str]) -> Counter[str]:
    """Return how often a tenant's ledger is wrong in which way; nothing if it is whole.

    Each event must follow the one before it, by sequence and by hash, and the setting must be what the last one says.

    Args:
        ledger: all that is stored of the tenant.
        deleted: the enrollments of its deletions.
    """
    faults: Counter[str] = Counter()
    faults[LedgerFault.UNREADABLE] = ledger.unreadable
    events, setting = ledger.events, ledger.setting
    last = 0 if setting is None else setting.sequence
    sequences = {event.sequence for event in events}
    faults[LedgerFault.MISSING] = max([last, *sequences]) - len(sequences)
    faults[LedgerFault.CHANGED] = _broken_links(events) + len(events) - len(sequences)
    faults[LedgerFault.SETTING] = int(not _is_outcome(ledger))
    opted_out = {event.enrollment_id for event in events if isinstance(event, OptedOut)}
    faults[LedgerFault.WITHOUT_EVENT] = len(set(deleted) - opted_out)
    return +faults


def _broken_links(events: Sequence[Event]) -> int:
    first = [events[0].previous_hash == FIRST_PREVIOUS_HASH] if events and events[0].sequence == 1 else []
    # Across a gap there is nothing to compare; the gap itself is reported.
    links = [b.previous_hash == a.hash for a, b in pairwise(events) if b.sequence == a.sequence + 1]
    return [*first, *links].count(False)


def _is_outcome(ledger: TenantLedger) -> bool:
    """Tell whether the setting is what the last event says."""
    setting = ledger.setting
    if not ledger.events or setting is None:
        return not ledger.events and setting is None
    last = ledger.events[-1]
    if (setting.sequence, setting.ledger_hash, setting.since) != (last.sequence, last.hash, last.at):
        return False
    enrollment = setting.enrollment
    if not isinstance(last, OptedIn):
        return enrollment is None
    return enrollment is not None and dict(enrollment).items() <= dict(last).items()


def intruder(
    container: DayContainer, account: Account, event: Event | None, *, verified: bool, now: datetime
) -> Intruder | None:
    """Return why a container may not be where it is, or None if it may.

    Args:
        container: what was found.
        account: where it was found.
        event: an event of its enrollment on the ledger; None if there is none.
        verified: whether its enrollment's deletion is finished, with a receipt.
        now: the time of the comparison.
    """
    if event is None:
        return Intruder.UNKNOWN_ENROLLMENT  # P1
    if not account.holds(event):
        return Intruder.WRONG_ACCOUNT  # P3
    if verified:
        return Intruder.AFTER_RECEIPT  # P5, P6
    if now >= deadlines.day_deadline(container.day, account.retention_days):
        return Intruder.PAST_DEADLINE  # P4
    if container.day > (deadlines.latest_capture(now) + deadlines.CLOCK_SKEW).date():
        return Intruder.IMPOSSIBLE_DAY  # P4: retention would leave it lying until that day has come and gone
    return None
