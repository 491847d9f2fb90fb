"""What Azure's Cosmos DB answers when it is busy, splits a partition or fails, in front of a real one.

Each call ends within its time: passed over by the SDK's own retries, or with the code of what was answered.
"""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from azure.cosmos.aio import CosmosClient

from local.ports import free_ports
from local.stack import CosmosAccount as Address
from shared.model.ledger import Change, Event
from shared.ports import RETRY_AFTER_MAX, Conflict, LedgerStore, StoreUnavailable
from shared.runs import COSMOS, Run, sparing
from shared.stores.cosmos import account as cosmos
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from tests.clocks import START, ManualClock
from tests.contract.items import deletion, new_account, opt_in, opt_out

pytestmark = pytest.mark.asyncio(loop_scope="session")

_NOT_PASSED_ON = {"host", "content-length", "transfer-encoding"}
THROTTLED: dict[str, Any] = {"status": 429, "substatus": 3200, "retry_after_ms": 20}
GONE: dict[str, Any] = {"status": 410, "substatus": 1002}


@dataclass
class Front:
    """Stands before a Cosmos DB and answers some requests itself.

    Attributes:
        right: how many requests for items it passes on first.
        wrong: how many requests for items it then answers itself; the others are passed on.
        carried_out: whether those are passed on first, so that what they ask for is done and the answer is lost.
        seen: the methods of the requests for items that came.
    """

    target: str
    port: int = field(default_factory=lambda: free_ports(1)[0])
    right: int = 0
    wrong: int = 0
    carried_out: bool = False
    status: int = 0
    substatus: int = 0
    retry_after_ms: int | str | None = None
    seen: list[str] = field(default_factory=list)

    def will(self, wrong: int, *, right: int = 0, carried_out: bool = False, **answer: Any) -> None:
        self.right, self.wrong, self.carried_out, self.seen = right, wrong, carried_out, []
        self.status, self.substatus = answer["status"], answer.get("substatus", 0)
        self.retry_after_ms = answer.get("retry_after_ms")

    async def answer(self, request: web.Request) -> web.Response:
        is_wrong = False
        if "/docs" in request.path:
            self.seen.append(request.method)
            is_wrong = len(self.seen) > self.right and self.wrong > 0
        if is_wrong:
            self.wrong -= 1
            if not self.carried_out:
                return self.refusal()
        passed_on = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                f"{self.target}{request.raw_path}",
                data=await request.read() or None,
                headers={**passed_on, "host": request.host},  # the account tells where it is as it was asked
            ) as response,
        ):
            body = await response.read()
        headers = {name: value for name, value in response.headers.items() if name.lower() not in _NOT_PASSED_ON}
        return self.refusal() if is_wrong else web.Response(status=response.status, body=body, headers=headers)

    def refusal(self) -> web.Response:
        headers = {"x-ms-substatus": str(self.substatus)} if self.substatus else {}
        if self.retry_after_ms is not None:
            headers["x-ms-retry-after-ms"] = str(self.retry_after_ms)
        return web.json_response({"code": "Wrong", "message": "As told."}, status=self.status, headers=headers)


@pytest_asyncio.fixture(loop_scope="session")
async def front(address: Address) -> AsyncIterator[Front]:
    front = Front(address.endpoint.rstrip("/"))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", front.port).start()
    yield front
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session")
async def behind(front: Front, address: Address) -> AsyncIterator[CosmosAccount]:
    """The account as the application sees it, already connected."""
    setting = f"AccountEndpoint=http://127.0.0.1:{front.port}/;AccountKey={address.key};"
    account = CosmosAccount.connect(setting, None, address.database)
    for name in ("tenants", "deletions"):
        await account.container(name)
    yield account
    await account.close()


async def code_of(call: Awaitable[Any]) -> tuple[str | None, float]:
    """What a call failed with, and how long it took."""
    started = time.monotonic()
    try:
        await call
    except StoreUnavailable as error:
        return error.code, time.monotonic() - started
    return None, time.monotonic() - started


