"""P9: what the feed or a purge lost, or somebody's hand has changed, is found by the sweep, repaired, and seen."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from joserfc import jws

from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import OptedIn, OptedOut, Setting
from shared.stores.memory import MemoryCaptures
from shared.stores.ports import Conflict, ListedContainer, Stored, StoreUnavailable
from shared.sweep import ledger as ledger_sweep
from shared.sweep import storage as storage_sweep
from shared.sweep.sweep import Bounds
from tests import world as world_module
from tests.clocks import settle
from tests.unit.opt_outs import opted_out
from tests.world import OTHER_TENANT, TENANT, Crash, Crashing, Steps, World

STRANGER = "ffffffffffffffffffffffffffffffff"


def tenant_id(n: int) -> str:
    return f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30"


async def swept(world: World, geo: str | None = None) -> dict[str, int]:
    """Run a sweep and return what it counted on the ledger, or in a geo."""
    return dict((await world.sweep.run())[geo].counts)


async def verified() -> tuple[World, Deletion]:
    """Return a world in which a tenant's deletion is finished."""
    world, deletion = await opted_out()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    world.clock.move(timedelta(minutes=5))
    await world.purge.run()
    deletion = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert deletion.status == "verified"
    return world, deletion


def put(world: World, geo: str, enrollment_id: str, day: date) -> str:
    """Put a container into an account by hand, and return its name."""
    name = DayContainer(enrollment_id, day).name
    world.stores[geo].containers[name] = {}
    return name


async def proved_again(world: World) -> None:
    for _ in range(2):
        await world.purge.run()
        world.clock.move(timedelta(minutes=5))


# Ledger to deletions


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
        crashed = await crashing_sweep(world, Steps(crash_at, after))
        await world.sweep.run()
        assert (await world.deletions.get(TENANT, event.enrollment_id)).deadline == event.deadline
        await proved_again(world)
        assert world.stored_containers() == {}
        done = await world.deletions.get(TENANT, deletion.enrollment_id)
        assert done.receipt is not None and len(done.receipt.reappeared) == 1, "what came back is in the receipt, once"
        if not crashed:
            break
    assert crash_at > 8, "it was killed at many places"


async def crashing_sweep(world: World, steps: Steps) -> bool:
    items, operations, stores, ledger = world.deletion_items, world.operations, world.stores, world.ledger
    world.deletion_items, world.operations = Crashing(items, steps), Crashing(operations, steps)
    world.stores = {geo: Crashing(store, steps) for geo, store in stores.items()}
    world.ledger = Crashing(ledger, steps)
    try:
        await world.sweep.run()
    except Crash:
        return True
    finally:
        await settle()
        world.deletion_items, world.operations, world.stores, world.ledger = items, operations, stores, ledger
    return False


async def test_a_deletion_that_disagrees_with_its_ledger_is_brought_back_to_it() -> None:
    world, deletion = await opted_out()
    key = (TENANT, deletion.enrollment_id)
    worse = deletion.failed("storage-503").model_copy(
        update={"deadline": deletion.deadline + timedelta(days=9), "not_before": deletion.not_before + timedelta(9)}
    )
    world.deletion_items.items[key] = Stored(worse, "by-hand")
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert await world.deletions.get(*key) == deletion.failed("storage-503")
    assert (await world.status.report()).promises["P9"] is False
    assert "deletionsDisagreeing" not in await swept(world)


async def test_an_expedited_deletion_agrees_with_its_ledger() -> None:
    world, deletion = await opted_out()
    expedited = await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    assert "deletionsDisagreeing" not in await swept(world)
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == expedited


async def test_a_receipt_that_disagrees_with_its_ledger_is_reported_and_stays_as_it_was_signed() -> None:
    world, deletion = await verified()
    world.deletion_items.items[TENANT, deletion.enrollment_id] = Stored(
        forged := deletion.model_copy(update={"ledger_hash": 64 * "0"}), "by-hand"
    )
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == forged


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


# The chain


def _change(events: list[Any], n: int, **members: Any) -> None:
    events[n] = events[n].model_copy(update=members)


