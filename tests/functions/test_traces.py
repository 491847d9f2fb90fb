"""Captures as spans: each form in which they are exported, what is stored of them, and what is refused."""

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from functions._api import otlp
from functions.traces import BODY_MAX_BYTES
from local.tokens import Role
from shared.model import json_shape
from shared.model.items import format_instant
from shared.model.persons import pseudonym
from tests.functions import FUNCTIONS
from tests.functions.api import Api, opt_in
from tests.spans import TRACE_ID, chat, in_json, in_protobuf, of_agents, said, span
from tests.tokens import token
from tests.world import OTHER_TENANT, TENANT

PROTOBUF, JSON = "application/x-protobuf", "application/json"
FORMS: dict[str, tuple[str, str, Callable[..., bytes]]] = {
    "protobuf": ("traces", PROTOBUF, in_protobuf),
    "json": ("traces", JSON, in_json),
    "agents": ("traces_of_agents", JSON, of_agents),
    "agents by Node": ("traces_of_agents_by_node", JSON, of_agents),
}


async def send(
    function: str, content_type: str, body: bytes, *, tenant: str = TENANT, headers: dict[str, str] | None = None
) -> tuple[int, int, str]:
    """Export, and return the status, how many spans are refused, and what is said of them or of the request."""
    request = func.HttpRequest(
        method="POST",
        url=f"https://api.example/api/{function}",
        headers={
            "authorization": f"Bearer {token(Role.CAPTURE_SERVICE)}",
            "content-type": content_type,
            "content-length": str(len(body)),
            **(headers or {}),
        },
        route_params={"tenantId": tenant, "agentId": "orders"} if "agents" in function else {},
        body=body,
    )
    response = await FUNCTIONS[function].get_user_function()(request)
    if response.status_code != 200:
        assert response.mimetype == "application/problem+json"
        return response.status_code, 0, json.loads(response.get_body())["type"].removeprefix("urn:problem:")
    assert response.mimetype == content_type
    if content_type == PROTOBUF:
        partial = ExportTraceServiceResponse.FromString(response.get_body()).partial_success
        return 200, partial.rejected_spans, partial.error_message
    partial = json.loads(response.get_body()).get("partialSuccess", {"rejectedSpans": "0", "errorMessage": ""})
    assert isinstance(partial["rejectedSpans"], str)
    return 200, int(partial["rejectedSpans"]), partial["errorMessage"]


async def export(api: Api, *attributes: dict[str, Any], form: str = "protobuf", first: int = 1) -> tuple[int, int, str]:
    function, content_type, encode = FORMS[form]
    now = api.world.clock.now()
    spans = [span(now, first + n, {"microsoft.tenant.id": TENANT, **each}) for n, each in enumerate(attributes)]
    return await send(function, content_type, encode(spans))


def stored(api: Api) -> list[dict[str, Any]]:
    """All captures, in the order of their span ids."""
    contents = [
        content
        for store in api.world.stores.values()
        for batches in store.containers.values()
        for content, _ in batches.values()
    ]
    lines = [json.loads(line) for content in contents for line in gzip.decompress(content).splitlines()]
    return sorted(lines, key=lambda line: line.get("spanId", ""))


@pytest.mark.parametrize("form", FORMS)
async def test_a_span_becomes_a_capture_whatever_form_it_comes_in(api: Api, form: str) -> None:
    await opt_in(api)
    said_it = chat(
        "Wie viele?",
        "Vier.",
        user__id="adele@adatum.example",
        user__name="Adele",
        gen_ai__agent__name="orders",
        gen_ai__conversation__id="c-7",
        gen_ai__request__model="gpt-4o",
        gen_ai__usage__input_tokens=12,
        gen_ai__usage__output_tokens=3,
        accepted=True,
        process__owner="root",
        client__address="10.0.0.7",
    )
    assert await export(api, said_it, form=form) == (200, 0, "")
    [capture] = stored(api)
    key = (await api.world.ledger.read_setting(TENANT)).value.person_key
    service = {"service.name": "flow"} if not form.startswith("agents") else {}
    assert capture == {
        "capturedAt": format_instant(api.world.clock.now()),
        "feature": "orders",
        "userId": pseudonym(key, "adele@adatum.example"),
        "conversationId": "c-7",
        "traceId": TRACE_ID,
        "spanId": f"{1:016x}",
        "model": "gpt-4o",
        "inputMessages": [said("user", "Wie viele?")],
        "outputMessages": [{**said("assistant", "Vier."), "finish_reason": "stop"}],
        "telemetry": {
            "durationMs": 812.0,
            "inputTokens": 12,
            "outputTokens": 3,
            "gen_ai.operation.name": "chat",
            "accepted": True,
            **service,
        },
    }


