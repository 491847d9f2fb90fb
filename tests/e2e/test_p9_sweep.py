"""P9 on the real stack: with feed and timers off, what was lost or put where it does not belong, the sweep finds."""

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.cosmos.aio import CosmosClient

from local.client import Client
from local.stack import Stack
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("opt_outs", "purge", "sweep")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack whose feed and timers are off; what a test wants to run, it runs."""
    async with Stack(tmp_path_factory.mktemp("sweep"), ("europe", "unitedstates"), settings=OFF) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        yield client


async def run(client: Client, *timers: str) -> dict[str, Any]:
    """Run timers and return the status after them."""
    for timer in timers:
        assert await client.run(timer) == "completed"
    return dict(await client.status())


async def share(client: Client, geo: str = "europe") -> tuple[str, str]:
    """Let a tenant share a capture; return it and its enrollment."""
    tenant = str(uuid.uuid4())
    enrollment_id = (await client.opt_in(tenant, geo)).body["enrollmentId"]
    capture = {"capturedAt": format_instant(await client.now()), "feature": "f", "input": "i", "output": "o"}
    assert (await client.post(tenant, [capture])).status == 201
    return tenant, enrollment_id


async def move(client: Client, by: timedelta) -> None:
    await client.move_to(await client.now() + by)


async def deleted(client: Client) -> tuple[str, dict[str, Any]]:
    """Return a tenant and its deletion, which is finished."""
    tenant, enrollment_id = await share(client)
    await client.opt_out(tenant)
    await move(client, timedelta(minutes=5))
    await run(client, "sweep")
    expedited = await client.as_admin("POST", tenant, f"deletions/{enrollment_id}/expedite")
    assert expedited.status == 202
    await run(client, "purge")
    await move(client, timedelta(minutes=5))
    await run(client, "purge")
    return tenant, await deletion_of(client, tenant, enrollment_id)


async def deletion_of(client: Client, tenant: str, enrollment_id: str) -> dict[str, Any]:
    return dict((await client.as_admin("GET", tenant, f"deletions/{enrollment_id}")).body)


async def test_without_the_feed_the_sweep_alone_gets_every_deletion_done_in_time(client: Client) -> None:
    tenant, enrollment_id = await share(client)
    await client.opt_out(tenant)
    assert (await client.as_admin("GET", tenant, f"deletions/{enrollment_id}")).status == 404
    await move(client, timedelta(minutes=30))
    status = await run(client, "purge")
    assert status["ledger"]["unscheduledOptOuts"] == 1 and status["feedLagSeconds"] >= 1800
    status = await run(client, "sweep")
    assert status["holds"] is True and status["findings"] == {"deletionsCreated": 1}
    [event, _] = (await client.as_admin("GET", tenant, "data-sharing/history")).body["value"]
    deletion = await deletion_of(client, tenant, enrollment_id)
    assert deletion["deadline"] == event["deadline"]
    await client.move_to(datetime.fromisoformat(deletion["notBefore"]))
    await run(client, "purge")
    await move(client, timedelta(minutes=5))
    status = await run(client, "purge")
    done = await deletion_of(client, tenant, enrollment_id)
    assert done["status"] == "verified" and done["receipt"]["secondLookAt"] < event["deadline"]
    assert await client.all_containers() == {"europe": [], "unitedstates": []}


async def test_with_the_purge_off_status_says_so_within_three_schedules(client: Client) -> None:
    assert (await run(client, "purge", "sweep"))["holds"] is True
    await move(client, timedelta(minutes=15, seconds=10))
    status = await client.status()
    assert status["holds"] is False
    assert [promise for promise, holds in status["promises"].items() if not holds] == ["P9"]


async def test_what_was_put_by_hand_is_deleted_or_reported_counted_and_seen(client: Client) -> None:
    tenant, done = await deleted(client)
    _, live = await share(client, "unitedstates")
    before = (await run(client, "purge", "sweep", "sweep"))["findings"]
    day = f"{await client.now():%Y%m%d}"
    came_back = f"{done['enrollmentId'][0]}-{day}-{done['enrollmentId']}"
    strays = [("europe", f"{live[0]}-{day}-{live}"), ("europe", came_back), ("europe", "somebody-elses")]
    for geo, name in strays:
        await client.create_container(geo, name)
    status = await run(client, "sweep")
    assert await client.containers("europe") == ["somebody-elses"]
    assert len(await client.containers("unitedstates")) == 1
    found = {kind: number - before.get(kind, 0) for kind, number in status["findings"].items()}
    expected = {"wrongAccount": 1, "afterReceipt": 1, "foreignContainers": 1}
    assert {kind: number for kind, number in found.items() if number} == expected
    assert status["accounts"]["steurope"]["lastSweep"]["counts"] == {"containers": 3, **expected}
    broken = [promise for promise, holds in status["promises"].items() if not holds]
    assert broken == ["P3", "P5", "P6"]
    opened = await deletion_of(client, tenant, done["enrollmentId"])
    assert (opened["status"], opened["deadline"]) == ("scheduled", done["deadline"])
    await run(client, "purge")
    await move(client, timedelta(minutes=5))
    assert (await run(client, "purge", "sweep"))["holds"] is True
    receipt = (await deletion_of(client, tenant, done["enrollmentId"]))["receipt"]
    assert [entry["containersFound"] for entry in receipt["reappeared"]] == [1]
    assert receipt["reappeared"][0]["provedAt"] == done["receipt"]["secondLookAt"]


async def test_a_ledger_that_somebody_changed_is_reported(client: Client, stack: Stack) -> None:
    tenant, _ = await share(client)
    assert (await run(client, "purge", "sweep", "sweep"))["promises"]["P9"] is True
    account = stack.description.cosmos
    async with CosmosClient(account.endpoint, account.key) as cosmos:
        tenants = cosmos.get_database_client(account.database).get_container_client("tenants")
        event = await tenants.read_item("event-000000001", tenant)
        await tenants.replace_item(event["id"], {**event, "actor": "somebody else"})
        status = await run(client, "sweep")
        assert status["ledger"]["lastSweep"]["counts"]["settingsDisagreeing"] == 1
        assert status["promises"]["P9"] is False
        await tenants.delete_item(event["id"], tenant)
    status = await run(client, "sweep")
    assert status["ledger"]["lastSweep"]["counts"]["eventsMissing"] == 1
    assert status["promises"]["P9"] is False
