"""One way round all that a sweep looks at, in one account or on the ledger; it may take several runs."""

from collections import Counter

from shared.accounts import Account
from shared.model.findings import STANDING
from shared.model.heartbeats import Heartbeat
from shared.ports import OperationStore
from shared.runs import Run

_BEGIN = ""
"""The cursor of a round that has not come anywhere yet."""


class Round:
    """What the round that is under way has come to, so far and in this run.

    Attributes:
        run: the run that is under way.
        cursor: where to go on; None at the start and at the end.
        deleted: how many containers this run has deleted.
        scheduled_until: the ledger's watermark; see ``Heartbeat``.
        heartbeat: as last reported.
    """

    heartbeat: Heartbeat

    def __init__(
        self, run: Run, last: Heartbeat | None, *, account: Account | None, operations: OperationStore
    ) -> None:
        """Go on where the last run stopped, or begin anew.

        Args:
            run: the run that begins.
            last: the last run's heartbeat, if there was one.
            account: the account, or None for the ledger.
            operations: where heartbeats are kept.
        """
        self.run = run
        self.cursor = last.cursor if last else None
        self.deleted = 0
        self.scheduled_until = last.scheduled_until if last else None
        began = last.round_started_at if last and last.cursor is not None else None
        self._started_at = began or run.started_at
        self._account = account
        self._operations = operations
        self._totals_before = Counter((last and last.totals) or {})
        self._counts_before = Counter(last.counts if last and last.cursor is not None else {})
        if last is None:
            self._previous_counts = None
        else:
            self._previous_counts = last.counts if last.cursor is None else last.previous_counts

    def so_far(self, count: str) -> int:
        """Return what a count has come to in this round."""
        return self._counts_before[count] + self.run.counts[count]

    def forget(self, *counts: str) -> None:
        """Take back what the round has counted, because it is counted anew."""
        for count in counts:
            self._totals_before[count] -= self._counts_before.pop(count, 0)
            self.run.counts.pop(count, None)

    async def report(self) -> None:
        """Keep what the round has come to by now; a failure to do so is noted."""
        if self.cursor is None and self.run.cut_short:
            self.cursor = _BEGIN  # or what was not looked at would seem to be in order
        totals = self._totals_before + self.run.counts
        so_far = {
            "counts": dict(self._counts_before + self.run.counts),
            "previous_counts": self._previous_counts,
            "totals": {name: n for name, n in totals.items() if name not in STANDING},
            "cursor": self.cursor,
            "round_started_at": self._started_at,
            "scheduled_until": self.scheduled_until,
        }
        heartbeat = self.run.heartbeat(self._account, more=self.cursor is not None)
        self.heartbeat = heartbeat.model_copy(update=so_far)
        await self.run.tell(self._operations.write(self.heartbeat))
