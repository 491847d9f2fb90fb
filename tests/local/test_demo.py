"""The demo as a newcomer meets it: what it says, how wide, and what it leaves when it is stopped."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from local import azurite, demo
from local.__main__ import main
from local.process import ROOT
from local.terminal import Style, say


def become_terminal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys.stdout, "isatty", lambda: True)
    patch.delenv("NO_COLOR", raising=False)
    patch.setenv("TERM", "xterm")


def test_a_terminal_gets_colours_a_mark_alone_or_the_whole_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    become_terminal(monkeypatch)
    say("it holds", mark="✓ ", indent=4, style=Style.GOOD)
    say("A heading", style=Style.HEADING)
    say("plain")
    assert capsys.readouterr().out == "    \x1b[32m✓ \x1b[0mit holds\n\x1b[1mA heading\x1b[0m\nplain\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colours_gets_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    become_terminal(monkeypatch)
    monkeypatch.setenv(name, value)
    say("it holds", mark="✓ ", style=Style.GOOD)
    assert capsys.readouterr().out == "✓ it holds\n"


def test_a_file_gets_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    say("it holds", mark="✓ ", style=Style.GOOD)
    assert capsys.readouterr().out == "✓ it holds\n"


def test_long_lines_go_on_under_their_text(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 40, mark="✓ ", indent=4)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("    ✓ word") and all(re.match(" {6}word", line) for line in others)
    assert max(map(len, [first, *others])) <= 80


def test_it_says_what_the_promises_are_and_what_is_only_a_stand_in(capsys: pytest.CaptureFixture[str]) -> None:
    demo._introduce()
    said = capsys.readouterr().out
    promises = re.findall(r"^\| \*\*(P\d+) ", (ROOT / "docs" / "concepts.md").read_text(), re.MULTILINE)
    assert len(promises) >= 10
    assert re.findall(r"^  (P\d+) +\w", said, re.MULTILINE) == promises
    assert "Cosmos DB, the Functions host and the issuer of tokens are stand-ins" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80


def test_the_summary_is_a_table_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    titles = re.findall(r'chapter\("(\w+)", f?"(.*?)"\)', Path(demo.__file__).read_text())
    assert len(titles) > 10
    timeline = demo.Timeline(None)  # type: ignore[arg-type]  # it asks nobody any more
    timeline.chapters = [
        (f"{promise:<4}{title.replace('{self.', '').replace('.name}', '')}", 0, timeline.started)
        for promise, title in titles
    ]
    timeline.summary()
    assert {len(line) for line in capsys.readouterr().out.splitlines()[1:]} == {80}


@pytest.mark.parametrize("command", ["demo", "up"])
@pytest.mark.parametrize("missing", ["node", "azurite"])
def test_a_missing_program_ends_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, missing: str
) -> None:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if missing == "node":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(azurite, "_BLOB_SERVICE", tmp_path / "main.js")
    assert main([command]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and missing in errors.lower()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stack
@pytest.mark.parametrize(("number", "after"), [(signal.SIGINT, "cosmos at"), (signal.SIGTERM, "Up after")])
async def test_what_stops_it_ends_in_one_line_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, after: str
) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local", "demo"),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout
    said = ""
    async with asyncio.timeout(300):
        while after not in said:
            line = (await child.stdout.readline()).decode()
            assert line, said
            said += line
        [directory] = left_in(tmp_path)
        child.send_signal(number)
        rest, errors = await child.communicate()
    assert child.returncode == 130
    assert errors.decode() == "\nStopped. Nothing of the demo is left.\n"
    assert max(map(len, (said + rest.decode()).splitlines())) <= 80 + len(str(tmp_path))
    assert left_in(tmp_path) == []
    assert not any(directory.encode() in (each / "cmdline").read_bytes() for each in processes())


def processes() -> list[Path]:
    return [each for each in Path("/proc").glob("[0-9]*") if (each / "cmdline").exists()]


def left_in(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]
