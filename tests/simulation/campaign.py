"""Many histories, in several processes, and what they came to."""

import logging
import multiprocessing
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.history import History, Outcome

CHUNK = 20


@dataclass
class Summary:
    """What some histories came to."""

    histories: int = 0
    calls: int = 0
    checks: int = 0
    virtual_seconds: float = 0.0
    crash_points: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int | str, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one history."""
        self.histories += 1
        self.calls += outcome.calls
        self.checks += outcome.checks
        self.virtual_seconds += outcome.virtual_seconds
        self.operations.update(outcome.operations)
        self.faults.update(outcome.faults)
        if outcome.violation is not None:
            self.violations.append((outcome.seed, str(outcome.violation)))

    def merge(self, other: "Summary") -> None:
        """Count the histories of another summary."""
        for name in ("histories", "calls", "checks", "virtual_seconds", "crash_points"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.operations.update(other.operations)
        self.faults.update(other.faults)
        self.violations += other.violations

    def table(self, seconds: float) -> str:
        """Return the summary as text, after ``seconds`` of real time."""
        ticks = self.virtual_seconds / 300 + self.virtual_seconds / 3600
        rows = [
            ("histories", f"{self.histories:,}"),
            ("virtual time", f"{self.virtual_seconds / 86400 / 365.25:,.1f} years"),
            ("real time", f"{seconds:,.1f} s"),
            ("operations", f"{sum(self.operations.values()):,}"),
            *((f"  {kind}", f"{number:,}") for kind, number in sorted(self.operations.items())),
            ("store calls", f"{self.calls:,}"),
            ("faults", f"{sum(self.faults.values()):,}"),
            *((f"  {kind}", f"{number:,}") for kind, number in sorted(self.faults.items())),
            ("timer ticks dropped", f"{ticks - self.operations['purge'] - self.operations['sweep']:,.0f}"),
            ("crash points, each tried", f"{self.crash_points:,}"),
            ("checks by the oracle", f"{self.checks:,}"),
            ("violations", f"{len(self.violations):,}"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value:>14}" for name, value in rows)


def commit() -> str:
    """Return the commit that is checked out, and whether the code differs from it; a seed means nothing without."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"


def run_seed(seed: int, *, verbose: bool = False) -> Outcome:
    """Run one history."""
    with quiet():
        return History(seed, verbose=verbose).run()


def run_chunk(seeds: list[int]) -> Summary:
    """Run some histories in this process."""
    summary = Summary()
    for seed in seeds:
        summary.add(run_seed(seed))
    return summary


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what the rules log of the faults, or it would be all that there is to see."""
    loggers = [logging.getLogger(name) for name in ("shared", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def chunks(first: int, histories: int) -> Iterator[list[int]]:
    """Cut the seeds from ``first`` on into what one process is given at a time."""
    for start in range(first, first + histories, CHUNK):
        yield list(range(start, min(start + CHUNK, first + histories)))


def pool(jobs: int) -> ProcessPoolExecutor:
    """Return processes that start from nothing, so that each history depends on its seed alone."""
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def run_all(work: Iterable[list[int]], jobs: int, progress: Callable[[Summary, float], None]) -> tuple[Summary, float]:
    """Run histories in ``jobs`` processes; call ``progress`` every few seconds."""
    began, told = time.monotonic(), time.monotonic()
    total = Summary()
    with pool(jobs) as workers:
        pending = {workers.submit(run_chunk, seeds) for seeds in work}
        while pending:
            done, pending = wait(pending, timeout=5, return_when=FIRST_COMPLETED)
            for each in done:
                total.merge(each.result())
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                progress(total, told - began)
    return total, time.monotonic() - began
