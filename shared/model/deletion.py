"""The work owed for one ended enrollment, and the receipt that says that it is done."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.items import EnrollmentId, Instant, Item, Sha256, TenantId, format_instant
from shared.model.ledger import OptedOut


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
    """What one opt-out owes. ``deadline`` is the ledger event's, and no method here changes it (P5).

    After ``failures`` looks in a row that came to nothing it leaves the queue until ``retry_at`` (D12); ``attempts``
    are all that there were.
    """

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
    failures: int = 0
    last_error: str | None = None
    retry_at: Instant | None = None
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
            "failures": self.failures,
            "last_error": self.last_error,
            "retry_at": self.retry_at,
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

    def failed(self, now: datetime, error: str) -> "Deletion":
        """Return the deletion after a first or second look that ended at ``now`` with the code ``error``."""
        return self.model_copy(update={"attempts": self.attempts + 1, **self._outcome(now, error)})

    def _outcome(self, now: datetime, error: str | None) -> Mapping[str, Any]:
        if error is None:
            return {"last_error": None, "failures": 0, "retry_at": None}
        failures = self.failures + 1
        return {"last_error": error, "failures": failures, "retry_at": deadlines.retry_at(now, failures)}

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
                "containers_deleted": self.containers_deleted + deleted,
                "purged_at": now,
                "more_days": self._more_days(found),
                **self._outcome(now, error),
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
        return self.model_copy(update={"status": "verified", "receipt": receipt, **self._outcome(now, None)})

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

    def signed(self, jws: str) -> "Deletion":
        """Return the deletion with its receipt signed: ``jws`` is the signature over ``receipt_claims``."""
        assert self.receipt is not None
        return self.model_copy(update={"receipt": self.receipt.model_copy(update={"jws": jws})})
