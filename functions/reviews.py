"""For reviewers and approvers, and for the tenant that wants to know what they did: grants, reading, the access log."""

import unicodedata
from datetime import UTC, date, datetime
from typing import Annotated, Self

import azure.functions as func
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from functions._api.answers import Page, SparseAnswerModel, json_answer, link, page_answer
from functions._api.http import Call, serves
from functions._api.json_text import whole
from functions._api.operations import Answer, Body, Operation
from functions._api.parameters import BATCH_ID, BEFORE, DAY, LIMIT, Parameter, id_in_path, number, text
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model.capture import BATCH_MAX, Capture
from shared.model.grants import DURATION_MAX, AccessRecord, GrantStatus, Purpose, ReviewGrant
from shared.model.items import ENROLLMENT_ID, EnrollmentId, Instant, Item
from shared.model.requests import RequestModel
from shared.problems import (
    GeoNotServed,
    GrantNotPending,
    GrantRequired,
    NotFound,
    PurposeRefused,
)
from shared.review.record import GrantRequest

blueprint = func.Blueprint()

BODY_MAX_BYTES = 8 * 1024
_VISIBLE_MIN = 20
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"


def _says_something(text: str) -> str:
    # Letters, digits, marks of their own width, punctuation and symbols; these few are letters by name alone.
    visible = [each for each in text if unicodedata.category(each)[0] in "LNPS" or unicodedata.category(each) == "Mc"]
    if len(visible) - sum(map(visible.count, _BLANK_LETTERS)) < _VISIBLE_MIN:
        raise ValueError(f"must have at least {_VISIBLE_MIN} characters that one can see")
    return text


