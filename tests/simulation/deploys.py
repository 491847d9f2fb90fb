"""Versions side by side: other days, accounts closed, a geo missing, two geos exchanged; and clocks that are set."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.simulation.scheduler import DRIFT_MAX
from tests.simulation.world import Instance

if TYPE_CHECKING:
    from tests.simulation.history import History

MINUTE = 60.0
Wait = Callable[[float], Awaitable[None]]


def set_a_clock(history: "History") -> None:
    """NTP sets the clock of an instance: ahead, or back by up to a minute."""
    process = history.random.choice(history.instances).process
    history.faults.count("clock set")
    history.trace("clock set", process.name)
    process.set_wall(DRIFT_MAX * history.random.choice((-1.0, 1.0, 2 * history.random.random() - 1)))


async def change_retention(history: "History", wait: Wait) -> None:
    """Deploy another ``RETENTION_DAYS``: old and new instances run side by side for minutes, then only new ones do."""
    random, cloud = history.random, history.cloud
    days = random.choice([each for each in (3, 4, 7, 30) if each != cloud.retention_days])
    history.faults.count("retention made longer" if days > cloud.retention_days else "retention made shorter")
    cloud.retention_days = days
    history.oracle.retention.deploying(days)
    await _replace_instances(history, wait)
    history.oracle.retention_changed(days)


async def close_accounts(history: "History", wait: Wait) -> None:
    """Close some accounts, as a rule one of two that is not empty, and open all others (D20)."""
    random, cloud = history.random, history.cloud
    names = sorted(cloud.accounts)
    closed = frozenset(random.sample(names, random.choice((0, 1, 1, 1, 2))))
    pairs = [each for each in names if list(cloud.accounts.values()).count(cloud.accounts[each]) > 1]
    full = [each for each in pairs if len(cloud.captures[each].containers) > 1 and each not in cloud.closed]
    if full and random.random() < 0.5:
        closed = frozenset({random.choice(full)})
        history.faults.count("a full account closed beside another")
    history.faults.count("accounts closed" if closed else "all accounts open")
    cloud.closed = closed
    history.oracle.closing(closed)
    await _replace_instances(history, wait)
    history.oracle.closed()


async def _replace_instances(history: "History", wait: Wait) -> None:
    """Let old and new instances run side by side for minutes, and then only new ones."""
    old = list(history.instances)
    history.instance_starts()
    for instance in old:
        await wait(history.random.choice((1.0, MINUTE, 10 * MINUTE)) * history.random.random())
        instance.process.kill()


async def configured_wrongly(history: "History", wait: Wait) -> None:
    """An instance runs for minutes that knows a geo less than the others, or has two of them exchanged.

    Where a geo is missing, clients come to it as to any other. Where two are exchanged, only timers do: who opts in
    there is rightly told to be in the other account, and that is what the configuration says.
    """
    random, cloud = history.random, copy.copy(history.cloud)
    missing = random.random() < 0.5
    one, other = random.sample(sorted(set(cloud.accounts.values())), 2)
    if missing:
        cloud.captures = {name: store for name, store in cloud.captures.items() if cloud.accounts[name] != one}
    else:
        exchanged = {one: other, other: one}
        cloud.accounts = {name: exchanged.get(geo, geo) for name, geo in cloud.accounts.items()}
    history.faults.count("a geo missing" if missing else "two geos exchanged")
    odd = Instance("odd", cloud, history.loop, history.setup.base, random, history.faults)
    history.beside = odd if missing else None
    for _ in range(random.randint(1, 4)):
        kind, job = random.choice((("purge", odd.purge.run), ("sweep", odd.sweep.run), ("status", odd.status.report)))
        await history.ask(odd, kind, job)
        await wait(random.choice((0.0, MINUTE, 10 * MINUTE)) * random.random())
    history.beside = None
    await asyncio.sleep(random.random())
    odd.process.kill()
