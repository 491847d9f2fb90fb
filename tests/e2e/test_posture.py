"""The posture on the real stack: what somebody switches on in storage is found by the next sweep, and told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.blob import RetentionPolicy
from azure.storage.blob.aio import BlobServiceClient

from local.azurite import account_name
from local.client import Client
from local.stack import Stack
from tests.e2e.conftest import everything_written

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("opt_outs", "purge", "sweep", "metrics")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("posture"), ("europe", "unitedstates"), settings=OFF) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        # A sweep believes no ledger in which there is nobody.
        assert (await client.opt_in("3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30", "europe")).status == 200
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def europe(stack: Stack) -> AsyncIterator[BlobServiceClient]:
    async with BlobServiceClient.from_connection_string(stack.description.storage["europe"]) as europe:
        yield europe


async def swept(client: Client) -> dict[str, Any]:
    for timer in ("purge", "sweep"):
        assert await client.run(timer) == "completed"
    return dict(await client.status())


def broken(status: dict[str, Any]) -> list[str]:
    return [promise for promise, holds in status["promises"].items() if not holds]


def found(status: dict[str, Any], geo: str) -> dict[str, tuple[str, str]]:
    posture = status["accounts"][account_name(geo)]["posture"]
    return {each["property"]: (each["found"], each["outcome"]) for each in posture["findings"]}


async def test_it_is_looked_at_when_an_instance_starts_and_no_request_waits_for_it(client: Client) -> None:
    async with asyncio.timeout(300):
        while True:
            status = await client.status()
            if status["ledger"]["posture"] and all(geo["posture"] for geo in status["accounts"].values()):
                break
            await asyncio.sleep(0.1)
    assert status["promises"]["P2"] is True
    assert all(geo["lastSweep"] is None for geo in status["accounts"].values()), "no sweep has run yet"


async def test_the_local_parts_hold_but_for_what_an_emulator_only_claims(client: Client) -> None:
    status = await swept(client)
    assert broken(status) == []
    assert found(status, "europe") == {
        "sku.name": ("Standard_RAGRS", "development"),
        "kind": ("StorageV2", "holds"),
        "isHnsEnabled": ("false", "holds"),
        "deleteRetentionPolicy.enabled": ("false", "holds"),
        "logging.enabled": ("true", "development"),
    }
    assert status["accounts"]["steurope"]["posture"]["development"] is True
    cosmos = {each["property"]: each["found"] for each in status["ledger"]["posture"]["findings"]}
    assert cosmos == {
        "consistencyPolicy.defaultConsistencyLevel": "Strong",
        "writeLocations": "1 entry",
        "containers.tenants.expires": "false",
        "containers.deletions.expires": "false",
        "containers.access.expires": "false",
    }


async def test_soft_delete_that_somebody_switches_on_is_found_and_told_until_it_is_off_again(
    client: Client, europe: BlobServiceClient, stack: Stack
) -> None:
    assert broken(await swept(client)) == []
    await europe.set_service_properties(delete_retention_policy=RetentionPolicy(enabled=True, days=7))
    status = await swept(client)
    assert broken(status) == ["P4", "P5", "P6"] and status["holds"] is False
    assert found(status, "europe")["deleteRetentionPolicy.enabled"] == ("true", "broken")
    assert found(status, "unitedstates")["deleteRetentionPolicy.enabled"] == ("false", "holds")
    assert b"posture of steurope: deleteRetentionPolicy.enabled is true" in everything_written(stack)["host.log"]
    await europe.set_service_properties(delete_retention_policy=RetentionPolicy(enabled=False))
    assert broken(await swept(client)) == []
