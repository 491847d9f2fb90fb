"""The cold start: importing the app next to importing the SDKs alone, and a host from nothing to its first answer."""

import time
import uuid
from datetime import UTC, datetime

import aiohttp

from bench.generator import run_once
from bench.results import BenchError
from bench.scenario import TIMERS_OFF, Bench, host
from local.stack import Stack
from local.tokens import Role

SCENARIO = "cold start"
SDKS = "import the Azure SDKs"
APP = "import and index the app"
FIRST_ANSWER = "start of a host to its first answer"


async def measure(bench: Bench, stack: Stack) -> None:
    """Import and start in turns, each in a fresh process; the files are in the system's cache."""
    for case, what in ((SDKS, "sdks"), (APP, "app")):
        await run_once("bench.imports", what)  # writes the byte code, and reads all files once
        bench.say(f"  {case}")
    for turn in range(bench.plan.cold_starts):
        bench.results.add(SCENARIO, SDKS, await run_once("bench.imports", "sdks"))
        bench.results.add(SCENARIO, APP, await run_once("bench.imports", "app"))
        bench.results.add(SCENARIO, FIRST_ANSWER, {"seconds": await _first_answer(bench, stack, turn)})


async def _first_answer(bench: Bench, stack: Stack, turn: int) -> float:
    """Return how long a new process takes until it has answered a request that needs keys and Cosmos DB."""
    tenant_id = str(uuid.uuid4())
    token = stack.issuer.token(Role.TENANT_ADMIN, now=datetime.now(UTC), tenant=tenant_id)
    started = time.perf_counter()
    async with (
        host(f"host-{turn}", bench.directory, {**stack.app_settings, **TIMERS_OFF}) as fresh,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(f"{fresh.url}/api/tenants/{tenant_id}/data-sharing") as response,
    ):
        if response.status != 200:
            raise BenchError(f"the first request was answered with {response.status}")
        return time.perf_counter() - started
