"""For the tenant's administrator: what became of the data after an opt-out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

import azure.functions as func
from pydantic import Field

from functions._api.answers import Page, json_answer, page_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Operation
from functions._api.parameters import BEFORE, LIMIT, id_in_path
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedOut
from shared.problems import DeletionFinished, NotFound

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
_ENROLLMENT_ID = id_in_path(
    "enrollmentId", "The enrollment whose data is deleted: 32 hexadecimal digits; letter case does not matter."
)
_LIST = Operation(
    "Deletions_List",
    "GET",
    "tenants/{tenantId}/deletions",
    "Show a tenant's deletions, the newest opt-out first.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of deletions.", DeletionPageAnswer(value=[_EXAMPLE]))},
)
_GET = Operation(
    "Deletions_Get",
    "GET",
    "tenants/{tenantId}/deletions/{enrollmentId}",
    "Show one deletion, with its receipt once there is one.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(_ENROLLMENT_ID,),
    answers={200: Answer("The deletion.", _EXAMPLE)},
    problems=(NotFound(NotFound.DELETION),),
)
_EXPEDITE = Operation(
    "Deletions_Expedite",
    "POST",
    "tenants/{tenantId}/deletions/{enrollmentId}/expedite",
    "Let a deletion begin with the next purge; its deadline stays.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    parameters=(_ENROLLMENT_ID,),
    answers={202: Answer("The deletion.", _EXAMPLE)},
    problems=(NotFound(NotFound.DELETION), DeletionFinished),
)


@serves(blueprint, _LIST)
async def deletions(call: Call) -> func.HttpResponse:
    """Show a tenant's deletions, the newest opt-out first."""
    limit = call.value(LIMIT)
    found = await services().deletions.list(call.tenant_id, limit=limit, before=call.value(BEFORE))
    now = services().clock.now()
    values = [DeletionAnswer.of(each, now).to_json() for each in found.values]
    return page_answer(call.url, limit, found, values)


@serves(blueprint, _GET)
async def deletion(call: Call) -> func.HttpResponse:
    """Show one deletion, with its receipt once there is one."""
    found = await services().deletions.get(call.tenant_id, call.value(_ENROLLMENT_ID))
    return json_answer(DeletionAnswer.of(found, services().clock.now()).to_json())


@serves(blueprint, _EXPEDITE)
async def deletion_expedite(call: Call) -> func.HttpResponse:
    """Let a deletion begin with the next purge; its deadline stays."""
    now = services().clock.now()
    expedited = await services().deletions.expedite(call.tenant_id, call.value(_ENROLLMENT_ID), now=now)
    if expedited.status == "verified":
        raise DeletionFinished()
    return json_answer(DeletionAnswer.of(expedited, now).to_json(), status=202)
