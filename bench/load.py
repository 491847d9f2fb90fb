"""The load generator, in a process of its own: ``python -m bench.load`` reads one load a line and answers each.

So that it takes little from what it measures: prepared bodies, one token, bare aiohttp.
"""

import asyncio
import importlib
import itertools
import json
import logging
import math
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import aiohttp

from bench.processes import cpu_seconds
from bench.results import BenchError
from local.process import ROOT

Send = Callable[[int], Awaitable[int]]
"""Sends the request of that number and returns its status."""

_CREATED, _OK = 201, 200

JSON_TRACE_ID, PROTOBUF_TRACE_ID = "f" * 32, b"\xff" * 16
"""What stands in prepared exports where each request has a trace of its own."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.

    Attributes:
        kind: ``post`` (captures by the API), ``export`` (spans by the API), ``put`` (bare PUTs of blobs), ``upload``
            (``upload_blob``), ``function`` (the function itself, called in this process without any host) or
            ``worker`` (the same through the library of Azure's worker).
        targets: taken in turn. post, export: addresses; put: containers' addresses; upload: containers; function,
            worker: tenants.
        bodies: taken in turn.
        requests: how many.
        concurrency: how many of them at a time.
        warm_up: how many are sent before, unmeasured.
        per_second: sent evenly at this rate, unless it is None.
        secret: post, export, function, worker: the token; put: the SAS; upload: the connection string.
        settings: function, worker: the application settings; export: headers.
        pids: whose CPU time is told too, by name.
        name: what blobs' names and idempotency keys begin with.
    """

    kind: str
    targets: Sequence[str]
    bodies: Sequence[str]
    requests: int
    concurrency: int
    secret: str
    warm_up: int = 0
    per_second: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    name: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Measured:
    """What it took: ``cpu`` in seconds by process, ``client`` being the generator itself."""

    seconds: float
    p50_ms: float
    p99_ms: float
    cpu: Mapping[str, float]

    def figures(self, sent: int, what: str) -> dict[str, float]:
        """Return the figures for ``sent`` things, each of which is a ``what``."""
        return {
            f"{what}s/s": sent / self.seconds,
            "p50 ms": self.p50_ms,
            "p99 ms": self.p99_ms,
            **{f"{name} CPU ms/{what}": used / sent * 1000 for name, used in self.cpu.items()},
        }


async def measure(load: Load) -> Measured:
    """Send a load.

    Raises:
        BenchError: if anything is answered with anything but 201.
    """
    numbers = itertools.count()
    async with _SENDERS[load.kind](load) as send:
        await _run(send, itertools.islice(numbers, load.warm_up), load.concurrency, None)
        cpu, own, started = cpu_seconds(load.pids), time.process_time(), time.perf_counter()
        latencies = await _run(send, itertools.islice(numbers, load.requests), load.concurrency, load.per_second)
        seconds, own_used = time.perf_counter() - started, time.process_time() - own
        used = {name: value - cpu[name] for name, value in cpu_seconds(load.pids).items()}
    latencies.sort()
    return Measured(
        seconds, percentile(latencies, 0.5) * 1000, percentile(latencies, 0.99) * 1000, {**used, "client": own_used}
    )


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest of ``ordered`` values that at least ``part`` of them do not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


async def _run(send: Send, numbers: Any, concurrency: int, per_second: float | None) -> list[float]:
    latencies: list[float] = []
    begun, placed = time.perf_counter(), enumerate(numbers)

    async def work() -> None:
        for place, number in placed:
            if per_second is not None:
                await asyncio.sleep(begun + place / per_second - time.perf_counter())
            started = time.perf_counter()
            status = await send(number)
            latencies.append(time.perf_counter() - started)
            if status != _CREATED:
                raise BenchError(f"answered with {status}")

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return latencies


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@asynccontextmanager
async def _posting(load: Load) -> AsyncIterator[Send]:
    prepared = [body.encode() for body in load.bodies]
    async with _session() as session:

        async def send(number: int) -> int:
            headers = {"Authorization": f"Bearer {load.secret}", "Idempotency-Key": f"{load.name}-{number}"}
            url, body = load.targets[number % len(load.targets)], prepared[number % len(prepared)]
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                return response.status

        yield send


