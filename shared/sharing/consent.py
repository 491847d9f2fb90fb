"""Whether a tenant shares data now: read strictly, and cheaply (decisions D5 and D21)."""

from dataclasses import dataclass, replace

from shared.clock import Clock, Moment
from shared.model import deadlines
from shared.model.epochs import Epoch
from shared.model.ledger import Setting
from shared.model.notices import Notices
from shared.ports import LedgerStore, Permit, Stored
from shared.problems import Unavailable
from shared.shared_reads import SharedReads
from shared.sharing.epochs import Epochs

_ATTEMPTS = 3
_LEASES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Lease:
    """What is known of a tenant's setting.

    Attributes:
        permit: its answer, as it was read or confirmed last.
        read_at: when the read of the setting started.
        epoch: that of the tenant's shard, from a read that had ended before; None if epochs are not trusted.
    """

    permit: Permit
    read_at: Moment
    epoch: Epoch | None


class Consent:
    """This instance's view of every tenant's setting, never older than the lease.

    A lease is counted from the moment its read *started*: whatever was committed before that moment, the read has seen,
    and an opt-out is answered only when every read that started before its commit has expired (P2). That needs Strong
    consistency and no comparison of two machines' clocks. With ``epochs`` a setting need not be read again for a
    minute: a read of its shard's epoch confirms it, and the lease is counted from the start of that.

    An answer is a permit, which says of itself whether it still holds: whoever writes on its word asks it again right
    before each attempt, since anything may have taken hours meanwhile (D11).
    """

    def __init__(self, ledger: LedgerStore, notices: Notices, clock: Clock, epochs: Epochs | None = None) -> None:
        """Make one that knows nothing yet; ``epochs`` is None unless every instance changes them (D21)."""
        self._ledger = ledger
        self._notices = notices
        self._epochs = epochs
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._shared = SharedReads(self._read)

    async def current(self, tenant_id: str) -> Permit:
        """Return the tenant's setting from a read that started less than ``CONSENT_LEASE_SECONDS`` ago.

        Requests that come while a read is under way share it; both answers, on and off, are leased; a failed read is
        never replaced by an older answer.

        Raises:
            StoreUnavailable: if the read fails.
            Unavailable: if reads take longer than the lease.
        """
        lease = self._leases.get(tenant_id)
        if lease is not None and lease.permit.is_fresh:
            return lease.permit
        for _ in range(_ATTEMPTS):
            permit = await self._confirmed(tenant_id) or await self._shared(tenant_id)
            # Joined late or answered slowly, the read may have started before an opt-out that has been answered since.
            if permit.is_fresh:
                return permit
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

    async def _confirmed(self, tenant_id: str) -> Permit | None:
        """Return what is known already if the epoch says that nothing has changed; None if it must be read."""
        lease = self._leases.get(tenant_id)
        if self._epochs is None or lease is None or not _is_young(lease):
            return None
        read = await self._epochs.current(tenant_id)
        if read.epoch != lease.epoch or not _is_young(lease):
            return None
        permit = replace(lease.permit, read_at=read.started)
        if self._leases.get(tenant_id) is lease:
            self._leases[tenant_id] = replace(lease, permit=permit)
        return permit

    async def _read(self, tenant_id: str) -> Permit:
        # Before the setting: one that is read after it might be newer than what the setting says.
        epoch = None if self._epochs is None else (await self._epochs.current(tenant_id)).epoch
        started = Moment.now(self._clock)
        stored = await self._ledger.read_setting(tenant_id)
        setting = setting_of(tenant_id, stored)
        permit = Permit(setting, started, self._notices.agreed_until(setting.notice))
        newest = self._leases.get(tenant_id)
        if newest is None or newest.read_at.monotonic <= started.monotonic:
            self._leases.pop(tenant_id, None)  # so that the order of the leases is that of their settings' age
            self._leases[tenant_id] = _Lease(permit, started, epoch)
        while len(self._leases) > _LEASES_MAX:
            del self._leases[next(iter(self._leases))]
        return permit


def setting_of(tenant_id: str, stored: Stored[Setting] | None) -> Setting:
    """Return the setting that was read of a tenant; that of a tenant never seen is off (P1)."""
    return Setting(tenant_id=tenant_id) if stored is None else stored.value


def _is_young(lease: _Lease) -> bool:
    """Tell whether a permit that is given on the setting now ends before the setting is too old."""
    return lease.read_at.age < deadlines.SETTING_SECONDS - deadlines.CONSENT_LEASE_SECONDS
