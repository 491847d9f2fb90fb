"""What a client meets behind a gateway, on a page of another origin, and in another geo."""

import uuid
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from local.client import Client
from local.tokens import Role
from shared.model.geos import GEOS

pytestmark = pytest.mark.asyncio(loop_scope="session")

SETTINGS = {
    "PUBLIC_ADDRESS": "https://sharing.example/v1/",
    "TRUSTED_FORWARDED_HOSTS": "eu.sharing.example, sharing.example:8443",
    "CORS_ALLOWED_ORIGINS": "https://pages.example, http://localhost:5173",
    "GEO_ENDPOINTS": '{"japan": "https://sharing-japan.example/api"}',
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


@pytest.mark.parametrize("origin", ["https://pages.example", "http://localhost:5173"])
async def test_a_page_of_an_origin_that_is_named_may_call_and_read(either: Client, enrolled: str, origin: str) -> None:
    path = f"tenants/{enrolled}/data-sharing"
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,if-match"}
    preflight = await either.call("OPTIONS", path, headers={"Origin": origin, **asked})
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == origin
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "if-match" in preflight.headers["access-control-allow-headers"]
    token = either.token(Role.OPERATOR, now=await either.now())
    for answer in (
        await either.call("GET", path, token=token, headers={"Origin": origin}),
        await either.call("GET", path, headers={"Origin": origin}),
    ):
        assert answer.status in {200, 401}
        assert answer.headers["access-control-allow-origin"] == origin
        assert {"ETag", "Link", "Retry-After", "WWW-Authenticate"} <= {
            name.strip() for name in answer.headers["access-control-expose-headers"].split(",")
        }


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://pages.example", "null", "https://pages.example.evil"]
)
async def test_a_page_of_another_origin_may_not(either: Client, enrolled: str, origin: str) -> None:
    path = f"tenants/{enrolled}/data-sharing"
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    for answer in (
        await either.call("OPTIONS", path, headers=asked),
        await either.call("GET", path, headers={"Origin": origin}),
    ):
        assert answer.status in {401, 404}
        assert "access-control-allow-origin" not in answer.headers


async def test_the_geos_are_shown_with_where_they_are_served(either: Client) -> None:
    answer = await either.call("GET", "geos")
    assert answer.status == 200
    geos = {each["geo"]: each for each in answer.body["value"]}
    assert geos.keys() == GEOS.keys()
    assert geos["europe"] == {"geo": "europe", "served": True, "endpoint": None}
    assert geos["japan"] == {"geo": "japan", "served": False, "endpoint": "https://sharing-japan.example/api"}
    assert geos["australia"] == {"geo": "australia", "served": False, "endpoint": None}


async def test_the_answer_to_an_opt_out_names_its_deletion(either: Client, tenant: str) -> None:
    never = await either.opt_out(tenant)
    assert (never.status, never.body["deletion"]) == (200, None)
    on = await either.opt_in(tenant, "europe")
    assert on.body["deletion"] is None
    off = await either.opt_out(tenant)
    owed = off.body["deletion"]
    assert owed["enrollmentId"] == on.body["enrollmentId"]
    since, deadline = (datetime.fromisoformat(each) for each in (off.body["since"], owed["deadline"]))
    assert deadline - since == timedelta(days=30)
    assert since < datetime.fromisoformat(owed["notBefore"]) < deadline
    again = await either.opt_out(tenant)
    assert (again.status, again.body) == (200, off.body), "a repeat whose answer was lost is told the same"
    for _ in range(100):
        shown = await either.as_admin("GET", tenant, f"deletions/{owed['enrollmentId']}")
        if shown.status == 200:
            break
    assert {name: shown.body[name] for name in owed} == owed
