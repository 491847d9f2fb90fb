"""Exports: files that are made of captures and lie beside them (P12)."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.model.items import EnrollmentId, Instant, Item, Sha256, TenantId

ExportId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class ReviewExport(Item):
    """One export: what was asked for, and how it stands. Content-free; the file, and what it was to hold, are blobs.

    Attributes:
        grant_id: the review grant under which it is made; it goes on only while that is live.
        sequence: of the request, in the tenant's access log.
        requested_by: the reviewer's object id.
        first_day, last_day: the UTC days that it goes through.
        filtered_by: by which members it chooses, without their values.
        status: ``running`` until it is ``ready``, was ``stopped``, or ``deleted`` after that.
        unfinished: whether there is something left to do: to make the file, or to delete what there is of it.
        day: the UTC day in whose container the file lies, once there is a capture for it: the oldest that it holds.
        captures, newest_day, bytes, sha256: of the file, once it is ready.
        finished_at: when it became ready, was stopped or deleted.
        reason: why it was stopped; a code.
    """

    export_id: ExportId
    tenant_id: TenantId
    enrollment_id: EnrollmentId
    grant_id: str
    sequence: Annotated[int, Field(ge=1)]
    requested_by: str
    requested_at: Instant
    first_day: date
    last_day: date
    filtered_by: tuple[str, ...] = ()
    status: Literal["running", "ready", "stopped", "deleted"] = "running"
    unfinished: bool = True
    day: date | None = None
    newest_day: date | None = None
    captures: int | None = None
    bytes: int | None = None
    sha256: Sha256 | None = None
    finished_at: Instant | None = None
    reason: str | None = None
