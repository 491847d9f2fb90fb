"""What must be true, told from the clients' side and from what lies in storage; shares no code with the service.

It keeps a model of its own out of the requests that clients sent, the answers they were given, and the raw dictionaries
of the fakes, which it compares after every change with what it saw before. Nothing stored changes but in a call, so
what is checked at every change and at every deadline is checked at every minute.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.simulation.retention import Retention

DAY = 86400.0
SKEW = 60.0
DATABASE_SKEW = 600.0
"""How far the clock of the database may be off."""

"""Seconds that two stamps of two instances may be apart."""
SIGNED = 60.0
"""Seconds after which storage refuses an upload, counted from the consent read that it rests on."""
LEASED = 2.01
"""Seconds for which an instance may rely on consent; clocks run a little fast or slow."""
UNANSWERED = 61.0
"""Seconds after which an opt-out has effect that was committed and never answered; clocks run a little fast or slow."""
AHEAD = 300.0
"""Seconds by which what is captured may be ahead of the time at which it is taken; a day is by how much behind."""
LATE_LANDING = 20.0
"""Seconds after which a write of a request that has ended may still land."""

JOB_MAX = 4 * 3600.0
"""Seconds that may pass between what a job has seen and what it writes: long calls, and pauses of its machine."""

_LOOKS = ("firstLookAt", "secondLookAt")

_NAME = re.compile(r"([0-9a-f])-(\d\d\d\d)(\d\d)(\d\d)-([0-9a-f]{32})")


class Violation(Exception):
    """A promise that was not kept."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.what = what


@dataclass(eq=False, slots=True)
class Toggle:
    """A PUT as the client knows it; times in seconds of true time. After ``ended`` nothing of it can happen."""

    tenant: str
    on: bool
    geo: str | None
    started: float
    ended: float = float("inf")
    answered: float | None = None
    stop: bool = False


@dataclass(eq=False, slots=True)
class Sent:
    """A POST of captures as the client knows it; ``instants`` are the captures' times in seconds of true time."""

    tenant: str
    key: str
    tag: str
    instants: tuple[float, ...]
    started: float
    ended: float = float("inf")
    stored: bool = False


