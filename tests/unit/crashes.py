"""A process that ends at one of its store calls."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.clocks import settle
from tests.world import Crash, Crashing, Steps, World


async def crashes(world: World, steps: Steps, work: Callable[[World], Awaitable[Any]]) -> bool:
    """Do ``work`` in a process that ends at one store call; tell whether it got there."""
    items, operations, stores, ledger = world.deletion_items, world.operations, world.stores, world.ledger
    world.deletion_items, world.operations = Crashing(items, steps), Crashing(operations, steps)
    world.stores = {geo: Crashing(store, steps) for geo, store in stores.items()}
    world.ledger = Crashing(ledger, steps)
    try:
        await work(world)
    except Crash:
        return True
    finally:
        await settle()
        world.deletion_items, world.operations, world.stores, world.ledger = items, operations, stores, ledger
    return False
