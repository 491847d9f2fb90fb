"""Container ``operations``: heartbeats, and the checks of the posture."""

from collections.abc import Mapping

from shared.model.heartbeats import Heartbeat
from shared.model.posture import PostureCheck
from shared.stores.cosmos.account import CosmosContainer, call

_LEDGER_ID, _COSMOS_ID = "ledger", "cosmos"


class CosmosOperations(CosmosContainer):
    """Container ``operations``."""

    _name = "operations"

    async def write(self, heartbeat: Heartbeat) -> None:
        """See ``OperationStore``."""
        async with call():
            await (await self._container()).upsert_item({"id": heartbeat.geo or _LEDGER_ID, **heartbeat.to_json()})

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
