"""A tenant's data-sharing state and the append-only, hash-chained ledger of how it came about (decision D1)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.model.items import EnrollmentId, Instant, Item, PlaceName, Sha256, TenantId

SETTING_ID = "setting"
"""The id of each tenant's setting; the tenant is the partition."""

FIRST_PREVIOUS_HASH = "0" * 64
"""What a tenant's first event has for the hash of the one before."""


Channel = Literal["api", "portal", "tenant-settings"]
"""The way by which a decision came: a caller of the API, our pages, or an admin tool that exists (D16)."""


class Enrollment(Item):
    """The time from one opt-in to the next opt-out, pinned to one geo and one storage account."""

    enrollment_id: EnrollmentId
    geo: PlaceName
    storage_account: PlaceName
    started_at: Instant


class Setting(Item):
    """A tenant's current state.

    ``sequence`` and ``ledger_hash`` are those of its last ledger event, so that a ledger cut short shows. ``since`` is
    when data sharing was last switched on or off. ``notice`` is the version of the text that the enrollment's last
    agreement is to; None while sharing is off, and for an enrollment from before there were notices (P11).
    ``person_key`` is what the enrollment's pseudonyms are made with: it stands here and nowhere else, and goes with the
    opt-out (D18).
    """

    tenant_id: TenantId
    sequence: int = 0
    ledger_hash: Sha256 = FIRST_PREVIOUS_HASH
    enrollment: Enrollment | None = None
    since: Instant | None = None
    notice: str | None = None
    person_key: str | None = Field(default=None, repr=False)

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``."""
        return {"id": SETTING_ID}

    @property
    def enabled(self) -> bool:
        """Whether data sharing is on; off by default (P1)."""
        return self.enrollment is not None


class _Event(Enrollment):
    tenant_id: TenantId
    sequence: Annotated[int, Field(ge=1)]
    at: Instant
    previous_hash: Sha256

    @property
    def id(self) -> str:
        """The item id; a name that sorts by sequence and that two writers cannot both create."""
        return f"event-{self.sequence:09d}"

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``. Its kind is a member, for the hash covers it."""
        return {"id": self.id}

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of the event's JSON with its members sorted and without white space.

        The hash of the event before is among them: whoever changes one event must change all that follow, the setting,
        and the signed receipts. So whoever changes the last one need change little: see docs/security.md.
        """
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Administrator(Item):
    """Who decided for a tenant, and on what the right to rested (P11).

    ``actor`` is the person's object id. ``channel`` is the way by which the decision came, ``client_id`` the app that
    was used, and ``role`` the directory role by its template id; events from before these were recorded have none.
    """

    actor: str
    channel: Channel | None = None
    client_id: str | None = None
    role: str | None = None


class OptedIn(_Event, Administrator):
    """An administrator switched data sharing on; a new enrollment began.

    It agrees to a version of the notice, in the language ``locale``; ``notice_hash`` is the SHA-256 of that text. Only
    events from before there were notices have none. ``notice_shown`` is false if the way by which it came shows none.
    """

    kind: Literal["optedIn"] = "optedIn"
    notice: str | None = None
    notice_hash: Sha256 | None = None
    locale: str | None = None
    notice_shown: Literal[False] | None = None


class Renewed(_Event, Administrator):
    """An administrator agreed to another version of the notice while data sharing was on: the enrollment goes on."""

    kind: Literal["renewed"] = "renewed"
    notice: str
    notice_hash: Sha256
    locale: str


class OptedOut(_Event, Administrator):
    """An administrator switched data sharing off. ``deadline`` is fixed here, once; nothing moves it later (P5).

    With ``stop_review`` nothing of the enrollment is read any more, whatever has been granted.
    """

    kind: Literal["optedOut"] = "optedOut"
    deadline: Instant
    stop_review: Literal[True] | None = None


class ReviewStopped(_Event, Administrator):
    """After an opt-out without ``stop_review`` an administrator wished for it all the same."""

    kind: Literal["reviewStopped"] = "reviewStopped"


class Reappeared(_Event):
    """The sweep found data of an ended enrollment that had a receipt, for instance out of a restored account (P6).

    It is told here before anything is deleted, and is no change of the tenant's state. ``proved_at`` is the second look
    of the receipt that it belies.
    """

    kind: Literal["reappeared"] = "reappeared"
    containers_found: Annotated[int, Field(ge=1)]
    proved_at: Instant


Event = OptedIn | Renewed | OptedOut | ReviewStopped | Reappeared
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def event_from_json(members: Any) -> Event:
    """Return the ledger event that an item of container ``tenants`` describes.

    Raises:
        pydantic.ValidationError: if it describes none.
    """
    return _EVENT.validate_python(members, by_alias=True, by_name=False)


@dataclass(frozen=True, slots=True)
class TenantLedger:
    """What is stored of a tenant: its setting, its events by sequence, and how many items nobody understands.

    ``whole`` if that is all; else it is only a part, and says nothing of the rest.
    """

    tenant_id: str
    setting: Setting | None
    events: Sequence[Event]
    unreadable: int = 0
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A setting and the event that led to it: what is committed in one transactional batch."""

    setting: Setting
    event: Event
