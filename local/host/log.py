"""Logging to standard error without customer content: no exception messages, bodies, queries or headers (P8)."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

from local.host.clock import MovableClock


def where(error: BaseException) -> str:
    """Return the type of ``error`` and its stack as file, line and function; its message may hold content (P8)."""
    frames = traceback.extract_tb(error.__traceback__)
    stack = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    kind = f"{type(error).__name__} at {stack or 'no frame'}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return kind if cause is None else f"{kind}; after {where(cause)}"


class _ContentFree(logging.Formatter):
    """One line per record, with real time and the stack's; a traceback keeps its places and loses its messages."""

    def __init__(self, clock: MovableClock) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._clock = clock

    def formatTime(  # noqa: N802 - the name is logging's
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        times = (datetime.fromtimestamp(record.created, UTC), self._clock.at(record.created))
        real, moved = (time.isoformat(timespec="milliseconds").replace("+00:00", "Z") for time in times)
        return f"{real} stack={moved}"

    def formatException(  # noqa: N802 - the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return where(ei[1]) if ei[1] is not None else ""


def to_stderr(clock: MovableClock) -> None:
    """Send the host's and the app's records from INFO to standard error; what is quieter than that is the app's to say.

    Each says the machine's time, and ``clock``'s.

    aiohttp's access log has query strings and is never switched on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ContentFree(clock))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # It warns once per attempt while Cosmos DB is away; the change feed says so itself, less often.
    logging.getLogger("azure.cosmos.LocationCache").setLevel(logging.ERROR)
