"""Signing in at the local issuer, as a page does: with PKCE, and with nothing that is not as it was agreed."""

import base64
import hashlib
import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit
from uuid import UUID

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from local.issuer import Issuer
from local.ports import free_ports
from local.sign_in import CODE_LIFETIME, PEOPLE
from local.tokens import AUDIENCE, OPERATOR_TENANT_ID, PORTAL_CLIENT_ID, SAMPLE_TENANT_ID, SECOND_TENANT_ID
from shared.configuration import Configuration
from shared.identity.signing_keys import SigningKeys
from shared.identity.tokens import Tokens
from shared.problems import Unauthenticated
from tests.clocks import ManualClock
from tests.unit.settings import GOOD

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
KEY = RSAKey.generate_key(2048)
ORIGIN = "http://127.0.0.1:7071"
PAGE = f"{ORIGIN}/api/portal/"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ASKED = {
    "client_id": PORTAL_CLIENT_ID,
    "redirect_uri": PAGE,
    "response_type": "code",
    "scope": f"openid profile offline_access {AUDIENCE}/.default",
    "state": "s-1",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


class Browser:
    """Follows no redirect by itself, and keeps cookies."""

    def __init__(self, issuer: Issuer, session: aiohttp.ClientSession, tenant: str = "organizations") -> None:
        self.issuer, self._session = issuer, session
        self.endpoints = f"{issuer.url}/{tenant}/oauth2/v2.0"

    async def get(self, url: str, query: dict[str, str] | None = None) -> tuple[int, str, Any]:
        async with self._session.get(url, params=query or {}, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers

    async def authorize(self, **changes: str | None) -> tuple[int, str, Any]:
        query = {name: value for name, value in {**ASKED, **changes}.items() if value is not None}
        return await self.get(f"{self.endpoints}/authorize", query)

    async def led_back(self, **changes: str | None) -> dict[str, str]:
        """Return what the page is told when the browser comes back."""
        status, _, headers = await self.authorize(**changes)
        assert status == 302 and headers["Location"].startswith(f"{changes.get('redirect_uri', PAGE)}?")
        return dict(parse_qsl(urlsplit(headers["Location"]).query))

    async def code(self, person: str = "adatum-admin", **changes: str | None) -> str:
        return (await self.led_back(**{"as": person}, **changes))["code"]

    async def post(self, form: dict[str, str], origin: str | None = ORIGIN) -> tuple[int, Any, Any]:
        headers = {} if origin is None else {"Origin": origin}
        async with self._session.post(f"{self.endpoints}/token", data=form, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def exchange(self, sent: str, *, origin: str | None = ORIGIN, **changes: str) -> tuple[int, Any, Any]:
        form = {"client_id": PORTAL_CLIENT_ID, "grant_type": "authorization_code", "code": sent}
        return await self.post({**form, "redirect_uri": PAGE, "code_verifier": VERIFIER, **changes}, origin)

    async def refresh(self, token: str, **changes: str) -> tuple[int, Any, Any]:
        form = {"client_id": PORTAL_CLIENT_ID, "grant_type": "refresh_token", "refresh_token": token}
        return await self.post({**form, **changes})

    async def tokens(self, person: str = "adatum-admin", **changes: str | None) -> dict[str, Any]:
        status, tokens, _ = await self.exchange(await self.code(person, **changes))
        assert status == 200
        return dict(tokens)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def browser(clock: ManualClock) -> AsyncIterator[Browser]:
    issuer = Issuer(KEY, free_ports(1)[0], clock.now)
    await issuer.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(issuer, session)
    await issuer.stop()


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, KEY, algorithms=["RS256"]).claims


# Who signs in


def links(page: str) -> dict[str, str]:
    return {text: html.unescape(address) for address, text in re.findall(r'<a href="([^"]*)">([^<]*)</a>', page)}


async def test_the_page_asks_who_signs_in_and_each_link_signs_one_in(browser: Browser) -> None:
    status, page, headers = await browser.authorize()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert re.search('<html lang="en">.*<title>Continue as</title>.*<main>.*<h1>Continue as</h1>', page, re.DOTALL)
    assert list(links(page)) == [
        "Ada Lindqvist, administrator of Adatum",
        "Ben Okafor, administrator of Bellows",
        "Olga Marin, operator",
        "Ravi Sato, reviewer",
        "Ana Keller, approver",
    ]
    for person, address in zip(PEOPLE.values(), links(page).values(), strict=True):
        status, _, headers = await browser.get(urljoin(f"{browser.endpoints}/authorize", address))
        assert status == 302
        answer = dict(parse_qsl(urlsplit(headers["Location"]).query))
        assert answer["state"] == "s-1"
        _, tokens, _ = await browser.exchange(answer["code"])
        assert claims_of(tokens["id_token"])["name"] == person.name


async def test_the_page_runs_nothing_and_shows_nothing_that_was_sent(browser: Browser) -> None:
    _, page, headers = await browser.authorize(state='"><script>alert(1)</script>')
    assert "<script" not in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")


@pytest.mark.parametrize(
    ("tenant", "people"),
    [
        (SAMPLE_TENANT_ID, ["adatum-admin"]),
        (SECOND_TENANT_ID, ["bellows-admin"]),
        (OPERATOR_TENANT_ID, ["operator", "reviewer", "approver"]),
    ],
)
async def test_a_tenants_own_address_knows_its_own_people(browser: Browser, tenant: str, people: list[str]) -> None:
    there = Browser(browser.issuer, browser._session, tenant)
    assert list(links((await there.authorize())[1])) == [
        f"{PEOPLE[each].name}, {PEOPLE[each].title}" for each in people
    ]
    for person in PEOPLE:
        assert ((await there.authorize(**{"as": person}))[0] == 302) == (person in people)


async def test_a_tenant_in_which_nobody_is_leads_nowhere(browser: Browser) -> None:
    there = Browser(browser.issuer, browser._session, "00000000-1111-2222-3333-444444444444")
    assert (await there.authorize())[0] == 400


async def test_somebody_who_is_not_known_is_asked_again(browser: Browser) -> None:
    assert (await browser.authorize(**{"as": "nobody"}))[0] == 200


# What comes of it


@pytest.mark.parametrize("person", PEOPLE)
async def test_the_service_accepts_the_access_token_and_not_the_id_token(
    browser: Browser, clock: ManualClock, person: str
) -> None:
    async def keys() -> Any:
        return json.loads((await browser.get(browser.issuer.jwks_uri))[1])

    local = {"TOKEN_ISSUER": f"{browser.issuer.url}/{{tenantid}}/v2.0", "TOKEN_JWKS_URI": browser.issuer.jwks_uri}
    settings = Configuration.read({**GOOD, **local, "TOKEN_AUDIENCES": AUDIENCE})
    verifier = Tokens(settings, SigningKeys(keys, clock), clock)
    tokens = await browser.tokens(person)
    caller = await verifier.caller(f"Bearer {tokens['access_token']}")
    assert (caller.tenant_id, caller.app_id) == (PEOPLE[person].tenant_id, PORTAL_CLIENT_ID)
    with pytest.raises(Unauthenticated):
        await verifier.caller(f"Bearer {tokens['id_token']}")


async def test_the_id_token_tells_the_page_who_signed_in_and_nothing_else(browser: Browser) -> None:
    tokens = await browser.tokens("reviewer")
    id_token, access_token = claims_of(tokens["id_token"]), claims_of(tokens["access_token"])
    issued_at = int(NOW.timestamp())
    assert id_token == {
        "iss": f"{browser.issuer.url}/{OPERATOR_TENANT_ID}/v2.0",
        "aud": PORTAL_CLIENT_ID,
        "tid": OPERATOR_TENANT_ID,
        "oid": access_token["oid"],
        "sub": id_token["sub"],
        "name": "Ravi Sato",
        "preferred_username": "reviewer@example.com",
        "nonce": "n-1",
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + 3600,
        "uti": id_token["uti"],
        "ver": "2.0",
    }
    assert UUID(id_token["oid"]) and id_token["sub"]


async def test_tokens_are_valid_for_an_hour_of_the_stacks_time(browser: Browser, clock: ManualClock) -> None:
    clock.move(timedelta(days=28))
    tokens = await browser.tokens()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3600, ASKED["scope"])
    claims = claims_of(tokens["access_token"])
    assert (claims["iat"], claims["exp"]) == (int(clock.now().timestamp()), int(clock.now().timestamp()) + 3600)


@pytest.mark.parametrize(
    ("claims", "contexts"),
    [
        (None, ["c1"]),
        ('{"access_token": {"acrs": {"essential": true, "value": "c2"}}}', ["c2"]),
        ('{"access_token": {"acrs": {"values": ["c1", "c2"]}, "xms_cc": {"values": ["cp1"]}}}', ["c1", "c2"]),
        ('{"access_token": {"xms_cc": {"values": ["cp1"]}}}', ["c1"]),
    ],
)
async def test_who_is_asked_to_prove_more_has_done_so(
    browser: Browser, claims: str | None, contexts: list[str]
) -> None:
    tokens = await browser.tokens("reviewer", claims=claims)
    assert claims_of(tokens["access_token"])["acrs"] == contexts
    _, later, _ = await browser.refresh(tokens["refresh_token"])
    assert claims_of(later["access_token"])["acrs"] == contexts


# What is refused


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "00000000-1111-2222-3333-444444444444"},
        {"client_id": None},
        {"redirect_uri": None},
        *(
            {"redirect_uri": address}
            for address in (
                *(
                    "https://evil.example/portal/",
                    "http://evil.example/portal/",
                    "http://127.0.0.1.evil.example/portal/",
                ),
                *("http://127.0.0.1@evil.example/portal/", "http://127.0.0.1:7071/api/portal", "//127.0.0.1/portal/"),
                *("http://127.0.0.1:7071/api/portal/x", "http://127.0.0.1:7071/portal/?x=1", "javascript:x/portal/"),
                *("http://127.0.0.1:7071/portal/#x", "http://127.0.0.2/portal/", "http://127.0.0.1/portal/\r\nx: y"),
                *("http://127.0.0.1/evil-portal/", "HTTP://127.0.0.1/portal/", "http://127.0.0.1:7071/%2e%2e/portal/"),
            )
        ),
    ],
)
@pytest.mark.parametrize("as_", [None, "adatum-admin"])
async def test_an_unknown_client_or_address_leads_nowhere(
    browser: Browser, changes: dict[str, str | None], as_: str | None
) -> None:
    status, page, headers = await browser.authorize(**changes, **{"as": as_})
    assert (status, "<h1>The sign-in cannot go on</h1>" in page) == (400, True)
    assert "Location" not in headers and "Set-Cookie" not in headers


