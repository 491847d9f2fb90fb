"""Spans for tests, in every form in which they are exported; protobuf is made by OpenTelemetry's own messages."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from local import exports

TRACE_ID = "5b8efff798038103d269b633813fc60c"


def said(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text} for text in texts]}


def chat(asked: str = "What changed?", answered: str = "A trigger.", **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps([said("user", asked)]),
        "gen_ai.output.messages": json.dumps([{**said("assistant", answered), "finish_reason": "stop"}]),
        **{name.replace("__", "."): value for name, value in more.items()},
    }


def span(at: datetime, number: int, attributes: Mapping[str, Any], trace_id: str = TRACE_ID) -> dict[str, Any]:
    return exports.span(at, number, attributes, trace_id)


def in_json(spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any] | None = None) -> bytes:
    return exports.otlp(spans, {"service.name": "flow", **(resource or {})})


def in_protobuf(spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any] | None = None) -> bytes:
    export = ExportTraceServiceRequest()
    of_resource = export.resource_spans.add()
    of_resource.resource.attributes.extend(_key_values({"service.name": "flow", **(resource or {})}))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    for each in spans:
        of_scope.spans.add(
            trace_id=bytes.fromhex(each["traceId"]),
            span_id=bytes.fromhex(each["spanId"]),
            name=each["name"],
            start_time_unix_nano=each["startTimeUnixNano"],
            end_time_unix_nano=each["endTimeUnixNano"],
            attributes=_key_values(each["attributes"]),
        )
    return export.SerializeToString()


def of_agents(spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any] | None = None) -> bytes:
    return exports.of_agent(spans, resource)


def _key_values(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Any) -> AnyValue:
    found = AnyValue()
    match value:
        case None:
            pass
        case bool():
            found.bool_value = value
        case int():
            found.int_value = value
        case float():
            found.double_value = value
        case str():
            found.string_value = value
        case list():
            found.array_value.values.extend(_any(each) for each in value)
            found.array_value.SetInParent()
        case _:
            found.kvlist_value.values.extend(_key_values(value))
            found.kvlist_value.SetInParent()
    return found
