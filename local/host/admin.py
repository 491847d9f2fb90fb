"""The host's own API under ``/admin``: its status, running a function by hand, and, only here, moving the clock."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum
from pydantic import TypeAdapter, ValidationError

from local.host.clock import MovableClock
from local.host.functions import Function, HttpTrigger
from local.host.invocation import Invoker
from local.host.timers import TimerListener

_DURATION = TypeAdapter(timedelta)
_CLOCK_USAGE = 'send {"advance": "<ISO 8601 duration>"} or {"now": "<ISO 8601 time with offset>"}'


class Admin:
    """Answers the requests whose path begins with ``/admin``."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        timers: Mapping[str, TimerListener],
        clock: MovableClock,
        invoker: Invoker,
    ) -> None:
        """Take the functions and the timers' listeners by their lower-case names."""
        self._functions = functions
        self._timers = timers
        self._clock = clock
        self._invoker = invoker

    async def answer(self, request: web.Request) -> web.Response:
        """Answer ``request``; 404 for what the local host does not have."""
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["admin", "host", "status"]:
                return web.json_response({"state": "Running"})
            case "GET", ["admin", "clock"]:
                return self._time()
            case "POST", ["admin", "clock"]:
                return self._move(await _object(request))
            case "POST", ["admin", "functions", name]:
                return await self._run(name, request)
        return web.Response(status=404)

    def _time(self) -> web.Response:
        return web.json_response({"now": self._clock.now().astimezone(UTC).isoformat().replace("+00:00", "Z")})

    def _move(self, body: Mapping[str, Any] | None) -> web.Response:
        try:
            match body:
                case {"advance": str(duration), **rest} if not rest and re.match("[-+]?P", duration):
                    self._clock.advance(_DURATION.validate_python(duration))
                case {"now": str(moment), **rest} if not rest:
                    now = datetime.fromisoformat(moment)
                    if now.tzinfo is None:
                        return _bad(f"the time has no offset: {_CLOCK_USAGE}")
                    self._clock.move_to(now)
                case _:
                    return _bad(_CLOCK_USAGE)
        except ValidationError:
            return _bad(f"not an ISO 8601 duration: {_CLOCK_USAGE}")
        except ValueError as error:
            return _bad(f"{error}: {_CLOCK_USAGE}")
        return self._time()

    async def _run(self, name: str, request: web.Request) -> web.Response:
        function = self._functions.get(name.lower())
        if function is None:
            return web.Response(status=404)
        if isinstance(function.trigger, HttpTrigger):
            return _bad(f"{function.name} is an HTTP function: call its route")
        body = await _object(request)
        if body is None or not isinstance(body.get("input", ""), str):
            return _bad('send {"input": "<text>"}')
        timer = self._timers.get(name.lower())
        if timer is None:
            documents = _documents(body.get("input", ""))
            if documents is None:
                return _bad("the input of a Cosmos DB function is the JSON text of an array of documents, or empty")
            run = self._invoker.start(self._run_once(function, documents))
        else:
            run = self._invoker.start(timer.run_now())
        # Not the platform's: it always answers at once. Scripts want to know when the run is over.
        if request.headers.get("x-local-wait", "").lower() != "true":
            return web.Response(status=202)
        return web.json_response({"status": "completed" if await run else "failed"}, status=202)

    async def _run_once(self, function: Function, value: Datum) -> bool:
        return (await self._invoker.run(function, value)).succeeded


def _documents(text: str) -> Datum | None:
    try:
        documents = json.loads(text or "[]")
    except ValueError:
        return None
    valid = isinstance(documents, list) and all(isinstance(document, dict) for document in documents)
    return Datum(text or "[]", "json") if valid else None


async def _object(request: web.Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)
