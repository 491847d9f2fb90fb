"""The latest-version change feed of one range: each item once, in the order of its last write, and no deletes.

All ranges of a container count their writes together, so a sequence number in one range's feed follows another with
gaps between them, as on Azure.
"""

import json
from dataclasses import dataclass
from typing import Any

from local.cosmos.database import Container, Database
from local.cosmos.errors import Invalid
from local.cosmos.items import LIVE


@dataclass(frozen=True)
class Changes:
    """One page; reading goes on from ``lsn``, also when there were none."""

    documents: list[dict[str, Any]]
    lsn: int


def position(container: Container, token: str | None) -> int:
    """The sequence number to read after: of an ``If-None-Match`` header, or 0 without one.

    Raises:
        Invalid: the token is not this feed's. A token beyond the last write is refused, because obeying it
            would pass over changes in silence.
    """
    if token is None:
        return 0
    if token == "*":  # noqa: S105 (it means: from now)
        return container.lsn
    digits = token.strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19) or int(digits) > container.lsn:
        raise Invalid("The change feed token is not one of this container.")
    return int(digits)


def read(
    database: Database, container: Container, range_number: int, after: int, modified_since: float, limit: int
) -> Changes:
    """Read the next changes.

    Args:
        database: where to read.
        container: whose feed, as it was looked up in this request.
        range_number: which of its ranges.
        after: the sequence number to read after.
        modified_since: seconds since the epoch; items written before are left out.
        limit: at most so many items, unless a transaction would be split: one is always given whole.
    """
    bound = {
        "container": container.number,
        "range": range_number,
        "after": after,
        "since": modified_since,
        "now": database.clock(),
    }
    changed = (
        "FROM items WHERE container = :container AND range_of(partition) = :range AND lsn > :after AND ts >= :since"
        f" AND {LIVE}"
    )
    (last,) = database.connection.execute(
        f"SELECT max(lsn) FROM (SELECT lsn {changed} ORDER BY lsn LIMIT :limit)",  # noqa: S608 (constants)
        {**bound, "limit": limit},
    ).fetchone()
    if last is None:
        return Changes([], container.lsn)
    rows = database.connection.execute(
        f"SELECT lsn, body {changed} AND lsn <= :last ORDER BY lsn, number",
        {**bound, "last": last},
    )
    return Changes([{**json.loads(body), "_lsn": lsn} for lsn, body in rows], last)
