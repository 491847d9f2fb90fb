"""The sweep of the ledger: each tenant's events compared with each other, with its setting and with its deletions."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.findings import LedgerFault, Notable
from shared.model.ledger import OptedOut, TenantLedger
from shared.ports import Conflict, DeletionStore, LedgerStore, Stored
from shared.runs import Run
from shared.sweep.reconciliation import ledger_faults
from shared.sweep.rounds import Round

_SLICE = 500
_AFTER_ALL_TENANTS = "g"  # ids are hexadecimal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LedgerSweep:
    """Compares the tenants' ledgers in the order of their ids.

    Attributes:
        ledger: the ledgers.
        deletions: the deletions.
        clock: time.
        tenants: how many ledgers one run compares.
    """

    ledger: LedgerStore
    deletions: DeletionStore
    clock: Clock
    tenants: int

    async def sweep(self, each: Round) -> None:
        """Take the round as far as its run may go, and report it."""
        await each.run.isolated(self._go_on(each))
        await each.report()

    async def _go_on(self, each: Round) -> None:
        compared, ledgers = 0, list[TenantLedger]()
        async for ledger in self.ledger.ledgers(each.cursor or ""):
            ledgers.append(ledger)
            if len(ledgers) < _SLICE:
                continue
            if not await self._reconcile(each, ledgers, until=ledger.tenant_id):
                return
            compared, ledgers = compared + len(ledgers), []
            if compared >= self.tenants:
                return
            await each.report()
        if await self._reconcile(each, ledgers, until=_AFTER_ALL_TENANTS):
            each.cursor = None

    async def _reconcile(self, each: Round, ledgers: Sequence[TenantLedger], *, until: str) -> bool:
        """Compare the ledgers of the tenants up to ``until``; return whether there was time for all of them."""
        by_tenant = {ledger.tenant_id: ledger for ledger in ledgers}
        # The deletions are read after the ledgers: one that is missing was missing when its event was there.
        deletions: defaultdict[str, dict[str, Stored[Deletion]]] = defaultdict(dict)
        async for stored in self.deletions.of_tenants(each.cursor or "", until):
            deletions[stored.value.tenant_id][stored.value.enrollment_id] = stored
        for tenant_id in sorted(by_tenant.keys() | deletions.keys()):
            # A tenant of whom only deletions are left had a ledger once.
            ledger = by_tenant.get(tenant_id, TenantLedger(tenant_id, None, []))
            each.run.counts["ledgers"] += 1
            await each.run.isolated(self._reconcile_tenant(each.run, ledger, deletions[tenant_id]))
            each.cursor = tenant_id
            if each.run.out_of_time():
                return False
        return True

    async def _reconcile_tenant(
        self, run: Run, ledger: TenantLedger, deletions: Mapping[str, Stored[Deletion]]
    ) -> None:
        faults = ledger_faults(ledger, deletions)
        if faults:
            # It may have changed while it was read, and only looked wrong.
            settled = await settled_ledger(self.ledger, ledger.tenant_id)
            if settled is not None:
                ledger, faults = settled, ledger_faults(settled, deletions)
                run.counts.update(faults)
                if faults:  # not only counted: whoever looks into it has to know where
                    _log.error("the ledger of tenant %s: %s", ledger.tenant_id, ", ".join(sorted(faults)))
        for event in ledger.events:
            if isinstance(event, OptedOut):
                stored = deletions.get(event.enrollment_id)
                trusted = faults.keys() <= {LedgerFault.WITHOUT_EVENT}  # which says nothing of the events there are
                await run.isolated(self._reconcile_opt_out(run, event, stored, trusted=trusted))

    async def _reconcile_opt_out(
        self, run: Run, event: OptedOut, stored: Stored[Deletion] | None, *, trusted: bool
    ) -> None:
        if stored is None:
            await self._create(run, event)
            return
        bound = stored.value.bound_to(event)
        if bound != stored.value:
            run.counts[LedgerFault.DISAGREEING] += 1
            # Nothing is changed on the word of a broken ledger; and a receipt says what was done, as it was signed.
            if trusted and bound.receipt is None:
                await self._replace(bound, stored.etag)

    async def _create(self, run: Run, event: OptedOut) -> None:
        if self.clock.now() - event.at < deadlines.FEED_GRACE:
            return  # the change feed may be about to do it, and has lost nothing
        if await self.deletions.create(Deletion.owed_for(event)):
            run.counts[Notable.DELETION_CREATED] += 1
        else:
            # There is one by now, or there is one that nobody understands: then this fails, and is noted.
            await self.deletions.read(event.tenant_id, event.enrollment_id)

    async def _replace(self, deletion: Deletion, etag: str) -> None:
        try:
            await self.deletions.replace(deletion, etag)
        except Conflict:
            return  # the next round sees how it stands


async def settled_ledger(ledger: LedgerStore, tenant_id: str) -> TenantLedger | None:
    """Return a tenant's ledger as it was at one moment, or None if it keeps changing."""
    first = await ledger.ledger_of(tenant_id)
    return first if await ledger.ledger_of(tenant_id) == first else None
