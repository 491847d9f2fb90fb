"""D14: nothing in an account is deleted on the word of a ledger that is not the account's (P4, P5, P9)."""

from datetime import timedelta
from typing import Any

import pytest

from shared.model.containers import deployment_container
from shared.ports import StoreUnavailable
from shared.stores.memory import MemoryCaptures
from tests.unit.sweeps import STRANGER, put, verified
from tests.world import DEPLOYMENT, World

OTHERS = "0" * 32


def unpair(world: World) -> None:
    for store in world.stores.values():
        del store.containers[deployment_container(DEPLOYMENT)]


async def shared() -> World:
    """Return a world in which a day has expired, a deletion is due and data has come back after a receipt."""
    world, done = await verified()
    await world.opt_in()
    await world.post()
    event = await world.opt_out()
    await world.feed()
    await world.deletions.expedite(event.tenant_id, event.enrollment_id, now=world.clock.now())
    put(world, "europe", done.enrollment_id, world.clock.now().date())
    put(world, "europe", done.enrollment_id, world.clock.now().date() - timedelta(days=40))
    return world


@pytest.mark.parametrize("found", [[], [OTHERS], [DEPLOYMENT, OTHERS]], ids=["none", "anothers", "two"])
async def test_neither_purge_nor_sweep_deletes_in_an_account_that_is_not_the_ledgers(found: list[str]) -> None:
    world = await shared()
    put(world, "europe", STRANGER, world.clock.now().date())
    unpair(world)
    for deployment_id in found:
        world.stores["europe"].containers[deployment_container(deployment_id)] = {}
    before = world.containers()
    assert len(before) == 4
    purged = (await world.purge.run())["steurope"]
    swept = (await world.sweep.run())["steurope"]
    code = "account-of-another-deployment" if found else "account-unpaired"
    assert (purged.outcome, purged.error, swept.outcome) == ("failed", code, "failed")
    assert code in {swept.error, "account-unpaired"}
    assert world.containers() == before
    assert (await world.status.report()).promises["P9"] is False


async def test_with_another_deployments_healthy_ledger_nothing_goes() -> None:
    world, other = World(), World()
    other.operations.deployment = OTHERS
    for n in range(3):
        await world.opt_in(f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30")
        await world.post(key=str(n), tenant=f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30")
        await other.opt_in(f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30")
    before = world.stored_containers()
    other.stores = world.stores
    other.clock.move(timedelta(days=60))
    await other.purge.run()
    await other.sweep.run()
    assert world.stored_containers() == before


async def test_a_new_account_is_paired_by_the_first_purge_and_both_sides_say_the_same() -> None:
    world = World()
    unpair(world)
    world.operations.deployment = None
    heartbeats = await world.purge.run()
    assert {each.outcome for each in heartbeats.values()} == {"done"}
    name = deployment_container(world.operations.deployment or "")
    assert [list(store.containers) for store in world.stores.values()] == [[name]] * 3
    await world.sweep.run()
    assert (await world.status.report()).holds


async def test_an_account_from_before_is_paired_by_the_sweep_once_the_ledger_knows_all_of_it() -> None:
    world = await shared()
    unpair(world)
    stranger = put(world, "europe", STRANGER, world.clock.now().date())
    for _ in range(2):
        assert (await world.sweep.run())["steurope"].error == "account-unpaired"
        assert deployment_container(DEPLOYMENT) not in world.stores["europe"].containers
    assert len(world.containers()) == 4
    del world.stores["europe"].containers[stranger]
    await world.sweep.run()
    assert deployment_container(DEPLOYMENT) in world.stores["europe"].containers
    assert (await world.purge.run())["steurope"].outcome == "done"


async def test_a_database_that_has_lost_its_id_is_not_taken_for_the_accounts() -> None:
    world = await shared()
    world.operations.deployment = None
    before = world.containers()
    assert (await world.purge.run())["steurope"].error == "account-of-another-deployment"
    assert (await world.sweep.run())["steurope"].error == "account-of-another-deployment"
    assert world.containers() == before and world.operations.deployment is None


async def test_strangers_are_counted_over_the_whole_account_before_the_first_is_deleted() -> None:
    world = World()
    await world.opt_in()
    for n in range(60):  # four in a shard: no shard alone has many
        put(world, "europe", f"{n % 15:x}{n:031x}", world.clock.now().date())
    swept = (await world.sweep.run())["steurope"]
    assert (swept.outcome, swept.error, swept.cursor) == ("failed", "ledger-strange", None)
    assert len(world.containers()) == 60


async def test_what_was_counted_counts_for_the_run_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    await world.opt_in()
    for n in range(60):
        put(world, "europe", f"{n % 15:x}{n:031x}", world.clock.now().date())
    list_containers = MemoryCaptures.list_containers

    def slow(self: Any, prefix: str, **more: Any) -> Any:
        world.clock.move(timedelta(seconds=60))
        return list_containers(self, prefix, **more)

    monkeypatch.setattr(MemoryCaptures, "list_containers", slow)
    for _ in range(30):
        await world.sweep.run()
    assert len(world.containers()) == 60


async def test_an_account_that_cannot_be_read_is_not_paired() -> None:
    world = World()
    unpair(world)

    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("storage-503")
        yield

    world.stores["europe"].list_containers = fail
    assert (await world.purge.run())["steurope"].error == "storage-503"
    assert world.stores["europe"].containers == {}
