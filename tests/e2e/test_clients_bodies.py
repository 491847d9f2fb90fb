"""What a client meets that sends its body in its own way: without a length, encoded, with a byte order mark."""

import gzip
import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from local.client import Answer, Client
from local.tokens import Role
from shared.model.items import format_instant
from tests.changes import AGREED

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024 * 1024
# The methods and paths of all operations that take a body.
ROUTES = {
    "PUT data-sharing": Role.TENANT_ADMIN,
    "POST captures": Role.CAPTURE_SERVICE,
    "POST review-grants": Role.REVIEWER,
    "PUT captures/{day}/{batchId}/{line}/label": Role.REVIEWER,
    "POST captures/find": Role.REVIEWER,
    "POST captures/sample": Role.REVIEWER,
    "POST exports": Role.REVIEWER,
    "POST v1/traces": Role.CAPTURE_SERVICE,
    "POST observability/tenants/{tenantId}/otlp/agents/{agentId}/traces": Role.CAPTURE_SERVICE,
    "POST observabilityService/tenants/{tenantId}/otlp/agents/{agentId}/traces": Role.CAPTURE_SERVICE,
}


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body[:7]
    yield body[7:]


class Sender:
    """Sends one body after another to a route, as whoever may."""

    def __init__(self, client: Client, tenant: str, route: str, **ids: str) -> None:
        self.client, self.tenant, self.role, self.ids = client, tenant, ROUTES[route], ids
        self.method, _, self.path = route.partition(" ")

    async def good(self) -> bytes:
        bodies: dict[str, Any] = {
            "data-sharing": {"enabled": True, "geo": "europe", **AGREED},
            "captures": {"captures": [await capture(self.client)]},
            "review-grants": {"purpose": "improve", "justification": "To see how they are used.", "durationMinutes": 5},
            "captures/{day}/{batchId}/{line}/label": {"comment": "grün"},
            "captures/find": {"feature": "none such"},
            "captures/sample": {"feature": "none such", "size": 1, "seed": 1},
            "exports": {"feature": "none such"},
        }
        return json.dumps(bodies.get(self.path, {"resourceSpans": []})).encode()

    async def send(self, body: bytes | AsyncIterator[bytes], **headers: str) -> Answer:
        tenant = self.tenant if self.role is Role.TENANT_ADMIN else None
        token = self.client.token(self.role, now=await self.client.now(), tenant=tenant)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json", **sent}
        path = self.path if self.path.endswith("traces") else f"tenants/{self.tenant}/{self.path}"
        path = path.format(tenantId=self.tenant, agentId="orders", **self.ids)
        return await self.client.call(self.method, path, token=token, body=body, headers=sent)


