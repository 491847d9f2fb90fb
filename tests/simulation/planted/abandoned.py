"""Bugs of the look for accounts that are configured no more though they are not empty (D20)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.abandoned import Abandoned
from shared.model.heartbeats import Heartbeat
from shared.watch.status import Status
from tests.simulation.planted.registry import mutant, patched

Heartbeats = Mapping[str | None, Heartbeat | None]


async def _none(self: Abandoned, purges: Heartbeats, sweeps: Heartbeats) -> Sequence[str]:
    return []


@mutant("an account that is left out is not missed")
def _() -> Iterator[None]:
    with patched(Abandoned, "among", _none):
        yield


@mutant("the status does not tell of an account that is left out")
def _() -> Iterator[None]:
    report = Status.report

    async def untold(self: Status) -> Any:
        with patched(Abandoned, "among", _none):
            return await report(self)

    with patched(Status, "report", untold):
        yield


@mutant("only the purge tells which accounts were served")
def _() -> Iterator[None]:
    among = Abandoned.among

    async def purged(self: Abandoned, purges: Heartbeats, sweeps: Heartbeats) -> Sequence[str]:
        return await among(self, purges, {name: each for name, each in sweeps.items() if name in {None, *purges}})

    with patched(Abandoned, "among", purged):
        yield


@mutant("only the sweep tells which accounts were served")
def _() -> Iterator[None]:
    among = Abandoned.among

    async def swept(self: Abandoned, purges: Heartbeats, sweeps: Heartbeats) -> Sequence[str]:
        return await among(self, {name: each for name, each in purges.items() if name in sweeps}, sweeps)

    with patched(Abandoned, "among", swept):
        yield


@mutant("a sweep that is not once round counts as if it were")
def _() -> Iterator[None]:
    with patched(Heartbeat, "saw_everything", True):
        yield


@mutant("a sweep that failed has seen that an account is empty")
def _() -> Iterator[None]:
    is_empty = Abandoned._is_empty

    async def trusting(self: Abandoned, name: str, sweep: Heartbeat | None, *more: Any) -> bool:
        done = sweep and sweep.model_copy(update={"outcome": "done"})
        return await is_empty(self, name, done, *more)

    with patched(Abandoned, "_is_empty", trusting):
        yield


@mutant("an account is empty if its last sweep has seen nothing there")
def _() -> Iterator[None]:
    is_empty = Abandoned._is_empty

    async def by_sweep(self: Abandoned, name: str, sweep: Heartbeat | None, *more: Any) -> bool:
        seen = sweep is not None and sweep.outcome == "done" and not sweep.counts.get("containers", 0)
        return seen or await is_empty(self, name, sweep, *more)

    with patched(Abandoned, "_is_empty", by_sweep):
        yield


@mutant("an account whose opt-outs have no deletion yet is empty")
def _() -> Iterator[None]:
    async def nothing(self: Abandoned, *what: Any) -> bool:
        return False

    with patched(Abandoned, "_lacks_deletion", nothing):
        yield


@mutant("that no account is left out is known for good, in all processes")
def _() -> Iterator[None]:
    refuse, known = Abandoned.refuse, False

    async def once(self: Abandoned) -> None:
        nonlocal known
        if not known:
            await refuse(self)
            known = True

    with patched(Abandoned, "refuse", once):
        yield


@mutant("that an account is left out is forgotten when it was told once")
def _() -> Iterator[None]:
    look = Abandoned._look_now

    async def told(self: Abandoned, _: None) -> None:
        try:
            await look(self, _)
        finally:
            self._none = True

    with patched(Abandoned, "_look_now", told):
        yield
