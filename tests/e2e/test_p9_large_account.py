"""P9 with 100,000 containers in one account: the sweep's memory is bounded, and it makes no request per container."""

import asyncio
import bisect
import json
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest_asyncio
from aiohttp import web

from local.azurite import connection_string
from local.ports import free_ports
from local.process import ROOT
from shared.model.containers import DayContainer
from tests.clocks import START

CONTAINERS = 100_000
DAYS = 25
KEY = "a2V5"


class ListingAccount:
    """Answers List Containers and Delete Container as the Blob service does; Azurite would take minutes to fill."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.requests: Counter[str] = Counter()
        self.port = free_ports(1)[0]

    async def serve(self) -> AsyncIterator["ListingAccount"]:
        app = web.Application()
        app.router.add_get("/st/", self._list)
        app.router.add_delete("/st/{container}", self._delete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        yield self
        await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        assert request.query["comp"] == "list"
        self.requests["list"] += 1
        prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
        begin = bisect.bisect_left(self.names, max(prefix, marker))
        page = []
        for name in self.names[begin : begin + int(request.query.get("maxresults", 5000)) + 1]:
            if not name.startswith(prefix):
                break
            page.append(name)
        following = page.pop() if len(page) > int(request.query.get("maxresults", 5000)) else ""
        containers = "".join(
            f"<Container><Name>{name}</Name><Properties><Last-Modified>Sat, 21 Nov 2026 12:00:00 GMT</Last-Modified>"
            '<Etag>"0x8D"</Etag><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>'
            "</Properties></Container>"
            for name in page
        )
        answer = (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/st/">'
            f"<Containers>{containers}</Containers><NextMarker>{following}</NextMarker></EnumerationResults>"
        )
        return web.Response(text=answer, content_type="application/xml")

    async def _delete(self, request: web.Request) -> web.Response:
        self.requests["delete"] += 1
        self.names.remove(request.match_info["container"])
        return web.Response(status=202)


@pytest_asyncio.fixture
async def account() -> AsyncIterator[ListingAccount]:
    async for account in ListingAccount().serve():
        yield account


async def test_a_sweep_of_100_000_containers_stays_under_200_mb_and_asks_for_none_of_them(
    account: ListingAccount,
) -> None:
    enrollments = [uuid.uuid5(uuid.NAMESPACE_OID, str(n)).hex for n in range(CONTAINERS // DAYS)]
    days = [START.date() - timedelta(days=n) for n in range(DAYS)]
    strays = [DayContainer(uuid.uuid5(uuid.NAMESPACE_URL, str(n)).hex, days[n]).name for n in range(3)]
    mine = [DayContainer(enrollment_id, day).name for enrollment_id in enrollments for day in days]
    others = [f"deployment-{'d' * 32}", "somebody-elses"]
    account.names = sorted([*mine, *strays, *others])
    setting = connection_string(account="st", key=KEY, port=account.port)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.sweep_large", setting, str(DAYS + 1)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate("\n".join(enrollments).encode()), 1800)
    told = json.loads(output)
    assert told["outcome"] == "done"
    assert told["counts"] == {
        "containers": CONTAINERS + 4,
        "foreignContainers": 1,
        "strangers": 3,
        "unknownEnrollment": 3,
    }
    assert account.names == sorted([*mine, *others])
    assert told["peakBytes"] < 200_000_000
    # Pages of 5,000: whose it is, all names once, and again the day of each stray in its shard.
    assert account.requests == {"list": 1 + 21 + len(strays), "delete": 3}
