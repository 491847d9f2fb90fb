"""The same captures as spans and by POST captures: what one costs, in exports of several sizes."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from bench.interactions import captures
from bench.load import JSON_TRACE_ID, PROTOBUF_TRACE_ID, Load
from bench.scenario import Bench, pids
from bench.tenants import captures_url, service_token, toggle
from local import exports
from local.stack import Stack

SCENARIO = "captures as spans"
SIZES = (1, 100, 500)
FORMS = ("POST captures", "OTLP protobuf", "OTLP JSON")
_CAPTURE_BYTES = 2048
_CONCURRENCY = 4
_BODIES = 4


def case(form: str, size: int) -> str:
    """Return the case of ``size`` captures in one of the ``FORMS``."""
    return f"{form}, {size} at a time"


async def measure(bench: Bench, stack: Stack) -> None:
    """Send captures in each form and size in rounds, each for a tenant of its own."""
    cells = [(form, size) for size in SIZES for form in FORMS]
    toggled = await toggle(stack, [str(uuid.uuid4()) for _ in cells], enabled=True)
    loads = {cell: _load(bench, stack, *cell, tenant.tenant_id) for cell, tenant in zip(cells, toggled, strict=True)}
    for _ in range(bench.plan.repeat):
        for (form, size), load in loads.items():
            measured = await bench.generator.run(replace(load, name=uuid.uuid4().hex))
            sent = load.requests * size
            bench.results.add(
                SCENARIO,
                case(form, size),
                {
                    "captures/s": sent / measured.seconds,
                    "p50 ms": measured.p50_ms,
                    "p99 ms": measured.p99_ms,
                    **{f"{name} CPU ms/capture": used / sent * 1000 for name, used in measured.cpu.items()},
                },
            )


def _load(bench: Bench, stack: Stack, form: str, size: int, tenant_id: str) -> Load:
    batches = [captures(n, size, _CAPTURE_BYTES) for n in range(_BODIES)]
    native = form == FORMS[0]
    return Load(
        "post" if native else "export",
        [captures_url(stack, tenant_id) if native else f"{stack.description.api}/v1/traces"],
        [json.dumps({"captures": batch}) if native else _export(form, batch, tenant_id) for batch in batches],
        requests=max(_BODIES, min(bench.plan.requests, bench.plan.batch_captures // size)),
        concurrency=_CONCURRENCY,
        warm_up=_BODIES,
        secret=service_token(stack),
        settings={"Content-Type": "application/x-protobuf" if form == FORMS[1] else "application/json"},
        pids=pids(stack),
    )


def _export(form: str, batch: Sequence[Mapping[str, Any]], tenant_id: str) -> str:
    spans = [
        exports.span(
            datetime.now(UTC),
            number,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.agent.name": each["feature"],
                "microsoft.tenant.id": tenant_id,
                "gen_ai.input.messages": json.dumps(each["inputMessages"]),
                "gen_ai.output.messages": json.dumps(each["outputMessages"]),
                **({"user.id": each["userId"]} if "userId" in each else {}),
                **each["telemetry"],
            },
            JSON_TRACE_ID,
        )
        for number, each in enumerate(batch, 1)
    ]
    if form == FORMS[2]:
        return exports.otlp(spans, {"service.name": "bench"}).decode()
    request = ExportTraceServiceRequest()
    of_scope = request.resource_spans.add().scope_spans.add()
    for each in spans:
        of_scope.spans.add(
            trace_id=PROTOBUF_TRACE_ID,
            span_id=bytes.fromhex(each["spanId"]),
            start_time_unix_nano=each["startTimeUnixNano"],
            end_time_unix_nano=each["endTimeUnixNano"],
            attributes=[KeyValue(key=key, value=_any(value)) for key, value in each["attributes"].items()],
        )
    encoded: bytes = request.SerializeToString()
    return encoded.decode("latin-1")


def _any(value: Any) -> AnyValue:
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    kind = kinds.get(type(value))
    return AnyValue(string_value=json.dumps(value)) if kind is None else AnyValue(**{kind: value})
