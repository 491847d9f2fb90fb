"""What is typed wrong is told in one line, by each of the project's commands, before anything is done."""

import sys

import pytest

from audit.__main__ import main as audit
from bench.__main__ import main as bench
from local.__main__ import main as local
from tests.simulation.__main__ import main as simulation

MISTAKES = [
    (local, "", "required: command"),
    (local, "down", "invalid choice: 'down'"),
    (local, "up --port http", "a port is a number"),
    (local, "up --port 65536", "a port is a number"),
    (local, "up --port 7071 --without-host", "--without-host starts none"),
    (local, "env --tenant", "unrecognized arguments: --tenant"),
    (audit, "", "required: command"),
    (audit, "verify-receipt deletion.json", "required: --keys"),
    (audit, "posture --subscription mine", "a GUID"),
    (simulation, "replay expedited", "'expedited' is neither a number nor script/call/before"),
    (simulation, "replay expedited/1/befor", "is neither a number nor"),
    (simulation, "run --histories 0", "'0' is not a whole number from 1"),
    (simulation, "run --jobs -1", "'-1' is not a whole number from 1"),
    (simulation, "mutants --only nothing", "no planted bug is called 'nothing'"),
    (bench, "--only everything", "invalid choice: 'everything'"),
    (bench, "--repeat 0", "'0' is not a whole number from 1"),
    (bench, "--only captures --resume", "not allowed with"),
    (bench, "--quick --resume", "--resume goes on with a whole run"),
]


@pytest.mark.parametrize(("command", "arguments", "complaint"), MISTAKES)
def test_a_mistake_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: object,
    arguments: str,
    complaint: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        command()  # type: ignore[operator]
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert complaint in printed.err
    assert printed.err.startswith("python -m ") and "--help" in printed.err
