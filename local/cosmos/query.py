"""Running a query page by page.

Pages are as unkind as those of Azure may be, always, so that whoever reads them is used to it: the first one is empty
and has a continuation, no other is as full as it may be, and one that ends with the last result does not say so.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from local.cosmos import indexing, ranges, sql
from local.cosmos.database import Container, Database
from local.cosmos.errors import Invalid, NeedsPlan
from local.cosmos.items import LIVE


@dataclass(frozen=True)
class Page:
    """The results of one request; ``continuation`` is None on the last."""

    results: list[Any]
    continuation: str | None


@dataclass(frozen=True)
class _Position:
    """Where a page ended: the range, the last row's order keys and number, and how many rows the LIMIT or TOP leaves.

    Keys, not an offset, so that what is inserted meanwhile neither repeats nor hides a row; and all of it in the
    token, so that it outlives the process. Without keys, the range has still to be begun.
    """

    range: int
    keys: list[Any]
    left: int | None


def run(
    database: Database,
    container: Container,
    scope: str | int | None,
    body: Any,
    *,
    limit: int,
    token: str | None,
) -> Page:
    """Run one page of a query.

    Args:
        database: where to read.
        container: what to query.
        scope: the canonical partition key, or the number of a range, or None for one range behind the other.
        body: the request: ``query`` and ``parameters``.
        limit: at most so many results.
        token: the continuation of the page before.

    Raises:
        Invalid: the request or the token is malformed.
        NeedsPlan: the answers of the ranges, one behind the other, would not be the answer.
        NotIndexed: the container has no index for the query's ORDER BY.
        NotImplementedHere: the query uses what is not implemented.
    """
    text, parameters = parsed(body)
    select = sql.translate(text, parameters)
    if scope is None and not select.is_servable_across_ranges:
        raise NeedsPlan("The query cannot be served across partition key ranges.")
    indexing.check_order(
        container.properties.get("indexingPolicy") or {},
        [(order.path, order.descending) for order in select.ordering],
    )
    digest = hashlib.sha256(json.dumps([container.rid, scope, text, parameters]).encode()).hexdigest()[:16]
    keys = [key for order in select.ordering for key in order.term.keys]
    if token is None:
        return Page([], _encode(digest, _Position(0, [], select.take)))
    position = _decode(token, digest, len(keys) + 1)
    where = f"container = :container AND {LIVE} AND {select.condition}"
    bound = {**select.bound, "container": container.number, "now": database.clock()}
    if isinstance(scope, str):
        where += " AND partition = :partition"
        bound["partition"] = scope
    else:
        where += " AND range_of(partition) = :range"
        bound["range"] = position.range if scope is None else scope
    if select.count:
        (number,) = database.connection.execute(f"SELECT count(*) FROM items WHERE {where}", bound).fetchone()  # noqa: S608 (values are bound)
        return Page([select.count(number)], None)
    size = max(1, limit - 1) if position.left is None else min(max(1, limit - 1), position.left)
    if position.keys:
        where += f" AND {_after(select.ordering, keys)}"
        bound |= {f"k{index}": value for index, value in enumerate(position.keys)}
    columns = "".join(f", {key}" for key in keys)
    directions = [" DESC" if order.descending else "" for order in select.ordering for _ in range(2)]
    order_by = "".join(f"{key}{direction}, " for key, direction in zip(keys, directions, strict=True))
    # The sign keeps SQLite from going through all items in that order instead of looking up what is asked for.
    last = "+number" if select.looks_up else "number"
    rows = database.connection.execute(
        f"SELECT body{columns}, number FROM items WHERE {where} ORDER BY {order_by}{last} LIMIT :size OFFSET :skip",  # noqa: S608 (values are bound)
        {**bound, "size": size, "skip": 0 if position.keys else select.skip},
    ).fetchall()
    results = [result for row in rows if (result := select.project(json.loads(row[0]))) is not sql.UNDEFINED]
    left = None if position.left is None else position.left - len(rows)
    if rows and len(rows) == size and left != 0:
        return Page(results, _encode(digest, _Position(position.range, list(rows[-1][1:]), left)))
    if scope is None and position.range + 1 < ranges.COUNT:
        return Page(results, _encode(digest, _Position(position.range + 1, [], None)))
    return Page(results, None)


def parsed(body: Any) -> tuple[str, dict[str, Any]]:
    """The text and the parameters of a request; raises ``Invalid`` if it is malformed."""
    parameters = body.get("parameters") or [] if isinstance(body, dict) else None
    if not isinstance(parameters, list) or not isinstance(body.get("query"), str):
        raise Invalid("A query needs a query text, and parameters as a list.")
    if not all(isinstance(p, dict) and isinstance(p.get("name"), str) and "value" in p for p in parameters):
        raise Invalid("Every query parameter needs a name and a value.")
    return body["query"], {parameter["name"]: parameter["value"] for parameter in parameters}


def _after(ordering: tuple[sql.Ordering, ...], keys: list[str]) -> str:
    """The rows behind the position ``:k0, :k1, ...``, whose last is the row's number."""
    condition = f"number > :k{len(keys)}"
    for index in reversed(range(len(ordering))):
        own = f"({keys[2 * index]}, {keys[2 * index + 1]})"
        other = f"(:k{2 * index}, :k{2 * index + 1})"
        operator = "<" if ordering[index].descending else ">"
        condition = f"({own} {operator} {other} OR ({own} = {other} AND {condition}))"
    return condition


def _encode(digest: str, position: _Position) -> str:
    return base64.urlsafe_b64encode(
        json.dumps([digest, position.range, position.keys, position.left]).encode()
    ).decode()


def _decode(token: str, digest: str, length: int) -> _Position:
    try:
        given, number, keys, left = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise Invalid("The continuation token is malformed.") from None
    if given != digest or not isinstance(keys, list) or len(keys) not in (0, length):
        raise Invalid("The continuation token belongs to another query.")
    return _Position(number, keys, left)
