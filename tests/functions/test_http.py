"""The HTTP functions, called as the worker calls them: who may, what is answered, what is refused (on fakes)."""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from local.tokens import Role
from shared import bootstrap
from shared.model.items import format_instant
from shared.ports import Committed, Conflict, StoreUnavailable
from shared.stores.memory import MemoryCaptures
from tests.changes import AGREED
from tests.functions import FUNCTIONS
from tests.functions.api import SECRET, Api, opt_in
from tests.tokens import Issuer, token, verifier
from tests.world import TENANT


async def test_the_toggle_over_http(api: Api) -> None:
    status, body, headers = await api.call("data_sharing_get")
    assert (status, headers["ETag"]) == (200, '"0"')
    assert body == {"tenantId": TENANT, "enabled": False, "geo": None, "enrollmentId": None, "since": None} | {
        "notice": None,
        "agreedUntil": None,
    }
    status, body, headers = await api.call(
        "data_sharing", "PUT", body={"enabled": True, "geo": "europe", **AGREED}, headers={"if-match": '"0"'}
    )
    assert (status, headers["ETag"], body["enabled"], body["geo"]) == (200, '"1"', True, "europe")
    assert len(body["enrollmentId"]) == 32 and body["since"].endswith("Z")
    again = await api.call(
        "data_sharing", "PUT", body={"enabled": True, "geo": "europe", **AGREED}, headers={"if-match": "*"}
    )
    assert again[:2] == (status, body) and again[2]["ETag"] == headers["ETag"]
    status, body, headers = await api.call("data_sharing", "PUT", body={"enabled": False, "geo": "anything"})
    assert (status, headers["ETag"], body["enabled"], body["geo"]) == (200, '"2"', False, None)


@pytest.mark.parametrize(
    ("body", "headers", "status", "problem"),
    [
        ({"enabled": True, "geo": "atlantis", **AGREED}, {}, 422, "unknown-geo"),
        ({"enabled": True, "geo": "japan", **AGREED}, {}, 421, "geo-not-served"),
        ({"enabled": True, "geo": "unitedstates", **AGREED}, {}, 409, "geo-pinned"),
        ({"enabled": True}, {}, 400, "invalid-request"),
        ({"enabled": True, "geo": 5, **AGREED}, {}, 400, "invalid-request"),
        ({"enabled": "true", "geo": "europe"}, {}, 400, "invalid-request"),
        ({"enabled": 1, "geo": "europe"}, {}, 400, "invalid-request"),
        ({"geo": "europe"}, {}, 400, "invalid-request"),
        ({"enabled": False, SECRET: 1}, {}, 400, "invalid-request"),
        ([], {}, 400, "invalid-request"),
        (b"", {}, 400, "invalid-request"),
        (b"{", {}, 400, "invalid-request"),
        (b"\xff\xfe", {}, 400, "invalid-request"),
        ({"enabled": False}, {"if-match": '"7"'}, 412, "precondition-failed"),
        ({"enabled": False}, {"if-match": 'W/"1"'}, 412, "precondition-failed"),
        ({"enabled": False}, {"if-match": SECRET}, 412, "precondition-failed"),
    ],
)
async def test_a_bad_toggle_gets_its_problem_and_changes_nothing(
    api: Api, body: Any, headers: dict[str, str], status: int, problem: str
) -> None:
    await opt_in(api)
    assert (await api.call("data_sharing", "PUT", body=body, headers=headers))[:2] == (status, problem)
    assert len(api.world.ledger.events[TENANT]) == 1


async def test_history_is_newest_first_and_paged(api: Api) -> None:
    for _ in range(3):
        await api.world.opt_in()
        await api.world.opt_out()
    status, page, _ = await api.call("data_sharing_history", params={"limit": "4"})
    assert status == 200
    assert [event["sequence"] for event in page["value"]] == [6, 5, 4, 3]
    assert page["value"][0]["kind"] == "optedOut" and "deadline" in page["value"][0]
    assert page["nextLink"].endswith("?limit=4&before=3")
    _, page, _ = await api.call("data_sharing_history", params={"limit": "4", "before": "3"})
    assert [event["sequence"] for event in page["value"]] == [2, 1]
    assert "nextLink" not in page
    _, page, _ = await api.call("data_sharing_history", params={"before": "1"})
    assert page == {"value": []}


