"""The proof that a storage account and the ledger belong together; without it nothing in it is deleted (D14)."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.model.containers import DEPLOYMENT_PREFIX, SHARDS, DayContainer, deployment_container, shard_prefix
from shared.ports import ContainerStore, OperationStore, StoreUnavailable

UNPAIRED = "account-unpaired"


@dataclass(frozen=True, slots=True)
class Pairing:
    """A deployment's id stands in the database and as the name of a container in each of its accounts.

    A ledger that is another deployment's knows none of an account's enrollments, however healthy it is: on its word
    everything in the account would go.

    Attributes:
        operations: the database.
        new_id: makes the id of a deployment that has none: 32 hexadecimal digits.
    """

    operations: OperationStore
    new_id: Callable[[], str]

    async def check(self, store: ContainerStore) -> None:
        """Go on if the account is this deployment's; pair it first if it is new, and holds nothing that could be lost.

        Raises:
            StoreUnavailable: ``account-unpaired`` if it holds captures and says nothing of whose they are,
                ``account-of-another-deployment`` if it says that they are another's.
        """
        if not await self._is_paired(store):
            if await _holds_captures(store):
                raise StoreUnavailable(UNPAIRED)
            await self.pair(store)

    async def prepare(self, store: ContainerStore) -> None:
        """Pair an account before its first capture is stored; what was stored before there was a pairing may stay.

        Raises:
            StoreUnavailable: ``account-of-another-deployment`` if it is another's.
        """
        try:
            await self.check(store)
        except StoreUnavailable as error:
            if error.code != UNPAIRED:
                raise

    async def pair(self, store: ContainerStore) -> None:
        """Make an account this deployment's that is no other's: one that is empty, or that the ledger knows all of."""
        deployment_id = await self.operations.deployment_id() or await self.operations.deploy(self.new_id())
        await store.mark(deployment_container(deployment_id))

    async def _is_paired(self, store: ContainerStore) -> bool:
        found = {each.name async for each in store.list_containers(DEPLOYMENT_PREFIX)}
        if not found:
            return False
        deployment_id = await self.operations.deployment_id()
        if deployment_id is None or found != {deployment_container(deployment_id)}:
            raise StoreUnavailable("account-of-another-deployment")
        return True


async def _holds_captures(store: ContainerStore) -> bool:
    for shard in SHARDS:
        async for each in store.list_containers(shard_prefix(shard), page_size=10):
            if DayContainer.parse(each.name) is not None:
                return True
    return False
