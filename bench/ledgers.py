"""What a round of the sweep through all ledgers takes; ``python -m bench.ledgers --ledgers N`` makes one round.

Each ledger has an opt-in, an opt-out and a finished deletion with its signed receipt. They are read from JSON as they
are asked for, a few hundred over and over under other tenants' ids, in a process of its own, so that its peak memory is
the round's. What the SDK of Cosmos DB takes is not in it.
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

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
from shared.model import deadlines
from shared.model.containers import deployment_container
from shared.model.deletion import Deletion
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedIn, OptedOut, Setting, TenantLedger, event_from_json
from shared.pairing import Pairing
from shared.ports import Stored, TenantDeletions
from shared.stores.memory import MemoryCaptures, MemoryDeletions, MemoryLedger, MemoryOperations
from shared.stores.receipt_keys import LocalSigner
from shared.sweep.sweep import Sweep

SCENARIO = "ledgers"
RETENTION_DAYS = 30
_DEPLOYMENT = "d" * 32
_MADE = 200
_EACH, _PEAK = "CPU ms a ledger", "peak MB"


def of(ledgers: int) -> str:
    """Return the case of so many ledgers."""
    return f"round of {ledgers:,} ledgers"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    few, many = map(of, plan.ledgers)
    what = "sweep of the ledger"
    return [
        Target("ledgers", f"CPU for each ledger: {many} / {few}", "<=", 1.2, SCENARIO, (many, _EACH), (few, _EACH)),
        Target("ledgers-memory", f"{what}, {many}: peak memory, MB", "<=", 200, SCENARIO, (many, _PEAK)),
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Compare few ledgers and many; nothing of the stack is asked."""
    contenders = {of(n): partial(run_once, "bench.ledgers", f"--ledgers={n}") for n in bench.plan.ledgers}
    await rounds(bench, SCENARIO, contenders, targets(bench.plan))


@dataclass(frozen=True, slots=True)
class _Tenant:
    """What is stored of a tenant that has opted in, and out again long ago, as JSON."""

    setting: str
    events: Sequence[str]
    deletion: str

    @classmethod
    async def make(cls, signer: LocalSigner, now: datetime) -> Self:
        at = now - timedelta(days=60)
        pinned: dict[str, Any] = {"geo": "europe", "storage_account": "stsweep", "started_at": at, "actor": "admin"}
        whose: dict[str, Any] = {"tenant_id": str(uuid.uuid4()), "enrollment_id": uuid.uuid4().hex}
        opt_in = OptedIn(**whose, **pinned, sequence=1, at=at, previous_hash=FIRST_PREVIOUS_HASH)
        ended = at + timedelta(days=1)
        deadline = deadlines.deletion_deadline(ended)
        opt_out = OptedOut(**whose, **pinned, sequence=2, at=ended, previous_hash=opt_in.hash, deadline=deadline)
        owed = Deletion.owed_for(opt_out)
        purged = owed.purged(owed.not_before, deleted=1)
        done = purged.verified(owed.not_before + timedelta(hours=1), opt_out, ())
        signed = done.signed(await signer.sign(done.receipt_claims))
        setting = Setting(tenant_id=whose["tenant_id"], sequence=2, ledger_hash=opt_out.hash, since=ended)
        return cls(
            _text(setting.to_json()), [_text(opt_in.to_json()), _text(opt_out.to_json())], _text(signed.to_json())
        )


def _text(members: Mapping[str, object]) -> str:
    return json.dumps(members)


@dataclass(frozen=True, slots=True)
class MadeUp:
    """So many tenants, one of a few behind another, by their number."""

    tenants: Sequence[_Tenant]
    number: int

    def after(self, tenant_id: str) -> range:
        """Return the numbers of those whose id comes after one."""
        return range(int(tenant_id[:8], 16) + 1 if tenant_id else 0, self.number)

    def at(self, number: int) -> tuple[str, _Tenant]:
        """Return a tenant and its id."""
        return f"{number:08x}-0000-4000-8000-000000000000", self.tenants[number % len(self.tenants)]


class MadeUpLedger(MemoryLedger):
    """Their ledgers."""

    def __init__(self, made_up: MadeUp) -> None:
        """Hold them."""
        super().__init__()
        self._made_up = made_up

    async def ledgers(self, after: str, *, at_most: int) -> AsyncIterator[TenantLedger]:
        """See ``LedgerStore``."""
        for number in self._made_up.after(after):
            tenant_id, tenant = self._made_up.at(number)
            events = [event_from_json(json.loads(event)) for event in tenant.events]
            yield TenantLedger(tenant_id, Setting.from_json(json.loads(tenant.setting)), events)


class MadeUpDeletions(MemoryDeletions):
    """Their deletions."""

    def __init__(self, made_up: MadeUp) -> None:
        """Hold them."""
        super().__init__()
        self._made_up = made_up

    async def tenants(self, after: str, *, at_most: int) -> AsyncIterator[TenantDeletions]:
        """See ``DeletionStore``."""
        for number in self._made_up.after(after):
            tenant_id, tenant = self._made_up.at(number)
            yield TenantDeletions(tenant_id, [Stored(Deletion.from_json(json.loads(tenant.deletion)), "etag")])


async def _sweep(ledgers: int) -> Mapping[str, float]:
    """Sweep, run after run as the timer would, until the round is over.

    Raises:
        BenchError: if it has not compared all ledgers, or found anything.
    """
    now = datetime.now(UTC)
    signer = LocalSigner([ECKey.generate_key("P-256")])
    made_up = MadeUp([await _Tenant.make(signer, now) for _ in range(min(_MADE, ledgers))], ledgers)
    store, operations = MemoryCaptures("stsweep"), MemoryOperations()
    store.receive_container(deployment_container(_DEPLOYMENT))
    operations.deployment = _DEPLOYMENT
    accounts = Accounts([Account("europe", store, RETENTION_DAYS)], RETENTION_DAYS)
    pairing = Pairing(operations, lambda: "")
    seconds, used = list[float](), time.process_time()
    while True:
        began = time.monotonic()
        sweep = Sweep(
            accounts, pairing, MadeUpLedger(made_up), MadeUpDeletions(made_up), operations, signer, SystemClock()
        )
        heartbeat = (await sweep.run())[None]
        seconds.append(time.monotonic() - began)
        if heartbeat.cursor is None or heartbeat.outcome == "failed":
            break
    counts = dict(heartbeat.counts)
    if heartbeat.outcome != "done" or counts != {"ledgers": ledgers}:
        raise BenchError(f"the sweep is {heartbeat.outcome} with {counts}")
    cpu = time.process_time() - used
    return {
        "ledgers": ledgers,
        "runs": len(seconds),
        "longest run s": max(seconds),
        "CPU s": cpu,
        _EACH: 1000 * cpu / ledgers,
        _PEAK: peak_megabytes(),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledgers", description=__doc__)
    parser.add_argument("--ledgers", type=int, default=20_000)
    print(json.dumps(asyncio.run(_sweep(parser.parse_args().ledgers))))


if __name__ == "__main__":
    main()
