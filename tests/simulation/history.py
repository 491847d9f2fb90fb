"""One history: a seed, and everything that follows from it."""

import asyncio
import hashlib
import json
import math
import random as global_random
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from random import Random
from typing import Any
from unittest import mock

from shared import pairing, unscheduled
from shared.deletion import purge
from shared.deletion.purge import Bounds as PurgeBounds
from shared.model.capture import CaptureBatch, Submission
from shared.model.containers import SHARDS, DayContainer
from shared.model.deletion import Deletion, Receipt
from shared.model.epochs import shard_of
from shared.model.heartbeats import Postponed
from shared.model.items import format_instant
from shared.model.ledger import OptedIn, OptedOut, Reappeared, Renewed, _Event
from shared.model.notices import Agreement
from shared.model.signatures import ReceiptKeys, Signed
from shared.ports import Conflict, Stored, StoreUnavailable
from shared.problems import AgreementRanOut, GeoNotServed, NoticeRequired, Problem, TooManyOptIns
from shared.review import exporting as making
from shared.review import scanning
from shared.sharing import epochs as changing
from shared.sharing.data_sharing import RequestedChange
from shared.sweep import ledger as ledger_sweep
from shared.sweep import places
from shared.sweep import storage as storage_sweep
from shared.sweep.places import Place
from shared.sweep.sweep import Bounds as SweepBounds
from shared.watch import status
from tests.changes import ADMIN
from tests.simulation import abandoning, deploys, epochs, exporting, hanging, lost, pages, reviewing, room
from tests.simulation.agreements import FOREVER, Text, drawn
from tests.simulation.faults import JOBS, TOGGLE_MAX, Aimed, Faults, Throttle, Work
from tests.simulation.oracle import DATABASE_SKEW, DAY, LATE_LANDING, SKEW, Oracle, Planted, Toggle, Violation
from tests.simulation.reviewing import Reviewers
from tests.simulation.scheduler import CURRENT_REQUEST, Endless, VirtualLoop, limited_to
from tests.simulation.spans import Told
from tests.simulation.world import ACCOUNTS, NOBODYS, Cloud, Instance

HOUR = 3600.0
MINUTE = 60.0
PART_BYTES = 300
"""Of a file of an export in one download: few, so that most have several."""

HISTORY_SECONDS = 60.0
"""Processor time of one history, hundreds of times what the busiest takes; so a chunk of 20 ends within 20 minutes."""

_STARTS = (
    datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 56, tzinfo=UTC),
    datetime(2027, 1, 30, 23, 58, tzinfo=UTC),
    datetime(2028, 2, 28, 22, 0, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 57, tzinfo=UTC),
    datetime(2027, 2, 27, 18, 0, tzinfo=UTC),
)
_FAULTS = (
    "fail before",
    "ambiguous",
    "late landing",
    "conflict with itself",
    "conflict with another",
    "hang",
    "slow call",
    "slow answer",
    "pause before",
    "pause after",
    "clock set",
    "crash before",
    "crash after",
    "crash, late landing",
    "sent twice",
)


_STRANGERS_MAX = storage_sweep._STRANGERS_MAX


_READ = ReceiptKeys.read


def _read_once() -> Callable[[ReceiptKeys, str], Signed]:
    """Return what reads a receipt and remembers it: what keys say of a signature is always the same."""
    known: dict[tuple[str, ...], Signed] = {}

    def read(self: ReceiptKeys, token: str) -> Signed:
        key = (token, *self._by_id)
        if key not in known:
            known[key] = _READ(self, token)
        return known[key]

    return read


_HASH = _Event.hash


def _hash_once() -> property:
    """Return what hashes an event and remembers it: events are frozen."""
    known: dict[int, tuple[_Event, str]] = {}

    def of(self: _Event) -> str:
        if id(self) not in known:
            known[id(self)] = (self, _HASH.fget(self))  # type: ignore[misc]
        return known[id(self)][1]

    return property(of)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a history."""

    seed: int | str
    violation: Violation | None
    operations: Counter[str]
    faults: Counter[str]
    calls: int
    checks: int
    virtual_seconds: float
    trace: list[tuple[object, ...]]
    scripted_calls: int

    @property
    def trace_hash(self) -> str:
        """What tells whether two histories are the same."""
        told = hashlib.sha256()
        for line in self.trace:
            told.update(repr(line).encode())
        return told.hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets: ``value`` if ``how`` is ``ok``; else ``refused`` (4xx), ``failed`` (5xx) or ``lost``."""

    how: str
    value: Any = None


@dataclass
class Setup:
    """What a history is made of; a script says it, or the seed."""

    base: datetime
    retention_days: int
    geos: tuple[str, ...]
    tenants: tuple[str, ...]
    instances: int
    feed: str = "healthy"  # or lossy, or off
    part: int = 500  # of a longer ledger the sweep reads so many events at a time
    shards: str = "07af"  # that the names of the service begin with, and its jobs go through
    pieces: int = 2  # batches in a piece of an export
    request: float = 5.0  # seconds for which the request for an export makes it
    made: float = 200.0  # seconds for which a run makes exports
    blobs: int = 500  # names that are listed at a time
    texts: tuple[Text, ...] = FOREVER
    ahead: float = 0.0  # seconds by which the clock of the database is
    strangers: int = 50  # containers of an account that the ledger may not know, if they are most of it
    prefixes: int = 100  # days of a shard on which a round keeps that there is something to drive out
    looked_up: int = 250  # opt-outs whose deletions are looked for at a time
    epochs: bool = False  # whether instances trust epochs; they change them always
    epoch_shards: int = 16
    apart: float = 0.0  # seconds by which the clock of the partitions of epochs is ahead of that of the others

    @classmethod
    def drawn(cls, random: Random) -> "Setup":
        base = random.choice(_STARTS) + timedelta(seconds=random.choice((0, 0, 60, 60, 3600, 80000)) * random.random())
        return cls(
            base=base,
            retention_days=random.choice((3, 4, 7, 30, 30)),
            geos=tuple(dict.fromkeys(ACCOUNTS.values()))[: random.choice((2, 2, 3))],
            tenants=tuple(tenant(n) for n in range(random.choice((1, 1, 2, 3, 5)))),
            part=random.choice((1, 2, 500)),
            instances=random.choice((2, 2, 3)),
            feed=random.choice(("healthy", "lossy", "lossy", "off")),
            # Fewer than there are, so that enrollments share one, and no job goes through many that hold nothing.
            shards=random.choice((SHARDS, "07af", "07af", "0f", "af", "7", "f", "3")),
            texts=drawn(random),
            pieces=random.choice((1, 2, 1000)),
            request=random.choice((0.0, 0.2, 5.0)),
            made=random.choice((1e-6, 1.0, 200.0)),
            blobs=random.choice((1, 2, 500)),
            ahead=random.choice((0.0, 0.0, -DATABASE_SKEW, DATABASE_SKEW)) * random.random(),
            strangers=random.choice((10, 50)),
            looked_up=random.choice((1, 2, 250)),
            prefixes=random.choice((1, 2, 100)),
            epochs=random.random() < 0.5,
            epoch_shards=random.choice((1, 1, 2, 16)),
            apart=random.choice((0.0, -SKEW, SKEW)) * random.random(),
        )


def tenant(n: int) -> str:
    return f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30"


Story = Callable[["History"], Awaitable[None]]