@pytest.mark.parametrize("address", ["http://localhost:5173/portal/", "http://127.0.0.1/a/b-c/portal/"])
async def test_any_page_of_this_machine_may_ask(browser: Browser, address: str) -> None:
    code = await browser.code(redirect_uri=address)
    origin = address.partition("/portal/")[0].removesuffix("/a/b-c")
    status, _, headers = await browser.exchange(code, redirect_uri=address, origin=origin)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "x"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "openid profile"}, "invalid_scope"),
        ({"scope": f"{AUDIENCE}/.default"}, "invalid_scope"),
        ({"scope": f"openid {AUDIENCE}/.default https://graph.microsoft.com/.default"}, "invalid_scope"),
        *(
            ({"claims": claims}, "invalid_request")
            for claims in (
                *("x", "[]", '{"access_token": []}', '{"access_token": {"acrs": 5}}', "[" * 2000),
                *('{"access_token": {"acrs": {"value": "c0"}}}', '{"access_token": {"acrs": {"values": "c1"}}}'),
                *('{"access_token": {"acrs": {"value": 1}}}', '{"access_token": {"acrs": {"values": [null]}}}'),
            )
        ),
    ],
)
async def test_what_is_not_as_it_must_be_is_told_to_the_page(
    browser: Browser, changes: dict[str, str | None], error: str
) -> None:
    answer = await browser.led_back(**{"as": "operator"}, **changes)
    assert (answer["error"], answer["state"], "code" in answer) == (error, "s-1", False)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"redirect_uri": f"{ORIGIN}/portal/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"code": "x"}, "invalid_grant"),
        ({"client_id": "00000000-1111-2222-3333-444444444444"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
    ],
)
async def test_a_code_is_worth_nothing_to_others(browser: Browser, changes: dict[str, str], error: str) -> None:
    status, answer, headers = await browser.exchange(await browser.code(), **changes)
    assert (status, answer["error"], "access_token" in answer) == (400, error, False)
    assert headers["Cache-Control"] == "no-store"