@pytest.mark.parametrize(
    "params",
    [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"limit": "-1"}, {"before": "x"}, {"before": "1" * 10}],
)
@pytest.mark.parametrize("function", ["data_sharing_history", "deletions"])
async def test_a_bad_page_is_refused(api: Api, function: str, params: dict[str, str]) -> None:
    assert (await api.call(function, params=params))[:2] == (400, "invalid-request")


async def test_deletions_over_http(api: Api) -> None:
    for _ in range(3):
        await api.world.opt_in()
        event = await api.world.opt_out()
    await api.world.feed()
    _, page, _ = await api.call("deletions", params={"limit": "2"})
    assert [each["sequence"] for each in page["value"]] == [6, 4]
    assert page["nextLink"].endswith("?limit=2&before=4")
    _, body, _ = await api.call("deletion", enrollmentId=event.enrollment_id.upper())
    assert body["status"] == "scheduled" and body["overdue"] is False
    assert body["deadline"] == format_instant(event.deadline)
    status, body, _ = await api.call("deletion_expedite", "POST", enrollmentId=event.enrollment_id)
    assert (status, body["notBefore"]) == (202, format_instant(api.world.clock.now()))
    api.world.clock.move(timedelta(days=31))
    issued = token(claims={"exp": int(api.world.clock.now().timestamp()) + 60})
    _, body, _ = await api.call(
        "deletion", enrollmentId=event.enrollment_id, headers={"authorization": f"Bearer {issued}"}
    )
    assert body["overdue"] is True


@pytest.mark.parametrize(("function", "method"), [("deletion", "GET"), ("deletion_expedite", "POST")])
async def test_a_deletion_that_is_not_there(api: Api, function: str, method: str) -> None:
    assert (await api.call(function, method, enrollmentId="0" * 32))[:2] == (404, "not-found")
    assert (await api.call(function, method, enrollmentId="latest"))[:2] == (400, "invalid-request")


async def test_a_capture_over_http(api: Api) -> None:
    assert (await api.post(api.batch()))[:2] == (403, "data-sharing-off")
    await opt_in(api)
    batch = api.batch(environmentId="env", userId="user", telemetry={"ms": 3})
    status, body, _ = await api.post(batch)
    assert status == 201
    assert set(body) == {"batchId", "accepted", "enrollmentId", "expiresAt"}
    assert (await api.post(batch))[:2] == (200, body)
    assert (await api.post(api.batch(output="other")))[:2] == (422, "idempotency-key-reused")


TOO_LONG = "ü" * (128 * 1024) + "x"
BAD_CAPTURES: dict[str, Any] = {
    "no captures": {"captures": []},
    "501 captures": lambda api: {"captures": api.batch()["captures"] * 501},
    "no list": {"captures": {}},
    "no member": {},
    "an unknown member": lambda api: {**api.batch(), SECRET: 1},
    "an unknown member of a capture": lambda api: api.batch(**{SECRET: 1}),
    "no input": lambda api: api.batch(input=...),
    "a number for input": lambda api: api.batch(input=5),
    "an input too long in bytes": lambda api: api.batch(input=TOO_LONG),
    "an output too long": lambda api: api.batch(output="x" * (256 * 1024 + 1)),
    "no feature": lambda api: api.batch(feature=""),
    "a long user id": lambda api: api.batch(userId="x" * 201),
    "telemetry is a list": lambda api: api.batch(telemetry=[1]),
    "an instant without offset": lambda api: api.batch(capturedAt="2026-11-21T12:00:00"),
    "an instant as a number": lambda api: api.batch(capturedAt=1790000000),
    "an instant as digits": lambda api: api.batch(capturedAt="1790000000"),
    "an instant that is none": lambda api: api.batch(capturedAt="2026-02-30T12:00:00Z"),
    "not JSON": b"{'captures': []}",
    "no body": b"",
    "not UTF-8": b'{"captures": [{"input": "\xff"}]}',
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "a lone surrogate": lambda api: json.dumps(api.batch()).replace("4711", "\\ud800").encode(),
    "not a number": lambda api: json.dumps(api.batch(telemetry={"a": [float("nan")]})).encode(),
    "infinity": lambda api: json.dumps(api.batch(telemetry={"a": {"b": "?"}})).replace('"?"', "1e999").encode(),
    "deep": lambda api: json.dumps(api.batch(telemetry={"a": "?"})).replace('"?"', "[" * 5000 + "]" * 5000).encode(),
}


@pytest.mark.parametrize("body", BAD_CAPTURES.values(), ids=BAD_CAPTURES.keys())
async def test_a_bad_batch_is_refused_and_stores_nothing(api: Api, body: Any) -> None:
    await opt_in(api)
    assert (await api.post(body(api) if callable(body) else body))[:2] == (400, "invalid-request")
    assert api.world.stored_containers() == {}


