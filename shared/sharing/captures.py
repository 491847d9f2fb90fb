"""How a batch of captures is stored once, in its enrollment's account (D3-D7)."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from shared.abandoned import Abandoned
from shared.accounts import Accounts
from shared.clock import Clock
from shared.model import deadlines
from shared.model.capture import StoredBatch, Submission
from shared.model.containers import DayContainer
from shared.model.items import format_instant
from shared.model.ledger import Enrollment
from shared.pairing import Pairing
from shared.ports import (
    CaptureStore,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    Permit,
    Put,
    TryAgain,
)
from shared.problems import (
    AgreementRanOut,
    CapturedTooEarly,
    CapturedTooLate,
    DataSharingOff,
    IdempotencyKeyReused,
    Unavailable,
)
from shared.sharing.consent import Consent

T = TypeVar("T")

_ATTEMPTS = 4
"""Three, and one for the first batch of a day."""

_BACKOFF_SECONDS = 1.0
_PATIENCE_SECONDS = 15.0
"""Then no further attempt is begun: the caller is told to come back, which is safe, rather than kept waiting."""


@dataclass(frozen=True, slots=True)
class Captures:
    """Stores batches.

    Attributes:
        consent: who shares data.
        accounts: the served storage accounts.
        pairing: makes a new account this deployment's before anything is stored in it.
        abandoned: the accounts on account of which nothing may be stored.
        clock: time.
    """

    consent: Consent
    accounts: Accounts
    pairing: Pairing
    abandoned: Abandoned
    clock: Clock

    async def submit(self, tenant_id: str, submission: Submission) -> StoredBatch:
        """Store a batch, or recognise it as stored before.

        Raises:
            DataSharingOff: if the tenant does not share data (P1, P2).
            AgreementRanOut: if the notice that it agreed to counts no longer (P11).
            GeoNotServed: if its enrollment's account is none of this deployment's (P3).
            CapturedTooEarly, CapturedTooLate: if a capture is outside of what is taken now (D4).
            IdempotencyKeyReused: if the key came before with another body.
            Unavailable, StoreUnavailable: if the batch may not be stored; sending it again is safe.
        """
        permit = await self.permit(tenant_id)
        enrollment = enrollment_of(permit)
        store = self.accounts.of(enrollment)
        instants = [capture.captured_at for capture in submission.batch.captures]
        too_early: CapturedTooEarly | None = None
        try:
            _check_instants(instants, self.clock.now(), enrollment.started_at)
        except CapturedTooEarly as refusal:
            # What is from before the enrollment was never stored in it, and may have no day in UTC.
            if min(instants) < enrollment.started_at:
                raise
            too_early = refusal
        # By its oldest capture, so that none is kept longer than its own day allows (P4).
        day = min(instants).astimezone(UTC).date()
        container = DayContainer(enrollment.enrollment_id, day)
        batch_id = submission.batch_id(enrollment.enrollment_id, day)
        if too_early is None:
            content, body_hash = submission.content(permit.setting.person_key), submission.body_hash

            async def attempt(permit: Permit) -> Put:
                return await store.put_batch(permit, container.name, batch_id, content, body_hash)

            put = await self.persist(permit, store, container, instants, attempt)
        else:
            # A late repeat of what was stored in time learns that all is well.
            found = await store.find_batch(container.name, batch_id, submission.body_hash)
            if found is None:
                raise too_early
            put = found
        if put is Put.OTHER:
            raise IdempotencyKeyReused()
        return StoredBatch(
            batch_id=batch_id,
            accepted=len(instants),
            enrollment_id=enrollment.enrollment_id,
            expires_at=deadlines.day_deadline(day, self.accounts.retention_days),
            created=put is Put.CREATED,
        )

    async def permit(self, tenant_id: str) -> Permit:
        """Return what a tenant's consent allows to write now.

        Raises:
            Unavailable, StoreUnavailable: if it cannot be read, or nothing may be stored at all (D20).
        """
        await self.abandoned.refuse()
        return await self.consent.current(tenant_id)

    async def persist(
        self,
        permit: Permit,
        store: CaptureStore,
        container: DayContainer,
        instants: Sequence[datetime],
        attempt: Callable[[Permit], Awaitable[T]],
    ) -> T:
        """Try until something is stored, each time on the word of a consent read that holds (D11).

        Args:
            permit: the read that is there; the next is a new one.
            store: the account.
            container: the day's container, which is created if there is none.
            instants: when the captures happened.
            attempt: stores them once, or raises what ``CaptureStore.put_batch`` raises.

        Raises:
            DataSharingOff, AgreementRanOut, CapturedTooEarly, CapturedTooLate: as ``submit``, meanwhile.
            Unavailable, StoreUnavailable: as ``submit``.
        """
        give_up_at = self.clock.monotonic() + _PATIENCE_SECONDS
        failed: TryAgain | None = None
        create = created = False
        for _ in range(_ATTEMPTS):
            try:
                if create:
                    await store.create_container(permit, container.name)
                    create, created = False, True
                return await attempt(permit)
            except ContainerBeingDeleted:
                raise Unavailable(Unavailable.CONTAINER_BEING_DELETED) from None
            except ContainerMissing:  # the first batch of a day, or one that comes after a purge
                if created:
                    raise Unavailable(Unavailable.CONTAINER_BEING_DELETED) from None
                await self.pairing.prepare(store)
                create = True
            except ConsentExpired:
                pass  # nothing was sent
            except TryAgain as error:
                failed = error
                wait = max(_backoff_seconds(container, instants), error.retry_after or 0.0)
                if self.clock.monotonic() + wait >= give_up_at:
                    break  # the caller is told how long the store has asked to wait
                await self.clock.sleep(wait)
                if self.clock.monotonic() >= give_up_at:
                    break
            try:
                permit = await self._afresh(permit.setting.tenant_id, container, instants)
            except (DataSharingOff, AgreementRanOut, CapturedTooEarly, CapturedTooLate):
                if failed is None:
                    raise
                break  # whether an attempt was carried out is unknown, and a refusal would say that none was
        raise failed or Unavailable(Unavailable.CONSENT)

    async def _afresh(self, tenant_id: str, container: DayContainer, instants: Sequence[datetime]) -> Permit:
        """Decide again, on what is so now: what was decided first may be hours old."""
        permit = await self.consent.afresh(tenant_id)
        enrollment = enrollment_of(permit)
        if enrollment.enrollment_id != container.enrollment_id:
            raise DataSharingOff(DataSharingOff.OFF_MEANWHILE)
        _check_instants(instants, self.clock.now(), enrollment.started_at)
        return permit


def _backoff_seconds(container: DayContainer, instants: Sequence[datetime]) -> float:
    """Return one to two seconds, so that not all come back at once."""
    spread = hashlib.sha256(f"{container.name}{instants[0]}".encode()).digest()
    return _BACKOFF_SECONDS * (1 + spread[0] / 0xFF)


def enrollment_of(permit: Permit) -> Enrollment:
    """Return the enrollment in which captures may be stored on the word of ``permit``.

    Raises:
        DataSharingOff: if there is none.
        AgreementRanOut: if the notice that was agreed to counts no longer.
        Unavailable: if that notice is not known here.
    """
    if permit.setting.enrollment is None:
        raise DataSharingOff(DataSharingOff.OFF)
    if permit.agreed_until is None:
        raise Unavailable(Unavailable.NOTICE)
    if permit.ran_out:
        raise AgreementRanOut()
    return permit.setting.enrollment


def _check_instants(instants: Sequence[datetime], now: datetime, started_at: datetime) -> None:
    # Compared before any conversion: an instant at the edge of the calendar has no counterpart in UTC.
    oldest, latest = now - deadlines.CAPTURE_MAX_AGE, deadlines.latest_capture(now)
    for place, at in enumerate(instants):
        if at < started_at:
            raise CapturedTooEarly.before_opt_in(place, format_instant(started_at))
        if at < oldest:
            raise CapturedTooEarly.too_old(place, format_instant(oldest))
        if at > latest:
            raise CapturedTooLate.ahead(place, format_instant(latest))
