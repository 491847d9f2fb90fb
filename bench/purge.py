"""An opt-out's deletion: our purge, next to list + batch delete with the SDK and to the ``az`` command.

Azurite takes the longer for a blob's delete the more it holds, which real storage does not. So each contender works on
a copy of one fill, in an Azurite of its own; and requests and operations say more than times.
"""

import asyncio
import resource
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.generator import environment, run_once
from bench.load import Load
from bench.processes import cpu_seconds
from bench.proxy import CountingProxy
from bench.results import BenchError
from bench.scenario import GEO, STORAGE, Bench, pid
from bench.storage import CONTAINER, blobs, create_containers, sas
from bench.venvs import AZ, command
from local.stack import Stack
from shared.model.containers import DayContainer, deployment_container
from shared.model.deletion import Deletion
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedOut
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.operations import CosmosOperations

SCENARIO = "opt-out purge"
DAYS = 30
_CONTENT = "x" * 200
_CONCURRENCY = 16

Delete = Callable[[Stack, CountingProxy], Awaitable[dict[str, float]]]


def ours(blobs: int) -> str:
    """Return the case of our purge."""
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


async def measure(bench: Bench) -> None:
    """Fill once for each number and layout, then let the contenders delete copies of it, in rounds."""
    plan = bench.plan
    days = {size: await _filled(bench, size, _containers_of_days) for size in plan.purge_blobs}
    flat_sizes = {*plan.list_and_delete_blobs, plan.counted_blobs}
    flat = {size: await _filled(bench, size, _one_container) for size in sorted(flat_sizes)}
    smallest = plan.list_and_delete_blobs[0]
    az_command = await command(AZ, bench.say) if plan.az else None
    for turn in range(plan.repeat):
        bench.say(f"  round {turn + 1} of {plan.repeat}")
        for size, fill in days.items():
            await _delete(bench, ours(size), fill, _purge)
        for size in plan.list_and_delete_blobs:
            if turn == 0 or size == smallest:  # minutes with Azurite, for the others
                await _delete(bench, sdk(size), flat[size], _list_and_delete)
        if az_command is not None:
            await _delete(bench, az(smallest), flat[smallest], _az(az_command, bench.directory / "az-config"))
    await _count(bench, flat[plan.counted_blobs])


async def _filled(bench: Bench, size: int, fill: Callable[[Bench, Stack, int], Awaitable[None]]) -> Path:
    layout = fill.__name__.removeprefix("_")
    bench.say(f"  filling {layout.replace('_', ' ')} with {size:,} blobs")
    directory = bench.directory / f"{layout}-{size}"
    async with Stack(directory, (GEO,), with_host=False) as stack:
        await fill(bench, stack, size)
    return directory


async def _containers_of_days(bench: Bench, stack: Stack, size: int) -> None:
    """Give one tenant blobs in its containers of the last days, and a deletion that is due."""
    now = datetime.now(UTC)
    enrollment_id, account = uuid.uuid4().hex, f"st{GEO}"
    names = [DayContainer(enrollment_id, now.date() - timedelta(days=n)).name for n in range(DAYS)]
    await _put(bench, stack, names, size)
    event = OptedOut(
        enrollment_id=enrollment_id,
        geo=GEO,
        storage_account=account,
        started_at=now - timedelta(days=DAYS),
        tenant_id=str(uuid.uuid4()),
        sequence=2,
        at=now,
        actor="bench",
        previous_hash=FIRST_PREVIOUS_HASH,
        deadline=now + timedelta(days=30),
    )
    cosmos = CosmosAccount.connect(stack.app_settings["COSMOS_CONNECTION"], None)
    await CosmosDeletions(cosmos).create(Deletion.owed_for(event).expedited(now))
    deployment_id = await CosmosOperations(cosmos).deploy(uuid.uuid4().hex)
    await create_containers(stack.description.storage[GEO], [deployment_container(deployment_id)])
    await cosmos.close()


async def _one_container(bench: Bench, stack: Stack, size: int) -> None:
    """Put all blobs into one container, which suits a listing best."""
    await _put(bench, stack, [CONTAINER], size)


async def _put(bench: Bench, stack: Stack, containers: list[str], size: int) -> None:
    connection = stack.description.storage[GEO]
    await create_containers(connection, containers)
    account = f"{stack.processes[STORAGE].url}/st{GEO}"
    load = Load("put", [f"{account}/{name}" for name in containers], [_CONTENT], size, _CONCURRENCY, sas(connection))
    await bench.generator.run(load)


async def _delete(bench: Bench, case: str, fill: Path, delete: Delete) -> None:
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
    bench.results.add(SCENARIO, case, {**told, **used, "requests": proxy.requests, "operations": proxy.operations})


async def _count(bench: Bench, fill: Path) -> None:
    """Count what the SDK sends, Azurite answering the listing and the proxy the deletes."""
    async with (
        Stack(fill, (GEO,), with_host=False) as stack,
        CountingProxy(stack.processes[STORAGE].url, acknowledge_batches=True) as proxy,
    ):
        await _list_and_delete(stack, proxy)
    case = counted(bench.plan.counted_blobs)
    bench.results.add(SCENARIO, case, {"requests": proxy.requests, "operations": proxy.operations})


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
