"""Captures from clients as they are: OpenTelemetry's SDKs and exporters, and the Agent 365 SDKs, against the stack.

The programs in ``telemetry/`` use what the SDKs document, and nothing else.
"""

import asyncio
import json
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from local.client import Client
from local.ports import free_ports
from local.process import Process
from local.stack import Stack
from local.tokens import Role
from tests.clients.conftest import HERE

pytestmark = pytest.mark.asyncio(loop_scope="session")

GEO = "europe"
GZIP = (("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),)
SENT_ON = {"authorization", "content-type", "content-encoding", "user-agent"}
ANSWERED = {"content-type", "retry-after"}
USER = {"id": "adele@adatum.example", "name": "Adele Vance", "email": "a.vance@mail.example", "address": "203.0.113.77"}
AGENT = {"id": "orders-agent", "name": "orders"}
SCRIPTS = (
    "Grüße, 100 € für Ærøskøbing",
    "Καλημέρα κόσμε, съешь ещё этих булок",
    "مرحبا بالعالم / שלום עולם",
    "नमस्ते दुनिया, こんにちは世界, 안녕하세요",
    "\U0001f469\U0001f3fd\u200d\U0001f680 e\u0301 \u2028 \U0001f9ea",
)
QUOTES = '"double" \'single\' \\back\\slash\\ {"json": ["in", null]} <b>&amp;</b> %20 \t tab'
LINES = "first\nsecond\r\n\nlast\n"
LONG = "All open orders. " * 12_000  # 204 KB


@dataclass(frozen=True)
class Kind:
    """A client: its program, what it is told on its command line, and what further settings it has."""

    program: str
    arguments: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def of_agents(self) -> bool:
        return self.program.startswith("agent.")

    @property
    def for_node(self) -> bool:
        return self.program.endswith(".mjs")

    @property
    def needs_gateway(self) -> bool:
        """Whether it sends in chunks, without a Content-Length: Azure Functions passes no such body on."""
        return self.program == "otel.mjs"


PYTHON, PROTOBUF, JSON = Kind("otel.py"), Kind("otel.mjs", ("proto",)), Kind("otel.mjs", ("http",))
AGENT_IN_PYTHON, AGENT_FOR_NODE = Kind("agent.py"), Kind("agent.mjs")
KINDS = {
    "Python": PYTHON,
    "Python, gzip": Kind("otel.py", (), GZIP),
    "Node, protobuf": PROTOBUF,
    "Node, protobuf, gzip": Kind("otel.mjs", ("proto",), GZIP),
    "Node, JSON": JSON,
    "Node, JSON, gzip": Kind("otel.mjs", ("http",), GZIP),
    "Agent 365 in Python": AGENT_IN_PYTHON,
    "Agent 365 for Node": AGENT_FOR_NODE,
    "Agent 365 for Node, from a service": Kind("agent.mjs", ("s2s",)),
}
# One of each: what is sent is the same with gzip.
DIFFERENT = {name: KINDS[name] for name in KINDS if "gzip" not in name and "from a service" not in name}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
each_different_kind = pytest.mark.parametrize("kind", DIFFERENT.values(), ids=DIFFERENT)
each_agent = pytest.mark.parametrize("kind", [AGENT_IN_PYTHON, AGENT_FOR_NODE], ids=["in Python", "for Node"])


class Service:
    """A program at work."""

    def __init__(self, kind: Kind, process: asyncio.subprocess.Process) -> None:
        self._kind = kind
        self._process = process

    async def emit(self, *told: Mapping[str, Any]) -> dict[str, Any]:
        """Let it emit interactions and flush, and return what it says: ``spans``, ``acknowledged``, ``logged``.

        Without any, OpenTelemetry's services send again what their exporter has given up.
        """
        given = [
            each if self._kind.of_agents else {"attributes": attributes(each), "end": each["end"]} for each in told
        ]
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(given).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(120):
            line = await self._process.stdout.readline()
        if not line:
            assert self._process.stderr
            raise AssertionError((await self._process.stderr.read()).decode()[-2_000:])
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def gateway(host: str) -> AsyncIterator[str]:
    """The address of a gateway that sends whole bodies on, with their length, and says 502 while the host is away."""

    async def send_on(request: web.Request) -> web.Response:
        body = await request.read()
        kept = {name: value for name, value in request.headers.items() if name.lower() in SENT_ON}
        try:
            # A connection for each request: one that a host's death has closed would fail the next.
            async with (
                aiohttp.ClientSession(auto_decompress=False) as session,
                session.post(host + request.path_qs, data=body, headers=kept) as answer,
            ):
                content = await answer.read()
                kept = {name: value for name, value in answer.headers.items() if name.lower() in ANSWERED}
                return web.Response(status=answer.status, body=content, headers=kept)
        except aiohttp.ClientError:
            return web.Response(status=502)

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/{path:.*}", send_on)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    try:
        [port] = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@dataclass
class Services:
    """Starts programs that send to the stack."""

    python: Path
    node: Path
    stack: Stack
    client: Client

    @asynccontextmanager
    async def started(
        self, kind: Kind, host: str | None = None, *, directly: bool = False, token_file: Path | None = None
    ) -> AsyncIterator[Service]:
        """A program that sends to a host, the stack's first one or another, by way of a gateway if it needs one.

        Each of its requests has the token that is in ``token_file`` by then, if there is one.
        """
        host = host or self.stack.description.host
        assert host is not None
        async with AsyncExitStack() as exit_stack:
            if kind.needs_gateway and not directly:
                host = await exit_stack.enter_async_context(gateway(host))
            yield await exit_stack.enter_async_context(self._started(kind, f"{host}/api", token_file))

    @asynccontextmanager
    async def _started(self, kind: Kind, api: str, token_file: Path | None) -> AsyncIterator[Service]:
        token = self.client.token(Role.CAPTURE_SERVICE, now=await self.client.now())
        if kind.of_agents:
            settings = {
                "A365_OBSERVABILITY_DOMAIN_OVERRIDE": api,
                "ENABLE_A365_OBSERVABILITY_EXPORTER": "true",
                "ENABLE_OBSERVABILITY": "true",
            }
            if token_file is None:
                token_file = self.node / "token"
                token_file.write_text(token)
        else:
            settings = {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{api}/v1/traces",
                "OTEL_SERVICE_NAME": "flow",
            }
            if token_file is None:
                settings["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] = f"authorization=Bearer%20{token}"
        if token_file is not None:
            settings["TOKEN_FILE"] = str(token_file)
        process = await asyncio.create_subprocess_exec(
            *(
                ["node", self.node / kind.program]
                if kind.for_node
                else [self.python, HERE / "telemetry" / kind.program]
            ),
            *kind.arguments,
            env={
                # Nothing else: a proxy's variables would send 127.0.0.1 elsewhere.
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                # What says most of the machine.
                "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,process,host,os",
                **settings,
                **dict(kind.settings),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=16 * 1024 * 1024,
        )
        try:
            yield Service(kind, process)
            assert process.stdin and process.stderr
            process.stdin.close()
            errors = (await process.stderr.read()).decode()
            assert await process.wait() == 0, errors[-2_000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        yield client


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory,
    telemetry_python: Path,
    telemetry_modules: Path,
    stack: Stack,
    client: Client,
) -> Services:
    work = tmp_path_factory.mktemp("telemetry")
    for program in (HERE / "telemetry").glob("*.mjs"):
        shutil.copy(program, work)
    (work / "node_modules").symlink_to(telemetry_modules)
    return Services(telemetry_python / "python", work, stack, client)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mortal(stack: Stack) -> Process:
    """A host that may be killed: nobody else's."""
    return await stack.start_host()


@pytest.fixture
def tenant() -> str:
    return str(uuid.uuid4())


async def opt_in(client: Client, tenant: str) -> str:
    answer = await client.opt_in(tenant, GEO)
    assert answer.status == 200
    return str(answer.body["enrollmentId"])


def said(role: str, *texts: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text} for text in texts], **more}


def answered(*texts: str) -> dict[str, Any]:
    return said("assistant", *texts, finish_reason="stop")


def interaction(tenant: str, now: datetime, number: int = 0, **more: Any) -> dict[str, Any]:
    """Return what happened, by the host's clock, which another module may have moved."""
    return {
        "operation": "chat",
        "tenant": tenant,
        "end": int(now.timestamp() * 1000) + number,
        "agent": AGENT,
        "user": USER,
        "conversation": "c-81-77",
        "model": "gpt-4o",
        "tokens": [1200 + number, 34],
        "input": [said("user", f"What changed in order {number}?")],
        "output": [answered(f"The date of order {number}.")],
        **more,
    }


TOOL = {
    "id": "call_7",
    "name": "find_orders",
    "arguments": {"status": "open", "customer": SCRIPTS[0], "limits": [1, 2.5, None, True], "quoted": QUOTES},
    "result": {"orders": [{"id": 8177, "note": LINES}], "more": False},
}


def everything(tenant: str, now: datetime) -> list[dict[str, Any]]:
    """Return interactions with all that a client can be given."""
    call = {"type": "tool_call", "name": TOOL["name"], "id": TOOL["id"], "arguments": TOOL["arguments"]}
    response = {"type": "tool_call_response", "id": TOOL["id"], "response": TOOL["result"]}
    told: list[dict[str, Any]] = [
        {"input": [said("user", *SCRIPTS)], "output": [answered(text) for text in SCRIPTS]},
        {"input": [said("user", QUOTES), said("user", LINES)], "output": [answered(LINES, QUOTES)]},
        {
            "instructions": [{"type": "text", "content": f"Answer briefly.\n{QUOTES}"}],
            "input": [
                said("system", "You look after orders."),
                said("user", "Which are open?"),
                {"role": "assistant", "parts": [call]},
                {"role": "tool", "parts": [response]},
            ],
            "output": [{"role": "assistant", "parts": [call], "finish_reason": "tool_call"}],
        },
        {"input": [said("user"), said("user", ""), said("user", "", " ")], "output": [answered(), answered("")]},
        {"input": [], "output": []},
        {"input": [said("user", LONG)], "output": [answered("Many.")]},
        {"input": [said("user", "TRUNCATED")], "output": [answered("null"), answered("[1, 2]")]},
        {"operation": "invoke_agent", "user": {**USER, "id": "another"}},
        {"operation": "execute_tool", "tool": TOOL},
    ]
    return [interaction(tenant, now, n, **each) for n, each in enumerate(told)]


def attributes(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return an interaction in the words of OpenTelemetry's conventions, as an instrumented service writes it."""
    tool = told.get("tool", {})
    given = {
        "gen_ai.operation.name": told["operation"],
        "microsoft.tenant.id": told["tenant"],
        "gen_ai.agent.id": told["agent"]["id"],
        "gen_ai.agent.name": told["agent"]["name"],
        "gen_ai.conversation.id": told["conversation"],
        **{f"user.{name}": told["user"][name] for name in ("id", "name", "email")},
        "client.address": told["user"]["address"],
    }
    if told["operation"] == "chat":
        given |= {
            "gen_ai.request.model": told["model"],
            "gen_ai.usage.input_tokens": told["tokens"][0],
            "gen_ai.usage.output_tokens": told["tokens"][1],
        }
    if tool:
        given |= {
            "gen_ai.tool.name": tool["name"],
            "gen_ai.tool.call.id": tool["id"],
            "gen_ai.tool.call.arguments": json.dumps(tool["arguments"]),
            "gen_ai.tool.call.result": json.dumps(tool["result"]),
        }
    else:
        given |= {
            "gen_ai.input.messages": json.dumps(told["input"], ensure_ascii=False),
            "gen_ai.output.messages": json.dumps(told["output"]),
        }
    if "instructions" in told:
        given["gen_ai.system_instructions"] = json.dumps(told["instructions"])
    return given


def wanted(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of the capture that must come of an interaction, but for ids and times."""
    tool = told.get("tool")
    members: dict[str, Any] = {
        "feature": told["agent"]["name"],
        "conversationId": told["conversation"],
        "systemInstructions": told.get("instructions"),
        "truncated": None,
    }
    if tool:
        named = {"id": tool["id"], "name": tool["name"]}
        call = {"type": "tool_call", **named, "arguments": tool["arguments"]}
        response = {"type": "tool_call_response", **named, "response": tool["result"]}
        members["inputMessages"] = [{"role": "assistant", "parts": [call]}]
        members["outputMessages"] = [{"role": "tool", "parts": [response]}]
    else:
        members |= {"inputMessages": told["input"], "outputMessages": told["output"]}
    if told["operation"] == "chat":
        members["model"] = told["model"]
    return members


async def stored(client: Client, enrollment_id: str) -> list[dict[str, Any]]:
    """Return all captures of an enrollment, from storage itself."""
    return [line for lines in (await client.batches(GEO, enrollment_id)).values() for line in lines]


def ids(captures: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(each["spanId"] for each in captures)


def unlike(capture: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Return the names of the members that are not as they were given: a test that fails prints no content."""
    wrong = [name for name, value in wanted(told).items() if capture.get(name) != value]
    telemetry = capture["telemetry"]
    if told["operation"] == "chat" and [telemetry["inputTokens"], telemetry["outputTokens"]] != told["tokens"]:
        wrong.append("tokens")
    at = datetime.fromisoformat(capture["capturedAt"])
    # The SDK for Node loses the last digits of a nanosecond.
    if abs(at - datetime.fromtimestamp(told["end"] / 1000, at.tzinfo)) > timedelta(milliseconds=1):
        wrong.append("capturedAt")
    return wrong


def persons(captures: Sequence[Mapping[str, Any]], kind: Kind) -> list[str]:
    """Return what there is of persons and of the sender's machine, by name."""
    text = json.dumps(captures, ensure_ascii=False)
    found = [name for name, value in USER.items() if value in text]
    found += [name for name in ("user.name", "user.email", '"process.', '"host.', '"os.') if name in text]
    return found + ([kind.program] if kind.program in text else [])


def trouble(answer: Mapping[str, Any]) -> list[str]:
    """Return what a client has logged of errors and of repeats."""
    repeats = re.compile(r"^ERROR|Transient error|Scheduling export retry|retrying after|Retrying|[Aa]ttempt [2-9]")
    return [line for line in answer["logged"] if repeats.search(line)]


@each_kind
async def test_all_that_a_client_emits_is_stored_once_and_part_by_part(
    kind: Kind, services: Services, client: Client, tenant: str
) -> None:
    enrollment_id = await opt_in(client, tenant)
    told = everything(tenant, await client.now())
    async with services.started(kind) as service:
        answer = await service.emit(*told)
    assert (trouble(answer), answer["acknowledged"]) == ([], True)
    captures = await stored(client, enrollment_id)
    assert ids(captures) == sorted(answer["spans"])
    assert len(set(answer["spans"])) == len(told)
    by_id = {each["spanId"]: each for each in captures}
    in_order = [by_id[span] for span in answer["spans"]]
    assert [unlike(capture, each) for capture, each in zip(in_order, told, strict=True)] == [[] for _ in told]
    assert persons(captures, kind) == []
    pseudonyms = [each["userId"] for each in in_order]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in pseudonyms)
    assert len(set(pseudonyms)) == 2 and pseudonyms.count(pseudonyms[7]) == 1
    services_named = {each["telemetry"]["service.name"] for each in captures}
    assert len(services_named) == 1 and services_named.pop().split("-")[0] in {"flow", "orders"}


@pytest.mark.parametrize("kind", [PROTOBUF, JSON], ids=["protobuf", "JSON"])
async def test_without_a_gateway_the_exporters_for_node_are_told_that_nothing_is_stored(
    kind: Kind, services: Services, client: Client, tenant: str
) -> None:
    """They send in chunks, and the platform passes no such body on: 411, and not a success that stored nothing."""
    enrollment_id = await opt_in(client, tenant)
    async with services.started(kind, directly=True) as service:
        answer = await service.emit(interaction(tenant, await client.now()))
    assert not answer["acknowledged"]
    assert await stored(client, enrollment_id) == []


async def test_what_a_service_has_emitted_a_reviewer_reads_under_a_grant(
    services: Services, stack: Stack, client: Client, tenant: str
) -> None:
    enrollment_id = await opt_in(client, tenant)
    now = await client.now()
    async with services.started(PYTHON) as service:
        answer = await service.emit(*everything(tenant, now))

    path = f"{stack.description.api}/tenants/{tenant}/captures"
    headers = {"Authorization": f"Bearer {client.token(Role.REVIEWER, now=now)}"}
    asked = {"purpose": "improve", "justification": "To see what agents are asked about orders.", "durationMinutes": 30}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def get(path: str) -> tuple[int, bytes]:
            async with session.get(path) as response:
                return response.status, await response.read()

        assert (await get(f"{path}?day={now.date()}"))[0] == 403
        grant = (await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", asked)).body["grantId"]
        assert (await client.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant}/approve")).status == 200
        batches = json.loads((await get(f"{path}?day={now.date()}"))[1])["value"]
        contents = [await get(f"{path}/{batch['day']}/{batch['batchId']}") for batch in batches]
    # Of bytes: str.splitlines would take a line separator in somebody's words for the end of a line.
    read = [json.loads(line) for _, content in contents for line in content.splitlines()]
    assert ids(read) == sorted(answer["spans"])
    directly = {each["spanId"]: each for each in await stored(client, enrollment_id)}
    assert [each["spanId"] for each in read if each != directly[each["spanId"]]] == []


@each_kind
async def test_nothing_is_stored_of_a_tenant_that_is_off_and_its_service_sees_success(
    kind: Kind, services: Services, client: Client, tenant: str
) -> None:
    before = await client.all_containers()
    async with services.started(kind) as service:
        answers = [await service.emit(*everything(tenant, await client.now())) for _ in range(2)]
    assert [(trouble(answer), answer["acknowledged"]) for answer in answers] == [([], True)] * 2
    if kind.for_node and not kind.of_agents:  # the only one that tells its log what a partial success says
        assert all(any("9 data-sharing-off" in line for line in answer["logged"]) for answer in answers)
    assert await client.all_containers() == before


@each_different_kind
async def test_nothing_is_stored_that_is_exported_after_an_opt_outs_answer(
    kind: Kind, services: Services, client: Client, tenant: str
) -> None:
    enrollment_id = await opt_in(client, tenant)
    now = await client.now()
    before: list[str] = []
    after: list[str] = []
    async with services.started(kind) as service:
        for n in range(3):
            before += (await service.emit(interaction(tenant, now, n)))["spans"]
        opted_out = asyncio.create_task(client.opt_out(tenant))
        number = 100
        while len(after) < 5:
            is_off = opted_out.done()
            answer = await service.emit(interaction(tenant, now, number))
            assert (trouble(answer), answer["acknowledged"]) == ([], True)
            if is_off:
                after += answer["spans"]
            number += 1
    assert (await opted_out).status == 200
    kept = set(ids(await stored(client, enrollment_id)))
    assert set(before) <= kept
    assert kept & set(after) == set()


@each_different_kind
async def test_a_host_that_dies_loses_nothing_that_it_acknowledged_and_stores_nothing_twice(
    kind: Kind, services: Services, client: Client, tenant: str, mortal: Process
) -> None:
    enrollment_id = await opt_in(client, tenant)
    now = await client.now()
    emitted: list[str] = []
    acknowledged: list[str] = []
    async with services.started(kind, mortal.url) as service:
        for number in range(8):
            told = [
                interaction(tenant, now, 100 * number + n, input=[said("user", f"{n} {LONG[:8_000]}")])
                for n in range(25)
            ]
            answering = asyncio.create_task(service.emit(*told))
            if number % 2:
                await asyncio.sleep(0.01 * number)  # so that it dies at another point of the export each time
                await mortal.kill()
                if number == 7:  # and stays dead for longer than any of them tries
                    await answering
                await mortal.start()
            answer = await answering
            emitted += answer["spans"]
            is_acknowledged = answer["acknowledged"]
            if not is_acknowledged and not kind.of_agents:  # the exporter has given up: once more, the same spans
                is_acknowledged = (await service.emit())["acknowledged"]
            acknowledged += answer["spans"] if is_acknowledged else []
    kept = ids(await stored(client, enrollment_id))
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept) <= set(emitted)
    # The Agent 365 SDK gives up after a few seconds, and has nothing by which the same spans could be sent again.
    assert kind.of_agents or len(kept) == len(emitted) == 200
    assert len(acknowledged) >= 100


@each_different_kind
async def test_a_token_that_is_renewed_counts_from_the_next_request_on(
    kind: Kind, services: Services, client: Client, tenant: str, tmp_path: Path
) -> None:
    enrollment_id = await opt_in(client, tenant)
    now = await client.now()
    file = tmp_path / "token"
    file.write_text(client.token(Role.CAPTURE_SERVICE, now=now - timedelta(hours=2)))
    async with services.started(kind, token_file=file) as service:
        refused = await service.emit(interaction(tenant, now))
        file.write_text(client.token(Role.CAPTURE_SERVICE, now=now))
        taken = await service.emit(interaction(tenant, now, 1))
        again = not kind.of_agents and (await service.emit())["acknowledged"]
    assert not refused["acknowledged"] and any(line.startswith("ERROR") for line in refused["logged"]) == (
        not kind.needs_gateway  # OpenTelemetry's for Node tells its caller, and its log only as information
    )
    assert ids(await stored(client, enrollment_id)) == sorted(taken["spans"] + (refused["spans"] if again else []))
    assert again != kind.of_agents


@each_agent
async def test_what_an_agents_sdk_has_cut_is_marked_and_is_nothing_that_anybody_said(
    kind: Kind, services: Services, client: Client, tenant: str
) -> None:
    enrollment_id = await opt_in(client, tenant)
    longer = LONG * 2
    told = interaction(tenant, await client.now(), input=[said("user", longer)])
    async with services.started(kind) as service:
        answer = await service.emit(told)
    assert answer["acknowledged"]
    [capture] = await stored(client, enrollment_id)
    if "inputMessages" in capture:
        [[part]] = [each["parts"] for each in capture["inputMessages"]]
        assert part["truncated"] is True
        is_what_was_said = longer.startswith(part["content"])
        assert is_what_was_said and len(part["content"]) > 200_000
    else:
        assert "input" not in capture and capture["truncated"] == ["gen_ai.input.messages"]
    assert capture["outputMessages"] == told["output"]
    assert re.findall("TRUNCATED|truncated]|overlimit", json.dumps(capture)) == []


@each_agent
async def test_arguments_that_an_agents_sdk_has_cut_are_marked(
    kind: Kind, services: Services, client: Client, tenant: str
) -> None:
    enrollment_id = await opt_in(client, tenant)
    tool = {**TOOL, "arguments": {"query": LONG * 2}}
    told = interaction(tenant, await client.now(), operation="execute_tool", tool=tool)
    async with services.started(kind) as service:
        answer = await service.emit(told)
    assert answer["acknowledged"]
    [capture] = await stored(client, enrollment_id)
    marked = capture.get("truncated") == ["gen_ai.tool.call.arguments"] or any(
        part.get("truncated") is True for each in capture.get("inputMessages", ()) for part in each["parts"]
    )
    assert marked
    assert re.findall("TRUNCATED|truncated]|overlimit", json.dumps(capture)) == []
