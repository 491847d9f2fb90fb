"""P9 and P5: what a live enrollment has stored is never deleted by a deletion, and what an ended one has always is."""

from datetime import date, timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.deletion import MORE_DAYS_MAX, Deletion
from shared.model.ledger import Enrollment, OptedOut
from shared.ports import UNREADABLE_ITEM, Stored, StoreUnavailable
from shared.stores.memory import MemoryLedger
from tests.unit.opt_outs import look_again, opted_out, purged, state
from tests.unit.sweeps import put
from tests.world import OTHER_TENANT, TENANT, World


async def live(world: World, tenant: str = TENANT) -> Enrollment:
    await world.opt_in(tenant)
    await world.post(tenant=tenant)
    enrollment = world.ledger.settings[tenant].value.enrollment
    assert isinstance(enrollment, Enrollment)
    return enrollment


def plant(world: World, enrollment: Enrollment, tenant: str = TENANT, **more: Any) -> Deletion:
    """Put a deletion there for an enrollment whose tenant has not opted out."""
    now = world.clock.now()
    opt_out = OptedOut(
        **dict(enrollment),
        tenant_id=tenant,
        sequence=2,
        at=now,
        actor="nobody",
        previous_hash="0" * 64,
        deadline=now + timedelta(days=30),
    )
    deletion = Deletion.owed_for(opt_out).expedited(now).model_copy(update=more)
    world.deletion_items.items[tenant, enrollment.enrollment_id] = Stored(deletion, "by-hand")
    return deletion


def purged_long_ago(world: World) -> dict[str, Any]:
    return {"status": "purged", "purged_at": world.clock.now() - timedelta(hours=1)}


@pytest.mark.parametrize("status", ["scheduled", "purged"])
async def test_p9_a_deletion_of_a_live_enrollment_deletes_nothing_and_is_told(status: str) -> None:
    world = World()
    enrollment = await live(world)
    stored = world.stored_containers()
    planted = plant(world, enrollment, **({} if status == "scheduled" else purged_long_ago(world)))
    heartbeat = (await world.purge.run())["steurope"]
    assert world.stored_containers() == stored
    assert (heartbeat.outcome, heartbeat.error, heartbeat.counts) == ("failed", "enrollment-live", {"failures": 1})
    left = state(world, planted)
    assert (left.status, left.attempts, left.last_error) == (status, 1, "enrollment-live")
    assert left.retry_at is not None and left.retry_at > world.clock.now()
    await world.sweep.run()
    assert (await world.status.report()).findings["deletionsWithoutEvent"] == 1


async def test_p5_it_is_carried_out_as_soon_as_the_enrollment_has_ended() -> None:
    world = World()
    enrollment = await live(world)
    planted = plant(world, enrollment)
    for _ in range(5):
        await world.purge.run()
        world.clock.move(timedelta(hours=1))
    event = await world.opt_out()
    assert await world.feed() == 0, "there is one"
    world.clock.move(timedelta(hours=1))
    await world.sweep.run()
    await world.purge.run()
    assert world.stored_containers() == {}
    done = await look_again(world, planted)
    assert done.status == "verified" and done.deadline == event.deadline


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("status", ["scheduled", "purged"])
async def test_p9_a_deletion_in_another_tenants_partition_deletes_nothing(status: str, ended: bool) -> None:
    """A container is named after the enrollment alone, whoever the deletion says that it was."""
    world = World()
    enrollment = await live(world)
    if ended:
        await world.opt_out()
    stored = world.stored_containers()
    plant(world, enrollment, OTHER_TENANT, **({} if status == "scheduled" else purged_long_ago(world)))
    assert (await world.purge.run())["steurope"].error == "deletion-without-event"
    assert world.stored_containers() == stored


async def test_p5_deletions_that_others_are_said_to_have_of_it_are_not_in_the_way_of_the_true_one() -> None:
    world, deletion = await opted_out()
    now = world.clock.now()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=now)
    for n in range(30):
        tenant = f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30"
        forged = deletion.expedited(now).model_copy(update={"tenant_id": tenant, "deadline": now})
        world.deletion_items.items[tenant, deletion.enrollment_id] = Stored(forged, "by-hand")
    await world.purge.run()
    assert state(world, deletion).status == "purged"
    assert (await look_again(world, deletion)).status == "verified"


class Unclear(MemoryLedger):
    """A ledger with items that nobody understands: settings, or the events of a kind."""

    settings_unreadable = False
    unreadable: tuple[str, ...] = ()

    async def read_setting(self, tenant_id: str) -> Any:
        if self.settings_unreadable:
            raise StoreUnavailable(UNREADABLE_ITEM)
        return await super().read_setting(tenant_id)

    async def events_of(self, tenant_id: str, enrollment_id: str) -> Any:
        events = await super().events_of(tenant_id, enrollment_id)
        if any(event.kind in self.unreadable for event in events):
            raise StoreUnavailable(UNREADABLE_ITEM)
        return events

    async def events_of_enrollments(self, enrollment_ids: Any) -> Any:
        async for enrollment_id, event in super().events_of_enrollments(enrollment_ids):
            yield enrollment_id, None if event is None or event.kind in self.unreadable else event


