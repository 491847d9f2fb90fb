"""The toggle: opting in and out, as one batch of setting and ledger event (decisions D1 and D5)."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any

from shared.abandoned import Abandoned
from shared.accounts import Accounts
from shared.clock import Clock
from shared.model import deadlines
from shared.model.ledger import (
    Administrator,
    Change,
    Enrollment,
    Event,
    OptedIn,
    OptedOut,
    Renewed,
    ReviewStopped,
    Setting,
)
from shared.model.notices import DEFAULT_LOCALE, Agreement, Notice, Notices
from shared.ports import Conflict, LedgerStore, Page, Stored
from shared.problems import (
    GeoNotServed,
    GeoPinned,
    HomeGeoUnknown,
    InvalidRequest,
    NoticeOutdated,
    NoticeRequired,
    PreconditionFailed,
    TooManyOptIns,
    Unavailable,
)
from shared.sharing.consent import setting_of
from shared.sharing.epochs import Epochs

_ATTEMPTS = 10
_PAGE = 100
_RECENT = 5


@dataclass(frozen=True, slots=True)
class RequestedChange:
    """What a tenant's administrator asks for.

    Attributes:
        enabled: whether data shall be shared.
        by: the administrator.
        geo: where; needed to opt in, without meaning to opt out.
        agreement: the notice that is agreed to; needed to opt in, without meaning to opt out.
        at_home: to opt in: where the tenant's data lies or lay last, or else at its home, and not in ``geo``.
        stop_review: to opt out: nothing of the enrollment shall be read any more.
        if_sequence: the ledger sequences of which the setting must have one (``If-Match``), or None for any.
        unless_sequence: those of which it must have none (``If-None-Match``).
    """

    enabled: bool
    by: Administrator
    geo: str | None = None
    agreement: Agreement | None = None
    _: KW_ONLY
    at_home: bool = False
    stop_review: bool = False
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
        abandoned: the accounts on account of which nobody may opt in (D20).
        epochs: changed after each change, so that instances that rely on settings for longer learn of it (D21).
        notices: what can be agreed to.
        clock: time.
        new_id: makes an enrollment id of 32 hex digits.
        new_key: makes the key of an enrollment's pseudonyms (D18).
        home_geos: the geo of each tenant that opts in by a tool that names none; ``*`` stands for all others.
    """

    ledger: LedgerStore
    accounts: Accounts
    abandoned: Abandoned
    epochs: Epochs
    notices: Notices
    clock: Clock
    new_id: Callable[[], str]
    new_key: Callable[[], str]
    home_geos: Mapping[str, str] = field(default_factory=dict)

    async def get(self, tenant_id: str) -> Setting:
        """Return a tenant's setting; that of a tenant never seen is off (P1)."""
        return setting_of(tenant_id, await self.ledger.read_setting(tenant_id))

    async def get_settled(self, tenant_id: str) -> Setting:
        """Return a tenant's setting for its administrator; that it is off only when no instance relies on the opposite.

        Whose own PUT was not answered yet, or answered with an error, looks here; and the change may be a moment old.
        """
        stored = await self.ledger.read_setting(tenant_id)
        await self._settle(stored)
        return setting_of(tenant_id, stored)

    async def history(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Event]:
        """Return a tenant's ledger, newest first.

        Args:
            tenant_id: the tenant.
            limit: how many events at most.
            before: only those with a lower sequence.
        """
        return await self.ledger.history(tenant_id, limit=limit, before=before)

    async def outdated(self, *, limit: int, after: str) -> Sequence[Setting]:
        """Return the tenants that share data and have not agreed to the notice in force, by id (P11).

        Args:
            limit: how many at most.
            after: only tenants whose id comes after this one.
        """
        current = self.notices.in_force(self.clock.now())
        return await self.ledger.agreed_to_others("" if current is None else current.version, limit=limit, after=after)

    async def last_opt_out(self, setting: Setting) -> OptedOut | None:
        """Return the event by which a tenant had opted out last when that was its setting, or None if it never had.

        What others have changed since is not what whoever was given that setting asks of.
        """
        before: int | None = setting.sequence + 1
        while before is not None:
            page = await self.ledger.history(setting.tenant_id, limit=_RECENT, before=before)
            for event in page.values:
                if isinstance(event, OptedOut):
                    return event
            before = page.next_before
        return None

    async def put(self, tenant_id: str, requested: RequestedChange) -> Setting:
        """Bring a tenant's setting to what is wished for and return it; nothing is written if it is there already.

        Returns only when no instance relies any more on a consent read from before the change (P2).

        Raises:
            UnknownGeo, GeoNotServed: if there can be no enrollment in that geo, here.
            HomeGeoUnknown: if nobody has said where that is.
            NoticeRequired, NoticeOutdated: if it is not the notice in force that is agreed to (P11).
            GeoPinned: if data sharing is on in another geo.
            PreconditionFailed: if the setting is not one that ``requested`` is for.
            Unavailable, StoreUnavailable: if nobody may opt in now.
            TooManyOptIns: if the tenant has opted in too often of late; an opt-out is always carried out (D12).
            Conflict: if others kept changing the setting meanwhile.
        """
        if requested.enabled:
            await self.abandoned.refuse()
            if not requested.at_home:
                self.accounts.check_served(_geo(requested))
        change: Change | None = None
        for _ in range(_ATTEMPTS):
            stored = await self.ledger.read_setting(tenant_id)
            setting = setting_of(tenant_id, stored)
            if change is not None and change.setting == setting:
                break  # the conflict was with our own commit, sent twice because its first answer was lost
            try:
                change = await self._change(tenant_id, stored, requested, self.clock.now())
            except (PreconditionFailed, GeoNotServed):
                await self._settle(stored)  # a refusal, too, tells that data sharing is off
                raise
            if change is None:
                # It may repeat a change whose answer was lost, committed just now and however long ago stamped.
                await self._outdate(stored)
                if not requested.enabled:
                    await self._outlast_leases()
                return setting
            try:
                await self.ledger.commit(change, None if stored is None else stored.etag)
            except Conflict:
                continue
            break
        else:
            raise Conflict
        # In this order: what is read under the new epoch has seen the commit, and whoever relies on what was read under
        # the old one looks again within a lease. If the epoch cannot be changed nothing is answered but that (D21).
        await self.epochs.change(tenant_id)
        await self._outlast_leases()
        return change.setting

    async def _change(
        self, tenant_id: str, stored: Stored[Setting] | None, requested: RequestedChange, now: datetime
    ) -> Change | None:
        """Return what brings a setting to what is wished for, or None if it is there already."""
        setting = setting_of(tenant_id, stored)
        if not requested.is_for(setting):
            raise PreconditionFailed(PreconditionFailed.CHANGED)
        if not requested.enabled:
            return _opt_out(setting, requested, now) or await self._stop_review(setting, requested, now)
        change = await self._opt_in(setting, requested, now)
        if stored is not None and change is not None and isinstance(change.event, OptedIn):
            # Read after the setting: whoever opts in meanwhile takes its ETag from under this commit.
            await self._refuse_too_many(stored, now)
        return change

    async def home(self, tenant_id: str) -> str | None:
        """Return the geo in which a tenant's data lies or lay last, or else its home; None if that is not known."""
        setting = await self.get(tenant_id)
        if setting.enrollment is not None:
            return setting.enrollment.geo
        last = await self.last_opt_out(setting)
        return self.home_geos.get(tenant_id, self.home_geos.get("*")) if last is None else last.geo

    async def _home(self, tenant_id: str) -> str:
        geo = await self.home(tenant_id)
        if geo is None:
            raise HomeGeoUnknown()
        return geo

    async def _stop_review(self, setting: Setting, requested: RequestedChange, now: datetime) -> Change | None:
        """Return what puts an end to reading the enrollment that ended last, unless that has been done."""
        ended = await self.last_opt_out(setting) if requested.stop_review else None
        if ended is None or ended.stop_review:
            return None
        if any(
            isinstance(each, ReviewStopped)
            for each in await self.ledger.events_of(ended.tenant_id, ended.enrollment_id)
        ):
            return None
        enrollment = Enrollment(**{name: getattr(ended, name) for name in Enrollment.model_fields})
        event = ReviewStopped(**_decided(setting, enrollment, requested, now))
        return Change(_after(event, since=setting.since), event)

    async def _settle(self, stored: Stored[Setting] | None) -> None:
        """Wait before an administrator is told that data sharing is off, unless it never was on (P2)."""
        if stored is not None and stored.value.enrollment is None:
            await self._outdate(stored)
            await self._outlast_leases()

    async def _outdate(self, stored: Stored[Setting] | None) -> None:
        """See to it that the epoch is one from after the setting: who committed it may have died before that."""
        if stored is not None:
            await self.epochs.outdate((stored.value.tenant_id, stored.at))

    async def _refuse_too_many(self, stored: Stored[Setting], now: datetime) -> None:
        setting = stored.value
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
            await self._settle(stored)  # before it is told how long is left
            left = (allowed_at - self.clock.now()).total_seconds()
            raise TooManyOptIns(max(1, math.ceil(left)))

    async def _outlast_leases(self) -> None:
        await self.clock.sleep(deadlines.CONSENT_LEASE_SECONDS)

    async def _opt_in(self, setting: Setting, requested: RequestedChange, now: datetime) -> Change | None:
        notice = self._agreed_to(requested.agreement, now)
        if setting.enrollment is not None:
            if requested.at_home:
                return None  # whatever was agreed to: who is shown no notice agrees to no newer one by the way
            if setting.enrollment.geo != requested.geo:
                raise GeoPinned()
            return self._renew(setting, setting.enrollment, notice, requested, now)
        enrollment_id = self.new_id()
        geo = await self._home(setting.tenant_id) if requested.at_home else _geo(requested)
        account = self.accounts.for_opt_in(geo, enrollment_id)
        enrollment = Enrollment(enrollment_id=enrollment_id, geo=geo, storage_account=account.name, started_at=now)
        event = OptedIn(**_decided(setting, enrollment, requested, now), **_agreed(notice, requested))
        return Change(_after(event, since=now, enrollment=enrollment, notice=notice, key=self.new_key()), event)

    def _renew(
        self, setting: Setting, enrollment: Enrollment, notice: Notice, requested: RequestedChange, now: datetime
    ) -> Change | None:
        if setting.notice == notice.version:
            return None
        known = None if setting.notice is None else self.notices.find(setting.notice)
        if setting.notice is not None and (known is None or known.valid_from > notice.valid_from):
            # Another instance's clock, or its version, is ahead of this one's: nobody goes back to an older text.
            raise Unavailable(Unavailable.NOTICE)
        event = Renewed(**_decided(setting, enrollment, requested, now), **_agreed(notice, requested))
        key = setting.person_key or self.new_key()  # an enrollment from before there were keys has none yet
        return Change(_after(event, since=setting.since, enrollment=enrollment, notice=notice, key=key), event)

    def _agreed_to(self, agreement: Agreement | None, now: datetime) -> Notice:
        """Return the notice in force if that is what is agreed to."""
        current = self.notices.in_force(now)
        if current is None:
            raise Unavailable(Unavailable.NO_NOTICE)
        if agreement is not None and agreement.version in {None, current.version}:
            if agreement.locale not in current.sha256:
                raise InvalidRequest(InvalidRequest.LOCALE)
            return current
        locale = DEFAULT_LOCALE if agreement is None or agreement.locale not in current.sha256 else agreement.locale
        named = None if agreement is None or agreement.version is None else self.notices.find(agreement.version)
        # One that is to come was not published to be agreed to yet; so it is like one that there is not.
        refusal = NoticeRequired if named is None or named.valid_from > now else NoticeOutdated
        raise refusal(current.version, current.sha256[locale], current.address(locale))


