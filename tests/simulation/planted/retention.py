"""Bugs of retention (P4)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from shared.deletion.purge import Purge
from shared.model import deadlines
from shared.model.containers import DayContainer
from tests.simulation.planted.registry import mutant, patched


@mutant("off-by-one day: retention a day late")
def _() -> Iterator[None]:
    newest = deadlines.newest_expired_day
    with patched(deadlines, "newest_expired_day", lambda now, days: newest(now, days) - timedelta(days=1)):
        yield


@mutant("off-by-one day: retention a day early")
def _() -> Iterator[None]:
    newest = deadlines.newest_expired_day
    with patched(deadlines, "newest_expired_day", lambda now, days: newest(now, days) + timedelta(days=1)):
        yield


@mutant("retention begins at the deadline")
def _() -> Iterator[None]:
    with patched(deadlines, "newest_expired_day", lambda now, days: now.date() - timedelta(days=days)):
        yield


@mutant("retention stops at the first container that fails")
def _() -> Iterator[None]:
    async def strict(self: Purge, store: Any, run: Any, postponed: Any, shard: str) -> None:
        newest = deadlines.newest_expired_day(self._clock.now(), self._accounts.retention_days)
        async for listed in store.list_containers(f"{shard}-"):
            container = DayContainer.parse(listed.name)
            if container is not None and container.day <= newest:
                await store.delete_container(container.name)

    with patched(Purge, "_expire_shard", strict):
        yield
