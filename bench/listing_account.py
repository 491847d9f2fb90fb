"""``python -m bench.listing_account --port P --containers N --due N``: a storage account of containers alone.

It lists and deletes them as the Blob service does, by index; Azurite would take minutes to fill, and looks at all of
its containers for each page of a listing. ``GET /requests`` tells how many requests came.
"""

import argparse
import asyncio
import bisect
import uuid
from datetime import UTC, datetime, timedelta

from aiohttp import web

from local.lifetime import until_stopped
from shared.model import deadlines
from shared.model.containers import DEPLOYMENT_PREFIX, DayContainer

ACCOUNT = "stretention"
_LIVE_DAYS = 28


class ListingAccount:
    """The containers' names, and what was asked."""

    def __init__(self, names: list[str]) -> None:
        """Hold containers of these names, which must be sorted."""
        self._names = names
        self._requests = 0

    def application(self) -> web.Application:
        """Return what answers."""
        application = web.Application()
        application.router.add_get("/requests", self._tell)
        application.router.add_get(f"/{ACCOUNT}/", self._list)
        application.router.add_put(f"/{ACCOUNT}/{{container}}", self._create)
        application.router.add_delete(f"/{ACCOUNT}/{{container}}", self._delete)
        return application

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "requests": self._requests,
                "containers": sum(not name.startswith(DEPLOYMENT_PREFIX) for name in self._names),
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

    async def _create(self, request: web.Request) -> web.Response:
        """Take the container that says whose the account is; it is not one of those that are counted."""
        bisect.insort(self._names, request.match_info["container"])
        return web.Response(status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self._requests += 1
        name = request.match_info["container"]
        place = bisect.bisect_left(self._names, name)
        if self._names[place : place + 1] != [name]:
            return web.Response(status=404, headers={"x-ms-error-code": "ContainerNotFound"})
        del self._names[place]
        return web.Response(status=202)


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
    """Return the names of so many containers, sorted, of which ``due`` are of the newest expired day."""
    now = datetime.now(UTC)
    expired = deadlines.newest_expired_day(now, deadlines.RETENTION_DAYS_MAX)
    days = [expired if n < due else now.date() - timedelta(days=n % _LIVE_DAYS) for n in range(containers)]
    return sorted(DayContainer(uuid.uuid5(uuid.NAMESPACE_OID, str(n)).hex, day).name for n, day in enumerate(days))


async def _serve(port: int, containers: int, due: int) -> None:
    runner = web.AppRunner(ListingAccount(names(containers, due)).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await until_stopped(exit_with_stdin=True)
    await runner.cleanup()


def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m bench.listing_account", description=__doc__)
    for name in ("--port", "--containers", "--due"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.containers, arguments.due))


if __name__ == "__main__":
    main()