async def test_spans_without_content_are_passed_over(api: Api) -> None:
    await opt_in(api)
    http = {"http.request.method": "GET"}
    silent = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    other = {**chat(), "gen_ai.operation.name": "embeddings"}
    assert await export(api, http, silent, other) == (200, 0, "")
    assert stored(api) == []


async def test_each_tenants_spans_are_under_its_own_consent(api: Api) -> None:
    await opt_in(api)
    off = {**chat("theirs"), "microsoft.tenant.id": OTHER_TENANT}
    assert await export(api, chat("ours"), off, off) == (200, 2, "Not stored: 2 data-sharing-off.")
    assert [each["inputMessages"] for each in stored(api)] == [[said("user", "ours")]]


async def test_whose_a_span_is_says_the_span_then_its_resource_then_the_header(api: Api) -> None:
    await opt_in(api)
    now = api.world.clock.now()
    bare = span(now, 1, chat())
    own = span(now, 2, {**chat(), "microsoft.tenant.id": TENANT.upper()})
    header = {"x-tenant-id": OTHER_TENANT}
    of_resource = in_protobuf([bare], {"microsoft.tenant.id": TENANT})
    assert await send("traces", PROTOBUF, in_protobuf([bare])) == (200, 1, "Not stored: 1 no-tenant.")
    assert (await send("traces", PROTOBUF, in_protobuf([bare]), headers=header))[1] == 1
    assert await send("traces", PROTOBUF, of_resource, headers=header) == (200, 0, "")
    assert await send("traces", PROTOBUF, in_protobuf([own], {"microsoft.tenant.id": OTHER_TENANT})) == (200, 0, "")
    assert len(stored(api)) == 2
    assert (await send("traces", PROTOBUF, b"", headers={"x-tenant-id": "adatum"}))[::2] == (400, "invalid-request")


async def test_the_path_of_an_agent_says_whose_its_spans_are(api: Api) -> None:
    await opt_in(api)
    now = api.world.clock.now()
    spans = [span(now, 1, chat()), span(now, 2, {**chat(), "microsoft.tenant.id": OTHER_TENANT})]
    assert await send("traces_of_agents", JSON, of_agents(spans)) == (200, 1, "Not stored: 1 other-tenant.")
    assert len(stored(api)) == 1
    assert (await send("traces_of_agents", JSON, of_agents(spans), tenant=OTHER_TENANT))[1] == 2


@pytest.mark.parametrize("form", FORMS)
async def test_an_export_is_stored_once_however_it_is_repeated_or_cut(api: Api, form: str) -> None:
    await opt_in(api)
    one, two, three, four = (chat(str(n)) for n in range(4))
    for first, some in (
        (1, [one, two]),
        (1, [one, two]),
        (1, [one, two, three]),
        (2, [two, three, four]),
        (3, [three]),
    ):
        assert await export(api, *some, form=form, first=first) == (200, 0, "")
    assert [each["spanId"] for each in stored(api)] == [f"{n:016x}" for n in range(1, 5)]


async def test_what_is_too_old_or_too_new_is_refused_alone(api: Api) -> None:
    await opt_in(api)
    now = api.world.clock.now()
    at = {1: now, 2: now - timedelta(seconds=3), 3: now + timedelta(minutes=6), 4: now + timedelta(minutes=4)}
    spans = [span(each, n, {**chat(), "microsoft.tenant.id": TENANT}) for n, each in at.items()]
    spans.append(span(now - timedelta(hours=25), 5, {**chat(), "microsoft.tenant.id": TENANT}))
    told = "Not stored: 2 captured-too-early, 1 captured-too-late."
    assert await send("traces", PROTOBUF, in_protobuf(spans)) == (200, 3, told)
    assert [each["spanId"] for each in stored(api)] == [f"{1:016x}", f"{4:016x}"]


