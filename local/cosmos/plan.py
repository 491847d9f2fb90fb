"""Query plans: how a client puts a query to each partition key range by itself and merges the answers.

Only for what this project asks across ranges: ORDER BY, TOP and COUNT.
"""

from typing import Any

from local.cosmos import query, sql
from local.cosmos.errors import NotImplementedHere

# The SDK puts ``true`` in its place, or the position to go on from.
_FILTER = "{documentdb-formattableorderbyquery-filter}"


def make(body: Any) -> dict[str, Any]:
    """The plan of a query.

    Args:
        body: the request: ``query`` and ``parameters``.

    Raises:
        Invalid: the request is malformed.
        NotImplementedHere: the query uses what is not implemented, at all or across ranges.
    """
    text, parameters = query.parsed(body)
    select, clauses = sql.translate(text, parameters), sql.clauses(text)
    if clauses.limit:
        raise NotImplementedHere("OFFSET and LIMIT across partition key ranges are not implemented.")
    info: dict[str, Any] = {
        "distinctType": "None",
        "top": select.take,
        "offset": None,
        "limit": None,
        "orderBy": ["Descending" if order.descending else "Ascending" for order in select.ordering],
        "orderByExpressions": [_expression(clauses.alias, order) for order in select.ordering],
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": ["Count"] if select.count else [],
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": _rewritten(select, clauses),
        "hasSelectValue": select.is_value,
    }
    everything = {"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [everything]}


def _rewritten(select: sql.Select, clauses: sql.Clauses) -> str:
    """What each range is asked instead; empty if it is the query itself."""
    if select.count:
        return f'SELECT VALUE [{{"item": {clauses.selected}}}] {clauses.source} {clauses.where}'
    if not select.ordering:
        return ""
    payload = clauses.alias if clauses.selected == "*" else clauses.selected
    if not select.is_value and payload != clauses.alias:
        raise NotImplementedHere("ORDER BY across partition key ranges is implemented only with * and VALUE.")
    items = ", ".join(f'{{"item": {_expression(clauses.alias, order)}}}' for order in select.ordering)
    top = "" if select.take is None else f"TOP {select.take} "
    condition = f"({clauses.where[len('WHERE') :].strip()}) AND " if clauses.where else ""
    return (
        f"SELECT {top}{clauses.alias}._rid, [{items}] AS orderByItems, {payload} AS payload"
        f" {clauses.source} WHERE {condition}({_FILTER}) {clauses.order_by}"
    )


def _expression(alias: str, order: sql.Ordering) -> str:
    return alias + "".join(f'["{name}"]' for name in order.path)
