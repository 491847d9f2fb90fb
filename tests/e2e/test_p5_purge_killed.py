"""P5 and P9: the purge killed with SIGKILL between any two of its storage calls, and started again."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from local.ports import free_ports
from local.stack import Stack
from shared.bootstrap import Services, connect
from shared.configuration import Configuration
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut
from tests.changes import opting_in, opting_out
from tests.clocks import ManualClock
from tests.e2e.purge_once import start_purge
from tests.world import capture, submission

pytestmark = pytest.mark.asyncio(loop_scope="session")

GEO = "unitedkingdom"
DAYS = 3
START = datetime(2031, 3, 1, 12, tzinfo=UTC)


class KillingProxy:
    """Passes calls on to a storage account, and ends their sender before or after the ``at``-th of them."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.port = free_ports(1)[0]
        self.calls = 0
        self.at: int | None = None
        self.after = False
        self.victim: ForkServerProcess | None = None
        self.killed = False

    async def serve(self) -> AsyncIterator["KillingProxy"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            yield self
        await runner.cleanup()

    def arm(self, at: int, *, after: bool) -> None:
        self.calls, self.at, self.after, self.killed = 0, at, after, False

    async def _pass_on(self, request: web.Request) -> web.Response:
        self.calls += 1
        call = self.calls
        if call == self.at and not self.after:
            self._kill()
        if self.killed:
            return web.Response(status=500)
        url = self._upstream + request.raw_path
        async with self._session.request(
            request.method,
            aiohttp.client.URL(url, encoded=True),
            headers=request.headers,
            data=await request.read(),
            skip_auto_headers=("Content-Type",),  # it is signed, and may be absent
        ) as answer:
            content = await answer.read()
            if call == self.at:
                self._kill()
            headers = {
                k: v for k, v in answer.headers.items() if k.lower() not in {"transfer-encoding", "content-length"}
            }
            return web.Response(status=answer.status, body=content, headers=headers)

    def _kill(self) -> None:
        assert self.victim is not None
        self.victim.kill()
        self.killed = True


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack without a host, whose own timers would live at another time than this test."""
    async with Stack(tmp_path_factory.mktemp("purge-killed"), (GEO,), with_host=False) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(stack: Stack) -> AsyncIterator[KillingProxy]:
    async for proxy in KillingProxy(stack.processes[f"storage-{GEO}"].url).serve():
        yield proxy


async def owed(services: Services, clock: ManualClock) -> Deletion:
    """Let a tenant share data for some days and opt out, and return the deletion that is due now."""
    tenant = str(uuid.uuid4())
    await services.data_sharing.put(tenant, opting_in(GEO))
    for n in range(DAYS):
        await services.captures.submit(tenant, submission(capture(clock.now()), key=f"key-{n}"))
        clock.move(timedelta(days=1))
    await services.data_sharing.put(tenant, opting_out())
    [event] = (await services.data_sharing.history(tenant, limit=1, before=None)).values
    assert isinstance(event, OptedOut)
    await services.deletions.schedule([event])
    await services.deletions.expedite(tenant, event.enrollment_id, now=clock.now())
    return await services.deletions.get(tenant, event.enrollment_id)


async def purge_in_a_process(settings: dict[str, str], now: datetime, proxy: KillingProxy) -> int:
    proxy.victim = await asyncio.to_thread(start_purge, settings, now)
    await asyncio.to_thread(proxy.victim.join, 600)
    assert proxy.victim.exitcode is not None, "it neither ends nor is killed"
    return proxy.victim.exitcode


async def test_a_purge_killed_at_any_storage_call_finishes_with_the_same_deadline_and_one_receipt(
    stack: Stack, proxy: KillingProxy
) -> None:
    clock = ManualClock(START, jumping=True)
    through_proxy = dict(stack.app_settings)
    accounts = json.loads(through_proxy["STORAGE_ACCOUNTS"])
    direct = connect(Configuration.read({**through_proxy, "STORAGE_ACCOUNTS": json.dumps({GEO: accounts[GEO]})}), clock)
    upstream = stack.processes[f"storage-{GEO}"].url
    accounts = {GEO: accounts[GEO].replace(upstream, f"http://127.0.0.1:{proxy.port}")}
    through_proxy["STORAGE_ACCOUNTS"] = json.dumps(accounts)

    async def containers(deletion: Deletion) -> list[str]:
        store: Any = next(iter(direct.accounts)).store
        listed = [each.name async for each in store.list_containers(deletion.enrollment_id[0] + "-")]
        return [name for name in listed if name.endswith(deletion.enrollment_id)]

    killed_at = set()
    call, finished = 0, False
    while not finished:
        call += 1
        # Both looks are killed: the first at an odd call's start or an even call's end, the second the other way round.
        deletion = await owed(direct, clock)
        assert len(await containers(deletion)) == DAYS
        finished = True
        for look in range(2):
            proxy.arm(call, after=(call + look) % 2 == 0)
            code = await purge_in_a_process(through_proxy, clock.now(), proxy)
            if proxy.killed:
                assert code != 0
                killed_at.add((look, call))
                finished = False
            await direct.purge.run()
            clock.move(timedelta(minutes=5))
        await direct.purge.run()
        done = await direct.deletions.get(deletion.tenant_id, deletion.enrollment_id)
        assert await containers(deletion) == []
        assert (done.status, done.deadline) == ("verified", deletion.deadline)
        assert done.receipt is not None
        receipt = done.receipt
        await direct.purge.run()
        assert (await direct.deletions.get(deletion.tenant_id, deletion.enrollment_id)).receipt == receipt
    # Retention lists 16 shards; the first look deletes each day; the second lists a shard and asks for each day.
    assert {call for look, call in killed_at if look == 0} >= set(range(1, 16 + DAYS + 1))
    for close in direct.closers:
        await close()
