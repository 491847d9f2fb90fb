"""For the admin center: the toggle and its history."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions._http import answering, caller_of, json_answer, page_answer, page_of, parsed_body, tenant_in_path
from functions._openapi import BEFORE, IF_MATCH, LIMIT, Answer, AnswerModel, Body, Operation, Page, Who, serves
from shared.bootstrap import services
from shared.identity.callers import allow
from shared.model.geos import GEOS
from shared.model.items import EnrollmentId, Instant, TenantId
from shared.model.ledger import FIRST_PREVIOUS_HASH, Event, OptedIn, Setting
from shared.problems import GeoNotServed, GeoPinned, PreconditionFailed, TooManyOptIns, UnknownGeo
from shared.sharing.data_sharing import RequestedChange

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024
_ETAGS = re.compile(r'\s*"([0-9]{1,9})"\s*')


# To opt out, geo means nothing and may be anything.
_GEO_TO_OPT_IN: dict[str, Any] = {
    "if": {"properties": {"enabled": {"const": True}}},
    "then": {"properties": {"geo": {"enum": sorted(GEOS)}}, "required": ["geo"]},
}


class DataSharingRequest(BaseModel):
    """The body of a PUT."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True, json_schema_extra=_GEO_TO_OPT_IN)

    enabled: bool
    geo: str | None = Field(None, description="Where the data shall stay; needed to opt in.")


class DataSharingAnswer(AnswerModel):
    """A tenant's setting; ``geo`` and ``enrollmentId`` are null while data sharing is off."""

    tenant_id: TenantId
    enabled: bool
    geo: str | None
    enrollment_id: EnrollmentId | None
    since: Instant | None

    @classmethod
    def of(cls, setting: Setting) -> Self:
        """Return what to say of ``setting``."""
        enrollment = setting.enrollment
        return cls(
            tenant_id=setting.tenant_id,
            enabled=setting.enabled,
            geo=enrollment.geo if enrollment else None,
            enrollment_id=enrollment.enrollment_id if enrollment else None,
            since=setting.since,
        )


class LedgerPageAnswer(Page[Annotated[Event, Field(discriminator="kind")]]):
    """Ledger events, newest first."""


_TAG = "Data sharing"
_SINCE = datetime(2026, 11, 21, 12, tzinfo=UTC)
_OPTED_IN = OptedIn(
    enrollment_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
    geo="europe",
    storage_account="steurope",
    started_at=_SINCE,
    tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    sequence=1,
    at=_SINCE,
    actor="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
    previous_hash=FIRST_PREVIOUS_HASH,
)
_SETTING = Answer(
    "The setting.",
    DataSharingAnswer(
        tenant_id=_OPTED_IN.tenant_id,
        enabled=True,
        geo=_OPTED_IN.geo,
        enrollment_id=_OPTED_IN.enrollment_id,
        since=_SINCE,
    ),
    headers=("ETag",),
)
_GET = Operation(
    "GET",
    "Show whether a tenant shares data.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.CAPTURE_SERVICE, Who.OPERATOR),
    answers={200: _SETTING},
    description="A tenant never seen is off.",
)
_PUT = Operation(
    "PUT",
    "Switch data sharing on or off.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    parameters=(IF_MATCH,),
    body=Body(DataSharingRequest(enabled=True, geo="europe"), BODY_MAX_BYTES),
    answers={200: _SETTING},
    problems=(GeoPinned, PreconditionFailed, GeoNotServed, UnknownGeo, TooManyOptIns),
    description="A change is answered after at least two seconds: once the answer to an opt-out has arrived, no "
    "instance accepts captures any more. The same state again is no new event. To move to another geo, opt out first.",
)
_HISTORY = Operation(
    "GET",
    "Show a tenant's ledger, newest first.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of the ledger.", LedgerPageAnswer(value=[_OPTED_IN]))},
)


@blueprint.function_name("data_sharing")
@serves(blueprint, "tenants/{tenantId}/data-sharing", _GET, _PUT)
@answering
async def data_sharing(req: func.HttpRequest) -> func.HttpResponse:
    """Show or change whether a tenant shares data. One function for both: the host gives a route to one only."""
    return await (_put(req) if req.method == "PUT" else _get(req))


@blueprint.function_name("data_sharing_history")
@serves(blueprint, "tenants/{tenantId}/data-sharing/history", _HISTORY)
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
    requested = RequestedChange(body.enabled, body.geo, caller.object_id, _sequence(req.headers.get("if-match")))
    return _setting_answer(await services().data_sharing.put(tenant_id, requested))


def _sequence(if_match: str | None) -> int | None:
    """Return the ledger sequence that ``If-Match`` demands; None for none, and for ``*``, which every setting meets."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAGS.fullmatch(if_match)
    if match is None:
        raise PreconditionFailed("If-Match is no ETag of a data-sharing setting.")
    return int(match[1])


def _setting_answer(setting: Setting) -> func.HttpResponse:
    return json_answer(DataSharingAnswer.of(setting).to_json(), headers={"ETag": f'"{setting.sequence}"'})
