"""D4: what a capture must say, and from what its caller learns what is wrong with it."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.model.capture import Capture
from shared.model.messages import TEXT_MAX_BYTES

SENT: dict[str, Any] = {"capturedAt": "2026-11-21T12:00:00Z", "feature": "flow", "input": "a", "output": "b"}
EURO = "\N{EURO SIGN}"
TOO_LONG = f"{EURO * (TEXT_MAX_BYTES // 3)}xy"


@pytest.mark.parametrize(
    "more",
    [
        {"capturedAt": "2026-11-21t12:00:59.5z"},
        {"capturedAt": "2026-11-21T12:00:00-14:00"},
        {"input": "x" * TEXT_MAX_BYTES, "output": TOO_LONG[:-1]},
        {"output": None, "outputMessages": []},
        {"inputMessages": [{"role": "user", "parts": [{"type": "text", "content": TOO_LONG[:-1], "n": 1}]}]},
    ],
)
def test_what_is_as_it_should_be_is_taken(more: dict[str, Any]) -> None:
    Capture.model_validate({**SENT, **more})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"capturedAt": 5}, "must be a text with an instant, as in 2026-11-21T12:00:00Z"),
        ({"capturedAt": "2026-12-31T23:59:60Z"}, "a second goes to 59; send a leap second as 59"),
        ({"capturedAt": "2026-12-31t23:59:60.5+01:00"}, "a second goes to 59; send a leap second as 59"),
        ({"capturedAt": "2026-11-21T12:00:00"}, "needs an offset, Z or as in +01:00"),
        ({"capturedAt": "2026-11-21"}, "must be an instant as in 2026-11-21T12:00:00Z (RFC 3339)"),
        ({"input": TOO_LONG}, "may have at most 262144 bytes of UTF-8"),
        ({"output": "x" * (TEXT_MAX_BYTES + 1)}, "may have at most 262144 bytes of UTF-8"),
        ({"input": None}, "input or inputMessages is missing"),
        ({"output": None}, "output or outputMessages is missing"),
        ({"systemInstructions": [{"type": 5}]}, "needs a type that is a text"),
        (
            {"systemInstructions": [{"type": "text", "n": 1, "content": TOO_LONG}]},
            "may have at most 262144 bytes of UTF-8 in a text",
        ),
    ],
)
def test_what_is_wrong_is_told_in_the_same_words_each_time(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Capture.model_validate({**SENT, **more})
    assert [each["msg"] for each in refused.value.errors()] == [f"Value error, {told}"]
