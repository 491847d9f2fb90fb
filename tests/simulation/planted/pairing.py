"""Bugs of the pairing of ledger and accounts, and of judging an account whole (D14)."""

from collections.abc import Iterator
from typing import Any

from shared.deletion.purge import Purge
from shared.pairing import Pairing
from shared.sweep import storage as storage_sweep
from shared.sweep.storage import StorageSweep
from tests.simulation.planted.registry import mutant, patched


async def _unasked(self: Any, account: Any) -> None:
    return None


@mutant("nobody asks whose an account is")
def _() -> Iterator[None]:
    with patched(Pairing, "check", _unasked), patched(storage_sweep, "_STRANGERS_MAX", 10**6):
        yield


@mutant("the purge does not ask whose an account is")
def _() -> Iterator[None]:
    purge_paired = Purge._purge_paired

    async def trusting(self: Purge, *what: Any) -> None:
        with patched(Pairing, "check", _unasked):
            await purge_paired(self, *what)

    with patched(Purge, "_purge_paired", trusting):
        yield


@mutant("the sweep takes any account for its own")
def _() -> Iterator[None]:
    async def own(self: StorageSweep) -> bool:
        return True

    with patched(StorageSweep, "_is_paired", own), patched(storage_sweep, "_STRANGERS_MAX", 10**6):
        yield


@mutant("an account is paired with whoever comes")
def _() -> Iterator[None]:
    async def anyones(self: Pairing, account: Any) -> bool:
        return not [each async for each in account.list_containers("deployment-")] or True

    with patched(Pairing, "_is_paired", anyones), patched(storage_sweep, "_STRANGERS_MAX", 10**6):
        yield
