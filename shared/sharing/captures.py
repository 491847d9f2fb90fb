"""How a batch of captures is stored once, in its enrollment's account (D3-D7)."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.accounts import Accounts
from shared.clock import Clock
from shared.model import deadlines
from shared.model.capture import StoredBatch, Submission
from shared.model.containers import DayContainer
from shared.model.ledger import Enrollment, Setting
from shared.ports import CaptureStore, ContainerBeingDeleted, ContainerMissing, Put
from shared.problems import (
    CapturedTooEarly,
    CapturedTooLate,
    DataSharingOff,
    IdempotencyKeyReused,
    Unavailable,
)
from shared.sharing.consent import Consent


@dataclass(frozen=True, slots=True)
class Captures:
    """Stores batches.

    Attributes:
        consent: who shares data.
        accounts: the served storage accounts.
        clock: time.
    """

    consent: Consent
    accounts: Accounts
    clock: Clock

    async def submit(self, tenant_id: str, submission: Submission) -> StoredBatch:
        """Store a batch, or recognise it as stored before.

        Raises:
            DataSharingOff: if the tenant does not share data (P1, P2).
            GeoNotServed: if its enrollment's account is none of this deployment's (P3).
            CapturedTooEarly, CapturedTooLate: if a capture is outside of what is taken now (D4).
            IdempotencyKeyReused: if the key came before with another body.
            Unavailable, StoreUnavailable: if the batch may not be stored; sending it again is safe.
        """
        enrollment = _enrollment(await self.consent.current(tenant_id))
        store = self.accounts.of(enrollment)
        instants = [capture.captured_at for capture in submission.batch.captures]
        _check_instants(instants, self.clock.now(), enrollment.started_at)
        # By its oldest capture, so that none is kept longer than its own day allows (P4).
        day = min(instants).astimezone(UTC).date()
        put = await self._put(tenant_id, store, DayContainer(enrollment.enrollment_id, day), submission)
        if put is Put.OTHER:
            raise IdempotencyKeyReused()
        return StoredBatch(
            batch_id=submission.batch_id,
            accepted=len(instants),
            enrollment_id=enrollment.enrollment_id,
            expires_at=deadlines.day_deadline(day, self.accounts.retention_days),
            created=put is Put.CREATED,
        )

    async def _put(self, tenant_id: str, store: CaptureStore, container: DayContainer, submission: Submission) -> Put:
        content = submission.content
        body_hash = hashlib.sha256(submission.body).hexdigest()
        try:
            try:
                return await store.put_batch(container.name, submission.batch_id, content, body_hash)
            except ContainerMissing:
                # The first batch of a day, or one that comes after a purge. The lease may be from before an opt-out
                # whose purge was expedited: what was purged must not be created again on its word.
                fresh = _enrollment(await self.consent.afresh(tenant_id))
                if fresh.enrollment_id != container.enrollment_id:
                    raise DataSharingOff(DataSharingOff.OFF_MEANWHILE) from None
                await store.create_container(container.name)
                return await store.put_batch(container.name, submission.batch_id, content, body_hash)
        except (ContainerMissing, ContainerBeingDeleted):
            raise Unavailable(Unavailable.CONTAINER_BEING_DELETED) from None


def _enrollment(setting: Setting) -> Enrollment:
    if setting.enrollment is None:
        raise DataSharingOff(DataSharingOff.OFF)
    return setting.enrollment


def _check_instants(instants: list[datetime], now: datetime, started_at: datetime) -> None:
    # Compared before any conversion: an instant at the edge of the calendar has no counterpart in UTC.
    if min(instants) < deadlines.earliest_capture(now, started_at):
        raise CapturedTooEarly()
    if max(instants) > deadlines.latest_capture(now):
        raise CapturedTooLate()
