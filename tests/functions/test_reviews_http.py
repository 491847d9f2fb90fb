"""Reviewing over HTTP: what is asked for, paged, refused, and how hostile text comes back (on fakes)."""

import json
from typing import Any
from urllib.parse import urlencode

import azure.functions as func
import pytest

from local.tokens import Role
from tests.functions import FUNCTIONS
from tests.functions.api import ASKED, Api
from tests.tokens import token
from tests.world import TENANT

DAY = "2026-11-21"


async def read(batch_id: str, **params: str) -> func.HttpResponse:
    request = func.HttpRequest(
        method="GET",
        url=f"https://api.example/api/batch?{urlencode(params)}",
        headers={"authorization": f"Bearer {token(Role.REVIEWER)}"},
        params=params,
        route_params={"tenantId": TENANT, "day": DAY, "batchId": batch_id},
        body=b"",
    )
    answer = await FUNCTIONS["batch"].get_user_function()(request)
    assert isinstance(answer, func.HttpResponse)
    return answer


async def test_days_and_batches_are_listed_and_paged(granted: Api) -> None:
    _, body, _ = await granted.call("captures_list", role=Role.REVIEWER)
    assert body == {"value": [{"day": DAY}]}
    ids: list[str] = []
    after: dict[str, str] = {}
    for size in (2, 1):
        _, body, _ = await granted.call("captures_list", role=Role.REVIEWER, params={"day": DAY, "limit": "2", **after})
        assert len(body["value"]) == size and ("nextLink" in body) == (size == 2)
        ids += [each["batchId"] for each in body["value"]]
        after = {"after": ids[-1]}
    assert ids == sorted(set(ids)) and len(ids) == 3


async def test_a_batch_is_read_whole_or_in_pages(granted: Api) -> None:
    _, body, _ = await granted.call("captures_list", role=Role.REVIEWER, params={"day": DAY})
    batch_id = body["value"][0]["batchId"]
    whole = await read(batch_id)
    assert whole.mimetype == "application/x-ndjson"
    assert whole.headers["Cache-Control"] == "no-store" and "Link" not in whole.headers
    lines = whole.get_body().splitlines()
    assert len(lines) == 4 and all(json.loads(line)["output"] == "A trigger." for line in lines)
    first = await read(batch_id, limit="3")
    assert first.headers["Link"] == '<https://api.example/api/batch?limit=3&offset=3>; rel="next"'
    last = await read(batch_id, limit="3", offset="3")
    assert first.get_body() + last.get_body() == whole.get_body() and "Link" not in last.headers


@pytest.mark.parametrize(
    ("function", "params", "path"),
    [
        ("captures_list", {"day": "today"}, {}),
        ("captures_list", {"day": "2026-02-30"}, {}),
        ("captures_list", {"day": "9999-12-31"}, {}),
        ("captures_list", {"day": DAY, "after": "x"}, {}),
        ("captures_list", {"day": DAY, "limit": "0"}, {}),
        ("captures_list", {"limit": "201"}, {}),
        ("captures_list", {"after": "x"}, {}),
        ("batch", {"limit": "501"}, {}),
        ("batch", {"offset": "-1"}, {}),
        ("batch", {}, {"day": "0001-01-01"}),
        ("batch", {}, {"batchId": "../../secret"}),
        ("review_grants", {"limit": "x"}, {}),
        ("access_log", {"before": "x"}, {}),
    ],
)
async def test_bad_parameters_are_refused(
    granted: Api, function: str, params: dict[str, str], path: dict[str, str]
) -> None:
    role = Role.TENANT_ADMIN if function == "access_log" else Role.REVIEWER
    places = {"day": DAY, "batchId": "0" * 32, **path}
    assert (await granted.call(function, role=role, params=params, **places))[:2] == (400, "invalid-request")


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": ""},
        {"purpose": "x" * 201},
        {"purpose": 5},
        {"justification": "too short"},
        {"justification": "x" * 501},
        {"durationMinutes": 0},
        {"durationMinutes": 481},
        {"durationMinutes": 1.5},
        {"durationMinutes": "60"},
        {"durationMinutes": True},
        {"enrollmentId": "x"},
        {"surprise": 1},
    ],
)
async def test_a_bad_request_for_a_grant_is_refused_and_not_recorded(granted: Api, change: dict[str, Any]) -> None:
    records = len(granted.world.access_store.records[TENANT])
    answer = await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body={**ASKED, **change})
    assert answer[:2] == (400, "invalid-request")
    assert len(granted.world.access_store.records[TENANT]) == records


