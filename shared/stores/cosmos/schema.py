"""The Cosmos DB containers: what they are partitioned by, and the indexes that the queries in ``cosmos`` need.

The local stack creates them from here, and the deployment must create the same: without a composite index a query that
orders by two properties is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Schema:
    """One container.

    Attributes:
        partition_key: the path of its partition key.
        indexed: the paths of what queries filter or order by; nothing else is indexed. None indexes everything.
        composite: the properties of each query that orders by several, in its order.
    """

    partition_key: str
    indexed: Sequence[str] | None = ()
    composite: Sequence[Sequence[str]] = ()

    @property
    def indexing_policy(self) -> dict[str, Any]:
        """The container's indexing policy, as Cosmos DB takes it."""
        if self.indexed is None:
            return {"indexingMode": "consistent", "automatic": True}
        return {
            "indexingMode": "consistent",
            "automatic": True,
            "includedPaths": [{"path": f"/{name}/?"} for name in self.indexed],
            "excludedPaths": [{"path": "/*"}],
            "compositeIndexes": [
                [{"path": f"/{name}", "order": "ascending"} for name in names] for names in self.composite
            ],
        }


CONTAINERS: Mapping[str, Schema] = {
    "tenants": Schema(
        "/tenantId",
        indexed=("tenantId", "kind", "sequence", "enrollmentId", "notice", "enrollment/storageAccount"),
    ),
    "deletions": Schema(
        "/tenantId",
        indexed=(
            "tenantId",
            "enrollmentId",
            "sequence",
            "storageAccount",
            "status",
            "notBefore",
            "purgedAt",
            "deadline",
            "retryAt",
        ),
    ),
    "access": Schema(
        "/tenantId",
        indexed=(
            "kind",
            "sequence",
            "requestedBy",
            "requestedAt",
            "expiresAt",
            "unfinished",
            "grantId",
            "enrollmentId",
            "action",
        ),
    ),
    "operations": Schema("/kind"),
    "leases": Schema("/id", indexed=None),
}
