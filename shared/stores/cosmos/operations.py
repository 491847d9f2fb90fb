"""Container ``operations``: heartbeats, the checks of the posture, epochs, and whose database this is."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from azure.core.exceptions import HttpResponseError

from shared.model.epochs import NO_EPOCH, Epoch
from shared.model.geos import GEOS
from shared.model.heartbeats import DEPLOYMENT, Deployment, Heartbeat
from shared.model.items import Kept, item_of
from shared.model.posture import PostureCheck
from shared.ports import UNREADABLE_ITEM, StoreUnavailable
from shared.stores.cosmos.account import CONFLICT, CosmosContainer, call, parsed

_EPOCH = "epoch"

_LEDGER_ID, _COSMOS_ID = "ledger", "cosmos"
_ACCOUNT_PREFIX = "account-"


class _OfAccount(Kept, Protocol):
    @property
    def storage_account(self) -> str | None: ...


T = TypeVar("T", bound=_OfAccount)


class _ByAccount(CosmosContainer):
    """Container ``operations``: what is kept of each storage account, and of what is none."""

    _name = "operations"

    async def _keep(self, value: _OfAccount, id_of_none: str, members: Mapping[str, Any]) -> None:
        account = value.storage_account
        item_id = id_of_none if account is None else f"{_ACCOUNT_PREFIX}{account}"
        async with call():
            await (await self._container()).upsert_item({"id": item_id, **members})

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


def _kind_of(shard: str) -> str:
    return f"{_EPOCH}-{shard}"  # a partition of its own for each, so that none has to bear the reads of all


class CosmosOperations(_ByAccount):
    """Container ``operations``."""

    async def write(self, heartbeat: Heartbeat) -> None:
        """See ``OperationStore``."""
        await self._keep(heartbeat, _LEDGER_ID, heartbeat.to_json())

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

    async def write(self, check: PostureCheck) -> None:
        """See ``PostureStore``."""
        await self._keep(check, _COSMOS_ID, check.to_json())

    async def read_all(self) -> Mapping[str | None, PostureCheck | None]:
        """See ``PostureStore``. The next check replaces one that cannot be understood."""
        return await self._kept("posture", _COSMOS_ID, PostureCheck.from_json)
