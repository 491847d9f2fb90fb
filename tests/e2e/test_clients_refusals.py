"""What a client meets that is refused: what is wrong, where, and the bound, in words that help."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from local.client import Answer, Client
from local.tokens import Role
from shared.model.geos import GEOS
from shared.model.items import format_instant
from tests.changes import AGREED

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIB = 1024
WISH = {"purpose": "improve", "justification": "To see what is said of a wish.", "durationMinutes": 5}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def enrolled(client: Client) -> str:
    tenant = str(uuid.uuid4())
    await client.opt_in(tenant, "europe")
    return tenant


async def post(client: Client, tenant: str, captures: Any, **more: Any) -> Answer:
    token = client.token(Role.CAPTURE_SERVICE, now=await client.now())
    body = captures if isinstance(captures, bytes) else {"captures": captures, **more}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    return await client.call("POST", f"tenants/{tenant}/captures", token=token, body=body, headers=headers)


async def capture(client: Client, **changes: Any) -> dict[str, Any]:
    one = {"capturedAt": format_instant(await client.now()), "feature": "f", "input": "i", "output": "o", **changes}
    return {name: value for name, value in one.items() if value is not ...}


def said(answer: Answer, *words: str) -> None:
    assert (answer.status, answer.problem) == (400, "invalid-request")
    for each in words:
        assert each in answer.body["detail"], answer.body["detail"]


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an instant without an offset": ({"capturedAt": "2026-11-21T12:00:00"}, ["capturedAt", "offset", "+01:00"]),
    "a leap second": ({"capturedAt": "2026-12-31T23:59:60Z"}, ["capturedAt", "59", "leap second"]),
    "no instant": ({"capturedAt": "yesterday"}, ["capturedAt", "RFC 3339", "2026-11-21T12:00:00Z"]),
    "a date that is none": ({"capturedAt": "2026-02-30T12:00:00Z"}, ["capturedAt", "no such date or time"]),
    "an hour that is none": ({"capturedAt": "2026-02-28T24:00:00Z"}, ["capturedAt", "no such date or time"]),
    "a number for an instant": ({"capturedAt": 1790000000}, ["capturedAt", "text", "2026-11-21T12:00:00Z"]),
    "a text too long": ({"userId": "x" * 201}, ["userId", "at most 200 characters"]),
    "no text": ({"feature": ""}, ["feature", "at least 1 character"]),
    "an input too long": ({"input": "ü" * (128 * KIB) + "x"}, ["input", "at most 262144 bytes of UTF-8"]),
    "an output too long": ({"output": "x" * (256 * KIB + 1)}, ["output", "at most 262144 bytes of UTF-8"]),
    "no input": ({"input": ...}, ["input", "missing"]),
    "a number for a text": ({"input": 5}, ["input", "must be a text"]),
    "a list for an object": ({"telemetry": [1]}, ["telemetry", "must be an object"]),
    "an unknown member": ({"surprise": 1}, ["unknown member"]),
}


@pytest.mark.parametrize("wrong", CHANGES)
async def test_of_500_captures_the_one_that_is_wrong_is_named(either: Client, enrolled: str, wrong: str) -> None:
    changes, words = CHANGES[wrong]
    batch = [await capture(either) for _ in range(499)]
    batch.insert(317, await capture(either, **changes))
    answer = await post(either, enrolled, batch)
    said(answer, "$.captures[317]", *words)
    assert "surprise" not in answer.body["detail"] and "yesterday" not in answer.body["detail"]


async def test_a_batch_that_is_none(either: Client, enrolled: str) -> None:
    one = await capture(either)
    said(await post(either, enrolled, [one] * 501), "$.captures", "at most 500 items")
    said(await post(either, enrolled, []), "$.captures", "at least 1 item")
    said(await post(either, enrolled, {}), "$.captures", "must be an array")
    said(await post(either, enrolled, [1]), "$.captures[0]", "must be an object")
    said(await post(either, enrolled, [one], more=1), "At $", "unknown member")
    said(await post(either, enrolled, b"[]"), "At $", "must be an object")
    said(await post(either, enrolled, b"{}"), "$.captures", "missing")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9007199254740992", ["double precision", "9007199254740991"]),
        ("-9007199254740992", ["double precision", "-9007199254740991"]),
        ("12345678901234567890", ["double precision"]),
        ("1" * 100, ["double precision"]),
        ("1e309", ["double precision", "1.8e308"]),
        ("-1e999", ["double precision"]),
        ("1" * 101, ["number", "100 characters"]),
        ("1" * 5000, ["number", "100 characters"]),
        ("0." + "1" * 99, ["number", "100 characters"]),
        ("NaN", ["JSON"]),
        ("Infinity", ["JSON"]),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_number_that_a_double_cannot_hold_is_told_so(
    either: Client, enrolled: str, number: str, words: list[str]
) -> None:
    body = json.dumps({"captures": [await capture(either, telemetry={"n": ["?"]})]}).replace('"?"', number).encode()
    answer = await post(either, enrolled, body)
    said(answer, *words)
    assert "JSON" in words or "JSON" not in answer.body["detail"]


@pytest.mark.parametrize("number", ["9007199254740991", "-9007199254740991", "1e308", "0", "-0", "1.5e-300"])
async def test_a_number_that_a_double_holds_is_stored(either: Client, enrolled: str, number: str) -> None:
    body = json.dumps({"captures": [await capture(either, telemetry={"n": ["?"]})]}).replace('"?"', number).encode()
    assert (await post(either, enrolled, body)).status == 201


async def test_a_time_that_is_refused_names_the_capture_the_reason_and_the_bound(either: Client, tenant: str) -> None:
    since = (await either.opt_in(tenant, "europe")).body["since"]
    now = await either.now()
    good = [await capture(either) for _ in range(20)]
    early = await post(
        either, tenant, [*good, await capture(either, capturedAt=format_instant(now - timedelta(hours=1)))]
    )
    assert (early.status, early.problem) == (422, "captured-too-early")
    assert "$.captures[20].capturedAt" in early.body["detail"]
    assert "switched on" in early.body["detail"] and since in early.body["detail"]
    late = await capture(either, capturedAt=format_instant(now + timedelta(hours=1)))
    ahead = await post(either, tenant, [*good[:7], late])
    assert (ahead.status, ahead.problem) == (422, "captured-too-late")
    assert "$.captures[7].capturedAt" in ahead.body["detail"] and "5 minutes" in ahead.body["detail"]
    await either.move_to(now + timedelta(hours=25))
    fresh = await capture(either)
    old = await post(either, tenant, [fresh, good[0], fresh])
    assert (old.status, old.problem) == (422, "captured-too-early")
    assert "$.captures[1].capturedAt" in old.body["detail"] and "24 hours" in old.body["detail"]
    assert "switched on" not in old.body["detail"]


async def test_a_toggle_that_is_refused(either: Client, enrolled: str) -> None:
    async def put(body: Any) -> Answer:
        return await either.as_admin("PUT", enrolled, "data-sharing", body)

    said(await put({"enabled": "yes"}), "$.enabled", "true or false")
    said(await put({}), "$.enabled", "missing")
    said(await put({"enabled": True, "geo": 5, **AGREED}), "$.geo", "must be a text")
    said(await put(b"nonsense"), "not valid JSON")
    unknown = await put({"enabled": True, "geo": "atlantis", **AGREED})
    assert (unknown.status, unknown.problem) == (422, "unknown-geo")
    assert all(geo in unknown.body["detail"] for geo in GEOS), "which there are is said"


async def test_a_wish_that_is_refused(either: Client, enrolled: str) -> None:
    async def ask(**changes: Any) -> Answer:
        return await either.as_person(Role.REVIEWER, "POST", enrolled, "review-grants", {**WISH, **changes})

    said(await ask(durationMinutes=0), "$.durationMinutes", "at least 1")
    said(await ask(durationMinutes=481), "$.durationMinutes", "at most 480")
    said(await ask(durationMinutes=1.5), "$.durationMinutes", "whole number")
    said(await ask(durationMinutes="5"), "$.durationMinutes", "whole number")
    said(await ask(justification="x" * 501), "$.justification", "at most 500 characters")
    said(await ask(purpose="x" * 201), "$.purpose", "at most 200 characters")
    said(await ask(enrollmentId="x"), "$.enrollmentId", "[0-9a-f]{32}")
    refused = await ask(purpose="train foundation models")
    assert (refused.status, refused.problem) == (403, "purpose-refused")
    assert "build, improve or validate" in refused.body["detail"]


@pytest.mark.parametrize(
    "justification",
    [
        " " * 20,
        "because" + " " * 20,
        "\u200b" * 30,
        "see why" + "\u2060\ufeff" * 10,
        "\u3164" * 25,
        "\u2800" * 25,
        "e\u0301" * 19,
    ],
    ids=["spaces", "a word", "zero width", "joiners", "fillers", "blank braille", "accents"],
)
async def test_a_justification_is_something_that_one_can_see(either: Client, enrolled: str, justification: str) -> None:
    wish = {**WISH, "justification": justification}
    said(
        await either.as_person(Role.REVIEWER, "POST", enrolled, "review-grants", wish),
        "$.justification",
        "20 characters that one can see",
    )


@pytest.mark.parametrize("purpose", ["Improve", " improve ", "IMPROVE\n", "\tImProve"])
async def test_a_purpose_is_the_same_in_any_letter_case(either: Client, enrolled: str, purpose: str) -> None:
    wish = {**WISH, "purpose": purpose, "justification": "ユーザーの質問に正しく答えられない理由を調べるため。"}
    answer = await either.as_person(Role.REVIEWER, "POST", enrolled, "review-grants", wish)
    assert (answer.status, answer.body["purpose"]) == (201, "improve")


async def test_health_may_be_asked_for_by_its_head(either: Client) -> None:
    answer = await either.call("HEAD", "health")
    assert (answer.status, answer.body) == (200, None)
    assert answer.headers["cache-control"] == "no-store"


async def test_what_is_finished_cannot_be_expedited_and_says_so(either: Client, client: Client, tenant: str) -> None:
    enrollment = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    await client.opt_out(tenant)
    path = f"deletions/{enrollment}"
    for _ in range(100):
        expedited = await either.as_admin("POST", tenant, f"{path}/expedite")
        if expedited.status == 202:  # a moment after the opt-out
            break
    assert expedited.status == 202
    for _ in range(2):
        await client.move_to(await client.now() + timedelta(minutes=6))
        assert await client.run("purge") == "completed"
    await either.move_to(await client.now())
    assert (await either.as_admin("GET", tenant, path)).body["status"] == "verified"
    answer = await either.as_admin("POST", tenant, f"{path}/expedite")
    assert (answer.status, answer.problem) == (409, "deletion-finished")
