"""Labels over HTTP: what is said, changed on a condition, refused, compared (on fakes)."""

import json
from typing import Any

import azure.functions as func
import pytest

from local.tokens import Role
from shared.model.labels import Vocabulary
from shared.review.labelling import Labelling
from tests.functions import FUNCTIONS
from tests.functions.api import SECRET, Api
from tests.tokens import token
from tests.world import TENANT, capture, submission

ASKED = {"purpose": "improve", "justification": "To see why formulas fail.", "durationMinutes": 60}
DAY = "2026-11-21"
ME, OTHER = (f"{digit * 8}-2222-4333-8444-555555555555" for digit in "19")


def sign_in(reviewer: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(Role.REVIEWER, claims={'oid': reviewer})}"}


class Room:
    """A tenant with a batch of four captures, and two reviewers with live grants."""

    def __init__(self, api: Api, batch_id: str) -> None:
        self.api, self.batch_id = api, batch_id

    async def put(self, line: int, body: Any, reviewer: str = ME, **headers: str) -> tuple[int, Any, dict[str, str]]:
        sent = sign_in(reviewer) | {name.replace("_", "-"): value for name, value in headers.items()}
        place = {"day": DAY, "batchId": self.batch_id, "line": f"{line}"}
        return await self.api.call("label_put", "PUT", role=None, headers=sent, body=body, **place)

    async def withdraw(self, line: int | str, reviewer: str = ME, **headers: str) -> func.HttpResponse:
        request = func.HttpRequest(
            method="DELETE",
            url="https://api.example/api/label",
            headers=sign_in(reviewer) | {name.replace("_", "-"): value for name, value in headers.items()},
            params={},
            route_params={"tenantId": TENANT, "day": DAY, "batchId": self.batch_id, "line": f"{line}"},
            body=b"",
        )
        answer = await FUNCTIONS["label_withdraw"].get_user_function()(request)
        assert isinstance(answer, func.HttpResponse)
        return answer

    async def labels(self, reviewer: str = ME) -> list[dict[str, Any]]:
        place = {"day": DAY, "batchId": self.batch_id}
        status, body, _ = await self.api.call("labels", role=None, headers=sign_in(reviewer), **place)
        assert status == 200
        return list(body["value"])

    async def agreement(self, **params: str) -> tuple[int, Any]:
        return (await self.api.call("label_agreement", role=None, headers=sign_in(ME), params=params))[:2]


@pytest.fixture
async def room(api: Api) -> Room:
    await api.world.opt_in()
    now = api.world.clock.now()
    stored = await api.world.captures.submit(TENANT, submission(*(capture(now, f"text {n}") for n in range(4))))
    for reviewer in (ME, OTHER):
        headers = sign_in(reviewer)
        _, grant, _ = await api.call("review_grant_request", "POST", role=None, headers=headers, body=ASKED)
        await api.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=grant["grantId"])
    return Room(api, stored.batch_id)


async def test_a_label_is_given_shown_changed_and_withdrawn(room: Room) -> None:
    said = {"verdict": "incorrect", "score": 0.25, "tags": ["a", "b", "a"], "comment": SECRET + "\n\x07\u202e"}
    status, first, headers = await room.put(2, said)
    at = first["at"]
    assert (status, first) == (200, {**said, "tags": ["a", "b"], "line": 2, "reviewer": ME, "at": at})
    assert await room.labels(OTHER) == [first]
    _, others, _ = await room.put(2, {"score": 1}, OTHER)
    assert others == {"line": 2, "reviewer": OTHER, "score": 1, "tags": [], "at": others["at"]}
    _, zero, _ = await room.put(0, {"tags": ["x"]}, OTHER)
    assert await room.labels() == [zero, first, others], "by line, and of one line by reviewer"
    status, changed, newer = await room.put(2, {"verdict": "correct"})
    assert (status, changed["verdict"], "comment" in changed) == (200, "correct", False), "in place of all of it"
    assert headers["ETag"] != newer["ETag"]
    for _ in range(2):
        answer = await room.withdraw(2)
        assert (answer.status_code, answer.get_body()) == (204, b"")
    assert await room.labels() == [zero, others]


