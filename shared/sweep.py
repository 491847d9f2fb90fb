"""The sweep: ledger, deletions and storage compared, and what was lost repaired (P9, decision D2)."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared import deadlines
from shared.clock import Clock
from shared.containers import SHARDS, DayContainer, shard_prefix
from shared.deletions import Deletion
from shared.heartbeats import Heartbeat
from shared.ledger import Event, OptedOut, TenantLedger
from shared.reconciliation import Intruder, LedgerFault, Notable, intruder, ledger_faults
from shared.runs import Run
from shared.stores.ports import (
    CaptureStore,
    Conflict,
    DeletionStore,
    LedgerStore,
    OperationStore,
    ReceiptSigner,
    Stored,
    StoreUnavailable,
)

_log = logging.getLogger(__name__)
_SLICE = 500
_ALL_NAMES = "all"
_STEPS = (_ALL_NAMES, *SHARDS)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run may do on the ledger and in each geo; the next run goes on where it stopped.

    Attributes:
        seconds: no new work is begun this long after the start.
        tenants: ledgers compared.
        repairs: containers deleted in each geo.
    """

    seconds: float = 200.0
    tenants: int = 100_000
    repairs: int = 1_000


class Sweep:
    """Compares every tenant's ledger with itself and its deletions, and every served account with the ledger.

    It believes nothing that the feed or the purge say of themselves. Ledger and geos are swept side by side and
    isolated: what fails in one delays no other. Where a run stopped at its bounds is kept in its heartbeat.
    """

    def __init__(
        self,
        stores: Mapping[str, CaptureStore],
        ledger: LedgerStore,
        deletions: DeletionStore,
        operations: OperationStore,
        signer: ReceiptSigner,
        clock: Clock,
        retention_days: int,
        bounds: Bounds | None = None,
    ) -> None:
        self._stores = stores
        self._ledger = ledger
        self._deletions = deletions
        self._operations = operations
        self._signer = signer
        self._clock = clock
        self._retention_days = retention_days
        self._bounds = bounds or Bounds()

    async def run(self) -> Mapping[str | None, Heartbeat]:
        """Sweep the ledger and all served geos; return the heartbeat of each, the ledger's under None.

        Raises:
            StoreUnavailable: if not even the last heartbeats can be read; what fails later is told and not raised.
        """
        last = await self._operations.read_all("sweep")
        accounts: Mapping[str | None, str | None] = {None: None} | {
            geo: store.account for geo, store in self._stores.items()
        }
        rounds = {
            geo: _Round(Run("sweep", self._clock, self._bounds.seconds), geo, account, last.get(geo))
            for geo, account in accounts.items()
        }
        await asyncio.gather(
            self._sweep_ledger(rounds[None]),
            *(self._sweep_geo(geo, store, rounds[geo]) for geo, store in self._stores.items()),
        )
        return {geo: each.heartbeat for geo, each in rounds.items()}

    async def _report(self, each: "_Round") -> None:
        each.heartbeat = each.as_heartbeat(self._clock.now())
        await each.run.isolated(self._operations.write(each.heartbeat))

    # Ledger to deletions (P5)

    async def _sweep_ledger(self, each: "_Round") -> None:
        await each.run.isolated(self._reconcile_ledgers(each))
        await self._report(each)

    async def _reconcile_ledgers(self, each: "_Round") -> None:
        compared, ledgers = 0, list[TenantLedger]()
        async for ledger in self._ledger.ledgers(each.cursor or ""):
            ledgers.append(ledger)
            if len(ledgers) < _SLICE:
                continue
            await self._reconcile(each.run, ledgers)
            each.cursor = ledger.tenant_id
            compared, ledgers = compared + len(ledgers), []
            if compared >= self._bounds.tenants or each.run.out_of_time():
                return
        if ledgers:
            await self._reconcile(each.run, ledgers)
        each.cursor = None

    async def _reconcile(self, run: Run, ledgers: Sequence[TenantLedger]) -> None:
        # The deletions are read after the ledgers: one that is missing was missing when its event was there.
        deletions: defaultdict[str, dict[str, Stored[Deletion]]] = defaultdict(dict)
        async for stored in self._deletions.of_tenants(ledgers[0].tenant_id, ledgers[-1].tenant_id):
            deletions[stored.value.tenant_id][stored.value.enrollment_id] = stored
        for ledger in ledgers:
            run.counts["ledgers"] += 1
            await run.isolated(self._reconcile_tenant(run, ledger, deletions[ledger.tenant_id]))

    async def _reconcile_tenant(
        self, run: Run, ledger: TenantLedger, deletions: Mapping[str, Stored[Deletion]]
    ) -> None:
        faults = ledger_faults(ledger, deletions)
        if faults:
            # It may have changed while it was read, and only looked wrong.
            settled = await self._settled(ledger.tenant_id)
            if settled is not None:
                ledger, faults = settled, ledger_faults(settled, deletions)
                run.counts.update(faults)
                if faults:  # not only counted: whoever looks into it has to know where
                    _log.error("the ledger of tenant %s: %s", ledger.tenant_id, ", ".join(sorted(faults)))
        for event in ledger.events:
            if isinstance(event, OptedOut):
                stored = deletions.get(event.enrollment_id)
                await run.isolated(self._reconcile_opt_out(run, event, stored, trusted=not faults))

    async def _reconcile_opt_out(
        self, run: Run, event: OptedOut, stored: Stored[Deletion] | None, *, trusted: bool
    ) -> None:
        if stored is None:
            if self._clock.now() - event.at < deadlines.FEED_GRACE:
                return  # the change feed may be about to do it, and has lost nothing
            if await self._deletions.create(Deletion.owed_for(event)):
                run.counts[Notable.DELETION_CREATED] += 1
            return
        bound = stored.value.bound_to(event)
        if bound != stored.value:
            run.counts[LedgerFault.DISAGREEING] += 1
            # Nothing is changed on the word of a broken ledger; and a receipt says what was done, as it was signed.
            if trusted and stored.value.receipt is None:
                await self._replace(run, bound, stored.etag)
        elif stored.value.receipt is not None and not stored.value.receipt.jws:
            await self._replace(run, await stored.value.signed(self._signer), stored.etag)
            run.counts["receiptsSigned"] += 1

    async def _settled(self, tenant_id: str) -> TenantLedger | None:
        """Return a tenant's ledger as it was at one moment, or None if it keeps changing."""
        ledger = await self._ledger.ledger_of(tenant_id)
        return ledger if await self._ledger.ledger_of(tenant_id) == ledger else None

    async def _replace(self, run: Run, deletion: Deletion, etag: str) -> None:
        try:
            await self._deletions.replace(deletion, etag)
        except Conflict:
            run.more = True  # the next run sees how it stands

    # Storage to ledger (P1, P3, P4), and receipts again (P6)

    async def _sweep_geo(self, geo: str, store: CaptureStore, each: "_Round") -> None:
        begin = _STEPS.index(each.cursor) if each.cursor in _STEPS else 0
        for step, following in zip(_STEPS[begin:], (*_STEPS[begin + 1 :], None), strict=True):
            each.cursor = step
            if each.run.out_of_time():
                break
            repairs = each.repairs
            await each.run.isolated(
                self._sweep_names(store, each.run) if step == _ALL_NAMES else self._sweep_shard(geo, store, each, step)
            )
            if each.run.more:
                break
            each.cursor = following
            if each.repairs > repairs:
                await self._report(each)  # what was repaired is on record even if this run is killed
        await self._report(each)

    async def _sweep_names(self, store: CaptureStore, run: Run) -> None:
        async for listed in store.list_containers(""):
            run.counts["containers"] += 1
            if DayContainer.parse(listed.name) is None:
                run.counts[Notable.FOREIGN_CONTAINER] += 1  # not ours to delete

    async def _sweep_shard(self, geo: str, store: CaptureStore, each: "_Round", shard: str) -> None:
        run = each.run
        # Storage first: whoever created a container had read the ledger before, so what is read now knows of it.
        found = list[DayContainer]()
        async for listed in store.list_containers(shard_prefix(shard), include_deleted=True):
            container = DayContainer.parse(listed.name)
            if listed.deleted:
                run.counts[Notable.SOFT_DELETED] += 1  # storage keeps what we delete, and nothing of ours can help it
            elif container is not None:
                found.append(container)
        if not found:
            return
        events = {event.enrollment_id: event async for event in self._ledger.events_of_shard(shard)}
        if not events and not await self._has_ledger():
            # More likely the wrong database than an account full of strangers: delete nothing on its word.
            raise StoreUnavailable("ledger-empty")
        verified = {enrollment_id async for enrollment_id in self._deletions.verified_of_shard(shard)}
        came_back: defaultdict[str, list[DayContainer]] = defaultdict(list)
        for container in found:
            mine = container.enrollment_id
            why = intruder(
                container,
                geo,
                store.account,
                events.get(mine),
                verified=mine in verified,
                now=self._clock.now(),
                days=self._retention_days,
            )
            if why is None:
                continue
            if each.repairs >= self._bounds.repairs or run.out_of_time():
                run.more = True
                break
            each.repairs += 1
            if why is Intruder.AFTER_RECEIPT:
                came_back[mine].append(container)
            else:
                await run.isolated(self._delete(store, run, container, why))
        for mine, containers in came_back.items():
            await run.isolated(self._note_reappearance(run, events[mine], len(containers)))
            for container in containers:
                await run.isolated(self._delete(store, run, container, Intruder.AFTER_RECEIPT))

    async def _has_ledger(self) -> bool:
        async for _ in self._ledger.ledgers(""):
            return True
        return False

    async def _delete(self, store: CaptureStore, run: Run, container: DayContainer, why: Intruder) -> None:
        if await store.delete_container(container.name):
            run.counts[why] += 1

    async def _note_reappearance(self, run: Run, event: Event, found: int) -> None:
        """Write into the receipt that data was there again; before it is deleted, or a crash would hide it (P6)."""
        stored = await self._deletions.read(event.tenant_id, event.enrollment_id)
        if stored is None or stored.value.receipt is None:
            return
        deletion = stored.value.reappeared(self._clock.now(), found=found)
        try:
            deletion = await deletion.signed(self._signer)
        except StoreUnavailable as error:
            run.note(error.code)  # the truth without a signature; what came back is not left lying for want of a key
        await self._replace(run, deletion, stored.etag)


