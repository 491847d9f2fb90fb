"""Whether a tenant shares data now: read strictly, and cheaply (decision D5)."""

import asyncio

from shared.clock import Clock, Moment
from shared.model.ledger import Setting
from shared.model.notices import Notices
from shared.ports import LedgerStore, Permit
from shared.problems import Unavailable

_ATTEMPTS = 3
_LEASES_MAX = 10_000


class Consent:
    """This instance's view of every tenant's setting, never older than the lease.

    A lease is counted from the moment its read *started*: whatever was committed before that moment, the read has seen,
    and an opt-out is answered only when every read that started before its commit has expired (P2). That needs Strong
    consistency and no comparison of two machines' clocks.

    An answer is a permit, which says of itself whether it still holds: whoever writes on its word asks it again right
    before each attempt, since anything may have taken hours meanwhile (D11).
    """

    def __init__(self, ledger: LedgerStore, notices: Notices, clock: Clock) -> None:
        self._ledger = ledger
        self._notices = notices
        self._clock = clock
        self._leases: dict[str, Permit] = {}
        self._reads: dict[str, asyncio.Task[Permit]] = {}

    async def current(self, tenant_id: str) -> Permit:
        """Return the tenant's setting from a read that started less than ``CONSENT_LEASE_SECONDS`` ago.

        Requests that come while a read is under way share it; both answers, on and off, are leased; a failed read is
        never replaced by an older answer.

        Raises:
            StoreUnavailable: if the read fails.
            Unavailable: if reads take longer than the lease.
        """
        lease = self._leases.get(tenant_id)
        if lease is not None and lease.is_fresh:
            return lease
        for _ in range(_ATTEMPTS):
            read = self._reads.get(tenant_id) or self._start_read(tenant_id)
            # One request that is cancelled must not take the shared read away from the others.
            lease = await asyncio.shield(read)
            # Joined late or answered slowly, the read may have started before an opt-out that has been answered since.
            if lease.is_fresh:
                return lease
        raise Unavailable(Unavailable.CONSENT)

    async def afresh(self, tenant_id: str) -> Permit:
        """Return the tenant's setting from a read that starts now, whatever is leased.

        Raises:
            StoreUnavailable: if the read fails.
            Unavailable: if reads take longer than the lease.
        """
        for _ in range(_ATTEMPTS):
            permit = await self._read(tenant_id)
            if permit.is_fresh:
                return permit
        raise Unavailable(Unavailable.CONSENT)

    def _start_read(self, tenant_id: str) -> "asyncio.Task[Permit]":
        task = asyncio.create_task(self._read(tenant_id))
        self._reads[tenant_id] = task
        task.add_done_callback(lambda done: self._finish_read(tenant_id, done))
        return task

    def _finish_read(self, tenant_id: str, task: "asyncio.Task[Permit]") -> None:
        del self._reads[tenant_id]
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it; if all of them are gone, nobody needs it

    async def _read(self, tenant_id: str) -> Permit:
        started = Moment.now(self._clock)
        stored = await self._ledger.read_setting(tenant_id)
        setting = Setting(tenant_id=tenant_id) if stored is None else stored.value
        lease = Permit(setting, started, self._notices.agreed_until(setting.notice))
        newest = self._leases.get(tenant_id)
        if newest is None or newest.read_at.monotonic <= started.monotonic:
            self._leases.pop(tenant_id, None)  # so that the order of the leases is that of their age
            self._leases[tenant_id] = lease
        while len(self._leases) > _LEASES_MAX:
            del self._leases[next(iter(self._leases))]
        return lease
