"""A span, and the capture that it tells of: one mapping for every way by which spans come (decision D17)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from shared.model.capture import LABEL_MAX
from shared.model.items import GUID, format_instant
from shared.model.json_shape import DEPTH_MAX, VALUES_MAX, values_and_depth
from shared.model.messages import is_short_enough, without_long_media

MESSAGES_MAX = 2_000
"""Messages and parts in one attribute; more are kept as the text that they are."""

_SHORT = 2 * VALUES_MAX  # and so has not more values; its depth is the parser's own to bound

TENANT = "microsoft.tenant.id"
"""The attribute that says whose a span is."""

OPERATION = "gen_ai.operation.name"
"""The attribute without which a span is not about content."""

OPERATIONS = frozenset(
    {
        *("chat", "textcompletion", "generatecontent", "invokeagent", "invokeworkflow", "executetool"),
        "outputmessages",  # Agent 365's own
    }
)
"""The operations that carry content, without letter case and underscores: Agent 365 for Node has ``TextCompletion``."""

_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
_INSTRUCTIONS = "gen_ai.system_instructions"
_TOOL = "gen_ai.tool."
_ARGUMENTS, _RESULT = _TOOL + "call.arguments", _TOOL + "call.result"
CONTENT = (_INPUT, _OUTPUT, _INSTRUCTIONS, _ARGUMENTS, _RESULT)

_PERSONS = ("user.id", "enduser.id")
_MODELS = ("gen_ai.response.model", "gen_ai.request.model")
_USAGE = {
    "gen_ai.usage.input_tokens": "inputTokens",
    "gen_ai.usage.output_tokens": "outputTokens",
}
# What has a member of its own is not told twice.
_MAPPED = frozenset({*CONTENT, *_PERSONS, *_MODELS, *_USAGE, TENANT, "gen_ai.agent.name", "gen_ai.conversation.id"})

_TRACE_ID, _SPAN_ID = re.compile("(?!0{32})[0-9a-f]{32}"), re.compile("(?!0{16})[0-9a-f]{16}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS_MAX = 2**64

# What Agent 365's SDKs put in the place of what is too long for them.
_CUT_ATTRIBUTE = frozenset({"TRUNCATED", "[overlimit]"})
_CUT_MESSAGES = re.compile(r"\[truncated: \d+ messages? exceeded limit\]")
_CUT_PART = frozenset({"[blob truncated]", "[truncated]"})
_CUT_TEXT = "… [truncated]"


@dataclass(frozen=True, slots=True)
class Span:
    """A span, as far as anything is made of it.

    Attributes:
        trace_id: 32 hexadecimal digits, if it is as it should be.
        span_id: 16 of them.
        start: nanoseconds since 1970, UTC.
        end: likewise.
        attributes: its own, as JSON values.
        resource: those of what it is from.
        tenant_id: the tenant that the request names for it; its own attributes come first.
        size: how long it is, as it was sent, in bytes.
        of_agent: whether the Agent 365 SDK sent it, which cuts what is too long and leaves marks in its place.
    """

    trace_id: str
    span_id: str
    start: int
    end: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    tenant_id: str | None = None
    size: int = 0
    of_agent: bool = False

    @property
    def has_content(self) -> bool:
        """Whether it is of an operation that carries content, and has some."""
        operation = self.attributes.get(OPERATION)
        named = isinstance(operation, str) and operation.lower().replace("_", "") in OPERATIONS
        return named and any(name in self.attributes for name in CONTENT)

    @property
    def tenant(self) -> str | None:
        """Whose it is, lower case; None if nothing says so, or what does is no tenant id."""
        named = self.attributes.get(TENANT, self.resource.get(TENANT, self.tenant_id))
        tenant_id = named.lower() if isinstance(named, str) else ""
        return tenant_id if GUID.fullmatch(tenant_id) else None

    @property
    def ended_at(self) -> datetime:
        """When it ended: that is when the interaction happened (D4).

        Raises:
            ValueError: if it has no such time.
        """
        if not 0 < self.end < _NANOSECONDS_MAX:
            raise ValueError
        return _EPOCH + timedelta(microseconds=self.end // 1000)

    @property
    def is_valid(self) -> bool:
        """Whether its ids are such, and its times; they tell it from every other."""
        ids = _TRACE_ID.fullmatch(self.trace_id) and _SPAN_ID.fullmatch(self.span_id)
        return bool(ids) and 0 < self.end < _NANOSECONDS_MAX

    @property
    def id(self) -> bytes:
        """What tells a valid span from every other, in 24 bytes."""
        return bytes.fromhex(self.trace_id + self.span_id)


class TooLong(Exception):
    """A text of a span is longer than one of a capture may be."""


def capture_of(span: Span) -> dict[str, Any]:
    """Return the capture that a span with content tells of, as it is stored but for the persons in it.

    Raises:
        TooLong: if a text of it is too long to be a capture's.
    """
    attributes = span.attributes
    cut = [name for name in CONTENT if isinstance(attributes.get(name), str) and attributes[name] in _CUT_ATTRIBUTE]
    given = {name: attributes[name] for name in CONTENT if name in attributes and name not in cut}
    capture: dict[str, Any] = {
        "capturedAt": format_instant(span.ended_at),
        "feature": _label(attributes.get("gen_ai.agent.name"))
        or _label(span.resource.get("service.name"))
        or "unknown",
        "userId": next(filter(None, (_person(attributes.get(name)) for name in _PERSONS)), None),
        "conversationId": _label(attributes.get("gen_ai.conversation.id")),
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "model": next((_label(attributes[name]) for name in _MODELS if attributes.get(name)), None),
    }
    for name, member, role in ((_INPUT, "input", "user"), (_OUTPUT, "output", "assistant")):
        if name in given:
            messages = _messages(given[name], role)
            if messages is _CUT:
                cut.append(name)
            elif isinstance(messages, str):
                capture[member] = messages
            else:
                capture[f"{member}Messages"] = messages
    if _INSTRUCTIONS in given:
        capture["systemInstructions"] = _instructions(given[_INSTRUCTIONS])
    if _ARGUMENTS in given:
        call = {"type": "tool_call", **_tool(attributes), "arguments": _parsed(given[_ARGUMENTS])}
        capture.setdefault("inputMessages", []).append({"role": "assistant", "parts": [call]})
    if _RESULT in given:
        answer = {"type": "tool_call_response", **_tool(attributes), "response": _parsed(given[_RESULT])}
        capture.setdefault("outputMessages", []).append({"role": "tool", "parts": [answer]})
    if span.of_agent:
        cut += _mark_cut(capture)
    capture["truncated"] = sorted(cut) or None
    capture["telemetry"] = _telemetry(span)
    _refuse_long(capture)
    return {name: value for name, value in capture.items() if value is not None}


def _telemetry(span: Span) -> dict[str, Any]:
    rest = {**span.resource, **span.attributes}
    told: dict[str, Any] = {"durationMs": max(span.end - span.start, 0) / 1e6} if span.start > 0 else {}
    told |= {to: rest[name] for name, to in _USAGE.items() if name in rest}
    return told | {name: value for name, value in rest.items() if name not in _MAPPED}


class _Cut:
    """Stands for messages of which the sender left nothing."""


_CUT = _Cut()


def _messages(given: Any, role: str) -> list[dict[str, Any]] | str | _Cut:
    """Return messages as the conventions have them; a text in which there are none is what was said, as it is."""
    value = _parsed(given)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]  # Agent 365 for Node wraps them, with a version
    elif isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return given if isinstance(given, str) else _text(given)
    messages = [_message(each, role) for each in value] if len(value) <= MESSAGES_MAX else []
    if len(value) + sum(len(each["parts"]) for each in messages) > MESSAGES_MAX:
        return given if isinstance(given, str) else _text(given)
    if len(messages) == 1 and len(messages[0]["parts"]) == 1:
        content = messages[0]["parts"][0].get("content")
        if isinstance(content, str) and _CUT_MESSAGES.fullmatch(content):
            return _CUT
    return messages


def _message(given: Any, role: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        return {"role": role, "parts": [_part(given)]}
    rest = {name: value for name, value in given.items() if name not in {"role", "parts", "content"}}
    parts = given.get("parts", given.get("content", []))  # content is how the chat APIs themselves name it
    parts = parts if isinstance(parts, list) else [parts]
    said_by = given.get("role")
    return {"role": said_by if isinstance(said_by, str) else role, "parts": [_part(each) for each in parts], **rest}


def _part(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        return {"type": "text", "content": given if isinstance(given, str) else _text(given)}
    if not isinstance(given.get("type"), str):
        given = {**given, "type": "text" if isinstance(given.get("content"), str) else "unknown"}
    return without_long_media(given)


def _mark_cut(capture: dict[str, Any]) -> list[str]:
    """Mark the parts that the sender cut, and return the attributes: what stands for the rest was said by nobody."""
    for name in ("inputMessages", "outputMessages"):
        for message in capture.get(name, ()):
            message["parts"] = [_marked(part) for part in message["parts"]]
    if "systemInstructions" in capture:
        capture["systemInstructions"] = [_marked(part) for part in capture["systemInstructions"]]
    plain = {"input": _INPUT, "output": _OUTPUT}
    short = [name for name in plain if str(capture.get(name, "")).endswith(_CUT_TEXT)]
    capture |= {name: capture[name].removesuffix(_CUT_TEXT) for name in short}
    return [plain[name] for name in short]


def _marked(part: dict[str, Any]) -> dict[str, Any]:
    texts = {name: value for name, value in part.items() if name != "type" and isinstance(value, str)}
    gone = {name for name, value in texts.items() if value in _CUT_PART}
    short = {name: value.removesuffix(_CUT_TEXT) for name, value in texts.items() if value.endswith(_CUT_TEXT)}
    if not gone and not short:
        return part
    return {name: value for name, value in (part | short).items() if name not in gone} | {"truncated": True}


def _instructions(given: Any) -> list[dict[str, Any]]:
    value = _parsed(given)
    if isinstance(value, list):
        return [_part(each) for each in value]
    return [_part(value if isinstance(value, dict) else given)]


def _tool(attributes: Mapping[str, Any]) -> dict[str, Any]:
    named = {"id": attributes.get(_TOOL + "call.id"), "name": attributes.get(_TOOL + "name")}
    return {name: value for name, value in named.items() if value is not None}


def _parsed(given: Any) -> Any:
    """Return what a JSON text says; anything else, and a text that would take long, as it is."""
    if not isinstance(given, str) or given[:1].lstrip() not in {"", "[", "{"}:
        return given
    text = given.encode()
    if len(text) > _SHORT:
        shape = values_and_depth(text, VALUES_MAX)
        if shape is None or shape[1] > DEPTH_MAX:
            return given
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return given


def _text(given: Any) -> str:
    return json.dumps(given, ensure_ascii=False)


def _label(given: Any) -> str | None:
    return given[:LABEL_MAX] if isinstance(given, str) and given else None


def _person(given: Any) -> str | None:
    return str(given) if isinstance(given, str | int) and given else None


def _refuse_long(capture: Mapping[str, Any]) -> None:
    parts = [
        part for name in ("inputMessages", "outputMessages") for each in capture.get(name, ()) for part in each["parts"]
    ]
    texts = [value for part in (*parts, *capture.get("systemInstructions", ())) for value in part.values()]
    for text in (*texts, capture.get("input"), capture.get("output")):
        if isinstance(text, str) and not is_short_enough(text):
            raise TooLong
