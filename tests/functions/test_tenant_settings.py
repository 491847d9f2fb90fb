"""D16: the admin tools that there are flip the switch as they always did, and nothing else by the way."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import azure.functions as func
import pytest

from functions._api.operations import OPERATIONS
from local.tokens import AUDIENCE, TOOLS_AUDIENCE, Role
from shared import bootstrap
from shared.model.ledger import OptedIn
from shared.model.notices import NOTICES, Notice, Notices
from tests.admin_tools import SHAPES, listing, m365
from tests.functions import FUNCTIONS
from tests.functions.api import Api
from tests.tokens import ISSUER, token
from tests.world import OTHER_TENANT, TENANT

TOOLS = [name for name, each in OPERATIONS.items() if each.for_admin_tools]


class Tools:
    """A tool that has signed in."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def ask(
        self,
        function: str,
        body: Any = b"",
        *,
        version: str | None = "2020-10-01",
        claims: dict[str, Any] | None = None,
        role: Role = Role.TENANT_ADMIN,
        query: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        params = ({} if version is None else {"api-version": version}) | (query or {})
        lives = {"exp": int((self.api.world.clock.now() + timedelta(hours=1)).timestamp())}
        bearer = token(role, claims={"aud": TOOLS_AUDIENCE, **lives, **(claims or {})})
        request = func.HttpRequest(
            method=OPERATIONS[function].method,
            url=f"https://api.example/api/{OPERATIONS[function].route}?{urlencode(params)}",
            headers={"authorization": f"Bearer {bearer}", "content-length": str(len(content))},
            params=params,
            route_params={},
            body=content,
        )
        response = await FUNCTIONS[function].get_user_function()(request)
        assert response.mimetype == "application/json" and response.headers["Cache-Control"] == "no-store"
        answer = json.loads(response.get_body())
        if response.status_code >= 400:
            assert set(answer) == {"error"} and set(answer["error"]) == {"code", "message"}
            assert "does not have permission to access the path" not in answer["error"]["message"]
        return response.status_code, answer, dict(response.headers)

    async def listed(self) -> Any:
        status, answer, _ = await self.ask("tenant_settings_list")
        assert status == 200
        return answer

    async def update(self, body: Any, **more: Any) -> tuple[int, Any]:
        status, answer, _ = await self.ask("tenant_settings_update", body, **more)
        return status, answer if status == 200 else answer["error"]["code"]

    def events(self) -> list[Any]:
        return list(self.api.world.ledger.events.get(TENANT, []))


@pytest.fixture
def tools(api: Api) -> Tools:
    return Tools(api)


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_tool_flips_the_switch_once_and_a_repeat_adds_no_event(tools: Tools, shape: Any) -> None:
    assert await tools.listed() == listing(False)
    for n, on in enumerate((True, False), start=1):
        for _ in range(2):
            assert await tools.update(shape(on)) == (200, listing(on)), "the reply is what was asked for"
            assert await tools.listed() == listing(on)
            assert len(tools.events()) == n
    assert [event.kind for event in tools.events()] == ["optedIn", "optedOut"]
    assert {event.channel for event in tools.events()} == {"tenant-settings"}


async def test_it_agrees_to_the_notice_in_force_on_the_record_as_not_shown(tools: Tools) -> None:
    await tools.update(m365(True))
    [event] = tools.events()
    notice = NOTICES.in_force(event.at)
    assert isinstance(event, OptedIn) and notice is not None
    assert (event.notice, event.notice_hash, event.notice_shown) == (notice.version, notice.sha256["en"], False)
    assert event.to_json()["noticeShown"] is False and event.role and event.client_id


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"powerPlatform": {}},
        {"powerPlatform": None},
        {"powerPlatform": {"modelExperimentation": {}}},
        {"powerPlatform": {"modelExperimentation": {"enableModelDataSharing": None, "disableDataLogging": False}}},
        {"walkMeOptOut": None, "powerPlatform": {"search": {"deep": {"deeper": {}}}}},
    ],
)
@pytest.mark.parametrize("on", [False, True])
async def test_what_says_nothing_changes_nothing(tools: Tools, body: Any, on: bool) -> None:
    if on:
        await tools.update(m365(True))
    before = len(tools.events())
    assert await tools.update(body) == (200, listing(on))
    assert len(tools.events()) == before


