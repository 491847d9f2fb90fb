"""What the rules rely on in any ``DeletionStore`` and ``OperationStore``."""

import asyncio
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import Enrollment, OptedOut
from shared.ports import LOOKUP_MAX, Conflict, DeletionStore, OperationStore
from tests.clocks import START
from tests.contract.items import deletion, new_account
from tests.keeping import keep

pytestmark = pytest.mark.asyncio(loop_scope="session")


def verified(deletion: Deletion, at: datetime = START) -> Deletion:
    """A deletion that was purged at that time and is called verified."""
    facts = {name: getattr(deletion, name) for name in (*Enrollment.model_fields, "tenant_id", "sequence", "deadline")}
    event = OptedOut(**facts, at=deletion.opted_out_at, actor="admin", previous_hash=64 * "a")
    return deletion.purged(at, deleted=0).verified(at + timedelta(minutes=5), event, ())


async def test_a_deletion_is_created_once_and_left_as_it_is(deletions: DeletionStore) -> None:
    first = deletion()
    assert await deletions.create(first) is True
    later = first.model_copy(update={"deadline": first.deadline + timedelta(days=1)})
    assert await deletions.create(later) is False
    stored = await deletions.read(first.tenant_id, first.enrollment_id)
    assert stored is not None and stored.value == first
    assert await deletions.read(str(uuid.uuid4()), first.enrollment_id) is None


async def test_of_concurrent_creates_exactly_one_is_first(deletions: DeletionStore) -> None:
    one = deletion()
    assert sorted(await asyncio.gather(*(deletions.create(one) for _ in range(8)))) == [False] * 7 + [True]


async def test_a_replacement_needs_the_etag_that_was_read(deletions: DeletionStore) -> None:
    first = deletion()
    await deletions.create(first)
    stored = await deletions.read(first.tenant_id, first.enrollment_id)
    assert stored is not None
    purged = first.purged(START, deleted=3)
    await deletions.replace(purged, stored.etag)
    with pytest.raises(Conflict):
        await deletions.replace(first, stored.etag)
    stored = await deletions.read(first.tenant_id, first.enrollment_id)
    assert stored is not None and stored.value == purged
    done = verified(purged)
    await deletions.replace(done, stored.etag)
    stored = await deletions.read(first.tenant_id, first.enrollment_id)
    assert stored is not None and stored.value == done and stored.value.receipt == done.receipt


async def test_a_tenants_deletions_newest_first_and_paged(deletions: DeletionStore) -> None:
    tenant = str(uuid.uuid4())
    for sequence in (2, 10, 4, 6, 8):
        await deletions.create(deletion(tenant, sequence=sequence))
    await deletions.create(deletion(sequence=12))
    assert [each.sequence for each in (await deletions.list(tenant, limit=3, before=None)).values] == [10, 8, 6]
    assert [each.sequence for each in (await deletions.list(tenant, limit=3, before=6)).values] == [4, 2]


async def test_due_are_those_of_the_account_that_may_begin_and_do_not_wait_by_deadline(
    deletions: DeletionStore,
) -> None:
    account, now = new_account(), START + timedelta(days=28)
    latest, tick = now + timedelta(hours=1, seconds=60), timedelta(microseconds=1)
    expected = [
        deletion(account=account, opted_out_at=START - timedelta(days=9), attempts=10),
        deletion(account=account, opted_out_at=START - timedelta(days=3), attempts=1, retry_at=now),
        # A time ahead of what any failure of ours leads to is not believed, and work is not stopped by it.
        deletion(account=account, opted_out_at=START - timedelta(days=2), retry_at=latest + tick),
        deletion(account=account, opted_out_at=START - timedelta(days=1)),
        deletion(account=account, opted_out_at=START),  # may begin right now
    ]
    others = [
        deletion(account=account, opted_out_at=START - timedelta(days=9), retry_at=now + tick),
        deletion(account=account, opted_out_at=START - timedelta(days=9), retry_at=latest),
        deletion(account=account, opted_out_at=START).purged(now + timedelta(seconds=60), deleted=0),
        deletion(account=account, opted_out_at=START + timedelta(microseconds=1)),
        deletion(account=account, opted_out_at=START - timedelta(days=5)).purged(START, deleted=0),
        deletion(account=new_account(), opted_out_at=START - timedelta(days=5)),
    ]
    for each in [*reversed(expected), *others]:
        await deletions.create(each)
    found = [stored async for stored in deletions.due(account, now)]
    assert [stored.value for stored in found] == expected
    for failed in (False, True):
        some = [stored.value async for stored in deletions.due(account, now, failed=failed)]
        assert some == [each for each in expected if (each.retry_at is not None) == failed] != []
    await deletions.replace(expected[0].purged(now, deleted=0), found[0].etag)
    assert [stored.value async for stored in deletions.due(account, now)] == expected[1:]


