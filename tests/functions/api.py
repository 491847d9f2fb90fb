"""The HTTP functions in front of a world, called as the worker calls them."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import azure.functions as func
import pytest

from functions._api.operations import OPERATIONS
from local.tokens import TOOLS_AUDIENCE, Role
from shared import bootstrap
from tests.changes import AGREED
from tests.functions import FUNCTIONS
from tests.tokens import Issuer, token, verifier
from tests.world import TENANT, World, capture, submission

ASKED = {"purpose": "improve", "justification": "To see why formulas fail.", "durationMinutes": 60}
SECRET = "Herr Schneider, Rechnung 4711"


class Api:
    """A world behind the functions."""

    def __init__(self) -> None:
        self.world = World()

    async def call(
        self,
        function: str,
        method: str = "GET",
        *,
        role: Role | None = Role.TENANT_ADMIN,
        tenant: str = TENANT,
        body: Any = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        **route_params: str,
    ) -> tuple[int, Any, dict[str, str]]:
        sent = dict(headers or {})
        tools = function in OPERATIONS and OPERATIONS[function].for_admin_tools
        if role is not None:
            claims = {"aud": TOOLS_AUDIENCE} if tools else {}
            sent.setdefault("authorization", f"Bearer {token(role, claims=claims)}")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent.setdefault("content-length", str(len(content)))
        request = func.HttpRequest(
            method=method,
            url=f"https://api.example/api/tenants/{tenant}/{function}?{urlencode(params or {})}",
            headers=sent,
            params=params or {},
            route_params={"tenantId": tenant, **route_params},
            body=content,
        )
        response = await FUNCTIONS[function].get_user_function()(request)
        if response.mimetype == "text/markdown":
            return response.status_code, response.get_body().decode(), dict(response.headers)
        content = json.loads(response.get_body() or b"null")
        if tools and response.status_code >= 400:
            return response.status_code, content["error"]["code"], dict(response.headers)
        problem = response.status_code >= 400 and "status" in content and "type" in content
        assert response.mimetype == ("application/problem+json" if problem else "application/json")
        assert response.headers["Cache-Control"] == "no-store"
        if problem:
            assert content["status"] == response.status_code
            assert {"type", "title", "status", "detail"} <= set(content)
            assert SECRET not in json.dumps(content, ensure_ascii=False)
            content = content["type"].removeprefix("urn:problem:")
        return response.status_code, content, dict(response.headers)

    async def post(self, body: Any, key: str = "key-1", **kwargs: Any) -> tuple[int, Any, dict[str, str]]:
        headers = {"idempotency-key": key, **kwargs.pop("headers", {})}
        return await self.call(
            "captures", "POST", role=kwargs.pop("role", Role.CAPTURE_SERVICE), body=body, headers=headers, **kwargs
        )

    def batch(self, **changes: Any) -> dict[str, Any]:
        one = {**capture(self.world.clock.now(), SECRET), **changes}
        return {"captures": [{name: value for name, value in one.items() if value is not ...}]}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    tokens = verifier(Issuer(), api.world.clock)
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(tokens))
    yield api
    assert set(api.world.stored_containers()) <= {"europe"}


async def opt_in(api: Api) -> None:
    status, _, _ = await api.call("data_sharing", "PUT", body={"enabled": True, "geo": "europe", **AGREED})
    assert status == 200


@pytest.fixture
async def granted(api: Api) -> Api:
    """A tenant with three batches of four captures, and a reviewer with a live grant."""
    await api.world.opt_in()
    now = api.world.clock.now()
    for n in range(3):
        batch = submission(*(capture(now, f"text {n}.{m}") for m in range(4)), key=f"key-{n}")
        await api.world.captures.submit(TENANT, batch)
    status, grant, _ = await api.call("review_grant_request", "POST", role=Role.REVIEWER, body=ASKED)
    assert (status, grant["status"], grant["purpose"]) == (201, "pending", "improve")
    status, grant, _ = await api.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=grant["grantId"])
    assert (status, grant["status"]) == (200, "approved")
    return api
