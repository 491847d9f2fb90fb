"""The purge of the geo-pinned storage accounts: expired days, due deletions, and the second look (P4, P5, P6)."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import TypeVar

from shared import standing
from shared.accounts import Account, Accounts
from shared.clock import Clock
from shared.deletion.postponed import PostponedDays
from shared.deletion.receipts import Receipts
from shared.model import deadlines
from shared.model.containers import SHARDS, DayContainer, prefixes_after, shard_of, shard_prefix
from shared.model.deletion import Deletion
from shared.model.heartbeats import THROTTLED, Heartbeat, believable
from shared.model.ledger import OptedOut
from shared.pairing import Pairing
from shared.ports import (
    UNREADABLE_ITEM,
    Conflict,
    DeletionStore,
    LedgerStore,
    ListedContainer,
    OperationStore,
    Stored,
    StoreUnavailable,
)
from shared.runs import CALL_SECONDS, LOOK_BACK_SECONDS, BriefStore, Run

T = TypeVar("T")

_CONCURRENCY = 8
_EXPIRING = 4  # in each of 16 shards
_PAGE = 50  # a run in which few days expire reads little more than their names, and each delete costs more than one
_AHEAD = timedelta(days=2)
_CONCLUDING_SECONDS = 60.0

LISTED = 10_000
"""How many of a shard's names, or a few more, a second look reads before it asks for those of each deletion alone."""

SIGNED_AT_A_TIME = 8
"""How many receipts; a tenant's take turns at the head of its access log, and none may have to try too often."""

_NOT_ITS_OWN = ("cosmos-", "vault-", THROTTLED)
"""What these codes tell is no fault of one deletion: they would take all of them out of the queue."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run may do in each account; the next run goes on where it stopped, because what is done is gone.

    Attributes:
        seconds: no new work is begun this long after the start.
        containers: expired containers deleted in each shard.
        deletions: deletions begun, and second looks taken.
        of_tenant: how many of them are one tenant's, as long as another's wait: of those that were not tried yet, and
            as many of those that failed.
        call_seconds: how long one call to storage may take.
    """

    seconds: float = 200.0
    containers: int = 2_000
    deletions: int = 1_000
    of_tenant: int = 10
    call_seconds: float = CALL_SECONDS


@dataclass(slots=True)
class Seen:
    """What a second look has seen of the enrollments of one shard that it looks for.

    Attributes:
        wanted: which.
        found: the containers of each that are there.
        kept: those of which soft delete keeps one.
        days_left: the days of which the look has not read all names yet.
        cut_short: whether it has not seen enough to prove anything.
    """

    wanted: Collection[str]
    found: defaultdict[str, list[DayContainer]] = field(default_factory=lambda: defaultdict(list))
    kept: set[str] = field(default_factory=set)
    days_left: Sequence[date] = ()
    cut_short: bool = False

    def take(self, listed: ListedContainer) -> date | None:
        """Take in what is listed, and return the day that its name has; None if it is none of ours."""
        container = DayContainer.parse(listed.name)
        if container is None:
            return None
        if container.enrollment_id in self.wanted:
            if listed.deleted:
                self.kept.add(container.enrollment_id)
            elif container not in self.found[container.enrollment_id]:
                self.found[container.enrollment_id].append(container)
        return container.day


