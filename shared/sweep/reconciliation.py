"""What the sweep compares: a ledger with itself, and containers with the ledger (P9). Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.accounts import Account
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.findings import LedgerFault, Trespass
from shared.model.ledger import FIRST_PREVIOUS_HASH, Event, OptedIn, OptedOut, Renewed, Setting, TenantLedger

_STANDSTILL = timedelta(hours=1)
"""For so long a process may stand still before it deletes what is of a day that cannot be, and by then perhaps can."""


@dataclass(slots=True)
class Chain:
    """A tenant's events, taken in one after another, by sequence; however many, they take no more memory.

    Each must follow the one before it, by sequence and by hash, and the setting must be what the last one says.

    Attributes:
        faults: how often they were wrong so far, in which way.
        last: the last event.
        switched: the last one that switched data sharing on or off.
        agreed: the last one that agreed to a notice.
    """

    faults: Counter[str] = field(default_factory=Counter)
    last: Event | None = None
    switched: OptedIn | OptedOut | None = None
    agreed: OptedIn | Renewed | None = None

    @property
    def sequence(self) -> int:
        """That of the last event; 0 before the first."""
        return 0 if self.last is None else self.last.sequence

    def take(self, event: Event | None) -> None:
        """Take in the next event; None is one that nobody understands."""
        if event is None:
            self.faults[LedgerFault.UNREADABLE] += 1
            return
        # Across a gap there is nothing to compare; the gap itself is reported.
        self.faults[LedgerFault.MISSING] += max(event.sequence - self.sequence - 1, 0)
        follows = event.sequence == self.sequence + 1
        hash_before = FIRST_PREVIOUS_HASH if self.last is None else self.last.hash
        if event.sequence == self.sequence or (follows and event.previous_hash != hash_before):
            self.faults[LedgerFault.CHANGED] += 1
        self.go_on_from(event)

    def go_on_from(self, event: Event) -> None:
        """Take in an event that was compared with the one before it already."""
        self.last = event
        if isinstance(event, OptedIn | OptedOut):
            self.switched = event
        if isinstance(event, OptedIn | Renewed):
            self.agreed = event

    def faults_beside(self, setting: Setting | None) -> Counter[str]:
        """Return how often the whole ledger is wrong in which way; nothing if it is whole."""
        faults = self.faults.copy()
        if setting is not None:
            faults[LedgerFault.MISSING] += max(setting.sequence - self.sequence, 0)
        faults[LedgerFault.SETTING] += int(not self._led_to(setting))
        return +faults

    def _led_to(self, setting: Setting | None) -> bool:
        """Tell whether the setting is what the last events say: that of all, and the one that switched it."""
        last, switched = self.last, self.switched
        if last is None or setting is None:
            return last is None and setting is None
        since = None if switched is None else switched.at
        if (setting.sequence, setting.ledger_hash, setting.since) != (last.sequence, last.hash, since):
            return False
        enrollment = setting.enrollment
        if not isinstance(switched, OptedIn):
            return enrollment is None and setting.notice is None
        return (
            enrollment is not None
            and dict(enrollment).items() <= dict(switched).items()
            and setting.notice == (self.agreed and self.agreed.notice)
        )


def ledger_faults(ledger: TenantLedger, deleted: Collection[str]) -> Counter[str]:
    """Return how often a tenant's ledger is wrong in which way; nothing if it is whole.

    Args:
        ledger: all that is stored of the tenant.
        deleted: the enrollments of its deletions.
    """
    chain = Chain(Counter({LedgerFault.UNREADABLE: ledger.unreadable}))
    for event in ledger.events:
        chain.take(event)
    faults = chain.faults_beside(ledger.setting)
    opted_out = {event.enrollment_id for event in ledger.events if isinstance(event, OptedOut)}
    faults[LedgerFault.WITHOUT_EVENT] = len(set(deleted) - opted_out)
    return +faults


@dataclass(slots=True)
class Enrollments:
    """What the ledger and the deletions say of the enrollments whose containers were found on a page.

    Attributes:
        events: of each enrollment one event, if the ledger has any.
        unclear: the enrollments of which the ledger says two different things, or what nobody understands.
        ended: the enrollments that were opted out.
        verified: the enrollments whose deletion has its receipt.
    """

    events: dict[str, Event] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)

    @property
    def known(self) -> bool:
        """Whether the ledger has said anything of any of them."""
        return bool(self.events or self.unclear)

    def alive_in(self, account: Account) -> set[str]:
        """Return those that are pinned to an account and were not opted out; of these the day alone is to be judged."""
        return {
            enrollment_id
            for enrollment_id, event in self.events.items()
            if account.holds(event)
            and not account.is_of_another_geo(event)
            and enrollment_id not in self.unclear | self.ended
        }

    def learn(self, enrollment_id: str, event: Event | None) -> None:
        """Take in one event of an enrollment; None is one that nobody understands."""
        if event is None:
            self.unclear.add(enrollment_id)
            return
        first = self.events.setdefault(enrollment_id, event)
        if _pinned_to(first) != _pinned_to(event):
            self.unclear.add(enrollment_id)
        if isinstance(event, OptedOut):
            self.ended.add(enrollment_id)


def _pinned_to(event: Event) -> tuple[str, str, str]:
    return event.tenant_id, event.geo, event.storage_account


@dataclass(frozen=True, slots=True)
class Intruder:
    """Containers of one enrollment that have no business in an account.

    Attributes:
        trespass: why.
        containers: which; after a receipt all that were found of the enrollment, else one.
        event: an event of the enrollment, or None if the ledger has none.
        belied: the second look of the receipt after which they were found; None if that is not known, or no reason.
    """

    trespass: Trespass
    containers: Sequence[DayContainer]
    event: Event | None
    belied: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a page's containers.

    Attributes:
        intruders: those to drive out.
        doubts: the codes of what keeps some of them from being judged.
        spared: the containers of which that is so.
    """

    intruders: Sequence[Intruder]
    doubts: Sequence[str]
    spared: Sequence[DayContainer] = ()

    @property
    def found(self) -> Sequence[DayContainer]:
        """All containers of which something is to be done, or told."""
        return [*self.spared, *(container for each in self.intruders for container in each.containers)]

    @property
    def strangers(self) -> int:
        """How many containers are of an enrollment that the ledger does not know."""
        return sum(each.trespass is Trespass.UNKNOWN_ENROLLMENT for each in self.intruders)


