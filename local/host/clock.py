"""The machine's clock plus an offset, so that the 31st day of a promise comes when a developer asks for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.host.state import read, write
from shared.clock import SystemClock

_LATEST = datetime(3000, 1, 1, tzinfo=UTC)
_JUST_NOW = timedelta(seconds=10)
"""Who asks for the time and sends it back means the present, which has gone on meanwhile."""


class MovableClock(SystemClock):
    """A ``shared.clock.Clock`` whose wall time can be moved on; ``monotonic`` and ``sleep`` stay real.

    It cannot be moved back: what was stored and signed meanwhile would lie in the future, which no promise covers.

    The offset is kept in ``directory``: a restarted host goes on at the moved time, and hosts started on one directory
    agree. A host that is already running is moved only through its own admin API.
    """

    def __init__(self, directory: Path) -> None:
        """Read the offset that an earlier host left in ``directory``, which must exist."""
        self._file = directory / "clock.json"
        self._offset = timedelta(seconds=(read(self._file) or {}).get("offsetSeconds", 0.0))

    def now(self) -> datetime:
        """Return the moved time, aware, in UTC."""
        return super().now() + self._offset

    def at(self, seconds: float) -> datetime:
        """Return what the clock as it stands would have shown at a time of the machine's, seconds since the epoch."""
        return datetime.fromtimestamp(seconds, UTC) + self._offset

    def advance(self, by: timedelta) -> None:
        """Move the clock on, ``by`` this much.

        Raises:
            ValueError: ``by`` is negative, or the new time lies beyond the year 2999.
        """
        if by < timedelta():
            raise ValueError("the clock cannot go back")
        try:
            offset = self._offset + by
            inside = super().now() + offset < _LATEST
        except OverflowError:
            inside = False
        if not inside:
            raise ValueError("the clock cannot go beyond the year 2999")
        write(self._file, {"offsetSeconds": offset.total_seconds()})
        self._offset = offset

    def move_to(self, now: datetime) -> None:
        """Make ``now`` (aware) the present, or change nothing if that was a moment ago; raises like ``advance``."""
        by = now - self.now()
        if by >= timedelta() or by < -_JUST_NOW:
            self.advance(by)
