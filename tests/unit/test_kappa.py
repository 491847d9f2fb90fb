"""Cohen's kappa: the examples that others have published, and where it is not defined."""

from collections.abc import Mapping

import pytest

from shared.model.agreement import Agreements, agreement, kappa
from shared.model.labels import Label, ReviewerLabels
from tests.clocks import START

PAIR = ("ann", "bob")


def table(*rows: tuple[int, ...]) -> dict[tuple[str, str], int]:
    """Return a table as it is printed: a row for each verdict of the first, a column for each of the second."""
    names = "abcdefg"
    return {(names[y], names[x]): count for y, row in enumerate(rows) for x, count in enumerate(row)}


def labels(reviewer: str, verdicts: Mapping[int, str | None]) -> ReviewerLabels:
    said = {line: Label(verdict=verdict, score=0.5, at=START) for line, verdict in verdicts.items()}
    return ReviewerLabels(reviewer=reviewer, labels=said)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Cohen (1968), "Weighted kappa", table 1, times 200: two judges, 200 diagnoses.
        ([(88, 14, 18), (10, 40, 10), (2, 6, 12)], "0.492"),
        # Wikipedia, "Cohen's kappa": 50 grant proposals; and two tables with the same share of agreement, 60 of 100.
        ([(20, 5), (10, 15)], "0.4000"),
        ([(45, 15), (25, 15)], "0.1304"),
        ([(25, 35), (5, 35)], "0.2593"),
        # Viera and Garrett (2005), "Understanding interobserver agreement": 100 physical findings.
        ([(15, 5), (10, 70)], "0.57"),
        # Feinstein and Cicchetti (1990), "High agreement but low kappa": both agree on 85 of 100.
        ([(40, 9), (6, 45)], "0.70"),
        ([(80, 10), (5, 5)], "0.32"),
    ],
)
def test_it_is_what_was_published(rows: list[tuple[int, ...]], expected: str) -> None:
    found = kappa(table(*rows))
    assert found == pytest.approx(float(expected), abs=0.5 * 10 ** -len(expected.partition(".")[2]))
    turned = {(second, first): count for (first, second), count in table(*rows).items()}
    assert kappa(turned) == found, "whoever is called the first"


def test_it_is_1_with_all_the_same_0_by_chance_and_below_0_with_less() -> None:
    assert kappa(table((3, 0), (0, 7))) == 1
    assert kappa(table((1, 1), (1, 1))) == 0
    assert kappa(table((0, 2), (2, 0))) == -1


def test_it_is_not_defined_where_chance_alone_has_both_agree() -> None:
    assert kappa(table((7,))) is None
    assert kappa({}) is None
    assert kappa({("a", "a"): 10**15, ("a", "b"): 0}) is None
    assert kappa({("a", "a"): 10**15, ("a", "b"): 1}) == 0, "no question of rounding"
    assert kappa({("a", "b"): 7}) == 0, "they never agree, and nobody would expect them to"


def test_each_verdict_is_compared_against_all_others_taken_as_one() -> None:
    found = agreement(PAIR, table((88, 14, 18), (10, 40, 10), (2, 6, 12)))
    assert (found.reviewers, found.captures, found.observed) == (PAIR, 200, 0.7)
    assert [(each.verdict, each.both, each.first, each.second) for each in found.verdicts] == [
        ("a", 88, 120, 100),
        ("b", 40, 60, 60),
        ("c", 12, 20, 40),
    ]
    for each, rows in zip(
        found.verdicts,
        ([(88, 32), (12, 68)], [(40, 20), (20, 120)], [(12, 8), (28, 152)]),
        strict=True,
    ):
        assert each.kappa == kappa(table(*rows))
    assert [each.kappa for each in found.verdicts] == pytest.approx([0.56, 0.5238, 0.30769], abs=0.00005)


def test_a_verdict_that_both_gave_to_all_has_no_kappa() -> None:
    found = agreement(PAIR, {("a", "a"): 4})
    assert (found.observed, found.kappa) == (1, None)
    [each] = found.verdicts
    assert (each.verdict, each.kappa, each.both, each.first, each.second) == ("a", None, 4, 4, 4)


def test_only_captures_with_a_verdict_of_both_count_batch_by_batch() -> None:
    agreements = Agreements()
    assert agreements.of_pairs() == []
    agreements.add([labels("bob", {0: "a", 1: "b", 2: None, 3: "a"}), labels("ann", {0: "a", 1: "a", 2: "a", 7: "b"})])
    agreements.add([labels("bob", {0: "b"})])
    agreements.add([labels("cleo", {0: "b"}), labels("ann", {0: "b"}), labels("bob", {0: "b"})])
    agreements.add([labels("ann", {0: "a"}), labels("dan", {1: "a"}), labels("eve", {0: None})])
    found = agreements.of_pairs()
    assert [(each.reviewers, each.captures) for each in found] == [
        (("ann", "bob"), 3),
        (("ann", "cleo"), 1),
        (("bob", "cleo"), 1),
    ]
    assert found[0] == agreement(PAIR, {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1})