OURS = {"enableModelDataSharing": True}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"walkMeOptOut": False}, "SettingNotSupported"),
        ({"powerPlatform": {"search": {"disableDocsSearch": True}}}, "SettingNotSupported"),
        (
            {"powerPlatform": {"search": {"disableDocsSearch": True}, "modelExperimentation": OURS}},
            "SettingNotSupported",
        ),
        ({"powerPlatform": {"modelExperimentation": {**OURS, "disableDataLogging": True}}}, "SettingNotSupported"),
        ({"powerPlatform": {"modelExperimentation": {**OURS, "disableDataLogging": 0}}}, "SettingNotSupported"),
        ({"powerPlatform": {"modelExperimentation": {**OURS, "another": []}}}, "SettingNotSupported"),
        ({"powerPlatform": True}, "SettingNotSupported"),
        ({"powerPlatform": {"modelExperimentation": [OURS]}}, "SettingNotSupported"),
        ({"enableModelDataSharing": True}, "SettingNotSupported"),
        ({"powerPlatform": {"modelExperimentation": {"enableModelDataSharing": "true"}}}, "InvalidRequest"),
        ({"powerPlatform": {"modelExperimentation": {"enableModelDataSharing": 1}}}, "InvalidRequest"),
        ({"powerPlatform": {"modelExperimentation": {"enableModelDataSharing": {"x": True}}}}, "SettingNotSupported"),
        ({"powerPlatform": {"modelExperimentation": OURS}, "PowerPlatform": {}}, "InvalidRequest"),
        (b'{"powerPlatform": {"search": {}, "search": {}}}', "InvalidRequest"),
        ([listing(True)], "InvalidRequest"),
        (b"true", "InvalidRequest"),
        (b"", "InvalidRequest"),
        (b"enableModelDataSharing=true", "InvalidRequest"),
        (b"\xff\xfe{}", "InvalidRequest"),
    ],
)
async def test_anything_else_is_refused_not_repeated_and_changes_nothing(tools: Tools, body: Any, code: str) -> None:
    status, answer, _ = await tools.ask("tenant_settings_update", body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert not {"disableDocsSearch", "walkMeOptOut", "another"} & set(
        answer["error"]["message"].replace(".", " ").split()
    )
    assert tools.events() == []


async def test_a_body_of_64_kib_is_read_and_a_larger_one_refused(tools: Tools) -> None:
    body = json.dumps(m365(True)).encode()
    assert await tools.update(body + b" " * (64 * 1024 - len(body))) == (200, listing(True))
    assert await tools.update(body + b" " * (64 * 1024 + 1 - len(body))) == (413, "PayloadTooLarge")


@pytest.mark.parametrize("function", TOOLS)
@pytest.mark.parametrize("version", ["2016-11-01", "2020-08-01", "2023-06-01", "2024-03-01-preview"])
async def test_any_date_is_a_version_and_without_one_nothing_is_answered(
    tools: Tools, function: str, version: str
) -> None:
    assert (await tools.ask(function, b"{}", version=version))[0] == 200
    for wrong in (None, "", "latest", "2020-10-01,2020-10-01"):
        status, answer, _ = await tools.ask(function, b"{}", version=wrong)
        assert (status, answer["error"]["code"]) == (400, "InvalidRequest")


@pytest.mark.parametrize("body", [b"", b"{}", b"x=1", b"\xff" * 5000])
async def test_a_list_takes_any_body(tools: Tools, body: bytes) -> None:
    assert (await tools.ask("tenant_settings_list", body))[:2] == (200, listing(False))


# Who


@pytest.mark.parametrize("function", TOOLS)
async def test_only_an_administrator_of_the_tokens_own_tenant_is_let_in(tools: Tools, function: str) -> None:
    body = m365(True)
    for role in Role:
        status, _, _ = await tools.ask(function, body, role=role)
        assert (status == 200) == (role is Role.TENANT_ADMIN)
    status, answer, _ = await tools.ask(function, body, claims={"idtyp": "app", "scp": None})
    assert status in {401, 403}
    status, answer, headers = await tools.ask(function, body, claims={"exp": 1})
    assert (status, answer["error"]["code"]) == (401, "Unauthenticated") and headers["WWW-Authenticate"]


async def test_another_tenants_administrator_touches_that_tenant_alone(tools: Tools) -> None:
    await tools.update(m365(True))
    assert await tools.update(m365(False), claims={"tid": OTHER_TENANT, "iss": f"{ISSUER}/{OTHER_TENANT}/v2.0"}) == (
        200,
        listing(False),
    )
    assert await tools.listed() == listing(True)
    assert len(tools.events()) == 1


@pytest.mark.parametrize("function", [name for name, each in OPERATIONS.items() if each.who])
async def test_a_token_for_the_one_audience_opens_nothing_of_the_other(tools: Tools, function: str) -> None:
    each = OPERATIONS[function]
    ids = {"enrollmentId": "0" * 32, "grantId": "0" * 32, "batchId": "0" * 32, "day": "2026-11-21", "tenantId": TENANT}
    for role in Role:
        for audience in (TOOLS_AUDIENCE, TOOLS_AUDIENCE.rstrip("/"), AUDIENCE):
            request = func.HttpRequest(
                method=each.method,
                url=f"https://api.example/api/{each.route}",
                headers={"authorization": f"Bearer {token(role, claims={'aud': audience})}", "content-length": "2"},
                params={},
                route_params=ids,
                body=b"{}",
            )
            response = await FUNCTIONS[function].get_user_function()(request)
            if each.for_admin_tools == (audience == AUDIENCE):
                assert response.status_code == 401


# Where


@pytest.mark.parametrize(
    ("homes", "geo"),
    [
        ({"*": "europe"}, "europe"),
        ({TENANT: "unitedstates", "*": "europe"}, "unitedstates"),
        ({OTHER_TENANT: "unitedstates"}, None),
        ({}, None),
    ],
)
async def test_it_goes_home_and_nowhere_if_that_is_not_known(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, homes: dict[str, str], geo: str | None
) -> None:
    tools.api.world.home_geos = homes
    monkeypatch.setattr(bootstrap._Process, "services", tools.api.world.services(bootstrap.services().tokens))
    _, tenant, _ = await tools.ask("tenant_settings_tenant")
    assert tenant == {"tenantId": TENANT, "state": "Enabled", "location": geo, "dataStorageGeo": geo}
    status, answer = await tools.update(m365(True))
    if geo is None:
        assert (status, answer) == (400, "HomeGeoUnknown")
        assert tools.events() == []
        assert await tools.update(m365(False)) == (200, listing(False)), "opting out works"
    else:
        assert (status, tools.events()[0].geo) == (200, geo)


async def test_it_goes_back_to_where_it_was_last_whatever_its_home_is(tools: Tools) -> None:
    await tools.api.world.opt_in(geo="unitedkingdom")
    assert await tools.update(m365(True)) == (200, listing(True)), "it is on, in another geo than its home"
    assert await tools.update(m365(False)) == (200, listing(False))
    assert await tools.update(m365(True)) == (200, listing(True))
    assert {event.geo for event in tools.events()} == {"unitedkingdom"} and len(tools.events()) == 3


async def test_a_home_that_is_served_elsewhere_is_told_with_its_address(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.api.world.home_geos = {"*": "japan"}
    tools.api.world.elsewhere = {"japan": "https://japan.example/api"}
    monkeypatch.setattr(bootstrap._Process, "services", tools.api.world.services(bootstrap.services().tokens))
    status, answer, _ = await tools.ask("tenant_settings_update", m365(True))
    assert (status, answer["error"]["code"]) == (421, "GeoNotServed")
    assert "https://japan.example/api" in answer["error"]["message"]


# The same rule


async def test_it_waits_as_the_api_does_and_has_the_same_budget(tools: Tools) -> None:
    slept = tools.api.world.clock.slept
    for _ in range(10):
        for on in (True, False):
            slept.clear()
            assert (await tools.update(m365(on)))[0] == 200
            assert slept == [2.0]
    status, answer, headers = await tools.ask("tenant_settings_update", m365(True))
    assert (status, answer["error"]["code"]) == (429, "TooManyOptIns") and int(headers["Retry-After"]) > 0
    assert await tools.update(m365(False)) == (200, listing(False))


async def test_a_notice_that_was_replaced_is_agreed_to_anew_by_nobody_who_is_shown_none(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tools.update(m365(True))
    now, texts = tools.api.world.clock.now(), NOTICES.published[-1].sha256
    old = Notice(NOTICES.published[-1].version, now - timedelta(days=9), now + timedelta(days=9), texts)
    tools.api.world.notices = Notices([old, Notice("newer", now, None, texts)])
    monkeypatch.setattr(bootstrap._Process, "services", tools.api.world.services(bootstrap.services().tokens))
    assert await tools.update(m365(True)) == (200, listing(True))
    assert [event.kind for event in tools.events()] == ["optedIn"]
