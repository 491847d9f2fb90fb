"""For people: the portal, a page that calls the API with its user's own token, like any other client (D19).

It is no API, so it is no ``Operation``, and the OpenAPI document does not know it.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import azure.functions as func
from werkzeug.http import parse_accept_header

from functions._api.answers import json_answer
from functions._api.http import answered, problem_answer
from shared import configuration
from shared.bootstrap import services
from shared.problems import NotFound

blueprint = func.Blueprint()

DIST = Path(__file__).parents[1] / "portal" / "dist"
"""What the portal's build writes; where there is none, no portal is offered."""

_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""A file of another kind is not served."""
_PACKED = {".br": "br", ".gz": "gzip"}
"""Of two that a client likes alike it gets the first."""
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _NOTHING,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",  # after the sign-in, the address has a code in it
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _File:
    media_type: str
    by_encoding: Mapping[str, bytes]
    """Its bytes as the build has packed them, the smallest first, and as they are (``identity``)."""


@blueprint.function_name("portal")
@blueprint.route("portal/{*path}", methods=["GET", "HEAD"])
async def portal(req: func.HttpRequest) -> func.HttpResponse:
    """Show the portal's page, a file of it, or its settings."""
    return await answered("portal", req, functools.partial(_answer, req), _ALWAYS, problem_answer)


async def _answer(req: func.HttpRequest) -> func.HttpResponse:
    path, page, files = req.route_params.get("path", ""), services().portal, _files(DIST)
    if page is None or not files:
        raise NotFound(NotFound.NO_PORTAL)
    # The platform takes both for the same route. Relative, because a gateway may know the page by another path.
    if not path and not urlsplit(req.url).path.endswith("/"):
        return func.HttpResponse(status_code=302, headers={"Location": "portal/"})
    if path == "settings.json":
        return json_answer({"authority": page.authority, "clientId": page.client_id, "scopes": page.scopes})
    if path not in files:
        raise NotFound(NotFound.PORTAL_FILE)
    return _content(path, files[path], req.headers.get("accept-encoding", ""), page)


def _content(path: str, file: _File, accepted: str, page: configuration.Portal) -> func.HttpResponse:
    encoding = parse_accept_header(accepted).best_match(file.by_encoding, default="identity")
    headers = {"Content-Security-Policy": _policy(page), "Vary": "Accept-Encoding"}
    if encoding != "identity":
        headers["Content-Encoding"] = encoding
    if path.startswith("assets/"):  # their names hold a hash of what is in them
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return func.HttpResponse(file.by_encoding[encoding], headers=headers, mimetype=file.media_type, charset="utf-8")


def _policy(page: configuration.Portal) -> str:
    return "; ".join(
        [
            _NOTHING,
            "script-src 'self'",
            # The hash is that of nothing: the page's library makes empty <style> elements and fills them by script.
            "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src 'self' {page.authority_origin}",
            "manifest-src 'self'",
            "require-trusted-types-for 'script'",
        ]
    )


@functools.cache
def _files(folder: Path) -> Mapping[str, _File]:
    """Return the files by what a request may name, the page by nothing. No name of a request comes near the disk."""
    return {_name(path.relative_to(folder)): _file(path) for path in folder.rglob("*") if path.suffix in _MEDIA_TYPES}


def _name(path: Path) -> str:
    return "" if path == Path("index.html") else path.as_posix()


def _file(path: Path) -> _File:
    packed = {encoding: path.with_name(path.name + suffix) for suffix, encoding in _PACKED.items()}
    found = {encoding: each for encoding, each in packed.items() if each.is_file()} | {"identity": path}
    return _File(_MEDIA_TYPES[path.suffix], {encoding: each.read_bytes() for encoding, each in found.items()})
