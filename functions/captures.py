"""For Copilot services: posting captures. (Reading them is in ``reviews``.)"""

from datetime import UTC, datetime

import azure.functions as func

from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Body, Operation
from functions._api.parameters import text
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model.capture import Capture, CaptureBatch, Submission
from shared.model.items import EnrollmentId, Instant
from shared.problems import (
    AgreementRanOut,
    CapturedTooEarly,
    CapturedTooLate,
    DataSharingOff,
    GeoNotServed,
    IdempotencyKeyReused,
)

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024 * 1024


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
_KEY = text(
    "Idempotency-Key",
    "header",
    "Names the batch: send the same bytes with the same key again after a lost answer or a 5xx.",
    "[!-+.-~-]{1,200}",
    "8d3f4d0e-4f6b-4a55-9d0c-2f6b1f6f9a51",
    "Idempotency-Key must be one key of 1 to 200 visible ASCII characters without a comma.",
    read=str,
    once=True,
)
BODY = Body(CaptureBatch(captures=[_EXAMPLE]), BODY_MAX_BYTES)
_POST = Operation(
    "Captures_Create",
    "POST",
    "tenants/{tenantId}/captures",
    "Store a batch of captures of a tenant that shares data.",
    tag="Captures",
    who=(Who.CAPTURE_SERVICE,),
    parameters=(_KEY,),
    body=BODY,
    answers={
        201: Answer("The batch is stored, all of it.", _ANSWER),
        200: Answer("It was stored before, by a request with the same key and body.", _ANSWER),
    },
    problems=(
        DataSharingOff,
        AgreementRanOut,
        GeoNotServed(GeoNotServed.TENANTS_GEO),
        CapturedTooEarly,
        CapturedTooLate,
        IdempotencyKeyReused,
    ),
)


@serves(blueprint, _POST)
async def captures(call: Call) -> func.HttpResponse:
    """Store a batch of captures."""
    batch = call.body(BODY)
    submission = Submission(call.caller.app_id, call.value(_KEY), call.content, batch)
    stored = await services().captures.submit(call.tenant_id, submission)
    answer = BatchAnswer(
        batch_id=stored.batch_id,
        accepted=stored.accepted,
        enrollment_id=stored.enrollment_id,
        expires_at=stored.expires_at,
    )
    return json_answer(answer.to_json(), status=201 if stored.created else 200)
