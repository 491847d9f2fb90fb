"""What a capture is, and a batch of them: as it is sent, and as it is stored (D4, D6, D7)."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Self

from isal import igzip
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    FailFast,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from shared.model.containers import digits_of
from shared.model.items import format_instant
from shared.model.messages import TEXT_MAX_BYTES, Message, Part, is_short_enough
from shared.model.persons import pseudonym, without_persons
from shared.model.requests import RequestModel

BATCH_MAX = 500
"""Captures in one batch."""

# Without a leap second: no container's day, and no deadline, has a place for one.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
_LEAP_SECOND = re.compile(r".{10}[Tt]\d\d:\d\d:60(\.\d+)?.*", re.ASCII)
BATCH_ID = re.compile("[0-9a-f]{32}")
"""The names of blobs that are batches."""

_COMPRESSION = 2  # of 3: telemetry and text shrink to a third at once; more effort buys a tenth more


def rfc_3339(value: Any) -> str:
    """Return a text that denotes an instant, as RFC 3339 has it.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(value, str):
        raise ValueError("must be a text with an instant, as in 2026-11-21T12:00:00Z")
    if _RFC_3339.fullmatch(value):
        return value
    if _LEAP_SECOND.fullmatch(value):
        raise ValueError("a second goes to 59; send a leap second as 59")
    if _WITHOUT_OFFSET.fullmatch(value):
        raise ValueError("needs an offset, Z or as in +01:00")
    raise ValueError("must be an instant as in 2026-11-21T12:00:00Z (RFC 3339)")


def _short_enough(text: str) -> str:
    if not is_short_enough(text):
        raise ValueError(f"may have at most {TEXT_MAX_BYTES} bytes of UTF-8")
    return text


Text = Annotated[
    str,
    AfterValidator(_short_enough),
    Field(json_schema_extra={"maxLength": TEXT_MAX_BYTES, "description": f"At most {TEXT_MAX_BYTES} bytes of UTF-8."}),
]
LABEL_MAX = 200
LANGUAGE = re.compile("[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
"""What a capture may say of its language: a tag of BCP 47."""

Label = Annotated[str, StringConstraints(min_length=1, max_length=LABEL_MAX)]


class Capture(RequestModel):
    """One interaction with an assistant."""

    captured_at: Annotated[
        AwareDatetime,
        BeforeValidator(rfc_3339),
        Field(strict=False),  # a text is all that JSON has for an instant, and the validator lets nothing else pass
        PlainSerializer(format_instant, when_used="json"),
        WithJsonSchema(
            {
                "type": "string",
                "format": "date-time",
                "pattern": "^" + _RFC_3339.pattern.replace(r"\d", "[0-9]") + "$",
                "description": "At most 24 hours ago, at most 5 minutes ahead, not before the opt-in; no leap second.",
            }
        ),
    ]
    feature: Label
    environment_id: Label | None = None
    user_id: Label | None = Field(
        None, description="Who used the assistant. What is stored is a pseudonym, the same throughout an enrollment."
    )
    conversation_id: Label | None = None
    trace_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] | None = None
    span_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")] | None = None
    model: Label | None = None
    language: Annotated[str, StringConstraints(pattern=f"^{LANGUAGE.pattern}$", max_length=LABEL_MAX)] | None = Field(
        None, description="BCP 47, as in de-CH: in what language it is.", examples=["de-CH"]
    )
    input: Text | None = None
    output: Text | None = None
    input_messages: list[Message] | None = Field(None, description="Instead of input, or besides.")
    output_messages: list[Message] | None = Field(None, description="Instead of output, or besides.")
    system_instructions: list[Part] | None = None
    telemetry: dict[str, JsonValue] | None = Field(
        None,
        description="Any JSON object whose numbers are finite in double precision. Members that name persons or "
        "machines (user.name, user.email, client.address, host.* and the like) are not stored, ids of persons as "
        "pseudonyms.",
    )

    @model_validator(mode="after")
    def _said(self) -> Self:
        for name in ("input", "output"):
            if getattr(self, name) is None and getattr(self, f"{name}_messages") is None:
                raise ValueError(f"{name} or {name}Messages is missing")
        return self

    def stored(self, person_key: str | None) -> bytes:
        """Return its line in a blob: JSON, with pseudonyms by the enrollment's key for persons (D18).

        Args:
            person_key: the enrollment's; None if it has none, and then nothing tells persons apart.
        """
        told = {}
        if self.user_id is not None:
            told["user_id"] = None if person_key is None else pseudonym(person_key, self.user_id)
        if self.telemetry is not None:
            told["telemetry"] = without_persons(self.telemetry, person_key)
        return self.model_copy(update=told).model_dump_json(by_alias=True, exclude_none=True).encode()


class CaptureBatch(RequestModel):
    """The body of one POST: at least one capture."""

    # The first bad one is enough: a hostile body could be wrong in half a million ways.
    captures: Annotated[list[Capture], FailFast(), Field(min_length=1, max_length=BATCH_MAX)]


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch as it was sent.

    Attributes:
        app_id: the calling application; a key means nothing between two of them.
        idempotency_key: the caller's name for this batch (D6).
        body: the bytes of the request's body, its encoding undone; by them a repeat is told from another batch with the
            same key.
        batch: what they say.
    """

    app_id: str
    idempotency_key: str
    body: bytes
    batch: CaptureBatch

    def batch_id(self, enrollment_id: str, day: date) -> str:
        """Return the blob's name among the captures of a day: no other batch ever has it."""
        return batch_id(enrollment_id, day, self.app_id, self.idempotency_key)

    @property
    def body_hash(self) -> str:
        """What tells two bodies apart (D6)."""
        return hashlib.sha256(self.body).hexdigest()

    def content(self, person_key: str | None) -> bytes:
        """Return the blob's content, with pseudonyms by the enrollment's key."""
        return compressed(capture.stored(person_key) for capture in self.batch.captures)


def batch_id(enrollment_id: str, day: date, *named: str) -> str:
    """Return a blob's name among the captures of a day.

    Opaque, because names are in the storage account's logs.

    Args:
        enrollment_id: the enrollment.
        day: the day, in UTC.
        named: what tells the batch from all others.
    """
    return hashlib.sha256("\n".join((enrollment_id, digits_of(day), *named)).encode()).hexdigest()[:32]


def compressed(lines: Iterable[bytes]) -> bytes:
    """Return a blob's content: JSON Lines, gzip (D7)."""
    return igzip.compress(b"".join(line + b"\n" for line in lines), _COMPRESSION, mtime=0)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """The answer to a batch; the same for every repeat of it, but for ``created``."""

    batch_id: str
    accepted: int
    enrollment_id: str
    expires_at: datetime
    created: bool
