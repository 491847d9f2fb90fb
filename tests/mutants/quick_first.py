"""A plugin of pytest for the runs of mutmut: the quickest tests first, and none may hang."""

import json
import os
import signal
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

HUNG = 36
"""The exit code by which mutmut knows it."""


def _durations() -> Mapping[str, float]:
    """How many seconds each test took on the code as it is; nothing before they were measured."""
    measured = Path("mutmut-stats.json")
    return json.loads(measured.read_text(encoding="utf-8"))["duration_by_test"] if measured.is_file() else {}


DURATIONS = _durations()


@pytest.hookimpl(trylast=True)  # after the order of tests/conftest.py
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: DURATIONS.get(item.nodeid, 0.0))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    signal.signal(signal.SIGALRM, lambda *_: os._exit(HUNG))
    signal.setitimer(signal.ITIMER_REAL, 10 + 20 * DURATIONS[item.nodeid] if item.nodeid in DURATIONS else 0)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
