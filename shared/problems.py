"""The ways in which a request can be refused: one exception each, answered as RFC 9457 problems.

A problem's detail is for the caller to read and never repeats what the caller sent (promise P8). Each
sentence stands here once, under a name if its kind has several, or beside the bound that it speaks of.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from shared.model.geos import GEOS


class Problem(Exception):
    """A refusal. ``slug`` makes the stable type ``urn:problem:<slug>``."""

    slug: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    detail: str
    """The sentence that is answered, or, where there are several, the one that the document shows."""
    members: ClassVar[Mapping[str, str]] = {}
    """What a problem of this kind may say beyond RFC 9457's own members: name to description."""

    def __init__(self, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.detail = self.detail if detail is None else detail
        super().__init__(self.detail)
        self.headers = dict(headers or {})
        self.extensions: dict[str, str] = {}

    @classmethod
    def example(cls) -> Self:
        """Return one as it is answered, for the document."""
        return cls()

    def to_json(self) -> dict[str, Any]:
        """Return the members of the answer."""
        return {
            "type": f"urn:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extensions,
        }


class InvalidRequest(Problem):
    """The request is not what the API describes."""

    slug, status, title = "invalid-request", 400, "The request is not valid."
    detail = NO_JSON = "The body is not valid JSON in UTF-8."
    NO_ETAG = "If-None-Match is no list of ETags."
    NUMBER = (
        "A number is beyond double precision: whole numbers go from -9007199254740991 to 9007199254740991, others to "
        "about 1.8e308."
    )
    NO_GZIP = "The body is not one gzip member, as Content-Encoding says it is."
    REPEATED_NAME = "An object has two members of the same name."
    NO_EXPORT = "The body is no export of traces, as its Content-Type says it is."
    NO_OBJECT = "The body must be a JSON object."
    DAYS = "firstDay must not be after lastDay."
    NO_BOOLEAN = "enableModelDataSharing must be true or false."
    CURSOR = "The cursor is none that this search was answered with; search without one."
    GEO_NEEDED = "geo is needed to opt in."
    LOCALE = "locale must name the language in which the notice was shown, one of those in which there is its text."

    @classmethod
    def unknown_parameter(cls, known: Iterable[str]) -> Self:
        """Return the refusal of a query that has another parameter than those ``known``."""
        return cls(f"The query may have {', '.join(known) or 'nothing'} here, and something else is in it.")

    @classmethod
    def too_many_tenants(cls, most: int) -> Self:
        """Return the refusal of an export that has spans of more tenants than ``most``."""
        return cls(f"An export may have spans of {most} tenants, and this one has spans of more.")

    @classmethod
    def example(cls) -> Self:
        """Return one of a query that may have nothing in it."""
        return cls.unknown_parameter(())


class SettingNotSupported(Problem):
    """A setting would be changed that is not kept here (D16)."""

    slug, status, title = "setting-not-supported", 400, "The setting is not supported."
    detail = (
        "powerPlatform.modelExperimentation.enableModelDataSharing is the only setting that can be changed here; "
        "nothing was changed."
    )


class HomeGeoUnknown(Problem):
    """Nobody has said where the tenant's data shall stay (D16)."""

    slug, status, title = "home-geo-unknown", 400, "The tenant's geo is not known."
    detail = (
        "Opt in once by the data sharing API, which takes a geo, or have this deployment configured with the "
        "tenant's; opting out works."
    )


class Unauthenticated(Problem):
    """There is no bearer token, or not a valid one."""

    slug, status, title = "unauthenticated", 401, "A valid bearer token is needed."
    detail = MISSING = "There is no bearer token."
    TOO_LONG = "The token is too long."
    INVALID = "The token is not valid."
    EXPIRED = "The token has expired."
    NOT_YET = "The token is not valid yet."
    AUDIENCE = "The token is for another audience."
    ISSUER = "The token is of an issuer that is not trusted here."
    SIGNATURE = "The token's signature is wrong."
    CRITICAL = "The token demands an extension that is not understood here."
    NO_APPLICATION = "The token does not say which application it was issued to."
    USER_OR_APPLICATION = "The token is neither a user's nor an application's."
    NO_HEADER = "The token has no header."
    NOT_FOR_ACCESS = "The token is not an access token."
    SIGNATURE_KIND = "The token is not signed in a way that is accepted here."
    UNKNOWN_KEY = "The token is signed with an unknown key."
    OTHERS_KEY = "The token is signed with another issuer's key."
    TENANT_NO_GUID = "The token's tid is not a GUID."
    OBJECT_NO_GUID = "The token's oid is not a GUID."
    SAID_TWICE = "The token says something twice."

    @classmethod
    def without(cls, claim: str) -> Self:
        """Return the refusal of a token that lacks a claim."""
        return cls(f"The token has no {claim}.")

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        # Who has sent no token is told of no error (RFC 6750, 3.1).
        error = f', error="invalid_token", error_description="{self.detail}"' if self.detail != self.MISSING else ""
        self.headers["WWW-Authenticate"] = f'Bearer realm="copilot-data-sharing"{error}'


class StepUpRequired(Unauthenticated):
    """The token lacks the authentication context that reviewing demands; the challenge tells a client how to get it."""

    detail = "Sign in again with the authentication context that reviewing needs."

    def __init__(self, auth_context: str) -> None:
        super().__init__()
        wanted = {"access_token": {"acrs": {"essential": True, "value": auth_context}}}
        claims = base64.b64encode(json.dumps(wanted, separators=(",", ":")).encode()).decode()
        self.headers["WWW-Authenticate"] = (
            'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/v2.0/authorize", '
            f'error="insufficient_claims", claims="{claims}"'
        )

    @classmethod
    def example(cls) -> Self:
        """Return one that asks for the context ``c1``."""
        return cls("c1")


class Forbidden(Problem):
    """The token is valid and does not allow this."""

    slug, status, title = "forbidden", 403, "The caller may not do this."
    detail = ROLE = "The token does not carry the role that this call needs, or is of another tenant."
    OWN_GRANT = "A grant is approved by another person than the one who asked for it."
    OTHERS_GRANT = "A grant is revoked by whoever asked for it, or by an approver."


class DataSharingOff(Problem):
    """The tenant does not share data: never did, or no longer (P1, P2)."""

    slug, status, title = "data-sharing-off", 403, "Data sharing is off for this tenant."
    detail = OFF = "The tenant's administrator has not switched data sharing on."
    OFF_MEANWHILE = "Data sharing was switched off meanwhile."


class GrantRequired(Problem):
    """The reviewer has no live review grant for this tenant (P7)."""

    slug, status, title = "grant-required", 403, "A live review grant is needed."
    detail = "Ask for a review grant for this tenant, and have it approved."


class PurposeRefused(Problem):
    """Captures may not be read for that purpose (P10)."""

    slug, status, title = "purpose-refused", 403, "Captures may not be read for that purpose."
    detail = (
        "purpose must be build, improve or validate: what captures may be read for is the product, and never to train "
        "foundation models."
    )


class NotFound(Problem):
    """There is no such thing."""

    slug, status, title = "not-found", 404, "Not found."
    detail = GRANT = "There is no such grant for this tenant."
    EXPORT = "This tenant has no such export."
    EXPORT_GONE = "The export is gone, or has no file."
    DELETION = "This tenant has no deletion for that enrollment."
    REVIEW_STOPPED = "The tenant's administrator has put an end to reading that enrollment."
    NEVER_SHARED = "This tenant has never shared data."
    ENROLLMENT = "There is no such enrollment, or its captures are gone."
    DAY = "There are no captures of that day."
    DAY_GONE = "The captures of that day are gone."
    CAPTURE = "There is no such capture."
    BATCH = "There is no such batch."
    NOTICE = "There is no such version of the notice."
    NO_PORTAL = "This deployment offers no portal."
    PORTAL_FILE = "The portal has no such file."
    NEVER_ENROLLED = "This tenant has never had such an enrollment."


class DeletionFinished(Problem):
    """The deletion is done and proved: nothing is left that could begin sooner (P6)."""

    slug, status, title = "deletion-finished", 409, "The deletion is finished."
    detail = "Everything is deleted, and the deletion has its receipt; there is nothing left to expedite."


class GeoPinned(Problem):
    """Data sharing is on in another geo; it must be switched off first (P3)."""

    slug, status, title = "geo-pinned", 409, "The enrollment is pinned to another geo."
    detail = "Opt out first; then opt in to the other geo."


class GrantNotPending(Problem):
    """The review grant cannot be approved any more."""

    slug, status, title = "grant-not-pending", 409, "The grant is not pending."

    def __init__(self, grant_status: str) -> None:
        super().__init__(f"The grant is {grant_status}.")

    @classmethod
    def example(cls) -> Self:
        """Return one that says that the grant has expired."""
        return cls("expired")


class PreconditionFailed(Problem):
    """A precondition of the request does not hold."""

    slug, status, title = "precondition-failed", 412, "The setting has changed."
    detail = CHANGED = "Read the setting again; its ETag is not one in If-Match, or is one in If-None-Match."
    NO_ETAG = "If-Match is no list of ETags."
    EXISTS = "If-None-Match: * never holds, because every tenant has a setting; take the ETag for If-Match."


class LabelChanged(PreconditionFailed):
    """A precondition of a change of a label does not hold."""

    title = "The label has changed."
    detail = "Read the labels again; the label's ETag is not one in If-Match, or there is a label and may be none."


class LengthRequired(Problem):
    """The body came without a length, so the platform has not passed it on."""

    slug, status, title = "length-required", 411, "The body needs a Content-Length."
    detail = "Only a body with a Content-Length reaches the service: send one, and not Transfer-Encoding: chunked."


class PayloadTooLarge(Problem):
    """The body is larger than a batch may be."""

    slug, status, title = "payload-too-large", 413, "The body is too large."

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"A body may have {max_bytes} bytes here.")

    @classmethod
    def example(cls) -> Self:
        """Return one that names 4 MiB."""
        return cls(4 * 1024 * 1024)


