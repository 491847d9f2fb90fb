"""Opt-outs and their deletions, in the order in which the opt-outs were committed (P9, decision D2)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.ports import LOOKUP_MAX, Committed, DeletionStore, LedgerStore


@dataclass(frozen=True, slots=True)
class LookedUp:
    """An opt-out, and whether there is a deletion for it; of one that nobody understands that is not known."""

    opt_out: Committed
    scheduled: bool


def believed(scheduled_until: int | None, last_commit: int) -> int:
    """Return up to which commit every opt-out has a deletion, by the word of a heartbeat.

    Args:
        scheduled_until: what it says, in seconds since 1970. What is later than any commit was never read there; then,
            and where it says nothing, all opt-outs are to be looked at.
        last_commit: when anything was last committed.
    """
    return scheduled_until if scheduled_until is not None and 0 <= scheduled_until <= last_commit else 0


async def looked_up(
    ledger: LedgerStore, deletions: DeletionStore, since: int, before: int | None = None
) -> AsyncIterator[LookedUp]:
    """Yield the opt-outs that were committed in a range, in that order, and whether each has a deletion.

    No more than ``LOOKUP_MAX`` of them are held in memory.

    Args:
        ledger: the ledgers.
        deletions: the deletions.
        since: the first second of the range, since 1970.
        before: the first that is not in it; None if it has no end.
    """
    chunk = list[Committed]()
    async for committed in ledger.opt_outs_committed(since, before):
        chunk.append(committed)
        if len(chunk) == LOOKUP_MAX:
            async for each in _looked_up(deletions, chunk):
                yield each
            chunk = []
    async for each in _looked_up(deletions, chunk):
        yield each


async def _looked_up(deletions: DeletionStore, chunk: list[Committed]) -> AsyncIterator[LookedUp]:
    keys = {(each.event.tenant_id, each.event.enrollment_id) for each in chunk if each.event is not None}
    there = await deletions.existing(keys) if keys else ()
    for each in chunk:
        event = each.event
        yield LookedUp(each, event is not None and (event.tenant_id, event.enrollment_id) in there)
