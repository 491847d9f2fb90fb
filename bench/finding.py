"""How long searches and samples of 100,000 captures take on the local stack, and what memory they take.

    python -m bench.finding

The captures lie in Azurite, 2 KB each, in batches of 100; and 5,000 more lie alone, which is the worst that can be.
Takes two to four minutes.
"""

import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import interactions
from bench.processes import cpu_seconds, resident_megabytes
from bench.results import BenchError
from bench.scenario import FEED_OFF, GEO, TIMERS_OFF, pids
from local.client import Client
from local.process import ProcessError
from local.stack import Stack, StackError
from local.tokens import Role

_BATCH = 100
_CAPTURE_BYTES = 2048
_AT_ONCE = 4
_POLL_SECONDS = 0.02
_WISH = {"purpose": "improve", "justification": "To see how long it takes.", "durationMinutes": 60}
_RARE = "rare-conversation"

_Members = Mapping[str, Any]

SEARCHES: Mapping[str, _Members] = {
    "all": {},
    "a condition that one in ten meets": {"telemetry": [{"name": "tenth", "equals": 0}]},
    "a text in each": {"text": "THE"},
    "a text in none": {"text": "nobody has ever said that"},
    "a language": {"language": "en"},
    "a conversation of one, in the middle": {"conversationId": _RARE},
}


def main() -> int:
    """Measure on a stack of its own and print a line for each search; return the exit code."""
    try:
        asyncio.run(_main())
    except (BenchError, ProcessError, StackError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with Stack(Path(directory), (GEO,), settings=TIMERS_OFF | FEED_OFF) as stack, Client(stack) as client:
            await measure(stack, client, captures=100_000, alone=5_000)


async def measure(stack: Stack, client: Client, *, captures: int, alone: int) -> None:
    """Store captures and look for them, and print what each search came to.

    Args:
        stack: a stack.
        client: a client of its host.
        captures: how many captures there are in batches of 100.
        alone: how many there are in a batch each, of another tenant.

    Raises:
        BenchError: if an answer is not the expected one.
    """
    host = pids(stack)["host"]
    many = await _tenant(client, captures // _BATCH, _BATCH)
    print(f"{captures} captures in batches of {_BATCH}; the host has {resident_megabytes(host):.0f} MB", flush=True)
    for name, members in SEARCHES.items():
        print(f"{name:<42} {await _search(client, host, many, 'find', {**members, 'limit': 50})}", flush=True)
    sampled = await _search(client, host, many, "sample", {"size": 50, "seed": 7})
    print(f"{'a sample of 50 of all':<42} {sampled}", flush=True)
    single = await _tenant(client, alone, 1)
    print(f"{alone} captures, each alone in its batch", flush=True)
    for name in ("all", "a text in none"):
        found = await _search(client, host, single, "find", {**SEARCHES[name], "limit": 50})
        print(f"{name:<42} {found}", flush=True)


async def _tenant(client: Client, batches: int, size: int) -> str:
    """Let a tenant share so many batches, and a reviewer look at them."""
    tenant = str(uuid.uuid4())
    _expect(await client.opt_in(tenant, GEO), 200)
    token = client.token(Role.CAPTURE_SERVICE, now=await client.now())
    prepared = [interactions.captures(seed, size, _CAPTURE_BYTES) for seed in range(16)]
    numbers = iter(range(batches))

    async def post() -> None:
        for number in numbers:
            said = [
                {**each, "telemetry": {**each.get("telemetry", {}), "tenth": line % 10}}
                for line, each in enumerate(prepared[number % len(prepared)])
            ]
            if number == batches // 2:
                said[0]["conversationId"] = _RARE
            _expect(await client.post(tenant, said, token=token), 201)

    await asyncio.gather(*(post() for _ in range(_AT_ONCE)))
    grant = await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", _WISH)
    _expect(grant, 201)
    path = f"review-grants/{grant.body['grantId']}/approve"
    _expect(await client.as_person(Role.APPROVER, "POST", tenant, path), 200)
    return tenant


async def _search(client: Client, host: int, tenant: str, route: str, body: _Members) -> str:
    """Look for the first page, and for those behind it until something is shown; go through all if that is never."""
    rss = resident_megabytes(host)
    peaks = [rss]
    cpu = cpu_seconds({"host": host})["host"]
    watching = asyncio.create_task(_watch(host, peaks))
    cursor: Mapping[str, str] = {}
    times: list[float] = []
    shown = scanned = size = 0
    while not shown:
        began = time.monotonic()
        page = await client.as_person(Role.REVIEWER, "POST", tenant, f"captures/{route}", {**body, **cursor})
        times.append(time.monotonic() - began)
        _expect(page, 200)
        shown, size = len(page.body["value"]), len(json.dumps(page.body))
        scanned += page.body["scanned"]["captures"]
        if "cursor" not in page.body:
            break
        cursor = {"cursor": page.body["cursor"]}
    watching.cancel()
    cpu = cpu_seconds({"host": host})["host"] - cpu
    return (
        f"first page {times[0]:5.2f} s; {shown:3} shown after {len(times):2} pages, {sum(times):6.2f} s, {scanned:6}"
        f" captures; longest page {max(times):.2f} s, {size / 1024:.0f} KiB; host: {cpu:5.2f} s CPU, {rss:.0f} MB, at"
        f" most {max(peaks):.0f} MB"
    )


async def _watch(host: int, peaks: list[float]) -> None:
    while True:
        peaks.append(resident_megabytes(host))
        await asyncio.sleep(_POLL_SECONDS)


def _expect(answer: Any, status: int) -> None:
    if answer.status != status:
        raise BenchError(f"answered with {answer.status}, not {status}")


if __name__ == "__main__":
    sys.exit(main())
