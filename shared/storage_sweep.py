"""The sweep of an account: what has no business there is deleted, and the receipts are looked at again (P1, P3-P6)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from shared.clock import Clock
from shared.containers import SHARDS, DayContainer, shard_prefix
from shared.deletions import Deletion
from shared.ledger import Event, OptedOut
from shared.reconciliation import Intruder, Notable, intruder, ledger_faults
from shared.rounds import Round
from shared.runs import Run
from shared.stores.ports import CaptureStore, Conflict, DeletionStore, LedgerStore, StoreUnavailable

_ALL_NAMES = "all"
_STEPS = (_ALL_NAMES, *SHARDS)
_CHUNK = 100
_FAILURES = 200
_STRANGERS = 50
_ATTEMPTS = 3

_Intruders = Sequence[tuple[DayContainer, Intruder]]


@dataclass(slots=True)
class _Enrollments:
    """What ledger and deletions say of the enrollments whose containers were found in a shard.

    Attributes:
        events: an event of each that is known.
        unclear: those of which the ledger says one thing here and another there, or what nobody understands.
        ended: those that were opted out.
        verified: those whose deletion has its receipt.
        sound: the tenants whose ledger was looked at, and whether it is whole.
        any: whether the ledger knows of any enrollment in the shard, found or not.
    """

    events: dict[str, Event] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    sound: dict[str, bool] = field(default_factory=dict)
    any: bool = False

    def learn(self, enrollment_id: str, event: Event | None) -> None:
        """Take in one event of an enrollment; None is one that nobody understands."""
        if event is None:
            self.unclear.add(enrollment_id)
            return
        before = self.events.setdefault(enrollment_id, event)
        if (before.tenant_id, before.geo, before.storage_account) != (
            event.tenant_id,
            event.geo,
            event.storage_account,
        ):
            self.unclear.add(enrollment_id)
        if isinstance(event, OptedOut):
            self.ended.add(enrollment_id)


@dataclass(frozen=True, slots=True)
class StorageSweep:
    """Compares one geo's account with the ledger, shard by shard and within a shard oldest first.

    Attributes:
        geo: the geo.
        store: its account.
        ledger: the ledger.
        deletions: the deletions.
        clock: time.
        retention_days: how long a day's captures are kept.
        repairs: how many containers one run deletes.
    """

    geo: str
    store: CaptureStore
    ledger: LedgerStore
    deletions: DeletionStore
    clock: Clock
    retention_days: int
    repairs: int

    async def sweep(self, each: Round) -> None:
        """Take the round as far as its run may go, and report it."""
        begin = _STEPS.index(each.cursor) if each.cursor in _STEPS else 0
        for step, following in zip(_STEPS[begin:], (*_STEPS[begin + 1 :], None), strict=True):
            each.cursor = step
            if each.run.out_of_time():
                break
            await each.run.isolated(
                self._sweep_names(each.run) if step == _ALL_NAMES else self._sweep_shard(each, step)
            )
            if each.run.more:
                break
            each.cursor = following
        await each.report()

    async def _sweep_names(self, run: Run) -> None:
        async for listed in self.store.list_containers(""):
            run.counts["containers"] += 1
            if DayContainer.parse(listed.name) is None:
                run.counts[Notable.FOREIGN_CONTAINER] += 1  # not ours to delete

    async def _sweep_shard(self, each: Round, shard: str) -> None:
        # Storage first: whoever created a container had read the ledger before, so what is read now knows of it.
        found = list[DayContainer]()
        async for listed in self.store.list_containers(shard_prefix(shard), include_deleted=True):
            container = DayContainer.parse(listed.name)
            if listed.deleted:
                # Storage keeps what we delete, and nothing of ours can help it.
                each.run.counts[Notable.SOFT_DELETED] += 1
            elif container is not None:
                found.append(container)
        if found:
            known = await self._enrollments(shard, {container.enrollment_id for container in found})
            await self._drive_out(each, await self._intruders(each.run, found, known), known)

    async def _enrollments(self, shard: str, wanted: Collection[str]) -> _Enrollments:
        known = _Enrollments()
        async for enrollment_id, event in self.ledger.events_of_shard(shard):
            known.any = True
            if enrollment_id in wanted:
                known.learn(enrollment_id, event)
        known.verified = {mine async for mine in self.deletions.verified_of_shard(shard) if mine in wanted}
        return known

    async def _intruders(self, run: Run, found: Sequence[DayContainer], known: _Enrollments) -> _Intruders:
        if known.unclear:
            run.note("ledger-unclear")
        intruders = []
        for container in found:
            why = await self._why(run, container, known)
            if why is not None:
                intruders.append((container, why))
        strangers = Counter(why for _, why in intruders)[Intruder.UNKNOWN_ENROLLMENT]
        # More likely the wrong database than an account full of strangers: delete nothing on its word.
        if strangers and not known.any and not await self._has_ledger():
            raise StoreUnavailable("ledger-empty")
        if strangers > max(_STRANGERS, len(found) / 2):
            raise StoreUnavailable("ledger-strange")
        return intruders

    async def _why(self, run: Run, container: DayContainer, known: _Enrollments) -> Intruder | None:
        mine = container.enrollment_id
        event = known.events.get(mine)
        if mine in known.unclear:
            return None
        if event is not None and event.storage_account == self.store.account and event.geo != self.geo:
            raise StoreUnavailable("geo-exchanged")  # it lies just where it belongs; the setting does not
        why = intruder(
            container,
            self.store.account,
            event,
            verified=mine in known.verified and mine in known.ended,
            now=self.clock.now(),
            days=self.retention_days,
        )
        if event is not None and why in {Intruder.WRONG_ACCOUNT, Intruder.AFTER_RECEIPT}:
            if not await self._is_sound(run, event.tenant_id, known):
                return None
            # Purged and proved, it may have gone since it was listed; then nothing has come back.
            return why if await self._is_there(container) else None
        return why

    async def _is_sound(self, run: Run, tenant_id: str, known: _Enrollments) -> bool:
        """Tell whether data may be deleted on the word of a tenant's ledger."""
        if tenant_id not in known.sound:
            known.sound[tenant_id] = not ledger_faults(await self.ledger.ledger_of(tenant_id), ())
            if not known.sound[tenant_id]:
                run.note("ledger-unsound")
        return known.sound[tenant_id]

    async def _is_there(self, container: DayContainer) -> bool:
        return any([listed.name == container.name async for listed in self.store.list_containers(container.name)])

    async def _has_ledger(self) -> bool:
        async for _ in self.ledger.ledgers(""):
            return True
        return False

    async def _drive_out(self, each: Round, intruders: _Intruders, known: _Enrollments) -> None:
        failures_before = each.run.counts["failures"]
        begin = 0
        while begin < len(intruders):
            # However long the looking took, something of what it found is done, or it would be looked for for ever.
            if each.repairs >= self.repairs or (begin and each.run.out_of_time()):
                each.run.more = True
                return
            if each.run.counts["failures"] - failures_before >= _FAILURES:
                return  # what cannot be deleted must not keep the other shards from being looked at
            chunk = intruders[begin : begin + min(_CHUNK, self.repairs - each.repairs)]
            each.run.counts.update(why for _, why in chunk)
            await each.report()  # on record, even if this run is killed before or after it has deleted them
            await self._delete_all(each, chunk, known)
            begin += len(chunk)

    async def _delete_all(self, each: Round, chunk: _Intruders, known: _Enrollments) -> None:
        came_back: defaultdict[str, list[DayContainer]] = defaultdict(list)
        for container, why in chunk:
            if why is Intruder.AFTER_RECEIPT:
                came_back[container.enrollment_id].append(container)
            else:
                await each.run.isolated(self._delete(each, container))
        for mine, containers in came_back.items():
            await each.run.isolated(self._delete_again(each, known.events[mine], containers))

    async def _delete(self, each: Round, container: DayContainer) -> None:
        await self.store.delete_container(container.name)
        each.repairs += 1

    async def _delete_again(self, each: Round, event: Event, containers: Sequence[DayContainer]) -> None:
        # Told before it is deleted, or a crash would hide that it was there (P6).
        now, repairs = self.clock.now(), each.repairs
        if not await self._tell(each.run, event, lambda deletion: deletion.reappeared(now, found=len(containers))):
            return
        for container in containers:
            await each.run.isolated(self._delete(each, container))
        if each.repairs - repairs == len(containers):
            await self._tell(each.run, event, lambda deletion: deletion.gone_again(self.clock.now()))

    async def _tell(self, run: Run, event: Event, tell: Callable[[Deletion], Deletion]) -> bool:
        """Write into an enrollment's receipt, and return whether it stands there."""
        for _ in range(_ATTEMPTS):
            stored = await self.deletions.read(event.tenant_id, event.enrollment_id)
            if stored is None or stored.value.receipt is None:
                return False  # no longer verified: it is the purge's again
            deletion = tell(stored.value)
            if deletion == stored.value:
                return True
            try:
                deletion = await deletion.signed(run.signer)
            except StoreUnavailable as error:
                run.note(error.code)  # the truth without a signature, until the sweep of the ledger signs it
            try:
                await self.deletions.replace(deletion, stored.etag)
            except Conflict:
                continue
            return True
        run.note("conflict")
        return False
