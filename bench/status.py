"""The status, and the hourly search for lost opt-outs, with few and with many tenants who opted out long ago.

Each number of tenants has a local Cosmos DB of its own, whose file is filled before it starts. Equally many opt-outs
are of the last hour and have a deletion that is not due yet.
"""

import base64
import secrets
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from bench.plan import Plan
from bench.processes import cpu_seconds
from bench.results import BenchError
from bench.rounds import rounds
from bench.scenario import GEO, Bench, pid
from bench.targets import Target
from local.azurite import account_name
from local.cosmos import partition_key
from local.cosmos.database import Database
from local.cosmos.items import Writer, writing
from local.ports import free_ports
from local.process import Process
from local.stack import Stack
from shared.bootstrap import Services, connect
from shared.clock import SystemClock
from shared.configuration import Configuration
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import FIRST_PREVIOUS_HASH, OptedOut, Setting
from shared.ports import Committed
from shared.runs import Run
from shared.stores.cosmos.account import DATABASE, CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from shared.stores.cosmos.operations import CosmosOperations
from shared.stores.cosmos.schema import CONTAINERS
from shared.sweep.opt_outs import OptOutSearch
from shared.sweep.rounds import Round

SCENARIO = "status"
RECENT = 100
"""Opt-outs of the last hour."""

_SECONDS = "seconds"
_WAITED = timedelta(days=60)


def of(ended: int) -> str:
    """Return the case of the status with so many finished opt-outs."""
    return f"status, {ended:,} finished opt-outs"


def search(ended: int) -> str:
    """Return the case of the search with so many tenants."""
    return f"search for lost opt-outs, {ended:,} finished ones"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    few, many = plan.ended
    among = f"with {many:,} finished opt-outs / with {few:,}, equally many pending"
    return [
        Target("status", f"time: status {among}", "<=", 1.5, SCENARIO, (of(many), _SECONDS), (of(few), _SECONDS)),
        Target(
            "search",
            f"time: search for lost opt-outs {among}",
            "<=",
            1.5,
            SCENARIO,
            (search(many), _SECONDS),
            (search(few), _SECONDS),
        ),
    ]


async def measure(bench: Bench, stack: Stack) -> None:
    """Fill a database for each number of tenants, and let the same rules look at each."""
    async with AsyncExitStack() as running:
        looks = {}
        for ended in bench.plan.ended:
            bench.say(f"  filling Cosmos DB with {ended:,} finished opt-outs")
            file = bench.directory / f"{ended}.sqlite"
            filled_at = fill(file, ended)
            looks[ended] = await Looks.connect(running, bench, stack, file, filled_at)
            await looks[ended].status()  # connects
            await looks[ended].search()
        statuses = {of(ended): each.status for ended, each in looks.items()}
        searches = {search(ended): each.search for ended, each in looks.items()}
        await rounds(bench, SCENARIO, statuses, targets(bench.plan))
        await rounds(bench, SCENARIO, searches, targets(bench.plan))