class _Round:
    """One way round all ledgers, or all containers of a geo; it may take several runs.

    Attributes:
        run: the run that is under way.
        cursor: where to go on; None at the start and at the end.
        repairs: how many containers this run has set out to delete.
        heartbeat: as last reported.
    """

    heartbeat: Heartbeat

    def __init__(self, run: Run, geo: str | None, account: str | None, last: Heartbeat | None) -> None:
        self.run = run
        self._geo = geo
        self._account = account
        self.cursor = last.cursor if last else None
        self.repairs = 0
        self._totals = Counter((last and last.totals) or {})
        self._counts = Counter(last.counts if last and last.cursor else {})
        if last is None:
            self._previous = None
        else:
            self._previous = last.previous_counts if last.cursor else last.counts

    def as_heartbeat(self, now: datetime) -> Heartbeat:
        """Return what the round has come to at ``now``."""
        return Heartbeat(
            kind="sweep",
            geo=self._geo,
            storage_account=self._account,
            started_at=self.run.started_at,
            at=now,
            outcome="failed" if self.run.errors else "more" if self.cursor else "done",
            error=self.run.error,
            counts=self._counts + self.run.counts,
            previous_counts=self._previous,
            totals=self._totals + self.run.counts,
            cursor=self.cursor,
        )
