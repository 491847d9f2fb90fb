"""P9: an opt-out that the feed lost gets its deletion from the sweep, and a deletion that was changed is mended."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.model.deletion import Deletion
from shared.ports import Stored, StoreUnavailable, TenantDeletions
from shared.sweep import ledger as ledger_sweep
from tests.unit.crashes import crashes
from tests.unit.opt_outs import opted_out
from tests.unit.sweeps import STRANGER, proved_again, put, swept, tenant_id, verified
from tests.world import OTHER_TENANT, TENANT, Steps, World


@pytest.fixture(autouse=True, params=[1, 500], ids="{} at a time".format)
def _items_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a ledger is: as a whole or in parts it comes to the same."""
    monkeypatch.setattr(ledger_sweep, "_ITEMS_MAX", request.param)


async def test_with_no_feed_at_all_every_deletion_happens_by_its_deadline() -> None:
    world = World()
    events = []
    for tenant in (TENANT, OTHER_TENANT, TENANT):
        await world.opt_in(tenant)
        await world.post(tenant=tenant, key=str(world.clock.now()))
        events.append(await world.opt_out(tenant))
        world.clock.move(timedelta(hours=7))
    end = world.clock.now() + timedelta(days=30)
    while world.clock.now() < end:
        await world.sweep.run()
        await world.purge.run()
        world.clock.move(timedelta(hours=1))
    assert len(world.deletion_items.items) == 3
    for event in events:
        done = await world.deletions.get(event.tenant_id, event.enrollment_id)
        assert done.deadline == event.at + timedelta(days=30)
        assert done.receipt is not None and done.receipt.second_look_at < event.deadline
    assert world.stored_containers() == {}
    assert (await world.status.report()).findings == {"deletionsCreated": 3}


async def test_a_fresh_opt_out_is_the_feeds_and_a_lost_one_the_sweeps() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    world.clock.set(event.at + timedelta(minutes=5) - timedelta(microseconds=1))
    assert "deletionsCreated" not in await swept(world)
    world.clock.move(timedelta(microseconds=1))
    assert (await swept(world))["deletionsCreated"] == 1
    assert "deletionsCreated" not in await swept(world)


@pytest.mark.parametrize("late", [timedelta(hours=1), timedelta(days=29), timedelta(days=400)])
async def test_a_repair_never_moves_a_deadline(late: timedelta) -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    world.clock.move(late)
    await world.sweep.run()
    deletion = await world.deletions.get(TENANT, event.enrollment_id)
    assert (deletion.deadline, deletion.not_before) == (
        event.at + timedelta(days=30),
        event.at + timedelta(days=28),
    )
    assert deletion.overdue(world.clock.now()) is (late > timedelta(days=30))


@pytest.mark.parametrize("after", [False, True])
async def test_a_sweep_killed_between_any_two_store_calls_and_run_again_finishes(after: bool) -> None:
    crash_at = 0
    while True:
        crash_at += 1
        world, deletion = await verified()
        put(world, "unitedstates", deletion.enrollment_id, deletion.opted_out_at.date())
        put(world, "europe", deletion.enrollment_id, deletion.opted_out_at.date())
        await world.opt_in()
        event = await world.opt_out()
        world.clock.move(timedelta(hours=1))
        crashed = await crashes(world, Steps(crash_at, after), lambda world: world.sweep.run())
        await world.sweep.run()
        assert (await world.deletions.get(TENANT, event.enrollment_id)).deadline == event.deadline
        await proved_again(world)
        assert world.stored_containers() == {}
        done = await world.deletions.get(TENANT, deletion.enrollment_id)
        assert done.receipt is not None and len(done.receipt.reappeared) == 1, "what came back is in the receipt, once"
        if not crashed:
            break
    assert crash_at > 8, "it was killed at many places"


async def test_a_deletion_that_disagrees_with_its_ledger_is_brought_back_to_it() -> None:
    world, deletion = await opted_out()
    key = (TENANT, deletion.enrollment_id)
    failed = deletion.failed(world.clock.now(), "storage-503")
    worse = failed.model_copy(
        update={"deadline": deletion.deadline + timedelta(days=9), "not_before": deletion.not_before + timedelta(9)}
    )
    world.deletion_items.items[key] = Stored(worse, "by-hand")
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert await world.deletions.get(*key) == failed
    assert (await world.status.report()).promises["P9"] is False
    assert "deletionsDisagreeing" not in await swept(world)


async def test_an_expedited_deletion_agrees_with_its_ledger() -> None:
    world, deletion = await opted_out()
    expedited = await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    assert "deletionsDisagreeing" not in await swept(world)
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == expedited


async def test_one_deletion_that_cannot_be_created_keeps_no_other() -> None:
    world = World()
    for n in range(3):
        await world.opt_in(tenant_id(n))
        await world.opt_out(tenant_id(n))
    create = world.deletion_items.create

    async def fail_first(deletion: Deletion) -> bool:
        if deletion.tenant_id == tenant_id(0):
            raise StoreUnavailable("cosmos-429")
        return await create(deletion)  # type: ignore[no-any-return]

    world.deletion_items.create = fail_first
    world.clock.move(timedelta(hours=1))
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "cosmos-429")
    assert len(world.deletion_items.items) == 2
    world.deletion_items.create = create
    assert (await swept(world))["deletionsCreated"] == 1


@pytest.mark.parametrize("update", [{"purged_at": None}, {"storage_account": "stelsewhere"}, {"geo": "unitedstates"}])
async def test_a_purge_that_cannot_be_believed_begins_again(update: dict[str, Any]) -> None:
    world, deletion = await opted_out()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    purged = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert purged.status == "purged"
    world.deletion_items.items[TENANT, deletion.enrollment_id] = Stored(purged.model_copy(update=update), "by-hand")
    await world.sweep.run()
    again = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (again.status, again.storage_account, again.geo) == ("scheduled", "steurope", "europe")


async def test_a_deletion_of_nobody_keeps_no_other_of_its_tenant_from_being_mended() -> None:
    world, deletion = await opted_out()
    orphan = deletion.model_copy(update={"enrollment_id": STRANGER})
    late = deletion.model_copy(update={"deadline": deletion.deadline + timedelta(days=900)})
    for each in (orphan, late):
        world.deletion_items.items[TENANT, each.enrollment_id] = Stored(each, "by-hand")
    assert (await swept(world))["deletionsWithoutEvent"] == 1
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == deletion


async def test_an_event_whose_deadline_somebody_moved_gives_its_deletion_no_more_time() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    world.ledger.events[TENANT][1] = event.model_copy(update={"deadline": event.deadline + timedelta(days=99)})
    world.clock.move(timedelta(hours=1))
    await world.sweep.run()
    assert (await world.deletions.get(TENANT, event.enrollment_id)).deadline == event.deadline


async def test_a_deletion_that_nobody_understands_is_a_failure_and_not_taken_for_done() -> None:
    world, _ = await opted_out()

    async def none_understood(after: str, *, at_most: int) -> AsyncIterator[Any]:
        yield TenantDeletions(TENANT, [], unreadable=2)

    async def not_understood(tenant: str, after: int, until: int) -> AsyncIterator[None]:
        for _ in range(2 if after == 0 else 0):
            yield None

    async def unreadable(*args: object) -> None:
        raise StoreUnavailable("cosmos-item-unreadable")

    world.deletion_items.tenants, world.deletion_items.of_sequences = none_understood, not_understood
    world.deletion_items.read = unreadable
    world.clock.move(timedelta(hours=1))
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "cosmos-item-unreadable")
    assert heartbeat.counts["itemsUnreadable"] == 2