class UnsupportedEncoding(Problem):
    """The body's ``Content-Encoding`` is not one that is understood here."""

    slug, status, title = "unsupported-encoding", 415, "The Content-Encoding is not understood."
    detail = "Send the body as it is, or with Content-Encoding: gzip, applied once."

    def __init__(self) -> None:
        super().__init__(headers={"Accept-Encoding": "gzip"})


class UnsupportedMediaType(Problem):
    """The body's ``Content-Type`` is not one that is understood here."""

    slug, status, title = "unsupported-media-type", 415, "The Content-Type is not understood."

    def __init__(self, media_types: Sequence[str]) -> None:
        super().__init__(f"Send the body as {' or '.join(media_types)}.")

    @classmethod
    def example(cls) -> Self:
        """Return one that names JSON."""
        return cls(("application/json",))


class GeoNotServed(Problem):
    """The geo exists and this deployment does not serve it."""

    slug, status, title = "geo-not-served", 421, "This deployment does not serve that geo."
    members: ClassVar[Mapping[str, str]] = {
        "endpoint": "The address of the deployment that serves the geo; absent if this one does not know it."
    }
    detail = GEO = "Another deployment serves that geo."
    TENANTS_GEO = "Another deployment serves this tenant's geo."
    CLOSED = "This deployment takes no new tenants in that geo."

    def __init__(self, detail: str | None = None, endpoint: str | None = None) -> None:
        """Refuse, and say where to go instead.

        Args:
            detail: a sentence without what follows from the endpoint.
            endpoint: the base address of the deployment that serves the geo, or None if that is not known.
        """
        super().__init__(detail if endpoint is None else f"{detail or self.detail} It is at {endpoint}")
        if endpoint is not None:
            self.extensions["endpoint"] = endpoint


