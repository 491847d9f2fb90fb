"""Spans, as they are exported: OTLP in protobuf and in JSON, and the JSON of the Agent 365 SDK (decision D17).

Protobuf is read here and not by a library's messages, because those build everything at once: four megabytes can hold
two million empty spans, and would hold the event loop for a second. Here spans come one by one, each field is counted
before it is looked at, and what carries no content is not taken apart.
"""

import base64
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from functions._api import json_text
from shared.model.json_shape import DEPTH_MAX
from shared.model.spans import OPERATION, Span
from shared.problems import InvalidRequest

SPANS_MAX = 50_000
"""Spans in an export, those without content too; resources and scopes count like spans."""

FIELDS_MAX = 200_000
"""Fields of protobuf in all spans with content."""

SPAN_FIELDS_MAX = 20_000
"""Fields of one span: it is taken apart in one go."""

VALUES_MAX = 200_000
"""Values of JSON in an export: it is parsed in one go, by a quick parser."""

_WHOLE_MAX = 2**64 - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MARK = OPERATION.encode()


def spans_of_protobuf(body: bytes, tenant_id: str | None) -> Iterator[Span | None]:
    """Yield the spans of an ``ExportTraceServiceRequest`` in protobuf; None instead of one that has no content.

    Args:
        body: of a length that is bounded.
        tenant_id: what the request says of whose they are.

    Raises:
        InvalidRequest: if it is none, or has too many spans or fields; some spans may have come before that shows.
    """
    try:
        yield from _Protobuf().spans(body, tenant_id)
    except (ValueError, IndexError, RecursionError, struct.error):
        raise InvalidRequest(InvalidRequest.NO_EXPORT) from None


def spans_of_json(body: bytes, tenant_id: str | None) -> Iterator[Span | None]:
    """Yield the spans of an ``ExportTraceServiceRequest`` in JSON, as ``spans_of_protobuf`` does."""
    return _of_json(body, tenant_id, _attributes)


def spans_of_agents(body: bytes, tenant_id: str) -> Iterator[Span | None]:
    """Yield the spans of what the Agent 365 SDK sends, as ``spans_of_protobuf`` does.

    It looks like OTLP in JSON. But attributes are plain objects, or null, and times are numbers.
    """
    return _of_json(body, tenant_id, lambda given: {} if given is None else _is(given, dict), of_agent=True)


def _of_json(
    body: bytes, tenant_id: str | None, attributes: Callable[[Any], Mapping[str, Any]], *, of_agent: bool = False
) -> Iterator[Span | None]:
    json_text.check_shape(body, "export", VALUES_MAX)
    try:
        for of_resource in _list(from_json(body, allow_inf_nan=False), "resourceSpans"):
            resource = attributes(_is(of_resource.get("resource") or {}, dict).get("attributes"))
            for of_scope in _list(of_resource, "scopeSpans"):
                for span in _list(of_scope, "spans"):
                    its = attributes(span.get("attributes"))
                    if OPERATION not in its:
                        yield None
                        continue
                    start, end = _time(span.get("startTimeUnixNano")), _time(span.get("endTimeUnixNano"))
                    trace, own = (_is(span.get(name, ""), str).lower() for name in ("traceId", "spanId"))
                    size = sum(len(value) for value in its.values() if isinstance(value, str))
                    yield Span(trace, own, start, end, its, resource, tenant_id, size, of_agent)
    except (ValueError, OverflowError):
        raise InvalidRequest(InvalidRequest.NO_EXPORT) from None


