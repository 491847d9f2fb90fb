"""Bugs in how a run treats a store that asks for fewer requests."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar
from unittest import mock

from shared import runs
from shared.deletion import purge
from shared.model.heartbeats import THROTTLED
from shared.ports import GOES_ON, LedgerStore, StoreUnavailable
from shared.runs import Backoff, Run, _Sparing
from tests.simulation.planted.registry import mutant, patched

T = TypeVar("T")


@mutant("what is refused for now is a failure")
def _() -> Iterator[None]:
    async def failed(self: Backoff, make: Callable[[], Awaitable[T]], until: float) -> T:
        try:
            return await make()
        except StoreUnavailable as error:
            raise StoreUnavailable(error.code) from None

    with patched(Backoff, "call", failed):
        yield


@mutant("what is still refused when a run ends is postponed")
def _() -> Iterator[None]:
    isolated = Run.isolated

    async def told(self: Run, work: Awaitable[None], **more: Any) -> str | None:
        code = await isolated(self, work, **more)
        return "storage-ServerBusy" if code == THROTTLED else code

    with patched(Run, "isolated", told), patched(purge, "THROTTLED", "none"):
        yield


@mutant("a pause that has no end")
def _() -> Iterator[None]:
    call = Backoff.call

    async def patient(self: Backoff, make: Callable[[], Awaitable[T]], until: float) -> T:
        return await call(self, make, float("inf"))

    with patched(Backoff, "call", patient), patched(runs, "PAUSE_FIRST", 9e9), patched(runs, "PAUSE_MAX", 9e9):
        yield


@mutant("refusals are not counted")
def _() -> Iterator[None]:
    refused = Backoff.refused

    def uncounted(self: Backoff, *what: Any) -> None:
        refused(self, *what)
        self._counts[THROTTLED] = 0

    with patched(Backoff, "refused", uncounted):
        yield


@mutant("a listing or query that is refused in the middle is at its end")
def _() -> Iterator[None]:
    stream = _Sparing._stream

    async def ended(self: _Sparing, *what: Any, **more: Any) -> AsyncIterator[Any]:
        try:
            async for item in stream(self, *what, **more):
                yield item
        except StoreUnavailable as error:
            if not error.throttled:
                raise

    with mock.patch.dict(GOES_ON, clear=True), patched(_Sparing, "_stream", ended):
        yield


@mutant("the search for opt-outs goes on too late where it was refused in the middle")
def _() -> Iterator[None]:
    with mock.patch.dict(GOES_ON, {LedgerStore.opt_outs_committed: lambda committed: {"since": committed.at + 9**5}}):
        yield
