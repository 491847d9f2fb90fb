"""How far reviewers agree beyond chance: Cohen's kappa over the captures that two of them have judged (P12).

Cohen, J. (1960), A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20, 37-46.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from shared.model.labels import ReviewerLabels

Table = Mapping[tuple[str, str], int]
"""How often the first of two reviewers gave one verdict where the second gave another, or the same."""


@dataclass(frozen=True, slots=True)
class VerdictAgreement:
    """How far two reviewers agree on one verdict, against all others taken as one.

    Attributes:
        verdict: the verdict.
        kappa: None where it is not defined.
        both: to how many captures both gave it.
        first, second: to how many the first gave it, and the second.
    """

    verdict: str
    kappa: float | None
    both: int
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two reviewers agree.

    Attributes:
        reviewers: their object ids, in their order.
        captures: how many captures have a verdict of both.
        observed: the share of them to which both gave the same.
        kappa: None where it is not defined: chance alone would have them agree on all.
        verdicts: those that either of the two gave to one of these captures, in their order.
    """

    reviewers: tuple[str, str]
    captures: int
    observed: float
    kappa: float | None
    verdicts: Sequence[VerdictAgreement]


class Agreements:
    """Takes the labels of one batch after the other and keeps of them only how often which verdicts met."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, str], Counter[tuple[str, str]]] = {}

    def add(self, labels: Iterable[ReviewerLabels]) -> None:
        """Take all that is said of one batch, at most once by each reviewer."""
        for one, other in combinations(sorted(labels, key=lambda each: each.reviewer), 2):
            for line in one.labels.keys() & other.labels.keys():
                first, second = one.labels[line].verdict, other.labels[line].verdict
                if first is not None and second is not None:
                    self._met.setdefault((one.reviewer, other.reviewer), Counter())[first, second] += 1

    def of_pairs(self) -> Sequence[Agreement]:
        """Return how far each two reviewers agree who gave a verdict to the same capture, in their order."""
        return [agreement(reviewers, table) for reviewers, table in sorted(self._met.items())]


def agreement(reviewers: tuple[str, str], table: Table) -> Agreement:
    """Return how far two reviewers agree.

    Args:
        reviewers: the two.
        table: how often which of their verdicts met; at least one did.
    """
    captures = sum(table.values())
    same = sum(count for (first, second), count in table.items() if first == second)
    verdicts = sorted({verdict for met in table for verdict in met})
    return Agreement(
        reviewers, captures, same / captures, kappa(table), [_on_verdict(each, table) for each in verdicts]
    )


def kappa(table: Table) -> float | None:
    """Return Cohen's kappa; None where chance alone would have both agree on all, or they have judged nothing."""
    captures = sum(table.values())
    first, second = Counter[str](), Counter[str]()
    for (one, other), count in table.items():
        first[one] += count
        second[other] += count
    # In whole numbers, times the square of all captures: whether it is defined is no question of rounding.
    by_chance = sum(first[verdict] * second[verdict] for verdict in first)
    same = captures * sum(count for (one, other), count in table.items() if one == other)
    most = captures * captures
    return None if by_chance == most else (same - by_chance) / (most - by_chance)


def _on_verdict(verdict: str, table: Table) -> VerdictAgreement:
    against_rest = Counter[tuple[str, str]]()
    for (first, second), count in table.items():
        against_rest[verdict if first == verdict else "", verdict if second == verdict else ""] += count
    both, only_first, only_second = (against_rest[met] for met in ((verdict, verdict), (verdict, ""), ("", verdict)))
    return VerdictAgreement(verdict, kappa(against_rest), both, both + only_first, both + only_second)
