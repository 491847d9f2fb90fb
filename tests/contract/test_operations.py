"""Whose a database is: the store of the deployment's id, as fake and on Cosmos DB (D14)."""

import asyncio
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from local.stack import CosmosAccount as Address
from shared.model.epochs import NO_EPOCH
from shared.model.heartbeats import Heartbeat
from shared.model.posture import PostureCheck
from shared.ports import Conflict, OperationStore, PostureStore
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.operations import CosmosOperations, CosmosPosture
from shared.stores.memory import MemoryOperations, MemoryPosture
from tests.clocks import START
from tests.keeping import keep

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def check(operations: OperationStore) -> None:
    assert await operations.deployment_id() is None
    ids = [uuid.uuid4().hex for _ in range(4)]
    found = set(await asyncio.gather(*(operations.deploy(each) for each in ids)))
    assert len(found) == 1 and found <= set(ids), "all come to the same"
    assert {await operations.deployment_id()} == found
    assert await operations.read_all("sweep") == {}


async def test_a_deployment_gets_its_id_once_however_many_want_to_give_it_one(
    own: tuple[CosmosAccount, Address],
) -> None:
    await check(MemoryOperations())
    account, _ = own
    await check(CosmosOperations(account))


async def check_epochs(operations: OperationStore) -> None:
    assert await operations.read_epoch("3") == NO_EPOCH
    found = [NO_EPOCH]
    for _ in range(3):
        await operations.change_epoch("3")
        assert await operations.read_epoch("3") == await operations.read_epoch("3")
        found.append(await operations.read_epoch("3"))
    assert len({each.mark for each in found}) == 4, "none comes back, though each change says the same"
    times = [each.at for each in found[1:] if each.at is not None]
    assert len(times) == 3 and times == sorted(times)
    assert await operations.read_epoch("4") == NO_EPOCH, "another shard has its own"
    await asyncio.gather(*(operations.change_epoch(f"{n:x}") for n in range(16)))
    assert len({(await operations.read_epoch(f"{n:x}")).mark for n in range(16)}) == 16
    for kind in ("purge", "sweep", "posture"):
        assert await operations.read_all(kind) == {}, "no job's heartbeat, not even an unreadable one"


async def test_p2_each_change_of_an_epoch_makes_one_that_there_never_was(own: tuple[CosmosAccount, Address]) -> None:
    fake = MemoryOperations()
    fake.now = lambda: START
    await check_epochs(fake)
    account, _ = own
    operations, container = CosmosOperations(account), await account.container("operations")
    await check_epochs(operations)
    item = await container.read_item("epoch", "epoch-3")
    assert {name for name in item if not name.startswith("_")} == {"id", "kind"}, "nothing of anybody is in it (P8)"
    # Whatever somebody has made of it, the next change is a change.
    await container.upsert_item({**item, "mark": [1], "kind": "epoch-3"})
    edited = await operations.read_epoch("3")
    await operations.change_epoch("3")
    assert (await operations.read_epoch("3")).mark != edited.mark


def heartbeat(hour: int, **more: Any) -> Heartbeat:
    at = START + timedelta(hours=hour)
    return Heartbeat(
        kind="sweep",
        geo="europe",
        storage_account="steurope",
        started_at=at,
        at=at,
        outcome="more",
        counts={"containers": hour},
        totals={"wrongAccount": hour},
        cursor="judge-3",
        **more,
    )


async def test_d20_what_an_earlier_version_kept_of_a_geo_counts_for_its_account_until_there_is_one_of_its_own(
    own: tuple[CosmosAccount, Address],
) -> None:
    account, _ = own
    operations, checks = CosmosOperations(account), CosmosPosture(account)
    container = await account.container("operations")
    await container.upsert_item({"id": "europe", **heartbeat(2).to_json()})
    assert await operations.read_all("sweep") == {"steurope": heartbeat(2)}, "totals and cursor go on"
    await keep(operations, heartbeat(3))
    assert await operations.read_all("sweep") == {"steurope": heartbeat(3)}
    for members in (heartbeat(4).to_json(), {**heartbeat(4).to_json(), "counts": 5}, heartbeat(9**6).to_json()):
        await container.upsert_item({"id": "europe", **members})
        assert await operations.read_all("sweep") == {"steurope": heartbeat(3)}, "whatever it says (P9)"
    check = PostureCheck(storage_account="steurope", at=START, development=False, findings=())
    await container.upsert_item({"id": "europe", "geo": "europe", **check.to_json()})
    assert await checks.read_all() == {"steurope": check}


