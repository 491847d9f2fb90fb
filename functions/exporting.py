"""For reviewers: exports, files that lie beside the captures and go with them; and the timer that makes them."""

import base64
import logging
import re
from datetime import UTC, date, datetime, timedelta
from typing import Self

import azure.functions as func

from functions._api.answers import Page, SparseAnswerModel, json_answer, page_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Body, Operation
from functions._api.parameters import BEFORE, LIMIT, Parameter, id_in_path
from functions._timers import log_run
from shared import log
from shared.bootstrap import new_id, services
from shared.identity.callers import Who
from shared.model import deadlines
from shared.model.exports import ReviewExport, StopReason
from shared.model.items import EnrollmentId, Instant, Sha256
from shared.model.ledger import Enrollment
from shared.model.selection import Selection
from shared.problems import (
    ExportNotReady,
    GeoNotServed,
    GrantRequired,
    NotFound,
    RangeNotSatisfiable,
    TooManyExports,
)
from shared.review.exporting import PART_MAX_BYTES, Progress

blueprint = func.Blueprint()

BODY_MAX_BYTES = 16 * 1024
_RANGE = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))")
_TAG = "Review"
_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_EXAMPLE_ID = "0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a"

_log = logging.getLogger(__name__)


class ExportProgress(SparseAnswerModel):
    """How far an export that is under way has come."""

    captures: int
    bytes: int


class ExportAnswer(SparseAnswerModel):
    """An export, and how it stands. Under a live grant its file can be downloaded until ``expiresAt``."""

    export_id: str
    enrollment_id: EnrollmentId
    grant_id: str
    requested_by: str
    requested_at: Instant
    first_day: date
    last_day: date
    filtered_by: list[str]
    status: str
    progress: ExportProgress | None = None
    day: date | None = None
    newest_day: date | None = None
    captures: int | None = None
    bytes: int | None = None
    sha256: Sha256 | None = None
    finished_at: Instant | None = None
    expires_at: Instant | None = None
    reason: StopReason | None = None

    @classmethod
    def of(cls, export: ReviewExport, retention_days: int, progress: Progress | None = None) -> Self:
        """Return what to say of an export.

        Args:
            export: the export.
            retention_days: for how long captures are kept.
            progress: how far it has come, if it is under way.
        """
        is_file = export.status == "ready" and export.day is not None
        told = {name: getattr(export, name) for name in cls.model_fields if hasattr(export, name)}
        return cls(
            **told,
            enrollment_id=export.enrollment.enrollment_id,
            progress=None if progress is None else ExportProgress(captures=progress.captures, bytes=progress.bytes),
            expires_at=deadlines.day_deadline(export.day, retention_days) if is_file and export.day else None,
        )


class ExportPageAnswer(Page[ExportAnswer]):
    """Exports, the newest request first."""


_READY = ReviewExport(
    export_id=_EXAMPLE_ID,
    tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    enrollment=Enrollment(
        enrollment_id="5b1e9c7d3f2a4860b7c8d9e0f1a2b3c4", geo="europe", storage_account="steurope", started_at=_NOW
    ),
    grant_id=_EXAMPLE_ID,
    sequence=7,
    requested_by="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
    requested_at=_NOW,
    first_day=_NOW.date(),
    last_day=_NOW.date() + timedelta(days=6),
    filtered_by=("feature", "telemetry"),
    status="ready",
    day=_NOW.date() + timedelta(days=1),
    newest_day=_NOW.date() + timedelta(days=6),
    captures=1200,
    bytes=181_042,
    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    finished_at=_NOW + timedelta(seconds=3),
)
_EXAMPLE = ExportAnswer.of(_READY, 30)


