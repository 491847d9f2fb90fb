"""Container ``access``: review grants and access logs."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from shared.model.grants import AccessRecord, ReviewGrant
from shared.model.items import Item, format_instant
from shared.ports import Page, Stored
from shared.stores.cosmos.account import CosmosContainer, parsed, sequence_below

_HEAD_ID = "head"


class _Head(Item):
    """Where a tenant's access log ends."""

    head: Annotated[int, Field(ge=1)]


class CosmosAccess(CosmosContainer):
    """Container ``access``."""

    _name = "access"

    async def head(self, tenant_id: str) -> Stored[int] | None:
        """See ``AccessStore``."""
        item = await self._read(_HEAD_ID, tenant_id)
        return None if item is None else Stored(parsed(_Head.from_json, item).head, item["_etag"])

    async def commit(self, record: AccessRecord, grant: ReviewGrant | None, etag: str | None) -> None:
        """See ``AccessStore``."""
        head = {"id": _HEAD_ID, "tenantId": record.tenant_id, "head": record.sequence}
        operations: list[Any] = [("create", ({"id": record.id, "kind": "record", **record.to_json()},))]
        if etag is None:
            operations.append(("create", (head,)))
        else:
            operations.append(("replace", (_HEAD_ID, head), {"if_match_etag": etag}))
        if grant is not None:
            operations.append(("upsert", ({"id": _grant_id(grant.grant_id), "kind": "grant", **grant.to_json()},)))
        await self._commit(operations, record.tenant_id)

    async def read_grant(self, tenant_id: str, grant_id: str) -> ReviewGrant | None:
        """See ``AccessStore``."""
        item = await self._read(_grant_id(grant_id), tenant_id)
        return None if item is None else parsed(ReviewGrant.from_json, item)

    async def grants(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewGrant]:
        """See ``AccessStore``."""
        return await self._page(ReviewGrant.from_json, self._newest("grant", tenant_id, limit, before), limit)

    async def approved_grants(self, tenant_id: str, reviewer: str, now: datetime) -> Sequence[ReviewGrant]:
        """See ``AccessStore``."""
        rows = self._query(
            "SELECT * FROM c WHERE c.kind = 'grant' AND c.requestedBy = @reviewer AND c.expiresAt > @now",
            {"@reviewer": reviewer, "@now": format_instant(now)},
            tenant_id,
        )
        return [grant async for row in rows if (grant := self._understood(ReviewGrant.from_json, row)) is not None]

    async def pending_grants(self, since: datetime, *, limit: int) -> Sequence[ReviewGrant]:
        """See ``AccessStore``."""
        query = (
            "SELECT * FROM c WHERE c.kind = 'grant' AND IS_STRING(c.requestedAt) AND c.requestedAt > @since"
            " AND NOT IS_DEFINED(c.approvedAt) AND NOT IS_DEFINED(c.revokedAt) ORDER BY c.requestedAt"
        )
        return await self._first(ReviewGrant.from_json, query, {"@since": format_instant(since)}, limit)

    async def log(self, tenant_id: str, *, limit: int, before: int | None) -> Page[AccessRecord]:
        """See ``AccessStore``."""
        return await self._page(AccessRecord.from_json, self._newest("record", tenant_id, limit, before), limit)

    def _newest(self, kind: str, tenant_id: str, limit: int, before: int | None) -> AsyncIterator[Any]:
        return self._query(
            "SELECT TOP @limit * FROM c WHERE c.kind = @kind AND c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit + 1, "@kind": kind, "@before": sequence_below(before)},
            tenant_id,
        )


def _grant_id(grant_id: str) -> str:
    return f"grant-{grant_id}"
