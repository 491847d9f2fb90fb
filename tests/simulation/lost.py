"""Stories of opt-outs of which the change feed brings nothing: by the watermark the sweep finds them soon (P9)."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.sweep.sweep import Bounds
from tests.simulation.faults import Aimed

if TYPE_CHECKING:
    from tests.simulation.history import History

HOUR, MINUTE = 3600.0, 60.0
Wait = Callable[[float], Awaitable[None]]


async def beside_a_slow_round(history: "History", wait: Wait) -> None:
    """The feed loses opt-outs, and a run of the sweep comes to one of many ledgers only."""
    if not await _slow_rounds(history, wait):
        return
    random = history.random
    await _lose(history, random.sample(history.setup.tenants, 2), wait)
    history.faults.count("opt-outs lost beside a slow round")
    await history.sweep()
    if random.random() < 0.3:
        await wait(3.5 * HOUR)
        await history.status()
    else:
        await wait(20 * MINUTE)
    history.edit_watermark(0.5, ahead=True)
    await history.sweep(awake=True)


async def for_hours(history: "History", wait: Wait) -> None:
    """A sweep comes to nothing with what was lost; hours of other opt-outs later the next one has to find it."""
    if not await _slow_rounds(history, wait):
        return
    random, faults, cloud = history.random, history.faults, history.cloud
    who, *others = random.sample(history.setup.tenants, 3)
    fails = random.random() < 0.5
    await _lose(history, [who, *others[:fails]], wait)
    faults.count("opt-outs lost for hours")
    await wait(random.choice((6, 20)) * MINUTE)
    history.edit_watermark(0.4, ahead=True)
    if fails:
        faults.aimed += [Aimed("create", 0.0, "fail before", "sweep") for _ in range(4)]
    else:
        await wait(4.5 * HOUR)
        await _lose(history, others[:1], wait)
        await wait(6 * MINUTE)
        history.edit_watermark(1.0)
        cloud.sweep_bounds = Bounds(seconds=random.choice((0.5, 2.0)), max_ledgers=1)
        history.restart_all()
        faults.weather.latency = 1.0
    instance = history.instance(awake=True)
    await history.ask(instance, "sweep", instance.sweep.run)
    faults.aimed.clear()
    faults.weather.clear()
    if fails:
        await wait(4.5 * HOUR)
        await history.toggle(others[1], None)
        cloud.fed = len(cloud.ledger.changes)
        await wait(6 * MINUTE)
    instance = history.instance(awake=True)
    began = history.loop.time()
    answer, _ = await history.ask(instance, "sweep", instance.sweep.run)
    if answer.how == "ok":
        history.oracle.check_nothing_lost(began)
    history.stop_if_violated()


async def refused_in_the_middle(history: "History", wait: Wait) -> None:
    """A run of the sweep is refused once in the middle of its search, and has all the time that it needs to go on."""
    if not await _slow_rounds(history, wait):
        return
    await _lose(history, history.random.sample(history.setup.tenants, 3), wait)
    history.faults.count("opt-outs lost behind a page that is refused")
    await wait(20 * MINUTE)
    instance, began = history.instance(awake=True), history.loop.time()
    history.faults.aimed.append(Aimed("opt_outs_committed next", 0.0, "told to wait", "sweep"))
    answer, _ = await history.ask(instance, "sweep", instance.sweep.run)
    history.faults.aimed.clear()
    if answer.how == "ok":
        history.oracle.check_nothing_lost(began)
    history.stop_if_violated()


async def told_by_the_status(history: "History", wait: Wait) -> None:
    """What the status says is so whatever the last sweep has seen, however old that is and by whichever clock."""
    history.faults.weather.clear()
    await history.clients_done()
    if history.random.random() < 0.3:
        await history.sweep(awake=True)
        await wait(3.5 * HOUR)
        await history.purge(awake=True)
        await history.status()
    elif history.setup.feed == "lossy" and len(history.setup.tenants) > 1 and history.random.random() < 0.4:
        await _held_up(history)
    elif history.setup.feed != "healthy":
        await _just_after_a_sweep(history, wait)
    history.stop_if_violated()


async def _held_up(history: "History") -> None:
    """An opt-out is held up before its commit, while a later one comes and a sweep sees that it has its deletion."""
    random = history.random
    who, other = random.sample(history.setup.tenants, 2)
    for each in (who, other):
        if not history.on(each) and not await history.toggle(each, random.choice(history.setup.geos)):
            return
    history.faults.count("an opt-out held up until after a sweep")
    history.faults.aimed.append(Aimed("commit", 300.0, of="toggle"))
    history.spawn(_opt_out(history, who))
    await history.wait(2.0)
    await history.toggle(other, None)
    await history.feed(lossless=True)
    await history.sweep(awake=True)
    await history.clients_done()
    history.cloud.fed = len(history.cloud.ledger.changes)
    await history.status()


async def _opt_out(history: "History", who: str) -> None:
    await history.toggle(who, None, attempts=1)


async def _just_after_a_sweep(history: "History", wait: Wait) -> None:
    random, faults = history.random, history.faults
    who = random.choice(history.setup.tenants)
    if not history.on(who) and not await history.toggle(who, random.choice(history.setup.geos)):
        return
    await history.sweep(awake=True)
    await _lose(history, [who], wait)
    faults.count("an opt-out lost just after a sweep")
    await wait(12 * MINUTE)  # more than the clock of the database is off
    await history.toggle(who, random.choice(history.setup.geos))
    history.cloud.fed = len(history.cloud.ledger.changes)
    await history.status()
    if random.random() < 0.3:
        await wait(3.5 * HOUR)
        await history.status()


async def _slow_rounds(history: "History", wait: Wait) -> bool:
    """Let all tenants share, and a run of the sweep come to one ledger only; return whether there are enough."""
    if len(history.setup.tenants) < 3 or history.setup.feed == "healthy":
        return False
    history.faults.weather.clear()
    await history.clients_done()
    # Who moves the watermark hides what was lost hours ago from all but the slower round: first that is found.
    await wait(20 * MINUTE)
    await history.sweep(awake=True)
    history.cloud.sweep_bounds = Bounds(seconds=60.0, max_ledgers=1, max_deletes=1)
    history.restart_all()
    for who in history.setup.tenants:
        if not history.on(who):
            await history.toggle(who, history.random.choice(history.setup.geos))
    return True


async def _lose(history: "History", tenants: list[str], wait: Wait) -> None:
    """Let tenants opt out, and the feed bring nothing of it."""
    for who in tenants:
        await wait(MINUTE * history.random.random())
        await history.toggle(who, None)
    history.cloud.fed = len(history.cloud.ledger.changes)