class History:
    """Clients, timers and mishaps on one virtual timeline."""

    def __init__(self, seed: int | str, setup: Setup | None = None, *, verbose: bool = False) -> None:
        self.seed = seed
        self.random = Random(f"history {seed}")
        self.setup = setup or Setup.drawn(self.random)
        self.loop = VirtualLoop()
        self.faults = Faults(self.random, self.loop, self.trace)
        self.faults.owed_in = self._owed_in
        self.operations: Counter[str] = Counter()
        setup = self.setup
        self.cloud = Cloud(self.loop, setup.base, setup.geos, setup.retention_days, setup.texts, setup.ahead)
        self.cloud.shards = self.setup.shards
        self.cloud.consent_epochs = setup.epochs
        self.cloud.operations.now = lambda: setup.base + timedelta(seconds=self.loop.time() + setup.ahead + setup.apart)
        self.oracle = Oracle(
            self.setup.base,
            self.setup.retention_days,
            self.cloud.accounts,
            self.cloud.captures,
            self.cloud.ledger,
            self.cloud.deletions,
            self.loop.time,
            self.loop.call_at,
        )
        self.cloud.attach(self.oracle)
        self.reading, self.claims, self.reviewers = self.cloud.reading, self.cloud.claims, Reviewers()
        self.faults.begun_beside = self.oracle.beside.begun
        self.faults.begun = lambda work, container: self.oracle.begun(None if work is None else work.sent, container)
        self.instances: list[Instance] = []
        self.beside: Instance | None = None
        self.counted: list[Planted] = []
        self.in_flight: list[Told] = []
        self.unanswered: list[Sequence[Told]] = []
        self._verbose = verbose
        self._trace: list[tuple[object, ...]] = []
        self._clients: set[asyncio.Task[Any]] = set()
        self._numbers = 0
        self.blackout_ends = 0.0
        self.scripted_calls = 0
        self.closing = False  # then nobody opts out any more, because nobody would wait for what that owes

    # Running it

    def run(self, story: Story | None = None) -> Outcome:
        """Run the history to its end, or to the first violation."""
        self.loop.set_exception_handler(self._unexpected)
        try:
            global_random.seed(f"rules {self.seed}")  # the rules draw from it how long they wait after a conflict
            with limited_to(HISTORY_SECONDS), self.claims.logs(), self._constants():
                self.loop.run_until_complete(self._run(story or whole_story))
        except Endless as error:
            self.oracle.fail("P9", f"the history came to no end: {error}")
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.get_coro().close()  # type: ignore[union-attr]  # of killed processes; nothing runs any more
            self.loop.close()
        return Outcome(
            self.seed,
            self.oracle.violation,
            self.operations,
            self.faults.counts,
            self.faults.calls,
            self.oracle.checks,
            self.loop.time(),
            self._trace,
            self.scripted_calls,
        )

    @contextmanager
    def _constants(self) -> Iterator[None]:
        """Give the rules those constants that the history has drawn; a planted bug may have its own."""
        with ExitStack() as changed:
            changed.enter_context(mock.patch.object(ledger_sweep, "_ITEMS_MAX", self.setup.part))
            if changing.shard_of is shard_of:
                few = partial(epochs.shard_among, self.setup.epoch_shards)
                changed.enter_context(mock.patch.object(changing, "shard_of", few))
            for module in (purge, pairing, status):
                if module.SHARDS == SHARDS:
                    changed.enter_context(mock.patch.object(module, "SHARDS", self.setup.shards))
            constants = {"_PIECE_BATCHES": self.setup.pieces, "REQUEST_SECONDS": self.setup.request}
            for name, value in {**constants, "_RUN_SECONDS": self.setup.made, "PART_MAX_BYTES": PART_BYTES}.items():
                changed.enter_context(mock.patch.object(making, name, value))
            changed.enter_context(mock.patch.object(scanning, "_NAMES", (self.setup.blobs, self.setup.blobs)))
            changed.enter_context(mock.patch.object(unscheduled, "LOOKUP_MAX", self.setup.looked_up))
            changed.enter_context(mock.patch.object(places, "_PREFIXES_MAX", self.setup.prefixes))
            if storage_sweep._STRANGERS_MAX == _STRANGERS_MAX:
                changed.enter_context(mock.patch.object(storage_sweep, "_STRANGERS_MAX", self.setup.strangers))
            if ReceiptKeys.read is _READ:
                changed.enter_context(mock.patch.object(ReceiptKeys, "read", _read_once()))
            if _Event.hash is _HASH:
                changed.enter_context(mock.patch.object(_Event, "hash", _hash_once()))
            yield

    async def _run(self, story: Story) -> None:
        for _ in range(self.setup.instances):
            self.instance_starts()
        try:
            await story(self)
        except Violation:
            pass
        except Exception as error:
            if self._verbose:
                traceback.print_exc()
            self.oracle.fail("P9", f"the story ended with {type(error).__name__}: {error}")
        for _ in range(5):
            await asyncio.sleep(0)  # a task that never began would complain

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A killed process's own errors reach nobody, and need not.
        if error is not None and not isinstance(error, Violation | StoreUnavailable | Conflict | Problem):
            self.oracle.fail("P9", f"an unexpected {type(error).__name__}: {error}")

    def trace(self, *what: object) -> None:
        self._trace.append((self.loop.time(), *what))
        if self._verbose:
            print(self.oracle.at(self.loop.time()), *what)

    def stop_if_violated(self) -> None:
        if self.oracle.violation is not None:
            raise self.oracle.violation

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
        if self.loop.time() > 300 * DAY:
            raise RuntimeError("the history comes to no end")
        self.oracle.notice(None)
        self.stop_if_violated()

    async def wait_until(self, at: float) -> None:
        await self.wait(at - self.loop.time())

    # Instances

    def instance_starts(self) -> Instance:
        self._numbers += 1
        name = f"i{self._numbers}"
        instance = Instance(name, self.cloud, self.loop, self.setup.base, self.random, self.faults)
        self.instances.append(instance)
        self.trace("start", name)
        return instance

    def instance(self, *, awake: bool = False) -> Instance:
        """Return one that lives; a dead one is replaced, as the platform does."""
        self.instances = [each for each in self.instances if each.process.alive]
        while len(self.instances) < self.setup.instances:
            self.instance_starts()
        if self.beside is not None and not awake and self.random.random() < 0.3:
            return self.beside
        ready = [each for each in self.instances if not awake or each.process.resumes_at <= self.loop.time()]
        return self.random.choice(ready) if ready else self.instance_starts()

    def restart(self) -> None:
        self.operations["restarts"] += 1
        victim = self.random.choice(self.instances)
        self.trace("restart", victim.process.name)
        victim.process.kill()

    def restart_all(self) -> None:
        """Replace all instances, so that the next ones know what is configured now."""
        for each in self.instances:
            each.process.kill()

    async def ask(
        self, instance: Instance, kind: str, call: Callable[[], Coroutine[Any, Any, Any]], sent: Any = None
    ) -> tuple[Answer, Work]:
        """Have an instance do something, and return what came of it; ``lost`` if the instance died."""
        self._numbers += 1
        work = Work(self._numbers, kind, instance.process, sent)
        if kind == "toggle":
            work.held_until = self.loop.time() + TOGGLE_MAX
        self.faults.work[work.number] = work
        self.operations[kind] += 1
        self.trace(kind, work.number, instance.process.name)
        answer: asyncio.Future[Answer] = self.loop.create_future()

        async def serve() -> Any:
            await instance.process.running()
            return await call()

        def finish(done: "asyncio.Task[Any]") -> None:
            error = done.exception()
            if answer.done():
                return  # it died meanwhile
            if error is None:
                answer.set_result(Answer("ok", done.result()))
            elif isinstance(error, StoreUnavailable | Conflict) or (isinstance(error, Problem) and error.status >= 500):
                answer.set_result(Answer("failed", error))
            elif isinstance(error, Problem):
                answer.set_result(Answer("refused", error))
            else:
                self.oracle.fail("P9", f"{kind} ended with {type(error).__name__}: {error}")
                answer.set_result(Answer("failed", error))

        def lose() -> None:
            if not answer.done():
                answer.set_result(Answer("lost"))

        if not instance.process.alive:
            return Answer("lost"), work
        context = copy_context()
        context.run(CURRENT_REQUEST.set, work)
        task = self.loop.create_task(serve(), context=context)
        task.add_done_callback(finish)
        key = instance.process.when_killed(lose)
        result = await answer
        instance.process.forget(key)
        del self.faults.work[work.number]
        self.trace(kind, work.number, result.how)
        if isinstance(result.value, Exception):
            self.claims.text("an error", f"{result.value!r} {vars(result.value)}")
        elif kind in JOBS and result.how == "ok":
            self.claims.job_answered(kind, result.value, work)
        return result, work

    def spawn(self, client: Coroutine[Any, Any, object]) -> None:
        """Let a client act while the story goes on."""
        task = self.loop.create_task(client)
        self._clients.add(task)
        task.add_done_callback(self._client_done)

    def _client_done(self, task: "asyncio.Task[Any]") -> None:
        self._clients.discard(task)
        error = task.exception()
        if error is not None and not isinstance(error, Violation):
            self.oracle.fail("P9", f"a client ended with {type(error).__name__}: {error}")

    async def clients_done(self) -> None:
        while self._clients:
            await asyncio.wait(set(self._clients))
        self.oracle.notice(None)
        self.stop_if_violated()

    # Clients

    async def toggle(self, tenant: str, geo: str | None, *, attempts: int = 4, stop: bool = False) -> bool:
        """An administrator opts in to ``geo``, or out, and repeats it at once when the answer is lost.

        Args:
            tenant: the tenant.
            geo: where, or None to opt out.
            attempts: how often at most.
            stop: to opt out: nobody shall read any more what was shared.
        """
        version = self._read_notice()
        for attempt in range(attempts):
            toggle = self.oracle.toggle_sent(tenant, geo is not None, geo, stop=stop)
            instance = self.instance()
            agreement = Agreement(version, "en") if version else None
            requested = RequestedChange(geo is not None, ADMIN, geo, agreement, stop_review=stop)
            answer, work = await self.ask(instance, "toggle", partial(instance.data_sharing.put, tenant, requested))
            self._settle_toggle(toggle, answer, work)
            if answer.how == "refused":
                self.oracle.toggle_refused(toggle, limited=isinstance(answer.value, TooManyOptIns))
                if not isinstance(answer.value, NoticeRequired):
                    return False
                version = answer.value.extensions["notice"]  # which is read, and agreed to
                continue
            if answer.how == "ok" and not (self._stormy and self.random.random() < 0.1):
                return True
            await asyncio.sleep(self.random.choice((0.0, 0.1, 2.0, 30.0)) * self.random.random())
            self.trace("again", attempt)
        return False

    def _read_notice(self) -> str:
        """Return the version that an administrator has read: as a rule the one in force, sometimes another or none."""
        if self.random.random() < 0.9:
            return self.oracle.agreements.in_force(self.loop.time())  # type: ignore[no-any-return]
        return self.random.choice(("", "unknown", *(text.version for text in self.setup.texts)))

    def _settle_toggle(self, toggle: Toggle, answer: Answer, work: Work) -> None:
        if answer.how == "ok":
            enrollment = answer.value.enrollment
            self.oracle.toggle_answered(toggle, None if enrollment is None else enrollment.geo)
            if work.lands_until:
                toggle.ended = max(toggle.ended, work.lands_until)
        else:
            self.oracle.toggle_failed(toggle, max(work.lands_until, self.loop.time() + LATE_LANDING))

    async def look(self, tenant: str) -> None:
        """An administrator looks whether data is shared."""
        instance, started = self.instance(), self.loop.time()
        answer, _ = await self.ask(instance, "look", partial(instance.data_sharing.get_settled, tenant))
        if answer.how == "ok" and not answer.value.enabled and answer.value.sequence:
            self.oracle.told_off(tenant, started)

    @property
    def _stormy(self) -> bool:
        return bool(self.faults.weather.rates)

    async def post(
        self, tenant: str, offsets: tuple[float, ...] = (-1.0,), *, tag: str = "", key: str = "", attempts: int = 3
    ) -> None:
        """A Copilot service posts a batch of captures, and repeats it blindly until it is answered."""
        self._numbers += 1
        tag = tag or f"tag~{self._numbers}"
        key = key or f"key-{tag}"
        instants = tuple(self.loop.time() + offset for offset in offsets)
        zone = timezone(timedelta(minutes=self.random.choice((0, 0, 330, -480, 840))))
        body = json.dumps(
            {
                "captures": [
                    {
                        "capturedAt": (self.setup.base + timedelta(seconds=at)).astimezone(zone).isoformat(),
                        "feature": "f",
                        "input": tag,
                        "output": "o",
                    }
                    for at in instants
                ]
            }
        ).encode()
        submission = Submission("app", key, body, CaptureBatch.model_validate_json(body))
        for _ in range(attempts):
            sent = self.oracle.captures_sent(tenant, key, tag, instants)
            instance = self.instance()
            answer, work = await self.ask(
                instance, "capture", partial(instance.captures.submit, tenant, submission), sent
            )
            if answer.how == "ok":
                self.oracle.captures_accepted(sent, answer.value.enrollment_id, answer.value.batch_id)
                self.claims.expires(sent, answer.value)
            elif answer.how == "refused":
                ran_out = isinstance(answer.value, AgreementRanOut)
                self.oracle.captures_refused(sent, ran_out=ran_out)
                if isinstance(answer.value, GeoNotServed) and instance.knows_all:
                    self.oracle.fail("P9", "captures were refused for their geo, which is served")
                if ran_out:
                    self.faults.count("agreement that had run out")
                stored = self.cloud.ledger.settings.get(tenant)
                if ran_out and stored is not None and stored.value.enabled and self.random.random() < 0.5:
                    self.spawn(self.toggle(tenant, stored.value.enrollment.geo))
            else:
                self.oracle.captures_failed(sent, max(work.lands_until, self.loop.time() + LATE_LANDING))
            if answer.how == "refused" or (answer.how == "ok" and self.random.random() < 0.9):
                return
            await asyncio.sleep(self.random.choice((0.0, 0.3, 2.0, 40.0)) * self.random.random())

    async def expedite(self, tenant: str, enrollment: str) -> None:
        """An administrator wants a deletion to begin now."""
        for _ in range(3):
            self.oracle.expedite_sent(enrollment)
            instance = self.instance()
            answer, _ = await self.ask(instance, "expedite", partial(_expedite, instance, tenant, enrollment))
            if answer.how == "ok":
                self.claims.expedited((tenant, enrollment))
            if answer.how in {"ok", "refused"}:
                return
            await asyncio.sleep(self.random.random())

    # The platform

    async def purge(self, *, awake: bool = False) -> Answer:
        if awake:
            return await self._whole_job("purge", lambda each: each.purge.run)
        instance = self.instance()
        answer, _ = await self.ask(instance, "purge", instance.purge.run)
        return answer

    async def sweep(self, *, awake: bool = False) -> Answer:
        self.edit_watermark()
        if awake:
            return await self._whole_job("sweep", lambda each: each.sweep.run)
        instance = self.instance()
        answer, _ = await self.ask(instance, "sweep", instance.sweep.run)
        return answer

    def edit_watermark(self, chance: float = 0.2, *, ahead: bool = False) -> None:
        """Somebody writes into the heartbeat up to where all opt-outs have their deletions, and is not believed.

        Args:
            chance: how likely.
            ahead: perhaps up to the last commit; of what is older than some hours that is believed.
        """
        heartbeats, key = self.cloud.operations.heartbeats, ("sweep", None)
        if key in heartbeats and self.random.random() < chance:
            until = self.random.choice((None, -1, 0, 2**52))
            if ahead and self.random.random() < 0.5:
                until = max(self.cloud.ledger.committed.values(), default=0)
            heartbeats[key] = heartbeats[key].model_copy(update={"scheduled_until": until})
            self.faults.count("watermark edited")

    async def _whole_job(self, kind: str, job: Callable[[Instance], Callable[[], Coroutine[Any, Any, Any]]]) -> Answer:
        """Run a job in calm weather until it has nothing more to do."""
        for _ in range(50):
            instance = self.instance(awake=True)
            calm, began = self.faults.calm, self.loop.time()
            answer, _ = await self.ask(instance, kind, job(instance))
            if answer.how == "lost":
                continue  # a call that was under way when the storm ended could still end the process
            if kind == "sweep" and calm and answer.how == "ok":
                self.oracle.check_nothing_lost(began)
            if answer.how != "ok":
                self.oracle.fail("P9", f"a {kind} in calm weather: {answer.how} {answer.value}")
            elif any(each.outcome == "more" for each in answer.value.values()):
                continue
            elif kind == "sweep" and calm and all(each.outcome == "done" for each in answer.value.values()):
                self.oracle.swept(True)
            return answer
        self.oracle.fail("P9", f"a {kind} in calm weather comes to no end")
        return answer

    async def exports(self, *, awake: bool = False) -> Answer:
        """Run the timer that makes exports, where all geos are known: elsewhere some are out of reach."""
        instance = self.instance(awake=awake)
        while instance is self.beside:
            instance = self.instance()
        answer, _ = await self.ask(instance, "exports", instance.exporting.run)
        return answer

    async def status(self) -> Any:
        instance = self.instance(awake=True)
        began = self.loop.time()
        answer, _ = await self.ask(instance, "status", instance.status.report)
        if answer.how == "ok":
            report = answer.value
            unscheduled = report.ledger.unscheduled
            self.oracle.status_answered(report.promises, report.overdue_deletions, unscheduled, began)
            self.claims.idle(report.promises, self.cloud.operations.heartbeats, began)
            return answer.value
        return None

    async def feed(self, *, lossless: bool = False) -> None:
        """Deliver what the change feed has: in batches, some of them twice, out of order, or lost."""
        cloud, random = self.cloud, self.random
        if self.setup.feed == "off":
            return
        lossy = self.setup.feed == "lossy" and not lossless
        while cloud.fed < len(cloud.ledger.changes):
            if lossy and random.random() < 0.1:
                cloud.fed = max(0, cloud.fed - random.randrange(6))
                self.faults.count("feed batch repeated")
            end = min(len(cloud.ledger.changes), cloud.fed + random.randint(1, 6))
            changes = cloud.ledger.changes[cloud.fed : end]
            if lossy and random.random() < 0.25:
                self.faults.count("feed batch dropped")
                cloud.fed = end
                continue
            if random.random() < 0.3:
                self.faults.count("feed batch reordered")
                random.shuffle(changes)
            documents = cloud.ledger.items(changes)
            instance = self.instance(awake=lossless)
            answer, _ = await self.ask(instance, "feed", partial(instance.opt_outs, documents))
            if answer.how == "ok":
                cloud.fed = max(cloud.fed, end)
                for document in documents:
                    if document.get("kind") == "optedOut":
                        self.oracle.fed(document["enrollmentId"])
            elif lossy and random.random() < 0.3:
                self.faults.count("feed batch lost after failing")
                cloud.fed = max(cloud.fed, end)
            else:
                await asyncio.sleep(random.random() * 5)
                if not lossless and random.random() < 0.3:
                    return  # the host goes on later

    # What is so, for the story to know what comes next (the oracle has its own way)

    def live(self) -> list[str]:
        """Return the tenants that share data."""
        return [each for each in self.setup.tenants if self.on(each)]

    def on(self, tenant: str) -> bool:
        stored = self.cloud.ledger.settings.get(tenant)
        return stored is not None and stored.value.enabled

    def unfinished(self) -> list[Any]:
        return [each.value for each in self.cloud.deletions.items.values() if each.value.status != "verified"]

    def unscheduled(self) -> bool:
        ended = sum(event.kind == "optedOut" for events in self.cloud.ledger.events.values() for event in events)
        return ended > len(self.cloud.deletions.items)

    def unmade(self) -> bool:
        """Tell whether the timer that makes exports has something to do."""
        return any(export.unfinished for export in self.cloud.access.exported.values())

    def nothing_left(self, report: Any) -> bool:
        """Tell whether no job has anything more to do, and the status says so too."""
        planted = any(each.gone is None and each.kind != "foreign" for each in self.oracle.planted)
        return all(report.promises.values()) and not (planted or self.unfinished() or self.unscheduled())

    def due(self, until: float | None) -> list[tuple[float, float]]:
        """Return when that which has to be deleted may be, from and to, in the order in which it begins.

        Args:
            until: only what begins by then, or None for all.
        """
        now = self.loop.time()
        undeletable = self.faults.weather.undeletable
        days = [(deadline - 6 * HOUR + MINUTE, deadline) for deadline in self.stored_deadlines()]
        deletions = [
            (self.seconds(each.not_before) + MINUTE, self.seconds(each.deadline))
            for each in self.unfinished()
            if not any(each.enrollment_id in name for name in undeletable)
        ]
        return sorted((max(begin, now), end) for begin, end in days + deletions if until is None or begin <= until)

    def time_left(self) -> float:
        """Return the seconds until the first of what is owed must be done; 0 if nothing is, or it is late."""
        left = self._owed_in()
        return 0.0 if math.isinf(left) else max(left, 0.0)

    def _owed_in(self) -> float:
        return min((end for _, end in self.due(None)), default=math.inf) - self.loop.time()

    def now(self) -> datetime:
        """Return the true time."""
        return self.setup.base + timedelta(seconds=self.loop.time())

    def seconds(self, at: datetime) -> float:
        return (at - self.setup.base).total_seconds()

    def midnight(self, day: date) -> float:
        """Return when a UTC day begins, in seconds."""
        return self.seconds(datetime(day.year, day.month, day.day, tzinfo=UTC))

    def stored_deadlines(self) -> list[float]:
        deadlines = []
        for store in self.cloud.captures.values():
            for name in store.containers:
                container = DayContainer.parse(name)
                if container is not None and name not in self.faults.weather.undeletable:
                    deadline = self.oracle.retention.deadline(self.midnight(container.day))
                    if deadline < self.loop.time() + 40 * DAY:  # not one that was planted on an impossible day
                        deadlines.append(deadline)
        return deadlines


