"""For the tenant's administrator: what was agreed to, by whom and when, signed so that anybody can check it."""

from datetime import UTC, datetime

import azure.functions as func

from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Operation
from functions._api.parameters import id_in_path
from shared.bootstrap import services
from shared.identity.callers import TENANT_ADMIN_ROLES, Who
from shared.model.consent import ConsentRecord
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedIn
from shared.model.notices import NOTICES
from shared.problems import NotFound

blueprint = func.Blueprint()


class ConsentReceiptAnswer(AnswerModel):
    """A consent receipt: the record, and ``jws``, a signature over exactly its members (``GET /receipt-keys``)."""

    record: ConsentRecord
    jws: str

    def to_json(self) -> dict[str, object]:
        """Return the members as JSON values; those of the record as they were signed."""
        return {"record": self.record.to_json(), "jws": self.jws}


_NOTICE = NOTICES.published[0]
_SINCE = datetime(2026, 11, 21, 12, tzinfo=UTC)
_EVENT = OptedIn(
    enrollment_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
    geo="europe",
    storage_account="steurope",
    started_at=_SINCE,
    tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    sequence=1,
    at=_SINCE,
    actor="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
    channel="api",
    client_id="0c6c1f9e-3e6d-4d55-9a4e-2f8f6f0f7b11",
    role=TENANT_ADMIN_ROLES[0],
    notice=_NOTICE.version,
    notice_hash=_NOTICE.sha256["de"],
    locale="de",
    previous_hash=FIRST_PREVIOUS_HASH,
)
_RECORD = ConsentRecord.of([_EVENT], "Contoso Ltd, privacy@contoso.example", 30)
assert _RECORD is not None
_ENROLLMENT_ID = id_in_path(
    "enrollmentId", "The enrollment that was agreed to: 32 hexadecimal digits; letter case does not matter."
)
_GET = Operation(
    "ConsentReceipts_Get",
    "GET",
    "tenants/{tenantId}/enrollments/{enrollmentId}/consent-receipt",
    "Show what was agreed to for an enrollment, signed.",
    tag="Data sharing",
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(_ENROLLMENT_ID,),
    answers={
        200: Answer(
            "The receipt.",
            ConsentReceiptAnswer(record=_RECORD, jws="eyJhbGciOiJFUzI1NiJ9.eyJyZWNvcmRJZCI6IjBmOGQtMSJ9.c2lnbmF0dXJl"),
        )
    },
    problems=(NotFound(NotFound.NEVER_ENROLLED),),
    description="The record is made of the ledger when it is asked for, and signed with the key of the receipts of "
    "deletions.",
)


@serves(blueprint, _GET)
async def consent_receipt(call: Call) -> func.HttpResponse:
    """Show what was agreed to for an enrollment, signed."""
    record, jws = await services().consent_receipts.of(call.tenant_id, call.value(_ENROLLMENT_ID))
    return json_answer(ConsentReceiptAnswer(record=record, jws=jws).to_json())
