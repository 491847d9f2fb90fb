"""Logging to standard error without customer content: no exception messages, bodies, queries or headers (P8)."""

import logging
import sys
import time
import traceback
from types import TracebackType


def where(error: BaseException) -> str:
    """Return the type of ``error`` and its stack as file, line and function; its message may hold content (P8)."""
    frames = traceback.extract_tb(error.__traceback__)
    stack = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    kind = f"{type(error).__name__} at {stack or 'no frame'}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return kind if cause is None else f"{kind}; after {where(cause)}"


class _ContentFree(logging.Formatter):
    """One line per record, real time in UTC; a traceback keeps its places and loses its messages."""

    converter = time.gmtime  # type: ignore[assignment]  # typeshed forgets the optional argument
    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def formatException(  # noqa: N802 - the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return where(ei[1]) if ei[1] is not None else ""


def to_stderr() -> None:
    """Send the host's and the app's records from INFO to standard error; what is quieter than that is the app's to say.

    aiohttp's access log has query strings and is never switched on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ContentFree("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # It warns once per attempt while Cosmos DB is away; the change feed says so itself, less often.
    logging.getLogger("azure.cosmos.LocationCache").setLevel(logging.ERROR)