class Purge:
    """Purges every served account, in parallel and isolated: one that fails delays no other.

    What is to be done follows from the clock, the deletions and what storage holds. So a run that is killed anywhere,
    or that runs twice at a time, does no harm, and the next one finishes its work (P9).

    Nobody holds up anybody else (D12). Deletions are taken by deadline, but of no tenant more than ``of_tenant`` while
    another's wait: the worst that a tenant is allowed, thirty enrollments a day and all expedited at once, takes
    twenty places of a thousand, and only what is left over goes to the rest of them. What fails leaves the queue for
    five minutes, then ten, up to an hour, and then takes turns with what was not tried yet; until then it costs
    ``call_seconds`` in one of several lanes, and never the run.
    """

    def __init__(
        self,
        accounts: Accounts,
        pairing: Pairing,
        ledger: LedgerStore,
        deletions: DeletionStore,
        operations: OperationStore,
        receipts: Receipts,
        clock: Clock,
        bounds: Bounds | None = None,
    ) -> None:
        self._accounts = accounts
        self._pairing = pairing
        self._ledger = ledger
        self._deletions = deletions
        self._operations = operations
        self._receipts = receipts
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._signing = asyncio.Semaphore(SIGNED_AT_A_TIME)

    async def run(self) -> Mapping[str, Heartbeat]:
        """Purge all served accounts and return the heartbeat of each; a failure is told there and not raised."""
        with Run("purge", self._clock, LOOK_BACK_SECONDS).under_way():
            last = await self._last_heartbeats()
        heartbeats = await asyncio.gather(
            *(self._purge_account(account, last.get(account.name)) for account in self._accounts)
        )
        return {account.name: heartbeat for account, heartbeat in zip(self._accounts, heartbeats, strict=True)}

    async def _last_heartbeats(self) -> Mapping[str | None, Heartbeat | None]:
        try:
            return believable(await self._operations.read_all("purge"), self._clock.now())
        except StoreUnavailable:
            return {}  # then what has failed is tried again too soon, and that is all

    async def _purge_account(self, account: Account, last: Heartbeat | None) -> Heartbeat:
        run = Run("purge", self._clock, self._bounds.seconds)
        postponed = PostponedDays(last, run.started_at, account.retention_days)
        await run.isolated(self._purge_paired(account, run, postponed))
        heartbeat = run.heartbeat(account, more=run.more)
        heartbeat = heartbeat.model_copy(update={"postponed": postponed.kept or None})
        last_one = partial(self._operations.last, run.kind, account.name)
        await run.tell(standing.put(last_one, self._operations.write, lambda _: heartbeat))
        return heartbeat

    async def _purge_paired(self, account: Account, run: Run, postponed: PostponedDays) -> None:
        store = BriefStore(account.store, self._bounds.call_seconds)
        await self._pairing.check(store)
        # Side by side, so that none of the three promises waits for the work of another.
        await asyncio.gather(
            run.isolated(self._expire_days(store, run, postponed)),
            run.isolated(self._begin_deletions(store, run)),
            run.isolated(self._look_again(store, run)),
        )

    # Retention (P4)

    async def _expire_days(self, store: BriefStore, run: Run, postponed: PostponedDays) -> None:
        await asyncio.gather(*(run.isolated(self._expire_shard(store, run, postponed, shard)) for shard in SHARDS))

    async def _expire_shard(self, store: BriefStore, run: Run, postponed: PostponedDays, shard: str) -> None:
        left = self._bounds.containers
        some: list[DayContainer] = []
        async for container in self._expired_containers(store, postponed, shard):
            if left <= 0 or run.out_of_time():
                run.more = True
                break
            some.append(container)
            if len(some) >= min(_EXPIRING, left):
                left -= await self._expire(store, run, postponed, some)
                some = []
        await self._expire(store, run, postponed, some)

    async def _expired_containers(
        self, store: BriefStore, postponed: PostponedDays, shard: str
    ) -> AsyncIterator[DayContainer]:
        """Yield those that may be tried now, oldest first, and after them those that have failed before."""
        again = list[DayContainer]()
        newest = deadlines.newest_expired_day(self._clock.now(), self._accounts.retention_days)
        async for listed in store.list_containers(shard_prefix(shard), page_size=_PAGE):
            container = DayContainer.parse(listed.name)
            if container is None:
                continue  # not ours to delete, and no reason to stop
            if container.day > newest:
                break  # the oldest live day; names sort by day within a shard
            if not postponed.knows(container):
                yield container
            elif not postponed.waits(container, self._clock.now()):
                again.append(container)
        for container in again:
            yield container

    async def _expire(
        self, store: BriefStore, run: Run, postponed: PostponedDays, containers: Sequence[DayContainer]
    ) -> int:
        """Delete some expired containers side by side, and return how many could be."""

        async def expire(container: DayContainer) -> None:
            run.counts["expiredContainers"] += await store.delete_container(container.name)

        codes = await asyncio.gather(*(run.isolated(expire(container)) for container in containers))
        for container, code in zip(containers, codes, strict=True):
            if code is None:
                postponed.deleted(container)
            elif code != THROTTLED:
                # One container that cannot be deleted must not keep those behind it, now or in the next run.
                postponed.failed(container, self._clock.now(), code)
        return codes.count(None)

    # Due deletions (P5)

    async def _begin_deletions(self, store: BriefStore, run: Run) -> None:
        # Collected first: what an attempt changes is what the query asks for, and must not move between its pages.
        due = await self._collected(partial(self._deletions.due, store.account, self._clock.now()), run)
        await run.side_by_side(due, lambda stored: self._recorded(run, stored, self._begin(store, run, stored)))

    async def _begin(self, store: BriefStore, run: Run, stored: Stored[Deletion]) -> None:
        deletion = stored.value
        deleted = await self._delete(store, run, stored)
        if deleted is None:
            return
        if await self._replace(run, deletion.purged(self._clock.now(), deleted=deleted), stored.etag):
            run.counts["purgedDeletions"] += 1

    async def _delete(self, store: BriefStore, run: Run, stored: Stored[Deletion]) -> int | None:
        """Delete the containers of an enrollment that has ended, and return of how many storage still knew.

        None, and nothing is deleted, if the deletion has changed since it was read: a run that was held up would take
        away what has come back after the receipt of another, and nobody would be told (P6).

        Raises:
            StoreUnavailable: if it has not ended, whatever the deletion says; or if any could not be deleted.
        """
        deletion = stored.value
        await self._check_ended(deletion)
        current = await self._deletions.read(deletion.tenant_id, deletion.enrollment_id)
        if current is None or current.etag != stored.etag:
            run.more = True
            return None
        return await _delete_all(store, deletion.containers)

    async def _check_ended(self, deletion: Deletion) -> None:
        """Refuse to delete what a live enrollment has stored: that could not be mended, by nobody (P9).

        Whoever can write to the deletions must not be able to have it deleted. The ledger tells whether the enrollment
        has ended. Should its opt-out be lost or not be understood, the setting does, so that the deletion is carried
        out all the same (P5).

        Raises:
            StoreUnavailable: if the enrollment is live or another tenant's, or nobody can tell.
        """
        tenant_id, enrollment_id = deletion.tenant_id, deletion.enrollment_id
        try:
            if any(isinstance(event, OptedOut) for event in await self._ledger.events_of(tenant_id, enrollment_id)):
                return
        except StoreUnavailable as error:
            if error.code != UNREADABLE_ITEM:
                raise
        # A container is named after its enrollment alone, so the deletion may name anybody as its tenant.
        events = [event async for _, event in self._ledger.events_of_enrollments([enrollment_id])]
        owners = {event.tenant_id for event in events if event is not None}
        if events and owners != {tenant_id}:
            raise StoreUnavailable("deletion-without-event")
        setting = await self._ledger.read_setting(tenant_id)
        enrollment = None if setting is None else setting.value.enrollment
        if enrollment is not None and enrollment.enrollment_id == enrollment_id:
            raise StoreUnavailable("enrollment-live")

    async def _recorded(self, run: Run, stored: Stored[Deletion], look: Awaitable[None]) -> None:
        """Take a first or second look; if it comes to nothing, the deletion leaves the queue for a while (D12)."""
        code = await run.isolated(look)
        if code is not None:
            await self._postpone(run, stored, code)

    async def _postpone(self, run: Run, stored: Stored[Deletion], code: str) -> None:
        if not code.startswith(_NOT_ITS_OWN):
            await self._replace(run, stored.value.failed(self._clock.now(), code), stored.etag)

    # The second look (P6)

    async def _look_again(self, store: BriefStore, run: Run) -> None:
        by_shard: defaultdict[str, list[Stored[Deletion]]] = defaultdict(list)
        now = self._clock.now()
        unverified = partial(self._deletions.unverified, store.account, deadlines.second_look_due(now), now)
        for stored in await self._collected(unverified, run):
            by_shard[shard_of(stored.value.enrollment_id)].append(stored)
        await run.side_by_side(by_shard.items(), lambda each: self._look_into(store, run, *each))

    async def _look_into(self, store: BriefStore, run: Run, shard: str, looked_for: Sequence[Stored[Deletion]]) -> None:
        # One listing serves every deletion of the shard, and shows days that the computed names do not have.
        seen = Seen({stored.value.enrollment_id for stored in looked_for})
        code = await run.isolated(self._look_through(store, run, shard, seen))
        if seen.cut_short:
            return  # by what is foreign or expired and never ends: nothing is proved

        async def look(stored: Stored[Deletion]) -> None:
            mine = stored.value.enrollment_id
            await _each([DayContainer(mine, day).name for day in seen.days_left], partial(_take, store, seen))
            await self._conclude(store, run, stored, found=seen.found[mine], soft_deleted=mine in seen.kept)

        async def conclude(stored: Stored[Deletion]) -> None:
            if code is not None:
                await self._postpone(run, stored, code)
            else:
                await self._recorded(run, stored, look(stored))

        # However long the listing took, what it showed is used for a while, or a slow one would be made again for ever.
        await run.side_by_side(looked_for, conclude, at_least=_CONCLUDING_SECONDS)

    async def _look_through(self, store: BriefStore, run: Run, shard: str, seen: Seen) -> None:
        """Read the shard's names; of one that has many only those of days on which there should be none, and some more.

        What is left then are ``days_left``, on which others have live captures: there each deletion is looked for by
        its names. So a look takes as long in an account of any size, and needs nothing that an earlier run has kept:
        whoever can write to the database cannot make it pass over a name (D13).
        """
        now, read, day = self._clock.now(), 0, date.min
        newest_expired = deadlines.newest_expired_day(now, self._accounts.retention_days)
        async for listed in store.list_containers(shard_prefix(shard), include_deleted=True):
            day = seen.take(listed) or day
            read += 1
            if read < LISTED:
                continue
            if day > newest_expired:
                break
            if run.out_of_time():
                seen.cut_short = True
                return
        else:
            return
        last = max(day, now.date() + _AHEAD)
        seen.days_left = [day + timedelta(days=n) for n in range((last - day).days + 1)]
        await _each(prefixes_after(shard, last), partial(_take, store, seen))

    async def _conclude(
        self,
        store: BriefStore,
        run: Run,
        stored: Stored[Deletion],
        *,
        found: list[DayContainer],
        soft_deleted: bool,
    ) -> None:
        deletion = stored.value
        if found:
            await self._check_ended(deletion)
            # On record before it is deleted: whoever looks meanwhile, or after a crash, would find nothing and sign.
            run.note("containers-found")
            anew = deletion.found_again(self._clock.now(), "containers-found", [each.day for each in found])
            if await self._replace(run, anew, stored.etag):
                await _delete_all(store, found)
            return
        # A container that Azure is still collecting is in no listing; only a further delete tells (D3).
        known = await self._delete(store, run, stored)
        if known is None:
            return
        if soft_deleted:
            error = "soft-deleted"
        elif known:
            error = "being-deleted"
        else:
            async with self._signing:  # some at a time, in the order of their deadlines
                if any(code.startswith("vault-") for code in run.errors):
                    return  # one that hangs must not use up the run; what it proves is proved again by the next
                signed = await self._receipts.signed(deletion)
            if await self._replace(run, signed, stored.etag):
                run.counts["verifiedDeletions"] += 1
            return
        if error != "being-deleted":  # Azure takes a while, as a rule; one that takes too long is overdue
            run.note(error)
        await self._replace(run, deletion.purged(self._clock.now(), deleted=0, error=error), stored.etag)

    async def _replace(self, run: Run, deletion: Deletion, etag: str) -> bool:
        try:
            await self._deletions.replace(deletion, etag)
        except Conflict:
            run.more = True  # expedited, or done by another run; the next one sees how it stands
            return False
        return True

    async def _collected(
        self, work: Callable[..., AsyncIterator[Stored[Deletion]]], run: Run
    ) -> Sequence[Stored[Deletion]]:
        """Return as much work as a run may do: each tenant's share by deadline, and the rest if that leaves room.

        What was not tried yet and what has failed take turns: neither comes late because there is much of the other.
        """
        collected: dict[tuple[str, str], Stored[Deletion]] = {}
        try:
            await self._collect(work, run, collected)
        except StoreUnavailable as error:
            if not error.throttled or not collected:
                raise
            run.more = run.cut_short = True  # what has been read is not to be read again
        return list(collected.values())

    async def _collect(
        self,
        work: Callable[..., AsyncIterator[Stored[Deletion]]],
        run: Run,
        collected: dict[tuple[str, str], Stored[Deletion]],
    ) -> None:
        of_tenants: Counter[str] = Counter()
        for share in (self._bounds.of_tenant, None):
            async for stored in _in_turns(work(failed=failed, of_tenant=share) for failed in (False, True)):
                # One that somebody made of the same enrollment for another tenant is not in the way of the true one.
                key = (stored.value.tenant_id, stored.value.enrollment_id)
                if key in collected:
                    continue
                if len(collected) >= self._bounds.deletions or run.out_of_time():
                    run.more = True
                    return
                collected[key] = stored
                of_tenants[stored.value.tenant_id] += 1
            if max(of_tenants.values(), default=0) < self._bounds.of_tenant:
                break


