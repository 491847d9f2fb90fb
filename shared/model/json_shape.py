"""How large a JSON text is, told without parsing it: so that no text is parsed that would take long."""

from itertools import accumulate

DEPTH_MAX = 64
"""Objects and arrays within one another, the outermost one included."""

VALUES_MAX = 20_000
"""Values in all: each object, array, text, number, true, false and null is one; names of members are none.

It bounds how long one body holds the event loop, and so everybody's requests.
"""

_BRACKETS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))
_WHITE_SPACE = b" \t\r\n"


def values_and_depth(text: bytes, values_max: int) -> tuple[int, int] | None:
    """Return how many values a JSON text has, and how deeply it is nested.

    None if it has more values than ``values_max``, or may have. Of what is no JSON the answer means nothing.

    Args:
        text: in UTF-8; time and memory are in proportion to its length.
        values_max: more are not counted.
    """
    outside = _outside_of_strings(text, 4 * values_max)
    if outside is None:
        return None
    # The outermost, and in all others one more than commas if there is any.
    values = 1 + sum(outside.count(each) for each in b",[{") - outside.count(b"[]") - outside.count(b"{}")
    return (values, _depth(outside)) if values <= values_max else None


def _outside_of_strings(text: bytes, quotes_max: int) -> bytes | None:
    """Return what stands outside of strings, with one quote for each string and without white space.

    None if there are more strings than an allowed text can have. What is no JSON may be cut wrongly, and is refused in
    any case.
    """
    # Without its escapes a string has no quote, and a run of backslashes begins with an escape; so every other piece is
    # outside of strings, if this is JSON at all.
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > quotes_max:
        return None
    return b'"'.join(text.split(b'"')[::2]).translate(None, _WHITE_SPACE)


def _depth(outside: bytes) -> int:
    """Return how deeply brackets are nested, of whatever kind: pairs are for the parser to check."""
    steps = outside.translate(_BRACKETS, _OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)
