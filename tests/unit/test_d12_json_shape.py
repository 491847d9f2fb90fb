"""D12: how large a JSON text is, is told before it is parsed, so that no body holds up everybody's requests."""

import pytest

from shared.model.json_shape import values_and_depth


@pytest.mark.parametrize(
    ("text", "values", "depth"),
    [
        (b"1", 1, 0),
        (b'"[{,"', 1, 0),
        (b"[]", 1, 1),
        (b"{ }", 1, 1),
        (b"[[ ]\n,\t{ }\r]", 3, 2),
        (b"[[1], [[2]], 3]", 7, 3),
        (b'{"a": "b", "c": "d", "e": {"f": [null]}}', 6, 3),
        (rb'["[\"[[", "\\", {"]": "{"}]', 5, 2),
        (rb'["\\\\\"[", "\\\\", []]', 4, 2),
    ],
)
def test_values_and_depth_are_those_of_the_text_and_more_values_than_allowed_are_none(
    text: bytes, values: int, depth: int
) -> None:
    assert values_and_depth(text, values) == (values, depth)
    assert values_and_depth(text, values - 1) is None
