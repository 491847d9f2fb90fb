"""P5: 30 days after an opt-out nothing of that enrollment is stored; no repeat of anything moves a deadline later."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.deletion.purge import Bounds
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut, event_from_json
from shared.ports import Conflict, StoreUnavailable
from shared.problems import NotFound
from tests.clocks import START, ManualClock
from tests.unit.crashes import crashes
from tests.unit.opt_outs import look_again, opted_out
from tests.world import OTHER_TENANT, TENANT, Crash, Crashing, Steps, World


async def test_an_opt_out_schedules_its_deletion_two_days_before_its_deadline() -> None:
    world, deletion = await opted_out()
    event = world.ledger.events[TENANT][-1]
    assert deletion.status == "scheduled"
    assert deletion.deadline == event.at + timedelta(days=30)
    assert deletion.not_before == event.at + timedelta(days=28)
    assert (deletion.geo, deletion.storage_account, deletion.sequence) == ("europe", "steurope", 2)
    assert deletion.to_json() == {
        "tenantId": TENANT,
        "enrollmentId": event.enrollment_id,
        "sequence": 2,
        "ledgerHash": event.hash,
        "geo": "europe",
        "storageAccount": "steurope",
        "startedAt": "2026-11-21T12:00:00.000000Z",
        "optedOutAt": "2026-11-24T12:00:02.000000Z",
        "notBefore": "2026-12-22T12:00:02.000000Z",
        "deadline": "2026-12-24T12:00:02.000000Z",
        "status": "scheduled",
        "attempts": 0,
        "failures": 0,
        "containersDeleted": 0,
        "moreDays": [],
    }


async def test_what_an_opt_out_owes_is_told_before_it_is_scheduled_and_as_it_stands_after() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    owed = await world.deletions.owed_for(event)
    await world.feed()
    assert owed == await world.deletions.get(TENANT, event.enrollment_id)
    expedited = await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    assert await world.deletions.owed_for(event) == expedited != owed


_FIRST, _LAST = datetime(2001, 1, 1, tzinfo=UTC), datetime(8999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
_READABLE = st.datetimes(_FIRST.replace(tzinfo=None), _LAST.replace(tzinfo=None), timezones=st.just(UTC))


@given(at=_READABLE, deadline=_READABLE, started_at=_READABLE)
@example(at=START, deadline=_FIRST, started_at=START)
@example(at=_FIRST, deadline=_FIRST, started_at=START)
@example(at=_LAST, deadline=_LAST, started_at=START)
def test_whatever_times_somebody_wrote_into_an_opt_out_it_owes_a_deletion_that_is_due_in_time(
    at: datetime, deadline: datetime, started_at: datetime
) -> None:
    written = OptedOut(
        tenant_id=TENANT,
        enrollment_id="0" * 32,
        geo="europe",
        storage_account="steurope",
        started_at=started_at,
        sequence=2,
        at=at,
        previous_hash="0" * 64,
        actor="admin",
        deadline=deadline,
    )
    event = event_from_json(written.to_json())
    assert isinstance(event, OptedOut)
    owed = Deletion.owed_for(event)
    assert at <= owed.not_before <= owed.deadline <= at + timedelta(days=30)
    assert at <= deadline or owed.deadline == at, "what was due before there was anything to delete is due at once"
    assert Deletion.from_json(owed.to_json()) == owed
    assert len(owed.containers) <= 32
    for now in (START, at, deadline):
        assert owed.bound_to(event, now) == owed
        done = owed.failed(now, "storage-503").purged(now, deleted=1).verified(now, event, [])
        assert Deletion.from_json(done.to_json()) == done


async def test_the_data_is_kept_until_then_and_gone_after() -> None:
    world, deletion = await opted_out()
    await world.run_purges(deletion.not_before - timedelta(minutes=1), every=timedelta(hours=6))
    kept = world.days()
    world.clock.set(deletion.not_before)
    await world.purge.run()
    assert kept != [] and world.days() == []
    assert (await world.deletions.get(TENANT, deletion.enrollment_id)).status == "purged"


async def test_the_same_batch_twice_makes_each_deletion_once_with_the_same_deadline() -> None:
    world, deletion = await opted_out()
    world.clock.move(timedelta(days=10))
    assert await world.feed() == 0
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == deletion


async def test_a_late_feed_keeps_the_original_deadline() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    world.clock.move(timedelta(days=29))
    await world.feed()
    assert (await world.deletions.get(TENANT, event.enrollment_id)).deadline == event.at + timedelta(days=30)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("crash_at", [1, 2, 3])
async def test_a_feed_killed_between_its_creates_makes_every_deletion_once(crash_at: int, after: bool) -> None:
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
        await world.opt_out(tenant)
    await world.opt_in()
    await world.opt_out()
    store = world.deletion_items
    world.deletion_items = Crashing(store, Steps(crash_at, after))
    with pytest.raises(Crash):
        await world.feed()
    world.deletion_items = store
    assert len(store.items) == crash_at - 1 + after
    await world.feed()
    assert len(store.items) == 3


async def test_a_feed_that_cannot_create_one_deletion_creates_the_others_and_says_so() -> None:
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
        await world.opt_out(tenant)
    create = world.deletion_items.create

    async def failing(deletion: Any) -> bool:
        if deletion.tenant_id == TENANT:
            raise StoreUnavailable("cosmos-503")
        return await create(deletion)  # type: ignore[no-any-return]

    world.deletion_items.create = failing
    with pytest.raises(StoreUnavailable, match="cosmos-503"):
        await world.feed()
    assert [tenant for tenant, _ in world.deletion_items.items] == [OTHER_TENANT]


async def test_opting_in_again_leaves_the_old_deletion_alone_and_the_purge_the_new_data() -> None:
    world, deletion = await opted_out()
    await world.opt_in()
    world.clock.set(deletion.not_before)
    await world.post(key="new")
    new = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    await world.purge.run()
    assert [name[-32:] for name in world.stored_containers()["europe"]] == [new]
    assert new != deletion.enrollment_id


async def test_only_the_enrollment_that_ended_is_deleted() -> None:
    world = World()
    await world.opt_in(OTHER_TENANT)
    world, deletion = await opted_out(world)
    world.clock.set(deletion.not_before)
    await world.post(tenant=OTHER_TENANT, key="other")
    before = [name for name in world.stored_containers()["europe"] if deletion.enrollment_id not in name]
    await world.purge.run()
    assert world.stored_containers()["europe"] == before != []


async def test_expediting_begins_now_and_moves_no_deadline() -> None:
    world, deletion = await opted_out()
    expedited = await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    assert expedited.not_before == world.clock.now()
    assert expedited.deadline == deletion.deadline
    world.clock.move(timedelta(days=1))
    stored = await world.deletion_items.read(TENANT, deletion.enrollment_id)
    again = await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    assert again == expedited, "a later call does not move it later"
    assert await world.deletion_items.read(TENANT, deletion.enrollment_id) == stored, "and writes nothing"
    await world.purge.run()
    assert world.stored_containers() == {}
    done = await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    assert done.status == "purged"


async def test_expediting_what_is_not_there_is_not_found_and_endless_conflicts_are_told() -> None:
    world, deletion = await opted_out()
    with pytest.raises(NotFound) as refused:
        await world.deletions.expedite(OTHER_TENANT, deletion.enrollment_id, now=world.clock.now())
    assert refused.value.detail == NotFound.DELETION

    async def never(*args: object) -> None:
        raise Conflict

    world.deletion_items.replace = never
    with pytest.raises(Conflict):
        await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())


async def test_expediting_that_loses_against_another_writer_is_decided_again() -> None:
    world, deletion = await opted_out()
    replace = world.deletion_items.replace

    async def outrun(*args: Any) -> None:
        world.deletion_items.replace = replace
        stored = await world.deletion_items.read(TENANT, deletion.enrollment_id)
        await replace(stored.value.failed(world.clock.now(), "storage-503"), stored.etag)
        await replace(*args)

    world.deletion_items.replace = outrun
    expedited = await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    assert (expedited.not_before, expedited.attempts) == (world.clock.now(), 1)
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == expedited


async def test_a_tenants_deletions_are_listed_newest_first_and_page_by_page() -> None:
    world = World()
    for _ in range(3):
        await world.opt_in()
        await world.opt_out()
    await world.feed()
    first = await world.deletions.list(TENANT, limit=2, before=None)
    second = await world.deletions.list(TENANT, limit=2, before=first.next_before)
    assert [deletion.sequence for page in (first, second) for deletion in page.values] == [6, 4, 2]
    assert second.next_before is None


async def test_an_expedited_purge_races_no_writer_into_silence() -> None:
    """What an overlapping request wrote behind the purge is found by the second look and deleted."""
    world, deletion = await opted_out()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    world.stores["europe"].receive_container(deletion.containers[-1].name)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    heartbeat = (await world.purge.run())["steurope"]
    assert world.stored_containers() == {}
    assert heartbeat.error == "containers-found"
    assert (await world.deletions.get(TENANT, deletion.enrollment_id)).status == "scheduled"


async def test_a_purge_that_fails_tries_again_until_it_is_done_and_the_deadline_stays() -> None:
    world, deletion = await opted_out()
    store = world.stores["europe"]
    delete = store.delete_container

    async def fail(container: str) -> bool:
        raise StoreUnavailable("storage-503")

    store.delete_container = fail
    world.clock.set(deletion.not_before)
    for attempts in (1, 2, 3):
        heartbeat = (await world.purge.run())["steurope"]
        assert (heartbeat.outcome, heartbeat.error) == ("failed", "storage-503")
        now = await world.deletions.get(TENANT, deletion.enrollment_id)
        assert (now.status, now.attempts, now.last_error) == ("scheduled", attempts, "storage-503")
        assert (now.deadline, now.not_before) == (deletion.deadline, deletion.not_before)
        world.clock.move(timedelta(hours=1))
    store.delete_container = delete
    await world.purge.run()
    done = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (done.status, done.last_error, done.deadline) == ("purged", None, deletion.deadline)


async def test_a_deletion_that_keeps_failing_never_keeps_the_others_from_being_done() -> None:
    world = World(bounds=Bounds(deletions=1))
    tenants = [f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30" for n in range(3)]
    for tenant in tenants:
        await world.opt_in(tenant)
        await world.post(tenant=tenant)
        await world.opt_out(tenant)
    await world.feed()
    stuck = world.ledger.events[tenants[0]][-1].enrollment_id
    store = world.stores["europe"]
    delete = store.delete_container

    async def leased(container: str) -> bool:
        if stuck in container:
            raise StoreUnavailable("storage-LeaseIdMissing")
        return await delete(container)  # type: ignore[no-any-return]

    store.delete_container = leased
    world.clock.move(timedelta(days=28))
    for _ in range(4):
        await world.purge.run()
    left = {each.value.enrollment_id for each in world.deletion_items.items.values() if each.value.status != "purged"}
    assert left == {stuck}


async def test_one_container_that_cannot_be_deleted_keeps_no_other_of_its_enrollment() -> None:
    world, deletion = await opted_out()
    store = world.stores["europe"]
    stuck = sorted(store.containers)[0]
    delete = store.delete_container

    async def leased(container: str) -> bool:
        if container == stuck:
            raise StoreUnavailable("storage-LeaseIdMissing")
        await asyncio.sleep(0.2)  # the run waits for those that take longer
        return await delete(container)  # type: ignore[no-any-return]

    store.delete_container = leased
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    assert world.stored_containers() == {"europe": [stuck]}


async def test_one_geo_that_fails_delays_no_other() -> None:
    world, _ = await opted_out()
    await world.opt_in(OTHER_TENANT, "unitedstates")
    await world.post(tenant=OTHER_TENANT)
    event = await world.opt_out(OTHER_TENANT)
    await world.feed()

    async def fail(container: str) -> bool:
        raise StoreUnavailable("storage-unreachable")

    async def broken(container: str) -> bool:
        raise ValueError("an error of ours")

    for failure, code in (fail, "storage-unreachable"), (broken, "unexpected"):
        world.stores["europe"].delete_container = failure
        world.clock.set(max(event.deadline - timedelta(days=2), world.clock.now() + deadlines.RETRY_FIRST))
        heartbeats = await world.purge.run()
        assert (heartbeats["steurope"].outcome, heartbeats["steurope"].error) == ("failed", code)
        assert heartbeats["stunitedstates"].outcome == "done"
    assert set(world.stored_containers()) == {"europe"}


async def test_overdue_is_derived_from_the_clock_alone() -> None:
    world, deletion = await opted_out()
    assert not deletion.overdue(deletion.deadline)
    assert deletion.overdue(deletion.deadline + timedelta(microseconds=1))
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    purged = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert purged.overdue(deletion.deadline + timedelta(microseconds=1)), "until it is proved"
    assert not (await look_again(world, deletion)).overdue(deletion.deadline + timedelta(days=9))


@pytest.mark.parametrize("after", [False, True])
async def test_a_purge_killed_between_any_two_store_calls_and_started_again_finishes_with_one_receipt(
    after: bool,
) -> None:
    crash_at = 0
    while True:
        crash_at += 1
        world, deletion = await opted_out()
        world.clock.set(deletion.not_before)
        crashed = await crashes(world, Steps(crash_at, after), both_looks)
        await world.purge.run()
        world.clock.move(deadlines.SECOND_LOOK_DELAY)
        await world.purge.run()
        done = await world.deletions.get(TENANT, deletion.enrollment_id)
        assert world.stored_containers() == {}
        assert (done.status, done.deadline) == ("verified", deletion.deadline)
        assert done.receipt is not None
        assert done.receipt.second_look_at - done.receipt.first_look_at >= deadlines.SECOND_LOOK_DELAY
        before = done
        await world.purge.run()
        assert await world.deletions.get(TENANT, deletion.enrollment_id) == before, "one receipt, never another"
        if not crashed:
            break
    assert crash_at > 10, "it was killed at many places"


async def both_looks(world: World) -> None:
    await world.purge.run()
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()


@pytest.mark.parametrize(
    ("started", "ended", "first", "last", "count"),
    [
        ("2026-01-10T10:00", "2026-01-10T11:00", "2026-01-10", "2026-01-10", 1),
        ("2026-01-10T10:00", "2026-01-12T23:54:59", "2026-01-10", "2026-01-12", 3),
        ("2026-01-10T10:00", "2026-01-12T23:55", "2026-01-10", "2026-01-13", 4),
        ("2025-01-10T10:00", "2026-03-31T23:59", "2026-03-01", "2026-04-01", 32),
        ("2027-01-10T10:00", "2028-03-01T12:00", "2028-01-31", "2028-03-01", 31),
        ("2026-01-11T00:00:30", "2026-01-10T23:50", "2026-01-10", "2026-01-10", 1),
    ],
)
def test_the_days_of_an_opt_out_are_computed_and_at_most_32(
    started: str, ended: str, first: str, last: str, count: int
) -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    days = deadlines.enrollment_days(at(started), at(ended))
    assert (days[0].isoformat(), days[-1].isoformat(), len(days)) == (first, last, count)


async def test_a_capture_written_just_after_midnight_behind_an_opt_out_just_before_is_covered() -> None:
    world = World(clock=ManualClock(datetime(2026, 11, 21, 23, 56, tzinfo=UTC), jumping=True))
    await world.opt_in()
    await world.post(at=datetime(2026, 11, 22, 0, 0, 30, tzinfo=UTC))
    event = await world.opt_out()
    await world.feed()
    assert world.days() == ["2026-11-22"]
    world.clock.set(event.deadline - timedelta(days=2))
    await world.purge.run()
    assert world.days() == []
