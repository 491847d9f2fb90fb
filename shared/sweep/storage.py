"""The sweep of an account: what has no business there is driven out, and receipts are looked at again (P1, P3-P6)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.accounts import Account
from shared.clock import Clock
from shared.model.containers import DEPLOYMENT_PREFIX, DayContainer
from shared.model.deletion import Deletion, Reappearance
from shared.model.findings import Notable, Trespass
from shared.model.heartbeats import THROTTLED
from shared.model.ledger import Event
from shared.pairing import UNPAIRED, Pairing
from shared.ports import (
    LOOKUP_MAX,
    Conflict,
    ContainerPage,
    DeletionStore,
    LedgerStore,
    MarkerRefused,
    Stored,
    StoreUnavailable,
)
from shared.runs import BriefStore
from shared.sweep.ledger import settled_faults
from shared.sweep.places import Place
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import SignedReceipts
from shared.sweep.reconciliation import Enrollments, Intruder, Judgement, day_trespass, judge
from shared.sweep.rounds import Round

_CHUNK_MAX = 100
_FAILURES_MAX = 200
_STRANGERS_MAX = 50
_ALIVE_MAX = 200_000
_STRANGERS, _UNJUDGED = "strangers", "unjudged"
_WALKED = ("containers", Notable.FOREIGN_CONTAINER, Notable.SOFT_DELETED, _STRANGERS, _UNJUDGED)
_MARKER_REFUSED = "storage-marker-refused"
_FAILED_STEPS_MAX = 3
_UNREACHABLE = frozenset({"storage-unreachable", "storage-timeout"})
_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class _Finished:
    """A deletion with a receipt; ``proved_at`` is its second look, or None if nobody can check who signed that."""

    stored: Stored[Deletion]
    proved_at: datetime | None


@dataclass(frozen=True, slots=True)
class StorageSweep:
    """One run that compares an account with the ledger, page by page of the names of its containers.

    First the whole account is judged, then what was found is driven out: nothing is deleted before all is judged (D14).
    After each page the counts and the place are kept together, so that a run that is killed leaves a page to be looked
    at again and nothing else. What comes to be behind the place is found by the next round.

    Attributes:
        round: the round that it takes further; its cursor names the page that comes next.
        account: the account.
        pairing: what tells whether the account and the ledger belong together.
        ledger: the ledger.
        deletions: the deletions.
        receipts: what the deletions' receipts prove.
        reappearances: how the ledger is told of data that came back.
        clock: time.
        max_deletes: how many containers it deletes.
        alive: enrollments that were seen to be alive and the account's, of which only the day is judged further on; an
            enrollment's containers lie on as many pages as it has days.
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
    alive: set[str] = field(default_factory=set)

    @property
    def _containers(self) -> BriefStore:
        return BriefStore(self.account.store)

    async def run(self) -> None:
        """Take the round as far as the run may go, and report it."""
        await self.round.run.isolated(self._go_on())
        await self.round.report()

    async def _go_on(self) -> None:
        run, round_ = self.round.run, self.round
        paired, may_delete = await self._is_paired(), None
        begins = Place.parse(round_.cursor)
        if begins is None or begins.is_last:  # on the word of a heartbeat no round is at its end
            round_.forget(*_WALKED)
            round_.cursor = Place().cursor
        failed_steps = 0
        while (place := Place.parse(round_.cursor)) is not None:
            if place.judged and may_delete is None:
                may_delete = await self._may_delete(paired=paired)
            if place.is_last or (place.judged and not may_delete):
                round_.cursor = None  # also if nothing may be deleted: the next round judges again
                return
            if run.out_of_time():
                return
            errors_before = len(run.errors)
            await run.isolated(self._take(place))
            if run.more:
                return
            failed = round_.cursor == place.cursor or not _UNREACHABLE.isdisjoint(run.errors[errors_before:])
            failed_steps = failed_steps + 1 if failed else 0
            if failed_steps == _FAILED_STEPS_MAX or run.errors.count(_MARKER_REFUSED) > 1:
                return  # each further step would only wait as long, or begin again as often
            following = Place.parse(round_.cursor)
            if following is None or not following.is_last:
                await round_.report()

    async def _take(self, place: Place) -> None:
        """Judge a page, or drive out what is found on it; where it cannot be listed the place stays."""
        prefix = place.found[0] if place.judged else ""
        try:
            page = await self._containers.container_page(prefix, place.marker, include_deleted=not place.judged)
        except MarkerRefused:
            # From a page whose beginning nobody knows, nothing can be skipped.
            self.round.run.note(_MARKER_REFUSED)
            if not place.judged:
                self.round.forget(*_WALKED)
            self.round.cursor = (Place(judged=True, found=place.found) if place.judged else Place()).cursor
            return
        if place.judged:
            await self.round.run.isolated(self._drive_out_of(page))
            if not self.round.run.more:
                self.round.cursor = place.after_driving_out(page.next_marker).cursor
        elif (found := await self._look_at(page)) is not None:
            self.round.cursor = place.after_judging(page.next_marker, found).cursor

    # Whether the ledger is this account's

    async def _is_paired(self) -> bool:
        try:
            await self.pairing.check(self._containers)
        except StoreUnavailable as error:
            if error.code != UNPAIRED:
                raise
            return False
        return True

    async def _look_at(self, page: ContainerPage) -> Sequence[DayContainer] | None:
        """Count a page's containers, and return those of which something is to be done or told.

        They are all of them if the page cannot be judged; then no stranger is deleted, in whichever place. None if a
        store keeps asking for fewer requests: nothing is counted, and the next run takes the page again.
        """
        containers, found = _ours(page), list[DayContainer]()
        code = await self.round.run.isolated(self._judge(containers, found))
        if code == THROTTLED:
            return None
        counts = self.round.run.counts
        # Storage keeps what we delete, and nothing of ours can help it.
        counts[Notable.SOFT_DELETED] += sum(each.deleted for each in page.containers)
        names = [
            each.name for each in page.containers if not each.deleted and not each.name.startswith(DEPLOYMENT_PREFIX)
        ]
        counts["containers"] += len(names)
        counts[Notable.FOREIGN_CONTAINER] += len(names) - len(containers)  # not ours to delete
        counts[_UNJUDGED] += code is not None
        return found if code is None else containers

    async def _judge(self, containers: Sequence[DayContainer], found: list[DayContainer]) -> None:
        """Count the containers that the ledger does not know, and add to ``found`` what is to be driven out or told.

        Raises:
            StoreUnavailable: if they cannot be judged.
        """
        now = self.clock.now()
        of_the_living = [each for each in containers if each.enrollment_id in self.alive]
        others = [each for each in containers if each.enrollment_id not in self.alive]
        judgement, enrollments = await self._judgement_of(others)
        if judgement.strangers and not enrollments.known and not await self._has_ledger():
            raise StoreUnavailable("ledger-empty")
        self.round.run.counts[_STRANGERS] += judgement.strangers
        found += judgement.found
        found += [each for each in of_the_living if day_trespass(each, self.account, now) is not None]
        if len(self.alive) > _ALIVE_MAX:
            self.alive.clear()
        self.alive.update(enrollments.alive_in(self.account))

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

    async def _drive_out_of(self, page: ContainerPage) -> None:
        judgement, _ = await self._judgement_of(_ours(page))
        for doubt in judgement.doubts:
            if doubt not in self.round.run.errors:
                self.round.run.note(doubt)
        wholly_judged = not self.round.so_far(_UNJUDGED)
        await self._drive_out([each for each in judgement.intruders if wholly_judged or each.event is not None])

    async def _judgement_of(self, containers: Sequence[DayContainer]) -> tuple[Judgement, Enrollments]:
        """Judge what a page has shown.

        Storage is listed before the ledger is read: a writer that created a container had read the ledger before that,
        so what is read now knows of it.
        """
        enrollments = Enrollments()
        enrollment_ids = list(dict.fromkeys(each.enrollment_id for each in containers))
        for n in range(0, len(enrollment_ids), LOOKUP_MAX):
            some = enrollment_ids[n : n + LOOKUP_MAX]
            async for enrollment_id, event in self.ledger.events_of_enrollments(some):
                enrollments.learn(enrollment_id, event)
            async for enrollment_id in self.deletions.verified_among(some):
                enrollments.verified.add(enrollment_id)
        return judge(containers, enrollments, self.account, self.clock.now()), enrollments

    # What there is

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
            confirmed = [each for seen in chunk if (each := await self._confirmed(seen, sound_ledgers)) is not None]
            for intruder in confirmed:
                run.counts[intruder.trespass] += len(intruder.containers)
            # On record, even if this run is killed before or after it has deleted them; if it is not, the next run's.
            if not await self.round.put_on_record() and confirmed:
                run.more = True
                return
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

    async def _confirmed(self, intruder: Intruder, sound_ledgers: dict[str, bool]) -> Intruder | None:
        """Return it if it is one by the word of a ledger that can be believed, and is still there.

        After a receipt, with all that there is of the enrollment's days and of those under which something was found:
        the ledger is told once, of all of them.

        Args:
            intruder: what seems to have no business in the account.
            sound_ledgers: the tenants whose ledger was looked at, and whether it is whole; added to.
        """
        event = intruder.event
        if event is None or intruder.trespass not in {Trespass.WRONG_ACCOUNT, Trespass.AFTER_RECEIPT}:
            return intruder
        if event.tenant_id not in sound_ledgers:
            faults = await settled_faults(self.ledger, event.tenant_id)
            sound_ledgers[event.tenant_id] = faults is not None and not faults
            if faults:
                self.round.run.note("ledger-unsound")
        if not sound_ledgers[event.tenant_id]:
            return None
        elsewhere, belied = set[DayContainer](), None
        if intruder.trespass is Trespass.AFTER_RECEIPT:
            finished = await self._finished(event)
            if finished is None:
                return None  # nothing was proved, whatever the deletion says; the sweep of the ledger begins it again
            belied = finished.proved_at
            place = Place.parse(self.round.cursor) or Place()
            elsewhere = {*finished.stored.value.containers, *place.found_of(event.enrollment_id)}
            elsewhere -= set(intruder.containers)
        # Purged and proved, they may have gone since they were listed; then nothing has come back.
        for container in intruder.containers:
            if await self._is_there(container):
                there = [each for each in elsewhere if await self._is_there(each)]
                everything = sorted([*intruder.containers, *there], key=lambda each: each.name)
                return replace(intruder, containers=everything, belied=belied)
        return None

    async def _is_there(self, container: DayContainer) -> bool:
        async for listed in self._containers.list_containers(container.name):
            if listed.name == container.name:
                return True
        return False

    async def _delete(self, intruder: Intruder) -> None:
        # Told before it is deleted, or a crash would hide that it was there; and all is proved anew (P6).
        if intruder.trespass is Trespass.AFTER_RECEIPT and not await self._reopen(intruder):
            return  # they are the deletion's to delete, when that is due
        for container in intruder.containers:
            await self.round.run.isolated(self._delete_container(container, intruder))

    async def _delete_container(self, container: DayContainer, intruder: Intruder) -> None:
        # What was judged may be long ago: by now captures of that day can be stored, or all is proved anew.
        if intruder.trespass is Trespass.IMPOSSIBLE_DAY:
            if day_trespass(container, self.account, self.clock.now()) is None:
                return
        elif intruder.trespass is Trespass.AFTER_RECEIPT:
            assert intruder.event is not None
            if await self._finished(intruder.event) is not None:
                return
        await self._containers.delete_container(container.name)
        self.round.deleted += 1

    async def _reopen(self, intruder: Intruder) -> bool:
        """Tell the ledger that a receipt is belied, and let its deletion be done again.

        One that nobody can check lets nothing be told, for its second look may never have been, and nothing be deleted
        before its time: its deletion is all that begins again.

        Args:
            intruder: the containers that were found after the receipt.

        Returns:
            whether they have come back, and are to be deleted at once.

        Raises:
            StoreUnavailable: if that is not on record; then nothing may be deleted yet.
        """
        event = intruder.event
        assert event is not None
        days = [container.day for container in intruder.containers]
        for _ in range(_ATTEMPTS_MAX):
            now = self.clock.now()
            finished = await self._finished(event)
            if finished is None or finished.proved_at != intruder.belied:
                return False  # somebody else has opened it, or even proved it anew since: they were gone by then
            deletion, proved_at = finished.stored.value, finished.proved_at
            if proved_at is None:
                again = deletion.begun_again()
            else:
                entry = Reappearance(at=now, containers_found=len(days), proved_at=proved_at)
                await self.reappearances.tell(event, entry)
                again = deletion.came_back(now, days)
            try:
                await self.deletions.replace(again, finished.stored.etag)
            except Conflict:
                continue
            return proved_at is not None
        raise StoreUnavailable("conflict")

    async def _finished(self, event: Event) -> _Finished | None:
        """Return the deletion of an enrollment if it has a receipt that is one, or that nobody can tell to be none."""
        stored = await self.deletions.read(event.tenant_id, event.enrollment_id)
        if stored is None:
            return None
        proved_at = await self.receipts.second_look(stored.value)
        if proved_at is None:
            events = await self.ledger.events_of(event.tenant_id, event.enrollment_id)
            if not await self.receipts.is_left_unchecked(stored.value, events):
                return None
        return _Finished(stored, proved_at)


def _ours(page: ContainerPage) -> Sequence[DayContainer]:
    """Return the containers of captures that a page shows to be there."""
    parsed = [DayContainer.parse(each.name) for each in page.containers if not each.deleted]
    return [container for container in parsed if container is not None]
