"""The sweep of the ledger: each tenant's events compared with each other, with its setting and with its deletions."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.findings import LATE, LedgerFault, Notable
from shared.model.heartbeats import THROTTLED
from shared.model.items import tenant_in_log
from shared.model.ledger import Event, OptedOut, Reappeared, Setting, TenantLedger
from shared.ports import (
    UNREADABLE_ITEM,
    Conflict,
    DeletionStore,
    LedgerStore,
    Stored,
    StoreUnavailable,
    TenantDeletions,
)
from shared.runs import LeftOver
from shared.sweep.opt_outs import OptOutSearch
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import SignedReceipts
from shared.sweep.reconciliation import Chain, ledger_faults
from shared.sweep.rounds import Round

_ITEMS_MAX = 500
"""A tenant's events, or deletions, that are held in memory; of a tenant that has more they are read in parts (D12)."""

_LATE_SINCE = timedelta(days=365)
_REPORT_EVERY = 500
_ANY_SEQUENCE = 2**53

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a round is inside a ledger that is read in parts: first its events are compared with each other.

    Attributes:
        tenant_id: whose ledger.
        chained: whether that is done, so that the opt-outs are being compared with their deletions.
        sequence: up to which event.
        sound: whether nothing was wrong with the events so far.
    """

    tenant_id: str
    chained: bool = False
    sequence: int = 0
    sound: bool = True

    @classmethod
    def at(cls, cursor: str) -> "_Place | None":
        """Return the place that a cursor names, or None if that is a tenant with whom the round is done."""
        found = re.fullmatch(r"(\S+) (chained|unchained) ([0-9]{1,9}) (sound|unsound)", cursor)
        return found and cls(found[1], found[2] == "chained", int(found[3]), found[4] == "sound")

    @property
    def cursor(self) -> str:
        chained, sound = "chained" if self.chained else "unchained", "sound" if self.sound else "unsound"
        return f"{self.tenant_id} {chained} {self.sequence} {sound}"


@dataclass(frozen=True, slots=True)
class LedgerSweep:
    """One run that compares the tenants' ledgers, in the order of the tenants' ids.

    Attributes:
        round: the round that it takes further; its cursor is the last tenant compared, or a place inside one.
        ledger: the ledgers.
        deletions: the deletions.
        receipts: what the deletions' receipts prove.
        reappearances: how the ledger is told of data that came back.
        clock: time.
        max_ledgers: how many ledgers it compares.
    """

    round: Round
    ledger: LedgerStore
    deletions: DeletionStore
    receipts: SignedReceipts
    reappearances: Reappearances
    clock: Clock
    max_ledgers: int

    async def run(self) -> None:
        """Find what was lost, then take the round as far as the run may go, and report it."""
        # First, and with a share of the time of its own: a slow round must never keep it away (P9).
        await OptOutSearch(self.round, self.ledger, self.deletions, self.clock).run()
        await self.round.run.isolated(self._compare())
        await self.round.report()

    async def _compare(self) -> None:
        run, after = self.round.run, self.round.cursor or ""
        if (place := _Place.at(after)) is not None:
            if await run.isolated(self._reconcile_in_parts(place)) == THROTTLED:
                return
            self._done_with(after := place.tenant_id)
        compared = 0
        async for ledger, deletions in _SideBySide(
            self.ledger.ledgers(after, at_most=_ITEMS_MAX), self.deletions.tenants(after, at_most=_ITEMS_MAX)
        ):
            whole = ledger.whole and deletions.whole
            code = await run.isolated(
                self._reconcile(ledger, deletions) if whole else self._reconcile_in_parts(_Place(ledger.tenant_id))
            )
            if code == THROTTLED:
                return  # the next run takes this tenant again, and whatever else was left is no matter here
            self._done_with(ledger.tenant_id)
            compared += 1
            if compared == self.max_ledgers or run.out_of_time():
                return
            if compared % _REPORT_EVERY == 0:
                await self.round.report()
        self.round.cursor = None

    def _done_with(self, tenant_id: str) -> None:
        self.round.run.counts["ledgers"] += 1
        self.round.cursor = tenant_id

    async def _reconcile(self, ledger: TenantLedger, found: TenantDeletions) -> None:
        """Report what is wrong with one tenant's ledger, and give each opt-out on it the deletion that it calls for."""
        self.round.run.counts[LedgerFault.UNREADABLE] += found.unreadable
        deletions = {stored.value.enrollment_id: stored for stored in found.deletions}
        faults = ledger_faults(ledger, deletions)
        if faults:
            # It may have changed while it was read, and only looked wrong.
            settled = await settled_faults(self.ledger, ledger.tenant_id, deletions)
            if settled is not None:
                faults = settled
                self._tell(ledger.tenant_id, faults)
        # A deletion too many says nothing of the events that there are.
        trusted = faults.keys() <= {LedgerFault.WITHOUT_EVENT}
        await self._reconcile_opt_outs(ledger.events, deletions, trusted=trusted)

    async def _reconcile_in_parts(self, place: _Place) -> None:
        """Do the same for a ledger of any length; the round's cursor says how far.

        Raises:
            LeftOver: if there is no time for all of it.
        """
        run = self.round.run
        part: _Place | None = place
        while part is not None:
            self.round.cursor = part.cursor
            if part is not place:
                if run.out_of_time():
                    raise LeftOver
                await self.round.report()
            part = await (self._reconcile_part(part) if part.chained else self._follow(part))

    async def _follow(self, place: _Place) -> _Place:
        """Compare a tenant's events with each other; if it has to end before, the round's cursor says how far."""
        run, chain, tenant_id = self.round.run, Chain(), place.tenant_id
        so_far, faults = place, Counter[str]()
        before = await _setting_of(self.ledger, tenant_id)
        try:
            async for event in self.ledger.events_after(tenant_id, max(place.sequence - 1, 0)):
                if event is None or event.sequence != place.sequence:
                    chain.take(event)
                else:
                    chain.go_on_from(event)
                # The next run goes on from an event that tells whether the tenant's data sharing was on or off then.
                if event is not None and event is chain.switched and event.sequence > place.sequence + 1:
                    faults = +chain.faults
                    so_far = replace(place, sequence=chain.sequence, sound=place.sound and not faults)
                    if run.out_of_time():
                        raise LeftOver
            after = await _setting_of(self.ledger, tenant_id)
        except (StoreUnavailable, LeftOver):
            self._tell(tenant_id, faults)
            self.round.cursor = so_far.cursor
            raise
        # What was changed meanwhile only looks wrong beside the events.
        faults = chain.faults_beside(after.value) + after.faults if after == before else +chain.faults
        self._tell(tenant_id, faults)
        return _Place(tenant_id, chained=True, sound=place.sound and not faults)

    async def _reconcile_part(self, place: _Place) -> _Place | None:
        """Compare the next opt-outs with their deletions; return how far, or None if they were the last."""
        run, part, codes = self.round.run, list[Event](), set[str | None]()
        async for event in self.ledger.events_after(place.tenant_id, place.sequence):
            if event is not None:
                part.append(event)
            if len(part) == _ITEMS_MAX:
                break
        is_last = len(part) < _ITEMS_MAX
        until = _ANY_SEQUENCE if is_last else part[-1].sequence
        opted_out = {event.enrollment_id for event in part if isinstance(event, OptedOut)}
        deletions = dict[str, Stored[Deletion]]()
        async for stored in self.deletions.of_sequences(place.tenant_id, place.sequence, until):
            if stored is None:
                run.counts[LedgerFault.UNREADABLE] += 1
            elif stored.value.enrollment_id in opted_out:
                deletions[stored.value.enrollment_id] = stored
            else:
                codes.add(await run.isolated(self._seek_event(stored.value)))
        await self._reconcile_opt_outs(part, deletions, trusted=place.sound)
        _refuse_left_over(codes)
        return None if is_last else replace(place, sequence=until)

    async def _seek_event(self, deletion: Deletion) -> None:
        events = await self.ledger.events_of(deletion.tenant_id, deletion.enrollment_id)
        if not any(isinstance(event, OptedOut) for event in events):
            self._tell(deletion.tenant_id, Counter([LedgerFault.WITHOUT_EVENT]))

    def _tell(self, tenant_id: str, faults: Counter[str]) -> None:
        self.round.run.counts.update(faults)
        if faults:  # not only counted: whoever looks into it has to know where
            _log.error("the ledger of tenant %s: %s", tenant_in_log(tenant_id), ", ".join(sorted(faults)))

    async def _reconcile_opt_outs(
        self, events: Sequence[Event], deletions: Mapping[str, Stored[Deletion]], *, trusted: bool
    ) -> None:
        """Give each opt-out among ``events`` the deletion that it calls for.

        Args:
            events: some of a tenant's, or all.
            deletions: by enrollment, those of their opt-outs.
            trusted: whether nothing is wrong with the tenant's ledger.

        Raises:
            LeftOver: if one of them is left to the next run; all the others were tried.
        """
        run, codes = self.round.run, set[str | None]()
        by_enrollment: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_enrollment[event.enrollment_id].append(event)
        for enrollment_id, of_enrollment in by_enrollment.items():
            opt_outs = [event for event in of_enrollment if isinstance(event, OptedOut)]
            for event in opt_outs:
                codes.add(
                    await run.isolated(
                        self._reconcile_opt_out(event, deletions.get(enrollment_id), of_enrollment, trusted=trusted)
                    )
                )
            if not opt_outs and isinstance(of_enrollment[-1], Reappeared):  # the opt-out is in another part
                codes.add(await run.isolated(self._mend(of_enrollment[-1], trusted=trusted)))
        _refuse_left_over(codes)

    async def _reconcile_opt_out(
        self, event: OptedOut, stored: Stored[Deletion] | None, events: Sequence[Event], *, trusted: bool
    ) -> None:
        if stored is None:
            await self._create_deletion(event, trusted=trusted)
            return
        compared = await self.receipts.compare(stored.value, events)
        if stored.value.reappeared or compared.faults:
            await self._mend(event, trusted=trusted)
        # By what was signed, whatever the item shows.
        self.round.run.counts[LATE] += compared.deletion.finished_late(since=self.clock.now() - _LATE_SINCE)

    async def _mend(self, event: OptedOut | Reappeared, *, trusted: bool) -> None:
        """Report what is wrong with a deletion or its receipt, and bring it back to what the ledger says."""
        # It may have changed while it was read, and only looked wrong: the deletion first, for what it tells of data
        # that came back was on the ledger before.
        stored = await self.deletions.read(event.tenant_id, event.enrollment_id)
        events = await self.ledger.events_of(event.tenant_id, event.enrollment_id)
        if stored is None or event not in events or not any(isinstance(each, OptedOut) for each in events):
            return
        deletion, moved = stored.value, stored.value.reappeared or ()
        if trusted and moved:  # an item of before; its entries are told by the ledger from now on
            for entry in moved:
                await self.reappearances.tell(event, entry)
            deletion = deletion.model_copy(update={"reappeared": None})
            events = await self.ledger.events_of(event.tenant_id, event.enrollment_id)
        compared = await self.receipts.compare(deletion, events)
        self.round.run.counts.update(compared.faults or ([LedgerFault.DISAGREEING] if moved else []))
        # Nothing is changed on the word of a broken ledger, nor before it is on record what was found: the change takes
        # away what shows it. The next round does what this one may not.
        if trusted and compared.deletion != stored.value and await self.round.put_on_record():
            await self._replace(compared.deletion, stored.etag)

    async def _create_deletion(self, event: OptedOut, *, trusted: bool) -> None:
        if deadlines.is_fresh(event.at, self.clock.now()):
            return  # the change feed may be about to do it, and has lost nothing
        if await self.deletions.create(Deletion.owed_for(event)):
            self.round.run.counts[Notable.DELETION_CREATED] += 1
        else:
            # There is one by now, or one that says it is another opt-out's, or one that nobody understands.
            await self._mend(event, trusted=trusted)

    async def _replace(self, deletion: Deletion, etag: str) -> None:
        try:
            await self.deletions.replace(deletion, etag)
        except Conflict:
            return  # the next round sees how it stands


