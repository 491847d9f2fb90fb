"""For the tenant's administrator: what became of the data after an opt-out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

import azure.functions as func
from pydantic import Field

from functions._http import answering, caller_of, id_in_path, json_answer, page_answer, page_of, tenant_in_path
from functions._openapi import BEFORE, LIMIT, Answer, Operation, Page, Who, serves
from shared.bootstrap import services
from shared.identity.callers import allow
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedOut
from shared.problems import NotFound

blueprint = func.Blueprint()


class DeletionAnswer(Deletion):
    """What one opt-out owes: ``overdue`` is true if its deadline has passed without a receipt."""

    is_overdue: Annotated[bool, Field(alias="overdue")]

    @classmethod
    def of(cls, each: Deletion, now: datetime) -> Self:
        """Return what to say of a deletion at ``now``."""
        return cls(**dict(each), is_overdue=each.overdue(now))


class DeletionPageAnswer(Page[DeletionAnswer]):
    """Deletions, the newest opt-out first."""


_TAG = "Deletions"
_STARTED = datetime(2026, 11, 21, 12, tzinfo=UTC)
_OPTED_OUT = _STARTED + timedelta(days=1)
_EXAMPLE = DeletionAnswer.of(
    Deletion.owed_for(
        OptedOut(
            enrollment_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
            geo="europe",
            storage_account="steurope",
            started_at=_STARTED,
            tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
            sequence=2,
            at=_OPTED_OUT,
            actor="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
            previous_hash=FIRST_PREVIOUS_HASH,
            deadline=deadlines.deletion_deadline(_OPTED_OUT),
        )
    ),
    _OPTED_OUT,
)
_LIST = Operation(
    "GET",
    "Show a tenant's deletions, the newest opt-out first.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of deletions.", DeletionPageAnswer(value=[_EXAMPLE]))},
)
_GET = Operation(
    "GET",
    "Show one deletion, with its receipt once there is one.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    answers={200: Answer("The deletion.", _EXAMPLE)},
    problems=(NotFound,),
)
_EXPEDITE = Operation(
    "POST",
    "Let a deletion begin with the next purge; its deadline stays.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    answers={202: Answer("The deletion.", _EXAMPLE)},
    problems=(NotFound,),
)


@blueprint.function_name("deletions")
@serves(blueprint, "tenants/{tenantId}/deletions", _LIST)
@answering
async def deletions(req: func.HttpRequest) -> func.HttpResponse:
    """Show a tenant's deletions, the newest opt-out first."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_operator)
    limit, before = page_of(req)
    found = await services().deletions.list(tenant_id, limit=limit, before=before)
    now = services().clock.now()
    values = [DeletionAnswer.of(each, now).to_json() for each in found]
    return page_answer(req, values, limit, found[-1].sequence if found else None)


@blueprint.function_name("deletion")
@serves(blueprint, "tenants/{tenantId}/deletions/{enrollmentId}", _GET)
@answering
async def deletion(req: func.HttpRequest) -> func.HttpResponse:
    """Show one deletion, with its receipt once there is one."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id), caller.is_operator)
    found = await services().deletions.get(tenant_id, id_in_path(req, "enrollmentId"))
    return json_answer(DeletionAnswer.of(found, services().clock.now()).to_json())


@blueprint.function_name("deletion_expedite")
@serves(blueprint, "tenants/{tenantId}/deletions/{enrollmentId}/expedite", _EXPEDITE)
@answering
async def deletion_expedite(req: func.HttpRequest) -> func.HttpResponse:
    """Let a deletion begin with the next purge; its deadline stays."""
    caller = await caller_of(req)
    tenant_id = tenant_in_path(req)
    allow(caller.is_admin_of(tenant_id))
    now = services().clock.now()
    expedited = await services().deletions.expedite(tenant_id, id_in_path(req, "enrollmentId"), now=now)
    return json_answer(DeletionAnswer.of(expedited, now).to_json(), status=202)
