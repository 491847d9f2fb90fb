"""D12: however long one tenant's history is, sweep and status need no more memory, and a run stops inside it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from shared.model.deletion import Deletion, Reappearance
from shared.model.ledger import OptedOut
from shared.ports import Stored
from shared.sweep import ledger as ledger_sweep
from shared.sweep.reappearances import Reappearances
from shared.sweep.sweep import Bounds
from tests.unit.sweeps import STRANGER, swept, tenant_id
from tests.world import World

BEFORE, LONG, AFTER = (tenant_id(n) for n in range(3))
OPT_OUTS = 60


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_sweep, "_ITEMS_MAX", 10)


async def long_history(opt_outs: int = OPT_OUTS) -> World:
    """A world in which nobody has scheduled anything yet: one tenant opted out often, two others once."""
    world = World()
    for tenant, times in ((BEFORE, 1), (LONG, opt_outs), (AFTER, 1)):
        for _ in range(times):
            await world.opt_in(tenant)
            await world.opt_out(tenant)
            world.clock.move(timedelta(hours=4))  # D12: no tenant may opt in more often
    return world


@contextmanager
def time_runs_out_in(world: World, tenant: str) -> Iterator[list[int]]:
    """Each event of the tenant that is read takes so long that the run's time is over; yields which are read."""
    events_after, read = world.ledger.events_after, list[int]()

    async def slow(of: str, sequence: int) -> AsyncIterator[Any]:
        async for event in events_after(of, sequence):
            if of == tenant:
                read.append(event.sequence)
                world.clock.move(timedelta(seconds=100))
            yield event

    world.ledger.events_after = slow
    yield read
    world.ledger.events_after = events_after


async def runs_until_done(world: World, *, runs_max: int = 500) -> list[str | None]:
    """Sweep until the round is over; return where it stood after each run."""
    cursors = list[str | None]()
    while not cursors or cursors[-1] is not None:
        cursors.append((await world.sweep.run())[None].cursor)
        assert len(cursors) <= runs_max, "a run that ends inside a ledger comes no further"
    return cursors


async def test_p9_a_round_that_ends_inside_a_ledger_again_and_again_finds_all_that_one_run_finds() -> None:
    world = await long_history()
    world.sweep_bounds = Bounds(seconds=150)
    with time_runs_out_in(world, LONG):
        cursors = await runs_until_done(world)
    assert sum(LONG in (cursor or "") for cursor in cursors) > OPT_OUTS / 10
    assert len(world.deletion_items.items) == OPT_OUTS + 2
    for (tenant, enrollment_id), stored in world.deletion_items.items.items():
        opt_out = next(
            event
            for event in world.ledger.events[tenant]
            if isinstance(event, OptedOut) and event.enrollment_id == enrollment_id
        )
        assert stored.value == Deletion.owed_for(opt_out)
    last = (await world.operations.read_all("sweep"))[None]
    assert last is not None and last.counts["deletionsCreated"] == OPT_OUTS + 2 and last.counts["ledgers"] == 3


@pytest.mark.parametrize("where", [0, 1, 2, 50, 51, 118, 119])
@pytest.mark.parametrize("how", ["changed", "taken away"])
async def test_p9_a_change_anywhere_in_a_long_ledger_is_found_once_and_nothing_is_mended_on_its_word(
    where: int, how: str
) -> None:
    world = await long_history()
    await world.sweep.run()
    first_opt_out = world.ledger.events[LONG][3]
    stored = world.deletion_items.items[LONG, first_opt_out.enrollment_id]
    late = stored.value.model_copy(update={"deadline": stored.value.deadline + timedelta(days=9)})
    world.deletion_items.items[LONG, first_opt_out.enrollment_id] = Stored(late, "by-hand")
    events = world.ledger.events[LONG]
    if how == "changed":
        events[where] = events[where].model_copy(update={"actor": "somebody else"})
    else:
        events.pop(where)
    world.sweep_bounds = Bounds(seconds=150)
    with time_runs_out_in(world, LONG):
        await runs_until_done(world)
    last = (await world.operations.read_all("sweep"))[None]
    assert last is not None
    last_changed = how == "changed" and where == len(events) - 1  # nothing follows it but the setting
    fault = "settingsDisagreeing" if last_changed else "eventsChanged" if how == "changed" else "eventsMissing"
    assert last.counts[fault] == 1
    assert (await world.status.report()).promises["P9"] is False
    assert world.deletion_items.items[LONG, first_opt_out.enrollment_id].value == late


async def test_p5_a_deadline_moved_later_in_a_long_history_is_brought_back() -> None:
    world = await long_history()
    await world.sweep.run()
    for key, stored in list(world.deletion_items.items.items())[::7]:
        late = stored.value.model_copy(update={"deadline": stored.value.deadline + timedelta(days=9), "sequence": 1})
        world.deletion_items.items[key] = Stored(late, "by-hand")
    assert (await swept(world))["deletionsDisagreeing"] == len(range(0, OPT_OUTS + 2, 7))
    for (tenant, enrollment_id), stored in world.deletion_items.items.items():
        (opt_out,) = (
            event for event in await world.ledger.events_of(tenant, enrollment_id) if isinstance(event, OptedOut)
        )
        assert stored.value == Deletion.owed_for(opt_out)


