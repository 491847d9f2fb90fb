"""What else the machine does: figures that were measured beside other work say nothing."""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

OTHERS_AT_MOST = 0.05
"""The share of all CPUs that others may use during a round."""

PATIENCE_SECONDS = 300.0
"""So long in all a run waits for others, thrown-away rounds included."""

_LOOK_SECONDS = 1.0


class MachineBusy(Exception):
    """Others kept the machine busy for longer than the bench waits; the message says how busy."""


@dataclass(frozen=True, slots=True)
class Used:
    """A moment (monotonic seconds), and the CPU seconds that were used until then: ``all`` of it, and our ``own``."""

    at: float
    all: float
    own: float

    @classmethod
    def now(cls) -> "Used":
        """Look."""
        # Our own first: what is used between the two looks then counts as others', and never the other way round.
        own, used = _own_seconds(), psutil.cpu_times()
        # Interrupts are left out: they are those of our own requests over loopback. What a hypervisor gave to others
        # is in.
        everything = used.user + getattr(used, "nice", 0.0) + used.system + getattr(used, "steal", 0.0)
        return cls(time.monotonic(), everything, own)

    def others_since(self, before: "Used") -> float:
        """Return the share of all CPUs that others used since then, from 0 to 1."""
        others = (self.all - before.all) - (self.own - before.own)
        return max(0.0, others / (self.at - before.at) / (os.cpu_count() or 1))


class Watch:
    """Looks at the other load before and during rounds, and waits while there is any.

    Attributes:
        anyway: measure beside other work too.
    """

    def __init__(self, say: Callable[[str], None], *, anyway: bool = False) -> None:
        self.anyway = anyway
        self._say = say
        self._left = PATIENCE_SECONDS

    async def until_quiet(self) -> None:
        """Return as soon as others leave the machine alone.

        Raises:
            MachineBusy: if that takes too long.
        """
        told = False
        while not self.anyway:
            before = Used.now()
            await asyncio.sleep(_LOOK_SECONDS)
            others = Used.now().others_since(before)
            if others <= OTHERS_AT_MOST:
                return
            if not told:
                self._say(f"  waiting: others use {others:.0%} of the machine")
                told = True
            self.lose(_LOOK_SECONDS, f"Others use {others:.0%} of the machine")

    def lose(self, seconds: float, why: str) -> None:
        """Take note that time was lost.

        Raises:
            MachineBusy: if it was too much.
        """
        self._left -= seconds
        if self._left < 0:
            raise MachineBusy(f"{why}, and {PATIENCE_SECONDS:.0f} s were lost with that: nothing can be measured now.")

    def disturbed(self, others: float, seconds: float) -> bool:
        """Tell whether a round of so many seconds is to be thrown away for what others used in it.

        Raises:
            MachineBusy: if too many were.
        """
        if self.anyway or others <= OTHERS_AT_MOST:
            return False
        self._say(f"  a round is thrown away: others used {others:.0%} of the machine")
        self.lose(seconds, f"Others used {others:.0%} of the machine")
        return True


def _own_seconds() -> float:
    """Return what this process, its children and theirs have used, those that ended included."""
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended: it is in its parent's
            used = each.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return float(total)
