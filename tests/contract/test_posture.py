"""What every store of posture checks does, fake or real; and what the real accounts show of themselves."""

from datetime import timedelta

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob import BlobAnalyticsLogging
from azure.storage.blob.aio import BlobServiceClient

from local.stack import CosmosAccount as Address
from local.stack import Stack
from shared.model.posture import COSMOS_RULES, STORAGE_RULES, PostureCheck
from shared.ports import PostureStore
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.operations import CosmosPosture
from shared.stores.memory import MemoryPosture
from tests.clocks import START
from tests.keeping import keep

pytestmark = pytest.mark.asyncio(loop_scope="session")

EUROPE = PostureCheck(
    storage_account="steurope",
    at=START,
    development=False,
    findings=tuple(rule.check({"kind": "StorageV2"}) for rule in STORAGE_RULES),
)
COSMOS = PostureCheck(at=START, development=True, findings=tuple(rule.unreadable("x") for rule in COSMOS_RULES))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.stack)])
def checks(request: pytest.FixtureRequest) -> PostureStore:
    return MemoryPosture() if request.param == "fake" else CosmosPosture(request.getfixturevalue("account"))


async def test_the_last_check_of_each_account_is_kept(checks: PostureStore) -> None:
    later = EUROPE.model_copy(update={"at": START + timedelta(hours=1)})
    for check in (EUROPE, COSMOS, later):
        await keep(checks, check)
    assert await checks.read_all() == {"steurope": later, None: COSMOS}


async def test_a_check_that_cannot_be_understood_is_none(account: CosmosAccount) -> None:
    checks = CosmosPosture(account)
    await keep(checks, COSMOS)
    container = await account.container("operations")
    await container.upsert_item({"id": "account-steurope", "kind": "posture", "findings": "all is well"})
    assert await checks.read_all() == {None: COSMOS, "steurope": None}


async def test_a_time_to_live_that_somebody_sets_is_seen_at_the_next_look(own: tuple[CosmosAccount, Address]) -> None:
    account, address = own
    async with CosmosClient(address.endpoint, address.key) as client:
        database = client.get_database_client(address.database)
        seen = []
        for name in (None, "tenants", "deletions", "access"):
            if name is not None:
                await database.delete_container(name)
                # Even one by which nothing expires until an item says so itself.
                await database.create_container(name, PartitionKey("/tenantId"), default_ttl=-1)
            containers = (await account.setup()).properties["containers"]
            seen.append([each for each in containers if containers[each]["expires"]])
        assert seen == [[], ["tenants"], ["tenants", "deletions"], ["tenants", "deletions", "access"]]


@pytest.mark.parametrize("logged", ["read", "write", "delete", None])
async def test_logs_that_storage_writes_are_seen(
    azure_captures: AzureCaptureStore, stack: Stack, logged: str | None
) -> None:
    async with BlobServiceClient.from_connection_string(stack.description.storage["europe"]) as europe:
        before = (await europe.get_service_properties())["analytics_logging"]
        some = {name: name == logged for name in ("read", "write", "delete")}
        await europe.set_service_properties(analytics_logging=BlobAnalyticsLogging(**some))
        try:
            assert (await azure_captures.setup()).properties["logging"] == {"enabled": logged is not None}
        finally:
            await europe.set_service_properties(analytics_logging=before)
