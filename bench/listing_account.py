"""``python -m bench.listing_account --port P --deployment ID ...``: a storage account of names alone.

It lists and deletes containers as the Blob service does: a page of a listing by index, and a container in constant
time, whatever is in it. Azurite would take minutes to fill, looks at all of its containers for each page of a listing,
and removes the records of a container's blobs one by one. Blobs can be put, and are only counted. ``GET /requests``
tells how many requests came, and what is left.
"""

import argparse
import asyncio
import bisect
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from bench.scenario import GEO
from local.azurite import account_name, connection_string
from local.lifetime import until_stopped
from local.ports import free_ports
from local.process import Process
from shared.model import deadlines
from shared.model.containers import DEPLOYMENT_PREFIX, DayContainer, deployment_container

ACCOUNT = account_name(GEO)
"""As in a stack, so that it can stand for that one."""

_KEY = "a2V5"  # nobody looks at signatures
_LIVE_DAYS = 28
_BLOB_DAYS = 30


class ListingAccount:
    """The containers' names, how many blobs each has, and what was asked."""

    def __init__(self, names: list[str], blobs: Counter[str]) -> None:
        """Hold containers of these names, which must be sorted."""
        self._names = names
        self._blobs = blobs
        self._requests = 0

    def application(self) -> web.Application:
        """Return what answers."""
        application = web.Application()
        application.router.add_get("/requests", self._tell)
        application.router.add_get(f"/{ACCOUNT}/", self._list)
        application.router.add_delete(f"/{ACCOUNT}/{{container}}", self._delete)
        application.router.add_put(f"/{ACCOUNT}/{{container}}/{{blob:.*}}", self._put)
        return application

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "requests": self._requests,
                "containers": sum(not name.startswith(DEPLOYMENT_PREFIX) for name in self._names),
                "blobs": self._blobs.total(),
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        self._requests += 1
        prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
        begin = bisect.bisect_left(self._names, max(prefix, marker))
        end = bisect.bisect_left(self._names, prefix + "\x7f", begin)
        last = min(end, begin + int(request.query.get("maxresults", "5000")))
        return web.Response(
            text=_listing(self._names[begin:last], self._names[last] if last < end else ""),
            content_type="application/xml",
        )

    async def _delete(self, request: web.Request) -> web.Response:
        self._requests += 1
        name = request.match_info["container"]
        place = bisect.bisect_left(self._names, name)
        if self._names[place : place + 1] != [name]:
            return web.Response(status=404, headers={"x-ms-error-code": "ContainerNotFound"})
        del self._names[place]
        self._blobs.pop(name, None)
        return web.Response(status=202)

    async def _put(self, request: web.Request) -> web.Response:
        """Take a blob, whether its container is there or not."""
        self._requests += 1
        await request.read()
        self._blobs[request.match_info["container"]] += 1
        return web.Response(status=201)


def _listing(names: list[str], following: str) -> str:
    containers = "".join(
        f"<Container><Name>{name}</Name><Properties><Last-Modified>Sat, 21 Nov 2026 12:00:00 GMT</Last-Modified>"
        '<Etag>"0x8D"</Etag><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>'
        "</Properties></Container>"
        for name in names
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/">'
        f"<Containers>{containers}</Containers><NextMarker>{following}</NextMarker></EnumerationResults>"
    )


def names(containers: int, due: int) -> list[str]:
    """Return the names of so many containers, of which ``due`` are of the newest expired day."""
    now = datetime.now(UTC)
    expired = deadlines.newest_expired_day(now, deadlines.RETENTION_DAYS_MAX)
    days = [expired if n < due else now.date() - timedelta(days=n % _LIVE_DAYS) for n in range(containers)]
    return [DayContainer(uuid.uuid5(uuid.NAMESPACE_OID, str(n)).hex, day).name for n, day in enumerate(days)]


def blobs_of(enrollment_id: str, blobs: int) -> Counter[str]:
    """Return how many blobs lie in each of an enrollment's containers of the last days, evenly."""
    today = datetime.now(UTC).date()
    days = [DayContainer(enrollment_id, today - timedelta(days=n)).name for n in range(_BLOB_DAYS)]
    return Counter({name: blobs // _BLOB_DAYS + (n < blobs % _BLOB_DAYS) for n, name in enumerate(days)})


@asynccontextmanager
async def running(directory: Path, **filled: int | str) -> AsyncIterator[Process]:
    """Run such an account, filled as the command line says, with its log in ``directory``."""
    [port] = free_ports(1)
    arguments = [f"--{name}={value}" for name, value in {"port": port, **filled}.items()]
    account = Process(
        "listing account",
        [sys.executable, "-m", "bench.listing_account", *arguments],
        port=port,
        log=directory / "listing-account.log",
        environment={},
        ready="/requests",
        ready_status=200,
    )
    await account.start()
    try:
        yield account
    finally:
        await account.stop()


def connection(account: Process) -> str:
    """Return the account's connection string."""
    return connection_string(account=ACCOUNT, key=_KEY, port=int(account.url.rpartition(":")[2]))


async def _serve(port: int, names: list[str], blobs: Counter[str]) -> None:
    application = ListingAccount(names, blobs).application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await until_stopped(exit_with_stdin=True)
    await runner.cleanup()


def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m bench.listing_account", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--deployment", required=True, help="whose the account is")
    parser.add_argument("--containers", type=int, default=0, help="how many, of an enrollment each")
    parser.add_argument("--due", type=int, default=0, help="how many of them retention is to delete")
    parser.add_argument("--enrollment", help="whose the blobs are")
    parser.add_argument("--blobs", type=int, default=0, help="how many, in containers of the last days")
    told = parser.parse_args()
    blobs = blobs_of(told.enrollment, told.blobs) if told.enrollment else Counter[str]()
    containers = [*names(told.containers, told.due), *blobs, deployment_container(told.deployment)]
    asyncio.run(_serve(told.port, sorted(containers), blobs))


if __name__ == "__main__":
    main()
