"""Which captures a reviewer looks for: the members of a search, a sample or an export."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Self
from unicodedata import normalize

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from shared.model.capture import LABEL_MAX, rfc_3339
from shared.model.items import Instant, format_instant
from shared.model.labels import Label, Word
from shared.model.requests import RequestModel

CONDITIONS_MAX = 8
TEXT_MAX = 200
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NULL: dict[str, Any] = {"type": "null"}
_TEXTS = ("input", "output", "inputMessages", "outputMessages")

Name = Annotated[str, StringConstraints(min_length=1, max_length=LABEL_MAX)]


def _day(value: Any) -> Any:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("must be a date as in 2026-11-21")
    return value


def _instant(value: Any) -> Any:
    return value if isinstance(value, datetime) else rfc_3339(value)


# A text is all that JSON has for either; without these, numbers would be taken for them too.
_Day = Annotated[date, BeforeValidator(_day)]
_Instant = Annotated[Instant, BeforeValidator(_instant)]


class TelemetryCondition(RequestModel):
    """What a member of a capture's telemetry must be: one of ``equals``, ``over`` and ``under``, or the last two."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"equals": _NULL}},
            "then": {"not": {"properties": {"over": _NULL, "under": _NULL}}},
            "else": {"properties": {"over": _NULL, "under": _NULL}},
        }
    )

    name: Name = Field(description="The member's name; one that begins with / is a JSON Pointer (RFC 6901).")
    # Of a union, Kiota and NSwag make wrappers into which nothing can be read.
    equals: Annotated[JsonValue, WithJsonSchema({"description": "A text, a number or a boolean."})] = None
    over: Annotated[float, Field(allow_inf_nan=False)] | None = None
    under: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if isinstance(self.equals, list | dict):
            raise ValueError("equals must be a text, a number or a boolean")
        bounds = self.over is not None or self.under is not None
        if (self.equals is not None) == bounds:
            raise ValueError("must have equals, or over and under or one of these")
        return self

    def holds(self, telemetry: Any) -> bool:
        """Tell whether it is so of what a capture says."""
        found = _member(telemetry, self.name)
        if self.equals is not None:
            # To Python, true equals 1.
            return isinstance(found, bool) == isinstance(self.equals, bool) and found == self.equals
        if isinstance(found, bool) or not isinstance(found, int | float):
            return False
        return (self.over is None or found > self.over) and (self.under is None or found < self.under)


def plain(text: str) -> str:
    """Return a text as it is compared: without letter case and without the forms of letters."""
    return normalize("NFKC", text).casefold()


def _says_something(text: str) -> str:
    if not plain(text).strip():
        raise ValueError("must have something to look for")
    return text


class Selection(RequestModel):
    """Captures of some days that are as each of the members says; without members, all that there are.

    A search text is what a customer may have said: it goes on no record and into no log (P8).
    """

    first_day: _Day | None = Field(None, strict=False, description="UTC; the oldest day that may be read by default.")
    last_day: _Day | None = Field(None, strict=False, description="UTC; the newest day by default.")
    captured_from: _Instant | None = Field(None, strict=False)
    captured_before: _Instant | None = Field(None, strict=False)
    feature: Name | None = None
    environment_id: Name | None = None
    conversation_id: Name | None = None
    model: Name | None = None
    language: Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")] | None = Field(
        None,
        description="ISO 639, as in de: what the capture says its language is, or what its texts seem to be in.",
        examples=["de"],
    )
    telemetry: Annotated[list[TelemetryCondition], Field(min_length=1, max_length=CONDITIONS_MAX)] | None = None
    text: (
        Annotated[str, StringConstraints(min_length=1, max_length=TEXT_MAX), AfterValidator(_says_something)] | None
    ) = Field(None, description="What an input or output has in it, in any letter case.")
    labelled: bool | None = Field(None, description="Whether somebody has labelled it.")
    verdict: Word | None = Field(None, description="What somebody's verdict of it is.")
    tag: Word | None = Field(None, description="One of the tags that somebody has given it.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first_day is not None and self.last_day is not None and self.first_day > self.last_day:
            raise ValueError("firstDay must not be after lastDay")
        return self

    @property
    def filtered_by(self) -> tuple[str, ...]:
        """The names of the members by which it chooses, for the record, which does not have their values."""
        days = {"first_day", "last_day"}
        chosen = [name for name in Selection.model_fields if name not in days and getattr(self, name) is not None]
        return tuple(map(to_camel, chosen))

    def among(self, days: Sequence[date]) -> list[date]:
        """Return those of the days that it goes through."""
        return within(days, self.first_day, self.last_day)

    def matches(self, capture: Mapping[str, Any], labels: Sequence[Label]) -> bool:
        """Tell whether a capture is as it says, but for its texts and its language, which take longer to look at.

        Args:
            capture: as it is stored.
            labels: what is said of it.
        """
        for name in ("feature", "environment_id", "conversation_id", "model"):
            wanted = getattr(self, name)
            if wanted is not None and capture.get(to_camel(name)) != wanted:
                return False
        return (
            self._in_time(capture.get("capturedAt"))
            and all(each.holds(capture.get("telemetry")) for each in self.telemetry or ())
            and (self.labelled is None or self.labelled == bool(labels))
            and (self.verdict is None or any(each.verdict == self.verdict for each in labels))
            and (self.tag is None or any(self.tag in each.tags for each in labels))
        )

    def _in_time(self, at: Any) -> bool:
        if self.captured_from is None and self.captured_before is None:
            return True
        # As stored, all instants are written alike and sort as texts.
        return (
            isinstance(at, str)
            and (self.captured_from is None or at >= format_instant(self.captured_from))
            and (self.captured_before is None or at < format_instant(self.captured_before))
        )


def within(days: Sequence[date], first_day: date | None, last_day: date | None) -> list[date]:
    """Return those of the days that are from the first to the last; None for an end that is open."""
    return [day for day in days if (first_day is None or day >= first_day) and (last_day is None or day <= last_day)]


def texts(capture: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of what was said in a capture, by either side."""
    for name in _TEXTS:
        yield from _texts_in(capture.get(name))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts_in(each)


def _member(telemetry: Any, name: str) -> object:
    if not name.startswith("/"):
        return telemetry.get(name) if isinstance(telemetry, dict) else None
    found = telemetry
    for token in name[1:].split("/"):
        step = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and len(step) < 7 and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
