"""Captures in batches: what one capture costs, and how many bytes of storage it takes."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from bench.captures import CAPTURE_BYTES as UPLOAD_BYTES
from bench.captures import UPLOAD
from bench.interactions import bodies
from bench.load import Load
from bench.plan import Plan
from bench.rounds import Contender, rounds
from bench.scenario import GEO, Bench, pids
from bench.storage import CONTAINER, create_containers, stored_bytes
from bench.targets import Target
from bench.tenants import captures_url, enrol, service_token
from local.stack import Stack

SCENARIO = "captures in batches"
SIZES = (10, 100, 500)
_CAPTURE_BYTES = 2048
_CONCURRENCY = 4
_BODIES = 4


def batches_of(size: int) -> str:
    """Return the case of batches of ``size`` captures."""
    return f"POST, batches of {size}"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    return [
        Target(
            "batch-cpu",
            "host CPU per capture in batches of 100 / client CPU of one upload_blob",
            "<=",
            0.05,
            SCENARIO,
            (batches_of(100), "host CPU ms/capture"),
            (UPLOAD, "client CPU ms/capture"),
        )
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Send batches of each size, each for a tenant of its own, and blobs by ``upload_blob``."""
    plan = bench.plan
    enrollments = await enrol(stack, [str(uuid.uuid4()) for _ in SIZES])
    connection = stack.description.storage[GEO]
    await create_containers(connection, [CONTAINER])
    loads = {
        batches_of(size): Load(
            "post",
            [captures_url(stack, tenant)],
            bodies(_BODIES, captures=size, capture_bytes=_CAPTURE_BYTES),
            requests=max(_BODIES, plan.batch_captures // size),
            concurrency=_CONCURRENCY,
            warm_up=_BODIES,
            secret=service_token(stack),
            pids=pids(stack),
        )
        for size, tenant in zip(SIZES, enrollments, strict=True)
    }
    sizes = dict(zip(loads, SIZES, strict=True))
    loads[UPLOAD] = Load(
        "upload",
        [CONTAINER],
        bodies(_BODIES, captures=1, capture_bytes=UPLOAD_BYTES),
        requests=plan.requests,
        concurrency=_CONCURRENCY,
        warm_up=_BODIES,
        secret=connection,
    )
    contenders = {case: contender(bench, partial(replace, load), sizes.get(case, 1)) for case, load in loads.items()}
    await rounds(bench, SCENARIO, contenders, targets(plan))
    [done] = [each for each in bench.results.rounds if each.scenario == SCENARIO]
    for (case, size), enrollment_id in zip(sizes.items(), enrollments.values(), strict=True):
        load = loads[case]
        stored = await stored_bytes(connection, enrollment_id)
        captures = (load.requests + load.warm_up) * (done.rounds + done.thrown_away) * size
        sent = sum(len(body.encode()) for body in load.bodies) / _BODIES / size
        figures = {"bytes sent/capture": sent, "bytes stored/capture": stored / captures}
        bench.results.add(SCENARIO, case, figures)


def contender(bench: Bench, load: Callable[[], Load], captures: int) -> Contender:
    """Return what makes a load, of bodies that hold so many captures each, and sends it."""

    async def send() -> Mapping[str, float]:
        made = load()
        measured = await bench.generator.run(replace(made, name=uuid.uuid4().hex))
        return measured.figures(made.requests * captures, "capture")

    return send