class NoticeRequired(Problem):
    """Whoever opts in must say to which version of the notice the organisation agrees (P11)."""

    slug, status, title = "notice-required", 422, "The notice that is agreed to must be named."
    detail = "Show the notice that is in force, and send its version as notice and its language as locale."
    members: ClassVar[Mapping[str, str]] = {
        "notice": "The version of the notice that is in force.",
        "noticeHash": "The SHA-256 of its text, in hexadecimal digits.",
        "noticeAddress": "Where its text is.",
    }

    def __init__(self, version: str, sha256: str, address: str) -> None:
        """Refuse, and say what can be agreed to instead.

        Args:
            version: the version that is in force.
            sha256: that of its text, in the language that was asked for.
            address: where that text is, below the address of the API.
        """
        super().__init__(self.detail + f" It is {version}.")
        self.extensions |= {"notice": version, "noticeHash": sha256, "noticeAddress": address}

    @classmethod
    def example(cls) -> Self:
        """Return one that names a version."""
        address = "https://api.example/api/notices/2026-11-01?locale=en"
        return cls("2026-11-01", "897ac13b425aeb12657cbb4387c12e45282cda9631aa390fca6b89c8d18b4086", address)


class NoticeOutdated(NoticeRequired):
    """The version of the notice that is agreed to is no longer the one in force (P11)."""

    slug, status, title = "notice-outdated", 409, "The notice is no longer in force."


