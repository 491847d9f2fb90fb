"""Counts requests on their way to a store, without a change to who sends or answers them."""

from collections import Counter
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from local.ports import free_ports

_HOP = ("Transfer-Encoding", "Connection", "Keep-Alive", "Content-Length")
_BODY_LIMIT_BYTES = 64 * 1024 * 1024


class CountingProxy:
    """Passes requests on to ``target``, as an async context manager.

    Attributes:
        url: ``http://127.0.0.1:PORT``, without a slash at the end.
        requests: how many came.
        operations: how many Azure would have counted: each request, and each request inside a batch.
        reads: how many were point reads, by the item's id (Cosmos DB).
    """

    def __init__(self, target: str, *, acknowledge_batches: bool = False) -> None:
        """Describe the proxy.

        Args:
            target: ``http://127.0.0.1:PORT``, without a slash at the end.
            acknowledge_batches: answer a batch of blob deletes as if they had been carried out.
        """
        self.requests = 0
        self.operations = 0
        self.reads: Counter[str] = Counter()
        self._target = target
        self._acknowledge = acknowledge_batches
        self._port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        application = web.Application(client_max_size=_BODY_LIMIT_BYTES)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        is_batch = request.query.get("comp") == "batch"
        inside = body.count(b"\nDELETE ") if is_batch else 0
        self.requests += 1
        self.operations += 1 + inside
        path = request.path.strip("/").split("/")
        if request.method == "GET" and path[-2:-1] == ["docs"]:
            self.reads[path[-1]] += 1
        return _acknowledged(inside) if is_batch and self._acknowledge else await self._passed_on(request, body)

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        url = URL(self._target + request.raw_path, encoded=True)
        # No type that did not come: it would belong to what is signed.
        async with self._session.request(
            request.method,
            url,
            headers=_passed(request.headers),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            return web.Response(
                status=response.status, headers=_passed(response.headers), body=await response.read() or None
            )


def _passed(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    passed = CIMultiDict(headers)
    for name in _HOP:
        passed.popall(name, None)
    return passed


def _acknowledged(count: int) -> web.Response:
    part = (
        "--batchresponse_bench\r\nContent-Type: application/http\r\nContent-ID: {}\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n"
    )
    text = "".join(part.format(n) for n in range(count)) + "--batchresponse_bench--\r\n"
    return web.Response(
        status=202, body=text.encode(), headers={"Content-Type": "multipart/mixed; boundary=batchresponse_bench"}
    )
