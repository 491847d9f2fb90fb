"""The work owed for each ended enrollment, and the receipt that says that it is done."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from shared import deadlines
from shared.containers import DayContainer
from shared.items import EnrollmentId, Instant, Item, Sha256, TenantId, format_instant
from shared.ledger import OptedOut
from shared.problems import NotFound
from shared.stores.ports import Conflict, DeletionStore, ReceiptSigner, Stored, StoreUnavailable

_ATTEMPTS = 5


class Reappearance(Item):
    """Data that was there again after a receipt, for instance out of a restored account; all is then proved anew.

    ``proved_at`` is the second look of the receipt that it belies.
    """

    at: Instant
    containers_found: int
    proved_at: Instant


class Receipt(Item):
    """The content-free evidence that a deletion is finished (P6).

    ``containers_deleted`` counts those that the deletion found; days that retention had deleted before are not in it.
    ``reappeared`` is what belied earlier receipts of the same deletion. ``jws`` says the same and what it is about
    (``Deletion.receipt_claims``), signed, for others to check.
    """

    first_day: date
    last_day: date
    containers_deleted: int
    first_look_at: Instant
    second_look_at: Instant
    reappeared: tuple[Reappearance, ...] = ()
    jws: str = ""


class Deletion(Item):
    """What one opt-out owes. ``deadline`` is the ledger event's, and no method here changes it (P5)."""

    tenant_id: TenantId
    enrollment_id: EnrollmentId
    sequence: int
    ledger_hash: Sha256
    geo: str
    storage_account: str
    started_at: Instant
    opted_out_at: Instant
    not_before: Instant
    deadline: Instant
    status: Literal["scheduled", "purged", "verified"] = "scheduled"
    attempts: int = 0
    last_error: str | None = None
    containers_deleted: int = 0
    more_days: tuple[date, ...] = ()
    purged_at: Instant | None = None
    receipt: Receipt | None = None
    reappeared: tuple[Reappearance, ...] = ()

    @classmethod
    def owed_for(cls, event: OptedOut) -> "Deletion":
        """Return the deletion that ``event`` calls for: the same one whenever and however often it is asked for."""
        deadline = min(event.deadline, deadlines.deletion_deadline(event.at))  # whatever somebody made of the event
        return cls(
            tenant_id=event.tenant_id,
            enrollment_id=event.enrollment_id,
            sequence=event.sequence,
            ledger_hash=event.hash,
            geo=event.geo,
            storage_account=event.storage_account,
            started_at=event.started_at,
            opted_out_at=event.at,
            not_before=deadlines.deletion_not_before(deadline),
            deadline=deadline,
        )

    @property
    def days(self) -> list[date]:
        """The UTC days for which the enrollment may have a container, or was found to have one, oldest first."""
        return sorted({*deadlines.enrollment_days(self.started_at, self.opted_out_at), *self.more_days})

    @property
    def containers(self) -> list[DayContainer]:
        """The containers to delete, computed and not listed (D3)."""
        return [DayContainer(self.enrollment_id, day) for day in self.days]

    def overdue(self, now: datetime) -> bool:
        """Tell whether the promise P5 is broken: derived, never stored."""
        return self.status != "verified" and now > self.deadline

    def bound_to(self, event: OptedOut) -> "Deletion":
        """Return the deletion with everything that the ledger says as the ledger says it, and due no later (P5).

        What was done is kept, if it was done to what the ledger says and can be believed; else all begins again.
        """
        owed = Deletion.owed_for(event)
        earliest = {
            "not_before": min(owed.not_before, self.not_before),
            "deadline": min(owed.deadline, self.deadline),
        }
        done = {
            "status": self.status,
            "attempts": self.attempts,
            "last_error": self.last_error,
            "containers_deleted": self.containers_deleted,
            "purged_at": self.purged_at,
            "receipt": self.receipt,
            "reappeared": self.reappeared,
            "more_days": self.more_days,
        }
        same = owed.model_copy(update={**earliest, **done}) == self.model_copy(update=earliest)
        purged = self.status == "scheduled" or self.purged_at is not None
        proved = self.status != "verified" or (self.receipt is not None and self.receipt.jws != "")
        begun_again = {"reappeared": self.reappeared, "more_days": self.more_days, "attempts": self.attempts}
        # A receipt says what was done, as it was signed; whatever else is wrong with it is for people to judge.
        keeps = (same or self.receipt is not None) and purged and proved
        return owed.model_copy(update=earliest | (done if keeps else begun_again))

    def expedited(self, now: datetime) -> "Deletion":
        """Return the deletion with its start moved forward to ``now``, never back."""
        return self.model_copy(update={"not_before": min(now, self.not_before)})

    def failed(self, error: str) -> "Deletion":
        """Return the deletion after an attempt that ended with the code ``error``."""
        return self.model_copy(update={"attempts": self.attempts + 1, "last_error": error})

    def purged(
        self, now: datetime, *, deleted: int, error: str | None = None, found: Iterable[date] = ()
    ) -> "Deletion":
        """Return the deletion after storage has been emptied at ``now``; the second look is now owed.

        Args:
            now: when the last container was deleted.
            deleted: how many containers this attempt found and deleted.
            error: why an earlier second look was no proof, if this attempt is its consequence.
            found: days of containers that it found and that are none of the enrollment's.
        """
        return self.model_copy(
            update={
                "status": "purged",
                "attempts": self.attempts + 1,
                "last_error": error,
                "containers_deleted": self.containers_deleted + deleted,
                "purged_at": now,
                "more_days": self._more_days(found),
            }
        )

    def verified(self, now: datetime) -> "Deletion":
        """Return the deletion after the second look at ``now`` found nothing; its receipt is yet to be signed (P6)."""
        assert self.purged_at is not None
        days = self.days
        receipt = Receipt(
            first_day=days[0],
            last_day=days[-1],
            containers_deleted=self.containers_deleted,
            first_look_at=self.purged_at,
            second_look_at=now,
            reappeared=self.reappeared,
        )
        return self.model_copy(update={"status": "verified", "last_error": None, "receipt": receipt})

    def came_back(self, now: datetime, found: Sequence[date]) -> "Deletion":
        """Return the verified deletion after containers of some days were there again at ``now``, to be done anew."""
        assert self.receipt is not None
        entry = Reappearance(at=now, containers_found=len(found), proved_at=self.receipt.second_look_at)
        again = {"status": "scheduled", "purged_at": None, "receipt": None, "not_before": min(now, self.not_before)}
        told = {"reappeared": (*self.reappeared, entry), "more_days": self._more_days(found)}
        return self.model_copy(update=again | told)

    def _more_days(self, found: Iterable[date]) -> tuple[date, ...]:
        return tuple(
            sorted({*self.more_days, *found} - set(deadlines.enrollment_days(self.started_at, self.opted_out_at)))
        )

    @property
    def receipt_claims(self) -> Mapping[str, Any]:
        """What the receipt's signature covers: every fact of the deletion that another party may want to check."""
        assert self.receipt is not None
        signed = self.receipt.to_json()
        del signed["jws"]
        return {
            "tenantId": self.tenant_id,
            "enrollmentId": self.enrollment_id,
            "geo": self.geo,
            "storageAccount": self.storage_account,
            "startedAt": format_instant(self.started_at),
            "optedOutAt": format_instant(self.opted_out_at),
            "deadline": format_instant(self.deadline),
            "sequence": self.sequence,
            "ledgerHash": self.ledger_hash,
            **signed,
        }

    async def signed(self, signer: ReceiptSigner) -> "Deletion":
        """Return the deletion with its receipt signed.

        Raises:
            StoreUnavailable: if the key cannot be used now.
        """
        assert self.receipt is not None
        jws = await signer.sign(self.receipt_claims)
        return self.model_copy(update={"receipt": self.receipt.model_copy(update={"jws": jws})})


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

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Sequence[Deletion]:
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
            raise NotFound("This tenant has no deletion for that enrollment.")
        return stored
