"""Virtual time: an event loop that never waits, and processes that have clocks and can be killed and paused."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any, NoReturn

DRIFT_MAX = 29.999
"""Seconds that a wall clock may be off the true time, so that no two are more than 60 apart. Instants are whole
microseconds, so what the oracle allows (30 s) is a little more: it must not matter which way they are rounded."""

TURNS_MAX = 5_000_000
"""Turns of the loop in one history; the busiest of 10,000 takes a tenth of them."""


class Endless(KeyboardInterrupt):
    """A history that comes to no end. It derives from what neither asyncio nor the rules catch."""


@contextmanager
def limited_to(seconds: float) -> Iterator[None]:
    """Raise ``Endless`` in what takes more processor time, wherever it is: not every endless loop turns ours.

    Processor time, because a busy machine is no fault of a history; and nothing here ever waits for anything else.
    """

    def ring(*_: object) -> NoReturn:
        raise Endless(f"{seconds:.0f} s of processor time and no end")

    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread can be interrupted
        return
    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class _Handle(asyncio.Handle):
    """A handle that asks nobody whether it shall know where it was made."""

    __slots__ = ()

    def __init__(self, callback: Any, args: Any, loop: "VirtualLoop", context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop, self._callback, self._args = loop, callback, args
        self._cancelled, self._repr, self._source_traceback = False, None, None


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose time jumps to the next timer as soon as nothing is ready to run.

    What runs when follows from the program alone, so a history is the same each time it is run.
    """

    _asyncgen_firstiter_hook = None  # it would keep a list of generators for an end that a history does not have

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = count()

    def time(self) -> float:
        return self._now

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        if self.is_running():  # else the history has ended, and so have its processes
            super()._asyncgen_finalizer_hook(agen)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._made), timer))
        return timer

    def _run_once(self) -> None:
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Endless(f"{TURNS_MAX} turns of the loop and no end")
        ready, timers = self._ready, self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise Endless("everything waits, and nothing is left to wait for")
            # Exactly, not nearly: what waited for the rest of it would wait again, for ever.
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _write_to_self(self) -> None:
        """Nobody is asleep."""


class Process:
    """One instance of the service as the machine sees it.

    A killed process runs on to its next store call, sleep or signature and no further: what it does until then is in
    its own memory only. So no clean-up code of a killed process has an effect, as after SIGKILL.

    Attributes:
        lies: which of its clocks lies, if any: ``monotonic`` stands still in pauses, ``wall`` is set now and then.
    """

    def __init__(
        self, name: str, loop: VirtualLoop, base: datetime, drift: float, drift_rate: float, lies: str = ""
    ) -> None:
        self.name = name
        self.alive = True
        self.resumes_at = 0.0
        self.lies = lies
        self._loop = loop
        self._base = base
        self._drift = drift
        self._drift_rate = drift_rate
        self._paused_at = 0.0
        self._stood_still = 0.0
        self._on_death: dict[int, Callable[[], None]] = {}

    # The clock that the rules are handed.

    def now(self) -> datetime:
        true = self._loop.time()
        drift = max(-DRIFT_MAX, min(DRIFT_MAX, self._drift + self._drift_rate * true))
        return self._base + timedelta(seconds=true + drift)

    def monotonic(self) -> float:
        now = self._loop.time()
        if self.lies == "monotonic":
            now -= self._stood_still + min(now, self.resumes_at) - self._paused_at
        return now + 4096.0  # a machine's own, and not the true time

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:  # noqa: ASYNC110 - there is no event but time itself
            # Less might be no time at all to the loop. In a pause nothing wakes up, and a clock that stands still in it
            # would leave the same little rest for all of its length.
            await asyncio.sleep(max(left, self.resumes_at - self._loop.time(), 1e-6))
        await self.running()

    # What the machine does to it.

    async def running(self) -> None:
        """Return when the process may go on: at once, when its pause is over, or never."""
        while self.alive and self._loop.time() < self.resumes_at:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(self.resumes_at - self._loop.time())
        if not self.alive:
            await self.end()

    async def end(self) -> NoReturn:
        """Never return."""
        await self._loop.create_future()
        raise AssertionError

    def pause(self, seconds: float) -> None:
        """Freeze the process; its monotonic clock goes on, as CLOCK_BOOTTIME does, unless it is the one that lies."""
        now = self._loop.time()
        if now >= self.resumes_at:
            self._stood_still += self.resumes_at - self._paused_at
            self._paused_at = now
        self.resumes_at = max(self.resumes_at, now + seconds)

    def set_wall(self, drift: float) -> None:
        """Set the wall clock to so many seconds from the true time, unless it is the other one that lies."""
        if self.lies != "monotonic":
            self._drift = max(-DRIFT_MAX, min(DRIFT_MAX, drift)) - self._drift_rate * self._loop.time()

    def kill(self) -> None:
        """End the process here."""
        if self.alive:
            self.alive = False
            for tell in list(self._on_death.values()):
                tell()
            self._on_death.clear()

    def when_killed(self, tell: Callable[[], None]) -> int:
        """Have ``tell`` called at the kill, until ``forget``."""
        key = id(tell)
        self._on_death[key] = tell
        return key

    def forget(self, key: int) -> None:
        """See ``when_killed``."""
        self._on_death.pop(key, None)


CURRENT_REQUEST: ContextVar[Any] = ContextVar("current_request", default=None)
"""The client's request, or the job, on whose behalf code runs; tasks inherit it."""
