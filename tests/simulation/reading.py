"""What must be true of grants, records and reads (P7, P10); shares no code with the service, as ``oracle`` does not.

It knows each request of a reviewer or an approver, each record in the order in which it was committed, and which grant
stood how at that moment.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from tests.simulation.oracle import DAY, SKEW, Name, Oracle

PURPOSES = frozenset({"build", "improve", "validate"})
APPROVAL_WITHIN = timedelta(hours=24)

LEASE = 2.0
"""Seconds that may pass between the last look at a grant and the moment at which content leaves."""

DRIFT = 30.0
"""Seconds that the clock of the instance that looks may be off."""

_ACTIONS = {
    "request": "requested",
    "approve": "approved",
    "revoke": "revoked",
    "end all": "revoked",
    "days": "listed",
    "batches": "listed",
    "export": "exportRequested",
    "download": "exportDownloaded",
    "delete export": "exportDeleted",
    "find": "searched",
    "sample": "searched",
    "label": "labelled",
    "withdraw": "labelWithdrawn",
    "labels": "labelsRead",
}
_PAGES = frozenset({"find", "sample"})
_OF_LABELS = frozenset({"label", "withdraw", "labels"})
_SHOW_NOTHING = frozenset({"exports", "progress", "delete export"})
"""What asks storage for sizes and what is to be deleted, and shows nobody what a capture says."""
_LOOKS = frozenset({"days", "batches", "read", "export", "download", "delete export", "labels", *_PAGES})
_OTHER_REASONS = frozenset({"GeoNotServed", "TooManyExports"})
_COME_BY_THEMSELVES = frozenset({"exportReady", "exportStopped"})
"""What goes on the record when an export comes to its end, by the request for it or by a timer."""


@dataclass(eq=False, slots=True)
class Wish:
    """A request as its client knows it; ``records`` is what of it went on the record."""

    kind: str
    tenant: str
    actor: str
    started: float
    grant: str | None = None
    purpose: str | None = None
    justification: str | None = None
    minutes: int | None = None
    enrollment: str | None = None
    day: date | None = None
    batch: str | None = None
    others_too: bool = False
    export: str | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    range: tuple[int, int | None] = (0, None)
    line: int | None = None
    first: bool = True
    records: list[Any] = field(default_factory=list)

    @property
    def action(self) -> str:
        """What the record of it must say."""
        if self.kind == "request" and self.purpose not in PURPOSES:
            return "purposeRefused"
        return _ACTIONS.get(self.kind, self.kind)


class Reading:
    """Watches container ``access`` and what leaves storage."""

    def __init__(self, oracle: Oracle, access: Any) -> None:
        self.reads = 0
        self.beside: Any  # a Beside, which asks this one for the grants
        self._oracle = oracle
        self._access = access
        self._records: dict[str, list[Any]] = {}
        self._committed: dict[str, list[float]] = {}
        self._grants: dict[tuple[str, str], Any] = {}
        self._approved: dict[str, float] = {}
        self._revoked: dict[str, float] = {}

    # What clients do

    def wished(self, kind: str, tenant: str, actor: str, **what: Any) -> Wish:
        return Wish(kind, tenant, actor, self._oracle._time(), **what)

    def answered(self, wish: Wish, answer: Any) -> None:
        """A 200, and what it says."""
        now = self._oracle._time()
        self._oracle.checks += 1
        if wish.kind == "log":
            self._log(wish, answer.values)
        elif wish.kind == "pending":
            self._pending(wish, answer, now)
        elif wish.kind == "request":
            self._expect_one(wish)
            grant = self._grants.get((wish.tenant, answer.grant_id))
            if grant is None:
                self._fail("P7", "a grant was answered that nobody stored")
        elif wish.kind == "approve":
            grant = self._grants.get((wish.tenant, wish.grant or ""))
            if grant is None or grant.approved_at is None:
                self._fail("P7", "an approval was answered that is nowhere")
        elif wish.kind == "revoke":
            grant = self._grants.get((wish.tenant, wish.grant or ""))
            if grant is None or not self._has_ended(grant, now + DRIFT):
                self._fail("P7", "a revocation was answered, and the grant goes on")
        elif wish.kind == "end all":
            self._ended_all(wish, now)
        elif wish.kind == "exports":
            self.beside.listed(wish, answer.values)
        elif wish.kind == "delete export":
            self.beside.deleted(wish)
        elif wish.kind in _PAGES:
            if [each.action for each in wish.records] != ["searched", "found"]:
                self._fail("P7", f"a page of a {wish.kind} was answered, with {len(wish.records)} records")
            else:
                self.beside.page(wish, answer, now)
        elif wish.kind != "progress":
            self._expect_one(wish)
            if wish.kind == "read" and wish.records:
                self._read(wish, answer, now)
            elif wish.kind == "export":
                self.beside.requested(wish, answer)
            elif wish.kind == "labels" and wish.records:
                self.beside.labels_shown(wish, answer, now)
            elif wish.kind == "download" and wish.records:
                self.beside.downloaded(wish, answer)

    def refused(self, wish: Wish, why: str) -> None:
        """A 4xx; ``why`` is the name of what was raised."""
        if wish.kind == "request" and wish.purpose not in PURPOSES:
            if why != "PurposeRefused":
                self._fail("P10", f"a purpose that is none was refused as {why}")
            elif len(wish.records) != 1:
                self._fail("P10", "a purpose was refused off the record")
        elif wish.kind in {"request", "approve", "revoke"} and wish.records:
            self._fail("P7", f"a wish to {wish.kind} is on the record and was refused")
        elif wish.kind in _LOOKS and why not in _OTHER_REASONS and self._must_open(wish):
            self._fail("P7", f"a wish to {wish.kind} was refused ({why}) though a grant for it is live")

    # What is seen in the stores

    def committed(self, work: Any) -> None:
        """Compare container ``access`` with what was."""
        if self._oracle.violation is not None:
            return
        self._oracle.checks += 1
        wish = getattr(work, "sent", None)
        fresh = []
        for tenant, records in self._access.records.items():
            known = self._records.setdefault(tenant, [])
            if len(records) < len(known) or any(a is not b for a, b in zip(known, records, strict=False)):
                self._fail("P7", "a record was changed or taken away")
                return
            added = records[len(known) :]
            fresh += added
            known += added
            self._committed.setdefault(tenant, []).extend([self._oracle._time()] * len(added))
        changed = {
            key: (self._grants.get(key), grant)
            for key, grant in self._access.granted.items()
            if self._grants.get(key) is not grant
        }
        self._grants.update(self._access.granted)
        exports = self.beside.changes()
        if len(fresh) != 1 or len(changed) > 1:
            self._fail("P7", f"{len(changed)} grants were changed with {len(fresh)} records")
            return
        self._record(fresh[0], wish if isinstance(wish, Wish) else None, changed, getattr(work, "kind", ""))
        if self._oracle.violation is None:
            self.beside.recorded(fresh[0], wish if isinstance(wish, Wish) else None, exports)

    def storage_asked(self, work: Any, name: str, batch: str | None) -> None:
        """An account is asked for a reviewer what is in the containers of that name: this is on the record by now."""
        wish = getattr(work, "sent", None)
        if not isinstance(wish, Wish) or wish.kind in _SHOW_NOTHING:
            return
        if not wish.records:
            self._fail("P7", f"storage was asked for a {wish.kind} that is on no record")
            return
        record = wish.records[-1]
        if wish.kind in _OF_LABELS:
            if record.enrollment_id not in name or f"{wish.day:%Y%m%d}" not in name:
                self._fail("P7", f"storage was asked for {name}, and the record of a {wish.kind} says otherwise")
            return
        if wish.kind == "export" or wish.kind in _PAGES:
            read = Name.read(name)
            days = "" if read is None else read.day.isoformat()
            if record.enrollment_id not in name or not record.first_day <= days <= record.last_day:
                self._fail("P7", f"storage was asked for {name}, and the record of the export says otherwise")
            return
        day = None if wish.day is None else f"{wish.day:%Y%m%d}"
        if record.enrollment_id not in name or (day is not None and day not in name) or record.batch_id != batch:
            self._fail("P7", f"storage was asked for {name}, and the record says otherwise")

    # Records

    def _record(self, record: Any, wish: Wish | None, changed: dict[tuple[str, str], Any], kind: str) -> None:
        now = self._oracle._time()
        if record.sequence != len(self._records[record.tenant_id]):
            self._fail("P7", "the access log has a gap")
        if record.action in _COME_BY_THEMSELVES and (kind == "exports" or (wish is not None and wish.kind == "export")):
            self._of_grant(record)
            return
        if wish is None or (wish.tenant, wish.actor) != (record.tenant_id, record.actor):
            self._fail("P7", f"{record.actor} {record.action} on the record, and wished for nothing")
            return
        wish.records.append(record)
        goes_on = wish.kind in _PAGES and record.action == "found" and len(wish.records) == 2
        if len(wish.records) > 1 and wish.kind != "end all" and not goes_on:
            self._fail("P7", f"one wish to {wish.kind} is on the record twice")
        if record.action != wish.action and not goes_on:
            promise = "P10" if "purposeRefused" in {record.action, wish.action} else "P7"
            self._fail(promise, f"the record of a wish to {wish.kind} says {record.action}")
            return
        at = self._oracle._seconds(record.at)
        if not wish.started - SKEW <= at <= now + SKEW:
            self._fail("P7", f"the record of a {wish.kind} at {self._oracle.at(now)} says {self._oracle.at(at)}")
        if wish.kind == "download" and wish.day is None and record.day is not None:
            wish.day = date.fromisoformat(record.day)  # it was made after its client had looked how it stands
        said = (record.day, record.batch_id)
        if said != (None if wish.day is None else wish.day.isoformat(), wish.batch) or record.line != wish.line:
            self._fail("P7", f"the record of a {wish.kind} says day {said[0]}, batch {said[1]}, line {record.line}")
        if record.action in {"requested", "purposeRefused"} and (record.purpose, record.justification) != (
            wish.purpose,
            wish.justification,
        ):
            self._fail("P10", "a record does not say for what purpose")
        if (record.action in {"requested", "approved", "revoked"}) != bool(changed):
            self._fail("P7", f"a record says {record.action}, and {len(changed)} grants changed")
            return
        if record.action == "purposeRefused":
            if record.grant_id is not None:
                self._fail("P10", "there is a grant for a purpose that was refused")
            return
        grant = self._of_grant(record)
        if grant is None:
            return
        for key, (before, after) in changed.items():
            if key != (record.tenant_id, record.grant_id):
                self._fail("P7", "a grant was changed on another one's record")
            self._changed(record, wish, before, after)
        if not changed:
            self._look(record, wish, grant)

    def _of_grant(self, record: Any) -> Any:
        """Return the grant that a record names, and of which it says what the grant is."""
        grant = self._grants.get((record.tenant_id, record.grant_id or ""))
        if grant is None:
            self._fail("P7", "a record names no grant that there is")
        elif (record.enrollment_id, record.purpose, record.justification) != (
            grant.enrollment_id,
            grant.purpose,
            grant.justification,
        ):
            self._fail("P7", "a record says other things than its grant")
        return grant

    def _changed(self, record: Any, wish: Wish, before: Any, after: Any) -> None:
        """One grant, as it was before a record of it and as it is after."""
        now = self._oracle._time()
        if record.action == "requested":
            term = self._oracle.terms.get(after.enrollment_id)
            if before is not None or after.approved_at is not None or after.revoked_at is not None:
                self._fail("P7", "a grant did not begin its life pending")
            if term is None or term.tenant != record.tenant_id:
                self._fail("P7", "a grant opens an enrollment that the tenant has not")
            elif wish.enrollment is None and any(
                each.tenant == term.tenant and term.began < each.began < wish.started
                for each in self._oracle.terms.values()
            ):
                self._fail("P7", "a grant for the newest enrollment opens an older one")
            if after.purpose not in PURPOSES:
                self._fail("P10", f"a grant is for {after.purpose}")
            if (after.requested_by, after.requested_at) != (record.actor, record.at):
                self._fail("P7", "a grant does not say who asked for it, and when")
            if after.duration_minutes != wish.minutes or wish.enrollment not in {None, after.enrollment_id}:
                self._fail("P7", "a grant is not what was asked for")
            return
        meant = wish.enrollment == after.enrollment_id if wish.kind == "end all" else wish.grant == after.grant_id
        if before is None or not meant:
            self._fail("P7", f"a grant was {record.action} that nobody meant")
            return
        same = ("enrollment_id", "sequence", "purpose", "duration_minutes", "requested_by", "requested_at")
        if any(getattr(before, name) != getattr(after, name) for name in same):
            self._fail("P7", f"a grant that was {record.action} opens something else now")
        if record.action == "approved":
            if record.actor == after.requested_by:
                self._fail("P7", "a grant was approved by the one who asked for it")
            if before.approved_at is not None or before.revoked_at is not None:
                self._fail("P7", "a grant was approved that had been approved or revoked")
            if record.at >= before.requested_at + APPROVAL_WITHIN:
                self._fail("P7", "a grant was approved that had lapsed")
            ends = record.at + timedelta(minutes=before.duration_minutes)
            if (after.approved_by, after.approved_at, after.expires_at) != (record.actor, record.at, ends):
                self._fail("P7", "an approved grant does not say who approved it, when, and until when it lasts")
            self._approved[after.grant_id] = now
        else:
            if before.revoked_at is not None:
                self._fail("P7", "a grant was revoked twice")
            if not wish.others_too and record.actor != after.requested_by:
                self._fail("P7", "a grant was revoked by somebody whose it is not")
            if (after.revoked_by, after.revoked_at) != (record.actor, record.at):
                self._fail("P7", "a revoked grant does not say who revoked it, and when")
            self._revoked[after.grant_id] = now

    def _look(self, record: Any, wish: Wish, grant: Any) -> None:
        """At the moment of the record of a look, the grant under which it happens is live."""
        term = self._oracle.terms.get(grant.enrollment_id)
        if grant.requested_by != record.actor:
            self._fail("P7", "somebody looked under another's grant")
        elif grant.approved_at is None or grant.approved_by == grant.requested_by:
            self._fail("P7", "somebody looked under a grant that nobody else approved")
        elif grant.revoked_at is not None:
            self._fail("P7", "somebody looked under a grant that had been revoked")
        elif record.at >= grant.expires_at:
            self._fail("P7", "somebody looked under a grant that had expired")
        elif wish.day is not None and self._oracle._seconds(record.at) >= (
            self._oracle._day_starts(wish.day) + self._oracle.retention.longest_since(wish.started) * DAY
        ):
            self._fail("P4", "somebody looked at a day after its deadline")
        elif term is None or term.tenant != record.tenant_id:
            self._fail("P7", "somebody looked at an enrollment that the tenant has not")
        elif term.stopped is not None and self._oracle._seconds(record.at) > term.stopped + DRIFT:
            self._fail("P7", "somebody looked at an enrollment after an administrator had put an end to that")
        elif term.opted_out_at is not None and record.at >= term.opted_out_at + timedelta(days=30) + timedelta(
            seconds=SKEW  # it may have been stamped by an instance whose opt-out came later
        ):
            self._fail("P5", "somebody looked at an enrollment after its deadline")

    # Content

    def _read(self, wish: Wish, content: bytes, now: float) -> None:
        """Content leaves: the batch that is on the record, and nothing that had ended."""
        oracle, record = self._oracle, wish.records[0]
        assert wish.day is not None
        self.reads += 1
        enrollment = record.enrollment_id
        tag = oracle.placed.get((f"{enrollment[0]}-{wish.day:%Y%m%d}-{enrollment}", wish.batch or ""))
        lines = [json.loads(line) for line in content.splitlines()]
        by_hand = tag == ""  # nobody knows what somebody put there
        if tag is None or not (by_hand or oracle.spans.is_batch(tag, lines) or self._is_post(tag, lines)):
            self._fail("P7", "what was read is not the batch on the record")
            return
        if not by_hand and oracle._sent[tag][0].tenant != wish.tenant:
            self._fail("P7", "one tenant's captures were read under another's grant")
        self.leaves(wish, record, wish.day, now)

    def leaves(self, wish: Wish, record: Any, day: date, now: float) -> None:
        """Something of a day leaves on the word of a record: nothing that it rests on had ended."""
        oracle = self._oracle
        grant, term = self._grants[wish.tenant, record.grant_id], oracle.terms[record.enrollment_id]
        revoked = self._revoked.get(grant.grant_id)
        if revoked is not None and now > revoked + LEASE:
            self._fail("P7", f"content left {now - revoked:.0f} s after its grant was revoked")
        if term.stopped is not None and now > term.stopped + LEASE:
            self._fail("P7", f"content left {now - term.stopped:.0f} s after an administrator had put an end to that")
        late = now - LEASE - DRIFT
        if late > oracle._seconds(grant.expires_at):
            self._fail("P7", f"content left {now - oracle._seconds(grant.expires_at):.0f} s after its grant expired")
        if term.opted_out_at is not None and late > oracle._seconds(term.opted_out_at) + 30 * DAY:
            self._fail("P5", "content left after its deletion's deadline")
        if late > oracle._day_starts(day) + oracle.retention.longest_since(late) * DAY:
            self._fail("P4", "content left after its day's deadline")
        if term.purged is not None and now > term.purged + LEASE:
            self._fail("P7", f"content left {now - term.purged:.0f} s after all of it was purged")

    def _is_post(self, tag: str, lines: Sequence[Mapping[str, Any]]) -> bool:
        sent = self._oracle._sent[tag][0]
        return {line.get("input") for line in lines} == {tag} and len(lines) == len(sent.instants)

    def _must_open(self, wish: Wish) -> bool:
        """Tell whether it would be wrong to refuse: the only grant is live all the while, and so is what it opens."""
        oracle, now = self._oracle, self._oracle._time()
        mine = [
            grant
            for (tenant, _), grant in self._grants.items()
            if tenant == wish.tenant
            and grant.requested_by == wish.actor
            and grant.expires_at is not None
            and oracle._seconds(grant.expires_at) > wish.started - SKEW
        ]
        if len(mine) != 1 or mine[0].revoked_at is not None or self._approved[mine[0].grant_id] >= wish.started:
            return False
        grant, term = mine[0], oracle.terms[mine[0].enrollment_id]
        if oracle._seconds(grant.expires_at) < now + SKEW or term.expedited is not None or term.purged is not None:
            return False
        if term.opted_out_at is not None and now > oracle._seconds(term.opted_out_at) + 28 * DAY - SKEW:
            return False
        if term.stopped is not None or not self.beside.must_open(wish, term):
            return False
        if wish.day is None:
            return True
        name = f"{term.id[0]}-{wish.day:%Y%m%d}-{term.id}"
        stored = oracle._stored[term.account].get(name, {})
        if oracle._expired(name) or not stored:
            return False
        first = min((sent.started for tag in stored.values() for sent in oracle._sent.get(tag, ())), default=now)
        return (
            first < wish.started
            and (wish.batch in stored if wish.kind in {"read", "labels"} else True)
            and all(sent.ended < wish.started for tag in stored.values() for sent in oracle._sent.get(tag, ()))
        )

    def _log(self, wish: Wish, records: Any) -> None:
        """The tenant sees each record that was there when it asked."""
        known = self._records.get(wish.tenant, [])
        told = list(reversed(records))
        there = sum(at < wish.started for at in self._committed.get(wish.tenant, ()))
        if len(told) < there or any(a is not b for a, b in zip(known, told, strict=False)):
            self._fail("P7", f"the access log shows {len(told)} of {there} records, or others")

    def _pending(self, wish: Wish, told: Sequence[Any], now: float) -> None:
        """Approvers see each grant that waited all the while, and none on which somebody had decided before."""
        named = {each.grant_id for each in told}
        for (tenant, grant_id), grant in self._grants.items():
            decided = min(self._approved.get(grant_id, math.inf), self._revoked.get(grant_id, math.inf))
            if grant_id in named and decided < wish.started:
                self._fail("P7", "a grant is said to wait on which somebody had decided")
            asked = self._committed[tenant][grant.sequence - 1]
            lapse = self._oracle._seconds(grant.requested_at + APPROVAL_WITHIN)
            if grant_id not in named and asked < wish.started and decided == math.inf and now < lapse - DRIFT:
                self._fail("P7", "a grant waits, and approvers are not told")

    def _ended_all(self, wish: Wish, now: float) -> None:
        for (tenant, _), grant in self._grants.items():
            asked = self._committed[tenant][grant.sequence - 1]
            mine = (tenant, grant.enrollment_id) == (wish.tenant, wish.enrollment) and asked < wish.started
            if mine and not self._has_ended(grant, now + DRIFT):
                self._fail("P7", "an end was put to all grants of an enrollment, and one goes on")

    def _expect_one(self, wish: Wish) -> None:
        if len(wish.records) != 1:
            self._fail("P7", f"a wish to {wish.kind} was answered, with {len(wish.records)} records")

    def _has_ended(self, grant: Any, now: float) -> bool:
        seconds = self._oracle._seconds
        if grant.revoked_at is not None:
            return True
        if grant.expires_at is not None:
            return now >= seconds(grant.expires_at)
        return now >= seconds(grant.requested_at + APPROVAL_WITHIN)

    def _fail(self, promise: str, what: str) -> None:
        self._oracle.fail(promise, what)
