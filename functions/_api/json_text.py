"""What is refused of a JSON text before any model looks at it: too many values, depth, repeated names, odd numbers.

The model parses the same bytes again, in JSON mode, which is stricter about types than validating parsed values would
be. This module only looks: it keeps no objects and changes nothing.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from typing import Any

from shared.problems import InvalidRequest

DEPTH_MAX = 64
"""Objects and arrays within one another, the outermost one included."""

VALUES_MAX = 20_000
"""Values in all: each object, array, text, number, true, false and null is one; names of members are none.

It bounds how long one body holds the event loop, and so everybody's requests.
"""

NUMBER_MAX = 100
"""Characters of one number; what a double can tell apart needs 24."""

WHOLE_MAX = 2**53 - 1
"""The greatest whole number, with either sign (RFC 7493, 2.2)."""

MEMBERS_MAX = 10_000
"""Members of one object. It bounds what one body can be wrong about: each unknown member is an error of its own."""

_BRACKETS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))
_QUOTES_MAX = 4 * VALUES_MAX
_WHITE_SPACE = b" \t\r\n"


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
    outside = _outside_of_strings(body)
    if outside is None or _values(outside) > VALUES_MAX:
        raise InvalidRequest(f"The body has more than {VALUES_MAX} values.")
    if _depth(outside) > DEPTH_MAX:
        raise InvalidRequest(f"The body is nested deeper than {DEPTH_MAX}.")
    try:
        json.loads(
            body.decode(), object_pairs_hook=_object, parse_int=_whole, parse_float=_number, parse_constant=_constant
        )
    except (ValueError, RecursionError):  # a UnicodeDecodeError or JSONDecodeError, which would repeat the body (P8)
        raise InvalidRequest(InvalidRequest.NO_JSON) from None


def _outside_of_strings(body: bytes) -> bytes | None:
    """Return what stands outside of strings, with one quote for each string and without white space.

    None if there are more strings than an allowed body can have. What is no JSON may be cut wrongly, and is refused in
    any case.
    """
    # Without its escapes a string has no quote, and a run of backslashes begins with an escape; so every other piece is
    # outside of strings, if this is JSON at all.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > _QUOTES_MAX:
        return None
    return b'"'.join(body.split(b'"')[::2]).translate(None, _WHITE_SPACE)


def _values(outside: bytes) -> int:
    """Return how many values there are: the outermost, and in all others one more than commas if there is any."""
    return 1 + sum(outside.count(each) for each in b",[{") - outside.count(b"[]") - outside.count(b"{}")


def _depth(outside: bytes) -> int:
    """Return how deeply brackets are nested, of whatever kind: pairs are for the parser to check."""
    steps = outside.translate(_BRACKETS, _OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _object(members: Sequence[tuple[str, Any]]) -> None:
    """Check one object and keep nothing of it."""
    if len(members) > MEMBERS_MAX:
        raise InvalidRequest(f"An object has more than {MEMBERS_MAX} members.")
    if len(dict(members)) < len(members):
        raise InvalidRequest(InvalidRequest.REPEATED_NAME)


def _whole(text: str) -> None:
    # Beyond it a double cannot tell two neighbours apart, and many a reader has nothing but doubles (RFC 8259, 6).
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
