"""What every scenario works with."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.generator import Generator
from bench.machine import Watch
from bench.plan import Plan
from bench.results import BenchError, Results
from local.ports import free_ports
from local.process import ROOT, Process
from local.stack import Stack

GEO = "europe"
STORAGE = f"storage-{GEO}"
TIMERS_OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("purge", "sweep", "metrics", "make_exports")}
FEED_OFF = {"AzureWebJobs.opt_outs.Disabled": "true"}
"""Application settings: nothing is to run but what is measured."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One run.

    Attributes:
        plan: how much.
        results: what was measured so far.
        directory: for files that are of no use afterwards.
        say: is called with a line for each step.
        generator: sends loads.
        watch: looks at what else the machine does.
    """

    plan: Plan
    results: Results
    directory: Path
    say: Callable[[str], None]
    generator: Generator
    watch: Watch


def kept() -> Path:
    """Return the directory for what is kept between runs and is not for the repository."""
    return Path(os.environ.get("LOCAL_DIR") or ROOT / ".local").resolve() / "bench"


def pid(process: Process) -> int:
    """Return a process's id.

    Raises:
        BenchError: if it is not up.
    """
    if process.pid is None:
        raise BenchError(f"{process.name} is not up")
    return process.pid


def pids(stack: Stack) -> dict[str, int]:
    """Return the processes of a request to the stack's first host: ``host``, ``Cosmos DB``, ``Azurite``."""
    names = {"host": "host", "Cosmos DB": "cosmos", "Azurite": STORAGE}
    return {name: pid(stack.processes[key]) for name, key in names.items()}


@asynccontextmanager
async def host(name: str, directory: Path, settings: Mapping[str, str]) -> AsyncIterator[Process]:
    """Run a further host with application settings of its own, and its state and log in ``directory``."""
    port = free_ports(1)[0]
    state = directory / name
    process = Process(
        name,
        [sys.executable, "-m", "local.host", "--port", str(port), "--directory", str(state), "--exit-with-stdin"],
        port=port,
        log=directory / f"{name}.log",
        environment=settings,
        ready="/admin/host/status",
        ready_status=200,
    )
    await process.start()
    try:
        yield process
    finally:
        await process.stop()
