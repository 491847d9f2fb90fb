"""Log lines (P8): one of JSON for each record, whoever writes and whatever is in it, and nothing that libraries say."""

import asyncio
import gc
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Never

import pytest

from shared import log

SECRET = "Herr Schneider, Rechnung 4711"
REQUEST = log.Request("captures", "id-1", tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30")
HOSTILE = {
    "line feed": "\n",
    "carriage return": "\r",
    "NUL": "\x00",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "DEL": "\x7f",
    "C1 control sequence introducer": "\x9b31m",
    "next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "lone surrogate": "\ud800",
    "quote and brace": '"}\n{"level":"INFO',
}


class Written:
    """The two ways in which a handler may make text of a record, each with its own stream."""

    def __init__(self) -> None:
        self.streams = [io.StringIO(), io.StringIO()]
        self.handlers = [logging.StreamHandler(stream) for stream in self.streams]
        self.handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))

    def line(self) -> dict[str, Any]:
        """Return the one line that was written; the second formatter may only put something before it."""
        [bare], [decorated] = (stream.getvalue().splitlines() for stream in self.streams)
        assert bare.isascii() and bare.isprintable()
        assert decorated.endswith(bare)
        line: dict[str, Any] = json.loads(bare)
        return line


@pytest.fixture
def written() -> Iterator[Written]:
    before = logging.getLogRecordFactory()
    log.as_json()
    written, root = Written(), logging.getLogger()
    for handler in written.handlers:
        root.addHandler(handler)
    yield written
    for handler in written.handlers:
        root.removeHandler(handler)
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("logger", ["functions.reviews", "shared.deletion.purge", "function_app"])
def test_whatever_we_log_is_one_line_of_printable_ascii(written: Written, logger: str, hostile: str) -> None:
    logging.getLogger(logger).error("before %s after", hostile)
    line = written.line()
    assert line["message"] == f"before {hostile} after"
    assert line["level"] == "ERROR"


class Raising:
    """Cannot be shown in any way, and lies about what it is."""

    def _raise(self, *_: object) -> Never:
        raise OSError(SECRET)

    __str__ = __repr__ = __format__ = __int__ = __len__ = __bool__ = __hash__ = _raise
    __class__ = property(_raise)


class RaisingMapping(Mapping[str, object]):
    def __getitem__(self, name: str) -> Never:
        raise OSError(SECRET)

    __len__ = __iter__ = __bool__ = __getitem__  # type: ignore[assignment]


class RaisingText(str):
    __slots__ = ()

    def __getitem__(self, which: object) -> Never:
        raise OSError(SECRET)

    __str__ = __iter__ = __len__ = __getitem__  # type: ignore[assignment]


class NamelessType(type):
    @property
    def __name__(self) -> Never:  # type: ignore[override]
        raise OSError(SECRET)


class Nameless(metaclass=NamelessType):
    pass


class LogsItself:
    def __str__(self) -> str:
        logging.getLogger("shared.deletion.purge").makeRecord("shared.x", logging.INFO, "", 1, self, (), None)
        return "told"


def cycle() -> list[Any]:
    round_about: list[Any] = []
    round_about.append({"again": round_about})
    return round_about


ARGUMENTS: dict[str, Callable[[], Any]] = {
    "set": lambda: {1, 2},
    "bytes": lambda: b"\xff",
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "more digits than Python writes": lambda: 10**5000,
    "cycle": cycle,
    "huge text": lambda: "x" * 5_000_000,
    "surrogates": lambda: "\udcff\ud800",
    "generator": lambda: (each for each in "ab"),
    "exception": lambda: ValueError(SECRET),
    "raises": Raising,
    "mapping that raises": RaisingMapping,
    "text that raises": lambda: RaisingText("text"),
    "type without a name": Nameless,
    "logs itself": LogsItself,
    "deeply nested": lambda: json.loads("[" * 900 + "]" * 900),
}


@pytest.mark.parametrize("make", ARGUMENTS.values(), ids=ARGUMENTS.keys())
@pytest.mark.parametrize(
    "way", ["message", "positional", "two", "number", "mapping", "in a mapping", "bytes key", "odd keys", "exc_info"]
)
@pytest.mark.parametrize("logger", ["shared.deletion.purge", "azure.core"])
def test_logging_never_raises_and_writes_one_line(
    written: Written, logger: str, way: str, make: Callable[[], Any]
) -> None:
    argument = make()
    message, arguments, exc_info = {
        "message": (argument, (), None),
        "positional": ("%s", (argument,), None),
        "two": ("%s %r", (argument, argument), None),
        "number": ("%d", (argument,), None),
        "mapping": ("%(x)s", (argument,), None),
        "in a mapping": ("%(x)s", ({"x": argument},), None),
        "bytes key": ("x", ({b"x": argument, "x": argument},), None),
        "odd keys": ("x", ({3: argument, None: argument, (1, 2): argument, "level": "forged"},), None),
        "exc_info": ("x", (), (type(argument), argument, None)),
    }[way]
    with log.during(REQUEST):
        logging.getLogger(logger).error(message, *arguments, exc_info=exc_info)
    line = written.line()
    assert (line["level"], line["logger"], line["correlationId"]) == ("ERROR", logger, "id-1")
    assert len(json.dumps(line)) < 60_000
    assert logger.startswith("shared") or SECRET not in json.dumps(line)


