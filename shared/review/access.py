"""Reading captures on the record: grants, and what may be read under them (P7, P10)."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from shared.accounts import Accounts
from shared.clock import Clock, Moment
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.grants import (
    APPROVAL_WITHIN,
    AccessRecord,
    Action,
    GrantStatus,
    Purpose,
    ReviewGrant,
    live_newest_first,
)
from shared.model.ledger import Enrollment, Event, OptedOut, ReviewStopped
from shared.ports import (
    UNREADABLE_ITEM,
    AccessStore,
    BatchMissing,
    CaptureStore,
    Conflict,
    ContainerBeingDeleted,
    ContainerMissing,
    DeletionStore,
    LedgerStore,
    Page,
    StoreUnavailable,
)
from shared.problems import (
    Forbidden,
    GrantNotPending,
    GrantRequired,
    NotFound,
    PurposeRefused,
    Unavailable,
)

_ATTEMPTS = 20
_BACKOFF_SECONDS = 0.01
_LEDGER_PAGE = 200
_LAST_LOOK_SECONDS = 2.0
_LAST_LOOKS = 3
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
class _Ended:
    """An enrollment and, if it has ended, the instant from which nothing of it may be read."""

    enrollment: Enrollment
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is to go on the record: of a grant, or of a wish that came to none."""

    action: Action
    actor: str
    grant: ReviewGrant | None = None
    refused: GrantRequest | None = None
    changes_grant: bool = False
    day: date | None = None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a live grant opens."""

    grant: ReviewGrant
    ended: _Ended
    store: CaptureStore


@dataclass(frozen=True, slots=True)
class Access:
    """Grants and reads, each with its record.

    A grant's change and its record are one transactional batch, and a read's record is committed before storage is even
    asked: what is not on the record has not been seen. All of a tenant's records are one sequence, and whoever changes
    a grant moves its head: so what was decided on what was read after the head still holds when the commit succeeds.
    """

    store: AccessStore
    ledger: LedgerStore
    deletions: DeletionStore
    accounts: Accounts
    clock: Clock
    new_id: Callable[[], str]

    async def request(self, tenant_id: str, reviewer: str, asked: GrantRequest) -> ReviewGrant:
        """Record a reviewer's wish and return the grant, pending.

        Raises:
            PurposeRefused: if captures may not be read for that; the wish is recorded all the same.
            NotFound: if the tenant has no enrollment whose captures may be read.
        """
        purpose = Purpose.named(asked.purpose)
        if purpose is None:

            async def refuse(now: datetime, sequence: int) -> tuple[_Entry, None]:
                return _Entry("purposeRefused", reviewer, refused=asked), None

            await self._commit(tenant_id, refuse)
            raise PurposeRefused()
        grant_id = self.new_id()

        async def ask(now: datetime, sequence: int) -> tuple[_Entry, ReviewGrant]:
            enrollment_id = asked.enrollment_id or await self._newest_enrollment(tenant_id)
            await self._readable(tenant_id, enrollment_id)
            grant = ReviewGrant(
                grant_id=grant_id,
                tenant_id=tenant_id,
                enrollment_id=enrollment_id,
                sequence=sequence,
                purpose=purpose,
                justification=asked.justification,
                duration_minutes=asked.duration_minutes,
                requested_by=reviewer,
                requested_at=now,
            )
            return _Entry("requested", reviewer, grant, changes_grant=True), grant

        return await self._commit(tenant_id, ask)

    async def approve(self, tenant_id: str, grant_id: str, approver: str) -> ReviewGrant:
        """Approve a pending grant and return it; approving it again changes nothing.

        Raises:
            NotFound: if there is no such grant, or its data may no longer be read.
            Forbidden: if the approver asked for it.
            GrantNotPending: if it was revoked, or has lapsed or expired.
        """

        async def decide(now: datetime, sequence: int) -> tuple[_Entry | None, ReviewGrant]:
            grant = await self._grant(tenant_id, grant_id)
            if grant.requested_by == approver:
                raise Forbidden(Forbidden.OWN_GRANT)
            status = grant.status(now)
            if status is GrantStatus.APPROVED:
                return None, grant
            if status is not GrantStatus.PENDING:
                raise GrantNotPending(status)
            await self._readable(tenant_id, grant.enrollment_id)
            approved = grant.approved(approver, now)
            return _Entry("approved", approver, approved, changes_grant=True), approved

        return await self._commit(tenant_id, decide)

    async def revoke(self, tenant_id: str, grant_id: str, by: str, *, any_grant: bool) -> ReviewGrant:
        """End a grant and return it; one that has ended is left as it is.

        Args:
            tenant_id: the tenant.
            grant_id: the grant.
            by: the object id of the person who revokes it.
            any_grant: whether that person may revoke others' grants too.

        Raises:
            NotFound: if there is no such grant.
            Forbidden: if it is another's.
        """

        async def decide(now: datetime, sequence: int) -> tuple[_Entry | None, ReviewGrant]:
            grant = await self._grant(tenant_id, grant_id)
            if not any_grant and grant.requested_by != by:
                raise Forbidden(Forbidden.OTHERS_GRANT)
            if grant.status(now) not in {GrantStatus.PENDING, GrantStatus.APPROVED}:
                return None, grant
            revoked = grant.revoked(by, now)
            return _Entry("revoked", by, revoked, changes_grant=True), revoked

        return await self._commit(tenant_id, decide)

    async def end_all(self, tenant_id: str, enrollment_id: str, by: str) -> None:
        """Revoke all grants of an enrollment that an administrator let nobody read any more: the record says so too.

        What is on the ledger holds in any case; this is for whoever looks at the grants and at the access log.
        """
        before: int | None = None
        while True:
            page = await self.store.grants(tenant_id, limit=_LEDGER_PAGE, before=before)
            for grant in page.values:
                if grant.enrollment_id == enrollment_id:
                    await self.revoke(tenant_id, grant.grant_id, by, any_grant=True)
            before = page.next_before
            if before is None:
                return

    async def grants(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewGrant]:
        """Return the grants for a tenant's captures, the newest request first.

        Args:
            tenant_id: the tenant.
            limit: how many at most.
            before: only those whose request has a lower sequence in the access log.
        """
        return await self.store.grants(tenant_id, limit=limit, before=before)

    async def pending(self, *, limit: int) -> Sequence[ReviewGrant]:
        """Return the grants of all tenants that wait for an approver, the one that lapses first first.

        It opens nothing and says nothing of any capture, so this look goes on no record.

        Args:
            limit: how many at most; as they are decided on, others move up.
        """
        now = self.clock.now()
        return await self.store.pending_grants(now - APPROVAL_WITHIN, limit=limit)

    async def log(self, tenant_id: str, *, limit: int, before: int | None) -> Page[AccessRecord]:
        """Return a tenant's access log, newest first.

        Args:
            tenant_id: the tenant.
            limit: how many records at most.
            before: only those with a lower sequence.
        """
        return await self.store.log(tenant_id, limit=limit, before=before)

    async def days(self, tenant_id: str, reviewer: str) -> Sequence[date]:
        """Return the days of which there are captures that the reviewer may read, oldest first.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if the grant's data may no longer be read.
        """
        opened = await self._open(tenant_id, reviewer, "listed")
        now, ended = self.clock.now(), opened.ended
        last = now if ended.deadline is None else ended.deadline - deadlines.DELETION_PERIOD
        found = []
        for day in deadlines.enrollment_days(ended.enrollment.started_at, last):
            name = DayContainer(opened.grant.enrollment_id, day).name
            if self._day_is_live(day) and [each async for each in opened.store.list_containers(name, page_size=1)]:
                found.append(day)
        await self._look_again(tenant_id, opened)
        return [day for day in found if self._day_is_live(day)]

    async def batches(
        self, tenant_id: str, reviewer: str, day: date, *, limit: int, after: str | None
    ) -> Sequence[str]:
        """Return ids of a day's batches, in their order.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            day: the UTC day.
            limit: how many at most.
            after: only those that come after this one.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if nothing of that day may be read.
        """
        opened = await self._open(tenant_id, reviewer, "listed", day)
        container = DayContainer(opened.grant.enrollment_id, day).name
        try:
            batches = await opened.store.list_batches(container, limit=limit, after=after)
        except (ContainerMissing, ContainerBeingDeleted):
            raise NotFound(NotFound.DAY) from None
        await self._look_again(tenant_id, opened, day)
        return batches

    async def read(self, tenant_id: str, reviewer: str, day: date, batch_id: str) -> bytes:
        """Return one batch as JSON Lines, once the look is on the record.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if there is no such batch, or it may no longer be read.
            StoreUnavailable, Conflict: if the record could not be written; then storage has not been asked.
            Unavailable: if looking at the grant once more takes too long.
        """
        opened = await self._open(tenant_id, reviewer, "read", day, batch_id)
        container = DayContainer(opened.grant.enrollment_id, day).name
        try:
            content = await opened.store.read_batch(container, batch_id)
        except (ContainerMissing, ContainerBeingDeleted, BatchMissing):
            raise NotFound(NotFound.BATCH) from None
        try:
            lines = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise StoreUnavailable("batch-unreadable") from None
        await self._look_again(tenant_id, opened, day)
        return lines

    async def _open(
        self, tenant_id: str, reviewer: str, action: Action, day: date | None = None, batch_id: str | None = None
    ) -> _Opened:
        """Find what the reviewer's live grant opens, and put the look on the record."""

        async def decide(now: datetime, sequence: int) -> tuple[_Entry, _Opened]:
            grants = live_newest_first(await self.store.approved_grants(tenant_id, reviewer, now), now)
            grant, ended = await self._first_readable(tenant_id, grants)
            store = self.accounts.of(ended.enrollment)
            if day is not None and not self._day_is_live(day):
                raise NotFound(NotFound.DAY_GONE)  # however late retention is (P4)
            return _Entry(action, reviewer, grant, day=day, batch_id=batch_id), _Opened(grant, ended, store)

        return await self._commit(tenant_id, decide)

    async def _look_again(self, tenant_id: str, opened: _Opened, day: date | None = None) -> None:
        """Refuse what may no longer leave: storage may have been slow, and the grant revoked meanwhile (P7).

        Read again, and judged when all is read, with nothing to wait for behind it. What is read is believed for
        ``_LAST_LOOK_SECONDS``: nothing leaves later than that after a revocation.

        Raises:
            GrantRequired, NotFound: if it may no longer leave.
            Unavailable: if looking takes too long, again and again.
        """
        for _ in range(_LAST_LOOKS):
            started = Moment.now(self.clock)  # the machine may stand still between the answer and the look at the time
            ended = await self._readable(tenant_id, opened.grant.enrollment_id)
            grant = await self._grant(tenant_id, opened.grant.grant_id)
            if grant.status(self.clock.now()) is not GrantStatus.APPROVED:
                raise GrantRequired()
            if self._has_passed(ended.deadline) or (day is not None and not self._day_is_live(day)):
                raise NotFound(NotFound.DAY_GONE)
            if started.age < _LAST_LOOK_SECONDS:
                return
        raise Unavailable(Unavailable.GRANT)

    async def _first_readable(self, tenant_id: str, grants: Sequence[ReviewGrant]) -> tuple[ReviewGrant, _Ended]:
        if not grants:
            raise GrantRequired()
        for grant in grants[:-1]:  # one whose data is purged is dead, and hides none that is not
            with suppress(NotFound):
                return grant, await self._readable(tenant_id, grant.enrollment_id)
        return grants[-1], await self._readable(tenant_id, grants[-1].enrollment_id)

    async def _commit(self, tenant_id: str, decide: Callable[[datetime, int], Awaitable[tuple[_Entry | None, T]]]) -> T:
        """Decide and put it on the record, again and again until nobody came between; with no entry, only decide."""
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
            grant = entry.grant if entry.changes_grant else None
            try:
                await self.store.commit(record, grant, None if head is None else head.etag)
            except Conflict:
                if [record] != list((await self.store.log(tenant_id, limit=1, before=sequence + 1)).values):
                    continue
                # The conflict was with our own commit, sent twice because its first answer was lost.
            return result
        raise Conflict

    async def _readable(self, tenant_id: str, enrollment_id: str) -> _Ended:
        """Return the enrollment if its captures may be read: while it goes on, and after its end until it is purged."""
        stored = await self.ledger.read_setting(tenant_id)
        current = None if stored is None else stored.value.enrollment
        if current is not None and current.enrollment_id == enrollment_id:
            return _Ended(current)
        event, stopped = await self._opt_out_of(tenant_id, enrollment_id)
        if stopped:
            raise NotFound(NotFound.REVIEW_STOPPED)
        deletion = await self.deletions.read(tenant_id, enrollment_id)
        purged = deletion is not None and deletion.value.status != "scheduled"
        # However late the purge is: from the deadline on nothing is read (P5).
        if event is None or purged or self._has_passed(event.deadline):
            raise NotFound(NotFound.ENROLLMENT)
        return _Ended(event, event.deadline)

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

    async def _newest_enrollment(self, tenant_id: str) -> str:
        events = await self.ledger.history(tenant_id, limit=1, before=None)
        _refuse_unreadable(events)
        if not events.values:
            raise NotFound(NotFound.NEVER_SHARED)
        return events.values[0].enrollment_id

    async def _grant(self, tenant_id: str, grant_id: str) -> ReviewGrant:
        grant = await self.store.read_grant(tenant_id, grant_id)
        if grant is None:
            raise NotFound(NotFound.GRANT)
        return grant

    def _has_passed(self, deadline: datetime | None) -> bool:
        return deadline is not None and self.clock.now() >= deadline

    def _day_is_live(self, day: date) -> bool:
        return self.clock.now() < deadlines.day_deadline(day, self.accounts.retention_days)


def _refuse_unreadable(events: Page[Event]) -> None:
    if events.unreadable:
        raise StoreUnavailable(UNREADABLE_ITEM)


def _record(tenant_id: str, record_id: str, sequence: int, now: datetime, entry: _Entry) -> AccessRecord:
    about = entry.grant or entry.refused
    assert about is not None
    return AccessRecord(
        tenant_id=tenant_id,
        sequence=sequence,
        record_id=record_id,
        at=now,
        action=entry.action,
        actor=entry.actor,
        purpose=about.purpose,
        justification=about.justification,
        grant_id=entry.grant.grant_id if entry.grant else None,
        enrollment_id=about.enrollment_id,
        day=None if entry.day is None else entry.day.isoformat(),
        batch_id=entry.batch_id,
    )