class AgreementRanOut(Problem):
    """What the tenant agreed to counts no longer; an administrator has to agree to the notice in force (P11)."""

    slug, status, title = "notice-outdated", 403, "The agreement to the notice has run out."
    detail = "An administrator of the tenant has to agree to the notice that is in force."


class UnknownGeo(Problem):
    """There is no such geo."""

    slug, status, title = "unknown-geo", 422, "There is no such geo."
    detail = f"geo must be one of {', '.join(sorted(GEOS))}."


class UnknownVerdict(Problem):
    """The verdict is none of the words that the deployment, or the tenant, has for it (P12)."""

    slug, status, title = "unknown-verdict", 422, "There is no such verdict."

    def __init__(self, verdicts: Sequence[str]) -> None:
        """Refuse, and say which there are."""
        super().__init__(f"verdict must be one of {', '.join(verdicts)}.")

    @classmethod
    def example(cls) -> Self:
        """Return one that names two words."""
        return cls(("correct", "incorrect"))


class TooManyLabels(Problem):
    """So many days have more labels, or batches, than can be compared in one request (P12)."""

    slug, status, title = "too-many-labels", 422, "There are too many labels."

    def __init__(self, most: int, most_batches: int) -> None:
        """Refuse, and say how much there may be.

        Args:
            most: how many sets of labels, one for each reviewer of each batch.
            most_batches: how many batches, labelled or not.
        """
        super().__init__(
            f"One request goes through at most {most_batches} batches, and compares what was said in at most {most} "
            "cases where a reviewer has labelled something of a batch; ask for fewer days."
        )

    @classmethod
    def example(cls) -> Self:
        """Return one that says some thousands."""
        return cls(5_000, 100_000)


class IdempotencyKeyReused(Problem):
    """The idempotency key came before with another body (D6)."""

    slug, status, title = "idempotency-key-reused", 422, "The idempotency key was used with another body."
    detail = "Use a new Idempotency-Key for each batch, and the same one only to repeat it."


class CapturedTooEarly(Problem):
    """A capture is older than 24 hours, or than the enrollment (D4)."""

    slug, status, title = "captured-too-early", 422, "A capture is too old."
    detail = "At $.captures[0].capturedAt: more than 24 hours ago."

    @classmethod
    def too_old(cls, place: int, earliest: str) -> Self:
        """Return the refusal of the capture at ``place`` in the batch for its age."""
        return cls(f"At $.captures[{place}].capturedAt: more than 24 hours ago; the earliest now is {earliest}.")

    @classmethod
    def before_opt_in(cls, place: int, started_at: str) -> Self:
        """Return the refusal of the capture at ``place`` in the batch because the tenant had not opted in yet."""
        return cls(
            f"At $.captures[{place}].capturedAt: before data sharing was switched on, which was at {started_at}."
        )

    @classmethod
    def example(cls) -> Self:
        """Return one of the first capture."""
        return cls.too_old(0, "2026-11-20T12:00:00.000000Z")


