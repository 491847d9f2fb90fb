"""One way round all that a sweep looks at, in one geo or on the ledger; it may take several runs."""

from collections import Counter

from shared.clock import Clock
from shared.model.heartbeats import Heartbeat
from shared.ports import OperationStore
from shared.runs import Run


class Round:
    """What the round that is under way has come to, so far and in this run.

    Attributes:
        run: the run that is under way.
        cursor: where to go on; None at the start and at the end.
        repairs: how many containers this run has deleted.
        heartbeat: as last reported.
    """

    heartbeat: Heartbeat

    def __init__(
        self,
        run: Run,
        last: Heartbeat | None,
        *,
        geo: str | None,
        account: str | None,
        operations: OperationStore,
        clock: Clock,
    ) -> None:
        """Go on where the last run stopped, or begin anew.

        Args:
            run: the run that begins.
            last: the last run's heartbeat, if there was one.
            geo: the geo, or None for the ledger.
            account: the geo's storage account, or None for the ledger.
            operations: where heartbeats are kept.
            clock: time.
        """
        self.run = run
        self.cursor = last.cursor if last else None
        self.repairs = 0
        self._geo, self._account = geo, account
        self._operations, self._clock = operations, clock
        self._totals = Counter((last and last.totals) or {})
        self._counts = Counter(last.counts if last and last.cursor else {})
        if last is None:
            self._previous = None
        else:
            self._previous = last.previous_counts if last.cursor else last.counts

    async def report(self) -> None:
        """Keep what the round has come to by now; a failure to do so is noted."""
        self.heartbeat = Heartbeat(
            kind="sweep",
            geo=self._geo,
            storage_account=self._account,
            started_at=self.run.started_at,
            at=self._clock.now(),
            outcome="failed" if self.run.errors else "more" if self.cursor else "done",
            error=self.run.error,
            counts=self._counts + self.run.counts,
            previous_counts=self._previous,
            totals=self._totals + self.run.counts,
            cursor=self.cursor,
        )
        await self.run.isolated(self._operations.write(self.heartbeat))
