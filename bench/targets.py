"""What the figures should be; a target that is missed is reported, never adjusted. Each scenario has its own."""

from dataclasses import dataclass
from typing import Any

from bench.machine import OTHERS_AT_MOST
from bench.results import Median, Results


@dataclass(frozen=True, slots=True)
class Target:
    """One target: the median of a ratio, or of a figure, over the rounds of one run on one machine.

    Attributes:
        name: what it is called on the command line.
        what: what is compared.
        way: ``<=`` or ``>=``.
        bound: what it is held to.
        scenario: where it is measured.
        above: the case and the figure that is divided, round by round.
        below: the case and the figure by which; None if the figure above is the measure itself.
    """

    name: str
    what: str
    way: str
    bound: float
    scenario: str
    above: tuple[str, str]
    below: tuple[str, str] | None = None

    def measured(self, results: Results) -> Median | None:
        """Return what was measured, or None if what it needs was not."""
        values = results.values(self.scenario, *self.above)
        if self.below is not None:
            divisors = results.values(self.scenario, *self.below)
            values = [
                above / below for above, below in zip(values, divisors, strict=bool(values and divisors)) if below
            ]
        return Median.of(values) if values else None

    def holds(self, value: float) -> bool:
        """Tell whether a value is within the bound."""
        return value <= self.bound if self.way == "<=" else value >= self.bound

    def verdict(self, results: Results) -> "Verdict":
        """Return what a run says of it."""
        measured = self.measured(results)
        return Verdict(
            self,
            measured,
            None if measured is None else self.holds(measured.value),
            measured is not None
            and measured.interval is not None
            and len({self.holds(end) for end in measured.interval}) == 1,
            any(
                rounds.others > OTHERS_AT_MOST
                for rounds in results.rounds
                if rounds.scenario == self.scenario and self.above[0] in rounds.cases
            ),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run says of a target.

    Attributes:
        target: which.
        measured: None if it was not.
        held: whether it is, by the median; None if it was not measured.
        certain: whether the whole interval lies on that side of the bound.
        disturbed: whether it was measured beside other work.
    """

    target: Target
    measured: Median | None
    held: bool | None
    certain: bool
    disturbed: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.target.name,
            "what": self.target.what,
            "target": f"{self.target.way} {self.target.bound:g}",
            "measured": None if self.measured is None else self.measured.value,
            "interval": None if self.measured is None else self.measured.interval,
            "rounds": 0 if self.measured is None else self.measured.values,
            "held": self.held,
            "certain": self.certain,
            "disturbed": self.disturbed,
        }
