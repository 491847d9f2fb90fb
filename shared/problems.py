"""The ways in which a request can be refused: one exception each, answered as RFC 9457 problems.

A problem's detail is for the caller to read and never repeats what the caller sent (promise P8).
"""

import base64
import json
from collections.abc import Mapping
from typing import ClassVar


class Problem(Exception):
    """A refusal. ``slug`` makes the stable type ``urn:problem:<slug>``."""

    slug: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    members: ClassVar[Mapping[str, str]] = {}
    """What a problem of this kind may say beyond RFC 9457's own members: name to description."""

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions: dict[str, str] = {}


class InvalidRequest(Problem):
    """The request is not what the API describes."""

    slug, status, title = "invalid-request", 400, "The request is not valid."


class Unauthenticated(Problem):
    """There is no bearer token, or not a valid one."""

    slug, status, title = "unauthenticated", 401, "A valid bearer token is needed."

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


class StepUpRequired(Unauthenticated):
    """The token lacks the authentication context that reviewing demands; the challenge tells a client how to get it."""

    def __init__(self, auth_context: str) -> None:
        super().__init__("Sign in again with the authentication context that reviewing needs.")
        wanted = {"access_token": {"acrs": {"essential": True, "value": auth_context}}}
        claims = base64.b64encode(json.dumps(wanted, separators=(",", ":")).encode()).decode()
        self.headers["WWW-Authenticate"] = (
            'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/v2.0/authorize", '
            f'error="insufficient_claims", claims="{claims}"'
        )


class Forbidden(Problem):
    """The token is valid and does not allow this."""

    slug, status, title = "forbidden", 403, "The caller may not do this."


class DataSharingOff(Problem):
    """The tenant does not share data: never did, or no longer (P1, P2)."""

    slug, status, title = "data-sharing-off", 403, "Data sharing is off for this tenant."


class GrantRequired(Problem):
    """The reviewer has no live review grant for this tenant (P7)."""

    slug, status, title = "grant-required", 403, "A live review grant is needed."


class PurposeRefused(Problem):
    """Captures may not be read for that purpose (P10)."""

    slug, status, title = "purpose-refused", 403, "Captures may not be read for that purpose."


class NotFound(Problem):
    """There is no such thing."""

    slug, status, title = "not-found", 404, "Not found."


class GeoPinned(Problem):
    """Data sharing is on in another geo; it must be switched off first (P3)."""

    slug, status, title = "geo-pinned", 409, "The enrollment is pinned to another geo."


class GrantNotPending(Problem):
    """The review grant cannot be approved any more."""

    slug, status, title = "grant-not-pending", 409, "The grant is not pending."


class PreconditionFailed(Problem):
    """The ``If-Match`` of the request is not the current ``ETag``."""

    slug, status, title = "precondition-failed", 412, "The setting has changed."


class PayloadTooLarge(Problem):
    """The body is larger than a batch may be."""

    slug, status, title = "payload-too-large", 413, "The body is too large."


class GeoNotServed(Problem):
    """The geo exists and this deployment does not serve it."""

    slug, status, title = "geo-not-served", 421, "This deployment does not serve that geo."
    members: ClassVar[Mapping[str, str]] = {
        "endpoint": "The address of the deployment that serves the geo; absent if this one does not know it."
    }

    def __init__(self, detail: str, endpoint: str | None = None) -> None:
        """Refuse, and say where to go instead.

        Args:
            detail: a sentence without what follows from the endpoint.
            endpoint: the base address of the deployment that serves the geo, or None if that is not known.
        """
        super().__init__(detail if endpoint is None else f"{detail} It is at {endpoint}")
        if endpoint is not None:
            self.extensions["endpoint"] = endpoint


class UnknownGeo(Problem):
    """There is no such geo."""

    slug, status, title = "unknown-geo", 422, "There is no such geo."


class IdempotencyKeyReused(Problem):
    """The idempotency key came before with another body (D6)."""

    slug, status, title = "idempotency-key-reused", 422, "The idempotency key was used with another body."


class CapturedTooEarly(Problem):
    """A capture is older than 24 hours, or than the enrollment (D4)."""

    slug, status, title = "captured-too-early", 422, "A capture is too old."


class CapturedTooLate(Problem):
    """A capture is more than five minutes in the future (D4)."""

    slug, status, title = "captured-too-late", 422, "A capture lies in the future."


class TooManyOptIns(Problem):
    """The tenant has opted in too often of late (D12); opting out is never refused like this."""

    slug, status, title = "too-many-opt-ins", 429, "The tenant has opted in too often."

    def __init__(self, seconds: int) -> None:
        """Refuse, and say how long to wait.

        Args:
            seconds: from then on an opt-in is taken again.
        """
        super().__init__("Opt in again later; Retry-After says when.", {"Retry-After": str(seconds)})


class Unavailable(Problem):
    """A part of the service cannot answer now; nothing was acknowledged, and the same request may be sent again."""

    slug, status, title = "unavailable", 503, "The service cannot answer now."

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"Retry-After": "5"})


class InternalError(Problem):
    """An error of ours; what happened is in our log, by type and place only."""

    slug, status, title = "internal-error", 500, "Something went wrong on our side."