def _swap(events: list[Any]) -> None:
    first, second = events[1], events[2]
    events[1] = second.model_copy(update={"sequence": first.sequence})
    events[2] = first.model_copy(update={"sequence": second.sequence})


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lambda events: _change(events, 0, actor="somebody else"), "eventsChanged"),
        (lambda events: _change(events, 1, deadline=datetime(2027, 6, 1, tzinfo=UTC)), "eventsChanged"),
        (lambda events: _change(events, 0, previous_hash="1" * 64), "eventsChanged"),
        (lambda events: _change(events, -1, geo="unitedstates"), "settingsDisagreeing"),
        (lambda events: events.pop(0), "eventsMissing"),
        (lambda events: events.pop(1), "eventsMissing"),
        (lambda events: events.pop(), "eventsMissing"),
        (lambda events: events.clear(), "eventsMissing"),
        (_swap, "eventsChanged"),
    ],
)
async def test_a_changed_missing_or_reordered_event_is_reported(
    tamper: Callable[[list[Any]], None], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    for _ in range(2):
        await world.opt_in()
        await world.opt_out()
    await world.feed()
    world.clock.move(timedelta(hours=1))
    assert await swept(world) == {"ledgers": 1}
    before = list(world.ledger.events[TENANT])
    tamper(world.ledger.events[TENANT])
    assert (await swept(world))[fault] >= 1
    assert TENANT in caplog.text and fault in caplog.text
    assert (await world.status.report()).promises["P9"] is False
    world.ledger.events[TENANT] = before
    await world.sweep.run()
    await world.purge.run()
    assert (await world.status.report()).promises["P9"] is True, "a whole round has found nothing"


@pytest.mark.parametrize(
    "update",
    [
        {"enrollment": None},
        {"ledger_hash": "1" * 64},
        {"sequence": 4},
        {"sequence": 2},
    ],
)
async def test_a_setting_that_disagrees_with_its_ledger_is_reported(update: dict[str, Any]) -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.opt_in()
    await world.feed()
    stored = world.ledger.settings[TENANT]
    world.ledger.settings[TENANT] = Stored(stored.value.model_copy(update=update), "by-hand")
    found = await swept(world)
    assert found.keys() & {"settingsDisagreeing", "eventsMissing"}
    assert (await world.status.report()).promises["P9"] is False


async def test_a_setting_that_was_lost_or_switched_back_on_is_reported() -> None:
    world = World()
    await world.opt_in()
    on = world.ledger.settings[TENANT].value
    await world.opt_out()
    for setting in (None, on.model_copy(update={"sequence": 2, "ledger_hash": world.ledger.events[TENANT][1].hash})):
        if setting is None:
            del world.ledger.settings[TENANT]
        else:
            world.ledger.settings[TENANT] = Stored(setting, "by-hand")
        assert (await swept(world))["settingsDisagreeing"] == 1


async def test_a_deletion_whose_opt_out_is_gone_from_the_ledger_is_reported() -> None:
    world, _ = await opted_out()
    world.ledger.events.clear()
    world.ledger.settings.clear()
    await world.opt_in()
    assert (await swept(world))["deletionsWithoutEvent"] == 1
    assert (await world.status.report()).promises["P9"] is False


async def test_a_ledger_that_changes_while_it_is_read_is_not_called_broken() -> None:
    world = World()
    await world.opt_in()
    before = await world.ledger.ledger_of(TENANT)
    await world.opt_out()
    await world.feed()
    half = before.__class__(TENANT, world.ledger.settings[TENANT].value, before.events)

    async def half_read(after: str) -> AsyncIterator[Any]:
        yield half

    world.ledger.ledgers = half_read
    assert await swept(world) == {"ledgers": 1}
    ledger_of = world.ledger.ledger_of

    async def busy(tenant: str) -> Any:
        await world.opt_in() if not world.ledger.settings[TENANT].value.enabled else await world.opt_out()
        await world.feed()
        return await ledger_of(tenant)

    world.ledger.ledger_of = busy
    assert await swept(world) == {"ledgers": 1}, "it keeps changing; the next sweep looks again"


async def test_items_that_nobody_understands_are_reported_and_block_no_tenant() -> None:
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
        await world.opt_out(tenant)
    ledger_of = world.ledger.ledger_of

    async def damaged(tenant: str) -> Any:
        whole = await ledger_of(tenant)
        return whole.__class__(tenant, whole.setting, whole.events[:1], 1) if tenant == TENANT else whole

    world.ledger.ledger_of = damaged
    world.clock.move(timedelta(hours=1))
    found = await swept(world)
    assert (found["itemsUnreadable"], found["deletionsCreated"]) == (1, 1)
    assert (await world.status.report()).promises["P9"] is False


# Bounds and resumption


async def test_a_bounded_sweep_of_the_ledger_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_sweep, "_SLICE", 2)
    world = World(sweep_bounds=Bounds(tenants=2))
    for n in range(5):
        await world.opt_in(tenant_id(n))
        await world.opt_out(tenant_id(n))
    world.ledger.events[tenant_id(1)].pop(0)
    world.clock.move(timedelta(hours=1))
    seen = []
    for _ in range(4):
        heartbeat = (await world.sweep.run())[None]
        seen.append((heartbeat.outcome, heartbeat.counts["ledgers"], heartbeat.cursor, len(world.deletion_items.items)))
        assert (await world.status.report()).promises["P9"] is False, (
            "what this round or the last one found still counts"
        )
    assert seen == [
        ("more", 2, tenant_id(1), 2),
        ("more", 4, tenant_id(3), 4),
        ("done", 5, None, 5),
        ("more", 2, tenant_id(1), 5),
    ]
    assert heartbeat.previous_counts == {"ledgers": 5, "deletionsCreated": 5, "eventsMissing": 1}
    assert heartbeat.totals is not None and heartbeat.totals["eventsMissing"] == 2