READS: dict[str, Callable[[CosmosAccount], Awaitable[Any]]] = {
    "point": lambda account: CosmosLedger(account).read_setting(str(uuid.uuid4())),
    "in a partition": lambda account: CosmosLedger(account).history(str(uuid.uuid4()), limit=3, before=None),
    "across partitions": lambda account: CosmosDeletions(account).overdue(START),
    "in order": lambda account: anext(CosmosDeletions(account).due(new_account(), START), None),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("answer", [THROTTLED, {"status": 503}], ids=["429", "503"])
async def test_a_read_is_tried_again(front: Front, behind: CosmosAccount, read: str, answer: dict[str, Any]) -> None:
    front.will(1, **answer)
    assert (await code_of(READS[read](behind)))[0] is None
    assert front.wrong == 0


@pytest.mark.parametrize("read", ["in a partition", "across partitions", "in order"])
async def test_a_query_goes_on_where_a_partition_was_split(front: Front, behind: CosmosAccount, read: str) -> None:
    front.will(1, **GONE)
    assert (await code_of(READS[read](behind)))[0] is None
    assert front.wrong == 0


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (THROTTLED, "cosmos-429"),
        ({"status": 429}, "cosmos-429"),
        (GONE, "cosmos-410"),
        ({"status": 503, "retry_after_ms": 20}, "cosmos-503"),
        ({"status": 449, "retry_after_ms": 20}, "cosmos-449"),
        ({"status": 408}, "cosmos-408"),
    ],
    ids=["429", "429 without a hint", "410", "503", "449", "408"],
)
async def test_what_goes_on_is_told_by_its_code_and_in_time(
    front: Front, behind: CosmosAccount, read: str, answer: dict[str, Any], expected: str
) -> None:
    front.will(1_000, **answer)
    code, seconds = await code_of(READS[read](behind))
    assert code == expected
    assert seconds < cosmos.call.seconds
    assert len(front.seen) < 50


async def test_a_hint_of_a_second_leaves_time_to_tell_the_code(front: Front, behind: CosmosAccount) -> None:
    """The SDK tries a page of a query again as often as it tries each of that page's requests again."""
    front.will(1_000, **{**THROTTLED, "retry_after_ms": 1_000})
    code, seconds = await code_of(READS["in order"](behind))
    assert code == "cosmos-429" and seconds < cosmos.call.seconds / 2


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("told", "asks"),
    [
        (20_000, 20.0),
        (1_001, 1.001),
        (10**12, RETRY_AFTER_MAX),
        ("86400000.5", RETRY_AFTER_MAX),
        (-5_000, None),
        ("a while", None),
        ("", None),
    ],
)
async def test_a_hint_to_wait_for_long_or_for_nonsense_is_told_at_once_and_by_its_code(
    front: Front, behind: CosmosAccount, read: str, told: Any, asks: float | None
) -> None:
    """The SDK would wait for as long as it is told, and ends with an error of its own where that is no number."""
    front.will(1_000, **{**THROTTLED, "retry_after_ms": told})
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await READS[read](behind)
    assert (refused.value.code, refused.value.throttled, refused.value.retry_after) == ("cosmos-429", True, asks)
    assert time.monotonic() - started < 5 and len(front.seen) < 20


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("answer", "throttled", "asks"),
    [
        (THROTTLED, True, 0.02),
        ({"status": 429}, True, None),
        ({"status": 449, "retry_after_ms": 2_500}, True, 2.5),
        ({"status": 503, "retry_after_ms": 2_500}, False, 2.5),
        (GONE, False, None),
    ],
    ids=["429", "429 without a hint", "449", "503", "410"],
)
async def test_what_cosmos_db_asks_goes_with_the_failure(
    front: Front, behind: CosmosAccount, read: str, answer: dict[str, Any], throttled: bool, asks: float | None
) -> None:
    front.will(1_000, **answer)
    with pytest.raises(StoreUnavailable) as refused:
        await READS[read](behind)
    assert (refused.value.throttled, refused.value.retry_after) == (throttled, asks)


