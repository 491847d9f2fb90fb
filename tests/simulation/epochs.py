"""Opt-outs while instances rely on settings that the epochs confirm (D21), and what goes wrong between their steps."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from shared.model.epochs import shard_of
from tests.simulation.faults import Aimed

if TYPE_CHECKING:
    from tests.simulation.history import History


def shard_among(shards: int, tenant: str) -> str:
    """Return a tenant's shard where there are only so many, so that tenants share one."""
    return f"{int(shard_of(tenant), 16) % shards:x}"


async def withdrawal(history: "History", who: str) -> None:
    """An opt-out that dies, is held up or fails at one of its steps, while captures go on coming to all instances."""
    random = history.random
    history.faults.count("opt-out beside epochs")
    if not history.on(who):
        await history.toggle(who, random.choice(history.setup.geos))
    # Every instance knows the setting, or is about to, and has a container to write to.
    for _ in range(2 * history.setup.instances):
        await history.post(who, attempts=1)
    seconds = random.choice((5.0, 5.0, 20.0, 90.0))
    history.spawn(_posts(history, who, seconds))
    for other in history.setup.tenants:
        if other != who and random.random() < 0.3:
            history.spawn(_changes(history, other, seconds))
    await asyncio.sleep(random.choice((0.0, 2.0)) * random.random())
    for _ in range(random.choice((0, 1, 1, 2))):
        history.faults.aimed.append(_aim(history))
    if random.random() < 0.5:
        history.spawn(_reads(history, who))
    ending = await history.toggle(who, None, attempts=random.choice((1, 1, 3)))
    if not ending and random.random() < 0.5:
        await asyncio.sleep(random.choice((0.0, 1.0, 20.0)) * random.random())
        await random.choice((history.look, partial(_again, history), partial(_feed, history)))(who)
    for _ in range(4):
        await history.post(who, attempts=1)
        await asyncio.sleep(random.choice((0.0, 1.0)) * random.random())
    if random.random() < 0.3:
        await history.toggle(who, random.choice(history.setup.geos), attempts=1)
    await asyncio.sleep(seconds * random.random())
    history.faults.aimed.clear()


def _aim(history: "History") -> Aimed:
    """Return what goes wrong with one of the steps, or with what is read meanwhile."""
    random = history.random
    method = random.choice(("change_epoch", "change_epoch", "read_epoch", "read_setting", "commit"))
    held = random.choice((0.0, 0.0, 0.5, 1.5, 3.0)) * random.random()
    changes = ("crash before", "crash after", "fail before", "ambiguous", "late landing", "sent twice", "pause before")
    reads = ("fail before", "slow answer", "pause after", "pause before")
    writing = method in {"change_epoch", "commit"}
    of = "toggle" if writing else random.choice(("", "capture", "look"))
    return Aimed(method, held, random.choice(("", *(changes if writing else reads))), of)


async def _posts(history: "History", who: str, seconds: float) -> None:
    random, until = history.random, history.loop.time() + seconds
    while history.loop.time() < until:
        history.spawn(history.post(who, attempts=1))
        await asyncio.sleep(random.choice((0.1, 1.0, 2.5)) * random.random())


async def _changes(history: "History", other: str, seconds: float) -> None:
    """Another tenant, perhaps of the same shard, is switched on and off and captured meanwhile."""
    random = history.random
    for _ in range(random.randint(1, 2)):
        await asyncio.sleep(seconds / 2 * random.random())
        geo = None if history.on(other) else random.choice(history.setup.geos)
        await history.toggle(other, geo, attempts=random.choice((1, 3)))
        history.spawn(history.post(other, attempts=1))


async def _reads(history: "History", who: str) -> None:
    await asyncio.sleep(2.0 * history.random.random())
    await history.look(who)
    await history.post(who, attempts=1)


async def _again(history: "History", who: str) -> None:
    await history.toggle(who, None, attempts=1)


async def _feed(history: "History", who: str) -> None:
    await history.feed()
