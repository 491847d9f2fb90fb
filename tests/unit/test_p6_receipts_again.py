"""P6: a receipt is looked at again; what belies it is told, deleted, and all proved anew."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jws

from shared.model import deadlines
from shared.model.containers import DEPLOYMENT_PREFIX
from shared.model.deletion import Deletion
from shared.ports import Conflict, ListedContainer, Stored, StoreUnavailable
from tests import world as world_module
from tests.unit.opt_outs import opted_out
from tests.unit.sweeps import proved_again, put, swept, tenant_id, told, verified
from tests.world import TENANT, World


async def test_data_that_came_back_is_deleted_and_proved_anew_and_the_receipt_says_so() -> None:
    world, done = await verified()
    assert done.receipt is not None
    world.clock.move(timedelta(hours=1))
    for day in done.days[:2]:
        put(world, "europe", done.enrollment_id, day)
    found_at = world.clock.now()
    assert (await swept(world, "europe"))["afterReceipt"] == 2
    assert world.stored_containers() == {}
    opened = await world.deletions.get(TENANT, done.enrollment_id)
    assert (opened.status, opened.receipt, opened.deadline) == ("scheduled", None, done.deadline)
    await proved_again(world)
    again = await world.deletions.get(TENANT, done.enrollment_id)
    assert again.status == "verified" and again.receipt is not None
    [entry] = again.receipt.reappeared
    assert (entry.at, entry.containers_found, entry.proved_at) == (found_at, 2, done.receipt.second_look_at)
    assert again.receipt.first_look_at >= found_at
    keys = world_module.SIGNER
    signed = jws.deserialize_compact(again.receipt.jws.encode(), keys._keys[0], algorithms=["ES256"]).payload
    assert b'"containersFound": 2' in signed
    await world.sweep.run()
    assert await world.deletions.get(TENANT, done.enrollment_id) == again


@pytest.mark.parametrize("answered", [True, False])
async def test_what_was_proved_anew_while_a_sweep_was_held_up_is_told_once_and_nothing_later_is_deleted_untold(
    answered: bool,
) -> None:
    world, done = await verified()
    world.clock.move(timedelta(hours=1))
    put(world, "europe", done.enrollment_id, done.days[0])
    replace = world.deletion_items.replace

    async def held_up(deletion: Deletion, etag: str) -> None:
        world.deletion_items.replace = replace
        await replace(deletion, etag)
        await proved_again(world)
        if not answered:
            raise Conflict  # with itself, because it was sent twice
        put(world, "europe", done.enrollment_id, done.days[0])

    world.deletion_items.replace = held_up
    await world.sweep.run()
    assert len(told(world)) == 1
    assert (await world.deletions.get(TENANT, done.enrollment_id)).status == "verified"
    await world.sweep.run()
    assert len(told(world)) == (2 if answered else 1)
    assert world.stored_containers() == {}


async def test_what_came_back_is_due_at_once_and_on_every_day_on_which_it_was_found() -> None:
    world, done = await verified()
    now, stranger = world.clock.now(), done.days[0] - timedelta(days=9)
    for not_before, due in ((now + timedelta(hours=1), now), (now - timedelta(hours=1), now - timedelta(hours=1))):
        before = done.model_copy(update={"not_before": not_before, "last_error": "soft-deleted", "failures": 3})
        opened = before.came_back(now, [stranger, done.days[-1]])
        assert (opened.status, opened.not_before, opened.deadline) == ("scheduled", due, done.deadline)
        assert (opened.receipt, opened.purged_at, opened.last_error, opened.failures) == (None, None, None, 0)
        assert opened.days == [stranger, *done.days]


async def test_what_came_back_on_a_day_on_which_nothing_can_have_been_is_looked_for_there_by_the_next_proof() -> None:
    world, done = await verified()
    days = [done.days[0] - timedelta(days=9), done.days[0], done.days[-1] + timedelta(days=9)]
    for day in days:
        put(world, "europe", done.enrollment_id, day)
    assert (await swept(world, "europe"))["afterReceipt"] == 3
    opened = await world.deletions.get(TENANT, done.enrollment_id)
    assert opened.days == [days[0], *done.days, days[-1]]


async def test_what_came_back_after_its_deadline_is_overdue_until_it_is_proved_anew() -> None:
    world, done = await verified()
    world.clock.set(done.deadline + timedelta(days=10))
    put(world, "europe", done.enrollment_id, done.days[0])
    await world.sweep.run()
    assert (await world.status.report()).overdue_deletions == 1
    await proved_again(world)
    assert (await world.status.report()).overdue_deletions == 0


@pytest.mark.parametrize("jws", ["", None])
async def test_a_receipt_that_nobody_signed_is_none(jws: str | None) -> None:
    """Whoever can write to the database but not use the key gets no signature from us for what was never looked at."""
    world, done = await verified()
    forged = done.model_copy(update={"receipt": done.receipt and done.receipt.model_copy(update={"jws": jws or ""})})
    if jws is None:
        forged = forged.model_copy(update={"receipt": None})
    world.deletion_items.items[TENANT, done.enrollment_id] = Stored(forged, "by-hand")
    put(world, "europe", done.enrollment_id, done.days[0])
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert (await world.deletions.get(TENANT, done.enrollment_id)).status == "scheduled"
    world.clock.set(max(world.clock.now(), done.not_before))
    await proved_again(world)
    assert world.stored_containers() == {}
    assert (await world.deletions.get(TENANT, done.enrollment_id)).status == "verified"


async def test_a_receipt_that_disagrees_with_its_ledger_is_reported_and_shown_as_it_was_signed() -> None:
    world, deletion = await verified()
    forged = deletion.model_copy(update={"ledger_hash": 64 * "0"})
    world.deletion_items.items[TENANT, deletion.enrollment_id] = Stored(forged, "by-hand")
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == deletion


async def test_what_came_back_with_an_account_is_looked_at_no_further_than_it_is_deleted() -> None:
    world, done = await verified()
    for n in range(300):
        put(world, "europe", done.enrollment_id, done.days[0] - timedelta(days=n))
    listed = 0
    list_containers = world.stores["europe"].list_containers

    async def counting(prefix: str, **more: Any) -> AsyncIterator[ListedContainer]:
        nonlocal listed
        listed += len(prefix) > len(DEPLOYMENT_PREFIX)
        async for each in list_containers(prefix, **more):
            yield each

    world.stores["europe"].list_containers = counting
    assert (await swept(world, "europe"))["afterReceipt"] == 300
    assert world.stored_containers() == {} and listed <= 1 + len(done.days)
    assert [event.containers_found for event in told(world)] == [300], "one enrollment is one reappearance"


async def test_a_deletion_called_verified_without_a_receipt_begins_again() -> None:
    world, deletion = await opted_out()
    key = (TENANT, deletion.enrollment_id)
    world.deletion_items.items[key] = Stored(deletion.model_copy(update={"status": "verified"}), "by-hand")
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert await world.deletions.get(*key) == deletion


async def test_what_came_back_and_cannot_be_deleted_is_one_reappearance_and_gets_no_receipt() -> None:
    world, done = await verified()
    container = put(world, "europe", done.enrollment_id, done.days[0])
    store = world.stores["europe"]
    delete = store.delete_container

    async def leased(name: str) -> bool:
        raise StoreUnavailable("storage-LeaseIdMissing")

    store.delete_container = leased
    world.clock.set(max(world.clock.now(), done.deadline))
    for _ in range(3):
        await world.sweep.run()
        await proved_again(world)
        found = await world.deletions.get(TENANT, done.enrollment_id)
        assert (found.status, len(told(world))) == ("scheduled", 1)
        assert (await world.status.report()).promises["P5"] is False
    store.delete_container = delete
    world.clock.move(deadlines.RETRY_MAX)
    await proved_again(world)
    found = await world.deletions.get(TENANT, done.enrollment_id)
    assert found.status == "verified" and container not in store.containers


@pytest.mark.parametrize("conflicts", [2, 3])
async def test_what_came_back_is_not_deleted_before_its_receipt_tells(conflicts: int) -> None:
    world, done = await verified()
    put(world, "europe", done.enrollment_id, done.days[0])
    replace, left = world.deletion_items.replace, conflicts

    async def busy(deletion: Deletion, etag: str) -> None:
        nonlocal left
        if left:
            left -= 1
            raise Conflict
        await replace(deletion, etag)

    world.deletion_items.replace = busy
    heartbeat = (await world.sweep.run())["steurope"]
    opened = (await world.deletions.get(TENANT, done.enrollment_id)).status == "scheduled"
    assert len(told(world)) == 1, "and not once for each attempt"
    assert opened is (conflicts == 2) and bool(world.stored_containers()) is not opened
    assert heartbeat.error == (None if opened else "conflict")


async def test_a_vault_that_fails_is_not_asked_for_every_receipt_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Vault:
        async def sign(self, claims: object) -> str:
            asked.append(claims)
            raise StoreUnavailable("vault-timeout")

    world = World()
    for n in range(3):
        await world.opt_in(tenant_id(n))
        event = await world.opt_out(tenant_id(n))
        await world.feed()
        await world.deletions.expedite(tenant_id(n), event.enrollment_id, now=world.clock.now())
    monkeypatch.setattr(world_module, "SIGNER", Vault())
    await world.purge.run()
    world.clock.move(timedelta(minutes=5))
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.error, len(asked)) == ("vault-timeout", 1)
    assert {stored.value.status for stored in world.deletion_items.items.values()} == {"purged"}
    monkeypatch.undo()
    await world.purge.run()
    assert {stored.value.status for stored in world.deletion_items.items.values()} == {"verified"}