async def test_a_sweep_of_the_ledger_that_fails_midway_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_sweep, "_SLICE", 1)
    world = World()
    for n in range(3):
        await world.opt_in(tenant_id(n))
        await world.opt_out(tenant_id(n))
    ledgers = world.ledger.ledgers

    async def fail_after_two(after: str) -> AsyncIterator[Any]:
        count = 0
        async for ledger in ledgers(after):
            if (count := count + 1) > 2:
                raise StoreUnavailable("cosmos-timeout")
            yield ledger

    world.clock.move(timedelta(hours=1))
    world.ledger.ledgers = fail_after_two
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.cursor) == ("failed", tenant_id(1))
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.cursor, len(world.deletion_items.items)) == ("done", None, 3)


async def test_a_bounded_sweep_of_an_account_goes_on_until_everything_is_repaired() -> None:
    world = World(sweep_bounds=Bounds(repairs=2))
    await world.opt_in()
    today = world.clock.now().date()
    for n in range(5):
        put(world, "europe", STRANGER, today - timedelta(days=n))
    outcomes = []
    while world.stored_containers():
        left = sorted(world.stores["europe"].containers)
        heartbeat = (await world.sweep.run())["europe"]
        outcomes.append((heartbeat.outcome, heartbeat.cursor, heartbeat.counts["unknownEnrollment"]))
        gone = set(left) - set(world.stores["europe"].containers)
        assert gone == set(left[:2]), "oldest first"
    assert outcomes == [("more", "f", 2), ("more", "f", 4), ("done", None, 5)]


async def test_a_sweep_out_of_time_begins_nothing_more_and_the_next_goes_on() -> None:
    world = World(sweep_bounds=Bounds(seconds=0))
    await world.opt_in()
    put(world, "europe", STRANGER, world.clock.now().date())
    assert (await world.sweep.run())["europe"].outcome == "more"
    world.sweep_bounds = Bounds()
    assert (await world.sweep.run())["europe"].outcome == "done"
    assert world.stored_containers() == {}


async def test_what_was_repaired_is_on_record_though_the_sweep_is_killed_later() -> None:
    world = World()
    await world.opt_in()
    put(world, "europe", "0" * 32, world.clock.now().date())

    async def kill(prefix: str, **more: Any) -> AsyncIterator[ListedContainer]:
        if prefix == "f-":
            raise Crash
        async for each in list_containers(prefix, **more):
            yield each

    list_containers, world.stores["europe"].list_containers = world.stores["europe"].list_containers, kill
    with pytest.raises(Crash):
        await world.sweep.run()
    world.stores["europe"].list_containers = list_containers
    assert (await world.status.report()).findings == {"unknownEnrollment": 1}
    assert (await world.sweep.run())["europe"].counts["unknownEnrollment"] == 1, "the round goes on"


# Storage to ledger


async def test_what_has_no_business_in_an_account_is_deleted_or_reported_and_seen() -> None:
    world, ended = await verified()
    await world.opt_in()
    await world.post(key="live")
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    lawful = world.stored_containers()
    today = world.clock.now().date()
    assert await swept(world, "europe") == {"containers": 1}
    await world.purge.run()
    assert (await world.status.report()).holds
    put(world, "unitedstates", live, today)
    put(world, "europe", STRANGER, today)
    put(world, "europe", ended.enrollment_id, today)
    put(world, "europe", live, today - timedelta(days=30))
    put(world, "europe", live, today + timedelta(days=2))
    world.stores["europe"].containers["backup-2026"] = {}
    heartbeats = await world.sweep.run()
    assert heartbeats["europe"].counts == {
        "containers": 6,
        "foreignContainers": 1,
        "unknownEnrollment": 1,
        "afterReceipt": 1,
        "pastDeadline": 1,
        "impossibleDay": 1,
    }
    assert heartbeats["unitedstates"].counts == {"containers": 1, "wrongAccount": 1}
    assert world.stored_containers() == {"europe": sorted([*lawful["europe"], "backup-2026"])}
    report = await world.status.report()
    assert report.promises == {"P1": False, "P3": False, "P4": False, "P5": False, "P6": False, "P9": True}
    assert report.findings == {
        "foreignContainers": 1,
        "unknownEnrollment": 1,
        "afterReceipt": 1,
        "pastDeadline": 1,
        "impossibleDay": 1,
        "wrongAccount": 1,
    }
    await world.sweep.run()
    assert (await world.status.report()).holds, "a whole round has found nothing"


