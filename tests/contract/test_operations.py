"""Whose a database is: the store of the deployment's id, as fake and on Cosmos DB (D14)."""

import asyncio
import uuid

from local.stack import CosmosAccount as Address
from local.stack import create_cosmos_containers
from shared.ports import OperationStore
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.operations import CosmosOperations
from shared.stores.memory import MemoryOperations


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
