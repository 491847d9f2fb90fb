"""An opt-out's deletion: our purge, next to list + batch delete with the SDK and to the ``az`` command.

How our purge grows with the blobs is measured on an account that deletes a container in constant time, as Azure does;
Azurite removes the records of the blobs one by one. The others delete in Azurite, each a copy of one fill in an Azurite
of its own: it takes the longer for a blob's delete the more it holds. Requests and operations say more than times.
"""

import asyncio
import resource
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench.generator import environment, run_once
from bench.load import Load
from bench.plan import Plan
from bench.processes import cpu_seconds
from bench.proxy import CountingProxy
from bench.results import BenchError
from bench.retention import deployment_id, purge_account
from bench.rounds import Contender, rounds
from bench.scenario import GEO, STORAGE, Bench, pid
from bench.storage import CONTAINER, blobs, create_containers, sas
from bench.targets import Target
from bench.toggle import deletions_of
from bench.venvs import AZ, command
from local.azurite import account_name
from local.stack import Stack
from shared.model.containers import DayContainer, deployment_container
from shared.model.deletion import Deletion
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedOut

SCENARIO = "opt-out purge"
DAYS = 30
_CONTENT = "x" * 200
_CONCURRENCY = 16

Delete = Callable[[Stack, CountingProxy], Awaitable[Mapping[str, float]]]


def constant(blobs: int) -> str:
    """Return the case of our purge of an account that deletes a container in constant time."""
    return f"purge, {blobs:,} blobs (containers deleted in constant time)"


def ours(blobs: int) -> str:
    """Return the case of our purge in Azurite."""
    return f"purge, {blobs:,} blobs"


def sdk(blobs: int) -> str:
    """Return the case of the SDK's list + batch delete."""
    return f"SDK list + batch delete, {blobs:,} blobs"


def counted(blobs: int) -> str:
    """Return the case in which only the SDK's requests are counted."""
    return f"{sdk(blobs)} (counted only)"


