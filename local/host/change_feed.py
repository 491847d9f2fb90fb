"""The Cosmos DB trigger: reads a container's change feed under a lease and hands its pages to the function."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.functions.meta import Datum

from local.host.functions import FeedTrigger, Function
from local.host.invocation import Invoker
from local.host.leases import Lease, LeaseLostError
from local.host.stopping import Stopping

_log = logging.getLogger("local.host")
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 1.0
_COMPLAIN_EVERY_SECONDS = 5.0


class FeedListener:
    """One Cosmos DB function. Delivery is at least once: the lease moves on only after the function's run."""

    def __init__(
        self, function: Function, trigger: FeedTrigger, owner: str, invoker: Invoker, stopping: Stopping
    ) -> None:
        """Listen as ``owner``, which no other living host may be."""
        self._function = function
        self._trigger = trigger
        self._owner = owner
        self._invoker = invoker
        self._stopping = stopping
        self._complained = float("-inf")

    async def listen(self) -> None:
        """Hold or wait for the lease and process the feed until the host stops; outlast any failure of Cosmos DB."""
        while not self._stopping.is_set():
            wait = _RETRY_SECONDS
            try:
                async with self._containers() as (watched, leases):
                    lease = Lease(leases, self._trigger.lease_id, self._owner, self._trigger.expiration_interval)
                    while not await lease.acquire():
                        if await self._stopping.within(self._trigger.acquire_interval):
                            return
                    await self._process_as_owner(watched, lease)
            except LeaseLostError:
                _log.info("%s: another host has taken the lease", self._function.name)
                wait = self._trigger.acquire_interval
            except (AzureError, OSError, TimeoutError) as error:
                self._complain(error)
            if await self._stopping.within(wait):
                return

    @asynccontextmanager
    async def _containers(self) -> AsyncIterator[tuple[ContainerProxy, ContainerProxy]]:
        async with AsyncExitStack() as stack:

            async def connected(connection: str) -> CosmosClient:
                # The listener repeats by itself: the SDK's own retries would only hide for how long Cosmos DB is away.
                client = CosmosClient.from_connection_string(connection, retry_total=0, retry_connect=0)
                stack.push_async_callback(client.close)
                return client

            # Two clients: a page's continuation is read from its client's last response, which a renewal would replace.
            watched = await connected(self._trigger.connection)
            leases = await connected(self._trigger.lease_connection)
            database = leases.get_database_client(self._trigger.lease_database)
            if self._trigger.create_lease_container:
                await database.create_container_if_not_exists(self._trigger.lease_container, PartitionKey("/id"))
            yield (
                watched.get_database_client(self._trigger.database).get_container_client(self._trigger.container),
                database.get_container_client(self._trigger.lease_container),
            )

    async def _process_as_owner(self, watched: ContainerProxy, lease: Lease) -> None:
        _log.info("%s: this host owns the lease", self._function.name)
        renewing = asyncio.create_task(self._keep_renewing(lease))
        try:
            await self._process(watched, lease, renewing)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        if renewing.done() and not renewing.cancelled():
            renewing.result()  # raises LeaseLostError
        await lease.release()

    async def _process(self, watched: ContainerProxy, lease: Lease, renewing: asyncio.Task[None]) -> None:
        # Each range by itself: the SDK cannot resume a feed of all ranges before each of them has been read (4.17.1).
        places = lease.continuations
        if not places:
            places = {json.dumps(feed_range): None async for feed_range in watched.read_feed_ranges()}
        changes = True
        while changes or not await self._stopping.within(_POLL_SECONDS):
            changes = False
            for feed_range, continuation in list(places.items()):
                if self._stopping.is_set() or renewing.done():
                    return
                documents, places[feed_range] = await self._page(watched, feed_range, continuation)
                if documents and not await self._run(documents, renewing):
                    return
                # An empty first page is recorded too, or a restart would start from a later "now".
                if documents or continuation is None:
                    await lease.advance(places)
                changes |= bool(documents)

    async def _run(self, documents: Sequence[dict[str, Any]], renewing: asyncio.Task[None]) -> bool:
        """Run the function; return whether the lease may move on behind what it was given."""
        value = Datum(json.dumps(documents), "json")
        ended = await self._invoker.run_with_retries(self._function, value, lambda: not renewing.done())
        if ended is False:
            _log.warning("%s: a batch of %d is passed over", self._function.name, len(documents))
        return ended is not None

    async def _page(
        self, watched: ContainerProxy, feed_range: str, continuation: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        seen: list[Mapping[str, str]] = []
        where: dict[str, Any] = {"continuation": continuation}
        if continuation is None:
            start = "Beginning" if self._trigger.start_from_beginning else "Now"
            where = {"start_time": start, "feed_range": json.loads(feed_range)}
        pages = watched.query_items_change_feed(
            **where,
            max_item_count=self._trigger.max_items,
            response_hook=lambda headers, _: seen.append(headers),
        ).by_page()
        # One page: the next poll reads the next one, after this one's run.
        page = await anext(pages, None)
        documents = [] if page is None else [document async for document in page]
        # The SDK rewrites the etag of these very headers into a token that it can resume from (4.17.1).
        return documents, seen[-1].get("etag") if seen else continuation

    async def _keep_renewing(self, lease: Lease) -> None:
        """Renew until cancelled, a stop included: the lease must outlast a run that outlasts the wish to stop."""
        wait = self._trigger.renew_interval
        while True:
            await asyncio.sleep(wait)
            try:
                await lease.renew()
                wait = self._trigger.renew_interval
            except (AzureError, OSError, TimeoutError) as error:
                self._complain(error)
                wait = min(_RETRY_SECONDS, wait)

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._complained >= _COMPLAIN_EVERY_SECONDS:
            self._complained = time.monotonic()
            code = getattr(error, "status_code", None)
            _log.warning("%s: Cosmos DB: %s %s; trying on", self._function.name, type(error).__name__, code or "")
