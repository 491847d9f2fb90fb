"""For whoever opts in, or wants to: the text that an organisation agrees to, as it stands and as it stood."""

import base64
import hashlib
from datetime import UTC, datetime

import azure.functions as func
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from functions._api.answers import AnswerModel, Page, json_answer, link
from functions._api.http import Call, serves
from functions._api.operations import Answer, Operation
from functions._api.parameters import LIMIT, Parameter, text
from shared.bootstrap import services
from shared.identity.callers import EVERYBODY, Who
from shared.model.items import GUID, EnrollmentId, Instant, Sha256, TenantId
from shared.model.ledger import Setting
from shared.model.notices import DEFAULT_LOCALE, NOTICES, Notice, Notices
from shared.problems import InternalError, InvalidRequest, NotFound, Unavailable

blueprint = func.Blueprint()


class NoticeTextAnswer(AnswerModel):
    """A notice in one language: the SHA-256 of its bytes, in hexadecimal digits."""

    locale: str
    sha256: Sha256


class NoticeAnswer(AnswerModel):
    """A version of the notice. An opt-in names the one that is ``inForce``.

    ``acceptedUntil`` is the first instant at which an agreement to it counts no longer; null while it was not replaced.
    """

    version: str
    valid_from: Instant
    accepted_until: Instant | None
    in_force: bool
    texts: list[NoticeTextAnswer]

    @classmethod
    def of(cls, notice: Notice, current: Notice | None) -> "NoticeAnswer":
        """Return what to say of a notice while ``current`` is in force."""
        return cls(
            version=notice.version,
            valid_from=notice.valid_from,
            accepted_until=notice.accepted_until,
            in_force=notice is current,
            texts=[NoticeTextAnswer(locale=locale, sha256=sha256) for locale, sha256 in sorted(notice.sha256.items())],
        )


class OutdatedAgreementAnswer(AnswerModel):
    """A tenant that shares data and has not agreed to the notice in force."""

    tenant_id: TenantId
    enrollment_id: EnrollmentId
    notice: str | None
    agreed_until: Instant | None
    ran_out: bool

    @classmethod
    def of(cls, setting: Setting, notices: Notices, now: datetime) -> "OutdatedAgreementAnswer":
        """Return what to say of a tenant at ``now``."""
        assert setting.enrollment is not None
        known = None if setting.notice is None else notices.find(setting.notice)
        return cls(
            tenant_id=setting.tenant_id,
            enrollment_id=setting.enrollment.enrollment_id,
            notice=setting.notice,
            agreed_until=None if known is None else known.accepted_until,
            ran_out=setting.notice is None or (known is not None and not known.counts(now)),
        )


class OutdatedAgreementsAnswer(Page[OutdatedAgreementAnswer]):
    """Tenants, by id. An agreement counts until ``agreedUntil``."""


class NoticesAnswer(AnswerModel):
    """All versions that were ever published, oldest first."""

    value: list[NoticeAnswer]


