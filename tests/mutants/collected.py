"""mutmut, with the tests collected once: it would do so again for each mutant, which takes longer than most tests.

    python tests/mutants/collected.py run [...]

Each mutant is still tried in a process of its own, which begins with all tests collected.
"""

import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

import pytest
from _pytest.config import _prepareconfig
from mutmut.__main__ import cli
from mutmut.runners.harness import PytestRunner
from mutmut.utils.file_utils import change_cwd


@cache
def collected(runner: PytestRunner) -> pytest.Session:
    """Return a session of pytest that has all tests and has run none."""
    arguments = ["--rootdir=.", "-x", "-q", "-s", *runner._pytest_add_cli_args_test_selection]
    with redirect_stdout(
        Path(os.devnull).open("w")
    ):  # which stays open, because pytest writes to it as long as it runs
        config = _prepareconfig([*arguments, *runner._pytest_add_cli_args])
        config._do_configure()
        session = pytest.Session.from_config(config)
        config.hook.pytest_sessionstart(session=session)
        config.hook.pytest_collection(session=session)
    return session


def tried(session: pytest.Session, tests: set[str]) -> pytest.ExitCode:
    """Run some tests, or all, until one fails."""
    hook = session.config.hook
    try:
        if tests:
            session.items = [item for item in session.items if item.nodeid in tests]
            hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        with suppress(pytest.Session.Failed):
            hook.pytest_runtestloop(session=session)
    except BaseException:  # nothing may go further up: there is mutmut's own process, of which this one is a copy
        traceback.print_exc()
        return pytest.ExitCode.INTERNAL_ERROR
    return pytest.ExitCode.TESTS_FAILED if session.testsfailed else pytest.ExitCode.OK


def run_tests(self: PytestRunner, *, mutant_name: str | None, tests: Iterable[str]) -> int:
    """Stand in for mutmut's own, which is called in the process of a mutant, or without one in mutmut's."""
    with change_cwd("mutants"):
        session = collected(self)
        if mutant_name is not None:
            return tried(session, set(tests))
        if (child := os.fork()) == 0:
            os._exit(tried(session, set(tests)))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    PytestRunner.run_tests = run_tests
    sys.exit(cli())
