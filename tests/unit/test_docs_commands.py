"""Commands in documents that need no stack: each is run, or, where that would take an hour, read by its program."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest

from bench import __main__ as bench
from tests.documents import DOCUMENTS, ROOT, Where, commands
from tests.simulation.__main__ import main as simulation

PYTHON = ".venv/bin/python -m "
# What test_stack_command.py starts, stops and kills, and what test_traces.py sends.
RUN_ELSEWHERE = {"local up --without-host", "local samples"}

TOOLS = sorted(
    {
        line
        for document in DOCUMENTS
        for block in commands(document)
        if block.where is Where.TOOLS
        for line in block.lines
    }
)


def test_there_are_such_commands() -> None:
    assert len(TOOLS) > 20
    assert [line for line in TOOLS if not line.startswith(("make ", PYTHON))] == []


@pytest.mark.parametrize("line", [line for line in TOOLS if line.startswith("make ")])
def test_make_knows_its_targets(line: str) -> None:
    subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.parametrize("line", [line for line in TOOLS if line.startswith(PYTHON)])
def test_a_module_takes_its_arguments(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = line.removeprefix(PYTHON)
    if command in RUN_ELSEWHERE:
        return
    module, *arguments = shlex.split(command)
    program = PROGRAMS.get(module)
    if program is None:
        assert module.startswith("bench.") and not arguments
        assert importlib.util.find_spec(module)
        return
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    assert program(arguments, monkeypatch) == 0


def collected(arguments: list[str], _: pytest.MonkeyPatch) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"\d+(/\d+)? tests? collected", found.stdout), found.stdout
    return 0


def simulated(arguments: list[str], _: pytest.MonkeyPatch) -> int:
    return simulation([*arguments, "--jobs", "1"] if arguments[0] == "mutants" else arguments)


def measured(_: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    async def nothing(*_: object, **__: object) -> None: ...

    monkeypatch.setattr(bench, "_bench", nothing)
    monkeypatch.setattr(bench.Run, "resume", lambda _: None)
    return bench.main()


PROGRAMS: dict[str, Callable[[list[str], pytest.MonkeyPatch], int]] = {
    "pytest": collected,
    "tests.simulation": simulated,
    "bench": measured,
}
