"""Our own app in the production worker's library and on the local host: the same answers, the same effects."""

import json
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from local.client import Client
from local.process import ROOT
from local.stack import Stack
from local.tokens import Role
from shared import bootstrap
from shared.model.deletion import Deletion
from shared.model.items import format_instant
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedOut
from tests.changes import AGREED
from tests.clocks import ManualClock

if sys.version_info < (3, 13):
    pytest.skip("azure-functions-runtime needs Python 3.13", allow_module_level=True)

from azure_functions_runtime.bindings.datumdef import Datum

from tests.worker import Runtime, same_answer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def runtime(stack: Stack, client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    """The worker with our app, on the stack's stores and at its host's time."""
    for name, value in stack.app_settings.items():
        monkeypatch.setenv(name, value)
    bootstrap.use_clock(ManualClock(await client.now(), jumping=True))
    yield await Runtime.load(ROOT / "function_app.py")
    await bootstrap.close()
    bootstrap.use_clock(bootstrap.SystemClock())
    sys.modules.pop("function_app", None)


async def test_http_calls_are_answered_as_by_the_worker(
    runtime: Runtime, stack: Stack, client: Client, tenant: str
) -> None:
    await client.opt_in(tenant, "europe")
    now = await client.now()
    admin, service, operator = (
        {"Authorization": f"Bearer {client.token(role, now=now, tenant=tenant if role is Role.TENANT_ADMIN else None)}"}
        for role in (Role.TENANT_ADMIN, Role.CAPTURE_SERVICE, Role.OPERATOR)
    )
    base = f"/api/tenants/{tenant}"
    in_path = {"tenantId": tenant}
    batch = {"captures": [{"capturedAt": format_instant(now), "feature": "f", "input": "grüß", "output": "o"}]}
    key = {"Idempotency-Key": "one"}
    assert (await client.post(tenant, batch["captures"], key="one")).status == 201

    def encoded(body: Any) -> bytes:
        return json.dumps(body).encode()

    calls: list[tuple[str, str, str, dict[str, str], bytes]] = [
        ("health", "GET", "/api/health", {}, b""),
        ("data_sharing_get", "GET", f"{base}/data-sharing", {}, b""),
        ("data_sharing_get", "GET", f"{base}/data-sharing", admin, b""),
        ("data_sharing_get", "GET", f"{base}/data-sharing", service, b""),
        ("data_sharing", "PUT", f"{base}/data-sharing", admin, encoded({"enabled": True, "geo": "europe", **AGREED})),
        ("data_sharing", "PUT", f"{base}/data-sharing", admin, encoded({"enabled": True, "geo": "asia", **AGREED})),
        ("data_sharing", "PUT", f"{base}/data-sharing", admin | {"If-Match": '"9"'}, encoded({"enabled": False})),
        ("data_sharing", "PUT", f"{base}/data-sharing", service, encoded({"enabled": False})),
        ("data_sharing_history", "GET", f"{base}/data-sharing/history", admin, b""),
        ("deletions", "GET", f"{base}/deletions", operator, b""),
        ("captures", "POST", f"{base}/captures", service | key, encoded(batch)),
        ("captures", "POST", f"{base}/captures", service | key, b"\xff\x00"),
        ("captures", "POST", f"{base}/captures", service | key, encoded({"captures": [{"surprise": 1}]})),
        ("captures", "POST", f"{base}/captures", service, encoded(batch)),
        ("captures", "POST", f"{base}/captures", admin | key, encoded(batch)),
        ("status", "GET", "/api/status", admin, b""),
        ("openapi", "GET", "/api/openapi.json", {}, b""),
        ("access_log", "GET", f"{base}/access-log", admin, b""),
        ("review_grants", "GET", f"{base}/review-grants", admin, b""),
        ("review_grant_request", "POST", f"{base}/review-grants", admin, encoded({"purpose": "improve"})),
        ("captures_list", "GET", f"{base}/captures", admin, b""),
    ]
    correlated = {"x-correlation-id": "parity"}
    async with aiohttp.ClientSession(stack.description.host) as session:
        for function, method, path, sent, body in calls:
            headers = sent | correlated
            await same_answer(runtime, session, function, method, path, headers=headers, params=in_path, body=body)
        for enrollment_id in ("0" * 32, "latest"):
            path, params = f"{base}/deletions/{enrollment_id}", in_path | {"enrollmentId": enrollment_id}
            headers = admin | correlated
            await same_answer(runtime, session, "deletion", "GET", path, headers=headers, params=params)
            path += "/expedite"
            await same_answer(runtime, session, "deletion_expedite", "POST", path, headers=headers, params=params)


async def test_the_feed_and_the_timer_do_in_the_worker_what_they_do_on_the_local_host(
    runtime: Runtime, client: Client
) -> None:
    now = await client.now()
    deletions = {}
    for way in ("worker", "local host"):
        # On no ledger, so that only this delivery can schedule its deletion.
        event = OptedOut(
            tenant_id=str(uuid.uuid4()),
            enrollment_id=uuid.uuid4().hex,
            geo="europe",
            storage_account="steurope",
            started_at=now - timedelta(days=2),
            sequence=2,
            at=now,
            actor="admin",
            previous_hash=FIRST_PREVIOUS_HASH,
            deadline=now + timedelta(days=30),
        )
        documents = json.dumps([{"id": "setting"}, {"kind": "optedOut"}, {"id": event.id, **event.to_json()}])
        if way == "worker":
            assert (await runtime.call("opt_outs", "documents", Datum(documents, "json")))[0]
        else:
            assert await client.run("opt_outs", documents) == "completed"
        path = f"deletions/{event.enrollment_id}"
        answer = await client.as_admin("GET", event.tenant_id, path)
        assert Deletion.from_json(answer.body) == Deletion.owed_for(event)
        assert (await client.as_admin("POST", event.tenant_id, f"{path}/expedite")).status == 202
        deletions[way] = (event.tenant_id, path)

    await bootstrap.close()
    bootstrap.use_clock(ManualClock(await client.now(), jumping=True))
    timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    assert (await runtime.call("purge", "timer", Datum(json.dumps(timer), "json")))[0]
    for tenant, path in deletions.values():
        assert (await client.as_admin("GET", tenant, path)).body["status"] == "purged"
    await client.move_to(await client.now() + timedelta(minutes=6))
    assert await client.run("purge") == "completed"
    for tenant, path in deletions.values():
        left = (await client.as_admin("GET", tenant, path)).body
        assert left["status"] == "purged" and "receipt" not in left, "what is on no ledger gets no receipt (D13)"
