"""The toggle: opting in and out, as one batch of setting and ledger event (decisions D1 and D5)."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from shared.accounts import Account, Accounts
from shared.clock import Clock
from shared.model import deadlines
from shared.model.ledger import Change, Enrollment, Event, OptedIn, OptedOut, Setting
from shared.ports import Conflict, LedgerStore, Page
from shared.problems import GeoPinned, InvalidRequest, PreconditionFailed, TooManyOptIns

_ATTEMPTS = 10
_PAGE = 100
_RECENT = 5


@dataclass(frozen=True, slots=True)
class RequestedChange:
    """What a tenant's administrator asks for.

    Attributes:
        enabled: whether data shall be shared.
        geo: where; needed to opt in, without meaning to opt out.
        actor: the administrator's object id.
        if_sequence: the ledger sequences of which the setting must have one (``If-Match``), or None for any.
        unless_sequence: those of which it must have none (``If-None-Match``).
    """

    enabled: bool
    geo: str | None
    actor: str
    if_sequence: Collection[int] | None = None
    unless_sequence: Collection[int] = ()

    def is_for(self, setting: Setting) -> bool:
        """Tell whether the setting is one that shall be changed."""
        wanted = self.if_sequence is None or setting.sequence in self.if_sequence
        return wanted and setting.sequence not in self.unless_sequence


@dataclass(frozen=True, slots=True)
class DataSharing:
    """Reads and changes the tenants' settings.

    Attributes:
        ledger: where they are kept.
        accounts: the served storage accounts.
        clock: time.
        new_id: makes an enrollment id of 32 hex digits.
    """

    ledger: LedgerStore
    accounts: Accounts
    clock: Clock
    new_id: Callable[[], str]

    async def get(self, tenant_id: str) -> Setting:
        """Return a tenant's setting; that of a tenant never seen is off (P1)."""
        stored = await self.ledger.read_setting(tenant_id)
        return Setting(tenant_id=tenant_id) if stored is None else stored.value

    async def get_settled(self, tenant_id: str) -> Setting:
        """Return a tenant's setting for its administrator; that it is off only when no instance relies on the opposite.

        Whose own PUT was not answered yet, or answered with an error, looks here; and the change may be a moment old.
        """
        setting = await self.get(tenant_id)
        await self._settle(setting)
        return setting

    async def history(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Event]:
        """Return a tenant's ledger, newest first.

        Args:
            tenant_id: the tenant.
            limit: how many events at most.
            before: only those with a lower sequence.
        """
        return await self.ledger.history(tenant_id, limit=limit, before=before)

    async def last_opt_out(self, tenant_id: str) -> OptedOut | None:
        """Return the event by which a tenant opted out last, or None if it never has."""
        before: int | None = None
        while True:
            page = await self.ledger.history(tenant_id, limit=_RECENT, before=before)
            for event in page.values:
                if isinstance(event, OptedOut):
                    return event
            before = page.next_before
            if before is None:
                return None

    async def put(self, tenant_id: str, requested: RequestedChange) -> Setting:
        """Bring a tenant's setting to what is wished for and return it; nothing is written if it is there already.

        Returns only when no instance relies any more on a consent read from before the change (P2).

        Raises:
            UnknownGeo, GeoNotServed: if there can be no enrollment in that geo, here.
            GeoPinned: if data sharing is on in another geo.
            PreconditionFailed: if the setting is not one that ``requested`` is for.
            TooManyOptIns: if the tenant has opted in too often of late; an opt-out is always carried out (D12).
            Conflict: if others kept changing the setting meanwhile.
        """
        account = self._account_for(requested) if requested.enabled else None
        change: Change | None = None
        for _ in range(_ATTEMPTS):
            stored = await self.ledger.read_setting(tenant_id)
            setting = Setting(tenant_id=tenant_id) if stored is None else stored.value
            if change is not None and change.setting == setting:
                break  # the conflict was with our own commit, sent twice because its first answer was lost
            if not requested.is_for(setting):
                await self._settle(setting)
                raise PreconditionFailed(PreconditionFailed.CHANGED)
            now = self.clock.now()
            if account is None:
                change = _opt_out(setting, requested, now)
            else:
                change = self._opt_in(setting, account, requested, now)
            if change is None:
                if not requested.enabled:
                    # It may repeat an opt-out whose answer was lost, committed just now and however long ago stamped.
                    await self._outlast_leases()
                return setting
            if isinstance(change.event, OptedIn):
                # Read after the setting: whoever opts in meanwhile takes its ETag from under this commit.
                await self._refuse_too_many(setting, now)
            try:
                await self.ledger.commit(change, None if stored is None else stored.etag)
            except Conflict:
                continue
            break
        else:
            raise Conflict
        await self._outlast_leases()
        return change.setting

    async def _settle(self, setting: Setting) -> None:
        """Wait before an administrator is told that data sharing is off, unless it never was on (P2)."""
        if setting.enrollment is None and setting.sequence > 0:
            await self._outlast_leases()

    async def _refuse_too_many(self, setting: Setting, now: datetime) -> None:
        (fewest, _), (most, longest) = deadlines.OPT_INS_MAX
        if setting.sequence < fewest:
            return  # so few events hold no more opt-ins than that, and need not be read
        opted_in_at: list[datetime] = []
        before: int | None = setting.sequence + 1
        while before is not None:
            page = await self.ledger.history(setting.tenant_id, limit=_PAGE, before=before)
            opted_in_at += [event.at for event in page.values if isinstance(event, OptedIn)]
            enough = len(opted_in_at) > most or any(event.at <= now - longest for event in page.values)
            before = None if enough else page.next_before
        allowed_at = deadlines.next_opt_in(opted_in_at, now)
        if allowed_at is not None:
            await self._settle(setting)  # a refusal, too, tells that data sharing is off
            left = (allowed_at - self.clock.now()).total_seconds()
            raise TooManyOptIns(max(1, math.ceil(left)))

    async def _outlast_leases(self) -> None:
        await self.clock.sleep(deadlines.CONSENT_LEASE_SECONDS)

    def _account_for(self, requested: RequestedChange) -> Account:
        if requested.geo is None:
            raise InvalidRequest(InvalidRequest.GEO_NEEDED)
        return self.accounts.for_opt_in(requested.geo)

    def _opt_in(self, setting: Setting, account: Account, requested: RequestedChange, now: datetime) -> Change | None:
        assert requested.geo is not None
        if setting.enrollment is not None:
            if setting.enrollment.geo != requested.geo:
                raise GeoPinned()
            return None
        enrollment = Enrollment(
            enrollment_id=self.new_id(), geo=requested.geo, storage_account=account.name, started_at=now
        )
        event = OptedIn(
            **dict(enrollment),
            tenant_id=setting.tenant_id,
            sequence=setting.sequence + 1,
            at=now,
            actor=requested.actor,
            previous_hash=setting.ledger_hash,
        )
        return Change(_after(event, enrollment), event)


def _opt_out(setting: Setting, requested: RequestedChange, now: datetime) -> Change | None:
    if setting.enrollment is None:
        return None
    event = OptedOut(
        **dict(setting.enrollment),
        tenant_id=setting.tenant_id,
        sequence=setting.sequence + 1,
        at=now,
        actor=requested.actor,
        previous_hash=setting.ledger_hash,
        deadline=deadlines.deletion_deadline(now),
    )
    return Change(_after(event, None), event)


def _after(event: Event, enrollment: Enrollment | None) -> Setting:
    return Setting(
        tenant_id=event.tenant_id,
        sequence=event.sequence,
        ledger_hash=event.hash,
        enrollment=enrollment,
        since=event.at,
    )