async def test_a_write_that_is_told_to_wait_is_not_made(front: Front, behind: CosmosAccount) -> None:
    change = opt_in(str(uuid.uuid4()))
    front.will(1, **{**THROTTLED, "retry_after_ms": 9_000})
    with pytest.raises(StoreUnavailable) as refused:
        await CosmosLedger(behind).commit(change, None)
    assert refused.value.retry_after == 9.0
    await CosmosLedger(behind).commit(change, None)


async def test_a_write_that_was_throttled_is_made_once(front: Front, behind: CosmosAccount) -> None:
    change, owed = opt_in(str(uuid.uuid4())), deletion()
    front.will(1, **THROTTLED)
    await CosmosLedger(behind).commit(change, None)
    front.will(2, **THROTTLED)
    assert await CosmosDeletions(behind).create(owed) is True
    assert front.wrong == 0
    assert (await CosmosLedger(behind).history(change.setting.tenant_id, limit=9, before=None)).values == [change.event]
    assert await CosmosDeletions(behind).create(owed) is False


@pytest.mark.parametrize(
    ("answer", "expected"),
    [({"status": 449, "retry_after_ms": 20}, "cosmos-449"), (GONE, "cosmos-410")],
    ids=["449", "410"],
)
async def test_a_write_that_was_not_carried_out_tells_its_code_and_can_be_made_again(
    front: Front, behind: CosmosAccount, answer: dict[str, Any], expected: str
) -> None:
    change = opt_in(str(uuid.uuid4()))
    front.will(1, **answer)
    assert (await code_of(CosmosLedger(behind).commit(change, None)))[0] == expected
    await CosmosLedger(behind).commit(change, None)
    owed = deletion()
    front.will(1, **answer)
    assert (await code_of(CosmosDeletions(behind).create(owed)))[0] == expected
    assert await CosmosDeletions(behind).create(owed) is True


@pytest.mark.parametrize("status", [408, 503])
async def test_a_write_whose_answer_was_lost_is_never_made_twice(
    front: Front, behind: CosmosAccount, status: int
) -> None:
    """The SDK may make it again by itself: then it is a conflict with itself, or its own first attempt."""
    first = opt_in(str(uuid.uuid4()))
    tenant = first.setting.tenant_id
    front.will(1, status=status, carried_out=True)
    with suppress(Conflict, StoreUnavailable):
        await CosmosLedger(behind).commit(first, None)
    assert (await CosmosLedger(behind).history(tenant, limit=9, before=None)).values == [first.event]
    with pytest.raises(Conflict):
        await CosmosLedger(behind).commit(first, None)
    owed = deletion()
    front.will(1, status=status, carried_out=True)
    with suppress(StoreUnavailable):
        assert await CosmosDeletions(behind).create(owed) is False
    stored = await CosmosDeletions(behind).read(owed.tenant_id, owed.enrollment_id)
    assert stored is not None and stored.value == owed


async def all_events(account: CosmosAccount, tenant: str) -> list[Event | None]:
    return [event async for event in CosmosLedger(account).events_after(tenant, 0)]


async def test_a_query_that_fails_after_its_first_page_tells_so_instead_of_ending(
    front: Front, behind: CosmosAccount, address: Address
) -> None:
    """What was read of it is not all that there is: nobody may take it for all."""
    tenant = str(uuid.uuid4())
    async with CosmosClient(address.endpoint, address.key) as client:
        tenants = client.get_database_client(address.database).get_container_client("tenants")
        for batch in range(3):
            items = [{"id": f"{batch}-{number}", "tenantId": tenant} for number in range(100)]
            await tenants.execute_item_batch([("create", (item,)) for item in items], tenant)
    front.will(0, status=449)
    assert await all_events(behind, tenant) == 300 * [None]
    for right in range(1, len(front.seen)):
        front.will(1, right=right, status=449)
        assert (await code_of(all_events(behind, tenant)))[0] == "cosmos-449"


