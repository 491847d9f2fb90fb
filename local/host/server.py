"""The host itself: one port on 127.0.0.1, the listeners behind it, and their orderly end."""

import socket
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from local.host.admin import Admin
from local.host.change_feed import FeedListener
from local.host.clock import MovableClock
from local.host.cors import Cors
from local.host.functions import FeedTrigger, Function, TimerTrigger
from local.host.http import BODY_LIMIT_BYTES, HttpFunctions
from local.host.invocation import Invoker
from local.host.stopping import Stopping
from local.host.timers import TimerListener

# Kestrel's limit: a token with many claims is longer than aiohttp's 8 KiB.
_HEADER_LIMIT_BYTES = 32 * 1024


class Host:
    """A running set of functions."""

    def __init__(
        self,
        functions: Sequence[Function],
        clock: MovableClock,
        directory: Path,
        port: int,
        allowed_origins: str = "",
    ) -> None:
        """Prepare ``functions`` (in name order), with the host's state in ``directory`` (must exist).

        Two hosts may share ``directory``; ``port`` tells them apart. Pages of ``allowed_origins``, with a comma between
        them, may call.
        """
        self._cors = Cors(allowed_origins)
        self._stopping = Stopping()
        self._invoker = Invoker(self._stopping)
        self._port = port
        # A port has one living owner on a machine, so a host that was killed and started again knows its leases.
        owner = f"{socket.gethostname()}:{port}"
        timers: dict[str, TimerListener] = {}
        feeds: list[FeedListener] = []
        for function in functions:
            match function.trigger:
                case TimerTrigger() as timer:
                    timers[function.name.lower()] = TimerListener(
                        function, timer, clock, directory=directory, invoker=self._invoker, stopping=self._stopping
                    )
                case FeedTrigger() as feed if not function.disabled:
                    feeds.append(FeedListener(function, feed, owner, self._invoker, self._stopping))
        self._listeners: list[TimerListener | FeedListener] = [*timers.values(), *feeds]
        self._http = HttpFunctions([each for each in functions if not each.disabled], self._invoker)
        self._admin = Admin({each.name.lower(): each for each in functions}, timers, clock, self._invoker)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on 127.0.0.1 and start the triggers; raises ``OSError`` if the port is taken."""
        application = web.Application(client_max_size=BODY_LIMIT_BYTES)
        application.router.add_route("*", "/{path:(?s:.*)}", self._answer)  # a path may hold a line feed
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=1.0,
            max_field_size=_HEADER_LIMIT_BYTES,
            auto_decompress=False,  # nor does the platform undo a Content-Encoding
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        for listener in self._listeners:
            self._invoker.start(listener.listen())

    async def stop(self, seconds: float = 10.0) -> bool:
        """Take no more work, give what is running ``seconds`` to end, and return whether all of it did."""
        self._stopping.set()
        for site in list(self._runner.sites) if self._runner else ():
            await site.stop()
        ended = await self._invoker.drain(seconds)
        if self._runner is not None:
            await self._runner.cleanup()
        return ended

    async def _answer(self, request: web.Request) -> web.Response:
        if self._stopping.is_set():
            return web.Response(status=503)
        if request.path == "/":
            return web.Response(status=204)
        if request.path.partition("/")[2].partition("/")[0].lower() == "admin":
            return await self._admin.answer(request)
        return await self._cors.answer(request, self._http.answer)
