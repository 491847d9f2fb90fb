"""Time as a dependency (decision D8): every rule takes ``now`` from a clock that is handed in."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the service may know about time."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only ever grow on this machine; never compared with another machine's."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until ``monotonic`` has grown by ``seconds``."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was, by both clocks of a machine, either of which may lie.

    Attributes:
        clock: the machine's.
        monotonic: stands still while a hypervisor keeps the whole machine from running.
        wall: may be set, forward or back.
    """

    clock: Clock
    monotonic: float
    wall: datetime

    @classmethod
    def now(cls, clock: Clock) -> "Moment":
        """Return this moment."""
        return cls(clock, clock.monotonic(), clock.now())

    @property
    def passed(self) -> float:
        """Seconds since then, by the clock that says more."""
        return max((self.clock.now() - self.wall).total_seconds(), self.clock.monotonic() - self.monotonic)

    @property
    def age(self) -> float:
        """The same for what must not be believed too long: endless if the wall clock was set back behind it (D11)."""
        return float("inf") if self.clock.now() < self.wall else self.passed


# CLOCK_BOOTTIME goes on while the machine is suspended; a lease that stood still with it would outlive an opt-out (P2).
_MONOTONIC_ID = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since the machine started, time asleep included where the platform counts it."""
        return time.monotonic() if _MONOTONIC_ID is None else time.clock_gettime(_MONOTONIC_ID)

    async def sleep(self, seconds: float) -> None:
        """Wait, and wait again if the event loop woke early: a lease wait must never be cut short (D5)."""
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:  # noqa: ASYNC110 - there is no event but time itself
            await asyncio.sleep(left)