def judge(containers: Sequence[DayContainer], enrollments: Enrollments, account: Account, now: datetime) -> Judgement:
    """Tell which containers of a page have no business in the account in which they were found.

    Args:
        containers: what was found, in the order of their names.
        enrollments: what is known of their enrollments.
        account: where they were found.
        now: the time of the comparison.
    """
    intruders, spared = list[Intruder](), list[DayContainer]()
    came_back: defaultdict[str, list[DayContainer]] = defaultdict(list)
    doubts = ["ledger-unclear"] if enrollments.unclear else []
    for container in containers:
        enrollment_id = container.enrollment_id
        if enrollment_id in enrollments.unclear:
            spared.append(container)
            continue
        event = enrollments.events.get(enrollment_id)
        if event is not None and account.is_of_another_geo(event):
            # The container lies just where it belongs; the setting gives the account to another geo.
            doubts.append("geo-exchanged")
            spared.append(container)
            continue
        verified = enrollment_id in enrollments.verified and enrollment_id in enrollments.ended
        found = trespass(container, account, event, verified=verified, now=now)
        if found is Trespass.AFTER_RECEIPT:
            came_back[enrollment_id].append(container)
        elif found is not None:
            intruders.append(Intruder(found, [container], event))
    intruders += [
        Intruder(Trespass.AFTER_RECEIPT, returned, enrollments.events[enrollment_id])
        for enrollment_id, returned in came_back.items()
    ]
    return Judgement(intruders, list(dict.fromkeys(doubts)), spared)


def trespass(
    container: DayContainer, account: Account, event: Event | None, *, verified: bool, now: datetime
) -> Trespass | None:
    """Return why a container may not be where it is, or None if it may.

    Args:
        container: what was found.
        account: where it was found.
        event: an event of its enrollment on the ledger; None if there is none.
        verified: whether its enrollment's deletion is finished, with a receipt.
        now: the time of the comparison.
    """
    if event is None:
        return Trespass.UNKNOWN_ENROLLMENT  # P1
    if not account.holds(event):
        return Trespass.WRONG_ACCOUNT  # P3
    if verified:
        return Trespass.AFTER_RECEIPT  # P5, P6
    return day_trespass(container, account, now)


def day_trespass(container: DayContainer, account: Account, now: datetime) -> Trespass | None:
    """Return why a container may not be where it is because of its day alone (P4), or None."""
    if now >= deadlines.day_deadline(container.day, account.retention_days):
        return Trespass.PAST_DEADLINE  # P4
    if container.day > (deadlines.latest_capture(now) + _STANDSTILL).date():
        return Trespass.IMPOSSIBLE_DAY  # P4: retention would leave it lying until that day has come and gone
    return None
