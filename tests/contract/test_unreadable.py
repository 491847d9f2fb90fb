"""Items that nobody understands, put into Cosmos DB by hand: each is counted and named, and takes nothing from others.

Fails closed (P5, P9): the promise that rests on such an item does not hold; everything else is told.
"""

import uuid
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.cosmos.aio import CosmosClient

from local.stack import CosmosAccount as Address
from shared.model.deletion import Deletion
from shared.model.posture import PostureCheck
from shared.ports import StoreUnavailable
from shared.stores.cosmos.access import CosmosAccess
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from shared.stores.cosmos.operations import CosmosOperations, CosmosPosture
from shared.watch.metrics import measured
from shared.watch.status import StatusReport
from tests.changes import opting_out
from tests.clocks import START
from tests.contract.items import deletion, grant, record
from tests.keeping import keep
from tests.world import DEPLOYMENT, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "Herr Schneider, Rechnung 4711"


class Gone:
    """Instead of a value: the property is taken away."""

    def __repr__(self) -> str:
        return "absent"


GONE = Gone()

NO_INSTANT: list[Any] = [
    "2020-01-01",
    "2020-01-01T00:00:00.000000",
    "2026-99-99T00:00:00.000000Z",
    SECRET,
    5,
    None,
    True,
    ["2026-12-01T00:00:00.000000Z"],
    {"at": 5},
    GONE,
]


class Real:
    """The service on a Cosmos DB of its own, and what only somebody with write access to it can do."""

    def __init__(self, account: CosmosAccount, address: Address) -> None:
        self.world = World(
            ledger=CosmosLedger(account),
            deletion_items=CosmosDeletions(account),
            access_store=CosmosAccess(account),
        )
        self.world.operations = CosmosOperations(account)
        self._address = address

    async def put(self, container: str, item: dict[str, Any], **changes: Any) -> None:
        """Write an item as it is, but for some of its properties."""
        changed = {name: value for name, value in (item | changes).items() if value is not GONE}
        async with CosmosClient(self._address.endpoint, self._address.key) as client:
            database = client.get_database_client(self._address.database)
            await database.get_container_client(container).upsert_item(changed)

    async def owe(self, each: Deletion, **changes: Any) -> Deletion:
        await self.put("deletions", {"id": each.enrollment_id, **each.to_json()}, **changes)
        return each

    async def status(self) -> StatusReport:
        return await self.world.status.report()

    async def run(self) -> StatusReport:
        """One of each timer; what they and the metrics come to."""
        await self.world.purge.run()
        await self.world.sweep.run()
        report = await self.status()
        assert list(measured(report))
        return report


@pytest_asyncio.fixture(loop_scope="session")
async def real(own: tuple[CosmosAccount, Address]) -> Real:
    await CosmosOperations(own[0]).deploy(DEPLOYMENT)
    return Real(*own)


def overdue(now_is: Any = START) -> Deletion:
    return deletion(opted_out_at=now_is - timedelta(days=30, seconds=1))


