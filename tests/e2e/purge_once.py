"""One purge at a given time, in a process that a test may kill."""

import asyncio
import multiprocessing
from collections.abc import Mapping
from datetime import datetime
from multiprocessing.context import ForkServerProcess

from shared.bootstrap import connect
from shared.configuration import Configuration
from tests.clocks import ManualClock

# Forked from a process that has imported this module already: the imports take ten times as long as the purge.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def start_purge(settings: Mapping[str, str], now: datetime) -> ForkServerProcess:
    """Start a purge with an app's settings at ``now`` in a process of its own, and return that."""
    process = _FORKS.Process(target=_run, args=(dict(settings), now))
    process.start()
    return process


def _run(settings: dict[str, str], now: datetime) -> None:
    asyncio.run(_purge(settings, now))


async def _purge(settings: dict[str, str], now: datetime) -> None:
    services = connect(Configuration.read(settings), ManualClock(now))
    await services.purge.run()
    for close in services.closers:
        await close()
