"""The production worker's own library (Python 3.13 and newer), running an app next to a local host to be compared with.

Whoever imports this skips first, with its reason, where ``azure-functions-runtime`` does not exist.
"""

import importlib
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from types import ModuleType, SimpleNamespace

import aiohttp
import azure.functions as func
import azure_functions_runtime as worker
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.native_invocation import invocation_request_native

from local.host.functions import Function

# What a server adds to an answer by itself.
_SERVERS_OWN = {"content-length", "date", "server"}


class _Protos:
    """Any protobuf message as a plain object, and the few constants that indexing compares."""

    def __getattr__(self, name: str) -> type[SimpleNamespace]:
        constants = {
            "BindingInfo": {"undefined": 0, "out": 1, "inout": 2},
            "StatusResult": {"Failure": 0, "Success": 1},
        }
        message = type(name, (SimpleNamespace,), constants.get(name, {}))
        setattr(self, name, message)
        return message


class Runtime:
    """The worker's library with one app loaded. Its registry is global: one at a time."""

    def __init__(self, module: ModuleType, function_ids: Mapping[str, str]) -> None:
        self.module = module
        self._function_ids = function_ids

    @classmethod
    async def load(cls, file: Path) -> "Runtime":
        """Index the ``function_app.py`` at ``file`` as the worker does at its start."""
        sys.modules.pop("function_app", None)
        sys.path.insert(0, str(file.parent))
        importlib.invalidate_caches()
        init = SimpleNamespace(capabilities={}, function_app_directory=str(file.parent))
        properties = {"host": "127.0.0.1", "protos": _Protos()}
        try:
            request = SimpleNamespace(request=SimpleNamespace(worker_init_request=init), properties=properties)
            answer = await worker.worker_init_request(request)
            assert answer.result.status == 1, answer.result.exception.message
        finally:
            sys.path.remove(str(file.parent))
        metadata = await worker.functions_metadata_request(None)
        ids = {each.name: each.function_id for each in metadata.function_metadata_results}
        for function_id in ids.values():
            load = SimpleNamespace(function_load_request=SimpleNamespace(function_id=function_id))
            loaded = await worker.function_load_request(SimpleNamespace(request=load))
            assert loaded.result.status == 1
        return cls(sys.modules["function_app"], ids)

    @property
    def functions(self) -> set[str]:
        """The names of the app's functions."""
        return set(self._function_ids)

    async def call(self, function: str, parameter: str, value: Datum) -> tuple[bool, Datum | None]:
        """Invoke ``function``; return whether it succeeded, and the encoded return value."""
        ok, answer, *_ = await invocation_request_native(
            str(uuid.uuid4()), self._function_ids[function], [(parameter, value)], {}
        )
        return ok, answer


def rpc_http(
    method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], params: Mapping[str, str], body: bytes
) -> Datum:
    """Return the message that the real host sends for a request, from its parts in the host's own form."""

    def texts(values: Mapping[str, str]) -> dict[str, Datum]:
        return {name: Datum(value, "string") for name, value in values.items()}

    value = {"method": Datum(method, "string"), "url": Datum(url, "string"), "body": Datum(body, "bytes")}
    parts = {"headers": texts(headers), "query": texts(query), "params": texts(params)}
    return Datum(value | parts, "http")


async def same_answer(
    runtime: Runtime,
    client: aiohttp.ClientSession,
    function: str,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    body: bytes = b"",
    parameter: str = "req",
) -> None:
    """Send a request to the local host and its platform form to the worker; fail unless both answer the same.

    Args:
        runtime: the worker with the same app.
        client: a session with the local host as its base.
        function: the function that the route leads to.
        method: in capitals.
        path: the raw path and query that go over the wire.
        headers: as sent; the platform lower-cases the names.
        query: what the platform makes of the query.
        params: what the platform makes of the route.
        body: empty for none.
        parameter: the handler's name for the request.
    """
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    url = f"http://localhost{path}"
    ok, expected = await runtime.call(
        function, parameter, rpc_http(method, url, lowered, query or {}, params or {}, body)
    )
    async with client.request(method, path, headers=headers, data=body or None) as answer:
        sent = {name.lower(): value for name, value in answer.headers.items() if name.lower() != "set-cookie"}
        cookies = [_pairs(SimpleCookie(each)) for each in answer.headers.getall("set-cookie", [])]
        content = await answer.read()
    if not ok or expected is None:
        assert (answer.status, content) == (500, b""), function
        return
    if expected.type == "string":
        assert (answer.status, content, sent["content-type"]) == (
            200,
            expected.value.encode(),
            "text/plain; charset=utf-8",
        )
        return
    message = expected.value
    assert (answer.status, content) == (int(message["status_code"].value), message["body"].value), function
    wanted = {name.lower(): value.value for name, value in message["headers"].items()}
    assert {name: value for name, value in sent.items() if name not in _SERVERS_OWN - wanted.keys()} == wanted
    assert cookies == [_pairs(each) for each in message["cookies"] or []]


def _pairs(cookie: SimpleCookie) -> dict[str, tuple[str, str]]:
    return {name: (morsel.value, morsel["path"]) for name, morsel in cookie.items()}


def in_worker(runtime: Runtime, function: Function) -> Function:
    """Return ``function`` as a local host is to know it that only passes requests on to the worker and answers back."""

    async def handler(req: func.HttpRequest) -> func.HttpResponse:
        sent = rpc_http(req.method, req.url, dict(req.headers), req.params, dict(req.route_params), req.get_body())
        ok, answer = await runtime.call(function.name, function.parameter, sent)
        assert ok and answer is not None
        message = answer.value
        headers = {name: value.value for name, value in message["headers"].items()}
        return func.HttpResponse(message["body"].value, status_code=int(message["status_code"].value), headers=headers)

    return replace(function, handler=handler, is_async=True)
