"""Storage accounts that were served and are configured no more, though they are not empty (D20)."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.accounts import Accounts
from shared.clock import Clock
from shared.model.findings import Notable
from shared.model.heartbeats import Heartbeat, believable
from shared.model.items import STORAGE_ACCOUNT
from shared.ports import DeletionStore, LedgerStore, OperationStore
from shared.problems import Unavailable
from shared.shared_reads import SharedReads
from shared.unscheduled import believed, looked_up

_AGAIN_SECONDS = 10.0
_SERVED_WITHIN = timedelta(minutes=15)

_log = logging.getLogger(__name__)


class Abandoned:
    """Looks for them once, when a process starts, and again only while there are some.

    Nobody purges such an account, and nobody would notice: whose data is in it, its deadlines are missed. So the
    service takes neither captures nor opt-ins until it is configured again, and tells operators. The jobs go on in all
    other accounts.
    """

    def __init__(
        self,
        accounts: Accounts,
        ledger: LedgerStore,
        deletions: DeletionStore,
        operations: OperationStore,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._deletions = deletions
        self._operations = operations
        self._clock = clock
        self._none = False
        self._refused_until = float("-inf")
        self._look = SharedReads[None, None](self._look_now)

    async def refuse(self) -> None:
        """Go on if there are none; once that is known nothing is read any more, and until then requests share a look.

        Raises:
            Unavailable: if there are some; the log names them.
            StoreUnavailable: if that cannot be read; then the next request looks again.
        """
        if not self._none:
            await self._look(None)

    async def among(
        self, purges: Mapping[str | None, Heartbeat | None], sweeps: Mapping[str | None, Heartbeat | None]
    ) -> Sequence[str]:
        """Return the names of those that the last heartbeats of purge and sweep, by account and believable, tell of.

        Raises:
            StoreUnavailable: if it cannot be read whether one is empty.
        """
        now, served = self._clock.now(), {account.name for account in self._accounts}
        found = []
        for name in sorted(name for name in {*purges, *sweeps} if name is not None and name not in served):
            # What somebody else has written there under another name than ours is counted as unreadable, and no more.
            if not STORAGE_ACCOUNT.fullmatch(name) or self._is_elsewhere(purges.get(name), now):
                continue
            if not await self._is_empty(name, sweeps.get(name), sweeps.get(None), now):
                found.append(name)
        return found

    async def _look_now(self, _: None) -> None:
        if self._clock.monotonic() >= self._refused_until:
            purges, sweeps = await self._operations.read_all("purge"), await self._operations.read_all("sweep")
            now = self._clock.now()
            found = await self.among(believable(purges, now), believable(sweeps, now))
            if not found:
                self._none = True
                return
            self._refused_until = self._clock.monotonic() + _AGAIN_SECONDS
            for name in found:
                _log.error("account-abandoned: %s is not configured and not empty", name)
        raise Unavailable(Unavailable.NOT_READY)

    def _is_elsewhere(self, last_purge: Heartbeat | None, now: datetime) -> bool:
        """Tell whether another deployment on this ledger serves an account, as its heartbeat shows."""
        if last_purge is None or last_purge.geo not in self._accounts.elsewhere:
            return False
        return now - last_purge.at <= _SERVED_WITHIN

    async def _is_empty(
        self, name: str, sweep: Heartbeat | None, ledger_sweep: Heartbeat | None, now: datetime
    ) -> bool:
        if sweep is None or sweep.outcome == "failed" or any(map(_containers, sweep.rounds)):
            return False
        if not sweep.saw_everything:
            return False
        # In the order in which an enrollment ends, is given its deletion and is deleted: else one that goes on
        # meanwhile would be seen by none of these.
        if await self._ledger.has_enrollment_in(name) or await self._lacks_deletion(name, ledger_sweep):
            return False
        return not (await self._deletions.counts(name, now)).pending

    async def _lacks_deletion(self, name: str, ledger_sweep: Heartbeat | None) -> bool:
        """Tell whether an opt-out there has no deletion yet; what nobody understands is for the status to tell."""
        last_commit = await self._ledger.last_commit()
        if last_commit is None:
            return False
        since = believed(ledger_sweep.scheduled_until if ledger_sweep else None, last_commit)
        async for each in looked_up(self._ledger, self._deletions, since):
            event = each.opt_out.event
            if event is not None and event.storage_account == name and not each.scheduled:
                return True
        return False


def _containers(counts: Mapping[str, int]) -> int:
    return counts.get("containers", 0) - counts.get(Notable.FOREIGN_CONTAINER, 0)
