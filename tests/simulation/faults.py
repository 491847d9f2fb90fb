"""What can go wrong at a store call, and the proxy through which every call of a simulated process goes."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from shared.ports import Conflict, ConsentExpired, MarkerRefused, Permit, StoreUnavailable, TryAgain
from tests.simulation.scheduler import CURRENT_REQUEST, Process, VirtualLoop

LANDING_MAX = 20.0
"""Seconds after which a write whose sender has given up may still be carried out."""

UPLOAD_LANDING_MAX = 900.0
"""The same for an upload, whose arrival only its signature bounds."""

PAUSE_MAX = 1200.0

HOUR = 3600.0
CAPTURE_PAUSE_MAX = 3 * HOUR
"""Seconds of the longest pause within a request that stores captures, and before any other write that a permit allows:
nothing may rest on its length. Jobs have deadlines, and are paused for ``PAUSE_MAX`` at most; so is whatever is while
something falls due, because the story waits for it and the timers do not come by."""

STORING = frozenset({"capture", "export"})

CALL_LIMIT = 20.0
"""Seconds that an adapter gives one call to storage; what hangs takes them all."""

REFUSED_MAX = 12
"""How often in a row a busy store refuses the same call: it serves some of everybody's."""

TOGGLE_MAX = 400.0
"""Seconds for which a PUT of the setting may be held up."""

ITERATORS = frozenset(
    {
        "list_containers",
        "unreadable",
        "due",
        "unverified",
        "ledgers",
        "events_of_enrollments",
        "opt_outs_committed",
        "events_after",
        "tenants",
        "of_sequences",
        "verified_among",
    }
)
JOBS = frozenset({"purge", "sweep"})
BESIDE = frozenset({"write_beside", "stage", "put_staged"})
"""Writes beside captures, on the word of a look at a review grant."""

UPLOADS = frozenset({"put_batch", "create_log", "append", *BESIDE})
"""Writes that a signature bounds."""

PERMITTED = UPLOADS | {"create_container"}
WRITES = frozenset(
    {
        "mark",
        "deploy",
        "change_epoch",
        "commit",
        "move_head",
        "create",
        "replace",
        "create_container",
        "write",
        *UPLOADS,
    }
    | {"delete_container", "delete_beside"}
)
BUSY = "storage-ServerBusy"
_REFUSED = {"cosmos": "cosmos-429"}
_MARKER_REFUSED = 0.02
"""How many of the markers of a listing are refused, if not more than usual."""

_CONDITIONAL = frozenset({"commit", "replace", "move_head", "write"})


@dataclass(slots=True, eq=False)
class Work:
    """A request of a client or a run of a job, as the faults see it.

    ``sent`` is what the oracle knows a capture by. ``held_until`` is the time until which its process may be held up: a
    change of a setting has one, because it is stamped before it is committed. A capture has none. ``failed`` is which
    store failed it in which call, and with what code; ``told_to_wait`` which stores have asked it for fewer requests.
    ``failed_before`` is how many had failed when a heartbeat was sent, by the heartbeat's ``id``: it may land later.
    """

    number: int
    kind: str
    process: Process
    sent: Any = None
    held_until: float = math.inf
    lands_until: float = 0.0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    told_to_wait: set[str] = field(default_factory=set)
    failed_before: dict[int, int] = field(default_factory=dict)


@dataclass
class Throttle:
    """A store that refuses many calls for now, without carrying them out.

    Attributes:
        until: the time until which it does.
        chance: how many of the calls, at most 1; of one and the same call not more than ``REFUSED_MAX`` in a row.
        asks: how many seconds it asks to wait, or None if it does not say.
        refused: how often in a row each call was.
    """

    until: float
    chance: float
    asks: float | None = None
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def refuses(self, now: float, random: Random, call: tuple[str, str]) -> bool:
        refused = now < self.until and self.refused[call] < REFUSED_MAX and random.random() < self.chance
        self.refused[call] = self.refused[call] + 1 if refused else 0
        return refused


