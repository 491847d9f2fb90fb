"""The document's examples are what is really answered: the same members, of the same forms."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import azure.functions as func
import pytest

from functions._api.openapi import document
from functions._api.operations import OPERATIONS, Export
from local.tokens import TOOLS_AUDIENCE, Role
from shared import bootstrap
from shared.model.notices import NOTICES, Notice, Notices
from shared.problems import NotFound
from tests.changes import AGREED, AGREEMENT
from tests.functions import FUNCTIONS
from tests.functions.api import Api
from tests.spans import chat, in_json, of_agents, span
from tests.tokens import token
from tests.world import TENANT

DOCUMENT = document()
DAY = "2026-11-21"
IDS = {
    "enrollmentId": "0" * 32,
    "grantId": "0" * 32,
    "batchId": "0" * 32,
    "line": "0",
    "exportId": "0" * 32,
    "day": DAY,
    "version": "0",
    "agentId": "orders",
}
SOMEONE = "99999999-2222-4333-8444-555555555555"
WISH = {"purpose": "improve", "justification": "To see why formulas fail.", "durationMinutes": 60}
NOTHING: dict[str, Any] = {
    "export_request": {"lastDay": "2026-01-01"},
    "captures_find": {"lastDay": "2026-01-01"},
    "captures_sample": {"lastDay": "2026-01-01", "size": 1, "seed": 1},
    "label_put": {"score": 1},
}
"""The bodies that ask for what there is not."""
QUERIES = {"captures_list": f"day={DAY}", "label_agreement": "lastDay=2026-01-01"}
"""The queries that do."""

FORMS = {
    "instant": r"[\d-]{10}T[\d:]{8}\.\d{6}Z",
    "day": r"\d{4}-\d\d-\d\d",
    "GUID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "digits": r"[0-9a-f]{32}",
    "hash": r"[0-9a-f]{64}",
}
OPEN = {
    "counts",
    "previousCounts",
    "totals",
    "findings",
    "accounts",
    "promises",
    "reasons",
    "components",
    "paths",
    "info",
    "telemetry",
}
"""Members whose own members have no names of ours, or too many."""


def form(value: Any) -> str:
    if isinstance(value, str):
        return next((name for name, pattern in FORMS.items() if re.fullmatch(pattern, value)), "text")
    return "number" if type(value) in {int, float} else type(value).__name__


def differences(example: Any, answered: Any, at: str = "$") -> list[str]:
    """Where an example is of another form than an answer; null and the empty list stand for any."""
    if example is None or answered is None or [] in (example, answered):
        return []
    if isinstance(example, list) and isinstance(answered, list):
        return differences(example[0], answered[0], f"{at}[0]")
    if not (isinstance(example, dict) and isinstance(answered, dict)):
        return [] if form(example) == form(answered) else [f"{at}: {example} for {answered}"]
    if at.rpartition(".")[2] in OPEN:
        example, answered = ({"*": next(iter(each.values()), None)} for each in (example, answered))
    found = [f"{at}: {name}" for name in example.keys() ^ answered.keys()]
    return found + [
        each
        for name in example.keys() & answered.keys()
        for each in differences(example[name], answered[name], f"{at}.{name}")
    ]


class Recorder(Api):
    answered: dict[tuple[str, int], list[Any]]

    async def call(self, function: str, method: str = "GET", **kwargs: Any) -> tuple[int, Any, dict[str, str]]:
        status, content, headers = await super().call(function, method, **kwargs)
        self.answered.setdefault((OPERATIONS[function].id, status), []).append(content)
        return status, content, headers


async def sent(
    function: str,
    role: Role | None,
    *,
    query: str = "",
    body: bytes = b"",
    media_type: str = "application/json",
    **ids: str,
) -> Any:
    """The text of an answer, whatever it is."""
    audience = {"aud": TOOLS_AUDIENCE} if OPERATIONS[function].for_admin_tools else {}
    bearer = token(role, claims=audience) if role else ""
    request = func.HttpRequest(
        method=OPERATIONS[function].method,
        url=f"https://api.example/api/something?{query}",
        headers={"content-length": str(len(body)), "content-type": media_type}
        | ({"authorization": f"Bearer {bearer}"} if role else {}),
        params=dict(parse_qsl(query)),
        route_params={"tenantId": TENANT, **ids},
        body=body,
    )
    return (await FUNCTIONS[function].get_user_function()(request)).get_body().decode()


def examples() -> dict[tuple[str, int], Any]:
    return {
        (operation["operationId"], int(status)): media["example"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        for media in response.get("content", {}).values()
        if "example" in media
    }


async def test_every_example_of_an_answer_is_of_the_form_of_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.__class__ = Recorder
    assert isinstance(api, Recorder)
    api.answered = {("Health_Get", 503): [{"status": "not ready"}]}  # held in test_http
    person: dict[str, Any] = {"function": "review_grant_request", "method": "POST", "role": Role.REVIEWER, "body": WISH}

    await api.call("data_sharing", "PUT", body={"enabled": True, "geo": "europe", **AGREED})
    await api.call("data_sharing_get")
    batch = api.batch(telemetry={"latencyMs": 812})
    stored = (await api.post(batch))[1]
    await api.post(batch)
    nobodys = {
        "body": in_json([span(api.world.clock.now(), 1, chat())]),
        "headers": {"content-type": "application/json"},
    }
    await api.call("traces", "POST", role=Role.CAPTURE_SERVICE, **nobodys)
    theirs = [span(api.world.clock.now(), 1, {**chat(), "microsoft.tenant.id": "0"})]
    for each in ("traces_of_agents", "traces_of_agents_by_node"):
        nobodys["body"] = of_agents(theirs)
        await api.call(each, "POST", role=Role.CAPTURE_SERVICE, agentId="orders", **nobodys)

    grant = (await api.call(**person))[1]["grantId"]
    await api.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=grant)
    await api.call("captures_list", role=Role.REVIEWER)
    lines = await sent("batch", Role.REVIEWER, day=DAY, batchId=stored["batchId"])
    await api.call("review_grants", role=Role.REVIEWER)
    await api.call("access_log")
    await api.call("label_vocabulary", role=Role.REVIEWER)
    said = {"verdict": "incorrect", "score": 0.25, "tags": ["wrong-table"], "comment": "It sums the closed orders."}
    place = {"day": DAY, "batchId": stored["batchId"]}
    other = {"authorization": f"Bearer {token(Role.REVIEWER, claims={'oid': SOMEONE})}"}
    others = (await api.call(**{**person, "role": None, "headers": other}))[1]["grantId"]
    await api.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=others)
    for verdict in ("correct", "incorrect"):
        by_other = {"body": {**said, "verdict": verdict}, "role": None, "headers": other}
        for how in ({"body": said, "role": Role.REVIEWER}, by_other):
            await api.call("label_put", "PUT", line="0", **place, **how)
        await api.call("labels", role=Role.REVIEWER, **place)
        await api.call("label_agreement", role=Role.REVIEWER)
    await api.call("review_grant_uses", role=Role.APPROVER, grantId=grant)
    await api.call("captures_find", "POST", role=Role.REVIEWER, body={"limit": 1})
    await api.call("captures_sample", "POST", role=Role.REVIEWER, body={"size": 1, "seed": 7})
    export = (await api.call("export_request", "POST", role=Role.REVIEWER, body={"feature": "flow"}))[1]["exportId"]
    await api.call("export_show", role=Role.REVIEWER, exportId=export)
    await api.call("exports", role=Role.REVIEWER)
    await api.call("review_grant_revoke", "POST", role=Role.REVIEWER, grantId=grant)

    await api.call("data_sharing_history")
    version = {"api-version": "2020-10-01"}
    await api.call("tenant_settings_list", "POST", params=version)
    await api.call("tenant_settings_update", "POST", params=version, body={})
    await api.call("tenant_settings_tenant", params=version)
    await api.call("consent_receipt", enrollmentId=stored["enrollmentId"])
    await api.call("data_sharing", "PUT", body={"enabled": False})
    await api.world.feed()
    await api.call("deletions")
    enrollment = stored["enrollmentId"]
    await api.call("deletion", enrollmentId=enrollment)
    await api.call("deletion_expedite", "POST", enrollmentId=enrollment)

    for _ in range(3):
        await FUNCTIONS["purge"].get_user_function()(None)
        await FUNCTIONS["sweep"].get_user_function()(None)
    await api.call("status", role=Role.OPERATOR)
    for each in ("health", "receipt_keys", "openapi", "geos", "notices"):
        if each in OPERATIONS:
            await api.call(each, role=None)

    await api.world.opt_in()
    await api.world.opt_out()
    await api.world.feed()
    later = {"exp": int(api.world.clock.now().timestamp()) + 86400 * 40}
    api.world.clock.move(timedelta(days=31))
    as_operator = {"authorization": f"Bearer {token(Role.OPERATOR, claims=later)}"}
    await api.call("overdue_deletions", role=None, headers=as_operator)
    await api.world.opt_in()
    people = {role: {"authorization": f"Bearer {token(role, claims=later)}"} for role in (Role.REVIEWER, Role.APPROVER)}
    await api.call("review_grant_request", "POST", role=None, headers=people[Role.REVIEWER], body=WISH)
    await api.call("pending_grants", role=None, headers=people[Role.APPROVER])
    now, texts = api.world.clock.now(), NOTICES.published[-1].sha256
    replaced = Notice(AGREEMENT.version, now - timedelta(days=90), now + timedelta(days=90), texts)
    api.world.notices = Notices([replaced, Notice("newer", now, None, texts)])
    monkeypatch.setattr(bootstrap._Process, "services", api.world.services(bootstrap.services().tokens))
    await api.call("outdated_agreements", role=None, headers=as_operator)

    documented = examples()
    for status in (200, 206):  # held in test_exports_http
        assert documented.pop(("Exports_Download", status)) == "binary"
    shown = await sent("notice", None, version=AGREEMENT.version)
    assert shown.startswith(documented.pop(("Notices_Get", 200)))
    [capture] = map(json.loads, lines.splitlines())
    ndjson = json.loads(documented.pop(("Captures_Read", 200)))
    assert differences(ndjson, capture) == []
    wrong = {
        where: [differences(example, answered) for answered in api.answered.get(where, [])] or ["never answered"]
        for where, example in documented.items()
    }
    assert {where: each for where, each in wrong.items() if [] not in each} == {}


def example(function: str, kind: str) -> Any:
    operation = OPERATIONS[function]
    responses = DOCUMENT["paths"][f"/{operation.route}"][operation.method.lower()]["responses"].values()
    named = DOCUMENT["components"]["responses"]
    bodies = [named[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in responses]
    [value] = [
        media["examples"][kind]["value"]
        for body in bodies
        for media in body.get("content", {}).values()
        if kind in media.get("examples", {})
    ]
    return value


def some_role(function: str) -> Role | None:
    return next((Role(who.value) for who in OPERATIONS[function].who), None)


@pytest.mark.parametrize("function", [name for name, each in OPERATIONS.items() if each.method != "HEAD"])
async def test_a_wrong_query_is_refused_as_the_example_says(api: Api, function: str) -> None:
    answered = await sent(function, some_role(function), query="Limit=1", **IDS)
    assert json.loads(answered) == example(function, "InvalidRequest")


@pytest.mark.parametrize("function", [name for name, each in OPERATIONS.items() if each.body])
async def test_a_body_that_is_too_large_is_refused_as_the_example_says(api: Api, function: str) -> None:
    version = "api-version=2020-10-01" * OPERATIONS[function].for_admin_tools
    answered = await sent(function, some_role(function), query=version, body=b" " * 5_000_000, **IDS)
    assert json.loads(answered) == example(function, "PayloadTooLarge")


@pytest.mark.parametrize("function", [name for name, each in OPERATIONS.items() if isinstance(each.body, Export)])
async def test_a_media_type_that_is_not_taken_is_refused_as_the_example_says(api: Api, function: str) -> None:
    answered = await sent(function, some_role(function), body=b"{}", media_type="text/plain", **IDS)
    assert json.loads(answered) == example(function, "UnsupportedMediaType")


@pytest.mark.parametrize("function", [name for name, each in OPERATIONS.items() if NotFound in each.all_problems])
async def test_what_there_is_not_is_refused_as_the_example_says(api: Api, function: str) -> None:
    if OPERATIONS[function].step_up and function != "review_grant_request":
        # Only with a grant is anything looked for.
        await api.call("data_sharing", "PUT", body={"enabled": True, "geo": "europe", **AGREED})
        grant = (await api.call("review_grant_request", "POST", role=Role.REVIEWER, body=WISH))[1]["grantId"]
        await api.call("review_grant_approve", "POST", role=Role.APPROVER, grantId=grant)
    body = json.dumps(NOTHING.get(function, WISH)).encode() if OPERATIONS[function].body else b""
    answered = await sent(function, some_role(function), body=body, query=QUERIES.get(function, ""), **IDS)
    assert json.loads(answered) == example(function, "NotFound")
