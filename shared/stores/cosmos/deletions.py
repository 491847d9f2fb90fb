"""Container ``deletions``."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from pydantic import ValidationError

from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.items import format_instant
from shared.ports import Conflict, DeletionCounts, Stored
from shared.stores.cosmos.account import (
    CONFLICT,
    LARGE_PAGE,
    PAGE,
    PRECONDITION_FAILED,
    CosmosContainer,
    call,
    parsed,
    sequence_below,
    shard_range,
)

_MAY_BE_TRIED = "(NOT IS_DEFINED(c.retryAt) OR c.retryAt <= @now OR c.retryAt > @latest)"
_UNFINISHED = "FROM c WHERE c.status IN ('scheduled', 'purged')"

_log = logging.getLogger(__name__)


class CosmosDeletions(CosmosContainer):
    """Container ``deletions``."""

    _name = "deletions"

    async def create(self, deletion: Deletion) -> bool:
        """See ``DeletionStore``."""
        async with call():
            try:
                await (await self._container()).create_item(_deletion_item(deletion))
            except HttpResponseError as error:
                if error.status_code == CONFLICT:
                    return False
                raise
            return True

    async def read(self, tenant_id: str, enrollment_id: str) -> Stored[Deletion] | None:
        """See ``DeletionStore``."""
        item = await self._read(enrollment_id, tenant_id)
        return None if item is None else Stored(parsed(Deletion.from_json, item), item["_etag"])

    async def replace(self, deletion: Deletion, etag: str) -> None:
        """See ``DeletionStore``."""
        async with call():
            try:
                await (await self._container()).replace_item(
                    deletion.enrollment_id,
                    _deletion_item(deletion),
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except HttpResponseError as error:
                if error.status_code == PRECONDITION_FAILED:
                    raise Conflict from None
                raise

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Sequence[Deletion]:
        """See ``DeletionStore``."""
        rows = self._query(
            "SELECT TOP @limit * FROM c WHERE c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit, "@before": sequence_below(before)},
            tenant_id,
        )
        return [parsed(Deletion.from_json, row) async for row in rows]

    def due(
        self, storage_account: str, now: datetime, *, of_tenant: int | None = None
    ) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        owed = "(c.status = 'scheduled' AND c.notBefore <= @now OR c.status = 'purged' AND c.purgedAt > @ahead)"
        ahead = format_instant(now + deadlines.CLOCK_SKEW)
        return self._work(owed, {"@account": storage_account, "@ahead": ahead}, now, of_tenant)

    def unverified(
        self, storage_account: str, purged_by: datetime, now: datetime, *, of_tenant: int | None = None
    ) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        owed = "c.status = 'purged' AND c.purgedAt <= @by"
        return self._work(owed, {"@account": storage_account, "@by": format_instant(purged_by)}, now, of_tenant)

    async def counts(self, storage_account: str, now: datetime) -> DeletionCounts:
        """See ``DeletionStore``."""
        unfinished = f"{_UNFINISHED} AND c.storageAccount = @account"
        parameters = {"@account": storage_account}
        pending = await self._one(f"SELECT VALUE COUNT(1) {unfinished}", parameters)
        overdue = await self._one(
            f"SELECT VALUE COUNT(1) {unfinished} AND c.deadline < @now", {**parameters, "@now": format_instant(now)}
        )
        oldest = await self._one(f"SELECT TOP 1 VALUE c.deadline {unfinished} ORDER BY c.deadline", parameters)
        return DeletionCounts(pending, overdue, None if oldest is None else datetime.fromisoformat(oldest))

    async def overdue(self, now: datetime) -> int:
        """See ``DeletionStore``."""
        query = f"SELECT VALUE COUNT(1) {_UNFINISHED} AND c.deadline < @now"
        return int(await self._one(query, {"@now": format_instant(now)}))

    def of_tenants(self, after: str, until: str) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        query = "SELECT * FROM c WHERE c.tenantId > @after AND c.tenantId <= @until"
        return self._understood(self._query(query, {"@after": after, "@until": until}, page_size=LARGE_PAGE))

    def verified_of_shard(self, shard: str) -> AsyncIterator[str]:
        """See ``DeletionStore``."""
        query = (
            "SELECT VALUE c.enrollmentId FROM c WHERE c.status = 'verified'"
            " AND c.enrollmentId >= @first AND c.enrollmentId <= @last"
        )
        return self._query(query, shard_range(shard), page_size=LARGE_PAGE)

    def opted_out_since(self, at: datetime) -> AsyncIterator[str]:
        """See ``DeletionStore``."""
        query = "SELECT VALUE c.enrollmentId FROM c WHERE c.optedOutAt >= @at"
        return self._query(query, {"@at": format_instant(at)}, page_size=LARGE_PAGE)

    async def _work(
        self, owed: str, parameters: Mapping[str, object], now: datetime, of_tenant: int | None
    ) -> AsyncIterator[Stored[Deletion]]:
        # Only texts are compared with a text: a deadline of another type would end the merging of the partitions.
        query = (
            f"SELECT * FROM c WHERE c.storageAccount = @account AND {owed} AND {_MAY_BE_TRIED}"  # noqa: S608 (only our own text)
            " AND c.deadline >= @since AND NOT ARRAY_CONTAINS(@served, c.tenantId) ORDER BY c.deadline"
        )
        times = {"@now": format_instant(now), "@latest": format_instant(deadlines.latest_retry(now))}
        taken: Counter[str] = Counter()
        seen, since = set[str](), ""
        while True:
            served = [tenant_id for tenant_id, number in taken.items() if number == of_tenant]
            passed_over = 0
            rows = self._query(query, {**parameters, **times, "@since": since, "@served": served})
            async for stored in self._understood(rows):
                deletion = stored.value
                if deletion.enrollment_id in seen:
                    continue
                if taken[deletion.tenant_id] == of_tenant:
                    passed_over += 1
                    if passed_over == PAGE:
                        break  # asked again without those who have had theirs, or a tenant's millions would all be read
                    continue
                taken[deletion.tenant_id] += 1
                seen.add(deletion.enrollment_id)
                since = format_instant(deletion.deadline)
                yield stored
            else:
                return

    async def _understood(self, rows: AsyncIterator[Any]) -> AsyncIterator[Stored[Deletion]]:
        async for row in rows:
            try:
                deletion = Deletion.from_json(row)
            except ValidationError:
                # One item that cannot be understood must not keep the rest from their deadlines; status counts it.
                _log.error("a deletion cannot be read")
                continue
            yield Stored(deletion, row["_etag"])

    async def _one(self, query: str, parameters: Mapping[str, object]) -> Any:
        return next(iter([value async for value in self._query(query, parameters)]), None)


def _deletion_item(deletion: Deletion) -> dict[str, Any]:
    return {"id": deletion.enrollment_id, **deletion.to_json()}
