"""What the sweep of a large account takes; ``python -m bench.sweep --containers N`` sweeps once.

The account and the ledger are made up as they are asked for, in a process of its own, so that its peak memory is the
sweep's. What Azure takes to list, and the SDK to read its answers, is not in it.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from joserfc.jwk import ECKey

from bench.generator import run_once
from bench.plan import Plan
from bench.processes import peak_megabytes
from bench.results import BenchError
from bench.rounds import rounds
from bench.scenario import Bench
from bench.targets import Target
from local.stack import Stack
from shared.accounts import Account, Accounts
from shared.clock import SystemClock
from shared.model.containers import SHARDS, deployment_container
from shared.model.ledger import FIRST_PREVIOUS_HASH, Event, OptedIn
from shared.pairing import Pairing
from shared.ports import ContainerPage, ListedContainer
from shared.stores.memory import MemoryCaptures, MemoryDeletions, MemoryLedger, MemoryOperations
from shared.stores.receipt_keys import LocalSigner
from shared.sweep.sweep import Sweep

SCENARIO = "sweep"
DAYS = 31
_DEPLOYMENT = "d" * 32
_LONGEST, _PEAK = "longest run s", "peak MB"


def of(containers: int) -> str:
    """Return the case of an account with so many containers."""
    return f"{containers:,} containers"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    case = of(plan.swept_containers)
    return [
        Target("sweep-memory", f"sweep of {case}: peak memory, MB", "<=", 200, SCENARIO, (case, _PEAK)),
        Target("sweep-run", f"sweep of {case}: longest run, s", "<=", 240, SCENARIO, (case, _LONGEST)),
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Sweep an account; nothing of the stack is asked."""
    containers = bench.plan.swept_containers
    sweeping = partial(run_once, "bench.sweep", f"--containers={containers}")
    await rounds(bench, SCENARIO, {of(containers): sweeping}, targets(bench.plan))


class MadeUpAccount(MemoryCaptures):
    """An account in which equally many enrollments of each shard have a container for each of 31 days, name by name."""

    def __init__(self, account: str, containers: int, today: datetime) -> None:
        """Hold so many containers, or a few less; ``today`` is the last day."""
        super().__init__(account)
        self.containers[deployment_container(_DEPLOYMENT)] = {}
        self.of_a_day = containers // (len(SHARDS) * DAYS)
        self._days = [f"{today - timedelta(days=DAYS - 1 - n):%Y%m%d}" for n in range(DAYS)]
        self.total = self.of_a_day * len(SHARDS) * DAYS

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        """See ``ContainerStore``; the prefix is always that of all names."""
        first = int(marker or 0)
        last = min(self.total, first + page_size)
        return ContainerPage([self._at(n) for n in range(first, last)], str(last) if last < self.total else None)

    def _at(self, number: int) -> ListedContainer:
        place, n = divmod(number, self.of_a_day)
        shard, day = divmod(place, DAYS)
        return ListedContainer(f"{SHARDS[shard]}-{self._days[day]}-{SHARDS[shard]}{n:031x}")


class MadeUpLedger(MemoryLedger):
    """A ledger that knows every enrollment that it is asked about, and one tenant."""

    def __init__(self, account: str, at: datetime) -> None:
        """Pin all enrollments to an account; they began at ``at``."""
        super().__init__()
        self._account, self._at = account, at
        self.asked = 0

    async def events_of_enrollments(self, enrollment_ids: Sequence[str]) -> AsyncIterator[tuple[str, Event | None]]:
        """See ``LedgerStore``."""
        self.asked += 1
        for enrollment_id in enrollment_ids:
            yield (
                enrollment_id,
                OptedIn(
                    enrollment_id=enrollment_id,
                    geo="europe",
                    storage_account=self._account,
                    started_at=self._at,
                    tenant_id="00000000-0000-4000-8000-000000000000",
                    sequence=1,
                    at=self._at,
                    actor="admin",
                    previous_hash=FIRST_PREVIOUS_HASH,
                ),
            )


async def _sweep(containers: int) -> Mapping[str, float]:
    """Sweep, run after run as the timer would, until the round is over.

    Raises:
        BenchError: if it has not seen all containers, or something failed.
    """
    now = datetime.now(UTC)
    store = MadeUpAccount("stsweep", containers, now)
    ledger = MadeUpLedger(store.account, now - timedelta(days=60))
    operations = MemoryOperations()
    operations.deployment = _DEPLOYMENT
    accounts = Accounts([Account("europe", store, DAYS)], DAYS)
    signer = LocalSigner([ECKey.generate_key("P-256")])
    seconds, cpu = list[float](), list[float]()
    while True:
        sweep = Sweep(
            accounts, Pairing(operations, lambda: ""), ledger, MemoryDeletions(), operations, signer, SystemClock()
        )
        began, used = time.monotonic(), time.process_time()
        heartbeat = (await sweep.run())[store.account]
        seconds.append(time.monotonic() - began)
        cpu.append(time.process_time() - used)
        if heartbeat.cursor is None:
            break
        if heartbeat.outcome == "failed":
            raise BenchError(f"the sweep failed: {heartbeat.error}")
    if heartbeat.outcome != "done" or heartbeat.counts["containers"] != store.total:
        raise BenchError(f"the sweep is {heartbeat.outcome} with {heartbeat.counts['containers']} containers")
    return {
        "containers": store.total,
        "runs": len(seconds),
        _LONGEST: max(seconds),
        "CPU s": sum(cpu),
        "queries to the ledger": ledger.asked,
        _PEAK: peak_megabytes(),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--containers", type=int, default=1_000_000)
    print(json.dumps(asyncio.run(_sweep(parser.parse_args().containers))))


if __name__ == "__main__":
    main()
