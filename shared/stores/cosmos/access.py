"""Container ``access``: review grants and access logs."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from shared.model.exports import ReviewExport
from shared.model.grants import AccessRecord, ReviewGrant
from shared.model.items import Item, TenantId, format_instant, item_of
from shared.ports import Conflict, Page, Stored
from shared.stores.cosmos.account import LARGE_PAGE, CosmosContainer, parsed, sequence_below

_HEAD_ID = "head"


class _Head(Item):
    """Where a tenant's access log ends."""

    tenant_id: TenantId
    head: Annotated[int, Field(ge=1)]

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``."""
        return {"id": _HEAD_ID}


class CosmosAccess(CosmosContainer):
    """Container ``access``."""

    _name = "access"

    async def head(self, tenant_id: str) -> Stored[int] | None:
        """See ``AccessStore``."""
        item = await self._read(_HEAD_ID, tenant_id)
        return None if item is None else Stored(parsed(_Head.from_json, item).head, item["_etag"])

    async def commit(
        self, record: AccessRecord, grant: ReviewGrant | None, etag: str | None, *, export: ReviewExport | None = None
    ) -> None:
        """See ``AccessStore``."""
        operations: list[Any] = [("create", (item_of(record),))]
        operations.append(_head(record.tenant_id, record.sequence, etag))
        if grant is not None:
            operations.append(("upsert", (item_of(grant),)))
        if export is not None:
            operations.append(_export(export))
        await self._commit(operations, record.tenant_id)

    async def move_head(self, tenant_id: str, etag: str, *, export: ReviewExport | None = None) -> None:
        """See ``AccessStore``."""
        head = await self.head(tenant_id)
        if head is None or head.etag != etag:
            raise Conflict
        operations = [_head(tenant_id, head.value, etag)]
        if export is not None:
            operations.append(_export(export))
        await self._commit(operations, tenant_id)

    async def read_export(self, tenant_id: str, export_id: str) -> ReviewExport | None:
        """See ``AccessStore``."""
        item = await self._read(ReviewExport.id_of(export_id), tenant_id)
        return None if item is None else parsed(ReviewExport.from_json, item)

    async def exports(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewExport]:
        """See ``AccessStore``."""
        return await self._page(ReviewExport.from_json, self._newest("export", tenant_id, limit, before), limit)

    async def unfinished_exports(self, *, limit: int) -> Sequence[ReviewExport]:
        """See ``AccessStore``."""
        query = (
            "SELECT * FROM c WHERE c.kind = 'export' AND c.unfinished = true AND IS_STRING(c.requestedAt)"
            " ORDER BY c.requestedAt"
        )
        return await self._first(ReviewExport.from_json, query, {}, limit)

    async def downloads(
        self, tenant_id: str, enrollment_id: str, *, limit: int, after: int = 0
    ) -> Sequence[AccessRecord]:
        """See ``AccessStore``. A sequence that is no number comes last: it must not be passed over."""
        rows = self._query(
            "SELECT * FROM c WHERE c.kind = 'record' AND c.enrollmentId = @enrollment AND c.action = 'exportDownloaded'"
            " AND NOT (IS_NUMBER(c.sequence) AND c.sequence <= @after) ORDER BY c.sequence",
            {"@enrollment": enrollment_id, "@after": after},
            tenant_id,
            page_size=limit,
        )
        found: list[AccessRecord] = []
        async for row in rows:
            found.append(parsed(AccessRecord.from_json, row))
            if len(found) == limit:
                break
        return found

    async def uses(self, tenant_id: str, grant_id: str) -> Mapping[str, int]:
        """See ``AccessStore``."""
        rows = self._query(
            "SELECT VALUE c.action FROM c WHERE c.kind = 'record' AND c.grantId = @grant",
            {"@grant": grant_id},
            tenant_id,
            page_size=LARGE_PAGE,
        )
        return Counter([str(action) async for action in rows])

    async def read_grant(self, tenant_id: str, grant_id: str) -> ReviewGrant | None:
        """See ``AccessStore``."""
        item = await self._read(ReviewGrant.id_of(grant_id), tenant_id)
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


def _head(tenant_id: str, sequence: int, etag: str | None) -> Any:
    head = item_of(_Head(tenant_id=tenant_id, head=sequence))
    return ("create", (head,)) if etag is None else ("replace", (_HEAD_ID, head), {"if_match_etag": etag})


def _export(export: ReviewExport) -> Any:
    return ("upsert", (item_of(export),))
