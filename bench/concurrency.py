"""What one instance answers, one request at a time and sixteen at a time, with opt-outs among the captures.

    python -m bench.concurrency

Flex Consumption gives an instance of a Python app one request at a time unless `perInstanceConcurrency` says otherwise,
and an opt-out is answered after two seconds (P2). Takes one to two minutes.
"""

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp

from bench.interactions import bodies
from bench.load import percentile
from bench.processes import cpu_seconds, resident_megabytes
from bench.results import BenchError
from bench.scenario import GEO, TIMERS_OFF, pids
from bench.tenants import captures_url, service_token, toggle
from local.process import ProcessError
from local.stack import Stack, StackError

_ONE_IN = 20
_CAPTURE_BYTES = 4096
_LOADS = ((1, 120), (16, 1_600), (1, 120), (16, 1_600))
"""How many at a time, and how many requests; they take turns."""


def main() -> int:
    """Measure on a stack of its own and print a line for each load; return the exit code."""
    try:
        asyncio.run(_main())
    except (BenchError, ProcessError, StackError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with Stack(Path(directory), (GEO,), settings=TIMERS_OFF) as stack:
            await measure(stack, [(4, 200)])  # warms up, and makes the day's container
            await measure(stack, _LOADS)


async def measure(stack: Stack, loads: Sequence[tuple[int, int]]) -> None:
    """Print what each load came to: how many at a time, and how many requests.

    Raises:
        BenchError: if an answer is not the expected one.
    """
    [busy] = await toggle(stack, [str(uuid.uuid4())], enabled=True)
    for at_a_time, requests in loads:
        leaving = [str(uuid.uuid4()) for _ in range(requests // _ONE_IN)]
        await toggle(stack, leaving, enabled=True)
        print(await _load(stack, busy.tenant_id, leaving, at_a_time, requests), flush=True)


async def _load(stack: Stack, busy: str, leaving: list[str], at_a_time: int, requests: int) -> str:
    posts: list[float] = []
    opt_outs: list[float] = []
    texts = bodies(16, captures=1, capture_bytes=_CAPTURE_BYTES)
    headers = {"Authorization": f"Bearer {service_token(stack)}"}
    work: Iterator[int] = iter(range(requests))
    tenants = iter(leaving)

    async def caller(session: aiohttp.ClientSession) -> None:
        for number in work:
            began = time.monotonic()
            if number % _ONE_IN == _ONE_IN - 1:
                [opted_out] = await toggle(stack, [next(tenants)], enabled=False)
                opt_outs.append(opted_out.answered - opted_out.sent)
                continue
            own = {**headers, "Idempotency-Key": str(uuid.uuid4())}
            async with session.post(
                captures_url(stack, busy), data=texts[number % len(texts)], headers=own
            ) as response:
                await response.read()
                if response.status != 201:
                    raise BenchError(f"POST captures was answered with {response.status}")
            posts.append(time.monotonic() - began)

    host = {"host": pids(stack)["host"]}
    cpu, began = cpu_seconds(host)["host"], time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as callers:
        for _ in range(at_a_time):
            callers.create_task(caller(session))
    seconds, cpu = time.monotonic() - began, cpu_seconds(host)["host"] - cpu
    posts.sort()
    opt_outs.sort()
    return (
        f"{at_a_time:3} at a time: {requests / seconds:6.1f} requests/s, {len(opt_outs) / seconds:.2f} opt-outs/s;"
        f" POST p50 {percentile(posts, 0.5) * 1000:5.0f} ms, p99 {percentile(posts, 0.99) * 1000:5.0f} ms;"
        f" opt-out p50 {percentile(opt_outs, 0.5):.2f} s; host: {cpu / requests * 1000:.1f} ms CPU a request,"
        f" {cpu / seconds * 100:.0f} % of a CPU, {resident_megabytes(host['host']):.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
