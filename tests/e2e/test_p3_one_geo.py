"""P3 on the real stack: a host that serves one geo sends callers of another elsewhere, and leaves its account alone."""

import json
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import pytest_asyncio

from local.client import Client
from local.ports import free_ports
from local.process import Process
from local.stack import Stack
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("opt_outs", "purge", "sweep", "metrics")}


@dataclass
class Stamps:
    """``both`` serves europe and unitedstates, ``one`` europe alone; both have the same ledger."""

    both: Client
    one: Client
    endpoint: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stamps(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stamps]:
    directory = tmp_path_factory.mktemp("stamps")
    async with Stack(directory, ("europe", "unitedstates"), settings=OFF) as stack:
        both = stack.description.host
        assert both is not None
        [port] = free_ports(1)
        host = Process(
            "one",
            [
                *(sys.executable, "-m", "local.host", "--port", str(port)),
                *("--directory", str(directory / "one"), "--exit-with-stdin"),
            ],
            port=port,
            log=directory / "logs" / "one.log",
            environment={
                **stack.app_settings,
                "STORAGE_ACCOUNTS": json.dumps({"europe": stack.description.storage["europe"]}),
                "GEO_ENDPOINTS": json.dumps({"unitedstates": f"{both}/"}),
            },
            ready="/admin/host/status",
            ready_status=200,
        )
        await host.start()
        try:
            async with Client(stack) as first, Client(stack, host.url) as second:
                yield Stamps(first, second, both)
        finally:
            await host.stop()


async def test_a_capture_for_a_geo_that_is_served_elsewhere_gets_the_address_and_stores_nothing(
    stamps: Stamps,
) -> None:
    tenant = str(uuid.uuid4())
    assert (await stamps.both.opt_in(tenant, "unitedstates")).status == 200
    before = await stamps.both.all_containers()
    capture = {"capturedAt": format_instant(await stamps.one.now()), "feature": "f", "input": "i", "output": "o"}
    refused = await stamps.one.post(tenant, [capture], key="the-same")
    assert (refused.status, refused.problem) == (421, "geo-not-served")
    assert refused.body["endpoint"] == stamps.endpoint
    assert stamps.endpoint in refused.body["detail"]
    assert await stamps.both.all_containers() == before
    stored = await stamps.both.post(tenant, [capture], key="the-same")
    assert stored.status == 201, "what was refused here is taken there"


async def test_an_opt_in_to_a_geo_that_is_served_elsewhere_gets_the_address(stamps: Stamps) -> None:
    tenant = str(uuid.uuid4())
    refused = await stamps.one.opt_in(tenant, "unitedstates")
    assert (refused.status, refused.body["endpoint"]) == (421, stamps.endpoint)
    unknown = await stamps.one.opt_in(tenant, "japan")
    assert unknown.status == 421 and "endpoint" not in unknown.body
    assert (await stamps.one.opt_in(tenant, "europe")).status == 200


async def test_purge_and_sweep_leave_the_other_account_alone(stamps: Stamps) -> None:
    assert (await stamps.both.opt_in(str(uuid.uuid4()), "europe")).status == 200
    assert await stamps.both.run("purge") == "completed"  # which makes the new accounts this ledger's (D14)
    now = await stamps.one.now()
    expired, stray = f"0-{now - timedelta(days=40):%Y%m%d}-{'0' * 32}", f"f-{now:%Y%m%d}-{'f' * 32}"
    for geo in ("europe", "unitedstates"):
        for name in (expired, stray):
            await stamps.both.create_container(geo, name)
    for timer in ("purge", "sweep"):
        assert await stamps.one.run(timer) == "completed"
    found = await stamps.both.all_containers()
    assert not {expired, stray} & set(found["europe"])
    assert {expired, stray} <= set(found["unitedstates"])
    status = await stamps.one.status()
    assert status["accounts"].keys() == {"steurope"}
    for timer in ("purge", "sweep"):
        assert await stamps.both.run(timer) == "completed"
    assert not {expired, stray} & set(await stamps.both.containers("unitedstates")), "who serves it deletes them"
