"""Where captures lie: one container per enrollment and UTC day (decision D3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

SHARDS = "0123456789abcdef"
"""The first hex digit of the enrollment id begins every name, so that one day's writes spread over 16 name ranges."""

DEPLOYMENT_PREFIX = "deployment-"
"""Begins the name of the container that says whose an account is (D14); no name of a day begins so."""

_HIGHEST = {4: 1, 6: 3}
"""The highest digit of a month's tens, and of a day's, by their place in ``yyyymmdd``."""

_NAME = re.compile(r"([0-9a-f])-([0-9]{8})-(\1[0-9a-f]{31})")


@dataclass(frozen=True, slots=True)
class DayContainer:
    """The container of one enrollment's captures of one UTC day."""

    enrollment_id: str
    day: date

    @property
    def name(self) -> str:
        """The container's name, ``{shard}-{yyyymmdd}-{enrollmentId}``."""
        return f"{self.day_prefix}{self.enrollment_id}"

    @property
    def day_prefix(self) -> str:
        """What the names of all containers of its shard and day begin with."""
        return f"{shard_of(self.enrollment_id)}-{digits_of(self.day)}-"

    @classmethod
    def parse(cls, name: str) -> "DayContainer | None":
        """Return the container that ``name`` denotes, or None if no container of ours is named so."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            day = date.fromisoformat(match[2])
        except ValueError:
            return None
        # A year that no clock of ours can show is no name of ours, and overflows whatever is computed from it.
        return cls(match[3], day) if 2000 < day.year < 9000 else None


def prefixes_after(shard: str, day: date) -> Sequence[str]:
    """Return what the names of a shard begin with whose day comes after ``day``: few prefixes, that no others have."""
    digits = digits_of(day)
    return [
        f"{shard_prefix(shard)}{digits[:place]}{higher}"
        for place, digit in enumerate(digits)
        for higher in range(int(digit) + 1, _HIGHEST.get(place, 9) + 1)
    ]


def digits_of(day: date) -> str:
    """Return ``day`` as ``yyyymmdd``."""
    return day.isoformat().replace("-", "")  # a format of its own would take seven times as long, for each capture


def deployment_container(deployment_id: str) -> str:
    """Return the name of the container that makes an account a deployment's (D14)."""
    return f"{DEPLOYMENT_PREFIX}{deployment_id}"


def shard_of(enrollment_id: str) -> str:
    """Return the shard whose names hold the enrollment's containers."""
    return enrollment_id[0]


def shard_prefix(shard: str) -> str:
    """Return what the names of a shard begin with; listed by name they come oldest day first."""
    return f"{shard}-"
