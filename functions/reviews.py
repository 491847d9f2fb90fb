"""For reviewers and approvers, and for the tenant that wants to know what they did: grants, reading, the access log."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

import azure.functions as func
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from functions._http import (
    answering,
    caller_of,
    id_in_path,
    json_answer,
    page_answer,
    page_of,
    parsed_body,
    tenant_in_path,
)
from functions._openapi import (
    BEFORE,
    DAY_PATTERN,
    DAY_SCHEMA,
    LIMIT,
    Answer,
    Body,
    Operation,
    Page,
    Parameter,
    Who,
    serves,
)
from shared.bootstrap import services
from shared.identity.callers import Caller, allow
from shared.model.grants import DURATION_MAX, AccessRecord, GrantStatus, Purpose, ReviewGrant
from shared.model.items import ENROLLMENT_ID, EnrollmentId, Item
from shared.problems import (
    GeoNotServed,
    GrantNotPending,
    GrantRequired,
    InvalidRequest,
    NotFound,
    PurposeRefused,
    StepUpRequired,
)
from shared.review.access import GrantRequest

blueprint = func.Blueprint()

BODY_MAX_BYTES = 8 * 1024
LINES_MAX = 500
_DAY = re.compile(DAY_PATTERN)


def _whole(value: Any) -> Any:
    """Take 60.0 for 60, as JSON Schema does; texts and booleans stay what they are, and are refused."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ReviewGrantRequest(BaseModel):
    """The body of a POST that asks for a grant. ``purpose`` is any text: what it may not be is refused by its name."""

    model_config = ConfigDict(
        strict=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True, frozen=True
    )

    purpose: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    justification: Annotated[str, StringConstraints(min_length=20, max_length=500)]
    duration_minutes: Annotated[int, Field(ge=1, le=int(DURATION_MAX.total_seconds()) // 60), BeforeValidator(_whole)]
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
_APPROVED = GrantAnswer.of(_PENDING.approved("1f0a9d3c-7b64-4e25-8c1d-2a5e6f7b8c90", _NOW), _NOW)
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
_REVIEWER_PROBLEMS = (GrantRequired, NotFound, GeoNotServed, StepUpRequired)
_ASK = Operation(
    "POST",
    "Ask for a review grant.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    body=Body(_WISH, BODY_MAX_BYTES),
    answers={201: Answer("The grant, which another person has to approve.", GrantAnswer.of(_PENDING, _NOW))},
    problems=(PurposeRefused, NotFound, StepUpRequired),
)
_LIST = Operation(
    "GET",
    "Show the review grants for a tenant's captures, the newest request first.",
    tag=_TAG,
    who=(Who.REVIEWER, Who.APPROVER),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of grants.", GrantPageAnswer(value=[_APPROVED]))},
)
_APPROVE = Operation(
    "POST",
    "Approve another person's grant; its time begins.",
    tag=_TAG,
    who=(Who.APPROVER,),
    answers={200: Answer("The grant.", _APPROVED)},
    problems=(NotFound, GrantNotPending),
)
_REVOKE = Operation(
    "POST",
    "End a grant: one's own, or, as an approver, anyone's.",
    tag=_TAG,
    who=(Who.REVIEWER, Who.APPROVER),
    answers={200: Answer("The grant.", _APPROVED)},
    problems=(NotFound,),
)
LIST_CAPTURES = Operation(
    "GET",
    "Show the days that may be read under the caller's live grant, or the batches of a day. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    parameters=(
        Parameter("day", "query", "List this day's batches.", DAY_SCHEMA, "2026-11-21"),
        LIMIT,
        Parameter(
            "after",
            "query",
            "Only batches after this one.",
            {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            _EXAMPLE_ID,
        ),
    ),
    answers={200: Answer("Days or batches.", CapturesPageAnswer(value=[CapturesEntry(day=_NOW.date())]))},
    problems=_REVIEWER_PROBLEMS,
)
_BATCH = Operation(
    "GET",
    "Read one batch under the caller's live grant. It is on the record before anything is read.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    parameters=(
        Parameter("limit", "query", "How many captures.", {"type": "integer", "minimum": 1, "maximum": LINES_MAX}, 100),
        Parameter(
            "offset", "query", "How many to pass over.", {"type": "integer", "minimum": 0, "maximum": LINES_MAX}, 0
        ),
    ),
    answers={
        200: Answer(
            "Captures as JSON Lines.", '{"input": "..."}\n', headers=("Link",), media_type="application/x-ndjson"
        )
    },
    problems=_REVIEWER_PROBLEMS,
)
_LOG = Operation(
    "GET",
    "Show who read what, when and why, newest first.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of records.", AccessLogPageAnswer(value=[_READ]))},
)


@blueprint.function_name("review_grants")
@serves(blueprint, "tenants/{tenantId}/review-grants", _ASK, _LIST)
@answering
async def review_grants(req: func.HttpRequest) -> func.HttpResponse:
    """Ask for a grant, or show those there are."""
    return await (_request(req) if req.method == "POST" else _grants(req))


