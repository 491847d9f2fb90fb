"""The functions that no caller waits for: the opt-out feed and the purge timer."""

import logging
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest

from shared import bootstrap
from shared.model import deadlines
from shared.ports import StoreUnavailable
from tests.functions import FUNCTIONS
from tests.world import TENANT, World

opt_outs = FUNCTIONS["opt_outs"].get_user_function()
purge = FUNCTIONS["purge"].get_user_function()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(bootstrap._Process, "services", world.services(None))
    return world


def documents(*items: Any) -> func.DocumentList:
    return func.DocumentList([func.Document.from_dict(item) for item in items])


def ledger_items(world: World) -> list[dict[str, Any]]:
    stored = world.ledger
    settings = [{"id": "setting", **each.value.to_json()} for each in stored.settings.values()]
    return settings + [{"id": each.id, **each.to_json()} for events in stored.events.values() for each in events]


async def test_only_opt_outs_become_deletions_each_once_however_often_they_come(world: World) -> None:
    for _ in range(2):
        await world.opt_in()
        await world.opt_out()
    batch = documents(*ledger_items(world))
    await opt_outs(batch)
    first = dict(world.deletion_items.items)
    assert len(first) == 2
    await opt_outs(batch)
    assert world.deletion_items.items == first
    await opt_outs(documents())


async def test_p2_the_feed_changes_the_epoch_of_an_opt_out_whose_process_died_before_it(world: World) -> None:
    """Instances that rely on what they have read learn of it sooner than within the minute (D21)."""
    world.consent_epochs = True
    await world.opt_in()
    other = world.instance()
    assert (await other.consent.current(TENANT)).setting.enabled
    change = world.operations.change_epoch

    async def never(shard: str) -> None:
        raise StoreUnavailable("cosmos-timeout")

    world.operations.change_epoch = never
    with pytest.raises(StoreUnavailable):
        await world.opt_out()
    with pytest.raises(StoreUnavailable):
        await opt_outs(documents(*ledger_items(world)))  # the host delivers it again
    world.clock.move(timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS))
    assert (await other.consent.current(TENANT)).setting.enabled
    world.operations.change_epoch = change
    await opt_outs(documents(*ledger_items(world)))
    world.clock.move(timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS))
    assert not (await other.consent.current(TENANT)).setting.enabled
    assert len(world.deletion_items.items) == 1


async def test_a_feed_that_begins_again_changes_no_epoch_that_has_changed_since(world: World) -> None:
    """Else all settings would have to be read again for as long as it takes."""
    world.ledger.now = world.operations.now = world.clock.now
    await world.opt_in()
    await world.opt_out()
    items = [{**each, "_ts": int(world.clock.now().timestamp())} for each in ledger_items(world)]
    world.clock.move(timedelta(hours=1))
    await world.opt_in()
    before = dict(world.operations.epochs)
    await opt_outs(documents(*items))
    assert {shard: each.mark for shard, each in world.operations.epochs.items()} == {
        shard: each.mark for shard, each in before.items()
    }
    del items[-1]["_ts"]  # an item that does not say when it was written
    await opt_outs(documents(*items))
    assert world.operations.epochs != before


@pytest.mark.parametrize(
    "change",
    [
        {"deadline": None},
        {"deadline": "tomorrow"},
        {"enrollmentId": "x"},
        {"enrollmentId": ["a"]},
        {"tenantId": "../other"},
        {"startedAt": "2026-11-21T12:00:00"},
        {"startedAt": "0001-01-01T00:00:00+10:00"},
        {"at": "9999-12-31T23:59:59-23:59"},
        {"deadline": "0001-01-01T00:00:00Z"},
        {"sequence": "two"},
        {"sequence": -1},
        {"geo": None},
        {"geo": "x" * 1_900_000},  # a deletion that repeats it could never be created
        {"actor": {"secret": "Herr Schneider"}},
    ],
)
async def test_a_malformed_item_never_blocks_those_beside_it(
    world: World, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await world.opt_in()
    event = await world.opt_out()
    good = {"id": event.id, **event.to_json()}
    bad = {**good, **change}
    await opt_outs(documents(bad, good, bad, {"kind": "optedOut"}, {"kind": 5}, {}))
    assert list(world.deletion_items.items) == [(TENANT, event.enrollment_id)]
    assert "malformed" in caplog.text and "Schneider" not in caplog.text


@pytest.mark.parametrize("deadline", ["2001-01-01T00:00:00.000000Z", "2001-01-02T23:59:59.999999Z"])
async def test_p5_an_opt_out_whose_deadline_is_of_long_ago_is_due_at_once_and_blocks_nothing(
    world: World, deadline: str
) -> None:
    await world.opt_in()
    event = await world.opt_out()
    await opt_outs(documents({"id": event.id, **event.to_json(), "deadline": deadline}))
    [stored] = world.deletion_items.items.values()
    assert (stored.value.not_before, stored.value.deadline) == (event.at, event.at)


async def test_a_store_that_is_down_makes_the_host_try_again(world: World) -> None:
    await world.opt_in()
    event = await world.opt_out()
    batch = documents({"id": event.id, **event.to_json()})

    async def fail(*args: object) -> None:
        raise StoreUnavailable("cosmos-503")

    create, world.deletion_items.create = world.deletion_items.create, fail
    with pytest.raises(StoreUnavailable):
        await opt_outs(batch)
    world.deletion_items.create = create
    await opt_outs(batch)
    assert len(world.deletion_items.items) == 1


async def test_one_deletion_that_cannot_be_created_keeps_no_other_of_its_batch(world: World) -> None:
    events = []
    for _ in range(3):
        await world.opt_in()
        events.append(await world.opt_out())
    create = world.deletion_items.create

    async def fail_first(deletion: Any) -> bool:
        if deletion.enrollment_id == events[0].enrollment_id:
            raise StoreUnavailable("cosmos-429")
        return await create(deletion)  # type: ignore[no-any-return]

    world.deletion_items.create = fail_first
    with pytest.raises(StoreUnavailable):
        await opt_outs(documents(*ledger_items(world)))
    assert len(world.deletion_items.items) == 2


def test_the_feed_is_retried_without_end_and_reads_from_the_beginning() -> None:
    retry = FUNCTIONS["opt_outs"].get_setting("retry_policy").get_dict_repr()
    assert retry["strategy"] == "exponential_backoff" and retry["max_retry_count"] == "-1"
    trigger = FUNCTIONS["opt_outs"].get_trigger().get_dict_repr()
    assert trigger["startFromBeginning"] is True
    assert trigger["createLeaseContainerIfNotExists"] is False
    assert (trigger["databaseName"], trigger["containerName"]) == ("data-sharing", "tenants")


async def test_the_timer_purges_and_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*args: object) -> None:
        raise StoreUnavailable("storage-503")

    world.stores["europe"].receive_container(f"0-20261001-0{'0' * 31}")
    world.stores["unitedstates"].receive_container(f"0-20261001-0{'0' * 31}")
    world.stores["unitedstates"].delete_container = fail
    with caplog.at_level(logging.INFO):
        await purge(None)
    assert "purge of steurope (europe): done (expiredContainers 1)" in caplog.text
    assert "purge of stunitedstates (unitedstates): failed (failures 1) storage-503" in caplog.text
    assert world.stored_containers().keys() == {"unitedstates"}
