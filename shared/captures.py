"""Captures: what one is, and how a batch of them is stored once, in its enrollment's account (D3-D7)."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from isal import igzip
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from shared import deadlines
from shared.clock import Clock
from shared.consent import Consent
from shared.containers import DayContainer
from shared.items import format_instant
from shared.ledger import Enrollment, Setting
from shared.problems import (
    CapturedTooEarly,
    CapturedTooLate,
    DataSharingOff,
    GeoNotServed,
    IdempotencyKeyReused,
    Unavailable,
)
from shared.stores.ports import CaptureStore, ContainerBeingDeleted, ContainerMissing, Put

BATCH_MAX = 500
"""Captures in one batch."""

TEXT_MAX_BYTES = 256 * 1024
"""Bytes of UTF-8 in an input or an output."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_COMPRESSION = 2  # of 3: telemetry and text shrink to a third at once; more effort buys a tenth more


def _rfc_3339(value: Any) -> str:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("not an RFC 3339 instant")
    return value


def _short_enough(text: str) -> str:
    if len(text) > TEXT_MAX_BYTES or len(text.encode()) > TEXT_MAX_BYTES:
        raise ValueError(f"longer than {TEXT_MAX_BYTES} bytes")
    return text


def _finite(value: JsonValue) -> JsonValue:
    """Refuse NaN and infinities, which the parser lets through though JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a number that JSON has")
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            _finite(member)
    return value


Text = Annotated[
    str,
    AfterValidator(_short_enough),
    Field(json_schema_extra={"maxLength": TEXT_MAX_BYTES, "description": f"At most {TEXT_MAX_BYTES} bytes of UTF-8."}),
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True
    )


class Capture(_Request):
    """One interaction with an assistant."""

    captured_at: Annotated[
        AwareDatetime,
        BeforeValidator(_rfc_3339),
        Field(strict=False),  # a text is all that JSON has for an instant, and the validator lets nothing else pass
        PlainSerializer(format_instant, when_used="json"),
        WithJsonSchema(
            {
                "type": "string",
                "format": "date-time",
                "pattern": "^" + _RFC_3339.pattern.replace(r"\d", "[0-9]") + "$",
                "description": "At most 24 hours ago, at most 5 minutes ahead, and not before the opt-in.",
            }
        ),
    ]
    feature: Label
    environment_id: Label | None = None
    user_id: Label | None = None
    input: Text
    output: Text
    telemetry: Annotated[dict[str, JsonValue], AfterValidator(_finite)] | None = Field(
        None, description="Any JSON object whose numbers are finite in double precision."
    )


class CaptureBatch(_Request):
    """The body of one POST: at least one capture."""

    # The first bad one is enough: a hostile body could be wrong in half a million ways.
    captures: Annotated[list[Capture], FailFast(), Field(min_length=1, max_length=BATCH_MAX)]


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch as it was sent.

    Attributes:
        app_id: the calling application; a key means nothing between two of them.
        idempotency_key: the caller's name for this batch (D6).
        body: the bytes of the request's body, by which a repeat is told from another batch with the same key.
        batch: what they say.
    """

    app_id: str
    idempotency_key: str
    body: bytes
    batch: CaptureBatch

    @property
    def batch_id(self) -> str:
        """The blob's name: opaque, because names are in the storage account's logs."""
        return hashlib.sha256(f"{self.app_id}\n{self.idempotency_key}".encode()).hexdigest()[:32]

    @property
    def content(self) -> bytes:
        """The blob's content: JSON Lines, gzip (D7)."""
        lines = b"".join(
            capture.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
            for capture in self.batch.captures
        )
        return igzip.compress(lines, _COMPRESSION, mtime=0)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """The answer to a batch; the same for every repeat of it, but for ``created``."""

    batch_id: str
    accepted: int
    enrollment_id: str
    expires_at: datetime
    created: bool


@dataclass(frozen=True, slots=True)
class Captures:
    """Stores batches.

    Attributes:
        consent: who shares data.
        stores: the capture store of each served geo.
        clock: time.
        retention_days: how long a day's captures are kept.
        geo_endpoints: the addresses of the deployments that serve other geos.
    """

    consent: Consent
    stores: Mapping[str, CaptureStore]
    clock: Clock
    retention_days: int
    geo_endpoints: Mapping[str, str] = field(default_factory=dict)

    async def submit(self, tenant_id: str, submission: Submission) -> StoredBatch:
        """Store a batch, or recognise it as stored before.

        Raises:
            DataSharingOff: if the tenant does not share data (P1, P2).
            GeoNotServed: if its enrollment's account is none of this deployment's (P3).
            CapturedTooEarly, CapturedTooLate: if a capture is outside of what is taken now (D4).
            IdempotencyKeyReused: if the key came before with another body.
            Unavailable, StoreUnavailable: if the batch may not be stored; sending it again is safe.
        """
        enrollment = _enrollment(await self.consent.current(tenant_id))
        store = self._store(enrollment)
        instants = [capture.captured_at for capture in submission.batch.captures]
        _check_instants(instants, self.clock.now(), enrollment.started_at)
        # By its oldest capture, so that none is kept longer than its own day allows (P4).
        day = min(instants).astimezone(UTC).date()
        put = await self._put(tenant_id, store, DayContainer(enrollment.enrollment_id, day), submission)
        if put is Put.OTHER:
            raise IdempotencyKeyReused("Use a new Idempotency-Key for each batch, and the same one only to repeat it.")
        return StoredBatch(
            batch_id=submission.batch_id,
            accepted=len(instants),
            enrollment_id=enrollment.enrollment_id,
            expires_at=deadlines.day_deadline(day, self.retention_days),
            created=put is Put.CREATED,
        )

    def _store(self, enrollment: Enrollment) -> CaptureStore:
        store = self.stores.get(enrollment.geo)
        if store is None or store.account != enrollment.storage_account:
            raise GeoNotServed("Another deployment serves this tenant's geo.", self.geo_endpoints.get(enrollment.geo))
        return store

    async def _put(self, tenant_id: str, store: CaptureStore, container: DayContainer, submission: Submission) -> Put:
        content = submission.content
        body_hash = hashlib.sha256(submission.body).hexdigest()
        try:
            try:
                return await store.put_batch(container.name, submission.batch_id, content, body_hash)
            except ContainerMissing:
                # The first batch of a day, or one that comes after a purge. The lease may be from before an opt-out
                # whose purge was expedited: what was purged must not be created again on its word.
                fresh = _enrollment(await self.consent.afresh(tenant_id))
                if fresh.enrollment_id != container.enrollment_id:
                    raise DataSharingOff("Data sharing was switched off meanwhile.") from None
                await store.create_container(container.name)
                return await store.put_batch(container.name, submission.batch_id, content, body_hash)
        except (ContainerMissing, ContainerBeingDeleted):
            raise Unavailable("The day's container is being deleted.") from None


def _enrollment(setting: Setting) -> Enrollment:
    if setting.enrollment is None:
        raise DataSharingOff("The tenant's administrator has not switched data sharing on.")
    return setting.enrollment


def _check_instants(instants: list[datetime], now: datetime, started_at: datetime) -> None:
    # Compared before any conversion: an instant at the edge of the calendar has no counterpart in UTC.
    if min(instants) < deadlines.earliest_capture(now, started_at):
        raise CapturedTooEarly("capturedAt must be at most 24 hours ago, and not before data sharing was switched on.")
    if max(instants) > deadlines.latest_capture(now):
        raise CapturedTooLate("capturedAt must be at most 5 minutes ahead.")
