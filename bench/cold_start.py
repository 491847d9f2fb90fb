"""The cold start: importing the app next to importing the SDKs alone, and a host from nothing to its first answer."""

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import aiohttp

from bench.generator import run_once
from bench.plan import Plan
from bench.results import BenchError
from bench.rounds import rounds
from bench.scenario import Bench, host
from bench.targets import Target
from local.stack import Stack
from local.tokens import Role

SCENARIO = "cold start"
SDKS = "import the Azure SDKs"
APP = "import and index the app"
FIRST_ANSWER = "start of a host to its first answer"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    what = "time: cold start (import and index) / importing the Azure SDKs alone"
    return [Target("cold-start", what, "<=", 1.4, SCENARIO, (APP, "seconds"), (SDKS, "seconds"))]


async def measure(bench: Bench, stack: Stack) -> None:
    """Import and start in turns, each in a fresh process; the files are in the system's cache."""
    imports = {SDKS: partial(run_once, "bench.imports", "sdks"), APP: partial(run_once, "bench.imports", "app")}
    for warm_up in imports.values():  # writes the byte code, and reads all files once
        await warm_up()
    contenders = {**imports, FIRST_ANSWER: partial(_first_answer, bench, stack)}
    await rounds(bench, SCENARIO, contenders, targets(bench.plan))


async def _first_answer(bench: Bench, stack: Stack) -> Mapping[str, float]:
    """Tell how long a new process takes until it has answered a request that needs keys and Cosmos DB."""
    tenant_id = str(uuid.uuid4())
    token = stack.issuer.token(Role.TENANT_ADMIN, now=datetime.now(UTC), tenant=tenant_id)
    started = time.perf_counter()
    async with (
        host(f"host-{tenant_id}", bench.directory, stack.app_settings) as fresh,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(f"{fresh.url}/api/tenants/{tenant_id}/data-sharing") as response,
    ):
        if response.status != 200:
            raise BenchError(f"the first request was answered with {response.status}")
        return {"seconds": time.perf_counter() - started}
