"""The expired containers that could not be deleted, and how long each is left alone (decision D12)."""

from collections import defaultdict
from datetime import datetime, timedelta

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.heartbeats import Heartbeat, Postponed

_OF_SHARD_MAX = 32
_FORGOTTEN_AFTER = timedelta(days=1)


class PostponedDays:
    """What an account's purge remembers of them from run to run, in its heartbeat: names and codes, and bounded.

    Should it be forgotten, all of them are tried again, and nothing else happens.
    """

    def __init__(self, last: Heartbeat | None, now: datetime, retention_days: int) -> None:
        """Go on from the last run's heartbeat, if there is one, as far as it can be believed at ``now``."""
        self._retention_days = retention_days
        before = (last and last.postponed) or ()
        latest = deadlines.latest_retry(now)
        # One that is long past was tried no more: its container has gone. Not sooner, for runs may have been missed.
        self._of_container = {
            each.container: each
            for each in before
            if DayContainer.parse(each.container) and now - _FORGOTTEN_AFTER < each.retry_at <= latest
        }

    def knows(self, container: DayContainer) -> bool:
        """Tell whether a container is one that could not be deleted."""
        return container.name in self._of_container

    def waits(self, container: DayContainer, now: datetime) -> bool:
        """Tell whether a container is left alone at ``now``."""
        known = self._of_container.get(container.name)
        return known is not None and deadlines.waits(known.retry_at, now)

    def failed(self, container: DayContainer, now: datetime, error: str) -> None:
        """Leave a container alone for a while, twice as long as the last time, and not until it is too late."""
        known = self._of_container.get(container.name)
        failures = 1 if known is None else known.failures + 1
        deadline = deadlines.day_deadline(container.day, self._retention_days)
        self._of_container[container.name] = Postponed(
            container=container.name,
            failures=failures,
            error=error,
            retry_at=deadlines.retry_at(now, failures, deadline),
        )

    def deleted(self, container: DayContainer) -> None:
        """Forget a container."""
        self._of_container.pop(container.name, None)

    @property
    def kept(self) -> tuple[Postponed, ...]:
        """What the next run has to know: of each shard those that failed most often."""
        of_shard = defaultdict[str, list[Postponed]](list)
        for each in self._of_container.values():
            of_shard[each.container[0]].append(each)
        return tuple(
            each
            for _, many in sorted(of_shard.items())
            for each in sorted(many, key=lambda each: (-each.failures, each.container))[:_OF_SHARD_MAX]
        )
