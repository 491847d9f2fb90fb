"""What a timer's last run came to, in one storage account or on the ledger (container ``operations``)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import Field

from shared.model import deadlines
from shared.model.items import EnrollmentId, Instant, Item

DEPLOYMENT = "deployment"
"""The id and the kind of the item that says whose a database is."""


class Deployment(Item):
    """Whose a database is; each of its storage accounts says the same (D14)."""

    deployment_id: EnrollmentId

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``."""
        return {"id": DEPLOYMENT, "kind": DEPLOYMENT}


Job = Literal["purge", "sweep"]

THROTTLED = "throttled"
"""What counts, in each run, the answers of stores that asked it to wait."""


Counts = Mapping[str, Annotated[int, Field(ge=0, le=2**53)]]
"""Less than none could make up for something that was found."""


class Postponed(Item):
    """An expired container that could not be deleted, and when it is tried again (D12).

    ``failures`` counts how often in a row, ``error`` is the last one's code.
    """

    container: str
    failures: int
    error: str
    retry_at: Instant


class Heartbeat(Item):
    """The last run of a kind of job; ``geo`` and ``storage_account`` are absent for the sweep of the ledger.

    ``outcome`` is ``done``; ``more`` if the run stopped at its bounds, or because a store kept asking for fewer
    requests, and the next one goes on; or ``failed``, with the first error's code. A sweep may take several runs to
    come round: its ``counts`` are those of the round so far, ``previous_counts`` those of the last whole round,
    ``totals`` those of all rounds ever, and at ``cursor`` the next run goes on; ``round_started_at`` is when the round
    began that is under way, or was the last. ``postponed`` are the expired containers that a purge leaves alone for a
    while. The ledger's has a watermark, ``scheduled_until``: each opt-out has its deletion that the database says was
    committed before then, in seconds since 1970.
    """

    kind: Job
    geo: str | None = None
    storage_account: str | None = None
    started_at: Instant
    at: Instant
    outcome: Literal["done", "more", "failed"]
    error: str | None = None
    counts: Counts
    previous_counts: Counts | None = None
    totals: Counts | None = None
    cursor: str | None = None
    postponed: tuple[Postponed, ...] | None = None
    round_started_at: Instant | None = None
    scheduled_until: int | None = None

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``. Its container names it, which knows also the names that earlier versions gave."""
        return {}

    @property
    def times(self) -> Sequence[datetime]:
        """All instants at which it says that something happened."""
        return [self.at, self.started_at, *([self.round_started_at] if self.round_started_at else [])]

    @property
    def saw_everything(self) -> bool:
        """Whether a round of the sweep has come to its end: this one, or the one before."""
        return self.cursor is None or self.previous_counts is not None

    @property
    def rounds(self) -> Sequence[Mapping[str, int]]:
        """A sweep's counts of the round that it is in, and while that is under way those of the last whole one too."""
        under_way = self.cursor is not None
        return [self.counts, *([self.previous_counts] if under_way and self.previous_counts is not None else [])]

    def most(self, count: str) -> int:
        """Return what one of the counts came to in one of these rounds, whichever had more."""
        return max(counts.get(count, 0) for counts in self.rounds)


class _Kept(Protocol):
    @property
    def times(self) -> Sequence[datetime]: ...


K = TypeVar("K", bound=_Kept)


def believable(kept: Mapping[str | None, K | None], now: datetime) -> Mapping[str | None, K | None]:
    """Return what jobs came to, or checks, with None for each that says of a time to come that something happened then.

    It is like one that nobody understands: who goes by it would go by it for good, for it would never be old.

    Args:
        kept: the last ones, by storage account.
        now: the time, after they were read.
    """
    return {
        name: each if each and all(deadlines.may_have_happened(at, now) for at in each.times) else None
        for name, each in kept.items()
    }
