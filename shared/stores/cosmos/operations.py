"""Container ``operations``: heartbeats, the checks of the posture, and whose database this is."""

from collections.abc import Mapping

from azure.core.exceptions import HttpResponseError

from shared.model.heartbeats import Deployment, Heartbeat
from shared.model.posture import PostureCheck
from shared.ports import UNREADABLE_ITEM, StoreUnavailable
from shared.stores.cosmos.account import CONFLICT, CosmosContainer, call, parsed

_DEPLOYMENT = "deployment"

_LEDGER_ID, _COSMOS_ID = "ledger", "cosmos"


class CosmosOperations(CosmosContainer):
    """Container ``operations``."""

    _name = "operations"

    async def write(self, heartbeat: Heartbeat) -> None:
        """See ``OperationStore``."""
        async with call():
            await (await self._container()).upsert_item({"id": heartbeat.geo or _LEDGER_ID, **heartbeat.to_json()})

    async def deployment_id(self) -> str | None:
        """See ``OperationStore``."""
        item = await self._read(_DEPLOYMENT, _DEPLOYMENT)
        return None if item is None else parsed(Deployment.from_json, item).deployment_id

    async def deploy(self, deployment_id: str) -> str:
        """See ``OperationStore``."""
        item = {"id": _DEPLOYMENT, "kind": _DEPLOYMENT, **Deployment(deployment_id=deployment_id).to_json()}
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
        rows = self._query("SELECT * FROM c", {}, kind)
        return {_geo(row["id"]): self._understood(Heartbeat.from_json, row) async for row in rows}


class CosmosPosture(CosmosContainer):
    """Container ``operations``: the checks of the posture."""

    _name = "operations"

    async def write(self, check: PostureCheck) -> None:
        """See ``PostureStore``."""
        async with call():
            await (await self._container()).upsert_item({"id": check.geo or _COSMOS_ID, **check.to_json()})

    async def read_all(self) -> Mapping[str | None, PostureCheck | None]:
        """See ``PostureStore``. The next check replaces one that cannot be understood."""
        rows = self._query("SELECT * FROM c", {}, "posture")
        return {_geo(row["id"]): self._understood(PostureCheck.from_json, row) async for row in rows}


def _geo(item_id: str) -> str | None:
    return None if item_id in {_LEDGER_ID, _COSMOS_ID} else item_id