async def test_unverified_are_those_purged_long_enough_ago(deletions: DeletionStore) -> None:
    account = new_account()
    purged = [
        deletion(account=account).purged(START + timedelta(seconds=n, microseconds=n % 2), deleted=0) for n in range(5)
    ]
    for each in purged:
        await deletions.create(each)
    await deletions.create(deletion(account=account))
    await deletions.create(verified(deletion(account=account), START))
    assert purged[3].purged_at is not None
    found = [stored.value async for stored in deletions.unverified(account, purged[3].purged_at, START)]
    assert sorted(found, key=lambda each: each.purged_at or START) == purged[:4]


async def test_of_each_tenant_at_most_its_share_is_found_however_many_it_has(deletions: DeletionStore) -> None:
    account, now = new_account(), START + timedelta(days=28)
    flood, *others = (str(uuid.uuid4()) for _ in range(4))
    many = [deletion(flood, account, START - timedelta(days=2, seconds=n)) for n in range(450)]
    few = [deletion(tenant, account, START - timedelta(hours=n)) for n in range(3) for tenant in others]
    await asyncio.gather(*(deletions.create(each) for each in (*many, *few)))
    found = [stored.value async for stored in deletions.due(account, now, of_tenant=2)]
    assert found[:2] == [many[449], many[448]], "by deadline"
    assert {(each.tenant_id, each.opted_out_at) for each in found[2:]} == {
        (tenant, START - timedelta(hours=n)) for n in (1, 2) for tenant in others
    }
    assert len([each async for each in deletions.due(account, now)]) == 459
    some = [stored async for stored in deletions.due(account, now, of_tenant=3)]
    for stored in some:
        await deletions.replace(stored.value.purged(now, deleted=0), stored.etag)
    looked = [stored.value async for stored in deletions.unverified(account, now, now, of_tenant=1)]
    assert {each.tenant_id for each in looked} == {flood, *others} and len(looked) == 4


async def test_a_second_look_that_failed_waits_as_a_first_one_does(deletions: DeletionStore) -> None:
    account = new_account()
    purged = deletion(account=account).purged(START, deleted=0)
    await deletions.create(purged.failed(START, "storage-503"))
    for after, number in ((timedelta(minutes=5, microseconds=-1), 0), (timedelta(minutes=5), 1)):
        now = START + after
        assert len([each async for each in deletions.unverified(account, START, now)]) == number
        assert len([each async for each in deletions.unverified(account, START, now, failed=True)]) == number
        assert [each async for each in deletions.unverified(account, START, now, failed=False)] == []


async def test_more_than_a_page_is_found_whole_while_it_is_worked_on(deletions: DeletionStore) -> None:
    account = new_account()
    many = [deletion(account=account, opted_out_at=START - timedelta(seconds=n)) for n in range(130)]
    await asyncio.gather(*(deletions.create(each) for each in many))
    seen = set()
    async for stored in deletions.due(account, START + timedelta(days=28)):
        seen.add(stored.value.enrollment_id)
        await deletions.replace(stored.value.purged(START, deleted=0), stored.etag)
    left = {stored.value.enrollment_id async for stored in deletions.due(account, START + timedelta(days=28))}
    assert seen | left == {each.enrollment_id for each in many}


async def test_counts_tell_what_is_not_finished(deletions: DeletionStore) -> None:
    account = new_account()
    now = START + timedelta(days=30)
    empty = await deletions.counts(account, now)
    assert (empty.pending, empty.overdue, empty.oldest_deadline) == (0, 0, None)
    late = deletion(account=account, opted_out_at=START - timedelta(seconds=1))
    for each in (
        late,
        deletion(account=account),  # at its deadline, not past it
        deletion(account=account, opted_out_at=START + timedelta(days=1)).purged(START, deleted=0),
        verified(deletion(account=account, opted_out_at=START - timedelta(days=9)), START),
    ):
        await deletions.create(each)
    counts = await deletions.counts(account, now)
    assert (counts.pending, counts.overdue, counts.oldest_deadline) == (3, 1, late.deadline)


async def test_overdue_counts_those_of_every_account(deletions: DeletionStore) -> None:
    now = START + timedelta(days=30)
    before = await deletions.overdue(now)
    for opted_out_at in (START, START - timedelta(microseconds=1)):
        for account in (new_account(), new_account()):
            await deletions.create(deletion(account=account, opted_out_at=opted_out_at))
    assert await deletions.overdue(now) == before + 2


