"""Bugs of captures (P1, P3, P4, D6)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest import mock

from shared.accounts import Accounts
from shared.clock import Moment
from shared.model import deadlines
from shared.model.capture import Submission
from shared.ports import Permit, Put, StoreUnavailable
from shared.sharing import captures as captures_module
from shared.sharing.captures import Captures
from shared.sharing.consent import Consent
from shared.stores.memory import MemoryCaptures
from tests.simulation.planted.registry import mutant, patched


@mutant("other geo's account")
def _() -> Iterator[None]:
    with patched(Accounts, "of", lambda self, enrollment: self.served[0].store):
        yield


@mutant("a batch under its newest day")
def _() -> Iterator[None]:
    with mock.patch.object(captures_module, "min", max, create=True):  # of the instants: nothing else has a least
        yield


class _Unmoved(datetime):
    """An instant that is of the day that it says of itself, wherever that was."""

    def astimezone(self, tz: Any = None) -> "_Unmoved":
        return self


@mutant("a batch under its day where it was captured")
def _() -> Iterator[None]:
    def earliest(instants: Any) -> datetime:
        found = min(instants)
        return _Unmoved.combine(found.date(), found.timetz())

    with mock.patch.object(captures_module, "min", earliest, create=True):
        yield


@mutant("captures of any age")
def _() -> Iterator[None]:
    check = captures_module._check_instants

    def each_in_its_time(instants: Any, now: datetime, started_at: datetime) -> None:
        for at in instants:
            check([at], max(at, started_at), started_at)

    with patched(captures_module, "_check_instants", each_in_its_time):
        yield


@mutant("captures from before the opt-in")
def _() -> Iterator[None]:
    check = captures_module._check_instants

    def of_a_day(instants: Any, now: datetime, started_at: datetime) -> None:
        check(instants, now, min(started_at, now - deadlines.CAPTURE_MAX_AGE))

    with patched(captures_module, "_check_instants", of_a_day):
        yield


@mutant("no fresh consent before a container is created")
def _() -> Iterator[None]:
    async def leased(self: Consent, tenant_id: str) -> Permit:
        return replace(self._leases[tenant_id].permit, read_at=Moment.now(self._clock))

    with patched(Consent, "afresh", leased):
        yield


@mutant("a repeat replaces the batch")
def _() -> Iterator[None]:
    def replaced(self: Any, permit: Any, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        self._refuse_missing(container)
        self.containers[container][batch_id] = (bytes(bytearray(content)), body_hash)
        return Put.CREATED

    with patched(MemoryCaptures, "receive_batch", replaced):
        yield


@mutant("idempotency key ignored")
def _() -> Iterator[None]:
    numbers = iter(range(10**9))
    with patched(Submission, "batch_id", lambda self, *_: f"{next(numbers):032x}"):
        yield


@mutant("another body under a used key accepted")
def _() -> Iterator[None]:
    receive_batch = MemoryCaptures.receive_batch

    def same(self: MemoryCaptures, *batch: Any) -> Put:
        put = receive_batch(self, *batch)
        return Put.SAME if put is Put.OTHER else put

    with patched(MemoryCaptures, "receive_batch", same):
        yield


@mutant("answered before it is stored")
def _() -> Iterator[None]:
    persist = Captures.persist

    async def hopeful(self: Captures, *args: Any) -> Put:
        try:
            return await persist(self, *args)
        except StoreUnavailable:
            return Put.CREATED

    with patched(Captures, "persist", hopeful):
        yield
