"""``make bicep`` asks Bicep's own compiler where there is one, and says plainly where there is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.posture import ROOT

TOOLS = ("make", "sh", "env")


def run(path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run ``make bicep`` with nothing on the PATH but the needed tools and these programs."""
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (path / name).symlink_to(found)
    for name, script in programs.items():
        (path / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
        (path / name).chmod(0o755)
    environment = {"PATH": str(path), "CALLS": str(path / "calls")}
    return subprocess.run(
        ["make", "--no-print-directory", "bicep"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def calls(path: Path) -> list[str]:
    return (path / "calls").read_text().splitlines()


def test_without_a_compiler_it_says_that_nothing_was_checked(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Nothing was checked: neither bicep nor az bicep is on the PATH.\n"


@pytest.mark.parametrize("status", [0, 1])
def test_bicep_builds_and_lints(tmp_path: Path, status: int) -> None:
    done = run(tmp_path, bicep=f'echo "$*" >>"$CALLS"\ncase $1 in lint) exit {status};; esac')
    assert calls(tmp_path) == ["build infra/main.bicep --stdout", "lint infra/main.bicep"]
    assert (done.returncode != 0) is (status != 0)
    assert "Nothing" not in done.stdout


def test_az_does_it_where_it_has_bicep(tmp_path: Path) -> None:
    assert run(tmp_path, az='echo "$*" >>"$CALLS"').returncode == 0
    assert calls(tmp_path)[-2:] == [
        "bicep build --file infra/main.bicep --stdout",
        "bicep lint --file infra/main.bicep",
    ]


def test_az_without_bicep_is_none(tmp_path: Path) -> None:
    assert "Nothing was checked" in run(tmp_path, az="exit 1").stdout
