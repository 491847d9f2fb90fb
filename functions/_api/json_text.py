"""What is refused of a JSON text before any model looks at it: depth, repeated names, size of one object.

The model parses the same bytes again, in JSON mode, which is stricter about types than validating parsed values would
be. This module only looks: it keeps no objects and changes nothing.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Never

from shared.problems import InvalidRequest

DEPTH_MAX = 64
"""Objects and arrays within one another, the outermost one included."""

MEMBERS_MAX = 10_000
"""Members of one object. It bounds what one body can be wrong about: each unknown member is an error of its own."""

_BRACKETS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))


def check(body: bytes) -> None:
    """Refuse a body that is not JSON in UTF-8, or whose meaning would depend on who parses it.

    Args:
        body: of a length that the caller has bounded; time and memory are in proportion to it.

    Raises:
        InvalidRequest: if it is nested too deeply, has an object with a repeated name or too many members, or is no
            JSON (NaN and infinities are none).
    """
    if _depth(body) > DEPTH_MAX:  # first, and without recursion: the parser's own limit is not ours to rely on
        raise InvalidRequest(f"The body is nested deeper than {DEPTH_MAX}.")
    try:
        # Numbers stay texts: the model refuses those that it cannot have.
        json.loads(
            body.decode(), object_pairs_hook=_object, parse_int=len, parse_float=len, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):  # a UnicodeDecodeError or JSONDecodeError, which would repeat the body (P8)
        raise InvalidRequest(InvalidRequest.NO_JSON) from None


def _depth(body: bytes) -> int:
    """Return how deeply brackets outside of strings are nested, of whatever kind: pairs are for the parser to check."""
    # Without its escapes a string has no quote, and a run of backslashes begins with an escape; so every other piece is
    # outside of strings, if this is JSON at all. What is not may be called deep wrongly, and is refused in any case.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    pieces = body.split(b'"')
    steps = b"".join(pieces[::2]).translate(_BRACKETS, _OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _object(members: Sequence[tuple[str, Any]]) -> None:
    """Check one object and keep nothing of it."""
    if len(members) > MEMBERS_MAX:
        raise InvalidRequest(f"An object has more than {MEMBERS_MAX} members.")
    if len(dict(members)) < len(members):
        raise InvalidRequest(InvalidRequest.REPEATED_NAME)


def _no_constant(name: str) -> Never:
    raise ValueError
