"""The development Cosmos DB as a process, and requests to it without the SDK."""

import base64
import contextlib
import hashlib
import hmac
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient

from local.ports import free_ports

KEY = base64.b64encode(b"a key of thirty-two bytes, so so").decode()
ROOT = Path(__file__).parents[2]


class RunningServer:
    """One server process, which can be killed and started again on the same port and file."""

    def __init__(self, data: Path) -> None:
        self.port = free_ports(1)[0]
        self.data = data
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        arguments = ["--port", str(self.port), "--data", str(self.data), "--key", KEY, "--exit-with-stdin"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.cosmos", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), self.end()
        return self.process

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> bytes:
        """Close its standard input, and return what it wrote to standard error."""
        return self.process.communicate(timeout=60)[1]


@contextlib.contextmanager
def running(data: Path) -> Iterator[RunningServer]:
    server = RunningServer(data)
    try:
        yield server
    finally:
        errors = server.end()
    assert errors == b""  # nothing failed unexpectedly, and nothing of any item was logged


@contextlib.asynccontextmanager
async def fresh_container(server: RunningServer, **properties: Any) -> AsyncIterator[ContainerProxy]:
    """A new container, partitioned by ``/tenantId``, through a client of its own."""
    async with CosmosClient(server.url, KEY) as client:
        database = await client.create_database_if_not_exists("tests")
        yield await database.create_container(uuid.uuid4().hex, PartitionKey("/tenantId"), **properties)


async def request(
    server: RunningServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """A signed request without the SDK. Header names are given with ``_`` for ``-``."""
    segments = [segment for segment in path.split("/") if segment]
    named = len(segments) % 2 == 0
    kind, link = (segments[-2], segments) if named else (segments[-1], segments[:-1])
    date = formatdate(usegmt=True)
    text = f"{method.lower()}\n{kind}\n{'/'.join(link)}\n{date.lower()}\n\n"
    digest = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    sent = {"authorization": quote(f"type=master&ver=1.0&sig={digest}", safe=""), "x-ms-date": date}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url + path, data=body, headers=sent) as response,
    ):
        raw = await response.read()
        return (
            response.status,
            {name.lower(): value for name, value in response.headers.items()},
            json.loads(raw) if raw else None,
        )
