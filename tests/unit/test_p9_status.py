"""P9: the status tells what is lost, what lags and what does not run."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from shared.model.heartbeats import Heartbeat
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
        for store in world.stores.values():  # the jobs say that they run, and are not believed
            for kind in ("purge", "sweep"):
                await world.operations.write(_heartbeat(world, kind, store.account))
        await world.operations.write(_heartbeat(world, "sweep", None))
        promises = (await world.status.report()).promises
        assert (promises["P5"], promises["P9"]) == (p5, p9), age


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

    async def not_understood(at: datetime) -> AsyncIterator[Any]:
        yield None

    world.ledger.opt_outs_since = not_understood
    report = await world.status.report()
    assert (report.promises["P9"], report.ledger.unreadable_opt_outs) == (False, 1)
