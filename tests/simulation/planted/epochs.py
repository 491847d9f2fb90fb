"""Bugs of the epochs that confirm settings (D21, P2)."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from functions import opt_outs
from shared.clock import Moment
from shared.model import deadlines
from shared.model.epochs import Epoch
from shared.model.ledger import Setting
from shared.ports import Permit, StoreUnavailable
from shared.sharing import consent as consent_module
from shared.sharing import epochs as epochs_module
from shared.sharing.consent import Consent
from shared.sharing.data_sharing import DataSharing
from shared.sharing.epochs import EpochRead, Epochs
from shared.stores.memory import MemoryOperations
from tests.simulation.planted.registry import Instead, mutant, patched


async def _nothing(self: Any, *args: Any) -> None:
    return None


def _now(store: MemoryOperations) -> int | None:
    return None if store.now is None else int(store.now().timestamp())


class _Ledger:
    """A ledger on which something else is done beside a commit."""

    def __init__(self, sharing: DataSharing) -> None:
        self._sharing = sharing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sharing.ledger, name)


@mutant("the epoch is not changed")
def _() -> Iterator[None]:
    with patched(Epochs, "change", _nothing):
        yield


@mutant("the epoch is changed before the commit")
def _() -> Iterator[None]:
    put, change = DataSharing.put, Epochs.change

    async def early(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        class Ledger(_Ledger):
            async def commit(_, change_: Any, etag: str | None) -> None:
                await change(self.epochs, tenant_id)
                await self.ledger.commit(change_, etag)

        return await put(replace(self, ledger=Ledger(self)), tenant_id, requested)  # type: ignore[arg-type]

    with patched(DataSharing, "put", early), patched(Epochs, "change", _nothing):
        yield


@mutant("the change of the epoch is not waited for")
def _() -> Iterator[None]:
    change = Epochs.change

    async def alone(self: Epochs, tenant_id: str) -> None:
        async def unheard() -> None:
            with suppress(StoreUnavailable):
                await change(self, tenant_id)

        tasks.add(asyncio.create_task(unheard()))

    tasks = set[Any]()
    with patched(Epochs, "change", alone):
        yield


@mutant("an epoch that could not be changed is passed over")
def _() -> Iterator[None]:
    change = Epochs.change

    async def careless(self: Epochs, tenant_id: str) -> None:
        with suppress(StoreUnavailable):
            await change(self, tenant_id)

    with patched(Epochs, "change", careless):
        yield


@mutant("no wait after the change of the epoch, only before it")
def _() -> Iterator[None]:
    put, change, wait = DataSharing.put, Epochs.change, DataSharing._outlast_leases

    async def swapped(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        class Early(Instead):
            async def change(_, tenant_id: str) -> None:
                await wait(self)
                await change(self.epochs, tenant_id)

        class Clock(Instead):
            async def sleep(_, seconds: float) -> None:
                return None

        return await put(replace(self, epochs=Early(self.epochs), clock=Clock(self.clock)), tenant_id, requested)  # type: ignore[arg-type]

    with patched(DataSharing, "put", swapped):
        yield


@mutant("the wait begins before the change of the epoch")
def _() -> Iterator[None]:
    put, change = DataSharing.put, Epochs.change

    async def from_the_commit(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        committed = [self.clock.monotonic()]

        class Early(Instead):
            async def change(_, tenant_id: str) -> None:
                committed[0] = self.clock.monotonic()
                await change(self.epochs, tenant_id)

        class Clock(Instead):
            async def sleep(_, seconds: float) -> None:
                await self.clock.sleep(max(0.0, committed[0] + seconds - self.clock.monotonic()))

        return await put(replace(self, epochs=Early(self.epochs), clock=Clock(self.clock)), tenant_id, requested)  # type: ignore[arg-type]

    with patched(DataSharing, "put", from_the_commit):
        yield


@mutant("the epoch is always the same")
def _() -> Iterator[None]:
    async def constant(self: MemoryOperations, shard: str) -> None:
        self.epochs[shard] = Epoch("changed", _now(self))

    with patched(MemoryOperations, "change_epoch", constant):
        yield


@mutant("a change of the epoch that is sent twice brings an old one back")
def _() -> Iterator[None]:
    marks = count(1)

    async def change(self: Epochs, tenant_id: str) -> None:
        # A value of the sender's own: sent twice it is the same, whatever has come between.
        await self._operations.change_epoch(epochs_module.shard_of(tenant_id), str(next(marks)))  # type: ignore[call-arg]

    async def taken(self: MemoryOperations, shard: str, mark: str = "") -> None:
        self.epochs[shard] = Epoch(mark or str(next(marks)), _now(self))

    with patched(Epochs, "change", change), patched(MemoryOperations, "change_epoch", taken):
        yield


@mutant("the setting is read before the epoch")
def _() -> Iterator[None]:
    read = Consent._read

    async def turned(self: Consent, tenant_id: str) -> Permit:
        epochs, self._epochs = self._epochs, None
        try:
            permit = await read(self, tenant_id)
        finally:
            self._epochs = epochs
        lease = self._leases.get(tenant_id)
        if epochs is not None and lease is not None and lease.permit is permit:
            self._leases[tenant_id] = replace(lease, epoch=(await epochs.current(tenant_id)).epoch)
        return permit

    with patched(Consent, "_read", turned):
        yield


@mutant("an epoch's lease counted from the end of its read")
def _() -> Iterator[None]:
    read = Epochs._read

    async def later(self: Epochs, shard: str) -> EpochRead:
        self._known[shard] = replace(await read(self, shard), started=Moment.now(self._clock))
        return self._known[shard]

    with patched(Epochs, "_read", later):
        yield


@mutant("a shared read of an epoch is not checked again")
def _() -> Iterator[None]:
    async def unchecked(self: Epochs, tenant_id: str) -> EpochRead:
        shard = epochs_module.shard_of(tenant_id)
        known = self._known.get(shard)
        if known is not None and known.is_fresh:
            return known
        return replace(await self._shared(shard), started=Moment.now(self._clock))

    with patched(Epochs, "current", unchecked):
        yield


@mutant("a setting that epochs confirm never grows old")
def _() -> Iterator[None]:
    with patched(consent_module, "_is_young", lambda lease: True):
        yield


@mutant("the age of a setting is counted from when it was confirmed")
def _() -> Iterator[None]:
    def young(lease: Any) -> bool:
        return bool(lease.permit.read_at.age < deadlines.SETTING_SECONDS - deadlines.CONSENT_LEASE_SECONDS)

    with patched(consent_module, "_is_young", young):
        yield


@mutant("the epoch of another shard is changed")
def _() -> Iterator[None]:
    async def other(self: Epochs, tenant_id: str) -> None:
        await self._operations.change_epoch(tenant_id[0] + "x")

    with patched(Epochs, "change", other):
        yield


@mutant("a setting is confirmed whatever the epoch is")
def _() -> Iterator[None]:
    with patched(Epoch, "__eq__", lambda self, other: True):
        yield


@mutant("a confirmed setting is good for a lease from now on")
def _() -> Iterator[None]:
    confirmed = Consent._confirmed

    async def anew(self: Consent, tenant_id: str) -> Permit | None:
        if await confirmed(self, tenant_id) is None:
            return None
        lease = self._leases[tenant_id]
        permit = replace(lease.permit, read_at=Moment.now(self._clock))
        self._leases[tenant_id] = replace(lease, permit=permit)
        return permit

    with patched(Consent, "_confirmed", anew):
        yield


@mutant("a repeated PUT does not change the epoch")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def careless(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        return await put(replace(self, epochs=_Forgetful(self.epochs)), tenant_id, requested)

    with patched(DataSharing, "put", careless):
        yield


@mutant("who is shown that sharing is off has no epoch changed")
def _() -> Iterator[None]:
    settled = DataSharing.get_settled

    async def careless(self: DataSharing, tenant_id: str) -> Setting:
        return await settled(replace(self, epochs=_Forgetful(self.epochs)), tenant_id)

    with patched(DataSharing, "get_settled", careless):
        yield


class _Forgetful(Epochs):
    """Changes an epoch after a commit of its own, and no other."""

    def __init__(self, epochs: Epochs) -> None:
        super().__init__(epochs._operations, epochs._clock)

    async def outdate(self, *commits: tuple[str, int | None]) -> None:
        return None


@mutant("the feed does not change the epoch")
def _() -> Iterator[None]:
    take = opt_outs.take

    async def careless(made: Any, documents: Any) -> Any:
        return await take(replace(made, epochs=_Forgetful(made.epochs)), documents)

    with patched(opt_outs, "take", careless):
        yield


@mutant("an epoch that is about as old as the commit is taken for a later one")
def _() -> Iterator[None]:
    def about(self: Epoch, committed_at: int | None) -> bool:
        return self.at is not None and committed_at is not None and self.at - committed_at >= -60

    with patched(Epoch, "is_after", about):
        yield


@mutant("only opt-ins change the epoch")
def _() -> Iterator[None]:
    put, change = DataSharing.put, Epochs.change

    async def only_in(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        class Epochs_(_Forgetful):
            outdate = Epochs.outdate  # type: ignore[assignment]

            async def change(self, tenant_id: str) -> None:
                if requested.enabled:
                    await change(self, tenant_id)

        return await put(replace(self, epochs=Epochs_(self.epochs)), tenant_id, requested)

    with patched(DataSharing, "put", only_in):
        yield


@mutant("an epoch that cannot be read is answered from the one before")
def _() -> Iterator[None]:
    read = Epochs._read

    async def kept(self: Epochs, shard: str) -> EpochRead:
        try:
            return await read(self, shard)
        except StoreUnavailable:
            if shard not in self._known:
                raise
            return replace(self._known[shard], started=Moment.now(self._clock))

    with patched(Epochs, "_read", kept):
        yield


@mutant("epochs are trusted, and an instance of before changes none")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def sometimes(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        class Old(_Forgetful):
            change = _nothing  # type: ignore[assignment]

        old = self.clock.name.endswith(("2", "5", "8"))  # type: ignore[attr-defined]
        return await put(replace(self, epochs=Old(self.epochs)) if old else self, tenant_id, requested)

    with patched(DataSharing, "put", sometimes):
        yield
