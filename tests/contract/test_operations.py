"""Whose a database is: the store of the deployment's id, as fake and on Cosmos DB (D14)."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from local.stack import CosmosAccount as Address
from local.stack import create_cosmos_containers
from shared.model.heartbeats import Heartbeat
from shared.model.posture import PostureCheck
from shared.ports import OperationStore
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.operations import CosmosOperations, CosmosPosture
from shared.stores.memory import MemoryOperations
from tests.clocks import START


async def check(operations: OperationStore) -> None:
    assert await operations.deployment_id() is None
    ids = [uuid.uuid4().hex for _ in range(4)]
    found = set(await asyncio.gather(*(operations.deploy(each) for each in ids)))
    assert len(found) == 1 and found <= set(ids), "all come to the same"
    assert {await operations.deployment_id()} == found
    assert await operations.read_all("sweep") == {}


async def test_a_deployment_gets_its_id_once_however_many_want_to_give_it_one(address: Address) -> None:
    await check(MemoryOperations())
    own = Address(address.endpoint, address.key, f"operations-{uuid.uuid4().hex}")
    await create_cosmos_containers(own)
    account = CosmosAccount.connect(f"AccountEndpoint={own.endpoint};AccountKey={own.key};", None, own.database)
    await check(CosmosOperations(account))
    await account.close()


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


@pytest.mark.asyncio(loop_scope="session")
async def test_d20_what_an_earlier_version_kept_of_a_geo_counts_for_its_account_until_there_is_a_newer(
    address: Address,
) -> None:
    own = Address(address.endpoint, address.key, f"operations-{uuid.uuid4().hex}")
    await create_cosmos_containers(own)
    account = CosmosAccount.connect(f"AccountEndpoint={own.endpoint};AccountKey={own.key};", None, own.database)
    operations, checks = CosmosOperations(account), CosmosPosture(account)
    container = await account.container("operations")
    await container.upsert_item({"id": "europe", **heartbeat(2).to_json()})
    assert await operations.read_all("sweep") == {"steurope": heartbeat(2)}, "totals and cursor go on"
    await operations.write(heartbeat(3))
    assert await operations.read_all("sweep") == {"steurope": heartbeat(3)}
    await container.upsert_item({"id": "europe", **heartbeat(4).to_json()})  # by an instance of that version
    assert await operations.read_all("sweep") == {"steurope": heartbeat(4)}
    await container.upsert_item({"id": "europe", **heartbeat(4).to_json(), "counts": 5})
    assert await operations.read_all("sweep") == {"steurope": heartbeat(3)}, "what can be understood counts"
    check = PostureCheck(storage_account="steurope", at=START, development=False, findings=())
    await container.upsert_item({"id": "europe", "geo": "europe", **check.to_json()})
    assert await checks.read_all() == {"steurope": check}
    await account.close()
