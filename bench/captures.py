"""Captures one by one: what a POST costs, next to a bare PUT of the same bytes and to ``upload_blob``."""

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.generator import Generator
from bench.interactions import bodies
from bench.load import Load
from bench.plan import Plan
from bench.rounds import Contender, rounds
from bench.scenario import GEO, STORAGE, Bench, pid, pids
from bench.storage import CONTAINER, create_containers, sas
from bench.targets import Target
from bench.tenants import captures_url, enrol, service_token
from local.stack import Stack

SCENARIO = "captures one by one"
CAPTURE_BYTES = 4096

ONE_TENANT = "POST, one tenant"
PUT = "aiohttp PUT"
UPLOAD = "upload_blob"
FUNCTION = "function alone"
WORKER = "function in Azure's worker library"

HAS_WORKER = sys.version_info >= (3, 13)
"""Whether the library of Azure's worker exists for this Python."""

_COMPARED_AT = 8
"""The concurrency at which CPU is compared."""

_MOST = 32
"""The concurrency at which requests per second and latency are."""


def spread(tenants: int) -> str:
    """Return what the case with many tenants is called."""
    return f"POST, {tenants:,} tenants"


def at(contender: str, concurrency: int) -> str:
    """Return the case of a contender at a concurrency."""
    return f"{contender}, {concurrency} at a time"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    post, upload = at(ONE_TENANT, _COMPARED_AT), at(UPLOAD, _COMPARED_AT)
    many = at(spread(plan.tenants), _COMPARED_AT)
    post_of_many, put_of_many = at(ONE_TENANT, _MOST), at(PUT, _MOST)
    host, client = "host CPU ms/request", "client CPU ms/request"
    return [
        Target(
            "post-cpu",
            f"host CPU of a one-capture POST / client CPU of upload_blob, both {_COMPARED_AT} at a time",
            "<=",
            0.75,
            SCENARIO,
            (post, host),
            (upload, client),
        ),
        Target(
            "tenants-cpu",
            f"host CPU of a POST, {_COMPARED_AT} at a time: over {plan.tenants:,} tenants / over one",
            "<=",
            1.15,
            SCENARIO,
            (many, host),
            (post, host),
        ),
        Target(
            "post-rate",
            f"requests/s, {_MOST} at a time: POST / bare aiohttp PUT",
            ">=",
            0.8,
            SCENARIO,
            (post_of_many, "requests/s"),
            (put_of_many, "requests/s"),
        ),
        Target(
            "post-p99",
            f"p99, {_MOST} at a time: POST / bare aiohttp PUT",
            "<=",
            1.3,
            SCENARIO,
            (post_of_many, "p99 ms"),
            (put_of_many, "p99 ms"),
        ),
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Let the contenders take turns: eight at a time, 32 at a time, and one at a time for its latency."""
    plan = bench.plan
    many = spread(plan.tenants)
    tenants = [str(uuid.uuid4()) for _ in range(plan.tenants + 1)]
    await enrol(stack, tenants)
    loads = await _loads(bench, stack, tenants)
    # Creates the day's containers and fills the connections' pools.
    await bench.generator.run(replace(loads[many], requests=plan.tenants, concurrency=16))
    async with Generator() as inside:  # what it imports must not make the others' client dearer
        generators = {FUNCTION: inside, WORKER: inside}

        def contenders(names: Sequence[str], concurrency: int) -> Mapping[str, Contender]:
            return {
                at(name, concurrency): _contender(generators.get(name, bench.generator), loads[name], concurrency)
                for name in names
            }

        in_process = [FUNCTION, WORKER] if HAS_WORKER else [FUNCTION]
        by_cpu = contenders([ONE_TENANT, UPLOAD, many, *in_process], _COMPARED_AT)
        await rounds(bench, SCENARIO, by_cpu, targets(plan), seconds=2.5)
        by_time = contenders([ONE_TENANT, PUT], _MOST)
        await rounds(bench, SCENARIO, by_time, targets(plan), seconds=2.5)
        await rounds(bench, SCENARIO, contenders([ONE_TENANT, many, PUT, UPLOAD], 1), seconds=0.5)


def _contender(generator: Generator, load: Load, concurrency: int) -> Contender:
    async def send() -> Mapping[str, float]:
        measured = await generator.run(replace(load, name=uuid.uuid4().hex, concurrency=concurrency))
        return measured.figures(load.requests, "request")

    return send


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
    inside = replace(
        one,
        targets=tenants[:1],
        settings=stack.app_settings,
        pids={name: each for name, each in one.pids.items() if name != "host"},
    )
    return {
        ONE_TENANT: one,
        spread(bench.plan.tenants): replace(one, targets=[captures_url(stack, each) for each in tenants[1:]]),
        PUT: replace(bare, kind="put", targets=[f"{account}/{CONTAINER}"], secret=sas(connection)),
        UPLOAD: replace(bare, kind="upload", targets=[CONTAINER], secret=connection),
        FUNCTION: replace(inside, kind="function"),
        WORKER: replace(inside, kind="worker"),
    }
