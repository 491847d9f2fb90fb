"""What the rules rely on in any ``AccessStore``, and in reading from any ``CaptureStore``."""

import asyncio
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.model.exports import ReviewExport
from shared.model.ledger import Enrollment
from shared.ports import AccessStore, BatchMissing, CaptureStore, Conflict, ContainerMissing
from tests.clocks import START
from tests.contract.items import grant, new_name, record
from tests.world import permit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def etag_of(access: AccessStore, tenant: str) -> str | None:
    head = await access.head(tenant)
    return None if head is None else head.etag


async def test_records_follow_one_another_and_of_concurrent_ones_exactly_one_is_next(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    assert await access.head(tenant) is None
    for sequence in (1, 2):
        etag = await etag_of(access, tenant)
        calls = (access.commit(record(tenant, sequence, actor=f"{n}"), None, etag) for n in range(6))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert answers.count(None) == 1
        assert all(isinstance(answer, Conflict) for answer in answers if answer is not None)
        head = await access.head(tenant)
        assert head is not None and head.value == sequence
    assert [each.sequence for each in (await access.log(tenant, limit=10, before=None)).values] == [2, 1]


async def test_a_grant_is_committed_with_its_record_or_not_at_all(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    one = grant(tenant, 1)
    await access.commit(record(tenant, 1, action="requested"), one, None)
    assert await access.read_grant(tenant, one.grant_id) == one
    approved = one.approved("approver", START)
    with pytest.raises(Conflict):
        await access.commit(record(tenant, 2, action="approved"), approved, None)
    assert await access.read_grant(tenant, one.grant_id) == one
    await access.commit(record(tenant, 2, action="approved"), approved, await etag_of(access, tenant))
    assert await access.read_grant(tenant, one.grant_id) == approved
    assert await access.read_grant(str(uuid.uuid4()), one.grant_id) is None


async def test_approved_grants_are_the_reviewers_that_have_not_ended(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    mine, pending, others = grant(tenant, 1), grant(tenant, 2), grant(tenant, 3, "other")
    approved = [mine.approved("approver", START), pending, others.approved("approver", START)]
    for sequence, each in enumerate(approved, 1):
        await access.commit(record(tenant, sequence), each, await etag_of(access, tenant))
    end = START + timedelta(hours=1)
    assert await access.approved_grants(tenant, "reviewer", end - timedelta(microseconds=1)) == [approved[0]]
    assert await access.approved_grants(tenant, "reviewer", end) == []
    assert [each.sequence for each in (await access.grants(tenant, limit=2, before=None)).values] == [3, 2]
    assert [each.sequence for each in (await access.grants(tenant, limit=2, before=2)).values] == [1]


async def test_what_waits_for_an_approver_is_listed_once_for_all_tenants(access: AccessStore) -> None:
    long_ago = START - timedelta(days=3000)  # before those of all other tests
    tenants = [str(uuid.uuid4()) for _ in range(4)]
    asked = [
        grant(tenant, 1).model_copy(update={"requested_at": long_ago + timedelta(hours=hours)})
        for tenant, hours in zip(tenants, (2, 1, 0, 3), strict=True)
    ]
    for each in asked:
        await access.commit(record(each.tenant_id, 1), each, None)
    mine = set(tenants)

    async def waiting(since: datetime, limit: int = 3) -> list[str]:
        found = await access.pending_grants(since, limit=limit)
        return [each.tenant_id for each in found if each.tenant_id in mine]

    before = long_ago - timedelta(microseconds=1)
    assert await waiting(before) == [tenants[2], tenants[1], tenants[0]]
    assert await waiting(before, 1) == [tenants[2]]
    assert await waiting(long_ago) == [tenants[1], tenants[0], tenants[3]], "who asked at that instant has lapsed"
    for each in (asked[0].approved("approver", long_ago), asked[1].revoked("approver", long_ago)):
        await access.commit(record(each.tenant_id, 2), each, await etag_of(access, each.tenant_id))
    assert await waiting(before) == [tenants[2], tenants[3]]


async def test_the_log_is_paged_newest_first(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    written = [record(tenant, n, day="2026-11-21", batch_id="b", grant_id="g") for n in range(1, 13)]
    for each in written:
        await access.commit(each, None, await etag_of(access, tenant))
    pages = [(await access.log(tenant, limit=5, before=before)).values for before in (None, 8, 3)]
    assert [each for page in pages for each in page] == list(reversed(written))


def exported(tenant: str, sequence: int, **more: Any) -> ReviewExport:
    values: dict[str, Any] = {
        "export_id": uuid.uuid4().hex,
        "enrollment": Enrollment(
            enrollment_id=uuid.uuid4().hex, geo="europe", storage_account="steurope", started_at=START
        ),
        "grant_id": uuid.uuid4().hex,
        "requested_by": "reviewer",
        "requested_at": START,
        "first_day": START.date(),
        "last_day": START.date() + timedelta(days=3),
        "filtered_by": ("feature", "text"),
    }
    return ReviewExport(tenant_id=tenant, sequence=sequence, **(values | more))


async def test_an_export_is_committed_with_its_record_or_not_at_all(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    one = exported(tenant, 1)
    assert await access.read_export(tenant, one.export_id) is None
    await access.commit(record(tenant, 1, action="exportRequested"), None, None, export=one)
    assert await access.read_export(tenant, one.export_id) == one
    ready = one.model_copy(
        update={
            "status": "ready",
            "unfinished": False,
            "day": one.first_day,
            "newest_day": one.last_day,
            "captures": 7,
            "bytes": 5_000_000_000,
            "sha256": "a" * 64,
            "etag": '"0x8D"',
            "finished_at": START + timedelta(microseconds=1),
        }
    )
    with pytest.raises(Conflict):
        await access.commit(record(tenant, 2, action="exportReady"), None, None, export=ready)
    assert await access.read_export(tenant, one.export_id) == one
    await access.commit(record(tenant, 2, action="exportReady"), None, await etag_of(access, tenant), export=ready)
    assert await access.read_export(tenant, one.export_id) == ready
    assert await access.read_export(str(uuid.uuid4()), one.export_id) is None
    assert await access.read_grant(tenant, one.export_id) is None


async def test_the_exports_of_a_tenant_are_paged_newest_first(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    made = [exported(tenant, sequence) for sequence in (1, 2, 3)]
    for each in made:
        await access.commit(record(tenant, each.sequence), None, await etag_of(access, tenant), export=each)
    await access.commit(record(tenant, 4), grant(tenant, 4), await etag_of(access, tenant))
    page = await access.exports(tenant, limit=2, before=None)
    assert (page.values, page.unreadable, page.next_before) == ([made[2], made[1]], 0, 2)
    page = await access.exports(tenant, limit=2, before=2)
    assert (page.values, page.next_before) == ([made[0]], None)
    assert list((await access.exports(str(uuid.uuid4()), limit=2, before=None)).values) == []


async def test_what_is_unfinished_is_listed_for_all_tenants_the_oldest_first(access: AccessStore) -> None:
    long_ago = START - timedelta(days=3000)  # before those of all other tests
    tenants = [str(uuid.uuid4()) for _ in range(4)]
    made = [
        exported(tenant, 1, requested_at=long_ago + timedelta(hours=hours), unfinished=unfinished, status=status)
        for tenant, hours, unfinished, status in zip(
            tenants, (2, 1, 0, 3), (True, True, False, True), ("running", "stopped", "ready", "running"), strict=True
        )
    ]
    for each in made:
        await access.commit(record(each.tenant_id, 1), None, None, export=each)

    async def unfinished(limit: int = 3) -> list[str]:
        found = await access.unfinished_exports(limit=limit)
        return [each.tenant_id for each in found if each.tenant_id in set(tenants)]

    assert await unfinished() == [tenants[1], tenants[0], tenants[3]]
    assert await unfinished(1) == [tenants[1]]
    for each in (made[0], made[1], made[3]):
        done = each.model_copy(update={"unfinished": False})
        await access.commit(record(each.tenant_id, 2), None, await etag_of(access, each.tenant_id), export=done)
    assert await unfinished() == []


async def test_a_head_that_was_moved_refuses_whoever_decided_on_what_was_before(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    with pytest.raises(Conflict):
        await access.move_head(tenant, '"0"')
    await access.commit(record(tenant, 1), None, None)
    before = await etag_of(access, tenant)
    assert before is not None
    await access.move_head(tenant, before)
    head = await access.head(tenant)
    assert head is not None and (head.value, head.etag != before) == (1, True), "it says the same, under another etag"
    one = exported(tenant, 1)
    for refused in (
        access.commit(record(tenant, 2), None, before),
        access.move_head(tenant, before),
        access.move_head(tenant, before, export=one),
    ):
        with pytest.raises(Conflict):
            await refused
    assert await access.read_export(tenant, one.export_id) is None
    assert [each.sequence for each in (await access.log(tenant, limit=9, before=None)).values] == [1]
    await access.move_head(tenant, head.etag, export=one)
    assert await access.read_export(tenant, one.export_id) == one
    await access.commit(record(tenant, 2), None, await etag_of(access, tenant))
    assert [each.sequence for each in (await access.log(tenant, limit=9, before=None)).values] == [2, 1]


async def test_of_those_who_move_a_head_at_a_time_exactly_one_does(access: AccessStore) -> None:
    tenant = str(uuid.uuid4())
    await access.commit(record(tenant, 1), None, None)
    etag = await etag_of(access, tenant)
    assert etag is not None
    moves = [access.move_head(tenant, etag, export=exported(tenant, 1)) for _ in range(4)]
    commits = [access.commit(record(tenant, 2), None, etag) for _ in range(2)]
    answers = await asyncio.gather(*moves, *commits, return_exceptions=True)
    assert answers.count(None) == 1
    assert all(isinstance(answer, Conflict) for answer in answers if answer is not None)
    made = len((await access.exports(tenant, limit=9, before=None)).values)
    assert made == (answers[:4].count(None)), "an export is stored with its move or not at all"


async def test_downloads_are_those_of_one_enrollments_exports_by_sequence(access: AccessStore) -> None:
    tenant, mine, others = str(uuid.uuid4()), uuid.uuid4().hex, uuid.uuid4().hex
    written = []
    for sequence in range(1, 13):
        download = sequence % 3 == 0
        more: dict[str, Any] = {"export_id": uuid.uuid4().hex, "sha256": "a" * 64, "first_byte": 0, "last_byte": 9}
        each = record(
            tenant,
            sequence,
            action="exportDownloaded" if download else "exportReady",
            enrollment_id=others if sequence == 6 else mine,
            **more,
        )
        await access.commit(each, None, await etag_of(access, tenant))
        if download and sequence != 6:
            written.append(each)
    assert await access.downloads(tenant, mine, limit=9) == written
    assert await access.downloads(tenant, mine, limit=2) == written[:2]
    assert await access.downloads(tenant, mine, limit=2, after=written[1].sequence) == written[2:]
    assert await access.downloads(tenant, mine, limit=2, after=written[2].sequence) == []
    assert [each.sequence for each in await access.downloads(tenant, others, limit=9)] == [6]
    assert await access.downloads(str(uuid.uuid4()), mine, limit=9) == []


async def test_uses_are_counted_by_action_under_one_grant(access: AccessStore) -> None:
    tenant, mine, others = str(uuid.uuid4()), uuid.uuid4().hex, uuid.uuid4().hex
    done = ["requested", "approved", "read", "labelled", "read", "exportDownloaded", "read"]
    for sequence, action in enumerate(done, 1):
        of = others if sequence == len(done) else mine
        await access.commit(record(tenant, sequence, action=action, grant_id=of), None, await etag_of(access, tenant))
    await access.commit(record(tenant, len(done) + 1, action="purposeRefused"), None, await etag_of(access, tenant))
    assert dict(await access.uses(tenant, mine)) == {
        "requested": 1,
        "approved": 1,
        "read": 2,
        "labelled": 1,
        "exportDownloaded": 1,
    }
    assert dict(await access.uses(tenant, others)) == {"read": 1}
    assert dict(await access.uses(tenant, uuid.uuid4().hex)) == dict(await access.uses(str(uuid.uuid4()), mine)) == {}


async def test_batches_are_listed_in_their_order_and_read_as_stored(captures: CaptureStore) -> None:
    name = new_name()
    with pytest.raises(ContainerMissing):
        await captures.list_batches(name, limit=1, after=None)
    with pytest.raises(ContainerMissing):
        await captures.read_batch(name, "b" * 32)
    await captures.create_container(permit(), name)
    assert list(await captures.list_batches(name, limit=10, after=None)) == []
    content = b"\x1f\x8b\x00 any bytes"
    a, b, c, d = (letter * 32 for letter in "abcd")
    for batch_id in (c, a, b):
        await captures.put_batch(permit(), name, batch_id, content, "hash")
    assert list(await captures.list_batches(name, limit=2, after=None)) == [a, b]
    assert list(await captures.list_batches(name, limit=2, after=b)) == [c]
    assert await captures.read_batch(name, a) == content
    assert [await captures.read_batch(name, a, most=most) for most in (5, 99)] == [content[:5], content]
    await captures.put_batch(permit(), name, "e" * 32, b"", "hash")
    assert await captures.read_batch(name, "e" * 32, most=5) == b""
    with pytest.raises(BatchMissing):
        await captures.read_batch(name, d)