@dataclass
class Storm:
    """Draws weather."""

    random: Random
    faults: Faults
    calm: bool = False

    def begin(self) -> None:
        random, weather = self.random, self.faults.weather
        weather.clear()
        if self.calm:
            return
        weather.latency = random.choice((0.0, 0.02, 0.2, 1.0))
        if random.random() < 0.25:
            return
        kinds = random.sample(_FAULTS, random.randint(1, 6))
        weather.rates = {kind: random.choice((0.01, 0.03, 0.1)) for kind in kinds}
        if random.random() < 0.15:
            where = random.choice(("cosmos", *ACCOUNTS))
            weather.down[where] = self.faults.loop.time() + random.choice((1.0, 60.0, HOUR)) * random.random()
        if random.random() < 0.15:
            where = random.choice(("cosmos", *ACCOUNTS))
            weather.slow[where] = self.faults.loop.time() + random.choice((10.0, 600.0, HOUR)) * random.random()
        if random.random() < 0.15:
            where = random.choice(("cosmos", *ACCOUNTS))
            until = self.faults.loop.time() + random.choice((1.0, 60.0, HOUR)) * random.random()
            weather.busy[where] = Throttle(until, random.choice((0.1, 0.5, 0.9)), random.choice((None, 0.5, 20.0)))


