"""A store that is down: 503 and come back; nothing half-stored is acknowledged; all recovers by itself (P9)."""

import asyncio
from typing import Any

import pytest

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.deletions import deletion_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def batch(client: Client) -> list[dict[str, Any]]:
    return [{"capturedAt": format_instant(await client.now()), "feature": "f", "input": "i", "output": "o"}]


def unavailable(answer: Answer) -> bool:
    return (answer.status, answer.problem, "retry-after" in answer.headers) == (503, "unavailable", True)


async def eventually(client: Client, tenant: str, captures: Any, key: str) -> Answer:
    """Repeat a capture as a service would, until it is taken."""
    for _ in range(600):
        answer = await client.post(tenant, captures, key=key)
        if answer.status < 500:
            return answer
        assert unavailable(answer)
        await asyncio.sleep(0.25)
    raise AssertionError("it has not recovered")


async def test_an_account_that_is_down_fails_its_geo_only_and_recovers(
    client: Client, stack: Stack, tenant: str
) -> None:
    other = "eeeeeeee-0000-4000-8000-000000000001"
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    await client.opt_in(other, "unitedkingdom")
    captures = await batch(client)
    await stack.processes["storage-europe"].stop()
    try:
        assert unavailable(await client.post(tenant, captures, key="k1"))
        assert (await client.post(other, await batch(client))).status == 201
        assert await client.run("purge") == "completed"
        status = await client.status()
        assert status["holds"] is False
        assert status["accounts"]["steurope"]["lastPurge"]["outcome"] == "failed"
        assert status["accounts"]["stunitedkingdom"]["lastPurge"]["outcome"] == "done"
        assert await client.run("sweep") == "completed"
        status = await client.status()
        assert status["accounts"]["steurope"]["lastSweep"]["outcome"] == "failed"
        assert status["accounts"]["stunitedkingdom"]["lastSweep"]["outcome"] == "done"
        assert status["ledger"]["lastSweep"]["outcome"] == "done"
    finally:
        await stack.processes["storage-europe"].start()
    assert (await eventually(client, tenant, captures, "k1")).status in {200, 201}
    assert len(await client.batches("europe", enrollment_id)) == 1
    # The sweep that failed half-way, the one that goes on from there, and one that comes round.
    for timer in ("purge", "sweep", "sweep"):
        assert await client.run(timer) == "completed"
    status = await client.status()
    assert status["holds"] is True, status


async def test_a_cosmos_db_that_is_down_or_killed_lets_nothing_in_and_recovers(
    client: Client, stack: Stack, tenant: str
) -> None:
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    captures = await batch(client)
    assert (await client.post(tenant, captures, key="k1")).status == 201
    await stack.processes["cosmos"].kill()
    try:
        await asyncio.sleep(2.1)  # what was leased has expired; from here on only a read can say "on"
        assert unavailable(await client.post(tenant, captures, key="k2"))
        answer = await client.as_admin("GET", tenant, "data-sharing")
        assert unavailable(answer)
        assert unavailable(await client.opt_out(tenant))
    finally:
        await stack.processes["cosmos"].start()
    assert (await eventually(client, tenant, captures, "k2")).status == 201
    assert len(await client.batches("europe", enrollment_id)) == 2
    assert (await client.opt_out(tenant)).status == 200
    assert (await deletion_of(client, tenant, enrollment_id))["status"] == "scheduled"


async def test_a_host_killed_right_after_an_opt_out_was_committed_loses_no_deletion(
    client: Client, stack: Stack, tenant: str
) -> None:
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    opting_out = asyncio.create_task(client.opt_out(tenant))
    # An operator's look, because an administrator's answer that it is off would come as late as that of the opt-out.
    operator = client.token(Role.OPERATOR, now=await client.now())
    while (await client.call("GET", f"tenants/{tenant}/data-sharing", token=operator)).body["enabled"]:
        pass
    await stack.processes["host"].kill()
    assert isinstance((await asyncio.gather(opting_out, return_exceptions=True))[0], Exception), "never answered"
    await stack.processes["host"].start()
    before = await deletion_of(client, tenant, enrollment_id)
    again = await client.opt_out(tenant)
    assert again.status == 200 and again.body["enabled"] is False
    history = (await client.as_admin("GET", tenant, "data-sharing/history")).body["value"]
    assert [event["kind"] for event in history] == ["optedOut", "optedIn"]
    assert before["deadline"] == history[0]["deadline"]
    assert (await client.as_admin("GET", tenant, "deletions")).body["value"] == [before]
