"""What a timer's last run came to, in one storage account or on the ledger (container ``operations``)."""

from collections.abc import Mapping
from typing import Literal

from shared.model.items import EnrollmentId, Instant, Item


class Deployment(Item):
    """Whose a database is; each of its storage accounts says the same (D14)."""

    deployment_id: EnrollmentId


Job = Literal["purge", "sweep"]


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

    ``outcome`` is ``done``; ``more`` if the run stopped at its bounds and the next one goes on; or ``failed``, with the
    first error's code. A sweep may take several runs to come round: its ``counts`` are those of the round so far,
    ``previous_counts`` those of the last whole round, ``totals`` those of all rounds ever, and at ``cursor`` the next
    run goes on. ``postponed`` are the expired containers that a purge leaves alone for a while.
    """

    kind: Job
    geo: str | None = None
    storage_account: str | None = None
    started_at: Instant
    at: Instant
    outcome: Literal["done", "more", "failed"]
    error: str | None = None
    counts: Mapping[str, int]
    previous_counts: Mapping[str, int] | None = None
    totals: Mapping[str, int] | None = None
    cursor: str | None = None
    postponed: tuple[Postponed, ...] | None = None