async def test_times_and_ids_that_are_none_are_refused_alone(api: Api) -> None:
    await opt_in(api)
    good = span(api.world.clock.now(), 1, {**chat(), "microsoft.tenant.id": TENANT})
    wrong: list[dict[str, Any]] = [
        {"endTimeUnixNano": 0},
        {"endTimeUnixNano": 9_214_646_400_000_000_000},  # 2262
        {"endTimeUnixNano": 2**64 - 1},
        {"traceId": "ab"},
        {"traceId": "0" * 32},
        {"spanId": "0" * 16},
        {"spanId": "ab" * 9},
    ]
    for each in wrong:
        for form in ("protobuf", "json", "agents"):
            function, content_type, encode = FORMS[form]
            status, refused, _ = await send(function, content_type, encode([{**good, **each}]))
            assert (status, refused) == (200, 1), (each, form)
    assert stored(api) == []


async def test_a_text_that_is_too_long_is_refused_alone(api: Api) -> None:
    await opt_in(api)
    long = chat("\N{EURO SIGN}" * 90_000)
    assert await export(api, chat(), long) == (200, 1, "Not stored: 1 payload-too-large.")
    assert await export(api, chat("x" * 200_000), first=9) == (200, 0, "")
    assert [len(str(each)) > 200_000 for each in stored(api)] == [False, True]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("body", [b"", b"\xff" * 40, b"{", b"[]", b'{"resourceSpans": 5}', b"\x0a\x7f", b"\x0b\x0c"])
async def test_what_is_no_export_is_refused(api: Api, form: str, body: bytes) -> None:
    function, content_type, _ = FORMS[form]
    status, _, said = await send(function, content_type, body)
    assert (status, said) == ((200, "") if (form, body) == ("protobuf", b"") else (400, "invalid-request"))


async def test_truncated_protobuf_is_refused_wherever_it_is_cut(api: Api) -> None:
    await opt_in(api)
    whole = in_protobuf([span(api.world.clock.now(), 1, {**chat(), "microsoft.tenant.id": TENANT})])
    for length in range(1, len(whole)):
        assert (await send("traces", PROTOBUF, whole[:length]))[0] == 400
    assert stored(api) == []


async def test_padded_lengths_are_read(api: Api) -> None:
    """As the .NET exporter writes them."""
    await opt_in(api)
    whole = in_protobuf([span(api.world.clock.now(), 1, {**chat(), "microsoft.tenant.id": TENANT})])
    length, inner = len(whole) - 3, whole[3:]
    padded = b"\x0a" + bytes([length & 127 | 128, length >> 7 | 128, 0x80, 0x00]) + inner
    assert await send("traces", PROTOBUF, padded) == (200, 0, "")
    assert len(stored(api)) == 1


async def test_an_attribute_that_is_said_twice_is_refused(api: Api) -> None:
    await opt_in(api)
    one = span(api.world.clock.now(), 1, {**chat(), "microsoft.tenant.id": TENANT})
    twice = in_protobuf([one]).replace(b"gen_ai.output.messages", b"gen_ai.input.messages\0") and in_protobuf(
        [{**one, "attributes": {**one["attributes"], "microsoft.tenant.iX": OTHER_TENANT}}]
    ).replace(b"microsoft.tenant.iX", b"microsoft.tenant.id")
    assert (await send("traces", PROTOBUF, twice))[::2] == (400, "invalid-request")
    assert stored(api) == []


async def test_gzip_is_undone_and_a_bomb_is_not(api: Api) -> None:
    await opt_in(api)
    whole = in_protobuf([span(api.world.clock.now(), 1, {**chat(), "microsoft.tenant.id": TENANT})])
    encoded = {"content-encoding": "gzip"}
    assert await send("traces", PROTOBUF, gzip.compress(whole), headers=encoded) == (200, 0, "")
    bomb = gzip.compress(bytes(BODY_MAX_BYTES + 1))
    assert (await send("traces", PROTOBUF, bomb, headers=encoded))[::2] == (413, "payload-too-large")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/grpc"])
async def test_another_media_type_is_refused(api: Api, content_type: str) -> None:
    assert (await send("traces", content_type, b"{}"))[::2] == (415, "unsupported-media-type")
    assert (await send("traces_of_agents", content_type, b"{}"))[::2] == (415, "unsupported-media-type")
    assert (await send("traces_of_agents", PROTOBUF, b""))[::2] == (415, "unsupported-media-type")