class _CountingLedger(CosmosLedger):
    """Counts the opt-outs that it returns by the time of their commit."""

    read = 0

    async def opt_outs_committed(self, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        """See ``LedgerStore``."""
        async for each in super().opt_outs_committed(since, before):
            self.read += 1
            yield each


@dataclass(frozen=True, slots=True)
class Looks:
    """What looks at one database.

    Attributes:
        cosmos: the database's process.
        services: with the service's own adapters.
        account: the same database.
        ledger: its ledger.
        heartbeat: of the last sweep of the ledger.
    """

    cosmos: Process
    services: Services
    account: CosmosAccount
    ledger: _CountingLedger
    heartbeat: Heartbeat

    @classmethod
    async def connect(
        cls, running: AsyncExitStack, bench: Bench, stack: Stack, file: Path, filled_at: datetime
    ) -> Self:
        """Run a Cosmos DB on a file, until ``running`` ends; its ledger was swept an hour before it was filled."""
        key, [port] = base64.b64encode(secrets.token_bytes(32)).decode(), free_ports(1)
        arguments = [f"--port={port}", f"--data={file}", f"--key={key}", "--exit-with-stdin"]
        cosmos = Process(
            f"cosmos of {file.stem}",
            [sys.executable, "-m", "local.cosmos", *arguments],
            port=port,
            log=bench.directory / f"{file.stem}.log",
            environment={},
            ready="/",
        )
        running.push_async_callback(cosmos.stop)
        await cosmos.start()
        connection = f"AccountEndpoint={cosmos.url}/;AccountKey={key};"
        settings = {**stack.app_settings, "COSMOS_CONNECTION": connection}
        services = connect(Configuration.read(settings), SystemClock())
        account = CosmosAccount.connect(connection, None)
        for close in (*services.closers, account.close):
            running.push_async_callback(close)
        heartbeat = Heartbeat(
            kind="sweep",
            started_at=filled_at,
            at=filled_at,
            outcome="done",
            counts={},
            scheduled_until=int((filled_at - timedelta(hours=1)).timestamp()),
        )
        await CosmosOperations(account).write(heartbeat, None)
        return cls(cosmos, services, account, _CountingLedger(account), heartbeat)

    async def status(self) -> Mapping[str, float]:
        """Tell the status, as ``GET /status`` does."""

        async def tell() -> Mapping[str, float]:
            report = await self.services.status.report()
            [here] = report.accounts.values()
            if here.deletions is None or here.deletions.pending != RECENT or report.overdue_deletions:
                raise BenchError(f"the status has {here.deletions} and {report.overdue_deletions} overdue deletions")
            return {}

        return await self._timed(tell)

    async def search(self) -> Mapping[str, float]:
        """Search for lost opt-outs, as each sweep does first."""
        clock, account = self.services.clock, self.account

        async def find() -> Mapping[str, float]:
            run, before = Run("sweep", clock, 200.0), self.ledger.read
            under_way = Round(run, self.heartbeat, account=None, operations=CosmosOperations(account))
            await OptOutSearch(under_way, self.ledger, CosmosDeletions(account), clock).run()
            read = self.ledger.read - before
            if run.errors or run.counts or read < RECENT:
                raise BenchError(f"the search read {read} opt-outs: {run.errors}, {dict(run.counts)}")
            return {"opt-outs read": read}

        return await self._timed(find)

    async def _timed(self, look: Callable[[], Awaitable[Mapping[str, float]]]) -> Mapping[str, float]:
        pids = {"Cosmos DB CPU s": pid(self.cosmos)}
        before, started = cpu_seconds(pids), time.perf_counter()
        told = await look()
        seconds = time.perf_counter() - started
        return {_SECONDS: seconds, **{name: used - before[name] for name, used in cpu_seconds(pids).items()}, **told}


def fill(file: Path, ended: int) -> datetime:
    """Make the file of a Cosmos DB with the ledgers and deletions of so many tenants, and ``RECENT`` more.

    Returns:
        the time that it took for now.
    """
    now = datetime.now(UTC)
    database = Database(file)
    try:
        database.create_database({"id": DATABASE})
        for name, schema in CONTAINERS.items():
            keyed = {"paths": [schema.partition_key], "kind": "Hash"}
            database.create_container(
                DATABASE, {"id": name, "partitionKey": keyed, "indexingPolicy": schema.indexing_policy}
            )
        # One template for all: making each anew would take longer than writing it.
        _write(database, _ended(now - _WAITED), [now - _WAITED - timedelta(seconds=n) for n in range(ended)])
        _write(database, _opted_out(now), [now - timedelta(seconds=10 * n) for n in range(RECENT)])
        database.connection.execute("ANALYZE")  # or SQLite does not take its indexes for the better way
    finally:
        database.close()
    return now


@dataclass(frozen=True, slots=True)
class _Tenant:
    event: OptedOut
    deletion: Deletion


def _opted_out(at: datetime) -> _Tenant:
    event = OptedOut(
        tenant_id=str(uuid.UUID(int=0)),
        enrollment_id=uuid.uuid4().hex,
        geo=GEO,
        storage_account=account_name(GEO),
        started_at=at - timedelta(days=1),
        sequence=2,
        at=at,
        actor="bench",
        previous_hash=FIRST_PREVIOUS_HASH,
        deadline=deadlines.deletion_deadline(at),
    )
    return _Tenant(event, Deletion.owed_for(event))


def _ended(at: datetime) -> _Tenant:
    opted_out = _opted_out(at)
    looked = opted_out.deletion.not_before
    purged = opted_out.deletion.purged(looked, deleted=1)
    return _Tenant(opted_out.event, purged.verified(looked + timedelta(hours=1), opted_out.event, ()).signed("x" * 800))


def _write(database: Database, template: _Tenant, committed_at: Sequence[datetime]) -> None:
    """Write what there is of a tenant once for each time of a commit, in one transaction for each container."""
    event, deletion = template.event.to_json(), template.deletion.to_json()
    setting = Setting(tenant_id=template.event.tenant_id, sequence=2, ledger_hash=template.event.hash).to_json()
    tenants = [(str(uuid.uuid4()), uuid.uuid4().hex) for _ in committed_at]
    for name in ("tenants", "deletions"):
        container = database.container(DATABASE, name)
        with writing(database, container, "") as first:
            for at, (tenant_id, enrollment_id) in zip(committed_at, tenants, strict=True):
                database.clock = at.timestamp
                own = {"tenantId": tenant_id}
                of_enrollment = {**own, "enrollmentId": enrollment_id}
                writer = Writer(database, container, partition_key.from_document(own, container.key_path), first.lsn)
                if name == "tenants":
                    writer.create({"id": "setting", **setting, **own})
                    writer.create({"id": template.event.id, **event, **of_enrollment})
                else:
                    writer.create({"id": enrollment_id, **deletion, **of_enrollment})
