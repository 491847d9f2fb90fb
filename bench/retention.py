"""Retention: what a purge costs in accounts of different size in which equally much is due."""

import json
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp

from bench import listing_account
from bench.generator import run_once
from bench.plan import Plan
from bench.processes import cpu_seconds
from bench.results import BenchError
from bench.rounds import rounds
from bench.scenario import GEO, Bench, pid
from bench.targets import Target
from local.stack import Stack
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.operations import CosmosOperations

SCENARIO = "retention"


def of(containers: int) -> str:
    """Return the case of an account with so many containers."""
    return f"purge, {containers:,} containers"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    few, many = plan.containers
    what = f"time: retention with {many:,} containers / with {few:,}, equally many due"
    return [Target("retention", what, "<=", 1.5, SCENARIO, (of(many), "seconds"), (of(few), "seconds"))]


async def measure(bench: Bench, stack: Stack) -> None:
    """Purge accounts of all sizes."""
    contenders = {of(containers): partial(_purge, bench, stack, containers) for containers in bench.plan.containers}
    await rounds(bench, SCENARIO, contenders, targets(bench.plan))


async def _purge(bench: Bench, stack: Stack, containers: int) -> Mapping[str, float]:
    due = bench.plan.containers_due
    return await purge_account(bench, stack, containers - due, containers=containers, due=due)


async def purge_account(bench: Bench, stack: Stack, left: int, **filled: int | str) -> Mapping[str, float]:
    """Purge an account of names, filled as its command line says, and tell what it took.

    Raises:
        BenchError: if not exactly so many containers are ``left`` then, without blobs.
    """
    deployment = await deployment_id(stack)
    async with listing_account.running(bench.directory, deployment=deployment, **filled) as account:
        pids = {"account CPU s": pid(account)}
        before = cpu_seconds(pids)
        storage = {GEO: listing_account.connection(account)}
        settings = {**stack.app_settings, "STORAGE_ACCOUNTS": json.dumps(storage)}
        told: dict[str, float] = await run_once("bench.deleters", "purge", settings=settings)
        used = {name: value - before[name] for name, value in cpu_seconds(pids).items()}
        asked = await _get(f"{account.url}/requests")
    if asked["containers"] != left or asked["blobs"]:
        raise BenchError(f"{asked['containers']} containers and {asked['blobs']} blobs are left, and not {left} and 0")
    return {**told, **used, "requests": asked["requests"]}


async def deployment_id(stack: Stack) -> str:
    """Return whose accounts a stack's purge may touch."""
    cosmos = CosmosAccount.connect(stack.app_settings["COSMOS_CONNECTION"], None)
    try:
        operations = CosmosOperations(cosmos)
        return await operations.deployment_id() or await operations.deploy(uuid.uuid4().hex)
    finally:
        await cosmos.close()


async def _get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()
