"""By which ``RETENTION_DAYS`` instances live, and lived: a deploy changes it while two versions run side by side.

The promise then, day by day (P4): a day is gone by its deadline under the longest setting that any living instance
has, since each may be the one whose timer ticks. Made shorter, it holds for days that are past the new deadline already
from six hours after the last old instance ended: the time that a purge has anyway. Made longer, it holds for all days
that are still stored. No day is deleted before its purge would begin under the shortest setting of an instance that
lived a moment ago. And a batch is answered with the deadline of one of the settings that its request may have met.
"""

from collections.abc import Callable
from dataclasses import dataclass

PURGE_LEAD = 6 * 3600.0
_A_MOMENT = 60.0


@dataclass(frozen=True, slots=True)
class _Span:
    since: float
    days: frozenset[int]


class Retention:
    """The settings that living instances have, over true time in seconds."""

    def __init__(self, days: int, time: Callable[[], float]) -> None:
        self._time = time
        self._spans = [_Span(0.0, frozenset({days}))]

    def deploying(self, days: int) -> None:
        """Instances with another setting begin to run beside those that there are."""
        self._spans.append(_Span(self._time(), self._spans[-1].days | {days}))

    def deployed(self, days: int) -> None:
        """The last instance with another setting has ended."""
        self._spans.append(_Span(self._time(), frozenset({days})))

    def since(self, at: float) -> frozenset[int]:
        """Return all settings that an instance had at any time from ``at`` on."""
        ends = [*(span.since for span in self._spans[1:]), float("inf")]
        return frozenset[int]().union(*(span.days for span, end in zip(self._spans, ends, strict=True) if end >= at))

    def longest_since(self, at: float) -> int:
        """Return the longest of ``since``."""
        return max(self.since(at))

    def deadline(self, midnight: float) -> float:
        """Return when nothing of the day that began at ``midnight`` may be stored."""
        span = self._spans[-1]
        settled = midnight + max(span.days) * 86400.0
        longest = max(max(each.days) for each in self._spans)
        if len(self._spans) == 1 or longest == max(span.days):
            return settled
        return max(settled, min(midnight + longest * 86400.0, span.since + PURGE_LEAD))

    def begins(self, midnight: float) -> float:
        """Return when the day's purge may begin."""
        return midnight + min(self.since(self._time() - _A_MOMENT)) * 86400.0 - PURGE_LEAD
