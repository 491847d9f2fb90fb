"""What is said of a body that its model refuses: where, what and the bound, never the caller's words (P8)."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_WORDS: Mapping[str, str] = {
    "bool_type": "must be true or false",
    "datetime_object_invalid": "there is no such date or time",
    "datetime_parsing": "there is no such date or time",
    "datetime_from_date_parsing": "there is no such date or time",
    "dict_type": "must be an object",
    "extra_forbidden": "has an unknown member",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be an array",
    "missing": "is missing",
    "model_type": "must be an object",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "may have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a text",
    "too_long": "may have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "value_error": "{error}",
}
"""By pydantic's type of the error; of a ``value_error`` the words are those of our own validator."""


def said_of(error: ValidationError) -> str:
    """Return a sentence on the first thing that is wrong with a body."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind, context = first["type"], dict[str, Any](first.get("ctx", {}))
    # The last place of an unknown member is its name, which is the caller's.
    places = first["loc"][:-1] if kind == "extra_forbidden" else first["loc"]
    where = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places)
    return f"At ${where}: {_WORDS[kind].format_map(context) if kind in _WORDS else 'is not as the document has it'}."
