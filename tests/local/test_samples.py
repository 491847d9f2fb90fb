"""The samples are varied enough to demonstrate with, and unmistakable when one turns up where it must not."""

from collections import Counter

from local.samples import load

SAMPLES = load()
AREAS = {
    "power-automate.flow-from-description": "flows and formulas",
    "power-automate.expression": "flows and formulas",
    "power-fx.formula": "flows and formulas",
    "excel.formula": "flows and formulas",
    "power-apps.app-from-description": "app building",
    "power-apps.screen-from-description": "app building",
    "power-apps.table-from-description": "app building",
    "dynamics-365.customer-service.draft-reply": "customer service",
    "dynamics-365.customer-service.case-summary": "customer service",
}


def test_three_languages_and_three_areas_have_equal_shares() -> None:
    assert len(SAMPLES) >= 48
    shares = Counter((sample.language, AREAS[sample.feature]) for sample in SAMPLES)
    assert len(shares) == 9
    assert len(set(shares.values())) == 1


def test_any_number_of_the_first_ones_is_mixed() -> None:
    assert len({sample.language for sample in SAMPLES[:3]}) == 3


def test_every_text_is_found_only_where_it_belongs() -> None:
    texts = [text for sample in SAMPLES for text in (sample.input, sample.output)]
    assert len(set(texts)) == len(texts)
    assert all(sum(text in other for other in texts) == 1 for text in texts)
    assert all(len(text) > 20 for text in texts)


def test_lengths_vary_as_in_life() -> None:
    sizes = [len(sample.output.encode()) for sample in SAMPLES]
    assert min(sizes) > 200
    assert sum(1000 < size < 3000 for size in sizes) >= len(sizes) // 4


def test_a_capture_has_the_members_of_the_api_and_none_that_is_empty() -> None:
    members = {"capturedAt", "feature", "environmentId", "userId", "input", "output", "telemetry"}
    captures = [sample.capture("2031-02-03T04:05:06Z") for sample in SAMPLES]
    assert all(set(capture) <= members and None not in capture.values() for capture in captures)
    assert any(set(capture) == members for capture in captures)
    assert any(set(capture) < members for capture in captures)
    assert {capture["capturedAt"] for capture in captures} == {"2031-02-03T04:05:06Z"}
    assert all({"latencyMs", "model", "accepted", "promptTokens"} <= set(sample.telemetry) for sample in SAMPLES)
