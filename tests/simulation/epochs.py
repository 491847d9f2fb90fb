"""Opt-outs while instances rely on settings that the epochs confirm (D21), and what goes wrong between their steps."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from shared.model.epochs import shard_of
from tests.simulation.faults import LANDING_MAX, Aimed

if TYPE_CHECKING:
    from tests.simulation.history import History

_WRITES = ("fail before", "fail before", "crash before", "ambiguous", "late landing", "sent twice", "pause before", "")
_READS = ("fail before", "slow answer", "slow answer", "pause after", "pause before", "")


def shard_among(shards: int, tenant: str) -> str:
    """Return a tenant's shard where there are only so many, so that tenants share one."""
    return f"{int(shard_of(tenant), 16) % shards:x}"


async def withdrawal(history: "History", who: str) -> None:
    """An opt-out that dies, fails or is held up at one of its steps, while captures go on coming to all instances."""
    random, aimed = history.random, history.faults.aimed
    history.faults.count("opt-out beside epochs")
    if random.random() < 0.7:
        history.faults.weather.clear()
    scene = random.random()
    if scene < 0.2:
        await _changed_twice(history, who)
        return
    others = [each for each in history.setup.tenants if each != who]
    shard = partial(shard_among, history.setup.epoch_shards)
    beside = [each for each in others if shard(each) == shard(who)]
    if scene < 0.4 and beside:
        await _confirmed_beside(history, who, random.choice(beside))
        return
    if not history.on(who):
        await history.toggle(who, random.choice(history.setup.geos))
    # Every instance knows the setting, and has a container to write to.
    for _ in range(2 * history.setup.instances):
        await history.post(who, attempts=1)
    seconds = random.choice((5.0, 5.0, 10.0, 80.0))
    history.spawn(_posts(history, who, seconds))
    for other in others:
        if random.random() < 0.4:
            history.spawn(_changes(history, other))
        elif random.random() < 0.6:
            history.spawn(_posts(history, other, min(seconds, 10.0)))  # what it reads confirms others of its shard
    if random.random() < 0.6:
        await asyncio.sleep(2.0)  # no lease holds any more: what is read next may be under way at the opt-out
        aimed.append(_of_a_read(history))
        for _ in range(3):
            history.spawn(history.post(who, attempts=1))
    await asyncio.sleep(random.choice((0.01, 1.0)) * random.random())
    if random.random() < 0.8:
        aimed.append(_of_a_change(history))
    if random.random() < 0.3:
        history.spawn(_repeated(history, who))
    if not await history.toggle(who, None, attempts=random.choice((1, 1, 3))):
        await _comes_by(history, who)
    aimed.clear()
    for _ in range(4):
        await history.post(who, attempts=1)
        await asyncio.sleep(random.choice((0.0, 1.0)) * random.random())
    if random.random() < 0.3:
        await history.toggle(who, random.choice(history.setup.geos), attempts=1)
    await asyncio.sleep(seconds * random.random())


async def _changed_twice(history: "History", who: str) -> None:
    """The change of the epoch by an opt-in arrives once more, after an opt-out that some instances have not seen."""
    random = history.random
    if history.on(who):
        await history.toggle(who, None)
    history.faults.aimed.append(Aimed("change_epoch", 0.0, "sent twice", "toggle"))
    await history.toggle(who, random.choice(history.setup.geos))
    history.faults.aimed.clear()
    for _ in range(2 * history.setup.instances):
        await history.post(who, attempts=1)
    if await history.toggle(who, None):
        for _ in range(3):
            await asyncio.sleep(LANDING_MAX / 2 * random.random())
            await history.post(who, attempts=1)


async def _confirmed_beside(history: "History", who: str, other: str) -> None:
    """What was read for another tenant just before an opt-out confirms a setting when it is nearly too old to."""
    history.faults.weather.clear()
    times = 2 * history.setup.instances
    for each in (who, other):
        if not history.on(each):
            await history.toggle(each, history.random.choice(history.setup.geos))
        for _ in range(times):
            await history.post(each, attempts=1)
    await asyncio.sleep(2.0)
    for _ in range(times):
        await history.post(other, attempts=1)
    history.spawn(_posts_after(history, who, 1.5 + 0.4 * history.random.random(), times))
    await history.toggle(who, None, attempts=1)
    for _ in range(times):
        await history.post(who, attempts=1)
        await asyncio.sleep(0.4 * history.random.random())


async def _posts_after(history: "History", who: str, seconds: float, times: int) -> None:
    await asyncio.sleep(seconds)
    for _ in range(times):
        await history.post(who, attempts=1)


def _of_a_change(history: "History") -> Aimed:
    """Return what goes wrong with a step of the opt-out."""
    random = history.random
    if random.random() < 0.15:
        return Aimed("commit", 0.0, "crash after", "toggle")
    held = random.choice((0.0, 0.0, 3.0)) * random.random()
    return Aimed("change_epoch", held, random.choice(_WRITES), "toggle")


def _of_a_read(history: "History") -> Aimed:
    """Return what goes wrong with what an instance reads meanwhile."""
    random = history.random
    held = random.choice((0.0, 0.0, 1.0, 2.5)) * random.random()
    return Aimed(random.choice(("read_epoch", "read_epoch", "read_setting")), held, random.choice(_READS), "capture")


async def _posts(history: "History", who: str, seconds: float) -> None:
    random, until = history.random, history.loop.time() + seconds
    while history.loop.time() < until:
        history.spawn(history.post(who, attempts=1))
        await asyncio.sleep(random.choice((0.2, 1.0, max(2.5, seconds / 10))) * random.random())


async def _changes(history: "History", other: str) -> None:
    """Another tenant, perhaps of the same shard, is switched on and off, and changes the epoch too."""
    random = history.random
    await asyncio.sleep(random.choice((0.1, 4.0)) * random.random())
    for _ in range(random.randint(1, 2)):
        geo = None if history.on(other) else random.choice(history.setup.geos)
        await history.toggle(other, geo, attempts=1)
        history.spawn(history.post(other, attempts=1))


async def _repeated(history: "History", who: str) -> None:
    """Two administrators opt out at a time: the second finds that sharing is off before the first has told."""
    await asyncio.sleep(history.random.choice((0.05, 2.0)) * history.random.random())
    await history.toggle(who, None, attempts=1)


async def _comes_by(history: "History", who: str) -> None:
    """Nobody was told that the opt-out is carried out; somebody comes by who may find that it is, or nobody does."""
    random = history.random
    await asyncio.sleep(random.choice((0.0, 1.0, 20.0)) * random.random())
    comes = random.random()
    if comes < 0.25:
        await history.look(who)
    elif comes < 0.5:
        await history.toggle(who, None, attempts=1)
    elif comes < 0.75:
        await history.feed()