@asynccontextmanager
async def _exporting(load: Load) -> AsyncIterator[Send]:
    prepared = [
        body.encode("latin-1" if "protobuf" in load.settings["Content-Type"] else "utf-8") for body in load.bodies
    ]
    headers = {"Authorization": f"Bearer {load.secret}", **load.settings}
    async with _session() as session:

        async def send(number: int) -> int:
            trace = uuid.uuid4()
            body = prepared[number % len(prepared)].replace(JSON_TRACE_ID.encode(), trace.hex.encode())
            body = body.replace(PROTOBUF_TRACE_ID, trace.bytes)
            async with session.post(load.targets[number % len(load.targets)], data=body, headers=headers) as response:
                refused = await response.read() not in {b"", b"{}"}
                return _CREATED if response.status == _OK and not refused else response.status

        yield send


@asynccontextmanager
async def _putting(load: Load) -> AsyncIterator[Send]:
    prepared = [body.encode() for body in load.bodies]
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2025-01-05"}
    async with _session() as session:

        async def send(number: int) -> int:
            url = f"{load.targets[number % len(load.targets)]}/{load.name}-{number}?{load.secret}"
            async with session.put(url, data=prepared[number % len(prepared)], headers=headers) as response:
                await response.read()
                return response.status

        yield send


@asynccontextmanager
async def _uploading(load: Load) -> AsyncIterator[Send]:
    from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415 - the other contenders must not pay for it

    prepared = [body.encode() for body in load.bodies]
    async with BlobServiceClient.from_connection_string(load.secret) as service:

        async def send(number: int) -> int:
            container = load.targets[number % len(load.targets)]
            blob = service.get_blob_client(container, f"{load.name}-{number}")
            await blob.upload_blob(prepared[number % len(prepared)])
            return _CREATED

        yield send


@asynccontextmanager
async def _calling(load: Load) -> AsyncIterator[Send]:
    import azure.functions as func  # noqa: PLC0415

    os.environ.update(load.settings)
    handler = _function("captures")
    prepared = [body.encode() for body in load.bodies]

    async def send(number: int) -> int:
        tenant_id = load.targets[number % len(load.targets)]
        request = func.HttpRequest(
            method="POST",
            url=f"http://127.0.0.1/api/tenants/{tenant_id}/captures",
            headers={"authorization": f"Bearer {load.secret}", "idempotency-key": f"{load.name}-{number}"},
            route_params={"tenantId": tenant_id},
            body=prepared[number % len(prepared)],
        )
        return int((await handler(request)).status_code)

    yield send
    await importlib.import_module("shared.bootstrap").close()


@asynccontextmanager
async def _invoking(load: Load) -> AsyncIterator[Send]:
    # Not known to the types: the library exists from Python 3.13 on, and what drives it is made for the tests.
    worker = importlib.import_module("tests.worker")
    os.environ.update(load.settings)
    _log_to_nowhere()
    if _WORKERS.get("runtime") is None:
        _WORKERS["runtime"] = await worker.Runtime.load(ROOT / "function_app.py")
    runtime = _WORKERS["runtime"]
    prepared = [body.encode() for body in load.bodies]

    async def send(number: int) -> int:
        tenant_id = load.targets[number % len(load.targets)]
        request = worker.rpc_http(
            "POST",
            f"http://127.0.0.1/api/tenants/{tenant_id}/captures",
            {"authorization": f"Bearer {load.secret}", "idempotency-key": f"{load.name}-{number}"},
            {},
            {"tenantId": tenant_id},
            prepared[number % len(prepared)],
        )
        succeeded, answer = await runtime.call("captures", "req", request)
        return int(answer.value["status_code"].value) if succeeded else 500

    yield send
    await importlib.import_module("shared.bootstrap").close()


_WORKERS: dict[str, Any] = {}
"""The worker's registry is global: it is loaded once."""


@cache
def _function(name: str) -> Any:
    from local.host.app import index, load  # noqa: PLC0415

    _log_to_nowhere()
    functions = index(load(ROOT / "function_app.py"), "api", os.environ)
    return next(each.handler for each in functions if each.name == name)


def _log_to_nowhere() -> None:
    """What is logged is made, as in a host."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])


_SENDERS: Mapping[str, Callable[[Load], AbstractAsyncContextManager[Send]]] = {
    "post": _posting,
    "export": _exporting,
    "put": _putting,
    "upload": _uploading,
    "function": _calling,
    "worker": _invoking,
}


def main() -> None:
    """Answer each line of standard input, until it closes."""
    for line in sys.stdin:
        print(json.dumps(asdict(asyncio.run(measure(Load(**json.loads(line)))))), flush=True)


if __name__ == "__main__":
    main()
