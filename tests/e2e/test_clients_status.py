"""What an operator meets who asks why a promise does not hold, and which deletions are overdue."""

from datetime import timedelta

import pytest

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ask(client: Client, path: str, role: Role = Role.OPERATOR) -> Answer:
    return await client.call("GET", path, token=client.token(role, now=await client.now()))


async def test_a_promise_that_does_not_hold_says_why_and_a_late_deletion_is_not_forgotten(
    either: Client, client: Client, stack: Stack, tenant: str
) -> None:
    assert await client.run("sweep") == "completed"
    before = (await ask(either, "status")).body
    enrollment = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    owed = (await client.opt_out(tenant)).body["deletion"]
    for _ in range(100):
        if (await client.as_admin("GET", tenant, f"deletions/{enrollment}")).status == 200:
            break
    await stack.processes["storage-europe"].stop()
    try:
        late = await client.now() + timedelta(days=30, hours=1)
        for each in (client, either):
            await each.move_to(late)
        assert await client.run("purge") == "completed"
        status = (await ask(either, "status")).body
        assert status["promises"].keys() == before["promises"].keys()
        assert status["promises"]["P5"] is status["promises"]["P4"] is False
        assert status["reasons"].keys() == {name for name, holds in status["promises"].items() if not holds}
        assert f"{status['overdueDeletions']} deletions are overdue" in status["reasons"]["P5"]
        assert any(why.startswith("steurope: ") and "storage-unreachable" in why for why in status["reasons"]["P4"])
        assert any("the last purge failed (storage-unreachable)" in why for why in status["reasons"]["P9"])
        listed = await ask(either, "overdue-deletions?limit=200")
        assert listed.status == 200
        [shown] = [each for each in listed.body["value"] if each["enrollmentId"] == enrollment]
        assert shown["tenantId"] == tenant and shown["geo"] == "europe" and shown["deadline"] == owed["deadline"]
        assert (shown["status"], shown["lastError"]) in {("scheduled", None), ("scheduled", "storage-unreachable")}
        assert len((await ask(either, "overdue-deletions?limit=1")).body["value"]) == 1
        assert (await ask(either, "overdue-deletions", Role.REVIEWER)).problem == "forbidden"
        assert (await ask(either, "overdue-deletions?limit=0")).problem == "invalid-request"
    finally:
        await stack.processes["storage-europe"].start()
    for _ in range(3):
        for each in (client, either):
            await each.move_to(await client.now() + timedelta(minutes=70))
        assert await client.run("purge") == "completed"
    assert (await client.as_admin("GET", tenant, f"deletions/{enrollment}")).body["status"] == "verified"
    assert await client.run("sweep") == "completed"
    after = (await ask(either, "status")).body
    assert after["findings"]["deletionsLate"] > before["findings"].get("deletionsLate", 0)
    left = (await ask(either, "overdue-deletions?limit=200")).body["value"]
    assert enrollment not in {each["enrollmentId"] for each in left}
