"""The sweep of an account: what has no business there is driven out, and receipts are looked at again (P1, P3-P6)."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shared.accounts import Account
from shared.clock import Clock
from shared.model.containers import DEPLOYMENT_PREFIX, SHARDS, DayContainer, shard_prefix
from shared.model.deletion import Deletion, Reappearance
from shared.model.findings import Notable, Trespass
from shared.model.heartbeats import THROTTLED
from shared.model.ledger import Event
from shared.pairing import UNPAIRED, Pairing
from shared.ports import Conflict, DeletionStore, LedgerStore, ListedContainer, Stored, StoreUnavailable
from shared.runs import BriefStore
from shared.sweep.ledger import settled_faults
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import SignedReceipts
from shared.sweep.reconciliation import Enrollments, Intruder, Judgement, judge
from shared.sweep.rounds import Round

_ALL_NAMES = "all"
_JUDGE, _MARKED = "judge-", ":"
# All of the account is judged before anything in it is deleted (D14).
_STEPS = (_ALL_NAMES, *(f"{_JUDGE}{shard}" for shard in SHARDS), *SHARDS)
_CHUNK_MAX = 100
_FAILURES_MAX = 200
_STRANGERS_MAX = 50
_STRANGERS, _UNJUDGED = "strangers", "unjudged"
_COUNTED_ANEW = ("containers", _STRANGERS, _UNJUDGED, Notable.FOREIGN_CONTAINER, Notable.SOFT_DELETED)
_UNREACHABLE_STEPS_MAX = 3
_UNREACHABLE = frozenset({"storage-unreachable", "storage-timeout"})
_ATTEMPTS_MAX = 3


def _marking(step: str, marked: str) -> str:
    """Return the cursor at a step: with the shards in which the judge has found something, if there are any."""
    return f"{step}{_MARKED}{marked}" if marked else step


@dataclass(frozen=True, slots=True)
class StorageSweep:
    """One run that compares an account with the ledger, shard by shard and within a shard oldest first.

    Attributes:
        round: the round that it takes further; its cursor is the step that comes next.
        account: the account.
        pairing: what tells whether the account and the ledger belong together.
        ledger: the ledger.
        deletions: the deletions.
        receipts: what the deletions' receipts prove.
        reappearances: how the ledger is told of data that came back.
        clock: time.
        max_deletes: how many containers it deletes.
    """

    round: Round
    account: Account
    pairing: Pairing
    ledger: LedgerStore
    deletions: DeletionStore
    receipts: SignedReceipts
    reappearances: Reappearances
    clock: Clock
    max_deletes: int

    @property
    def _containers(self) -> BriefStore:
        return BriefStore(self.account.store)

    async def run(self) -> None:
        """Take the round as far as the run may go, and report it."""
        await self.round.run.isolated(self._go_on())
        await self.round.report()

    async def _go_on(self) -> None:
        run = self.round.run
        paired = await self._is_paired()
        cursor, _, marked = (self.round.cursor or "").partition(_MARKED)
        begin = _STEPS.index(cursor) if cursor in _STEPS else 0
        unreachable_steps = 0
        for step, following in zip(_STEPS[begin:], (*_STEPS[begin + 1 :], None), strict=True):
            self.round.cursor = _marking(step, marked)
            if step in SHARDS and step not in marked:
                continue  # nothing was found there
            if run.out_of_time():
                return
            if step in SHARDS and not await self._may_delete(paired=paired):
                break
            errors_before, marks, counts_before = len(run.errors), set[str](), run.counts.copy()
            code = await run.isolated(self._take(step, marks))
            if code == THROTTLED and step not in SHARDS:  # all of it is counted again by the next run
                run.counts.update({name: counts_before[name] - run.counts[name] for name in _COUNTED_ANEW})
            if run.more:
                return
            marked = "".join(sorted({*marked, *marks}))
            self.round.cursor = _marking(following, marked) if following else None
            unreachable = set(run.errors[errors_before:]) & _UNREACHABLE
            unreachable_steps = unreachable_steps + 1 if unreachable else 0
            if unreachable_steps == _UNREACHABLE_STEPS_MAX:
                return  # each further step would only wait as long
        self.round.cursor = None  # also if nothing may be deleted: the next round judges again

    async def _take(self, step: str, marks: set[str]) -> None:
        if step == _ALL_NAMES:
            await self._sweep_names()
        elif step in SHARDS:
            await self._sweep_shard(step)
        else:
            shard = step.removeprefix(_JUDGE)
            marks.add(shard)  # unless it turns out that there is nothing to drive out
            if not await self._judge_shard(shard):
                marks.clear()

    # Whether the ledger is this account's

    async def _is_paired(self) -> bool:
        try:
            await self.pairing.check(self._containers)
        except StoreUnavailable as error:
            if error.code != UNPAIRED:
                raise
            return False
        return True

    async def _judge_shard(self, shard: str) -> bool:
        """Count the containers that the ledger does not know, and tell whether anything is to be driven out or told.

        Raises:
            StoreUnavailable: if the shard cannot be judged; then no stranger is deleted, in whichever shard.
        """
        counts = self.round.run.counts
        counts[_UNJUDGED] += 1
        listed = [each async for each in self._containers.list_containers(shard_prefix(shard), include_deleted=True)]
        # Storage keeps what we delete, and nothing of ours can help it.
        counts[Notable.SOFT_DELETED] += sum(each.deleted for each in listed)
        judgement, enrollments = await self._judgement_of(shard, listed)
        if judgement.strangers and not enrollments.ledger_has_shard and not await self._has_ledger():
            raise StoreUnavailable("ledger-empty")
        counts[_STRANGERS] += judgement.strangers
        counts[_UNJUDGED] -= 1
        return bool(judgement.intruders or judgement.doubts)

    async def _may_delete(self, *, paired: bool) -> bool:
        """Tell whether anything in the account may be deleted on the word of this ledger, and say why not."""
        strangers = self.round.so_far(_STRANGERS)
        # More likely the wrong database than an account full of strangers.
        if strangers > max(_STRANGERS_MAX, self.round.so_far("containers") / 2):
            self.round.run.note("ledger-strange")
            return False
        if not paired and (strangers or self.round.so_far(_UNJUDGED)):
            self.round.run.note(UNPAIRED)
            return False
        if not paired:
            await self.pairing.pair(self._containers)  # the ledger knows all that lies in it
        return True

    async def _sweep_names(self) -> None:
        """Count the containers of the account, and those that are not ours."""
        counts = self.round.run.counts
        async for listed in self._containers.list_containers(""):
            if listed.name.startswith(DEPLOYMENT_PREFIX):
                continue
            counts["containers"] += 1
            if DayContainer.parse(listed.name) is None:
                counts[Notable.FOREIGN_CONTAINER] += 1  # not ours to delete

    async def _sweep_shard(self, shard: str) -> None:
        listed = [each async for each in self._containers.list_containers(shard_prefix(shard))]
        judgement, _ = await self._judgement_of(shard, listed)
        for doubt in judgement.doubts:
            self.round.run.note(doubt)
        wholly_judged = not self.round.so_far(_UNJUDGED)
        await self._drive_out([each for each in judgement.intruders if wholly_judged or each.event is not None])

    async def _judgement_of(self, shard: str, listed: Iterable[ListedContainer]) -> tuple[Judgement, Enrollments]:
        """Judge what a listing of the shard has shown.

        Storage is listed before the ledger is read: a writer that created a container had read the ledger before that,
        so what is read now knows of it.
        """
        parsed = [DayContainer.parse(each.name) for each in listed if not each.deleted]
        containers = [container for container in parsed if container is not None]
        if not containers:
            return Judgement([], []), Enrollments()
        enrollments = await self._enrollments_of(shard, {container.enrollment_id for container in containers})
        return judge(containers, enrollments, self.account, self.clock.now()), enrollments

    # What there is

    async def _enrollments_of(self, shard: str, wanted: Collection[str]) -> Enrollments:
        enrollments = Enrollments()
        async for enrollment_id, event in self.ledger.events_of_shard(shard):
            enrollments.ledger_has_shard = True
            if enrollment_id in wanted:
                enrollments.learn(enrollment_id, event)
        async for enrollment_id in self.deletions.verified_of_shard(shard):
            if enrollment_id in wanted:
                enrollments.verified.add(enrollment_id)
        return enrollments

    async def _has_ledger(self) -> bool:
        async for _ in self.ledger.ledgers("", at_most=1):
            return True
        return False

    # Driving out

    async def _drive_out(self, intruders: Sequence[Intruder]) -> None:
        run = self.round.run
        failures_before = run.counts["failures"]
        sound_ledgers = dict[str, bool]()
        waiting = deque(intruders)
        while waiting:
            chunk = self._next_chunk(waiting)
            confirmed = [intruder for intruder in chunk if await self._is_confirmed(intruder, sound_ledgers)]
            for intruder in confirmed:
                run.counts[intruder.trespass] += len(intruder.containers)
            await self.round.report()  # on record, even if this run is killed before or after it has deleted them
            for intruder in confirmed:
                await run.isolated(self._delete(intruder))
            # However long the looking took, something of what it found is done, or it would be looked for for ever.
            if waiting and (self.round.deleted >= self.max_deletes or run.out_of_time()):
                run.more = True
                return
            if run.counts["failures"] - failures_before >= _FAILURES_MAX:
                return  # what cannot be deleted must not keep the other shards from being looked at

    def _next_chunk(self, waiting: deque[Intruder]) -> Sequence[Intruder]:
        """Take from ``waiting`` what is confirmed, told and deleted together."""
        size, chunk = 0, list[Intruder]()
        while waiting and size < min(_CHUNK_MAX, self.max_deletes - self.round.deleted):
            chunk.append(waiting.popleft())
            size += len(chunk[-1].containers)
        return chunk

    async def _is_confirmed(self, intruder: Intruder, sound_ledgers: dict[str, bool]) -> bool:
        """Tell whether it is one by the word of a ledger that can be believed, and still there.

        Args:
            intruder: what seems to have no business in the account.
            sound_ledgers: the tenants whose ledger was looked at, and whether it is whole; added to.
        """
        event = intruder.event
        if event is None or intruder.trespass not in {Trespass.WRONG_ACCOUNT, Trespass.AFTER_RECEIPT}:
            return True
        if event.tenant_id not in sound_ledgers:
            faults = await settled_faults(self.ledger, event.tenant_id)
            sound_ledgers[event.tenant_id] = faults is not None and not faults
            if faults:
                self.round.run.note("ledger-unsound")
        if not sound_ledgers[event.tenant_id]:
            return False
        if intruder.trespass is Trespass.AFTER_RECEIPT and await self._proved(event) is None:
            return False  # nothing was, whatever the deletion says; the sweep of the ledger lets it begin again
        # Purged and proved, they may have gone since they were listed; then nothing has come back.
        for container in intruder.containers:
            if await self._is_there(container):
                return True
        return False

    async def _is_there(self, container: DayContainer) -> bool:
        async for listed in self._containers.list_containers(container.name):
            if listed.name == container.name:
                return True
        return False

    async def _delete(self, intruder: Intruder) -> None:
        if intruder.trespass is Trespass.AFTER_RECEIPT:
            assert intruder.event is not None
            # Told before it is deleted, or a crash would hide that it was there; and all is proved anew (P6).
            await self._reopen(intruder.event, [container.day for container in intruder.containers])
        for container in intruder.containers:
            await self.round.run.isolated(self._delete_container(container))

    async def _delete_container(self, container: DayContainer) -> None:
        await self._containers.delete_container(container.name)
        self.round.deleted += 1

    async def _reopen(self, event: Event, days: Sequence[date]) -> None:
        """Tell the ledger that a receipt is belied, and let its deletion be done again.

        Raises:
            StoreUnavailable: if that is not on record; then nothing may be deleted yet.
        """
        for _ in range(_ATTEMPTS_MAX):
            now = self.clock.now()
            proved = await self._proved(event)
            if proved is None:
                return  # no longer verified: somebody else has opened it
            stored, second_look = proved
            entry = Reappearance(at=now, containers_found=len(days), proved_at=second_look)
            await self.reappearances.tell(event, entry)
            try:
                await self.deletions.replace(stored.value.came_back(now, days), stored.etag)
            except Conflict:
                continue
            return
        raise StoreUnavailable("conflict")

    async def _proved(self, event: Event) -> tuple[Stored[Deletion], datetime] | None:
        """Return the deletion of an enrollment and when it was proved, if it has a receipt that somebody signed."""
        stored = await self.deletions.read(event.tenant_id, event.enrollment_id)
        second_look = None if stored is None else await self.receipts.second_look(stored.value)
        return None if stored is None or second_look is None else (stored, second_look)