@pytest.mark.parametrize(
    ("now", "day", "kept"),
    [
        # A capture may lie five minutes ahead of a clock that is a minute ahead of ours.
        (time(23, 54), 1, True),
        (time(23, 53, 59), 1, False),
        (time(0, 0), -29, True),
        (time(0, 0), -30, False),
    ],
)
async def test_the_days_that_may_be_there_end_to_the_second(now: time, day: int, kept: bool) -> None:
    world = World()
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    today = world.clock.now().date() + timedelta(days=40)
    world.clock.set(datetime.combine(today, now, UTC))
    put(world, "europe", live, today + timedelta(days=day))
    await world.sweep.run()
    assert bool(world.stored_containers()) is kept


async def test_a_container_that_comes_while_the_ledger_is_read_is_never_taken_for_a_strangers() -> None:
    world = World()
    await world.opt_in(OTHER_TENANT)
    await world.post(tenant=OTHER_TENANT)
    events_of_shard = world.ledger.events_of_shard

    async def opt_in_meanwhile(shard: str) -> AsyncIterator[Any]:
        async for each in events_of_shard(shard):
            yield each
        tenant = tenant_id(len(world.ledger.events))
        await world.opt_in(tenant)
        await world.post(tenant=tenant)

    world.ledger.events_of_shard = opt_in_meanwhile
    world.ids = (f"1{n:031x}" for n in range(9, 99))
    for _ in range(3):
        before = world.stored_containers()
        await world.sweep.run()
        assert set(world.stored_containers()["europe"]) > set(before["europe"])
    assert (await world.status.report()).findings == {}


async def test_what_has_gone_since_it_was_listed_has_not_come_back() -> None:
    """A slow listing may be older than the second look, and than the receipt."""
    world, done = await verified()
    put(world, "europe", done.enrollment_id, done.days[0])
    verified_of_shard = world.deletion_items.verified_of_shard

    async def purge_meanwhile(shard: str) -> AsyncIterator[str]:
        world.stores["europe"].containers.clear()
        async for each in verified_of_shard(shard):
            yield each

    world.deletion_items.verified_of_shard = purge_meanwhile
    assert "afterReceipt" not in await swept(world, "europe")
    assert await world.deletions.get(TENANT, done.enrollment_id) == done


async def test_an_empty_ledger_is_no_reason_to_delete_everything() -> None:
    world = World()
    put(world, "europe", STRANGER, world.clock.now().date())
    heartbeats = await world.sweep.run()
    assert (heartbeats["europe"].outcome, heartbeats["europe"].error) == ("failed", "ledger-empty")
    assert heartbeats["unitedstates"].outcome == "done"
    assert world.stored_containers() != {}
    assert not (await world.status.report()).holds


async def test_a_ledger_that_cannot_be_read_deletes_nothing_and_one_shard_delays_no_other() -> None:
    world = World()
    await world.opt_in()
    for enrollment_id in ("0" * 32, STRANGER):
        put(world, "europe", enrollment_id, world.clock.now().date())
    events_of_shard = world.ledger.events_of_shard

    async def unreadable(shard: str) -> AsyncIterator[Any]:
        if shard == "0":
            raise StoreUnavailable("cosmos-item-unreadable")
        async for event in events_of_shard(shard):
            yield event

    world.ledger.events_of_shard = unreadable
    heartbeat = (await world.sweep.run())["europe"]
    assert heartbeat.error == "cosmos-item-unreadable"
    assert [name[0] for name in world.stored_containers()["europe"]] == ["0"]


async def test_a_geo_that_fails_delays_no_other_and_no_ledger() -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    put(world, "europe", STRANGER, world.clock.now().date())
    put(world, "unitedstates", STRANGER, world.clock.now().date())
    world.clock.move(timedelta(hours=1))

    async def fail(container: str) -> bool:
        raise StoreUnavailable("storage-503")

    world.stores["europe"].delete_container = fail
    heartbeats = await world.sweep.run()
    assert (heartbeats["europe"].outcome, heartbeats["europe"].error) == ("failed", "storage-503")
    assert heartbeats["unitedstates"].counts["unknownEnrollment"] == 1
    assert heartbeats[None].counts["deletionsCreated"] == 1


