"""Grants, and reading captures under them: each on the record (P7, P10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shared.model.grants import (
    ABOUT_GRANTS,
    APPROVAL_WITHIN,
    AccessDetails,
    AccessRecord,
    GrantStatus,
    Purpose,
    ReviewGrant,
)
from shared.ports import (
    BatchMissing,
    ContainerBeingDeleted,
    ContainerMissing,
    Page,
    StoreUnavailable,
)
from shared.problems import (
    Forbidden,
    GrantNotPending,
    NotFound,
    PurposeRefused,
)
from shared.review.record import Entry, GrantRequest, Record
from shared.review.scanning import unpacked

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Access:
    """Grants and reads, each with its record."""

    record: Record

    async def request(self, tenant_id: str, reviewer: str, asked: GrantRequest) -> ReviewGrant:
        """Record a reviewer's wish and return the grant, pending.

        Raises:
            PurposeRefused: if captures may not be read for that; the wish is recorded all the same.
            NotFound: if the tenant has no enrollment whose captures may be read.
        """
        purpose = Purpose.named(asked.purpose)
        if purpose is None:

            async def refuse(now: datetime, sequence: int) -> tuple[Entry, None]:
                return Entry("purposeRefused", reviewer, asked), None

            await self.record.commit(tenant_id, refuse)
            raise PurposeRefused()
        grant_id = self.record.new_id()

        async def ask(now: datetime, sequence: int) -> tuple[Entry, ReviewGrant]:
            enrollment_id = asked.enrollment_id or await self.record.newest_enrollment(tenant_id)
            await self.record.readable(tenant_id, enrollment_id, now)
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
            return Entry("requested", reviewer, grant, grant=grant), grant

        return await self.record.commit(tenant_id, ask)

    async def approve(self, tenant_id: str, grant_id: str, approver: str) -> ReviewGrant:
        """Approve a pending grant and return it; approving it again changes nothing.

        Raises:
            NotFound: if there is no such grant, or its data may no longer be read.
            Forbidden: if the approver asked for it.
            GrantNotPending: if it was revoked, or has lapsed or expired.
        """

        async def decide(now: datetime, sequence: int) -> tuple[Entry | None, ReviewGrant]:
            grant = await self.record.grant(tenant_id, grant_id)
            if grant.requested_by == approver:
                raise Forbidden(Forbidden.OWN_GRANT)
            status = grant.status(now)
            if status is GrantStatus.APPROVED:
                return None, grant
            if status is not GrantStatus.PENDING:
                raise GrantNotPending(status)
            await self.record.readable(tenant_id, grant.enrollment_id, now)
            approved = grant.approved(approver, now)
            return Entry("approved", approver, approved, grant=approved), approved

        return await self.record.commit(tenant_id, decide)

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

        async def decide(now: datetime, sequence: int) -> tuple[Entry | None, ReviewGrant]:
            grant = await self.record.grant(tenant_id, grant_id)
            if not any_grant and grant.requested_by != by:
                raise Forbidden(Forbidden.OTHERS_GRANT)
            if grant.status(now) not in {GrantStatus.PENDING, GrantStatus.APPROVED}:
                return None, grant
            revoked = grant.revoked(by, now)
            return Entry("revoked", by, revoked, grant=revoked), revoked

        return await self.record.commit(tenant_id, decide)

    async def end_all(self, tenant_id: str, enrollment_id: str, by: str) -> None:
        """Revoke all grants of an enrollment that an administrator let nobody read any more: the record says so too.

        What is on the ledger holds in any case; this is for whoever looks at the grants and at the access log.
        """
        before: int | None = None
        while True:
            page = await self.record.store.grants(tenant_id, limit=_PAGE, before=before)
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
        return await self.record.store.grants(tenant_id, limit=limit, before=before)

    async def uses(self, tenant_id: str, grant_id: str) -> Mapping[str, int]:
        """Return how often what was done under a grant, by action; content-free, so this look goes on no record.

        Raises:
            NotFound: if there is no such grant.
        """
        await self.record.grant(tenant_id, grant_id)
        counts = await self.record.store.uses(tenant_id, grant_id)
        return {action: counts[action] for action in sorted(counts) if action not in ABOUT_GRANTS}

    async def pending(self, *, limit: int) -> Sequence[ReviewGrant]:
        """Return the grants of all tenants that wait for an approver, the one that lapses first first.

        It opens nothing and says nothing of any capture, so this look goes on no record.

        Args:
            limit: how many at most; as they are decided on, others move up.
        """
        now = self.record.clock.now()
        return await self.record.store.pending_grants(now - APPROVAL_WITHIN, limit=limit)

    async def log(self, tenant_id: str, *, limit: int, before: int | None) -> Page[AccessRecord]:
        """Return a tenant's access log, newest first.

        Args:
            tenant_id: the tenant.
            limit: how many records at most.
            before: only those with a lower sequence.
        """
        return await self.record.store.log(tenant_id, limit=limit, before=before)

    async def days(self, tenant_id: str, reviewer: str) -> Sequence[date]:
        """Return the days of which there are captures that the reviewer may read, oldest first.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if the grant's data may no longer be read.
        """
        opened = await self.record.open(tenant_id, reviewer, "listed")
        found = []
        for day in self.record.days(opened.readable):
            name = opened.container(day)
            if [each async for each in opened.store.list_containers(name, page_size=1)]:
                found.append(day)
        await self.record.look_again(opened)
        return [day for day in found if self.record.is_live(day)]

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
        opened = await self.record.open(tenant_id, reviewer, "listed", day=day)
        try:
            batches = await opened.store.list_batches(opened.container(day), limit=limit, after=after)
        except (ContainerMissing, ContainerBeingDeleted):
            raise NotFound(NotFound.DAY) from None
        await self.record.look_again(opened, day)
        return batches

    async def read(self, tenant_id: str, reviewer: str, day: date, batch_id: str) -> bytes:
        """Return one batch as JSON Lines, once the look is on the record.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if there is no such batch, or it may no longer be read.
            StoreUnavailable, Conflict: if the record could not be written; then storage has not been asked.
            Unavailable: if looking at the grant once more takes too long.
        """
        opened = await self.record.open(tenant_id, reviewer, "read", AccessDetails(batch_id=batch_id), day=day)
        try:
            content = await opened.store.read_batch(opened.container(day), batch_id)
        except (ContainerMissing, ContainerBeingDeleted, BatchMissing):
            raise NotFound(NotFound.BATCH) from None
        lines = unpacked(content)
        if lines is None:
            raise StoreUnavailable("batch-unreadable")
        await self.record.look_again(opened, day)
        return lines
