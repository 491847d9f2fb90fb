"""When rounds end, which of them count, and what is said of a target: on figures that are made up."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bench import __main__ as command
from bench.generator import Generator
from bench.machine import MachineBusy, Used, Watch
from bench.plan import DEFAULT, QUICK
from bench.results import Median, Results
from bench.rounds import Spoilt, rounds
from bench.scenario import Bench
from bench.targets import Target

RATIO = Target("ratio", "ours / theirs", "<=", 1.0, "made up", ("ours", "s"), ("theirs", "s"))


class Made:
    """A run whose contenders take as long as they are told to, on a machine that others use as much as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, others: Sequence[float] = (), anyway: bool = False) -> None:
        told = iter(others)
        self.asked: list[str] = []
        self.said: list[str] = []
        plan = replace(DEFAULT, rounds_least=6, rounds_most=20)
        watch = Watch(self.said.append, anyway=anyway)
        self.bench = Bench(plan, Results(), Path(), self.said.append, cast(Generator, None), watch)
        monkeypatch.setattr(asyncio, "sleep", self._pass)
        monkeypatch.setattr(Used, "now", lambda: Used(time.monotonic(), 0.0, 0.0))
        monkeypatch.setattr(Used, "others_since", lambda _, before: next(told, 0.0))

    async def _pass(self, seconds: float) -> None: ...

    def contender(self, case: str, seconds: Callable[[], float]) -> Callable[[], Awaitable[Mapping[str, float]]]:
        async def run() -> Mapping[str, float]:
            self.asked.append(case)
            return {"s": seconds()}

        return run

    async def compare(self, ours: Callable[[], float], theirs: Callable[[], float] = lambda: 1.0) -> None:
        contenders = {"ours": self.contender("ours", ours), "theirs": self.contender("theirs", theirs)}
        await rounds(self.bench, "made up", contenders, [RATIO])

    @property
    def found(self) -> Median:
        found = RATIO.measured(self.bench.results)
        assert found is not None
        return found


def test_the_interval_is_as_wide_as_95_in_100_need() -> None:
    assert Median.of([3, 1, 2, 5, 4]).interval is None, "1 in 16 samples of five lies on one side of the median"
    assert Median.of([3, 1, 2, 5, 4, 6]) == Median(3.5, (1, 6), 6)
    assert Median.of(range(10)) == Median(4.5, (1, 8), 10)


async def test_contenders_take_turns_in_either_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    await made.compare(lambda: 0.8)
    assert made.asked == ["ours", "theirs", "theirs", "ours"] * 3


async def test_there_are_rounds_until_the_ratio_is_known_narrowly(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = iter([0.5, 0.8, 0.8, 0.8, 1.2, 0.8, 0.81, 0.79, 0.8, 0.8, 0.8, 0.8])
    made = Made(monkeypatch)
    await made.compare(lambda: next(ratios))
    [told] = made.bench.results.rounds
    assert (told.rounds, told.ended) == (9, "narrow")
    assert made.found == Median(0.8, (0.79, 0.81), 9)


async def test_a_ratio_that_never_is_known_narrowly_ends_with_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = iter([0.5, 1.5] * 10)
    made = Made(monkeypatch)
    await made.compare(lambda: next(ratios))
    assert [each.ended for each in made.bench.results.rounds] == ["rounds"]
    verdict = RATIO.verdict(made.bench.results)
    assert (verdict.held, verdict.certain) == (True, False)


async def test_a_ratio_is_that_of_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    slower = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    both: list[float] = []
    made = Made(monkeypatch)

    def speed() -> float:
        if len(both) == 2:
            both.clear()
        both.append(next(slower) if not both else both[0])
        return both[-1]

    await made.compare(speed, speed)
    assert made.found == Median(1.0, (1.0, 1.0), 6), "the machine was slower each time, and the ratio the same"


async def test_a_round_beside_other_work_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    # Before anything, in the first round, while waiting, once more, and then in rounds that count.
    others = [0.0, 0.3, 0.2, 0.04, 0.04]
    seconds = iter([9.0] + [0.8] * 6)
    made = Made(monkeypatch, others=others)
    await made.compare(lambda: next(seconds))
    [told] = made.bench.results.rounds
    assert (told.rounds, told.thrown_away, told.others) == (6, 1, 0.04)
    assert list(made.bench.results.values("made up", "ours", "s")) == [0.8] * 6


async def test_a_spoilt_round_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter([None, *[0.8] * 6])

    def outcome() -> float:
        found = next(outcomes)
        if found is None:
            raise Spoilt("too late")
        return found

    made = Made(monkeypatch)
    await made.compare(outcome)
    assert [each.thrown_away for each in made.bench.results.rounds] == [1]


async def test_a_machine_that_stays_busy_gets_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, others=[0.5] * 1000)
    with pytest.raises(MachineBusy, match="Others use 50% of the machine"):
        await made.compare(lambda: 0.8)
    assert made.asked == []


async def test_who_wants_figures_anyway_gets_them_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, others=[0.5] * 1000, anyway=True)
    await made.compare(lambda: 0.8)
    assert RATIO.verdict(made.bench.results).disturbed


def test_what_our_children_use_is_our_own() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass\n"
    before = Used.now()
    subprocess.run([sys.executable, "-c", burn], check=True)
    with subprocess.Popen([sys.executable, "-c", f"{burn}print(flush=True)\ninput()"], stdin=-1, stdout=-1) as alive:
        assert alive.stdout is not None
        alive.stdout.readline()
        own = Used.now().own - before.own
        alive.kill()
    assert own > 0.9


def test_a_busy_machine_has_an_exit_code_of_its_own_and_what_was_found_is_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    taken_up: list[Any] = []

    async def busy(run: Any, *_: object) -> None:
        taken_up.append((dict(run.done), run.results.to_json()))
        run.results.add("made up", "ours", {"s": 0.8})
        run.done["made up"] = 3.0
        run.keep()
        raise MachineBusy("Others use half of the machine.")

    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    monkeypatch.setattr(command, "_bench", busy)
    for arguments in ([], ["--resume"]):
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        assert command.main() == 3
    assert "--resume goes on" in capsys.readouterr().err
    assert taken_up[0] == ({}, {"figures": [], "rounds": []})
    done, found = taken_up[1]
    assert done["made up"] == 3.0
    assert [(each["case"], each["figure"], each["values"][0]) for each in found["figures"]] == [("ours", "s", 0.8)]


def test_a_name_means_one_scenario() -> None:
    told = [(each.name, name) for name, scenario in command.SCENARIOS.items() for each in scenario.targets(QUICK)]
    scenarios = dict(told) | {name: name for name in command.SCENARIOS}
    assert len(dict(told)) == len(told)
    assert [scenarios[target] for target, _ in told] == [scenario for _, scenario in told]