class ReviewGrantRequest(RequestModel):
    """The body of a POST that asks for a grant. A ``purpose`` that is none of ours is refused by its name."""

    purpose: Annotated[
        str,
        StringConstraints(min_length=1, max_length=200),
        Field(json_schema_extra={"enum": [each.value for each in Purpose]}),
    ]
    justification: Annotated[
        str,
        StringConstraints(max_length=500),
        AfterValidator(_says_something),
        Field(min_length=_VISIBLE_MIN, description=f"At least {_VISIBLE_MIN} characters that one can see."),
    ]
    duration_minutes: Annotated[int, Field(ge=1, le=int(DURATION_MAX.total_seconds()) // 60), BeforeValidator(whole)]
    enrollment_id: EnrollmentId | None = None


class GrantAnswer(ReviewGrant):
    """A review grant, and how it stands now."""

    stands: Annotated[GrantStatus, Field(alias="status")]

    @classmethod
    def of(cls, grant: ReviewGrant, now: datetime) -> Self:
        """Return what to say of a grant at ``now``."""
        return cls(**dict(grant), stands=grant.status(now))


class GrantPageAnswer(Page[GrantAnswer]):
    """Review grants, the newest request first."""


class PendingGrantAnswer(GrantAnswer):
    """A grant that waits for an approver, until it lapses at ``lapsesAt``."""

    lapses_at: Instant

    @classmethod
    def of(cls, grant: ReviewGrant, now: datetime) -> Self:
        """Return what to say of a grant at ``now``."""
        return cls(**dict(grant), stands=grant.status(now), lapses_at=grant.lapse)


class PendingGrantsAnswer(SparseAnswerModel):
    """The grants that wait for an approver, of all tenants, the one that lapses first first."""

    value: list[PendingGrantAnswer]


class GrantUse(Item):
    """How often something was done under a grant; ``action`` is as in the access log."""

    action: str
    count: int


class GrantUsesAnswer(SparseAnswerModel):
    """What a grant was used for."""

    value: list[GrantUse]


class CapturesEntry(Item):
    """A day of which there are captures, or, with ``batchId``, a batch of it."""

    day: date
    batch_id: str | None = None


class CapturesPageAnswer(Page[CapturesEntry]):
    """Days, oldest first, or batches."""


class AccessLogPageAnswer(Page[AccessRecord]):
    """Records, newest first."""


_TAG = "Review"
_EXAMPLE_ID = "0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a"
_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_REASON = "Formulas are refused too often; see why."
_PENDING = ReviewGrant(
    grant_id=_EXAMPLE_ID,
    tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    enrollment_id="5b1e9c7d3f2a4860b7c8d9e0f1a2b3c4",
    sequence=1,
    purpose=Purpose.IMPROVE,
    justification=_REASON,
    duration_minutes=60,
    requested_by="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
    requested_at=_NOW,
)
_LIVE = _PENDING.approved("1f0a9d3c-7b64-4e25-8c1d-2a5e6f7b8c90", _NOW)
_APPROVED = GrantAnswer.of(_LIVE, _NOW)
_REVOKED = GrantAnswer.of(_LIVE.revoked(_PENDING.requested_by, _NOW), _NOW)
_LINE = Capture.model_validate(
    {
        "capturedAt": "2026-11-21T12:00:00Z",
        "feature": "power-fx.formula",
        "input": "Total of all open orders",
        "output": 'Sum(Filter(Orders, Status = "Open"), Amount)',
        "telemetry": {"latencyMs": 812},
    }
).model_dump_json(by_alias=True, exclude_none=True)
_READ = AccessRecord(
    tenant_id=_PENDING.tenant_id,
    sequence=3,
    record_id=_EXAMPLE_ID,
    at=_NOW,
    action="read",
    actor=_PENDING.requested_by,
    purpose=_PENDING.purpose,
    justification=_REASON,
    grant_id=_EXAMPLE_ID,
    enrollment_id=_PENDING.enrollment_id,
    day="2026-11-21",
    batch_id=_EXAMPLE_ID,
)
_WISH = ReviewGrantRequest.model_validate({"purpose": "improve", "justification": _REASON, "durationMinutes": 60})
_BODY = Body(_WISH, BODY_MAX_BYTES)
_GRANT_ID = id_in_path("grantId", "A review grant, as its POST answered it.")
_DAY_LISTED = DAY.in_query("List this day's batches.")
_AFTER: Parameter[str | None] = text(
    "after",
    "query",
    "Only batches after this one.",
    ENROLLMENT_ID.pattern,
    _EXAMPLE_ID,
    "after must be a batch id, 32 lower-case hexadecimal digits.",
    read=str,
    absent=None,
)
_LINES = number("limit", "How many captures.", 1, BATCH_MAX, 100, absent=None)
_OFFSET = number("offset", "How many to pass over.", 0, BATCH_MAX, 0, absent=None)
_ASK = Operation(
    "ReviewGrants_Create",
    "POST",
    "tenants/{tenantId}/review-grants",
    "Ask for a review grant.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    body=_BODY,
    answers={201: Answer("The grant, which another person has to approve.", GrantAnswer.of(_PENDING, _NOW))},
    problems=(PurposeRefused, NotFound(NotFound.NEVER_SHARED)),
)
_LIST = Operation(
    "ReviewGrants_List",
    "GET",
    "tenants/{tenantId}/review-grants",
    "Show the review grants for a tenant's captures, the newest request first.",
    tag=_TAG,
    who=(Who.REVIEWER, Who.APPROVER),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of grants.", GrantPageAnswer(value=[_APPROVED]))},
)
_PENDING_LIST = Operation(
    "PendingGrants_List",
    "GET",
    "pending-grants",
    "List the review grants of all tenants that wait for an approver, the one that lapses first first.",
    tag=_TAG,
    who=(Who.APPROVER,),
    parameters=(LIMIT,),
    answers={
        200: Answer("As many as were asked for.", PendingGrantsAnswer(value=[PendingGrantAnswer.of(_PENDING, _NOW)]))
    },
    description="Nobody approves a grant that they asked for themselves (requestedBy). What is decided on leaves the "
    "list, and others move up.",
)
_APPROVE = Operation(
    "ReviewGrants_Approve",
    "POST",
    "tenants/{tenantId}/review-grants/{grantId}/approve",
    "Approve another person's grant; its time begins.",
    tag=_TAG,
    who=(Who.APPROVER,),
    parameters=(_GRANT_ID,),
    answers={200: Answer("The grant.", _APPROVED)},
    problems=(NotFound, GrantNotPending),
)
_REVOKE = Operation(
    "ReviewGrants_Revoke",
    "POST",
    "tenants/{tenantId}/review-grants/{grantId}/revoke",
    "End a grant: one's own, or, as an approver, anyone's.",
    tag=_TAG,
    who=(Who.REVIEWER, Who.APPROVER),
    parameters=(_GRANT_ID,),
    answers={200: Answer("The grant.", _REVOKED)},
    problems=(NotFound,),
)
_USES = Operation(
    "ReviewGrants_Uses",
    "GET",
    "tenants/{tenantId}/review-grants/{grantId}/uses",
    "Show what a grant was used for: how often what was done under it.",
    tag=_TAG,
    who=(Who.APPROVER,),
    parameters=(_GRANT_ID,),
    answers={
        200: Answer(
            "Each action that was done, with its number; none if the grant was not used.",
            GrantUsesAnswer(value=[GrantUse(action="listed", count=2), GrantUse(action="read", count=7)]),
        )
    },
    problems=(NotFound,),
    description="The actions are those of the access log; that the grant was asked for, approved and revoked is not "
    "among them.",
)
_LIST_CAPTURES = Operation(
    "Captures_List",
    "GET",
    "tenants/{tenantId}/captures",
    "Show the days that may be read under the caller's live grant, or the batches of a day. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(_DAY_LISTED, LIMIT, _AFTER),
    answers={200: Answer("Days or batches.", CapturesPageAnswer(value=[CapturesEntry(day=_NOW.date())]))},
    problems=(GrantRequired, NotFound(NotFound.DAY), GeoNotServed(GeoNotServed.TENANTS_GEO)),
)
_BATCH = Operation(
    "Captures_Read",
    "GET",
    "tenants/{tenantId}/captures/{day}/{batchId}",
    "Read one batch under the caller's live grant. It is on the record before anything is read.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(DAY, BATCH_ID, _LINES, _OFFSET),
    answers={
        200: Answer("Captures as JSON Lines.", f"{_LINE}\n", headers=("Link",), media_type="application/x-ndjson")
    },
    problems=(GrantRequired, NotFound(NotFound.BATCH), GeoNotServed(GeoNotServed.TENANTS_GEO)),
)
_LOG = Operation(
    "AccessLog_List",
    "GET",
    "tenants/{tenantId}/access-log",
    "Show who read what, when and why, newest first.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of records.", AccessLogPageAnswer(value=[_READ]))},
)


