"""The work owed for one ended enrollment, and the receipt that says that it is done."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.items import EnrollmentId, Instant, Item, PlaceName, Sha256, TenantId, format_instant
from shared.model.ledger import OptedOut, Reappeared

FACTS = ("sequence", "ledger_hash", "geo", "storage_account", "started_at", "opted_out_at")
"""What a deletion has from the opt-out; each must be as the ledger says it."""


MORE_DAYS_MAX = 64
"""How many days on which something was found of an enrollment, and should not have been, a deletion remembers.

Storage holds no honest container for longer than a month. Without a bound, whoever can write to the item could let each
look delete for minutes what has never been.
"""

_FORGIVEN: Mapping[str, Any] = {"last_error": None, "failures": 0, "retry_at": None}
_UNDONE: Mapping[str, Any] = {"status": "scheduled", "purged_at": None, "receipt": None}


class Reappearance(Item):
    """Data that was there again after a receipt, as its event on the ledger says (``Reappeared``)."""

    at: Instant
    containers_found: int
    proved_at: Instant

    @classmethod
    def told_by(cls, event: Reappeared) -> "Reappearance":
        """Return what a receipt says of ``event``."""
        return cls(at=event.at, containers_found=event.containers_found, proved_at=event.proved_at)


class Downloads(Item):
    """What left the service in files while the enrollment's captures could be read, as the access log says (P12).

    The one thing about which a receipt speaks that no deletion reaches: copies outside.

    Attributes:
        records: how many downloads of exports, or of parts of them, are on record.
        sha256: the files that they were of, the one downloaded first first; the first hundred.
        records_hash: SHA-256 of all those records, each as JSON with its members in order, no spaces and a line feed
            behind it, so that whoever has the log can compare.
        copies_covered: False: the receipt says nothing of what became of them.
    """

    records: int
    sha256: tuple[Sha256, ...] = ()
    records_hash: Sha256
    copies_covered: Literal[False] = False


class Receipt(Item):
    """The content-free evidence that a deletion is finished (P6, decision D13).

    ``first_day`` and ``last_day`` follow from the ledger, and ``reappeared`` is what it tells. ``jws`` says the same
    and what it is about (``Deletion.receipt_claims``), signed, for others to check. Only receipts of before have
    ``containers_deleted``: a crash between a delete and its record made it false. ``downloads`` is what the access log
    tells; receipts of before have none.
    """

    first_day: date
    last_day: date
    containers_deleted: int | None = None
    first_look_at: Instant
    second_look_at: Instant
    reappeared: tuple[Reappearance, ...] = ()
    downloads: Downloads | None = None
    jws: str = ""


class Deletion(Item):
    """What one opt-out owes. ``deadline`` is the ledger event's, and no method here moves it later (P5).

    After ``failures`` looks in a row that came to nothing it leaves the queue until ``retry_at`` (D12); ``attempts``
    are all that there were. ``containers_deleted`` is what the runs have told; nobody signs it, because a crash can
    make it too low. ``reappeared`` is only in items of before: what they tell is moved to the ledger.
    """

    tenant_id: TenantId
    enrollment_id: EnrollmentId
    sequence: int
    ledger_hash: Sha256
    geo: PlaceName
    storage_account: PlaceName
    started_at: Instant
    opted_out_at: Instant
    not_before: Instant
    deadline: Instant
    status: Literal["scheduled", "purged", "verified"]
    attempts: int = 0
    failures: int = 0
    last_error: str | None = None
    retry_at: Instant | None = None
    containers_deleted: int = 0
    more_days: Annotated[tuple[date, ...], Field(max_length=MORE_DAYS_MAX)] = ()
    purged_at: Instant | None = None
    receipt: Receipt | None = None
    reappeared: Annotated[tuple[Reappearance, ...] | None, AfterValidator(lambda entries: entries or None)] = None

    @classmethod
    def owed_for(cls, event: OptedOut) -> "Deletion":
        """Return the deletion that ``event`` calls for: the same one whenever and however often it is asked for."""
        # Whatever somebody made of the event: not later than is promised, and not before there was anything to delete.
        deadline = max(event.at, min(event.deadline, deadlines.deletion_deadline(event.at)))
        return cls(
            tenant_id=event.tenant_id,
            enrollment_id=event.enrollment_id,
            sequence=event.sequence,
            ledger_hash=event.hash,
            geo=event.geo,
            storage_account=event.storage_account,
            started_at=event.started_at,
            opted_out_at=event.at,
            not_before=max(event.at, deadlines.deletion_not_before(deadline)),
            deadline=deadline,
            status="scheduled",
        )

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``. So an enrollment has one deletion, however often its opt-out is seen (D2)."""
        return {"id": self.enrollment_id}

    @property
    def days(self) -> list[date]:
        """The UTC days for which the enrollment may have a container, or was found to have one, oldest first."""
        return sorted({*self._enrollment_days, *self.more_days})

    @property
    def containers(self) -> list[DayContainer]:
        """The containers to delete, computed and not listed (D3)."""
        return [DayContainer(self.enrollment_id, day) for day in self.days]

    def overdue(self, now: datetime) -> bool:
        """Tell whether the promise P5 is broken: derived, never stored."""
        return self.status != "verified" and now > self.deadline

    def finished_late(self, since: datetime) -> bool:
        """Tell whether it was finished after its deadline, and that was not before ``since``."""
        return self.receipt is not None and self.receipt.second_look_at > self.deadline >= since

    def bound_to(self, event: OptedOut, now: datetime) -> "Deletion":
        """Return the unfinished deletion with all that the ledger says as the ledger says it, and due no later (P5).

        What was done is kept if it was done to what the ledger says, and at a time that can be believed; else all
        begins again. One that is returned as it is follows from the ledger.

        Args:
            event: the opt-out, as it stands on the ledger.
            now: the time; another instance's clock may be a little ahead.
        """
        bound = self._with_facts_of(event)
        same = all(getattr(self, name) == getattr(bound, name) for name in FACTS)
        emptied = self.status == "purged" and self.purged_at is not None and _is_past(self.purged_at, event, now)
        if not same or not (emptied or self.status == "scheduled"):
            return bound.begun_again()
        return bound.model_copy(update={"receipt": None})

    def begun_again(self) -> "Deletion":
        """Return the deletion with nothing of it done; it is due when it was."""
        return self.model_copy(update={**_UNDONE, **_FORGIVEN})

    def proved_by(self, claims: Mapping[str, Any], jws: str, event: OptedOut) -> "Deletion":
        """Return the deletion finished, with the receipt that was signed for it.

        Args:
            claims: what the signature covers.
            jws: the signature.
            event: the opt-out, as it stands on the ledger.

        Raises:
            ValueError: if they are not what is signed for that opt-out, or tell of looks that no receipt rests on.
        """
        receipt = Receipt.from_json({**claims, "jws": jws})
        done = {"status": "verified", "purged_at": receipt.first_look_at, "receipt": receipt, **_FORGIVEN}
        deadline = Deletion.owed_for(event).deadline
        proved = self._with_facts_of(event).model_copy(update={**done, "deadline": deadline})
        days = proved._enrollment_days
        # Receipts of before name also days on which something was found that cannot have been the enrollment's.
        if proved.receipt_claims != claims or receipt.first_day > days[0] or receipt.last_day < days[-1]:
            raise ValueError("the ledger says something else")
        looked_again = receipt.first_look_at <= deadlines.second_look_due(receipt.second_look_at)
        if not looked_again or not _is_past(receipt.first_look_at, event, receipt.second_look_at):
            raise ValueError("not two looks after the opt-out, one well after the other")
        return proved

    def _with_facts_of(self, event: OptedOut) -> "Deletion":
        owed = Deletion.owed_for(event)
        facts = {name: getattr(owed, name) for name in FACTS}
        sooner = {
            "not_before": min(owed.not_before, self.not_before),
            "deadline": min(owed.deadline, self.deadline),
        }
        return self.model_copy(update=facts | sooner)

    def expedited(self, now: datetime) -> "Deletion":
        """Return the deletion with its start moved forward to ``now``, never back."""
        return self.model_copy(update={"not_before": min(now, self.not_before)})

    def failed(self, now: datetime, error: str) -> "Deletion":
        """Return the deletion after a first or second look that ended at ``now`` with the code ``error``."""
        return self.model_copy(update={"attempts": self.attempts + 1, **self._outcome(now, error)})

    def _outcome(self, now: datetime, error: str | None) -> Mapping[str, Any]:
        if error is None:
            return _FORGIVEN
        failures = self.failures + 1
        return {"last_error": error, "failures": failures, "retry_at": deadlines.retry_at(now, failures, self.deadline)}

    def purged(self, now: datetime, *, deleted: int, error: str | None = None) -> "Deletion":
        """Return the deletion after storage has been emptied at ``now``; the second look is now owed.

        Args:
            now: when the last container was deleted.
            deleted: how many containers this attempt found and deleted.
            error: why an earlier second look was no proof, if this attempt is its consequence.
        """
        return self.model_copy(
            update={
                "status": "purged",
                "attempts": self.attempts + 1,
                "containers_deleted": self.containers_deleted + deleted,
                "purged_at": now,
                **self._outcome(now, error),
            }
        )

    def verified(
        self, now: datetime, event: OptedOut, reappeared: Iterable[Reappeared], downloads: Downloads | None = None
    ) -> "Deletion":
        """Return the deletion after the second look at ``now`` found nothing; its receipt is yet to be signed (P6).

        Args:
            now: the time of the second look.
            event: the opt-out, as it stands on the ledger; the deletion follows from it.
            reappeared: what the ledger tells of data that came back.
            downloads: what the access log tells of exports that were downloaded.
        """
        assert self.purged_at is not None
        days = self._enrollment_days
        receipt = Receipt(
            first_day=days[0],
            last_day=days[-1],
            first_look_at=self.purged_at,
            second_look_at=now,
            reappeared=tuple(map(Reappearance.told_by, reappeared)),
            downloads=downloads,
        )
        # Somebody may have made it due sooner; the receipt says what was owed.
        deadline = Deletion.owed_for(event).deadline
        done = {"status": "verified", "receipt": receipt, "deadline": deadline, **_FORGIVEN}
        return self.model_copy(update=done)

    def found_again(self, now: datetime, error: str, found: Sequence[date]) -> "Deletion":
        """Return the deletion to be done anew, after a second look at ``now`` found containers of some days.

        They count as deleted, and are from now on.
        """
        told = {"containers_deleted": self.containers_deleted + len(found), "more_days": self._more_days(found)}
        return self.failed(now, error).model_copy(update={**_UNDONE, **told})

    def came_back(self, now: datetime, found: Iterable[date] = ()) -> "Deletion":
        """Return the deletion to be done anew at once, after containers of some days were there again at ``now``."""
        again = {"not_before": min(now, self.not_before), "more_days": self._more_days(found)}
        return self.begun_again().model_copy(update=again)

    def _more_days(self, found: Iterable[date]) -> tuple[date, ...]:
        """Return the days to remember: those found now first of all, and else the newest.

        One that is forgotten is not lost. It was deleted, now or at a look before, and each second look lists whatever
        is there, of any day.
        """
        own, now = set(self._enrollment_days), set(found)
        days = sorted({*self.more_days, *now} - own, key=lambda day: (day in now, day), reverse=True)
        return tuple(sorted(days[:MORE_DAYS_MAX]))

    @property
    def _enrollment_days(self) -> list[date]:
        return deadlines.enrollment_days(self.started_at, self.opted_out_at)

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


def _is_past(at: datetime, event: OptedOut, now: datetime) -> bool:
    """Tell whether what follows ``event`` can have happened ``at`` that time, by clocks that are a little off."""
    return event.at - deadlines.CLOCK_SKEW <= at and deadlines.may_have_happened(at, now)
