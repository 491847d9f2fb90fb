"""Planting known bugs, one by one; the campaign must find each. A campaign that cannot find them proves nothing."""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation import campaign, planted
from tests.simulation.planted.registry import MUTANTS

for _module in pkgutil.iter_modules(planted.__path__):
    importlib.import_module(f"{planted.__name__}.{_module.name}")


_OF_THE_PLANT = re.compile("TypeError|AttributeError|NameError|UnboundLocalError")


@dataclass(frozen=True, slots=True)
class Found:
    """What the campaign came to with one bug planted: the violation is None if it survived."""

    name: str
    violation: str | None
    seed: int | None
    histories: int
    seconds: float


def hunt(name: str, histories: int, seed: int) -> Found:
    """Plant one bug and run histories until one of them finds it.

    Raises:
        RuntimeError: if all that is found is that the program does not fit together: no promise was tried then.
    """
    began = time.monotonic()
    for n in range(histories):
        with MUTANTS[name]():
            outcome = campaign.run_seed(seed + n)
        if outcome.violation is not None:
            if _OF_THE_PLANT.search(outcome.violation.what):
                raise RuntimeError(f"{name}: {outcome.violation}")
            return Found(name, str(outcome.violation), seed + n, n + 1, time.monotonic() - began)
    return Found(name, None, None, histories, time.monotonic() - began)


def run_all(histories: int, seed: int, jobs: int, only: str | None, tell: Callable[[str], None]) -> list[Found]:
    """Hunt every planted bug, several at a time, and tell of each when it is found."""
    names = [name for name in MUTANTS if only in {None, name}]
    found = []
    with campaign.pool(jobs) as workers:
        for each in workers.map(hunt, names, [histories] * len(names), [seed] * len(names)):
            found.append(each)
            tell(f"{len(found)} of {len(names)}: {each.name}: {each.violation or 'SURVIVED'}")
    return found


def table(found: list[Found]) -> str:
    """Return which seed found what, as text."""
    rows = [("planted bug", "promise", "seed", "histories", "seconds")]
    for each in found:
        promise = "-" if each.violation is None else each.violation.split(":")[0]
        rows.append((each.name, promise, str(each.seed or "-"), str(each.histories), f"{each.seconds:.1f}"))
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    return "\n".join("  ".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=True)) for row in rows)
