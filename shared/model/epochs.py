"""The epoch of a shard of tenants: what differs after each change of a setting in it (decision D21)."""

import hashlib
from dataclasses import dataclass, field

from shared.model import deadlines


def shard_of(tenant_id: str) -> str:
    """Return the shard of a tenant: one of 16, a hexadecimal digit."""
    return hashlib.sha256(tenant_id.encode()).hexdigest()[0]


@dataclass(frozen=True, slots=True)
class Epoch:
    """A shard's epoch, as it was read; two with one mark are the same.

    Attributes:
        mark: what it is known by. The database makes a new one for each write that it carries out, also for one that it
            is sent twice: no mark ever comes back, which a value of ours would when a request is repeated late.
        at: when it was last changed, in whole seconds since 1970, as the database says; None if it never was.
    """

    mark: str
    at: int | None = field(compare=False)

    def is_after(self, committed_at: int | None) -> bool:
        """Tell whether it was certainly changed after what was committed at that time, by the database's clocks too.

        Two partitions are stamped by two machines, so this is said only of what is further apart than clocks are.
        """
        if self.at is None or committed_at is None:
            return False
        return self.at - committed_at >= deadlines.CLOCK_SKEW.total_seconds()


NO_EPOCH = Epoch("", None)
"""That of a shard in which nothing has changed yet: an epoch like any other."""