async def test_what_soft_delete_keeps_is_reported_and_breaks_the_promise() -> None:
    world, ended = await verified()
    world.stores["europe"].soft_deleted.add(ended.containers[0].name)
    assert (await swept(world, "europe"))["softDeleted"] == 1
    assert (await world.status.report()).promises["P6"] is False


async def test_an_account_exchanged_for_another_is_not_taken_for_the_old_one() -> None:
    world = World()
    await world.opt_in()
    await world.post()
    old, world.stores["europe"] = world.stores["europe"], MemoryCaptures("stnew")
    world.stores["europe"].containers.update(old.containers)
    assert (await swept(world, "europe"))["wrongAccount"] == 1


# Receipts again (P6)


async def test_data_that_came_back_is_deleted_and_proved_anew_and_the_receipt_says_so() -> None:
    world, done = await verified()
    assert done.receipt is not None
    world.clock.move(timedelta(hours=1))
    for day in done.days[:2]:
        put(world, "europe", done.enrollment_id, day)
    found_at = world.clock.now()
    assert (await swept(world, "europe"))["afterReceipt"] == 2
    assert world.stored_containers() == {}
    opened = await world.deletions.get(TENANT, done.enrollment_id)
    assert (opened.status, opened.receipt, opened.deadline) == ("scheduled", None, done.deadline)
    await proved_again(world)
    again = await world.deletions.get(TENANT, done.enrollment_id)
    assert again.status == "verified" and again.receipt is not None
    [entry] = again.receipt.reappeared
    assert (entry.at, entry.containers_found, entry.proved_at) == (found_at, 2, done.receipt.second_look_at)
    assert again.receipt.first_look_at >= found_at
    keys = world_module.SIGNER
    signed = jws.deserialize_compact(again.receipt.jws.encode(), keys._keys[0], algorithms=["ES256"]).payload
    assert b'"containersFound": 2' in signed
    await world.sweep.run()
    assert await world.deletions.get(TENANT, done.enrollment_id) == again


async def test_what_came_back_after_its_deadline_is_overdue_until_it_is_proved_anew() -> None:
    world, done = await verified()
    world.clock.set(done.deadline + timedelta(days=10))
    put(world, "europe", done.enrollment_id, done.days[0])
    await world.sweep.run()
    assert (await world.status.report()).overdue_deletions == 1
    await proved_again(world)
    assert (await world.status.report()).overdue_deletions == 0


@pytest.mark.parametrize("jws", ["", None])
async def test_a_receipt_that_nobody_signed_is_none(jws: str | None) -> None:
    """Whoever can write to the database but not use the key gets no signature from us for what was never looked at."""
    world, done = await verified()
    forged = done.model_copy(update={"receipt": done.receipt and done.receipt.model_copy(update={"jws": jws or ""})})
    if jws is None:
        forged = forged.model_copy(update={"receipt": None})
    world.deletion_items.items[TENANT, done.enrollment_id] = Stored(forged, "by-hand")
    put(world, "europe", done.enrollment_id, done.days[0])
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert (await world.deletions.get(TENANT, done.enrollment_id)).status == "scheduled"
    world.clock.set(max(world.clock.now(), done.not_before))
    await proved_again(world)
    assert world.stored_containers() == {}
    assert (await world.deletions.get(TENANT, done.enrollment_id)).status == "verified"


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


async def test_what_came_back_with_an_account_is_looked_at_no_further_than_it_is_deleted() -> None:
    world, done = await verified()
    for n in range(300):
        put(world, "europe", done.enrollment_id, done.days[0] - timedelta(days=n))
    listed = 0
    list_containers = world.stores["europe"].list_containers

    async def counting(prefix: str, **more: Any) -> AsyncIterator[ListedContainer]:
        nonlocal listed
        listed += len(prefix) > 2
        async for each in list_containers(prefix, **more):
            yield each

    world.stores["europe"].list_containers = counting
    assert (await swept(world, "europe"))["afterReceipt"] == 300
    assert world.stored_containers() == {} and listed == 300
    found = await world.deletions.get(TENANT, done.enrollment_id)
    assert [entry.containers_found for entry in found.reappeared] == [300], "one enrollment is one reappearance"


# Status


async def test_a_feed_that_lags_is_seen_before_anything_is_lost() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    await world.sweep.run()
    await world.purge.run()
    world.clock.set(event.at + timedelta(minutes=7))
    report = await world.status.report()
    assert (report.feed_lag, report.ledger.unscheduled) == (timedelta(minutes=7), 1)
    assert report.holds, "late is not lost"
    await world.feed()
    report = await world.status.report()
    assert (report.feed_lag, report.ledger.unscheduled) == (timedelta(), 0)


