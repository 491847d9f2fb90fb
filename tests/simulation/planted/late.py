"""Bugs of what comes late: a pause, a retry or the network takes its time, and consent ends meanwhile (P2, P6)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shared.clock import Moment
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.ports import CaptureStore, ConsentExpired, Permit, Put
from shared.problems import DataSharingOff
from shared.sharing import captures as captures_module
from shared.sharing.captures import Captures
from shared.sharing.consent import Consent
from shared.sharing.data_sharing import DataSharing
from shared.stores.memory import MemoryCaptures
from tests.simulation import faults
from tests.simulation.planted.registry import Instead, mutant, patched


@mutant("no look at consent right before an attempt")
def _() -> Iterator[None]:
    with patched(faults, "_look", lambda permit: None):  # which does what the adapter does
        yield


@mutant("consent is looked at before the loop and not before each attempt")
def _() -> Iterator[None]:
    persist = Captures.persist

    async def once(self: Captures, permit: Permit, *more: Any) -> Put:
        class Believed(Instead):
            @staticmethod
            async def afresh(tenant_id: str) -> Permit:
                return replace(permit, read_at=Moment.now(self.clock))

        return await persist(replace(self, consent=Believed(self.consent)), permit, *more)  # type: ignore[arg-type]

    with patched(Captures, "persist", once):
        yield


@mutant("a further attempt rests on what was leased, whatever its age")
def _() -> Iterator[None]:
    afresh = Consent.afresh

    async def leased(self: Consent, tenant_id: str) -> Permit:
        lease = self._leases.get(tenant_id)
        if lease is None:
            return await afresh(self, tenant_id)
        return replace(lease.permit, read_at=Moment.now(self._clock))

    with patched(Consent, "afresh", leased):
        yield


@mutant("only the monotonic clock")
def _() -> Iterator[None]:
    def by_one(self: Moment) -> float:
        return self.clock.monotonic() - self.monotonic

    with patched(Moment, "age", property(by_one)):
        yield


@mutant("only the wall clock")
def _() -> Iterator[None]:
    def by_one(self: Moment) -> float:
        return (self.clock.now() - self.wall).total_seconds()

    with patched(Moment, "age", property(by_one)):
        yield


@mutant("the clock that says less wins")
def _() -> Iterator[None]:
    def less(self: Moment) -> float:
        return min((self.clock.now() - self.wall).total_seconds(), self.clock.monotonic() - self.monotonic)

    with patched(Moment, "age", property(less)):
        yield


@mutant("a signature that lives an hour")
def _() -> Iterator[None]:
    with patched(deadlines, "SIGNATURE_SECONDS", 3600.0):
        yield


@mutant("a signature for the account and not until an instant")
def _() -> Iterator[None]:
    def whenever(self: MemoryCaptures, permit: Any, container: str, batch_id: str, content: bytes, kept: str) -> Put:
        self._refuse_missing(container)
        batches = self.containers[container]
        if batch_id in batches:
            return Put.SAME if batches[batch_id][1] == kept else Put.OTHER
        batches[batch_id] = (content, kept)
        return Put.CREATED

    with patched(MemoryCaptures, "receive_batch", whenever):
        yield


@mutant("a container is created without a look at consent")
def _() -> Iterator[None]:
    persist = Captures.persist

    async def unlooked(self: Captures, permit: Permit, store: CaptureStore, *more: Any) -> Put:
        class Careless(Instead):
            @staticmethod
            async def create_container(permit: Permit, container: str) -> None:
                await store.create_container(Eternal(permit.setting, permit.read_at, permit.agreed_until), container)

        return await persist(self, permit, Careless(store), *more)  # type: ignore[arg-type]

    with patched(Captures, "persist", unlooked):
        yield


class Eternal(Permit):
    """A permit that holds for ever."""

    holds = True  # type: ignore[assignment]


@mutant("a write that was refused is sent again as it was")
def _() -> Iterator[None]:
    persist = Captures.persist

    async def again(self: Captures, permit: Permit, store: CaptureStore, day: Any, at: Any, attempt: Any) -> Any:
        async def stubborn(permit: Permit) -> Any:
            try:
                return await attempt(permit)
            except ConsentExpired:
                return await attempt(replace(permit, read_at=Moment.now(self.clock)))

        return await persist(self, permit, store, day, at, stubborn)

    with patched(Captures, "persist", again):
        yield


@mutant("refused although an attempt may have stored it")
def _() -> Iterator[None]:
    afresh = Captures._afresh

    async def refused(self: Captures, tenant_id: str, container: DayContainer, submission: Any) -> Permit:
        try:
            return await afresh(self, tenant_id, container, submission)
        except DataSharingOff:
            raise captures_module.IdempotencyKeyReused() from None

    with patched(Captures, "_afresh", refused):
        yield


@mutant("that sharing is off is shown at once")
def _() -> Iterator[None]:
    async def at_once(self: DataSharing, setting: Any) -> None:
        return None

    with patched(DataSharing, "_settle", at_once):
        yield
