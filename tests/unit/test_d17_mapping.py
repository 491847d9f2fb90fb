"""D17: what a capture is made of, part by part, whatever a span is instrumented with."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.model.capture import Capture
from shared.model.json_shape import DEPTH_MAX, VALUES_MAX
from shared.model.messages import INLINE_MAX_BYTES, TEXT_MAX_BYTES
from shared.model.spans import CONTENT, MESSAGES_MAX, OPERATIONS, Span, TooLong, capture_of
from tests.spans import TRACE_ID, said

END = 1_795_262_400_123_456_789
ASKED = [said("system", "Be short."), said("user", "Wie viele?", "日本語 «»\n\t\"'\\")]
ANSWERED = [{**said("assistant", ""), "finish_reason": "stop"}]


def of(attributes: Mapping[str, Any], resource: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    fields = {"trace_id": TRACE_ID, "span_id": f"{1:016x}", "start": END - 1_500_000, "end": END, **more}
    return capture_of(
        Span(attributes={"gen_ai.operation.name": "chat", **attributes}, resource=resource or {}, **fields)
    )


def asked(value: Any) -> Any:
    capture = of({"gen_ai.input.messages": value})
    return capture.get("inputMessages", capture.get("input"))


@pytest.mark.parametrize("ascii", [True, False])
def test_messages_are_what_the_client_was_given(ascii: bool) -> None:
    texts = (json.dumps(each, ensure_ascii=ascii) for each in (ASKED, ANSWERED))
    capture = of(dict(zip(("gen_ai.input.messages", "gen_ai.output.messages"), texts, strict=True)))
    assert (capture["inputMessages"], capture["outputMessages"]) == (ASKED, ANSWERED)
    assert "input" not in capture and "truncated" not in capture


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(ASKED, id="values instead of a text"),
        pytest.param(json.dumps({"version": "0.1.0", "messages": ASKED}), id="wrapped, as by Agent 365 for Node"),
        pytest.param({"version": "0.1.0", "messages": ASKED}, id="wrapped values"),
        pytest.param(
            json.dumps([{"role": each["role"], "content": each["parts"]} for each in ASKED]), id="named as chat APIs do"
        ),
    ],
)
def test_messages_may_be_wrapped_or_be_values(given: Any) -> None:
    assert asked(given) == ASKED


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ('["one", "two"]', [said("user", "one"), said("user", "two")]),
        ('[{"role": "user", "content": "one"}]', [said("user", "one")]),
        ('{"role": "tool", "parts": []}', [{"role": "tool", "parts": []}]),
        ('[{"parts": ["one", 2, ["für"]]}]', [said("user", "one", "2", '["für"]')]),
        ("[]", []),
        ('[{"role": "user"}]', [{"role": "user", "parts": []}]),
        (
            '[{"role": "user", "parts": [{"type": "new", "x": [null]}]}]',
            [{"role": "user", "parts": [{"type": "new", "x": [None]}]}],
        ),
        ('[{"role": 5, "parts": [{"a": 1}]}]', [{"role": "user", "parts": [{"a": 1, "type": "unknown"}]}]),
        (
            '[{"role": "user", "parts": [], "name": "A", "z": {}}]',
            [{"role": "user", "parts": [], "name": "A", "z": {}}],
        ),
    ],
)
def test_messages_of_other_forms_become_messages(given: str, messages: list[dict[str, Any]]) -> None:
    assert asked(given) == messages


@pytest.mark.parametrize(
    "given", ["Wie viele?", "[sic] what?", "{", "42", '"quoted"', "null", "", " ", '["\\ud800"]', "[NaN]"]
)
def test_a_text_that_is_no_messages_is_what_was_said(given: str) -> None:
    assert asked(given) == given


@pytest.mark.parametrize("given", ["[" * 300 + "]" * 300, "[" + "[]," * 25_000 + "[]]"])
def test_a_text_that_would_take_long_to_parse_is_what_was_said(given: str) -> None:
    assert asked(given) == given


def test_a_tool_call_and_its_result_are_parts() -> None:
    tool = {"gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "c1"}
    capture = of(
        {
            **tool,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.arguments": '{"n": 1}',
            "gen_ai.tool.call.result": "four",
        }
    )
    call = {"type": "tool_call", "id": "c1", "name": "lookup", "arguments": {"n": 1}}
    answer = {"type": "tool_call_response", "id": "c1", "name": "lookup", "response": "four"}
    assert capture["inputMessages"] == [{"role": "assistant", "parts": [call]}]
    assert capture["outputMessages"] == [{"role": "tool", "parts": [answer]}]


def test_system_instructions_are_parts() -> None:
    parts = [{"type": "text", "content": "Be short."}, {"type": "other", "x": 1}]
    for each in (json.dumps(parts), parts):
        assert of({"gen_ai.system_instructions": each})["systemInstructions"] == parts
    for other in (json.dumps(parts[1]), parts[1]):
        assert of({"gen_ai.system_instructions": other})["systemInstructions"] == parts[1:]
    for text in ("Be short.", " 42"):
        assert of({"gen_ai.system_instructions": text})["systemInstructions"] == [{"type": "text", "content": text}]


@pytest.mark.parametrize("marker", ["TRUNCATED", "[overlimit]"])
@pytest.mark.parametrize(
    "name", ["gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.call.result"]
)
def test_what_the_sender_cut_is_marked_and_never_what_somebody_said(name: str, marker: str) -> None:
    capture = of({name: marker, "gen_ai.tool.call.arguments": "{}"})
    assert capture["truncated"] == [name] and marker not in json.dumps(capture)


CUT = [
    {"type": "blob", "modality": "image", "content": "[blob truncated]"},
    {"type": "tool_call", "name": "t", "arguments": "[truncated]"},
    {"type": "tool_call_response", "id": "1", "response": '{"a": "… [truncated]'},
    {"type": "text", "content": "It was a dark … [truncated]"},
    {"type": "… [truncated]", "n": ["[truncated]"]},
]


def test_what_an_agents_sdk_cut_of_parts_is_marked() -> None:
    given = json.dumps([{"role": "user", "parts": CUT}])
    capture = of({"gen_ai.input.messages": given, "gen_ai.output.messages": "And … [truncated]"}, of_agent=True)
    assert capture["inputMessages"][0]["parts"] == [
        {"type": "blob", "modality": "image", "truncated": True},
        {"type": "tool_call", "name": "t", "truncated": True},
        {"type": "tool_call_response", "id": "1", "response": '{"a": "', "truncated": True},
        {"type": "text", "content": "It was a dark ", "truncated": True},
        CUT[4],
    ]
    assert (capture["output"], capture["truncated"]) == ("And ", ["gen_ai.output.messages"])
    tool = {"gen_ai.tool.call.arguments": '{"q": "long… [truncated]', "gen_ai.tool.call.result": "[truncated]"}
    capture = of(tool, of_agent=True)
    [called], [answered] = capture["inputMessages"][0]["parts"], capture["outputMessages"][0]["parts"]
    assert called == {"type": "tool_call", "arguments": '{"q": "long', "truncated": True}
    assert answered == {"type": "tool_call_response", "truncated": True}
    plain = {"gen_ai.input.messages": "Or … [truncated]", "gen_ai.system_instructions": CUT[3:]}
    capture = of(plain, of_agent=True)
    assert (capture["input"], capture["truncated"]) == ("Or ", ["gen_ai.input.messages"])
    assert capture["systemInstructions"] == [
        {"type": "text", "content": "It was a dark ", "truncated": True},
        CUT[4],
    ]
    whole = {"version": "0.1.0", "messages": [said("system", "[truncated: 12 messages exceeded limit]")]}
    assert of({"gen_ai.input.messages": json.dumps(whole)})["truncated"] == ["gen_ai.input.messages"]


def test_what_people_write_in_spans_of_others_is_no_mark() -> None:
    assert asked(json.dumps([{"role": "user", "parts": CUT}])) == [{"role": "user", "parts": CUT}]


@pytest.mark.parametrize(
    ("form", "member"), [({"type": "blob"}, "content"), ({"type": "uri"}, "uri")], ids=["blob", "a data address"]
)
def test_long_media_is_its_hash_and_length(form: dict[str, str], member: str) -> None:
    for length in (INLINE_MAX_BYTES, INLINE_MAX_BYTES + 1):
        media = bytes(length)
        encoded = base64.b64encode(media).decode()
        part = {
            **form,
            "modality": "image",
            member: encoded if member == "content" else f"data:image/png;base64,{encoded}",
        }
        [message] = asked([{"role": "user", "parts": [part]}])
        told = {**form, "modality": "image", "sha256": hashlib.sha256(media).hexdigest(), "bytes": length}
        assert message["parts"] == [part if length <= INLINE_MAX_BYTES else told]


def test_an_address_of_media_is_kept() -> None:
    part = {"type": "uri", "modality": "image", "uri": "https://adatum.example/" + "x" * 30_000}
    other = {"type": "other", "uri": "data:," + "x" * 30_000}
    assert asked([{"role": "user", "parts": [part, other]}])[0]["parts"] == [part, other]


@pytest.mark.parametrize(
    ("attributes", "resource", "feature"),
    [
        ({"gen_ai.agent.name": "orders"}, {"service.name": "flow"}, "orders"),
        ({"gen_ai.agent.name": ""}, {"service.name": "flow"}, "flow"),
        ({}, {"service.name": 5}, "unknown"),
        ({"gen_ai.agent.name": "x" * 500}, {}, "x" * 200),
    ],
)
def test_a_feature_is_the_agent_or_the_service(attributes: Any, resource: Any, feature: str) -> None:
    assert of(attributes, resource)["feature"] == feature


def test_the_instant_is_that_of_the_end_in_microseconds() -> None:
    capture = of({})
    assert capture["capturedAt"] == "2026-11-21T12:00:00.123456Z"
    assert capture["telemetry"]["durationMs"] == 1.5
    assert "durationMs" not in of({}, start=0)["telemetry"]
    assert of({}, start=END + 1)["telemetry"]["durationMs"] == 0


@pytest.mark.parametrize("end", [1, 2**64 - 1])
def test_a_span_has_ended_at_any_time_of_64_bits(end: int) -> None:
    span = Span(TRACE_ID, "1" * 16, 0, end, {}, {})
    assert span.is_valid and span.ended_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=end // 1000)


@pytest.mark.parametrize("end", [0, 2**64])
def test_a_span_that_has_no_such_time_is_not_valid(end: int) -> None:
    span = Span(TRACE_ID, "1" * 16, 0, end, {}, {})
    assert not span.is_valid
    with pytest.raises(ValueError, match=r"^$"):
        _ = span.ended_at


LONG = {
    "plain": lambda text: {"gen_ai.input.messages": text},
    "part": lambda text: {"gen_ai.output.messages": json.dumps([said("user", text)])},
    "instruction": lambda text: {"gen_ai.system_instructions": text},
    "result": lambda text: {"gen_ai.tool.call.result": text},
}


@pytest.mark.parametrize("text", ["x" * 262_145, "\N{EURO SIGN}" * 87_382])
@pytest.mark.parametrize("member", LONG)
def test_a_text_that_is_too_long_is_refused(text: str, member: str) -> None:
    with pytest.raises(TooLong):
        of(LONG[member](text))
    of(LONG[member](text[1:]))


@pytest.mark.parametrize(
    "operation",
    ["chat", "Chat", "TextCompletion", "text_completion", "GENERATE_CONTENT", "invoke_agent", "output_messages"],
)
def test_operations_are_named_in_any_case(operation: str) -> None:
    span = Span(TRACE_ID, "1" * 16, 1, 2, {"gen_ai.operation.name": operation, "gen_ai.input.messages": ""}, {})
    assert span.has_content and operation.lower().replace("_", "") in OPERATIONS


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        *CONTENT,
        "gen_ai.tool.name",
        "gen_ai.agent.name",
        "user.id",
        "gen_ai.conversation.id",
        "gen_ai.request.model",
        "x",
    ]
)
CAPTURE = Draft202012Validator(Capture.model_json_schema())


@given(st.dictionaries(NAMES, VALUES | st.builds(json.dumps, VALUES)), st.dictionaries(NAMES, VALUES, max_size=2))
def test_whatever_attributes_say_comes_out_as_a_capture(attributes: dict[str, Any], resource: dict[str, Any]) -> None:
    capture = of(attributes, resource)
    assert capture.get("userId") != ""
    for name in ("truncated", "userId"):  # which one that is sent cannot have, and which becomes a pseudonym
        capture.pop(name, None)
    CAPTURE.validate(capture)


@pytest.mark.parametrize(
    ("attribute", "member", "role"),
    [("gen_ai.input.messages", "inputMessages", "user"), ("gen_ai.output.messages", "outputMessages", "assistant")],
)
def test_who_is_not_named_is_whoever_says_such_things(attribute: str, member: str, role: str) -> None:
    capture = of({attribute: ["Hello.", {"content": "And?"}, {"parts": [{"content": 5}, {"content": "?"}]}]})
    untold = {"role": role, "parts": [{"type": "unknown", "content": 5}, *said(role, "?")["parts"]]}
    assert capture[member] == [said(role, "Hello."), said(role, "And?"), untold]


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        pytest.param([{"role": "user", "parts": []}] * MESSAGES_MAX, True, id="as many messages as may be"),
        pytest.param([{"role": "user", "parts": []}] * (MESSAGES_MAX + 1), False, id="one more"),
        pytest.param([said("user", "x")] * (MESSAGES_MAX // 2), True, id="as many with their parts"),
        pytest.param([said("user", "x")] * (MESSAGES_MAX // 2 + 1), False, id="one more with its part"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_so_many_messages_are_kept_and_more_are_the_text_that_they_are(
    messages: list[Any], kept: bool, as_text: bool
) -> None:
    given = json.dumps(messages) if as_text else messages
    assert asked(given) == (messages if kept else json.dumps(messages))


@pytest.mark.parametrize(("given", "text"), [(5, "5"), (True, "true"), ("just said", "just said"), ("", "")])
def test_what_is_no_message_is_what_was_said(given: Any, text: str) -> None:
    assert asked(given) == text


def test_json_is_json_behind_white_space_and_as_deep_as_a_body_may_be() -> None:
    assert asked(f" \n{json.dumps(ASKED)}") == ASKED
    for depth in (DEPTH_MAX, DEPTH_MAX + 1):
        text = f'{"[" * depth}"{"x" * 3 * VALUES_MAX}"{"]" * depth}'  # too long to be left to the parser
        [call] = of({"gen_ai.tool.call.arguments": text})["inputMessages"][0]["parts"]
        assert call["arguments"] == (json.loads(text) if depth == DEPTH_MAX else text)


@pytest.mark.parametrize("told", [{}, *({"user.id": nobody} for nobody in (None, "", 0, 0.5, ["a"], {"a": 1}))])
def test_d18_nobody_is_who_the_span_does_not_name(told: dict[str, Any]) -> None:
    assert "userId" not in of({"gen_ai.input.messages": "Hello.", **told})


def test_all_that_the_sender_cut_is_named() -> None:
    told = {"gen_ai.input.messages": "TRUNCATED", "gen_ai.output.messages": "And … [truncated]"}
    assert of(told, of_agent=True)["truncated"] == ["gen_ai.input.messages", "gen_ai.output.messages"]


def test_a_span_that_began_with_time_itself_has_lasted_since() -> None:
    assert of({"gen_ai.input.messages": "x"}, start=1, end=2_000_001)["telemetry"]["durationMs"] == 2.0
    assert "durationMs" not in of({"gen_ai.input.messages": "x"}, start=0, end=2_000_001)["telemetry"]


@pytest.mark.parametrize("attribute", ["gen_ai.input.messages", "gen_ai.output.messages"])
def test_a_text_that_is_no_message_may_be_as_long_as_one_and_no_longer(attribute: str) -> None:
    assert of({attribute: "x" * TEXT_MAX_BYTES})
    with pytest.raises(TooLong):
        of({attribute: "x" * (TEXT_MAX_BYTES + 1)})


@pytest.mark.parametrize("data", ["text/plain,%41,%42" * INLINE_MAX_BYTES, "text/plain," + "%41%42" * INLINE_MAX_BYTES])
def test_long_media_that_are_not_in_base64_are_hashed_as_they_were_sent(data: str) -> None:
    sent = data.partition(",")[2].encode()
    [message] = asked([{"role": "user", "parts": [{"type": "uri", "uri": f"data:{data}"}]}])
    told = {"type": "uri", "sha256": hashlib.sha256(sent).hexdigest(), "bytes": len(sent)}
    assert message["parts"] == [told]
