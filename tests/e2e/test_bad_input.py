"""Bad input over HTTP: the documented problem, nothing stored, no 5xx, no stack trace."""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role, mint
from shared.model.items import format_instant
from tests.changes import AGREED

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHER_TENANT = "dddddddd-0000-4000-8000-000000000001"
ENROLLED = "dddddddd-0000-4000-8000-000000000002"


async def refused(client: Client, answer: Answer, status: int, problem: str) -> None:
    assert (answer.status, answer.problem) == (status, problem)
    assert set(answer.body) == {"type", "title", "status", "detail"}
    assert "Traceback" not in json.dumps(answer.body) and ".py" not in json.dumps(answer.body)


async def stored(client: Client) -> list[str]:
    names = [name for names in (await client.all_containers()).values() for name in names]
    setting = (await client.as_admin("GET", ENROLLED, "data-sharing")).body
    return [name for name in names if name.endswith(setting["enrollmentId"])]


async def bad_tokens(client: Client, stack: Stack) -> dict[str, str]:
    now = await client.now()
    good = client.token(Role.CAPTURE_SERVICE, now=now)
    _, payload, _ = good.split(".")

    def signed(header: Mapping[str, str], key: bytes | None) -> str:
        first = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
        if key is None:
            return f"{first}.{payload}."
        signature = hmac.digest(key, f"{first}.{payload}".encode(), "sha256")
        return f"{first}.{payload}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    def minted(**claims: Any) -> str:
        return mint(stack.issuer.key, Role.CAPTURE_SERVICE, issuer=stack.issuer.url, now=now, claims=claims)

    kid = stack.issuer.key.thumbprint()
    return {
        "expired": client.token(Role.CAPTURE_SERVICE, now=now - timedelta(hours=2)),
        "wrong audience": minted(aud="api://someone-else"),
        "alg none": signed({"alg": "none", "kid": kid}, None),
        "HS256 with the public key": signed({"alg": "HS256", "kid": kid}, stack.issuer.key.as_pem(private=False)),
        "another tenant's issuer": minted(iss=f"{stack.issuer.url}/{OTHER_TENANT}/v2.0"),
        "nonsense": "a.b.c",
    }


async def test_without_a_good_token_nothing_happens(client: Client, stack: Stack) -> None:
    await client.opt_in(ENROLLED, "europe")
    capture = {"capturedAt": format_instant(await client.now()), "feature": "f", "input": "i", "output": "o"}
    await refused(client, await client.call("POST", f"tenants/{ENROLLED}/captures"), 401, "unauthenticated")
    for token in (await bad_tokens(client, stack)).values():
        await refused(client, await client.post(ENROLLED, [capture], token=token), 401, "unauthenticated")
    other = client.token(Role.TENANT_ADMIN, tenant=OTHER_TENANT, now=await client.now())
    for method, path, body in (
        ("GET", "data-sharing", None),
        ("PUT", "data-sharing", {"enabled": False}),
        ("GET", "deletions", None),
        ("POST", "captures", {"captures": [capture]}),
    ):
        answer = await client.call(method, f"tenants/{ENROLLED}/{path}", token=other, body=body)
        await refused(client, answer, 403, "forbidden")
    assert (await client.as_admin("GET", ENROLLED, "data-sharing")).body["enabled"] is True
    assert await stored(client) == []


async def test_bad_captures_are_refused_and_nothing_is_stored(client: Client) -> None:
    await client.opt_in(ENROLLED, "europe")
    now = await client.now()
    token = client.token(Role.CAPTURE_SERVICE, now=now)
    good = {"capturedAt": format_instant(now), "feature": "f", "input": "i", "output": "o"}

    async def post(body: Any, key: str | None = "key", tenant: str = ENROLLED) -> Answer:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await client.call("POST", f"tenants/{tenant}/captures", token=token, body=body, headers=headers)

    batch = {"captures": [good]}
    for answer in (
        await post(b"{"),
        await post(b""),
        await post([]),
        await post({"captures": [{**good, "input": 5}]}),
        await post({"captures": [{**good, "surprise": 1}]}),
        await post({**batch, "surprise": 1}),
        await post(batch, key=None),
        await post(batch, key="k" * 5120),
        await post({"captures": [good] * 501}),
        await post(b'{"captures": [{"input": "\xff\xfe"}]}'),
        await post(batch, tenant="contoso"),
        await post({"captures": [{**good, "input": "x" * (256 * 1024 + 1)}]}),
    ):
        await refused(client, answer, 400, "invalid-request")
    await refused(client, await post(b" " * (5 * 1024 * 1024)), 413, "payload-too-large")
    for offset, problem in (
        (timedelta(hours=-24, seconds=-1), "captured-too-early"),
        (timedelta(hours=-1), "captured-too-early"),  # before the opt-in
        (timedelta(minutes=5, seconds=10), "captured-too-late"),
    ):
        shifted = {**good, "capturedAt": format_instant(await client.now() + offset)}
        await refused(client, await post({"captures": [shifted]}), 422, problem)
    never = await post(batch, tenant=OTHER_TENANT)
    await refused(client, never, 403, "data-sharing-off")
    assert await stored(client) == []


async def test_bad_toggles_are_refused_and_change_nothing(client: Client, tenant: str) -> None:
    async def put(body: Any) -> Answer:
        return await client.as_admin("PUT", tenant, "data-sharing", body)

    await refused(client, await put({"enabled": True, "geo": "atlantis", **AGREED}), 422, "unknown-geo")
    await refused(client, await put({"enabled": True, "geo": "japan", **AGREED}), 421, "geo-not-served")
    await refused(client, await put({"enabled": True}), 400, "invalid-request")
    await refused(client, await put({"enabled": "yes", "geo": "europe"}), 400, "invalid-request")
    await refused(client, await put(b"\xff"), 400, "invalid-request")
    history = await client.as_admin("GET", tenant, "data-sharing/history")
    assert history.body == {"value": []}


async def test_what_the_platform_answers_itself(client: Client) -> None:
    for method, path in (("DELETE", "health"), ("GET", "nothing"), ("PATCH", f"tenants/{ENROLLED}/data-sharing")):
        answer = await client.call(method, path)
        assert (answer.status, answer.body) == (404, None)
    assert (await client.call("GET", "HEALTH")).body == {"status": "ready"}
