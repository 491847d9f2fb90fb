"""A plugin of pytest for the runs of mutmut: first the tests that found others, and the quick ones; none may hang.

A test that took more than ``SECONDS_MAX`` is left out: a survivor would wait for all of them.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

HUNG = 36
"""The exit code by which mutmut knows it."""

MEASURED = Path("mutmut-stats.json").absolute()
"""How many seconds each test took on the code as it is, among other things; not there before they were measured."""

FINDERS = Path("finders").absolute()
"""Which tests have found a mutant, a line each."""

SECONDS_MAX = 1.0

DURATIONS: dict[str, float] = {}


@pytest.hookimpl(trylast=True)  # after the order of tests/conftest.py
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not DURATIONS and MEASURED.is_file():
        DURATIONS.update(json.loads(MEASURED.read_text(encoding="utf-8"))["duration_by_test"])
    found = Counter(FINDERS.read_text(encoding="utf-8").splitlines()) if FINDERS.is_file() else Counter[str]()
    items[:] = [item for item in items if DURATIONS.get(item.nodeid, 0.0) <= SECONDS_MAX]
    items.sort(key=lambda item: DURATIONS.get(item.nodeid, 0.0) / (1 + 3 * found[item.nodeid]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        with FINDERS.open("a", encoding="utf-8") as finders:
            finders.write(f"{report.nodeid}\n")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    signal.signal(signal.SIGALRM, lambda *_: os._exit(HUNG))
    signal.setitimer(signal.ITIMER_REAL, 10 + 20 * DURATIONS[item.nodeid] if item.nodeid in DURATIONS else 0)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
