"""Bugs of the feed and the sweep (P9)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.deletion.deletions import Deletions
from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut
from shared.ports import ContainerPage, StoreUnavailable
from shared.sweep import ledger as ledger_sweep
from shared.sweep import opt_outs as opt_out_search
from shared.sweep import reconciliation
from shared.sweep.ledger import LedgerSweep
from shared.sweep.opt_outs import OptOutSearch
from shared.sweep.storage import StorageSweep
from shared.sweep.sweep import Sweep
from tests.simulation.planted.registry import Instead, mutant, patched
from tests.simulation.world import Instance


@mutant("feed watching the setting")
def _() -> Iterator[None]:
    async def by_setting(self: Instance, documents: Sequence[Any]) -> int:
        events = []
        for document in documents:
            if document["id"] == "setting" and "enrollment" not in document:
                history = await self.data_sharing.history(document["tenantId"], limit=1, before=None)
                events += [event for event in history.values if isinstance(event, OptedOut)]
        return await self.deletions.schedule(events)

    with patched(Instance, "opt_outs", by_setting):
        yield


@mutant("feed goes on after a failure")
def _() -> Iterator[None]:
    schedule = Deletions.schedule

    async def careless(self: Deletions, events: Any) -> int:
        try:
            return await schedule(self, events)
        except StoreUnavailable:
            return 0

    with patched(Deletions, "schedule", careless):
        yield


@mutant("no sweep")
def _() -> Iterator[None]:
    async def nothing(self: Sweep) -> dict[Any, Any]:
        return {}

    with patched(Sweep, "run", nothing):
        yield


@mutant("sweep repairs with a deadline of its own")
def _() -> Iterator[None]:
    async def anew(self: LedgerSweep, event: OptedOut, *, trusted: bool) -> None:
        late = max(event.deadline, self.clock.now() + timedelta(days=30))
        await self.deletions.create(Deletion.owed_for(event).model_copy(update={"deadline": late}))

    with patched(LedgerSweep, "_create_deletion", anew):
        yield


@mutant("sweep looks at the last opt-out only")
def _() -> Iterator[None]:
    reconcile = LedgerSweep._reconcile

    async def last_only(self: LedgerSweep, ledger: Any, *more: Any) -> None:
        await reconcile(self, replace(ledger, events=ledger.events[-1:]), *more)

    with patched(LedgerSweep, "_reconcile", last_only), patched(ledger_sweep, "ledger_faults", lambda *_: {}):
        yield


@mutant("sweep blind to other geos' data")
def _() -> Iterator[None]:
    trespass = reconciliation.trespass

    def blind(*args: Any, **facts: Any) -> Any:
        found = trespass(*args, **facts)
        return None if found == "wrongAccount" else found

    with patched(reconciliation, "trespass", blind):
        yield


@mutant("sweep reads the ledger before storage")
def _() -> Iterator[None]:
    sweep = StorageSweep.run

    async def old_news(self: StorageSweep) -> None:
        events = [event for events in self.ledger._inner.events.values() for event in events]

        class Ledger(Instead):
            async def events_of_enrollments(_, enrollment_ids: Sequence[str]) -> Any:
                for event in events:
                    if event.enrollment_id in enrollment_ids:
                        yield event.enrollment_id, event

        await sweep(replace(self, ledger=Ledger(self.ledger)))

    with patched(StorageSweep, "run", old_news):
        yield


@mutant("sweep deletes what is not ours")
def _() -> Iterator[None]:
    look_at = StorageSweep._look_at

    async def greedy(self: StorageSweep, page: ContainerPage) -> Any:
        for listed in page.containers:
            if DayContainer.parse(listed.name) is None:
                await self.account.store.delete_container(listed.name)
        return await look_at(self, page)

    with patched(StorageSweep, "_look_at", greedy):
        yield


@mutant("what came back is deleted off the record")
def _() -> Iterator[None]:
    async def unsaid(self: StorageSweep, *what: Any) -> None:
        return None

    with patched(StorageSweep, "_reopen", unsaid):
        yield


@mutant("what came back is deleted before its receipt tells")
def _() -> Iterator[None]:
    delete = StorageSweep._delete

    async def hasty(self: StorageSweep, intruder: Any) -> None:
        for container in intruder.containers:
            await self.round.run.isolated(self._containers.delete_container(container.name))
        await delete(self, intruder)

    with patched(StorageSweep, "_delete", hasty):
        yield


@mutant("what came back is not proved anew")
def _() -> Iterator[None]:
    came_back = Deletion.came_back

    def unproved(self: Deletion, now: datetime, found: Any = ()) -> Deletion:
        told = came_back(self, now, found)
        return told.model_copy(update={"status": "verified", "receipt": self.receipt, "purged_at": self.purged_at})

    with patched(Deletion, "came_back", unproved):
        yield


@mutant("status never sees an overdue deletion")
def _() -> Iterator[None]:
    with patched(Deletion, "overdue", lambda self, now: False):
        yield


@mutant("what is emptied is never overdue")
def _() -> Iterator[None]:
    with patched(Deletion, "overdue", lambda self, now: self.status == "scheduled" and now > self.deadline):
        yield


@mutant("a repair sets back a deadline that was made earlier")
def _() -> Iterator[None]:
    bound_to = Deletion.bound_to

    def later(self: Deletion, event: OptedOut, now: datetime) -> Deletion:
        return bound_to(self, event, now).model_copy(update={"deadline": event.deadline})

    with patched(Deletion, "bound_to", later):
        yield


@mutant("overdue a day late")
def _() -> Iterator[None]:
    with patched(
        Deletion, "overdue", lambda self, now: self.status != "verified" and now > self.deadline + timedelta(days=5)
    ):
        yield


@mutant("no search for lost opt-outs")
def _() -> Iterator[None]:
    async def nothing(self: OptOutSearch) -> None:
        return None

    with patched(OptOutSearch, "run", nothing):
        yield


@mutant("the watermark moves past what was not seen")
def _() -> Iterator[None]:
    search = OptOutSearch._search

    async def hasty(self: OptOutSearch) -> None:
        last_commit = await self.ledger.last_commit()
        await search(self)
        self.round.scheduled_until = last_commit

    with patched(opt_out_search, "_OVERLAP", 0), patched(OptOutSearch, "_search", hasty):
        yield


@mutant("the watermark moves past what is the feed's for now")
def _() -> Iterator[None]:
    schedule = OptOutSearch._schedule

    async def careless(self: OptOutSearch, opt_out: Any) -> bool:
        return await schedule(self, opt_out) or self.clock.now().timestamp() - opt_out.at < 300

    with patched(opt_out_search, "_OVERLAP", 0), patched(OptOutSearch, "_schedule", careless):
        yield


@mutant("a watermark in the future is believed")
def _() -> Iterator[None]:
    with patched(opt_out_search, "_OVERLAP", 0), patched(opt_out_search, "believed", lambda until, _: until or 0):
        yield
