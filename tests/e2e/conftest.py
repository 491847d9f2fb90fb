"""Calls to the session's stack, over HTTP."""

import os
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
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
    """Another process of the app, on the same Cosmos DB and storage; it trusts no epochs, and the first does (D21)."""
    return await stack.start_host({"CONSENT_EPOCHS": "off"})


@pytest_asyncio.fixture(loop_scope="session")
async def second(stack: Stack, second_host: Process, client: Client) -> AsyncIterator[Client]:
    """A client of that process, whose clock is moved to where the first host's is."""
    async with Client(stack, second_host.url) as second:
        await second.move_to(await client.now())
        yield second


@asynccontextmanager
async def worker(stack: Stack, client: Client, directory: Path, settings: Mapping[str, str]) -> AsyncIterator[Client]:
    """A client of the production worker's own library, behind the same front as the local host's."""
    if sys.version_info < (3, 13):
        pytest.skip("azure-functions-runtime needs Python 3.13")
    from tests.worker import Runtime, in_worker

    clock = MovableClock(directory)
    clock.move_to(await client.now())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**stack.app_settings, **settings}.items():
            patch.setenv(name, value)
        bootstrap.use_clock(clock)
        runtime = await Runtime.load(ROOT / "function_app.py")
        functions = index(load(ROOT / "function_app.py"), route_prefix(ROOT), os.environ)
        served = [in_worker(runtime, each) for each in functions if isinstance(each.trigger, HttpTrigger)]
        [port] = free_ports(1)
        host = Host(served, clock, directory, port, settings.get("CORS_ALLOWED_ORIGINS", ""))
        await host.start()
        try:
            async with Client(stack, f"http://127.0.0.1:{port}") as of_worker:
                yield of_worker
        finally:
            await host.stop()
            await bootstrap.close()
            bootstrap.use_clock(bootstrap.SystemClock())
            sys.modules.pop("function_app", None)


@pytest_asyncio.fixture(params=["local host", "worker"], loop_scope="session")
async def either(request: pytest.FixtureRequest, stack: Stack, client: Client, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of the stack's host, and one of the worker's library; their settings may be a module's own."""
    settings: Mapping[str, str] = getattr(request.module, "SETTINGS", {})
    if request.param == "worker":
        async with worker(stack, client, tmp_path, settings) as of_worker:
            yield of_worker
    elif not settings:
        yield client
    else:
        url = getattr(request.module, "STARTED", None) or (await stack.start_host(settings)).url
        request.module.STARTED = url  # one for all tests of the module
        async with Client(stack, url) as of_process:
            await of_process.move_to(await client.now())
            yield of_process


@pytest.fixture
def tenant() -> str:
    return str(uuid.uuid4())


def everything_written(stack: Stack) -> dict[str, bytes]:
    """Return the content of all that the stack writes but storage: logs and the Cosmos DB file, by file name."""
    files = [*Path(stack.directory / "logs").glob("*.log"), *stack.directory.glob("cosmos.sqlite*")]
    return {file.name: file.read_bytes() for file in files}
