"""For the tenant's administrator: what became of the data after an opt-out."""

from datetime import datetime
from typing import Any

import azure.functions as func

from functions._http import answering, caller_of, json_answer, page_answer, page_of, tenant_in_path
from shared.bootstrap import services
from shared.callers import allow
from shared.deletions import Deletion
from shared.items import ENROLLMENT_ID
from shared.problems import InvalidRequest

blueprint = func.Blueprint()


@blueprint.function_name("deletions")
@blueprint.route("tenants/{tenantId}/deletions", methods=["GET"])
@answering
async def deletions(req: func.HttpRequest) -> func.HttpResponse:
    """Show a tenant's deletions, the newest opt-out first."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_operator)
    limit, before = page_of(req)
    found = await services().deletions.list(tenant_id, limit=limit, before=before)
    now = services().clock.now()
    return page_answer(req, [_body(each, now) for each in found], limit, found[-1].sequence if found else None)


@blueprint.function_name("deletion")
@blueprint.route("tenants/{tenantId}/deletions/{enrollmentId}", methods=["GET"])
@answering
async def deletion(req: func.HttpRequest) -> func.HttpResponse:
    """Show one deletion, with its receipt once there is one."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_operator)
    found = await services().deletions.get(tenant_id, _enrollment_in_path(req))
    return json_answer(_body(found, services().clock.now()))


@blueprint.function_name("deletion_expedite")
@blueprint.route("tenants/{tenantId}/deletions/{enrollmentId}/expedite", methods=["POST"])
@answering
async def deletion_expedite(req: func.HttpRequest) -> func.HttpResponse:
    """Let a deletion begin with the next purge; its deadline stays."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id))
    now = services().clock.now()
    expedited = await services().deletions.expedite(tenant_id, _enrollment_in_path(req), now=now)
    return json_answer(_body(expedited, now), status=202)


def _enrollment_in_path(req: func.HttpRequest) -> str:
    enrollment_id = str(req.route_params["enrollmentId"]).lower()
    if not ENROLLMENT_ID.fullmatch(enrollment_id):
        raise InvalidRequest("The enrollment id in the path must be 32 hexadecimal digits.")
    return enrollment_id


def _body(each: Deletion, now: datetime) -> dict[str, Any]:
    return {**each.to_json(), "overdue": each.overdue(now)}
