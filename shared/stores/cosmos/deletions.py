"""Container ``deletions``."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.items import format_instant, item_of
from shared.ports import LOOKUP_MAX, Conflict, DeletionCounts, Page, Stored, TenantDeletions
from shared.stores.cosmos.account import (
    CONFLICT,
    LARGE_PAGE,
    PAGE,
    PRECONDITION_FAILED,
    CosmosContainer,
    call,
    one_of,
    parsed,
    sequence_below,
)

_FIRST_FEW = 10

_MAY_BE_TRIED = "(NOT IS_STRING(c.retryAt) OR c.retryAt <= @now OR c.retryAt > @latest)"
_FAILED = {None: "", True: " AND IS_STRING(c.retryAt)", False: " AND NOT IS_STRING(c.retryAt)"}
_INSTANT = (
    "^[2-8][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{6}Z$"
)


def _is_instant(name: str) -> str:
    return f"(IS_STRING(c.{name}) AND RegexMatch(c.{name}, '{_INSTANT}'))"


# Whatever somebody has made of an item: a value of another type than the rest is no error in a condition, but a mistake
# in what is compared and counted, and in what is ordered by it the end of the SDK's merging of the partitions.
_UNFINISHED = "FROM c WHERE c.status IN ('scheduled', 'purged')"
# A text that is no instant counts too, as what it would be sorted under: RegexMatch would read the whole index.
_OVERDUE = f"{_UNFINISHED} AND c.deadline < @now"
# What is not finished, by conditions that the index of ``status`` answers: it must cost nothing how many are finished.
# That index has no lists and no objects, and whether it answers NOT, and what is null or missing, is written nowhere.
_NOT_VERIFIED = "c.status < 'verified' OR c.status > 'verified' OR IS_NUMBER(c.status) OR IS_BOOL(c.status)"
_UNREADABLE = " OR ".join(
    [
        "NOT IS_STRING(c.status)",
        "c.status NOT IN ('scheduled', 'purged')",
        f"c.status = 'purged' AND NOT {_is_instant('purgedAt')}",
        *(f"NOT {_is_instant(name)}" for name in ("startedAt", "optedOutAt", "notBefore", "deadline")),
        *(f"NOT IS_STRING(c.{name})" for name in ("tenantId", "enrollmentId", "geo", "storageAccount", "ledgerHash")),
        "c.id != c.enrollmentId",
        "NOT IS_NUMBER(c.sequence)",
        *(
            f"IS_DEFINED(c.{name}) AND NOT IS_NUMBER(c.{name})"
            for name in ("attempts", "failures", "containersDeleted")
        ),
        f"IS_DEFINED(c.retryAt) AND NOT IS_NULL(c.retryAt) AND NOT {_is_instant('retryAt')}",
    ]
)


class CosmosDeletions(CosmosContainer):
    """Container ``deletions``."""

    _name = "deletions"

    async def create(self, deletion: Deletion) -> bool:
        """See ``DeletionStore``."""
        async with call():
            try:
                await (await self._container()).create_item(item_of(deletion))
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
                    item_of(deletion),
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except HttpResponseError as error:
                if error.status_code == PRECONDITION_FAILED:
                    raise Conflict from None
                raise

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Deletion]:
        """See ``DeletionStore``."""
        rows = self._query(
            "SELECT TOP @limit * FROM c WHERE c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit + 1, "@before": sequence_below(before)},
            tenant_id,
        )
        return await self._page(Deletion.from_json, rows, limit)

    def due(
        self, storage_account: str, now: datetime, *, failed: bool | None = None, of_tenant: int | None = None
    ) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        owed = f"c.status = 'scheduled' AND c.notBefore <= @now{_FAILED[failed]}"
        return self._work(owed, {"@account": storage_account}, now, of_tenant)

    def unverified(
        self,
        storage_account: str,
        purged_by: datetime,
        now: datetime,
        *,
        failed: bool | None = None,
        of_tenant: int | None = None,
    ) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        owed = f"c.status = 'purged' AND c.purgedAt <= @by{_FAILED[failed]}"
        return self._work(owed, {"@account": storage_account, "@by": format_instant(purged_by)}, now, of_tenant)

    async def counts(self, storage_account: str, now: datetime) -> DeletionCounts:
        """See ``DeletionStore``."""
        unfinished = f"{_UNFINISHED} AND c.storageAccount = @account"
        parameters = {"@account": storage_account}
        pending = await self._one(f"SELECT VALUE COUNT(1) {unfinished}", parameters)
        overdue = await self._one(
            f"SELECT VALUE COUNT(1) {_OVERDUE} AND c.storageAccount = @account",
            {**parameters, "@now": format_instant(now)},
        )
        return DeletionCounts(pending, overdue, await self._oldest_deadline(unfinished, parameters))

    async def _oldest_deadline(self, unfinished: str, parameters: Mapping[str, object]) -> datetime | None:
        # Only texts, or the SDK's merging of the partitions would end.
        query = f"SELECT VALUE c.deadline {unfinished} AND c.deadline >= '' ORDER BY c.deadline"
        async for deadline in self._query(query, parameters, page_size=_FIRST_FEW):
            if re.fullmatch(_INSTANT, deadline):
                return datetime.fromisoformat(deadline)
        return None

    async def overdue(self, now: datetime) -> int:
        """See ``DeletionStore``."""
        return int(await self._one(f"SELECT VALUE COUNT(1) {_OVERDUE}", {"@now": format_instant(now)}))

    async def list_overdue(self, now: datetime, *, limit: int) -> Sequence[Deletion]:
        """See ``DeletionStore``."""
        query = f"SELECT * {_OVERDUE} ORDER BY c.deadline"
        return await self._first(Deletion.from_json, query, {"@now": format_instant(now)}, limit)

    async def unreadable(self) -> AsyncIterator[str | None]:
        """See ``DeletionStore``."""
        query = (
            "SELECT c.id, c.tenantId, c.storageAccount FROM c"  # noqa: S608 (only our own text)
            f" WHERE ({_NOT_VERIFIED}) AND ({_UNREADABLE})"
        )
        async for row in self._query(query, {}):
            self._report(row)
            account = row.get("storageAccount")
            yield account if isinstance(account, str) else None

    async def tenants(self, after: str, *, at_most: int) -> AsyncIterator[TenantDeletions]:
        """See ``DeletionStore``."""
        async for tenant_id, items, whole in self._by_tenant(after, at_most):
            deletions = [stored for item in items if (stored := self._stored(item)) is not None]
            yield TenantDeletions(tenant_id, deletions, len(items) - len(deletions), whole)

    async def of_sequences(self, tenant_id: str, after: int, until: int) -> AsyncIterator[Stored[Deletion] | None]:
        """See ``DeletionStore``."""
        query = "SELECT * FROM c WHERE (c.sequence > @after AND c.sequence <= @until)"
        if after == 0:
            query += " OR NOT IS_NUMBER(c.sequence) OR c.sequence <= 0"
        async for row in self._query(query, {"@after": after, "@until": until}, tenant_id):
            yield self._stored(row)

    def verified_among(self, enrollment_ids: Sequence[str]) -> AsyncIterator[str]:
        """See ``DeletionStore``."""
        condition, parameters = one_of("enrollmentId", enrollment_ids)
        query = f"SELECT VALUE c.enrollmentId FROM c WHERE c.status = 'verified' AND {condition}"  # noqa: S608 (only our own text)
        return self._query(query, parameters, page_size=LARGE_PAGE)

    async def existing(self, keys: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """See ``DeletionStore``."""
        if not keys:
            return ()
        condition, parameters = one_of("id", [enrollment_id for _, enrollment_id in keys])
        query = f"SELECT c.tenantId, c.id FROM c WHERE {condition}"  # noqa: S608 (only our own text)
        # Another tenant's of the same name is none of these.
        found = [(row["tenantId"], row["id"]) async for row in self._query(query, parameters, page_size=LOOKUP_MAX)]
        return set(found) & set(keys)

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
        seen, since = set[tuple[str, str]](), ""
        while True:
            served = [tenant_id for tenant_id, number in taken.items() if number == of_tenant]
            passed_over = 0
            async for row in self._query(query, {**parameters, **times, "@since": since, "@served": served}):
                stored = self._stored(row)
                if stored is None:
                    continue
                deletion = stored.value
                if (deletion.tenant_id, deletion.enrollment_id) in seen:
                    continue
                if taken[deletion.tenant_id] == of_tenant:
                    passed_over += 1
                    if passed_over == PAGE:
                        break  # asked again without those who have had theirs, or a tenant's millions would all be read
                    continue
                taken[deletion.tenant_id] += 1
                seen.add((deletion.tenant_id, deletion.enrollment_id))
                since = format_instant(deletion.deadline)
                yield stored
            else:
                return

    def _stored(self, item: Mapping[str, Any]) -> Stored[Deletion] | None:
        deletion = self._understood(Deletion.from_json, item)
        return None if deletion is None else Stored(deletion, item["_etag"])

    async def _one(self, query: str, parameters: Mapping[str, object]) -> Any:
        return next(iter([value async for value in self._query(query, parameters)]), None)