def az(blobs: int) -> str:
    """Return the case of ``az storage blob delete-batch``."""
    return f"az storage blob delete-batch, {blobs:,} blobs"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    few, many = plan.purge_blobs
    theirs, listed = plan.list_and_delete_blobs, plan.counted_blobs
    return [
        Target(
            "purge",
            f"time: purge of {many:,} blobs / of {few:,}, where a container is deleted in constant time",
            "<=",
            1.2,
            SCENARIO,
            (constant(many), "seconds"),
            (constant(few), "seconds"),
        ),
        Target(
            "purge-operations",
            f"operations at {listed:,} blobs over {DAYS} days: SDK list + batch delete / ours",
            ">=",
            150,
            SCENARIO,
            (counted(listed), "operations"),
            (ours(listed), "operations"),
        ),
        Target(
            "purge-sdk",
            f"time at {theirs:,} blobs: SDK list + batch delete / ours",
            ">=",
            5,
            SCENARIO,
            (sdk(theirs), "seconds"),
            (ours(theirs), "seconds"),
        ),
        Target(
            "purge-az",
            f"time at {theirs:,} blobs: az storage blob delete-batch / ours",
            ">=",
            20,
            SCENARIO,
            (az(theirs), "seconds"),
            (ours(theirs), "seconds"),
        ),
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Purge accounts of names; then fill Azurite, let the contenders delete copies of it, and count what they ask."""
    plan = bench.plan
    growing = {constant(size): partial(_purge_names, bench, stack, size) for size in plan.purge_blobs}
    await rounds(bench, SCENARIO, growing, targets(plan))

    theirs = plan.list_and_delete_blobs
    days, flat = await _filled(bench, theirs, _containers_of_days), await _filled(bench, theirs, _one_container)
    contenders: dict[str, Contender] = {
        ours(theirs): partial(_delete, bench, ours(theirs), days, _purge),
        sdk(theirs): partial(_delete, bench, sdk(theirs), flat, _list_and_delete),
    }
    if plan.az:
        program = await command(AZ, bench.say)
        deleting = _az(program, bench.directory / "az-config")
        contenders[az(theirs)] = partial(_delete, bench, az(theirs), flat, deleting)
    await rounds(bench, SCENARIO, contenders, targets(plan), seconds=1.5)

    listed = plan.counted_blobs
    days, flat = await _filled(bench, listed, _containers_of_days), await _filled(bench, listed, _one_container)
    bench.results.add(SCENARIO, ours(listed), await _delete(bench, ours(listed), days, _purge))
    bench.results.add(SCENARIO, counted(listed), await _count(flat))


async def _purge_names(bench: Bench, stack: Stack, size: int) -> Mapping[str, float]:
    enrollment_id = uuid.uuid4().hex
    await _owe(stack, enrollment_id)
    return await purge_account(bench, stack, 0, enrollment=enrollment_id, blobs=size)


async def _filled(bench: Bench, size: int, fill: Callable[[Bench, Stack, int], Awaitable[None]]) -> Path:
    layout = fill.__name__.removeprefix("_")
    bench.say(f"  filling {layout.replace('_', ' ')} with {size:,} blobs")
    directory = bench.directory / f"{layout}-{size}"
    async with Stack(directory, (GEO,), with_host=False) as stack:
        await fill(bench, stack, size)
    return directory


async def _containers_of_days(bench: Bench, stack: Stack, size: int) -> None:
    """Give one tenant blobs in its containers of the last days, and a deletion that is due."""
    enrollment_id, today = uuid.uuid4().hex, datetime.now(UTC).date()
    await _put(bench, stack, [DayContainer(enrollment_id, today - timedelta(days=n)).name for n in range(DAYS)], size)
    await create_containers(stack.description.storage[GEO], [deployment_container(await deployment_id(stack))])
    await _owe(stack, enrollment_id)


async def _owe(stack: Stack, enrollment_id: str) -> None:
    """Let a deletion of an enrollment be due."""
    now = datetime.now(UTC)
    event = OptedOut(
        enrollment_id=enrollment_id,
        geo=GEO,
        storage_account=account_name(GEO),
        started_at=now - timedelta(days=DAYS),
        tenant_id=str(uuid.uuid4()),
        sequence=2,
        at=now,
        actor="bench",
        previous_hash=FIRST_PREVIOUS_HASH,
        deadline=now + timedelta(days=30),
    )
    async with deletions_of(stack) as deletions:
        await deletions.create(Deletion.owed_for(event).expedited(now))


async def _one_container(bench: Bench, stack: Stack, size: int) -> None:
    """Put all blobs into one container, which suits a listing best."""
    await _put(bench, stack, [CONTAINER], size)


async def _put(bench: Bench, stack: Stack, containers: list[str], size: int) -> None:
    connection = stack.description.storage[GEO]
    await create_containers(connection, containers)
    account = f"{stack.processes[STORAGE].url}/st{GEO}"
    load = Load("put", [f"{account}/{name}" for name in containers], [_CONTENT], size, _CONCURRENCY, sas(connection))
    await bench.generator.run(load)


async def _delete(bench: Bench, case: str, fill: Path, delete: Delete) -> Mapping[str, float]:
    """Let a contender delete a copy of a fill; see that nothing is left."""
    copy = bench.directory / "copy"
    shutil.copytree(fill, copy)
    try:
        async with Stack(copy, (GEO,), with_host=False) as stack:
            azurite = {"Azurite CPU s": pid(stack.processes[STORAGE])}
            async with CountingProxy(stack.processes[STORAGE].url) as proxy:
                before = cpu_seconds(azurite)
                told = await delete(stack, proxy)
                after = cpu_seconds(azurite)
            left = await blobs(stack.description.storage[GEO])
    finally:
        shutil.rmtree(copy)
    if left:
        raise BenchError(f"{case}: {len(left)} blobs are left")
    used = {name: after[name] - before[name] for name in azurite}
    return {**told, **used, "requests": proxy.requests, "operations": proxy.operations}


async def _count(fill: Path) -> Mapping[str, float]:
    """Count what the SDK sends, Azurite answering the listing and the proxy the deletes."""
    async with (
        Stack(fill, (GEO,), with_host=False) as stack,
        CountingProxy(stack.processes[STORAGE].url, acknowledge_batches=True) as proxy,
    ):
        await _list_and_delete(stack, proxy)
    return {"requests": proxy.requests, "operations": proxy.operations}


async def _purge(stack: Stack, proxy: CountingProxy) -> dict[str, float]:
    through = stack.app_settings["STORAGE_ACCOUNTS"].replace(stack.processes[STORAGE].url, proxy.url)
    told: dict[str, float] = await run_once(
        "bench.deleters", "purge", settings={**stack.app_settings, "STORAGE_ACCOUNTS": through}
    )
    return told


async def _list_and_delete(stack: Stack, proxy: CountingProxy) -> dict[str, float]:
    told: dict[str, float] = await run_once("bench.deleters", "sdk", _through(stack, proxy), CONTAINER)
    return told


def _az(program: Path, configuration: Path) -> Delete:
    async def delete(stack: Stack, proxy: CountingProxy) -> dict[str, float]:
        before, started = _children(), time.perf_counter()
        child = await asyncio.create_subprocess_exec(
            *(str(program), "storage", "blob", "delete-batch", "--source", CONTAINER, "--only-show-errors"),
            *("--connection-string", _through(stack, proxy), "--output", "none"),
            env={**environment(), "AZURE_CONFIG_DIR": str(configuration), "AZURE_CORE_COLLECT_TELEMETRY": "false"},
            stdin=asyncio.subprocess.DEVNULL,
        )
        if await child.wait():
            raise BenchError(f"az ended with {child.returncode}")
        return {"seconds": time.perf_counter() - started, "deleter CPU s": _children() - before}

    return delete


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of the ended ones: only az ends in between
    return used.ru_utime + used.ru_stime


def _through(stack: Stack, proxy: CountingProxy) -> str:
    return stack.description.storage[GEO].replace(stack.processes[STORAGE].url, proxy.url)