@serves(blueprint, _ASK)
async def review_grant_request(call: Call) -> func.HttpResponse:
    """Ask for a review grant."""
    body = call.body(_BODY)
    asked = GrantRequest(body.purpose, body.justification, body.duration_minutes, body.enrollment_id)
    return _grant_answer(await services().access.request(call.tenant_id, call.caller.object_id, asked), status=201)


@serves(blueprint, _LIST)
async def review_grants(call: Call) -> func.HttpResponse:
    """Show the review grants for a tenant's captures, the newest request first."""
    limit = call.value(LIMIT)
    grants = await services().access.grants(call.tenant_id, limit=limit, before=call.value(BEFORE))
    now = services().clock.now()
    values = [GrantAnswer.of(each, now).to_json() for each in grants.values]
    return page_answer(call.url, limit, grants, values)


@serves(blueprint, _PENDING_LIST)
async def pending_grants(call: Call) -> func.HttpResponse:
    """List the review grants that wait for an approver."""
    found, now = await services().access.pending(limit=call.value(LIMIT)), services().clock.now()
    return json_answer(PendingGrantsAnswer(value=[PendingGrantAnswer.of(each, now) for each in found]).to_json())


@serves(blueprint, _APPROVE)
async def review_grant_approve(call: Call) -> func.HttpResponse:
    """Approve another person's grant; its time begins."""
    grant_id = call.value(_GRANT_ID)
    return _grant_answer(await services().access.approve(call.tenant_id, grant_id, call.caller.object_id))


@serves(blueprint, _REVOKE)
async def review_grant_revoke(call: Call) -> func.HttpResponse:
    """End a grant: one's own, or, as an approver, anyone's."""
    caller, grant_id = call.caller, call.value(_GRANT_ID)
    grant = await services().access.revoke(call.tenant_id, grant_id, caller.object_id, any_grant=caller.is_approver)
    return _grant_answer(grant)


@serves(blueprint, _USES)
async def review_grant_uses(call: Call) -> func.HttpResponse:
    """Show what a grant was used for."""
    uses = await services().access.uses(call.tenant_id, call.value(_GRANT_ID))
    value = [GrantUse(action=action, count=count) for action, count in uses.items()]
    return json_answer(GrantUsesAnswer(value=value).to_json())


@serves(blueprint, _LIST_CAPTURES)
async def captures_list(call: Call) -> func.HttpResponse:
    """Show the days that may be read, or with ``day`` the ids of that day's batches."""
    access, reviewer, day = services().access, call.caller.object_id, call.value(_DAY_LISTED)
    if day is None:
        days = await access.days(call.tenant_id, reviewer)
        return json_answer(CapturesPageAnswer(value=[CapturesEntry(day=each) for each in days]).to_json())
    after, limit = call.value(_AFTER), call.value(LIMIT)
    one_more = await access.batches(call.tenant_id, reviewer, day, limit=limit + 1, after=after)
    ids = one_more[:limit]
    more = link(call.url, day=day, limit=limit, after=ids[-1]) if len(one_more) > limit else None
    entries = [CapturesEntry(day=day, batch_id=each) for each in ids]
    return json_answer(CapturesPageAnswer(value=entries, next_link=more).to_json())


@serves(blueprint, _BATCH)
async def batch(call: Call) -> func.HttpResponse:
    """Show one batch as JSON Lines, by ``limit`` and ``offset`` in captures; each page is a look of its own."""
    day, batch_id = call.value(DAY), call.value(BATCH_ID)
    limit, offset = call.value(_LINES) or BATCH_MAX, call.value(_OFFSET) or 0
    content = await services().access.read(call.tenant_id, call.caller.object_id, day, batch_id)
    lines = content.splitlines(keepends=True)
    headers = {}
    if offset + limit < len(lines):
        headers["Link"] = f'<{link(call.url, limit=limit, offset=offset + limit)}>; rel="next"'
    page = b"".join(lines[offset : offset + limit])
    return func.HttpResponse(page, headers=headers, mimetype="application/x-ndjson", charset="utf-8")


@serves(blueprint, _LOG)
async def access_log(call: Call) -> func.HttpResponse:
    """Show the tenant who read what, when and why, newest first."""
    limit = call.value(LIMIT)
    records = await services().access.log(call.tenant_id, limit=limit, before=call.value(BEFORE))
    return page_answer(call.url, limit, records, [record.to_json() for record in records.values])


def _grant_answer(grant: ReviewGrant, status: int = 200) -> func.HttpResponse:
    return json_answer(GrantAnswer.of(grant, services().clock.now()).to_json(), status=status)
