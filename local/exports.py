"""Spans as they are exported: OTLP in JSON, and what the Agent 365 SDK makes of it. For the demo, samples and tests.

Here a span is an object as OTLP has it in JSON, but with attributes as plain values and times as numbers: that is what
the Agent 365 SDK sends.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any


def span(end: datetime, number: int, attributes: Mapping[str, Any], trace_id: str) -> dict[str, Any]:
    """Return a span.

    Args:
        end: when it ended; it took 812 ms.
        number: its id.
        attributes: as plain values.
        trace_id: 32 hexadecimal digits.
    """
    at = round(end.timestamp() * 1e6) * 1000
    return {
        "traceId": trace_id,
        "spanId": f"{number:016x}",
        "name": "chat",
        "startTimeUnixNano": at - 812_000_000,
        "endTimeUnixNano": at,
        "attributes": dict(attributes),
    }


def otlp(spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any]) -> bytes:
    """Return an export in OTLP's JSON, with those attributes of its resource."""
    times = ("startTimeUnixNano", "endTimeUnixNano")
    told = [
        {**each, **{name: str(each[name]) for name in times}, "attributes": _attributes(each["attributes"])}
        for each in spans
    ]
    return _export(told, {"attributes": _attributes(resource)})


def of_agent(spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any] | None) -> bytes:
    """Return an export as the Agent 365 SDK sends it."""
    told = [{**each, "kind": "CLIENT", "status": {"code": "UNSET", "message": ""}} for each in spans]
    return _export(told, {"attributes": resource})


def _export(spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any]) -> bytes:
    scope = {"scope": {"name": "samples", "version": None}, "spans": spans}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).encode()


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    return {} if value is None else _VALUES[type(value)](value)


_VALUES: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    bool: lambda value: {"boolValue": value},
    int: lambda value: {"intValue": str(value)},
    float: lambda value: {"doubleValue": value},
    str: lambda value: {"stringValue": value},
    list: lambda value: {"arrayValue": {"values": [_value(each) for each in value]}},
    dict: lambda value: {"kvlistValue": {"values": _attributes(value)}},
}
