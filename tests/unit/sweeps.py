"""Worlds to sweep, and sweeps of them."""

from datetime import date, timedelta

from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.model.ledger import Reappeared
from tests.unit.opt_outs import opted_out
from tests.world import TENANT, World

STRANGER = "ffffffffffffffffffffffffffffffff"


def tenant_id(n: int) -> str:
    return f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30"


async def swept(world: World, place: str | None = None) -> dict[str, int]:
    """Run a sweep and return what it counted on the ledger, or in an account."""
    return dict((await world.sweep.run())[None if place is None else world.stores[place].account].counts)


async def verified() -> tuple[World, Deletion]:
    """Return a world in which a tenant's deletion is finished."""
    world, deletion = await opted_out()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    world.clock.move(timedelta(minutes=5))
    await world.purge.run()
    deletion = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert deletion.status == "verified"
    return world, deletion


def put(world: World, geo: str, enrollment_id: str, day: date) -> str:
    """Put a container into an account by hand, and return its name."""
    name = DayContainer(enrollment_id, day).name
    world.stores[geo].containers[name] = {}
    return name


def told(world: World, tenant: str = TENANT) -> list[Reappeared]:
    """Return what the ledger tells of data that came back."""
    return [event for event in world.ledger.events[tenant] if isinstance(event, Reappeared)]


async def proved_again(world: World) -> None:
    for _ in range(2):
        await world.purge.run()
        world.clock.move(timedelta(minutes=5))
