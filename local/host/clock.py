"""The machine's clock plus an offset, so that the 31st day of a promise comes when a developer asks for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.host.state import read, write
from shared.clock import SystemClock

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(3000, 1, 1, tzinfo=UTC)


class MovableClock(SystemClock):
    """A ``shared.clock.Clock`` whose wall time can be moved; ``monotonic`` and ``sleep`` stay real.

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

    def advance(self, by: timedelta) -> None:
        """Move the clock ``by`` this much, back if negative.

        Raises:
            ValueError: the new time lies outside the years 2000 to 2999.
        """
        try:
            offset = self._offset + by
            inside = _EARLIEST <= super().now() + offset < _LATEST
        except OverflowError:
            inside = False
        if not inside:
            raise ValueError("the clock cannot leave the years 2000 to 2999")
        write(self._file, {"offsetSeconds": offset.total_seconds()})
        self._offset = offset

    def move_to(self, now: datetime) -> None:
        """Make ``now`` (aware) the present; raises ``ValueError`` like ``advance``."""
        self.advance(now - self.now())