async def whole_story(history: History) -> None:
    """Episodes of activity, the month in which what they owe falls due, and the reckoning."""
    random, faults, cloud = history.random, history.faults, history.cloud
    storm = Storm(random, faults)
    for store in cloud.captures.values():
        store.collecting = random.choice((None, None, 30.0, 90.0, 1200.0))
        if random.random() < 0.04:
            store.soft_delete = DAY
            faults.count("soft delete switched on")
        if store.collecting is not None:
            faults.count("names not free at once")
        store.page_max = random.choice((1, 2, 3, 5000))
        store.empty_pages = random.random() < 0.12
    if random.random() < 0.15:
        cloud.purge_bounds = PurgeBounds(seconds=60.0, containers=1, deletions=1)
        cloud.sweep_bounds = SweepBounds(seconds=60.0, max_ledgers=1, max_deletes=1)
    if random.random() < 0.3:
        cloud.sweep_bounds = SweepBounds(seconds=random.choice((0.05, 0.5, 5.0)))
        cloud.purge_bounds = PurgeBounds(seconds=random.choice((0.05, 0.5, 5.0)))
    blackout = random.random() < 0.04
    if blackout or random.random() < 0.5:
        foreign_names(history)
    if blackout:
        faults.count("timers off for a month")
        history.oracle.nothing_owed = True
        history.blackout_ends = (32 + 5 * random.random()) * DAY
    for n in range(random.choice((1, 1, 2, 3))):
        if n:
            await pass_time(history, storm, random.choice((HOUR, DAY, 3 * DAY, 12 * DAY)) * random.random())
        await episode(history, storm)
        await settle(history, storm)
        if random.random() < 0.15:
            await by_hand(history, storm)
        if random.random() < 0.2:
            await edits(history)
        if random.random() < 0.1:
            await forge(history)
        if random.random() < 0.12:
            stick(history)
        if random.random() < 0.05:
            await another_ledger(history)
        if random.random() < 0.06:
            await pages.in_short_runs(history, pages.at_the_borders)
        elif history.setup.strangers < _STRANGERS_MAX and random.random() < 0.04:
            await pages.in_short_runs(history, pages.strangers)
        if random.random() < 0.03:
            await pages.shared_meanwhile(history)
        if random.random() < 0.1:
            await abandoning.leave_out(history)
        await runs_out(history, storm)
        if random.random() < 0.35:
            await in_the_room(history, storm)
    if random.random() < 0.07:
        await flood(history)
    if random.random() < 0.06:
        await beside_a_flood(history, storm)
    if random.random() < 0.2:
        await lost.beside_a_slow_round(history, partial(pass_time, history, storm))
    elif random.random() < 0.25:
        await lost.for_hours(history, partial(pass_time, history, storm))
    elif random.random() < 0.2:
        await lost.told_by_the_status(history, partial(pass_time, history, storm))
    elif random.random() < 0.15:
        await lost.refused_in_the_middle(history, partial(pass_time, history, storm))
    if random.random() < 0.08:
        await hanging.hang(history, partial(pass_time, history, storm), partial(settle, history, storm))
    elif random.random() < 0.04:
        await hanging.behind(history, partial(pass_time, history, storm), partial(settle, history, storm))
    if random.random() < 0.15:
        await edit(history)
    if random.random() < 0.6:
        await month(history, storm, None)
        if random.random() < 0.4:
            await come_back(history)
            await month(history, storm, None)
        if random.random() < 0.4:
            await edits(history)
    await reckoning(history, storm)


def _gap(random: Random) -> float:
    return random.choice((0.0, 0.3, 0.3, 2.0, 2.0, 60.0, 600.0, 2 * HOUR, 9 * HOUR)) * random.random()


