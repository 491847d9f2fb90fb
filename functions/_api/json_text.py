"""What is refused of a JSON text before any model looks at it: too many values, depth, repeated names, odd numbers.

The model parses the same bytes again, in JSON mode, which is stricter about types than validating parsed values would
be. This module only looks: it keeps no objects and changes nothing.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from shared.model.json_shape import DEPTH_MAX, VALUES_MAX, values_and_depth
from shared.problems import InvalidRequest

NUMBER_MAX = 100
"""Characters of one number; what a double can tell apart needs 24."""

WHOLE_MAX = 2**53 - 1
"""The greatest whole number, with either sign (RFC 7493, 2.2): beyond it a double cannot tell two neighbours apart, and
many a reader has nothing but doubles."""

MEMBERS_MAX = 10_000
"""Members of one object. It bounds what one body can be wrong about: each unknown member is an error of its own."""


def check(body: bytes) -> None:
    """Refuse a body that is not JSON in UTF-8, or whose meaning would depend on who parses it.

    Args:
        body: of a length that the caller has bounded; time and memory are in proportion to it.

    Raises:
        InvalidRequest: if it has too many values, is nested too deeply, has an object with a repeated name or too many
            members, has a number that is too long or beyond double precision, or is no JSON (NaN and infinities are
            none).
    """
    # First, and without recursion: the parser's own limit is not ours to rely on.
    check_shape(body, "body", VALUES_MAX)
    try:
        _LOOK.decode(body.decode())
    except (ValueError, RecursionError):  # a UnicodeDecodeError or JSONDecodeError, which would repeat the body (P8)
        raise InvalidRequest(InvalidRequest.NO_JSON) from None


def check_shape(text: bytes, what: str, values_max: int) -> None:
    """Refuse a JSON text that would take long to parse.

    Args:
        text: of a length that the caller has bounded.
        what: what it is called.
        values_max: how many values it may have.

    Raises:
        InvalidRequest: if it has more values, or is nested too deeply.
    """
    shape = values_and_depth(text, values_max)
    if shape is None:
        raise InvalidRequest(f"The {what} has more than {values_max} values.")
    if shape[1] > DEPTH_MAX:
        raise InvalidRequest(f"The {what} is nested deeper than {DEPTH_MAX}.")


def whole(value: Any) -> Any:
    """Take 60.0 for 60, as JSON Schema does; texts and booleans stay what they are, and a model refuses them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _object(members: Sequence[tuple[str, Any]]) -> None:
    """Check one object and keep nothing of it."""
    if len(members) > MEMBERS_MAX:
        raise InvalidRequest(f"An object has more than {MEMBERS_MAX} members.")
    if len(dict(members)) < len(members):
        raise InvalidRequest(InvalidRequest.REPEATED_NAME)


def _whole(text: str) -> None:
    if abs(int(_short(text))) > WHOLE_MAX:
        raise InvalidRequest(InvalidRequest.NUMBER)


def _number(text: str) -> None:
    # The only look at numbers: the model takes what is infinite in double precision, and JSON has no infinity.
    if not isfinite(float(_short(text))):
        raise InvalidRequest(InvalidRequest.NUMBER)


def _short(text: str) -> str:
    if len(text) > NUMBER_MAX:
        raise InvalidRequest(f"A number has more than {NUMBER_MAX} characters.")
    return text


def _constant(text: str) -> None:
    raise ValueError  # NaN and infinities are no JSON


_LOOK = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_float=_number, parse_constant=_constant)
