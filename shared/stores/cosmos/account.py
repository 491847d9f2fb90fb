"""The Cosmos DB account, and what its containers have in common, through the Azure SDK."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import HttpResponseError
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosBatchOperationError

from shared.configuration import is_endpoint, is_this_machine
from shared.model.geos import GEOS
from shared.model.items import STORAGE_ACCOUNT, K, as_written, tenant_in_log
from shared.model.posture import LEDGER
from shared.ports import UNREADABLE_ITEM, Conflict, Page, Setup, StoreUnavailable
from shared.stores.calls import Calls, retry_after

DATABASE = "data-sharing"
CONFLICT, PRECONDITION_FAILED = 409, 412
LARGE_PAGE = 1_000
"""Of a query that reads its way through a container."""

PAGE = 100
"""Of any other."""

_NOT_FOUND, _TOO_MANY_REQUESTS, _RETRY_WITH = 404, 429, 449
_THROTTLES = frozenset({_TOO_MANY_REQUESTS, _RETRY_WITH})
_PATIENCE_SECONDS = 1

_OUR_IDS = re.compile(
    f"setting|head|ledger|cosmos|account-{STORAGE_ACCOUNT.pattern}|(event|record)-[0-9]{{9}}"
    "|((grant|export)-)?[0-9a-f]{32}"
)

_log = logging.getLogger(__name__)


def _refused(error: HttpResponseError) -> StoreUnavailable:
    headers = getattr(error, "headers", None)
    return StoreUnavailable(
        f"cosmos-{error.status_code or 'unreachable'}",
        throttled=error.status_code in _THROTTLES,
        retry_after=retry_after(headers),
    )


call = Calls("cosmos", 10.0, _refused)


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
        # In seconds, of one request that is told to wait. The SDK tries a page of a query again as often as each of its
        # requests, so with more the call's time would be over before the page could fail with its code.
        options["retry_throttle_backoff_max"] = _PATIENCE_SECONDS
        options["raw_response_hook"] = _refuse_long_waits
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
        async with call():
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


def _refuse_long_waits(response: Any) -> None:
    """Let a call fail at once that is told to wait for longer than there is time.

    The SDK would wait for as long as it is told, once at least, and then have no time to tell by whom. Nor does it
    understand what is no whole number.
    """
    answer = response.http_response
    told = answer.headers.get("x-ms-retry-after-ms")
    if answer.status_code == _TOO_MANY_REQUESTS and told is not None:
        asked = retry_after(answer.headers)
        if asked is None or asked > _PATIENCE_SECONDS or not told.isdecimal():
            raise StoreUnavailable("cosmos-429", throttled=True, retry_after=asked)


def _expires(container: Mapping[str, Any]) -> bool:
    return any(container.get(name) is not None for name in ("defaultTtl", "analyticalStorageTtl"))


class CosmosContainer:
    _name: str

    def __init__(self, account: CosmosAccount) -> None:
        self._account = account

    async def _container(self) -> ContainerProxy:
        return await self._account.container(self._name)

    async def _read(self, item_id: str, partition: str) -> dict[str, Any] | None:
        async with call():
            try:
                return dict(await (await self._container()).read_item(item_id, partition))
            except HttpResponseError as error:
                if is_missing_item(error):
                    return None
                raise

    async def _commit(self, operations: Sequence[Any], partition: str) -> None:
        """Carry out all operations or none; raise Conflict if one is not possible any more."""
        async with call():
            container = await self._container()
            try:
                await container.execute_item_batch(operations, partition)
            except CosmosBatchOperationError as error:
                if error.status_code in (CONFLICT, PRECONDITION_FAILED):
                    raise Conflict from None
                raise

    async def _page(self, parse: Callable[[Any], K], rows: AsyncIterator[Any], limit: int) -> Page[K]:
        """Return a page of the values that ``rows`` hold, with their sequences; one more says that there is a next."""
        one_more = [row async for row in rows]
        found = one_more[:limit]
        values = [value for row in found if (value := self._understood(parse, row)) is not None]
        more = int(found[-1]["sequence"]) if len(one_more) > limit else None
        return Page(values, len(found) - len(values), more)

    async def _first(
        self, parse: Callable[[Any], K], query: str, parameters: Mapping[str, object], limit: int
    ) -> list[K]:
        """Return the first ``limit`` values that a query over all partitions finds and that can be understood."""
        found: list[K] = []
        async for row in self._query(query, parameters, page_size=limit):
            value = self._understood(parse, row)
            if value is not None:
                found.append(value)
            if len(found) == limit:
                break
        return found

    def _understood(self, parse: Callable[[Any], K], item: Mapping[str, Any], *, whole: bool = False) -> K | None:
        """Return what an item holds (see ``as_written``); if nobody understands it, None, once the log has its name.

        One that cannot be understood must not keep the rest from being shown, or from their deadlines.
        """
        try:
            return as_written(parse, item, whole=whole)
        except ValueError:
            self._report(item)
            return None

    def _report(self, item: Mapping[str, Any]) -> None:
        # Whoever has written it may have written anything, so only what looks like ours is named (P8).
        item_id = str(item.get("id"))
        _log.error(
            "an item of %s cannot be read: %s of tenant %s",
            self._name,
            item_id if _OUR_IDS.fullmatch(item_id) or item_id in GEOS else "one with no id of ours",
            tenant_in_log(item.get("tenantId")),
        )

    async def _by_tenant(self, after: str, at_most: int) -> AsyncIterator[tuple[str, Sequence[Any], bool]]:
        """Yield each tenant after ``after``, in the order of the ids, with its items and whether they are all.

        Of a tenant with more than ``at_most`` they are not.
        """
        # By that alone: the SDK gives up where a property that it merges by is of one type here and another there.
        query = "SELECT * FROM c WHERE c.tenantId > @after ORDER BY c.tenantId"
        while True:
            tenant_id, items = after, list[Any]()
            async for row in self._query(query, {"@after": after}, page_size=LARGE_PAGE):
                if row["tenantId"] != tenant_id:
                    if items:
                        yield tenant_id, items, True
                    tenant_id, items = row["tenantId"], []
                items.append(row)
                if len(items) > at_most:
                    break  # asked again without that tenant, or its millions would all be read
            else:
                if items:
                    yield tenant_id, items, True
                return
            yield tenant_id, items[:at_most], False
            after = tenant_id

    async def _query(
        self, query: str, parameters: Mapping[str, object], partition: str | None = None, *, page_size: int = PAGE
    ) -> AsyncIterator[Any]:
        """Yield what a query finds, in one partition or, with None, in all."""
        scope: Any = {} if partition is None else {"partition_key": partition}
        async with call():
            container = await self._container()
        pages = container.query_items(
            query,
            parameters=[{"name": name, "value": value} for name, value in parameters.items()],
            max_item_count=page_size,
            **scope,
        ).by_page()
        while True:
            async with call():
                page = await anext(pages, None)
                if page is None:
                    return
                found = [each async for each in page]
            for each in found:
                yield each


def sequence_below(before: int | None) -> int:
    """Return the sequence that those of a page are lower than."""
    return 1_000_000_000 if before is None else before  # above any sequence: event ids have nine digits


def one_of(name: str, values: Sequence[str]) -> tuple[str, Mapping[str, object]]:
    """Return the condition that a member is one of some values, which its index answers, and its parameters."""
    parameters: Mapping[str, object] = {f"@{name}{n}": value for n, value in enumerate(values)}
    return f"c.{name} IN ({', '.join(parameters)})", parameters


def parsed(parse: Callable[[Any], K], item: Mapping[str, Any]) -> K:
    """Return the value that an item holds.

    Raises:
        StoreUnavailable: if nobody understands it.
    """
    try:
        return as_written(parse, item)
    except ValueError:
        raise StoreUnavailable(UNREADABLE_ITEM) from None  # fail closed: unknown is not "off" and not "on"


def is_missing_item(error: HttpResponseError) -> bool:
    """Tell whether it is the item that is not there."""
    # Sub-status 1003: it is the container that has gone missing.
    return error.status_code == _NOT_FOUND and not getattr(error, "sub_status", None)
