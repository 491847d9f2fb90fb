"""What a client meets that pages: it comes to an end, and a parameter that is not taken is not passed over."""

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENTRIES = 4
ASKED = {"purpose": "improve", "justification": "To see how pages come to an end.", "durationMinutes": 480}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(client: Client) -> dict[str, Any]:
    """A tenant with four events, two deletions, four grants, four records beside them and four batches of a day."""
    tenant = str(uuid.uuid4())
    await client.opt_in(tenant, "europe")
    await client.opt_out(tenant)
    await client.opt_in(tenant, "europe")
    await client.opt_out(tenant)
    await client.opt_in(tenant, "europe")
    now = await client.now()
    for _ in range(ENTRIES):
        one = {"capturedAt": format_instant(now + timedelta(seconds=3)), "feature": "f", "input": "i", "output": "o"}
        assert (await client.post(tenant, [one] * ENTRIES)).status == 201
    for _ in range(ENTRIES):
        grant = (await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", ASKED)).body
    await client.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant['grantId']}/approve")
    day = f"{(now + timedelta(seconds=3)).date()}"
    batches = (await client.as_person(Role.REVIEWER, "GET", tenant, f"captures?day={day}")).body["value"]
    assert len(batches) == ENTRIES
    return {"tenant": tenant, "day": day, "batch": batches[0]["batchId"]}


LISTS = {
    "data-sharing/history": Role.TENANT_ADMIN,
    "deletions": Role.TENANT_ADMIN,
    "review-grants": Role.REVIEWER,
    "access-log": Role.TENANT_ADMIN,
    "captures": Role.REVIEWER,
    "captures?day={day}": Role.REVIEWER,
    "captures/{day}/{batch}": Role.REVIEWER,
}


async def get(client: Client, tenant: str, path: str, role: Role) -> Answer:
    token = client.token(role, now=await client.now(), tenant=tenant if role is Role.TENANT_ADMIN else None)
    return await client.call("GET", f"tenants/{tenant}/{path}", token=token)


def next_of(answer: Answer) -> str | None:
    link = answer.headers.get("link")
    if link is not None:
        return link.removeprefix("<").removesuffix('>; rel="next"')
    return answer.body.get("nextLink") if isinstance(answer.body, dict) else None


@pytest.mark.parametrize("path", LISTS)
async def test_the_last_page_has_no_next_one_however_full_it_is(
    either: Client, filled: dict[str, Any], path: str
) -> None:
    at = path.format(**filled)
    whole = await get(either, filled["tenant"], at, LISTS[path])
    entries = whole.body if isinstance(whole.body, list) else whole.body["value"]
    assert next_of(whole) is None and entries
    if path == "captures":
        return  # at most 32 days, on one page
    growing = path == "access-log"  # by whoever reads captures in another test
    for limit in {1, 2, len(entries), len(entries) + 1} - {0}:
        seen: list[Any] = []
        address: str | None = f"{at}{'&' if '?' in at else '?'}limit={limit}"
        while address is not None:
            page = await get(either, filled["tenant"], address, LISTS[path])
            assert page.status == 200
            values = page.body if isinstance(page.body, list) else page.body["value"]
            assert values, "no page is empty that a link leads to"
            seen += values
            link = next_of(page)
            assert link is None or link.startswith("http://127.0.0.1:")
            address = None if link is None else link.split(f"/api/tenants/{filled['tenant']}/")[1]
        assert seen == entries or (growing and seen[-len(entries) :] == entries)


PARAMETERS = {
    "data-sharing": set(),
    "data-sharing/history": {"limit", "before"},
    "deletions": {"limit", "before"},
    "access-log": {"limit", "before"},
    "review-grants": {"limit", "before"},
    "captures": {"day", "limit", "after"},
    "captures/{day}/{batch}": {"limit", "offset"},
}
VALUES = {"day": "2026-11-21", "limit": "1", "before": "7", "after": "0" * 32, "offset": "0"}


@pytest.mark.parametrize("path", PARAMETERS)
async def test_a_parameter_that_is_not_taken_is_named_among_those_that_are(
    either: Client, filled: dict[str, Any], path: str
) -> None:
    role = LISTS.get(path, Role.TENANT_ADMIN)
    taken = PARAMETERS[path]
    wrong = ["top=1", "$top=1", "api-version=1", "skip", "=", *(f"{name}=" for name in taken)]
    wrong += [f"{name.capitalize()}={VALUES[name]}" for name in taken]
    wrong += [f"{name}={VALUES[name]}&{name.upper()}={VALUES[name]}" for name in taken]
    wrong += [f"{name}={VALUES[name]}" for name in VALUES.keys() - taken]
    for query in wrong:
        answer = await get(either, filled["tenant"], f"{path.format(**filled)}?{query}", role)
        assert (answer.status, answer.problem) == (400, "invalid-request"), query
        assert any(name in answer.body["detail"] for name in taken or {"nothing"}), answer.body["detail"]


async def test_every_route_says_of_which_parameters_it_knows(either: Client) -> None:
    paths = (await either.call("GET", "openapi.json")).body["paths"]
    documented = {
        path.removeprefix("/tenants/{tenantId}/"): {each["name"] for each in methods["get"]["parameters"]}
        & VALUES.keys()
        for path, methods in paths.items()
        if "get" in methods
    }
    for path, names in PARAMETERS.items():
        at = path.replace("{batch}", "{batchId}")
        in_path = {"day"} if "{day}" in at else set()
        assert documented[at] == names | in_path


@pytest.mark.parametrize("path", ["health?x=1", "openapi.json?v=2", "receipt-keys?Limit=5"])
async def test_so_it_is_with_what_is_open_to_everybody(either: Client, path: str) -> None:
    answer = await either.call("GET", path)
    assert (answer.status, answer.problem) == (400, "invalid-request")


async def test_a_link_leads_to_the_host_that_was_asked(either: Client, stack: Stack, filled: dict[str, Any]) -> None:
    token = either.token(Role.TENANT_ADMIN, now=await either.now(), tenant=filled["tenant"])
    path = f"tenants/{filled['tenant']}/data-sharing/history?limit=1"
    answer = await either.call("GET", path, token=token, headers={"X-Forwarded-Host": "evil.example"})
    link = urlsplit(answer.body["nextLink"])
    assert link.hostname == "127.0.0.1", "nobody has said that a gateway is to be believed"
    assert parse_qs(link.query) == {"limit": ["1"], "before": ["5"]}
