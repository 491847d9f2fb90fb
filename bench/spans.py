"""The same captures as spans and by POST captures: what one costs, in exports of several sizes."""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from bench.batches import contender
from bench.interactions import captures
from bench.load import JSON_TRACE_ID, PROTOBUF_TRACE_ID, Load
from bench.plan import Plan
from bench.rounds import rounds
from bench.scenario import Bench, pids
from bench.targets import Target
from bench.tenants import captures_url, enrol, service_token
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


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    native, *otlp = FORMS
    return [
        Target(
            f"span-cpu-{form.split()[-1].lower()}-{size}",
            f"host CPU per capture: {form} / {native}, {size} at a time",
            "<=",
            1.5,
            SCENARIO,
            (case(form, size), "host CPU ms/capture"),
            (case(native, size), "host CPU ms/capture"),
        )
        for size in SIZES
        for form in otlp
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Send captures in each form and size, each for a tenant of its own; those of a size take turns."""
    for size in SIZES:
        enrollments = await enrol(stack, [str(uuid.uuid4()) for _ in FORMS])
        contenders = {
            case(form, size): contender(bench, partial(_load, bench, stack, form, size, tenant_id), size)
            for form, tenant_id in zip(FORMS, enrollments, strict=True)
        }
        await rounds(bench, SCENARIO, contenders, targets(bench.plan), seconds=0.5)


def _load(bench: Bench, stack: Stack, form: str, size: int, tenant_id: str) -> Load:
    """Return a load of captures that happen now: each minute's spans have a log of their own."""
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
