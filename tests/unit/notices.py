"""Two notices, one after the other, and a world that has them."""

from datetime import datetime, timedelta

from shared.model.ledger import Setting
from shared.model.notices import Agreement, Notice, Notices
from shared.sharing.data_sharing import RequestedChange
from tests.changes import ADMIN
from tests.clocks import START, ManualClock
from tests.world import TENANT, World

REPLACED = START + timedelta(days=10)
RUNS_OUT = START + timedelta(days=100)
HASHES = {"en": "e" * 64, "de": "d" * 64}
OLD = Notice("2026-11", START - timedelta(days=20), RUNS_OUT, HASHES)
NEW = Notice("2026-12", REPLACED, None, {name: sha256[::-1].replace("e", "1") for name, sha256 in HASHES.items()})
BOTH = Notices([OLD, NEW])


def a_world(now: datetime = START) -> World:
    return World(notices=BOTH, clock=ManualClock(now, jumping=True))


def agreeing(version: str | None, locale: str = "de", geo: str = "europe") -> RequestedChange:
    return RequestedChange(True, ADMIN, geo, None if version is None else Agreement(version, locale))


async def put(world: World, version: str | None, locale: str = "de") -> Setting:
    return await world.data_sharing.put(TENANT, agreeing(version, locale))