async def episode(history: History, storm: Storm) -> None:
    """Some actions, with gaps of no time to hours between them, in weather that changes."""
    random = history.random
    storm.begin()
    for _ in range(random.randint(3, 10)):
        if random.random() < 0.2:
            storm.begin()
        who = random.choice(history.setup.tenants)
        action = random.random()
        if not history.on(who) and action < 0.45:
            history.spawn(_opt_in(history, who))
        elif action < 0.3:
            await _withdrawal(history, who)
        elif action < 0.46:  # also if it never shared anything
            post = random.random() < 0.65
            history.spawn(history.post(who, _offsets(random)) if post else exporting.new(history, who))
        elif action < 0.6:
            for _ in range(random.choice((1, 1, 3))):
                history.spawn(reviewing.act(history, who))
            if random.random() < 0.4:
                history.spawn(room.act(history, reviewing.sharing(history, who)))
        elif action < 0.63:
            await _overtaken(history, who)
        elif action < 0.67:
            history.spawn(_contended(history, who))
        elif action < 0.72:
            history.spawn(_same_key_twice(history, who))
        elif action < 0.80:
            history.spawn(history.feed())
        elif action < 0.86:
            history.spawn(_expedite_one(history))
        elif action < 0.92:
            history.spawn(history.purge())
        elif action < 0.94 and history.setup.feed != "healthy":
            history.spawn(history.sweep())
        elif action < 0.965:
            history.restart()
        elif action < 0.975:
            history.spawn(history.status())
        elif action < 0.985:
            deploys.set_a_clock(history)
        else:
            change = random.choice((deploys.change_retention, deploys.configured_wrongly))
            await change(history, partial(pass_time, history, storm))
        if random.random() < 0.02:
            await deploys.close_accounts(history, partial(pass_time, history, storm))
        if random.random() < 0.08:
            await exporting.at_once(history, who)
        if random.random() < (0.08 if history.setup.epochs else 0.02):
            await epochs.withdrawal(history, who)
        if random.random() < 0.06:
            await reviewing.at_its_end(history, partial(pass_time, history, storm))
        if random.random() < 0.04:
            history.spawn(room.stop_review(history, who))
        await pass_time(history, storm, _gap(random))
    await history.clients_done()


async def _exports_end(history: History) -> None:
    """The timer that makes exports has run a few times, with the time between that it leaves to what may yet arrive."""
    for _ in range(5):
        if not history.unmade():
            return
        await history.exports(awake=True)
        history.stop_if_violated()
        await history.wait(6.5 * MINUTE)


async def _expedite(instance: Instance, tenant: str, enrollment: str) -> Any:
    return await instance.deletions.expedite(tenant, enrollment, now=instance.process.now())


def _offsets(random: Random) -> tuple[float, ...]:
    """Return when captures happened, in seconds from now: mostly just now, some at the edges of what is taken."""
    kinds = (
        -1.0,
        -1.0,
        -1.0,
        -600.0,
        -HOUR,
        -20 * HOUR,
        -23.99 * HOUR,
        200.0,
        -25 * HOUR,
        -2.5 * DAY,
        -29.5 * DAY,
        400.0,
    )
    return tuple(random.choice(kinds) - random.random() for _ in range(random.choice((1, 1, 1, 2, 3))))


async def _opt_in(history: History, who: str) -> None:
    await history.toggle(who, history.random.choice(history.setup.geos))
    if history.random.random() < 0.7:
        await history.post(who)


async def _contended(history: History, who: str) -> None:
    """Several administrators at once."""
    random = history.random
    for _ in range(random.randint(2, 3)):
        geo = random.choice((*history.setup.geos, None))
        history.spawn(_toggle_once(history, who, geo))
        if random.random() < 0.5:
            await asyncio.sleep(random.random() * random.choice((0.01, 0.3, 2.5)))


async def _toggle_once(history: History, who: str, geo: str | None) -> None:
    await history.toggle(who, geo, attempts=history.random.choice((1, 3)))


async def _same_key_twice(history: History, who: str) -> None:
    """One key for two batches, or one batch twice at a time."""
    history._numbers += 1
    number, random = history._numbers, history.random
    other = random.random() < 0.5
    for n in range(2):
        tag = f"twin~{number}-{n if other else 0}"
        at = (-5.0,) if other else (-5.0 - n * 0.0,)
        history.spawn(history.post(who, at, tag=tag, key=f"twin-{number}", attempts=2))
        if random.random() < 0.6:
            await asyncio.sleep(random.random())


async def _withdrawal(history: History, who: str) -> None:
    """An opt-out while captures come in on every instance, before, during and after."""
    random = history.random
    if not history.on(who):
        await history.toggle(who, random.choice(history.setup.geos))
    for _ in range(random.randint(1, 3)):
        history.spawn(history.post(who, random.choice(((-1.0,), (270.0,))), attempts=1))
    await history.wait(random.choice((0.0, 0.3, 1.9)) * random.random())
    if random.random() < 0.25:
        # About when leases are taken and waited for.
        history.loop.call_later(random.choice((0.5, 3.0)) * random.random(), deploys.set_a_clock, history)
    if random.random() < 0.15:
        _disturb_clocks(history)
    held = 0.0
    if random.random() < 0.15:
        held = random.choice((1.0, 5.0, min(400.0, TOGGLE_MAX))) * random.random()
        history.faults.aimed.append(Aimed("commit", held, random.choice(("", "ambiguous", "crash after"))))

    async def late(after: float) -> None:
        await asyncio.sleep(after)
        send = history.post if random.random() < 0.75 else partial(exporting.new, history)
        await send(who, attempts=random.choice((1, 2)))

    for _ in range(random.randint(2, 6)):
        history.spawn(late(max(0.0, held - 1.0) + random.choice((0.5, 3.0, 5.0)) * random.random()))
    if random.random() < 0.3:
        history.spawn(_toggle_once(history, who, None))
        await history.wait(random.random() * 0.3)
    if random.random() < 0.2:
        history.spawn(_looks(history, who))
    stop = random.random() < 0.15
    if await history.toggle(who, None, stop=stop) and random.random() < 0.7:
        for _ in range(random.randint(1, 4)):
            history.spawn(late(random.choice((0.0, 0.1, 1.5)) * random.random()))
    if random.random() < 0.3:
        await history.wait(random.choice((0.0, 0.5, 10.0)) * random.random())
        await history.toggle(who, random.choice(history.setup.geos))
        if random.random() < 0.5:
            await history.toggle(who, None)
    if random.random() < 0.4:
        await history.feed()
        await _expedite_one(history)
        await history.purge()


async def _looks(history: History, who: str) -> None:
    for _ in range(3):
        await history.look(who)
        if history.random.random() < 0.5:
            await history.post(who, attempts=1)
        await asyncio.sleep(history.random.random())


def _disturb_clocks(history: History) -> None:
    """Where one clock of a machine lies, it does so now, while consent is relied on."""
    random = history.random
    history.faults.count("clocks disturbed")
    for instance in history.instances:
        instance.process.set_wall(-30.0)
        if instance.process.lies == "monotonic":
            instance.process.pause(6.0 * random.random())


async def _overtaken(history: History, who: str) -> None:
    """A capture is held up while the tenant opts out and has everything deleted at once."""
    random, aimed = history.random, history.faults.aimed
    if not history.on(who):
        await history.toggle(who, random.choice(history.setup.geos))
    if random.random() < 0.4:
        aimed.append(exporting.aim(history))
        history.spawn(exporting.new(history, who, attempts=1))
    else:
        aimed.append(Aimed(random.choice(("put_batch", "put_batch", "create_container")), 1200 * random.random()))
        history.spawn(history.post(who, attempts=1))
    await history.wait(random.random())
    if not await history.toggle(who, None):
        return
    await history.feed()
    if history.unscheduled():
        await history.wait(6.5 * MINUTE)
        await history.sweep()
    await _expedite_one(history)
    for _ in range(2):
        await history.purge()
        await history.wait(6.5 * MINUTE)


async def _expedite_one(history: History) -> None:
    waiting = [each for each in history.unfinished() if each.status == "scheduled"]
    if waiting:
        each = history.random.choice(waiting)
        await history.expedite(each.tenant_id, each.enrollment_id)
        if history.random.random() < 0.3:
            await asyncio.sleep(history.random.choice((1.0, HOUR)))
            await history.expedite(each.tenant_id, each.enrollment_id)


async def settle(history: History, storm: Storm) -> None:
    """Within hours the feed has brought what it brings, and where it loses batches a sweep has come by."""
    random = history.random
    if random.random() < 0.5:
        storm.begin()
        await history.feed()
        await pass_time(history, storm, _gap(random))
        if history.setup.feed != "healthy":
            history.spawn(history.sweep())
        await pass_time(history, storm, 6 * MINUTE + 8 * HOUR * random.random() ** 2)
    history.faults.weather.clear()
    await history.clients_done()
    await exporting.once_more(history)
    if history.unmade():
        await history.exports(awake=True)
    await history.feed(lossless=history.setup.feed == "healthy")
    if history.setup.feed == "healthy":
        history.oracle.check_scheduled()
        return
    if history.unscheduled():
        await history.wait(7 * MINUTE)
    await history.sweep(awake=True)
    history.stop_if_violated()


