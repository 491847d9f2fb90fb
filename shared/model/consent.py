"""What an organisation has agreed to for one enrollment, as a record that can be shown (P11, decision D15).

The members are named after ISO/IEC TS 27560, a record of consent. It is an organisation's instruction and not its
employees' consent, so it names no person as the principal: the tenant is the one who decided.
"""

from collections.abc import Sequence
from typing import Literal, Self

from shared.model.grants import Purpose
from shared.model.items import EnrollmentId, Instant, Item, Sha256, TenantId
from shared.model.ledger import Administrator, Event, OptedIn, OptedOut, Renewed

SCHEMA_VERSION = "urn:copilot-data-sharing:consent-record:1"

_PII_TYPES = ("input", "output", "feature", "capturedAt", "environmentId", "userId", "telemetry")
_WITHDRAWAL = 'PUT /tenants/{tenantId}/data-sharing with {"enabled": false}'
_STATES: dict[type[Event], Literal["given", "renewed", "withdrawn"]] = {
    OptedIn: "given",
    Renewed: "renewed",
    OptedOut: "withdrawn",
}


class ConsentEvent(Administrator):
    """One decision, as it stands on the ledger: the event's sequence there, and its hash.

    Events from before there were notices name none.
    """

    event_type: Literal["given", "renewed", "withdrawn"]
    event_time: Instant
    sequence: int
    ledger_hash: Sha256
    notice: str | None = None
    notice_hash: Sha256 | None = None
    locale: str | None = None

    @classmethod
    def told_by(cls, event: OptedIn | Renewed | OptedOut) -> Self:
        """Return what the record says of ``event``."""
        agreement = None if isinstance(event, OptedOut) else event
        return cls(
            event_type=_STATES[type(event)],
            event_time=event.at,
            sequence=event.sequence,
            ledger_hash=event.hash,
            actor=event.actor,
            channel=event.channel,
            client_id=event.client_id,
            role=event.role,
            notice=None if agreement is None else agreement.notice,
            notice_hash=None if agreement is None else agreement.notice_hash,
            locale=None if agreement is None else agreement.locale,
        )


class StorageLocation(Item):
    """Where the data of an enrollment lies."""

    geo: str
    storage_account: str


class ConsentRecord(Item):
    """All decisions on one enrollment, oldest first, and what they are about.

    ``piiController`` is who operates the service, as it is configured; absent if it is not.
    """

    schema_version: str = SCHEMA_VERSION
    record_id: str
    tenant_id: TenantId
    enrollment_id: EnrollmentId
    pii_controller: str | None = None
    purposes: tuple[str, ...] = tuple(purpose.value for purpose in Purpose)
    pii_types: tuple[str, ...] = _PII_TYPES
    storage_location: StorageLocation
    retention_period: str
    withdrawal_method: str = _WITHDRAWAL
    events: tuple[ConsentEvent, ...]

    @classmethod
    def of(cls, events: Sequence[Event], controller: str | None, retention_days: int) -> Self | None:
        """Return the record of an enrollment, or None if nobody ever opted in to it.

        Args:
            events: all events of the enrollment, oldest first.
            controller: who operates the service, or None if that is not configured.
            retention_days: how long a capture is kept.
        """
        decisions = [event for event in events if isinstance(event, OptedIn | Renewed | OptedOut)]
        if not decisions:
            return None
        last = decisions[-1]
        return cls(
            record_id=f"{last.enrollment_id}-{last.sequence}",
            tenant_id=last.tenant_id,
            enrollment_id=last.enrollment_id,
            pii_controller=controller,
            storage_location=StorageLocation(geo=last.geo, storage_account=last.storage_account),
            retention_period=f"P{retention_days}D",
            events=tuple(ConsentEvent.told_by(event) for event in decisions),
        )
