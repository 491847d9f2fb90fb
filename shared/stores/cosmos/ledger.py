"""Container ``tenants``: settings and ledgers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from shared.model.items import item_of
from shared.model.ledger import SETTING_ID, Change, Event, OptedOut, Setting, TenantLedger, event_from_json
from shared.ports import UNREADABLE_ITEM, Committed, Page, Stored, StoreUnavailable
from shared.stores.cosmos.account import LARGE_PAGE, CosmosContainer, one_of, parsed, sequence_below

_NEVER = 2**53


class CosmosLedger(CosmosContainer):
    """Container ``tenants``."""

    _name = "tenants"

    async def read_setting(self, tenant_id: str) -> Stored[Setting] | None:
        """See ``LedgerStore``."""
        item = await self._read(SETTING_ID, tenant_id)
        return None if item is None else Stored(parsed(Setting.from_json, item), item["_etag"], item["_ts"])

    async def commit(self, change: Change, etag: str | None) -> None:
        """See ``LedgerStore``."""
        setting = item_of(change.setting)
        operations: list[Any] = [("create", (item_of(change.event),))]
        if etag is None:
            operations.append(("create", (setting,)))
        else:
            operations.append(("replace", (SETTING_ID, setting), {"if_match_etag": etag}))
        await self._commit(operations, change.setting.tenant_id)

    async def agreed_to_others(self, version: str, *, limit: int, after: str) -> Sequence[Setting]:
        """See ``LedgerStore``."""
        query = (
            "SELECT * FROM c WHERE c.id = @setting AND c.tenantId > @after AND IS_DEFINED(c.enrollment)"
            " AND (NOT IS_DEFINED(c.notice) OR c.notice != @version) ORDER BY c.tenantId"
        )
        parameters = {"@setting": SETTING_ID, "@after": after, "@version": version}
        found = list[Setting]()
        async for row in self._query(query, parameters, page_size=limit):
            setting = self._understood(Setting.from_json, row)
            if setting is not None:
                found.append(setting)
            if len(found) == limit:
                break
        return found

    async def has_enrollment_in(self, storage_account: str) -> bool:
        """See ``LedgerStore``."""
        # One that nobody understands counts too: it may be on.
        query = "SELECT TOP 1 c.id FROM c WHERE c.enrollment.storageAccount = @account"
        async for _ in self._query(query, {"@account": storage_account}, page_size=1):
            return True
        return False

    async def history(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Event]:
        """See ``LedgerStore``."""
        rows = self._query(
            "SELECT TOP @limit * FROM c WHERE IS_DEFINED(c.kind) AND c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit + 1, "@before": sequence_below(before)},
            tenant_id,
        )
        return await self._page(event_from_json, rows, limit)

    async def events_of(self, tenant_id: str, enrollment_id: str) -> Sequence[Event]:
        """See ``LedgerStore``."""
        query = "SELECT * FROM c WHERE c.enrollmentId = @enrollmentId"
        events = list[Event]()
        async for row in self._query(query, {"@enrollmentId": enrollment_id}, tenant_id):
            event = self._event(row)
            if event is None:  # perhaps the one that matters
                raise StoreUnavailable(UNREADABLE_ITEM)
            events.append(event)
        return sorted(events, key=lambda event: event.sequence)

    async def events_after(self, tenant_id: str, sequence: int) -> AsyncIterator[Event | None]:
        """See ``LedgerStore``."""
        events = "SELECT * FROM c WHERE c.id != @setting"
        queries = [f"{events} AND c.sequence > @sequence ORDER BY c.sequence"]
        if sequence == 0:
            queries.insert(0, f"{events} AND (NOT IS_NUMBER(c.sequence) OR c.sequence <= 0)")
        for query in queries:
            parameters = {"@setting": SETTING_ID, "@sequence": sequence}
            async for row in self._query(query, parameters, tenant_id):
                yield self._event(row)

    async def ledgers(self, after: str, *, at_most: int) -> AsyncIterator[TenantLedger]:
        """See ``LedgerStore``."""
        async for tenant_id, items, whole in self._by_tenant(after, at_most):
            yield self._tenant_ledger(tenant_id, items, whole)

    async def events_of_enrollments(self, enrollment_ids: Sequence[str]) -> AsyncIterator[tuple[str, Event | None]]:
        """See ``LedgerStore``."""
        condition, parameters = one_of("enrollmentId", enrollment_ids)
        query = f"SELECT * FROM c WHERE {condition}"  # noqa: S608 (only our own text)
        async for row in self._query(query, parameters, page_size=LARGE_PAGE):
            yield row["enrollmentId"], self._event(row)

    async def last_commit(self) -> int | None:
        """See ``LedgerStore``."""
        rows = self._query("SELECT TOP 1 VALUE c._ts FROM c ORDER BY c._ts DESC", {})
        return next(iter([int(at) async for at in rows]), None)

    async def opt_outs_committed(self, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        """See ``LedgerStore``."""
        query = "SELECT * FROM c WHERE c.kind = 'optedOut' AND c._ts >= @since AND c._ts < @before ORDER BY c._ts"
        parameters = {"@since": since, "@before": _NEVER if before is None else before}
        async for row in self._query(query, parameters, page_size=LARGE_PAGE):
            event = self._event(row)
            yield Committed(row["_ts"], event if isinstance(event, OptedOut) else None)

    def _tenant_ledger(self, tenant_id: str, items: Sequence[Mapping[str, Any]], whole: bool) -> TenantLedger:
        setting: Setting | None = None
        events: list[Event] = []
        unreadable = 0
        for item in items:
            if item["id"] == SETTING_ID:
                setting = self._understood(Setting.from_json, item)
                unreadable += setting is None
            elif event := self._event(item):
                events.append(event)
            else:
                unreadable += 1
        return TenantLedger(tenant_id, setting, sorted(events, key=lambda event: event.sequence), unreadable, whole)

    def _event(self, item: Mapping[str, Any]) -> Event | None:
        """Return the event that an item is, member by member and under its own id; None if it is none of ours."""
        return self._understood(event_from_json, item, whole=True)
