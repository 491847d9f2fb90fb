"""Clients, their generators, and linters in environments of their own, installed once and kept in ``.clients``."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
INSTALLED = ROOT / ".clients"


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command to its end and return what it printed; the test fails with all of that if the command does."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **quiet, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
    except FileNotFoundError:
        pytest.fail(f"{command[0]} is needed and is not there.", pytrace=False)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


@contextmanager
def installing(name: str, *told_by: str | Path) -> Iterator[bool]:
    """Tell whether ``name`` must be installed, one process at a time; what it was made of is kept beside it."""
    INSTALLED.mkdir(exist_ok=True)
    wanted = hashlib.sha256()
    for each in told_by:
        wanted.update(each.read_bytes() if isinstance(each, Path) else each.encode())
    stamp = INSTALLED / f"{name}.installed"
    with (INSTALLED / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not stamp.exists() or stamp.read_text() != wanted.hexdigest()
        if missing:
            stamp.unlink(missing_ok=True)
        yield missing
        stamp.write_text(wanted.hexdigest())


def installed_by_npm(name: str, given: Path, folder: Path) -> Path:
    """Return ``node_modules`` in ``folder`` with what the package and the lock file in ``given`` say."""
    files = (given / "package.json", given / "package-lock.json")
    with installing(name, *files) as missing:
        if missing:
            folder.mkdir(exist_ok=True)
            for each in files:
                shutil.copy(each, folder)
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    return folder / "node_modules"


def installed_by_pip(name: str, requirements: Path) -> Path:
    """Return the folder of the commands of a virtual environment with what ``requirements`` says."""
    with installing(name, requirements, sys.version, str(INSTALLED)) as missing:
        if missing:
            run(sys.executable, "-m", "venv", "--clear", INSTALLED / name)
            pip = INSTALLED / name / "bin" / "pip"
            run(pip, "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements)
    return INSTALLED / name / "bin"


@pytest.fixture(scope="session")
def npm() -> Path:
    """The folder of the commands that npm installed."""
    return installed_by_npm("npm", HERE, INSTALLED) / ".bin"


@pytest.fixture(scope="session")
def python() -> Path:
    """The folder of the commands of a virtual environment with the generator of Python clients."""
    return installed_by_pip("python", HERE / "requirements.txt")


@pytest.fixture(scope="session")
def telemetry_modules() -> Path:
    """The folder of the modules that a service for Node is instrumented with."""
    return installed_by_npm("telemetry-npm", HERE / "telemetry", INSTALLED / "telemetry-npm")


@pytest.fixture(scope="session")
def telemetry_python() -> Path:
    """The folder of the commands of a virtual environment that a service in Python is instrumented in."""
    return installed_by_pip("telemetry", HERE / "telemetry-requirements.txt")
