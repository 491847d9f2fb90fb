"""Bugs of names and ids that meet, of runs that stop, of clocks and settings, and of what heartbeats say."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from shared.accounts import Account
from shared.deletion import purge as purge_module
from shared.deletion.deletions import Deletions
from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat
from shared.ports import CaptureStore, Conflict
from shared.runs import Run
from shared.sharing.captures import Captures
from shared.sweep import ledger as ledger_sweep
from shared.sweep import storage as storage_sweep
from shared.sweep.ledger import LedgerSweep
from shared.sweep.rounds import Round
from tests.simulation import world
from tests.simulation.planted.registry import mutant, patched
from tests.simulation.scheduler import Process

_FAR = date(8999, 1, 1)


@mutant("retention stops at a foreign name")
def _() -> Iterator[None]:
    class Stopping(DayContainer):
        @classmethod
        def parse(cls, name: str) -> DayContainer:
            return DayContainer.parse(name) or DayContainer("0" * 32, _FAR)

    with patched(purge_module, "DayContainer", Stopping):
        yield


@mutant("a name that begins like ours is ours")
def _() -> Iterator[None]:
    def lenient(name: str) -> DayContainer | None:
        match = re.match(r"[0-9a-f]-(\d{8})-([0-9a-f]{32})", name)
        try:
            return None if match is None else DayContainer(match[2], date.fromisoformat(match[1]))
        except ValueError:
            return None

    with patched(DayContainer, "parse", staticmethod(lenient)):
        yield


@mutant("a deletion deletes by shard and day")
def _() -> Iterator[None]:
    delete_all = purge_module._delete_all

    async def greedy(store: CaptureStore, containers: list[DayContainer], *more: Any) -> int:
        prefixes = {each.name[:11] for each in containers}
        names = [each.name async for each in store.list_containers("") if each.name[:11] in prefixes]
        return await delete_all(store, [found for name in names if (found := DayContainer.parse(name))], *more)

    with patched(purge_module, "_delete_all", greedy):
        yield


@mutant("a receipt counts for all that ended in its shard")
def _() -> Iterator[None]:
    judge = storage_sweep.judge

    def lumped(containers: Any, enrollments: Any, *more: Any) -> Any:
        if enrollments.verified:
            enrollments.verified |= enrollments.ended
        return judge(containers, enrollments, *more)

    async def confirmed(self: storage_sweep.StorageSweep, intruder: Any, *what: Any) -> Any:
        return intruder

    with patched(storage_sweep, "judge", lumped), patched(storage_sweep.StorageSweep, "_confirmed", confirmed):
        yield


@mutant("the sweep leaves out the last opt-out of a part")
def _() -> Iterator[None]:
    reconcile = LedgerSweep._reconcile_opt_outs

    async def short(self: LedgerSweep, events: Sequence[Any], *what: Any, **how: Any) -> None:
        whole = len(events) < ledger_sweep._ITEMS_MAX
        await reconcile(self, events if whole else events[:-1], *what, **how)

    with patched(LedgerSweep, "_reconcile_opt_outs", short):
        yield


@mutant("a run that goes on begins anew")
def _() -> Iterator[None]:
    begin = Round.__init__

    def anew(self: Round, *args: Any, **how: Any) -> None:
        begin(self, *args, **how)
        self.cursor = None

    with patched(Round, "__init__", anew):
        yield


@mutant("a lease is counted on the wall clock")
def _() -> Iterator[None]:
    with patched(Process, "monotonic", lambda self: self.now().timestamp()):
        yield


@mutant("an opt-out waits by the wall clock")
def _() -> Iterator[None]:
    async def by_the_wall(self: Process, seconds: float) -> None:
        end = self.now() + timedelta(seconds=seconds)
        while self.now() < end:  # noqa: ASYNC110 - that is the fault
            await asyncio.sleep(0.05)
        await self.running()

    with patched(Process, "sleep", by_the_wall):
        yield


@mutant("a batch is told to be kept a day longer")
def _() -> Iterator[None]:
    submit = Captures.submit

    async def longer(self: Captures, *what: Any) -> Any:
        stored = await submit(self, *what)
        return replace(stored, expires_at=stored.expires_at + timedelta(days=1))

    with patched(Captures, "submit", longer):
        yield


@mutant("a changed RETENTION_DAYS is not heeded")
def _() -> Iterator[None]:
    begin = world.Instance.__init__

    def as_ever(self: world.Instance, name: str, cloud: world.Cloud, *more: Any) -> None:
        now, first = cloud.retention_days, cloud.__dict__.setdefault("first_days", cloud.retention_days)
        cloud.retention_days = first
        begin(self, name, cloud, *more)
        cloud.retention_days = now

    with patched(world.Instance, "__init__", as_ever):
        yield


@mutant("containers belong to a geo and not to an account")
def _() -> Iterator[None]:
    with (
        patched(Account, "holds", lambda self, enrollment: enrollment.geo == self.geo),
        patched(Account, "is_of_another_geo", lambda self, enrollment: False),
    ):
        yield


def _told(**instead: Any) -> Any:
    heartbeat = Run.heartbeat

    def other(self: Run, *args: Any, **how: Any) -> Heartbeat:
        return heartbeat(self, *args, **how).model_copy(update=instead)

    return patched(Run, "heartbeat", other)


@mutant("a run that failed says that it is done")
def _() -> Iterator[None]:
    with _told(outcome="done", error=None):
        yield


@mutant("a run that failed does not say with what")
def _() -> Iterator[None]:
    with _told(error=None):
        yield


@mutant("a container that cannot be deleted is passed over in silence")
def _() -> Iterator[None]:
    note = Run.note

    def quiet(self: Run, code: str) -> None:
        if code != "storage-LeaseIdMissing":
            note(self, code)

    with patched(Run, "note", quiet):
        yield


@mutant("an expedite is lost in a conflict")
def _() -> Iterator[None]:
    async def once(self: Deletions, tenant_id: str, enrollment_id: str, *, now: Any) -> Deletion:
        stored = await self._read(tenant_id, enrollment_id)
        try:
            await self.store.replace(stored.value.expedited(now), stored.etag)
        except Conflict:
            return stored.value
        return stored.value.expedited(now)

    with patched(Deletions, "expedite", once):
        yield
