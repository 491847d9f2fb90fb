"""Stories of containers whose deletes hang, as many as use up a run, and of what is behind them (D12)."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.deletion.purge import Bounds
from shared.model.containers import DayContainer

if TYPE_CHECKING:
    from tests.simulation.history import History

HOUR, MINUTE = 3600.0, 60.0
DAY = 24 * HOUR
Wait = Callable[[float], Awaitable[None]]
Settle = Callable[[], Awaitable[None]]


async def hang(history: "History", wait: Wait, settle: Settle) -> None:
    """What is oldest hangs for longer than the rest may wait, and a run has time for one or two that hang."""
    cloud, random = history.cloud, history.random
    history.faults.weather.clear()
    await history.clients_done()
    cloud.purge_bounds = Bounds(seconds=15.0, containers=1, deletions=1, of_tenant=1)
    history.restart_all()
    who = random.choice(history.setup.tenants)
    if history.on(who):
        await history.toggle(who, None)
    for n in range(2):
        if not await history.toggle(who, random.choice(history.setup.geos)):
            return
        await history.wait(MINUTE)  # what was captured before the opt-in, by whichever clock, is refused
        for _ in range(4):
            await history.post(who, attempts=1)
            await wait(DAY)
        known = {name for store in cloud.captures.values() for name in store.containers}
        live = cloud.ledger.settings[who].value.enrollment
        mine = sorted(name for name in known if live is not None and live.enrollment_id in name)
        if live is not None:
            hanging = set(mine if n == 0 else mine[:2])
            _hang(history, hanging, 40 * DAY)
            history.oracle.waived |= {*hanging, live.enrollment_id}
        await history.toggle(who, None)
    if await history.toggle(who, random.choice(history.setup.geos)):
        await history.wait(MINUTE)
        await history.post(who, attempts=1)
        await history.toggle(who, None)  # and this one is owed, whatever hangs
    await settle()
    if random.random() < 0.5:
        await _hang_at_the_second_look(history)


async def _hang_at_the_second_look(history: "History") -> None:
    """What was emptied cannot be looked at again for weeks, and what ended later waits behind it."""
    begun = [each for each in history.unfinished() if each.status == "scheduled"][:2]
    for each in begun:
        await history.expedite(each.tenant_id, each.enrollment_id)
    await history.purge(awake=True)
    for each in history.unfinished():
        if each.status == "purged" and each.enrollment_id in {one.enrollment_id for one in begun}:
            names = {container.name for container in each.containers}
            _hang(history, names, 40 * DAY)
            history.oracle.waived |= {*names, each.enrollment_id}
    await history.wait(6.5 * MINUTE)
    await history.purge()


async def behind(history: "History", wait: Wait, settle: Settle) -> None:
    """An expired day cannot be deleted for hours, nor can older ones for weeks; once it can, it goes in time (P4)."""
    cloud, random, loop = history.cloud, history.random, history.loop
    history.faults.weather.clear()
    await history.clients_done()
    cloud.purge_bounds = Bounds(seconds=15.0, containers=1)
    history.restart_all()
    who = random.choice(history.setup.tenants)
    if history.on(who):
        await history.toggle(who, None)
    if not await history.toggle(who, random.choice(history.setup.geos)):
        return
    enrollment = cloud.ledger.settings[who].value.enrollment
    if enrollment is None:
        return
    mine, stored = enrollment.enrollment_id, cloud.captures[enrollment.storage_account].containers
    await history.wait(MINUTE)  # what was captured before the opt-in, by whichever clock, is refused
    for _ in range(2):
        await history.post(who, attempts=1)
        older = {name for name in stored if mine in name}
        _hang(history, older, 40 * DAY)
        history.oracle.waived |= {*older, mine}
        await wait(DAY)
    await history.post(who, attempts=1)
    await settle()  # no month goes by without a sweep
    for name in {name for name in stored if mine in name} - older:
        container = DayContainer.parse(name)
        assert container is not None
        deadline = history.oracle.retention.deadline(history.midnight(container.day))
        history.faults.count("behind what hangs")
        _hang(history, {name}, deadline - 3 * HOUR - loop.time())
        await wait(deadline - 6 * HOUR + MINUTE - loop.time())
        while name in stored:  # at its deadline the oracle looks
            instance = history.instance(awake=True)
            await history.ask(instance, "purge", instance.purge.run)
            await history.wait(5 * MINUTE)


def _hang(history: "History", names: set[str], seconds: float) -> None:
    """Have the deletes of some containers hang for a while."""
    hanging = history.faults.weather.hanging
    hanging |= names
    for name in names:
        history.loop.call_at(history.loop.time() + seconds, hanging.discard, name)
