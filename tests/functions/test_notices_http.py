"""P11 over HTTP: the notice as it is shown, and what an administrator who agrees to it is told."""

import base64
import hashlib
import json
from datetime import timedelta

import azure.functions as func
import pytest

from local.tokens import Role
from shared import bootstrap
from shared.model.notices import NOTICES, Notice, Notices
from tests.changes import AGREED, AGREEMENT
from tests.functions import FUNCTIONS
from tests.functions.api import Api, opt_in
from tests.tokens import token
from tests.world import TENANT

NOTICE = NOTICES.published[-1]


async def test_the_list_names_each_text_with_its_hash_and_which_is_in_force(api: Api) -> None:
    status, body, _ = await api.call("notices", role=None)
    assert status == 200
    [shown] = [each for each in body["value"] if each["inForce"]]
    assert shown["version"] == NOTICE.version and shown["acceptedUntil"] is None
    assert {each["locale"]: each["sha256"] for each in shown["texts"]} == dict(NOTICE.sha256)


@pytest.mark.parametrize(
    ("query", "accepted", "locale"),
    [
        ({}, None, "en"),
        ({"locale": "de"}, None, "de"),
        ({"locale": "ja"}, "de", "ja"),
        ({}, "de-CH, en;q=0.5", "de"),
        ({}, "fr, ja;q=0.8, en;q=0.5", "ja"),
        ({}, "fr", "en"),
        ({}, "*", "en"),
        ({}, "de;q=0, en;q=0.1", "en"),
        ({}, ",;q=;;\t", "en"),
        ({}, "x" * 5000, "en"),
    ],
)
async def test_the_text_is_in_the_language_that_is_asked_for_and_its_hash_is_that_of_its_bytes(
    api: Api, query: dict[str, str], accepted: str | None, locale: str
) -> None:
    headers = {} if accepted is None else {"accept-language": accepted}
    status, text, headers = await api.call(
        "notice", role=None, params=query, headers=headers, version=AGREEMENT.version
    )
    assert status == 200 and headers["Content-Language"] == locale
    digest = hashlib.sha256(text.encode()).digest()
    assert digest.hex() == NOTICE.sha256[locale]
    assert headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"


@pytest.mark.parametrize(
    ("version", "query", "answer"),
    [
        ("2020-01-01", {}, (404, "not-found")),
        ("../../x", {}, (400, "invalid-request")),
        (NOTICE.version, {"locale": "fr"}, (400, "invalid-request")),
        (NOTICE.version, {"locale": "DE"}, (400, "invalid-request")),
        (NOTICE.version, {"lang": "de"}, (400, "invalid-request")),
    ],
)
async def test_a_text_that_there_is_not_is_refused(
    api: Api, version: str, query: dict[str, str], answer: tuple[int, str]
) -> None:
    status, problem, _ = await api.call("notice", role=None, params=query, version=version)
    assert (status, problem) == answer


async def test_an_administrator_sees_what_was_agreed_to_and_how_long_that_counts(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = api.world.clock.now() + timedelta(days=90)
    newer = Notice("2026-12", api.world.clock.now() + timedelta(days=1), None, NOTICE.sha256)
    older = Notice(NOTICE.version, NOTICE.valid_from, until, NOTICE.sha256)
    api.world.notices = Notices([older, newer])
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(bootstrap.services().tokens))
    await opt_in(api)
    status, body, _ = await api.call("data_sharing_get")
    assert (status, body["notice"]) == (200, NOTICE.version)
    assert body["agreedUntil"] == f"{until:%Y-%m-%dT%H:%M:%S.%f}Z"
    [event] = (await api.call("data_sharing_history"))[1]["value"]
    assert (event["notice"], event["noticeHash"], event["locale"]) == (NOTICE.version, NOTICE.sha256["en"], "en")
    assert event["channel"] == "api" and event["clientId"] and event["role"]

    api.world.clock.set(until)
    late = {"authorization": f"Bearer {token(Role.CAPTURE_SERVICE, claims={'exp': int(until.timestamp()) + 600})}"}
    status, problem, _ = await api.post(api.batch(), role=None, headers=late)
    assert (status, problem) == (403, "notice-outdated")