@dataclass
class Weather:
    """How bad things are now: the chance of each fault at each store call, and what is down or slow.

    Attributes:
        rates: the chance by kind of fault; empty means calm.
        pause_max: seconds of the longest pause.
        down: store name to the time until which each call fails.
        slow: store name to the time until which each call takes seconds.
        busy: store name to how it refuses calls for now.
        stuck: names of containers that cannot be deleted.
        hanging: names of containers whose delete hangs for as long as a call may take.
        markers: how many of the markers of a listing are refused, at most 1.
    """

    rates: dict[str, float] = field(default_factory=dict)
    latency: float = 0.0
    pause_max: float = PAUSE_MAX
    down: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    busy: dict[str, Throttle] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    markers: float = _MARKER_REFUSED

    @property
    def undeletable(self) -> set[str]:
        """What cannot be deleted, and so is owed by nobody."""
        return self.stuck | self.hanging

    def clear(self) -> None:
        """Let it be calm; what is stuck stays so."""
        self.rates, self.latency, self.markers = {}, 0.0, _MARKER_REFUSED
        self.down.clear()
        self.slow.clear()
        self.busy.clear()


@dataclass
class Aimed:
    """A fault for the next call of one method: held up for some seconds, carried out, and ``then`` this.

    ``then`` is empty, ``ambiguous``, ``slow answer``, ``told to wait`` or ``crash after``; ``of`` is the kind of
    request or job that it hits, or empty for any.
    """

    method: str
    seconds: float
    then: str = ""
    of: str = ""


@dataclass
class KillAt:
    """Kills the process that makes the ``call``-th store call, before it is carried out or after."""

    call: int
    after: bool


class Faults:
    """Decides the fate of each store call, and counts."""

    def __init__(self, random: Random, loop: VirtualLoop, trace: Callable[..., None]) -> None:
        self.random = random
        self.loop = loop
        self.trace = trace
        self.weather = Weather()
        self.kill_at: KillAt | None = None
        self.aimed: list[Aimed] = []
        self.calls = 0
        self.counts: Counter[str] = Counter()
        self.work: dict[int, Work] = {}
        self.begun: Callable[[Work | None, str], None] = lambda work, container: None
        self.begun_beside: Callable[[Work | None, str, str], None] = lambda work, container, blob: None
        self.owed_in: Callable[[], float] = lambda: math.inf  # seconds

    def count(self, kind: str) -> None:
        self.counts[kind] += 1

    @property
    def calm(self) -> bool:
        weather = self.weather
        bad = weather.rates or weather.latency or weather.down or weather.slow or weather.busy
        return not (bad or self.kill_at or self.aimed)

    def draw(self, work: Work | None) -> str | None:
        """Return the fault of one call, or None. A job makes many calls, and shall get somewhere."""
        rates = self.weather.rates
        if not rates:
            return None
        at = self.random.random() * (6.0 if work is not None and work.kind in {*JOBS, "exports"} else 1.0)
        for kind, rate in rates.items():
            if at < rate:
                return kind
            at -= rate
        return None

    def patience(self, process: Process) -> float:
        """Return for how many seconds the process may be held up (see ``Work``)."""
        until = min((work.held_until for work in self.work.values() if work.process is process), default=math.inf)
        return max(0.0, min(CAPTURE_PAUSE_MAX, until - self.loop.time()))

    async def hold_up(self, process: Process, seconds: float) -> None:
        """Let time pass at a call, within bounds."""
        await asyncio.sleep(min(seconds, self.patience(process)))

    def pause(self, process: Process, *, storing: bool = False) -> None:
        longest = self.weather.pause_max
        if storing:  # one pause follows another, and whoever tells the story may wait for all of them
            longest = min(CAPTURE_PAUSE_MAX, max(PAUSE_MAX, self.owed_in() / 3 - HOUR))
        longest = min(longest, self.patience(process))
        if longest > 0:
            seconds = longest * self.random.random() ** 3
            self.trace("pause", process.name, seconds)
            process.pause(seconds)


