"""The stores, once as fakes and once as Azure adapters on real parts.

``COSMOS_ENDPOINT`` and ``COSMOS_KEY`` point the tests at another Cosmos DB, Microsoft's emulator or a real account:
they make a database of their own there and remove it.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from azure.cosmos.aio import CosmosClient

from local.stack import CosmosAccount as Address
from local.stack import Stack, create_cosmos_containers
from shared.ports import AccessStore, CaptureStore, DeletionStore, LedgerStore, OperationStore
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos.access import CosmosAccess
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from shared.stores.cosmos.operations import CosmosOperations
from shared.stores.memory import MemoryAccess, MemoryCaptures, MemoryDeletions, MemoryLedger, MemoryOperations

KINDS = ["fake", pytest.param("real", marks=pytest.mark.stack)]


@pytest.fixture(scope="session")
def cosmos(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Endpoint and key of the Cosmos DB to test against; the stack is started only if it is the local one."""
    if "COSMOS_ENDPOINT" in os.environ:
        return os.environ["COSMOS_ENDPOINT"], os.environ["COSMOS_KEY"]
    stack: Stack = request.getfixturevalue("stack")
    return stack.description.cosmos.endpoint, stack.description.cosmos.key


@asynccontextmanager
async def _database(cosmos: tuple[str, str], name: str) -> AsyncIterator[tuple[CosmosAccount, Address]]:
    found = Address(*cosmos, f"{name}-{uuid.uuid4().hex}")
    await create_cosmos_containers(found)
    account = CosmosAccount.connect(f"AccountEndpoint={found.endpoint};AccountKey={found.key};", None, found.database)
    yield account, found
    await account.close()
    async with CosmosClient(found.endpoint, found.key) as client:
        await client.delete_database(found.database)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(cosmos: tuple[str, str]) -> AsyncIterator[tuple[CosmosAccount, Address]]:
    """A database of the tests' own."""
    async with _database(cosmos, "contract") as made:
        yield made


@pytest.fixture(scope="session")
def account(database: tuple[CosmosAccount, Address]) -> CosmosAccount:
    return database[0]


@pytest.fixture(scope="session")
def address(database: tuple[CosmosAccount, Address]) -> Address:
    return database[1]


@pytest_asyncio.fixture(loop_scope="session")
async def own(cosmos: tuple[str, str]) -> AsyncIterator[tuple[CosmosAccount, Address]]:
    """A database of the test's own."""
    async with _database(cosmos, "own") as made:
        yield made


@pytest.fixture(params=KINDS)
def ledger(request: pytest.FixtureRequest) -> LedgerStore:
    return MemoryLedger() if request.param == "fake" else CosmosLedger(request.getfixturevalue("account"))


@pytest.fixture(params=KINDS)
def deletions(request: pytest.FixtureRequest) -> DeletionStore:
    return MemoryDeletions() if request.param == "fake" else CosmosDeletions(request.getfixturevalue("account"))


@pytest.fixture(params=KINDS)
def access(request: pytest.FixtureRequest) -> AccessStore:
    return MemoryAccess() if request.param == "fake" else CosmosAccess(request.getfixturevalue("account"))


@pytest.fixture(params=KINDS)
def operations(request: pytest.FixtureRequest) -> OperationStore:
    return MemoryOperations() if request.param == "fake" else CosmosOperations(request.getfixturevalue("account"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def azure_captures(stack: Stack) -> AsyncIterator[AzureCaptureStore]:
    store = AzureCaptureStore.connect(stack.description.storage["europe"], None)
    yield store
    await store.close()


@pytest.fixture(params=KINDS)
def captures(request: pytest.FixtureRequest) -> CaptureStore:
    return MemoryCaptures("steurope") if request.param == "fake" else request.getfixturevalue("azure_captures")
