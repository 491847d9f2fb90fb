"""One run of a timer's job: its bound in time, what it counts, and failures that stay where they happen."""

import logging
from collections import Counter
from collections.abc import Awaitable

from shared.accounts import Account
from shared.clock import Clock
from shared.model.heartbeats import Heartbeat, Job
from shared.ports import StoreUnavailable

_log = logging.getLogger(__name__)


class Run:
    """What one run, in one geo or on the ledger, has done so far.

    Attributes:
        started_at: when it began.
        counts: what it did, by kind.
        errors: the codes of what failed, in order.
        more: whether it stopped at its bounds, so that the next run has to go on.
    """

    def __init__(self, kind: Job, clock: Clock, seconds: float) -> None:
        """Begin a run.

        Args:
            kind: the job's name, for the log.
            clock: time.
            seconds: no new work is begun this long after now.
        """
        self._kind = kind
        self._clock = clock
        self._ends_at = clock.monotonic() + seconds
        self.started_at = clock.now()
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.more = False

    def out_of_time(self) -> bool:
        """Tell whether no new work may begin; then there is more for the next run."""
        if self._clock.monotonic() >= self._ends_at:
            self.more = True
            return True
        return False

    def note(self, code: str) -> None:
        """Count a failure."""
        _log.warning("%s: %s", self._kind, code)
        self.errors.append(code)
        self.counts["failures"] += 1

    def heartbeat(self, account: Account | None, *, more: bool) -> Heartbeat:
        """Return what the run has come to, if it ends now.

        Args:
            account: where it ran; None for the ledger.
            more: whether the next run has to go on with what this one has left.
        """
        return Heartbeat(
            kind=self._kind,
            geo=None if account is None else account.geo,
            storage_account=None if account is None else account.name,
            started_at=self.started_at,
            at=self._clock.now(),
            outcome="failed" if self.errors else "more" if more else "done",
            error=self.errors[0] if self.errors else None,
            counts=dict(self.counts),
        )

    async def isolated(self, work: Awaitable[None]) -> None:
        """Carry out work whose failure must not keep other work from being done; it is noted."""
        try:
            await work
        except StoreUnavailable as error:
            self.note(error.code)
        except Exception as error:  # an error of ours in one geo must not keep the others from their deadlines
            _log.error("%s failed unexpectedly: %s", self._kind, type(error).__name__)
            self.note("unexpected")
