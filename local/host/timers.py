"""The timer trigger, on the movable clock."""

import fcntl
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from local.host.clock import MovableClock
from local.host.functions import Function, TimerTrigger
from local.host.invocation import Invoker
from local.host.schedule import following
from local.host.state import read, write
from local.host.stopping import Stopping

_log = logging.getLogger("local.host")
_POLL_SECONDS = 0.5
_LOCK_POLL_SECONDS = 0.05
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class TimerListener:
    """One timer function: at most one run at a time, in this host and in every other on the same directory."""

    def __init__(
        self,
        function: Function,
        trigger: TimerTrigger,
        clock: MovableClock,
        *,
        directory: Path,
        invoker: Invoker,
        stopping: Stopping,
    ) -> None:
        """Keep the timer's lock and last run in ``directory``."""
        self._function = function
        self._trigger = trigger
        self._clock = clock
        self._lock = directory / f"timer-{function.name}.lock"
        self._status = directory / f"timer-{function.name}.json"
        self._invoker = invoker
        self._stopping = stopping

    async def listen(self) -> None:
        """Run the function whenever it is due on the clock, until the host stops.

        A due time since the last recorded run is caught up once, as ``past_due``; a timer never seen counts from now. A
        disabled one runs by hand only.
        """
        if not self._trigger.use_monitor or not self._status.exists():
            self._record(self._clock.now(), last=None)
        if self._function.disabled:
            return
        await self._run_if_due(startup=True)
        while not await self._stopping.within(_POLL_SECONDS):
            await self._run_if_due(startup=False)

    async def run_now(self) -> bool:
        """Run once by hand, after the run that is under way, if any; the schedule does not change.

        Returns:
            Whether the run succeeded; False too if the host stopped before its turn came.
        """
        while not self._stopping.is_set():
            async with self._held() as held:
                if held:
                    return (await self._invoker.run(self._function, self._value(past_due=False))).succeeded
            await self._stopping.within(_LOCK_POLL_SECONDS)
        return False

    async def _run_if_due(self, *, startup: bool) -> None:
        if not self._is_due() and not (startup and self._trigger.run_on_startup):
            return
        async with self._held() as held:
            # Read again under the lock: another host may just have done this run.
            due = self._is_due()
            if not held or not (due or (startup and self._trigger.run_on_startup)):
                return
            started = self._clock.now()
            value = self._value(past_due=startup and due)
            if await self._invoker.run_with_retries(self._function, value) is not None:
                # From its start, not its end: a clock moved during the run must make the timer due again.
                self._record(started, last=started)

    def _is_due(self) -> bool:
        return self._next() <= self._clock.now()

    def _next(self) -> datetime:
        return following(self._trigger.schedule, datetime.fromisoformat(self._read()["from"]))

    def _value(self, *, past_due: bool) -> Datum:
        last = self._read()["last"] or _NEVER.isoformat()
        status = {"Last": last, "Next": self._next().isoformat(), "LastUpdated": last}
        # The platform keeps no status for a timer without a monitor.
        shown = status if self._trigger.use_monitor else None
        return Datum(
            json.dumps({"Schedule": {"AdjustForDST": True}, "ScheduleStatus": shown, "IsPastDue": past_due}), "json"
        )

    def _read(self) -> dict[str, Any]:
        return read(self._status) or {}

    def _record(self, since: datetime, last: datetime | None) -> None:
        write(self._status, {"from": since.isoformat(), "last": last.isoformat() if last else None})

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[bool]:
        """Hold the timer's lock if it is free now; the operating system frees it when a host dies."""
        with self._lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