@pytest.mark.parametrize("key", ["", "x" * 201, "k" * 5120, "with space", "ümlaut", "tab\t"])
async def test_a_bad_idempotency_key_is_refused_and_stores_nothing(api: Api, key: str) -> None:
    await opt_in(api)
    assert (await api.post(api.batch(), key=key))[:2] == (400, "invalid-request")
    assert api.world.stored_containers() == {}


async def test_a_body_over_4_mib_is_refused_before_it_is_read_as_anything(api: Api) -> None:
    await opt_in(api)
    assert (await api.post(b" " * (4 * 1024 * 1024 + 1)))[:2] == (413, "payload-too-large")
    assert (await api.post(b" " * (4 * 1024 * 1024)))[:2] == (400, "invalid-request")


async def test_a_toggle_needs_no_more_than_4_kib(api: Api) -> None:
    assert (await api.call("data_sharing", "PUT", body=b" " * 4097))[:2] == (413, "payload-too-large")


async def test_times_that_are_refused(api: Api) -> None:
    await opt_in(api)
    now = api.world.clock.now()
    late = api.batch(capturedAt=format_instant(now + timedelta(minutes=5, seconds=1)))
    assert (await api.post(late))[:2] == (422, "captured-too-late")
    early = api.batch(capturedAt=format_instant(now - timedelta(hours=1)))
    assert (await api.post(early))[:2] == (422, "captured-too-early")


ROUTES = [
    ("data_sharing_get", "GET", {Role.TENANT_ADMIN, Role.CAPTURE_SERVICE, Role.OPERATOR}),
    ("data_sharing", "PUT", {Role.TENANT_ADMIN}),
    ("data_sharing_history", "GET", {Role.TENANT_ADMIN, Role.OPERATOR}),
    ("deletions", "GET", {Role.TENANT_ADMIN, Role.OPERATOR}),
    ("deletion", "GET", {Role.TENANT_ADMIN, Role.OPERATOR}),
    ("deletion_expedite", "POST", {Role.TENANT_ADMIN}),
    ("captures", "POST", {Role.CAPTURE_SERVICE}),
    ("status", "GET", {Role.OPERATOR}),
]


@pytest.mark.parametrize("tenant", ["contoso", "x" * 500, "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b3", "%00", "common"])
async def test_a_tenant_id_that_is_no_guid_is_refused(api: Api, tenant: str) -> None:
    for function, method, allowed in ROUTES[:-1]:
        answer = await api.call(function, method, tenant=tenant, role=min(allowed), enrollmentId="0" * 32)
        assert answer[:2] == (400, "invalid-request")


async def test_a_tenant_id_in_capitals_is_the_same_tenant(api: Api) -> None:
    await api.call("data_sharing", "PUT", tenant=TENANT.upper(), body={"enabled": True, "geo": "europe", **AGREED})
    assert (await api.call("data_sharing_get"))[1]["enabled"] is True


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (StoreUnavailable("cosmos-timeout"), 503, "unavailable"),
        (Conflict(), 503, "unavailable"),
        (ValueError(SECRET), 500, "internal-error"),
    ],
)
async def test_a_failure_of_ours_tells_the_caller_to_come_back_and_nobody_what_was_said(
    api: Api, error: Exception, status: int, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*args: object) -> None:
        raise error

    api.world.ledger.read_setting = fail
    with caplog.at_level(logging.DEBUG):
        answer = await api.post(api.batch())
    assert answer[:2] == (status, problem)
    assert ("Retry-After" in answer[2]) == (status == 503)
    assert SECRET not in caplog.text


async def test_status_for_operators(api: Api) -> None:
    await opt_in(api)
    await api.post(api.batch())
    await api.world.opt_out()
    await api.world.feed()
    for name in ("purge", "sweep"):
        await FUNCTIONS[name].get_user_function()(None)
    status, body, _ = await api.call("status", role=Role.OPERATOR)
    assert status == 200
    assert body["holds"] is True and body["promises"].keys() == {"P1", "P3", "P4", "P5", "P6", "P9"}
    assert (body["feedLagSeconds"], body["findings"]) == (0, {})
    assert body["ledger"]["unscheduledOptOuts"] == 0 and body["ledger"]["lastSweep"]["counts"] == {"ledgers": 1}
    europe = body["accounts"]["steurope"]
    assert europe["pendingDeletions"] == 1 and europe["overdueDeletions"] == 0
    assert europe["oldestDay"] == "2026-11-21"
    assert europe["lastPurge"]["outcome"] == europe["lastSweep"]["outcome"] == "done"


