"""A tenant's data-sharing state and the append-only ledger of how it came about (decision D1)."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.items import EnrollmentId, Instant, Item, TenantId


class Enrollment(Item):
    """The time from one opt-in to the next opt-out, pinned to one geo and one storage account."""

    enrollment_id: EnrollmentId
    geo: str
    storage_account: str
    started_at: Instant


class Setting(Item):
    """A tenant's current state. ``sequence`` is that of its last ledger event, 0 for a tenant never seen."""

    tenant_id: TenantId
    sequence: int = 0
    enrollment: Enrollment | None = None
    since: Instant | None = None

    @property
    def enabled(self) -> bool:
        """Whether data sharing is on; off by default (P1)."""
        return self.enrollment is not None


class _Event(Enrollment):
    tenant_id: TenantId
    sequence: Annotated[int, Field(ge=1)]
    at: Instant
    actor: str

    @property
    def id(self) -> str:
        """The item id; a name that sorts by sequence and that two writers cannot both create."""
        return f"event-{self.sequence:09d}"


class OptedIn(_Event):
    """An administrator switched data sharing on; a new enrollment began."""

    kind: Literal["optedIn"] = "optedIn"


class OptedOut(_Event):
    """An administrator switched data sharing off. ``deadline`` is fixed here, once; nothing moves it later (P5)."""

    kind: Literal["optedOut"] = "optedOut"
    deadline: Instant


Event = OptedIn | OptedOut
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def event_from_json(members: Any) -> Event:
    """Return the ledger event that an item of container ``tenants`` describes.

    Raises:
        pydantic.ValidationError: if it describes none.
    """
    return _EVENT.validate_python(members)


@dataclass(frozen=True, slots=True)
class Change:
    """A setting and the event that led to it: what is committed in one transactional batch."""

    setting: Setting
    event: Event
