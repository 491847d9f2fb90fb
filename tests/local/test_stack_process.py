"""Child processes: ready or an error that says why; stopped, killed, and never left behind."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from local import process as process_module
from local.ports import free_ports
from local.process import ROOT, Process, ProcessError

SERVER = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404); self.end_headers()
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(sorted(os.environ), os.getcwd(), flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
NODE = ("node", "-r", str(ROOT / "local/exit-with-stdin.cjs"), "-e")

Make = Callable[..., Process]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Return a function that describes a small HTTP server, all of which are stopped in the end."""
    made: list[Process] = []

    def make(*arguments: str, source: str = SERVER, ready_status: int | None = None) -> Process:
        port = free_ports(1)[0]
        made.append(
            Process(
                "server",
                [sys.executable, "-c", source, str(port), *arguments],
                port=port,
                log=tmp_path / "server.log",
                environment={"SETTING": "set"},
                ready_status=ready_status,
            )
        )
        return made[-1]

    yield make
    for process in made:
        await process.kill()


async def test_a_process_starts_stops_and_starts_again_at_the_same_address(make: Make) -> None:
    process = make()
    await process.start()
    first = process.pid
    with pytest.raises(ProcessError, match="running already"):
        await process.start()
    await process.stop()
    await process.stop()
    assert process.pid is None and not process.died
    await process.start()
    assert process.pid not in (None, first)
    assert process.log.read_text().count("SETTING") == 2


async def test_the_environment_holds_the_settings_and_no_account_or_proxy_of_the_parent(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT", "COSMOS_CONNECTION", "HTTP_PROXY"):
        monkeypatch.setenv(name, "of-the-parent")
    process = make()
    await process.start()
    log = process.log.read_text()
    assert "'SETTING'" in log and "'PATH'" in log and str(ROOT) in log
    assert not any(name in log for name in ("AZURE_", "IDENTITY_", "COSMOS_", "PROXY"))


async def test_one_that_ends_at_once_is_reported_with_the_end_of_its_log(make: Make) -> None:
    process = make(source="import sys; sys.exit('no such luck')")
    with pytest.raises(ProcessError, match=r"(?s)server ended with 1 at its start.*server\.log.*no such luck"):
        await process.start()
    assert process.pid is None


async def test_one_that_cannot_be_started_is_reported(tmp_path: Path) -> None:
    process = Process("lost", ["./no-such-program"], port=1, log=tmp_path / "lost.log", environment={})
    with pytest.raises(ProcessError, match="lost could not be started"):
        await process.start()


async def test_one_that_is_not_ready_in_time_is_reported_and_ended(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "READY_SECONDS", 0.5)
    process = make(ready_status=200)
    with pytest.raises(ProcessError, match="not ready after"):
        await process.start()
    assert process.pid is None


async def test_a_port_that_another_answers_on_is_not_taken_for_ready(make: Make) -> None:
    first = make()
    await first.start()
    port = first.url.rpartition(":")[2]
    second = Process(
        "second", [sys.executable, "-c", SERVER, port], port=int(port), log=first.log, environment={}, ready_status=200
    )
    with pytest.raises(ProcessError, match=r"(?s)second ended with 1.*Address already in use"):
        await second.start()


async def test_one_that_does_not_listen_to_sigterm_is_killed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STOP_SECONDS", 0.3)
    process = make("stubborn")
    await process.start()
    started = time.monotonic()
    await process.stop()
    assert time.monotonic() - started >= 0.3
    assert process.pid is None


async def node(source: str) -> asyncio.subprocess.Process:
    child = await asyncio.create_subprocess_exec(
        *NODE, source, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout and await child.stdout.readline() == b"up\n"
    return child


async def output(child: asyncio.subprocess.Process) -> tuple[str, int]:
    """Close its standard input; return what it still prints, and its exit code."""
    assert child.stdin
    child.stdin.close()  # before Python 3.12 communicate() leaves it open
    async with asyncio.timeout(120):
        printed, _ = await child.communicate()
    assert child.returncode is not None
    return printed.decode(), child.returncode


SAVES_FOR_A_WHILE = "process.once('SIGTERM', () => setTimeout(() => { console.log('saved'); process.exit(0); }, 500));"


@pytest.mark.parametrize("signals", [0, 1, 2])
async def test_node_closes_cleanly_once_however_often_it_is_told(signals: int) -> None:
    child = await node(f"{SAVES_FOR_A_WHILE} setInterval(() => {{}}, 1000); console.log('up')")
    for _ in range(signals):
        child.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
    assert await output(child) == ("saved\n", 0)


async def test_node_that_is_still_starting_ends_when_its_standard_input_closes() -> None:
    child = await node("setInterval(() => {}, 1000); console.log('up')")
    assert await output(child) == ("", 143)


async def test_an_open_standard_input_does_not_keep_node_alive() -> None:
    child = await node("console.log('up')")
    async with asyncio.timeout(120):
        assert await child.wait() == 0
    assert await output(child) == ("", 0)


def test_ports_are_different_free_and_no_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(10_000 <= port < 32_000 for port in ports)
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
