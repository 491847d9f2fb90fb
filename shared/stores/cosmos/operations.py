"""Container ``operations``: heartbeats, and the checks of the posture."""

from collections.abc import Mapping

from pydantic import ValidationError

from shared.model.heartbeats import Heartbeat
from shared.model.posture import PostureCheck
from shared.stores.cosmos.account import CosmosContainer, call


class CosmosOperations(CosmosContainer):
    """Container ``operations``."""

    _name = "operations"

    async def write(self, heartbeat: Heartbeat) -> None:
        """See ``OperationStore``."""
        async with call():
            await (await self._container()).upsert_item({"id": heartbeat.geo or "ledger", **heartbeat.to_json()})

    async def read_all(self, kind: str) -> Mapping[str | None, Heartbeat]:
        """See ``OperationStore``."""
        heartbeats: dict[str | None, Heartbeat] = {}
        async for row in self._query("SELECT * FROM c", {}, kind):
            try:
                heartbeat = Heartbeat.from_json(row)
            except ValidationError:
                continue  # none is worse than any; the next run writes one that can be understood
            heartbeats[heartbeat.geo] = heartbeat
        return heartbeats


class CosmosPosture(CosmosContainer):
    """Container ``operations``: the checks of the posture."""

    _name = "operations"

    async def write(self, check: PostureCheck) -> None:
        """See ``PostureStore``."""
        async with call():
            await (await self._container()).upsert_item({"id": check.geo or "cosmos", **check.to_json()})

    async def read_all(self) -> Mapping[str | None, PostureCheck]:
        """See ``PostureStore``. A check that cannot be understood is none."""
        checks: dict[str | None, PostureCheck] = {}
        async for row in self._query("SELECT * FROM c", {}, "posture"):
            try:
                check = PostureCheck.from_json(row)
            except ValidationError:
                continue
            checks[check.geo] = check
        return checks
