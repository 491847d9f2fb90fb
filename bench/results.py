"""What was measured: every single value of every figure, by scenario and case."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

_CERTAINTY = 0.95


class BenchError(Exception):
    """A contender did not do what it should have done, so its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Median:
    """The median of one value a round, and the interval in which it lies with a certainty of 95 %.

    Attributes:
        value: the median.
        interval: from and to, or None if there are too few values for that certainty.
        values: of how many.
    """

    value: float
    interval: tuple[float, float] | None
    values: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the median of at least one value.

        The interval is that of the order statistics: of n values from a distribution of any shape, so many lie on
        either side of its median as heads come up in n throws of a coin.
        """
        ordered, n = sorted(values), len(values)
        outside, beyond = 0, 0.0
        while (beyond := beyond + 2 * math.comb(n, outside) / 2**n) <= 1 - _CERTAINTY:
            outside += 1
        interval = (ordered[outside - 1], ordered[n - outside]) if outside else None
        return cls(statistics.median(ordered), interval, n)

    def is_within(self, part: float) -> bool:
        """Tell whether the interval reaches no further than so large a part of the value to either side."""
        if self.interval is None:
            return False
        low, high = self.interval
        return max(high - self.value, self.value - low) <= part * abs(self.value)


@dataclass(frozen=True, slots=True)
class Rounds:
    """How the rounds of some contenders went.

    Attributes:
        scenario: whose.
        cases: the contenders.
        rounds: how many count.
        thrown_away: how many were disturbed.
        seconds: how long it took, waiting included.
        others: the greatest share of the machine that others used in one that counts.
        ended: why there were no more: ``narrow`` (all intervals are), ``rounds`` or ``seconds`` (as many as allowed).
    """

    scenario: str
    cases: Sequence[str]
    rounds: int
    thrown_away: int
    seconds: float
    others: float
    ended: str


class Results:
    """Values as they come in, one for each round; those of contenders in the same rounds are in the same order."""

    def __init__(self) -> None:
        self.cases: dict[tuple[str, str], dict[str, list[float]]] = {}
        self.rounds: list[Rounds] = []

    def add(self, scenario: str, case: str, figures: Mapping[str, float]) -> None:
        """Take one round's figures of a case; a figure's name ends with its unit."""
        kept = self.cases.setdefault((scenario, case), {})
        for figure, value in figures.items():
            kept.setdefault(figure, []).append(value)

    def values(self, scenario: str, case: str, figure: str) -> Sequence[float]:
        """Return a figure's values, none if it was not measured."""
        return self.cases.get((scenario, case), {}).get(figure, [])

    def to_json(self) -> dict[str, Any]:
        """Return one object for each figure of each case, and one for each group of contenders."""
        return {
            "figures": [
                {
                    "scenario": scenario,
                    "case": case,
                    "figure": figure,
                    "median": statistics.median(values),
                    "min": min(values),
                    "max": max(values),
                    "values": values,
                }
                for (scenario, case), figures in self.cases.items()
                for figure, values in figures.items()
            ],
            "rounds": [asdict(each) for each in self.rounds],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` told."""
        results = cls()
        for each in told["figures"]:
            of_case = results.cases.setdefault((each["scenario"], each["case"]), {})
            of_case[each["figure"]] = each["values"]
        results.rounds = [Rounds(**each) for each in told["rounds"]]
        return results
