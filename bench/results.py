"""What was measured: every single value of every figure, by scenario and case."""

import statistics
from collections.abc import Mapping
from typing import Any


class BenchError(Exception):
    """A contender did not do what it should have done, so its figures would mean nothing."""


class Results:
    """Values as they come in, one for each round."""

    def __init__(self) -> None:
        self.cases: dict[tuple[str, str], dict[str, list[float]]] = {}

    def add(self, scenario: str, case: str, figures: Mapping[str, float]) -> None:
        """Take one round's figures of a case; a figure's name ends with its unit."""
        kept = self.cases.setdefault((scenario, case), {})
        for figure, value in figures.items():
            kept.setdefault(figure, []).append(value)

    def median(self, scenario: str, case: str, figure: str) -> float | None:
        """Return the median of a figure's values, or None if it was not measured."""
        values = self.cases.get((scenario, case), {}).get(figure)
        return statistics.median(values) if values else None

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object for each figure of each case."""
        return [
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
        ]
