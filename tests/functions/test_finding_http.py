"""Finding and sampling over HTTP: what is asked for, paged, refused, and what comes back (on fakes)."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from functions.finding import BODY_MAX_BYTES
from local.tokens import Role
from shared.model.labels import Label, ReviewerLabels, labels_blob
from shared.review import finding as rules
from shared.review.cursors import CURSOR_MAX
from tests.functions.api import SECRET, Api
from tests.world import TENANT

DAY = "2026-11-21"
FIND, SAMPLE = "captures_find", "captures_sample"
SIZED = {"size": 5, "seed": 1}


async def call(api: Api, function: str, body: Any) -> tuple[int, Any]:
    status, content, _ = await api.call(function, "POST", role=Role.REVIEWER, body=body)
    return status, content


async def test_what_is_found_comes_with_where_it_lies_its_language_and_its_labels(granted: Api) -> None:
    stored = {**granted.batch(language="de-CH")["captures"][0], "telemetry": {"a": None, "b": [1.5, "ü"]}}
    status, answer, _ = await granted.post({"captures": [stored]}, key="other")
    assert status == 201
    labels = ReviewerLabels(
        reviewer="somebody", labels={0: Label(verdict="good", score=0.5, at=granted.world.clock.now())}
    )
    [container] = granted.world.containers()
    granted.world.stores["europe"]._put_beside(
        container, labels_blob(answer["batchId"], "somebody"), labels.model_dump_json(by_alias=True).encode()
    )
    expected = {
        "day": DAY,
        "batchId": answer["batchId"],
        "line": 0,
        "capture": {**stored, "capturedAt": "2026-11-21T12:00:02.000000Z"},
        "language": "de",
        "labels": [
            {"reviewer": "somebody", "verdict": "good", "score": 0.5, "tags": [], "at": "2026-11-21T12:00:02.000000Z"}
        ],
    }
    scanned = {"captures": 13, "batches": 4, "unreadable": 0}
    found = await call(granted, FIND, {"text": SECRET.lower(), "language": "de"})
    assert found == (200, {"value": [expected], "scanned": scanned})
    sampled = await call(granted, SAMPLE, {"text": SECRET, "size": 3, "seed": 0})
    assert sampled == (200, {"value": [expected], "scanned": scanned, "matched": 1})
    _, page = await call(granted, FIND, {"labelled": False, "limit": 1})
    assert set(page) == {"value", "scanned", "cursor"}
    assert set(page["value"][0]) == {"day", "batchId", "line", "capture", "language", "labels"}


async def test_pages_follow_one_another_by_their_cursors(granted: Api) -> None:
    found: list[str] = []
    body: dict[str, Any] = {"text": "TEXT", "limit": 5.0}
    for size in (5, 5, 2):
        status, page = await call(granted, FIND, body)
        assert (status, len(page["value"])) == (200, size)
        found += [each["capture"]["input"] for each in page["value"]]
        body["cursor"] = page.get("cursor")
    assert len(set(found)) == 12 and body["cursor"] is None


async def test_a_sample_is_shown_when_all_is_gone_through(granted: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await call(granted, SAMPLE, SIZED)
    for name in ("PAGE_SECONDS", "_ENOUGH_SECONDS"):
        monkeypatch.setattr(rules, name, -1)
    body: dict[str, Any] = {**SIZED}
    pages = []
    while not pages or "cursor" in pages[-1]:
        status, page = await call(granted, SAMPLE, body)
        assert status == 200
        pages.append(page)
        body["cursor"] = page.get("cursor")
    assert [page["matched"] for page in pages] == [4, 8, 12, 12]
    assert [page["value"] for page in pages] == [[], [], [], whole[1]["value"]]


TOO_MANY = [{"name": f"{n}", "equals": n} for n in range(9)]


@pytest.mark.parametrize("function", [FIND, SAMPLE])
@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"firstDay": "today"},
        {"firstDay": "2026-02-30"},
        {"firstDay": 5},
        {"firstDay": "2026-11-21T00:00:00Z"},
        {"firstDay": "2026-11-22", "lastDay": "2026-11-21"},
        {"capturedFrom": 1_700_000_000},
        {"capturedFrom": "2026-11-21"},
        {"capturedFrom": "2026-11-21T12:00:00"},
        {"capturedBefore": "0001-01-01T00:00:00Z"},
        {"feature": ""},
        {"feature": "x" * 201},
        {"feature": 5},
        {"model": ["gpt"]},
        {"language": "German"},
        {"language": "de-CH"},
        {"telemetry": []},
        {"telemetry": TOO_MANY},
        {"telemetry": [{"name": "a"}]},
        {"telemetry": [{"name": "a", "equals": None}]},
        {"telemetry": [{"name": "a", "equals": [1]}]},
        {"telemetry": [{"name": "a", "equals": 1, "over": 1}]},
        {"telemetry": [{"name": "a", "over": True}]},
        {"telemetry": [{"name": "a", "over": "1"}]},
        {"telemetry": [{"equals": 1}]},
        {"telemetry": {"name": "a", "equals": 1}},
        {"text": ""},
        {"text": " \t"},
        {"text": "x" * 201},
        {"labelled": 1},
        {"labelled": "true"},
        {"verdict": "Very good"},
        {"tag": "-"},
        {"cursor": ""},
        {"cursor": "abc"},
        {"cursor": "ä"},
        {"cursor": "a" * (CURSOR_MAX + 1)},
        {"cursor": 5},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
async def test_a_bad_body_is_refused_and_nothing_is_looked_at(
    granted: Api, function: str, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    records = len(granted.world.access_store.records[TENANT])
    body = {**(SIZED if function == SAMPLE else {}), "text": SECRET, **change}
    assert await call(granted, function, body) == (400, "invalid-request")
    assert len(granted.world.access_store.records[TENANT]) == records
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("function", "body"),
    [
        (FIND, {"limit": 0}),
        (FIND, {"limit": 201}),
        (FIND, {"limit": 1.5}),
        (FIND, {"limit": "5"}),
        (FIND, {"limit": True}),
        (FIND, {"limit": None}),
        (FIND, {"size": 5}),
        (SAMPLE, {}),
        (SAMPLE, {"size": 5}),
        (SAMPLE, {"seed": 5}),
        (SAMPLE, {"size": 0, "seed": 0}),
        (SAMPLE, {"size": 201, "seed": 0}),
        (SAMPLE, {"size": 5, "seed": -1}),
        (SAMPLE, {"size": 5, "seed": 2**31}),
        (SAMPLE, {"size": 5, "seed": 0.5}),
        (SAMPLE, {"size": 5, "seed": False}),
        (SAMPLE, {"size": 5, "seed": 1, "limit": 5}),
        (FIND, []),
        (FIND, "text"),
        (FIND, None),
        (FIND, b"{"),
        (FIND, b'{"text":"a","text":"b"}'),
        (FIND, b'{"telemetry":[{"name":"a","over":NaN}]}'),
        (FIND, b'{"telemetry":[{"name":"a","over":1e999}]}'),
        (FIND, b"\xff"),
        (FIND, b"[" * 10_000),
    ],
)
async def test_a_bad_size_or_a_body_that_is_none_is_refused(granted: Api, function: str, body: Any) -> None:
    assert await call(granted, function, body) == (400, "invalid-request")


async def test_a_body_that_is_too_large_is_refused(granted: Api) -> None:
    body = b'{"text":"a"' + b" " * BODY_MAX_BYTES + b"}"
    assert await call(granted, FIND, body) == (413, "payload-too-large")


async def test_what_is_looked_for_is_never_in_an_address(granted: Api) -> None:
    answer = await granted.call(FIND, "POST", role=Role.REVIEWER, body={}, params={"text": SECRET})
    assert answer[:2] == (400, "invalid-request")
    _, page = await call(granted, FIND, {"text": "text", "limit": 1})
    assert "nextLink" not in page and "http" not in page["cursor"]


async def test_a_grant_that_has_ended_shows_nothing_more(granted: Api) -> None:
    _, page = await call(granted, FIND, {"limit": 1})
    granted.world.clock.move(timedelta(minutes=60))
    for function, body in ((FIND, {"cursor": page["cursor"]}), (SAMPLE, SIZED)):
        assert await call(granted, function, body) == (403, "grant-required")


async def test_rubbish_that_somebody_has_put_there_is_counted_and_no_error(granted: Api) -> None:
    [batches] = granted.world.containers().values()
    batches["0" * 32] = (b"garbage", "")
    status, page = await call(granted, FIND, {})
    assert (status, len(page["value"]), page["scanned"]) == (200, 12, {"captures": 12, "batches": 4, "unreadable": 1})


async def test_the_access_log_shows_the_tenant_that_somebody_searched_and_what_was_shown(granted: Api) -> None:
    await call(granted, FIND, {"text": "text 1.2", "feature": "flow"})
    _, log, _ = await granted.call("access_log", params={"limit": "2"})
    found, searched = log["value"]
    assert (searched["action"], searched["filteredBy"]) == ("searched", ["feature", "text"])
    assert (searched["firstDay"], searched["lastDay"]) == (DAY, DAY)
    assert (found["action"], found["captures"], len(found["opened"])) == ("found", 1, 1)
    assert found["opened"][0].startswith(f"{DAY}/") and found["opened"][0].endswith("/2")
    assert "1.2" not in json.dumps(log)


@pytest.mark.parametrize(
    "language", ["", "x", "de_CH", "de-", "German!", "d" * 4, "de-123456789", 5, f"de{'-x' * 100}"]
)
async def test_a_language_that_is_none_is_refused_of_a_capture(granted: Api, language: Any) -> None:
    assert (await granted.post(granted.batch(language=language)))[:2] == (400, "invalid-request")
