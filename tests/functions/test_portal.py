"""D19 over HTTP: the portal is a page with strict headers, and no way to anything else on the disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import azure.functions as func
import pytest

from functions import portal
from functions._api.openapi import document
from local.host.functions import converter
from local.tokens import Role
from shared import bootstrap
from shared.configuration import ENTRA_AUTHORITY, Configuration, ConfigurationError, Portal
from shared.model.notices import NOTICES
from tests.functions import FUNCTIONS
from tests.functions.api import Api
from tests.tokens import token
from tests.unit.settings import GOOD
from tests.world import World

CLIENT_ID = "0e6d1f52-7b3c-4a98-8f21-5c9d4b7e3a60"
PAGE = Portal(CLIENT_ID, "https://login.example/organizations/v2.0", ("api://one/.default",))
SCRIPT = "assets/index-BqT4x_1a.js"
FILES = {
    "index.html": b"<!doctype html><title>Portal</title>",
    SCRIPT: b"export {}",
    f"{SCRIPT}.br": b"brotli",
    f"{SCRIPT}.gz": b"gzip",
    "assets/index-Da3kzz09.css": b"body {}",
    "assets/font-x.woff2": b"wOF2",
    "icon.svg": b"<svg/>",
    "assets/index-BqT4x_1a.js.map": b"{}",
    "notes": b"",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        problem = json.loads(self.body)
        assert self.headers["Content-Type"] == "application/problem+json" and problem["status"] == self.status
        return str(problem["detail"])


async def get(
    path: str | None,
    *,
    method: str = "GET",
    query: str = "",
    accept_encoding: str | None = None,
    base: str = "https://api.example/api/portal",
) -> Answer:
    """Ask for what follows ``portal/``, None for the address without the slash, as the platform passes it on."""
    request = func.HttpRequest(
        method=method,
        url=base + ("" if path is None else f"/{path}") + query,
        headers={} if accept_encoding is None else {"accept-encoding": accept_encoding},
        route_params={"path": path} if path else {},
        body=b"",
    )
    answer = await FUNCTIONS["portal"].get_user_function()(request)
    wire = converter("http").encode(answer, expected_type=None).value
    headers = {name.title(): value.value for name, value in wire["headers"].items()}
    return Answer(answer.status_code, headers, answer.get_body())


def offer(monkeypatch: pytest.MonkeyPatch, page: Portal | None, folder: Path) -> None:
    services = World().services()
    object.__setattr__(services, "portal", page)
    monkeypatch.setattr(bootstrap._Process, "services", services)
    monkeypatch.setattr(portal, "DIST", folder)


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        file = tmp_path / "dist" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "secret.json").write_bytes(b"secret")
    offer(monkeypatch, PAGE, tmp_path / "dist")
    return tmp_path / "dist"


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize("query", ["", "?code=0.AX&state=b1&session_state=c", "?error=login_required&state=b1", "?x="])
async def test_the_page_is_shown_whatever_a_sign_in_brings_back_and_is_never_kept(query: str) -> None:
    answer = await get("", query=query)
    assert (answer.status, answer.body) == (200, FILES["index.html"])
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize(
    ("base", "leads"),
    [
        ("https://api.example/api/portal", "https://api.example/api/portal/"),
        ("https://gateway.example/sharing/v1/portal", "https://gateway.example/sharing/v1/portal/"),
    ],
)
async def test_the_address_without_a_slash_leads_to_the_page_also_behind_a_prefix(base: str, leads: str) -> None:
    answer = await get(None, base="https://api.example/api/portal", query="?x=1")
    assert (answer.status, answer.body) == (302, b"")
    assert urljoin(base, answer.headers["Location"]) == leads
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        (SCRIPT, "text/javascript; charset=utf-8"),
        ("assets/index-Da3kzz09.css", "text/css; charset=utf-8"),
        ("assets/font-x.woff2", "font/woff2"),
    ],
)
async def test_what_has_a_hash_in_its_name_is_kept_for_good(name: str, media_type: str) -> None:
    answer = await get(name)
    assert (answer.status, answer.body) == (200, FILES[name])
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.usefixtures("dist")
async def test_what_has_none_is_not() -> None:
    answer = await get("icon.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "br"),
        ("identity", None),
        ("zstd", None),
        ("br;q=0", None),
        ("", None),
        (None, None),
    ],
)
async def test_it_comes_packed_as_the_browser_likes_it(accepted: str | None, encoding: str | None) -> None:
    answer = await get(SCRIPT, accept_encoding=accepted)
    packed = {"br": b"brotli", "gzip": b"gzip", None: FILES[SCRIPT]}
    assert (answer.status, answer.headers.get("Content-Encoding"), answer.body) == (200, encoding, packed[encoding])
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.usefixtures("dist")
async def test_what_is_not_packed_comes_as_it_is() -> None:
    answer = await get("", accept_encoding="br, gzip")
    assert answer.body == FILES["index.html"] and "Content-Encoding" not in answer.headers


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize("path", [None, "", SCRIPT, "settings.json", "nowhere"])
async def test_head_is_answered_like_get(path: str | None) -> None:
    one, other = await get(path), await get(path, method="HEAD")
    unlike = {"X-Correlation-Id"}
    assert one.status == other.status
    assert one.headers.keys() == other.headers.keys()
    assert all(one.headers[name] == other.headers[name] for name in one.headers if name not in unlike)


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize(
    "path",
    [
        *("../secret.json", "..%2fsecret.json", "..%2Fsecret.json", "..\\secret.json", "%2e%2e%2fsecret.json"),
        *("%252e%252e%252fsecret.json", "..%252fsecret.json", "assets/../../secret.json", "....//secret.json"),
        *("/etc/passwd", "//etc/passwd", "C:\\secret.json", "file:///etc/passwd", "\0", "secret.json\0.js"),
        *("assets", "assets/", "assets/.", ".", "./", "..", "/", "icon.svg/", "./icon.svg", "icon.svg\n", "ICON.SVG"),
        *("index.html", "assets/index-BqT4x_1a.js.map", f"{SCRIPT}.br", f"{SCRIPT}.gz", "notes", "assets//x.js"),
        *("../dist/icon.svg", "dist/icon.svg", "package.json", "assets/index-BqT4x_1a.JS", "%69con.svg"),
    ],
)
async def test_any_other_name_is_a_problem_and_opens_nothing(path: str) -> None:
    answer = await get(path)
    assert answer.status == 404
    assert answer.problem == "The portal has no such file."
    assert b"secret" not in answer.body
    assert answer.headers["Cache-Control"] == "no-store"


async def test_no_file_is_read_for_a_request(dist: Path) -> None:
    await get("")
    (dist / "index.html").unlink()
    (dist / "later.html").write_bytes(b"later")
    assert (await get("")).body == FILES["index.html"]
    assert (await get("later.html")).status == 404


@pytest.mark.usefixtures("dist")
async def test_the_page_may_speak_to_the_service_and_its_issuer_and_run_nothing_else() -> None:
    for path in ("", SCRIPT, "icon.svg"):
        headers = (await get(path)).headers
        policy = dict(part.partition(" ")[::2] for part in headers["Content-Security-Policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
            "img-src": "'self' data:",
            "font-src": "'self'",
            "connect-src": "'self' https://login.example",
            "manifest-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
        }


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize("path", [None, "", SCRIPT, "settings.json", "nowhere"])
async def test_every_answer_has_the_headers_that_restrict_a_browser(path: str | None) -> None:
    headers = (await get(path)).headers
    assert headers["Content-Security-Policy"].startswith(
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=()"
    assert headers["X-Correlation-Id"]
    assert "Set-Cookie" not in headers


@pytest.mark.usefixtures("dist")
async def test_its_settings_say_how_to_sign_in_and_no_more() -> None:
    answer = await get("settings.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body) == {
        "authority": "https://login.example/organizations/v2.0",
        "clientId": CLIENT_ID,
        "scopes": ["api://one/.default"],
    }


@pytest.mark.parametrize("path", [None, "", SCRIPT, "settings.json"])
async def test_without_a_client_id_no_portal_is_offered(
    dist: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    offer(monkeypatch, None, dist)
    answer = await get(path)
    assert (answer.status, answer.problem) == (404, "This deployment offers no portal.")


@pytest.mark.parametrize("path", [None, "", SCRIPT, "settings.json"])
async def test_nor_where_none_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    offer(monkeypatch, PAGE, tmp_path / "dist")
    answer = await get(path)
    assert (answer.status, answer.problem) == (404, "This deployment offers no portal.")


async def test_while_a_setting_is_wrong_it_is_not_ready(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap._Process, "services", None)
    monkeypatch.setenv("STORAGE_ACCOUNTS", "")
    answer = await get("")
    assert answer.status == 503 and answer.headers["Cache-Control"] == "no-store"


def test_the_document_does_not_know_it() -> None:
    assert "portal" not in json.dumps(document()["paths"])


# The settings


def test_a_deployment_offers_none_unless_it_is_told() -> None:
    assert Configuration.read(GOOD).portal is None


def test_a_page_signs_in_with_entra_and_asks_for_a_token_for_the_first_audience() -> None:
    page = Configuration.read({**GOOD, "PORTAL_CLIENT_ID": CLIENT_ID.upper()}).portal
    assert page == Portal(CLIENT_ID, ENTRA_AUTHORITY, ("api://one/.default",))
    assert page.authority_origin == "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("authority", "origin"),
    [
        ("https://login.example:8443/a/v2.0/", "https://login.example:8443"),
        ("http://127.0.0.1:8082/organizations/v2.0", "http://127.0.0.1:8082"),
    ],
)
def test_another_issuer_may_sign_in(authority: str, origin: str) -> None:
    page = Configuration.read({**GOOD, "PORTAL_CLIENT_ID": CLIENT_ID, "PORTAL_AUTHORITY": authority}).portal
    assert page is not None
    assert (page.authority, page.authority_origin) == (authority.rstrip("/"), origin)


@pytest.mark.parametrize(
    ("client_id", "authority", "named"),
    [
        ("portal", "", "PORTAL_CLIENT_ID"),
        (f"{CLIENT_ID} x", "", "PORTAL_CLIENT_ID"),
        ("", "https://login.example", "PORTAL_AUTHORITY"),
        *(
            (CLIENT_ID, authority, "PORTAL_AUTHORITY")
            for authority in (
                *("login.example", "http://login.example", "https://login.example?x=1", "https://login.example#x"),
                *("https://login.example; script-src *", "https://login.example https://other.example", "https://"),
                *("https://user:pass@login.example", "javascript:alert(1)", "https://*.example", "https://a\n.example"),
            )
        ),
    ],
)
def test_a_setting_that_could_loosen_the_policy_is_refused(client_id: str, authority: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Configuration.read({**GOOD, "PORTAL_CLIENT_ID": client_id, "PORTAL_AUTHORITY": authority})


@pytest.mark.parametrize(("app", "channel"), [(CLIENT_ID, "portal"), ("5a3e8b72-f1d4-4c09-96be-d27c0f4a8e15", "api")])
async def test_p11_the_ledger_says_that_a_decision_came_by_the_portal(api: Api, app: str, channel: str) -> None:
    object.__setattr__(bootstrap.services(), "portal", PAGE)
    headers = {"authorization": f"Bearer {token(Role.TENANT_ADMIN, claims={'azp': app})}"}
    body = {"enabled": True, "geo": "europe", "notice": NOTICES.published[-1].version, "locale": "en"}
    assert (await api.call("data_sharing", "PUT", role=None, headers=headers, body=body))[0] == 200
    [event] = (await api.call("data_sharing_history"))[1]["value"]
    assert (event["channel"], event["clientId"]) == (channel, app)