async def test_the_longest_overdue_come_first(
    deletions: DeletionStore,
) -> None:
    long_ago = START - timedelta(days=3000)  # before those of all other tests
    owed = [deletion(opted_out_at=long_ago + timedelta(days=n)) for n in range(3)]
    for each in owed:
        await deletions.create(each)
    now = long_ago + timedelta(days=32)
    assert await deletions.list_overdue(now, limit=10) == owed[:2]
    assert await deletions.list_overdue(now, limit=1) == owed[:1]
    for each, at in ((owed[0], owed[0].deadline), (owed[1], owed[1].deadline - timedelta(minutes=5))):
        stored = await deletions.read(each.tenant_id, each.enrollment_id)
        assert stored is not None
        await deletions.replace(verified(each, at), stored.etag)
    assert await deletions.list_overdue(now, limit=10) == []


async def test_the_deletions_come_by_tenant_and_those_of_one_by_ranges_of_sequences(deletions: DeletionStore) -> None:
    tenants = sorted(str(uuid.uuid4()) for _ in range(5))
    many = [deletion(tenant, sequence=n) for tenant in tenants for n in (2, 4)]
    for each in many:
        await deletions.create(each)
    for at_most, whole in ((2, True), (1, False)):
        found = [each async for each in deletions.tenants(tenants[0], at_most=at_most)]
        assert [each.tenant_id for each in found] == sorted({each.tenant_id for each in found})
        mine = {each.tenant_id: each for each in found if each.tenant_id in tenants}
        assert list(mine) == tenants[1:] and {each.whole for each in mine.values()} == {whole}
        assert all(len(each.deletions) == at_most for each in mine.values())
    ranges = {(0, 1): [], (0, 2): [2], (1, 4): [2, 4], (2, 4): [4], (4, 9): [], (2, 2**53): [4]}
    for (after, until), sequences in ranges.items():
        some = [stored async for stored in deletions.of_sequences(tenants[1], after, until)]
        assert sorted(stored.value.sequence for stored in some if stored) == sequences


@pytest.mark.parametrize("more", [0, LOOKUP_MAX - 4])
async def test_verified_among_some_enrollments_are_the_finished_ones_of_them(
    deletions: DeletionStore, more: int
) -> None:
    finished = [verified(deletion(), START) for _ in range(3)]
    unfinished = [deletion(), deletion().purged(START, deleted=0)]
    for each in (*finished, *unfinished):
        await deletions.create(each)
    asked = [each.enrollment_id for each in (*finished[:2], *unfinished)] + [uuid.uuid4().hex for _ in range(more)]
    found = [enrollment_id async for enrollment_id in deletions.verified_among(asked)]
    assert sorted(found) == sorted(each.enrollment_id for each in finished[:2])


async def test_of_some_enrollments_those_that_have_a_deletion_are_told_whatever_became_of_it(
    deletions: DeletionStore,
) -> None:
    there = [deletion(), deletion().purged(START, deleted=0), verified(deletion(), START)]
    for each in there:
        await deletions.create(each)
    keys = {(each.tenant_id, each.enrollment_id) for each in there}
    elsewhere = (str(uuid.uuid4()), there[0].enrollment_id)  # another tenant's of that name is not this one
    assert await deletions.existing({*keys, elsewhere, (str(uuid.uuid4()), uuid.uuid4().hex)}) == keys
    many = [(str(uuid.uuid4()), uuid.uuid4().hex) for _ in range(LOOKUP_MAX - len(keys))]
    assert await deletions.existing([*keys, *many]) == keys
    assert not await deletions.existing([])


async def test_the_last_heartbeat_of_each_account_is_kept(operations: OperationStore) -> None:
    def heartbeat(account: str, hour: int) -> Heartbeat:
        at = START + timedelta(hours=hour)
        return Heartbeat(
            kind="purge",
            geo="europe",
            storage_account=account,
            started_at=at,
            at=at,
            outcome="done",
            counts={"purged": hour},
        )

    # Also one that is called like what is no account.
    for each in (heartbeat("ledger", 1), heartbeat("steurope", 1), heartbeat("steurope2", 2), heartbeat("steurope", 3)):
        await keep(operations, each)
    found = await operations.read_all("purge")
    assert dict(found) == {
        "ledger": heartbeat("ledger", 1),
        "steurope": heartbeat("steurope", 3),
        "steurope2": heartbeat("steurope2", 2),
    }
    assert await operations.read_all("sweep") == {}


async def test_where_a_sweep_goes_on_is_kept_and_the_ledgers_is_apart_from_an_accounts(
    operations: OperationStore,
) -> None:
    more: dict[str, Any] = {"started_at": START, "at": START, "counts": {"ledgers": 3}, "totals": {"eventsMissing": 1}}
    on_ledger = Heartbeat(kind="sweep", outcome="more", cursor="some-tenant", previous_counts={"ledgers": 5}, **more)
    in_geo = Heartbeat(
        kind="sweep", geo="europe", storage_account="steurope", outcome="failed", error="storage-503", **more
    )
    for each in (on_ledger, in_geo):
        await keep(operations, each)
    assert await operations.read_all("sweep") == {None: on_ledger, "steurope": in_geo}
