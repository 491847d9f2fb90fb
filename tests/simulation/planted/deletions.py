"""Bugs of deletions and receipts (P5, P6)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from shared.deletion import purge as purge_module
from shared.deletion.deletions import Deletions
from shared.deletion.purge import Purge
from shared.model import deadlines
from shared.model.deletion import Deletion, Receipt
from shared.ports import Stored, StoreUnavailable
from shared.stores.memory import MemoryCaptures, MemoryDeletions
from tests.simulation.planted.registry import Instead, mutant, patched


def _verified(deletion: Deletion, now: datetime) -> Deletion:
    """Return a deletion that is called finished; nobody has signed that."""
    days = deletion.days
    receipt = Receipt(first_day=days[0], last_day=days[-1], first_look_at=now, second_look_at=now, jws="x")
    return deletion.model_copy(update={"status": "verified", "receipt": receipt})


@mutant("off-by-one day: the last day of an enrollment left out")
def _() -> Iterator[None]:
    days = deadlines.enrollment_days

    def short(started_at: datetime, opted_out_at: datetime) -> list[Any]:
        return days(started_at, opted_out_at)[:-1] or days(started_at, opted_out_at)

    with patched(deadlines, "enrollment_days", short):
        yield


@mutant("an opt-out's days end with the opt-out")
def _() -> Iterator[None]:
    days = deadlines.enrollment_days
    with patched(
        deadlines, "enrollment_days", lambda started_at, at: days(started_at, at - deadlines.CAPTURE_MAX_AHEAD)
    ):
        yield


@mutant("deadline restarted by a retry")
def _() -> Iterator[None]:
    failed = Deletion.failed

    def restarted(self: Deletion, now: datetime, error: str) -> Deletion:
        return failed(self, now, error).model_copy(update={"deadline": self.deadline + timedelta(minutes=5)})

    with patched(Deletion, "failed", restarted):
        yield


@mutant("404 taken as an error")
def _() -> Iterator[None]:
    delete = MemoryCaptures.delete_container

    async def strict(self: MemoryCaptures, container: str) -> bool:
        if not await delete(self, container):
            raise StoreUnavailable("storage-404")
        return True

    with patched(MemoryCaptures, "delete_container", strict):
        yield


@mutant("a deletion gives up after a failure")
def _() -> Iterator[None]:
    due = MemoryDeletions.due

    async def first_only(self: MemoryDeletions, *what: Any, **which: Any) -> Any:
        async for stored in due(self, *what, **which):
            if stored.value.attempts == 0:
                yield stored

    with patched(MemoryDeletions, "due", first_only):
        yield


@mutant("a failed delete goes unnoticed")
def _() -> Iterator[None]:
    delete_all = purge_module._delete_all

    async def hopeful(store: Any, containers: Any) -> int:
        try:
            return await delete_all(store, containers)
        except StoreUnavailable:
            return 0

    with patched(purge_module, "_delete_all", hopeful):
        yield


@mutant("receipt without the second look")
def _() -> Iterator[None]:
    purged = Deletion.purged

    def done(self: Deletion, now: datetime, **how: Any) -> Deletion:
        return _verified(purged(self, now, **how), now)

    with patched(Deletion, "purged", done):
        yield


@mutant("second look at once")
def _() -> Iterator[None]:
    with patched(deadlines, "second_look_due", lambda now: now):
        yield


@mutant("second look blind to soft delete")
def _() -> Iterator[None]:
    look = Purge._look_into

    async def blind(self: Purge, store: Any, run: Any, shard: str, looked_for: Any) -> None:
        class Store(Instead):
            def list_containers(_, prefix: str, **how: Any) -> Any:
                return store.list_containers(prefix)

        await look(self, Store(store), run, shard, looked_for)  # type: ignore[arg-type]

    with patched(Purge, "_look_into", blind):
        yield


@mutant("second look without the further delete")
def _() -> Iterator[None]:
    conclude = Purge._conclude

    async def trusting(self: Purge, store: Any, run: Any, stored: Any, *, found: Any, soft_deleted: bool) -> None:
        class Store(Instead):
            async def delete_container(_, name: str) -> bool:
                return await store.delete_container(name) if found else False

        await conclude(self, Store(store), run, stored, found=found, soft_deleted=soft_deleted)  # type: ignore[arg-type]

    with patched(Purge, "_conclude", trusting):
        yield


@mutant("second look ignores what it finds")
def _() -> Iterator[None]:
    async def hopeful(self: Purge, store: Any, run: Any, stored: Any, *, found: Any, soft_deleted: bool) -> None:
        await self._replace(run, await self._receipts.signed(stored.value), stored.etag)

    with patched(Purge, "_conclude", hopeful):
        yield


@mutant("an existing deletion is replaced")
def _() -> Iterator[None]:
    async def replaced(self: Any, deletion: Deletion) -> bool:
        self.items[deletion.tenant_id, deletion.enrollment_id] = Stored(deletion, str(next(self._etags)))
        return True

    with patched(MemoryDeletions, "create", replaced):
        yield


@mutant("a replacement without its condition")
def _() -> Iterator[None]:
    async def unconditional(self: Any, deletion: Deletion, etag: str) -> None:
        self.items[deletion.tenant_id, deletion.enrollment_id] = Stored(deletion, str(next(self._etags)))

    with patched(MemoryDeletions, "replace", unconditional):
        yield


@mutant("expediting later puts off")
def _() -> Iterator[None]:
    with patched(Deletion, "expedited", lambda self, now: self.model_copy(update={"not_before": now})):
        yield


@mutant("expediting verifies at once")
def _() -> Iterator[None]:
    async def hasty(self: Deletions, tenant_id: str, enrollment_id: str, *, now: datetime) -> Deletion:
        stored = await self._read(tenant_id, enrollment_id)
        after = _verified(stored.value.purged(now, deleted=0), now)
        await self.store.replace(after, stored.etag)
        return after

    with patched(Deletions, "expedite", hasty):
        yield


@mutant("a deletion is carried out on its own word")
def _() -> Iterator[None]:
    async def believed(self: Purge, deletion: Deletion) -> None:
        pass

    with patched(Purge, "_check_ended", believed):
        yield


@mutant("only the setting of the tenant that a deletion names says whether the enrollment is live")
def _() -> Iterator[None]:
    async def of_its_own(self: Purge, deletion: Deletion) -> None:
        stored = await self._ledger.read_setting(deletion.tenant_id)
        enrollment = None if stored is None else stored.value.enrollment
        if enrollment is not None and enrollment.enrollment_id == deletion.enrollment_id:
            raise StoreUnavailable("enrollment-live")

    with patched(Purge, "_check_ended", of_its_own):
        yield


@mutant("an enrollment is asked after only before the first look")
def _() -> Iterator[None]:
    check = Purge._check_ended

    async def at_first(self: Purge, deletion: Deletion) -> None:
        if deletion.status == "scheduled":
            await check(self, deletion)

    with patched(Purge, "_check_ended", at_first):
        yield
