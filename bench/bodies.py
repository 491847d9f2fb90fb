"""How long one body holds the event loop: the densest ones that are allowed, from the first look until it is sent on.

    python -m bench.bodies

Of a batch of captures no await lies between these steps if the consent is leased, so what is printed is what everybody
else waits for. An export of spans is read piece by piece, and what is printed is the longest piece. An allowed body may
take 100 ms at most on one core of 2.4 GHz; more is told at the end, and ends with status 1. One that is refused is
named so: refusing must be quick too.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from joserfc.jwk import ECKey

from functions._api import otlp
from functions.captures import BODY
from local.exports import of_agent, span
from local.exports import otlp as otlp_json
from local.tokens import SAMPLE_TENANT_ID
from shared.accounts import Account, Accounts
from shared.bootstrap import assemble
from shared.clock import SystemClock
from shared.identity.tokens import Tokens
from shared.model.capture import BATCH_MAX, Submission
from shared.model.json_shape import VALUES_MAX
from shared.model.ledger import Administrator
from shared.model.messages import TEXT_MAX_BYTES
from shared.model.notices import DEFAULT_LOCALE, NOTICES, Agreement
from shared.model.spans import Span
from shared.ports import Stores
from shared.problems import InvalidRequest
from shared.sharing.data_sharing import RequestedChange
from shared.stores.memory import MemoryAccess, MemoryCaptures, MemoryDeletions, MemoryLedger, MemoryOperations
from shared.stores.receipt_keys import LocalSigner

_LIMIT_SECONDS = 0.1
_RUNS = 5
_MIB = 1024 * 1024
_AT = "2026-11-21T12:00:00Z"


def main() -> None:
    """Measure each body and print its best time of five."""
    slow = []
    results = {name: (body, *measured(body)) for name, body in bodies().items()}
    results |= asyncio.run(exports_measured())
    for name, (body, seconds, answer) in results.items():
        print(f"{name:<48} {len(body) / _MIB:6.2f} MiB {seconds * 1000:8.1f} ms  {answer}")
        if seconds > _LIMIT_SECONDS:
            slow.append(name)
    if slow:
        sys.exit(f"over {_LIMIT_SECONDS * 1000:.0f} ms: {', '.join(slow)}")


def measured(body: bytes) -> tuple[float, str]:
    """Return the least time that a body took, in seconds, and what became of it."""
    times, answer = [], "allowed"
    for _ in range(_RUNS):
        began = time.thread_time()
        try:
            submission = Submission("app", "key", body, BODY.read(body))
            _ = submission.content("key"), submission.body_hash
        except InvalidRequest as refused:
            answer = f"refused: {refused.detail}"
        times.append(time.thread_time() - began)
    return min(times), answer


async def exports_measured() -> Mapping[str, tuple[bytes, float, str]]:
    """Send each export to rules on stores in memory, and return the longest piece of its work."""
    stores = Stores(
        ledger=MemoryLedger(),
        deletions=MemoryDeletions(),
        access=MemoryAccess(),
        operations=MemoryOperations(),
        captures=[MemoryCaptures("steurope")],
        signer=LocalSigner([ECKey.generate_key("P-256")]),
    )
    clock = SystemClock()
    accounts = Accounts([Account("europe", store, 30) for store in stores.captures], 30)
    found: dict[str, tuple[bytes, float, str]] = {}
    services = assemble(stores, accounts, clock, tokens=Tokens.__new__(Tokens), review_auth_context="c1")
    agreement = Agreement(NOTICES.published[-1].version, DEFAULT_LOCALE)
    wish = RequestedChange(True, Administrator(actor="bench"), "europe", agreement)
    await services.data_sharing.put(SAMPLE_TENANT_ID, wish)
    for name, (read, body) in exports().items():
        times, answer = [], "allowed"
        for _ in range(_RUNS):
            longest = asyncio.create_task(_longest_wait())
            await asyncio.sleep(0)
            try:
                await services.traces.take(read(body, SAMPLE_TENANT_ID))
            except InvalidRequest as refused:
                answer = f"refused: {refused.detail}"
            await asyncio.sleep(0)
            longest.cancel()
            times.append(await longest)
        found[name] = body, min(times), answer
    return found


async def _longest_wait() -> float:
    """Return the most processor time that others took between two turns of this task, until it is cancelled."""
    longest, before = 0.0, time.thread_time()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
    return longest


def exports() -> Mapping[str, tuple[Callable[[bytes, str], Iterator[Span | None]], bytes]]:
    """Return the exports by name, with what reads them."""
    now = datetime.now(UTC)

    def spans(count: int, **attributes: Any) -> list[dict[str, Any]]:
        said = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": "[]"}
        return [span(now, n, {**said, **attributes}, "f" * 32) for n in range(1, count + 1)]

    typical = spans(512, **{f"an.attribute.{n}": f"value {n}" for n in range(40)})
    dense = spans(60, **{"gen_ai.input.messages": "[" + "[]," * (VALUES_MAX - 10) + "[]]"})
    long = spans(7, **{"gen_ai.input.messages": "\n" * (TEXT_MAX_BYTES - 1)})
    empty = b"{}," * (otlp.VALUES_MAX - 10) + b"{}"
    service = {"service.name": "bench"}
    in_protobuf, in_json, in_agents = otlp.spans_of_protobuf, otlp.spans_of_json, otlp.spans_of_agents
    return {
        "512 spans of 40 attributes, JSON": (in_json, otlp_json(typical, service)),
        "512 spans of 40 attributes, Agent 365": (in_agents, of_agent(typical, service)),
        "60 spans of messages by the thousand": (in_agents, of_agent(dense, service)),
        "7 spans of 256 KiB": (in_agents, of_agent(long, service)),
        "empty spans, JSON": (in_json, b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + empty + b"]}]}]}"),
        "empty spans, protobuf, refused": (in_protobuf, b"\x0a\x00" * (2 * _MIB - 100)),
    }


def bodies() -> Mapping[str, bytes]:
    """Return the bodies by name; each is as large, or as dense, as it may be."""
    room = 4 * _MIB - 1_000
    texts = room // 2 // TEXT_MAX_BYTES  # an input and an output each
    few = VALUES_MAX - 20  # of the body's own
    deep = 58
    return {
        "nested to depth 64, many times": telemetry(
            nest(deep, few // (deep + 1), lambda inner: b"[" + inner + b"]", b"1")
        ),
        "objects nested to depth 64, many times": telemetry(
            nest(deep, few // (deep + 1), lambda inner: b'{"a":' + inner + b"}", b"1")
        ),
        "many short texts": telemetry(array([b'"%x"' % n for n in range(few)])),
        "many texts as long as there is room": telemetry(array([b'"%0200x"' % n for n in range(few)])),
        "many floats": telemetry(array([b"%d.%015de-7" % (n, n) for n in range(few)])),
        "many floats of 190 digits": telemetry(array([b"0.%0190d" % n for n in range(few)])),
        "many whole numbers of 190 digits": telemetry(array([b"1%0190d" % n for n in range(few)])),
        "a float of 4 million digits": telemetry(array([b"0." + b"7" * (room - 300)])),
        "a whole number of 4 million digits": telemetry(array([b"7" * (room - 300)])),
        "whole numbers of 4,000 digits": telemetry(array([b"7" * 4_000] * 1_000)),
        "floats of 4,000 digits and an exponent": telemetry(array([b"0." + b"7" * 4_000 + b"e-300"] * 1_000)),
        "objects of 9,000 members": telemetry(array([b"{" + members(9_000) + b"}"] * 2)),
        "long names": telemetry(b"{" + b",".join(b'"%0400x":1' % n for n in range(9_900)) + b"}"),
        "empty objects": telemetry(array([b"{}"] * few)),
        "500 captures and as much text": batch(500, text("x", room // 1_000 - 120)),
        "texts of 256 KiB": batch(texts, text("x", TEXT_MAX_BYTES)),
        "texts of 256 KiB, two bytes a character": batch(texts, text("ü", TEXT_MAX_BYTES // 2)),
        "texts of 256 KiB, line feeds": batch(texts // 2 + 1, text("\\n", TEXT_MAX_BYTES // 2 - 1_000)),
        "texts, quotes": batch(texts, text('\\"', TEXT_MAX_BYTES // 2)),
        "texts, backslashes": batch(texts, text("\\\\", TEXT_MAX_BYTES // 2)),
        "texts, NUL as an escape": batch(texts, text("\\u0000", TEXT_MAX_BYTES // 6)),
        "texts, pairs of surrogates as escapes": batch(texts, text("\\ud83d\\ude00", TEXT_MAX_BYTES // 12)),
        "telemetry, one text of escapes": telemetry(array([b'"' + b"\\n" * ((room - 400) // 2) + b'"'])),
        "telemetry, one text of NUL escapes": telemetry(array([b'"' + b"\\u0000" * ((room - 400) // 6) + b'"'])),
        "telemetry, a name of escapes": telemetry(b'{"' + b"\\n" * ((room - 400) // 2) + b'":1}'),
        "persons, in two objects": telemetry(array([persons(9_900, 1)] * 2)),
        "persons, in two objects, of long names": telemetry(array([persons(9_900, room // 19_800 - 30)] * 2)),
        "persons, each in an object": telemetry(array([persons(1, 1 + n % 300) for n in range(few // 2)])),
        "messages of many parts": messages(array([b'{"type":"text"}'] * (few // 2 - 10))),
        "messages of many parts of media": messages(array([media(room // 600 - 200)] * 600)),
        "messages of some parts of media": messages(array([media(TEXT_MAX_BYTES - 100)] * 15)),
        "messages of many parts of media that is none": messages(array([media(room // 600 - 200, b"%")] * 600)),
        "telemetry, white space": telemetry(b"{" + b" \n" * ((room - 400) // 2) + b"}"),
        "as many values as there is room, refused": telemetry(array([b"0"] * (2 * _MIB - 400))),
        "quotes alone, refused": b'"' * room,
        "backslashes alone, refused": b"\\" * room,
        "brackets alone, refused": b"[" * room,
    }


def nest(depth: int, times: int, wrap: "object", innermost: bytes) -> bytes:
    """Return an array of values that are nested."""
    assert callable(wrap)
    value = innermost
    for _ in range(depth):
        value = wrap(value)
    return array([value] * times)


def array(values: list[bytes]) -> bytes:
    """Return a JSON array."""
    return b"[" + b",".join(values) + b"]"


def members(count: int) -> bytes:
    """Return the members of an object."""
    return b",".join(b'"%x":%d' % (n, n) for n in range(count))


def text(piece: str, times: int) -> bytes:
    """Return a text in JSON, of pieces that are JSON already."""
    return b'"' + (piece * times).encode() + b'"'


def persons(count: int, length: int) -> bytes:
    """Return an object of members whose names are so long, and whose values become pseudonyms."""
    return b"{" + b",".join(b'"%0*d_User.Id":"%d"' % (length, n, n) for n in range(count)) + b"}"


def media(size: int, character: bytes = b"A") -> bytes:
    """Return a part of a message with so many characters of inline bytes."""
    return b'{"type":"blob","content":"' + character * size + b'"}'


def messages(parts: bytes) -> bytes:
    """Return a body whose one capture has one message of these parts."""
    message = b'{"role":"user","parts":' + parts + b"}"
    return b'{"captures":[{"capturedAt":"%s","feature":"flow","output":"b","inputMessages":[%s]}]}' % (
        _AT.encode(),
        message,
    )


def telemetry(value: bytes) -> bytes:
    """Return a body whose one capture has this telemetry."""
    value = value if value.startswith(b"{") else b'{"t":' + value + b"}"
    rest = json.dumps({"capturedAt": _AT, "feature": "flow", "input": "a", "output": "b"}).encode()
    return b'{"captures":[' + rest[:-1] + b',"telemetry":' + value + b"}]}"


def batch(captures: int, value: bytes) -> bytes:
    """Return a body of captures whose input and output are this text."""
    assert captures <= BATCH_MAX
    one = b'{"capturedAt":"%s","feature":"flow","input":%s,"output":%s}' % (_AT.encode(), value, value)
    return b'{"captures":' + array([one] * captures) + b"}"


if __name__ == "__main__":
    main()