async def test_p9_a_deletion_of_no_opt_out_is_found_in_a_long_history() -> None:
    world = await long_history()
    await world.sweep.run()
    one = next(stored.value for (tenant, _), stored in world.deletion_items.items.items() if tenant == LONG)
    for sequence, enrollment_id in ((0, "0" * 32), (61, "1" * 32), (10**12, STRANGER)):
        orphan = one.model_copy(update={"enrollment_id": enrollment_id, "sequence": sequence})
        world.deletion_items.items[LONG, enrollment_id] = Stored(orphan, "by-hand")
    assert (await swept(world))["deletionsWithoutEvent"] == 3


async def test_p9_no_more_of_a_tenant_is_ever_held_than_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await long_history()
    held = list[int]()
    reconcile = ledger_sweep.LedgerSweep._reconcile_opt_outs

    async def measured(self: Any, events: Any, deletions: Any, *, trusted: bool) -> None:
        held.extend([len(events), len(deletions)])
        await reconcile(self, events, deletions, trusted=trusted)

    monkeypatch.setattr(ledger_sweep.LedgerSweep, "_reconcile_opt_outs", measured)
    for _ in range(2):
        await world.sweep.run()
    assert max(held) == 10 and sum(held) > 2 * OPT_OUTS


async def test_p9_status_counts_the_opt_outs_without_a_deletion_among_many() -> None:
    world = await long_history()
    await world.feed()
    missing = list(world.deletion_items.items)[5::10]
    for key in missing:
        del world.deletion_items.items[key]
    report = await world.status.report()
    events = [event for tenant in world.ledger.events.values() for event in tenant if isinstance(event, OptedOut)]
    lost = {enrollment_id for _, enrollment_id in missing}
    assert report.ledger.unscheduled == len(missing)
    assert report.ledger.oldest_unscheduled == min(event.at for event in events if event.enrollment_id in lost)


@pytest.mark.parametrize("seconds", [50, 150])
async def test_p9_a_run_ends_inside_a_ledger_when_its_time_is_over_and_comes_further_each_time(seconds: int) -> None:
    world = await long_history(opt_outs=12)
    world.sweep_bounds = Bounds(seconds=seconds)
    with time_runs_out_in(world, LONG) as read:
        while 24 not in read:
            before = len(read)
            heartbeat = (await world.sweep.run())[None]
            assert heartbeat.outcome == "more" and 0 < len(read) - before <= 4
            assert len(read) < 60, "it comes further"


async def test_p9_a_run_that_ends_among_events_that_switch_nothing_calls_no_sound_ledger_broken() -> None:
    world = World()
    await world.opt_in(LONG)
    opt_out = await world.opt_out(LONG)
    for n in range(20):
        at = world.clock.now() + timedelta(minutes=n)
        entry = Reappearance(at=at, containers_found=1, proved_at=at)
        await Reappearances(world.ledger).tell(opt_out, entry)
    world.clock.move(timedelta(hours=1))
    world.sweep_bounds = Bounds(seconds=150)
    with time_runs_out_in(world, LONG):
        await runs_until_done(world)
    last = (await world.operations.read_all("sweep"))[None]
    assert last is not None and last.counts == {"ledgers": 1, "deletionsCreated": 1}


async def test_p9_a_run_whose_time_is_over_between_two_parts_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await long_history()
    reconcile_part, parts = ledger_sweep.LedgerSweep._reconcile_part, 0

    async def slow(*what: Any) -> Any:
        nonlocal parts
        parts += 1
        world.clock.move(timedelta(seconds=100))
        return await reconcile_part(*what)

    monkeypatch.setattr(ledger_sweep.LedgerSweep, "_reconcile_part", slow)
    world.sweep_bounds = Bounds(seconds=150)
    for run in range(1, 4):
        assert (await world.sweep.run())[None].outcome == "more"
        assert parts == 2 * run


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("chained", [False, True])
def test_p9_a_place_inside_a_ledger_is_read_as_it_is_written(chained: bool, sound: bool) -> None:
    place = ledger_sweep._Place(LONG, chained, 7, sound)
    assert ledger_sweep._Place.at(place.cursor) == place
    assert ledger_sweep._Place.at(LONG) is None


@pytest.mark.parametrize("broken", [False, True])
async def test_p9_a_run_that_ends_inside_a_ledger_leaves_the_next_one_its_word_whether_it_is_sound(
    broken: bool,
) -> None:
    world = await long_history(opt_outs=12)
    await world.feed()
    first, *_, lost = [event for event in world.ledger.events[LONG] if isinstance(event, OptedOut)]
    stored = world.deletion_items.items[LONG, first.enrollment_id]
    late = stored.value.model_copy(update={"deadline": stored.value.deadline + timedelta(days=9)})
    world.deletion_items.items[LONG, first.enrollment_id] = Stored(late, "by-hand")
    del world.deletion_items.items[LONG, lost.enrollment_id]
    if broken:
        world.ledger.events[LONG][0] = world.ledger.events[LONG][0].model_copy(update={"actor": "somebody else"})
    world.sweep_bounds = Bounds(seconds=150)
    with time_runs_out_in(world, LONG):
        await runs_until_done(world)
    found = world.deletion_items.items[LONG, first.enrollment_id].value
    assert found == (late if broken else stored.value), "nothing is mended on the word of a broken ledger"
    assert world.deletion_items.items[LONG, lost.enrollment_id].value == Deletion.owed_for(lost), "lost all the same"
