"""For the admin center: the toggle and its history."""

import re

import azure.functions as func
from pydantic import BaseModel, ConfigDict

from functions._http import answering, caller_of, json_answer, page_answer, page_of, parsed_body, tenant_in_path
from shared.bootstrap import services
from shared.callers import allow
from shared.data_sharing import Wish
from shared.items import format_instant
from shared.ledger import Setting
from shared.problems import PreconditionFailed

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024
_ETAGS = re.compile(r'\s*"([0-9]{1,9})"\s*')


class DataSharingRequest(BaseModel):
    """The body of a PUT."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    enabled: bool
    geo: str | None = None


@blueprint.function_name("data_sharing")
@blueprint.route("tenants/{tenantId}/data-sharing", methods=["GET", "PUT"])
@answering
async def data_sharing(req: func.HttpRequest) -> func.HttpResponse:
    """Show or change whether a tenant shares data. One function for both: the host gives a route to one only."""
    return await (_put(req) if req.method == "PUT" else _get(req))


@blueprint.function_name("data_sharing_history")
@blueprint.route("tenants/{tenantId}/data-sharing/history", methods=["GET"])
@answering
async def data_sharing_history(req: func.HttpRequest) -> func.HttpResponse:
    """Show a tenant's ledger, newest first."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_operator)
    limit, before = page_of(req)
    events = await services().data_sharing.history(tenant_id, limit=limit, before=before)
    return page_answer(req, [event.to_json() for event in events], limit, events[-1].sequence if events else None)


async def _get(req: func.HttpRequest) -> func.HttpResponse:
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_capture_service, caller.is_operator)
    return _setting_answer(await services().data_sharing.get(tenant_id))


async def _put(req: func.HttpRequest) -> func.HttpResponse:
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id))
    body = parsed_body(req, DataSharingRequest, BODY_MAX_BYTES)
    wish = Wish(body.enabled, body.geo, caller.object_id, _sequence(req.headers.get("if-match")))
    return _setting_answer(await services().data_sharing.put(tenant_id, wish))


def _sequence(if_match: str | None) -> int | None:
    """Return the ledger sequence that ``If-Match`` demands; None for none, and for ``*``, which every setting meets."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAGS.fullmatch(if_match)
    if match is None:
        raise PreconditionFailed("If-Match is no ETag of a data-sharing setting.")
    return int(match[1])


def _setting_answer(setting: Setting) -> func.HttpResponse:
    enrollment = setting.enrollment
    body = {
        "tenantId": setting.tenant_id,
        "enabled": setting.enabled,
        "geo": enrollment.geo if enrollment else None,
        "enrollmentId": enrollment.enrollment_id if enrollment else None,
        "since": format_instant(setting.since) if setting.since else None,
    }
    return json_answer(body, headers={"ETag": f'"{setting.sequence}"'})