async def capture(client: Client) -> dict[str, str]:
    return {"capturedAt": format_instant(await client.now()), "feature": "f", "input": "grün", "output": "o"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def enrolled(client: Client) -> tuple[str, dict[str, str]]:
    """One tenant for all, because each opt-in takes two seconds, and a capture of it that a reviewer may label."""
    tenant = str(uuid.uuid4())
    await client.opt_in(tenant, "europe")
    stored = await capture(client)
    batch = (await client.post(tenant, [stored])).body["batchId"]
    asked = {"purpose": "improve", "justification": "To see how they are used.", "durationMinutes": 480}
    grant = (await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", asked)).body["grantId"]
    await client.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant}/approve")
    return tenant, {"day": stored["capturedAt"][:10], "batchId": batch, "line": "0"}


@pytest.fixture(params=ROUTES)
def sender(either: Client, enrolled: tuple[str, dict[str, str]], request: pytest.FixtureRequest) -> Sender:
    return Sender(either, enrolled[0], request.param, **enrolled[1])


async def test_every_route_with_a_body_is_among_these(either: Client) -> None:
    paths = (await either.call("GET", "openapi.json")).body["paths"]
    with_body = {
        f"{method.upper()} {path.removeprefix('/tenants/{tenantId}/').removeprefix('/')}": set(operation["responses"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "requestBody" in operation and operation["tags"] != ["Tenant settings"]  # whose errors are of another form
    }
    assert with_body.keys() == ROUTES.keys()
    assert all({"411", "413", "415"} <= statuses for statuses in with_body.values()), "all of them say so"


async def test_a_body_without_a_length_is_told_to_bring_one(sender: Sender) -> None:
    answer = await sender.send(chunks(await sender.good()))
    assert (answer.status, answer.problem) == (411, "length-required")
    assert "Content-Length" in answer.body["detail"] and "chunked" in answer.body["detail"]


async def test_an_opt_out_without_a_length_changes_nothing_and_with_one_it_works(either: Client, tenant: str) -> None:
    await either.opt_in(tenant, "europe")
    sender = Sender(either, tenant, "PUT data-sharing")
    body = b'{"enabled": false}'
    assert (await sender.send(chunks(body))).status == 411
    assert (await either.as_admin("GET", tenant, "data-sharing")).body["enabled"] is True
    answer = await sender.send(body)
    assert (answer.status, answer.body["enabled"]) == (200, False)


async def test_an_empty_body_is_no_json(sender: Sender) -> None:
    answer = await sender.send(b"")
    assert (answer.status, answer.problem) == (400, "invalid-request")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "identity, gzip"])
async def test_gzip_is_understood(sender: Sender, encoding: str) -> None:
    answer = await sender.send(gzip.compress(await sender.good()), Content_Encoding=encoding)
    assert answer.status in {200, 201, 202}, answer.body


async def test_what_was_gzip_is_stored_as_anything_else_and_a_repeat_may_come_plain(
    either: Client, tenant: str
) -> None:
    enrollment = (await either.opt_in(tenant, "europe")).body["enrollmentId"]
    sender = Sender(either, tenant, "POST captures")
    body = await sender.good()
    first = await sender.send(gzip.compress(body, mtime=1), Content_Encoding="gzip", Idempotency_Key="one")
    again = await sender.send(gzip.compress(body, mtime=2), Content_Encoding="gzip", Idempotency_Key="one")
    plain = await sender.send(body, Idempotency_Key="one")
    assert [first.status, again.status, plain.status] == [201, 200, 200]
    assert first.body == again.body == plain.body
    [stored] = (await either.batches("europe", enrollment)).values()
    assert [each["input"] for each in stored] == ["grün"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip;q=1", "x" * 200])
async def test_another_encoding_is_refused_with_the_one_that_is_understood(sender: Sender, encoding: str) -> None:
    answer = await sender.send(await sender.good(), Content_Encoding=encoding)
    assert (answer.status, answer.problem) == (415, "unsupported-encoding")
    assert answer.headers["accept-encoding"] == "gzip" and "gzip" in answer.body["detail"]


async def test_a_broken_gzip_is_a_bad_request(sender: Sender) -> None:
    good = gzip.compress(await sender.good())
    for broken in (b"no gzip", b"", good[:-1], good[:12], good[:-8] + bytes(8), good + b"more", good + good):
        answer = await sender.send(broken, Content_Encoding="gzip")
        assert (answer.status, answer.problem) == (400, "invalid-request"), broken
        assert broken == b"" or "gzip" in answer.body["detail"]


async def test_a_bomb_is_too_large_and_is_not_undone(sender: Sender) -> None:
    if sender.role is Role.CAPTURE_SERVICE:
        small = gzip.compress(b" " * (256 * MIB), compresslevel=9)
        assert len(small) < 4 * MIB
    else:
        small = gzip.compress(b" " * MIB, compresslevel=9)
        assert len(small) < 4 * 1024
    answer = await sender.send(small, Content_Encoding="gzip")
    assert (answer.status, answer.problem) == (413, "payload-too-large")
    allowed = re.search(r"\d+", answer.body["detail"])
    assert allowed
    fits = await sender.send(gzip.compress(b" " * int(allowed[0])), Content_Encoding="gzip")
    assert (fits.status, fits.problem) == (400, "invalid-request")  # so much is looked into, and is no JSON


async def test_a_byte_order_mark_is_passed_over(sender: Sender) -> None:
    marked = b"\xef\xbb\xbf" + await sender.good()
    assert (await sender.send(marked)).status in {200, 201, 202}
    assert (await sender.send(gzip.compress(marked), Content_Encoding="gzip")).status in {200, 201, 202}
    assert (await sender.send(b"\xef\xbb\xbf" + marked)).status == 400
    assert (await sender.send((await sender.good()).decode().encode("utf-16"))).status == 400
