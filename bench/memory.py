"""The host's memory: at rest, and after very many captures."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.interactions import bodies
from bench.load import Load
from bench.plan import Plan
from bench.processes import resident_megabytes
from bench.rounds import rounds
from bench.scenario import Bench, host, pid
from bench.targets import Target
from bench.tenants import captures_url, enrol, service_token
from local.stack import Stack

SCENARIO = "memory"
CASE = "host"
_AT_REST, _AFTERWARDS = "at rest MB", "afterwards MB"
_BATCH = 100
_CAPTURE_BYTES = 2048
_CONCURRENCY = 4
_REST_SECONDS = 2.0


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    what = f"host memory after {plan.memory_captures:,} captures / at rest"
    return [Target("memory", what, "<=", 1.3, SCENARIO, (CASE, _AFTERWARDS), (CASE, _AT_REST))]


async def measure(bench: Bench, stack: Stack) -> None:
    """Look at fresh hosts' memory after the first capture, and after batches of 100."""

    async def fill() -> Mapping[str, float]:
        name = uuid.uuid4().hex
        [tenant] = await enrol(stack, [str(uuid.uuid4())])
        async with host(f"host-{name}", bench.directory, stack.app_settings) as fresh:
            load = Load(
                "post",
                [captures_url(stack, tenant, fresh.url)],
                bodies(8, captures=_BATCH, capture_bytes=_CAPTURE_BYTES),
                requests=bench.plan.memory_captures // _BATCH,
                concurrency=_CONCURRENCY,
                secret=service_token(stack),
            )
            first = replace(load, bodies=bodies(1, captures=1, capture_bytes=_CAPTURE_BYTES), requests=1, name="first")
            await bench.generator.run(first)
            at_rest = await _resting_megabytes(pid(fresh))
            await bench.generator.run(load)
            return {_AT_REST: at_rest, _AFTERWARDS: await _resting_megabytes(pid(fresh))}

    await rounds(bench, SCENARIO, {CASE: fill}, targets(bench.plan), seconds=1.5)


async def _resting_megabytes(process_id: int) -> float:
    await asyncio.sleep(_REST_SECONDS)
    return resident_megabytes(process_id)
