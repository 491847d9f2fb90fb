"""Bugs of fairness: what hangs, fails or floods holds others up (D12)."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from shared.deletion.postponed import PostponedDays
from shared.deletion.purge import Purge
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.ledger import Setting
from shared.ports import Stored
from shared.problems import TooManyOptIns
from shared.sharing.data_sharing import DataSharing, RequestedChange
from shared.stores.memory import MemoryDeletions
from tests.simulation.planted.registry import mutant, patched


@mutant("a deletion that failed comes first again")
def _() -> Iterator[None]:
    failed = Deletion.failed

    def at_once(self: Deletion, now: datetime, error: str) -> Deletion:
        return failed(self, now, error).model_copy(update={"retry_at": None})

    with patched(Deletion, "failed", at_once):
        yield


@mutant("looks that fail are not recorded")
def _() -> Iterator[None]:
    async def unrecorded(self: Purge, *what: Any) -> None:
        return None

    with patched(Purge, "_postpone", unrecorded):
        yield


@mutant("containers that fail are forgotten from run to run")
def _() -> Iterator[None]:
    with patched(PostponedDays, "kept", ()):
        yield


@mutant("containers that fail never wait")
def _() -> Iterator[None]:
    with patched(PostponedDays, "waits", lambda self, container, now: False):
        yield


@mutant("a retry however far ahead is believed")
def _() -> Iterator[None]:
    with patched(deadlines, "latest_retry", lambda now: now + timedelta(days=9_000)):
        yield


@mutant("a retry a month ahead after the first failure")
def _() -> Iterator[None]:
    with (
        patched(deadlines, "retry_at", lambda now, failures, deadline: now + timedelta(days=30)),
        patched(deadlines, "latest_retry", lambda now: now + timedelta(days=31)),
    ):
        yield


@mutant("opt-ins without limit")
def _() -> Iterator[None]:
    async def unlimited(self: DataSharing, *what: Any) -> None:
        return None

    with patched(DataSharing, "_refuse_too_many", unlimited):
        yield


@mutant("opt-outs are limited too")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def limited(self: DataSharing, tenant_id: str, requested: RequestedChange) -> Setting:
        stored = await self.ledger.read_setting(tenant_id)
        if stored is not None and not requested.enabled and stored.value.enabled:
            await self._refuse_too_many(stored, self.clock.now())
        return await put(self, tenant_id, requested)

    with patched(DataSharing, "put", limited):
        yield


@mutant("opt-ins are limited for an hour and not for a day")
def _() -> Iterator[None]:
    with patched(deadlines, "OPT_INS_MAX", ((10, timedelta(hours=1)), (30, timedelta(hours=1)))):
        yield


@mutant("opt-outs count as opt-ins")
def _() -> Iterator[None]:
    with patched(deadlines, "OPT_INS_MAX", ((5, timedelta(hours=1)), (15, timedelta(days=1)))):
        yield


@mutant("each process counts the opt-ins that it has seen itself")
def _() -> Iterator[None]:
    counts: Counter[tuple[int, str]] = Counter()

    async def own(self: DataSharing, stored: Stored[Setting], now: datetime) -> None:
        counts[id(self.clock), stored.value.tenant_id] += 1
        if counts[id(self.clock), stored.value.tenant_id] > 10:
            raise TooManyOptIns(3600)

    with patched(DataSharing, "_refuse_too_many", own):
        yield


@mutant("work is taken by deadline, whosever it is")
def _() -> Iterator[None]:
    due, unverified = MemoryDeletions.due, MemoryDeletions.unverified

    def all_due(self: MemoryDeletions, *what: Any, failed: bool | None = None, of_tenant: int | None = None) -> Any:
        return due(self, *what, failed=failed)

    def all_unverified(
        self: MemoryDeletions, *what: Any, failed: bool | None = None, of_tenant: int | None = None
    ) -> Any:
        return unverified(self, *what, failed=failed)

    with patched(MemoryDeletions, "due", all_due), patched(MemoryDeletions, "unverified", all_unverified):
        yield


@mutant("a tenant's share is one for first looks and none for second")
def _() -> Iterator[None]:
    unverified = MemoryDeletions.unverified

    def all_unverified(
        self: MemoryDeletions, *what: Any, failed: bool | None = None, of_tenant: int | None = None
    ) -> Any:
        return unverified(self, *what, failed=failed)

    with patched(MemoryDeletions, "unverified", all_unverified):
        yield


@mutant("a second look that fails comes first again")
def _() -> Iterator[None]:
    failed = Deletion.failed

    def at_once(self: Deletion, now: datetime, error: str) -> Deletion:
        return self if self.status == "purged" else failed(self, now, error)

    with patched(Deletion, "failed", at_once):
        yield
