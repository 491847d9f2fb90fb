"""Container ``operations``: heartbeats, the checks of the posture, epochs, and whose database this is."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from shared.model.epochs import NO_EPOCH, Epoch
from shared.model.geos import GEOS
from shared.model.heartbeats import DEPLOYMENT, Deployment, Heartbeat
from shared.model.items import Kept, item_of
from shared.model.posture import PostureCheck
from shared.ports import UNREADABLE_ITEM, Conflict, Stored, StoreUnavailable
from shared.stores.cosmos.account import (
    CONFLICT,
    PRECONDITION_FAILED,
    CosmosContainer,
    call,
    is_missing_item,
    parsed,
)

_EPOCH, _POSTURE = "epoch", "posture"

_LEDGER_ID, _COSMOS_ID = "ledger", "cosmos"
_ACCOUNT_PREFIX = "account-"


class _OfAccount(Kept, Protocol):
    @property
    def storage_account(self) -> str | None: ...


T = TypeVar("T", bound=_OfAccount)


class _ByAccount(CosmosContainer):
    """Container ``operations``: what is kept of each storage account, and of what is none."""

    _name = "operations"

    async def _last(
        self, kind: str, account: str | None, id_of_none: str, parse: Callable[[Any], T]
    ) -> Stored[T | None] | None:
        """Return what is kept of one account, by a point read; a value of None is what nobody understands."""
        item = await self._read(_id_of(account, id_of_none), kind)
        if item is None:
            return None
        value = self._understood(parse, item)
        is_its_own = value is None or value.storage_account == account
        return Stored(value if is_its_own else None, item["_etag"])

    async def _keep(self, value: _OfAccount, id_of_none: str, members: Mapping[str, Any], etag: str | None) -> None:
        item = {"id": _id_of(value.storage_account, id_of_none), **members}
        async with call():
            container = await self._container()
            try:
                if etag is None:
                    await container.create_item(item)
                else:
                    await container.replace_item(
                        item["id"], item, etag=etag, match_condition=MatchConditions.IfNotModified
                    )
            except HttpResponseError as error:
                if error.status_code in (CONFLICT, PRECONDITION_FAILED) or (
                    etag is not None and is_missing_item(error)
                ):
                    raise Conflict from None
                raise

    async def _kept(self, kind: str, id_of_none: str, parse: Callable[[Any], T]) -> Mapping[str | None, T | None]:
        """Return what is kept by storage account; None for what nobody understands.

        An item counts if its id is that of what it says; under any other, nobody of ours has written it, and nobody
        would ever replace it. Earlier versions named it after its geo. Such a one counts for the account that it names
        until there is one under that account's own id, whatever that says.
        """
        own, of_geos = dict[str | None, T | None](), dict[str | None, T | None]()
        async for row in self._query("SELECT * FROM c", {}, kind):
            value, item_id = self._understood(parse, row), str(row["id"])
            if item_id == id_of_none or item_id.startswith(_ACCOUNT_PREFIX):
                account = None if item_id == id_of_none else item_id.removeprefix(_ACCOUNT_PREFIX)
                is_its_own = value is None or value.storage_account == account
                own[account] = value if is_its_own else None
            else:
                account = row.get("storageAccount")
                is_its_own = isinstance(account, str) and item_id in GEOS and row.get("geo") == item_id
                account = account if is_its_own else f"of {item_id}"  # which no account is called
                of_geos[account] = value if is_its_own and account not in of_geos else None
            if not is_its_own:
                self._report(row)
        return of_geos | own


def _id_of(account: str | None, id_of_none: str) -> str:
    return id_of_none if account is None else f"{_ACCOUNT_PREFIX}{account}"


def _kind_of(shard: str) -> str:
    return f"{_EPOCH}-{shard}"  # a partition of its own for each, so that none has to bear the reads of all


class CosmosOperations(_ByAccount):
    """Container ``operations``."""

    async def last(self, kind: str, storage_account: str | None) -> Stored[Heartbeat | None] | None:
        """See ``OperationStore``."""
        return await self._last(kind, storage_account, _LEDGER_ID, Heartbeat.from_json)

    async def write(self, heartbeat: Heartbeat, etag: str | None) -> None:
        """See ``OperationStore``."""
        await self._keep(heartbeat, _LEDGER_ID, heartbeat.to_json(), etag)

    async def deployment_id(self) -> str | None:
        """See ``OperationStore``."""
        item = await self._read(DEPLOYMENT, DEPLOYMENT)
        return None if item is None else parsed(Deployment.from_json, item).deployment_id

    async def deploy(self, deployment_id: str) -> str:
        """See ``OperationStore``."""
        item = item_of(Deployment(deployment_id=deployment_id))
        async with call():
            try:
                await (await self._container()).create_item(item)
            except HttpResponseError as error:
                if error.status_code != CONFLICT:
                    raise
        # There was one, or another instance was quicker: whichever it is, all come to the same.
        found = await self.deployment_id()
        if found is None:
            raise StoreUnavailable(UNREADABLE_ITEM)
        return found

    async def read_all(self, kind: str) -> Mapping[str | None, Heartbeat | None]:
        """See ``OperationStore``. The next run writes one that can be understood."""
        return await self._kept(kind, _LEDGER_ID, Heartbeat.from_json)

    async def read_epoch(self, shard: str) -> Epoch:
        """See ``OperationStore``. What stands in the item matters to nobody: each write of it makes another etag."""
        item = await self._read(_EPOCH, _kind_of(shard))
        return NO_EPOCH if item is None else Epoch(item["_etag"], item["_ts"])

    async def change_epoch(self, shard: str) -> None:
        """See ``OperationStore``."""
        async with call():
            await (await self._container()).upsert_item({"id": _EPOCH, "kind": _kind_of(shard)})


class CosmosPosture(_ByAccount):
    """Container ``operations``: the checks of the posture."""

    async def last(self, storage_account: str | None) -> Stored[PostureCheck | None] | None:
        """See ``PostureStore``."""
        return await self._last(_POSTURE, storage_account, _COSMOS_ID, PostureCheck.from_json)

    async def write(self, check: PostureCheck, etag: str | None) -> None:
        """See ``PostureStore``."""
        await self._keep(check, _COSMOS_ID, check.to_json(), etag)

    async def read_all(self) -> Mapping[str | None, PostureCheck | None]:
        """See ``PostureStore``. The next check replaces one that cannot be understood."""
        return await self._kept(_POSTURE, _COSMOS_ID, PostureCheck.from_json)