async def _in_turns(streams: Iterable[AsyncIterator[T]]) -> AsyncIterator[T]:
    """Yield one of each stream after the other, and what is left of those that have more."""
    waiting = deque(streams)
    while waiting:
        stream = waiting.popleft()
        with suppress(StopAsyncIteration):
            yield await anext(stream)
            waiting.append(stream)


async def _delete_all(store: BriefStore, containers: Sequence[DayContainer]) -> int:
    """Delete containers and return of how many storage still knew."""
    deleted = await _each([container.name for container in containers], store.delete_container)
    return deleted.count(True)


async def _take(store: BriefStore, seen: Seen, prefix: str) -> None:
    async for listed in store.list_containers(prefix, include_deleted=True):
        seen.take(listed)


async def _each(names: Sequence[str], call: Callable[[str], Awaitable[T]]) -> Sequence[T]:
    """Make a call for each name, some at a time, and return the answers.

    All are tried before the first failure is raised: one that cannot be deleted must not keep the others.
    """
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def one(name: str) -> T:
        async with slots:
            return await call(name)

    answers = await asyncio.gather(*(one(name) for name in names), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if failures:  # before what storage only refuses for now, what it fails
        raise min(failures, key=lambda each: isinstance(each, StoreUnavailable) and each.throttled)
    return [answer for answer in answers if not isinstance(answer, BaseException)]