async def test_p9_within_a_run_a_query_that_is_refused_after_any_of_its_pages_brings_each_event_once(
    front: Front, behind: CosmosAccount
) -> None:
    tenant, changes = str(uuid.uuid4()), list[Change]()
    for sequence in range(1, 251):
        changes.append(opt_in(tenant, sequence))
    for each in changes:
        await CosmosLedger(behind).commit(each, await etag_of(behind, tenant))
    front.will(0, status=449)
    assert [each.event for each in changes] == await all_events(behind, tenant)
    for right in range(1, len(front.seen)):
        run, found = Run("sweep", ManualClock(jumping=True), 200.0), list[Any]()

        async def read(found: list[Any] = found) -> None:
            ledger = sparing(CosmosLedger(behind), LedgerStore, COSMOS)
            found += [event async for event in ledger.events_after(tenant, 0)]

        front.will(1, right=right, status=449)
        assert (await run.isolated(read()), run.counts["throttled"]) == (None, 1)
        assert found == [each.event for each in changes]


async def etag_of(account: CosmosAccount, tenant: str) -> str | None:
    stored = await CosmosLedger(account).read_setting(tenant)
    return None if stored is None else stored.etag


MIXED: list[Any] = [None, True, 5, 1.5, "a text", ["x"], {"x": 1}]


def of_other_types_than(value: Any) -> list[Any]:
    return [each for each in MIXED if not isinstance(each, type(value))]


@pytest.mark.campaign
async def test_items_of_other_types_in_any_partition_break_no_query(address: Address, account: CosmosAccount) -> None:
    """The SDK cannot merge an order of different types (azure-sdk-for-python#43965), so no query of ours asks it to."""
    account_name, now = new_account(), START + timedelta(days=40)
    good = [deletion(account=account_name, opted_out_at=START - timedelta(seconds=n)) for n in range(9)]
    purged = [each.purged(START, deleted=0) for each in (deletion(account=account_name) for _ in range(9))]
    for each in (*good, *purged):
        await CosmosDeletions(account).create(each)
    changes = [opt_in(str(uuid.uuid4())) for _ in range(9)]
    for change in changes:
        await CosmosLedger(account).commit(change, None)
        stored = await CosmosLedger(account).read_setting(change.setting.tenant_id)
        assert stored is not None
        await CosmosLedger(account).commit(opt_out(change), stored.etag)
    async with CosmosClient(address.endpoint, address.key) as client:
        database = client.get_database_client(address.database)
        deletions, tenants = database.get_container_client("deletions"), database.get_container_client("tenants")
        for owed in (good[0], purged[0]):
            item = owed.to_json()
            for name in item.keys() - {"tenantId", "storageAccount", "status"}:
                for value in of_other_types_than(item[name]):
                    bad = {**item, "id": uuid.uuid4().hex, "tenantId": str(uuid.uuid4()), name: value}
                    await deletions.create_item(bad)
                without = {each: value for each, value in item.items() if each != name}
                await deletions.create_item({**without, "id": uuid.uuid4().hex, "tenantId": str(uuid.uuid4())})
        event = changes[0].event.to_json()
        for name in event.keys() - {"tenantId"}:
            for value in of_other_types_than(event[name]):
                await tenants.create_item({**event, "id": uuid.uuid4().hex, "tenantId": str(uuid.uuid4()), name: value})
    due = [stored.value async for stored in CosmosDeletions(account).due(account_name, now)]
    assert [each for each in due if each in good] == list(reversed(good))
    unverified = [stored.value async for stored in CosmosDeletions(account).unverified(account_name, now, now)]
    assert all(each in unverified for each in purged)
    counts = await CosmosDeletions(account).counts(account_name, now)
    assert counts.pending >= 18 and counts.oldest_deadline == good[-1].deadline
    assert await CosmosDeletions(account).overdue(now) >= 18
    async for _ in CosmosDeletions(account).tenants("", at_most=9):
        pass
    enrollment_ids = [change.event.enrollment_id for change in changes]
    async for _ in CosmosDeletions(account).verified_among(enrollment_ids):
        pass
    async for _ in CosmosLedger(account).events_of_enrollments(enrollment_ids):
        pass
    async for _ in CosmosLedger(account).opt_outs_committed(0):
        pass
    found = {each.tenant_id async for each in CosmosLedger(account).ledgers("", at_most=9)}
    assert {change.setting.tenant_id for change in changes} <= found
