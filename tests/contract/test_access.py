"""What the rules rely on in any ``AccessStore``, and in reading from any ``CaptureStore``."""

import asyncio
import uuid
from datetime import datetime, timedelta

import pytest

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
    with pytest.raises(BatchMissing):
        await captures.read_batch(name, d)