class CapturedTooLate(Problem):
    """A capture is more than five minutes in the future (D4)."""

    slug, status, title = "captured-too-late", 422, "A capture lies in the future."
    detail = "At $.captures[0].capturedAt: more than 5 minutes ahead."

    @classmethod
    def ahead(cls, place: int, latest: str) -> Self:
        """Return the refusal of the capture at ``place`` in the batch."""
        return cls(f"At $.captures[{place}].capturedAt: more than 5 minutes ahead; the latest now is {latest}.")

    @classmethod
    def example(cls) -> Self:
        """Return one of the first capture."""
        return cls.ahead(0, "2026-11-21T12:05:00.000000Z")


class TooManyOptIns(Problem):
    """The tenant has opted in too often of late (D12); opting out is never refused like this."""

    slug, status, title = "too-many-opt-ins", 429, "The tenant has opted in too often."

    def __init__(self, seconds: int) -> None:
        """Refuse, and say how long to wait.

        Args:
            seconds: from then on an opt-in is taken again.
        """
        super().__init__("Opt in again later; Retry-After says when.", {"Retry-After": str(seconds)})

    @classmethod
    def example(cls) -> Self:
        """Return one that asks to wait for half an hour."""
        return cls(1800)


class ExportNotReady(Problem):
    """The export's file is still being made."""

    slug, status, title = "export-not-ready", 409, "The export is not ready."
    detail = "The export is still being made; ask for it until its status is ready."

    def __init__(self) -> None:
        super().__init__(None, {"Retry-After": "5"})


class RangeNotSatisfiable(Problem):
    """The file has no such part, or only a part of it can be had at a time."""

    slug, status, title = "range-not-satisfiable", 416, "There is no such range."

    def __init__(self, size: int, most: int | None = None) -> None:
        """Refuse, and say how large the file is.

        Args:
            size: of the file, in bytes.
            most: how many can be had at a time, if it was asked for whole and has more.
        """
        beyond = f"The file has {size} bytes; the range begins after them."
        whole = f"The file has {size} bytes; ask for at most {most} at a time, with Range."
        super().__init__(beyond if most is None else whole, {"Content-Range": f"bytes */{size}"})

    @classmethod
    def example(cls) -> Self:
        """Return one of a file of 5,120 bytes."""
        return cls(5120)


class TooManyExports(Problem):
    """Too many of the reviewer's exports are under way for that tenant."""

    slug, status, title = "too-many-exports", 429, "Too many exports are under way."

    def __init__(self, most: int) -> None:
        """Refuse, and say how many there may be."""
        super().__init__(
            f"At most {most} may be under way for a tenant; wait for one, or delete it.", {"Retry-After": "60"}
        )

    @classmethod
    def example(cls) -> Self:
        """Return one that says five."""
        return cls(5)


class Unavailable(Problem):
    """A part of the service cannot answer now; nothing was acknowledged, and the same request may be sent again."""

    slug, status, title = "unavailable", 503, "The service cannot answer now."
    detail = STORE = "A store did not answer; send the same request again."
    CONFLICT = "Others are changing the same thing; send the same request again."
    NOT_READY = "The service is not ready."
    CONSENT = "Consent cannot be read in time."
    NOTICE = "The notice that the tenant agreed to is not known here yet."
    NO_NOTICE = "There is no notice in force that could be agreed to."
    GRANT = "The grant cannot be read in time."
    CONTAINER_BEING_DELETED = "The day's container is being deleted."
    SIGNING_KEYS = "The issuer's signing keys cannot be had."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, {"Retry-After": "5"})


class InternalError(Problem):
    """An error of ours; what happened is in our log, by type and place only."""

    slug, status, title = "internal-error", 500, "Something went wrong on our side."
    detail = "The same request may be sent again."
