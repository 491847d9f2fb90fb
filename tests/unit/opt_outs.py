"""A tenant that has opted out, and how far its deletion has come."""

from datetime import timedelta

from shared.model import deadlines
from shared.model.deletion import Deletion
from tests.world import TENANT, World


async def opted_out(world: World | None = None, *, days: int = 3) -> tuple[World, Deletion]:
    """Return a world in which a tenant shared data for some days and then opted out."""
    world = world or World()
    await world.opt_in()
    for n in range(days):
        await world.post(key=f"key-{n}")
        world.clock.set(world.clock.now() + timedelta(days=1))
    event = await world.opt_out()
    await world.feed()
    return world, await world.deletions.get(TENANT, event.enrollment_id)


async def purged() -> tuple[World, Deletion]:
    world, deletion = await opted_out()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    await world.purge.run()
    return world, await world.deletions.get(TENANT, deletion.enrollment_id)


async def look_again(world: World, deletion: Deletion) -> Deletion:
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()
    return await world.deletions.get(TENANT, deletion.enrollment_id)
