"""What a client meets behind a gateway."""

import uuid

import pytest
import pytest_asyncio

from local.client import Client
from local.tokens import Role

pytestmark = pytest.mark.asyncio(loop_scope="session")

SETTINGS = {
    "PUBLIC_ADDRESS": "https://sharing.example/v1/",
    "TRUSTED_FORWARDED_HOSTS": "eu.sharing.example, sharing.example:8443",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def enrolled(client: Client) -> str:
    tenant = str(uuid.uuid4())
    await client.opt_in(tenant, "europe")
    await client.opt_out(tenant)
    return tenant


@pytest.mark.parametrize(
    ("forwarded", "base"),
    [
        (None, "https://sharing.example/v1"),
        ("eu.sharing.example", "https://eu.sharing.example/v1"),
        ("EU.Sharing.Example", "https://eu.sharing.example/v1"),
        ("sharing.example:8443, inner.example", "https://sharing.example:8443/v1"),
        ("evil.example", "https://sharing.example/v1"),
        ("evil.example, eu.sharing.example", "https://sharing.example/v1"),
        ("eu.sharing.example@evil.example", "https://sharing.example/v1"),
        ("", "https://sharing.example/v1"),
    ],
)
async def test_links_lead_to_the_public_address_or_where_a_trusted_gateway_says(
    either: Client, enrolled: str, forwarded: str | None, base: str
) -> None:
    token = either.token(Role.TENANT_ADMIN, now=await either.now(), tenant=enrolled)
    headers = {"X-Forwarded-Proto": "http"} | ({} if forwarded is None else {"X-Forwarded-Host": forwarded})
    path = f"tenants/{enrolled}/data-sharing/history"
    answer = await either.call("GET", f"{path}?limit=1", token=token, headers=headers)
    assert answer.body["nextLink"] == f"{base}/{path}?limit=1&before=2"
