"""The purge of the geo-pinned storage accounts: expired days, due deletions, and the second look (P4, P5, P6)."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from shared.accounts import Account, Accounts
from shared.clock import Clock
from shared.deletion.receipts import Receipts
from shared.model import deadlines
from shared.model.containers import SHARDS, DayContainer, shard_of, shard_prefix
from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat
from shared.pairing import Pairing
from shared.ports import (
    CaptureStore,
    Conflict,
    DeletionStore,
    OperationStore,
    Stored,
    StoreUnavailable,
)
from shared.runs import Run

_CONCURRENCY = 8
_PAGE = 200  # a run in which few days expire reads little more than their names


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run may do in each geo; the next run goes on where it stopped, because what is done is gone.

    Attributes:
        seconds: no new work is begun this long after the start.
        containers: expired containers deleted in each shard.
        deletions: deletions begun, and second looks taken.
    """

    seconds: float = 200.0
    containers: int = 2_000
    deletions: int = 1_000


class Purge:
    """Purges every served geo, in parallel and isolated: one that fails delays no other.

    It keeps no state of its own: what is to be done follows from the clock, the deletions and what storage holds. So a
    run that is killed anywhere, or that runs twice at a time, does no harm, and the next one finishes its work (P9).
    """

    def __init__(
        self,
        accounts: Accounts,
        pairing: Pairing,
        deletions: DeletionStore,
        operations: OperationStore,
        receipts: Receipts,
        clock: Clock,
        bounds: Bounds | None = None,
    ) -> None:
        self._accounts = accounts
        self._pairing = pairing
        self._deletions = deletions
        self._operations = operations
        self._receipts = receipts
        self._clock = clock
        self._bounds = bounds or Bounds()

    async def run(self) -> Mapping[str, Heartbeat]:
        """Purge all served geos and return the heartbeat of each; a failure is told there and not raised."""
        heartbeats = await asyncio.gather(*(self._purge_account(account) for account in self._accounts))
        return {account.geo: heartbeat for account, heartbeat in zip(self._accounts, heartbeats, strict=True)}

    async def _purge_account(self, account: Account) -> Heartbeat:
        run = Run("purge", self._clock, self._bounds.seconds)
        await run.isolated(self._purge_paired(account, run))
        heartbeat = run.heartbeat(account, more=run.more)
        await run.isolated(self._operations.write(heartbeat))
        return heartbeat

    async def _purge_paired(self, account: Account, run: Run) -> None:
        await self._pairing.check(account)
        store = account.store
        # Side by side, so that none of the three promises waits for the work of another.
        await asyncio.gather(
            run.isolated(self._expire_days(store, run)),
            run.isolated(self._begin_deletions(store, run)),
            run.isolated(self._look_again(store, run)),
        )

    # Retention (P4)

    async def _expire_days(self, store: CaptureStore, run: Run) -> None:
        await asyncio.gather(*(run.isolated(self._expire_shard(store, run, shard)) for shard in SHARDS))

    async def _expire_shard(self, store: CaptureStore, run: Run, shard: str) -> None:
        newest = deadlines.newest_expired_day(self._clock.now(), self._accounts.retention_days)
        expired = 0
        async for listed in store.list_containers(shard_prefix(shard), page_size=_PAGE):
            container = DayContainer.parse(listed.name)
            if container is None:
                continue  # not ours to delete, and no reason to stop
            if container.day > newest:
                return  # the oldest live day; names sort by day within a shard
            if expired >= self._bounds.containers or run.out_of_time():
                run.more = True
                return
            try:
                known = await store.delete_container(container.name)
            except StoreUnavailable as error:
                run.note(error.code)  # one container that cannot be deleted must not keep those behind it
                continue
            expired += 1
            run.counts["expiredContainers"] += known

    # Due deletions (P5)

    async def _begin_deletions(self, store: CaptureStore, run: Run) -> None:
        # Collected first: what an attempt changes is what the query sorts by, and must not move between its pages.
        for stored in await self._collected(self._deletions.due(store.account, self._clock.now()), run):
            if run.out_of_time():
                return
            await run.isolated(self._begin(store, run, stored))

    async def _begin(self, store: CaptureStore, run: Run, stored: Stored[Deletion]) -> None:
        deletion = stored.value
        try:
            deleted = await _delete_all(store, deletion.containers)
        except StoreUnavailable as error:
            run.note(error.code)
            await self._replace(run, deletion.failed(error.code), stored.etag)
            return
        if await self._replace(run, deletion.purged(self._clock.now(), deleted=deleted), stored.etag):
            run.counts["purgedDeletions"] += 1

    # The second look (P6)

    async def _look_again(self, store: CaptureStore, run: Run) -> None:
        by_shard: defaultdict[str, list[Stored[Deletion]]] = defaultdict(list)
        purged_by = deadlines.second_look_due(self._clock.now())
        for stored in await self._collected(self._deletions.unverified(store.account, purged_by), run):
            by_shard[shard_of(stored.value.enrollment_id)].append(stored)
        for shard, looked_for in by_shard.items():
            if run.out_of_time():
                return
            await run.isolated(self._look_into(store, run, shard, looked_for))

    async def _look_into(self, store: CaptureStore, run: Run, shard: str, looked_for: list[Stored[Deletion]]) -> None:
        # One listing serves every deletion of the shard, and shows days that the computed names do not have.
        found: defaultdict[str, list[DayContainer]] = defaultdict(list)
        kept: set[str] = set()
        wanted = {stored.value.enrollment_id for stored in looked_for}
        async for listed in store.list_containers(shard_prefix(shard), include_deleted=True):
            container = DayContainer.parse(listed.name)
            if container is None or container.enrollment_id not in wanted:
                continue
            if listed.deleted:
                kept.add(container.enrollment_id)
            else:
                found[container.enrollment_id].append(container)
        # However long the listing took: what it showed is used, or a slow one would be made again for ever.
        for stored in looked_for:
            mine = stored.value.enrollment_id
            conclusion = self._conclude(store, run, stored, found=found[mine], soft_deleted=mine in kept)
            await run.isolated(conclusion)

    async def _conclude(
        self,
        store: CaptureStore,
        run: Run,
        stored: Stored[Deletion],
        *,
        found: list[DayContainer],
        soft_deleted: bool,
    ) -> None:
        deletion = stored.value
        # A container that Azure is still collecting is in no listing; only a further delete tells (D3).
        known = await _delete_all(store, found or deletion.containers)
        if found:
            error = "containers-found"
        elif soft_deleted:
            error = "soft-deleted"
        elif known:
            error = "being-deleted"
        else:
            if any(code.startswith("vault-") for code in run.errors):
                return  # one that hangs must not use up the run; what it proves is proved again by the next
            if await self._replace(run, await self._receipts.signed(deletion), stored.etag):
                run.counts["verifiedDeletions"] += 1
            return
        if error != "being-deleted":  # Azure takes a while, as a rule; one that takes too long is overdue
            run.note(error)
        again = deletion.purged(self._clock.now(), deleted=len(found), error=error, found=[each.day for each in found])
        await self._replace(run, again, stored.etag)

    async def _replace(self, run: Run, deletion: Deletion, etag: str) -> bool:
        try:
            await self._deletions.replace(deletion, etag)
        except Conflict:
            run.more = True  # expedited, or done by another run; the next one sees how it stands
            return False
        return True

    async def _collected(self, work: AsyncIterator[Stored[Deletion]], run: Run) -> list[Stored[Deletion]]:
        collected: list[Stored[Deletion]] = []
        async for stored in work:
            if len(collected) >= self._bounds.deletions or run.out_of_time():
                run.more = True
                break
            collected.append(stored)
        return collected


async def _delete_all(store: CaptureStore, containers: list[DayContainer]) -> int:
    """Delete containers and return of how many storage still knew.

    All are tried before the first failure is raised: one that cannot be deleted must not keep the others.
    """
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def delete(container: DayContainer) -> bool:
        async with slots:
            return await store.delete_container(container.name)

    answers = await asyncio.gather(*(delete(container) for container in containers), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers.count(True)