async def test_an_opt_out_that_neither_feed_nor_sweep_takes_up_is_a_broken_promise() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    for age, p5, p9 in (
        (timedelta(hours=3), True, True),
        (timedelta(hours=3, seconds=1), True, False),
        (timedelta(days=30, seconds=1), False, False),
        (timedelta(days=59), False, False),
    ):
        world.clock.set(event.at)
        await world.sweep.run()
        world.clock.set(event.at + age)
        for geo in world.stores:  # the jobs say that they run, and are not believed
            for kind in ("purge", "sweep"):
                await world.operations.write(_heartbeat(world, kind, geo))
        await world.operations.write(_heartbeat(world, "sweep", None))
        promises = (await world.status.report()).promises
        assert (promises["P5"], promises["P9"]) == (p5, p9), age


def _heartbeat(world: World, kind: Any, geo: str | None) -> Any:
    now = world.clock.now()
    return Heartbeat(kind=kind, geo=geo, started_at=now, at=now, outcome="done", counts={})


async def test_a_sweep_that_stopped_running_is_a_broken_promise_within_three_schedules() -> None:
    world = World()
    await world.sweep.run()
    world.clock.move(timedelta(hours=3))
    await world.purge.run()
    assert (await world.status.report()).holds
    world.clock.move(timedelta(seconds=1))
    report = await world.status.report()
    assert not any(report.promises.values())


async def test_heartbeats_that_cannot_be_read_fail_the_sweep_before_it_begins() -> None:
    world = World()

    async def fail(kind: str) -> None:
        raise StoreUnavailable("cosmos-503")

    world.operations.read_all = fail
    with pytest.raises(StoreUnavailable):
        await world.sweep.run()


def test_every_setting_and_event_has_a_hash_of_all_its_members() -> None:
    common: dict[str, Any] = {
        "tenant_id": TENANT,
        "enrollment_id": STRANGER,
        "geo": "europe",
        "storage_account": "steurope",
        "started_at": datetime(2026, 11, 21, tzinfo=UTC),
        "sequence": 1,
        "at": datetime(2026, 11, 21, tzinfo=UTC),
        "actor": "admin",
        "previous_hash": "0" * 64,
    }
    event = OptedOut(**common, deadline=datetime(2026, 12, 21, tzinfo=UTC))
    others = {
        "tenant_id": OTHER_TENANT,
        "enrollment_id": "0" * 32,
        "geo": "asia",
        "storage_account": "stasia",
        "started_at": common["at"] - timedelta(microseconds=1),
        "sequence": 2,
        "at": common["at"] + timedelta(microseconds=1),
        "actor": "other",
        "previous_hash": "1" * 64,
        "deadline": event.deadline + timedelta(microseconds=1),
    }
    hashes = {event.model_copy(update={name: value}).hash for name, value in others.items()}
    assert others.keys() | {"kind"} == OptedOut.model_fields.keys()
    assert len(hashes | {event.hash, OptedIn(**common).hash}) == len(others) + 2
    assert Setting(tenant_id=TENANT).ledger_hash == "0" * 64


# What somebody's hand can make of ledger, deletions and settings


def _overwrite(events: list[Any]) -> None:
    events[1] = events[0]


def _copy(events: list[Any]) -> None:
    del events[1]
    events.append(events[0])


@pytest.mark.parametrize("tamper", [_overwrite, _copy])
async def test_an_opt_out_overwritten_with_another_event_is_reported(tamper: Callable[[list[Any]], None]) -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.opt_in()
    tamper(world.ledger.events[TENANT])
    found = await swept(world)
    assert found["eventsMissing"] == 1 and found["eventsChanged"] >= 1
    assert (await world.status.report()).promises["P9"] is False


async def test_a_ledger_that_is_gone_altogether_is_reported_by_what_is_left_of_it() -> None:
    world, _ = await opted_out()
    world.ledger.events.clear()
    world.ledger.settings.clear()
    assert (await swept(world))["deletionsWithoutEvent"] == 1
    await world.opt_in("00000000-0c4d-4f18-a7e1-62d05c8f9b30")
    await world.opt_in("ffffffff-0c4d-4f18-a7e1-62d05c8f9b30")
    assert (await swept(world))["deletionsWithoutEvent"] == 1


async def test_an_event_whose_deadline_somebody_moved_gives_its_deletion_no_more_time() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    world.ledger.events[TENANT][1] = event.model_copy(update={"deadline": event.deadline + timedelta(days=99)})
    world.clock.move(timedelta(hours=1))
    await world.sweep.run()
    assert (await world.deletions.get(TENANT, event.enrollment_id)).deadline == event.deadline


