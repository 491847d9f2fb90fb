"""The HTTP trigger: from a request on the wire to the worker's request, and back."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from aiohttp import web
from azure.functions.meta import Datum
from multidict import CIMultiDict

from local.host.functions import Function, HttpTrigger
from local.host.invocation import Invoker
from local.host.routes import split

BODY_LIMIT_BYTES = 100 * 1024 * 1024
# The connection's own business: the server computes them from the body that it really sends.
_NOT_PASSED_ON = {"content-length", "transfer-encoding", "connection"}


class HttpFunctions:
    """The HTTP functions of an app, tried in the order in which they are given."""

    def __init__(self, functions: Sequence[Function], invoker: Invoker) -> None:
        """Take ``functions`` of any trigger, in name order, and serve those with an HTTP trigger."""
        self._functions = [(each, each.trigger) for each in functions if isinstance(each.trigger, HttpTrigger)]
        self._invoker = invoker

    async def answer(self, request: web.Request) -> web.Response:
        """Answer ``request``: 404 without a body if no function has both its route and its method."""
        raw_path, _, query = request.raw_path.partition("?")
        path = split(raw_path)
        for function, trigger in self._functions:
            if trigger.methods and request.method not in trigger.methods:
                continue
            parameters = trigger.route.match(path)
            if parameters is not None:
                return await self._invoke(function, request, parameters, query)
        return web.Response(status=404)

    async def _invoke(
        self, function: Function, request: web.Request, parameters: dict[str, str], query: str
    ) -> web.Response:
        length = request.content_length or 0
        if length > BODY_LIMIT_BYTES:
            return web.Response(status=413)
        # Only a declared length brings a body in: a chunked one arrives empty, as on the platform.
        body = await request.read() if length > 0 else b""
        value = Datum(
            {
                "method": _text(request.method),
                "url": _text(f"http://{request.host}{request.raw_path}"),
                "headers": {name: _text(value) for name, value in _headers(request).items()},
                "query": {name: _text(value) for name, value in _query(query).items()},
                "params": {name: _text(value) for name, value in parameters.items()},
                "body": Datum(body, "bytes"),
            },
            "http",
        )
        outcome = await self._invoker.run(function, value)
        return web.Response(status=500) if outcome.answer is None else _response(outcome.answer)


def _response(answer: Datum) -> web.Response:
    if answer.type != "http":
        return web.Response(text=answer.value)
    headers = CIMultiDict({name: value.value for name, value in answer.value["headers"].items()})
    for name in _NOT_PASSED_ON:
        headers.popall(name, None)
    for cookie in answer.value["cookies"] or ():
        for morsel in cookie.values():
            headers.add("Set-Cookie", morsel.OutputString())
    return web.Response(status=int(answer.value["status_code"].value), headers=headers, body=answer.value["body"].value)


def _headers(request: web.Request) -> dict[str, str]:
    names = dict.fromkeys(name.lower() for name in request.headers)
    return {name: _joined(request.headers.getall(name)) for name in names}


def _query(query: str) -> dict[str, str]:
    """Return the parameters as the host sends them: the first spelling of a name, no empty values, repeats joined."""
    values: dict[str, tuple[str, list[str]]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name.lower(), (name, []))[1].append(value)
    return {name: joined for name, found in values.values() if (joined := _joined(found))}


def _joined(values: Sequence[str]) -> str:
    return ",".join(filter(None, values))


def _text(value: str) -> Datum:
    return Datum(value, "string")
