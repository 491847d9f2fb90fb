"""Epochs: what lets one read vouch for the settings of all tenants of a shard (decision D21)."""

from dataclasses import dataclass

from shared.clock import Clock, Moment
from shared.model import deadlines
from shared.model.epochs import Epoch, shard_of
from shared.ports import OperationStore
from shared.problems import Unavailable
from shared.shared_reads import SharedReads

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class EpochRead:
    """An epoch, and the moment at which its read *started*: what was changed before, it has seen."""

    epoch: Epoch
    started: Moment

    @property
    def is_fresh(self) -> bool:
        """Whether it may still be relied on."""
        return self.started.age < deadlines.CONSENT_LEASE_SECONDS


class Epochs:
    """This instance's view of the epochs, never older than the lease, and the way to change them."""

    def __init__(self, operations: OperationStore, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock
        self._known: dict[str, EpochRead] = {}
        self._shared = SharedReads(self._read)

    async def current(self, tenant_id: str) -> EpochRead:
        """Return the epoch of a tenant's shard from a read that started less than ``CONSENT_LEASE_SECONDS`` ago.

        Whatever the caller reads next, it reads after this read has ended.

        Raises:
            StoreUnavailable: if the read fails.
            Unavailable: if reads take longer than the lease.
        """
        shard = shard_of(tenant_id)
        known = self._known.get(shard)
        if known is not None and known.is_fresh:
            return known
        for _ in range(_ATTEMPTS):
            known = await self._shared(shard)
            if known.is_fresh:  # it may have been joined late, or answered slowly
                return known
        raise Unavailable(Unavailable.CONSENT)

    async def change(self, tenant_id: str) -> None:
        """Change the epoch of a tenant's shard: after this has returned, no read that starts brings an old one.

        Raises:
            StoreUnavailable: if it may not have been changed.
        """
        await self._operations.change_epoch(shard_of(tenant_id))

    async def outdate(self, *commits: tuple[str, int | None]) -> None:
        """See to it that the epochs were changed after some commits, by whomever.

        Whose process died between a commit and the change of the epoch has left that to the next who comes by.

        Args:
            commits: of each the tenant, and when it was, as the database says (``Stored.at``).

        Raises:
            StoreUnavailable: if one may not have been changed.
        """
        by_shard: dict[str, list[int | None]] = {}
        for tenant_id, committed_at in commits:
            by_shard.setdefault(shard_of(tenant_id), []).append(committed_at)
        for shard, times in by_shard.items():
            epoch = await self._operations.read_epoch(shard)
            if not all(map(epoch.is_after, times)):
                await self._operations.change_epoch(shard)

    async def _read(self, shard: str) -> EpochRead:
        started = Moment.now(self._clock)
        read = self._known[shard] = EpochRead(await self._operations.read_epoch(shard), started)
        return read