async def test_a_deletion_called_verified_without_a_receipt_begins_again() -> None:
    world, deletion = await opted_out()
    key = (TENANT, deletion.enrollment_id)
    world.deletion_items.items[key] = Stored(deletion.model_copy(update={"status": "verified"}), "by-hand")
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert await world.deletions.get(*key) == deletion


async def test_a_deletion_that_nobody_understands_is_a_failure_and_not_taken_for_done() -> None:
    world, _ = await opted_out()

    async def none_understood(after: str, until: str) -> AsyncIterator[Any]:
        for stored in ():
            yield stored

    async def unreadable(*args: object) -> None:
        raise StoreUnavailable("cosmos-item-unreadable")

    world.deletion_items.of_tenants = none_understood
    world.deletion_items.read = unreadable
    world.clock.move(timedelta(hours=1))
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "cosmos-item-unreadable")


async def test_an_opt_out_that_nobody_understands_is_a_broken_promise_and_no_error_of_status() -> None:
    world = World()
    await world.purge.run()
    await world.sweep.run()
    assert (await world.status.report()).holds

    async def not_understood(at: datetime) -> AsyncIterator[Any]:
        yield None

    world.ledger.opt_outs_since = not_understood
    report = await world.status.report()
    assert (report.promises["P9"], report.ledger.unreadable_opt_outs) == (False, 1)


async def test_one_event_that_nobody_understands_spares_its_enrollment_and_no_other() -> None:
    world = World()
    await world.opt_in()
    today = world.clock.now().date()
    for enrollment_id in ("f" + 31 * "0", STRANGER):
        put(world, "europe", enrollment_id, today)

    async def events_of_shard(shard: str) -> AsyncIterator[Any]:
        if shard == "f":
            yield STRANGER, None

    world.ledger.events_of_shard = events_of_shard
    heartbeat = (await world.sweep.run())["europe"]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "ledger-unclear")
    assert world.stored_containers() == {"europe": [f"f-{today:%Y%m%d}-{STRANGER}"]}


async def test_nothing_is_deleted_on_the_word_of_a_broken_ledger() -> None:
    world = World()
    await world.opt_in()
    await world.post()
    stored = world.stored_containers()
    [event] = world.ledger.events[TENANT]
    for account in ("stelsewhere", "steurope2"):
        world.ledger.events[TENANT][0] = event.model_copy(update={"storage_account": account})
        heartbeat = (await world.sweep.run())["europe"]
        assert (heartbeat.outcome, heartbeat.error) == ("failed", "ledger-unsound")
        assert world.stored_containers() == stored


async def test_a_verified_deletion_of_an_enrollment_that_never_ended_deletes_no_live_data() -> None:
    world = World()
    await world.opt_in()
    await world.post()
    stored = world.stored_containers()
    world_2, done = await verified()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    forged = done.model_copy(update={"enrollment_id": live})
    world.deletion_items.items[TENANT, live] = Stored(forged, "by-hand")
    await world.sweep.run()
    assert world.stored_containers() == stored
    del world_2


async def test_two_geos_whose_accounts_were_exchanged_lose_nothing() -> None:
    world = World()
    await world.opt_in()
    await world.post()
    stores = world.stores
    world.stores = {**stores, "europe": stores["unitedstates"], "unitedstates": stores["europe"]}
    heartbeats = await world.sweep.run()
    assert (heartbeats["unitedstates"].outcome, heartbeats["unitedstates"].error) == ("failed", "geo-exchanged")
    assert len(stores["europe"].containers) == 1


@pytest.mark.parametrize(("strangers", "left"), [(50, 0), (51, 51)])
async def test_a_ledger_that_does_not_know_most_of_an_account_is_not_believed(strangers: int, left: int) -> None:
    world = World()
    await world.opt_in()
    for n in range(strangers):
        put(world, "europe", f"f{n:031x}", world.clock.now().date())
    heartbeat = (await world.sweep.run())["europe"]
    assert len(world.stores["europe"].containers) == left
    assert heartbeat.error == (None if left == 0 else "ledger-strange")


