"""The stack's storage, Cosmos DB and issuer, used as its tests and the demo use them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from azure.core.exceptions import AzureError
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from local import stack as stack_module
from local.stack import GEOS, Stack, StackError, create_cosmos_containers
from shared.stores.cosmos.schema import CONTAINERS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("stack"), with_host=False) as stack:
        yield stack


def storage(stack: Stack, geo: str) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(stack.description.storage[geo], retry_total=0)


async def containers(stack: Stack, geo: str) -> list[str]:
    async with storage(stack, geo) as client:
        return [container.name async for container in client.list_containers()]


@pytest.mark.parametrize("place", [*GEOS, "unitedstates/2"])
async def test_each_geo_has_storage_of_its_own_and_one_has_two_accounts(stack: Stack, place: str) -> None:
    name = place.replace("/", "")
    async with storage(stack, place) as client:
        assert client.account_name == f"st{name}"
        await client.create_container(f"only-in-{name}")
    for other in stack.description.storage:
        assert (f"only-in-{name}" in await containers(stack, other)) == (other == place)
    assert len(stack.description.storage) == len(GEOS) + 1


async def test_cosmos_has_the_database_and_its_containers_with_their_partition_keys(stack: Stack) -> None:
    account = stack.description.cosmos
    await create_cosmos_containers(account)  # a second time changes nothing
    async with CosmosClient(account.endpoint, account.key) as client:
        database = client.get_database_client("data-sharing")
        found = {
            name: (await database.get_container_client(name).read())["partitionKey"]["paths"] for name in CONTAINERS
        }
    assert found == {name: [schema.partition_key] for name, schema in CONTAINERS.items()}


async def test_the_description_says_where_everything_is_and_only_its_owner_can_read_it(stack: Stack) -> None:
    file = stack.directory / "stack.json"
    described = json.loads(file.read_text())
    assert described["storage"] == stack.description.storage
    assert (described["api"], described["host"]) == (None, None)
    assert set(described["cosmos"]) == {"endpoint", "key", "database"}
    assert described["issuer"] == stack.issuer.url
    for secret in (file, *stack.directory.glob("*.key"), *stack.directory.glob("*.pem")):
        assert secret.stat().st_mode & 0o777 == 0o600


async def test_everything_listens_on_this_machine_only(stack: Stack) -> None:
    urls = [stack.issuer.url, *(process.url for process in stack.processes.values())]
    assert {urlsplit(url).hostname for url in urls} == {"127.0.0.1"}
    assert len({urlsplit(url).port for url in urls}) == len(GEOS) + 2


async def test_one_geo_can_be_down_alone_and_comes_back_at_the_same_address_with_its_data(stack: Stack) -> None:
    europe = stack.processes["storage-europe"]
    async with storage(stack, "europe") as client:
        await client.create_container("survivor")
    await europe.stop()
    with pytest.raises(AzureError):
        await containers(stack, "europe")
    assert isinstance(await containers(stack, "unitedkingdom"), list)
    await europe.start()
    assert "survivor" in await containers(stack, "europe")


async def test_a_process_that_a_test_kills_is_not_taken_for_dead_and_starts_again(stack: Stack) -> None:
    cosmos = stack.processes["cosmos"]
    await cosmos.kill()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stack.death(), 0.5)
    await cosmos.start()
    async with aiohttp.ClientSession() as session, session.get(cosmos.url):
        pass


async def test_the_runtimes_own_account_is_not_a_geos(stack: Stack) -> None:
    settings = stack.app_settings
    async with BlobServiceClient.from_connection_string(settings["AzureWebJobsStorage"]) as client:
        await client.create_container("azure-webjobs-hosts")
    assert "azure-webjobs-hosts" not in await containers(stack, GEOS[0])
    assert client.account_name not in settings["STORAGE_ACCOUNTS"]


async def test_two_stacks_live_side_by_side(stack: Stack, tmp_path: Path) -> None:
    async with Stack(tmp_path, ["europe"], with_host=False) as other:
        assert set(other.processes) == {"storage-europe", "cosmos"}
        async with storage(other, "europe") as client:
            await client.create_container("of-the-other")
        assert "of-the-other" not in await containers(stack, "europe")
    assert isinstance(await containers(stack, "europe"), list)


async def test_a_second_stack_on_the_same_directory_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "_LOCK_SECONDS", 0.2)
    with pytest.raises(StackError, match="used by another stack"):
        async with Stack(stack.directory, with_host=False):
            pass
    assert (stack.directory / "stack.json").exists()


async def test_the_local_settings_are_those_of_the_sample(stack: Stack) -> None:
    sample = json.loads((Path(__file__).parents[2] / "local.settings.sample.json").read_text())
    # The sample also shows settings that have a default.
    addresses = {"GEO_ENDPOINTS", "PUBLIC_ADDRESS", "TRUSTED_FORWARDED_HOSTS"}
    optional = {"RETENTION_DAYS", "CONTROLLER", "REVIEW_VERDICTS", *addresses}
    assert set(sample["Values"]) - set(stack.app_settings) == optional
    assert stack.app_settings["TOKEN_ISSUER"] == f"{stack.issuer.url}/{{tenantid}}/v2.0"
    assert stack.app_settings["COSMOS_CONNECTION"].startswith("AccountEndpoint=http://127.0.0.1:")
