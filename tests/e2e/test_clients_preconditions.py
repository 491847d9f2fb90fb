"""What a client meets that sends conditions along: each is evaluated or refused, and none is passed over."""

import uuid

import pytest
import pytest_asyncio

from local.client import Answer, Client
from local.tokens import Role
from tests.changes import AGREED

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def enrolled(client: Client) -> str:
    tenant = str(uuid.uuid4())
    await client.opt_in(tenant, "europe")
    return tenant


class Setting:
    def __init__(self, client: Client, tenant: str) -> None:
        self.client, self.tenant = client, tenant

    async def ask(self, method: str, path: str = "data-sharing", **headers: str) -> Answer:
        token = self.client.token(Role.TENANT_ADMIN, now=await self.client.now(), tenant=self.tenant)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        # Nothing that would change anything, and nothing that takes two seconds.
        body = {"enabled": True, "geo": "europe", **AGREED} if method == "PUT" else None
        return await self.client.call(method, f"tenants/{self.tenant}/{path}", token=token, body=body, headers=sent)


@pytest.fixture
def setting(either: Client, enrolled: str) -> Setting:
    return Setting(either, enrolled)


@pytest.mark.parametrize("known", ['"1"', 'W/"1"', '"0", "1"', ' "1" ,"7"', "*"])
async def test_who_has_the_setting_already_is_told_that_it_has_not_changed(setting: Setting, known: str) -> None:
    answer = await setting.ask("GET", If_None_Match=known)
    assert (answer.status, answer.headers["etag"], answer.body) == (304, '"1"', None)
    assert not answer.headers.get("content-type", "").startswith("text/")
    again = await setting.ask("PUT", If_None_Match=known)
    assert (again.status, again.problem) == (412, "precondition-failed")


@pytest.mark.parametrize("known", ['"0"', '"01"', '"1,1"', '"11"', 'W/"0", "2"', '""'])
async def test_who_has_another_gets_the_setting(setting: Setting, known: str) -> None:
    answer = await setting.ask("GET", If_None_Match=known)
    assert (answer.status, answer.headers["etag"], answer.body["enabled"]) == (200, '"1"', True)
    assert (await setting.ask("PUT", If_None_Match=known)).status == 200


@pytest.mark.parametrize("wanted", ['"1"', '"0", "1"', '"7","1","8"', 'W/"7", "1"', "*"])
async def test_one_of_a_list_is_enough(setting: Setting, wanted: str) -> None:
    assert (await setting.ask("PUT", If_Match=wanted)).status == 200


@pytest.mark.parametrize("wanted", ['"01"', '"0"', '"0", "2"', 'W/"1"', '"1', "1", "", "*, *", '"1" "1"', '"1 "'])
async def test_anything_else_is_not_the_setting_that_is_there(setting: Setting, wanted: str) -> None:
    answer = await setting.ask("PUT", If_Match=wanted)
    assert (answer.status, answer.problem) == (412, "precondition-failed")


@pytest.mark.parametrize("nonsense", ["1", '"1', "", '"1" "2"', "*, *"])
async def test_what_is_no_list_of_etags_is_refused(setting: Setting, nonsense: str) -> None:
    for method in ("GET", "PUT"):
        answer = await setting.ask(method, If_None_Match=nonsense)
        assert (answer.status, answer.problem) == (400, "invalid-request")
        assert "If-None-Match" in answer.body["detail"]


async def test_all_conditions_have_to_hold(setting: Setting) -> None:
    assert (await setting.ask("PUT", If_Match='"1"', If_None_Match='"0"')).status == 200
    assert (await setting.ask("PUT", If_Match='"1"', If_None_Match='"1"')).status == 412
    assert (await setting.ask("PUT", If_Match='"0"', If_None_Match='"0"')).status == 412


async def test_a_change_of_a_setting_that_has_changed_is_refused_and_of_one_of_a_list_made(
    either: Client, tenant: str
) -> None:
    setting = Setting(either, tenant)
    assert (await setting.ask("PUT", If_Match='"0", "5"')).headers["etag"] == '"1"'
    assert (await setting.ask("PUT", If_None_Match='"0"')).headers["etag"] == '"1"'
    assert (await setting.ask("PUT", If_Match='"0"')).status == 412
    history = await either.as_admin("GET", tenant, "data-sharing/history")
    assert len(history.body["value"]) == 1


ELSEWHERE = [
    ("GET", "data-sharing/history"),
    ("GET", "deletions"),
    ("GET", f"deletions/{'0' * 32}"),
    ("POST", f"deletions/{'0' * 32}/expedite"),
    ("GET", "access-log"),
]


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Unmodified-Since"])
@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
async def test_where_nothing_evaluates_them_they_are_refused(
    setting: Setting, method: str, path: str, name: str
) -> None:
    answer = await setting.ask(method, path, **{name: '"1"'})
    assert (answer.status, answer.problem) == (400, "invalid-request")
    assert name in answer.body["detail"]


async def test_a_date_is_no_condition_that_is_evaluated(setting: Setting) -> None:
    for method in ("GET", "PUT"):
        answer = await setting.ask(method, If_Unmodified_Since="Sat, 21 Nov 2026 12:00:00 GMT")
        assert (answer.status, answer.problem) == (400, "invalid-request")
        assert "If-Unmodified-Since" in answer.body["detail"]
    wrong = await setting.ask("GET", If_Match='"1"')
    assert (wrong.status, wrong.problem) == (400, "invalid-request")
