"""What must be true of what reviewers make of captures, and of what leaves (P12); shares no code with the service.

It knows each export that was asked for, each blob that lies beside captures, when it came and in which container, and
which captures lay where and when. It unpacks each file, and finds by itself what should be in it.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from tests.simulation.oracle import JOB_MAX, SIGNED, SKEW, Name, Oracle, Term
from tests.simulation.reading import DRIFT, LEASE, Reading, Wish

SECOND_LOOK = 300.0
"""Seconds after its end from which nothing of an export can arrive any more, whatever had begun before."""

_ENDS = frozenset({"exportReady", "exportStopped"})
_EXPORT = re.compile(r"export-([0-9a-f]{32})(-wish)?")
_LABELS = re.compile(r"([0-9a-f]{32})-labels-[0-9a-f]{32}")
_TEXTS = ("input", "output", "inputMessages", "outputMessages")
_MEMBERS = {"day", "batchId", "line", "language", "capture", "labels"}
_STANDS = ("status", "unfinished", "day", "gone_through", "captures", "newest_day", "bytes", "sha256", "etag")
_CHANGES = frozenset({*_STANDS, "finished_at", "discarded_at", "reason"})


@dataclass(eq=False, slots=True)
class Made:
    """An export as it was asked for, and as it stands; ``kept`` is where its wish lies, and since when."""

    id: str
    tenant: str
    enrollment: str
    grant: str
    asked: Mapping[str, Any]
    requested: float
    value: Any
    answered: bool = False
    ended: float | None = None
    file: bytes | None = None
    lines: list[Any] = field(default_factory=list)
    kept: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Said:
    """What a reviewer said of a capture, as the client knows it: a comment, or None to take the label back."""

    reviewer: str
    comment: str | None
    started: float
    ended: float = float("inf")
    answered: bool = False


class Beside:
    """Watches exports, the blobs beside captures, and what leaves of them."""

    def __init__(self, oracle: Oracle, reading: Reading, access: Any, captures: Mapping[str, Any]) -> None:
        self.exports: dict[str, Made] = {}
        self.files = 0
        self._oracle = oracle
        self._reading = reading
        self._access = access
        self._captures = captures
        self._arrived: dict[tuple[str, str], float] = {}
        self._contents: dict[tuple[str, str], bytes] = {}
        self._lines: dict[tuple[str, str], list[Any]] = {}
        self._gone: dict[str, dict[date, float]] = {}
        self._stored: dict[tuple[str, str, str], float] = {}
        self._said: dict[tuple[date, str, int], list[Said]] = {}
        self._shown: dict[str, list[tuple[str, str, int]]] = {}

    # Captures

    def batch(self, name: str, batch: str, content: bytes) -> None:
        """A batch came to lie there."""
        self._arrived[name, batch], self._contents[name, batch] = self._oracle._time(), content
        self._lines.pop((name, batch), None)

    def container_gone(self, name: str) -> None:
        """A container and all that was in it is gone."""
        read = Name.read(name)
        if read is not None:
            self._gone.setdefault(read.enrollment, {})[read.day] = self._oracle._time()

    # What is on the record

    def changes(self) -> list[tuple[Any, Any]]:
        """Return the exports that are not as they were, each as it was and as it is; and remember them."""
        found = []
        for (_, export_id), value in self._access.exported.items():
            made = self.exports.get(export_id)
            if made is None or made.value is not value:
                found.append((None if made is None else made.value, value))
        return found

    def moved(self) -> None:
        """An export was changed off the record: only how far it has come, or that nothing is left to do."""
        for before, after in self.changes():
            if before is None:
                self._fail("P7", "an export began off the record")
                return
            made = self.exports[after.export_id]
            made.value = after
            changed = {name for name in type(after).model_fields if getattr(before, name) != getattr(after, name)}
            if before.status == "running" and changed <= {"day", "gone_through"}:
                if before.day is not None and before.day != after.day:
                    self._fail("P12", "an export was moved to another day")
                continue
            if before.status == "running" and changed == {"wish_kept"}:
                if not made.kept:
                    self._fail("P12", "an export says that what it is to hold is kept, and it is not")
                continue
            now, ended = self._oracle._time(), made.ended or 0.0
            if before.status != "running" and changed == {"discarded_at"}:
                if not ended - SKEW <= self._oracle._seconds(after.discarded_at) <= now + SKEW:
                    self._fail("P12", "what was left of an export was deleted at another time than it says")
                continue
            if before.status == "running" or changed != {"unfinished"} or after.unfinished:
                self._fail("P7", f"of an export that is {before.status} {', '.join(sorted(changed))} changed unsaid")
                continue
            if now < ended + SECOND_LOOK - SKEW:
                self._fail("P12", f"nothing is looked for any more of an export that was {after.status} just now")
            if self._left_of(made):
                self._fail("P12", f"an export was {after.status}, nothing is left to do, and a blob of it is there")

    def recorded(self, record: Any, wish: Wish | None, changed: Sequence[tuple[Any, Any]]) -> None:
        """Something of exports went on the record, under a grant of which the record says what it should."""
        says_so = record.action in {*_ENDS, "exportRequested", "exportDeleted"}
        if len(changed) != says_so:
            self._fail("P7", f"a record says {record.action}, and {len(changed)} exports changed")
            return
        if not record.action.startswith("export"):
            return
        before, after = changed[0] if changed else (None, None)
        if record.action == "exportRequested":
            self._requested(record, wish, before, after)
            return
        made = self.exports.get(record.export_id or "")
        if made is None or (made.tenant, made.enrollment) != (record.tenant_id, record.enrollment_id):
            self._fail("P7", f"a record says {record.action} of an export of another enrollment, or of none")
            return
        if record.action == "exportDownloaded":
            self._on_record_downloaded(record, wish, made)
            return
        other = [
            name
            for name in type(after).model_fields
            if name not in _CHANGES and getattr(after, name) != getattr(before, name)
        ]
        if after.export_id != made.id or other:
            self._fail("P7", f"with a record that says {record.action} an export became another one: {other}")
        made.value, made.ended = after, self._oracle._time()
        if after.finished_at != record.at:
            self._fail("P7", f"an export does not say when it was {after.status}")
        if after.discarded_at is not None or not after.unfinished:
            self._fail("P12", f"an export was {after.status} just now, and what is left of it has been deleted before")
        if record.action == "exportDeleted":
            if (before.status not in {"running", "ready"}, after.status, after.unfinished) != (False, "deleted", True):
                self._fail("P12", f"an export went from {before.status} to {after.status}")
            if wish is None or wish.export != made.id:
                self._fail("P7", "an export was deleted that nobody meant")
        elif before.status != "running":
            self._fail("P12", f"an export went from {before.status} to {after.status}")
        elif record.action == "exportReady":
            self._ready(record, made, after)
        else:
            self._stopped(record, made, after)

    def _requested(self, record: Any, wish: Wish | None, before: Any, after: Any) -> None:
        oracle = self._oracle
        if before is not None or wish is None or wish.kind != "export":
            self._fail("P7", "an export began that nobody asked for")
            return
        term = oracle.terms[record.enrollment_id]
        made = Made(after.export_id, wish.tenant, term.id, record.grant_id, wish.asked, oracle._time(), after)
        self.exports[made.id] = made
        wish.export = made.id
        told = (after.tenant_id, after.requested_by, after.requested_at, after.sequence, after.status, after.unfinished)
        if told != (wish.tenant, wish.actor, record.at, record.sequence, "running", True):
            self._fail("P7", "an export does not say who asked for it, and when")
        enrollment = after.enrollment
        if (after.grant_id, enrollment.enrollment_id, enrollment.storage_account) != (
            record.grant_id,
            term.id,
            term.account,
        ):
            self._fail("P7", "an export is of another enrollment than its grant opens, or lies elsewhere")
        asked = tuple(sorted(name for name in wish.asked if name not in {"firstDay", "lastDay"}))
        if not asked == tuple(sorted(after.filtered_by)) == tuple(sorted(record.filtered_by or ())):
            self._fail("P7", f"an export is filtered by {after.filtered_by}, and {asked} was asked for")
        if (record.export_id, record.first_day, record.last_day) != (
            made.id,
            after.first_day.isoformat(),
            after.last_day.isoformat(),
        ):
            self._fail("P7", "the record of a wish for an export says another one")
        days = [day for day, *_ in self._lay_there(made.asked, term, wish.started)]
        if days and not after.first_day <= min(days) <= max(days) <= after.last_day:
            self._fail("P12", "an export leaves out days of which there are captures")
        if (after.first_day, after.last_day) != (
            max(after.first_day, _day(wish.asked, "firstDay", after.first_day)),
            min(after.last_day, _day(wish.asked, "lastDay", after.last_day)),
        ):
            self._fail("P7", "an export goes through days for which nobody asked")

    def _ready(self, record: Any, made: Made, after: Any) -> None:
        """An export is told to be ready: then it is whole, without duplicates, and its grant is live."""
        oracle = self._oracle
        term, self.files = oracle.terms[made.enrollment], self.files + 1
        store = self._captures[term.account]
        why = self._ended_by_record(made, record)
        if why:
            self._fail("P7", f"an export became ready, and {why}")
        if after.day is None or made.file is None:
            self._fail("P12", "an export is ready, and there is no file")
            return
        name = f"{term.id[0]}-{after.day:%Y%m%d}-{term.id}"
        stored = store.beside.get((name, f"export-{made.id}"))
        if stored is None and after.day not in self._gone.get(term.id, {}):
            self._fail("P12", "an export is ready, and its file is not in the container of its day")
            return
        if stored is not None and (stored.value is not made.file or stored.etag != after.etag):
            self._fail("P12", "an export is ready, and its file is another one")
        days = [line["day"] for line in made.lines] or [after.day.isoformat()]
        told = (after.captures, after.bytes, after.sha256, after.day.isoformat(), after.newest_day.isoformat())
        oldest = after.day.isoformat() if "labelled" in made.asked else min(days)
        held = (len(made.lines), len(made.file), hashlib.sha256(made.file).hexdigest(), oldest, max(days))
        if told != held:
            self._fail("P12", f"an export that is ready says {told[:2]}, {told[3:]} and holds {held[:2]}, {held[3:]}")
        if not self._says(record, made):
            self._fail("P7", "the record of an export that is ready says other things than the export")
        there = {(line["day"], line["batchId"], line["line"]) for line in made.lines}
        for day, batch, line, _ in self._lay_there(made.asked, term, made.requested):
            if (day.isoformat(), batch, line) not in there:
                self._fail("P12", f"an export is ready without a capture of {day} that was there all the while")
                return

    def _stopped(self, record: Any, made: Made, after: Any) -> None:
        """An export was stopped: for a reason that there is."""
        oracle, now = self._oracle, self._oracle._time()
        term, reason = oracle.terms[made.enrollment], after.reason
        if (after.status, after.unfinished, record.reason) != ("stopped", True, reason):
            self._fail("P12", f"an export that was stopped is {after.status}")
        grant = self._reading._grants[made.tenant, made.grant]
        days = [after.first_day + timedelta(days=n) for n in range((after.last_day - after.first_day).days + 1)]
        gone = self._gone.get(term.id, {})
        over = any(gone.get(day, -1.0) >= made.requested for day in days) or any(
            oracle._day_starts(day) + min(oracle.retention.since(made.requested)) * 86400.0 <= now + DRIFT
            for day in ([after.day] if after.day is not None else days)
        )
        purged = term.purged is not None or (
            term.opted_out_at is not None and now + SKEW >= oracle._seconds(term.opted_out_at) + 30 * 86400.0
        )
        # Who was killed before saying that it was kept left nobody to know it when its container is gone.
        wish_lost = not made.kept or (not after.wish_kept and self._deleted_since(made) >= made.kept.keys())
        young = any(at > now - JOB_MAX for at in made.kept.values())
        right = {
            "grant-ended": self._reading._has_ended(grant, now + DRIFT),
            "review-stopped": term.stopped is not None,
            "data-gone": over or purged,
            "nothing-found": not any(True for _ in self._lay_there(made.asked, term, made.requested)),
            "interrupted": wish_lost or (young and not made.answered and not after.wish_kept),
        }
        if not right.get(str(reason)):
            self._fail("P12", f"an export was stopped for {reason}, and it is not so")

    def _on_record_downloaded(self, record: Any, wish: Wish | None, made: Made) -> None:
        if self._is_proved(self._oracle.terms[made.enrollment]):
            self._fail("P6", "a receipt tells of all downloads, and another one is on the record after it")
        if made.value.status != "ready":
            self._fail("P7", f"an export was downloaded that is {made.value.status}")
        elif wish is None or wish.export != made.id or not self._says(record, made):
            self._fail("P7", "the record of a download says another export, or other things of it")
        elif record.day != made.value.day.isoformat():
            self._fail("P7", "the record of a download says another day than that of the export")

    def downloads_of(self, term: Term) -> dict[str, Any]:
        """Return what a receipt has to claim of the downloads of an enrollment."""
        records = [
            each
            for each in self._reading._records.get(term.tenant, [])
            if (each.action, each.enrollment_id) == ("exportDownloaded", term.id)
        ]
        digest = hashlib.sha256()
        for each in records:
            digest.update(json.dumps(each.to_json(), sort_keys=True, separators=(",", ":")).encode() + b"\n")
        return {
            "records": len(records),
            "sha256": list(dict.fromkeys(each.sha256 for each in records)),
            "recordsHash": digest.hexdigest(),
            "copiesCovered": False,
        }

    def _says(self, record: Any, made: Made) -> bool:
        value = made.value
        return (record.export_id, record.captures, record.sha256, record.first_day, record.last_day) == (
            made.id,
            value.captures,
            value.sha256,
            value.day.isoformat(),
            value.newest_day.isoformat(),
        )

    def _ended_by_record(self, made: Made, record: Any) -> str:
        """Return why an export may not be told to be ready, in the order of the records; "" if it may."""
        oracle, term = self._oracle, self._oracle.terms[made.enrollment]
        grant = self._reading._grants[made.tenant, made.grant]
        at = oracle._seconds(record.at)
        if grant.revoked_at is not None:
            return "its grant had been revoked"
        if record.at >= grant.expires_at:
            return "its grant had expired"
        if term.stopped is not None and at > term.stopped + DRIFT:
            return "nobody may read that enrollment any more"
        if term.opted_out_at is not None and record.at >= term.opted_out_at + timedelta(days=30, seconds=SKEW):
            return "its enrollment was over"
        return ""

    # What clients are answered

    def requested(self, wish: Wish, answer: Any) -> None:
        """A 202: there is that export."""
        made = self.exports.get(answer.export_id)
        if made is None or wish.export != made.id:
            self._fail("P7", "an export was answered that nobody stored")
            return
        made.answered = True

    def downloaded(self, wish: Wish, answer: Any) -> None:
        """Some of a file leaves: what the record says, and nothing that had ended."""
        record, oracle = wish.records[0], self._oracle
        made = self.exports[record.export_id]
        assert made.file is not None
        first, after_last = record.first_byte, record.last_byte + 1
        if (answer.start, bytes(answer.content)) != (first, made.file[first:after_last]):
            self._fail("P7", "what was downloaded is not what is on the record")
        start, end = wish.range
        wanted = max(len(made.file) + start, 0) if start < 0 else start
        most = len(made.file) if end is None else min(end, len(made.file))
        if first != wanted or not first < after_last <= most:
            self._fail("P12", f"bytes {first} to {after_last} were downloaded, {start} to {end} was asked for")
        if hashlib.sha256(made.file).hexdigest() != record.sha256:
            self._fail("P7", "what was downloaded has another hash than the record says")
        self._reading.leaves(wish, record, made.value.day, oracle._time())

    def deleted(self, wish: Wish) -> None:
        """A 204: the export has ended."""
        made = self.exports[wish.export or ""]
        if made.value.status in {"running", "ready"}:
            self._fail("P12", f"an export was answered to be deleted, and it is {made.value.status}")

    def listed(self, wish: Wish, exports: Sequence[Any]) -> None:
        """The exports of a tenant were shown: all that had been asked for."""
        told = {each.export_id for each in exports}
        for made in self.exports.values():
            if made.tenant == wish.tenant and made.requested < wish.started and made.id not in told:
                self._fail("P12", "an export is not shown")
        if any(self.exports[each].tenant != wish.tenant for each in told):
            self._fail("P7", "an export of another tenant is shown")

    def must_open(self, wish: Wish, term: Term) -> bool:
        """Tell whether a live grant for an enrollment must open what was wished for, as far as exports go."""
        if wish.kind in {"export", "find", "sample"}:
            return wish.first and any(True for _ in self._lay_there(wish.asked, term, wish.started))
        if wish.export is None or wish.kind not in {"download", "delete export"}:
            return True
        made = self.exports[wish.export]
        if made.enrollment != term.id:
            return False
        is_file = made.value.status == "ready" and (made.ended or 0.0) < wish.started
        return wish.kind == "delete export" or is_file

    def page(self, wish: Wish, answer: Any, now: float) -> None:
        """Captures that were found leave: as they are stored, and each on the record."""
        record = wish.records[1]
        names = tuple(f"{each.found.day}/{each.found.batch_id}/{each.found.line}" for each in answer.value)
        opened = tuple(record.opened or ())
        over = {day for day in {name[:10] for name in opened} if self._may_be_over(date.fromisoformat(day), wish, now)}
        left = tuple(name for name in opened if name in names or name[:10] not in over)
        if (record.captures, left) != (len(opened), names):  # a day may end behind the record
            self._fail("P7", "what was found is not what is on the record")
        if len(set(names)) != len(names):
            self._fail("P12", "a capture was found twice on a page")
        for each in answer.value:
            found = each.found
            name = f"{record.enrollment_id[0]}-{found.day:%Y%m%d}-{record.enrollment_id}"
            known = self._lines_of(name, found.batch_id)
            if found.line >= len(known) or found.capture != known[found.line]:
                self._fail("P7", "what was found is no capture of that enrollment, or not as it was stored")
            elif not _matches(wish.asked, found.day, found.capture):
                self._fail("P12", "a capture was found that nobody looked for")
            self._check_said(found.day, found.batch_id, found.line, [(by, label.comment) for by, label in found.labels])
            self._reading.leaves(wish, record, found.day, now)

    def _may_be_over(self, day: date, wish: Wish, now: float) -> bool:
        oracle = self._oracle
        return oracle._day_starts(day) + min(oracle.retention.since(wish.started)) * 86400.0 <= now + DRIFT

    def all_found(self, wish: Wish, names: Sequence[str]) -> None:
        """All pages of a search, of which this was the first, have been shown: nothing is missing, or there twice."""
        if not wish.records:
            return
        term = self._oracle.terms[wish.records[0].enrollment_id]
        if len(set(names)) != len(names):
            self._fail("P12", "a capture was found twice")
        for day, batch, line, _ in self._lay_there(wish.asked, term, wish.started):
            if f"{day}/{batch}/{line}" not in names:
                self._fail("P12", f"a search shows no capture of {day} that was there all the while")
                return

    # Labels

    def says(self, wish: Wish, comment: str | None) -> Said:
        """A reviewer begins to say something of a capture, or to take it back."""
        assert wish.day is not None and wish.batch is not None and wish.line is not None
        said = Said(wish.actor, comment, wish.started)
        self._said.setdefault((wish.day, wish.batch, wish.line), []).append(said)
        return said

    def has_said(self, said: Said, how: str) -> None:
        """That was answered, or not: then it may yet be stored, as long as a signature lasts."""
        said.answered = how == "ok"
        said.ended = self._oracle._time() + (0.0 if how == "ok" else 2 * SIGNED + SKEW)

    def labels_shown(self, wish: Wish, answer: Sequence[Any], now: float) -> None:
        """What all reviewers say of a batch leaves: what they have said last."""
        assert wish.day is not None and wish.batch is not None
        self._reading.leaves(wish, wish.records[0], wish.day, now)
        shown = {(line, each.reviewer): label.comment for each in answer for line, label in each.labels.items()}
        name = f"{wish.records[0].enrollment_id[0]}-{wish.day:%Y%m%d}-{wish.records[0].enrollment_id}"
        for (line, by), comment in shown.items():
            self._check_said(wish.day, wish.batch, line, [(by, comment)])
        for (day, batch, line), all_said in self._said.items():
            if (day, batch) != (wish.day, wish.batch):
                continue
            for by in {each.reviewer for each in all_said}:
                mine = [each for each in all_said if each.reviewer == by]
                last = max(mine, key=lambda each: each.started)
                others_done = all(each.ended < last.started for each in mine if each is not last)
                since = self._arrived.get((name, batch), now)
                if not last.answered or last.ended >= wish.started or not others_done or since >= last.started:
                    continue
                if shown.get((line, by)) != last.comment:
                    self._fail("P12", "a label is not what its reviewer said last")

    def _check_said(self, day: date, batch: str, line: int, told: Sequence[tuple[str, Any]]) -> None:
        known = {(each.reviewer, each.comment) for each in self._said.get((day, batch, line), ())}
        if not set(told) <= known:
            self._fail("P12", "a label is shown that nobody put there")

    def _label(self, account: str, name: str, blob: str, wish: Any, content: bytes) -> None:
        """Labels have arrived: beside the batch of which they speak, on the word of a look at a grant for it."""
        oracle, now, match = self._oracle, self._oracle._time(), _LABELS.fullmatch(blob)
        read = Name.read(name)
        if match is None or read is None or not isinstance(wish, Wish) or not wish.records:
            self._fail("P12", f"a blob lies beside captures that nobody asked for, in {name}")
            return
        record = wish.records[0]
        if (read.enrollment, read.day, match[1]) != (record.enrollment_id, wish.day, wish.batch):
            self._fail("P12", f"labels lie in {name}, and not beside their batch")
        said = json.loads(content)
        if said["reviewer"] != wish.actor:
            self._fail("P7", "a reviewer wrote another one's labels")
        why = self._grant_ended(wish.tenant, record.grant_id, read.enrollment, name, SIGNED + SKEW)
        if why:
            self._fail("P7", f"labels were stored, and {why}")
        self._stored[account, name, blob] = now
        expires = oracle.retention.deadline(oracle._day_starts(read.day))
        if now >= expires:
            self._fail("P4", f"labels were stored beside captures of {read.day} after the day's deadline")
        oracle._call_at(expires, self._gone_by_retention, account, name, blob)

    # What is seen in storage

    def begun(self, work: Any, name: str, blob: str) -> None:
        """An instance begins to write beside captures, by its own lights under a grant that is live."""
        self._oracle.checks += 1
        made, why = self._of(blob), ""
        wish = getattr(work, "sent", None)
        if made is not None:
            why = self._ended(made, name, LEASE)
        elif isinstance(wish, Wish) and wish.records:
            record = wish.records[0]
            why = self._grant_ended(wish.tenant, record.grant_id, record.enrollment_id, name, LEASE)
        if why:
            self._fail("P7", f"a write beside captures was begun, and {why}")

    @staticmethod
    def _is_proved(term: Term) -> bool:
        """Tell whether a receipt holds; data that came back belies it, and can be read until it is purged anew."""
        return term.verified is not None and term.purged is not None

    def arrived(self, work: Any, account: str, name: str, blob: str, content: bytes) -> None:
        """A blob, or a piece of one, has arrived beside captures."""
        oracle, now = self._oracle, self._oracle._time()
        oracle.checks += 1
        if _EXPORT.fullmatch(blob) is None:
            self._label(account, name, blob, getattr(work, "sent", None), content)
            return
        read = Name.read(name)
        term = oracle.terms.get(read.enrollment) if read is not None else None
        made, match = self._of(blob), _EXPORT.fullmatch(blob)
        if read is None or term is None or made is None or match is None:
            self._fail("P12", f"a blob lies beside captures that nobody asked for, in {name}")
            return
        if term.id != made.enrollment or account != term.account:
            self._fail("P12", f"a blob of an export lies in {name} of {account}, beside others' captures")
            return
        if self._is_proved(term):
            assert term.verified is not None
            self._fail("P6", f"a blob came to lie beside captures {now - term.verified:.0f} s after the receipt")
        why = self._ended(made, name, SIGNED + SKEW)
        if why:
            self._fail("P7", f"a blob came to lie beside captures, and {why}")
        expires = oracle.retention.deadline(oracle._day_starts(read.day))
        if now >= expires:
            self._fail("P4", f"a blob came to lie beside captures of {read.day} after the day's deadline")
        if not made.value.unfinished:
            self._fail("P12", f"a blob of an export came that was {made.value.status}, when nobody looked any more")
        self._stored[account, name, blob] = now
        oracle._call_at(expires, self._gone_by_retention, account, name, blob)
        if match[2]:
            made.kept[name] = now
            if not made.value.first_day <= read.day <= made.value.last_day:
                self._fail("P4", "what was asked for lies in the container of a day that is not asked for")
            elif self._is_newer_there(made, account, read.day):
                self._fail("P12", "what was asked for lies where retention comes before the export's newest day")
        elif made.value.day != read.day:
            self._fail("P12", f"a piece of an export of {made.value.day} lies in {name}")

    def piece(self, name: str, blob: str, content: bytes) -> None:
        """A piece of a file was staged; nothing in it is of an older day than its container."""
        read, made = Name.read(name), self._of(blob)
        if read is not None and made is not None:
            self._check_lines(made, read.day, _unpacked(content))

    def filed(self, account: str, name: str, blob: str) -> None:
        """Pieces were put together: they are a file from now on, in the container of the oldest day that it holds."""
        read, made = Name.read(name), self._of(blob)
        if read is None or made is None:
            return
        if made.file is not None:
            self._fail("P12", "a file was put together twice")
        made.file = self._captures[account].beside[name, blob].value
        made.lines = _unpacked(made.file)
        self._check_lines(made, read.day, made.lines)
        oldest = min((line["day"] for line in made.lines), default="")
        if oldest != read.day.isoformat() and "labelled" not in made.asked:  # else the first label may be gone by now
            self._fail("P12", f"the file in {name} does not lie in the container of the oldest day that it holds")
        if len({(line["day"], line["batchId"], line["line"]) for line in made.lines}) != len(made.lines):
            self._fail("P12", "a capture is in an export twice")

    def _check_lines(self, made: Made, oldest: date, lines: Sequence[Any]) -> None:
        """Each line is a capture of that enrollment as it was stored, and one of those that were asked for."""
        for line in lines:
            day = date.fromisoformat(line["day"])
            name = f"{made.enrollment[0]}-{day:%Y%m%d}-{made.enrollment}"
            known = self._lines_of(name, line["batchId"])
            if day < oldest:
                self._fail("P4", f"a capture of {day} lies in an export that is kept as long as {oldest}")
            elif set(line) != _MEMBERS or line["line"] >= len(known) or line["capture"] != known[line["line"]]:
                self._fail("P12", "a line of an export is no capture of that enrollment, or not as it was stored")
            elif not _matches(made.asked, day, line["capture"]):
                self._fail("P12", "a capture is in an export that nobody asked for")
            said = [(each["reviewer"], each.get("comment")) for each in line["labels"]]
            self._check_said(day, line["batchId"], line["line"], said)
            if "labelled" in made.asked and not said:
                self._fail("P12", "a capture without a label is in an export of those that have one")

    def retention_changed(self) -> None:
        """All instances live by another setting from now on; what is stored may be due sooner."""
        for account, name, blob in list(self._stored):
            read = Name.read(name)
            if read is not None and self._is_there(account, name, blob):
                expires = self._oracle.retention.deadline(self._oracle._day_starts(read.day))
                self._oracle._call_at(expires, self._gone_by_retention, account, name, blob)

    def _gone_by_retention(self, account: str, name: str, blob: str) -> None:
        oracle, read = self._oracle, Name.read(name)
        oracle.checks += 1
        assert read is not None
        expires = oracle.retention.deadline(oracle._day_starts(read.day))
        if oracle._time() < expires:
            oracle._call_at(expires, self._gone_by_retention, account, name, blob)  # the setting is longer by now
        elif self._is_there(account, name, blob) and not oracle.nothing_owed and name not in oracle.waived:
            self._fail("P4", f"a blob is stored beside captures in {name}, after their day's deadline")

    def check_end(self) -> None:
        """After all faults have stopped and the timer has run, each export has ended, and nothing is left of it."""
        for made in self.exports.values():
            if made.value.status == "running" or made.value.unfinished:
                self._fail("P12", f"an export is {made.value.status} and unfinished at the end")
            elif self._left_of(made):
                self._fail("P12", f"an export was {made.value.status}, and a blob of it is left at the end")

    # Its own arithmetic

    def _of(self, blob: str) -> Made | None:
        match = _EXPORT.fullmatch(blob)
        return None if match is None else self.exports.get(match[1])

    def _ended(self, made: Made, name: str, since: float) -> str:
        """Return what had ended so many seconds ago of that which a write rests on; "" if nothing had."""
        return self._grant_ended(made.tenant, made.grant, made.enrollment, name, since)

    def _grant_ended(self, tenant: str, grant_id: str, enrollment: str, name: str, since: float) -> str:
        oracle, reading = self._oracle, self._reading
        now, term = oracle._time(), oracle.terms[enrollment]
        grant, read = reading._grants[tenant, grant_id], Name.read(name)
        revoked = reading._revoked.get(grant_id)
        if revoked is not None and now > revoked + since:
            return f"its grant had been revoked {now - revoked:.0f} s before"
        if term.stopped is not None and now > term.stopped + since:
            return f"nobody may read that enrollment any more since {now - term.stopped:.0f} s"
        late = now - DRIFT
        if late > oracle._seconds(grant.expires_at):
            return "its grant had expired"
        if term.opted_out_at is not None and late > oracle._seconds(term.opted_out_at) + 30 * 86400.0:
            return "its enrollment was over"
        if read is not None and late > oracle._day_starts(read.day) + oracle.retention.longest_since(late) * 86400.0:
            return "its day was over"
        return ""

    def _is_newer_there(self, made: Made, account: str, day: date) -> bool:
        """Tell whether a later day that was asked for has had captures since before that, and has them still."""
        store, gone = self._captures[account], self._gone.get(made.enrollment, {})
        for name, batches in self._oracle._stored[account].items():
            read = Name.read(name)
            if read is None or read.enrollment != made.enrollment or not day < read.day <= made.value.last_day:
                continue
            is_there = name in store.containers and name not in store.being_deleted and read.day not in gone
            if is_there and any(self._arrived[name, batch] < made.requested for batch in batches):
                return True
        return False

    def _left_of(self, made: Made) -> bool:
        """Tell whether there is a blob of an export anywhere, or a piece of one, that is no file to be downloaded."""
        blobs = {f"export-{made.id}-wish"} | ({f"export-{made.id}"} if made.value.status != "ready" else set())
        return any(
            place[1] in blobs
            for store in self._captures.values()
            for kept in (store.beside, store.pieces)
            for place in kept
        )

    def _is_there(self, account: str, name: str, blob: str) -> bool:
        store = self._captures[account]
        return (name, blob) in store.beside or (name, blob) in store.pieces

    def _deleted_since(self, made: Made) -> set[str]:
        gone = self._gone.get(made.enrollment, {})
        days = [day for day, at in gone.items() if at >= made.requested]
        return {f"{made.enrollment[0]}-{day:%Y%m%d}-{made.enrollment}" for day in days}

    def _lines_of(self, name: str, batch: str) -> list[Any]:
        if (name, batch) not in self._lines:
            content = self._contents.get((name, batch))
            self._lines[name, batch] = [] if content is None else _unpacked(content)
        return self._lines[name, batch]

    def _lay_there(self, asked: Mapping[str, Any], term: Term, since: float) -> Iterator[tuple[date, str, int, Any]]:
        """Yield each capture for which an export was asked, and that lies there since then and until now."""
        oracle = self._oracle
        if "labelled" in asked:
            return  # who labels what meanwhile is the reviewers' own business
        today = (oracle.base + timedelta(seconds=since - DRIFT)).date()
        for name, batches in oracle._stored[term.account].items():
            read = Name.read(name)
            if read is None or read.enrollment != term.id or not batches or read.day > today:
                continue
            if oracle._expired(name) or oracle._by_hand(term.account, name) is not None:
                continue
            for batch in batches:
                if self._arrived[name, batch] >= since:
                    continue
                for line, capture in enumerate(self._lines_of(name, batch)):
                    if _matches(asked, read.day, capture):
                        yield read.day, batch, line, capture

    def _fail(self, promise: str, what: str) -> None:
        self._oracle.fail(promise, what)


def _unpacked(content: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def _day(asked: Mapping[str, Any], name: str, otherwise: date) -> date:
    return date.fromisoformat(asked[name]) if name in asked else otherwise


def _matches(asked: Mapping[str, Any], day: date, capture: Mapping[str, Any]) -> bool:
    """Tell whether a capture is as was asked for."""
    if not _day(asked, "firstDay", day) <= day <= _day(asked, "lastDay", day):
        return False
    if "feature" in asked and capture.get("feature") != asked["feature"]:
        return False
    at = capture.get("capturedAt")
    if "capturedBefore" in asked and not (
        isinstance(at, str) and datetime.fromisoformat(at) < datetime.fromisoformat(asked["capturedBefore"])
    ):
        return False
    texts = [text for name in _TEXTS for text in _texts(capture.get(name))]
    return "text" not in asked or any(asked["text"].lower() in text.lower() for text in texts)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value if isinstance(value, list) else value.values():
            yield from _texts(each)