def _read_range(sent: str) -> tuple[int, int | None] | None:
    """Return the first byte and the first that is not wanted; None for what is no range of bytes (RFC 9110, 14.2)."""
    match = _RANGE.fullmatch(sent.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return (-int(suffix), None) if int(suffix) else None
    if last is not None and int(last) < int(first):
        return None
    return int(first), None if last is None else int(last) + 1


_EXPORT_ID = id_in_path("exportId", "An export, as its POST answered it.")
_RANGE_SENT: Parameter[tuple[int, int | None] | None] = Parameter(
    "Range",
    "header",
    f"One range of bytes (RFC 9110, 14). At most {PART_MAX_BYTES} bytes come at a time, so a larger file has to be "
    "asked for in parts; a range may be answered in part.",
    {"type": "string"},
    "bytes=0-8388607",
    _read_range,
    "",  # what is no range is as if it were absent
    absent=None,
)
_BODY = Body(Selection.model_validate({"feature": "power-fx.formula", "text": "orders"}), BODY_MAX_BYTES)
_REQUEST = Operation(
    "Exports_Create",
    "POST",
    "tenants/{tenantId}/exports",
    "Ask for a file of all captures that are as the body says, with their labels. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    body=_BODY,
    answers={202: Answer("The export; it may be ready already.", _EXAMPLE, headers=("Location",))},
    problems=(GrantRequired, NotFound(NotFound.DAY), GeoNotServed(GeoNotServed.TENANTS_GEO), TooManyExports),
    description="The file is gzip of JSON Lines. It lies beside the captures of the oldest day that it holds, and is "
    "deleted with them; so it is when the tenant opts out. It is made only as long as the grant is live.",
)
_LIST = Operation(
    "Exports_List",
    "GET",
    "tenants/{tenantId}/exports",
    "Show the exports of a tenant's captures, the newest request first.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of exports.", ExportPageAnswer(value=[_EXAMPLE]))},
)
_SHOW = Operation(
    "Exports_Get",
    "GET",
    "tenants/{tenantId}/exports/{exportId}",
    "Show an export and how far it has come.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    parameters=(_EXPORT_ID,),
    answers={200: Answer("The export.", _EXAMPLE)},
    problems=(NotFound(NotFound.EXPORT),),
)
_DOWNLOAD = Operation(
    "Exports_Download",
    "GET",
    "tenants/{tenantId}/exports/{exportId}/content",
    "Download an export's file, or a part of it, under the caller's live grant. Each part is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(_EXPORT_ID, _RANGE_SENT),
    answers={
        200: Answer("The file.", "binary", headers=("Accept-Ranges", "Repr-Digest"), media_type="application/gzip"),
        206: Answer(
            "A part of the file.",
            "binary",
            headers=("Accept-Ranges", "Content-Range", "Repr-Digest"),
            media_type="application/gzip",
        ),
    },
    problems=(
        GrantRequired,
        NotFound(NotFound.EXPORT),
        ExportNotReady,
        RangeNotSatisfiable,
        GeoNotServed(GeoNotServed.TENANTS_GEO),
    ),
    description="Repr-Digest (RFC 9530) is the SHA-256 of the whole file, which the export's sha256 has in hexadecimal "
    "digits, in Base64.",
)
_DELETE = Operation(
    "Exports_Delete",
    "DELETE",
    "tenants/{tenantId}/exports/{exportId}",
    "Delete an export, or put an end to making it. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(_EXPORT_ID,),
    answers={204: Answer("It is gone.", None)},
    problems=(GrantRequired, NotFound(NotFound.EXPORT), GeoNotServed(GeoNotServed.TENANTS_GEO)),
)


@serves(blueprint, _REQUEST)
async def export_request(call: Call) -> func.HttpResponse:
    """Ask for an export."""
    selection = call.body(_BODY)
    export = await services().exporting.request(call.tenant_id, call.caller.object_id, selection)
    return json_answer(_answer(export).to_json(), status=202, headers={"Location": f"{call.url}/{export.export_id}"})


@serves(blueprint, _LIST)
async def exports(call: Call) -> func.HttpResponse:
    """Show the exports of a tenant's captures, the newest request first."""
    limit = call.value(LIMIT)
    found = await services().exporting.list(call.tenant_id, limit=limit, before=call.value(BEFORE))
    return page_answer(call.url, limit, found, [_answer(export).to_json() for export in found.values])


@serves(blueprint, _SHOW)
async def export_show(call: Call) -> func.HttpResponse:
    """Show an export and how far it has come."""
    export = await services().exporting.read(call.tenant_id, call.value(_EXPORT_ID))
    return json_answer(_answer(export, await services().exporting.progress(export)).to_json())


@serves(blueprint, _DOWNLOAD)
async def export_content(call: Call) -> func.HttpResponse:
    """Download an export's file, or a part of it."""
    exporting, export_id, wanted = services().exporting, call.value(_EXPORT_ID), call.value(_RANGE_SENT)
    if wanted is None:
        size = (await exporting.read(call.tenant_id, export_id)).bytes
        if size is not None and size > PART_MAX_BYTES:
            raise RangeNotSatisfiable(size, PART_MAX_BYTES)
    start, end = wanted or (0, None)
    part = await exporting.download(call.tenant_id, call.caller.object_id, export_id, start, end)
    assert part.export.sha256 is not None
    digest = base64.b64encode(bytes.fromhex(part.export.sha256)).decode()
    headers = {"Accept-Ranges": "bytes", "Repr-Digest": f"sha-256=:{digest}:"}
    if wanted is not None:
        last = part.start + len(part.content) - 1
        headers["Content-Range"] = f"bytes {part.start}-{last}/{part.export.bytes}"
    status = 200 if wanted is None else 206
    return func.HttpResponse(part.content, status_code=status, headers=headers, mimetype="application/gzip")


@serves(blueprint, _DELETE)
async def export_delete(call: Call) -> func.HttpResponse:
    """Delete an export, or put an end to making it."""
    await services().exporting.delete(call.tenant_id, call.caller.object_id, call.value(_EXPORT_ID))
    return func.HttpResponse(status_code=204)


@blueprint.function_name("make_exports")
@blueprint.timer_trigger(arg_name="timer", schedule="30 * * * * *", use_monitor=True, run_on_startup=False)
async def make_exports(timer: func.TimerRequest) -> None:
    """Go on with the exports that are under way, and delete what is left of those that were stopped."""
    with log.during(log.Request("make_exports", new_id())):
        log_run(_log, await services().exporting.run())


def _answer(export: ReviewExport, progress: Progress | None = None) -> ExportAnswer:
    return ExportAnswer.of(export, services().accounts.retention_days, progress)