def _refuse_left_over(codes: Collection[str | None]) -> None:
    if THROTTLED in codes:
        raise LeftOver


async def settled_faults(ledger: LedgerStore, tenant_id: str, deleted: Collection[str] = ()) -> Counter[str] | None:
    """Return how often a tenant's ledger is wrong in which way, as it was at one moment; None if it keeps changing.

    Args:
        ledger: the ledgers.
        tenant_id: the tenant.
        deleted: the enrollments of its deletions.
    """
    chain, without_event = Chain(), set(deleted)
    before = await _setting_of(ledger, tenant_id)
    async for event in ledger.events_after(tenant_id, 0):
        chain.take(event)
        if isinstance(event, OptedOut):
            without_event.discard(event.enrollment_id)
    if await _setting_of(ledger, tenant_id) != before:
        return None
    faults = chain.faults_beside(before.value) + before.faults
    faults[LedgerFault.WITHOUT_EVENT] = len(without_event)
    return +faults


@dataclass(frozen=True, slots=True)
class _FoundSetting:
    """A tenant's setting, if there is one that can be understood; ``faults`` is what is wrong with it."""

    stored: Stored[Setting] | None
    faults: Counter[str]

    @property
    def value(self) -> Setting | None:
        return None if self.stored is None else self.stored.value