async def test_p9_a_live_enrollment_whose_setting_cannot_be_read_loses_nothing() -> None:
    world = World(ledger=Unclear())
    enrollment = await live(world)
    stored = world.stored_containers()
    plant(world, enrollment)
    world.ledger.settings_unreadable = True
    assert (await world.purge.run())["steurope"].error == UNREADABLE_ITEM
    assert world.stored_containers() == stored


@pytest.mark.parametrize("whose", [TENANT, OTHER_TENANT])
async def test_p9_an_enrollment_of_which_nobody_understands_an_event_loses_nothing(whose: str) -> None:
    world = World(ledger=Unclear())
    enrollment = await live(world)
    stored = world.stored_containers()
    plant(world, enrollment, whose)
    world.ledger.unreadable = ("optedIn",)
    assert (await world.purge.run())["steurope"].error == "deletion-without-event"
    assert world.stored_containers() == stored


async def test_p5_an_ended_enrollment_is_deleted_though_the_setting_cannot_be_read() -> None:
    world, deletion = await opted_out(World(ledger=Unclear()))
    world.ledger.settings_unreadable = True
    await world.run_purges(deletion.deadline)
    assert world.stored_containers() == {}
    assert state(world, deletion).status == "verified"


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("lost", [False, True])
async def test_p5_an_ended_enrollment_is_deleted_though_its_opt_out_was_lost_or_cannot_be_read(
    lost: bool, again: bool
) -> None:
    world, deletion = await opted_out(World(ledger=Unclear()))
    if again:
        await world.opt_in(geo="unitedstates")
    if lost:
        del world.ledger.events[TENANT][1]
    else:
        world.ledger.unreadable = ("optedOut",)
    await world.run_purges(deletion.deadline)
    assert world.stored_containers() == {}
    assert state(world, deletion).status == "purged", "of which nothing is signed"


async def test_p9_the_fakes_cannot_read_a_deletion_under_another_name_either() -> None:
    """A fake that is kinder than Cosmos DB would let the simulation prove nothing."""
    world, deletion = await opted_out()
    enrollment = await live(world)
    stored = world.stored_containers()
    key = (TENANT, deletion.enrollment_id)
    forged = deletion.expedited(world.clock.now()).model_copy(update={"enrollment_id": enrollment.enrollment_id})
    world.deletion_items.items[key] = Stored(forged, "by-hand")
    with pytest.raises(StoreUnavailable, match=UNREADABLE_ITEM):
        await world.deletion_items.read(*key)
    listed = await world.deletion_items.list(TENANT, limit=10, before=None)
    assert (listed.values, listed.unreadable) == ([], 1)
    assert await world.deletion_items.existing([key]) == {key}
    await world.purge.run()
    await world.sweep.run()
    report = await world.status.report()
    assert report.findings["itemsUnreadable"] == 1 and report.accounts["steurope"].unreadable == 1
    assert not report.promises["P5"] and not report.promises["P9"]
    world.clock.move(timedelta(hours=1))
    assert (await world.purge.run())["steurope"].outcome == "done"
    assert world.stored_containers() == stored


# What a deletion remembers


async def test_p5_however_much_comes_back_all_of_it_is_deleted_and_the_deletion_can_be_read() -> None:
    world, deletion = await purged()
    strays = [put(world, "europe", deletion.enrollment_id, date(2026, 1, 1) + timedelta(days=n)) for n in range(200)]
    found = await look_again(world, deletion)
    assert not set(strays) & set(world.stores["europe"].containers)
    assert len(found.more_days) == MORE_DAYS_MAX and Deletion.from_json(found.to_json()) == found
    assert found.more_days[-1] == date(2026, 1, 1) + timedelta(days=199), "of those that it found the newest"
    assert (await look_again(world, deletion)).status == "purged"
    late = put(world, "europe", deletion.enrollment_id, date(2026, 1, 1))
    world.clock.move(deadlines.RETRY_MAX)
    again = await look_again(world, deletion)
    assert late not in world.stores["europe"].containers
    assert date(2026, 1, 1) in again.more_days and len(again.more_days) == MORE_DAYS_MAX
    for status in ("purged", "verified"):
        world.clock.move(deadlines.RETRY_MAX)
        assert (await look_again(world, deletion)).status == status


async def test_p9_a_deletion_of_more_days_than_that_cannot_be_read() -> None:
    _, deletion = await opted_out()
    days = [f"{date(1000, 1, 1) + timedelta(days=n)}" for n in range(MORE_DAYS_MAX + 1)]
    with pytest.raises(ValueError, match="moreDays"):
        Deletion.from_json({**deletion.to_json(), "moreDays": days})
    assert len(Deletion.from_json({**deletion.to_json(), "moreDays": days[1:]}).more_days) == MORE_DAYS_MAX
