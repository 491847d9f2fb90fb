"""What stands between a hostile request and the rules: size, JSON, headers, and what reaches a log (on fakes)."""

import inspect
import json
import logging
import typing
import uuid
from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions._api import json_text
from functions._api.operations import OPERATIONS, Body
from functions._api.parameters import CORRELATION_ID, LIMIT, TENANT_ID, Parameter
from local.tokens import Role
from shared.identity.callers import Who
from shared.model.json_shape import DEPTH_MAX, VALUES_MAX, values_and_depth
from shared.ports import StoreUnavailable
from shared.problems import InvalidRequest
from tests.functions import FUNCTIONS
from tests.functions.api import SECRET, Api, opt_in
from tests.world import OTHER_TENANT, TENANT

HTTP = sorted(
    name for name, each in FUNCTIONS.items() if any(binding.type == "httpTrigger" for binding in each.get_bindings())
)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MIB = 1024 * 1024


def with_telemetry(api: Api, telemetry: bytes) -> bytes:
    return json.dumps(api.batch(telemetry="?")).encode().replace(b'"?"', telemetry)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what our own loggers wrote, each record as it went to the handlers."""
    return [json.loads(each.getMessage()) for each in caplog.records if each.name.split(".")[0] in {"functions"}]


# JSON


async def test_a_size_is_refused_before_a_byte_is_parsed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await opt_in(api)
    looked_into: list[bytes] = []
    monkeypatch.setattr(json_text, "check", looked_into.append)
    assert (await api.post(b"[" * (4 * MIB + 1)))[:2] == (413, "payload-too-large")
    assert looked_into == []


@pytest.mark.parametrize(
    "telemetry",
    [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"x":[{"a":1,"a":null}]}', b'{"x":{"y":{"":1,"":2}}}'],
)
async def test_a_name_that_comes_twice_in_one_object_is_refused_at_any_depth(api: Api, telemetry: bytes) -> None:
    await opt_in(api)
    assert (await api.post(with_telemetry(api, telemetry)))[:2] == (400, "invalid-request")
    assert api.world.stored_containers() == {}


async def test_a_name_that_comes_twice_in_the_bodys_own_objects_is_refused(api: Api) -> None:
    await opt_in(api)
    answer = await api.call("data_sharing", "PUT", body=b'{"enabled": true, "geo": "europe", "enabled": false}')
    assert answer[:2] == (400, "invalid-request")
    assert (await api.call("data_sharing_get"))[1]["enabled"] is True
    whole = json.dumps(api.batch()).encode()
    assert (await api.post(whole[:-1] + b"," + whole[1:]))[:2] == (400, "invalid-request")


async def test_the_same_name_in_two_objects_and_in_a_text_is_no_repetition(api: Api) -> None:
    await opt_in(api)
    fine = b'{"a":{"a":1},"b":[{"a":1},{"a":2}],"c":"{\\"a\\":1,\\"a\\":2}","A":1}'
    assert (await api.post(with_telemetry(api, fine)))[0] == 201


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_depth_has_a_limit_of_its_own(api: Api, opening: bytes, closing: bytes) -> None:
    await opt_in(api)
    inner = DEPTH_MAX - 4  # within the body, the list of captures, the capture and its telemetry

    def telemetry(levels: int) -> bytes:
        return b'{"t":' + opening * levels + b"1" + closing * levels + b"}"

    assert (await api.post(with_telemetry(api, telemetry(inner + 1))))[:2] == (400, "invalid-request")
    assert (await api.post(with_telemetry(api, telemetry(inner))))[0] == 201


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (rb'"[[[["', 0),
        (rb'["[\"[[", "\\", {"]": "{"}]', 2),
        (rb'["\\\\\"[", "\\\\", []]', 2),
        (rb'[[], {}, [[]], "\u005b"]', 3),
        (b'{"a": [', 2),
        (b'"', 0),
        (b"", 0),
    ],
)
def test_brackets_in_texts_are_no_depth(text: bytes, depth: int) -> None:
    shape = values_and_depth(text, VALUES_MAX)
    assert shape is not None and shape[1] == depth


def values_in(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(values_in(each) for each in inner)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(alphabet='a,[]{}":\\\n\u2028'),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a,[]{}":\\'), inner),
    ),
    st.sampled_from([None, 1, "\t"]),
)
def test_values_are_counted_as_a_parser_would(value: Any, indent: int | str | None) -> None:
    shape = values_and_depth(json.dumps(value, indent=indent).encode(), VALUES_MAX)
    assert shape is not None and shape[0] == values_in(value)


MANY = {
    "numbers": lambda count: [0] * count,
    "texts": lambda count: ["[1,2,3]", '\\"'] * (count // 2) + [""] * (count % 2),
    "empty objects": lambda count: [{}] * count,
    "empty arrays": lambda count: [[]] * count,
    "members": lambda count: [{f"{n}": None for n in range(each)} for each in split(count)],
    "objects of one": lambda count: [{"a": True}] * (count // 2) + [False] * (count % 2),
}


def split(count: int) -> list[int]:
    """In a few objects, each of which is a value as well."""
    return [5_000, 5_000, count - 10_003]


@pytest.mark.parametrize("make", MANY.values(), ids=MANY.keys())
@pytest.mark.parametrize("separators", [(",", ":"), (" ,\r\n", " : ")], ids=["dense", "spaced"])
async def test_values_are_limited_in_number(
    api: Api, make: Callable[[int], list[Any]], separators: tuple[str, str]
) -> None:
    await opt_in(api)
    around = values_in(api.batch(telemetry={"t": []}))

    def body(values: int) -> bytes:
        batch = api.batch(telemetry={"t": make(values - around)})
        assert values_in(batch) == values
        return json.dumps(batch, separators=separators).encode()

    assert (await api.post(body(VALUES_MAX)))[0] == 201
    assert (await api.post(body(VALUES_MAX + 1)))[:2] == (400, "invalid-request")
    with pytest.raises(InvalidRequest, match="The body has more than 20000 values"):
        json_text.check(body(VALUES_MAX + 1))


@pytest.mark.parametrize("digit", [b"0.7", b"-0.7", b"1e-7"])
async def test_a_number_is_limited_in_length(api: Api, digit: bytes) -> None:
    await opt_in(api)

    def number(length: int) -> bytes:
        return digit + b"7" * (length - len(digit)) if b"e" not in digit else digit.rjust(length, b"1")

    fits, too_long = (with_telemetry(api, b'{"a":[' + number(length) + b"]}") for length in (100, 101))
    assert (await api.post(fits))[0] == 201
    assert (await api.post(too_long))[:2] == (400, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * (4 * MIB),
        b'{"a":' * (MIB // 2),
        b'{"captures":"' + b'\\"' * (2 * MIB - 10),
        b"\\" * (4 * MIB),
        b'"' * (4 * MIB),
        b"1" * (4 * MIB),
        b'{"captures":[' + b"{}," * MIB + b"{}]}",
        b'{"captures":[' + b"0," * (2 * MIB - 10) + b"0]}",
        b"{" + b",".join(b'"%x":0' % i for i in range(300_000)) + b"}",
        b'{"captures":['
        + b",".join([b"{" + b",".join(b'"%x":0' % i for i in range(900)) + b"}"] * 400)
        + b',{"input":"'
        + SECRET.encode()
        + b'"}]}',
    ],
    ids=[
        "arrays",
        "objects",
        "escapes",
        "backslashes",
        "quotes",
        "digits",
        "empty objects",
        "numbers",
        "unknown",
        "unknown in each",
    ],
)
async def test_the_costliest_bodies_of_4_mib_are_refused(api: Api, body: bytes) -> None:
    await opt_in(api)
    assert (await api.post(body))[:2] == (400, "invalid-request")


async def test_a_full_batch_passes_the_check(api: Api) -> None:
    [one] = api.batch(input='"quoted"\n' * 400, output="ü" * 1000)["captures"]
    body = json.dumps({"captures": [one] * 400}, ensure_ascii=False).encode()
    assert 2 * MIB < len(body) < 4 * MIB
    json_text.check(body)


def test_members_have_a_limit() -> None:
    def members(count: int) -> bytes:
        return json.dumps({str(each): each for each in range(count)}).encode()

    json_text.check(members(json_text.MEMBERS_MAX))
    with pytest.raises(InvalidRequest):
        json_text.check(members(json_text.MEMBERS_MAX + 1))


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
async def test_what_json_has_no_number_for_is_refused(api: Api, constant: bytes) -> None:
    await opt_in(api)
    assert (await api.post(with_telemetry(api, b'{"a":' + constant + b"}")))[:2] == (400, "invalid-request")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "latin-1"])
async def test_no_encoding_but_utf_8_is_guessed(api: Api, encoding: str) -> None:
    await opt_in(api)
    body = json.dumps(api.batch(input="grün"), ensure_ascii=False).encode(encoding)
    assert (await api.post(body))[:2] == (400, "invalid-request")


# Headers


def each_kind_of_answer(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    async def fail(*args: object) -> None:
        raise ValueError(SECRET)

    api.world.ledger.read_setting = fail
    return [
        ("data_sharing_get", "GET", {}),
        ("data_sharing_get", "GET", {"role": None}),
        ("data_sharing_get", "GET", {"tenant": "contoso"}),
        ("data_sharing", "PUT", {"body": b"{"}),
        ("data_sharing", "PUT", {"body": b" " * 5000}),
        ("data_sharing_get", "GET", {"tenant": OTHER_TENANT}),
        ("data_sharing_history", "GET", {}),
        ("deletion", "GET", {"enrollmentId": "0" * 32}),
        ("deletions", "GET", {}),
        ("status", "GET", {"role": Role.OPERATOR}),
    ]


async def test_every_answer_has_the_security_headers_and_a_correlation_id(api: Api) -> None:
    statuses = set()
    for function, method, arguments in each_kind_of_answer(api):
        status, _, headers = await api.call(function, method, **arguments)
        statuses.add(status)
        named = {name.lower(): value for name, value in headers.items()}
        assert named["x-content-type-options"] == "nosniff"
        assert named["cache-control"] == "no-store"
        assert uuid.UUID(named["x-correlation-id"]).version == 4
        assert not named.keys() & {"server", "x-powered-by"}
    assert {200, 400, 401, 403, 404, 413, 500} <= statuses


async def test_health_has_the_security_headers_too(api: Api) -> None:
    _, _, headers = await api.call("health", role=None)
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


@pytest.mark.parametrize("sent", ["a", "A" * 64, "0HMVB5Q4C1T7A.00-2_x", str(uuid.UUID(int=7))])
async def test_a_proper_correlation_id_comes_back(api: Api, sent: str) -> None:
    for role in (Role.TENANT_ADMIN, None):
        _, _, headers = await api.call("data_sharing_get", role=role, headers={"x-correlation-id": sent})
        assert headers["x-correlation-id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 65, "a b", "a\r\nSet-Cookie: x=1", "a\n", "ü", "٣", "<script>", SECRET])
async def test_any_other_is_replaced_and_is_no_error(api: Api, sent: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        status, _, headers = await api.call("data_sharing_get", headers={"x-correlation-id": sent})
    assert status == 200
    assert uuid.UUID(headers["x-correlation-id"]).version == 4
    assert [line["correlationId"] for line in lines(caplog)] == [headers["x-correlation-id"]]


# Logs


async def test_a_request_leaves_one_line_that_says_which_it_was(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    sent = {"x-correlation-id": "id-1", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    with caplog.at_level(logging.INFO):
        await api.call("data_sharing_get", tenant=TENANT.upper(), headers=sent)
    [line] = lines(caplog)
    assert line.pop("durationMs") >= 0
    assert line.pop("message").startswith("answered 200 in ")
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "functions._api.http",
        "operation": "data_sharing_get",
        "correlationId": "id-1",
        "traceId": TRACE,
        "parentId": SPAN,
        "tenantId": TENANT,
        "status": 200,
    }


@pytest.mark.parametrize(
    "sent",
    [
        "",
        f"01-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        SECRET,
    ],
)
async def test_a_traceparent_out_of_form_is_as_if_it_were_not_there(
    api: Api, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert (await api.call("data_sharing_get", headers={"traceparent": sent}))[0] == 200
    [line] = lines(caplog)
    assert not line.keys() & {"traceId", "parentId"}
    assert SECRET not in caplog.text


@pytest.mark.parametrize("tenant", ["contoso", f"{TENANT}\n", "\x1b[31mx", "\u2028", SECRET, f"{TENANT}/x"])
async def test_a_tenant_id_that_is_no_guid_reaches_no_log(
    api: Api, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert (await api.call("data_sharing_get", tenant=tenant))[:2] == (400, "invalid-request")
    [line] = lines(caplog)
    assert "tenantId" not in line and line["status"] == 400
    assert tenant not in line["message"]


async def test_what_goes_wrong_is_told_in_the_same_request(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*args: object) -> None:
        raise StoreUnavailable("cosmos-timeout")

    api.world.ledger.read_setting = fail
    with caplog.at_level(logging.INFO):
        await api.call("data_sharing_get", headers={"x-correlation-id": "id-2"})
    warned, answered = lines(caplog)
    assert (warned["level"], warned["message"]) == ("WARNING", "store unavailable: cosmos-timeout")
    assert answered["status"] == 503
    assert {warned["correlationId"], answered["correlationId"]} == {"id-2"}


async def test_no_header_value_but_the_two_ids_and_no_content_reaches_a_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await opt_in(api)
        await api.post(api.batch(), headers={"user-agent": SECRET, "x-forwarded-for": SECRET, "tracestate": SECRET})
        await api.post(api.batch(), key=SECRET)
        await api.call("data_sharing_get", params={"q": SECRET}, headers={"authorization": f"Bearer {SECRET}"})
    assert len(lines(caplog)) == 4
    written = [each.getMessage() for each in caplog.records]
    assert not any(SECRET in each or "4711" in each or "Bearer" in each for each in written)


@pytest.mark.parametrize("function", HTTP)
def test_an_operation_is_called_as_its_function(function: str) -> None:
    assert FUNCTIONS[function].get_user_function().__name__ == function


# What is looked at first


@pytest.mark.parametrize("function", [name for name, each in OPERATIONS.items() if each.has_tenant])
async def test_token_then_tenant_then_role_and_only_then_the_rest(
    api: Api, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = OPERATIONS[function]
    stranger = next(role for role in Role if Who(role.value) not in each.who)
    places = {"enrollmentId": "x", "grantId": "x", "batchId": "x", "day": "x"}
    wrong: dict[str, Any] = {"body": b"{", "headers": {"if-match": "x"}, "params": {"limit": "x"}, **places}
    looked_into: list[Any] = []
    monkeypatch.setattr(Parameter, "of", _recording(Parameter.of, looked_into))
    monkeypatch.setattr(Body, "read", _recording(Body.read, looked_into))
    first: list[Any] = [CORRELATION_ID]
    for role, tenant, expected in (
        (None, "x", (401, "unauthenticated")),
        (stranger, "x", (400, "invalid-request")),
        (stranger, TENANT, (403, "forbidden")),
    ):
        looked_into.clear()
        answer = await api.call(function, each.method, role=role, tenant=tenant, **wrong)
        assert answer[:2] == expected
        assert looked_into == first
        first = [CORRELATION_ID, TENANT_ID]


def _recording(read: Callable[..., Any], looked_into: list[Any]) -> Callable[..., Any]:
    def recorded(self: Any, *arguments: Any) -> Any:
        looked_into.append(self)
        return read(self, *arguments)

    return recorded


@pytest.mark.parametrize("function", HTTP)
def test_azure_sees_a_request_and_nothing_of_the_handler(function: str) -> None:
    called = FUNCTIONS[function].get_user_function()
    assert inspect.iscoroutinefunction(called) and called.__doc__
    assert list(inspect.signature(called).parameters) == ["req"]
    assert typing.get_type_hints(called) == {"req": func.HttpRequest, "return": func.HttpResponse}


# Numbers


@pytest.mark.parametrize(("sent", "value"), [(None, 50), ("1", 1), ("200", 200), ("0200", 200), ("000000001", 1)])
def test_a_number_within_its_bounds_is_taken(sent: str | None, value: int) -> None:
    assert LIMIT.of(_with(limit=sent)) == value


@pytest.mark.parametrize("sent", ["", "0", "201", "-1", "+1", " 1", "1.0", "1e1", "٣", "0000000001", "1\n"])
def test_any_other_is_refused_with_the_bounds_of_the_document(sent: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^limit must be a whole number from 1 to 200\.$"):
        LIMIT.of(_with(limit=sent))
    assert LIMIT.to_json()["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}


def _with(**params: str | None) -> func.HttpRequest:
    sent = {name: value for name, value in params.items() if value is not None}
    return func.HttpRequest(method="GET", url="https://api.example/api/x", params=sent, body=b"")
