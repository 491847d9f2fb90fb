"""The ledger, the deletions and the heartbeats in Cosmos DB, through the Azure SDK."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosBatchOperationError
from pydantic import ValidationError

from shared.configuration import is_endpoint, is_this_machine
from shared.deletions import Deletion
from shared.heartbeats import Heartbeat
from shared.items import format_instant
from shared.ledger import Change, Event, OptedOut, Setting, TenantLedger, event_from_json
from shared.posture import LEDGER, PostureCheck
from shared.reviews import AccessRecord, ReviewGrant
from shared.stores.ports import Conflict, DeletionCounts, Setup, Stored, StoreUnavailable

DATABASE = "data-sharing"

_SETTING_ID = "setting"
_HEAD_ID = "head"
_CALL_SECONDS = 10.0
_PAGE = 100
_LARGE_PAGE = 1_000  # of a query that reads its way through a container
_UNFINISHED = "FROM c WHERE c.status IN ('scheduled', 'purged')"
_NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED = 404, 409, 412

_log = logging.getLogger(__name__)
T = TypeVar("T")


class CosmosAccount:
    """One client for all containers, connected when first used and again after a failure to connect."""

    def __init__(self, client: CosmosClient, database: str = DATABASE) -> None:
        self._client = client
        self._database = client.get_database_client(database)
        self._connecting = asyncio.Lock()
        self._containers: dict[str, ContainerProxy] = {}

    @classmethod
    def connect(
        cls, setting: str, credential: AsyncTokenCredential | None, database: str = DATABASE
    ) -> "CosmosAccount":
        """Return the account that a setting names; nothing is sent yet.

        Args:
            setting: an account endpoint, or a connection string with a key.
            credential: the identity to use with an endpoint.
            database: the database's name.
        """
        options: Any = {"connection_timeout": 3, "read_timeout": 8, "retry_total": 3, "retry_backoff_max": 3}
        if is_endpoint(setting):
            assert credential is not None
            return cls(CosmosClient(setting, credential, **options), database)
        return cls(CosmosClient.from_connection_string(setting, **options), database)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @property
    def account(self) -> None:
        """See ``InspectedAccount``."""
        return

    async def setup(self) -> Setup:
        """See ``InspectedAccount``."""
        async with _call():
            # Read anew each time: what was so when the account was connected may not be so now.
            containers = {name: await (await self.container(name)).read() for name in LEDGER}
            connection = self._client.client_connection
            found = await connection.GetDatabaseAccount()
        properties = {
            "consistencyPolicy": found.ConsistencyPolicy,
            "writeLocations": found.WritableLocations,
            "containers": {name: {"expires": _expires(found)} for name, found in containers.items()},
        }
        return Setup(properties, development=is_this_machine(connection.url_connection))

    async def container(self, name: str) -> ContainerProxy:
        """Return a container's client, once the account and the container itself have answered.

        A read of an item from a container that does not exist is answered like that of an item that does not: without
        this, a deployment without ``tenants`` would take everybody for a tenant never seen.
        """
        if name not in self._containers:
            async with self._connecting:
                if not self._containers:
                    await self._client.__aenter__()
                container = self._database.get_container_client(name)
                await container.read()
                self._containers[name] = container
        return self._containers[name]


def _expires(container: Mapping[str, Any]) -> bool:
    return any(container.get(name) is not None for name in ("defaultTtl", "analyticalStorageTtl"))


class _CosmosContainer:
    _name: str

    def __init__(self, account: CosmosAccount) -> None:
        self._account = account

    async def _container(self) -> ContainerProxy:
        return await self._account.container(self._name)

    async def _read(self, item_id: str, partition: str) -> dict[str, Any] | None:
        async with _call():
            try:
                return dict(await (await self._container()).read_item(item_id, partition))
            except HttpResponseError as error:
                if _is_missing_item(error):
                    return None
                raise

    async def _commit(self, operations: Sequence[Any], partition: str) -> None:
        """Carry out all operations or none; raise Conflict if one is not possible any more."""
        async with _call():
            container = await self._container()
            try:
                await container.execute_item_batch(operations, partition)
            except CosmosBatchOperationError as error:
                if error.status_code in (_CONFLICT, _PRECONDITION_FAILED):
                    raise Conflict from None
                raise

    async def _query(
        self, query: str, parameters: Mapping[str, object], partition: str | None = None, *, page_size: int = _PAGE
    ) -> AsyncIterator[Any]:
        """Yield what a query finds, in one partition or, with None, in all."""
        scope: Any = {} if partition is None else {"partition_key": partition}
        async with _call():
            container = await self._container()
        pages = container.query_items(
            query,
            parameters=[{"name": name, "value": value} for name, value in parameters.items()],
            max_item_count=page_size,
            **scope,
        ).by_page()
        while True:
            async with _call():
                page = await anext(pages, None)
                if page is None:
                    return
                found = [each async for each in page]
            for each in found:
                yield each


class CosmosLedger(_CosmosContainer):
    """Container ``tenants``."""

    _name = "tenants"

    async def read_setting(self, tenant_id: str) -> Stored[Setting] | None:
        """See ``LedgerStore``."""
        item = await self._read(_SETTING_ID, tenant_id)
        return None if item is None else Stored(_parsed(Setting.from_json, item), item["_etag"])

    async def commit(self, change: Change, etag: str | None) -> None:
        """See ``LedgerStore``."""
        setting = {"id": _SETTING_ID, **change.setting.to_json()}
        event = {"id": change.event.id, **change.event.to_json()}
        operations: list[Any] = [("create", (event,))]
        if etag is None:
            operations.append(("create", (setting,)))
        else:
            operations.append(("replace", (_SETTING_ID, setting), {"if_match_etag": etag}))
        await self._commit(operations, change.setting.tenant_id)

    async def history(self, tenant_id: str, *, limit: int, before: int | None) -> Sequence[Event]:
        """See ``LedgerStore``."""
        rows = self._query(
            "SELECT TOP @limit * FROM c WHERE IS_DEFINED(c.kind) AND c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit, "@before": _before(before)},
            tenant_id,
        )
        return [_parsed(event_from_json, row) async for row in rows]

    async def ledger_of(self, tenant_id: str) -> TenantLedger:
        """See ``LedgerStore``."""
        return _tenant_ledger(tenant_id, [row async for row in self._query("SELECT * FROM c", {}, tenant_id)])

    async def ledgers(self, after: str) -> AsyncIterator[TenantLedger]:
        """See ``LedgerStore``."""
        tenant_id, items = after, list[Any]()
        rows = self._query(
            # By that alone: the SDK gives up where a property that it merges by is of one type here and another there.
            "SELECT * FROM c WHERE c.tenantId > @after ORDER BY c.tenantId",
            {"@after": after},
            page_size=_LARGE_PAGE,
        )
        async for row in rows:
            if row["tenantId"] != tenant_id:
                if items:
                    yield _tenant_ledger(tenant_id, items)
                tenant_id, items = row["tenantId"], []
            items.append(row)
        if items:
            yield _tenant_ledger(tenant_id, items)

    async def events_of_shard(self, shard: str) -> AsyncIterator[tuple[str, Event | None]]:
        """See ``LedgerStore``."""
        query = "SELECT * FROM c WHERE c.enrollmentId >= @first AND c.enrollmentId <= @last"
        rows = self._query(query, _shard_range(shard), page_size=_LARGE_PAGE)
        async for row in rows:
            yield row["enrollmentId"], _event(row)

    async def opt_outs_since(self, at: datetime) -> AsyncIterator[OptedOut | None]:
        """See ``LedgerStore``."""
        rows = self._query(
            "SELECT * FROM c WHERE c.kind = 'optedOut' AND c.at >= @at",
            {"@at": format_instant(at)},
            page_size=_LARGE_PAGE,
        )
        async for row in rows:
            event = _event(row)
            yield event if isinstance(event, OptedOut) else None


class CosmosDeletions(_CosmosContainer):
    """Container ``deletions``."""

    _name = "deletions"

    async def create(self, deletion: Deletion) -> bool:
        """See ``DeletionStore``."""
        async with _call():
            try:
                await (await self._container()).create_item(_deletion_item(deletion))
            except HttpResponseError as error:
                if error.status_code == _CONFLICT:
                    return False
                raise
            return True

    async def read(self, tenant_id: str, enrollment_id: str) -> Stored[Deletion] | None:
        """See ``DeletionStore``."""
        item = await self._read(enrollment_id, tenant_id)
        return None if item is None else Stored(_parsed(Deletion.from_json, item), item["_etag"])

    async def replace(self, deletion: Deletion, etag: str) -> None:
        """See ``DeletionStore``."""
        async with _call():
            try:
                await (await self._container()).replace_item(
                    deletion.enrollment_id,
                    _deletion_item(deletion),
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except HttpResponseError as error:
                if error.status_code == _PRECONDITION_FAILED:
                    raise Conflict from None
                raise

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Sequence[Deletion]:
        """See ``DeletionStore``."""
        rows = self._query(
            "SELECT TOP @limit * FROM c WHERE c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit, "@before": _before(before)},
            tenant_id,
        )
        return [_parsed(Deletion.from_json, row) async for row in rows]

    def due(self, storage_account: str, now: datetime) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        return self._deletions(
            "SELECT * FROM c WHERE c.storageAccount = @account AND c.status = 'scheduled' AND c.notBefore <= @by"
            " ORDER BY c.attempts, c.notBefore",
            storage_account,
            now,
        )

    def unverified(self, storage_account: str, purged_by: datetime) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        return self._deletions(
            "SELECT * FROM c WHERE c.storageAccount = @account AND c.status = 'purged' AND c.purgedAt <= @by"
            " ORDER BY c.attempts, c.purgedAt",
            storage_account,
            purged_by,
        )

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
        return self._understood(self._query(query, {"@after": after, "@until": until}, page_size=_LARGE_PAGE))

    def verified_of_shard(self, shard: str) -> AsyncIterator[str]:
        """See ``DeletionStore``."""
        query = (
            "SELECT VALUE c.enrollmentId FROM c WHERE c.status = 'verified'"
            " AND c.enrollmentId >= @first AND c.enrollmentId <= @last"
        )
        return self._query(query, _shard_range(shard), page_size=_LARGE_PAGE)

    def opted_out_since(self, at: datetime) -> AsyncIterator[str]:
        """See ``DeletionStore``."""
        query = "SELECT VALUE c.enrollmentId FROM c WHERE c.optedOutAt >= @at"
        return self._query(query, {"@at": format_instant(at)}, page_size=_LARGE_PAGE)

    def _deletions(self, query: str, storage_account: str, by: datetime) -> AsyncIterator[Stored[Deletion]]:
        return self._understood(self._query(query, {"@account": storage_account, "@by": format_instant(by)}))

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


class CosmosAccess(_CosmosContainer):
    """Container ``access``."""

    _name = "access"

    async def head(self, tenant_id: str) -> Stored[int] | None:
        """See ``AccessStore``."""
        item = await self._read(_HEAD_ID, tenant_id)
        return None if item is None else Stored(int(item["head"]), item["_etag"])

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
        return None if item is None else _parsed(ReviewGrant.from_json, item)

    async def grants(self, tenant_id: str, *, limit: int, before: int | None) -> Sequence[ReviewGrant]:
        """See ``AccessStore``."""
        return [_parsed(ReviewGrant.from_json, row) async for row in self._newest("grant", tenant_id, limit, before)]

    async def approved_grants(self, tenant_id: str, reviewer: str, now: datetime) -> Sequence[ReviewGrant]:
        """See ``AccessStore``."""
        rows = self._query(
            "SELECT * FROM c WHERE c.kind = 'grant' AND c.requestedBy = @reviewer AND c.expiresAt > @now",
            {"@reviewer": reviewer, "@now": format_instant(now)},
            tenant_id,
        )
        return [_parsed(ReviewGrant.from_json, row) async for row in rows]

    async def log(self, tenant_id: str, *, limit: int, before: int | None) -> Sequence[AccessRecord]:
        """See ``AccessStore``."""
        return [_parsed(AccessRecord.from_json, row) async for row in self._newest("record", tenant_id, limit, before)]

    def _newest(self, kind: str, tenant_id: str, limit: int, before: int | None) -> AsyncIterator[Any]:
        return self._query(
            "SELECT TOP @limit * FROM c WHERE c.kind = @kind AND c.sequence < @before ORDER BY c.sequence DESC",
            {"@limit": limit, "@kind": kind, "@before": _before(before)},
            tenant_id,
        )


class CosmosOperations(_CosmosContainer):
    """Container ``operations``."""

    _name = "operations"

    async def write(self, heartbeat: Heartbeat) -> None:
        """See ``OperationStore``."""
        async with _call():
            await (await self._container()).upsert_item({"id": heartbeat.geo or "ledger", **heartbeat.to_json()})

    async def read_all(self, kind: str) -> Mapping[str | None, Heartbeat]:
        """See ``OperationStore``."""
        heartbeats: dict[str | None, Heartbeat] = {}
        async for row in self._query("SELECT * FROM c", {}, kind):
            try:
                heartbeat = Heartbeat.from_json(row)
            except ValidationError:
                continue  # none is worse than any; the next run writes one that can be understood
            heartbeats[heartbeat.geo] = heartbeat
        return heartbeats


class CosmosPosture(_CosmosContainer):
    """Container ``operations``: the checks of the posture."""

    _name = "operations"

    async def write(self, check: PostureCheck) -> None:
        """See ``PostureStore``."""
        async with _call():
            await (await self._container()).upsert_item({"id": check.geo or "cosmos", **check.to_json()})

    async def read_all(self) -> Mapping[str | None, PostureCheck]:
        """See ``PostureStore``. A check that cannot be understood is none."""
        checks: dict[str | None, PostureCheck] = {}
        async for row in self._query("SELECT * FROM c", {}, "posture"):
            try:
                check = PostureCheck.from_json(row)
            except ValidationError:
                continue
            checks[check.geo] = check
        return checks


def _shard_range(shard: str) -> Mapping[str, object]:
    return {"@first": shard + 31 * "0", "@last": shard + 31 * "f"}


def _tenant_ledger(tenant_id: str, items: Sequence[Mapping[str, Any]]) -> TenantLedger:
    setting: Setting | None = None
    events: list[Event] = []
    unreadable = 0
    for item in items:
        if item["id"] == _SETTING_ID:
            try:
                setting = Setting.from_json(item)
            except ValidationError:
                unreadable += 1
        elif event := _event(item):
            events.append(event)
        else:
            unreadable += 1
    return TenantLedger(tenant_id, setting, sorted(events, key=lambda event: event.sequence), unreadable)


def _event(item: Mapping[str, Any]) -> Event | None:
    """Return the event that an item is, member by member and under its own id; None if it is none of ours."""
    try:
        event = event_from_json(item)
    except ValidationError:
        return None
    members = {name: value for name, value in item.items() if not name.startswith("_")}
    return event if members == {"id": event.id, **event.to_json()} else None


def _grant_id(grant_id: str) -> str:
    return f"grant-{grant_id}"


def _deletion_item(deletion: Deletion) -> dict[str, Any]:
    return {"id": deletion.enrollment_id, **deletion.to_json()}


def _before(before: int | None) -> int:
    return 1_000_000_000 if before is None else before  # above any sequence: event ids have nine digits


def _parsed(parse: Callable[[Any], T], item: Mapping[str, Any]) -> T:
    try:
        return parse(item)
    except ValidationError:
        raise StoreUnavailable("cosmos-item-unreadable") from None  # fail closed: unknown is not "off" and not "on"


def _is_missing_item(error: HttpResponseError) -> bool:
    # Sub-status 1003: it is the container that has gone missing.
    return error.status_code == _NOT_FOUND and not getattr(error, "sub_status", None)


@asynccontextmanager
async def _call() -> AsyncIterator[None]:
    """Bound a call's time, and turn the SDK's exceptions into ours, which hold a code."""
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            yield
    except TimeoutError:
        raise StoreUnavailable("cosmos-timeout") from None
    except HttpResponseError as error:
        raise StoreUnavailable(f"cosmos-{error.status_code or 'unreachable'}") from None
    except (AzureError, OSError):
        raise StoreUnavailable("cosmos-unreachable") from None