async def pass_time(history: History, storm: Storm, seconds: float) -> None:
    """Wait; should something fall due meanwhile, the timers are there."""
    until = history.loop.time() + seconds
    while (now := history.loop.time()) < until:
        step = min(until, now + 12 * HOUR)  # what is stored meanwhile falls due no sooner
        if step > now + MINUTE and history.due(step + HOUR):
            await month(history, storm, step)
        else:
            await history.wait_until(step)


async def month(history: History, storm: Storm, until: float | None) -> None:
    """Go from one moment at which something falls due to the next, up to ``until`` or until nothing is owed."""
    random = history.random
    blackout_ends = history.blackout_ends
    if until is None and history.unscheduled():
        await settle(history, storm)  # no month goes by without a sweep
    for _ in range(300):
        now = history.loop.time()
        due = history.due(max(now, until, blackout_ends) if until is not None else None)
        if not due:
            break
        if due[0][0] > now + 12 * HOUR and history._clients:
            await history.clients_done()  # they may yet store what falls due sooner
            continue
        if now < blackout_ends:
            await history.wait_until(now + (blackout_ends - now) * random.random())
            await history.status()
            await history.wait_until(blackout_ends)
        await history.wait_until(due[0][0])
        keeps = any(store.soft_delete or store.soft_deleted for store in history.cloud.captures.values())
        in_time = not keeps and due[0][1] - history.loop.time() > 5 * HOUR
        if history.cloud.purge_bounds is None and in_time and random.random() < 0.15:
            await _while_busy(history, due[0])
            continue
        # Whatever begins later and ends sooner bounds the dawdling too.
        left = history.time_left()
        for _ in range(random.choice((0, 0, 1, 2))):
            storm.begin()
            await history.wait(min(0.2 * left, 3 * HOUR) * random.random())
            history.spawn(history.purge())
            if random.random() < 0.3:
                history.spawn(history.purge())
        if random.random() < 0.2:
            who = random.choice(history.setup.tenants)
            act = reviewing.act if random.random() < 0.6 else room.act
            history.spawn(act(history, reviewing.sharing(history, who)))
        if history.unmade() and random.random() < 0.5:
            history.spawn(history.exports())
        if random.random() < 0.1:
            await history.status()
        await history.wait(min(0.4 * left, 10 * HOUR) * random.random())
        await _calm_purges(history)
    history.faults.weather.clear()
    await history.clients_done()
    if until is not None:
        await history.wait_until(until)


async def _while_busy(history: History, due: tuple[float, float]) -> None:
    """Two of three calls are refused for hours, and what falls due is gone in time all the same."""
    random, weather = history.random, history.faults.weather
    weather.clear()
    await history.clients_done()
    end = min(due[1], history.loop.time() + 6 * HOUR)
    accounts = list(history.cloud.captures)
    busy = random.choice((["cosmos"], accounts, ["cosmos", *accounts]))
    # Days go in time even if an account asks for 20 s and so serves some three calls of a run. A second look begins
    # anew in each run, and may have to wait until that is over; deletions have two days and not six hours.
    of_accounts = (None, 1.0, 20.0) if due[1] in history.stored_deadlines() else (None, 1.0)
    for where in busy:
        # Cosmos DB asks for moments, or a second look, which asks it ten times in turn, would need more than a run has.
        asks = random.choice((None, 1.0) if where == "cosmos" else of_accounts)
        weather.busy[where] = Throttle(end, 2 / 3, asks)
    history.faults.count("busy until the deadline")
    ticks = 0
    while any(deadline == due[1] for _, deadline in history.due(history.loop.time())):
        if history.loop.time() > end - 10 * MINUTE:
            promise = "P4" if due[1] in history.stored_deadlines() else "P5"
            history.oracle.fail(promise, "what fell due was not done while two of three calls were refused for hours")
            break
        instance, ticks = history.instance(awake=True), ticks + 1
        if ticks % 12 == 0:
            await history.ask(instance, "sweep", instance.sweep.run)
        await history.ask(instance, "purge", instance.purge.run)
        await history.wait(5 * MINUTE)
        history.stop_if_violated()
    weather.clear()


async def _calm_purges(history: History) -> None:
    """Purge in calm weather until what is due is done; soft delete keeps things for a day."""
    history.faults.weather.clear()
    for gap in (6.5, 6.5, 15.0, 25.0, 6 * 60.0, 20 * 60.0, 6.5):
        await history.purge(awake=True)
        history.stop_if_violated()
        now = history.loop.time()
        due = history.due(now)
        if not due:
            return
        if gap > 60 and history.time_left() < (gap + 60) * MINUTE:
            return  # something falls due before the next try
        await history.wait(gap * MINUTE)


def foreign_names(history: History) -> None:
    """Containers of others, between ours: their names lie in a shard's range, and some nearly are such names."""
    random, cloud = history.random, history.cloud
    shard = random.choice(cloud.shards)
    digits = f"{random.getrandbits(124):031x}"
    day = f"{history.setup.base:%Y%m%d}"
    other = "1" if shard == "0" else "0"
    names = (
        f"{shard}-00000000",
        f"{shard}-2026",
        f"{shard}-zzz",
        f"{shard}-{day}",
        f"{shard}-{day}-{digits}",
        f"{shard}-{day}-{shard}{digits}0",
        f"{shard}-{day}-{other}{digits}",
        f"{shard}-20261301-{shard}{digits}",
        f"{shard}-20270229-{shard}{digits}",
        f"{shard}{shard}-{day}-{shard}{digits}",
        f"{shard}-19990101-{shard}{digits}",
    )
    history.faults.count("foreign names in a shard")
    for name in random.sample(names, random.randint(1, 4)):
        history.oracle.plant("foreign", random.choice(list(history.cloud.accounts)), name, "")


def stick(history: History) -> None:
    """The oldest container of an enrollment cannot be deleted until some days after its time."""
    random, weather = history.random, history.faults.weather
    names = [name for store in history.cloud.captures.values() for name in store.containers if DayContainer.parse(name)]
    if not names:
        return
    name = min(names, key=lambda each: each[2:])
    container = DayContainer.parse(name)
    assert container is not None
    weather.stuck.add(name)
    history.oracle.waived |= {name, container.enrollment_id}
    past = history.cloud.retention_days - 1 + 4 * random.random()
    history.loop.call_at(history.midnight(container.day) + past * DAY, weather.stuck.discard, name)


async def another_ledger(history: History) -> None:
    """Another deployment, with a healthy ledger of its own, is given our accounts; it may delete nothing in them."""
    history.faults.count("another deployment's ledger")
    history.faults.weather.clear()
    await history.clients_done()
    cloud = history.cloud.of_another()
    stranger = Instance("stranger", cloud, history.loop, history.setup.base, history.random, history.faults)
    for n in range(2):
        version = history.oracle.agreements.in_force(history.loop.time())
        requested = RequestedChange(True, ADMIN, history.random.choice(history.setup.geos), Agreement(version, "en"))
        await history.ask(stranger, "stranger", partial(stranger.data_sharing.put, tenant(90 + n), requested))
    for job in (stranger.purge.run, stranger.sweep.run, stranger.sweep.run):
        before = {name: set(store.containers) for name, store in history.cloud.captures.items()}
        await history.ask(stranger, "stranger", job)
        if any(before[name] - set(store.containers) for name, store in history.cloud.captures.items()):
            history.oracle.fail("P9", "another deployment's ledger deleted what is not its own")
        history.stop_if_violated()


async def runs_out(history: History, storm: Storm) -> None:
    """Captures come to every instance while an agreement runs out, unless that is weeks away."""
    random, now = history.random, history.loop.time()
    ends = [text.until for text in history.setup.texts if text.until is not None and 0 < text.until - now < HOUR]
    if not ends or not history.live() or random.random() < 0.3:
        return
    history.faults.count("captures while an agreement runs out")
    storm.begin()
    await history.wait_until(min(ends) - 5 * random.random())
    for _ in range(random.randint(4, 12)):
        send = history.post if random.random() < 0.7 else partial(exporting.new, history)
        history.spawn(send(random.choice(history.live()), attempts=2))
        await asyncio.sleep(2 * random.random() ** 2)
    history.faults.weather.clear()
    await history.clients_done()


async def in_the_room(history: History, storm: Storm) -> None:
    """Reviewers work for hours with what a tenant has shared on some days, and what they rest on ends meanwhile."""
    random = history.random
    who = random.choice(history.setup.tenants)
    history.faults.weather.clear()
    await history.clients_done()
    for _ in range(random.choice((1, 2, 2, 3))):
        if not history.on(who):
            await history.toggle(who, random.choice(history.setup.geos))
        for _ in range(random.randint(1, 3)):
            await history.post(who, random.choice(((-1.0,), (-1.0, -2.0), (-20 * HOUR,))), attempts=1)
        await exporting.new(history, who, attempts=1)
        await pass_time(history, storm, random.choice((MINUTE, DAY)))
    if history.on(who) and random.random() < 0.5:
        history.faults.weather.clear()
        await history.clients_done()
        await room.made_by_several(history, who)
    for _ in range(random.randint(1, 4)):
        storm.begin()
        for _ in range(random.choice((1, 2, 3))):
            history.spawn(room.act(history, who))
        if random.random() < 0.2:
            history.spawn(history.post(who))
        await pass_time(history, storm, random.choice((1.0, MINUTE, 10 * MINUTE, HOUR)) * random.random())
    await history.clients_done()


