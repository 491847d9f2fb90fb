"""What every store of posture checks does, fake or real."""

from datetime import timedelta

import pytest

from shared.posture import COSMOS_RULES, STORAGE_RULES, PostureCheck
from shared.stores.cosmos import CosmosAccount, CosmosPosture
from shared.stores.memory import MemoryPosture
from shared.stores.ports import PostureStore
from tests.clocks import START

pytestmark = pytest.mark.asyncio(loop_scope="session")

EUROPE = PostureCheck(
    geo="europe",
    storage_account="steurope",
    at=START,
    development=False,
    findings=tuple(rule.check({"kind": "StorageV2"}) for rule in STORAGE_RULES),
)
COSMOS = PostureCheck(at=START, development=True, findings=tuple(rule.unreadable("x") for rule in COSMOS_RULES))


@pytest.fixture(params=["fake", "real"])
def checks(request: pytest.FixtureRequest) -> PostureStore:
    return MemoryPosture() if request.param == "fake" else CosmosPosture(request.getfixturevalue("account"))


async def test_the_last_check_of_each_account_is_kept(checks: PostureStore) -> None:
    later = EUROPE.model_copy(update={"at": START + timedelta(hours=1)})
    for check in (EUROPE, COSMOS, later):
        await checks.write(check)
    assert await checks.read_all() == {"europe": later, None: COSMOS}


async def test_a_check_that_cannot_be_understood_is_none(account: CosmosAccount) -> None:
    checks = CosmosPosture(account)
    await checks.write(COSMOS)
    container = await account.container("operations")
    await container.upsert_item({"id": "europe", "kind": "posture", "geo": "europe", "findings": "all is well"})
    assert (await checks.read_all()).keys() == {None}
