"""Bugs of exported spans (D17, D18): stored twice, or not at all, or under another's word."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.model import deadlines
from shared.model.capture import compressed
from shared.model.containers import DayContainer
from shared.ports import Permit, Put, StoreUnavailable, TryAgain
from shared.sharing import captures as captures_module
from shared.sharing import data_sharing, span_logs, traces
from shared.sharing.captures import Captures
from shared.sharing.span_logs import SpanLogs
from shared.sharing.traces import Refusal, Traces
from shared.stores.memory import MemoryCaptures
from tests.simulation.planted.registry import Instead, mutant, patched

CLAIM, LOG, OTHERS = span_logs._claim, span_logs._Log, span_logs._Others


@mutant("a span's batch is put before it is claimed")
def _() -> Iterator[None]:
    store = SpanLogs.store

    async def hasty(self: SpanLogs, permit: Any, account: Any, container: str, minute: Any, spans: Any) -> None:
        log = self._logs.get((container, f"spans-{minute:%H%M}"), LOG())
        new = {span: line for span, line in spans.items() if span not in log.claims}
        if new:
            batch_id = span_logs._batch_id(span_logs._digest(new), 0)
            await account.put_batch(permit, container, batch_id, compressed(new.values()), _hash(batch_id))
        await store(self, permit, account, container, minute, new or spans)

    with patched(SpanLogs, "store", hasty):
        yield


@mutant("spans are stored without a claim")
def _() -> Iterator[None]:
    async def unclaimed(permit: Any, *of: Any) -> bool:
        """As where no append were needed, because each export came again as it was."""
        _, _, log, batch_id, spans = of
        for span in spans:
            log.claims[span].append(batch_id)
        return False

    with patched(span_logs, "_claim", unclaimed):
        yield


@mutant("what others appended since is not read")
def _() -> Iterator[None]:
    async def read_log(self: MemoryCaptures, container: str, log: str, start: int) -> bytes:
        return b""

    def add(self: Any, start: int, records: bytes) -> None:
        self.end = max(self.end, start)
        noted(self, start, records)

    noted = LOG.add
    with patched(MemoryCaptures, "read_log", read_log), patched(LOG, "add", add):
        yield


@mutant("a log is only read by who knows nothing of it")
def _() -> Iterator[None]:
    add = LOG.add

    def once(self: Any, start: int, records: bytes) -> None:
        if self.end and start > self.end:
            self.end = start
        add(self, start, records)

    async def claim(permit: Any, store: Any, place: Any, known: Any, *of: Any) -> bool:
        class Forgetful(Instead):
            @staticmethod
            async def read_log(container: str, name: str, start: int) -> bytes:
                return b"" if known.end else await store.read_log(container, name, start)

        return await CLAIM(permit, Forgetful(store), place, known, *of)  # type: ignore[arg-type]

    with patched(span_logs, "_claim", claim), patched(LOG, "add", once):
        yield


@mutant("who claimed a span first has stored it")
def _() -> Iterator[None]:
    async def trusting(self: Any, owner: str) -> bool:
        return True

    with patched(OTHERS, "_is_stored", trusting):
        yield


@mutant("a claim is void without a tombstone")
def _() -> Iterator[None]:
    async def polite(self: Any, owner: str) -> bool:
        return await self._store.find_batch(self._container, owner, span_logs._VOID_HASH) is Put.OTHER

    with patched(OTHERS, "_is_stored", polite):
        yield


@mutant("a tombstone is taken for a batch")
def _() -> Iterator[None]:
    is_stored = OTHERS._is_stored

    async def credulous(self: Any, owner: str) -> bool:
        found = await self._store.find_batch(self._container, owner, span_logs._VOID_HASH)
        return found is not None or await is_stored(self, owner)

    with patched(OTHERS, "_is_stored", credulous):
        yield


@contextmanager
def _lost_batches(take: Any) -> Iterator[None]:
    """Let ``take`` say what becomes of a batch whose place something else has taken."""
    stored = SpanLogs.store

    async def otherwise(self: SpanLogs, permit: Any, store: Any, *of: Any) -> None:
        class Content(Instead):
            @staticmethod
            async def put_batch(permit: Any, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
                put = await store.put_batch(permit, container, batch_id, content, body_hash)
                return take() if put is Put.OTHER and body_hash != span_logs._VOID_HASH else put

        await stored(self, permit, Content(store), *of)  # type: ignore[arg-type]

    with patched(SpanLogs, "store", otherwise):
        yield


@mutant("a batch whose place a tombstone took counts as stored")
def _() -> Iterator[None]:
    with _lost_batches(lambda: Put.SAME):
        yield


@mutant("a name that a tombstone has taken is tried again and again")
def _() -> Iterator[None]:
    def stubborn() -> Put:
        raise TryAgain("span-log-contended")

    with _lost_batches(stubborn):
        yield


@mutant("a claim that may have failed is known as made")
def _() -> Iterator[None]:
    async def sure(*of: Any) -> bool:
        try:
            return await CLAIM(*of)
        except StoreUnavailable:
            log, batch_id, spans = of[-3:]
            for span in spans:
                if batch_id not in log.claims[span]:
                    log.claims[span].append(batch_id)
            raise

    with patched(span_logs, "_claim", sure):
        yield


@mutant("who claimed a span last has it")
def _() -> Iterator[None]:
    have_stored = OTHERS.have_stored

    async def last(self: Any, claims: Any, batch_id: str) -> bool:
        return await have_stored(self, claims[::-1], batch_id)

    with patched(OTHERS, "have_stored", last):
        yield


@mutant("a batch has the name of its spans without what claimed them before")
def _() -> Iterator[None]:
    with patched(span_logs, "_digest", lambda spans: _hash(repr(sorted(spans)[:1]))):
        yield


@mutant("consent is not asked afresh for spans")
def _() -> Iterator[None]:
    persist = Captures.persist

    async def at_first(self: Captures, permit: Permit, *of: Any) -> Any:
        *others, attempt = of

        async def rested(_: Permit) -> Any:
            return await attempt(_Held(permit.setting, permit.read_at, permit.agreed_until))

        return await persist(self, permit, *others, rested if "_of_minute" in attempt.__qualname__ else attempt)

    with patched(Captures, "persist", at_first):
        yield


class _Held(Permit):
    """What was read once, believed for as long as an export lasts."""

    holds = True  # type: ignore[assignment]

    @property
    def expires_at(self) -> datetime:
        return datetime.max.replace(tzinfo=UTC)


@contextmanager
def _in_exports(check: Any, earliest: Any, latest: Any = deadlines.latest_capture) -> Iterator[None]:
    """Judge the times of spans otherwise, and those of what is posted as ever."""
    of_minute, judge = Traces._of_minute, captures_module._check_instants
    exporting: ContextVar[bool] = ContextVar("exporting", default=False)

    async def marked(self: Traces, *of: Any) -> Any:
        exporting.set(True)  # for the rest of a task that does nothing else
        return await of_minute(self, *of)

    def judged(instants: Any, now: datetime, started_at: datetime) -> None:
        (check if exporting.get() else judge)(instants, now, started_at)

    class Deadlines:
        earliest_capture, latest_capture = staticmethod(earliest), staticmethod(latest)

    with (
        patched(Traces, "_of_minute", marked),
        patched(captures_module, "_check_instants", judged),
        patched(traces, "deadlines", Deadlines),
    ):
        yield


def _whenever(instants: Any, now: datetime, started_at: datetime) -> None:
    """Any time will do."""


@mutant("spans of any age")
def _() -> Iterator[None]:
    with _in_exports(_whenever, lambda now, started_at: started_at):
        yield


@mutant("spans that are to come are taken")
def _() -> Iterator[None]:
    with _in_exports(_whenever, deadlines.earliest_capture, lambda now: now + timedelta(days=1)):
        yield


@mutant("spans of before the opt-in")
def _() -> Iterator[None]:
    with _in_exports(_whenever, lambda now, started_at: now - deadlines.CAPTURE_MAX_AGE):
        yield


@mutant("spans lie in the container of the day on which they come")
def _() -> Iterator[None]:
    of_minute = Traces._of_minute
    now: ContextVar[datetime] = ContextVar("now")

    async def today(self: Traces, *of: Any) -> Any:
        now.set(self._captures.clock.now())
        return await of_minute(self, *of)

    def named(enrollment_id: str, day: Any) -> DayContainer:
        return DayContainer(enrollment_id, now.get().date())

    with patched(Traces, "_of_minute", today), patched(traces, "DayContainer", named):
        yield


@mutant("the key of persons is kept from one enrollment to the next")
def _() -> Iterator[None]:
    after, keys = data_sharing._after, dict[str, str]()

    def kept(event: Any, **more: Any) -> Any:
        if more.get("key") is not None:
            more["key"] = keys.setdefault(event.tenant_id, more["key"])
        return after(event, **more)

    with patched(data_sharing, "_after", kept):
        yield


@mutant("all enrollments have one key of persons")
def _() -> Iterator[None]:
    stored = traces._Line.stored

    with patched(traces._Line, "stored", lambda self, person_key: stored(self, "0" * 64)):
        yield


@mutant("a person is stored as sent")
def _() -> Iterator[None]:
    with patched(traces, "pseudonym", lambda key, person: person):
        yield


@mutant("what else names a person is stored")
def _() -> Iterator[None]:
    with patched(traces, "without_persons", lambda value, key: value):
        yield


@mutant("spans of a tenant that is off are acknowledged")
def _() -> Iterator[None]:
    of_tenant = Traces._of_tenant

    async def polite(self: Traces, tenant_id: str, lines: Any) -> Counter[Refusal]:
        refused = await of_tenant(self, tenant_id, lines)
        refused.pop(Refusal.DATA_SHARING_OFF, None)
        return refused

    with patched(Traces, "_of_tenant", polite):
        yield


@mutant("what one tenant's spans failed with is forgotten")
def _() -> Iterator[None]:
    of_tenant = Traces._of_tenant

    async def forgiving(self: Traces, tenant_id: str, lines: Any) -> Counter[Refusal]:
        try:
            return await of_tenant(self, tenant_id, lines)
        except StoreUnavailable:
            return Counter()

    with patched(Traces, "_of_tenant", forgiving):
        yield


@mutant("spans that cannot be stored are refused")
def _() -> Iterator[None]:
    of_tenant = Traces._of_tenant

    async def final(self: Traces, tenant_id: str, lines: Any) -> Counter[Refusal]:
        try:
            return await of_tenant(self, tenant_id, lines)
        except StoreUnavailable:
            return Counter({Refusal.INVALID: len(lines)})

    with patched(Traces, "_of_tenant", final):
        yield


@mutant("all spans of an export are its first tenant's")
def _() -> Iterator[None]:
    of_all = Traces._of_all

    async def of_first(self: Traces, lines: Any) -> Any:
        first = next(iter(lines), None)
        together = {span: line for of_one in lines.values() for span, line in of_one.items()}
        return await of_all(self, {} if first is None else {first: together})

    with patched(Traces, "_of_all", of_first):
        yield


@mutant("a claim is good for an hour")
def _() -> Iterator[None]:
    def whenever(self: MemoryCaptures, permit: Permit, container: str, log: str, record: bytes) -> int:
        start = len(self._log(container, log))
        self.logs[container, log] += record
        return start

    with patched(MemoryCaptures, "receive_record", whenever):
        yield


def _hash(text: str) -> str:
    return span_logs.hashlib.sha256(text.encode()).hexdigest()
