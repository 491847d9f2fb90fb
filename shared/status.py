"""Whether the promises hold now, told from storage and the deletions and not from what the jobs believe."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared import deadlines
from shared.clock import Clock
from shared.containers import SHARDS, DayContainer, shard_prefix
from shared.heartbeats import Heartbeat
from shared.stores.ports import CaptureStore, DeletionCounts, DeletionStore, OperationStore, StoreUnavailable

HEARTBEAT_MAX_AGE = timedelta(minutes=15)
"""Three schedules of the purge: an older heartbeat means that it does not run (P9)."""

_PAGE = 10


@dataclass(frozen=True, slots=True)
class GeoStatus:
    """What is so in one served geo; ``error`` if storage or the deletions could not be read."""

    storage_account: str
    oldest_day: date | None
    deletions: DeletionCounts | None
    last_purge: Heartbeat | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The state of the service at ``at``: which promises hold, and from what that follows."""

    at: datetime
    promises: Mapping[str, bool]
    overdue_deletions: int
    geos: Mapping[str, GeoStatus]

    @property
    def holds(self) -> bool:
        """Whether every promise holds; what could not be read does not hold."""
        return all(self.promises.values())


@dataclass(frozen=True, slots=True)
class Status:
    """Reads the state of the service."""

    stores: Mapping[str, CaptureStore]
    deletions: DeletionStore
    operations: OperationStore
    clock: Clock
    retention_days: int

    async def report(self) -> StatusReport:
        """Return the state of the service now.

        Raises:
            StoreUnavailable: if not even Cosmos DB can be read.
        """
        now = self.clock.now()
        heartbeats = await self.operations.read_all("purge")
        # Of all accounts, because one that is no longer configured is purged by nobody.
        overdue = await self.deletions.overdue(now)
        statuses = await asyncio.gather(
            *(self._of_geo(store, now, heartbeats.get(geo)) for geo, store in self.stores.items())
        )
        return StatusReport(
            at=now,
            promises={
                "P4": all(self._retention_holds(status, now) for status in statuses),
                "P5": overdue == 0,
                "P9": all(_heartbeat_holds(status, now) for status in statuses),
            },
            overdue_deletions=overdue,
            geos=dict(zip(self.stores, statuses, strict=True)),
        )

    async def _of_geo(self, store: CaptureStore, now: datetime, heartbeat: Heartbeat | None) -> GeoStatus:
        try:
            oldest_day, counts = await asyncio.gather(_oldest_day(store), self.deletions.counts(store.account, now))
        except StoreUnavailable as error:
            return GeoStatus(store.account, None, None, heartbeat, error.code)
        return GeoStatus(store.account, oldest_day, counts, heartbeat)

    def _retention_holds(self, status: GeoStatus, now: datetime) -> bool:
        if status.error is not None:
            return False
        return status.oldest_day is None or now < deadlines.day_deadline(status.oldest_day, self.retention_days)


def _heartbeat_holds(status: GeoStatus, now: datetime) -> bool:
    purge = status.last_purge
    return purge is not None and purge.outcome != "failed" and now - purge.at <= HEARTBEAT_MAX_AGE


async def _oldest_day(store: CaptureStore) -> date | None:
    days = await asyncio.gather(*(_oldest_of_shard(store, shard) for shard in SHARDS))
    return min((day for day in days if day is not None), default=None)


async def _oldest_of_shard(store: CaptureStore, shard: str) -> date | None:
    async for listed in store.list_containers(shard_prefix(shard), page_size=_PAGE):
        container = DayContainer.parse(listed.name)
        if container is not None:
            return container.day
    return None
