"""What an instance answers while opt-outs wait on it: an opt-out is answered after two seconds (P2).

Flex Consumption gives an instance of a Python app one request at a time unless ``perInstanceConcurrency`` says
otherwise. So this compares one request at a time with 32 when one in twenty is an opt-out; and what others get while 64
opt-outs wait.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import aiohttp

from bench.interactions import bodies
from bench.load import Load, percentile
from bench.plan import Plan
from bench.processes import cpu_seconds, resident_megabytes
from bench.results import BenchError
from bench.rounds import Spoilt, rounds
from bench.scenario import Bench, pids
from bench.targets import Target
from bench.tenants import captures_url, enrol, service_token, toggle
from bench.toggle import deletions_of, scheduled
from local.stack import Stack

SCENARIO = "concurrency"
ALONE = "POST, no opt-out waits"
AT_A_TIME = (1, 32)
_ONE_IN = 20
_CAPTURE_BYTES = 4096
_POSTS_AT_A_TIME = 8
_POSTS = 300
"""Sent in less than half a second, so that all of them are answered before the first opt-out is."""


def beside(opt_outs: int) -> str:
    """Return the case of POSTs while opt-outs wait."""
    return f"POST, {opt_outs} opt-outs wait"


def mixed(at_a_time: int) -> str:
    """Return the case of requests among which are opt-outs."""
    return f"one in {_ONE_IN} an opt-out, {at_a_time} at a time"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    what = f"p99 of POSTs while {plan.waiting} opt-outs wait on the instance / without them"
    return [Target("waiting-p99", what, "<=", 1.2, SCENARIO, (beside(plan.waiting), "p99 ms"), (ALONE, "p99 ms"))]


async def measure(bench: Bench, stack: Stack) -> None:
    """Post beside waiting opt-outs and without them, and then as many requests at a time as callers send."""
    plan = bench.plan
    [busy] = await enrol(stack, [str(uuid.uuid4())])
    load = Load(
        "post",
        [captures_url(stack, busy)],
        bodies(16, captures=1, capture_bytes=_CAPTURE_BYTES),
        requests=min(_POSTS, plan.requests),
        concurrency=_POSTS_AT_A_TIME,
        secret=service_token(stack),
        pids=pids(stack),
    )
    # Makes the day's container and reads consent; what follows sends the same bodies.
    await bench.generator.run(replace(load, requests=_POSTS_AT_A_TIME, name=uuid.uuid4().hex))

    async def alone() -> Mapping[str, float]:
        measured = await bench.generator.run(replace(load, name=uuid.uuid4().hex))
        return measured.figures(load.requests, "request")

    async def while_opt_outs_wait() -> Mapping[str, float]:
        enrollments = await enrol(stack, [str(uuid.uuid4()) for _ in range(plan.waiting)])
        opting_out = asyncio.create_task(toggle(stack, list(enrollments), enabled=False))
        async with deletions_of(stack) as deletions:
            await scheduled(deletions, enrollments)
        figures, answered = await alone(), time.monotonic()
        opted_out = await opting_out
        if min(each.answered for each in opted_out) < answered:
            raise Spoilt("an opt-out was answered before the last POST")
        return figures

    contenders = {ALONE: alone, beside(plan.waiting): while_opt_outs_wait}
    await rounds(bench, SCENARIO, contenders, targets(plan), seconds=2.0)
    # The more at a time, the more requests, so that both take about four seconds.
    both = {mixed(n): partial(_mixed, stack, load, n, min(n * 40, plan.requests)) for n in AT_A_TIME}
    await rounds(bench, SCENARIO, both, seconds=0.5)


async def _mixed(stack: Stack, load: Load, at_a_time: int, requests: int) -> Mapping[str, float]:
    """Let callers send requests one after the other, and every twentieth be an opt-out."""
    leaving = iter(await enrol(stack, [str(uuid.uuid4()) for _ in range(requests // _ONE_IN)]))
    posts: list[float] = []
    opt_outs: list[float] = []
    numbers = iter(range(requests))

    async def call(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            if number % _ONE_IN == _ONE_IN - 1:
                [opted_out] = await toggle(stack, [next(leaving)], enabled=False)
                opt_outs.append(opted_out.answered - opted_out.sent)
                continue
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {load.secret}", "Idempotency-Key": str(uuid.uuid4())}
            body = load.bodies[number % len(load.bodies)]
            async with session.post(load.targets[0], data=body, headers=headers) as response:
                await response.read()
                if response.status != 201:
                    raise BenchError(f"POST captures was answered with {response.status}")
            posts.append(time.monotonic() - began)

    host = {"host": load.pids["host"]}
    cpu, began = cpu_seconds(host)["host"], time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as callers:
        for _ in range(at_a_time):
            callers.create_task(call(session))
    seconds, cpu = time.monotonic() - began, cpu_seconds(host)["host"] - cpu
    posts.sort()
    opt_outs.sort()
    return {
        "requests/s": requests / seconds,
        "opt-outs/s": len(opt_outs) / seconds,
        "p50 ms": percentile(posts, 0.5) * 1000,
        "p99 ms": percentile(posts, 0.99) * 1000,
        "opt-out p50 s": percentile(opt_outs, 0.5),
        "opt-out p99 s": percentile(opt_outs, 0.99),
        "host CPU ms/request": cpu / requests * 1000,
        "host MB": resident_megabytes(host["host"]),
    }
