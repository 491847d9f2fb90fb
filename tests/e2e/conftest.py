"""Calls to the session's stack, over HTTP."""

import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from local.client import Client
from local.host.app import index, load, route_prefix
from local.host.clock import MovableClock
from local.host.functions import HttpTrigger
from local.host.server import Host
from local.ports import free_ports
from local.process import ROOT, Process
from local.stack import Stack
from shared import bootstrap


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def second_host(stack: Stack) -> Process:
    """Another process of the app, on the same Cosmos DB and storage."""
    return await stack.start_host()


@pytest_asyncio.fixture(loop_scope="session")
async def second(stack: Stack, second_host: Process, client: Client) -> AsyncIterator[Client]:
    """A client of that process, whose clock is moved to where the first host's is."""
    async with Client(stack, second_host.url) as second:
        await second.move_to(await client.now())
        yield second


@pytest_asyncio.fixture(params=["local host", "worker"], loop_scope="session")
async def either(
    request: pytest.FixtureRequest,
    stack: Stack,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Client]:
    """A client of the stack's host, and one of the production worker's own library behind the same front."""
    if request.param == "local host":
        yield client
        return
    if sys.version_info < (3, 13):
        pytest.skip("azure-functions-runtime needs Python 3.13")
    from tests.worker import Runtime, in_worker

    settings = stack.app_settings
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    clock = MovableClock(tmp_path)
    clock.move_to(await client.now())
    bootstrap.use_clock(clock)
    runtime = await Runtime.load(ROOT / "function_app.py")
    functions = index(load(ROOT / "function_app.py"), route_prefix(ROOT), settings)
    served = [in_worker(runtime, each) for each in functions if isinstance(each.trigger, HttpTrigger)]
    [port] = free_ports(1)
    host = Host(served, clock, tmp_path, port)
    await host.start()
    async with Client(stack, f"http://127.0.0.1:{port}") as worker:
        yield worker
    await host.stop()
    await bootstrap.close()
    bootstrap.use_clock(bootstrap.SystemClock())
    sys.modules.pop("function_app", None)


@pytest.fixture
def tenant() -> str:
    return str(uuid.uuid4())


def everything_written(stack: Stack) -> dict[str, bytes]:
    """Return the content of all that the stack writes but storage: logs and the Cosmos DB file, by file name."""
    files = [*Path(stack.directory / "logs").glob("*.log"), *stack.directory.glob("cosmos.sqlite*")]
    return {file.name: file.read_bytes() for file in files}
