"""One way round all that a sweep looks at, in one account or on the ledger; it may take several runs.

Two runs may be under way at a time, because one was held up for an hour. The heartbeat then goes on with the one that
wrote first; the other adds what it has found, and nothing else. So nothing that was found is lost, whoever writes last.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from shared import standing
from shared.accounts import Account
from shared.model.findings import FINDINGS, STANDING
from shared.model.heartbeats import Heartbeat, believable
from shared.ports import OperationStore
from shared.runs import Run

_BEGIN = ""
"""The cursor of a round that has not come anywhere yet."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A heartbeat that the run began from, or has sent; whether one was stored, it may not have been told.

    Attributes:
        heartbeat: the heartbeat; None if there was none to begin from.
        counts: what the run had counted by then.
        goes_on: whether this round goes on from it; if not, it is another run's with what this one had found.
    """

    heartbeat: Heartbeat | None
    counts: Mapping[str, int]
    goes_on: bool


class Round:
    """What the round that is under way has come to, so far and in this run.

    Attributes:
        run: the run that is under way.
        cursor: where to go on; None at the start and at the end.
        deleted: how many containers this run has deleted.
        scheduled_until: the ledger's watermark; see ``Heartbeat``.
        heartbeat: what this run alone would say, as last reported.
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
        self._told = [_Told(last, {}, goes_on=True)]
        """What may stand in the store, with what was last known to stand there at first."""
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

    async def put_on_record(self) -> bool:
        """Report in the midst of a round, and return whether what was found by now may be mended or deleted.

        Before that it has to be on record, or a run that is killed would leave no trace of it.
        """
        if self.cursor is None:
            self.cursor = _BEGIN  # or it would seem to be a whole round
        return await self.report()

    async def report(self) -> bool:
        """Keep what the round has come to by now; a failure to do so is noted.

        Returns:
            whether it is known to be kept.
        """
        if self.cursor is None and self.run.cut_short:
            self.cursor = _BEGIN  # or what was not looked at would seem to be in order
        self.heartbeat = self._so_far()
        last = partial(self._operations.last, self.heartbeat.kind, self.heartbeat.storage_account)
        kept = await self.run.tell(standing.put(last, self._operations.write, self._in_place_of))
        if kept:
            self._told = self._told[-1:]
        return kept

    def _so_far(self) -> Heartbeat:
        totals = self._totals_before + self.run.counts
        so_far = {
            "counts": dict(self._counts_before + self.run.counts),
            "previous_counts": self._previous_counts,
            "totals": {name: n for name, n in totals.items() if name not in STANDING},
            "cursor": self.cursor,
            "round_started_at": self._started_at,
            "scheduled_until": self.scheduled_until,
        }
        return self.run.heartbeat(self._account, more=self.cursor is not None).model_copy(update=so_far)

    def _in_place_of(self, stands: Heartbeat | None) -> Heartbeat | None:
        """Return what to write in place of what stands there; None if that says all that was found."""
        if stands is not None:
            stands = believable({None: stands}, self.run.now())[None]
        # By what it says, and not by when: the clocks of instances differ.
        known = None if stands is None else self._known(stands)
        if stands is not None and (known is None or not known.goes_on):
            # Another run's. What this one was last known to have told is in it: it began from that, or has added to it.
            more = _more(self.run.counts, (known or self._told[0]).counts)
            added = _with(stands, more)
            self._told.append(_Told(added, dict(self.run.counts), goes_on=False))
            return added if more else None
        if stands is not None and known is not None:
            self._take_in(stands, known)
        self.heartbeat = self._so_far()
        self._told.append(_Told(self.heartbeat, dict(self.run.counts), goes_on=True))
        return self.heartbeat

    def _known(self, stands: Heartbeat) -> _Told | None:
        """Return what of this run's stands there, with or without what others have found meanwhile."""
        for told in reversed(self._told):
            if told.heartbeat == stands:
                return told
        for told in reversed(self._told):
            if told.goes_on and told.heartbeat is not None and _uncounted(told.heartbeat) == _uncounted(stands):
                return told
        return None

    def _take_in(self, stands: Heartbeat, known: _Told) -> None:
        """Count what another run has added to a heartbeat of this one."""
        assert known.heartbeat is not None  # or it would not have been known by what stands there
        self._counts_before.update(_more(stands.counts, known.heartbeat.counts))
        self._totals_before.update(_more(stands.totals or {}, known.heartbeat.totals or {}))
        # Once: what stands there now is what the next report finds, if this one gets nowhere.
        at = self._told.index(known)
        self._told[at] = _Told(stands, known.counts, goes_on=True)


def _uncounted(heartbeat: Heartbeat) -> Heartbeat:
    return heartbeat.model_copy(update={"counts": {}, "totals": None})


def _more(now: Mapping[str, int], before: Mapping[str, int]) -> Mapping[str, int]:
    """Return how much more was found of what, by now than before."""
    more = {name: now.get(name, 0) - before.get(name, 0) for name in FINDINGS}
    return {name: n for name, n in more.items() if n > 0}


def _with(heartbeat: Heartbeat, more: Mapping[str, int]) -> Heartbeat:
    """Return a heartbeat to which is added what another run has found."""
    counts, totals = Counter(heartbeat.counts), Counter(heartbeat.totals or {})
    counts.update(more)
    totals.update(more)
    return heartbeat.model_copy(update={"counts": dict(counts), "totals": dict(totals)})
