"""Bugs of geos with several storage accounts (D20)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shared.accounts import Accounts
from shared.deletion.purge import Purge
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import Enrollment
from shared.problems import GeoNotServed
from shared.stores.memory import MemoryOperations
from shared.sweep.sweep import Sweep
from tests.simulation.planted.registry import mutant, patched


def _open_only(accounts: Accounts) -> Accounts:
    return replace(accounts, served=[each for each in accounts if each.state == "open"])


def _first_of_each_geo(accounts: Accounts) -> Accounts:
    return replace(accounts, served=list({each.geo: each for each in reversed(accounts.served)}.values()))


@mutant("an opt-in to a closed account")
def _() -> Iterator[None]:
    def any_of(self: Accounts, geo: str) -> Any:
        return sorted((each for each in self if each.geo == geo), key=lambda each: each.name)

    with patched(Accounts, "open_in", any_of):
        yield


@mutant("a new enrollment's account is chosen by its shard")
def _() -> Iterator[None]:
    choose = Accounts.for_opt_in

    def by_shard(self: Accounts, geo: str, enrollment_id: str) -> Any:
        choose(self, geo, enrollment_id)
        candidates = self.open_in(geo)
        return candidates[int(enrollment_id[0], 16) % len(candidates)]

    with patched(Accounts, "for_opt_in", by_shard):
        yield


@mutant("captures follow today's choice and not their enrollment's account")
def _() -> Iterator[None]:
    of = Accounts.of

    def chosen_again(self: Accounts, enrollment: Enrollment) -> Any:
        try:
            return self.for_opt_in(enrollment.geo, enrollment.enrollment_id).store
        except GeoNotServed:
            return of(self, enrollment)

    with patched(Accounts, "of", chosen_again):
        yield


@mutant("purge goes to the first account of a geo only")
def _() -> Iterator[None]:
    begin = Purge.__init__

    def first_only(self: Purge, accounts: Accounts, *more: Any) -> None:
        begin(self, _first_of_each_geo(accounts), *more)

    with patched(Purge, "__init__", first_only):
        yield


@mutant("sweep goes to the first account of a geo only")
def _() -> Iterator[None]:
    begin = Sweep.__init__

    def first_only(self: Sweep, accounts: Accounts, *more: Any) -> None:
        begin(self, _first_of_each_geo(accounts), *more)

    with patched(Sweep, "__init__", first_only):
        yield


@mutant("purge passes by accounts that are closed")
def _() -> Iterator[None]:
    begin = Purge.__init__

    def open_only(self: Purge, accounts: Accounts, *more: Any) -> None:
        begin(self, _open_only(accounts), *more)

    with patched(Purge, "__init__", open_only):
        yield


@mutant("sweep passes by accounts that are closed")
def _() -> Iterator[None]:
    begin = Sweep.__init__

    def open_only(self: Sweep, accounts: Accounts, *more: Any) -> None:
        begin(self, _open_only(accounts), *more)

    with patched(Sweep, "__init__", open_only):
        yield


@mutant("an account that is closed takes no captures either")
def _() -> Iterator[None]:
    of = Accounts.of

    def if_open(self: Accounts, enrollment: Enrollment) -> Any:
        return of(_open_only(self), enrollment)

    with patched(Accounts, "of", if_open):
        yield


@mutant("all new enrollments of a geo go to its first open account")
def _() -> Iterator[None]:
    choose = Accounts.for_opt_in

    def first(self: Accounts, geo: str, enrollment_id: str) -> Any:
        choose(self, geo, enrollment_id)
        return self.open_in(geo)[0]

    with patched(Accounts, "for_opt_in", first):
        yield


@mutant("what jobs keep of one account of a geo hides what they keep of the other")
def _() -> Iterator[None]:
    write = MemoryOperations.write

    async def of_geo(self: MemoryOperations, heartbeat: Heartbeat, etag: str | None) -> None:
        known = [each.storage_account for each in self.heartbeats.values() if each.geo == heartbeat.geo]
        account = next(iter(sorted(filter(None, known))), heartbeat.storage_account)
        if account != heartbeat.storage_account:
            stands = await self.last(heartbeat.kind, account)
            etag = None if stands is None else stands.etag
        await write(self, heartbeat.model_copy(update={"storage_account": account}), etag)

    with patched(MemoryOperations, "write", of_geo):
        yield