@pytest.mark.parametrize("name", ["deadline", "notBefore", "startedAt", "optedOutAt"])
async def test_p5_deletions_without_an_instant_are_counted_in_their_geo_and_named(
    real: Real, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = await real.owe(overdue())
    bad = [await real.owe(overdue(), **{name: value}) for value in NO_INSTANT]
    report = await real.status()
    assert {name: each.unreadable for name, each in report.accounts.items()} == {
        "stunitedstates": 0,
        "steurope": len(bad),
        "stunitedkingdom": 0,
    }
    assert report.ledger.unreadable == 0
    counts = report.accounts["steurope"].deletions
    assert counts is not None and (counts.pending, counts.oldest_deadline) == (1 + len(bad), good.deadline)
    assert not report.promises["P5"] and not report.promises["P9"]
    for each in bad:
        assert f"an item of deletions cannot be read: {each.enrollment_id} of tenant {each.tenant_id}" in caplog.text
    assert SECRET not in caplog.text
    figures = {(each.metric.name, each.attributes.get("geo")): each.value for each in measured(report)}
    told = [figures["data_sharing.items.unreadable", geo] for geo in ("europe", "unitedkingdom", None)]
    assert told == [len(bad), 0, 0]
    await real.world.purge.run()
    stored = await real.world.deletion_items.read(good.tenant_id, good.enrollment_id)
    assert stored.value.status == "purged", "the other one is carried out"


async def test_p5_whatever_is_wrong_with_a_deletion(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    good = await real.owe(overdue())
    wrong: list[dict[str, Any]] = [
        {"status": SECRET},
        {"status": ""},
        {"status": "purge"},
        {"status": "verified "},
        {"status": 5},
        {"status": -1.5},
        {"status": True},
        {"status": "purged", "purgedAt": 5},
        {"status": "purged"},
        {"attempts": SECRET},
        {"attempts": None},
        {"sequence": SECRET},
        {"geo": 5},
        {"ledgerHash": GONE},
        {"enrollmentId": {"a": 1}},
        {"deadline": 5, "notBefore": "x", "attempts": []},
    ]
    bad = [await real.owe(overdue(), **changes) for changes in wrong]
    for report in (await real.status(), await real.run()):
        assert (report.accounts["steurope"].unreadable, report.ledger.unreadable) == (len(wrong), 0)
        assert not report.promises["P5"]
    for each in bad:
        assert f"{each.enrollment_id} of tenant {each.tenant_id}" in caplog.text
    stored = await real.world.deletion_items.read(good.tenant_id, good.enrollment_id)
    assert stored.value.status == "purged"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("changes", "at_once"),
    [
        ({"notBefore": 978393600}, True),
        ({"notBefore": "978393600"}, True),
        ({"notBefore": "2026-11-21T12:00:00Z"}, True),
        ({"notBefore": GONE, "not_before": "2026-11-21T12:00:00.000000Z"}, True),
        ({"status": "purged", "purgedAt": 978393600}, True),
        ({"sequence": "2"}, True),
        ({"attempts": True}, True),
        ({"failures": "3"}, True),
        ({"containersDeleted": "3"}, True),
        ({"enrollmentId": "1" * 32}, True),
        ({"id": "1" * 32}, True),
        ({"moreDays": [1728000000]}, False),
        ({"moreDays": [f"2026-{month:02}-{day:02}" for month in (1, 3, 5) for day in range(1, 31)]}, False),
    ],
)
async def test_p5_a_deletion_that_queries_and_rules_would_read_differently_is_counted_and_never_left_for_good(
    real: Real, changes: dict[str, Any], at_once: bool
) -> None:
    """As text, number or under another name it would wait for ever, and nobody would mend it."""
    good = await real.owe(overdue())
    bad = await real.owe(overdue(), **changes)
    name = changes.get("id", bad.enrollment_id)
    with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
        await real.world.deletion_items.read(bad.tenant_id, name)
    listed = await real.world.deletions.list(bad.tenant_id, limit=5, before=None)
    assert listed.values == []
    assert (await real.status()).accounts["steurope"].unreadable == at_once
    report = await real.run()
    assert report.findings["itemsUnreadable"] == 1 and not report.promises["P5"]
    stored = await real.world.deletion_items.read(good.tenant_id, good.enrollment_id)
    assert stored.value.status == "purged"


async def test_p9_a_deletion_that_names_another_enrollment_deletes_nothing_of_it(real: Real) -> None:
    tenant, world = str(uuid.uuid4()), real.world
    await world.opt_in(tenant)
    await world.post(tenant=tenant)
    setting = await world.data_sharing.get(tenant)
    assert setting.enrollment is not None
    stored, live = world.stored_containers(), setting.enrollment.enrollment_id
    days = {"started_at": setting.enrollment.started_at, "not_before": START}
    await real.owe(deletion(tenant, **days), enrollmentId=live)
    await real.owe(deletion(tenant, enrollment_id=live, **days))
    await real.owe(deletion(enrollment_id=live, **days))
    await real.owe(deletion(enrollment_id=live, status="purged", purged_at=START - timedelta(hours=1), **days))
    heartbeat = (await world.purge.run())["steurope"]
    assert world.stored_containers() == stored
    assert heartbeat.error in {"enrollment-live", "deletion-without-event"} and heartbeat.counts == {"failures": 3}
    left = await world.deletion_items.read(tenant, live)
    assert (left.value.status, left.value.last_error) == ("scheduled", "enrollment-live")


async def test_p9_what_the_index_of_the_status_cannot_show_is_found_by_the_sweep(
    real: Real, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [await real.owe(overdue(), status=value) for value in (GONE, None, ["purged"], {"is": "purged"}, [], {})]
    assert (await real.status()).accounts["steurope"].unreadable == 0
    report = await real.run()
    assert report.findings["itemsUnreadable"] == len(bad)
    assert not report.promises["P5"] and not report.promises["P9"]
    for each in bad:
        assert f"{each.enrollment_id} of tenant {each.tenant_id}" in caplog.text


async def test_what_names_no_served_account_is_the_ledgers(real: Real) -> None:
    accounts = [5, None, GONE, ["steurope"], "stelsewhere"]
    for account in accounts:
        await real.owe(overdue(), storageAccount=account, deadline=5)
    report = await real.run()
    assert report.ledger.unreadable == len(accounts)
    assert not any(each.unreadable for each in report.accounts.values())


async def test_deadlines_of_different_types_in_many_partitions(real: Real) -> None:
    goods = [await real.owe(deletion(opted_out_at=START - timedelta(days=29, minutes=n))) for n in range(12)]
    for value in NO_INSTANT:
        for _ in range(2):
            await real.owe(overdue(), deadline=value, attempts=value, sequence=value)
    report = await real.run()
    counts = report.accounts["steurope"].deletions
    assert counts is not None
    assert (report.accounts["steurope"].unreadable, counts.pending) == (20, 32)
    # Two of the texts that are no instant would be before now: nobody knows better, and nobody carries them out.
    assert (counts.overdue, counts.oldest_deadline) == (4, goods[-1].deadline)
    assert report.overdue_deletions == 4
    assert not await real.world.status.overdue(5)
    found = [await real.world.deletion_items.read(each.tenant_id, each.enrollment_id) for each in goods]
    assert {stored.value.status for stored in found} == {"purged"}


async def test_p9_an_unreadable_finished_deletion_is_found_by_the_sweep(real: Real) -> None:
    await real.owe(overdue(), status="verified", receipt={"firstDay": SECRET})
    assert (await real.run()).findings["itemsUnreadable"] == 1


async def test_p9_opt_outs_without_an_instant(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    tenants = [str(uuid.uuid4()) for _ in NO_INSTANT]
    for tenant, value in zip(tenants, NO_INSTANT, strict=True):
        await real.world.opt_in(tenant)
        setting = await real.world.data_sharing.get(tenant)
        assert setting.enrollment is not None
        event = {"id": "event-000000002", "kind": "optedOut", "tenantId": tenant, "sequence": 2}
        event["enrollmentId"] = setting.enrollment.enrollment_id
        await real.put("tenants", event, at=value, deadline=value)
    report = await real.run()
    assert report.findings["itemsUnreadable"] == len(tenants)
    # Of a text the query cannot say that it is no instant: that is for the sweep.
    assert report.ledger.unreadable_opt_outs >= sum(not isinstance(value, str) for value in NO_INSTANT)
    assert not report.promises["P9"] and not report.promises["P5"]
    for tenant in tenants:
        assert f"an item of tenants cannot be read: event-000000002 of tenant {tenant}" in caplog.text
    assert SECRET not in caplog.text


async def test_a_setting_that_cannot_be_read_is_one_tenants_alone(real: Real) -> None:
    broken, whole = str(uuid.uuid4()), str(uuid.uuid4())
    await real.world.opt_in(broken)
    await real.world.opt_in(whole)
    setting = await real.world.data_sharing.get(broken)
    wrong: list[dict[str, Any]] = [{"sequence": SECRET}, {"enrollment": {"geo": 5}}, {"since": "2020-01-01"}]
    for changes in wrong:
        await real.put("tenants", {"id": "setting", **setting.to_json()}, **changes)
        with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
            await real.world.data_sharing.get(broken)
        assert (await real.world.data_sharing.get(whole)).enabled
    assert (await real.run()).findings["itemsUnreadable"] == 1


@pytest.mark.parametrize("kind", ["purge", "sweep"])
async def test_a_heartbeat_that_cannot_be_read_is_its_accounts_alone(real: Real, kind: str) -> None:
    assert (await real.run()).holds
    last = (await real.world.operations.read_all(kind))["steurope"]
    wrong: list[dict[str, Any]] = [{"at": 5}, {"at": "2020-01-01"}, {"counts": SECRET}, {"outcome": GONE}, {"geo": {}}]
    for changes in wrong:
        await real.put("operations", {"id": "account-steurope", **last.to_json()}, **changes)
        report = await real.status()
        assert {name: each.unreadable for name, each in report.accounts.items() if each.unreadable} == {"steurope": 1}
        assert not report.promises["P9"]
        assert report.promises["P5"] == (kind == "purge"), "of what the sweep would have found nothing is known"
    assert (await real.run()).holds, "the next run replaces it"


async def test_a_heartbeat_of_the_ledger_that_cannot_be_read(real: Real) -> None:
    await real.put("operations", {"id": "ledger", "kind": "sweep", "at": SECRET})
    report = await real.status()
    assert report.ledger.unreadable == 1 and report.ledger.last_sweep is None
    assert (await real.run()).holds


async def test_a_check_of_the_posture_that_cannot_be_read_is_one_that_was_not_made(
    own: tuple[CosmosAccount, Address], real: Real
) -> None:
    checks = CosmosPosture(own[0])
    await keep(checks, PostureCheck(storage_account="stasia", at=START, development=False, findings=()))
    for name, at in (("account-steurope", 5), ("cosmos", "2020-01-01")):
        await real.put("operations", {"id": name, "kind": "posture", "at": at})
    found = await checks.read_all()
    assert found.keys() == {"stasia", "steurope", None} and found["steurope"] is None and found[None] is None


async def test_a_page_of_a_list_is_shown_without_what_cannot_be_read(
    real: Real, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = str(uuid.uuid4())
    world = real.world
    for _ in range(2):
        await world.opt_in(tenant)
        await world.data_sharing.put(tenant, opting_out())
    events = (await world.data_sharing.history(tenant, limit=10, before=None)).values
    await real.put("tenants", {"id": events[1].id, **events[1].to_json()}, at="2020-01-01")
    page = await world.data_sharing.history(tenant, limit=2, before=None)
    assert (page.values, page.unreadable, page.next_before) == (events[:1], 1, 3)
    page = await world.data_sharing.history(tenant, limit=1, before=4)
    assert (page.values, page.unreadable, page.next_before) == ([], 1, 3)
    page = await world.data_sharing.history(tenant, limit=10, before=3)
    assert (page.values, page.unreadable, page.next_before) == (events[2:], 0, None)

    owed = [deletion(tenant, sequence=n) for n in (2, 4)]
    await real.owe(owed[0])
    await real.owe(owed[1], deadline=SECRET)
    listed = await world.deletions.list(tenant, limit=2, before=None)
    assert (listed.values, listed.unreadable, listed.next_before) == (owed[:1], 1, None)
    assert SECRET not in caplog.text


async def test_p7_a_grant_that_cannot_be_read_keeps_no_other_from_the_approvers(real: Real) -> None:
    store = real.world.access_store
    long_ago = START - timedelta(days=2000)
    asked = [grant(str(uuid.uuid4()), 1).model_copy(update={"requested_at": long_ago}) for _ in range(3)]
    for each in asked:
        await store.commit(record(each.tenant_id, 1), each, None)
    for each, change in zip(asked, ({"purpose": SECRET}, {"requestedAt": 5}), strict=False):
        item = {"id": f"grant-{each.grant_id}", "kind": "grant", **each.to_json()}
        await real.put("access", item, **change)
    assert (await store.pending_grants(long_ago - timedelta(seconds=1), limit=1)) == asked[2:]


async def test_p7_grants_and_records_that_cannot_be_read(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    tenant = str(uuid.uuid4())
    store = real.world.access_store
    grants = [grant(tenant, sequence=n).approved("approver", START) for n in (1, 2)]
    for n, each in enumerate(grants):
        await store.commit(record(tenant, n + 1), each, None if n == 0 else (await store.head(tenant)).etag)
    bad = {"id": f"grant-{grants[1].grant_id}", "kind": "grant", **grants[1].to_json()}
    await real.put("access", bad, purpose=SECRET)
    await real.put("access", {"id": "record-000000002", "kind": "record", "tenantId": tenant, "sequence": 2, "at": 5})
    page = await store.grants(tenant, limit=5, before=None)
    assert (page.values, page.unreadable) == (grants[:1], 1)
    assert await store.approved_grants(tenant, grants[0].requested_by, START) == grants[:1]
    with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
        await store.read_grant(tenant, grants[1].grant_id)
    log = await store.log(tenant, limit=1, before=None)
    assert (log.values, log.unreadable, log.next_before) == ([], 1, 2)
    assert f"an item of access cannot be read: grant-{grants[1].grant_id} of tenant {tenant}" in caplog.text
    for head in (SECRET, None, 0, GONE):
        await real.put("access", {"id": "head", "tenantId": tenant, "head": head})
        with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
            await store.head(tenant)
    assert SECRET not in caplog.text


async def test_p7_a_grant_or_an_export_under_another_name_or_of_another_kind_opens_nothing(real: Real) -> None:
    tenant, store = str(uuid.uuid4()), real.world.access_store
    each = grant(tenant, 1).approved("approver", START)
    await store.commit(record(tenant, 1), each, None)
    item = {"id": f"grant-{each.grant_id}", "kind": "grant", **each.to_json()}
    assert await store.read_grant(tenant, each.grant_id) == each
    wrong: list[dict[str, Any]] = [
        {"grantId": "1" * 32},
        {"kind": GONE},
        {"kind": "export"},
        {"expiresAt": 4102444800},
        {"sequence": "1"},
    ]
    for changes in wrong:
        await real.put("access", item, **changes)
        with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
            await store.read_grant(tenant, each.grant_id)


async def test_p9_downloads_that_say_their_sequence_in_another_way_are_not_read_for_ever(real: Real) -> None:
    """A text comes behind every number, whatever has been read."""
    tenant, store = str(uuid.uuid4()), real.world.access_store
    each = record(tenant, 5, action="exportDownloaded", enrollment_id=uuid.uuid4().hex)
    await store.commit(each, None, None)
    assert await store.downloads(tenant, each.enrollment_id, limit=1) == [each]
    await real.put("access", {"id": each.id, "kind": "record", **each.to_json()}, sequence="5")
    for after in (0, 5, 9):
        with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
            await store.downloads(tenant, each.enrollment_id, limit=1, after=after)


async def test_p9_items_with_what_a_later_version_adds_and_without_what_it_adds_are_read(real: Real) -> None:
    whole = await real.owe(overdue(), ofALaterVersion={"a": [1]})
    before = await real.owe(
        overdue(), sequence=2.0, attempts=GONE, failures=GONE, containersDeleted=GONE, moreDays=GONE, reappeared=[]
    )
    for each in (whole, before):
        assert (await real.world.deletion_items.read(each.tenant_id, each.enrollment_id)).value == each
    assert (await real.status()).accounts["steurope"].unreadable == 0


async def test_p8_what_does_not_look_like_ours_is_not_named(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    await real.put("deletions", {"id": SECRET, "tenantId": SECRET, "storageAccount": SECRET, "status": "scheduled"})
    await real.put("tenants", {"id": SECRET, "tenantId": SECRET, "kind": "optedOut", "at": 5})
    report = await real.run()
    assert report.ledger.unreadable == 1 and report.ledger.unreadable_opt_outs == 1
    assert "an item of deletions cannot be read: one with no id of ours of tenant unknown" in caplog.text
    assert SECRET not in caplog.text
