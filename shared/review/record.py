"""The record of a tenant's captures: who may look, and that it is written before anybody does (P7)."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime
from typing import TypeVar

from shared.accounts import Accounts
from shared.clock import Clock, Moment
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.exports import ReviewExport
from shared.model.grants import (
    AccessDetails,
    AccessRecord,
    Action,
    GrantStatus,
    ReviewGrant,
    live_newest_first,
)
from shared.model.ledger import Enrollment, Event, OptedOut, Reappeared, ReviewStopped
from shared.ports import (
    UNREADABLE_ITEM,
    AccessStore,
    CaptureStore,
    Conflict,
    DeletionStore,
    LedgerStore,
    Page,
    ReviewPermit,
    StoreUnavailable,
)
from shared.problems import GrantRequired, NotFound, Unavailable

_ATTEMPTS = 20
_BACKOFF_SECONDS = 0.01
_LEDGER_PAGE = 200
_LAST_LOOKS = 3
_NOTHING = AccessDetails()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What a reviewer asks for.

    Attributes:
        purpose: as the reviewer names it; what is no ``Purpose`` is refused.
        justification: why, in 20 to 500 characters.
        duration_minutes: for how long from the approval on.
        enrollment_id: which of the tenant's enrollments, or None for the newest.
    """

    purpose: str
    justification: str
    duration_minutes: int
    enrollment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Readable:
    """An enrollment that may be read and, if it has ended, the instant from which nothing of it may be."""

    enrollment: Enrollment
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to go on the record: of a grant, or of a wish that came to none.

    Attributes:
        action: what is done.
        actor: the object id of whoever does it.
        about: the grant under which it is done, or the wish for one.
        details: what else there is to say.
        grant: the grant as it is afterwards, if it changes with the record.
        export: the export as it is afterwards, if it changes with the record.
    """

    action: Action
    actor: str
    about: ReviewGrant | GrantRequest
    details: AccessDetails = _NOTHING
    _: KW_ONLY
    grant: ReviewGrant | None = None
    export: ReviewExport | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a live grant opens: for one reviewer, the captures of one enrollment, in the account where they lie."""

    tenant_id: str
    grant: ReviewGrant
    readable: Readable
    store: CaptureStore

    @property
    def enrollment_id(self) -> str:
        """The enrollment's id."""
        return self.readable.enrollment.enrollment_id

    def container(self, day: date) -> str:
        """Return the name of the container of a day."""
        return DayContainer(self.enrollment_id, day).name


