"""Review grants and access records: who may read a tenant's captures, for what, for how long, and who has (P7, P10)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.model.items import EnrollmentId, Instant, Item, TenantId

DURATION_MAX = timedelta(hours=8)
APPROVAL_WITHIN = timedelta(hours=24)
"""A grant that nobody has approved by then has lapsed."""


class Purpose(StrEnum):
    """What captures may be read for. Training foundation models is not among it, and refused by name (P10)."""

    BUILD = "build"
    IMPROVE = "improve"
    VALIDATE = "validate"

    @classmethod
    def named(cls, name: str) -> "Purpose | None":
        """Return the purpose of that name, in any letter case and with space around it, or None."""
        plain = name.strip().lower()
        return next((each for each in cls if each.value == plain), None)


class GrantStatus(StrEnum):
    """How a grant stands at a given time; ``expired`` and ``lapsed`` are derived from the clock, never stored."""

    PENDING = "pending"
    APPROVED = "approved"
    REVOKED = "revoked"
    EXPIRED = "expired"
    LAPSED = "lapsed"


Action = Literal[
    "requested",
    "purposeRefused",
    "approved",
    "revoked",
    "listed",
    "read",
    "searched",
    "found",
    "labelled",
    "labelWithdrawn",
    "labelsRead",
    "exportRequested",
    "exportReady",
    "exportStopped",
    "exportDownloaded",
    "exportDeleted",
]
"""What is on the record; all but the first four are looks at captures, or at what was made of them (P12)."""

ABOUT_GRANTS: frozenset[Action] = frozenset({"requested", "purposeRefused", "approved", "revoked"})
"""What is no look, but says how a grant came and went."""


class ReviewGrant(Item):
    """Time-limited permission of one reviewer to read one enrollment's captures for one purpose.

    ``requested_by``, ``approved_by`` and ``revoked_by`` are object ids of people of the operator tenant; ``sequence``
    is that of the request in the tenant's access log.
    """

    grant_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    tenant_id: TenantId
    enrollment_id: EnrollmentId
    sequence: Annotated[int, Field(ge=1)]
    purpose: Purpose
    justification: str
    duration_minutes: Annotated[int, Field(ge=1, le=int(DURATION_MAX.total_seconds()) // 60)]
    requested_by: str
    requested_at: Instant
    approved_by: str | None = None
    approved_at: Instant | None = None
    expires_at: Instant | None = None
    revoked_by: str | None = None
    revoked_at: Instant | None = None

    @staticmethod
    def id_of(grant_id: str) -> str:
        """Return the item id of a grant."""
        return f"grant-{grant_id}"

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``."""
        return {"id": self.id_of(self.grant_id), "kind": "grant"}

    def status(self, now: datetime) -> GrantStatus:
        """Return how the grant stands at ``now``."""
        if self.revoked_at is not None:
            return GrantStatus.REVOKED
        if self.expires_at is not None:
            return GrantStatus.EXPIRED if now >= self.expires_at else GrantStatus.APPROVED
        return GrantStatus.LAPSED if now >= self.lapse else GrantStatus.PENDING

    @property
    def lapse(self) -> datetime:
        """The instant from which nobody can approve it any more."""
        return self.requested_at + APPROVAL_WITHIN

    def approved(self, approver: str, now: datetime) -> "ReviewGrant":
        """Return the grant approved at ``now``; its time begins then."""
        expires_at = now + timedelta(minutes=self.duration_minutes)
        return self.model_copy(update={"approved_by": approver, "approved_at": now, "expires_at": expires_at})

    def revoked(self, by: str, now: datetime) -> "ReviewGrant":
        """Return the grant ended at ``now``."""
        return self.model_copy(update={"revoked_by": by, "revoked_at": now})


class AccessDetails(Item):
    """What a record says beyond who did what under which grant; each only where it says something.

    Never content: not what was searched for, and nothing of a label (P8).

    Attributes:
        day, batch_id, line: the UTC day, the batch of it, and the capture in that, counted from 0.
        first_day, last_day: the UTC days that a search or an export goes through.
        filtered_by: by which members a search or an export chose, without their values.
        captures: how many captures were shown, or are in the export.
        opened: those that were shown, each as ``{day}/{batchId}/{line}``.
        export_id, sha256: the export, and the hash of the file that it is.
        first_byte, last_byte: the part of the file that was downloaded, both counted from 0.
        reason: why an export was stopped; a code.
    """

    day: str | None = None
    batch_id: str | None = None
    line: int | None = None
    first_day: str | None = None
    last_day: str | None = None
    filtered_by: tuple[str, ...] | None = None
    captures: int | None = None
    opened: tuple[str, ...] | None = None
    export_id: str | None = None
    sha256: str | None = None
    first_byte: int | None = None
    last_byte: int | None = None
    reason: str | None = None


class AccessRecord(AccessDetails):
    """One entry of a tenant's access log: content-free, never changed, in the order of ``sequence``.

    Attributes:
        record_id: 32 hex digits of its own, by which a writer knows it again.
        action: what happened.
        actor: the object id of whoever did it.
        purpose: the purpose as it was named, also when it was refused.
        lockbox: Customer Lockbox does not gate this path; each record says so, and an auditor need not look for one.
    """

    tenant_id: TenantId
    sequence: Annotated[int, Field(ge=1)]
    record_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    at: Instant
    action: Action
    actor: str
    purpose: str
    grant_id: str | None = None
    enrollment_id: EnrollmentId | None = None
    justification: str | None = None
    lockbox: Literal["notApplicable"] = "notApplicable"

    @property
    def id(self) -> str:
        """The item id; two writers cannot both create it, so the log has one order."""
        return f"record-{self.sequence:09d}"

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``."""
        return {"id": self.id, "kind": "record"}


def live_newest_first(grants: Sequence[ReviewGrant], now: datetime) -> list[ReviewGrant]:
    """Return those of the grants that are live at ``now``, the one approved last first."""
    live = [grant for grant in grants if grant.status(now) is GrantStatus.APPROVED]
    return sorted(live, key=lambda grant: (grant.approved_at or now, grant.sequence), reverse=True)
