"""Whether the promises hold now, told from storage and the ledger as far as one look can, else from the last sweep."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TypeVar

from shared.abandoned import Abandoned
from shared.accounts import Account, Accounts
from shared.clock import Clock
from shared.configuration import AccountState
from shared.model import deadlines
from shared.model.containers import SHARDS, DayContainer, shard_prefix
from shared.model.deletion import Deletion
from shared.model.findings import FINDINGS, LATE, LedgerFault, Notable, Trespass
from shared.model.heartbeats import Heartbeat, believable
from shared.model.items import format_instant
from shared.model.ledger import OptedOut
from shared.model.posture import PostureCheck
from shared.ports import (
    CaptureStore,
    DeletionCounts,
    DeletionStore,
    LedgerStore,
    OperationStore,
    StoreUnavailable,
)
from shared.unscheduled import believed, looked_up
from shared.watch.posture import Posture

PURGE_MAX_AGE = timedelta(minutes=15)
SWEEP_MAX_AGE = timedelta(hours=3)
"""Three schedules each: an older heartbeat means that the job does not run (P9)."""

ROUND_MAX_AGE = timedelta(days=1)
"""How long a round of the ledger may take: at 100,000 tenants an hour, that of 2.4 million (P9)."""

_LOOK_MAX = 20_000
"""How many opt-outs one look takes in: about as many as two seconds allow."""

_PAGE = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """What is so on the ledger.

    Attributes:
        unscheduled: how many opt-outs have no deletion yet; if one look cannot take in all, how many it saw.
        oldest_unscheduled: when the first of them was committed.
        unreadable_opt_outs: how many of the opt-outs nobody understands.
        unreadable: how many unfinished deletions, heartbeats and checks of the posture nobody understands that are of
            no served account.
        last_sweep: the last comparison of the ledger with itself and its deletions.
        posture: the last check of how the Cosmos DB account is set up.
    """

    unscheduled: int
    oldest_unscheduled: datetime | None
    unreadable_opt_outs: int
    last_sweep: Heartbeat | None
    posture: PostureCheck | None = None
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is so in one served storage account; ``error`` if it or its deletions could not be read.

    ``unreadable`` is how many of its unfinished deletions, heartbeats and checks of the posture nobody understands.
    """

    geo: str
    state: AccountState
    oldest_day: date | None
    deletions: DeletionCounts | None
    last_purge: Heartbeat | None
    last_sweep: Heartbeat | None
    error: str | None = None
    posture: PostureCheck | None = None
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The state of the service at ``at``: which promises hold, and from what that follows.

    ``retention_days`` is how long a day's captures are kept. ``reasons`` says of each promise why it does not hold; it
    holds if there is none. ``late`` is how many deletions of the last year were finished after their deadline, as
    counted by the sweep's last round.
    """

    at: datetime
    retention_days: int
    reasons: Mapping[str, Sequence[str]]
    overdue_deletions: int
    ledger: LedgerStatus
    accounts: Mapping[str, AccountStatus]
    late: int = 0

    @property
    def promises(self) -> Mapping[str, bool]:
        """Which promises hold."""
        return {promise: not reasons for promise, reasons in self.reasons.items()}

    @property
    def holds(self) -> bool:
        """Whether every promise holds; what could not be read does not hold."""
        return all(self.promises.values())

    @property
    def feed_lag(self) -> timedelta:
        """How long the oldest opt-out without a deletion has been waiting for one."""
        oldest = self.ledger.oldest_unscheduled
        return timedelta() if oldest is None else max(self.at - oldest, timedelta())

    @property
    def findings(self) -> Mapping[str, int]:
        """What the sweeps have found and, where they could, repaired, by kind, since the service began."""
        sweeps = [self.ledger.last_sweep, *(account.last_sweep for account in self.accounts.values())]
        totals = sum((Counter((sweep and sweep.totals) or {}) for sweep in sweeps), Counter[str]())
        return {kind: totals[kind] for kind in FINDINGS if totals[kind]}


@dataclass(slots=True)
class _Unscheduled:
    """The opt-outs without a deletion, however many: how many, when the first was committed and the first is due.

    ``unreadable`` is how many opt-outs there are that nobody understands; ``unseen_since`` is from which commit on
    nothing is known, if they were too many for one look.
    """

    number: int = 0
    oldest: datetime | None = None
    deadline: datetime | None = None
    unreadable: int = 0
    unseen_since: datetime | None = None

    def take(self, event: OptedOut, committed_at: datetime) -> None:
        deadline = Deletion.owed_for(event).deadline
        self.number += 1
        self.oldest = min(self.oldest or committed_at, committed_at)
        self.deadline = min(self.deadline or deadline, deadline)

    def unseen(self, now: datetime) -> bool:
        """Tell whether something may be lost that was not looked at."""
        return self.unseen_since is not None and now - self.unseen_since > SWEEP_MAX_AGE


@dataclass(frozen=True, slots=True)
class Status:
    """Reads the state of the service.

    Attributes:
        accounts: the served storage accounts.
        abandoned: the accounts that are served no more, and should be.
        ledger: the tenants' settings and events.
        deletions: the deletions.
        operations: the heartbeats.
        clock: time.
        posture: how the accounts are set up; None where there are only fakes, and nothing that could be set up.
    """

    accounts: Accounts
    abandoned: Abandoned
    ledger: LedgerStore
    deletions: DeletionStore
    operations: OperationStore
    clock: Clock
    posture: Posture | None = None

    async def report(self) -> StatusReport:
        """Return the state of the service now.

        Raises:
            StoreUnavailable: if not even Cosmos DB can be read.
        """
        now = self.clock.now()
        # All in the order in which things move on: a container that is overdue is found by the sweep, an opt-out is
        # given its deletion, one that nobody understands is mended. What moves on meanwhile would else be seen nowhere.
        days = await asyncio.gather(*(_tried(_oldest_day(each.store)) for each in self.accounts))
        purges = believable(await self.operations.read_all("purge"), self.clock.now())
        sweeps = believable(await self.operations.read_all("sweep"), self.clock.now())
        checks = await self.posture.last() if self.posture else {}
        unscheduled = await self._unscheduled(sweeps.get(None))
        # What names no served account is the ledger's, under None.
        names = {account.name for account in self.accounts}
        unreadable_deletions = Counter([name if name in names else None async for name in self.deletions.unreadable()])
        # Of all accounts, because one that is no longer configured is purged by nobody.
        overdue = await self.deletions.overdue(now)
        last = [*purges.items(), *sweeps.items(), *checks.items()]
        unreadable = unreadable_deletions + Counter(
            name if name in names else None for name, each in last if each is None
        )
        statuses = await asyncio.gather(
            *(
                self._of_account(each, day, now, purges.get(each.name), sweeps.get(each.name))
                for each, day in zip(self.accounts, days, strict=True)
            )
        )
        by_account = {account.name: status for account, status in zip(self.accounts, statuses, strict=True)}
        reasons = self._reasons(now, sweeps.get(None), by_account, unscheduled, overdue)
        for name in await self.abandoned.among(purges, sweeps):
            for promise in ("P4", "P5", "P9"):
                reasons[promise].append(f"{name}: it is configured no more, and not empty")
        swept = sweeps.get(None)
        # Perhaps overdue, and nobody carries it out.
        if unscheduled.unreadable or unreadable_deletions or (swept and swept.most(LedgerFault.UNREADABLE)):
            for promise in ("P5", "P9"):
                reasons[promise].append("ledger: opt-outs or deletions cannot be read")
        if self.posture:
            # P2 is kept while requests are answered, and leaves nothing to look at but what it cannot do without.
            reasons["P2"] = []
            for promise, found in self.posture.reasons(checks, now).items():
                if promise in reasons:
                    reasons[promise] += found
        return StatusReport(
            at=now,
            retention_days=self.accounts.retention_days,
            reasons=dict(sorted(reasons.items())),
            overdue_deletions=overdue,
            ledger=LedgerStatus(
                unscheduled=unscheduled.number,
                oldest_unscheduled=unscheduled.oldest,
                unreadable_opt_outs=unscheduled.unreadable,
                last_sweep=sweeps.get(None),
                posture=checks.get(None),
                unreadable=unreadable[None],
            ),
            accounts={
                name: replace(status, posture=checks.get(name), unreadable=unreadable[name])
                for name, status in by_account.items()
            },
            late=0 if swept is None else swept.most(LATE),
        )

    async def overdue(self, limit: int) -> Sequence[Deletion]:
        """Return the deletions that are past their deadline, of all accounts, the longest overdue first.

        Args:
            limit: how many at most.
        """
        return await self.deletions.list_overdue(self.clock.now(), limit=limit)

    def _reasons(
        self,
        now: datetime,
        ledger_sweep: Heartbeat | None,
        accounts: Mapping[str, AccountStatus],
        unscheduled: _Unscheduled,
        overdue: int,
    ) -> dict[str, list[str]]:
        """Return of each promise that can be seen why it does not hold."""

        def swept(*kinds: str) -> list[str]:
            return [why for name, each in accounts.items() for why in _faults(name, each.last_sweep, now, kinds)]

        lost = unscheduled.oldest is not None and now - unscheduled.oldest > SWEEP_MAX_AGE
        undone = unscheduled.deadline is not None and now > unscheduled.deadline
        unseen = ["ledger: there are more opt-outs to look at than one look takes in"] * unscheduled.unseen(now)
        return {
            "P1": swept(Trespass.UNKNOWN_ENROLLMENT),
            "P3": swept(Trespass.WRONG_ACCOUNT),
            "P4": [why for name, each in accounts.items() if (why := self._retention_fault(name, each, now))]
            + swept(Trespass.PAST_DEADLINE, Trespass.IMPOSSIBLE_DAY),
            "P5": [f"{overdue} deletions are overdue"] * (overdue > 0)
            + ["ledger: an opt-out without a deletion is past its deadline"] * undone
            + unseen
            + swept(Trespass.AFTER_RECEIPT),
            "P6": swept(Trespass.AFTER_RECEIPT, Notable.SOFT_DELETED)
            + _faults("ledger", ledger_sweep, now, [LedgerFault.RECEIPT]),
            "P9": ["ledger: an opt-out has waited for its deletion for more than three hours"] * lost
            + unseen
            + _slow("ledger", ledger_sweep, now)
            + _faults("ledger", ledger_sweep, now, LedgerFault)
            + [why for name, each in accounts.items() if (why := _idle(name, each.last_purge, now, PURGE_MAX_AGE))]
            + swept(),
        }

    async def _unscheduled(self, sweep: Heartbeat | None) -> _Unscheduled:
        """Look at the opt-outs that were committed since the last sweep saw to it that all have their deletions."""
        found, looked = _Unscheduled(), 0
        last_commit = await self.ledger.last_commit()
        if last_commit is None:
            return found
        since = believed(sweep.scheduled_until if sweep else None, last_commit)
        async for each in looked_up(self.ledger, self.deletions, since):
            committed_at, event = datetime.fromtimestamp(each.opt_out.at, UTC), each.opt_out.event
            looked += 1
            if looked > _LOOK_MAX:
                found.unseen_since = committed_at
                break
            if event is None:
                found.unreadable += 1
            elif not each.scheduled:
                found.take(event, committed_at)
        return found

    async def _of_account(
        self,
        account: Account,
        oldest_day: date | StoreUnavailable | None,
        now: datetime,
        last_purge: Heartbeat | None,
        last_sweep: Heartbeat | None,
    ) -> AccountStatus:
        here = partial(AccountStatus, account.geo, account.state, last_purge=last_purge, last_sweep=last_sweep)
        counts = await _tried(self.deletions.counts(account.name, now))
        if isinstance(oldest_day, StoreUnavailable):
            return here(oldest_day=None, deletions=None, error=oldest_day.code)
        if isinstance(counts, StoreUnavailable):
            return here(oldest_day=None, deletions=None, error=counts.code)
        return here(oldest_day=oldest_day, deletions=counts)

    def _retention_fault(self, name: str, status: AccountStatus, now: datetime) -> str | None:
        if status.error is not None:
            return f"{name}: it cannot be read ({status.error})"
        day = status.oldest_day
        if day is None or now < deadlines.day_deadline(day, self.accounts.retention_days):
            return None
        return f"{name}: {day} is stored, which is past its deadline"


async def _tried(reading: Awaitable[T]) -> T | StoreUnavailable:
    """Return what is read, or why it cannot be."""
    try:
        return await reading
    except StoreUnavailable as error:
        return error


def _idle(place: str, heartbeat: Heartbeat | None, now: datetime, max_age: timedelta) -> str | None:
    """Return why a job is not one that runs, or None if it is."""
    if heartbeat is None:
        return f"{place}: a job has not run yet, or what it came to cannot be read"
    if heartbeat.outcome == "failed":
        return f"{place}: the last {heartbeat.kind} failed ({heartbeat.error})"
    if now - heartbeat.at > max_age:
        return f"{place}: the last {heartbeat.kind} was at {format_instant(heartbeat.at)}"
    return None


def _faults(place: str, sweep: Heartbeat | None, now: datetime, kinds: Iterable[str]) -> list[str]:
    """Return why the last whole round and the one under way do not show that there are none of some kinds."""
    idle = _idle(place, sweep, now, SWEEP_MAX_AGE)
    if sweep is None or idle is not None:
        return [idle or ""]
    if not sweep.saw_everything:
        return [f"{place}: the first round of the sweep is not over"]
    found = {kind: sweep.most(kind) for kind in ("failures", *kinds)}
    return [f"{place}: the sweep has {number} {kind}" for kind, number in found.items() if number]


def _slow(place: str, sweep: Heartbeat | None, now: datetime) -> list[str]:
    """Return why the round under way takes longer than what it would find may wait."""
    if sweep is None or sweep.cursor is None or sweep.round_started_at is None:
        return []
    began = sweep.round_started_at
    return [f"{place}: the sweep's round began at {format_instant(began)}"] * (now - began > ROUND_MAX_AGE)


async def _oldest_day(store: CaptureStore) -> date | None:
    days = await asyncio.gather(*(_oldest_of_shard(store, shard) for shard in SHARDS))
    return min((day for day in days if day is not None), default=None)


async def _oldest_of_shard(store: CaptureStore, shard: str) -> date | None:
    async for listed in store.list_containers(shard_prefix(shard), page_size=_PAGE):
        container = DayContainer.parse(listed.name)
        if container is not None:
            return container.day
    return None
