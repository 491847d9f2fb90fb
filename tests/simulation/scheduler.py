"""Virtual time: an event loop that never waits, and processes that have clocks and can be killed and paused."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, NoReturn

DRIFT_MAX = 30.0
"""Seconds that a wall clock may be off the true time, so that no two are more than 60 apart."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose time jumps to the next timer as soon as nothing is ready to run.

    What runs when follows from the program alone, so a history is the same each time it is run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise RuntimeError("Everything waits, and nothing is left to wait for.")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0].when())
        return ()

    def _process_events(self, event_list: Any) -> None:
        """Nothing comes from outside."""

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
            await asyncio.sleep(max(left, 1e-6))  # less might be no time at all to the loop
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
        """Set the wall clock, if it is the one that lies, to so many seconds from the true time."""
        if self.lies == "wall":
            self._drift = max(-DRIFT_MAX, min(DRIFT_MAX, drift))

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
