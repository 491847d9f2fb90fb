"""``local/setup.sh`` on stand-ins for Python, pip, node and npm, which install nothing and say what they were asked."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    *("local/setup.sh", "local/package-lock.json", "infra/requirements-check.txt"),
    *("requirements.txt", "requirements-dev.txt", "constraints.txt"),
)

PYTHON = f"""#!/bin/bash
case "$1" in
  --version) echo "Python $VERSION" ;;
  -c) [ "$FITS" = no ] && exit 1
      case "$2" in *sys.executable*) echo "$0" ;; *) exec {sys.executable} "$@" ;; esac ;;
  -m) echo "venv by $(basename "$0")" >>asked
      rm -rf "$4" && mkdir -p "$4/bin"
      printf '#!/bin/bash\\necho pip >>asked\\nsleep ${{PIP_TAKES:-0}}\\nexit ${{PIP_ENDS:-0}}\\n' >"$4/bin/pip"
      chmod +x "$4/bin/pip" ;;
esac
"""
NPM = """#!/bin/bash
case "$1" in
  ci) echo "npm ci $3" >>asked
      rm -rf "$3/node_modules" && mkdir -p "$3/node_modules" ;;
  run) echo "npm $2 $4" >>asked
      [ "${BUILD_ENDS:-0}" = 0 ] || exit "$BUILD_ENDS"
      mkdir -p "$4/dist" && echo >"$4/dist/index.html" ;;