@dataclass(frozen=True, slots=True)
class Record:
    """Who may look at a tenant's captures, and the record of who has.

    A grant's change and its record are one transactional batch, and a look's record is committed before storage is even
    asked: what is not on the record has not been seen. All of a tenant's records are one sequence, and whoever changes
    a grant moves its head: so what was decided on what was read after the head still holds when the commit succeeds.
    """

    store: AccessStore
    ledger: LedgerStore
    deletions: DeletionStore
    accounts: Accounts
    clock: Clock
    new_id: Callable[[], str]

    async def open(
        self,
        tenant_id: str,
        reviewer: str,
        action: Action,
        details: AccessDetails = _NOTHING,
        *,
        day: date | None = None,
    ) -> Opened:
        """Find what the reviewer's live grant opens, and put the look on the record.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            action: what kind of look it is.
            details: what the record says of it.
            day: the UTC day that is looked at, if it is one; the record names it too.

        Raises:
            GrantRequired: if the reviewer has no live grant.
            NotFound: if nothing of that enrollment, or day, may be read.
        """

        async def decide(now: datetime, sequence: int) -> tuple[Entry, Opened]:
            opened = await self.opened(tenant_id, reviewer, now)
            if day is not None:
                self.refuse_gone(day, now)
            about = details if day is None else details.model_copy(update={"day": day.isoformat()})
            return Entry(action, reviewer, opened.grant, about), opened

        return await self.commit(tenant_id, decide)

    async def tell(
        self, opened: Opened, action: Action, days: Iterable[date], details: Callable[[Set[date]], AccessDetails]
    ) -> Set[date]:
        """Put on the record what a look has come to, before it leaves; refuse it if nothing may leave any more.

        A day that has ended meanwhile takes only itself away, and is not on the record either.

        Args:
            opened: what was looked at.
            action: what kind of look it was.
            days: the UTC days that it would show.
            details: what it comes to, if it shows only some of them; asked again whenever somebody came between.

        Returns:
            the days of which something may leave: all that are on the record, or fewer if that took long.

        Raises:
            GrantRequired, NotFound: if the grant or the enrollment has ended.
            Unavailable: if looking at the grant takes too long, again and again.
        """

        async def decide(now: datetime, sequence: int) -> tuple[Entry, tuple[Moment, Set[date]]]:
            started = Moment.now(self.clock)
            await self.refuse_ended(opened, [], now)
            live = frozenset(day for day in days if self.is_live(day, now))
            return Entry(action, opened.grant.requested_by, opened.grant, details(live)), (started, live)

        started, live = await self.commit(opened.tenant_id, decide)
        if started.age < deadlines.LOOK_SECONDS:
            return live
        await self.look_again(opened)  # a grant that ends by itself moves no head
        return frozenset(day for day in live if self.is_live(day))

    async def look_again(self, opened: Opened, *days: date) -> ReviewPermit:
        """Refuse what may no longer leave: storage may have been slow, and the grant revoked meanwhile (P7).

        Read again, and judged when all is read, with nothing to wait for behind it. What is read is believed for
        ``deadlines.LOOK_SECONDS``: nothing leaves later than that after a revocation.

        Args:
            opened: what was looked at.
            days: the UTC days of which something is to leave, or beside which something is to be written.

        Returns:
            what may be written on the word of this look.

        Raises:
            GrantRequired, NotFound: if it may no longer leave.
            Unavailable: if looking takes too long, again and again.
        """
        for _ in range(_LAST_LOOKS):
            started = Moment.now(self.clock)  # the machine may stand still between the answer and the look at the time
            ends_at = await self.refuse_ended(opened, days)
            if started.age < deadlines.LOOK_SECONDS:
                return ReviewPermit(started, ends_at)
        raise Unavailable(Unavailable.GRANT)

    async def refuse_ended(self, opened: Opened, days: Sequence[date], at: datetime | None = None) -> datetime:
        """Refuse what may no longer be seen; return until when it may be.

        Args:
            opened: what is looked at.
            days: the UTC days that are looked at.
            at: when the look is, on the record, if it is going there; see ``_now``.

        Raises:
            GrantRequired, NotFound: if it may not.
        """
        readable = await self.readable(opened.tenant_id, opened.enrollment_id, at)
        grant = await self.grant(opened.tenant_id, opened.grant.grant_id)
        if grant.status(self._now(at)) is not GrantStatus.APPROVED:
            raise GrantRequired()
        if self._has_passed(readable.deadline, at):
            raise NotFound(NotFound.DAY_GONE)
        for day in days:
            self.refuse_gone(day, at)
        assert grant.expires_at is not None
        ends = [grant.expires_at, *(deadlines.day_deadline(day, self.accounts.retention_days) for day in days)]
        return min([*ends, readable.deadline] if readable.deadline is not None else ends)

    async def opened(self, tenant_id: str, reviewer: str, at: datetime, enrollment_id: str | None = None) -> Opened:
        """Return what a live grant of the reviewer's opens; whoever asks puts on the record what follows.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            at: when the look is, on the record.
            enrollment_id: the enrollment, if it must be that one.

        Raises:
            GrantRequired, NotFound: as ``open``.
        """
        now = self._now(at)
        grants = live_newest_first(await self.store.approved_grants(tenant_id, reviewer, now), now)
        wanted = [grant for grant in grants if enrollment_id is None or grant.enrollment_id == enrollment_id]
        grant, readable = await self._first_readable(tenant_id, wanted, at)
        return Opened(tenant_id, grant, readable, self.accounts.of(readable.enrollment))

    async def reopened(self, export: ReviewExport) -> Opened:
        """Return what the grant opens under which an export is made.

        Raises:
            GrantRequired, NotFound: if it opens nothing any more.
        """
        grant = await self.grant(export.tenant_id, export.grant_id)
        readable = await self.readable(export.tenant_id, export.enrollment.enrollment_id)
        opened = Opened(export.tenant_id, grant, readable, self.accounts.of(readable.enrollment))
        await self.refuse_ended(opened, [])
        return opened

    async def _first_readable(
        self, tenant_id: str, grants: Sequence[ReviewGrant], at: datetime
    ) -> tuple[ReviewGrant, Readable]:
        if not grants:
            raise GrantRequired()
        for grant in grants[:-1]:  # one whose data is purged is dead, and hides none that is not
            with suppress(NotFound):
                return grant, await self.readable(tenant_id, grant.enrollment_id, at)
        return grants[-1], await self.readable(tenant_id, grants[-1].enrollment_id, at)

    async def commit(self, tenant_id: str, decide: Callable[[datetime, int], Awaitable[tuple[Entry | None, T]]]) -> T:
        """Decide and put it on the record, again and again until nobody came between; with no entry, only decide.

        Args:
            tenant_id: the tenant.
            decide: from now and the next record's sequence, what goes on the record, and what is returned.
        """
        record_id = self.new_id()
        for attempt in range(_ATTEMPTS):
            # Apart from one another: those who lost against one would all come again at the same time.
            await asyncio.sleep(random.uniform(0, _BACKOFF_SECONDS * min(attempt, 5)))  # noqa: S311
            head = await self.store.head(tenant_id)
            now, sequence = self.clock.now(), 1 if head is None else head.value + 1
            entry, result = await decide(now, sequence)
            if entry is None:
                return result
            record = _record(tenant_id, record_id, sequence, now, entry)
            try:
                etag = None if head is None else head.etag
                await self.store.commit(record, entry.grant, etag, export=entry.export)
            except Conflict:
                if [record] != list((await self.store.log(tenant_id, limit=1, before=sequence + 1)).values):
                    continue
                # The conflict was with our own commit, sent twice because its first answer was lost.
            return result
        raise Conflict

    async def quietly(
        self, tenant_id: str, export_id: str, change: Callable[[ReviewExport], ReviewExport]
    ) -> ReviewExport:
        """Change of an export what no record tells, and return it.

        Args:
            tenant_id: the tenant.
            export_id: the export, which there is.
            change: the export as it is to be; called again whenever somebody came between.
        """
        for _ in range(_ATTEMPTS):
            head = await self.store.head(tenant_id)
            export = await self.store.read_export(tenant_id, export_id)
            if head is None or export is None:
                raise StoreUnavailable(UNREADABLE_ITEM)
            changed = change(export)
            if changed == export:
                return export
            with suppress(Conflict):
                await self.store.move_head(tenant_id, head.etag, export=changed)
                return changed
        raise Conflict

    async def readable(self, tenant_id: str, enrollment_id: str, at: datetime | None = None) -> Readable:
        """Return the enrollment if its captures may be read: while it goes on, and after its end until it is purged.

        Args:
            tenant_id: the tenant.
            enrollment_id: the enrollment.
            at: as ``refuse_ended``.

        Raises:
            NotFound: if they may not.
        """
        stored = await self.ledger.read_setting(tenant_id)
        current = None if stored is None else stored.value.enrollment
        if current is not None and current.enrollment_id == enrollment_id:
            return Readable(current)
        event, stopped = await self._opt_out_of(tenant_id, enrollment_id)
        if stopped:
            raise NotFound(NotFound.REVIEW_STOPPED)
        deletion = await self.deletions.read(tenant_id, enrollment_id)
        purged = deletion is not None and deletion.value.status != "scheduled"
        # However late the purge is: from the deadline on nothing is read (P5).
        if event is None or purged or self._has_passed(event.deadline, at):
            raise NotFound(NotFound.ENROLLMENT)
        return Readable(event, event.deadline)

    async def _opt_out_of(self, tenant_id: str, enrollment_id: str) -> tuple[OptedOut | None, bool]:
        """Return the event that ended an enrollment, if it is among the newest, and whether reading was ended too."""
        events = await self.ledger.history(tenant_id, limit=_LEDGER_PAGE, before=None)
        _refuse_unreadable(events)  # perhaps the very one
        for event in events.values:
            if event.enrollment_id != enrollment_id:
                continue
            if isinstance(event, ReviewStopped):
                return None, True
            if isinstance(event, OptedOut):
                return event, bool(event.stop_review)
        return None, False

    async def newest_enrollment(self, tenant_id: str) -> str:
        """Return the id of the tenant's newest enrollment.

        Raises:
            NotFound: if there was never one.
            StoreUnavailable: if the ledger cannot be read.
        """
        before: int | None = None
        while True:
            events = await self.ledger.history(tenant_id, limit=1, before=before)
            _refuse_unreadable(events)
            for event in events.values:
                if not isinstance(event, Reappeared):  # which tells of any enrollment, also after the next has begun
                    return event.enrollment_id
            before = events.next_before
            if before is None:
                raise NotFound(NotFound.NEVER_SHARED)

    async def grant(self, tenant_id: str, grant_id: str) -> ReviewGrant:
        """Return a grant.

        Raises:
            NotFound: if there is none.
        """
        grant = await self.store.read_grant(tenant_id, grant_id)
        if grant is None:
            raise NotFound(NotFound.GRANT)
        return grant

    def days(self, readable: Readable, at: datetime | None = None) -> list[date]:
        """Return the days of which there may be captures that may be read, oldest first; for ``at`` see ``_now``."""
        last = self._now(at) if readable.deadline is None else readable.deadline - deadlines.DELETION_PERIOD
        return [day for day in deadlines.enrollment_days(readable.enrollment.started_at, last) if self.is_live(day, at)]

    def is_live(self, day: date, at: datetime | None = None) -> bool:
        """Tell whether captures of that day may be read, however late retention is (P4); for ``at`` see ``_now``."""
        return self._now(at) < deadlines.day_deadline(day, self.accounts.retention_days)

    def refuse_gone(self, day: date, at: datetime | None = None) -> None:
        """Refuse a day whose captures must be gone; for ``at`` see ``_now``.

        Raises:
            NotFound: if it is one.
        """
        if not self.is_live(day, at):
            raise NotFound(NotFound.DAY_GONE)

    def _has_passed(self, deadline: datetime | None, at: datetime | None) -> bool:
        return deadline is not None and self._now(at) >= deadline

    def _now(self, at: datetime | None) -> datetime:
        """Return now, or ``at`` if the clock was set back behind it: a record tells of no look that was too late."""
        now = self.clock.now()
        return now if at is None else max(at, now)


def _refuse_unreadable(events: Page[Event]) -> None:
    if events.unreadable:
        raise StoreUnavailable(UNREADABLE_ITEM)


def _record(tenant_id: str, record_id: str, sequence: int, now: datetime, entry: Entry) -> AccessRecord:
    about = entry.about
    return AccessRecord(
        **dict(entry.details),
        tenant_id=tenant_id,
        sequence=sequence,
        record_id=record_id,
        at=now,
        action=entry.action,
        actor=entry.actor,
        purpose=about.purpose,
        justification=about.justification,
        grant_id=about.grant_id if isinstance(about, ReviewGrant) else None,
        enrollment_id=about.enrollment_id,
    )