async def test_an_export_of_too_many_tenants_stores_nothing(api: Api) -> None:
    await opt_in(api)
    now = api.world.clock.now()
    tenants = [TENANT, *(f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30" for n in range(10_000))]
    spans = [span(now, n + 1, {**chat(), "microsoft.tenant.id": each}) for n, each in enumerate(tenants)]
    assert (await send("traces", PROTOBUF, in_protobuf(spans)))[0] in {400, 413}
    assert (await send("traces", PROTOBUF, in_protobuf(spans[:600])))[::2] == (400, "invalid-request")
    assert stored(api) == []
    assert (await send("traces", PROTOBUF, in_protobuf(spans[:500])))[:2] == (200, 499)
    assert len(stored(api)) == 1


async def test_deep_values_are_refused_and_shallow_ones_kept(api: Api) -> None:
    await opt_in(api)
    shallow: Any = "end"
    for _ in range(12):
        shallow = [{"in": shallow}]
    assert await export(api, chat(custom=shallow)) == (200, 0, "")
    assert stored(api)[0]["telemetry"]["custom"] == shallow
    deep: Any = "end"
    for _ in range(json_shape.DEPTH_MAX + 2):
        deep = [deep]
    assert (await export(api, chat(custom=deep), form="json"))[::2] == (400, "invalid-request")
    value = b""
    for _ in range(json_shape.DEPTH_MAX + 2):  # OpenTelemetry's own messages make none that deep
        value = field(5, field(1, value))
    one = field(1, b"custom") + field(2, value)
    operation = field(1, b"gen_ai.operation.name") + field(2, field(1, b"chat"))
    body = field(1, field(2, field(2, field(9, operation) + field(9, one))))
    assert (await send("traces", PROTOBUF, body))[::2] == (400, "invalid-request")


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf that has a length."""
    length, left = b"", len(content)
    while left > 127:
        length, left = length + bytes([left & 127 | 128]), left >> 7
    return bytes([number << 3 | 2]) + length + bytes([left]) + content


DENSE = {
    "spans": lambda empty: field(1, field(2, empty(2))),
    "scopes": lambda empty: field(1, empty(2)),
    "resources": lambda empty: empty(1),
    "attributes": lambda empty: field(1, field(2, field(2, field(9, b"\x0a\x15gen_ai.operation.name") + empty(9)))),
    "events": lambda empty: field(1, field(2, field(2, field(5, b"gen_ai.operation.name") + empty(11)))),
    "values": lambda empty: field(
        1, field(2, field(2, field(9, field(1, b"gen_ai.operation.name") + field(2, field(5, empty(1))))))
    ),
}


@pytest.mark.parametrize("dense", DENSE)
async def test_an_export_of_too_many_fields_is_refused_before_they_are_read(
    api: Api, dense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields, read = otlp._fields, 0

    def counted(message: Any, most: int) -> Any:
        nonlocal read
        found = fields(message, most)
        read += most if found is None else len(found)
        return found

    monkeypatch.setattr(otlp, "_fields", counted)
    count = BODY_MAX_BYTES // 2 - 100
    body = DENSE[dense](lambda number: bytes([number << 3 | 2, 0]) * count)
    assert (await send("traces", PROTOBUF, body))[::2] == (400, "invalid-request")
    assert read <= otlp.SPANS_MAX + otlp.SPAN_FIELDS_MAX + 10
    assert stored(api) == []


async def test_100_000_empty_spans_are_an_answer(api: Api) -> None:
    await opt_in(api)
    empty = field(1, field(2, bytes([2 << 3 | 2, 0]) * 100_000))
    assert (await send("traces", PROTOBUF, empty))[::2] == (400, "invalid-request")
    empty = field(1, field(2, bytes([2 << 3 | 2, 0]) * 40_000))
    assert await send("traces", PROTOBUF, empty) == (200, 0, "")


async def test_deep_messages_are_kept(api: Api) -> None:
    await opt_in(api)
    deep = '[{"role": "user", "parts": [{"type": "x", "in": ' + "[" * 150 + "]" * 150 + "}]}]"
    assert await export(api, chat(gen_ai__input__messages=deep)) == (200, 0, "")
    assert stored(api)[0]["inputMessages"] == json.loads(deep)


@pytest.mark.parametrize("form", ["json", "agents"])
async def test_json_of_too_many_values_is_refused_before_it_is_parsed(
    api: Api, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, content_type, _ = FORMS[form]
    monkeypatch.setattr(otlp, "from_json", None)
    spans = b",".join([b"{}"] * otlp.VALUES_MAX)  # and the objects around them
    body = b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + spans + b"]}]}]}"
    assert (await send(function, content_type, body))[::2] == (400, "invalid-request")
