"""Scheduling deletions, looking them up and expediting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut
from shared.ports import Conflict, DeletionStore, Page, Stored, StoreUnavailable
from shared.problems import NotFound

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Deletions:
    """Scheduling, looking up and expediting deletions."""

    store: DeletionStore

    async def schedule(self, events: Sequence[OptedOut]) -> int:
        """Create the deletion of each event that has none yet, and return how many were created.

        Idempotent: the deletion's id is the enrollment's, so one that exists is left exactly as it is (D2, P5).

        Raises:
            StoreUnavailable: if any could not be created; calling again finishes the rest.
        """
        created, failure = 0, None
        for event in events:
            try:
                created += await self.store.create(Deletion.owed_for(event))
            except StoreUnavailable as error:
                failure = error  # the rest first: whatever is wrong with one must not keep the others
        if failure is not None:
            raise failure
        return created

    async def get(self, tenant_id: str, enrollment_id: str) -> Deletion:
        """Return one deletion.

        Raises:
            NotFound: if the tenant has no such deletion.
        """
        return (await self._read(tenant_id, enrollment_id)).value

    async def owed_for(self, event: OptedOut) -> Deletion:
        """Return the deletion that an opt-out owes: as it stands, or as it will be scheduled."""
        stored = await self.store.read(event.tenant_id, event.enrollment_id)
        return Deletion.owed_for(event) if stored is None else stored.value

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Deletion]:
        """Return a tenant's deletions, the newest opt-out first.

        Args:
            tenant_id: the tenant.
            limit: how many at most.
            before: only those of opt-outs with a lower ledger sequence.
        """
        return await self.store.list(tenant_id, limit=limit, before=before)

    async def expedite(self, tenant_id: str, enrollment_id: str, *, now: datetime) -> Deletion:
        """Let a deletion begin now and return it; one that has begun is left as it is.

        Raises:
            NotFound: if the tenant has no such deletion.
            Conflict: if others kept changing it meanwhile.
        """
        for _ in range(_ATTEMPTS):
            stored = await self._read(tenant_id, enrollment_id)
            expedited = stored.value.expedited(now)
            if expedited == stored.value or stored.value.status != "scheduled":
                return stored.value
            try:
                await self.store.replace(expedited, stored.etag)
            except Conflict:
                continue
            return expedited
        raise Conflict

    async def _read(self, tenant_id: str, enrollment_id: str) -> Stored[Deletion]:
        stored = await self.store.read(tenant_id, enrollment_id)
        if stored is None:
            raise NotFound(NotFound.DELETION)
        return stored
