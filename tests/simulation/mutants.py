"""Known bugs, planted one by one; the campaign must find each. A campaign that cannot find them proves nothing."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from shared.accounts import Account, Accounts
from shared.deletion import purge as purge_module
from shared.deletion.deletions import Deletions
from shared.deletion.purge import Purge
from shared.model import deadlines
from shared.model import ledger as ledger_module
from shared.model.capture import Submission
from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut, Setting
from shared.ports import Conflict, Put, Stored, StoreUnavailable
from shared.sharing import captures as captures_module
from shared.sharing.captures import Captures
from shared.sharing.consent import Consent
from shared.sharing.data_sharing import DataSharing
from shared.stores.memory import MemoryCaptures, MemoryDeletions, MemoryLedger
from shared.sweep import ledger as ledger_sweep
from shared.sweep import storage as storage_sweep
from shared.sweep.ledger import LedgerSweep
from shared.sweep.storage import StorageSweep
from shared.sweep.sweep import Sweep
from tests.simulation import campaign
from tests.simulation.world import Instance

Plant = Callable[[], Iterator[None]]
MUTANTS: dict[str, Callable[[], Any]] = {}


def mutant(name: str) -> Callable[[Plant], Plant]:
    """Register a planted bug under its name; the generator plants it, yields, and takes it out."""

    def register(plant: Plant) -> Plant:
        MUTANTS[name] = contextmanager(plant)
        return plant

    return register


def patched(target: Any, name: str, value: Any) -> Any:
    """Replace an attribute while a bug is planted."""
    return mock.patch.object(target, name, value)


# Consent and the toggle (P1, P2, P9)


@mutant("no lease wait")
def _() -> Iterator[None]:
    async def at_once(self: DataSharing) -> None:
        return None

    with patched(DataSharing, "_outlast_leases", at_once):
        yield


@mutant("a repeated PUT does not wait")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def at_once(self: DataSharing, tenant_id: str, requested: Any) -> Any:
        setting = await self.get(tenant_id)
        return setting if not requested.enabled and not setting.enabled else await put(self, tenant_id, requested)

    with patched(DataSharing, "put", at_once):
        yield


@mutant("lease counted from the end of the read")
def _() -> Iterator[None]:
    read = Consent._read

    async def later(self: Consent, tenant_id: str) -> Any:
        lease = await read(self, tenant_id)
        self._leases[tenant_id] = replace(lease, started=self._clock.monotonic())
        return self._leases[tenant_id]

    with patched(Consent, "_read", later):
        yield


@mutant('cached "on" kept after a failed read')
def _() -> Iterator[None]:
    current = Consent.current

    async def kept(self: Consent, tenant_id: str) -> Setting:
        try:
            return await current(self, tenant_id)
        except StoreUnavailable:
            if tenant_id in self._leases:
                return self._leases[tenant_id].setting
            raise

    with patched(Consent, "current", kept):
        yield


@mutant("a shared read is not checked again")
def _() -> Iterator[None]:
    async def unchecked(self: Consent, tenant_id: str) -> Setting:
        lease = self._leases.get(tenant_id)
        if lease is not None and lease.holds(self._clock.monotonic()):
            return lease.setting
        return (await asyncio.shield(self._reads.get(tenant_id) or self._start_read(tenant_id))).setting

    with patched(Consent, "current", unchecked):
        yield


@mutant("consent leased for three seconds")
def _() -> Iterator[None]:
    lease = Consent.__init__.__globals__["_Lease"]
    with patched(lease, "holds", lambda self, now: now - self.started < 3.0):
        yield


@mutant("settings read from a replica that lags")
def _() -> Iterator[None]:
    commit = MemoryLedger.commit

    async def kept(self: Any, change: Any, etag: str | None) -> None:
        before = self.settings.get(change.setting.tenant_id)
        await commit(self, change, etag)
        self.__dict__.setdefault("lagging", {})[change.setting.tenant_id] = (asyncio.get_running_loop().time(), before)

    async def stale(self: Any, tenant_id: str) -> Any:
        at, before = self.__dict__.get("lagging", {}).get(tenant_id, (0.0, None))
        lags = asyncio.get_running_loop().time() - at < 3.0 and before is not None
        return before if lags else self.settings.get(tenant_id)

    with patched(MemoryLedger, "commit", kept), patched(MemoryLedger, "read_setting", stale):
        yield


@mutant("on by default")
def _() -> Iterator[None]:
    enrollment = captures_module._enrollment

    def anyone(setting: Setting) -> Any:
        if setting.enrollment is None and setting.sequence == 0:
            return ledger_module.Enrollment(
                enrollment_id="0" * 32,
                geo="europe",
                storage_account="steurope",
                started_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            )
        return enrollment(setting)

    with patched(captures_module, "_enrollment", anyone):
        yield


@mutant("a conflict taken for success")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def careless(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        class Store:
            read_setting = staticmethod(self.ledger.read_setting)

            async def commit(_, change: Any, etag: str | None) -> None:
                with suppress(Conflict):
                    await self.ledger.commit(change, etag)

        return await put(replace(self, ledger=Store()), tenant_id, requested)  # type: ignore[arg-type]

    with patched(DataSharing, "put", careless):
        yield


@mutant("event and setting in two writes")
def _() -> Iterator[None]:
    commit = MemoryLedger.commit

    async def halves(self: MemoryLedger, change: Any, etag: str | None) -> None:
        tenant_id, before = change.setting.tenant_id, self.settings.get(change.setting.tenant_id)
        await commit(self, change, etag)
        after = self.settings.pop(tenant_id)
        if before is not None:
            self.settings[tenant_id] = before
        await asyncio.sleep(0.05)
        self.settings[tenant_id] = after

    with patched(MemoryLedger, "commit", halves):
        yield


@mutant("opting in again takes up the old enrollment")
def _() -> Iterator[None]:
    opt_in = DataSharing._opt_in

    def again(self: DataSharing, setting: Setting, *more: Any) -> Any:
        same = replace(self, new_id=lambda: setting.tenant_id.replace("-", ""))
        return opt_in(same, setting, *more)

    with patched(DataSharing, "_opt_in", again):
        yield


@mutant("an enrollment in another geo's account")
def _() -> Iterator[None]:
    def elsewhere(self: Accounts, geo: str) -> Account:
        stores = dict(zip(self.stores, reversed(self.stores.values()), strict=True))
        return Account(geo, stores[geo], self.retention_days)

    with patched(Accounts, "for_opt_in", elsewhere):
        yield


# Captures (P1, P3, P4, D6)


@mutant("other geo's account")
def _() -> Iterator[None]:
    with patched(Accounts, "of", lambda self, enrollment: next(iter(self.stores.values()))):
        yield


@mutant("a batch under its newest day")
def _() -> Iterator[None]:
    put = Captures._put

    async def shifted(self: Captures, who: str, store: Any, container: DayContainer, sent: Submission) -> Put:
        day = max(capture.captured_at for capture in sent.batch.captures).date()
        return await put(self, who, store, DayContainer(container.enrollment_id, day), sent)

    with patched(Captures, "_put", shifted):
        yield


@mutant("captures of any age")
def _() -> Iterator[None]:
    with patched(deadlines, "earliest_capture", lambda now, started_at: started_at - timedelta(days=60)):
        yield


@mutant("captures from before the opt-in")
def _() -> Iterator[None]:
    with patched(deadlines, "earliest_capture", lambda now, started_at: now - timedelta(hours=24)):
        yield


@mutant("no fresh consent before a container is created")
def _() -> Iterator[None]:
    async def leased(self: Consent, tenant_id: str) -> Setting:
        return self._leases[tenant_id].setting

    with patched(Consent, "afresh", leased):
        yield


@mutant("a repeat replaces the batch")
def _() -> Iterator[None]:
    async def replaced(self: MemoryCaptures, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        self._refuse_missing(container)
        self.containers[container][batch_id] = (bytes(bytearray(content)), body_hash)
        return Put.CREATED

    with patched(MemoryCaptures, "put_batch", replaced):
        yield


@mutant("idempotency key ignored")
def _() -> Iterator[None]:
    numbers = iter(range(10**9))
    with patched(Submission, "batch_id", property(lambda self: f"{next(numbers):032x}")):
        yield


@mutant("another body under a used key accepted")
def _() -> Iterator[None]:
    put_batch = MemoryCaptures.put_batch

    async def same(self: MemoryCaptures, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        put = await put_batch(self, container, batch_id, content, body_hash)
        return Put.SAME if put is Put.OTHER else put

    with patched(MemoryCaptures, "put_batch", same):
        yield


@mutant("answered before it is stored")
def _() -> Iterator[None]:
    put = Captures._put

    async def hopeful(self: Captures, *args: Any) -> Put:
        try:
            return await put(self, *args)
        except StoreUnavailable:
            return Put.CREATED

    with patched(Captures, "_put", hopeful):
        yield


# Retention (P4)


@mutant("off-by-one day: retention a day late")
def _() -> Iterator[None]:
    newest = deadlines.newest_expired_day
    with patched(deadlines, "newest_expired_day", lambda now, days: newest(now, days) - timedelta(days=1)):
        yield


@mutant("off-by-one day: retention a day early")
def _() -> Iterator[None]:
    newest = deadlines.newest_expired_day
    with patched(deadlines, "newest_expired_day", lambda now, days: newest(now, days) + timedelta(days=1)):
        yield


@mutant("retention begins at the deadline")
def _() -> Iterator[None]:
    with patched(deadlines, "newest_expired_day", lambda now, days: now.date() - timedelta(days=days)):
        yield


@mutant("retention stops at the first container that fails")
def _() -> Iterator[None]:
    async def strict(self: Purge, store: Any, run: Any, shard: str) -> None:
        newest = deadlines.newest_expired_day(self._clock.now(), self._accounts.retention_days)
        async for listed in store.list_containers(f"{shard}-"):
            container = DayContainer.parse(listed.name)
            if container is not None and container.day <= newest:
                await store.delete_container(container.name)

    with patched(Purge, "_expire_shard", strict):
        yield


# Deletions and receipts (P5, P6)


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

    def restarted(self: Deletion, error: str) -> Deletion:
        return failed(self, error).model_copy(update={"deadline": self.deadline + timedelta(minutes=5)})

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

    async def first_only(self: MemoryDeletions, account: str, now: datetime) -> Any:
        async for stored in due(self, account, now):
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
        after = purged(self, now, **how).verified(now)
        assert after.receipt is not None
        return after.model_copy(update={"receipt": after.receipt.model_copy(update={"jws": "x"})})

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
        class Store:
            account = store.account
            delete_container = staticmethod(store.delete_container)

            def list_containers(_, prefix: str, **how: Any) -> Any:
                return store.list_containers(prefix)

        await look(self, Store(), run, shard, looked_for)  # type: ignore[arg-type]

    with patched(Purge, "_look_into", blind):
        yield


@mutant("second look without the further delete")
def _() -> Iterator[None]:
    conclude = Purge._conclude

    async def trusting(self: Purge, store: Any, run: Any, stored: Any, *, found: Any, soft_deleted: bool) -> None:
        class Store:
            account = store.account

            async def delete_container(_, name: str) -> bool:
                return await store.delete_container(name) if found else False

        await conclude(self, Store(), run, stored, found=found, soft_deleted=soft_deleted)  # type: ignore[arg-type]

    with patched(Purge, "_conclude", trusting):
        yield


@mutant("second look ignores what it finds")
def _() -> Iterator[None]:
    async def hopeful(self: Purge, store: Any, run: Any, stored: Any, *, found: Any, soft_deleted: bool) -> None:
        verified = stored.value.verified(self._clock.now())
        await self._replace(run, verified.signed(await self._signer.sign(verified.receipt_claims)), stored.etag)

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
        after = stored.value.purged(now, deleted=0).verified(now)
        await self.store.replace(after, stored.etag)
        return after

    with patched(Deletions, "expedite", hasty):
        yield


# The feed and the sweep (P9)


@mutant("feed watching the setting")
def _() -> Iterator[None]:
    async def by_setting(self: Instance, documents: Sequence[Any]) -> int:
        events = []
        for document in documents:
            if document["id"] == "setting" and "enrollment" not in document:
                history = await self.data_sharing.history(document["tenantId"], limit=1, before=None)
                events += [event for event in history if isinstance(event, OptedOut)]
        return await self.deletions.schedule(events)

    with patched(Instance, "opt_outs", by_setting):
        yield


@mutant("feed goes on after a failure")
def _() -> Iterator[None]:
    schedule = Deletions.schedule

    async def careless(self: Deletions, events: Any) -> int:
        try:
            return await schedule(self, events)
        except StoreUnavailable:
            return 0

    with patched(Deletions, "schedule", careless):
        yield


@mutant("no sweep")
def _() -> Iterator[None]:
    async def nothing(self: Sweep) -> dict[Any, Any]:
        return {}

    with patched(Sweep, "run", nothing):
        yield


@mutant("sweep repairs with a deadline of its own")
def _() -> Iterator[None]:
    async def anew(self: LedgerSweep, run: Any, event: OptedOut) -> None:
        late = max(event.deadline, self.clock.now() + timedelta(days=30))
        await self.deletions.create(Deletion.owed_for(event).model_copy(update={"deadline": late}))

    with patched(LedgerSweep, "_create", anew):
        yield


@mutant("sweep looks at the last opt-out only")
def _() -> Iterator[None]:
    reconcile = LedgerSweep._reconcile_tenant

    async def last_only(self: LedgerSweep, run: Any, ledger: Any, *more: Any) -> None:
        await reconcile(self, run, replace(ledger, events=ledger.events[-1:]), *more)

    with patched(LedgerSweep, "_reconcile_tenant", last_only), patched(ledger_sweep, "ledger_faults", lambda *_: {}):
        yield


@mutant("sweep blind to other geos' data")
def _() -> Iterator[None]:
    why = storage_sweep.intruder

    def blind(*args: Any, **facts: Any) -> Any:
        found = why(*args, **facts)
        return None if found == "wrongAccount" else found

    with patched(storage_sweep, "intruder", blind):
        yield


@mutant("sweep reads the ledger before storage")
def _() -> Iterator[None]:
    sweep = StorageSweep.sweep

    async def old_news(self: StorageSweep, each: Any) -> None:
        events = {shard: [found async for found in self.ledger.events_of_shard(shard)] for shard in "0123456789abcdef"}

        class Ledger:
            ledgers = staticmethod(self.ledger.ledgers)
            ledger_of = staticmethod(self.ledger.ledger_of)

            async def events_of_shard(_, shard: str) -> Any:
                for found in events[shard]:
                    yield found

        await sweep(replace(self, ledger=Ledger()), each)

    with patched(StorageSweep, "sweep", old_news):
        yield


@mutant("sweep deletes what is not ours")
def _() -> Iterator[None]:
    names = StorageSweep._sweep_names

    async def greedy(self: StorageSweep, run: Any) -> None:
        await names(self, run)
        async for listed in self.store.list_containers(""):
            if DayContainer.parse(listed.name) is None:
                await self.store.delete_container(listed.name)

    with patched(StorageSweep, "_sweep_names", greedy):
        yield


@mutant("what came back is deleted off the record")
def _() -> Iterator[None]:
    async def unsaid(self: StorageSweep, *what: Any) -> None:
        return None

    with patched(StorageSweep, "_reopen", unsaid):
        yield


@mutant("what came back is deleted before its receipt tells")
def _() -> Iterator[None]:
    delete = StorageSweep._delete

    async def hasty(self: StorageSweep, each: Any, why: Any, containers: Any, known: Any) -> None:
        for container in containers:
            await each.run.isolated(self._delete_container(each, container))
        await delete(self, each, why, containers, known)

    with patched(StorageSweep, "_delete", hasty):
        yield


@mutant("what came back is not proved anew")
def _() -> Iterator[None]:
    came_back = Deletion.came_back

    def unproved(self: Deletion, now: datetime, found: Any) -> Deletion:
        told = came_back(self, now, found)
        return told.model_copy(update={"status": "verified", "receipt": self.receipt, "purged_at": self.purged_at})

    with patched(Deletion, "came_back", unproved):
        yield


@mutant("status never sees an overdue deletion")
def _() -> Iterator[None]:
    with patched(Deletion, "overdue", lambda self, now: False):
        yield


@mutant("overdue a day late")
def _() -> Iterator[None]:
    with patched(
        Deletion, "overdue", lambda self, now: self.status != "verified" and now > self.deadline + timedelta(days=5)
    ):
        yield


# Running them


@dataclass(frozen=True, slots=True)
class Found:
    """What the campaign came to with one bug planted: the violation is None if it survived."""

    name: str
    violation: str | None
    seed: int | None
    histories: int
    seconds: float


def hunt(name: str, histories: int, seed: int) -> Found:
    """Plant one bug and run histories until one of them finds it."""
    began = time.monotonic()
    for n in range(histories):
        with MUTANTS[name]():
            outcome = campaign.run_seed(seed + n)
        if outcome.violation is not None:
            return Found(name, str(outcome.violation), seed + n, n + 1, time.monotonic() - began)
    return Found(name, None, None, histories, time.monotonic() - began)


def run_all(histories: int, seed: int, jobs: int, only: str | None, tell: Callable[[str], None]) -> list[Found]:
    """Hunt every planted bug, several at a time, and tell of each when it is found."""
    names = [name for name in MUTANTS if only in {None, name}]
    found = []
    with campaign.pool(jobs) as workers:
        for each in workers.map(hunt, names, [histories] * len(names), [seed] * len(names)):
            found.append(each)
            tell(f"{len(found)} of {len(names)}: {each.name}: {each.violation or 'SURVIVED'}")
    return found


def table(found: list[Found]) -> str:
    """Return which seed found what, as text."""
    rows = [("planted bug", "promise", "seed", "histories", "seconds")]
    for each in found:
        promise = "-" if each.violation is None else each.violation.split(":")[0]
        rows.append((each.name, promise, str(each.seed or "-"), str(each.histories), f"{each.seconds:.1f}"))
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    return "\n".join("  ".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=True)) for row in rows)
