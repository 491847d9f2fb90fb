"""Logs: each record one line of JSON that says in which request it was written, and never content (P8)."""

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_RENDERED = "_rendered_as_json"
# The host's and the worker's own, which they read again, and which have a form of their own.
_NOT_OURS = ("azure.functions", "azure_functions_worker", "azure_functions_runtime", "proxy_worker", "local")


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
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    told = f"{type(error).__name__} at {' < '.join(reversed(places)) or 'no frame'}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told if cause is None else f"{told}; after {where(cause)}"


def as_json() -> None:
    """Make every record's message one line of JSON, from now on and in this process; a second call changes nothing.

    By the factory of records, because nothing else is in one place here: the Functions worker and the local host each
    have a handler at the root that must stay, with a formatter of their own, the worker's is not ours to replace, and
    a filter sees only what its own logger or handler gets. So what a handler receives is already the line, and all that
    a formatter can still add is what stands around it.

    Named arguments become members: ``_log.info("purged %(days)d", {"days": 3})``.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, _RENDERED, False):
        return

    def make_rendered(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if not any(record.name == name or record.name.startswith(f"{name}.") for name in _NOT_OURS):
            _render(record)
        return record

    setattr(make_rendered, _RENDERED, True)
    logging.setLogRecordFactory(make_rendered)


def _render(record: logging.LogRecord) -> None:
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
        **_members(_current.get()),
    }
    if record.exc_info and record.exc_info[1] is not None:
        line["exception"] = where(record.exc_info[1])
    named = record.args if isinstance(record.args, Mapping) else {}
    line = {**named, **line}  # no argument can pose as one of ours
    # ASCII alone leaves no terminal and no viewer anything to interpret: JSON escapes what is below a space and this
    # what is beyond ASCII, with C1 and the line separators of Unicode; DEL is the one control character between.
    record.msg = json.dumps(line, ensure_ascii=True, default=_kind).replace("\x7f", "\\u007f")
    # A formatter would append the traceback, with the message and on more lines.
    record.args, record.exc_info, record.exc_text, record.stack_info = None, None, None, None


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a record must not raise where it is written; handlers forgive the same
        return str(record.msg)


def _members(request: Request | None) -> dict[str, str]:
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


def _kind(value: object) -> str:
    return type(value).__name__