async def flood(history: History) -> None:
    """A tenant's administrator switches on and off as often as that goes; another one's work goes on."""
    random = history.random
    history.faults.weather.clear()
    who = random.choice(history.setup.tenants)
    if history.on(who):
        await history.toggle(who, None)
    hourly = random.random() < 0.5
    for n in range(36 if hourly else 12):
        if hourly and n % 9 == 8:
            await history.wait(HOUR + MINUTE)
        if await history.toggle(who, random.choice(history.setup.geos)):
            await history.toggle(who, None)
    history.faults.count("flood of opt-ins")


async def beside_a_flood(history: History, storm: Storm) -> None:
    """A tenant ends as many enrollments as it may and wants all deleted at once; another one's turn comes no later.

    A run has room for two deletions of each tenant, so it takes what is first for each of them (D12).
    """
    cloud = history.cloud
    flooding, other = tenant(80), tenant(81)
    history.faults.weather.clear()
    await history.clients_done()
    each_has = 2
    cloud.purge_bounds = PurgeBounds(deletions=each_has * (len(history.setup.tenants) + 2), of_tenant=each_has)
    history.restart_all()
    geo = history.random.choice(history.setup.geos)
    for who, times in ((flooding, 10), (other, 1)):
        for _ in range(times):
            await history.toggle(who, geo)
            await history.post(who, attempts=1)
            await history.toggle(who, None)
    await settle(history, storm)
    for who, enrollment in [key for key in cloud.deletions.items if key[0] in {flooding, other}]:
        await history.expedite(who, enrollment)
    history.faults.count("flood beside a deletion")
    for looks in (1, 1, 2):
        await history.wait((0.5 if looks == 1 else 6.5) * MINUTE + MINUTE)  # by whichever clock
        instance = history.instance(awake=True)
        await history.ask(instance, "purge", instance.purge.run)  # once, however much is left
        history.oracle.looked_into(other, looks)
        history.stop_if_violated()
    cloud.purge_bounds = None
    history.restart_all()


async def edit(history: History) -> None:
    """Somebody writes times to come into deletions and heartbeats; nothing may wait for them."""
    history.faults.weather.clear()
    await history.clients_done()
    await _expedite_one(history)
    await history.purge(awake=True)
    cloud, random = history.cloud, history.random
    ahead = history.setup.base + timedelta(days=900)
    for key, stored in list(cloud.deletions.items.items()):
        deletion = stored.value
        if deletion.status == "verified" or random.random() < 0.3:
            continue
        cloud.deletions.items[key] = Stored(deletion.model_copy(update={"retry_at": ahead}), f"edited-{key[1]}")
        history.faults.count("edited deletion")
    for store in cloud.captures.values():
        last = cloud.operations.heartbeats.get(("purge", store.account))
        if last is not None:
            names = sorted(store.containers)[:10]
            all_of_them = tuple(
                Postponed(container=name, failures=3, error="storage-503", retry_at=ahead) for name in names
            )
            cloud.operations.heartbeats["purge", store.account] = last.model_copy(update={"postponed": all_of_them})
    if random.random() < 0.5:
        write_ahead(history, "purge")
        await history.status()
        history.stop_if_violated()


def write_ahead(history: History, kind: str) -> None:
    """Somebody writes into heartbeats that the job ran in times to come, and has seen all that there is."""
    random, heartbeats = history.random, history.cloud.operations.heartbeats
    ahead = history.setup.base + timedelta(days=900)
    seen = {"outcome": "more", "counts": {}, "previous_counts": {}, "totals": None}
    for each, account in [key for key in heartbeats if key[0] == kind]:
        times = random.choice((("at",), ("at", "started_at"), ("at", "started_at", "round_started_at")))
        cursor = "~" if account is None else Place(judged=True, found=("0-20200101-",)).cursor
        members = dict.fromkeys(times, ahead) | (seen | {"cursor": cursor} if kind == "sweep" else {})
        heartbeats[each, account] = heartbeats[each, account].model_copy(update=members)
        history.faults.count("heartbeat of a time to come")
    if kind == "sweep":
        history.counted.clear()  # what was told there is told no more


async def by_hand(history: History, storm: Storm) -> None:
    """Somebody puts containers where they do not belong; sweeps find them."""
    random, oracle, cloud = history.random, history.oracle, history.cloud
    history.faults.weather.clear()
    await history.clients_done()
    terms = list(oracle.terms.values())
    if not terms:
        return
    today = history.now()
    planted = len(oracle.planted)
    for kind in random.sample(("wrong account", "unknown enrollment", "after receipt", "foreign", "impossible day"), 2):
        term = random.choice(terms)
        enrollment, account, day = term.id, term.account, today
        if kind == "wrong account":
            account = random.choice([each for each in cloud.accounts if each != term.account])
        elif kind == "unknown enrollment":
            enrollment = f"{random.choice(cloud.shards)}{random.getrandbits(124):031x}"
        elif kind == "impossible day":
            live = [each for each in terms if each.ended is None]
            if not live:
                continue
            enrollment, account, day = live[0].id, live[0].account, today + timedelta(days=300)
        elif kind == "after receipt":
            in_time = [
                each.value.enrollment_id
                for each in cloud.deletions.items.values()
                if not _ends_soon(history, each.value)
            ]
            done = [each for each in terms if each.verified is not None and each.id in in_time]
            if not done:
                continue
            enrollment, account = done[0].id, done[0].account
        name = f"logs-{random.randrange(10)}" if kind == "foreign" else DayContainer(enrollment, day.date()).name
        if name not in cloud.captures[account].containers:
            history.faults.count("container by hand")
            oracle.plant(kind, account, name, "" if kind in {"foreign", "unknown enrollment"} else enrollment)
    if random.random() < 0.3:
        for _ in range(3):  # by then nothing may have survived
            write_ahead(history, "sweep")
            await history.status()
            await history.sweep(awake=True)
            history.stop_if_violated()
    elif random.random() < 0.5:
        await history.sweep(awake=True)
        history.counted += [
            each for each in oracle.planted[planted:] if each.gone is not None or each.kind == "foreign"
        ]
    else:
        storm.begin()
        await history.sweep()
        history.faults.weather.clear()
        await pass_time(history, storm, HOUR)


async def come_back(history: History) -> None:
    """Data is there again after its receipt, and the sweep that finds it may fail or die while it tells."""
    random, oracle, faults = history.random, history.oracle, history.faults
    await history.clients_done()
    day = history.now()
    finished = [(key, each.value) for key, each in history.cloud.deletions.items.items() if each.value.receipt]
    for (_, enrollment), deletion in finished[:2]:
        if _ends_soon(history, deletion):
            continue
        term = oracle.terms[enrollment]
        name = DayContainer(term.id, day.date()).name
        if name not in history.cloud.captures[term.account].containers:
            faults.count("container by hand")
            oracle.plant("after receipt", term.account, name, term.id)
    faults.aimed.append(Aimed("commit", 0.0, random.choice(("", "ambiguous", "crash after"))))
    await history.sweep()
    faults.aimed.clear()
    await history.sweep(awake=True)


def _ends_soon(history: History, deletion: Any) -> bool:
    """Tell whether a deletion that begins again now could not be finished by its deadline: soft delete may keep it."""
    kept = history.cloud.captures[deletion.storage_account].soft_delete or 0.0
    return -HOUR < history.seconds(deletion.deadline) - history.loop.time() < DAY + kept


async def edits(history: History) -> None:
    """Somebody writes to deletions past the service, and the purge comes by before the sweep does."""
    random, cloud, oracle = history.random, history.cloud, history.oracle
    history.faults.weather.clear()
    await history.clients_done()
    await history.wait(6.5 * MINUTE)  # whatever came back is not just being told
    if random.random() < 0.5:
        await _expedite_one(history)
        await history.purge(awake=True)
    whole = [
        (key, stored.value) for key, stored in cloud.deletions.items.items() if not _ends_soon(history, stored.value)
    ]
    if not whole:
        return
    for key, deletion in random.sample(whole, min(2, len(whole))):
        others = [each for other, each in whole if other != key and each.status == "verified"]
        kind = random.choice(EDITS[deletion.status])
        if kind.startswith("unknown key"):
            edited = await _under_nobodys_key(history, kind, deletion)
        else:
            edited = _edited(kind, deletion, cloud.deletions.proved.get(key), others)
        if edited is not None and edited != deletion:
            history.faults.count("deletion by hand")
            cloud.deletions.edit(kind, key, edited, back=kind in {"altered", "altered receipt", "later deadline"})
    await history.purge(awake=True)
    oracle.overtaken()
    left = await _found_by_sweeps(history)
    for key in left:
        # People have judged: what nobody has proved is proved now.
        unproved = cloud.deletions.items[key].value.model_copy(update={"receipt": None})
        cloud.deletions.edit("receipt removed", key, unproved, back=False)
    if left:
        await _found_by_sweeps(history)


