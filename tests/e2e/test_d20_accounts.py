"""D20 on the real stack: a geo with two accounts, one of which is closed, taken out of the settings, and put back."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.blob.aio import BlobServiceClient

from local.azurite import account_name
from local.client import Answer, Client, containers_in
from local.process import Process
from local.stack import Stack
from shared.model.deadlines import SECOND_LOOK_DELAY
from shared.model.items import format_instant
from tests.e2e.deletions import deletion_of
from tests.spans import chat, span

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

GEO, OTHER_GEO = "unitedstates", "europe"
FIRST, SECOND = (account_name(place) for place in (GEO, f"{GEO}/2"))
ELSEWHERE = account_name(OTHER_GEO)
OPEN, CLOSED = "open", "closed"
BOTH_OPEN = {FIRST: OPEN, SECOND: OPEN}
TENANTS = 32
"""So many that it never happens that an account gets too few of them for a test."""

# The tests run them, at times of their choice.
OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("purge", "sweep", "metrics")}


@dataclass(frozen=True, slots=True)
class Sharing:
    """A tenant that shares data, its enrollment, and the account to which the enrollment belongs."""

    tenant: str
    enrollment: str
    account: str


@dataclass
class Deployment:
    """One host on a stack, which is restarted with other accounts, and the tenants that share data by it."""

    stack: Stack
    host: Process
    client: Client
    exit_stack: AsyncExitStack
    serving: Mapping[str, str] = field(default_factory=lambda: BOTH_OPEN)
    sharing: list[Sharing] = field(default_factory=list)

    async def serve(self, accounts: Mapping[str, str]) -> None:
        """Have ``accounts`` of the geo, name to state, and restart the host if it has others."""
        if accounts == self.serving:
            return
        storage = self.stack.description.storage
        setting = {
            OTHER_GEO: storage[OTHER_GEO],
            GEO: [
                {"endpoint": storage[place], "state": accounts[account_name(place)]}
                for place in (GEO, f"{GEO}/2")
                if account_name(place) in accounts
            ],
        }
        await self.host.stop()
        self.host = await self.stack.start_host({"STORAGE_ACCOUNTS": json.dumps(setting)})
        self.client = await self.exit_stack.enter_async_context(Client(self.stack, self.host.url))
        self.serving = accounts

    async def begin(self, geo: str = GEO) -> Sharing:
        """Let a new tenant opt in; its enrollment belongs where the hash of its id says."""
        tenant = str(uuid.uuid4())
        answer = await self.client.opt_in(tenant, geo)
        assert answer.status == 200, answer
        enrollment = answer.body["enrollmentId"]
        usable = sorted(name for name, state in self.serving.items() if state == OPEN) if geo == GEO else [ELSEWHERE]
        spread = int.from_bytes(hashlib.sha256(enrollment.encode()).digest()[:8])
        each = Sharing(tenant, enrollment, usable[spread % len(usable)])
        self.sharing.append(each)
        return each

    def one_in(self, account: str) -> Sharing:
        return next(each for each in self.sharing if each.account == account)

    async def post(self, each: Sharing) -> Answer:
        captured_at = format_instant(await self.client.now())
        capture = {"capturedAt": captured_at, "feature": "f", "input": "i", "output": "o"}
        return await self.client.post(each.tenant, [capture])

    async def opt_out(self, each: Sharing) -> None:
        """Let a tenant go, and its deletion begin at the next purge."""
        self.sharing.remove(each)
        answer = await self.client.opt_out(each.tenant)
        assert (answer.status, answer.body["enabled"]) == (200, False)
        await deletion_of(self.client, each.tenant, each.enrollment)
        expedite = f"deletions/{each.enrollment}/expedite"
        assert (await self.client.as_admin("POST", each.tenant, expedite)).status == 202

    async def run(self, *timers: str) -> None:
        for timer in timers:
            assert await self.client.run(timer) == "completed"

    async def purge_twice(self) -> None:
        """Run the purge, and again when the second look at what it has emptied is due."""
        await self.run("purge")
        await self.client.move_to(await self.client.now() + SECOND_LOOK_DELAY + timedelta(seconds=1))
        await self.run("purge")

    async def stored(self) -> dict[str, dict[str, list[str]]]:
        """Return what storage itself says: the blobs of each container, by the account's name."""
        found: dict[str, dict[str, list[str]]] = {}
        for connection_string in self.stack.description.storage.values():
            async with BlobServiceClient.from_connection_string(connection_string) as storage:
                found[str(storage.account_name)] = {
                    container: [name async for name in storage.get_container_client(container).list_blob_names()]
                    for container in await containers_in(storage)
                }
        return found

    async def holding(self) -> dict[str, set[str]]:
        """Return the enrollments of which something is stored in each account."""
        return {account: {name[-32:] for name in found} for account, found in (await self.stored()).items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as exit_stack:
        stack = await exit_stack.enter_async_context(
            Stack(tmp_path_factory.mktemp("accounts"), (OTHER_GEO, GEO), settings=OFF, storage_on_disk=False)
        )
        client = await exit_stack.enter_async_context(Client(stack))
        deployment = Deployment(stack, stack.processes["host"], client, exit_stack)
        await deployment.run("purge")  # which makes the accounts this ledger's (D14)
        await asyncio.gather(*(deployment.begin() for _ in range(TENANTS)), deployment.begin(OTHER_GEO))
        answers = await asyncio.gather(*(deployment.post(each) for each in deployment.sharing))
        assert [answer.status for answer in answers] == [201] * (TENANTS + 1)
        yield deployment


def members_of(receipt: Mapping[str, Any]) -> dict[str, Any]:
    payload = receipt["jws"].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


async def verified(deployment: Deployment, each: Sharing) -> None:
    """See that a deletion is finished, nothing is stored, and the receipt names the account in which it was."""
    deletion = await deletion_of(deployment.client, each.tenant, each.enrollment)
    assert deletion["status"] == "verified"
    receipt = members_of(deletion["receipt"])
    assert (receipt["enrollmentId"], receipt["storageAccount"]) == (each.enrollment, each.account)
    assert not any(each.enrollment in holding for holding in (await deployment.holding()).values())


async def test_each_enrollment_lies_in_the_account_that_the_hash_of_its_id_says_and_nowhere_else(
    deployment: Deployment,
) -> None:
    await deployment.serve(BOTH_OPEN)
    expected: dict[str, set[str]] = {FIRST: set(), SECOND: set(), ELSEWHERE: set()}
    for each in deployment.sharing:
        expected[each.account].add(each.enrollment)
    assert all(expected.values()), "each account has some"
    assert await deployment.holding() == expected
    assert all(blobs for found in (await deployment.stored()).values() for blobs in found.values())


async def test_both_accounts_are_purged_and_swept_and_shown(deployment: Deployment) -> None:
    await deployment.serve(BOTH_OPEN)
    now = await deployment.client.now()
    expired, stray = f"0-{now - timedelta(days=40):%Y%m%d}-{'0' * 32}", f"f-{now:%Y%m%d}-{'f' * 32}"
    for place in (GEO, f"{GEO}/2"):
        for name in (expired, stray):
            await deployment.client.create_container(place, name)
    before = await deployment.holding()
    await deployment.run("purge", "sweep")
    assert await deployment.holding() == {account: held - {"0" * 32, "f" * 32} for account, held in before.items()}, (
        "what does not belong there is gone, and all else is there"
    )
    status = await deployment.client.status()
    assert {name: (each["geo"], each["state"]) for name, each in status["accounts"].items()} == {
        FIRST: (GEO, OPEN),
        SECOND: (GEO, OPEN),
        ELSEWHERE: (OTHER_GEO, OPEN),
    }
    for name in (FIRST, SECOND):
        purge, sweep = (status["accounts"][name][last] for last in ("lastPurge", "lastSweep"))
        assert (purge["outcome"], purge["counts"]["expiredContainers"]) == ("done", 1)
        assert (sweep["outcome"], sweep["counts"]["unknownEnrollment"]) == ("done", 1)
        assert status["accounts"][name]["oldestDay"] is not None
    assert status["findings"] == {"unknownEnrollment": 2}


async def test_an_account_that_is_closed_takes_nobody_new_and_keeps_its_promises_to_those_it_has(
    deployment: Deployment,
) -> None:
    await deployment.serve({FIRST: CLOSED, SECOND: OPEN})
    stays, goes = [each for each in deployment.sharing if each.account == FIRST][:2]
    before = await deployment.stored()
    arriving = await asyncio.gather(*(deployment.begin() for _ in range(8)))
    for each in (*arriving, stays):
        assert (await deployment.post(each)).status == 201
    after = await deployment.stored()
    assert after[FIRST].keys() == before[FIRST].keys(), "nobody new"
    grown = {name for name, blobs in after[FIRST].items() if len(blobs) == len(before[FIRST][name]) + 1}
    assert {name[-32:] for name in grown} == {stays.enrollment}, "who is there goes on sharing there"
    assert {each.enrollment for each in arriving} <= (await deployment.holding())[SECOND]

    await deployment.opt_out(goes)
    await deployment.purge_twice()
    await verified(deployment, goes)
    await deployment.run("sweep")
    status = await deployment.client.status()
    assert status["accounts"][FIRST]["state"] == CLOSED
    assert status["accounts"][FIRST]["lastSweep"]["outcome"] == "done"
    assert stays.enrollment in (await deployment.holding())[FIRST]


async def test_a_geo_whose_accounts_are_all_closed_takes_nobody_new(deployment: Deployment) -> None:
    await deployment.serve({FIRST: CLOSED, SECOND: CLOSED})
    tenant = str(uuid.uuid4())
    refused = await deployment.client.opt_in(tenant, GEO)
    assert (refused.status, refused.problem) == (421, "geo-not-served")
    history = await deployment.client.as_admin("GET", tenant, "data-sharing/history")
    assert history.body["value"] == []
    for name in (FIRST, SECOND):
        assert (await deployment.post(deployment.one_in(name))).status == 201
    await deployment.begin(OTHER_GEO)
    assert (await deployment.client.call("GET", "health")).status == 200


def unavailable(answer: Answer) -> bool:
    return (answer.status, answer.problem) == (503, "unavailable")


async def test_an_account_that_is_taken_out_while_it_holds_data_stops_all_sharing_until_it_is_put_back(
    deployment: Deployment,
) -> None:
    await deployment.serve({FIRST: CLOSED, SECOND: CLOSED})
    await deployment.run("purge", "sweep")
    goes, goes_elsewhere = deployment.one_in(FIRST), deployment.one_in(SECOND)
    tenant = str(uuid.uuid4())
    await deployment.serve({SECOND: OPEN})
    before = await deployment.stored()

    health = await deployment.client.call("GET", "health")
    assert (health.status, health.body) == (503, {"status": "not ready"})
    for geo in (GEO, OTHER_GEO):
        assert unavailable(await deployment.client.opt_in(tenant, geo))
    for name in (FIRST, SECOND, ELSEWHERE):
        each = deployment.one_in(name)
        assert unavailable(await deployment.post(each))
        exported = span(await deployment.client.now(), 1, {**chat("?"), "microsoft.tenant.id": each.tenant})
        assert (await deployment.client.export([exported])).status == 503
    assert await deployment.stored() == before
    assert (await deployment.client.as_admin("GET", tenant, "data-sharing/history")).body["value"] == []

    await asyncio.gather(deployment.opt_out(goes), deployment.opt_out(goes_elsewhere))
    await deployment.purge_twice()
    await deployment.run("sweep")
    await verified(deployment, goes_elsewhere)
    left = await deletion_of(deployment.client, goes.tenant, goes.enrollment)
    assert left["status"] == "scheduled"
    assert (await deployment.stored())[FIRST] == before[FIRST], "nobody comes there"
    status = await deployment.client.status()
    assert status["accounts"].keys() == {SECOND, ELSEWHERE}
    assert all(each["lastSweep"]["outcome"] == "done" for each in status["accounts"].values())
    why = [f"{FIRST}: it is configured no more, and not empty"]
    assert status["reasons"] == dict.fromkeys(("P4", "P5", "P9"), why)

    await deployment.serve(BOTH_OPEN)
    assert (await deployment.client.call("GET", "health")).body == {"status": "ready"}
    assert (await deployment.post(deployment.one_in(FIRST))).status == 201
    await deployment.begin()
    await deployment.purge_twice()
    await deployment.run("sweep")
    await verified(deployment, goes)
    status = await deployment.client.status()
    assert status["holds"] is True, status["reasons"]


async def test_an_account_that_a_sweep_has_seen_empty_can_be_taken_out(deployment: Deployment) -> None:
    await deployment.serve({FIRST: CLOSED, SECOND: OPEN})
    leaving = [each for each in deployment.sharing if each.account == FIRST]
    await asyncio.gather(*(deployment.opt_out(each) for each in leaving))
    await deployment.purge_twice()
    assert (await deployment.stored())[FIRST] == {}
    await deployment.run("sweep")
    await deployment.serve({SECOND: OPEN})
    assert (await deployment.client.call("GET", "health")).body == {"status": "ready"}
    each = await deployment.begin()
    assert (await deployment.post(each)).status == 201
    assert each.enrollment in (await deployment.holding())[SECOND]
    await deployment.run("purge", "sweep")
    status = await deployment.client.status()
    assert status["accounts"].keys() == {SECOND, ELSEWHERE}
    assert status["holds"] is True, status["reasons"]
    await verified(deployment, leaving[0])
