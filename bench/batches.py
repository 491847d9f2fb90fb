"""Captures in batches: what one capture costs, and how many bytes of storage it takes."""

import uuid
from dataclasses import replace

from bench.interactions import bodies
from bench.load import Load
from bench.scenario import GEO, Bench, pids
from bench.storage import stored_bytes
from bench.tenants import captures_url, service_token, toggle
from local.stack import Stack

SCENARIO = "captures in batches"
CAPTURE_BYTES = 2048
SIZES = (10, 100, 500)
_CONCURRENCY = 4
_BODIES = 4


def batches_of(size: int) -> str:
    """Return the case of batches of ``size`` captures."""
    return f"POST, batches of {size}"


async def measure(bench: Bench, stack: Stack) -> None:
    """Send batches of each size in rounds, each size for a tenant of its own."""
    toggled = await toggle(stack, [str(uuid.uuid4()) for _ in SIZES], enabled=True)
    loads = {
        size: Load(
            "post",
            [captures_url(stack, tenant.tenant_id)],
            bodies(_BODIES, captures=size, capture_bytes=CAPTURE_BYTES),
            requests=max(_BODIES, bench.plan.batch_captures // size),
            concurrency=_CONCURRENCY,
            warm_up=_BODIES,
            secret=service_token(stack),
            pids=pids(stack),
        )
        for size, tenant in zip(SIZES, toggled, strict=True)
    }
    for _ in range(bench.plan.repeat):
        for size, load in loads.items():
            measured = await bench.generator.run(replace(load, name=uuid.uuid4().hex))
            captures = load.requests * size
            bench.results.add(
                SCENARIO,
                batches_of(size),
                {
                    "captures/s": captures / measured.seconds,
                    "p50 ms": measured.p50_ms,
                    "p99 ms": measured.p99_ms,
                    **{f"{name} CPU ms/capture": used / captures * 1000 for name, used in measured.cpu.items()},
                },
            )
    for (size, load), tenant in zip(loads.items(), toggled, strict=True):
        stored = await stored_bytes(stack.description.storage[GEO], tenant.enrollment_id or "")
        captures = (load.requests + load.warm_up) * bench.plan.repeat * size
        sent = sum(len(body.encode()) for body in load.bodies) / _BODIES / size
        bench.results.add(
            SCENARIO, batches_of(size), {"bytes sent/capture": sent, "bytes stored/capture": stored / captures}
        )
