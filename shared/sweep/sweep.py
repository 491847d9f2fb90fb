"""The sweep: ledger, deletions and storage compared, and what was lost repaired (P9, decision D2)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from shared.accounts import Account, Accounts
from shared.clock import Clock
from shared.model.heartbeats import Heartbeat, believable
from shared.pairing import Pairing
from shared.ports import DeletionStore, LedgerStore, OperationStore, ReceiptSigner
from shared.runs import LOOK_BACK_SECONDS, Run
from shared.sweep.ledger import LedgerSweep
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import SignedReceipts
from shared.sweep.rounds import Round
from shared.sweep.storage import StorageSweep


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run may do on the ledger and in each account; the next run goes on where it stopped.

    Attributes:
        seconds: no new work is begun this long after the start.
        max_ledgers: ledgers compared.
        max_deletes: containers deleted in each account.
    """

    seconds: float = 200.0
    max_ledgers: int = 100_000
    max_deletes: int = 1_000


class Sweep:
    """Compares every tenant's ledger with itself and its deletions, and every served account with the ledger.

    It believes nothing that the feed or the purge say of themselves. Ledger and accounts are swept side by side and
    isolated: what fails in one delays no other. Where a run stopped at its bounds is kept in its heartbeat.
    """

    def __init__(
        self,
        accounts: Accounts,
        pairing: Pairing,
        ledger: LedgerStore,
        deletions: DeletionStore,
        operations: OperationStore,
        signer: ReceiptSigner,
        clock: Clock,
        bounds: Bounds | None = None,
    ) -> None:
        self._accounts = accounts
        self._pairing = pairing
        self._ledger = ledger
        self._deletions = deletions
        self._operations = operations
        self._signer = signer
        self._clock = clock
        self._bounds = bounds or Bounds()

    async def run(self) -> Mapping[str | None, Heartbeat]:
        """Sweep the ledger and all served accounts; return the heartbeat of each, the ledger's under None.

        Raises:
            StoreUnavailable: if not even the last heartbeats can be read; what fails later is told and not raised.
        """
        with Run("sweep", self._clock, LOOK_BACK_SECONDS).under_way():
            last = believable(await self._operations.read_all("sweep"), self._clock.now())
        receipts = SignedReceipts(self._signer, self._clock)
        reappearances = Reappearances(self._ledger)
        on_ledger = LedgerSweep(
            self._round(None, last),
            self._ledger,
            self._deletions,
            receipts,
            reappearances,
            self._clock,
            self._bounds.max_ledgers,
        )
        in_accounts = {
            account.name: StorageSweep(
                self._round(account, last),
                account,
                self._pairing,
                self._ledger,
                self._deletions,
                receipts,
                reappearances,
                self._clock,
                self._bounds.max_deletes,
            )
            for account in self._accounts
        }
        await asyncio.gather(on_ledger.run(), *(sweep.run() for sweep in in_accounts.values()))
        return {None: on_ledger.round.heartbeat} | {name: sweep.round.heartbeat for name, sweep in in_accounts.items()}

    def _round(self, account: Account | None, last: Mapping[str | None, Heartbeat | None]) -> Round:
        run = Run("sweep", self._clock, self._bounds.seconds)
        name = None if account is None else account.name
        return Round(run, last.get(name), account=account, operations=self._operations)