async def test_containers_that_cannot_be_deleted_starve_neither_those_behind_them_nor_the_other_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_sweep, "_CHUNK", 2)
    monkeypatch.setattr(storage_sweep, "_FAILURES", 4)
    world = World(sweep_bounds=Bounds(repairs=3))
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    today = world.clock.now().date()
    stuck = [put(world, "europe", live, today - timedelta(days=40 + n)) for n in range(3)]
    behind = put(world, "europe", live, today - timedelta(days=31))
    other = put(world, "europe", STRANGER, today)
    store = world.stores["europe"]
    delete = store.delete_container

    async def leased(container: str) -> bool:
        if container in stuck:
            raise StoreUnavailable("storage-LeaseIdMissing")
        return await delete(container)  # type: ignore[no-any-return]

    store.delete_container = leased
    for _ in range(3):
        heartbeat = (await world.sweep.run())["europe"]
        assert (heartbeat.outcome, heartbeat.error) == ("failed", "storage-LeaseIdMissing")
        assert (await world.status.report()).promises["P4"] is False, "never told whole while it lies there"
    assert sorted(store.containers) == sorted(stuck) and behind != other


async def test_a_sweep_that_takes_all_its_time_to_look_still_does_something_of_what_it_found() -> None:
    world = World(sweep_bounds=Bounds(seconds=100))
    await world.opt_in()
    put(world, "europe", "0" * 32, world.clock.now().date())
    put(world, "europe", STRANGER, world.clock.now().date())
    events_of_shard = world.ledger.events_of_shard

    async def slow(shard: str) -> AsyncIterator[Any]:
        world.clock.move(timedelta(seconds=150))
        async for each in events_of_shard(shard):
            yield each

    world.ledger.events_of_shard = slow
    for left in (1, 0):
        await world.sweep.run()
        assert len(world.stores["europe"].containers) == left


async def test_a_name_with_a_year_that_no_clock_shows_is_not_ours_and_stops_nothing() -> None:
    world = World()
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    for year in ("0001", "9999"):
        world.stores["europe"].containers[f"{live[0]}-{year}1231-{live}"] = {}
    put(world, "europe", STRANGER, world.clock.now().date())
    await world.purge.run()
    assert await swept(world, "europe") == {"containers": 3, "foreignContainers": 2, "unknownEnrollment": 1}
    assert (await world.status.report()).geos["europe"].oldest_day is None


async def test_what_came_back_and_cannot_be_deleted_is_one_reappearance_and_gets_no_receipt() -> None:
    world, done = await verified()
    container = put(world, "europe", done.enrollment_id, done.days[0])
    store = world.stores["europe"]
    delete = store.delete_container

    async def leased(name: str) -> bool:
        raise StoreUnavailable("storage-LeaseIdMissing")

    store.delete_container = leased
    world.clock.set(max(world.clock.now(), done.deadline))
    for _ in range(3):
        await world.sweep.run()
        await proved_again(world)
        found = await world.deletions.get(TENANT, done.enrollment_id)
        assert (found.status, len(found.reappeared)) == ("scheduled", 1)
        assert (await world.status.report()).promises["P5"] is False
    store.delete_container = delete
    await proved_again(world)
    found = await world.deletions.get(TENANT, done.enrollment_id)
    assert found.status == "verified" and container not in store.containers


@pytest.mark.parametrize("conflicts", [2, 3])
async def test_what_came_back_is_not_deleted_before_its_receipt_tells(conflicts: int) -> None:
    world, done = await verified()
    put(world, "europe", done.enrollment_id, done.days[0])
    replace, left = world.deletion_items.replace, conflicts

    async def busy(deletion: Deletion, etag: str) -> None:
        nonlocal left
        if left:
            left -= 1
            raise Conflict
        await replace(deletion, etag)

    world.deletion_items.replace = busy
    heartbeat = (await world.sweep.run())["europe"]
    found = await world.deletions.get(TENANT, done.enrollment_id)
    told = bool(found.reappeared)
    assert told is (conflicts == 2) and bool(world.stored_containers()) is not told
    assert heartbeat.error == (None if told else "conflict")


async def test_a_vault_that_fails_is_not_asked_for_every_receipt_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Vault:
        async def sign(self, claims: object) -> str:
            asked.append(claims)
            raise StoreUnavailable("vault-timeout")

    world = World()
    for n in range(3):
        await world.opt_in(tenant_id(n))
        event = await world.opt_out(tenant_id(n))
        await world.feed()
        await world.deletions.expedite(tenant_id(n), event.enrollment_id, now=world.clock.now())
    monkeypatch.setattr(world_module, "SIGNER", Vault())
    await world.purge.run()
    world.clock.move(timedelta(minutes=5))
    heartbeat = (await world.purge.run())["europe"]
    assert (heartbeat.error, len(asked)) == ("vault-timeout", 1)
    assert {stored.value.status for stored in world.deletion_items.items.values()} == {"purged"}
    monkeypatch.undo()
    await world.purge.run()
    assert {stored.value.status for stored in world.deletion_items.items.values()} == {"verified"}
