"""The lease of a change feed: one document, one owner, every write under its etag."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)


class LeaseLostError(Exception):
    """Another host has written the lease: it owns the feed now."""


class Lease:
    """One owner's view of a lease. Times are the machine's, never the movable clock's: hosts must agree on them."""

    def __init__(self, container: ContainerProxy, lease_id: str, owner: str, expires_after: float) -> None:
        """Name the lease; ``expires_after`` in seconds without a renewal. Nothing is read or written yet."""
        self._container = container
        self._id = lease_id
        self._owner = owner
        self._expires_after = expires_after
        self._item: dict[str, Any] = {}
        # A renewal and an advance of one owner must not fail on each other's etag.
        self._writing = asyncio.Lock()

    @property
    def continuations(self) -> dict[str, str | None]:
        """Where the feed of each range goes on, None before its first page; empty before the ranges are known."""
        found: dict[str, str | None] = self._item.get("continuationTokens", {})
        return dict(found)

    async def acquire(self) -> bool:
        """Take the lease if it is new, free, expired or this owner's from before; return whether it is held now."""
        try:
            self._item = dict(await self._container.read_item(self._id, partition_key=self._id))
        except CosmosResourceNotFoundError as error:
            if error.sub_status == 1003:  # the container is missing, not the item
                raise
            return await self._create()
        owner = self._item.get("owner")
        if owner not in {None, self._owner} and self._item["expiresAt"] > time.time():
            return False
        try:
            await self.renew()
        except LeaseLostError:
            return False
        return True

    async def renew(self) -> None:
        """Push the expiry out; raises ``LeaseLostError`` if another owner has written the lease."""
        await self._replace(owner=self._owner)

    async def advance(self, continuations: Mapping[str, str | None]) -> None:
        """Record that everything before the continuations is done with; raises ``LeaseLostError``."""
        await self._replace(owner=self._owner, continuationTokens=dict(continuations))

    async def release(self) -> None:
        """Let another host take over at once; raises ``LeaseLostError`` if one already has."""
        await self._replace(owner=None)

    async def _create(self) -> bool:
        item = {"id": self._id, "owner": self._owner, "continuationTokens": {}, "expiresAt": self._expiry()}
        try:
            self._item = dict(await self._container.create_item(item))
        except CosmosResourceExistsError:
            return False
        return True

    async def _replace(self, **changed: Any) -> None:
        async with self._writing:
            body = self._item | changed | {"expiresAt": self._expiry()}
            try:
                self._item = dict(
                    await self._container.replace_item(
                        self._id, body, etag=self._item["_etag"], match_condition=MatchConditions.IfNotModified
                    )
                )
            except (CosmosAccessConditionFailedError, CosmosResourceNotFoundError) as error:
                raise LeaseLostError from error

    def _expiry(self) -> float:
        return time.time() + self._expires_after
