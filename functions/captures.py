"""For Copilot services: posting captures."""

import re

import azure.functions as func

from functions._http import answering, caller_of, json_answer, parsed_body, tenant_in_path
from shared.bootstrap import services
from shared.callers import allow
from shared.captures import CaptureBatch, Submission
from shared.items import format_instant
from shared.problems import InvalidRequest

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024 * 1024
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@blueprint.function_name("captures")
@blueprint.route("tenants/{tenantId}/captures", methods=["POST"])
@answering
async def captures(req: func.HttpRequest) -> func.HttpResponse:
    """Store a batch of captures of a tenant that shares data."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_capture_service)
    batch = parsed_body(req, CaptureBatch, BODY_MAX_BYTES)
    submission = Submission(caller.app_id, _idempotency_key(req), req.get_body(), batch)
    stored = await services().captures.submit(tenant_id, submission)
    answer = {
        "batchId": stored.batch_id,
        "accepted": stored.accepted,
        "enrollmentId": stored.enrollment_id,
        "expiresAt": format_instant(stored.expires_at),
    }
    return json_answer(answer, status=201 if stored.created else 200)


def _idempotency_key(req: func.HttpRequest) -> str:
    key = str(req.headers.get("idempotency-key", ""))
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key must be 1 to 200 visible ASCII characters.")
    return key