def test_a_record_says_when_and_in_which_request(written: Written) -> None:
    with log.during(REQUEST):
        logging.getLogger("shared.deletion.purge").warning("purge: %s", "code")
    line = written.line()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "shared.deletion.purge",
        "message": "purge: code",
        "operation": "captures",
        "correlationId": "id-1",
        "tenantId": "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    }


def test_outside_of_a_request_nothing_is_said_of_one(written: Written) -> None:
    with log.during(REQUEST):
        pass
    logging.getLogger("shared.deletion.purge").warning("x")
    assert written.line().keys() == {"time", "level", "logger", "message"}


async def test_requests_at_the_same_time_keep_their_own_ids(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    log.as_json()

    async def one(name: str) -> None:
        with log.during(log.Request("f", name)):
            await asyncio.sleep(0)
            logging.getLogger("shared.x").error("%s", name)

    await asyncio.gather(*(one(str(each)) for each in range(20)))
    logging.setLogRecordFactory(before)
    told = [json.loads(each.getMessage()) for each in caplog.records]
    assert len(told) == 20
    assert all(line["message"] == line["correlationId"] for line in told)


@pytest.mark.parametrize("logger", ["azure.core.pipeline", "aiohttp.server", "root", "shared_with_others", "sharedx.y"])
def test_what_libraries_say_is_left_out(written: Written, logger: str) -> None:
    with log.during(REQUEST):
        logging.getLogger(logger).warning("request %s of %(x)s", {"x": SECRET}, extra={"body": SECRET})
    line = written.line()
    assert line.pop("time").endswith("Z")
    place = line.pop("place")
    assert place.startswith(f"{__file__}:") and place.endswith(" test_what_libraries_say_is_left_out")
    assert line == {
        "level": "WARNING",
        "logger": logger,
        "operation": "captures",
        "correlationId": "id-1",
        "tenantId": "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    }


def test_of_a_tasks_exception_that_nobody_looked_at_there_are_type_and_place(written: Written) -> None:
    async def fails() -> None:
        raise ValueError(SECRET)

    async def forgets() -> None:
        task = asyncio.create_task(fails(), name=SECRET)
        await asyncio.sleep(0)
        assert task.done()
        del task
        gc.collect()

    asyncio.run(forgets())
    line = written.line()
    assert (line["logger"], "message" in line) == ("asyncio", False)
    assert line["exception"].startswith(f"ValueError at {__file__}:")
    assert SECRET not in json.dumps(line)


def test_of_a_warning_there_are_category_and_place(written: Written) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = log._log_warning  # pytest has put another in its place
        warnings.warn(SECRET, RuntimeWarning, stacklevel=1)
    line = written.line()
    assert (line["level"], line["logger"]) == ("WARNING", "py.warnings")
    assert line["place"].startswith(f"{__file__}:") and line["place"].endswith(" RuntimeWarning")
    assert SECRET not in json.dumps(line)


def test_with_the_first_call_warnings_are_logged_too(written: Written) -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    log.as_json()
    assert warnings.showwarning is log._log_warning


def test_an_exception_with_many_frames_and_circular_causes_is_told_in_bounded_length(written: Written) -> None:
    def deeper(times: int) -> None:
        if times:
            deeper(times - 1)
        first, second = ValueError(SECRET), KeyError(SECRET)
        first.__cause__, second.__cause__ = second, first
        raise first

    try:
        deeper(300)
    except ValueError:
        logging.getLogger("shared.deletion.purge").exception("lost")
    line = written.line()
    assert line["exception"].count("; after ") == 4
    assert line["exception"].count(" < ") == 3 * 29


def test_a_record_that_is_made_of_members_raises_nothing(written: Written) -> None:
    assert logging.makeLogRecord({"name": "azure", "msg": "x"}).name == "azure"


def test_an_exception_is_told_by_type_and_place_and_never_by_its_message(written: Written) -> None:
    try:
        try:
            raise KeyError("Herr Schneider")
        except KeyError as error:
            raise ValueError("Rechnung 4711") from error
    except ValueError:
        logging.getLogger("asyncio").exception("lost", stack_info=True)
    line = written.line()
    assert line["exception"].startswith("ValueError at ") and "; after KeyError at " in line["exception"]
    assert "test_log.py:" in line["exception"]
    assert "Schneider" not in json.dumps(line) and "4711" not in json.dumps(line)


def test_named_arguments_are_members_and_cannot_pose_as_others(written: Written) -> None:
    with log.during(REQUEST):
        fields = {"days": 3, "correlationId": "forged", "level": "forged", "other": object()}
        logging.getLogger("shared.deletion.purge").error("purged %(days)d", fields)
    line = written.line()
    assert (line["message"], line["days"], line["other"]) == ("purged 3", 3, "object")
    assert (line["correlationId"], line["level"]) == ("id-1", "ERROR")


def test_a_record_that_cannot_be_formatted_does_not_raise(written: Written) -> None:
    logging.getLogger("shared.deletion.purge").error("%d days", "three")
    assert written.line()["message"] == "%d days"


def test_the_hosts_own_records_stay_as_they_are(written: Written) -> None:
    logging.getLogger("azure_functions_worker.dispatcher").error("plain %s", "text")
    assert written.streams[0].getvalue() == "plain text\n"


def test_a_second_call_changes_nothing(written: Written) -> None:
    factory = logging.getLogRecordFactory()
    log.as_json()
    assert logging.getLogRecordFactory() is factory