async def test_p9_what_is_under_an_id_that_is_not_its_own_is_told_and_blinds_no_account(
    own: tuple[CosmosAccount, Address],
) -> None:
    account, _ = own
    operations, checks = CosmosOperations(account), CosmosPosture(account)
    container = await account.container("operations")
    check = PostureCheck(storage_account="steurope", at=START, development=False, findings=())
    for store, value, ledger in ((operations, heartbeat(2), "ledger"), (checks, check, "cosmos")):
        read_all = partial(operations.read_all, "sweep") if store is operations else checks.read_all
        members = {**value.to_json(), "geo": "europe"}
        for item_id in ("asia", "steurope", "account", "nobody's", f"account-{value.storage_account}x", ledger):
            await container.upsert_item({"id": item_id, **members})
        told = {"of asia", "of steurope", "of account", "of nobody's", "steuropex", None}
        assert await read_all() == dict.fromkeys(told)
        await keep(store, value)  # type: ignore[arg-type]
        assert await read_all() == dict.fromkeys(told) | {"steurope": value}
        # An account's own item counts alone, even if nobody understands it; the next run replaces it.
        await container.upsert_item({"id": "europe", **members})
        await container.upsert_item({"id": "account-steurope", **members, "at": "tomorrow"})
        assert await read_all() == dict.fromkeys(told | {"steurope"})
        await container.upsert_item({"id": "account-steurope", **members, "storageAccount": "stasia"})
        assert await read_all() == dict.fromkeys(told | {"steurope"})
        await keep(store, value)  # type: ignore[arg-type]
        assert (await read_all())["steurope"] == value
        # Two of earlier versions that speak of one account: at most one of them has ever been written by us.
        await container.delete_item("account-steurope", members["kind"])
        await container.upsert_item({"id": "france", **members, "geo": "france"})
        assert await read_all() == dict.fromkeys(told | {"steurope"})


async def test_p9_counts_that_make_up_for_what_was_found_are_of_nobody(own: tuple[CosmosAccount, Address]) -> None:
    account, _ = own
    operations, container = CosmosOperations(account), await account.container("operations")
    for counts in ("counts", "previousCounts", "totals"):
        edited = {**heartbeat(2).to_json(), counts: {"unjudged": -5}}
        await container.upsert_item({"id": "account-steurope", **edited})
        assert await operations.read_all("sweep") == {"steurope": None}


async def check_conditions(operations: OperationStore, checks: PostureStore) -> None:
    assert await operations.last("sweep", "steurope") is None
    await operations.write(heartbeat(1), None)
    with pytest.raises(Conflict):
        await operations.write(heartbeat(2), None)
    first = await operations.last("sweep", "steurope")
    assert first is not None and first.value == heartbeat(1)
    await operations.write(heartbeat(1), first.etag)
    second = await operations.last("sweep", "steurope")
    assert second is not None and second.etag != first.etag, "the same again is another one"
    with pytest.raises(Conflict):
        await operations.write(heartbeat(3), first.etag)  # it lands late
    await operations.write(heartbeat(4), second.etag)
    assert await operations.read_all("sweep") == {"steurope": heartbeat(4)}
    assert await operations.last("sweep", None) is None
    assert await operations.last("purge", "steurope") is None
    check = PostureCheck(storage_account="steurope", at=START, development=False, findings=())
    assert await checks.last("steurope") is None
    await checks.write(check, None)
    found = await checks.last("steurope")
    assert found is not None and found.value == check and await checks.last(None) is None
    await checks.write(check, found.etag)
    for etag in (None, found.etag):
        with pytest.raises(Conflict):
            await checks.write(check, etag)


async def test_p9_what_jobs_keep_is_written_in_place_of_nothing_but_what_was_read(
    own: tuple[CosmosAccount, Address],
) -> None:
    await check_conditions(MemoryOperations(), MemoryPosture())
    account, _ = own
    operations, container = CosmosOperations(account), await account.container("operations")
    await check_conditions(operations, CosmosPosture(account))
    # What nobody understands, or says that it is another's, is nothing; but it stands there, until it is replaced.
    for edited in ({"at": "tomorrow"}, {"storageAccount": "stasia"}):
        await container.upsert_item({"id": "account-steurope", **heartbeat(5).to_json(), **edited})
        found = await operations.last("sweep", "steurope")
        assert found is not None and found.value is None
        with pytest.raises(Conflict):
            await operations.write(heartbeat(6), None)
        await operations.write(heartbeat(6), found.etag)
        assert await operations.read_all("sweep") == {"steurope": heartbeat(6)}
    found = await operations.last("sweep", "steurope")
    assert found is not None
    await container.delete_item("account-steurope", "sweep")
    with pytest.raises(Conflict):
        await operations.write(heartbeat(7), found.etag)
    # What an earlier version has named after its geo counts, and is not what is replaced.
    await container.upsert_item({"id": "europe", **heartbeat(8).to_json()})
    assert await operations.last("sweep", "steurope") is None
