"""The partition key ranges of a container: a fixed few, among which a hash of the partition key shares out the items.

One range would do for development, but the SDK merges what several ranges answer by itself (ordered queries, counts,
the change feed), and that must be exercised as on Azure.
"""

import hashlib
from typing import Any

from local.cosmos.errors import ContainerRecreated, RangeGone

COUNT = 4
# Of effective partition keys. Those of version 2 begin with a byte below 40 (hexadecimal). The service's own hash is
# not needed: no client that is served here names a part of a range.
_BOUNDARIES = ("", "10", "20", "30", "FF")


def of_partition(partition: str) -> int:
    """The range that a partition key (canonical) lies in. It is part of an index in the file, so it never changes."""
    return hashlib.sha256(partition.encode()).digest()[0] % COUNT


def from_header(header: str, container_rid: str) -> int:
    """The range that ``x-ms-documentdb-partitionkeyrangeid`` names, alone or behind its container's ``_rid``.

    Raises:
        ContainerRecreated: it is another container's.
        RangeGone: there is none.
    """
    owner, _, number = header.rpartition(",")
    if owner not in ("", container_rid):
        raise ContainerRecreated("The container was made anew.")
    if number not in map(str, range(COUNT)):
        raise RangeGone("There is no such partition key range any more.")
    return int(number)


def described(container_rid: str) -> list[dict[str, Any]]:
    """The ranges as the service lists them."""
    return [
        {
            "_rid": container_rid,
            "id": str(number),
            "minInclusive": _BOUNDARIES[number],
            "maxExclusive": _BOUNDARIES[number + 1],
            "status": "online",
        }
        for number in range(COUNT)
    ]