async def test_health_says_ready_without_a_token(api: Api) -> None:
    assert (await api.call("health", role=None))[:2] == (200, {"status": "ready"})


async def test_d20_an_account_with_data_that_is_configured_no_more_makes_an_instance_not_ready(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await opt_in(api)
    await api.post(api.batch())
    for name in ("purge", "sweep"):
        await FUNCTIONS[name].get_user_function()(None)
    served = api.world.stores.pop("europe")
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(verifier(Issuer(), api.world.clock)))
    for probe in ("health", "health_head"):
        assert (await api.call(probe, role=None))[:2] == (503, {"status": "not ready"})
    assert "account-abandoned: steurope is not configured" in caplog.text
    assert (await api.post(api.batch()))[:2] == (503, "unavailable")
    status, body, _ = await api.call("status", role=Role.OPERATOR)
    assert status == 200 and {"P4", "P5", "P9"} == {name for name, holds in body["promises"].items() if not holds}
    assert body["reasons"]["P4"] == ["steurope: it is configured no more, and not empty"]
    api.world.stores["europe"] = served
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(verifier(Issuer(), api.world.clock)))
    assert (await api.call("health", role=None))[0] == 200


async def test_p9_the_status_is_answered_whatever_cannot_be_read_and_says_how_much_of_what(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deletions() -> AsyncIterator[str | None]:
        for account in ("steurope", "steurope", "nobody's", None):
            yield account

    async def heartbeats(kind: str) -> Mapping[str | None, None]:
        return {"steurope": None, None: None}

    async def opt_outs(since: int, before: int | None = None) -> AsyncIterator[Committed]:
        yield Committed(1_763_000_000, None)

    monkeypatch.setattr(api.world.deletion_items, "unreadable", deletions)
    monkeypatch.setattr(api.world.operations, "read_all", heartbeats)
    monkeypatch.setattr(api.world.ledger, "opt_outs_committed", opt_outs)
    await api.world.opt_in()
    status, body, _ = await api.call("status", role=Role.OPERATOR)
    assert status == 200 and not body["holds"] and not body["promises"]["P9"] and not body["promises"]["P5"]
    assert body["accounts"]["steurope"]["unreadable"] == 4
    assert (body["ledger"]["unreadable"], body["ledger"]["unreadableOptOuts"]) == (4, 1)


async def test_d20_geos_tells_where_a_tenant_can_opt_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.world.closed, api.world.elsewhere = {"europe", "unitedkingdom"}, {"europe": "https://eu.example/api"}
    api.world.stores["unitedkingdom/2"] = MemoryCaptures("stunitedkingdom2")
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(verifier(Issuer(), api.world.clock)))
    _, body, _ = await api.call("geos", role=None)
    told = {each["geo"]: (each["served"], each["endpoint"]) for each in body["value"]}
    assert told["europe"] == (False, "https://eu.example/api")
    assert told["unitedkingdom"] == told["unitedstates"] == (True, None)
    assert told["japan"] == (False, None)


async def test_an_instance_is_ready_although_the_ledger_cannot_be_read_and_still_lets_nothing_in(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(kind: str) -> Any:
        raise StoreUnavailable("cosmos-unreachable")

    monkeypatch.setattr(api.world.operations, "read_all", unreadable)
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(verifier(Issuer(), api.world.clock)))
    assert (await api.call("health", role=None))[:2] == (200, {"status": "ready"})
    refused = await api.call("data_sharing", "PUT", body={"enabled": True, "geo": "europe", **AGREED})
    assert refused[:2] == (503, "unavailable") and not api.world.ledger.settings


async def test_with_wrong_settings_nothing_works_and_only_the_log_says_which(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bootstrap._Process, "services", None)
    monkeypatch.delenv("COSMOS_CONNECTION", raising=False)
    api = Api()
    assert (await api.call("health", role=None))[:2] == (503, {"status": "not ready"})
    assert "COSMOS_CONNECTION" in caplog.text
    assert (await api.call("data_sharing_get"))[:2] == (503, "unavailable")


async def test_nothing_a_customer_said_reaches_a_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await opt_in(api)
        for body in (api.batch(), api.batch(**{SECRET: 1}), api.batch(capturedAt=SECRET), [SECRET]):
            await api.post(body)
    assert SECRET not in caplog.text