async def test_a_refused_purpose_is_answered_and_recorded(granted: Api) -> None:
    for purpose in ("train: foundation/models (GPT)", "基盤モデルの学習", "improve, and train"):
        body = {**ASKED, "purpose": purpose}
        answer = await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body=body)
        assert answer[:2] == (403, "purpose-refused")
    body = {**ASKED, "purpose": "Foundation-model training"}
    assert (await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body=body))[:2] == (
        403,
        "purpose-refused",
    )
    _, log, _ = await granted.call("access_log", params={"limit": "1"})
    assert (log["value"][0]["action"], log["value"][0]["purpose"]) == ("purposeRefused", "Foundation-model training")
    assert log["nextLink"].endswith("?limit=1&before=6")


async def test_grants_are_listed_and_an_id_that_is_none_is_refused(granted: Api) -> None:
    _, body, _ = await granted.call("review_grants", role=Role.APPROVER)
    assert [each["status"] for each in body["value"]] == ["approved"]
    for function in ("review_grant_approve", "review_grant_revoke"):
        answer = await granted.call(function, "POST", role=Role.APPROVER, grantId="latest")
        assert answer[:2] == (400, "invalid-request")
        answer = await granted.call(function, "POST", role=Role.APPROVER, grantId="0" * 32)
        assert answer[:2] == (404, "not-found")
    grant_id = body["value"][0]["grantId"]
    _, body, _ = await granted.call("review_grant_revoke", "POST", role=Role.APPROVER, grantId=grant_id)
    assert body["status"] == "revoked"
    answer = await granted.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=grant_id)
    assert answer[:2] == (409, "grant-not-pending")


async def test_what_waits_is_listed_for_approvers_until_it_is_decided_on(granted: Api) -> None:
    _, asked, _ = await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body=ASKED)
    status, body, _ = await granted.call("pending_grants", role=Role.APPROVER, params={"limit": "1"})
    assert status == 200
    assert body == {"value": [{**asked, "lapsesAt": body["value"][0]["lapsesAt"]}]}
    assert body["value"][0]["lapsesAt"] > asked["requestedAt"]
    answer = await granted.call("pending_grants", role=Role.APPROVER, params={"limit": "0"})
    assert answer[:2] == (400, "invalid-request")
    await granted.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=asked["grantId"])
    assert (await granted.call("pending_grants", role=Role.APPROVER))[1] == {"value": []}


async def test_a_hostile_justification_comes_back_escaped_on_one_line(granted: Api) -> None:
    hostile = "line\nline \x1b[31mred\x07 \x9b2J \u2028 \u0085 \u202e reversed"
    await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body={**ASKED, "justification": hostile})
    for function, role in (("review_grants", Role.REVIEWER), ("access_log", Role.TENANT_ADMIN)):
        request = func.HttpRequest(
            method="GET",
            url="https://api.example/api/x",
            headers={"authorization": f"Bearer {token(role)}"},
            params={},
            route_params={"tenantId": TENANT},
            body=b"",
        )
        answer = await FUNCTIONS[function].get_user_function()(request)
        assert answer.get_body().isascii() and answer.get_body().decode().isprintable()
        assert hostile in {each["justification"] for each in json.loads(answer.get_body())["value"]}


async def test_an_opt_out_that_stops_review_stops_what_is_granted_later_too(granted: Api) -> None:
    _, body, _ = await granted.call("captures_list", role=Role.REVIEWER, params={"day": DAY})
    batch = body["value"][0]["batchId"]
    wish = {"enabled": False, "stopReview": True}
    status, _, _ = await granted.call("data_sharing", "PUT", role=Role.TENANT_ADMIN, body=wish)
    assert status == 200
    _, history, _ = await granted.call("data_sharing_history", role=Role.TENANT_ADMIN)
    assert history["value"][0]["stopReview"] is True
    status, problem, _ = await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body=ASKED)
    assert (status, problem) == (404, "not-found")
    assert (await read(batch)).status_code == 403


async def test_an_opt_out_that_stops_review_ends_the_grants_of_the_enrollment_that_it_ended(granted: Api) -> None:
    world = granted.world
    sleep, ids = world.clock.sleep, []

    async def held_up(seconds: float) -> None:
        world.clock.sleep = sleep
        await world.opt_in()
        await world.post(key="new")
        _, grant, _ = await granted.call("review_grant_request", "POST", role=Role.REVIEWER, body=ASKED)
        ids.append(grant["grantId"])
        await granted.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=grant["grantId"])
        await world.opt_out()

    world.clock.sleep = held_up
    first = world.ledger.events[TENANT][-1].enrollment_id
    body = {"enabled": False, "stopReview": True}
    _, answer, _ = await granted.call("data_sharing", "PUT", role=Role.TENANT_ADMIN, body=body)
    assert answer["deletion"]["enrollmentId"] == first
    _, page, _ = await granted.call("review_grants", role=Role.REVIEWER)
    assert {grant["grantId"]: grant["status"] for grant in page["value"]}[ids[0]] == "approved"
    assert {grant["status"] for grant in page["value"] if grant["enrollmentId"] == first} == {"revoked"}
