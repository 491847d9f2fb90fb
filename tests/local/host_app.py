"""Function apps of a test, and the local host that runs them in this process."""

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import aiohttp

from local.host.app import index, load, route_prefix
from local.host.clock import MovableClock
from local.host.functions import Function
from local.host.server import Host
from local.ports import free_ports

ROOT = Path(__file__).parents[2]
COSMOS = {"COSMOS": "AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5;"}
HEAD = """
import asyncio, json, logging, time
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
seen = []
"""


def write_app(directory: Path, body: str, head: str = HEAD) -> Path:
    """Write a ``function_app.py`` and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "function_app.py"
    file.write_text(head + textwrap.dedent(body))
    return file


def indexed(file: Path, settings: Mapping[str, str] | None = None) -> tuple[ModuleType, list[Function]]:
    """Load and index an app."""
    module = load(file)
    if str(file.parent) != str(ROOT):
        sys.path.remove(str(file.parent))
    return module, index(module, route_prefix(file.parent), settings or {})


@asynccontextmanager
async def running(
    file: Path, state: Path, settings: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[SimpleNamespace]:
    """Run a host in this process; yields ``url``, ``module``, ``clock``, ``host`` and an HTTP ``client``."""
    state.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a test may block
    port = port or free_ports(1)[0]
    module, functions = indexed(file, settings)
    clock = MovableClock(state)
    host = Host(functions, clock, state, port)
    await host.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as client:
        try:
            yield SimpleNamespace(port=port, module=module, clock=clock, host=host, client=client)
        finally:
            await host.stop(5)


HTTP = """
@app.route(route="{route}", methods={methods})
def {name}(req: func.HttpRequest) -> str:
    return "x"
"""


def http(name: str, route: str, methods: list[str] | None = None) -> str:
    return HTTP.format(name=name, route=route, methods=methods)


def feed(name: str, **extra: Any) -> str:
    arguments = {"connection": "COSMOS", "database_name": "d", "container_name": "c", **extra}
    listed = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"""
@app.cosmos_db_trigger(arg_name="documents", {listed})
def {name}(documents: func.DocumentList) -> None: ...
"""


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.02)
