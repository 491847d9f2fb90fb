"""A clock that moves only when a test says so."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class ManualClock:
    """``sleep`` waits until ``advance`` has passed its end; with ``jumping`` it moves the time there itself."""

    def __init__(self, now: datetime = START, *, jumping: bool = False) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._jumping = jumping
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._jumping:
            self.move(timedelta(seconds=seconds))
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, future))
        await future

    def move(self, by: timedelta) -> None:
        """Move both times without letting anything run."""
        self._now += by
        self._monotonic += by.total_seconds()

    def move_wall(self, by: timedelta) -> None:
        """Move the wall clock alone: as when a hypervisor stopped the machine, or somebody set its time."""
        self._now += by

    def set(self, now: datetime) -> None:
        """Move both times to ``now``, or only the wall clock if that is back."""
        by = now - self._now
        self._now = now
        self._monotonic += max(by.total_seconds(), 0.0)

    async def advance(self, by: timedelta) -> None:
        """Move both times, then let everything run that was waiting for it."""
        self.move(by)
        for due, future in list(self._sleepers):
            if due <= self._monotonic and not future.done():
                future.set_result(None)
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something that is not the event loop."""
    for _ in range(50):
        await asyncio.sleep(0)