async def _setting_of(ledger: LedgerStore, tenant_id: str) -> _FoundSetting:
    try:
        return _FoundSetting(await ledger.read_setting(tenant_id), Counter())
    except StoreUnavailable as error:
        if error.code != UNREADABLE_ITEM:
            raise
        return _FoundSetting(None, Counter([LedgerFault.UNREADABLE]))


class _SideBySide:
    """Each tenant's ledger with its deletions; both come in the order of the tenants' ids."""

    def __init__(self, ledgers: AsyncIterator[TenantLedger], deletions: AsyncIterator[TenantDeletions]) -> None:
        self._ledgers = ledgers
        self._deletions = deletions
        self._ledger: TenantLedger | None = None
        self._found: TenantDeletions | None = None

    def __aiter__(self) -> "_SideBySide":
        return self

    async def __anext__(self) -> tuple[TenantLedger, TenantDeletions]:
        if self._ledger is None:
            self._ledger = await anext(self._ledgers, None)
        if self._found is None:
            self._found = await anext(self._deletions, None)
        ids = [each.tenant_id for each in (self._ledger, self._found) if each is not None]
        if not ids:
            raise StopAsyncIteration
        tenant_id, ledger, found = min(ids), None, None
        if self._ledger is not None and self._ledger.tenant_id == tenant_id:
            ledger, self._ledger = self._ledger, None
        if self._found is not None and self._found.tenant_id == tenant_id:
            found, self._found = self._found, None
        # A tenant of whom only deletions are left had a ledger once.
        return ledger or TenantLedger(tenant_id, None, []), found or TenantDeletions(tenant_id, [])
