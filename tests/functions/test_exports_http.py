"""Exports over HTTP: what is asked for, downloaded in parts, refused (on fakes)."""

import base64
import gzip
import hashlib
import json
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest

from functions import exporting
from local.tokens import Role
from shared.review import exporting as rules
from tests.functions import FUNCTIONS
from tests.functions.api import Api
from tests.tokens import token
from tests.world import TENANT


async def asked_for(api: Api, **body: Any) -> dict[str, Any]:
    status, export, headers = await api.call("export_request", "POST", role=Role.REVIEWER, body=body)
    assert status == 202, export
    assert headers["Location"].endswith(f"/{export['exportId']}")
    return dict(export)


async def downloaded(export_id: str, range_: str | None = None) -> func.HttpResponse:
    request = func.HttpRequest(
        method="GET",
        url="https://api.example/api/content",
        headers={"authorization": f"Bearer {token(Role.REVIEWER)}"} | ({} if range_ is None else {"range": range_}),
        params={},
        route_params={"tenantId": TENANT, "exportId": export_id},
        body=b"",
    )
    answer = await FUNCTIONS["export_content"].get_user_function()(request)
    assert isinstance(answer, func.HttpResponse)
    return answer


async def test_an_export_is_asked_for_shown_listed_downloaded_and_deleted(granted: Api) -> None:
    export = await asked_for(granted, text="TEXT 1")
    assert export["status"] == "ready" and export["filteredBy"] == ["text"] and export["captures"] == 4
    assert export["expiresAt"] == "2026-12-21T00:00:00.000000Z"
    export_id = export["exportId"]
    assert (await granted.call("export_show", role=Role.REVIEWER, exportId=export_id))[1] == export
    assert (await granted.call("exports", role=Role.REVIEWER))[1] == {"value": [export]}
    file = await downloaded(export_id)
    assert (file.status_code, file.mimetype) == (200, "application/gzip")
    assert hashlib.sha256(file.get_body()).hexdigest() == export["sha256"]
    digest = base64.b64encode(bytes.fromhex(export["sha256"])).decode()
    assert file.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    lines = [json.loads(line) for line in gzip.decompress(file.get_body()).splitlines()]
    assert sorted(line["capture"]["input"] for line in lines) == [f"text 1.{m}" for m in range(4)]
    request: dict[str, Any] = {"role": Role.REVIEWER, "exportId": export_id}
    answer = await delete(export_id)
    assert (answer.status_code, answer.get_body()) == (204, b"")
    assert (await granted.call("export_show", **request))[1]["status"] == "deleted"
    assert (await downloaded(export_id)).status_code == 404


async def delete(export_id: str) -> func.HttpResponse:
    request = func.HttpRequest(
        method="DELETE",
        url="https://api.example/api/export",
        headers={"authorization": f"Bearer {token(Role.REVIEWER)}"},
        params={},
        route_params={"tenantId": TENANT, "exportId": export_id},
        body=b"",
    )
    answer = await FUNCTIONS["export_delete"].get_user_function()(request)
    assert isinstance(answer, func.HttpResponse)
    return answer


