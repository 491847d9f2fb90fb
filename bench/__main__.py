"""``python -m bench [--quick | --full] [--only SCENARIO]... [--repeat N]``: measure, and say what was found."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.command_line import Parser, count
from bench import batches, captures, cold_start, consent, memory, purge, report, retention, spans, toggle
from bench.generator import Generator
from bench.plan import DEFAULT, FULL, QUICK, Plan
from bench.results import BenchError, Results
from bench.scenario import GEO, TIMERS_OFF, Bench, kept
from bench.targets import targets
from bench.venvs import PLOT, command
from local.process import ROOT, ProcessError
from local.stack import Stack, StackError

ON_A_STACK: Mapping[str, Callable[[Bench, Stack], Awaitable[None]]] = {
    "captures": captures.measure,
    "batches": batches.measure,
    "spans": spans.measure,
    "consent": consent.measure,
    "toggle": toggle.measure,
    "retention": retention.measure,
    "cold-start": cold_start.measure,
    "memory": memory.measure,
}
ALONE: Mapping[str, Callable[[Bench], Awaitable[None]]] = {"purge": purge.measure}
"""Those with stacks of their own, measured while no other is up."""

_RESULTS = ROOT / "bench" / "results"


def main() -> int:
    """Measure and return the exit code: 0, also when a target is missed; 1 when something did not work."""
    names = [*ON_A_STACK, *ALONE]
    parser = Parser(prog="python -m bench", description="What the service costs.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="only prove that it runs: tiny sizes, figures without meaning"
    )
    size.add_argument("--full", action="store_true", help="also what takes long to fill: 100,000 blobs")
    parser.add_argument("--only", action="append", choices=names, metavar="SCENARIO", help=f"{', '.join(names)}")
    parser.add_argument("--repeat", type=count, help="rounds (and, in the cold start, starts)")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL if options.full else DEFAULT
    if options.repeat:
        plan = replace(plan, repeat=options.repeat, cold_starts=options.repeat)
    # What is not a whole run is for whoever asked for it, and not to be taken for the project's figures.
    whole = not options.quick and not options.only
    directory = _RESULTS if whole else kept() / "results"
    try:
        asyncio.run(_bench(plan, options.only or names, directory, quick=options.quick))
    except (BenchError, StackError, ProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _bench(plan: Plan, names: Collection[str], directory: Path, *, quick: bool) -> None:
    where, started = report.machine(), time.monotonic()
    if where["loadBefore"] > 0.5 and not quick:
        _say(f"The machine is busy (load {where['loadBefore']}): these figures will be too.")
    results = Results()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        async with Generator() as generator:
            await _measure(Bench(plan, results, Path(scratch), _say, generator), names)
    found = targets(results, plan)
    for line in [*report.tables(results), *([] if quick else report.verdicts(found))]:
        _say(line)
    file = _written(directory, report.document(where, " ".join(["python -m bench", *sys.argv[1:]]), results, found))
    _say(f"\nMeasured in {time.monotonic() - started:.0f} s; in {file}")
    await _draw(file, quick=quick)


async def _measure(bench: Bench, names: Collection[str]) -> None:
    on_a_stack = [name for name in ON_A_STACK if name in names]
    if on_a_stack:
        async with Stack(bench.directory / "stack", (GEO,), settings=TIMERS_OFF) as stack:
            for name in on_a_stack:
                await _timed(name, ON_A_STACK[name](bench, stack))
    for name in ALONE:
        if name in names:
            await _timed(name, ALONE[name](bench))


async def _timed(name: str, measuring: Awaitable[None]) -> None:
    started = time.monotonic()
    _say(name)
    await measuring
    _say(f"  {time.monotonic() - started:.0f} s")


def _written(directory: Path, document: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "bench.json"
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return file


async def _draw(file: Path, *, quick: bool) -> None:
    if quick and not PLOT.ready:
        _say("No plot: --quick installs nothing, and matplotlib is not there yet.")
        return
    python = await command(PLOT, _say)
    child = await asyncio.create_subprocess_exec(str(python), "-m", "bench.plot", str(file), cwd=ROOT)
    if await child.wait():
        raise BenchError("the plot could not be drawn")
    _say(f"Drawn: {file.with_suffix('.png')} and .svg")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