async def test_the_conditions_of_a_change_are_held(room: Room) -> None:
    assert (await room.put(0, {"score": 0}, if_match="*"))[:2] == (412, "precondition-failed")
    assert (await room.put(0, {"score": 0}, if_match='"x"'))[:2] == (412, "precondition-failed")
    status, _, headers = await room.put(0, {"score": 0}, if_none_match="*")
    etag = headers["ETag"]
    assert status == 200 and etag.startswith('"') and len(etag) == 34
    refused: list[dict[str, str]] = [
        {"if_none_match": "*"},
        {"if_none_match": etag},
        {"if_none_match": f"W/{etag}"},
        {"if_match": '"x"'},
        {"if_match": f"W/{etag}"},
        {"if_match": etag, "if_none_match": "*"},
        {"if_match": "*", "if_none_match": "*"},
        {"if_match": "no list"},
    ]
    for headers in refused:
        assert (await room.put(0, {"score": 0.5}, **headers))[:2] == (412, "precondition-failed"), headers
    assert (await room.labels())[0]["score"] == 0
    for headers in ({"if_match": f'"x", {etag}'}, {"if_match": "*"}, {"if_none_match": '"x"'}):
        assert (await room.put(0, {"score": 0.5}, **headers))[0] == 200, headers
    assert (await room.put(1, {"score": 0.5}, if_none_match=etag))[0] == 200
    assert (await room.put(0, {"score": 0}, if_none_match="no list"))[:2] == (400, "invalid-request")
    assert (await room.put(0, {"score": 0}, if_unmodified_since="x"))[:2] == (400, "invalid-request")
    assert (await room.withdraw(0, if_match=etag)).status_code == 412
    assert (await room.withdraw(3, if_match="*")).status_code == 412
    assert (await room.withdraw(0, if_none_match="*")).status_code == 400
    assert (await room.withdraw(0, if_match="*")).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": None, "score": None, "tags": [], "comment": None},
        {"verdict": "Correct"},
        {"verdict": ""},
        {"verdict": 1},
        {"verdict": "correct\n"},
        {"verdict": "x" * 41},
        {"score": -0.01},
        {"score": 1.01},
        {"score": "0.5"},
        {"score": True},
        {"tags": "a"},
        {"tags": ["a b"]},
        {"tags": [f"tag-{n}" for n in range(11)]},
        {"comment": ""},
        {"comment": "x" * 2001},
        {"comment": 5},
        {"verdict": "correct", "reviewer": OTHER},
        {"verdict": "correct", "at": "2026-11-21T12:00:00Z"},
        [],
        "correct",
        b'{"score": NaN}',
        b'{"comment": "\\ud800"}',
        b"{",
        b"",
    ],
)
async def test_what_is_no_label_is_refused_and_not_on_the_record(room: Room, body: Any) -> None:
    records = len(room.api.world.access_store.records[TENANT])
    assert (await room.put(0, body))[:2] == (400, "invalid-request")
    assert len(room.api.world.access_store.records[TENANT]) == records


async def test_the_longest_label_is_taken_and_one_byte_more_than_any_is_not(room: Room) -> None:
    longest = {
        "verdict": "correct",
        "score": 1 / 3,
        "tags": [f"{n}" * 40 for n in range(10)],
        "comment": "\U0001f9ea" * 2000,
    }
    assert (await room.put(0, longest))[0] == 200
    assert (await room.labels())[0]["comment"] == longest["comment"]
    assert (await room.put(0, json.dumps(longest).encode() + b" " * 32 * 1024))[:2] == (413, "payload-too-large")


@pytest.mark.parametrize("line", ["500", "-1", "1.0", "01", "x", "٣", "9" * 5000, " 1", ""])
async def test_a_line_that_is_none_is_refused(room: Room, line: str) -> None:
    answer = await room.withdraw(line)
    assert answer.status_code == 400
    assert json.loads(answer.get_body())["detail"] == "A line must be a whole number from 0 to 499."


async def test_a_line_that_the_batch_has_not_is_not_found(room: Room) -> None:
    assert (await room.put(4, {"score": 1}))[:2] == (404, "not-found")
    assert (await room.withdraw(499)).status_code == 404