class Faulty:
    """A store as one process reaches it."""

    def __init__(self, inner: Any, name: str, process: Process, faults: Faults) -> None:
        self._inner = inner
        self._name = name
        self._process = process
        self._faults = faults

    @property
    def account(self) -> str:
        return self._inner.account  # type: ignore[no-any-return]

    def __getattr__(self, method: str) -> Any:
        bound = getattr(self._inner, method)
        made: Any
        if method in ITERATORS:

            def made(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                return _Items(self, method, bound(*args, **kwargs))

        else:

            async def made(*args: Any, **kwargs: Any) -> Any:
                return await self._call(method, lambda: bound(*args, **kwargs), args)

        self.__dict__[method] = made
        return made

    async def _call(self, method: str, carry_out: Callable[[], Any], args: Any = ()) -> Any:
        faults, process = self._faults, self._process
        work: Work | None = CURRENT_REQUEST.get()
        faults.calls += 1
        faults.trace(process.name, self._name, method)
        if not process.alive or faults.loop.time() < process.resumes_at:
            await process.running()
        if method in PERMITTED:
            _look(args[0])
            if method in BESIDE:
                faults.begun_beside(work, args[1], args[2])
            else:
                faults.begun(work, args[1])
        if method == "write" and work is not None:
            work.failed_before[id(args[0])] = len(work.failed)
        try:
            if method == "delete_container" and args and args[0] in faults.weather.stuck:
                faults.count("stuck container")
                raise StoreUnavailable("storage-LeaseIdMissing")
            if method == "delete_container" and args and args[0] in faults.weather.hanging:
                faults.count("hanging container")
                await asyncio.sleep(CALL_LIMIT)
                raise StoreUnavailable("storage-timeout")
            if faults.calm:
                return await carry_out()
            if method == "container_page" and args[1] is not None and faults.random.random() < faults.weather.markers:
                faults.count("marker refused")
                raise MarkerRefused
            permit = args[0] if method == "create_container" else None
            busy = faults.weather.busy.get(self._name)
            if busy is not None and busy.refuses(faults.loop.time(), faults.random, (method, repr(args[:1]))):
                faults.count("told to wait")
                await asyncio.sleep(0.01)
                raise TryAgain(_REFUSED.get(self._name, BUSY), throttled=True, retry_after=busy.asks)
            return await self._call_in_storm(method, carry_out, work, permit)
        except StoreUnavailable as error:
            if work is not None and error.throttled:
                work.told_to_wait.add(self._name)
            elif work is not None:
                work.failed.append((self._name, method, error.code))
            raise

    async def _call_in_storm(
        self, method: str, carry_out: Callable[[], Any], work: Work | None, permit: Permit | None = None
    ) -> Any:
        faults, process, random, loop = self._faults, self._process, self._faults.random, self._faults.loop
        weather = faults.weather
        if faults.kill_at is not None and faults.calls >= faults.kill_at.call:
            after, faults.kill_at = faults.kill_at.after, None
            if after:
                await carry_out()
            process.kill()
            await process.end()
        if weather.latency and random.random() < 0.7:
            await asyncio.sleep(weather.latency * random.random())
        if weather.slow.get(self._name, 0.0) > loop.time():
            faults.count("slow store")
            await faults.hold_up(process, 4.0 * random.random())
        fault = faults.draw(work)
        aimed = next(
            (
                each
                for each in faults.aimed
                if each.method == method and (not each.of or (work is not None and work.kind == each.of))
            ),
            None,
        )
        if aimed is not None:
            faults.aimed.remove(aimed)
            faults.count("held for minutes" if aimed.seconds > 60 else "held")
            faults.trace("held", aimed.seconds)
            await faults.hold_up(process, aimed.seconds)
            fault = aimed.then or None
        if fault is not None:
            faults.count(fault)
            faults.trace(fault)
        if fault == "slow call":
            await faults.hold_up(process, random.choice((1.0, 3.0, 10.0, 60.0)) * random.random())
        elif fault == "pause before":
            faults.pause(process, storing=method in PERMITTED or (work is not None and work.kind in STORING))
        elif fault == "clock set":
            process.set_wall(60 * random.random() - 30)
        if not process.alive or loop.time() < process.resumes_at:
            await process.running()
        if permit is not None:
            _look(permit)  # the adapter looks as late as that: no signature bounds what comes of it
        if weather.down.get(self._name, 0.0) > loop.time():
            faults.count("store down")
            raise TryAgain("storage-unreachable")
        if fault == "hang":
            await faults.hold_up(process, CALL_LIMIT)
            raise TryAgain("storage-timeout")
        if fault == "fail before":
            raise TryAgain("storage-503")
        if fault == "told to wait":
            raise TryAgain(_REFUSED.get(self._name, BUSY), throttled=True, retry_after=2.0)
        if fault == "conflict with another" and method in _CONDITIONAL:
            raise Conflict  # who wrote what was there: it need not have changed what this writer cares for
        if fault in {"late landing", "crash, late landing"}:
            if method in WRITES:
                latest = (
                    LANDING_MAX if method not in UPLOADS else random.choice((LANDING_MAX, 90.0, UPLOAD_LANDING_MAX))
                )
                delay = latest * random.random()
                if work is not None:
                    work.lands_until = max(work.lands_until, loop.time() + latest)
                loop.call_later(delay, lambda: loop.create_task(_unheard(carry_out)))
            if fault == "late landing":
                raise TryAgain("storage-timeout")
        if fault in {"crash before", "crash, late landing"}:
            process.kill()
            await process.end()
        answer = await carry_out()
        if fault == "sent twice" and method == "change_epoch":  # its first answer was lost, and the other came first
            loop.call_later(LANDING_MAX * random.random(), lambda: loop.create_task(_unheard(carry_out)))
        if fault == "crash after":
            process.kill()
            await process.end()
        if fault == "ambiguous":
            raise TryAgain("storage-timeout")
        if fault == "conflict with itself" and method in _CONDITIONAL:
            raise Conflict  # the SDK sent it twice, because the first answer was lost
        if fault == "slow answer":
            await faults.hold_up(process, random.choice((0.5, 2.5, 10.0)) * random.random())
        elif fault == "pause after":
            faults.pause(process, storing=work is not None and work.kind in STORING)
        elif weather.latency and random.random() < 0.7:
            await asyncio.sleep(weather.latency * random.random())
        if not process.alive or loop.time() < process.resumes_at:
            await process.running()
        return answer


class _Items:
    """The items of a listing or query: a call for the first of them, and in bad weather one for each that follows."""

    def __init__(self, store: Faulty, method: str, items: AsyncIterator[Any]) -> None:
        self._store = store
        self._method = method
        self._items = items
        self._read: list[Any] | None = None
        self._next = 0

    def __aiter__(self) -> "_Items":
        return self

    async def __anext__(self) -> Any:
        if self._read is None:
            self._read = await self._store._call(self._method, self._drain)
        elif self._next < len(self._read) and not self._store._faults.calm:
            await self._store._call(f"{self._method} next", _nothing)
        if self._next >= len(self._read):
            raise StopAsyncIteration
        self._next += 1
        return self._read[self._next - 1]

    async def _drain(self) -> list[Any]:
        return [item async for item in self._items]


def _look(permit: Permit) -> None:
    """Begin no write whose permit does not hold, as the adapter does."""
    if not permit.holds:
        raise ConsentExpired


async def _nothing() -> None:
    """A further page comes from the same snapshot, but it takes a call."""


async def _unheard(carry_out: Callable[[], Any]) -> None:
    with contextlib.suppress(Exception):  # nobody is left to be told
        await carry_out()
