"""P9: the status tells what is lost, what lags and what does not run."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.model.heartbeats import Heartbeat
from shared.ports import Committed
from tests.keeping import keep
from tests.unit.opt_outs import opted_out
from tests.world import World


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
        await all_jobs_say_that_they_run(world)
        promises = (await world.status.report()).promises
        assert (promises["P5"], promises["P9"]) == (p5, p9), age


async def test_an_overdue_deletion_is_seen_though_it_is_scheduled_or_mended_while_the_status_looks() -> None:
    world = World()
    await world.opt_in()
    event = await world.opt_out()
    world.clock.set(event.at + timedelta(days=31))
    existing = world.deletion_items.existing

    async def looked_up_and_then_scheduled(keys: Any) -> Any:
        there = await existing(keys)
        await world.feed()
        return there

    world.deletion_items.existing = looked_up_and_then_scheduled
    report = await world.status.report()
    assert (report.promises["P5"], report.ledger.unscheduled, report.overdue_deletions) == (False, 1, 1)

    ((key, stored),) = world.deletion_items.items.items()
    later = stored.value.model_copy(update={"deadline": stored.value.deadline + timedelta(days=2)})
    # Somebody edited it so that no query for what is overdue finds it; the sweep mends it.
    world.deletion_items.items[key] = replace(stored, value=later)

    async def mended_before_the_look() -> AsyncIterator[str | None]:
        world.deletion_items.items[key] = stored
        for nothing in ():
            yield nothing

    world.deletion_items.unreadable = mended_before_the_look
    report = await world.status.report()
    assert (report.promises["P5"], report.overdue_deletions) == (False, 1)


@pytest.mark.parametrize("step", ["operations.read_all", "ledger.last_commit", "deletion_items.overdue"])
async def test_what_is_stored_too_long_is_seen_though_the_sweep_deletes_it_while_the_status_looks(step: str) -> None:
    world = World()
    await world.opt_in()
    await world.post()
    await world.sweep.run()
    world.clock.move(timedelta(days=32))
    await all_jobs_say_that_they_run(world)
    where, _, call = step.partition(".")
    store = getattr(world, where)
    inner = getattr(store, call)

    async def swept_before(*args: Any) -> Any:
        setattr(store, call, inner)
        await world.sweep.run()
        assert not any(world.containers().values())
        return await inner(*args)

    setattr(store, call, swept_before)
    assert not (await world.status.report()).promises["P4"]


async def all_jobs_say_that_they_run(world: World) -> None:
    """And are not to be believed."""
    for store in world.stores.values():
        for kind in ("purge", "sweep"):
            await keep(world.operations, _heartbeat(world, kind, store.account))
    await keep(world.operations, _heartbeat(world, "sweep", None))


def _heartbeat(world: World, kind: Any, account: str | None) -> Any:
    now = world.clock.now()
    return Heartbeat(kind=kind, storage_account=account, started_at=now, at=now, outcome="done", counts={})


async def test_a_sweep_that_stopped_running_is_a_broken_promise_within_three_schedules() -> None:
    world = World()
    await world.sweep.run()
    world.clock.move(timedelta(hours=3))
    await world.purge.run()
    assert (await world.status.report()).holds
    world.clock.move(timedelta(seconds=1))
    report = await world.status.report()
    assert not any(report.promises.values())


async def test_an_opt_out_that_nobody_understands_is_a_broken_promise_and_no_error_of_status() -> None:
    world = World()
    await world.purge.run()
    await world.sweep.run()
    assert (await world.status.report()).holds

    await world.opt_in()
    await world.opt_out()
    world.ledger.opt_outs_committed = unreadable
    report = await world.status.report()
    assert (report.promises["P9"], report.ledger.unreadable_opt_outs) == (False, 1)


async def unreadable(since: int, before: int | None = None) -> AsyncIterator[Any]:
    yield Committed(since, None)


async def test_deletions_that_were_finished_late_are_counted_by_each_round_and_no_more_for_more_rounds() -> None:
    world, _ = await opted_out()
    await world.opt_in()
    event = await world.opt_out()
    await world.feed()
    world.clock.set(event.deadline + timedelta(hours=1))
    for _ in range(2):
        await world.purge.run()
        world.clock.move(timedelta(minutes=5))
    assert (await world.status.report()).late == 0, "no round has come by"
    for _ in range(2):
        await world.sweep.run()
        assert (await world.status.report()).late == 2
    world.clock.move(timedelta(days=365))
    await world.sweep.run()
    assert (await world.status.report()).late == 0
