"""An agent with the Agent 365 SDK: emits what it is told to, a JSON line each, and says what came of it.

The SDK is told where to send by the environment variables that its documentation names, and asks ``resolve`` for a
token.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from microsoft_agents_a365.observability.core import (
    Agent365ExporterOptions,
    AgentDetails,
    BaggageBuilder,
    CallerDetails,
    ChatMessage,
    ExecuteToolScope,
    InferenceCallDetails,
    InferenceOperationType,
    InferenceScope,
    InputMessages,
    InvokeAgentScope,
    InvokeAgentScopeDetails,
    MessageRole,
    OpenTelemetryScope,
    OutputMessage,
    OutputMessages,
    Request,
    SpanDetails,
    TextPart,
    ToolCallDetails,
    ToolCallRequestPart,
    ToolCallResponsePart,
    UserDetails,
    configure,
    get_tracer_provider,
)
from opentelemetry import trace

PARTS = {"text": TextPart, "tool_call": ToolCallRequestPart, "tool_call_response": ToolCallResponsePart}


class Logged(logging.Handler):
    """What the SDK would have logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


def resolve(agent_id: str, tenant_id: str) -> str:
    return Path(os.environ["TOKEN_FILE"]).read_text()


def messages(kind: type, given: list[dict[str, Any]]) -> list[Any]:
    return [
        kind(
            **{
                **each,
                "role": MessageRole(each["role"]),
                "parts": [
                    PARTS[part["type"]](**{name: value for name, value in part.items() if name != "type"})
                    for part in each["parts"]
                ],
            }
        )
        for each in given
    ]


def started(told: dict[str, Any]) -> OpenTelemetryScope:
    """Return a scope with everything recorded, to be ended."""
    end = datetime.fromtimestamp(told["end"] / 1000, UTC)
    times = SpanDetails(start_time=end - timedelta(milliseconds=800), end_time=end)
    asked = InputMessages(messages(ChatMessage, told["input"])) if "input" in told else None
    request = Request(content=asked, conversation_id=told["conversation"])
    agent = AgentDetails(agent_id=told["agent"]["id"], agent_name=told["agent"]["name"])
    user = UserDetails(
        user_id=told["user"]["id"],
        user_name=told["user"]["name"],
        user_email=told["user"]["email"],
        user_client_ip=told["user"]["address"],
    )
    scope: Any
    if told["operation"] == "execute_tool":
        details = ToolCallDetails(told["tool"]["name"], told["tool"]["arguments"], told["tool"]["id"])
        scope = ExecuteToolScope.start(request, details, agent, user, times)
        scope.record_response(told["tool"]["result"])
    elif told["operation"] == "invoke_agent":
        scope = InvokeAgentScope.start(request, InvokeAgentScopeDetails(), agent, CallerDetails(user), times)
        scope.record_output_messages(OutputMessages(messages(OutputMessage, told["output"])))
    else:
        inference = InferenceCallDetails(InferenceOperationType.CHAT, told["model"], "openai", *told["tokens"])
        scope = InferenceScope.start(request, inference, agent, user, times)
        scope.record_output_messages(OutputMessages(messages(OutputMessage, told["output"])))
    if "instructions" in told:
        scope.record_attributes({"gen_ai.system_instructions": json.dumps(told["instructions"])})
    return scope


logged = Logged()
sdk = logging.getLogger("microsoft_agents_a365")
sdk.addHandler(logged)
configured = configure(
    service_name="orders",
    service_namespace="tests",
    exporter_options=Agent365ExporterOptions(token_resolver=resolve),
)
if not configured:
    sys.exit("The SDK could not be configured.")
sdk.setLevel(logging.DEBUG)
logging.getLogger("microsoft_agents_a365.observability.core.exporters").setLevel(logging.DEBUG)

for line in sys.stdin:
    ids = []
    logged.lines = []
    for each in json.loads(line):
        with BaggageBuilder().tenant_id(each["tenant"]).agent_id(each["agent"]["id"]).build(), started(each) as scope:
            context = trace.get_current_span(scope.get_context()).get_span_context()
        ids.append(f"{context.span_id:016x}")
    get_tracer_provider().force_flush()
    lines = logged.lines
    # The SDK tells nobody but its log.
    acknowledged = any("success on attempt" in each for each in lines) and not any(
        each.startswith("ERROR") for each in lines
    )
    print(json.dumps({"spans": ids, "acknowledged": acknowledged, "logged": lines}), flush=True)
