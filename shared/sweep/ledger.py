"""The sweep of the ledger: each tenant's events compared with each other, with its setting and with its deletions."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.findings import LedgerFault, Notable
from shared.model.items import tenant_in_log
from shared.model.ledger import Event, OptedOut, TenantLedger
from shared.ports import Conflict, DeletionStore, LedgerStore, Stored
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import SignedReceipts
from shared.sweep.reconciliation import ledger_faults
from shared.sweep.rounds import Round

_SLICE_MAX = 500
_AFTER_ALL_TENANTS = "g"  # ids are hexadecimal

_log = logging.getLogger(__name__)

_DeletionsOfTenant = Mapping[str, Stored[Deletion]]
"""A tenant's deletions by enrollment."""


@dataclass(frozen=True, slots=True)
class LedgerSweep:
    """One run that compares the tenants' ledgers, in the order of the tenants' ids.

    Attributes:
        round: the round that it takes further; its cursor is the last tenant compared.
        ledger: the ledgers.
        deletions: the deletions.
        receipts: what the deletions' receipts prove.
        reappearances: how the ledger is told of data that came back.
        clock: time.
        max_ledgers: how many ledgers it compares.
    """

    round: Round
    ledger: LedgerStore
    deletions: DeletionStore
    receipts: SignedReceipts
    reappearances: Reappearances
    clock: Clock
    max_ledgers: int

    async def run(self) -> None:
        """Take the round as far as the run may go, and report it."""
        await self.round.run.isolated(self._compare())
        await self.round.report()

    async def _compare(self) -> None:
        compared, ledgers = 0, list[TenantLedger]()
        async for ledger in self.ledger.ledgers(self.round.cursor or ""):
            ledgers.append(ledger)
            if len(ledgers) < _SLICE_MAX:
                continue
            if not await self._compare_slice(ledgers, until=ledger.tenant_id):
                return
            compared, ledgers = compared + len(ledgers), []
            if compared >= self.max_ledgers:
                return
            await self.round.report()
        if await self._compare_slice(ledgers, until=_AFTER_ALL_TENANTS):
            self.round.cursor = None

    async def _compare_slice(self, ledgers: Sequence[TenantLedger], *, until: str) -> bool:
        """Compare the ledgers of the tenants up to ``until``; return whether there was time for all of them."""
        run = self.round.run
        ledger_of_tenant = {ledger.tenant_id: ledger for ledger in ledgers}
        # The deletions are read after the ledgers: one that is missing was missing when its event was there.
        deletions: defaultdict[str, dict[str, Stored[Deletion]]] = defaultdict(dict)
        async for stored in self.deletions.of_tenants(self.round.cursor or "", until):
            if stored is None:
                run.counts[LedgerFault.UNREADABLE] += 1
                continue
            deletions[stored.value.tenant_id][stored.value.enrollment_id] = stored
        for tenant_id in sorted(ledger_of_tenant.keys() | deletions.keys()):
            # A tenant of whom only deletions are left had a ledger once.
            ledger = ledger_of_tenant.get(tenant_id, TenantLedger(tenant_id, None, []))
            run.counts["ledgers"] += 1
            await run.isolated(self._reconcile(ledger, deletions[tenant_id]))
            self.round.cursor = tenant_id
            if run.out_of_time():
                return False
        return True

    async def _reconcile(self, ledger: TenantLedger, deletions: _DeletionsOfTenant) -> None:
        """Report what is wrong with one tenant's ledger, and give each opt-out on it the deletion that it calls for."""
        run = self.round.run
        faults = ledger_faults(ledger, deletions)
        if faults:
            # It may have changed while it was read, and only looked wrong.
            settled = await settled_ledger(self.ledger, ledger.tenant_id)
            if settled is not None:
                ledger, faults = settled, ledger_faults(settled, deletions)
                run.counts.update(faults)
                if faults:  # not only counted: whoever looks into it has to know where
                    _log.error(
                        "the ledger of tenant %s: %s", tenant_in_log(ledger.tenant_id), ", ".join(sorted(faults))
                    )
        # A deletion too many says nothing of the events that there are.
        trusted = faults.keys() <= {LedgerFault.WITHOUT_EVENT}
        events: defaultdict[str, list[Event]] = defaultdict(list)
        for event in ledger.events:
            events[event.enrollment_id].append(event)
        for event in ledger.events:
            if isinstance(event, OptedOut):
                enrollment_id = event.enrollment_id
                opt_out = self._reconcile_opt_out(
                    event, deletions.get(enrollment_id), events[enrollment_id], trusted=trusted
                )
                await run.isolated(opt_out)

    async def _reconcile_opt_out(
        self, event: OptedOut, stored: Stored[Deletion] | None, events: Sequence[Event], *, trusted: bool
    ) -> None:
        if stored is None:
            await self._create_deletion(event)
        elif stored.value.reappeared or (await self.receipts.compare(stored.value, events)).faults:
            await self._mend(event, trusted=trusted)

    async def _mend(self, event: OptedOut, *, trusted: bool) -> None:
        """Report what is wrong with a deletion or its receipt, and bring it back to what the ledger says."""
        # It may have changed while it was read, and only looked wrong: the deletion first, for what it tells of data
        # that came back was on the ledger before.
        stored = await self.deletions.read(event.tenant_id, event.enrollment_id)
        events = await self.ledger.events_of(event.tenant_id, event.enrollment_id)
        if stored is None or event not in events:
            return
        deletion, moved = stored.value, stored.value.reappeared or ()
        if trusted and moved:  # an item of before; its entries are told by the ledger from now on
            for entry in moved:
                await self.reappearances.tell(event, entry)
            deletion = deletion.model_copy(update={"reappeared": None})
            events = await self.ledger.events_of(event.tenant_id, event.enrollment_id)
        compared = await self.receipts.compare(deletion, events)
        self.round.run.counts.update(compared.faults or ([LedgerFault.DISAGREEING] if moved else []))
        # Nothing is changed on the word of a broken ledger.
        if trusted and compared.deletion != stored.value:
            await self._replace(compared.deletion, stored.etag)

    async def _create_deletion(self, event: OptedOut) -> None:
        if self.clock.now() - event.at < deadlines.FEED_GRACE:
            return  # the change feed may be about to do it, and has lost nothing
        if await self.deletions.create(Deletion.owed_for(event)):
            self.round.run.counts[Notable.DELETION_CREATED] += 1
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