def _geo(requested: RequestedChange) -> str:
    if requested.geo is None:
        raise InvalidRequest(InvalidRequest.GEO_NEEDED)
    return requested.geo


def _opt_out(setting: Setting, requested: RequestedChange, now: datetime) -> Change | None:
    if setting.enrollment is None:
        return None
    event = OptedOut(
        **_decided(setting, setting.enrollment, requested, now),
        deadline=deadlines.deletion_deadline(now),
        stop_review=True if requested.stop_review else None,
    )
    return Change(_after(event, since=now), event)


def _decided(setting: Setting, enrollment: Enrollment, requested: RequestedChange, now: datetime) -> dict[str, Any]:
    """Return the members of the event by which ``requested`` changes ``setting``."""
    return {
        **dict(enrollment),
        **dict(requested.by),
        "tenant_id": setting.tenant_id,
        "sequence": setting.sequence + 1,
        "at": now,
        "previous_hash": setting.ledger_hash,
    }


def _agreed(notice: Notice, requested: RequestedChange) -> dict[str, Any]:
    assert requested.agreement is not None
    locale = requested.agreement.locale
    agreed = {"notice": notice.version, "notice_hash": notice.sha256[locale], "locale": locale}
    return agreed if requested.agreement.version is not None else {**agreed, "notice_shown": False}


def _after(
    event: Event,
    *,
    since: datetime | None,
    enrollment: Enrollment | None = None,
    notice: Notice | None = None,
    key: str | None = None,
) -> Setting:
    return Setting(
        tenant_id=event.tenant_id,
        sequence=event.sequence,
        ledger_hash=event.hash,
        enrollment=enrollment,
        since=since,
        notice=None if notice is None else notice.version,
        person_key=key,
    )