def _is(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError
    return value


def _list(of: Any, name: str) -> Sequence[dict[str, Any]]:
    return [_is(each, dict) for each in _is(_is(of, dict).get(name) or [], list)]


def _time(given: Any) -> int:
    """Return a time in nanoseconds: a text in protobuf's JSON, which clients write as a number, too. 0 is none."""
    if isinstance(given, str):
        return int(given) if given.isascii() and given.isdigit() and len(given) <= 20 else 0
    return int(given) if isinstance(given, int | float) else 0


def _attributes(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in _is(given or [], list):
        key = _is(_is(each, dict).get("key", ""), str)
        if key in found:
            raise ValueError  # which one is meant, nobody could say
        value = each.get("value")
        text = value.get("stringValue") if isinstance(value, dict) and len(value) == 1 else None
        found[key] = text if isinstance(text, str) else _value(value)  # as most are
    return found


def _value(given: Any) -> Any:
    members = _is(given or {}, dict)
    if len(members) > 1:
        raise ValueError
    return next((_VALUES[kind](value) for kind, value in members.items() if kind in _VALUES), None)


_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "stringValue": lambda value: _is(value, str),
    "bytesValue": lambda value: _is(value, str),
    "boolValue": lambda value: _is(value, bool),
    "intValue": lambda value: int(value if isinstance(value, str) else _is(value, int)),
    "doubleValue": lambda value: float(value if isinstance(value, int | str) else _is(value, float)),
    "arrayValue": lambda value: [_value(each) for each in _is(_is(value, dict).get("values") or [], list)],
    "kvlistValue": lambda value: _attributes(_is(value, dict).get("values")),
}


class _Protobuf:
    """Reads one message; it counts how many spans, and fields of spans, that may still have."""

    def __init__(self) -> None:
        self._outside, self._inside, self._of_span = SPANS_MAX, FIELDS_MAX, 0

    def spans(self, body: bytes, tenant_id: str | None) -> Iterator[Span | None]:
        for number, of_resource in self._split(body):
            if number != 1:
                continue
            parts = self._split(of_resource)
            resource: dict[str, Any] | None = None
            for part, of_scope in parts:
                for inner, span in self._split(of_scope) if part == 2 else ():
                    if inner != 2:
                        continue
                    if _MARK not in _is(span, bytes):
                        yield None
                        continue
                    self._of_span = SPAN_FIELDS_MAX
                    if resource is None:
                        resource = self._attributes(next((each for part, each in parts if part == 1), b""), 1)
                    yield self._span(span, resource, tenant_id)

    def _split(self, message: Any) -> list[tuple[int, Any]]:
        """Return the fields of a message that holds spans, at some depth."""
        found = _fields(message, self._outside)
        if found is None:
            raise InvalidRequest(f"The export has more than {SPANS_MAX} spans.")
        self._outside -= len(found)
        return found

    def _take_apart(self, message: Any) -> list[tuple[int, Any]]:
        """Return the fields of a span, or of a message within one."""
        found = _fields(message, min(self._inside, self._of_span))
        if found is None:
            raise InvalidRequest(f"The spans have more than {FIELDS_MAX} fields, or one more than {SPAN_FIELDS_MAX}.")
        self._inside -= len(found)
        self._of_span -= len(found)
        return found

    def _span(self, message: bytes, resource: dict[str, Any], tenant_id: str | None) -> Span:
        ids, times = {1: b"", 2: b""}, {7: 0, 8: 0}
        attributes: dict[str, Any] = {}
        for number, value in self._take_apart(message):
            if number == 9:
                self._key_value(value, attributes, 0)
            elif number in ids:
                ids[number] = _is(value, bytes)
            elif number in times:
                times[number] = _is(value, int)
        return Span(ids[1].hex(), ids[2].hex(), times[7], times[8], attributes, resource, tenant_id, len(message))

    def _attributes(self, message: Any, number: int, depth: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for each, value in self._take_apart(message):
            if each == number:
                self._key_value(value, found, depth)
        return found

    def _key_value(self, message: Any, into: dict[str, Any], depth: int) -> None:
        key, value = _short_text(_is(message, bytes)) or self._any_key_value(message, depth)
        if key in into:
            raise ValueError  # which one is meant, nobody could say
        into[key] = value

    def _any_key_value(self, message: bytes, depth: int) -> tuple[str, Any]:
        key, value = "", None
        for number, given in self._take_apart(message):
            if number == 1:
                key = _is(given, bytes).decode()
            elif number == 2:
                value = self._value(given, depth)
        return key, value

    def _value(self, message: Any, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ValueError
        value: Any = None
        for number, given in self._take_apart(message):
            match number:
                case 1:
                    value = _is(given, bytes).decode()
                case 2:
                    value = bool(_is(given, int))
                case 3:
                    value = _is(given, int)
                    value -= (value >> 63) << 64
                case 4:
                    [value] = struct.unpack("<d", _is(given, int).to_bytes(8, "little"))
                case 5:
                    value = [self._value(each, depth + 1) for n, each in self._take_apart(given) if n == 1]
                case 6:
                    value = self._attributes(given, 1, depth + 1)
                case 7:
                    value = base64.b64encode(_is(given, bytes)).decode()
        return value


def _short_text(message: bytes) -> tuple[str, str] | None:
    """Return key and value of an attribute that is a short text, as most are; None if it may be anything else.

    Field 1 is the key, field 2 the value, whose field 1 is the text; a length below 128 is one byte. Taken apart field
    by field, such attributes would be most of what an export costs.
    """
    size = len(message)
    at = 2 + message[1] if size > 1 and message[0] == 0x0A and message[1] < 128 else size
    if at + 4 > size or size - at - 2 > 127 or message[at] != 0x12 or message[at + 1] != size - at - 2:
        return None
    if message[at + 2] != 0x0A or message[at + 3] != size - at - 4:
        return None
    return message[2:at].decode(), message[at + 4 :].decode()


def _fields(given: Any, most: int) -> list[tuple[int, Any]] | None:
    """Return the number and the value of each field: bytes if it has a length, else a number without a sign.

    None if there are more than ``most``, and then no more of them are read.
    """
    message: bytes = _is(given, bytes)
    found: list[tuple[int, Any]] = []
    position, end = 0, len(message)
    while position < end:
        if len(found) >= most:
            return None
        key = message[position]
        position += 1
        if key > 127:
            key, position = _varint(message, position - 1)
        kind = key & 7
        if kind == _BYTES:
            length = message[position]
            position += 1
            if length > 127:
                length, position = _varint(message, position - 1)
            begin, position = position, position + length
            found.append((key >> 3, message[begin:position]))
        elif kind == _VARINT:
            value, position = _varint(message, position)
            found.append((key >> 3, value))
        elif kind in {_FIXED64, _FIXED32}:
            begin, position = position, position + (8 if kind == _FIXED64 else 4)
            found.append((key >> 3, int.from_bytes(message[begin:position], "little")))
        else:
            raise ValueError  # groups, which OTLP never had
        if position > end:
            raise ValueError
    return found


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _WHOLE_MAX, position
        shift += 7
    raise ValueError


def partial_success_in_protobuf(rejected: int, message: str) -> bytes:
    """Return an ``ExportTraceServiceResponse``; all is well if nothing is rejected, and then it is empty."""
    if rejected == 0:
        return b""
    told = message.encode()
    inner = b"\x08" + _to_varint(rejected) + b"\x12" + _to_varint(len(told)) + told
    return b"\x0a" + _to_varint(len(inner)) + inner


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
