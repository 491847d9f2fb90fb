"""Signing in at the local issuer, as a page does at Entra: authorization code with PKCE, and no password."""

import base64
import hashlib
import hmac
import html
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from joserfc.jwk import RSAKey

from local.tokens import (
    AUDIENCE,
    LIFETIME,
    OPERATOR_TENANT_ID,
    PORTAL_CLIENT_ID,
    SAMPLE_TENANT_ID,
    SECOND_TENANT_ID,
    Role,
    mint,
)

ORGANIZATIONS = "organizations"
"""Stands for any tenant in the issuer's addresses, as at Entra."""
CODE_LIFETIME = timedelta(seconds=60)

# A page of this machine, as a registration at Entra would name it.
_REDIRECT = re.compile(r"http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/portal/")
_ORIGIN = re.compile(r"http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CONTEXT = re.compile(r"c[1-9][0-9]?")
_COOKIE = "signed-in-as"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem; }}
ul {{ list-style: none; padding: 0; }}
a {{ display: block; margin: .5rem 0; padding: .75rem 1rem; border: 1px solid #767676; color: #004578; }}
a:focus-visible {{ outline: 3px solid #004578; outline-offset: 2px; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in.

    Attributes:
        key: what chooses this person.
        name: what a page shows.
        title: what this person is.
        role: whom the tokens speak for.
        tenant_id: where this person is at home.
    """

    key: str
    name: str
    title: str
    role: Role
    tenant_id: str

    @property
    def user_name(self) -> str:
        """The name with which this person would sign in."""
        return f"{self.key}@example.com"


PEOPLE = {
    each.key: each
    for each in (
        Person("adatum-admin", "Ada Lindqvist", "administrator of Adatum", Role.TENANT_ADMIN, SAMPLE_TENANT_ID),
        Person("bellows-admin", "Ben Okafor", "administrator of Bellows", Role.TENANT_ADMIN, SECOND_TENANT_ID),
        Person("operator", "Olga Marin", "operator", Role.OPERATOR, OPERATOR_TENANT_ID),
        Person("reviewer", "Ravi Sato", "reviewer", Role.REVIEWER, OPERATOR_TENANT_ID),
        Person("approver", "Ana Keller", "approver", Role.APPROVER, OPERATOR_TENANT_ID),
    )
}
"""Everybody, by their keys."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """What somebody has agreed to by signing in."""

    person: Person
    redirect_uri: str
    scope: str
    nonce: str | None
    contexts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Code:
    grant: _Grant
    challenge: str
    expires: datetime


class _RefusedError(Exception):
    """An error of OAuth 2.0, by its code."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.answer = {"error": error, "error_description": description}


class SignIn:
    """The issuer's endpoints for pages. Codes and refresh tokens are kept in memory: a restart signs everybody out."""

    def __init__(self, key: RSAKey, url: str, now: Callable[[], datetime]) -> None:
        """Sign people in.

        Args:
            key: signs their tokens.
            url: the issuer's address, without a slash at the end.
            now: tells the time, aware.
        """
        self._key = key
        self._url = url
        self._now = now
        self._codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, _Grant] = {}

    async def authorize(self, request: web.Request) -> web.Response:
        """Ask who signs in, and lead the one who was chosen back with a code.

        Without a client or an address that are known, nobody is led anywhere.
        """
        query = request.query
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") != PORTAL_CLIENT_ID:
            return _error_page("The client is not known here.")
        if not _REDIRECT.fullmatch(redirect_uri):
            return _error_page("The redirect_uri is not one of this client's.")
        here = _people_of(request.match_info["tenant"])
        if not here:
            return _error_page("Nobody is at home in this tenant.")
        silent = query.get("prompt") == "none"
        try:
            challenge, contexts = _checked(query)
            person = here.get(request.cookies.get(_COOKIE, "") if silent else query.get("as", ""))
            if person is None and silent:
                raise _RefusedError("login_required", "Nobody has signed in here.")
        except _RefusedError as refused:
            return _redirect(redirect_uri, {**refused.answer, "state": query.get("state")})
        if person is None:
            return _choice(query, here)
        grant = _Grant(person, redirect_uri, query["scope"], query.get("nonce"), contexts)
        answer = _redirect(redirect_uri, {"code": self._code(grant, challenge), "state": query.get("state")})
        answer.set_cookie(_COOKIE, person.key, httponly=True, samesite="Lax")
        return answer

    async def token(self, request: web.Request) -> web.Response:
        """Give tokens for a code or a refresh token, each of which can be used once."""
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        origin = request.headers.get("Origin")
        headers = {"Cache-Control": "no-store", "Vary": "Origin"}
        if origin is not None and _ORIGIN.fullmatch(origin):
            headers["Access-Control-Allow-Origin"] = origin
        try:
            grant = self._granted(form)
            if origin is not None and origin != _origin_of(grant.redirect_uri):
                raise _RefusedError("invalid_request", "The page is not the one that was signed in to.")
        except _RefusedError as refused:
            return web.json_response(refused.answer, status=400, headers=headers)
        return web.json_response(self._tokens(grant), headers=headers)

    async def sign_out(self, request: web.Request) -> web.Response:
        """Forget who has signed in, and lead back to the page."""
        redirect_uri = request.query.get("post_logout_redirect_uri")
        if redirect_uri is None:
            answer = _page("Signed out", "<p>You can close this page.</p>")
        elif _REDIRECT.fullmatch(redirect_uri):
            answer = _redirect(redirect_uri, {"state": request.query.get("state")})
        else:
            answer = _error_page("The post_logout_redirect_uri is not one of this client's.")
        answer.del_cookie(_COOKIE, httponly=True, samesite="Lax")
        return answer

    def _code(self, grant: _Grant, challenge: str) -> str:
        now, code = self._now(), secrets.token_urlsafe(32)
        self._codes = {each: kept for each, kept in self._codes.items() if kept.expires > now}
        self._codes[code] = _Code(grant, challenge, now + CODE_LIFETIME)
        return code

    def _granted(self, form: Mapping[str, str]) -> _Grant:
        if form.get("client_id") != PORTAL_CLIENT_ID:
            raise _RefusedError("invalid_client", "The client is not known here.")
        if "client_secret" in form or "client_assertion" in form:
            raise _RefusedError("invalid_request", "The client is public and can have no secret.")
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchanged(form)
            case "refresh_token":
                grant = self._refresh_tokens.pop(form.get("refresh_token", ""), None)
                if grant is None:
                    raise _RefusedError("invalid_grant", "The refresh token is not known, or was used.")
                return grant
        raise _RefusedError("unsupported_grant_type", "The grant type is not known here.")

    def _exchanged(self, form: Mapping[str, str]) -> _Grant:
        code = self._codes.pop(form.get("code", ""), None)  # whatever comes of it: a code has one try
        if code is None or code.expires <= self._now():
            raise _RefusedError("invalid_grant", "The code is not known, was used, or has expired.")
        if form.get("redirect_uri") != code.grant.redirect_uri:
            raise _RefusedError("invalid_grant", "The redirect_uri is not the one of the code.")
        verifier = form.get("code_verifier", "")
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_challenge_of(verifier), code.challenge):
            raise _RefusedError("invalid_grant", "The code_verifier is not the one of the code.")
        return code.grant

    def _tokens(self, grant: _Grant) -> dict[str, Any]:
        # Whoever asks to prove more has done so: there is nothing here to prove it with.
        stepped_up = {"acrs": list(grant.contexts)} if grant.contexts else {}
        tokens: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": grant.scope,
            "expires_in": int(LIFETIME.total_seconds()),
            "access_token": self._mint(grant, {"azp": PORTAL_CLIENT_ID, **stepped_up}),
            "id_token": self._mint(
                grant,
                {
                    "aud": PORTAL_CLIENT_ID,
                    "nonce": grant.nonce,
                    "name": grant.person.name,
                    "preferred_username": grant.person.user_name,
                    **dict.fromkeys(("acrs", "azp", "roles", "scp", "wids")),
                },
            ),
        }
        if "offline_access" in grant.scope.split():
            tokens["refresh_token"] = refresh_token = secrets.token_urlsafe(32)
            self._refresh_tokens[refresh_token] = grant
        return tokens

    def _mint(self, grant: _Grant, claims: Mapping[str, Any]) -> str:
        person = grant.person
        return mint(self._key, person.role, issuer=self._url, now=self._now(), tenant=person.tenant_id, claims=claims)


def _checked(query: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return the code challenge of a request, and the authentication contexts that its claims ask for.

    Raises:
        _RefusedError: if it asks for anything else than a code for this API, with PKCE.
    """
    if query.get("response_type") != "code" or query.get("response_mode", "query") != "query":
        raise _RefusedError("unsupported_response_type", "There are codes here, in the query, and nothing else.")
    scopes = set(query.get("scope", "").split())
    of_api = {scope for scope in scopes if scope.startswith(f"{AUDIENCE}/")}
    if "openid" not in scopes or not of_api or scopes - of_api - {"openid", "profile", "offline_access"}:
        raise _RefusedError("invalid_scope", f"The scope must be openid and one of {AUDIENCE}.")
    challenge = query.get("code_challenge", "")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise _RefusedError("invalid_request", "A code_challenge by S256 is needed.")
    try:
        asked = json.loads(query.get("claims") or "{}").get("access_token", {}).get("acrs", {})
        contexts = asked.get("values", [asked["value"]] if "value" in asked else [])
        if not all(_CONTEXT.fullmatch(context) for context in contexts):
            raise ValueError("no authentication context")
    except (AttributeError, RecursionError, TypeError, ValueError):
        raise _RefusedError("invalid_request", "The claims are not understood.") from None
    return challenge, tuple(contexts)


def _people_of(tenant: str) -> dict[str, Person]:
    return {key: each for key, each in PEOPLE.items() if tenant in {ORGANIZATIONS, each.tenant_id}}


def _choice(query: Mapping[str, str], people: Mapping[str, Person]) -> web.Response:
    links = "\n".join(
        f'<li><a href="?{html.escape(urlencode({**query, "as": each.key}))}">{each.name}, {each.title}</a></li>'
        for each in people.values()
    )
    return _page("Continue as", f"<p>This stands in for Entra on this machine.</p>\n<ul>\n{links}\n</ul>")


def _page(title: str, content: str, status: int = 200) -> web.Response:
    text = _PAGE.format(title=title, content=content)
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def _error_page(why: str) -> web.Response:
    return _page("The sign-in cannot go on", f"<p>{why}</p>", status=400)


def _redirect(address: str, answer: Mapping[str, str | None]) -> web.Response:
    query = urlencode({name: value for name, value in answer.items() if value is not None})
    return web.Response(status=302, headers={**_HEADERS, "Location": f"{address}?{query}" if query else address})


def _origin_of(address: str) -> str:
    return urlsplit(address)._replace(path="").geturl()


def _challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
