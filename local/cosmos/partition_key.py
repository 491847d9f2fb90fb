"""A container's partition key: its definition, its value in an item, and the header that names it."""

import json
from typing import Any

from local.cosmos.errors import Invalid, NotImplementedHere


def definition_path(definition: Any) -> tuple[str, ...]:
    """The property names on the way to the key, from a container's ``partitionKey`` definition.

    Raises:
        Invalid: there is no usable definition.
        NotImplementedHere: it is hierarchical, or its path quoted.
    """
    paths = definition.get("paths") if isinstance(definition, dict) else None
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise Invalid("partitionKey.paths is missing.")
    if len(paths) > 1 or definition.get("kind", "Hash") != "Hash":
        raise NotImplementedHere("Hierarchical partition keys are not implemented.")
    names = paths[0].split("/")
    if names[0] or len(names) < 2 or not all(names[1:]):
        raise Invalid("The partition key path does not look like /name.")
    if '"' in paths[0]:
        raise NotImplementedHere("Quoted partition key paths are not implemented.")
    return tuple(names[1:])


def from_header(header: str) -> str:
    """The canonical form of ``x-ms-documentdb-partitionkey``, as stored with each item.

    Raises:
        Invalid: the header is not a JSON array of one string, number, boolean, null or ``{}`` (undefined).
        NotImplementedHere: the array is empty.
    """
    try:
        values = json.loads(header)
    except ValueError:
        raise Invalid("The partition key header is not JSON.") from None
    if values == []:
        raise NotImplementedHere("The empty partition key is not implemented.")
    if not isinstance(values, list) or len(values) != 1:
        raise Invalid("The partition key header must hold exactly one value.")
    return _canonical(values[0])


def from_document(document: dict[str, Any], path: tuple[str, ...]) -> str:
    """The canonical form of the partition key that an item's body holds."""
    value: Any = document
    for name in path:
        value = value.get(name, {}) if isinstance(value, dict) else {}
    return _canonical(value)


def _canonical(value: Any) -> str:
    if isinstance(value, list) or (isinstance(value, dict) and value):
        raise Invalid("A partition key must be a string, number, boolean, null or undefined.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number: 1.0 and 1 are the same key.
    return json.dumps([value])
