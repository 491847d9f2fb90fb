"""Log lines: one of JSON for each record, whoever writes and whatever is in it; no message of an exception."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from shared import log

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
@pytest.mark.parametrize("logger", ["functions.reviews", "shared.deletion.purge", "azure.core", "asyncio", "root"])
def test_whatever_is_logged_is_one_line_of_printable_ascii(written: Written, logger: str, hostile: str) -> None:
    logging.getLogger(logger).error("before %s after", hostile)
    line = written.line()
    assert line["message"] == f"before {hostile} after"
    assert line["level"] == "ERROR"


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
