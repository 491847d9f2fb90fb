"""Captures one by one: what a POST costs, next to a bare PUT of the same bytes and to ``upload_blob``."""

import uuid
from dataclasses import replace

from bench.interactions import bodies
from bench.load import Load, Measured
from bench.scenario import GEO, STORAGE, Bench, pid, pids
from bench.storage import CONTAINER, create_containers, sas
from bench.tenants import captures_url, service_token, toggle
from local.stack import Stack

SCENARIO = "captures one by one"
CAPTURE_BYTES = 4096
CONCURRENCIES = (1, 8, 32)
COMPARED_AT = 8
"""The concurrency at which CPU is compared."""

ONE_TENANT = "POST, one tenant"
PUT = "aiohttp PUT"
UPLOAD = "upload_blob"
FUNCTION = "function alone"


def spread(tenants: int) -> str:
    """Return what the case with many tenants is called."""
    return f"POST, {tenants:,} tenants"


def at(contender: str, concurrency: int) -> str:
    """Return the case of a contender at a concurrency."""
    return f"{contender}, {concurrency} at a time"


async def measure(bench: Bench, stack: Stack) -> None:
    """Go through all contenders at all concurrencies, in rounds."""
    plan = bench.plan
    bench.say(f"  {plan.tenants + 1:,} tenants opt in")
    tenants = [str(uuid.uuid4()) for _ in range(plan.tenants + 1)]
    await toggle(stack, tenants, enabled=True)
    loads = await _loads(bench, stack, tenants)
    # Creates the day's containers and fills the connections' pools.
    await bench.generator.run(replace(loads[spread(plan.tenants)], requests=plan.tenants, concurrency=16))
    for turn in range(plan.repeat):
        bench.say(f"  round {turn + 1} of {plan.repeat}")
        for contender, load in loads.items():
            for concurrency in (COMPARED_AT,) if contender == FUNCTION else CONCURRENCIES:
                named = replace(load, name=uuid.uuid4().hex, concurrency=concurrency)
                measured = await bench.generator.run(named)
                bench.results.add(SCENARIO, at(contender, concurrency), figures(measured, plan.requests))


def figures(measured: Measured, requests: int) -> dict[str, float]:
    """Return the figures of so many requests."""
    return {
        "requests/s": requests / measured.seconds,
        "p50 ms": measured.p50_ms,
        "p99 ms": measured.p99_ms,
        **{f"{name} CPU ms": seconds / requests * 1000 for name, seconds in measured.cpu.items()},
    }


async def _loads(bench: Bench, stack: Stack, tenants: list[str]) -> dict[str, Load]:
    connection = stack.description.storage[GEO]
    await create_containers(connection, [CONTAINER])
    one = Load(
        "post",
        [captures_url(stack, tenants[0])],
        bodies(16, captures=1, capture_bytes=CAPTURE_BYTES),
        requests=bench.plan.requests,
        concurrency=1,
        warm_up=bench.plan.requests // 10,
        secret=service_token(stack),
        pids=pids(stack),
    )
    bare = replace(one, pids={"Azurite": pid(stack.processes[STORAGE])})
    account = f"{stack.processes[STORAGE].url}/st{GEO}"
    return {
        ONE_TENANT: one,
        spread(bench.plan.tenants): replace(one, targets=[captures_url(stack, each) for each in tenants[1:]]),
        PUT: replace(bare, kind="put", targets=[f"{account}/{CONTAINER}"], secret=sas(connection)),
        UPLOAD: replace(bare, kind="upload", targets=[CONTAINER], secret=connection),
        FUNCTION: replace(
            one,
            kind="function",
            targets=tenants[:1],
            settings=stack.app_settings,
            pids={name: each for name, each in one.pids.items() if name != "host"},
        ),
    }
