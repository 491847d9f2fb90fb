"""What must be true of exported spans (D17, D18, and what is promised of captures); shares no code with the service."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulation.oracle import AHEAD, DAY, SIGNED, SKEW, Name, Oracle, Sent

PERSON = "person~"
"""What the id and the name of each person begin with; nothing that is stored may hold it (D18)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A span as its client knows it; ``at`` is when it ended, in seconds of true time."""

    id: str
    tenant: str
    at: float
    person: str


@dataclass(eq=False, slots=True)
class Export:
    """One attempt of an export; ``stored`` is what has come to storage by it."""

    spans: Mapping[str, Told]
    started: float
    ended: float = float("inf")
    stored: set[str] = field(default_factory=set)


class Spans:
    """Watches what is exported, what is answered, and where in storage it lies."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._exports: dict[str, list[Export]] = {}
        self._places: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._pseudonyms: dict[tuple[str, str], str] = {}
        self._persons: dict[str, tuple[str, str]] = {}
        self._batches: dict[str, list[str]] = {}

    # What clients do

    def sent(self, spans: Sequence[Told]) -> Export:
        """An export begins."""
        export = Export({each.id: each for each in spans}, self._oracle._time())
        for each in export.spans:
            self._exports.setdefault(each, []).append(export)
        return export

    def failed(self, export: Export, until: float) -> None:
        """A 5xx, or no answer; until ``until`` it may still be stored."""
        export.ended = max(self._oracle._time(), until)

    def accepted(self, export: Export, refused: Mapping[str, int], until: float) -> None:
        """A 200, and how many are refused for what reason: all others are stored, or were."""
        oracle = self._oracle
        now = oracle._time()
        export.ended = max(now, until)
        oracle.notice(None)
        spans = export.spans.values()
        taken = len(spans) - sum(refused.values())
        allowed = sum(oracle._withdrawn_since(each.tenant, export.started) is None for each in spans)
        if taken > allowed:
            oracle.fail("P2", f"{taken} spans were acknowledged, and {allowed} are not of tenants that had opted out")
        stored = sum(self._is_stored(each, export) for each in spans)
        if taken > stored:
            oracle.fail("D17", f"{taken} spans were acknowledged, and {stored} are stored")
        if taken < len(export.stored):
            oracle.fail("D17", f"{len(export.stored)} spans were stored, and only {taken} of them not refused")
        owed = sum(self._is_owed(each, export, now) for each in spans)
        if taken + refused.get("geo-not-served", 0) < owed:
            oracle.fail("P9", f"{owed} spans had to be taken, and {taken} were")

    def _is_stored(self, told: Told, export: Export) -> bool:
        """Tell whether it is there, in an enrollment on whose word it may have been taken, or was until just now."""
        for term in self._oracle.terms.values():
            place = self._places.get((term.id, told.id))
            if place is None or (term.ended is not None and term.ended < export.started - SKEW):
                continue
            removed = self._oracle._removed.get("/".join(place[1:]), float("inf"))
            if self._is_live(place) or export.started <= removed <= self._oracle._time():
                return True
        return False

    def _is_live(self, place: tuple[str, str, str]) -> bool:
        account, name, batch = place
        return batch in self._oracle._stored[account].get(name, {})

    def _is_owed(self, told: Told, export: Export, now: float) -> bool:
        """Tell whether its tenant shared data all the while, by whichever clock, and it ended when it may have."""
        oracle = self._oracle
        terms = [each for each in oracle.terms.values() if each.tenant == told.tenant and each.ended is None]
        if not terms or terms[0].began > export.started - SKEW:
            return False
        until = oracle.agreements.ends(terms[0].id)
        return (
            (until is None or until > now + SKEW)
            and oracle._seconds(terms[0].opted_in_at) <= told.at
            and now - DAY + SKEW < told.at < export.started + AHEAD - SKEW
        )

    # What is seen in storage

    def batch(self, account: str, name: str, batch: str, lines: Sequence[Mapping[str, Any]], work: Any) -> str:
        """One is there: the captures of spans, or none in the place of some that never came."""
        oracle = self._oracle
        now = oracle._time()
        read = Name.read(name)
        term = oracle.terms.get(read.enrollment) if read else None
        tag = f"spans {len(self._batches)}"
        self._batches[tag] = [_id(line) for line in lines]
        if read is None or term is None:
            oracle.fail("P1", "spans were stored for no enrollment")
            return tag
        self._written(term, "a batch of spans", now)
        if len(set(self._batches[tag])) < len(lines):
            oracle.fail("D17", "a span is twice in a batch")
        mine = getattr(work, "sent", None)
        racing = [mine] if isinstance(mine, Export) else []
        instants = []
        for line in lines:
            attempts = [each for each in self._exports.get(_id(line), ()) if each.ended >= now]
            if not attempts:
                oracle.fail("P1", "a span was stored that nobody exported")
                return tag
            told = attempts[0].spans[_id(line)]
            instants.append(told.at)
            racing += attempts
            by = [mine] if mine in attempts else attempts
            by[0].stored.add(told.id)
            if term.tenant != told.tenant:
                oracle.fail("P1", "a span of one tenant was stored for another")
            if told.at < term.asked - SKEW:
                oracle.fail("P1", f"a span from before the opt-in was stored: {oracle.at(told.at)}")
            if all(oracle._withdrawn_since(term.tenant, each.started) is not None for each in by):
                oracle.fail("P2", "a span was stored that was exported after an opt-out had been answered")
            if (oracle.base + timedelta(seconds=told.at)).date() != read.day or line["capturedAt"] != self._iso(
                told.at
            ):
                oracle.fail("P4", f"a span of {oracle.at(told.at)} is stored as one of {line['capturedAt']} in {name}")
            if told.at > now + AHEAD + SKEW or told.at < now - DAY - SIGNED - SKEW:
                oracle.fail("P4", f"a span of {oracle.at(told.at)} was stored at {oracle.at(now)}")
            place = self._places.get((term.id, told.id))
            if place is not None and self._is_live(place):
                oracle.fail("D17", f"a span was stored twice, {name} has it in {place[2][:8]} and {batch[:8]}")
            self._places[term.id, told.id] = account, name, batch
            self._person(term, told, line)
        if lines:
            oracle.agreements.stored(term.id, now)
        # One without captures is there as long as its container, which the day says.
        first = min(instants, default=oracle._day_starts(read.day))
        sent = Sent(term.tenant, "", tag, tuple(instants) or (first,), now, now)
        oracle._sent[tag] = [sent, *dict.fromkeys(racing)]
        expires = oracle._expires(first)
        if now >= expires:
            oracle.fail("P4", f"spans of {oracle.at(first)} were stored at {oracle.at(now)}")
        oracle._call_at(expires, oracle._gone_by_retention, account, name, tag)
        return tag

    def record(self, name: str, record: bytes) -> None:
        """Spans are claimed in a log, which holds no more of them than their ids, and comes no later than a batch."""
        read = Name.read(name)
        term = self._oracle.terms.get(read.enrollment) if read else None
        if term is None:
            self._oracle.fail("P1", "spans were claimed for no enrollment")
            return
        self._written(term, "a claim of spans", self._oracle._time())
        for line in gzip.decompress(record).splitlines():
            said = json.loads(line)
            if set(said) != {"batch", "spans"} or not all(each in self._exports for each in said["spans"]):
                self._oracle.fail("P8", f"a log says more than which batch has which spans: {line[:300]!r}")

    def is_batch(self, tag: str, lines: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether those are the captures of a batch that was stored."""
        return self._batches.get(tag) == [_id(line) for line in lines]

    def _written(self, term: Any, what: str, now: float) -> None:
        since = self._oracle._withdrawn_since(term.tenant, now - SIGNED - SKEW)
        if since is not None:
            self._oracle.fail("P2", f"{what} was stored {now - since:.0f} s after an opt-out had been answered")
        if term.verified is not None:
            self._oracle.fail("P6", f"{what} was stored {now - term.verified:.0f} s after the receipt")

    def _person(self, term: Any, told: Told, line: Mapping[str, Any]) -> None:
        if PERSON in json.dumps(line):
            self._oracle.fail("D18", "a capture names a person")
        pseudonym = line.get("userId")
        if pseudonym is None:
            self._oracle.fail("D18", "a capture does not tell its person from others")
            return
        if self._pseudonyms.setdefault((term.id, told.person), pseudonym) != pseudonym:
            self._oracle.fail("D18", "a person has two pseudonyms within an enrollment")
        if self._persons.setdefault(pseudonym, (term.id, told.person)) != (term.id, told.person):
            self._oracle.fail("D18", "a pseudonym is that of another person, or of another enrollment, too")

    def _iso(self, at: float) -> str:
        return f"{(self._oracle.base + timedelta(seconds=at)).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _id(line: Mapping[str, Any]) -> str:
    return f"{line.get('traceId')}{line.get('spanId')}"


def nanoseconds(instant: datetime) -> int:
    """Return an instant as spans have it."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