@dataclass(eq=False, slots=True)
class Term:
    """An enrollment as the ledger tells of it."""

    tenant: str
    id: str
    geo: str
    account: str
    began: float
    opted_in_at: datetime
    asked: float
    ended: float | None = None
    opted_out_at: datetime | None = None
    stopped: float | None = None
    fed: float | None = None
    scheduled: float | None = None
    expedited: float | None = None
    purged: float | None = None
    emptied: float | None = None
    verified: float | None = None
    ledger_hash: str = ""
    sequence: int = 0
    reappeared: list[Any] = field(default_factory=list)
    proofs: list[datetime] = field(default_factory=list)
    emptied_at: list[float] = field(default_factory=list)
    strays: list[tuple[str, str]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Planted:
    """A container that the simulation put there by hand."""

    kind: str
    account: str
    name: str
    at: float
    enrollment: str
    sweeps: int = 0
    gone: float | None = None
    reappeared: int = 0


@dataclass(eq=False, slots=True)
class Edited:
    """A deletion that somebody changed past the service; ``back`` is whether it has to come to what it was."""

    kind: str
    before: Any
    after: Any
    back: bool


@dataclass(frozen=True, slots=True)
class Name:
    """What a container's name says, read by the oracle itself."""

    enrollment: str
    day: date

    @classmethod
    def read(cls, name: str) -> "Name | None":
        match = _NAME.fullmatch(name)
        if match is None or match[1] != match[5][0]:
            return None
        try:
            day = date(int(match[2]), int(match[3]), int(match[4]))
        except ValueError:
            return None
        return cls(match[5], day) if day.year > 2000 else None


class Oracle:
    """Watches one history and raises, at the moment itself, what is wrong. The first violation is kept."""

    _OPT_INS = ((10, 3600.0), (30, DAY))

    def __init__(
        self,
        base: datetime,
        retention_days: int,
        accounts: Mapping[str, str],
        captures: Mapping[str, Any],
        ledger: Any,
        deletions: Any,
        time: Callable[[], float],
        call_at: Callable[..., Any],
    ) -> None:
        self.base = base
        self.retention = Retention(retention_days, time)
        self.deployment = ""
        self.agreements: Any  # an Agreements, which asks this one for the time
        self.spans: Any  # a Spans, likewise
        self.beside: Any  # a Beside, likewise
        self.accounts = accounts  # each with its geo
        self._closed: list[tuple[frozenset[str], float]] = [(frozenset(), float("inf"))]
        """The accounts that instances know to be closed, and until when the last of them lives."""
        self.violation: Violation | None = None
        self.checks = 0
        self.waived: set[str] = set()
        self.nothing_owed = False
        self.terms: dict[str, Term] = {}
        self.planted: list[Planted] = []
        self.accepted: dict[str, int] = {}
        self.placed: dict[tuple[str, str], str] = {}
        self._captures = captures
        self._ledger = ledger
        self._deletions = deletions
        self._time = time
        self._call_at = call_at
        self._toggles: dict[str, list[Toggle]] = {}
        self._told: dict[str, list[Toggle]] = {}
        self._sent: dict[str, list[Sent]] = {}
        self._states: dict[str, list[tuple[float, str | None]]] = {}
        self._events: dict[str, int] = {}
        self._stored: dict[str, dict[str, dict[str, str]]] = {account: {} for account in captures}
        self._contents: dict[str, dict[tuple[str, str], bytes]] = {account: {} for account in captures}
        self._removed: dict[str, float] = {}
        self._hashes: dict[str, str] = {}
        self._edited: dict[tuple[str, str], Edited] = {}
        self.forged: set[tuple[str, str]] = set()
        """The deletions that somebody made for enrollments that are live; nothing may be deleted for them."""
        self._belied: set[tuple[str, str]] = set()
        self._sooner: dict[tuple[str, str], datetime] = {}
        self._known: dict[tuple[str, str], Any] = {}
        self._looks: dict[tuple[str, str, Any], float] = {}

    # What clients do

    def toggle_sent(self, tenant: str, on: bool, geo: str | None, *, stop: bool = False) -> Toggle:
        """A PUT begins; with ``stop`` nobody shall read any more what was shared."""
        toggle = Toggle(tenant, on, geo, self._time(), stop=stop)
        self._toggles.setdefault(tenant, []).append(toggle)
        return toggle

    def toggle_answered(self, toggle: Toggle, geo: str | None) -> None:
        """A 200: the setting was what was asked for at some moment of the request."""
        now = toggle.answered = toggle.ended = self._time()
        states = self._states.get(toggle.tenant, [])
        for n, (since, state) in enumerate(states):
            until = states[n + 1][0] if n + 1 < len(states) else now
            if since <= now and until >= toggle.started and state == (toggle.geo if toggle.on else None):
                break
        else:
            if toggle.on or states:
                self.fail("P9", f"a toggle to {toggle.geo or 'off'} was answered and never happened")
        if toggle.stop:
            self._stop_answered(toggle)
        if geo != toggle.geo:
            self.fail("P3", f"a toggle to {toggle.geo or 'off'} was answered with {geo or 'off'}")

    def _stop_answered(self, toggle: Toggle) -> None:
        """What had ended last when it was asked for, or has ended since, is read by nobody any more."""
        self.notice(None)
        mine = [term for term in self.terms.values() if term.tenant == toggle.tenant]
        before = [term for term in mine if term.ended is not None and term.ended < toggle.started]
        since = [term for term in mine if term.ended is not None and term.ended >= toggle.started]
        if not before and not any(term.began < toggle.started for term in since):
            return  # perhaps there was nothing yet
        # Of two that ended in one instant the later one is the last.
        meant = [*since, *sorted(before, key=lambda term: term.ended or 0.0)[-1:]]
        if all(term.stopped is None for term in meant):
            self.fail("P7", "an end to reading was answered, and the ledger says nothing of it")

    def told_off(self, tenant: str, started: float) -> None:
        """An administrator who asked at ``started`` is shown that sharing is off, after it was on once."""
        now = self._time()
        self._told.setdefault(tenant, []).append(Toggle(tenant, False, None, started, now, now))

    def toggle_failed(self, toggle: Toggle, until: float | None = None) -> None:
        """No answer, or a refusal; until ``until`` it may still take effect."""
        toggle.ended = max(self._time(), until or 0.0)

    def toggle_refused(self, toggle: Toggle, *, limited: bool) -> None:
        """A 4xx; ``limited`` if it said that the tenant opted in too often."""
        if not toggle.on:
            self.fail("P2", "an opt-out was refused")
        elif limited:
            mine = [self._seconds(term.opted_in_at) for term in self.terms.values() if term.tenant == toggle.tenant]
            now = self._time()
            for most, within in self._OPT_INS:
                if sum(at > toggle.started - within - SKEW for at in mine if at <= now + SKEW) >= most:
                    return
            self.fail("P9", f"an opt-in was refused as one too many, after {len(mine)}")

    def captures_sent(self, tenant: str, key: str, tag: str, instants: tuple[float, ...]) -> Sent:
        sent = Sent(tenant, key, tag, instants, self._time())
        self._sent.setdefault(tag, []).append(sent)
        return sent

    def begun(self, sent: Any, container: str) -> None:
        """An instance begins to write to storage what a client sent, by its own lights on a consent that holds."""
        self.checks += 1
        read = Name.read(container)
        term = self.terms.get(read.enrollment) if read is not None else None
        # An export is of several tenants, but what is written is one's.
        tenant = sent.tenant if isinstance(sent, Sent) else term.tenant if term is not None else ""
        since = None if sent is None else self._withdrawn_since(tenant, self._time())
        if since is not None:
            self.fail("P2", f"a write was begun on a consent that ended; opted out, answered {self.at(since)}")
        if sent is None or term is None:
            return
        if self._gone_for(term) > UNANSWERED:
            self.fail("P2", f"a write was begun {self._gone_for(term):.0f} s after an opt-out that nobody answered")
        if term.fed is not None and self._time() - term.fed > LEASED:
            self.fail("P2", f"a write was begun {self._time() - term.fed:.1f} s after the feed had taken the opt-out")

    def captures_accepted(self, sent: Sent, enrollment: str, batch: str) -> None:
        """A 201 or 200."""
        sent.ended = self._time()
        self.notice(None)
        self.accepted[sent.tag] = self.accepted.get(sent.tag, 0) + 1
        since = self._withdrawn_since(sent.tenant, sent.started)
        if since is not None:
            self.fail(
                "P2", f"captures sent at {self.at(sent.started)} were accepted; opted out, answered {self.at(since)}"
            )
        term = self.terms.get(enrollment)
        if term is None or term.tenant != sent.tenant:
            self.fail("P1", "captures were accepted for an enrollment that the tenant has not")
            return
        name = self._container(enrollment, sent)
        batches = self._stored[term.account].get(name, {})
        if batches.get(batch) == sent.tag:
            return
        if batches.get(batch) is not None:
            self.fail("D6", "captures were accepted as a repeat of others with the same key")
        elif self._removed.get(f"{name}/{batch}", -1.0) < sent.started:
            self.fail("P9", f"captures were accepted and are not in {name}")

    def captures_refused(self, sent: Sent, *, ran_out: bool) -> None:
        """A 4xx; ``ran_out`` if it said that what the tenant agreed to counts no longer."""
        sent.ended = self._time()
        if ran_out:
            self.agreements.refused(sent.tenant, sent.ended)
        if sent.stored:
            self.fail("D6", "captures were stored and refused")

    def captures_failed(self, sent: Sent, until: float | None = None) -> None:
        """A 5xx, or no answer; until ``until`` they may still be stored."""
        sent.ended = max(self._time(), until or 0.0)

    def fed(self, enrollment: str) -> None:
        """The change feed's handler has taken an opt-out, and said so."""
        term = self.terms[enrollment]
        term.fed = self._time() if term.fed is None else term.fed

    def expedite_sent(self, enrollment: str) -> None:
        term = self.terms[enrollment]
        term.expedited = self._time() if term.expedited is None else term.expedited

    def plant(self, kind: str, account: str, name: str, enrollment: str) -> None:
        """The simulation puts a container there by hand."""
        key = (enrollment and self._known_of(enrollment)) or None
        # Beside what has come back already, and is being dealt with, it is nothing new to tell.
        told = self.terms[enrollment].reappeared if key is not None and key.status == "verified" else None
        belied = told and told[-1].proved_at == key.receipt.second_look_at  # by a sweep that died before it got further
        entries = -1 if told is None or belied else len(told)
        self.planted.append(Planted(kind, account, name, self._time(), enrollment, reappeared=entries))
        self._captures[account].containers[name] = {"by-hand": (b"", "")}
        self.notice(None)

    def edit(self, kind: str, key: tuple[str, str], after: Any, *, back: bool) -> None:
        """Somebody writes to a deletion past the service."""
        deadline = self._known[key].deadline
        self._edited[key] = Edited(kind, self._known[key], after, back)
        for each in self.planted:
            if each.enrollment == key[1]:
                each.reappeared = -1  # without its receipt there is none that it belies
        self._known[key] = after
        if kind == "earlier deadline":
            self._sooner[key] = after.deadline
        elif after.deadline != deadline:
            self._sooner.pop(key, None)  # that it was due sooner stood nowhere else

    def looked_into(self, tenant: str, looks: int) -> None:
        """So many runs have come by since all of a tenant's deletions could begin, and its turn was in each of them."""
        self.notice(None)
        for (each, _), deletion in self._known.items():
            if each == tenant and deletion.status != "verified" and deletion.attempts < looks:
                self.fail("P5", f"beside a flood a deletion was looked into {deletion.attempts} times, not {looks}")

    def overtaken(self) -> None:
        """A purge has come round: what it has emptied again or proved is no longer as it was edited."""
        self.notice(None)
        for key, each in list(self._edited.items()):
            told_anew = each.kind == "told at another time" and self._known[key].purged_at != each.after.purged_at
            # The receipt says when it was owed, so nothing of it is left.
            proved = each.kind == "earlier deadline" and self._known[key].status == "verified"
            if told_anew or proved:
                del self._edited[key]
        self._belied = {key for key in self._edited if self._lie_there(self.terms[key[1]])}

    def _lie_there(self, term: Term) -> bool:
        return any(term.id in name for name in self._captures[term.account].containers)

    def check_edits(self, found: int, found_after_receipt: int) -> list[tuple[str, str]]:
        """A sweep has come round: each edit was found, and mended, or left for people to judge; return which.

        Args:
            found: how many deletions or receipts the sweep of the ledger found wrong.
            found_after_receipt: how many containers those of the accounts found that a receipt denies.
        """
        self.notice(None)
        left = list[tuple[str, str]]()
        kinds = sorted(each.kind for key, each in self._edited.items() if not self._without_its_receipt(key, each))
        # By whichever sweep came first; both may tell of it.
        denied = sum(each.kind == "unknown key, plausible" for key, each in self._edited.items() if key in self._belied)
        if found + min(found_after_receipt, denied) < len(kinds):
            self.fail("P6", f"{len(kinds)} deletions by hand ({', '.join(kinds)}), {found} findings")
        for key, each in self._edited.items():
            now = self._known[key]
            # A purge may have got further with it; or data came back too, and all of it is done again.
            reopened = now.status != "verified" and bool(self.terms[key[1]].reappeared)
            unfinished = each.before.status != "verified" or reopened
            if each.kind == "earlier deadline":
                if now.status != "verified" and now.deadline != each.after.deadline:
                    self.fail("P5", "a repair moved a deadline later")
                continue
            if each.kind == "unknown key, plausible" and key not in self._belied:
                if now != each.after:
                    self.fail("P6", f"a deletion by hand ({each.kind}) was not left for people to judge")
                left.append(key)
                continue
            owed = self.terms[key[1]].opted_out_at + timedelta(days=30)
            same = now.deadline == owed if unfinished else _told(now) == _told(each.before)
            if each.back and not same:
                self.fail("P6", f"a deletion by hand ({each.kind}) was not set back to what it was")
            # That it was due sooner, by an earlier edit, stands nowhere else.
            due = min(owed, each.after.deadline)
            if not each.back and (now.status, now.deadline) != ("scheduled", due):
                self.fail("P6", f"a deletion by hand ({each.kind}) was not begun again")
        self._edited.clear()
        return left

    def _without_its_receipt(self, key: tuple[str, str], edited: Edited) -> bool:
        """Tell whether data came back too, and the receipt that was changed went before anybody compared it."""
        reopened = self._known[key].status != "verified" and bool(self.terms[key[1]].reappeared)
        return reopened and edited.kind in {"altered receipt", "older receipt"}

    def swept(self, clean: bool) -> None:
        """A sweep has come round; what was planted before may have survived two, not three."""
        for each in self.planted:
            known = self._known_of(each.enrollment) if each.kind == "after receipt" else None
            if known is None or known.status == "verified":  # else the purge is at it
                each.sweeps += clean
            if each.gone is not None or each.kind == "foreign":
                continue
            if each.sweeps >= 3:
                self.fail("P9", f"a container by hand ({each.kind}) survived {each.sweeps} sweeps")

    def check_round(self, account: str, counts: Mapping[str, int], names: set[str], planted: int) -> None:
        """A round of the sweep of an account is over in which nobody else did anything: it saw each name, and once.

        Args:
            account: the account.
            counts: what the round says that it came to.
            names: what lay in the account when it began, but for the container that says whose it is.
            planted: how many containers had been put anywhere by hand before.
        """
        self.notice(None)
        for each in self.planted[planted:]:
            if each.account == account and each.kind != "foreign" and each.gone is None:
                self.fail("P9", f"a container by hand ({each.kind}) survived a whole round of the sweep: {each.name}")
        foreign = sum(Name.read(each) is None for each in names)
        there = len(names), foreign
        said = counts.get("containers", 0), counts.get("foreignContainers", 0)
        if said != there:
            self.fail("P9", f"a round counts {said} containers and foreign ones, and there were {there}")

    def owes(self, account: str) -> bool:
        """Tell whether anything is shared in an account, or has to be deleted there."""
        self.notice(None)
        mine = [term for term in self.terms.values() if term.account == account]
        return any(term.ended is None or not self._finished(term) for term in mine)

    def check_left_out(self, account: str, before: tuple[int, int], promises: Mapping[str, bool]) -> None:
        """All instances have left an account out that is not empty: meanwhile nobody has shared anything.

        Args:
            account: the account.
            before: how many enrollments and accepted batches there were before.
            promises: what the status said; nothing if it was not answered.
        """
        if (len(self.terms), sum(self.accepted.values())) != before:
            self.fail("P4", f"somebody shared something while {account}, which is not empty, was left out")
        if any(promises.get(promise) for promise in ("P4", "P5", "P9")):
            self.fail("P9", f"the status says that all is well while {account}, which is not empty, is left out")

    def check_spared(self, planted: list[Planted]) -> None:
        """A round of the sweep of an account is over whose ledger does not know most of it: nothing was deleted."""
        self.notice(None)
        gone = sum(each.gone is not None for each in planted)
        if gone:
            self.fail("P9", f"{gone} containers were deleted on the word of a ledger that does not know most of them")

    # What is seen in storage

    def looked(self, account: str, prefix: str, work: Any) -> None:
        """A listing of the account began, for a run of a job, that shows what soft delete keeps."""
        self._looks[account, prefix, work] = self._time()

    def notice(self, work: Any) -> None:
        """Compare all that is stored with what was, and check each difference."""
        if self.violation is not None:
            return
        self.checks += 1
        for tenant, events in self._ledger.events.items():
            for event in events[self._events.get(tenant, 0) :]:
                self._event(tenant, event)
            self._events[tenant] = len(events)
            self._setting(tenant, events)
        for account, store in self._captures.items():
            self._compare(account, store, work)
        for key, stored in self._deletions.items.items():
            if key not in self.forged and self._known.get(key) is not stored.value:
                self._deletion(key, stored.value, work)
        if len(self._known) != len(self._deletions.items.keys() - self.forged):
            self.fail("P5", "a deletion has vanished")

    def _event(self, tenant: str, event: Any) -> None:
        now = self._time()
        expected = self._events.get(tenant, 0) + 1
        states = self._states.setdefault(tenant, [(0.0, None)])
        if event.kind == "optedIn":
            asked = [t for t in self._toggles.get(tenant, []) if t.on and t.geo == event.geo and t.ended >= now]
            if not asked:
                self.fail("P1", f"an opt-in to {event.geo} that nobody asked for")
                return
            if event.enrollment_id in self.terms:
                self.fail("P5", "an enrollment began twice")
            if states[-1][1] is not None:
                self.fail("P9", "an opt-in while data was shared")
            self._placed(event, min(t.started for t in asked))
            states.append((now, event.geo))
            mine = [term.opted_in_at for term in self.terms.values() if term.tenant == tenant]
            for most, within in self._OPT_INS:
                since = event.at - timedelta(seconds=within)
                if sum(since < at <= event.at + timedelta(seconds=SKEW) for at in mine) >= most:
                    self.fail("P9", f"more than {most} opt-ins of one tenant within {within / 3600:.0f} h")
            self.terms[event.enrollment_id] = Term(
                tenant,
                event.enrollment_id,
                event.geo,
                event.storage_account,
                now,
                event.at,
                min(t.started for t in asked),
            )
            self.agreements.event(tenant, event)
        elif event.kind == "renewed":
            term = self.terms.get(event.enrollment_id)
            asked = [t for t in self._toggles.get(tenant, []) if t.on and t.geo == event.geo and t.ended >= now]
            if term is None or term.ended is not None or not asked:
                self.fail("P11", "an agreement for nothing that is on, or that nobody asked for")
                return
            if (event.geo, event.storage_account) != (term.geo, term.account):
                self.fail("P3", "an agreement was renewed in another account than its enrollment's")
            self.agreements.event(tenant, event)
        elif event.kind == "reappeared":
            self._reappeared(tenant, event)
        elif event.kind == "reviewStopped":
            term = self.terms.get(event.enrollment_id)
            asked = [t for t in self._toggles.get(tenant, []) if t.stop and t.ended >= now]
            if term is None or term.ended is None or term.stopped is not None or not asked:
                self.fail("P7", "an end to reading that goes on in any case, or that nobody asked for")
                return
            term.stopped = now
        else:
            term = self.terms.get(event.enrollment_id)
            asked = [t for t in self._toggles.get(tenant, []) if not t.on and t.ended >= now]
            if term is None or term.ended is not None or states[-1][1] is None or not asked:
                self.fail("P9", "an opt-out that ends nothing, or that nobody asked for")
                return
            states.append((now, None))
            term.ended, term.opted_out_at = now, event.at
            if event.stop_review:
                term.stopped = now
                if not any(t.stop for t in asked):
                    self.fail("P7", "an opt-out put an end to reading, and nobody asked for that")
            term.sequence, term.ledger_hash = event.sequence, _hash(event.to_json())
            if event.deadline != event.at + timedelta(days=30):
                self.fail("P5", "an opt-out whose deadline is not 30 days later")
            stamped = self._seconds(event.at)
            if not min(t.started for t in asked) - SKEW <= stamped <= now + SKEW:
                self.fail("P5", "an opt-out stamped with a time at which it was not asked for")
            self._call_at(now + 30 * DAY + SKEW, self._gone_by_deadline, term)
        if event.sequence != expected:
            self.fail("P9", "the ledger has a gap")
        if event.previous_hash != self._hashes.get(tenant, "0" * 64):
            self.fail("P9", "the ledger's chain of hashes is broken")
        self._hashes[tenant] = _hash(event.to_json())

    def closing(self, closed: frozenset[str]) -> None:
        """Instances that start from now on know these accounts to be closed."""
        self._closed.append((closed, float("inf")))

    def closed(self) -> None:
        """The last instance that knew of others has ended."""
        now = self._time()
        self._closed = [(each, min(until, now)) for each, until in self._closed[:-1]] + self._closed[-1:]

    def _placed(self, event: Any, asked: float) -> None:
        """A new enrollment lies in the account that its id has among those of its geo that were open (D20)."""
        number = int(hashlib.sha256(event.enrollment_id.encode()).hexdigest()[:16], 16)
        fitting = set()
        for closed, until in self._closed:
            if until < asked:
                continue
            names = sorted(name for name, geo in self.accounts.items() if geo == event.geo and name not in closed)
            fitting |= {names[number % len(names)]} if names else set()
        if event.storage_account not in fitting:
            self.fail("P3", f"an enrollment of {event.geo} has account {event.storage_account}, not {sorted(fitting)}")

    def _reappeared(self, tenant: str, event: Any) -> None:
        """The ledger tells of data that came back, of some that did, and once for each receipt."""
        now = self._time()
        term = self.terms.get(event.enrollment_id)
        if term is None or term.tenant != tenant or (event.geo, event.storage_account) != (term.geo, term.account):
            self.fail("P6", "the ledger tells that data came back of an enrollment that is not there")
            return
        since = max(now - JOB_MAX, self._seconds(event.proved_at) - SKEW)
        back = [
            each
            for each in self.planted
            if (each.enrollment, each.account) == (term.id, term.account) and (each.gone or now) >= since
        ]
        if not 1 <= event.containers_found <= len(back):
            self.fail("P6", f"the ledger tells that {event.containers_found} containers came back, not {len(back)}")
        if event.proved_at not in term.proofs or event.proved_at in [each.proved_at for each in term.reappeared]:
            self.fail("P6", "the ledger tells of data that belies no receipt, or one that it has told of")
        if not now - JOB_MAX <= self._seconds(event.at) <= now + SKEW:
            self.fail("P6", "the ledger tells another time at which data came back")
        term.reappeared.append(event)

    def _setting(self, tenant: str, events: Any) -> None:
        stored = self._ledger.settings.get(tenant)
        last = events[-1] if events else None
        if last is None:
            return
        switched = next(event for event in reversed(events) if event.kind in {"optedIn", "optedOut"})
        enrollment = None if stored is None else stored.value.enrollment
        on = enrollment.enrollment_id if enrollment is not None else None
        if (
            on != (switched.enrollment_id if switched.kind == "optedIn" else None)
            or stored.value.sequence != last.sequence
            or stored.value.since != switched.at
            or stored.value.notice != (None if on is None else self.agreements.last(on))
        ):
            self.fail("P9", "the setting is not what the ledger's last event says")
        if enrollment is not None and enrollment.storage_account != self.terms[enrollment.enrollment_id].account:
            self.fail("P3", "the setting names another account than its enrollment's")

    # Containers and batches

    def _compare(self, account: str, store: Any, work: Any) -> None:
        seen = self._stored[account]
        for name in [name for name in seen if name not in store.containers]:
            self._container_gone(account, name, seen.pop(name))
        for name, batches in store.containers.items():
            known = seen.get(name)
            if known is None:
                known = seen[name] = {}
                self._container_new(account, name, work)
            if len(known) == len(batches) and all(
                self._contents[account].get((name, batch)) is stored[0] for batch, stored in batches.items()
            ):
                continue
            if known.keys() - batches.keys():
                self.fail("P9", f"a batch vanished from {name}")
            for batch, (content, _) in batches.items():
                before = self._contents[account].get((name, batch))
                if before is content:
                    continue
                if batch in known:
                    self.fail("D6", f"a batch in {name} was replaced")
                self._contents[account][name, batch] = content
                known[batch] = self.placed[name, batch] = self._batch_new(account, name, batch, content, work)
                self.beside.batch(name, batch, content)

    def _container_new(self, account: str, name: str, work: Any) -> None:
        if self._by_hand(account, name) is not None or name == f"deployment-{self.deployment}":
            return
        read = Name.read(name)
        if read is None:
            self.fail("P1", "a container of no enrollment's name was created")
            return
        term = self.terms.get(read.enrollment)
        if term is None:
            self.fail("P1", "a container of an enrollment that never began was created")
        elif term.account != account:
            self.fail("P3", f"a container of an enrollment in {term.account} was created in {account}")
        elif term.verified is not None:
            self.fail("P6", f"a container was created {self._time() - term.verified:.0f} s after the receipt")
        elif work is not None and (work.kind == "exports" or work.kind.startswith("review: ")):
            self.fail("P12", f"a container was created for what reviewers make: {name}")

    def _batch_new(self, account: str, name: str, batch: str, content: bytes, work: Any) -> str:
        if self._by_hand(account, name) is not None:
            return ""
        now = self._time()
        lines = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        if not lines or "spanId" in lines[0]:
            return self.spans.batch(account, name, batch, lines, work)  # type: ignore[no-any-return]
        tag = str(lines[0]["input"])
        attempts = self._sent.get(tag, [])
        open_ = [sent for sent in attempts if sent.ended >= now]
        read = Name.read(name)
        term = self.terms.get(read.enrollment) if read else None
        if not open_ or read is None or term is None:
            self.fail("P1", "captures were stored that nobody sent, or for no enrollment")
            return tag
        mine = [sent for sent in open_ if work is None or work.sent is sent] or open_
        mine[0].stored = True
        if term.tenant != mine[0].tenant:
            self.fail("P1", "captures of one tenant were stored for another")
        if min(mine[0].instants) < term.asked - SKEW:
            self.fail("P1", f"captures from before the opt-in were stored: {self.at(min(mine[0].instants))}")
        if min(mine[0].instants) < now - DAY - SIGNED - SKEW or max(mine[0].instants) > now + AHEAD + SKEW:
            self.fail("P4", f"captures of {self.at(min(mine[0].instants))} were stored at {self.at(now)}")
        if all(self._withdrawn_since(term.tenant, sent.started) is not None for sent in mine):
            self.fail("P2", "captures were stored that were sent after an opt-out had been answered")
        since = self._withdrawn_since(term.tenant, now - SIGNED - SKEW)
        if since is not None:
            self.fail("P2", f"captures were stored {now - since:.0f} s after an opt-out had been answered")
        if self._gone_for(term) > UNANSWERED + SIGNED + SKEW:
            self.fail("P2", f"captures were stored {self._gone_for(term):.0f} s after an opt-out that nobody answered")
        if term.verified is not None:
            self.fail("P6", f"captures were stored {now - term.verified:.0f} s after the receipt")
        copies = sum(
            tag in batches.values() for other, batches in self._stored[account].items() if read.enrollment in other
        )
        if copies:
            self.fail("D6", "captures were stored twice")
        self.agreements.stored(term.id, now)
        expires = self._expires(min(mine[0].instants))
        if now >= expires:
            self.fail("P4", f"captures of {self.at(min(mine[0].instants))} were stored at {self.at(now)}")
        self._call_at(expires, self._gone_by_retention, account, name, tag)
        return tag

    def _container_gone(self, account: str, name: str, batches: dict[str, str]) -> None:
        now = self._time()
        if name.startswith("deployment-"):
            self.fail("P9", "an account does not say any more whose it is")
        for batch in batches:
            self._removed[f"{name}/{batch}"] = now
            self._contents[account].pop((name, batch), None)
        self.beside.container_gone(name)
        planted = self._by_hand(account, name)
        if planted is not None:
            planted.gone = now
            if planted.kind == "foreign":
                self.fail("P9", "a container that is not ours was deleted")
            told = planted.kind != "after receipt" or (
                len(self.terms[planted.enrollment].reappeared) > planted.reappeared
            )
            if not told and not self._expired(name):  # else it may have been retention
                self.fail("P6", "data came back, was deleted, and the ledger does not say so")
            return
        read = Name.read(name)
        term = self.terms.get(read.enrollment) if read else None
        if read is None or term is None:
            return
        term.emptied = now
        # Empty ones too: one that is deleted before its time may have been about to take a batch.
        expired = self._expired(name)
        owed = term.opted_out_at is not None and (
            now >= self._seconds(term.opted_out_at) + 28 * DAY - SKEW
            or (term.expedited is not None and now >= term.expedited)
        )
        if batches and not expired and not owed:
            self.fail("P9", f"{len(batches)} batches in {name} were deleted before their time")

    def _gone_by_retention(self, account: str, name: str, tag: str) -> None:
        self.checks += 1
        expires = self._expires(min(self._sent[tag][0].instants))
        if self._time() < expires:
            self._call_at(expires, self._gone_by_retention, account, name, tag)  # the setting is longer by now
        elif tag in self._stored[account].get(name, {}).values() and not self.nothing_owed and name not in self.waived:
            self.fail("P4", f"captures are stored in {name}, after their day's deadline")

    def retention_changed(self, days: int) -> None:
        """All instances live by another setting from now on; what is stored may be due sooner."""
        self.retention.deployed(days)
        for account, containers in self._stored.items():
            for name, batches in containers.items():
                for tag in filter(None, batches.values()):
                    expires = self._expires(min(self._sent[tag][0].instants))
                    self._call_at(expires, self._gone_by_retention, account, name, tag)
        self.beside.retention_changed()

    def _gone_by_deadline(self, term: Term) -> None:
        self.checks += 1
        self.notice(None)
        if self.nothing_owed or term.id in self.waived:
            return
        for account, containers in self._stored.items():
            for name in containers:
                if term.id in name and self._by_hand(account, name) is None:
                    self.fail("P5", f"{name} is stored 30 days after the opt-out")
        deletion = self._known.get((term.tenant, term.id))
        if deletion is None or deletion.status != "verified":
            self.fail("P5", "a deletion is not finished 30 days after the opt-out")

    # Deletions and receipts

    def _deletion(self, key: tuple[str, str], new: Any, work: Any) -> None:
        old = self._known.get(key)
        self._known[key] = new
        term = self.terms.get(new.enrollment_id)
        if term is None or term.opted_out_at is None or (term.tenant, term.id) != key:
            self.fail("P5", "a deletion without an opt-out")
            return
        term.scheduled = self._time() if old is None else term.scheduled
        edited = self._edited.get(key)
        due = term.opted_out_at + timedelta(days=30)
        if new.status == "verified":
            self._sooner.pop(key, None)  # the receipt says what was owed
        due = min(due, self._sooner.get(key, due))
        if edited is None and (new.opted_out_at, new.deadline) != (term.opted_out_at, due):
            self.fail(
                "P5", f"a deadline is {new.deadline:%d %b %H:%M}, not 30 days after {term.opted_out_at:%d %b %H:%M}"
            )
        if (new.geo, new.storage_account) != (term.geo, term.account):
            self.fail("P5", "a deletion looks in another account than its enrollment's")
        begins = new.deadline - timedelta(days=2)
        if new.not_before > (begins if old is None else old.not_before) or (
            new.not_before < begins and term.expedited is None and not term.reappeared and edited is None
        ):
            self.fail("P5", "a deletion's beginning was moved")
        if old is None or old.status != new.status:
            term.purged = None if new.status == "scheduled" else self._time()
        if old is None:
            if new.status != "scheduled":
                self.fail("P6", "a deletion began its life done")
            return
        if new.reappeared is not None:
            self.fail("P6", "a deletion tells of data that came back where anybody can take it out")
        told = 0 if old.receipt is None else len(old.receipt.reappeared)
        came_back = (old.status, new.status) == ("verified", "scheduled") and len(term.reappeared) > told
        if edited is not None:
            came_back = new.status == "scheduled" or _told(new) == _told(edited.before)
        if not came_back and (old.status, new.status) not in {
            ("scheduled", "scheduled"),
            ("scheduled", "purged"),
            ("purged", "purged"),
            ("purged", "scheduled"),  # a second look has found something
            ("purged", "verified"),
            ("verified", "verified"),
        }:
            self.fail("P6" if new.status == "verified" else "P5", f"a deletion went from {old.status} to {new.status}")
        if new.status == "purged" and new.purged_at != old.purged_at:
            self._purged(term, new)
        if new.status == "verified":
            self._verified(term, old, new, self._last_look(term, work))

    def _purged(self, term: Term, deletion: Any) -> None:
        """What says that it is emptied is empty, but for days that only the second look can find."""
        assert term.opted_out_at is not None
        term.emptied_at.append(self._seconds(deletion.purged_at))
        if not self._time() - JOB_MAX <= term.emptied_at[-1] <= self._time() + SKEW:
            self.fail("P6", "a deletion says that storage was emptied at another time")
        last = (term.opted_out_at + timedelta(minutes=5)).date()
        first = term.opted_out_at.date() - timedelta(days=30)
        for name, batches in self._stored[term.account].items():
            read = Name.read(name)
            if read is None or read.enrollment != term.id or not first <= read.day <= last:
                continue
            if self._by_hand(term.account, name) is not None:
                continue
            an_hour_before = self._seconds(deletion.purged_at) - 3600
            racing = any(sent.ended >= an_hour_before for tag in batches.values() for sent in self._sent[tag])
            if batches and not racing:
                self.fail("P5", f"{name} is stored, and its deletion says that storage is emptied")

    def _verified(self, term: Term, old: Any, new: Any, look: float) -> None:
        now = self._time()
        receipt = new.receipt
        edited = self._edited.get((term.tenant, term.id))
        if receipt is None or not receipt.jws:
            self.fail("P6", "a deletion is finished without a signed receipt")
            return
        if edited is not None and old.receipt is not None and _told(new) == _told(edited.before):
            return
        if old.receipt is not None:
            if receipt != old.receipt:
                self.fail("P6", "a receipt was changed")
            return
        self._check_claims(term, new, look, now)
        term.proofs.append(receipt.second_look_at)
        term.verified = now
        if receipt.second_look_at - receipt.first_look_at < timedelta(minutes=5):
            self.fail("P6", "a receipt's two looks are less than 5 minutes apart")
        emptied = max(self._seconds(receipt.first_look_at), term.emptied or 0.0)
        if look < emptied + 300 - SKEW:
            self.fail("P6", f"storage was emptied {self.at(emptied)} and not looked at again 5 minutes later")
        store = self._captures[term.account]
        for where, names in (
            ("stored", store.containers),
            ("kept by soft delete", store.soft_deleted),
            ("still being deleted", store.being_deleted),
        ):
            for name in names:
                if term.id not in name or self._by_hand(term.account, name) is not None:
                    continue
                read = Name.read(name)
                days = receipt.first_day, receipt.last_day
                if where == "still being deleted" and read is not None and not days[0] <= read.day <= days[1]:
                    continue  # retention's or the sweep's to delete, and nothing that the receipt speaks of
                self.fail("P6", f"at the receipt {name} is {where}")

    def _check_claims(self, term: Term, deletion: Any, look: float, now: float) -> None:
        """Each claim that is signed is what happened, and what is shown; and there is none that nobody checks."""
        assert term.opted_out_at is not None
        payload = deletion.receipt.jws.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        last = (term.opted_out_at + timedelta(minutes=5)).date()
        first = min(max(term.opted_in_at.date(), term.opted_out_at.date() - timedelta(days=30)), last)
        told = [(_iso(each.at), each.containers_found, _iso(each.proved_at)) for each in term.reappeared]
        said = [(each["at"], each["containersFound"], each["provedAt"]) for each in claims.pop("reappeared", [None])]
        if said != told:
            self.fail("P6", f"a receipt tells {len(said)} times that data came back, the ledger {len(told)} times")
        looks = {name: datetime.fromisoformat(claims.pop(name, "2000-01-01T00:00Z")) for name in _LOOKS}
        facts = {
            "tenantId": term.tenant,
            "enrollmentId": term.id,
            "geo": term.geo,
            "storageAccount": term.account,
            "startedAt": _iso(term.opted_in_at),
            "optedOutAt": _iso(term.opted_out_at),
            "deadline": _iso(term.opted_out_at + timedelta(days=30)),
            "sequence": term.sequence,
            "ledgerHash": term.ledger_hash,
            "firstDay": first.isoformat(),
            "lastDay": last.isoformat(),
            "downloads": self.beside.downloads_of(term),
        }
        wrong = sorted(name for name in facts.keys() | claims.keys() if facts.get(name) != claims.get(name))
        if wrong:
            self.fail("P6", f"a receipt claims {', '.join(wrong)} as it never was")
        first_look, second_look = (self._seconds(looks[name]) for name in _LOOKS)
        if not self._seconds(term.opted_out_at) - SKEW <= first_look <= second_look - 300:
            self.fail("P6", "a receipt's two looks are less than 5 minutes apart, or before the opt-out")
        # What was there at the first look has gone by then; what has come since, the second look has to find.
        if not any(abs(at - first_look) <= SKEW for at in term.emptied_at):
            self.fail("P6", f"a receipt claims a first look {self.at(first_look)} that there never was")
        if not look - SKEW <= second_look <= now + SKEW:
            self.fail("P6", f"a receipt claims a second look {self.at(second_look)} at another time than there was one")
        receipt = deletion.receipt
        shown = (receipt.first_day, receipt.last_day, receipt.first_look_at, receipt.second_look_at, deletion.purged_at)
        if shown != (first, last, looks["firstLookAt"], looks["secondLookAt"], looks["firstLookAt"]):
            self.fail("P6", "a deletion shows something else than its receipt claims")

    def _last_look(self, term: Term, work: Any) -> float:
        """Return when the last listing of one run began that shows all that there is of an enrollment."""
        return self._looks.get((term.account, f"{term.id[0]}-", work), -1.0)

    # What the service says of itself

    def status_answered(
        self, promises: Mapping[str, bool], overdue_deletions: int, unscheduled: int, began: float
    ) -> None:
        """The report may not say that a promise holds which the oracle knows to be broken."""
        self.notice(None)
        late = [term for term in self.terms.values() if term.ended is not None and not self._finished(term)]
        overdue = [term for term in late if self._seconds(term.opted_out_at) + 30 * DAY + SKEW < began]
        # P5 may be told broken for other reasons too: the numbers must be right as well. One that is scheduled while
        # the status looks is counted as the one or as the other.
        scheduled = sum((term.scheduled or began) < began for term in overdue)
        if overdue_deletions < scheduled or overdue_deletions + unscheduled < len(overdue):
            self.fail("P5", f"the status counts {overdue_deletions} overdue deletions, and there are more")
        if overdue and promises["P5"]:
            self.fail("P5", "the status says that P5 holds while a deletion is overdue")
        lacking = self._unscheduled(before=began)
        if unscheduled < len(lacking):
            self.fail("P9", f"the status counts {unscheduled} opt-outs without a deletion, and there are more")
        if self._unscheduled(before=began - 3 * 3600 - SKEW - DATABASE_SKEW) and promises["P9"]:
            self.fail("P9", "the status says that P9 holds, and an opt-out has had no deletion for three hours")
        stale = [
            name
            for containers in self._stored.values()
            for name in containers
            if (read := Name.read(name)) is not None
            and self._day_starts(read.day) + self.retention.longest_since(began) * DAY + SKEW < began
        ]
        if stale and promises["P4"]:
            self.fail("P4", f"the status says that P4 holds, and {stale[0]} is stored")

    def check_nothing_lost(self, began: float) -> None:
        """A run of the sweep in calm weather has ended, whether it came round or not: no opt-out lacks its deletion.

        But for those that are so young that the feed may be about to take them up.
        """
        self.notice(None)
        if self._unscheduled(before=began - 300 - SKEW - DATABASE_SKEW):
            self.fail("P9", "a run of the sweep is over, and an opt-out has no deletion")

    def _unscheduled(self, before: float) -> list[Term]:
        return [
            term
            for term in self.terms.values()
            if term.ended is not None and term.ended < before and (term.tenant, term.id) not in self._known
        ]

    def check_scheduled(self) -> None:
        """Each opt-out has its deletion: the feed's work, where nothing of the feed was lost."""
        for term in self.terms.values():
            if term.ended is not None and (term.tenant, term.id) not in self._known:
                self.fail("P9", "the feed lost nothing, and an opt-out has no deletion")

    def check_end(self, promises: Mapping[str, bool], findings: Mapping[str, int], counted: list[Planted]) -> None:
        """After the faults have stopped, the jobs have run and all deadlines have passed, nothing is left undone."""
        self.notice(None)
        for term in self.terms.values():
            if term.ended is not None and not self._finished(term):
                self.fail("P9", "an opt-out has no finished deletion at the end")
            elif term.ended is not None and not self._known[term.tenant, term.id].receipt.jws:
                self.fail("P6", "a receipt is not signed at the end")
        self.beside.check_end()
        for tenant, toggles in self._toggles.items():
            states = self._states.get(tenant, [(0.0, None)])
            answered = [t for t in toggles if t.answered is not None]
            last = max(answered, key=lambda t: t.started, default=None)
            if last is not None:
                wanted = {t.geo if t.on else None for t in toggles if t.ended >= last.started}
                if states[-1][1] not in wanted:
                    self.fail("P9", f"the setting is {states[-1][1] or 'off'}; answered last: {last.geo or 'off'}")
        for each in self.planted:
            lost = each.gone is None and each.name not in self._stored[each.account]
            if each.kind == "foreign" and lost:
                self.fail("P9", "a container that is not ours is gone")
            if each.kind != "foreign" and each.gone is None:
                self.fail("P9", f"a container by hand ({each.kind}) is left at the end")
        kinds = {
            "wrong account": "wrongAccount",
            "unknown enrollment": "unknownEnrollment",
            "after receipt": "afterReceipt",
            "impossible day": "impossibleDay",
            "foreign": "foreignContainers",
        }
        for kind, name in kinds.items():
            placed = sum(each.kind == kind for each in counted)
            if findings.get(name, 0) < placed:
                self.fail("P9", f"{placed} containers by hand ({kind}), {findings.get(name, 0)} findings")
        if not all(promises.values()):
            broken = [name for name, holds in promises.items() if not holds]
            self.fail("P9", f"two clean sweeps later the status says of {', '.join(broken)} that it does not hold")

    # Its own arithmetic

    def at(self, seconds: float) -> str:
        return f"{self.base + timedelta(seconds=seconds):%d %b %H:%M:%S.%f}"[:-3]

    def fail(self, promise: str, what: str) -> None:
        if self.violation is None:
            self.violation = Violation(promise, f"at {self.at(self._time())} {what}")

    def _withdrawn_since(self, tenant: str, at: float) -> float | None:
        """Return when an opt-out was answered or shown, by ``at``, if no opt-in can have come after it."""
        since = None
        toggles = self._toggles.get(tenant, [])
        for out in [*toggles, *self._told.get(tenant, [])]:
            if out.on or out.answered is None or out.answered > at:
                continue
            if not any(t.on and t.ended >= out.started for t in toggles):
                since = out.answered if since is None else max(since, out.answered)
        return since

    def _gone_for(self, term: Term) -> float:
        """Return how many seconds ago an enrollment ended."""
        return 0.0 if term.ended is None else self._time() - term.ended

    def _finished(self, term: Term) -> bool:
        deletion = self._known.get((term.tenant, term.id))
        return deletion is not None and deletion.status == "verified" and deletion.receipt is not None

    def _known_of(self, enrollment: str) -> Any:
        return next((deletion for (_, each), deletion in self._known.items() if each == enrollment), None)

    def _by_hand(self, account: str, name: str) -> Planted | None:
        if not self.planted:
            return None
        return next(
            (each for each in self.planted if (each.account, each.name, each.gone) == (account, name, None)), None
        )

    def _seconds(self, instant: datetime) -> float:
        return (instant - self.base).total_seconds()

    def _day_starts(self, day: date) -> float:
        return self._seconds(datetime(day.year, day.month, day.day, tzinfo=UTC))

    def _expires(self, instant: float) -> float:
        return self.retention.deadline(self._day_starts((self.base + timedelta(seconds=instant)).date()))

    def _expired(self, name: str) -> bool:
        """Tell whether retention may have begun to delete the day of a container."""
        read = Name.read(name)
        return read is not None and self._time() >= self.retention.begins(self._day_starts(read.day)) - SKEW

    def _container(self, enrollment: str, sent: Sent) -> str:
        day = (self.base + timedelta(seconds=min(sent.instants))).date()
        return f"{enrollment[0]}-{day.year:04d}{day.month:02d}{day.day:02d}-{enrollment}"


def _hash(event: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(event, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _iso(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _told(deletion: Any) -> tuple[Any, ...]:
    """Return what a deletion tells of what it is about and of what was done."""
    facts = (deletion.sequence, deletion.ledger_hash, deletion.geo, deletion.storage_account)
    times = (deletion.started_at, deletion.opted_out_at, deletion.not_before, deletion.deadline, deletion.purged_at)
    return (*facts, *times, deletion.status, deletion.receipt)
