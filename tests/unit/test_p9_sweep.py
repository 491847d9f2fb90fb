"""P9: what the feed or a purge lost, or somebody's hand has changed, is found by the sweep, repaired, and seen."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from joserfc import jws

from shared import sweep as sweep_module
from shared.containers import DayContainer
from shared.deletions import Deletion
from shared.ledger import OptedIn, OptedOut, Setting
from shared.stores.memory import MemoryCaptures
from shared.stores.ports import ListedContainer, Stored, StoreUnavailable
from shared.sweep import Bounds
from tests import world as world_module
from tests.clocks import settle
from tests.unit.test_p5_deletion import opted_out
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
        assert world.stored_containers() == {}
        assert (await world.deletions.get(TENANT, event.enrollment_id)).deadline == event.deadline
        done = await world.deletions.get(TENANT, deletion.enrollment_id)
        assert done.receipt is not None and done.receipt.reappeared, "whatever came back is in the receipt"
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
    for holds in (False, True):
        await world.sweep.run()
        await world.purge.run()
        assert (await world.status.report()).promises["P9"] is holds, "a round is forgotten when the next is clean"


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
    monkeypatch.setattr(sweep_module, "_SLICE", 2)
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
    monkeypatch.setattr(sweep_module, "_SLICE", 1)
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
    assert report.promises == {"P1": False, "P3": False, "P4": False, "P5": True, "P6": False, "P9": True}
    assert report.findings == {
        "foreignContainers": 1,
        "unknownEnrollment": 1,
        "afterReceipt": 1,
        "pastDeadline": 1,
        "impossibleDay": 1,
        "wrongAccount": 1,
    }
    await world.sweep.run()
    assert not (await world.status.report()).holds, "the round before has found something"
    await world.sweep.run()
    assert (await world.status.report()).holds


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
        async for event in events_of_shard(shard):
            yield event
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


async def test_a_container_that_goes_while_it_is_judged_is_not_counted() -> None:
    world = World()
    await world.opt_in()
    put(world, "europe", STRANGER, world.clock.now().date())

    async def gone(container: str) -> bool:
        return False

    world.stores["europe"].delete_container = gone
    assert "unknownEnrollment" not in await swept(world, "europe")


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


async def test_data_that_came_back_is_deleted_and_its_receipt_says_when() -> None:
    world, done = await verified()
    assert done.receipt is not None
    world.clock.move(timedelta(hours=1))
    for day in done.days[:2]:
        put(world, "europe", done.enrollment_id, day)
    assert (await swept(world, "europe"))["afterReceipt"] == 2
    assert world.stored_containers() == {}
    again = await world.deletions.get(TENANT, done.enrollment_id)
    assert again.status == "verified" and again.receipt is not None
    [entry] = again.receipt.reappeared
    assert (entry.at, entry.containers_found) == (world.clock.now(), 2)
    keys = world_module.SIGNER
    signed = jws.deserialize_compact(again.receipt.jws.encode(), keys._keys[0], algorithms=["ES256"]).payload
    assert b'"containersFound": 2' in signed
    assert again.model_copy(update={"receipt": done.receipt}) == done, "nothing else of it has changed"
    world.clock.move(timedelta(hours=1))
    await world.sweep.run()
    assert await world.deletions.get(TENANT, done.enrollment_id) == again


async def test_what_came_back_is_deleted_even_while_no_receipt_can_be_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    world, done = await verified()
    put(world, "europe", done.enrollment_id, done.days[0])

    class Vault:
        async def sign(self, claims: object) -> str:
            raise StoreUnavailable("vault-503")

    monkeypatch.setattr(world_module, "SIGNER", Vault())
    heartbeat = (await world.sweep.run())["europe"]
    assert (heartbeat.error, world.stored_containers()) == ("vault-503", {})
    again = await world.deletions.get(TENANT, done.enrollment_id)
    assert again.receipt is not None and len(again.receipt.reappeared) == 1
    assert again.receipt.jws == "", "an old signature would not be of this receipt"
    monkeypatch.undo()
    assert (await swept(world))["receiptsSigned"] == 1
    signed = await world.deletions.get(TENANT, done.enrollment_id)
    assert signed.receipt is not None and signed.receipt.reappeared == again.receipt.reappeared
    assert jws.deserialize_compact(signed.receipt.jws.encode(), world_module.SIGNER._keys[0], algorithms=["ES256"])
    assert "receiptsSigned" not in await swept(world)


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
    return sweep_module.Heartbeat(kind=kind, geo=geo, started_at=now, at=now, outcome="done", counts={})


async def test_a_sweep_that_stopped_running_is_a_broken_promise_within_three_schedules() -> None:
    world = World()
    await world.sweep.run()
    world.clock.move(timedelta(hours=3))
    await world.purge.run()
    assert (await world.status.report()).holds
    world.clock.move(timedelta(seconds=1))
    report = await world.status.report()
    assert report.promises == {"P1": False, "P3": False, "P4": False, "P5": True, "P6": False, "P9": False}


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
