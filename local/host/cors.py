"""Cross-origin requests, answered by the host as the platform does where ``siteConfig.cors`` names origins."""

from collections.abc import Awaitable, Callable

from aiohttp import web

Answering = Callable[[web.Request], Awaitable[web.Response]]


class Cors:
    """The origins whose pages may call; a function never sees a preflight of theirs."""

    def __init__(self, allowed_origins: str) -> None:
        """Take the origins, with a comma between them; none allows none."""
        self._origins = frozenset(origin.strip() for origin in allowed_origins.split(",") if origin.strip())

    async def answer(self, request: web.Request, answering: Answering) -> web.Response:
        """Answer a request by ``answering``, or a preflight at once, and let an allowed origin's page read it."""
        origin = request.headers.get("Origin", "")
        if origin not in self._origins:
            return await answering(request)
        method = request.headers.get("Access-Control-Request-Method")
        if request.method == "OPTIONS" and method is not None:
            response = web.Response(status=204)
            response.headers["Access-Control-Allow-Methods"] = method
            headers = request.headers.get("Access-Control-Request-Headers")
            if headers is not None:
                response.headers["Access-Control-Allow-Headers"] = headers
        else:
            response = await answering(request)
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        return response