@pytest.mark.parametrize(
    ("range_", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=5-", 5, -1), ("bytes=-7", -7, -1), (" bytes=0-999999999 ", 0, -1)],
)
async def test_a_part_of_a_file_is_answered_as_a_part(granted: Api, range_: str, first: int, last: int) -> None:
    export = await asked_for(granted)
    size = export["bytes"]
    whole = (await downloaded(export["exportId"])).get_body()
    part = await downloaded(export["exportId"], range_)
    begin, end = first % size, last % size
    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes {begin}-{end}/{size}"
    assert part.get_body() == whole[begin : end + 1]


@pytest.mark.parametrize("range_", ["bytes=9-5", "bytes=-", "bytes=-0", "lines=0-5", "bytes=0-1,5-6", "bytes=\u0661-"])
async def test_what_is_no_range_is_passed_over(granted: Api, range_: str) -> None:
    export = await asked_for(granted)
    answer = await downloaded(export["exportId"], range_)
    assert (answer.status_code, len(answer.get_body())) == (200, export["bytes"])


async def test_a_range_behind_the_end_is_refused_with_the_size(granted: Api) -> None:
    export = await asked_for(granted)
    answer = await downloaded(export["exportId"], f"bytes={export['bytes']}-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{export['bytes']}"


async def test_a_file_that_is_too_large_for_one_answer_has_to_be_had_in_parts(
    granted: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await asked_for(granted)
    for module in (rules, exporting):
        monkeypatch.setattr(module, "PART_MAX_BYTES", 100)
    refused = await downloaded(export["exportId"])
    assert refused.status_code == 416
    assert json.loads(refused.get_body())["type"] == "urn:problem:range-not-satisfiable"
    parts, start = b"", 0
    while start < export["bytes"]:
        part = await downloaded(export["exportId"], f"bytes={start}-")
        assert (part.status_code, len(part.get_body()) <= 100) == (206, True)
        parts += part.get_body()
        start = len(parts)
    assert hashlib.sha256(parts).hexdigest() == export["sha256"]


@pytest.mark.parametrize(
    "body",
    [
        {"unknown": 1},
        {"firstDay": "2026-11-22", "lastDay": "2026-11-21"},
        {"firstDay": "tomorrow"},
        {"language": "German"},
        {"telemetry": []},
        {"telemetry": [{"name": "latencyMs"}]},
        {"telemetry": [{"name": "latencyMs", "equals": 5, "over": 1}]},
        {"telemetry": [{"name": "latencyMs", "equals": {"a": 1}}]},
        {"telemetry": [{"name": "", "over": 1}]},
        {"telemetry": [{"name": "a", "over": 1}] * 9},
        {"text": ""},
        {"text": "   "},
        {"text": "x" * 201},
        {"verdict": "Not A Word"},
        {"labelled": "yes"},
        {"first_day": "2026-11-21"},
        {"capturedFrom": "2026-11-21T12:00:00"},
    ],
)
async def test_a_bad_wish_is_refused_and_changes_nothing(granted: Api, body: dict[str, Any]) -> None:
    records = len(granted.world.access_store.records[TENANT])
    status, problem, _ = await granted.call("export_request", "POST", role=Role.REVIEWER, body=body)
    assert (status, problem) == (400, "invalid-request")
    assert len(granted.world.access_store.records[TENANT]) == records
    assert granted.world.access_store.exported == {}


async def test_too_many_under_way_are_refused(granted: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "REQUEST_SECONDS", -1.0)
    for _ in range(rules.RUNNING_MAX):
        assert (await asked_for(granted))["status"] == "running"
    status, problem, headers = await granted.call("export_request", "POST", role=Role.REVIEWER, body={})
    assert (status, problem, headers["Retry-After"]) == (429, "too-many-exports", "60")


async def test_one_under_way_shows_its_progress_and_cannot_be_downloaded_yet(
    granted: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rules, "REQUEST_SECONDS", -1.0)
        export_id = (await asked_for(granted, text="text"))["exportId"]
    shown = (await granted.call("export_show", role=Role.REVIEWER, exportId=export_id))[1]
    assert (shown["status"], shown["progress"]["captures"]) == ("running", 4)
    answer = await downloaded(export_id)
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "5")
    granted.world.clock.move(timedelta(minutes=1))
    with caplog.at_level("INFO"):
        await FUNCTIONS["make_exports"].get_user_function()(None)
    assert "exports (exports 1)" in caplog.text and "text" not in caplog.text
    shown = (await granted.call("export_show", role=Role.REVIEWER, exportId=export_id))[1]
    assert (shown["status"], shown["captures"], "progress" in shown) == ("ready", 12, False)
    caplog.clear()
    with caplog.at_level("INFO"):
        await FUNCTIONS["make_exports"].get_user_function()(None)
    assert "exports" not in [record.message.split()[0] for record in caplog.records]
