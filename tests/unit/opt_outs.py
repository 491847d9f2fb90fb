"""A tenant that has opted out, and how far its deletion has come."""

from datetime import datetime, timedelta
from typing import Any

from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut
from shared.ports import Stored
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


def owed(world: World, tenant: str, enrollment_id: str, opted_out_at: datetime, **more: Any) -> Deletion:
    """Put an opt-out and its deletion there, as they were left long ago."""
    events = world.ledger.events.setdefault(tenant, [])
    event = OptedOut(
        enrollment_id=enrollment_id,
        geo="europe",
        storage_account="steurope",
        started_at=opted_out_at - timedelta(days=1),
        tenant_id=tenant,
        sequence=len(events) + 1,
        at=opted_out_at,
        actor="admin",
        previous_hash="0" * 64,
        deadline=opted_out_at + timedelta(days=30),
    )
    events.append(event)
    deletion = Deletion.owed_for(event).model_copy(update=more)
    world.deletion_items.items[tenant, enrollment_id] = Stored(deletion, "by-hand")
    return deletion


def state(world: World, deletion: Deletion) -> Deletion:
    found: Deletion = world.deletion_items.items[deletion.tenant_id, deletion.enrollment_id].value
    return found
