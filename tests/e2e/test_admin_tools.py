"""D16 over HTTP: what the admin tools that there are send, in their ways, flips the switch that captures ask."""

import json
from typing import Any

import aiohttp
import pytest

from local.client import Client
from local.stack import Stack
from local.tokens import TOOLS_AUDIENCE, Role
from shared.model.items import format_instant
from tests.admin_tools import SHAPES, listing

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST = "/providers/Microsoft.BusinessAppPlatform/listTenantSettings"
UPDATE = "/providers/Microsoft.BusinessAppPlatform/scopes/admin/updateTenantSettings"
FORM = "application/x-www-form-urlencoded"


async def ask(
    stack: Stack, client: Client, tenant: str, path: str, body: bytes, kind: str = "application/json"
) -> tuple[int, Any]:
    bearer = stack.issuer.token(
        Role.TENANT_ADMIN, now=await client.now(), tenant=tenant, claims={"aud": TOOLS_AUDIENCE.rstrip("/")}
    )
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": kind}
    url = f"{stack.description.api}{path}?api-version=2020-10-01"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_switch_of_each_tool_is_the_one_that_captures_ask(
    stack: Stack, client: Client, tenant: str, shape: Any
) -> None:
    assert await ask(stack, client, tenant, LIST.lower(), b"", FORM) == (200, listing(False))
    for on in (True, False):
        for path in (UPDATE, UPDATE.upper()):
            assert await ask(stack, client, tenant, path, json.dumps(shape(on)).encode()) == (200, listing(on))
        capture = {"capturedAt": format_instant(await client.now()), "feature": "f", "input": "i", "output": "o"}
        answer = await client.post(tenant, [capture])
        assert (answer.status, answer.problem) == ((201, None) if on else (403, "data-sharing-off"))
        assert await ask(stack, client, tenant, LIST, b"") == (200, listing(on))
    events = (await client.as_admin("GET", tenant, "data-sharing/history")).body["value"]
    assert [(event["kind"], event["channel"]) for event in events] == [
        ("optedOut", "tenant-settings"),
        ("optedIn", "tenant-settings"),
    ]


async def test_a_token_of_the_tools_opens_no_route_of_the_api(stack: Stack, client: Client, tenant: str) -> None:
    bearer = stack.issuer.token(
        Role.TENANT_ADMIN, now=await client.now(), tenant=tenant, claims={"aud": TOOLS_AUDIENCE}
    )
    answer = await client.call("GET", f"tenants/{tenant}/data-sharing", token=bearer)
    assert (answer.status, answer.problem) == (401, "unauthenticated")
    ours = client.token(Role.TENANT_ADMIN, now=await client.now(), tenant=tenant)
    refused = await client.call("POST", f"{LIST[1:]}?api-version=2020-10-01", token=ours, body={})
    assert refused.status == 401 and refused.body["error"]["code"] == "Unauthenticated"
