"""Retention: what a purge costs in accounts of different size in which equally much is due."""

import json
import sys
from typing import Any

import aiohttp

from bench.generator import run_once
from bench.listing_account import ACCOUNT
from bench.processes import cpu_seconds
from bench.results import BenchError
from bench.scenario import GEO, Bench, pid
from local.azurite import connection_string
from local.ports import free_ports
from local.process import Process
from local.stack import Stack

SCENARIO = "retention"
_KEY = "a2V5"  # the account does not look at signatures


def of(containers: int) -> str:
    """Return the case of an account with so many containers."""
    return f"purge, {containers:,} containers"


async def measure(bench: Bench, stack: Stack) -> None:
    """Purge accounts of all sizes, in rounds."""
    for _ in range(bench.plan.repeat):
        for containers in bench.plan.containers:
            bench.results.add(SCENARIO, of(containers), await _purge(bench, stack, containers))


async def _purge(bench: Bench, stack: Stack, containers: int) -> dict[str, float]:
    port = free_ports(1)[0]
    arguments = ["--port", str(port), "--containers", str(containers), "--due", str(bench.plan.containers_due)]
    account = Process(
        "listing account",
        [sys.executable, "-m", "bench.listing_account", *arguments],
        port=port,
        log=bench.directory / "listing-account.log",
        environment={},
        ready="/requests",
        ready_status=200,
    )
    storage = {GEO: connection_string(account=ACCOUNT, key=_KEY, port=port)}
    await account.start()
    try:
        pids = {"account CPU s": pid(account)}
        before = cpu_seconds(pids)
        settings = {**stack.app_settings, "STORAGE_ACCOUNTS": json.dumps(storage)}
        told: dict[str, float] = await run_once("bench.deleters", "purge", settings=settings)
        used = {name: value - before[name] for name, value in cpu_seconds(pids).items()}
        asked = await _get(f"{account.url}/requests")
    finally:
        await account.stop()
    if asked["containers"] != containers - bench.plan.containers_due:
        raise BenchError(f"{asked['containers']} of {containers} containers are left")
    return {**told, **used, "requests": asked["requests"]}


async def _get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()
