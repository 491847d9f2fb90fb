"""The host's memory: at rest, and after very many captures."""

import asyncio
import uuid
from dataclasses import replace

from bench.interactions import bodies
from bench.load import Load
from bench.processes import resident_megabytes
from bench.scenario import TIMERS_OFF, Bench, host, pid
from bench.tenants import captures_url, service_token, toggle
from local.stack import Stack

SCENARIO = "memory"
CASE = "host"
_BATCH = 100
_CAPTURE_BYTES = 2048
_CONCURRENCY = 4
_REST_SECONDS = 2.0


async def measure(bench: Bench, stack: Stack) -> None:
    """Look at a fresh host's memory after its first capture, and after batches of 100."""
    [tenant] = await toggle(stack, [str(uuid.uuid4())], enabled=True)
    async with host("host-of-memory", bench.directory, {**stack.app_settings, **TIMERS_OFF}) as fresh:
        load = Load(
            "post",
            [captures_url(stack, tenant.tenant_id, fresh.url)],
            bodies(8, captures=_BATCH, capture_bytes=_CAPTURE_BYTES),
            requests=bench.plan.memory_captures // _BATCH,
            concurrency=_CONCURRENCY,
            secret=service_token(stack),
        )
        first = replace(load, bodies=bodies(1, captures=1, capture_bytes=_CAPTURE_BYTES), requests=1, name="first")
        await bench.generator.run(first)
        at_rest = await _resting_megabytes(pid(fresh))
        await bench.generator.run(load)
        after = await _resting_megabytes(pid(fresh))
    bench.results.add(
        SCENARIO, CASE, {"captures": bench.plan.memory_captures, "at rest MB": at_rest, "afterwards MB": after}
    )


async def _resting_megabytes(process_id: int) -> float:
    await asyncio.sleep(_REST_SECONDS)
    return resident_megabytes(process_id)
