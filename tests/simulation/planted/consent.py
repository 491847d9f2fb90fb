"""Bugs of consent and the toggle (P1, P2, P9)."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.accounts import Account, Accounts
from shared.clock import Moment
from shared.model import ledger as ledger_module
from shared.model.ledger import Setting
from shared.model.notices import Notices
from shared.ports import Conflict, Permit, StoreUnavailable
from shared.sharing import captures as captures_module
from shared.sharing.consent import Consent
from shared.sharing.data_sharing import DataSharing
from shared.stores.memory import MemoryLedger
from tests.simulation.planted.registry import Instead, mutant, patched


@mutant("no lease wait")
def _() -> Iterator[None]:
    async def at_once(self: DataSharing) -> None:
        return None

    with patched(DataSharing, "_outlast_leases", at_once):
        yield


@mutant("a repeated PUT does not wait")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def at_once(self: DataSharing, tenant_id: str, requested: Any) -> Any:
        setting = await self.get(tenant_id)
        return setting if not requested.enabled and not setting.enabled else await put(self, tenant_id, requested)

    with patched(DataSharing, "put", at_once):
        yield


@mutant("lease counted from the end of the read")
def _() -> Iterator[None]:
    read = Consent._read

    async def later(self: Consent, tenant_id: str) -> Any:
        permit = replace(await read(self, tenant_id), read_at=Moment.now(self._clock))
        self._leases[tenant_id] = replace(self._leases[tenant_id], permit=permit)
        return permit

    with patched(Consent, "_read", later):
        yield


@mutant('cached "on" kept after a failed read')
def _() -> Iterator[None]:
    current = Consent.current

    async def kept(self: Consent, tenant_id: str) -> Permit:
        try:
            return await current(self, tenant_id)
        except StoreUnavailable:
            if tenant_id in self._leases:
                return replace(self._leases[tenant_id].permit, read_at=Moment.now(self._clock))
            raise

    with patched(Consent, "current", kept):
        yield


@mutant("a shared read is not checked again")
def _() -> Iterator[None]:
    async def unchecked(self: Consent, tenant_id: str) -> Permit:
        lease = self._leases.get(tenant_id)
        if lease is not None and lease.permit.holds:
            return lease.permit
        shared = await self._shared(tenant_id)
        return replace(shared, read_at=Moment.now(self._clock))

    with patched(Consent, "current", unchecked):
        yield


@mutant("consent leased for three seconds")
def _() -> Iterator[None]:
    with patched(Permit, "is_fresh", property(lambda self: self.read_at.age < 3.0)):
        yield


@mutant("settings read from a replica that lags")
def _() -> Iterator[None]:
    commit = MemoryLedger.commit

    async def kept(self: Any, change: Any, etag: str | None) -> None:
        before = self.settings.get(change.setting.tenant_id)
        await commit(self, change, etag)
        self.__dict__.setdefault("lagging", {})[change.setting.tenant_id] = (asyncio.get_running_loop().time(), before)

    async def stale(self: Any, tenant_id: str) -> Any:
        at, before = self.__dict__.get("lagging", {}).get(tenant_id, (0.0, None))
        lags = asyncio.get_running_loop().time() - at < 3.0 and before is not None
        return before if lags else self.settings.get(tenant_id)

    with patched(MemoryLedger, "commit", kept), patched(MemoryLedger, "read_setting", stale):
        yield


@mutant("on by default")
def _() -> Iterator[None]:
    enrollment_of = captures_module.enrollment_of

    def anyone(permit: Permit) -> Any:
        if permit.setting.enrollment is None and permit.setting.sequence == 0:
            return ledger_module.Enrollment(
                enrollment_id="0" * 32,
                geo="europe",
                storage_account="steurope",
                started_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            )
        return enrollment_of(permit)

    def unasked(self: Notices, version: str | None) -> datetime | None:
        """As if who was never asked had agreed: else no write begins on the word of such a setting (P11)."""
        return datetime.max.replace(tzinfo=UTC) if version is None else agreed_until(self, version)

    agreed_until = Notices.agreed_until
    with patched(captures_module, "enrollment_of", anyone), patched(Notices, "agreed_until", unasked):
        yield


@mutant("a conflict taken for success")
def _() -> Iterator[None]:
    put = DataSharing.put

    async def careless(self: DataSharing, tenant_id: str, requested: Any) -> Setting:
        class Store(Instead):
            async def commit(_, change: Any, etag: str | None) -> None:
                with suppress(Conflict):
                    await self.ledger.commit(change, etag)

        return await put(replace(self, ledger=Store(self.ledger)), tenant_id, requested)  # type: ignore[arg-type]

    with patched(DataSharing, "put", careless):
        yield


@mutant("event and setting in two writes")
def _() -> Iterator[None]:
    commit = MemoryLedger.commit

    async def halves(self: MemoryLedger, change: Any, etag: str | None) -> None:
        tenant_id, before = change.setting.tenant_id, self.settings.get(change.setting.tenant_id)
        await commit(self, change, etag)
        after = self.settings.pop(tenant_id)
        if before is not None:
            self.settings[tenant_id] = before
        await asyncio.sleep(0.05)
        self.settings[tenant_id] = after

    with patched(MemoryLedger, "commit", halves):
        yield


@mutant("opting in again takes up the old enrollment")
def _() -> Iterator[None]:
    opt_in = DataSharing._opt_in

    def again(self: DataSharing, setting: Setting, *more: Any) -> Any:
        same = replace(self, new_id=lambda: setting.tenant_id.replace("-", ""))
        return opt_in(same, setting, *more)

    with patched(DataSharing, "_opt_in", again):
        yield


@mutant("an enrollment in another geo's account")
def _() -> Iterator[None]:
    def elsewhere(self: Accounts, geo: str, enrollment_id: str) -> Account:
        others = [account for account in self if account.geo != geo]
        return replace(others[0], geo=geo)

    with patched(Accounts, "for_opt_in", elsewhere):
        yield
