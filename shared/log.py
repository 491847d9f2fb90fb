"""Logs: each record one line of JSON that says in which request it was written, and never content (P8)."""

import json
import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO

_TEXT_MAX = 4_000
_NAMED_MAX = 50
_FRAMES_MAX = 30
_CAUSES_MAX = 5
_NUMBER_END = 2**63

_RENDERED = "_rendered_as_json"
# Beginnings of loggers' names, each with a dot behind it.
_OURS = ("functions.", "shared.", "function_app.")
# The host's and the worker's own, which they read again, and which have a form of their own.
_NOT_OURS = ("azure.functions.", "azure_functions_worker.", "azure_functions_runtime.", "proxy_worker.", "local.")


@dataclass(frozen=True, slots=True)
class Request:
    """What every record of one request says of it.

    Attributes:
        operation: the function's name.
        correlation_id: the caller's or our own id for the request: letters, digits, ``.``, ``_`` and ``-``.
        trace_id: 32 hex digits of a W3C trace, or None.
        parent_id: the 16 hex digits of the caller's span in it, or None.
        tenant_id: the tenant in the path, a GUID in lower case, or None.
    """

    operation: str
    correlation_id: str
    trace_id: str | None = None
    parent_id: str | None = None
    tenant_id: str | None = None


_current: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def during(request: Request) -> Iterator[None]:
    """Let all records of this task, and of those that it starts meanwhile, be ``request``'s."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


def where(error: BaseException) -> str:
    """Return the type and the places of ``error`` and of what caused it; their messages may hold content (P8)."""
    told = list[str]()
    cause: BaseException | None = error
    while cause is not None and len(told) < _CAUSES_MAX:  # causes may go round in a circle
        frames = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(cause.__traceback__)]
        places = " < ".join(frames[: -_FRAMES_MAX - 1 : -1])
        told.append(f"{type(cause).__name__} at {places or 'no frame'}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "; after ".join(told)


def as_json() -> None:
    """Make every record's message one line of JSON, from now on and in this process; a second call changes nothing.

    By the factory of records, because nothing else is in one place here: the Functions worker and the local host each
    have a handler at the root that must stay, with a formatter of their own, the worker's is not ours to replace, and
    a filter sees only what its own logger or handler gets. So what a handler receives is already the line, and all that
    a formatter can still add is what stands around it.

    Named arguments become members: ``_log.info("purged %(days)d", {"days": 3})``. Nothing is raised, whatever they are.
    What libraries say may hold content, and so may warnings (P8): of theirs a line has the logger, the level, the place
    in the code and, of an exception, its type and places.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, _RENDERED, False):
        return

    def make_rendered(
        name: str, level: int, pathname: str, lineno: int, msg: object, args: Any, *more: Any, **others: Any
    ) -> logging.LogRecord:
        if _is_of(_NOT_OURS, name):
            return make(name, level, pathname, lineno, msg, args, *more, **others)
        # Without the arguments: already a look at them may raise.
        record = make(name, level, pathname, lineno, "", (), *more, **others)
        record.msg = _rendered(record, msg, args)
        # A formatter would append the traceback, with the message and on more lines.
        record.exc_info, record.exc_text, record.stack_info = None, None, None
        return record

    setattr(make_rendered, _RENDERED, True)
    for unsaid in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, unsaid, False)  # no line says it, and to find it out takes as long as the rest of a record
    logging.setLogRecordFactory(make_rendered)
    warnings.showwarning = _log_warning


def _is_of(loggers: tuple[str, ...], name: str) -> bool:
    return f"{name}.".startswith(loggers)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # Not by logging.captureWarnings, whose records are all of one place in the standard library.
    logger = logging.getLogger("py.warnings")
    logger.handle(logger.makeRecord(logger.name, logging.WARNING, filename, lineno, "", (), None, category.__name__))


def _rendered(record: logging.LogRecord, msg: object, args: Any) -> str:
    line = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname,
        "logger": record.name,
        **_members(_current.get()),
    }
    try:
        if _is_of(_OURS, record.name):
            line = {**_named(args), **line, "message": _message(msg, args)}  # no argument can pose as one of ours
        else:
            line["place"] = f"{record.pathname}:{record.lineno} {record.funcName}"
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = where(record.exc_info[1])
    except Exception:  # a record must not raise where it is written; handlers forgive the same
        line["message"] = "what was logged cannot be told"
    # ASCII alone leaves no terminal and no viewer anything to interpret: JSON escapes what is below a space and this
    # what is beyond ASCII, with C1 and the line separators of Unicode; DEL is the one control character between.
    return json.dumps(line, ensure_ascii=True).replace("\x7f", "\\u007f")


def _message(msg: object, args: Any) -> str:
    try:
        text = str(msg) % (args[0] if _is_named(args) else args) if args else str(msg)
    except Exception:
        text = msg if isinstance(msg, str) else type(msg).__name__
    return str(text[:_TEXT_MAX])


def _named(args: Any) -> dict[str, Any]:
    members = args[0].items() if _is_named(args) else ()
    return {str(_plain(name)): _plain(value) for name, value in islice(members, _NAMED_MAX)}


def _is_named(args: Any) -> bool:
    return len(args) == 1 and isinstance(args[0], Mapping)


def _plain(value: Any) -> Any:
    """Return what JSON has for ``value``, whatever it is; the type's name if it is more than a text or a number."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__getitem__(value, slice(_TEXT_MAX))
    if value is None or kind is bool or (kind in (int, float) and -_NUMBER_END < value < _NUMBER_END):
        return value  # neither NaN nor what has too many digits to be written
    return str(kind.__name__)


def _members(request: Request | None) -> dict[str, Any]:
    if request is None:
        return {}
    members = {
        "operation": request.operation,
        "correlationId": request.correlation_id,
        "traceId": request.trace_id,
        "parentId": request.parent_id,
        "tenantId": request.tenant_id,
    }
    return {name: value for name, value in members.items() if value is not None}
