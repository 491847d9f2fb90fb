"""For Copilot services: posting captures. (Reading them is in ``reviews``.)"""

import re
from datetime import UTC, datetime

import azure.functions as func

from functions._http import answering, caller_of, json_answer, parsed_body, tenant_in_path
from functions._openapi import IDEMPOTENCY_KEY, Answer, AnswerModel, Body, Operation, Who, serves
from functions.reviews import LIST_CAPTURES, list_captures
from shared.bootstrap import services
from shared.identity.callers import allow
from shared.model.capture import Capture, CaptureBatch, Submission
from shared.model.items import EnrollmentId, Instant
from shared.problems import (
    CapturedTooEarly,
    CapturedTooLate,
    DataSharingOff,
    GeoNotServed,
    IdempotencyKeyReused,
    InvalidRequest,
)

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024 * 1024
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class BatchAnswer(AnswerModel):
    """What became of a batch: ``expiresAt`` is when retention will have deleted it at the latest."""

    batch_id: str
    accepted: int
    enrollment_id: EnrollmentId
    expires_at: Instant


_ANSWER = BatchAnswer(
    batch_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
    accepted=1,
    enrollment_id="5b1e9c7d3f2a4860b7c8d9e0f1a2b3c4",
    expires_at=datetime(2026, 12, 21, tzinfo=UTC),
)
_EXAMPLE = Capture.model_validate(
    {
        "capturedAt": "2026-11-21T12:00:00Z",
        "feature": "power-fx.formula",
        "input": "Total of all open orders",
        "output": 'Sum(Filter(Orders, Status = "Open"), Amount)',
        "telemetry": {"latencyMs": 812, "accepted": True},
    }
)
_POST = Operation(
    "POST",
    "Store a batch of captures of a tenant that shares data.",
    tag="Captures",
    who=(Who.CAPTURE_SERVICE,),
    parameters=(IDEMPOTENCY_KEY,),
    body=Body(CaptureBatch(captures=[_EXAMPLE]), BODY_MAX_BYTES),
    answers={
        201: Answer("The batch is stored, all of it.", _ANSWER),
        200: Answer("It was stored before, by a request with the same key and body.", _ANSWER),
    },
    problems=(DataSharingOff, GeoNotServed, CapturedTooEarly, CapturedTooLate, IdempotencyKeyReused),
)


@blueprint.function_name("captures")
@serves(blueprint, "tenants/{tenantId}/captures", _POST, LIST_CAPTURES)
@answering
async def captures(req: func.HttpRequest) -> func.HttpResponse:
    """Store a batch of captures, or list what is stored. One function for both: the host gives a route to one only."""
    return await (_post(req) if req.method == "POST" else list_captures(req))


async def _post(req: func.HttpRequest) -> func.HttpResponse:
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_capture_service)
    batch = parsed_body(req, CaptureBatch, BODY_MAX_BYTES)
    submission = Submission(caller.app_id, _idempotency_key(req), req.get_body(), batch)
    stored = await services().captures.submit(tenant_id, submission)
    answer = BatchAnswer(
        batch_id=stored.batch_id,
        accepted=stored.accepted,
        enrollment_id=stored.enrollment_id,
        expires_at=stored.expires_at,
    )
    return json_answer(answer.to_json(), status=201 if stored.created else 200)


def _idempotency_key(req: func.HttpRequest) -> str:
    key = str(req.headers.get("idempotency-key", ""))
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key must be 1 to 200 visible ASCII characters.")
    return key
