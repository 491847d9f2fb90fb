"""For services that are instrumented with OpenTelemetry, and for agents: captures as spans (decision D17)."""

from collections import Counter

import azure.functions as func

from functions._api import otlp
from functions._api.answers import AnswerModel, SparseAnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Export, Operation
from functions._api.parameters import GUID_IN_ANY_CASE, Parameter, text
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model.messages import CONVENTIONS
from shared.sharing.traces import Refusal

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024 * 1024

_JSON, _PROTOBUF = "application/json", "application/x-protobuf"


class PartialSuccess(AnswerModel):
    """``rejectedSpans`` is how many spans are refused for good, as a text; ``errorMessage`` says for which reasons."""

    rejected_spans: str
    error_message: str


class TraceExportAnswer(SparseAnswerModel):
    """An ``ExportTraceServiceResponse``: ``partialSuccess`` is absent if no span is refused."""

    partial_success: PartialSuccess | None = None

    @classmethod
    def of(cls, refused: Counter[Refusal]) -> "TraceExportAnswer":
        """Return what to say of what was refused."""
        if not refused.total():
            return cls()
        partial = PartialSuccess(rejected_spans=str(refused.total()), error_message=error_message(refused))
        return cls(partial_success=partial)


def error_message(refused: Counter[Refusal]) -> str:
    """Return how many spans are refused for which reason, and nothing of what is in them (P8)."""
    return "Not stored: " + ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items())) + "."


_MESSAGES = '[{"role": "user", "parts": [{"type": "text", "content": "Total of all open orders"}]}]'
_ANSWERS = '[{"role": "assistant", "parts": [{"type": "text", "content": "Sum(...)"}], "finish_reason": "stop"}]'
_GEN_AI = {
    "gen_ai.operation.name": "chat",
    "microsoft.tenant.id": "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    "gen_ai.input.messages": _MESSAGES,
    "gen_ai.output.messages": _ANSWERS,
}
_SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "chat gpt-4o",
    "startTimeUnixNano": "1795262399000000000",
    "endTimeUnixNano": "1795262400000000000",
    "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in _GEN_AI.items()],
}
_RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "power-fx"}}]}
_AGENTS_SPAN = {
    **_SPAN,
    "kind": "CLIENT",
    "startTimeUnixNano": 1795262399000000000,
    "endTimeUnixNano": 1795262400000000000,
    "attributes": {**_GEN_AI, "gen_ai.agent.id": "orders"},
}
_BOUNDS = (
    f"At most {BODY_MAX_BYTES} bytes, with a Content-Length. It may be gzip (Content-Encoding), and then "
    f"{BODY_MAX_BYTES} bytes when it is undone, too. At most {otlp.SPANS_MAX} spans, and in all "
    f"{otlp.FIELDS_MAX} fields of protobuf or {otlp.VALUES_MAX} values of JSON."
)
_BODY = Export(
    {_JSON: {"resourceSpans": [{"resource": _RESOURCE, "scopeSpans": [{"spans": [_SPAN]}]}]}, _PROTOBUF: ""},
    BODY_MAX_BYTES,
    f"An ExportTraceServiceRequest of OTLP/HTTP. {_BOUNDS}",
)
_AGENTS_BODY = Export(
    {
        _JSON: {
            "resourceSpans": [
                {"resource": {"attributes": {"service.name": "orders"}}, "scopeSpans": [{"spans": [_AGENTS_SPAN]}]}
            ]
        }
    },
    BODY_MAX_BYTES,
    f"What the Agent 365 SDK sends: attributes are plain objects, and times are numbers. {_BOUNDS}",
)
_MAPPING = (
    f"Spans with content by OpenTelemetry's GenAI conventions (version {CONVENTIONS}) become captures; others are "
    "passed over. What is refused for good is counted in partialSuccess, and nothing of it need be sent again. After a "
    "503 the same export may be sent again, whole or cut in another way: no span is stored twice."
)
_REFUSED = TraceExportAnswer.of(Counter({Refusal.DATA_SHARING_OFF: 2, Refusal.TOO_EARLY: 1}))
_TENANT: Parameter[str | None] = text(
    "x-tenant-id",
    "header",
    "The tenant of those spans that do not say it themselves (microsoft.tenant.id, of the span or its resource).",
    GUID_IN_ANY_CASE,
    "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    "x-tenant-id must be one tenant's id, a GUID.",
    read=str.lower,
    absent=None,
    once=True,
)
_TRACES = Operation(
    "Traces_Export",
    "POST",
    "v1/traces",
    "Store what OpenTelemetry's spans tell of tenants that share data.",
    tag="Captures",
    who=(Who.CAPTURE_SERVICE,),
    parameters=(_TENANT,),
    body=_BODY,
    answers={200: Answer("Everything is stored that is not counted as rejected.", _REFUSED, binary_type=_PROTOBUF)},
    description=_MAPPING,
)
_AGENT_ID = text(
    "agentId",
    "path",
    "The agent; what is stored is named by the spans themselves.",
    "[!-~]{1,200}",
    "orders",
    "The agent's id in the path must be 1 to 200 visible ASCII characters.",
    read=str,
)
_API_VERSION = text(
    "api-version",
    "query",
    "The version that the SDK was written for.",
    "[0-9A-Za-z.-]{1,32}",
    "1",
    "api-version must be 1 to 32 letters, digits, dots and hyphens.",
    read=str,
    absent=None,
)


def _of_agents(operation_id: str, service: str) -> Operation:
    return Operation(
        operation_id,
        "POST",
        f"{service}/tenants/{{tenantId}}/otlp/agents/{{agentId}}/traces",
        "Store what the Agent 365 SDK's spans tell of a tenant that shares data.",
        tag="Captures",
        who=(Who.CAPTURE_SERVICE,),
        parameters=(_AGENT_ID, _API_VERSION),
        body=_AGENTS_BODY,
        answers={200: Answer("Everything is stored that is not counted as rejected.", _REFUSED)},
        description=_MAPPING + " A span that names another tenant than the path is refused.",
    )


@serves(blueprint, _TRACES)
async def traces(call: Call) -> func.HttpResponse:
    """Store what an OpenTelemetry exporter sends."""
    media_type, tenant_id = call.media_type, call.value(_TENANT)
    read = otlp.spans_of_json if media_type == _JSON else otlp.spans_of_protobuf
    refused = await services().traces.take(read(call.content, tenant_id))
    if media_type == _JSON:
        return json_answer(TraceExportAnswer.of(refused).to_json())
    told = error_message(refused) if refused.total() else ""
    return func.HttpResponse(
        otlp.partial_success_in_protobuf(refused.total(), told), status_code=200, mimetype=_PROTOBUF
    )


@serves(blueprint, _of_agents("AgentTraces_Export", "observabilityService"))
async def traces_of_agents(call: Call) -> func.HttpResponse:
    """Store what the Agent 365 SDK for Python sends."""
    return await _take(call)


@serves(blueprint, _of_agents("AgentTraces_ExportByNode", "observability"))
async def traces_of_agents_by_node(call: Call) -> func.HttpResponse:
    """Store what the Agent 365 SDK for Node sends."""
    return await _take(call)


async def _take(call: Call) -> func.HttpResponse:
    _ = call.media_type, call.value(_AGENT_ID)
    refused = await services().traces.take(otlp.spans_of_agents(call.content, call.tenant_id), call.tenant_id)
    return json_answer(TraceExportAnswer.of(refused).to_json())
