"""The sweep: ledger, deletions and storage compared, and what was lost repaired (P9, decision D2)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from shared.accounts import Accounts
from shared.clock import Clock
from shared.model.heartbeats import Heartbeat
from shared.ports import DeletionStore, LedgerStore, OperationStore
from shared.runs import Run
from shared.sweep.ledger import LedgerSweep
from shared.sweep.rounds import Round
from shared.sweep.storage import StorageSweep


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run may do on the ledger and in each geo; the next run goes on where it stopped.

    Attributes:
        seconds: no new work is begun this long after the start.
        tenants: ledgers compared.
        repairs: containers deleted in each geo.
    """

    seconds: float = 200.0
    tenants: int = 100_000
    repairs: int = 1_000


class Sweep:
    """Compares every tenant's ledger with itself and its deletions, and every served account with the ledger.

    It believes nothing that the feed or the purge say of themselves. Ledger and geos are swept side by side and
    isolated: what fails in one delays no other. Where a run stopped at its bounds is kept in its heartbeat.
    """

    def __init__(
        self,
        accounts: Accounts,
        ledger: LedgerStore,
        deletions: DeletionStore,
        operations: OperationStore,
        clock: Clock,
        bounds: Bounds | None = None,
    ) -> None:
        self._accounts = accounts
        self._operations = operations
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._ledger_sweep = LedgerSweep(ledger, deletions, clock, self._bounds.tenants)
        self._storage_sweeps = {
            account.geo: StorageSweep(account, ledger, deletions, clock, self._bounds.repairs) for account in accounts
        }

    async def run(self) -> Mapping[str | None, Heartbeat]:
        """Sweep the ledger and all served geos; return the heartbeat of each, the ledger's under None.

        Raises:
            StoreUnavailable: if not even the last heartbeats can be read; what fails later is told and not raised.
        """
        last = await self._operations.read_all("sweep")
        on_ledger = self._round(None, None, last.get(None))
        in_geos = {each.geo: self._round(each.geo, each.name, last.get(each.geo)) for each in self._accounts}
        await asyncio.gather(
            self._ledger_sweep.sweep(on_ledger),
            *(self._storage_sweeps[geo].sweep(each) for geo, each in in_geos.items()),
        )
        return {None: on_ledger.heartbeat, **{geo: each.heartbeat for geo, each in in_geos.items()}}

    def _round(self, geo: str | None, account: str | None, last: Heartbeat | None) -> Round:
        run = Run("sweep", self._clock, self._bounds.seconds)
        return Round(run, last, geo=geo, account=account, operations=self._operations, clock=self._clock)
