"""The retry policy that a function declares, with the platform's meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

# A declared interval of zero would spin: the platform has a floor too.
_SHORTEST_SECONDS = 0.05


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast a failed run is repeated; intervals in seconds of real time."""

    max_retry_count: int
    """Repeats after the first run; -1 repeats for ever."""
    minimum: float
    maximum: float
    """Equal to ``minimum`` for a fixed delay."""

    @classmethod
    def parse(cls, declared: Mapping[str, Any]) -> "RetryPolicy":
        """Read the dictionary of the ``retry`` decorator.

        Raises:
            ValueError: an unknown strategy, or a count or interval ("hh:mm:ss") that cannot be read.
        """
        count = int(declared["max_retry_count"])
        if count < -1:
            raise ValueError("max_retry_count is below -1")
        match declared.get("strategy"):
            case "fixed_delay":
                delay = _seconds(declared.get("delay_interval"))
                return cls(count, delay, delay)
            case "exponential_backoff":
                minimum, maximum = (
                    _seconds(declared.get("minimum_interval")),
                    _seconds(declared.get("maximum_interval")),
                )
                if minimum > maximum:
                    raise ValueError("minimum_interval is longer than maximum_interval")
                return cls(count, minimum, maximum)
            case other:
                raise ValueError(f"unknown retry strategy {other!r}")

    def allows(self, retry: int) -> bool:
        """Return whether the ``retry``-th repeat (1 for the first) may run."""
        return self.max_retry_count == -1 or retry <= self.max_retry_count

    def delay(self, retry: int) -> float:
        """Return the seconds to wait before the ``retry``-th repeat."""
        # 2 ** 30 times any interval is past every maximum; a longer exponent would overflow in an endless policy.
        factor: float = 2.0 ** min(retry - 1, 30)
        return max(_SHORTEST_SECONDS, min(self.maximum, self.minimum * factor))


def _seconds(interval: object) -> float:
    parts = str(interval).split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"interval {interval!r} is not hh:mm:ss")
    hours, minutes, seconds = map(int, parts)
    return timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()
