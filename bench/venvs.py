"""Programs whose packages must not meet the project's: each in a virtual environment of its own, made on demand."""

import asyncio
import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.results import BenchError
from bench.scenario import kept
from local.process import ROOT


@dataclass(frozen=True, slots=True)
class Venv:
    """A program, by its name in ``bin``, and the file in ``bench`` that says what it needs."""

    name: str
    program: str
    requirements: str

    @property
    def directory(self) -> Path:
        """Where it is."""
        return kept() / self.name

    @property
    def wanted(self) -> str:
        """What a finished one is marked with."""
        text = f"{sys.version}\n{ROOT}\n{(ROOT / 'bench' / self.requirements).read_text(encoding='utf-8')}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def ready(self) -> bool:
        """Whether it is there, as it should be."""
        mark = self.directory / "installed"
        return mark.exists() and mark.read_text(encoding="utf-8") == self.wanted


AZ = Venv("az", "az", "requirements-az.txt")
PLOT = Venv("plot", "python", "requirements.txt")


async def command(venv: Venv, say: Callable[[str], None]) -> Path:
    """Return the path of a program, installed first if it is not there.

    Raises:
        BenchError: if it cannot be installed.
    """
    if not venv.ready:
        say(f"  installing what bench/{venv.requirements} names, once; this may take minutes ...")
        started = time.monotonic()
        await _run(sys.executable, "-m", "venv", "--clear", str(venv.directory))
        pip = str(venv.directory / "bin" / "pip")
        requirements = str(ROOT / "bench" / venv.requirements)
        await _run(pip, "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
        (venv.directory / "installed").write_text(venv.wanted, encoding="utf-8")
        say(f"  installed in {time.monotonic() - started:.0f} s")
    return venv.directory / "bin" / venv.program


async def _run(*arguments: str) -> None:
    child = await asyncio.create_subprocess_exec(*arguments, stdin=asyncio.subprocess.DEVNULL)
    if await child.wait():
        raise BenchError(f"{' '.join(arguments[:3])} ended with {child.returncode}")
