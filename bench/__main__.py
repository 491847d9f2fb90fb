"""``python -m bench [--quick] [--only NAME [--large]]... [--repeat N] [--anyway] [--resume]``: measure, and tell it."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from audit.command_line import Parser, count
from bench import (
    batches,
    captures,
    cold_start,
    concurrency,
    consent,
    ledgers,
    memory,
    purge,
    report,
    retention,
    spans,
    status,
    sweep,
    toggle,
)
from bench.generator import Generator
from bench.machine import MachineBusy, Watch
from bench.plan import DEFAULT, LARGE, QUICK, Plan
from bench.results import BenchError, Results
from bench.scenario import FEED_OFF, GEO, TIMERS_OFF, Bench, kept
from bench.targets import Target
from bench.venvs import PLOT, command
from local.process import ROOT, ProcessError
from local.stack import Stack, StackError


class Scenario(Protocol):
    """What a module of the bench has to have to be one."""

    def targets(self, plan: Plan) -> Sequence[Target]:
        """Return what its figures should be."""
        ...

    async def measure(self, bench: Bench, stack: Stack) -> None:
        """Measure on a fresh stack whose timers are off."""
        ...


SCENARIOS: Mapping[str, Scenario] = {
    "captures": captures,
    "batches": batches,
    "spans": spans,
    "consent": consent,
    "toggle": toggle,
    "retention": retention,
    "purge": purge,
    "cold-start": cold_start,
    "memory": memory,
    "concurrency": concurrency,
    "sweep": sweep,
    "ledgers": ledgers,
    "status": status,
}

_FED = {"toggle", "concurrency"}
"""Whose opt-outs are to become deletions."""

_RESULTS = ROOT / "bench" / "results"
_BUSY = 3


def main() -> int:
    """Measure and return the exit code.

    0 also when a target is missed; 1 when something did not work; 3 when the machine was busy for too long.
    """
    of_targets = {each.name: name for name, scenario in SCENARIOS.items() for each in scenario.targets(DEFAULT)}
    parser = Parser(prog="python -m bench", description="What the service costs.")
    parser.add_argument(
        "--quick", action="store_true", help="only prove that it runs: tiny sizes, figures without meaning"
    )
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--only",
        action="append",
        choices=[*SCENARIOS, *of_targets],
        metavar="NAME",
        help=f"scenarios: {', '.join(SCENARIOS)}; or those of these targets: {', '.join(of_targets)}",
    )
    some.add_argument("--resume", action="store_true", help="go on with the whole run that ended early")
    parser.add_argument("--repeat", type=count, help="exactly so many rounds, unless the time is over before")
    parser.add_argument("--anyway", action="store_true", help="measure beside other work too; the figures are marked")
    parser.add_argument("--large", action="store_true", help="sizes that take minutes for each round; with --only")
    options = parser.parse_args()
    if options.resume and options.quick:
        parser.error("--resume goes on with a whole run, which is never quick")
    if options.large and (options.quick or not options.only):
        parser.error("--large is for what --only names, and never quick")
    plan = QUICK if options.quick else LARGE if options.large else DEFAULT
    if options.repeat:
        plan = replace(plan, rounds_least=options.repeat, rounds_most=options.repeat)
    wanted = [of_targets.get(each, each) for each in options.only or SCENARIOS]
    run = Run(plan, Watch(_say, anyway=options.anyway or options.quick))
    # What is not a whole run is for whoever asked for it, and not to be taken for the project's figures.
    whole = not options.quick and not options.only
    try:
        if options.resume:
            run.resume()
        asyncio.run(_bench(run, [name for name in SCENARIOS if name in wanted], _RESULTS if whole else None))
    except MachineBusy as busy:
        print(busy, file=sys.stderr)
        if whole:
            print("--resume goes on with what is left; --anyway does not care.", file=sys.stderr)
        return _BUSY
    except (BenchError, StackError, ProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


class Run:
    """A run: what was found, and on which machine. A whole one is kept after each scenario until it is done."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        self.plan = plan
        self.watch = watch
        self.where = report.machine()
        self.results = Results()
        self.done: dict[str, float] = {}
        """The scenarios that were measured, and the seconds it took."""

    def resume(self) -> None:
        """Take over what the last run found."""
        try:
            told = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BenchError("No run has ended early.") from None
        self.where, self.done = told["machine"], told["done"]
        self.results = Results.from_json(told)

    def keep(self) -> None:
        """Write down what was found so far."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        told = {"machine": self.where, "done": self.done, **self.results.to_json()}
        self._file.write_text(json.dumps(told), encoding="utf-8")

    def forget(self) -> None:
        """Remove what was kept: the run is done."""
        self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return kept() / "unfinished.json"


async def _bench(run: Run, names: Sequence[str], whole: Path | None) -> None:
    """Measure what is not done yet, and write it down: in ``whole``, or where nobody takes it for the project's."""
    async with Generator() as generator:
        for name in names:
            if name not in run.done:
                started = time.monotonic()
                _say(name)
                with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
                    bench = Bench(run.plan, run.results, Path(scratch), _say, generator, run.watch)
                    # Azurite writes down every 5 s all that it holds, and answers nobody meanwhile: what was stored
                    # before would be seen in the latencies.
                    directory = bench.directory / "stack"
                    settings = TIMERS_OFF | ({} if name in _FED else FEED_OFF)
                    async with Stack(directory, (GEO,), settings=settings, storage_on_disk=False) as stack:
                        await SCENARIOS[name].measure(bench, stack)
                run.done[name] = time.monotonic() - started
                _say(f"  {run.done[name]:.0f} s")
                if whole:
                    run.keep()
    found = [target.verdict(run.results) for each in SCENARIOS.values() for target in each.targets(run.plan)]
    asked = " ".join(["python -m bench", *sys.argv[1:]])
    text = "\n".join(report.text(run.where, asked, run.done, run.results, found))
    _say(f"\n{text}")
    directory = whole or kept() / "results"
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "bench.json"
    told = report.document(run.where, asked, run.done, run.results, found)
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")
    _say(f"\nIn {file} and .md")
    if whole:
        run.forget()
    await _draw(file, quick=run.plan == QUICK)


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
