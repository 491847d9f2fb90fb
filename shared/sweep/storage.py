"""The sweep of an account: what has no business there is deleted, and the receipts are looked at again (P1, P3-P6)."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from shared.accounts import Account
from shared.clock import Clock
from shared.model.containers import SHARDS, DayContainer, shard_prefix
from shared.model.findings import Intruder, Notable
from shared.model.ledger import Event, OptedOut
from shared.ports import Conflict, DeletionStore, LedgerStore, StoreUnavailable
from shared.runs import Run
from shared.sweep.ledger import settled_ledger
from shared.sweep.reconciliation import intruder, ledger_faults
from shared.sweep.rounds import Round

_ALL_NAMES = "all"
_STEPS = (_ALL_NAMES, *SHARDS)
_CHUNK = 100
_FAILURES = 200
_STRANGERS = 50
_STEPS_UNREACHABLE = 3
_UNREACHABLE = frozenset({"storage-unreachable", "storage-timeout"})
_ATTEMPTS = 3

_Intruders = Sequence[tuple[Intruder, list[DayContainer]]]


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
        exchanged: whether something lies in just the account that its ledger names, under another geo's name.
    """

    events: dict[str, Event] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    sound: dict[str, bool] = field(default_factory=dict)
    any: bool = False
    exchanged: bool = False

    def doubts(self) -> Iterator[str]:
        """Yield the codes of what keeps some of the containers from being judged."""
        if self.unclear:
            yield "ledger-unclear"
        if self.exchanged:
            yield "geo-exchanged"

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
        account: the account.
        ledger: the ledger.
        deletions: the deletions.
        clock: time.
        repairs: how many containers one run deletes.
    """

    account: Account
    ledger: LedgerStore
    deletions: DeletionStore
    clock: Clock
    repairs: int

    async def sweep(self, each: Round) -> None:
        """Take the round as far as its run may go, and report it."""
        begin = _STEPS.index(each.cursor) if each.cursor in _STEPS else 0
        unreachable = 0
        for step, following in zip(_STEPS[begin:], (*_STEPS[begin + 1 :], None), strict=True):
            each.cursor = step
            if each.run.out_of_time():
                break
            failures = len(each.run.errors)
            await each.run.isolated(
                self._sweep_names(each.run) if step == _ALL_NAMES else self._sweep_shard(each, step)
            )
            if each.run.more:
                break
            each.cursor = following
            unreachable = unreachable + 1 if set(each.run.errors[failures:]) & _UNREACHABLE else 0
            if unreachable == _STEPS_UNREACHABLE:
                break  # each further step would only wait as long
        await each.report()

    async def _sweep_names(self, run: Run) -> None:
        async for listed in self.account.store.list_containers(""):
            run.counts["containers"] += 1
            if DayContainer.parse(listed.name) is None:
                run.counts[Notable.FOREIGN_CONTAINER] += 1  # not ours to delete

    async def _sweep_shard(self, each: Round, shard: str) -> None:
        # Storage first: whoever created a container had read the ledger before, so what is read now knows of it.
        found = list[DayContainer]()
        async for listed in self.account.store.list_containers(shard_prefix(shard), include_deleted=True):
            container = DayContainer.parse(listed.name)
            if listed.deleted:
                # Storage keeps what we delete, and nothing of ours can help it.
                each.run.counts[Notable.SOFT_DELETED] += 1
            elif container is not None:
                found.append(container)
        if found:
            known = await self._enrollments(shard, {container.enrollment_id for container in found})
            intruders = self._intruders(each.run, found, known)
            await self._refuse_strange_ledger(len(found), intruders, known)
            await self._drive_out(each, intruders, known)

    async def _enrollments(self, shard: str, wanted: Collection[str]) -> _Enrollments:
        known = _Enrollments()
        async for enrollment_id, event in self.ledger.events_of_shard(shard):
            known.any = True
            if enrollment_id in wanted:
                known.learn(enrollment_id, event)
        known.verified = {mine async for mine in self.deletions.verified_of_shard(shard) if mine in wanted}
        return known

    def _intruders(self, run: Run, found: Sequence[DayContainer], known: _Enrollments) -> _Intruders:
        """Return what seems to have no business here: those after a receipt by enrollment, all others by themselves."""
        now = self.clock.now()
        intruders: list[tuple[Intruder, list[DayContainer]]] = []
        came_back: defaultdict[str, list[DayContainer]] = defaultdict(list)
        for container in found:
            mine = container.enrollment_id
            if mine in known.unclear:
                continue
            verified = mine in known.verified and mine in known.ended
            event = known.events.get(mine)
            why = intruder(container, self.account, event, verified=verified, now=now)
            if event is not None and self.account.is_of_another_geo(event):
                known.exchanged = True  # it lies just where it belongs; the setting does not
            elif why is Intruder.AFTER_RECEIPT:
                came_back[mine].append(container)
            elif why is not None:
                intruders.append((why, [container]))
        for code in known.doubts():
            run.note(code)
        return [*intruders, *((Intruder.AFTER_RECEIPT, containers) for containers in came_back.values())]

    async def _refuse_strange_ledger(self, found: int, intruders: _Intruders, known: _Enrollments) -> None:
        # More likely the wrong database than an account full of strangers: delete nothing on its word.
        strangers = sum(why is Intruder.UNKNOWN_ENROLLMENT for why, _ in intruders)
        if strangers and not known.any and not await self._has_ledger():
            raise StoreUnavailable("ledger-empty")
        if strangers > max(_STRANGERS, found / 2):
            raise StoreUnavailable("ledger-strange")

    async def _has_ledger(self) -> bool:
        async for _ in self.ledger.ledgers(""):
            return True
        return False

    async def _drive_out(self, each: Round, intruders: _Intruders, known: _Enrollments) -> None:
        failures_before = each.run.counts["failures"]
        left = list(reversed(intruders))
        while left:
            chunk: list[tuple[Intruder, list[DayContainer]]] = []
            while left and sum(len(containers) for _, containers in chunk) < min(_CHUNK, self.repairs - each.repairs):
                chunk.append(left.pop())
            confirmed = [each_one for each_one in chunk if await self._is_intruder(each.run, *each_one, known)]
            for why, containers in confirmed:
                each.run.counts[why] += len(containers)
            await each.report()  # on record, even if this run is killed before or after it has deleted them
            for why, containers in confirmed:
                await each.run.isolated(self._delete(each, why, containers, known))
            # However long the looking took, something of what it found is done, or it would be looked for for ever.
            if left and (each.repairs >= self.repairs or each.run.out_of_time()):
                each.run.more = True
                return
            if each.run.counts["failures"] - failures_before >= _FAILURES:
                return  # what cannot be deleted must not keep the other shards from being looked at

    async def _is_intruder(self, run: Run, why: Intruder, containers: list[DayContainer], known: _Enrollments) -> bool:
        """Tell whether it is one by the word of a ledger that can be believed, and still there."""
        event = known.events.get(containers[0].enrollment_id)
        if event is None or why not in {Intruder.WRONG_ACCOUNT, Intruder.AFTER_RECEIPT}:
            return True
        if event.tenant_id not in known.sound:
            ledger = await settled_ledger(self.ledger, event.tenant_id)
            known.sound[event.tenant_id] = ledger is not None and not ledger_faults(ledger, ())
            if ledger is not None and not known.sound[event.tenant_id]:
                run.note("ledger-unsound")
        # Purged and proved, they may have gone since they were listed; then nothing has come back.
        return known.sound[event.tenant_id] and any([await self._is_there(container) for container in containers])

    async def _is_there(self, container: DayContainer) -> bool:
        return any(
            [listed.name == container.name async for listed in self.account.store.list_containers(container.name)]
        )

    async def _delete(
        self, each: Round, why: Intruder, containers: Sequence[DayContainer], known: _Enrollments
    ) -> None:
        if why is Intruder.AFTER_RECEIPT:
            # Told before it is deleted, or a crash would hide that it was there; and all is proved anew (P6).
            await self._reopen(known.events[containers[0].enrollment_id], [container.day for container in containers])
        for container in containers:
            await each.run.isolated(self._delete_container(each, container))

    async def _delete_container(self, each: Round, container: DayContainer) -> None:
        await self.account.store.delete_container(container.name)
        each.repairs += 1

    async def _reopen(self, event: Event, found: Sequence[date]) -> None:
        """Let a deletion whose receipt is belied be done again, and say so in it.

        Raises:
            StoreUnavailable: if that is not on record; then nothing may be deleted yet.
        """
        for _ in range(_ATTEMPTS):
            stored = await self.deletions.read(event.tenant_id, event.enrollment_id)
            if stored is None or stored.value.receipt is None:
                return  # no longer verified: somebody else has opened it
            try:
                await self.deletions.replace(stored.value.came_back(self.clock.now(), found), stored.etag)
            except Conflict:
                continue
            return
        raise StoreUnavailable("conflict")