async def test_a_verdict_is_a_word_of_the_tenants_vocabulary(room: Room) -> None:
    _, vocabulary, _ = await room.api.call("label_vocabulary", role=Role.REVIEWER)
    assert vocabulary == {"verdicts": ["correct", "incorrect", "harmful", "unclear"]}
    assert (await room.put(0, {"verdict": "good"}))[:2] == (422, "unknown-verdict")
    assert await room.labels() == []


async def test_a_tenant_may_have_a_vocabulary_of_its_own(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    words = Vocabulary(("a",), {TENANT: ("good", "bad")})
    monkeypatch.setattr(Labelling, "verdicts", lambda self, tenant_id: words.of(tenant_id))
    assert (await room.api.call("label_vocabulary", role=Role.REVIEWER))[1] == {"verdicts": ["good", "bad"]}
    assert (await room.put(0, {"verdict": "good"}))[0] == 200
    assert (await room.put(0, {"verdict": "a"}))[:2] == (422, "unknown-verdict")


async def test_how_far_reviewers_agree_is_told_for_each_two_and_each_verdict(room: Room) -> None:
    assert await room.agreement() == (200, {"value": [], "labels": 0})
    for line, (mine, others) in enumerate(
        [("correct", "correct"), ("correct", "incorrect"), ("incorrect", "incorrect")]
    ):
        await room.put(line, {"verdict": mine})
        await room.put(line, {"verdict": others}, OTHER)
    await room.put(3, {"score": 1})
    _, body = await room.agreement(firstDay=DAY, lastDay=DAY)
    [pair] = body["value"]
    assert (pair["reviewers"], pair["captures"], body["labels"]) == ([ME, OTHER], 3, 7)
    assert (pair["observed"], pair["kappa"]) == (pytest.approx(2 / 3), pytest.approx(0.4))
    assert [{**each, "kappa": round(each["kappa"], 9)} for each in pair["verdicts"]] == [
        {"verdict": "correct", "kappa": 0.4, "both": 1, "first": 2, "second": 1},
        {"verdict": "incorrect", "kappa": 0.4, "both": 1, "first": 1, "second": 2},
    ]


async def test_kappa_is_absent_where_it_is_not_defined(room: Room) -> None:
    for reviewer in (ME, OTHER):
        await room.put(0, {"verdict": "correct"}, reviewer)
    [pair] = (await room.agreement())[1]["value"]
    assert pair == {
        "reviewers": [ME, OTHER],
        "captures": 1,
        "observed": 1.0,
        "verdicts": [{"verdict": "correct", "both": 1, "first": 1, "second": 1}],
    }


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"firstDay": "today"}, 400),
        ({"lastDay": "2026-02-30"}, 400),
        ({"firstDay": DAY, "lastDay": "2026-11-20"}, 400),
        ({"day": DAY}, 400),
        ({"lastDay": "2026-11-20"}, 404),
    ],
)
async def test_days_that_are_none_are_refused(room: Room, params: dict[str, str], status: int) -> None:
    assert (await room.agreement(**params))[0] == status


async def test_what_a_grant_was_used_for_is_told_to_approvers(room: Room) -> None:
    await room.put(0, {"score": 1})
    await room.labels()
    await room.labels()
    _, body, _ = await room.api.call("review_grants", role=Role.APPROVER)
    uses = {}
    for grant in body["value"]:
        _, answer, _ = await room.api.call("review_grant_uses", role=Role.APPROVER, grantId=grant["grantId"])
        uses[grant["requestedBy"]] = answer["value"]
    assert uses == {ME: [{"action": "labelled", "count": 1}, {"action": "labelsRead", "count": 2}], OTHER: []}
    for grant_id, status in (("0" * 32, 404), ("latest", 400)):
        assert (await room.api.call("review_grant_uses", role=Role.APPROVER, grantId=grant_id))[0] == status


async def test_p8_the_access_log_says_which_capture_was_labelled_and_nothing_of_the_label(room: Room) -> None:
    await room.put(2, {"verdict": "harmful", "score": 0.125, "tags": ["secret-tag"], "comment": SECRET})
    _, log, _ = await room.api.call("access_log", params={"limit": "1"})
    [record] = log["value"]
    assert (record["action"], record["day"], record["batchId"], record["line"]) == ("labelled", DAY, room.batch_id, 2)
    for secret in ("harmful", "0.125", "secret-tag", SECRET):
        assert secret not in json.dumps(log, ensure_ascii=False)