@blueprint.function_name("review_grant_approve")
@serves(blueprint, "tenants/{tenantId}/review-grants/{grantId}/approve", _APPROVE)
@answering
async def review_grant_approve(req: func.HttpRequest) -> func.HttpResponse:
    """Approve another person's grant; its time begins."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_approver)
    grant = await services().access.approve(tenant_id, id_in_path(req, "grantId"), caller.object_id)
    return _grant_answer(grant)


@blueprint.function_name("review_grant_revoke")
@serves(blueprint, "tenants/{tenantId}/review-grants/{grantId}/revoke", _REVOKE)
@answering
async def review_grant_revoke(req: func.HttpRequest) -> func.HttpResponse:
    """End a grant: one's own, or, as an approver, anyone's."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_reviewer, caller.is_approver)
    grant_id = id_in_path(req, "grantId")
    grant = await services().access.revoke(tenant_id, grant_id, caller.object_id, any_grant=caller.is_approver)
    return _grant_answer(grant)


@blueprint.function_name("batch")
@serves(blueprint, "tenants/{tenantId}/captures/{day}/{batchId}", _BATCH)
@answering
async def batch(req: func.HttpRequest) -> func.HttpResponse:
    """Show one batch as JSON Lines, by ``limit`` and ``offset`` in captures; each page is a look of its own."""
    caller = await _reviewer(req)
    tenant_id, day, batch_id = tenant_in_path(req), _day(req.route_params["day"]), id_in_path(req, "batchId")
    limit, offset = _number(req, "limit", LINES_MAX, 1, LINES_MAX), _number(req, "offset", 0, 0, LINES_MAX)
    content = await services().access.read(tenant_id, caller.object_id, day, batch_id)
    lines = content.splitlines(keepends=True)
    headers = {}
    if offset + limit < len(lines):
        url = req.url.partition("?")[0]
        headers["Link"] = f'<{url}?limit={limit}&offset={offset + limit}>; rel="next"'
    page = b"".join(lines[offset : offset + limit])
    return func.HttpResponse(page, headers=headers, mimetype="application/x-ndjson", charset="utf-8")


@blueprint.function_name("access_log")
@serves(blueprint, "tenants/{tenantId}/access-log", _LOG)
@answering
async def access_log(req: func.HttpRequest) -> func.HttpResponse:
    """Show the tenant who read what, when and why, newest first."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_operator)
    limit, before = page_of(req)
    records = await services().access.log(tenant_id, limit=limit, before=before)
    values = [record.to_json() for record in records]
    return page_answer(req, values, limit, records[-1].sequence if records else None)


async def list_captures(req: func.HttpRequest) -> func.HttpResponse:
    """Answer ``GET .../captures``: the days that may be read, or with ``day`` the ids of that day's batches."""
    caller = await _reviewer(req)
    tenant_id = tenant_in_path(req)
    if "day" not in req.params:
        days = await services().access.days(tenant_id, caller.object_id)
        return json_answer(CapturesPageAnswer(value=[CapturesEntry(day=day) for day in days]).to_json())
    day, after = _day(req.params["day"]), req.params.get("after")
    if after is not None and not ENROLLMENT_ID.fullmatch(after):
        raise InvalidRequest("after must be a batch id.")
    limit = _number(req, "limit", 50, 1, 200)
    ids = await services().access.batches(tenant_id, caller.object_id, day, limit=limit, after=after)
    more = f"{req.url.partition('?')[0]}?day={day}&limit={limit}&after={ids[-1]}" if len(ids) == limit else None
    entries = [CapturesEntry(day=day, batch_id=each) for each in ids]
    return json_answer(CapturesPageAnswer(value=entries, next_link=more).to_json())


async def _request(req: func.HttpRequest) -> func.HttpResponse:
    caller = await _reviewer(req)
    tenant_id = tenant_in_path(req)
    body = parsed_body(req, ReviewGrantRequest, BODY_MAX_BYTES)
    asked = GrantRequest(body.purpose, body.justification, body.duration_minutes, body.enrollment_id)
    return _grant_answer(await services().access.request(tenant_id, caller.object_id, asked), status=201)


async def _grants(req: func.HttpRequest) -> func.HttpResponse:
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_reviewer, caller.is_approver)
    limit, before = page_of(req)
    grants = await services().access.grants(tenant_id, limit=limit, before=before)
    now = services().clock.now()
    values = [GrantAnswer.of(each, now).to_json() for each in grants]
    return page_answer(req, values, limit, grants[-1].sequence if grants else None)


async def _reviewer(req: func.HttpRequest) -> Caller:
    """Return the caller if that is a reviewer with a sign-in as strong as reviewing demands (P7)."""
    caller = await caller_of(req)
    allow(caller.is_reviewer)
    if services().review_auth_context not in caller.auth_contexts:
        raise StepUpRequired(services().review_auth_context)
    return caller


def _grant_answer(grant: ReviewGrant, status: int = 200) -> func.HttpResponse:
    return json_answer(GrantAnswer.of(grant, services().clock.now()).to_json(), status=status)


def _day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest("A day must be written as in 2026-11-21.")


def _number(req: func.HttpRequest, name: str, default: int, least: int, most: int) -> int:
    text = req.params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,3}", text) or not least <= int(text) <= most:
        raise InvalidRequest(f"{name} must be a whole number from {least} to {most}.")
    return int(text)
