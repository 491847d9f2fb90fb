"""P9: what the change feed has lost is found within an hour, by commit time, however many tenants there are."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.model.ledger import OptedOut
from shared.ports import Committed, StoreUnavailable
from shared.sweep.sweep import Bounds
from shared.watch import status
from tests.unit.sweeps import tenant_id
from tests.world import Crash, Crashing, Steps, World

HOUR = timedelta(hours=1)
NO_ROUND = Bounds(max_ledgers=1)
"""So that of several tenants the slow round comes to one in a run."""


async def opted_out_of(world: World, *tenants: int, feed: bool = False) -> list[OptedOut]:
    events = []
    for n in tenants:
        await world.opt_in(tenant_id(n))
        events.append(await world.opt_out(tenant_id(n)))
    if feed:
        await world.deletions.schedule(events)
    return events


def commit(world: World, event: OptedOut, at: datetime) -> None:
    """Let the database have stamped an event at a time."""
    world.ledger.committed[event.tenant_id, event.id] = int(at.timestamp())


def scheduled(world: World, event: OptedOut) -> bool:
    return (event.tenant_id, event.enrollment_id) in world.deletion_items.items


def watermark(world: World) -> int:
    until = world.operations.heartbeats["sweep", None].scheduled_until
    assert isinstance(until, int)
    return until


def set_watermark(world: World, until: int | None) -> None:
    last = world.operations.heartbeats["sweep", None]
    world.operations.heartbeats["sweep", None] = last.model_copy(update={"scheduled_until": until})


def counting(world: World) -> Counter[str]:
    """Count what the search reads."""
    counts: Counter[str] = Counter()
    committed, existing = world.ledger.opt_outs_committed, world.deletion_items.existing

    async def counted(since: int, before: int | None = None) -> AsyncIterator[Any]:
        async for each in committed(since, before):
            counts["opt-outs"] += 1
            yield each

    async def counted_too(keys: Any) -> Any:
        counts["looked up"] += len(keys)
        return await existing(keys)

    world.ledger.opt_outs_committed, world.deletion_items.existing = counted, counted_too
    return counts


@pytest.mark.parametrize("tenants", [3, 60])
async def test_a_run_finds_what_was_lost_wherever_its_round_is_and_reads_no_more_for_more_tenants(tenants: int) -> None:
    world = World(sweep_bounds=NO_ROUND)
    await opted_out_of(world, *range(tenants - 1), feed=True)
    world.clock.move(HOUR)
    await world.sweep.run()
    world.clock.move(5 * HOUR)
    (lost,) = await opted_out_of(world, tenants - 1)
    await world.sweep.run()
    assert not scheduled(world, lost), "it is the feed's for now"
    world.clock.move(HOUR)
    read = counting(world)
    heartbeat = (await world.sweep.run())[None]
    assert scheduled(world, lost) and heartbeat.totals is not None
    assert (heartbeat.totals["deletionsCreated"], read["opt-outs"]) == (1, 1), "it alone"


async def test_an_opt_out_that_was_stamped_long_before_its_commit_is_found() -> None:
    world = World(sweep_bounds=NO_ROUND)
    (held_up,) = await opted_out_of(world, 2)
    others = await opted_out_of(world, 0, 1)
    commit(world, held_up, world.clock.now() + timedelta(days=2))
    for day, event in enumerate(others):
        commit(world, event, event.at + timedelta(days=day))
    world.clock.move(timedelta(days=2))
    read = counting(world)
    await world.sweep.run()
    assert watermark(world) == int((others[0].at + timedelta(days=2)).timestamp()) or not scheduled(world, held_up)
    world.clock.move(HOUR)
    await world.sweep.run()
    assert scheduled(world, held_up) and read["opt-outs"]


async def test_the_watermark_stops_at_what_is_the_feeds_for_now_what_fails_and_what_nobody_understands() -> None:
    world = World(sweep_bounds=NO_ROUND)
    (first,) = await opted_out_of(world, 0)
    start = int(first.at.timestamp())
    world.clock.set(first.at + timedelta(minutes=4))
    await world.sweep.run()
    assert watermark(world) <= start and not scheduled(world, first)
    second, third = await opted_out_of(world, 1, 2)
    for n, event in enumerate((second, third), start=1):
        commit(world, event, first.at + n * 5 * HOUR)
    create = world.deletion_items.create

    async def failing(deletion: Any) -> bool:
        if deletion.enrollment_id == second.enrollment_id:
            raise StoreUnavailable("cosmos-503")
        return bool(await create(deletion))

    world.deletion_items.create = failing
    world.clock.set(first.at + 12 * HOUR)
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "cosmos-503")
    assert scheduled(world, first) and scheduled(world, third), "one that fails keeps no other"
    assert watermark(world) == start + 5 * 3600
    world.deletion_items.create = create
    await world.sweep.run()
    assert scheduled(world, second) and watermark(world) == start + 10 * 3600
    committed = world.ledger.opt_outs_committed

    async def damaged(since: int, before: int | None = None) -> AsyncIterator[Any]:
        async for each in committed(since, before):
            yield Committed(each.at, None) if each.event == second else each

    world.ledger.opt_outs_committed = damaged
    set_watermark(world, start)
    await world.sweep.run()
    assert watermark(world) == start + 5 * 3600
    assert (await world.status.report()).ledger.unreadable_opt_outs == 1


async def test_the_watermark_goes_back_to_what_is_lost_before_it_and_cannot_be_mended() -> None:
    world = World(sweep_bounds=NO_ROUND)
    (lost,) = await opted_out_of(world, 0)
    (later,) = await opted_out_of(world, 1, feed=True)
    commit(world, later, lost.at + HOUR)
    create = world.deletion_items.create

    async def failing(deletion: Any) -> bool:
        raise StoreUnavailable("cosmos-503")

    world.clock.move(2 * HOUR)
    world.deletion_items.create = failing
    await world.sweep.run()
    set_watermark(world, int((lost.at + HOUR).timestamp()))
    await world.sweep.run()
    assert watermark(world) == int(lost.at.timestamp()) and not scheduled(world, lost)
    world.deletion_items.create = create
    await world.sweep.run()
    assert scheduled(world, lost) and watermark(world) == int((lost.at + HOUR).timestamp())


async def test_the_watermark_stops_at_the_first_of_those_that_are_the_feeds_for_now() -> None:
    world = World(sweep_bounds=NO_ROUND)
    (first,) = await opted_out_of(world, 0)
    world.clock.move(timedelta(minutes=1))
    (second,) = await opted_out_of(world, 1)
    await world.sweep.run()
    assert watermark(world) == int(first.at.timestamp()) < int(second.at.timestamp())


@pytest.mark.parametrize("until", [None, -5, 0, 2**60, 1])
async def test_a_watermark_that_somebody_has_edited_hides_nothing(until: int | None) -> None:
    world = World(sweep_bounds=NO_ROUND)
    events = await opted_out_of(world, 0, 1, 2, feed=True)
    world.clock.move(2 * HOUR)
    await world.sweep.run()
    (lost,) = await opted_out_of(world, 3)
    set_watermark(world, until)
    world.clock.move(HOUR)
    assert (await world.status.report()).ledger.unscheduled == 1
    await world.sweep.run()
    assert scheduled(world, lost) and int(events[0].at.timestamp()) <= watermark(world) <= lost.at.timestamp()


async def test_a_watermark_moved_ahead_by_hours_hides_nothing_either() -> None:
    """It is before the last commit, so that it could be a true one."""
    world = World(sweep_bounds=NO_ROUND)
    await opted_out_of(world, 0, feed=True)
    await world.sweep.run()
    (lost,) = await opted_out_of(world, 2)
    world.clock.move(3 * HOUR)
    (later,) = await opted_out_of(world, 1, feed=True)
    set_watermark(world, int(later.at.timestamp()))
    world.clock.move(HOUR)
    await world.sweep.run()
    assert scheduled(world, lost)


async def test_with_much_to_catch_up_with_what_is_lost_now_comes_first_and_the_rest_in_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.unscheduled.LOOKUP_MAX", 2)
    world = World(sweep_bounds=Bounds(seconds=100, max_ledgers=1))
    old = await opted_out_of(world, *range(12))
    for n, event in enumerate(old):
        commit(world, event, event.at + n * HOUR)
    world.clock.move(timedelta(days=3))
    (new,) = await opted_out_of(world, 99)
    world.clock.move(HOUR)
    create = world.deletion_items.create

    async def slow(deletion: Any) -> bool:
        world.clock.move(timedelta(seconds=20))
        return bool(await create(deletion))

    world.deletion_items.create = slow
    marks = list[int]()
    for run in range(12):
        await world.sweep.run()
        marks.append(watermark(world))
        assert scheduled(world, new), run
    assert marks == sorted(marks) and len(set(marks[:4])) > 1, "each run comes further"
    assert all(scheduled(world, event) for event in old) and marks[-1] == int(new.at.timestamp())


@pytest.mark.parametrize("ahead", [timedelta(minutes=-20), timedelta(minutes=20)])
async def test_a_database_whose_clock_is_minutes_off_hides_nothing(ahead: timedelta) -> None:
    world = World(sweep_bounds=NO_ROUND)
    world.ledger.now = lambda: world.clock.now() + ahead
    for n in range(4):
        (lost,) = await opted_out_of(world, n)
        for _ in range(2):
            world.clock.move(HOUR)
            await world.sweep.run()
        assert scheduled(world, lost), n


async def test_an_opt_out_that_is_committed_while_the_sweep_reads_is_the_next_ones() -> None:
    world = World(sweep_bounds=NO_ROUND)
    await opted_out_of(world, 0)
    world.clock.move(HOUR)
    existing, late = world.deletion_items.existing, list[OptedOut]()

    async def meanwhile(keys: Any) -> Any:
        if not late:
            late.extend(await opted_out_of(world, 1))
            commit(world, late[0], late[0].at - timedelta(minutes=30))  # and becomes visible out of order
        return await existing(keys)

    world.deletion_items.existing = meanwhile
    await world.sweep.run()
    world.clock.move(HOUR)
    await world.sweep.run()
    assert scheduled(world, late[0])


async def test_two_sweeps_and_the_feed_at_once_create_each_deletion_once() -> None:
    world = World()
    events = await opted_out_of(world, 0, 1, 2)
    world.clock.move(HOUR)
    create, others = world.deletion_items.create, [world.feed, world.sweep.run]

    async def others_first(deletion: Any) -> bool:
        if others:
            await others.pop()()
        return bool(await create(deletion))

    world.deletion_items.create = others_first
    heartbeat = (await world.sweep.run())[None]
    assert all(scheduled(world, event) for event in events) and len(world.deletion_items.items) == 3
    assert heartbeat.outcome == "done" and not heartbeat.counts.get("deletionsCreated")
    assert watermark(world) == int(events[-1].at.timestamp())


@pytest.mark.parametrize("after", [False, True])
async def test_a_sweep_that_dies_at_any_step_has_moved_past_nothing(after: bool) -> None:
    for at in range(1, 40):
        world = World(sweep_bounds=NO_ROUND)
        events = await opted_out_of(world, 0, 1)
        world.clock.move(HOUR)
        steps, whole = Steps(at, after), (world.ledger, world.deletion_items, world.operations)
        world.ledger, world.deletion_items, world.operations = (Crashing(store, steps) for store in whole)
        try:
            await world.sweep.run()
        except Crash:
            pass
        else:
            assert at > 5
            return
        world.ledger, world.deletion_items, world.operations = whole
        world.clock.move(HOUR)
        await world.sweep.run()
        assert all(scheduled(world, event) for event in events), at
    pytest.fail("the sweep has no end")


async def test_the_status_says_so_if_there_is_more_to_look_at_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_LOOK_MAX", 2)
    world = World()
    await world.purge.run()
    await world.sweep.run()
    events = await opted_out_of(world, 0, 1, 2, feed=True)
    assert (await world.status.report()).promises["P9"], "what it cannot see is too young to be lost"
    world.clock.set(events[-1].at + 3 * HOUR + timedelta(seconds=1))
    await world.purge.run()
    set_watermark(world, 0)
    report = await world.status.report()
    assert "ledger: there are more opt-outs to look at than one look takes in" in report.reasons["P9"]
    assert not report.promises["P5"]
    await world.sweep.run()
    assert (await world.status.report()).promises["P9"]


async def test_a_round_that_takes_more_than_a_day_is_told() -> None:
    world = World(sweep_bounds=NO_ROUND)
    await opted_out_of(world, 0, 1, 2, feed=True)
    while (await world.sweep.run())[None].cursor is not None:
        pass
    await world.sweep.run()
    began = world.clock.now()
    for hours, holds in ((24, True), (25, False)):
        world.clock.set(began + hours * HOUR)
        heartbeat = world.operations.heartbeats["sweep", None]
        world.operations.heartbeats["sweep", None] = heartbeat.model_copy(update={"at": world.clock.now()})
        told = [why for why in (await world.status.report()).reasons["P9"] if "round began" in why]
        assert (not told) is holds


@pytest.mark.parametrize(
    ("hours", "known"),
    [(1, 0), (1, 1), (9, 0)],
    ids=["onward", "what-is-before-it-again", "with-much-to-catch-up-with"],
)
async def test_the_search_takes_half_of_a_run_at_most(monkeypatch: pytest.MonkeyPatch, hours: int, known: int) -> None:
    monkeypatch.setattr("shared.unscheduled.LOOKUP_MAX", 1)
    world = World(sweep_bounds=Bounds(seconds=100))
    many = await opted_out_of(world, *range(20), feed=True)
    world.clock.move(hours * HOUR)
    (newest,) = await opted_out_of(world, 20, feed=True)
    await world.sweep.run()
    set_watermark(world, int((newest if known else many[0]).at.timestamp()))
    committed, began, took = world.ledger.opt_outs_committed, world.clock.now(), list[timedelta]()
    ledgers = world.ledger.ledgers

    async def slow(since: int, before: int | None = None) -> AsyncIterator[Any]:
        async for each in committed(since, before):
            world.clock.move(timedelta(seconds=10))
            yield each

    def round_begins(*which: Any, **more: Any) -> Any:
        took.append(world.clock.now() - began)
        return ledgers(*which, **more)

    world.ledger.opt_outs_committed, world.ledger.ledgers = slow, round_begins
    heartbeat = (await world.sweep.run())[None]
    assert heartbeat.counts["ledgers"] == 21, "the round has its share, and needs no more"
    assert timedelta(seconds=50) <= took[0] <= timedelta(seconds=60), "no more than the page that it was reading"
