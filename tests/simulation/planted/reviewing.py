"""Bugs of grants, records and reads, and of content where it may not be (P7, P8, P10)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Moment
from shared.model import deadlines
from shared.model.capture import Submission
from shared.model.deletion import Deletion
from shared.model.grants import AccessRecord, GrantStatus, ReviewGrant
from shared.ports import Conflict, Page, ReviewPermit, StoreUnavailable
from shared.problems import Forbidden, PurposeRefused
from shared.review import record as record_module
from shared.review.access import Access
from shared.review.record import GrantRequest, Record
from shared.sharing.captures import Captures
from shared.stores.memory import MemoryAccess
from tests.simulation.planted.registry import Instead, mutant, patched

_log = logging.getLogger("shared.sharing.captures")


@mutant("a look leaves no record")
def _() -> Iterator[None]:
    commit = Record.commit

    async def unrecorded(self: Record, tenant_id: str, decide: Any) -> Any:
        if "open" not in decide.__qualname__:
            return await commit(self, tenant_id, decide)
        return (await decide(self.clock.now(), 1))[1]

    with patched(Record, "commit", unrecorded):
        yield


@mutant("a record that fails opens all the same")
def _() -> Iterator[None]:
    commit = Record.commit

    async def hopeful(self: Record, tenant_id: str, decide: Any) -> Any:
        try:
            return await commit(self, tenant_id, decide)
        except (StoreUnavailable, Conflict):
            return (await decide(self.clock.now(), 1))[1]

    with patched(Record, "commit", hopeful):
        yield


@mutant("whoever asked may approve")
def _() -> Iterator[None]:
    approve = Access.approve

    async def anyone(self: Access, tenant_id: str, grant_id: str, approver: str) -> ReviewGrant:
        try:
            return await approve(self, tenant_id, grant_id, approver)
        except Forbidden:

            async def decide(now: datetime, sequence: int) -> Any:
                approved = (await self.record.grant(tenant_id, grant_id)).approved(approver, now)
                return record_module.Entry("approved", approver, approved, grant=approved), approved

            return await self.record.commit(tenant_id, decide)

    with patched(Access, "approve", anyone):
        yield


def _instead(status: GrantStatus, another: GrantStatus) -> Any:
    stands = ReviewGrant.status

    def told(self: ReviewGrant, now: datetime) -> GrantStatus:
        found = stands(self, now)
        return another if found is status else found

    return patched(ReviewGrant, "status", told)


@mutant("a grant that lapsed is approved")
def _() -> Iterator[None]:
    with _instead(GrantStatus.LAPSED, GrantStatus.PENDING):
        yield


@mutant("a grant that expired opens")
def _() -> Iterator[None]:
    approved = MemoryAccess.approved_grants

    async def longer(self: MemoryAccess, tenant_id: str, reviewer: str, now: datetime) -> Sequence[ReviewGrant]:
        return await approved(self, tenant_id, reviewer, now - timedelta(days=1))

    with _instead(GrantStatus.EXPIRED, GrantStatus.APPROVED), patched(MemoryAccess, "approved_grants", longer):
        yield


@mutant("a grant that was revoked opens")
def _() -> Iterator[None]:
    with patched(
        record_module, "live_newest_first", lambda grants, now: sorted(grants, key=lambda each: -each.sequence)
    ):
        yield


@mutant("approvers are told of what has been decided on")
def _() -> Iterator[None]:
    async def all_of_them(self: MemoryAccess, since: datetime, *, limit: int) -> Sequence[ReviewGrant]:
        return [each for each in self.granted.values() if each.requested_at > since][:limit]

    with patched(MemoryAccess, "pending_grants", all_of_them):
        yield


@mutant("approvers are not told of the grant that lapses first")
def _() -> Iterator[None]:
    pending = MemoryAccess.pending_grants

    async def others(self: MemoryAccess, since: datetime, *, limit: int) -> Sequence[ReviewGrant]:
        return (await pending(self, since, limit=limit))[1:]

    with patched(MemoryAccess, "pending_grants", others):
        yield


@mutant("another reviewer's grant opens")
def _() -> Iterator[None]:
    async def of_all(self: MemoryAccess, tenant_id: str, reviewer: str, now: datetime) -> Sequence[ReviewGrant]:
        return [each for each in self._of(tenant_id) if each.expires_at is not None and each.expires_at > now]

    with patched(MemoryAccess, "approved_grants", of_all):
        yield


@mutant("what was decided before a conflict is written after it")
def _() -> Iterator[None]:
    commit = Record.commit

    async def once(self: Record, tenant_id: str, decide: Any) -> Any:
        decided: list[Any] = []

        async def first(now: datetime, sequence: int) -> Any:
            decided[:] = decided or [await decide(now, sequence)]
            return decided[0]

        return await commit(self, tenant_id, first)

    with patched(Record, "commit", once):
        yield


@mutant("a record whose answer was lost is written again")
def _() -> Iterator[None]:
    commit = Record.commit

    async def again(self: Record, tenant_id: str, decide: Any) -> Any:
        class Store(Instead):
            async def log(_, *args: Any, **how: Any) -> Page[AccessRecord]:
                return Page([])

        return await commit(replace(self, store=Store(self.store)), tenant_id, decide)  # type: ignore[arg-type]

    with patched(Record, "commit", again):
        yield


@mutant("content leaves though its grant ended meanwhile")
def _() -> Iterator[None]:
    async def trusting(self: Record, *what: Any) -> ReviewPermit:
        return ReviewPermit(Moment.now(self.clock), self.clock.now() + timedelta(hours=1))

    with patched(Record, "look_again", trusting):
        yield


@mutant("a last look is believed however long it took")
def _() -> Iterator[None]:
    with patched(deadlines, "LOOK_SECONDS", 1e9):
        yield


def _recorded(**instead: Any) -> Any:
    record = record_module._record

    def other(*args: Any) -> AccessRecord:
        return record(*args).model_copy(update=instead)

    return patched(record_module, "_record", other)


@mutant("a record without its day")
def _() -> Iterator[None]:
    with _recorded(day=None):
        yield


@mutant("a record without its batch")
def _() -> Iterator[None]:
    with _recorded(batch_id=None):
        yield


@mutant("a record without its purpose")
def _() -> Iterator[None]:
    with _recorded(purpose="improve"):
        yield


@mutant("a purpose is refused off the record")
def _() -> Iterator[None]:
    request = Access.request

    async def unsaid(self: Access, tenant_id: str, reviewer: str, asked: GrantRequest) -> ReviewGrant:
        if asked.purpose not in {"build", "improve", "validate"}:
            raise PurposeRefused()
        return await request(self, tenant_id, reviewer, asked)

    with patched(Access, "request", unsaid):
        yield


@mutant("any purpose is a purpose")
def _() -> Iterator[None]:
    request = Access.request

    async def lenient(self: Access, tenant_id: str, reviewer: str, asked: GrantRequest) -> ReviewGrant:
        if asked.purpose not in {"build", "improve", "validate"}:
            asked = replace(asked, purpose="improve")
        return await request(self, tenant_id, reviewer, asked)

    with patched(Access, "request", lenient):
        yield


@mutant("an old grant opens the newest enrollment")
def _() -> Iterator[None]:
    opens = Record.open

    async def newest(self: Record, tenant_id: str, *what: Any, **how: Any) -> Any:
        opened = await opens(self, tenant_id, *what, **how)
        enrollment_id = await self.newest_enrollment(tenant_id)
        enrollment = opened.readable.enrollment.model_copy(update={"enrollment_id": enrollment_id})
        return replace(opened, readable=replace(opened.readable, enrollment=enrollment))

    with patched(Record, "open", newest):
        yield


@mutant("the newest event is taken for one of the newest enrollment")
def _() -> Iterator[None]:
    newest = Record.newest_enrollment

    async def of_newest_event(self: Record, tenant_id: str) -> str:
        events = await self.ledger.history(tenant_id, limit=1, before=None)
        return events.values[0].enrollment_id if events.values else await newest(self, tenant_id)

    with patched(Record, "newest_enrollment", of_newest_event):
        yield


@mutant("a day is read whatever its deadline")
def _() -> Iterator[None]:
    with patched(Record, "is_live", lambda self, day, at=None: True):
        yield


@mutant("the access log leaves out looks")
def _() -> Iterator[None]:
    log = Access.log

    async def discreet(self: Access, *args: Any, **how: Any) -> Page[AccessRecord]:
        page = await log(self, *args, **how)
        return replace(page, values=[each for each in page.values if each.action != "listed"])

    with patched(Access, "log", discreet):
        yield


@mutant("a refused capture is logged with its text")
def _() -> Iterator[None]:
    submit = Captures.submit

    async def talkative(self: Captures, tenant_id: str, submission: Submission) -> Any:
        try:
            return await submit(self, tenant_id, submission)
        except Exception:
            _log.info("refused: %s", submission.batch.captures[0].input)
            raise

    with patched(Captures, "submit", talkative):
        yield


@mutant("a batch is named by its key")
def _() -> Iterator[None]:
    with patched(Submission, "batch_id", lambda self, *_: self.idempotency_key):
        yield


@mutant("a failed deletion tells what it could not delete")
def _() -> Iterator[None]:
    failed = Deletion.failed

    def told(self: Deletion, now: datetime, error: str) -> Deletion:
        return failed(self, now, "could not delete the batch with tag-1")

    with patched(Deletion, "failed", told):
        yield