async def _found_by_sweeps(history: History) -> list[tuple[str, str]]:
    """Let sweeps find what was edited, and return the deletions that they leave for people to judge."""
    before, found_after_receipt = _disagreeing(history), _found_after_receipt(history)
    rounds = Counter[Any]()
    for _ in range(50):
        answer = await history.sweep(awake=True)
        history.stop_if_violated()
        # A run that failed at containers that hang may have ended in the middle of its round.
        rounds.update({where: heartbeat.cursor is None for where, heartbeat in answer.value.items()})
        if min(rounds.values()) >= 2:  # the round that was under way may have passed by already
            break
    found_after_receipt = _found_after_receipt(history) - found_after_receipt
    left = history.oracle.check_edits(_disagreeing(history) - before, found_after_receipt)
    history.stop_if_violated()
    return left


async def forge(history: History) -> None:
    """Somebody makes a deletion of an enrollment that is live, and takes it away again once a purge has come by.

    Its own tenant's or another's, to begin or begun, or under another name.
    """
    random, cloud, oracle = history.random, history.cloud, history.oracle
    history.faults.weather.clear()
    await history.clients_done()
    events = [events[-1] for events in cloud.ledger.events.values() if isinstance(events[-1], OptedIn | Renewed)]
    live = [each for each in events if (each.tenant_id, each.enrollment_id) not in cloud.deletions.items]
    if not live:
        return
    event = random.choice(live)
    now = history.now()
    deletion = Deletion(
        tenant_id=random.choice((event.tenant_id, random.choice(history.setup.tenants))),
        enrollment_id=event.enrollment_id,
        sequence=event.sequence + 1,
        ledger_hash=event.hash,
        geo=event.geo,
        storage_account=event.storage_account,
        started_at=event.started_at,
        opted_out_at=now - timedelta(hours=1),
        not_before=now - timedelta(hours=1),
        deadline=now + timedelta(days=30),
        status=random.choice(("scheduled", "purged")),
        purged_at=now - timedelta(hours=1),
    )
    name = event.enrollment_id if random.random() < 0.7 else f"{random.getrandbits(128):032x}"
    key = (deletion.tenant_id, name)
    history.faults.count("deletion of a live enrollment")
    oracle.forged.add(key)
    cloud.deletions.items[key] = Stored(deletion, "forged")
    await history.purge(awake=True)
    del cloud.deletions.items[key]
    oracle.forged.discard(key)
    history.stop_if_violated()


_NEVER_TOLD = {
    "at": "2026-11-01T00:00:00.000000Z",
    "containersFound": 1,
    "provedAt": "2026-10-01T00:00:00.000000Z",
}
_UNKNOWN_KEY = ("unknown key, false", "unknown key, plausible")
EDITS = {
    "scheduled": ("later deadline", "earlier deadline", *_UNKNOWN_KEY),
    "purged": ("later deadline", "earlier deadline", "purged in times to come", "told at another time", *_UNKNOWN_KEY),
    "verified": ("no signature", "altered", "altered receipt", "another's receipt", "older receipt", *_UNKNOWN_KEY),
}


async def _under_nobodys_key(history: History, kind: str, deletion: Any) -> Any:
    """Return a deletion with a receipt that nobody can check, false or not to be told from a true one; or None."""
    random = history.random
    events = [
        each for each in history.cloud.ledger.events[deletion.tenant_id] if each.enrollment_id == deletion.enrollment_id
    ]
    opt_out = next(each for each in events if isinstance(each, OptedOut))
    first_look = opt_out.at + timedelta(seconds=600 * random.random())
    second_look = first_look + timedelta(minutes=5, seconds=600 * random.random())
    if second_look > history.now() - timedelta(minutes=10):
        return None  # so soon it may be of a key that is only new
    told = [each for each in events if isinstance(each, Reappeared)]
    forged = deletion.model_copy(update={"purged_at": first_look}).verified(second_look, opt_out, told)
    claims, shown = forged.receipt_claims, {}
    if kind == "unknown key, false":
        false = random.choice(
            (
                {"ledgerHash": 64 * "a"},
                {"deadline": format_instant(opt_out.deadline + timedelta(days=60))},
                {"secondLookAt": format_instant(history.now() + timedelta(days=random.choice((0.01, 400, 20_000))))},
                {"firstLookAt": format_instant(opt_out.at - timedelta(days=1))},
                {"firstLookAt": format_instant(second_look - timedelta(minutes=4))},
                {"reappeared": [_NEVER_TOLD]},
                {},
            )
        )
        claims = {**claims, **false}
        shown = {} if false else {"lastDay": (opt_out.at + timedelta(days=9)).date().isoformat()}
    receipt = Receipt.from_json({**claims, **shown, "jws": await NOBODYS.sign(claims)})
    return forged.model_copy(update={"purged_at": receipt.first_look_at, "receipt": receipt})


def _edited(kind: str, deletion: Any, proved: Any, others: list[Any]) -> Any:
    """Return a deletion as somebody wants it to be; None if that is not possible."""
    later = {"deadline": deletion.deadline + timedelta(days=60)}
    other = others[0] if others else deletion
    update = {
        "later deadline": later,
        "earlier deadline": {"deadline": deletion.deadline - timedelta(days=1)},
        "altered": later | {"ledger_hash": 64 * "a"},
    }.get(kind)
    if kind in {"purged in times to come", "told at another time"}:
        days = 400 if kind == "purged in times to come" else -400
        update = {"purged_at": deletion.purged_at + timedelta(days=days)}
    elif kind == "no signature":
        update = {"receipt": deletion.receipt.model_copy(update={"jws": "x"})}
    elif kind == "altered receipt":
        at = deletion.receipt.second_look_at - timedelta(hours=1)
        update = {"receipt": deletion.receipt.model_copy(update={"second_look_at": at})}
    elif kind == "another's receipt":
        update = {"receipt": other.receipt, "purged_at": other.purged_at}
    elif kind == "older receipt":
        if proved is None or proved.receipt.reappeared == deletion.receipt.reappeared:
            return None
        update = {"receipt": proved.receipt, "purged_at": proved.purged_at}
    return deletion.model_copy(update=update)


def _disagreeing(history: History) -> int:
    heartbeat = history.cloud.operations.heartbeats.get(("sweep", None))
    totals = heartbeat.totals if heartbeat is not None and heartbeat.totals else {}
    return totals.get("receiptsInvalid", 0) + totals.get("deletionsDisagreeing", 0)


def _found_after_receipt(history: History) -> int:
    heartbeats = history.cloud.operations.heartbeats.items()
    return sum((each.totals or {}).get("afterReceipt", 0) for (kind, _), each in heartbeats if kind == "sweep")


async def reckoning(history: History, storm: Storm) -> None:
    """The faults stop, the jobs run, and nothing may be left undone."""
    faults = history.faults
    history.scripted_calls = faults.calls
    history.closing = True
    faults.kill_at = None
    faults.weather.clear()
    faults.weather.stuck.clear()
    faults.weather.hanging.clear()
    faults.aimed.clear()
    for store in history.cloud.captures.values():
        store.soft_delete = None
    await history.clients_done()
    while any(store.soft_deleted for store in history.cloud.captures.values()):
        await pass_time(history, storm, DAY / 4)
    await history.wait(1300)  # the longest pause is over, and the last names are free
    for each in history.unfinished():
        if history.random.random() < 0.5:
            await history.expedite(each.tenant_id, each.enrollment_id)
    await history.feed(lossless=True)
    if history.setup.feed == "healthy":
        history.oracle.check_scheduled()
    await history.sweep(awake=True)
    await month(
        history, storm, max([history.loop.time(), *(history.seconds(d.deadline) for d in history.unfinished())])
    )
    thorough = history.random.random() < 0.25  # the others save the runs that can find nothing more to do
    for n in range(4):
        faults.aimed.clear()  # at calls that did not come
        await history.purge(awake=True)
        await history.wait(6.5 * MINUTE)
        await history.purge(awake=True)
        await history.sweep(awake=True)
        history.stop_if_violated()
        report = await history.status()
        assert report is not None
        if n == 3 or (not thorough and history.nothing_left(report)):
            break
        await pass_time(history, storm, 45 * MINUTE)
    await _exports_end(history)
    history.oracle.check_end(report.promises, report.findings, history.counted)
