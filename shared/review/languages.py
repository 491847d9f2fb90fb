"""Which language a capture is in: what it says, or what its texts seem to be."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from shared.model.capture import LANGUAGE
from shared.model.selection import texts

_ENOUGH = 2000
"""Characters; more would not change the answer."""

_TEXTS_MAX = 16

_RENAMED = {"iw": "he", "jw": "jv"}
"""Codes that ISO 639 has withdrawn, with those of today: what pycld2 says of Hebrew and Javanese."""

_NO_LANGUAGE = ("xx", "zz")
"""So begins what it says of a script that no language that it knows is written in, and of jokes such as Pig Latin."""


def language_of(capture: Mapping[str, Any]) -> str | None:
    """Return the language by its code of ISO 639, in lower case, or None if nobody can tell."""
    said = capture.get("language")
    if isinstance(said, str) and LANGUAGE.fullmatch(said):
        return said.partition("-")[0].lower()
    # Here and not above: only few functions should wait for this import.
    import pycld2  # noqa: PLC0415

    sample = " ".join(text[:_ENOUGH] for text in islice(texts(capture), _TEXTS_MAX))[:_ENOUGH]
    # It takes no control characters.
    plain = "".join(each if each.isprintable() else " " for each in sample)
    try:
        reliable, _, found = pycld2.detect(plain, bestEffort=True)
    except pycld2.error:
        return None
    code = str(found[0][1]).partition("-")[0]
    return _RENAMED.get(code, code) if reliable and not code.startswith(_NO_LANGUAGE) else None
