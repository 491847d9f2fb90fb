"""``python -m tests.simulation``: run histories, replay one, or plant bugs and see them found."""

import argparse
import re
import sys
import time

from audit.command_line import Parser, count
from tests.simulation import campaign, crash_points, mutants


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says and return the exit code: 1 if a promise was broken or a planted bug survived."""
    parser = Parser(prog="python -m tests.simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run many histories")
    run.add_argument("--histories", type=count, default=10_000)
    run.add_argument("--seed", type=int, default=1, help="the first one")
    run.add_argument("--jobs", type=count, default=2)
    replay = commands.add_parser("replay", help="run one history again")
    replay.add_argument("seed", type=_seed, help="a number, or a script's crash point, as it was printed")
    replay.add_argument("--verbose", action="store_true", help="tell of each call")
    planted = commands.add_parser("mutants", help="plant known bugs one by one; each must be found")
    planted.add_argument("--histories", type=count, default=2_000, help="at most, for each bug")
    planted.add_argument("--seed", type=int, default=1)
    planted.add_argument("--jobs", type=count, default=2)
    planted.add_argument("--only", type=_planted, help="the name of one of them")
    options = parser.parse_args(arguments)
    if options.command == "run":
        return _run(options.histories, options.seed, options.jobs)
    if options.command == "replay":
        return _replay(options.seed, options.verbose)
    return _mutants(options.histories, options.seed, options.jobs, options.only)


def _seed(text: str) -> str:
    script, _, point = text.partition("/")
    if text.isascii() and text.isdigit():
        return text
    if script in crash_points.SCRIPTS and re.fullmatch(r"\d+/(before|after)", point):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor script/call/before or script/call/after")


def _planted(text: str) -> str:
    if text not in mutants.MUTANTS:
        raise argparse.ArgumentTypeError(f"no planted bug is called {text!r}; without --only all names are printed")
    return text


def _run(histories: int, seed: int, jobs: int) -> int:
    commit, told = campaign.commit(), list[int | str]()

    def tell(violations: list[tuple[int | str, str]]) -> None:
        """Tell of those that were not told of yet: a long run need not come to its end for them to be looked into."""
        for found, what in violations[len(told) : 20]:
            told.append(found)
            print(f"seed {found} at {commit}: {what}\n  replay: .venv/bin/python -m tests.simulation replay {found}")

    def progress(so_far: campaign.Summary, seconds: float) -> None:
        print(
            f"{so_far.histories:,} of {histories:,} histories, {so_far.histories / seconds:.0f} a second, "
            f"{len(so_far.violations)} violations",
            flush=True,
        )
        tell(so_far.violations)

    began = time.monotonic()
    total = crash_points.run_all(jobs)
    print(f"{total.crash_points:,} crash points of {len(crash_points.SCRIPTS)} scripts tried", flush=True)
    random, _ = campaign.run_all(campaign.chunks(seed, histories), jobs, progress)
    total.merge(random)
    print(total.table(time.monotonic() - began))
    tell(total.violations)
    return 1 if total.violations else 0


def _replay(seed: str, verbose: bool) -> int:
    if seed.isdigit():
        outcome = campaign.run_seed(int(seed), verbose=verbose)
    else:
        outcome = crash_points.run_one(seed, verbose=verbose)
    print(f"seed {seed} at {campaign.commit()}: {outcome.violation or 'no violation'}")
    print(f"{sum(outcome.operations.values())} operations, {outcome.calls} store calls, trace {outcome.trace_hash}")
    return 1 if outcome.violation else 0


def _mutants(histories: int, seed: int, jobs: int, only: str | None) -> int:
    began = time.monotonic()
    found = mutants.run_all(histories, seed, jobs, only, lambda line: print(line, flush=True))
    print(mutants.table(found))
    survivors = [each.name for each in found if each.violation is None]
    print(f"{len(found) - len(survivors)} of {len(found)} planted bugs found in {time.monotonic() - began:.0f} s")
    if survivors:
        print("survived: " + ", ".join(survivors))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