async def test_operators_see_who_has_to_agree_anew_and_how_long_that_can_wait(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = api.world.clock.now()
    for n in range(3):
        await api.world.opt_in(f"0000000{n}-0c4d-4f18-a7e1-62d05c8f9b30")
    replaced = Notice(NOTICE.version, NOTICE.valid_from, now + timedelta(minutes=1), NOTICE.sha256)
    api.world.notices = Notices([replaced, Notice("newer", now, None, NOTICE.sha256)])
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(bootstrap.services().tokens))
    status, page, _ = await api.call("outdated_agreements", role=Role.OPERATOR, params={"limit": "2"})
    assert status == 200 and [each["tenantId"][:8] for each in page["value"]] == ["00000000", "00000001"]
    assert {(each["notice"], each["ranOut"]) for each in page["value"]} == {(NOTICE.version, False)}
    assert page["nextLink"].endswith("?limit=2&after=00000001-0c4d-4f18-a7e1-62d05c8f9b30")
    api.world.clock.set(now + timedelta(minutes=1))
    after = page["value"][-1]["tenantId"]
    _, page, _ = await api.call("outdated_agreements", role=Role.OPERATOR, params={"after": after})
    assert [(each["tenantId"][:8], each["ranOut"]) for each in page["value"]] == [("00000002", True)]
    assert "nextLink" not in page


async def test_a_consent_receipt_is_the_tenants_own(api: Api) -> None:
    await opt_in(api)
    enrollment = (await api.call("data_sharing_get"))[1]["enrollmentId"]
    status, body, _ = await api.call("consent_receipt", enrollmentId=enrollment)
    assert status == 200 and body["record"]["piiController"].startswith("Contoso")
    assert body["record"]["events"][0]["noticeHash"] == NOTICE.sha256["en"] and body["jws"].count(".") == 2
    status, problem, _ = await api.call("consent_receipt", enrollmentId="0" * 32)
    assert (status, problem) == (404, "not-found")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"enabled": True, "geo": "europe"}, (422, "notice-required")),
        ({"enabled": True, "geo": "europe", "notice": None, "locale": "de"}, (422, "notice-required")),
        ({"enabled": True, "geo": "europe", "notice": "2020-01-01", "locale": "de"}, (422, "notice-required")),
        ({"enabled": True, "geo": "europe", "notice": NOTICE.version}, (400, "invalid-request")),
        ({"enabled": True, "geo": "europe", "notice": NOTICE.version, "locale": "fr"}, (400, "invalid-request")),
        ({"enabled": True, "geo": "europe", "notice": 5, "locale": "de"}, (400, "invalid-request")),
        ({"enabled": True, "geo": "europe", "stopReview": "yes", **AGREED}, (400, "invalid-request")),
        ({"enabled": True, "geo": "europe", "stop_review": True, **AGREED}, (400, "invalid-request")),
    ],
)
async def test_an_opt_in_without_the_notice_in_force_changes_nothing(
    api: Api, body: dict[str, object], answer: tuple[int, str]
) -> None:
    status, problem, _ = await api.call("data_sharing", "PUT", body=body)
    assert (status, problem) == answer
    assert api.world.ledger.events == {}


async def test_the_refusal_names_the_notice_its_hash_and_its_address(api: Api) -> None:
    body = json.dumps({"enabled": True, "geo": "europe", "locale": "de"}).encode()
    request = func.HttpRequest(
        method="PUT",
        url=f"https://api.example/api/tenants/{TENANT}/data-sharing?",
        headers={"authorization": f"Bearer {token(Role.TENANT_ADMIN)}", "content-length": str(len(body))},
        params={},
        route_params={"tenantId": TENANT},
        body=body,
    )
    refusal = json.loads((await FUNCTIONS["data_sharing"].get_user_function()(request)).get_body())
    assert refusal["notice"] == NOTICE.version
    assert refusal["noticeHash"] == NOTICE.sha256["en"]
    assert refusal["noticeAddress"] == f"https://api.example/api/notices/{NOTICE.version}?locale=en"
