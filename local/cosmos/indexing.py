"""Whether a container's indexing policy can serve an ORDER BY: Cosmos DB refuses one that it has no index for.

Policies are the REST definitions (``indexingPolicy``), as the container stores them; paths are the names of properties
from the item inwards.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from local.cosmos.errors import Invalid, NotIndexed

# Indexed whatever the policy names, as long as there is an index at all.
_ALWAYS_INDEXED = {("id",), ("_ts",)}
_MODES = {"consistent", "lazy", "none"}
_ORDERS = {"ascending", "descending"}
_STEP = re.compile(r'/(?:"([^"]+)"|([^/"]+))')
_PATH = re.compile(f"(?:{_STEP.pattern})*/[?*]")
_COMPOSITE_PATH = re.compile(f"(?:{_STEP.pattern})*/(?![?*]$)[^/]+")


def check_policy(policy: Any) -> None:
    """Refuse a policy that could not be read later, when a query needs it; None is the default.

    Raises:
        Invalid: it is malformed.
    """
    try:
        readable = policy is None or (
            _mode(policy) in _MODES
            and all(
                _PATH.fullmatch(e["path"]) for kind in ("includedPaths", "excludedPaths") for e in _list(policy, kind)
            )
            and all(
                _COMPOSITE_PATH.fullmatch(part["path"]) and _order(part) in _ORDERS
                for index in _list(policy, "compositeIndexes")
                for part in index
            )
        )
    except (AttributeError, KeyError, TypeError):
        readable = False
    if not readable:
        raise Invalid("The indexingPolicy is malformed.")


def check_order(policy: Mapping[str, Any], order: Sequence[tuple[tuple[str, ...], bool]]) -> None:
    """Refuse what the service refuses, in its words.

    Args:
        policy: the container's indexing policy.
        order: the ORDER BY's paths, each with whether it is descending.

    Raises:
        NotIndexed: no index serves it.
    """
    if len(order) == 1 and not is_indexed(policy, order[0][0]):
        raise NotIndexed("The index path corresponding to the specified order-by item is excluded.")
    if len(order) > 1 and not has_composite_index(policy, order):
        raise NotIndexed("The order by query does not have a corresponding composite index that it can be served from.")


def has_composite_index(policy: Mapping[str, Any], order: Sequence[tuple[tuple[str, ...], bool]]) -> bool:
    """Whether a composite index has exactly these paths in this sequence, and these directions or all their opposites.

    A longer index does not serve its beginning. The policy's included and excluded paths do not matter here.
    """
    if _mode(policy) == "none":
        return False
    wanted = [list(order), [(path, not descending) for path, descending in order]]
    return any(
        [(_steps(part["path"]), _order(part) == "descending") for part in index] in wanted
        for index in _list(policy, "compositeIndexes")
    )


def is_indexed(policy: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether the property's own value is indexed.

    Of the included and excluded paths that match, the longest decides, and ``/a/?`` before ``/a/*``. What none matches
    is indexed only if the policy includes no paths at all.
    """
    if _mode(policy) == "none":
        return False
    if path in _ALWAYS_INDEXED:
        return True
    included = [_precision(entry["path"], path) for entry in _list(policy, "includedPaths")]
    excluded = [_precision(entry["path"], path) for entry in _list(policy, "excludedPaths")]
    if not included:
        return not any(excluded)
    return max(included) > max(excluded, default=0)


def _mode(policy: Mapping[str, Any]) -> str:
    return str(policy.get("indexingMode", "consistent")).lower()


def _list(policy: Mapping[str, Any], member: str) -> Sequence[Any]:
    entries: Sequence[Any] = policy.get(member) or ()
    return entries


def _order(part: Mapping[str, Any]) -> str:
    return str(part.get("order", "ascending")).lower()


def _precision(pattern: str, path: tuple[str, ...]) -> int:
    """How closely an included or excluded path matches a property; 0 if it does not."""
    *steps, end = _steps(pattern)
    if end == "?" and tuple(steps) == path:
        return 2 * len(steps) + 2
    if end == "*" and tuple(steps) == path[: len(steps)]:
        return 2 * len(steps) + 1
    return 0


def _steps(path: str) -> tuple[str, ...]:
    """The names of a policy's path, where ``/"a"`` is ``/a``."""
    return tuple(quoted or plain for quoted, plain in _STEP.findall(path))