_TAG = "Data sharing"
_EXAMPLE = NOTICES.published[0]
_LOCALES = sorted({locale for notice in NOTICES.published for locale in notice.sha256})
_VERSION = text(
    "version",
    "path",
    "The version of the notice.",
    "[0-9A-Za-z.-]{1,32}",
    _EXAMPLE.version,
    "The version in the path must be 1 to 32 letters, digits, dots and hyphens.",
    read=str,
)
_LOCALE: Parameter[str | None] = text(
    "locale",
    "query",
    "The language of the text; without it the best that Accept-Language allows, else English.",
    "|".join(_LOCALES),
    "de",
    f"locale must be one of {', '.join(_LOCALES)}.",
    read=str,
    absent=None,
)
_ACCEPT_LANGUAGE: Parameter[str] = Parameter(
    "Accept-Language",
    "header",
    "Which languages the reader prefers (RFC 9110); what is none is as if it were absent.",
    {"type": "string"},
    "de-CH, en;q=0.5",
    str,
    "",  # nothing is wrong with any
    absent="",
)
_AFTER: Parameter[str | None] = text(
    "after",
    "query",
    "Only tenants whose id comes after this one; nextLink carries it.",
    GUID.pattern,
    "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    "after must be a tenant id, a GUID in lower case.",
    read=str,
    absent=None,
)
_OUTDATED = Operation(
    "OutdatedAgreements_List",
    "GET",
    "outdated-agreements",
    "List the tenants that share data and have not agreed to the notice in force.",
    tag="Service",
    who=(Who.OPERATOR,),
    parameters=(LIMIT, _AFTER),
    answers={
        200: Answer(
            "A page of tenants, by id.",
            OutdatedAgreementsAnswer(
                value=[
                    OutdatedAgreementAnswer(
                        tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
                        enrollment_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
                        notice="2026-09-01",
                        agreed_until=datetime(2027, 1, 30, tzinfo=UTC),
                        ran_out=False,
                    )
                ]
            ),
        )
    },
    description="Those whose agreement has run out (ranOut) get their captures refused until an administrator agrees "
    "to the notice in force. One from before there were notices has no notice and has run out.",
)
_LIST = Operation(
    "Notices_List",
    "GET",
    "notices",
    "Show the versions of the notice that tenants agree to.",
    tag=_TAG,
    who=EVERYBODY,
    answers={200: Answer("The versions.", NoticesAnswer(value=[NoticeAnswer.of(_EXAMPLE, _EXAMPLE)]))},
    problems=(InternalError, Unavailable),
)
_GET = Operation(
    "Notices_Get",
    "GET",
    "notices/{version}",
    "Show the text of a notice, in one language.",
    tag=_TAG,
    who=EVERYBODY,
    parameters=(_VERSION, _LOCALE, _ACCEPT_LANGUAGE),
    answers={
        200: Answer(
            "The text, exactly as its hash covers it.",
            "# Sharing Copilot data: what your organisation agrees to\n",
            headers=("Content-Language", "Repr-Digest", "Vary"),
            media_type="text/markdown",
        )
    },
    problems=(NotFound(NotFound.NOTICE), InternalError, Unavailable),
    description="Repr-Digest (RFC 9530) is the SHA-256 that the list names in hexadecimal digits, in Base64.",
)


@serves(blueprint, _LIST)
async def notices(call: Call) -> func.HttpResponse:
    """Show the versions of the notice that tenants agree to."""
    current = services().notices.in_force(services().clock.now())
    value = [NoticeAnswer.of(each, current) for each in services().notices.published]
    return json_answer(NoticesAnswer(value=value).to_json())


@serves(blueprint, _GET)
async def notice(call: Call) -> func.HttpResponse:
    """Show the text of a notice, in one language."""
    found = services().notices.find(call.value(_VERSION))
    if found is None:
        raise NotFound(NotFound.NOTICE)
    locale = call.value(_LOCALE)
    if locale is None:
        locale = _preferred(call.value(_ACCEPT_LANGUAGE), found)
    if locale not in found.sha256:
        raise InvalidRequest(_LOCALE.sentence)
    shown = found.text(locale)
    digest = base64.b64encode(hashlib.sha256(shown).digest()).decode()
    return func.HttpResponse(
        shown,
        headers={"Content-Language": locale, "Repr-Digest": f"sha-256=:{digest}:", "Vary": "Accept-Language"},
        mimetype="text/markdown",
        charset="utf-8",
    )


@serves(blueprint, _OUTDATED)
async def outdated_agreements(call: Call) -> func.HttpResponse:
    """List the tenants that share data and have not agreed to the notice in force."""
    limit, now = call.value(LIMIT), services().clock.now()
    one_more = await services().data_sharing.outdated(limit=limit + 1, after=call.value(_AFTER) or "")
    found = [OutdatedAgreementAnswer.of(each, services().notices, now) for each in one_more[:limit]]
    more = link(call.url, limit=limit, after=found[-1].tenant_id) if len(one_more) > limit else None
    return json_answer(OutdatedAgreementsAnswer(value=found, next_link=more).to_json())


def _preferred(accept_language: str, notice: Notice) -> str:
    """Return the language of a text of ``notice`` that the reader likes best: of de-CH, German will do (RFC 4647)."""
    for preferred, quality in parse_accept_header(accept_language, LanguageAccept):
        language = preferred.lower().partition("-")[0]
        if quality > 0 and language in notice.sha256:
            return language
    return DEFAULT_LOCALE
