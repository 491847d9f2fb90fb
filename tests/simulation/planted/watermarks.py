"""Bugs of the search for lost opt-outs, and of the watermark up to which none is (P9)."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared import unscheduled
from shared.model.heartbeats import Heartbeat
from shared.ports import Committed
from shared.stores.memory import MemoryLedger
from shared.sweep import opt_outs as opt_out_search
from shared.sweep.opt_outs import OptOutSearch
from shared.watch import status
from shared.watch.status import Status
from tests.simulation.planted.registry import mutant, patched


@mutant("the watermark moves past an opt-out whose deletion could not be created")
def _() -> Iterator[None]:
    schedule = OptOutSearch._schedule

    async def careless(self: OptOutSearch, opt_out: Committed) -> bool:
        failures = len(self.round.run.errors)
        return await schedule(self, opt_out) or len(self.round.run.errors) > failures

    with patched(OptOutSearch, "_schedule", careless):
        yield


@mutant("a deletion that could not be created ends the search as if it were done")
def _() -> Iterator[None]:
    search = OptOutSearch._range

    async def done(self: OptOutSearch, since: int, before: int | None, **more: Any) -> Any:
        failures = len(self.round.run.errors)
        searched = await search(self, since, before, **more)
        return replace(searched, held=searched.held and len(self.round.run.errors) == failures)

    with patched(OptOutSearch, "_range", done):
        yield


@mutant("the watermark is by the clock of the process")
def _() -> Iterator[None]:
    search = OptOutSearch._search

    async def by_own(self: OptOutSearch) -> None:
        now, before = self.clock.now(), self.round.scheduled_until
        await search(self)
        if self.round.scheduled_until != before:
            self.round.scheduled_until = int(now.timestamp())

    with patched(OptOutSearch, "_search", by_own):
        yield


@mutant("opt-outs are searched by the time that they say themselves")
def _() -> Iterator[None]:
    async def stamped(self: MemoryLedger, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        events = [event for events in self.events.values() for event in events if event.kind == "optedOut"]
        for event in sorted(events, key=lambda event: event.at):
            at = int(event.at.timestamp())
            if since <= at and (before is None or at < before):
                yield Committed(at, event)

    with patched(MemoryLedger, "opt_outs_committed", stamped):
        yield


@mutant("nothing before the watermark is searched again")
def _() -> Iterator[None]:
    with patched(opt_out_search, "_OVERLAP", 0):
        yield


@mutant("what is lost before the watermark does not take it back")
def _() -> Iterator[None]:
    search = OptOutSearch._search

    async def onward(self: OptOutSearch) -> None:
        before = self.round.scheduled_until
        await search(self)
        if before is not None and self.round.scheduled_until is not None:
            last = await self.ledger.last_commit()
            self.round.scheduled_until = max(self.round.scheduled_until, min(before, last or 0))

    with patched(OptOutSearch, "_search", onward):
        yield


@mutant("the watermark moves although there was no time for what is before it")
def _() -> Iterator[None]:
    search = OptOutSearch._range

    async def whole(self: OptOutSearch, since: int, before: int | None, **more: Any) -> Any:
        searched = await search(self, since, before, **more)
        return searched if searched.whole else replace(searched, whole=True)

    with patched(OptOutSearch, "_range", whole):
        yield


@mutant("the watermark moves to the last commit although there was no time")
def _() -> Iterator[None]:
    search = OptOutSearch._range

    async def whole(self: OptOutSearch, since: int, before: int | None, **more: Any) -> Any:
        searched = await search(self, since, before, **more)
        until = await self.ledger.last_commit()
        return searched if searched.whole else replace(searched, whole=True, until=until)

    with patched(OptOutSearch, "_range", whole):
        yield


def _in_ranges(self: MemoryLedger, since: int, before: int | None) -> list[list[Committed]]:
    """Return what two ranges of the database have of the opt-outs; a tenant is in one of them."""
    found: list[list[Committed]] = [[], []]
    for tenant, events in self.events.items():
        for event in events:
            at = self._committed_at(event)
            if event.kind == "optedOut" and at >= since and (before is None or at < before):
                found[int(tenant[:8], 16) % 2].append(Committed(at, event))
    return [sorted(each, key=lambda each: each.at) for each in found]


@mutant("lost opt-outs are looked for in the first range of the database only")
def _() -> Iterator[None]:
    async def first_only(self: MemoryLedger, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        for each in _in_ranges(self, since, before)[0]:
            yield each

    with patched(MemoryLedger, "opt_outs_committed", first_only):
        yield


@mutant("the ranges of the database are searched one after another, as if all were in order")
def _() -> Iterator[None]:
    async def unmerged(self: MemoryLedger, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        for one in _in_ranges(self, since, before):
            for each in one:
                yield each

    with patched(MemoryLedger, "opt_outs_committed", unmerged):
        yield


@mutant("an empty page ends the search, and the watermark moves")
def _() -> Iterator[None]:
    search = OptOutSearch._search

    async def until_empty(self: MemoryLedger, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        for one in _in_ranges(self, since, before):
            if not one:
                return
            for each in one:
                yield each

    async def on(self: OptOutSearch) -> None:
        await search(self)
        if not self.round.run.errors:
            self.round.scheduled_until = await self.ledger.last_commit()

    with patched(MemoryLedger, "opt_outs_committed", until_empty), patched(OptOutSearch, "_search", on):
        yield


@mutant("only the first opt-outs that are looked up at a time are")
def _() -> Iterator[None]:
    looked_up = unscheduled._looked_up
    last: list[Any] = []

    async def first(deletions: Any, chunk: list[Committed]) -> AsyncIterator[Any]:
        again = bool(last) and last[0].at <= (chunk[0].at if chunk else 0)
        last[:] = chunk[-1:] if len(chunk) == unscheduled.LOOKUP_MAX else []
        async for each in looked_up(deletions, chunk):
            yield each if not again else replace(each, scheduled=True)

    with patched(unscheduled, "_looked_up", first):
        yield


@mutant("the status takes the sweep's word for what is lost")
def _() -> Iterator[None]:
    look = Status._unscheduled

    async def by_the_sweep(self: Status, sweep: Heartbeat | None) -> Any:
        if sweep is None or sweep.scheduled_until is None or sweep.outcome == "failed":
            return await look(self, sweep)
        return status._Unscheduled()

    with patched(Status, "_unscheduled", by_the_sweep):
        yield


@mutant("the status takes the sweep's word however old")
def _() -> Iterator[None]:
    idle = status._idle

    def ageless(place: str, heartbeat: Heartbeat | None, now: datetime, max_age: Any) -> str | None:
        swept = heartbeat is not None and heartbeat.kind == "sweep"
        return idle(place, heartbeat, heartbeat.at if swept and heartbeat is not None else now, max_age)

    with patched(status, "_idle", ageless):
        yield
