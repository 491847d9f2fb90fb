"""The search for opt-outs that lack a deletion: the fast step of each sweep, however many tenants there are (P9)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.findings import Notable
from shared.ports import Committed, DeletionStore, LedgerStore
from shared.sweep.rounds import Round
from shared.unscheduled import believed, looked_up

_OVERLAP = 4 * 3600
"""Seconds before the last commit that are searched each time, whatever the watermark says.

More than the three hours within which what is lost must be found; so neither what became visible late nor a watermark
that somebody has moved can hide it.
"""


@dataclass(slots=True)
class _Searched:
    """What became of a range: up to which commit all is well, and whether something there was not, or was left over."""

    until: int
    held: bool = False
    whole: bool = False

    @property
    def done(self) -> bool:
        return self.whole and not self.held


@dataclass(frozen=True, slots=True)
class OptOutSearch:
    """Gives each opt-out that was committed since the last search its deletion, if the change feed has not.

    By the time at which the database says that it was written: the instant in the event may be hours older, since a
    process may be held up before it commits, and anybody may have edited it. The watermark, kept in the heartbeat, only
    moves past what was seen to have a deletion, and only to times that were read. So a search can be broken off, be
    repeated and overlap another one.

    Attributes:
        round: the ledger's, with the watermark.
        ledger: the ledgers.
        deletions: the deletions.
        clock: time.
    """

    round: Round
    ledger: LedgerStore
    deletions: DeletionStore
    clock: Clock

    async def run(self) -> None:
        """Search for at most half the time that the run has; a failure is noted, and what was settled is kept."""
        await self.round.run.isolated(self._search())

    async def _search(self) -> None:
        last_commit = await self.ledger.last_commit()
        if last_commit is None:
            return
        until, recent = believed(self.round.scheduled_until, last_commit), last_commit - _OVERLAP
        self.round.scheduled_until = until
        now, seconds = self.clock.monotonic(), self.round.run.seconds_left
        if until >= recent:
            onward = await self._range(until, None, ends=now + seconds / 2)
            again = await self._range(recent, until, ends=now + seconds / 2)
            self.round.scheduled_until = min(onward.until, again.until) if again.held else onward.until
            return
        # There is much to catch up with. What is lost now must be found within three hours all the same.
        onward = await self._range(recent, None, ends=now + seconds / 4)
        behind = await self._range(until, recent, ends=now + seconds / 2)
        self.round.scheduled_until = onward.until if behind.done else behind.until

    async def _range(self, since: int, before: int | None, *, ends: float) -> _Searched:
        """Search from one commit to before another, or for as long as there is time.

        Whatever ends it, what was settled by then stays settled.
        """
        searched = _Searched(since)
        left = ends - self.clock.monotonic()
        await self.round.run.isolated(self._search_through(searched, before, ends), seconds=left)
        return searched

    async def _search_through(self, searched: _Searched, before: int | None, ends: float) -> None:
        async for each in looked_up(self.ledger, self.deletions, searched.until, before):
            if self.clock.monotonic() >= ends:
                return
            if not searched.held:
                searched.until = each.opt_out.at
            searched.held = not (each.scheduled or await self._schedule(each.opt_out)) or searched.held
        searched.whole = True

    async def _schedule(self, opt_out: Committed) -> bool:
        """Create the deletion of an opt-out that has none; return whether there is one now."""
        event, run = opt_out.event, self.round.run
        if event is None:
            return False  # the slower round reports it, and the status tells it from what the watermark leaves
        if deadlines.is_fresh(datetime.fromtimestamp(opt_out.at, UTC), self.clock.now()):
            return False  # the change feed may be about to do it, and has lost nothing

        async def create() -> None:
            # False if another was quicker; whether it follows from the event is for the slower round.
            run.counts[Notable.DELETION_CREATED] += await self.deletions.create(Deletion.owed_for(event))

        return await run.isolated(create()) is None