esac
"""
NODE_PARTS = ["npm ci local", "npm ci portal", "npm build portal"]


class Folder:
    """A clone with nothing but what the script reads, and a PATH of stand-ins."""

    def __init__(self, path: Path) -> None:
        self.path = path / "clone"
        self.programs = path / "programs"
        for name in FILES:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.path / name)
        for name in ("package-lock.json", "index.html", "src/main.tsx"):
            (self.path / "portal" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / "portal" / name).write_text(name)
        self.programs.mkdir()
        for program in (
            *("bash", "cat", "sha256sum", "mkdir", "rm", "chmod", "sleep", "mktemp", "basename", "dirname"),
            *("find", "sort"),
        ):
            found = shutil.which(program)
            assert found
            (self.programs / program).symlink_to(found)
        self.program("python3.13", PYTHON.replace("$VERSION", "3.13.9").replace("$FITS", "yes"))
        self.program("python3.12", PYTHON.replace("$VERSION", "3.12.9").replace("$FITS", "yes"))
        self.program("python3.9", PYTHON.replace("$VERSION", "3.9.9").replace("$FITS", "no"))
        self.program("node", "#!/bin/bash\necho v22.12.0\n")
        self.program("npm", NPM)

    def program(self, name: str, text: str) -> None:
        file = self.programs / name
        file.write_text(text)
        file.chmod(0o755)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", "local/setup.sh", *arguments],
            cwd=self.path,
            env={"PATH": str(self.programs), "HOME": str(self.path), "TMPDIR": str(self.path), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        child = self.start(*arguments, **environment)
        said, errors = child.communicate(timeout=60)
        # Bash says this of itself, and nothing is amiss, where the system has given a process an id again.
        ours = [line for line in errors.splitlines(keepends=True) if "wait_for: No record of process" not in line]
        return child.returncode, said, "".join(ours)

    def asked(self) -> list[str]:
        file = self.path / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def until_asked(self, what: str) -> None:
        for _ in range(600):
            if what in self.asked():
                return
            time.sleep(0.05)
        raise AssertionError(f"{what} was not asked")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    yield Folder(tmp_path)


def test_it_installs_once_and_then_does_nothing(folder: Folder) -> None:
    code, said, errors = folder.run()
    assert (code, errors) == (0, "")
    assert "Creating .venv with Python 3.13.9" in said and "Azurite" in said and "Building the portal" in said
    assert folder.asked() == ["venv by python3.13", "pip", *NODE_PARTS]
    assert folder.run() == (0, "", "")
    assert folder.asked() == ["venv by python3.13", "pip", *NODE_PARTS]


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        *(
            (f"echo v{old}", f"Node 20.19 or newer (of Node 22: 22.12 or newer) is needed, and node is {old}.")
            for old in ("18.20.1", "20.18.3", "21.7.3", "22.11.0")
        ),
        (None, "there is no node on the PATH."),
    ],
)
def test_node_is_looked_at_before_anything_is_installed(folder: Folder, node: str | None, complaint: str) -> None:
    if node:
        folder.program("node", f"#!/bin/bash\n{node}\n")
    else:
        (folder.programs / "node").unlink()
    code, said, errors = folder.run()
    assert (code, said) == (1, "")
    assert errors.endswith(complaint + "\n") and errors.count("\n") == 1
    assert folder.asked() == []


@pytest.mark.parametrize("python", ["python3.9", "python-of-mine", "/nowhere/python 3"])
def test_a_python_that_does_not_fit_is_an_error_and_no_other_is_taken(folder: Folder, python: str) -> None:
    code, said, errors = folder.run(PYTHON=python)
    assert (code, said, errors) == (1, "", f"PYTHON={python} is not Python 3.11 or newer.\n")
    assert folder.asked() == []


def test_the_python_that_was_chosen_is_remembered(folder: Folder) -> None:
    assert folder.run(PYTHON="python3.12")[0] == 0
    assert folder.run() == (0, "", "")
    assert folder.asked() == ["venv by python3.12", "pip", *NODE_PARTS]
    (folder.path / "constraints.txt").write_text("another==1\n")
    assert folder.run()[0] == 0
    assert folder.asked()[5:] == ["venv by python3.12", "pip"]
    assert folder.run(PYTHON="python3.13")[0] == 0
    assert folder.asked()[7:] == ["venv by python3.13", "pip"]


def test_one_that_was_chosen_and_is_gone_is_replaced(folder: Folder) -> None:
    assert folder.run(PYTHON="python3.12")[0] == 0
    (folder.programs / "python3.12").unlink()
    assert folder.run()[0] == 0
    assert folder.asked()[5:] == ["venv by python3.13", "pip"]


@pytest.mark.parametrize("version", ["20.19.0", "23.0.0", "24.4.1"])
def test_any_node_that_can_build_the_portal_will_do(folder: Folder, version: str) -> None:
    folder.program("node", f"#!/bin/bash\necho v{version}\n")
    assert folder.run()[0] == 0


@pytest.mark.parametrize("changed", ["portal/index.html", "portal/src/main.tsx", "portal/src/another.ts"])
def test_the_portal_is_built_again_when_a_source_of_it_changed(folder: Folder, changed: str) -> None:
    assert folder.run()[0] == 0
    (folder.path / changed).write_text("changed")
    code, said, errors = folder.run()
    assert (code, errors) == (0, "") and re.fullmatch(r"Building the portal \.* ?\d+ s\n", said)
    assert folder.asked()[5:] == ["npm build portal"]
    assert folder.run() == (0, "", "")


def test_the_portal_is_built_again_with_other_packages_or_when_it_is_gone(folder: Folder) -> None:
    assert folder.run()[0] == 0
    (folder.path / "portal/package-lock.json").write_text("changed")
    assert folder.run()[0] == 0
    assert folder.asked()[5:] == ["npm ci portal", "npm build portal"]
    shutil.rmtree(folder.path / "portal/dist")
    assert folder.run()[0] == 0
    assert folder.asked()[7:] == ["npm build portal"]


def test_what_is_not_a_source_of_the_portal_builds_nothing(folder: Folder) -> None:
    assert folder.run()[0] == 0
    for made in ("portal/dist/assets/x.js", "portal/node_modules/react/index.js"):
        (folder.path / made).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / made).touch()
    assert folder.run() == (0, "", "")


def test_a_build_that_fails_is_done_again(folder: Folder) -> None:
    code, said, _ = folder.run(BUILD_ENDS="2")
    assert (code, said.endswith(" failed\n")) == (1, True)
    assert folder.run()[0] == 0
    assert folder.asked()[4:] == ["npm build portal", "npm build portal"]


def test_the_portal_can_be_built_alone(folder: Folder) -> None:
    assert folder.run("portal")[0] == 0
    assert folder.asked() == NODE_PARTS[1:]
    assert folder.run("portal") == (0, "", "")
    assert folder.run()[0] == 0
    assert folder.asked()[2:] == ["venv by python3.13", "pip", "npm ci local"]


def test_two_at_a_time_wait_for_each_other(folder: Folder) -> None:
    first = folder.start(PIP_TAKES="2")
    folder.until_asked("pip")
    code, said, errors = folder.run()
    assert (code, errors) == (0, "")
    assert re.fullmatch(r"Another setup runs in this folder. Waiting for it to end \.* \d+ s\n", said)
    assert first.wait(timeout=1) == 0
    first.communicate()
    assert folder.asked() == ["venv by python3.13", "pip", *NODE_PARTS]


def test_one_that_was_killed_stands_in_nobodys_way(folder: Folder) -> None:
    first = folder.start(PIP_TAKES="60")
    folder.until_asked("pip")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=10)
    code, said, _ = folder.run()
    assert (code, "Another setup" in said) == (0, False)
    assert folder.asked() == ["venv by python3.13", "pip", "venv by python3.13", "pip", *NODE_PARTS]


def test_a_long_step_shows_that_it_lives(folder: Folder) -> None:
    code, said, _ = folder.run(PIP_TAKES="5")
    assert code == 0
    _, packages, azurite, *_ = said.splitlines()
    assert re.search(r"minute or two \.\.+ \d+ s$", packages)
    assert re.search(r"Azurite +\d s$", azurite)


def test_what_fails_says_so_and_is_done_again(folder: Folder) -> None:
    code, said, errors = folder.run(PIP_ENDS="3")
    assert (code, said.endswith(" failed\n"), errors) == (1, True, "")
    assert folder.run()[0] == 0
    assert folder.asked() == ["venv by python3.13", "pip", "venv by python3.13", "pip", *NODE_PARTS]


def test_the_scans_own_environment_needs_no_node(folder: Folder) -> None:
    (folder.programs / "node").unlink()
    code, said, errors = folder.run("scan")
    assert (code, errors, said.count("\n")) == (0, "", 3)
    assert folder.asked() == ["venv by python3.13", "pip", "pip"]
    assert folder.run("scan") == (0, "", "")
