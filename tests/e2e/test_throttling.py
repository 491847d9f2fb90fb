"""Stores that ask for fewer requests: 503 with what they asked for, and nothing is stored twice when it is repeated."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bench.proxy import CountingProxy
from local.client import Answer, Client
from local.stack import Stack
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOBS = ("purge", "sweep", "opt_outs", "make_exports", "metrics")
TIMERS_OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in JOBS}
"""The other host's are enough."""


class BusyProxy(CountingProxy):
    """Before a store: answers as it does at its limits, or passes on.

    Attributes:
        busy: what it answers instead: status, code and headers; None to pass on.
        lost: whether what comes is carried out all the same, and only its answer is that.
        refused: how many requests it has answered itself.
    """

    busy: tuple[int, str, dict[str, str]] | None = None
    lost = False
    refused = 0

    async def _answer(self, request: web.Request) -> web.Response:
        asked = "/docs" in request.path or request.method == "PUT"
        if self.busy is None or not asked:
            return await super()._answer(request)
        if self.lost:
            await super()._answer(request)
        self.refused += 1
        status, code, headers = self.busy
        if request.path.startswith("/dbs"):
            return web.json_response(
                {"code": code, "message": "Request rate is large."}, status=status, headers=headers
            )
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Over the account limit.</Message></Error>"
        return web.Response(
            status=status, text=body, content_type="application/xml", headers={"x-ms-error-code": code, **headers}
        )


@dataclass
class Busy:
    """A host whose Cosmos DB and storage of Europe are behind proxies."""

    client: Client
    cosmos: BusyProxy
    storage: BusyProxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def busy(stack: Stack, client: Client) -> AsyncIterator[Busy]:
    account = stack.description.cosmos
    storage = json.loads(stack.app_settings["STORAGE_ACCOUNTS"])
    async with (
        BusyProxy(account.endpoint.rstrip("/")) as to_cosmos,
        BusyProxy(stack.processes["storage-europe"].url) as to_storage,
    ):
        there = stack.processes["storage-europe"].url
        settings = {
            **TIMERS_OFF,
            "COSMOS_CONNECTION": f"AccountEndpoint={to_cosmos.url}/;AccountKey={account.key};",
            "STORAGE_ACCOUNTS": json.dumps({**storage, "europe": storage["europe"].replace(there, to_storage.url)}),
        }
        host = await stack.start_host(settings)
        async with Client(stack, host.url) as through:
            await through.move_to(await client.now())
            yield Busy(through, to_cosmos, to_storage)
        await host.stop()


@pytest.fixture(autouse=True)
def calm(busy: Busy) -> None:
    for proxy in (busy.cosmos, busy.storage):
        proxy.busy, proxy.lost, proxy.refused = None, False, 0


async def batch(client: Client) -> list[dict[str, Any]]:
    return [{"capturedAt": format_instant(await client.now()), "feature": "f", "input": "i", "output": "o"}]


def told(answer: Answer) -> tuple[int, str | None, str | None]:
    return answer.status, answer.problem, answer.headers.get("retry-after")


async def test_storage_at_its_limits_is_told_with_its_own_wait_and_a_repeat_is_stored_once(
    busy: Busy, tenant: str
) -> None:
    client = busy.client
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    captures = await batch(client)
    busy.storage.busy = (503, "ServerBusy", {"Retry-After": "23"})
    assert told(await client.post(tenant, captures, key="k1")) == (503, "unavailable", "23")
    assert busy.storage.refused == 1, "it is not asked again before it says"
    busy.storage.busy = None
    assert (await client.post(tenant, captures, key="k1")).status == 201
    assert (await client.post(tenant, captures, key="k1")).status == 200
    assert len(await client.batches("europe", enrollment_id)) == 1


async def test_what_was_stored_although_storage_refused_is_not_stored_again(busy: Busy, tenant: str) -> None:
    client = busy.client
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    assert (await client.post(tenant, await batch(client), key="k0")).status == 201
    captures = await batch(client)
    busy.storage.busy, busy.storage.lost = (500, "OperationTimedOut", {"x-ms-retry-after-ms": "16200"}), True
    assert told(await client.post(tenant, captures, key="k1")) == (503, "unavailable", "17")
    busy.storage.busy = None
    assert (await client.post(tenant, captures, key="k1")).status == 200
    assert len(await client.batches("europe", enrollment_id)) == 2


async def test_cosmos_db_at_its_limits_is_told_with_its_own_wait_and_lets_nothing_in(busy: Busy, tenant: str) -> None:
    client = busy.client
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    captures = await batch(client)
    assert (await client.post(tenant, await batch(client), key="k0")).status == 201
    await asyncio.sleep(2.1)  # what was leased has expired
    busy.cosmos.busy = (429, "429", {"x-ms-retry-after-ms": "6001", "x-ms-substatus": "3200"})
    assert told(await client.post(tenant, captures, key="k1")) == (503, "unavailable", "7")
    assert told(await client.opt_out(tenant)) == (503, "unavailable", "7")
    assert told(await client.as_admin("GET", tenant, "data-sharing")) == (503, "unavailable", "7")
    busy.cosmos.busy = (429, "429", {"x-ms-retry-after-ms": "at ease"})
    assert told(await client.as_admin("GET", tenant, "data-sharing")) == (503, "unavailable", "5")
    busy.cosmos.busy = None
    assert (await client.post(tenant, captures, key="k1")).status == 201
    assert len(await client.batches("europe", enrollment_id)) == 2