async def test_a_code_has_one_try(browser: Browser) -> None:
    used, spoilt = await browser.code(), await browser.code()
    assert (await browser.exchange(used))[0] == 200
    assert (await browser.exchange(spoilt, code_verifier="w" * 43))[0] == 400
    for code in (used, spoilt):
        status, answer, _ = await browser.exchange(code)
        assert (status, answer["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(("seconds", "status"), [(59, 200), (60, 400)])
async def test_a_code_is_valid_for_a_minute(browser: Browser, clock: ManualClock, seconds: int, status: int) -> None:
    code = await browser.code()
    clock.move(timedelta(seconds=seconds))
    assert (await browser.exchange(code))[0] == status
    assert timedelta(seconds=60) == CODE_LIFETIME


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7072", "http://localhost:7071", "https://evil.example", "null"])
async def test_tokens_are_for_the_page_that_was_signed_in_to(browser: Browser, origin: str) -> None:
    status, answer, headers = await browser.exchange(await browser.code(), origin=origin)
    assert (status, answer["error"]) == (400, "invalid_request")
    assert headers.get("Access-Control-Allow-Origin") in {None, origin}
    assert ("Access-Control-Allow-Origin" in headers) == origin.startswith(("http://127.0.0.1", "http://localhost"))


# Staying signed in, and leaving


async def test_a_refresh_token_is_replaced_at_each_use(browser: Browser, clock: ManualClock) -> None:
    first = await browser.tokens("approver")
    clock.move(timedelta(days=28))
    status, second, _ = await browser.refresh(first["refresh_token"])
    assert status == 200 and second["refresh_token"] != first["refresh_token"]
    before, after = (claims_of(each["id_token"]) for each in (first, second))
    assert {name: before[name] for name in ("sub", "oid", "aud", "name")} == {
        name: after[name] for name in ("sub", "oid", "aud", "name")
    }
    assert claims_of(second["access_token"])["exp"] == int(clock.now().timestamp()) + 3600
    status, answer, _ = await browser.refresh(first["refresh_token"])
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert (await browser.refresh(second["refresh_token"]))[0] == 200


async def test_who_does_not_ask_to_stay_gets_no_refresh_token(browser: Browser) -> None:
    assert "refresh_token" not in await browser.tokens(scope=f"openid {AUDIENCE}/.default")


async def test_without_a_page_only_who_has_signed_in_before_signs_in(browser: Browser) -> None:
    asked = {"prompt": "none", "as": "operator"}
    assert (await browser.led_back(**asked))["error"] == "login_required"
    await browser.code("reviewer")
    status, tokens, _ = await browser.exchange((await browser.led_back(**asked))["code"])
    assert (status, claims_of(tokens["id_token"])["name"]) == (200, "Ravi Sato")
    there = Browser(browser.issuer, browser._session, SAMPLE_TENANT_ID)
    assert (await there.led_back(**asked))["error"] == "login_required"


async def test_the_page_asks_again_who_signs_in_also_after_that(browser: Browser) -> None:
    await browser.code("reviewer")
    assert (await browser.authorize())[0] == 200


async def test_signing_out_forgets_and_leads_back(browser: Browser) -> None:
    await browser.code("reviewer")
    leave = {"post_logout_redirect_uri": PAGE, "id_token_hint": "x", "state": "s-2"}
    status, _, headers = await browser.get(f"{browser.endpoints}/logout", leave)
    assert (status, headers["Location"]) == (302, f"{PAGE}?state=s-2")
    assert (await browser.led_back(prompt="none"))["error"] == "login_required"


async def test_signing_out_without_an_address_leads_nowhere(browser: Browser) -> None:
    status, page, headers = await browser.get(f"{browser.endpoints}/logout")
    assert (status, "<h1>Signed out</h1>" in page, "Location" in headers) == (200, True, False)
    status, _, headers = await browser.get(
        f"{browser.endpoints}/logout", {"post_logout_redirect_uri": "https://evil.example/portal/"}
    )
    assert (status, "Location" in headers) == (400, False)
