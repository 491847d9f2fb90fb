"""The local host against the production worker's own library: the same calls, answers, and values seen."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if sys.version_info < (3, 13):
    pytest.skip("azure-functions-runtime needs Python 3.13", allow_module_level=True)

from azure_functions_runtime.bindings.datumdef import Datum

from tests.local.host_app import COSMOS, ROOT, feed, indexed, running, write_app
from tests.worker import Runtime, same_answer

APP = """
@app.route(route="echo/{tenantId}/{day}", methods=["GET", "POST"])
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    headers = {name: value for name, value in req.headers.items() if name.startswith("x-")}
    try: parsed = req.get_json()
    except ValueError as error: parsed = type(error).__name__
    shown = [req.method, headers, req.headers.get("X-ONE"), dict(req.params), dict(req.route_params),
             type(req.get_body()).__name__, req.get_body().hex(), parsed]
    return func.HttpResponse(json.dumps(shown), mimetype="application/json", status_code=207)
@app.route(route="text")
def text(req: func.HttpRequest) -> str: return "grüß"
@app.route(route="binary")
async def binary(req: func.HttpRequest) -> func.HttpResponse:
    answer = func.HttpResponse(bytes(range(256)), mimetype="application/octet-stream", headers={"ETag": '"e"'})
    answer.headers.add("Set-Cookie", "a=1; Path=/x"); answer.headers.add("Set-Cookie", "b=2")
    return answer
@app.route(route="latin")
def latin(req: func.HttpRequest) -> func.HttpResponse: return func.HttpResponse("grüß", charset="latin-1")
@app.route(route="created")
def created(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=201, headers={"Location": "/x", "Content-Type": "application/problem+json"})
@app.route(route="raises")
async def raises(req: func.HttpRequest) -> func.HttpResponse: raise ValueError("x")
@app.route(route="nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse: return None
@app.route(route="data")
def data(req: func.HttpRequest) -> func.HttpResponse: return {"a": 1}
@app.route(route="context")
def context(req: func.HttpRequest, context: func.Context) -> str:
    return json.dumps([context.function_name, context.function_directory, context.retry_context.retry_count,
                       context.retry_context.max_retry_count, context.trace_context.trace_parent,
                       context.thread_local_storage.invocation_id == context.invocation_id])
@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *", run_on_startup=True)
def nightly(timer: func.TimerRequest) -> None:
    seen.append((type(timer).__name__, timer.past_due, sorted(timer.schedule_status), timer.schedule))
@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
def returns(timer: func.TimerRequest) -> None: return 1
"""
FEED = feed("documents_in").replace(
    "None: ...", "None: seen.append((type(documents).__name__, [(type(d).__name__, d.to_dict()) for d in documents]))"
)


@pytest.fixture(autouse=True)
def _module() -> Iterator[None]:
    before = sys.modules.get("function_app")
    yield
    sys.modules.pop("function_app", None)
    if before is not None:
        sys.modules["function_app"] = before


async def test_http_answers_are_the_workers(tmp_path: Path) -> None:
    file = write_app(tmp_path, APP)
    runtime = await Runtime.load(file)
    async with running(file, tmp_path / "s") as host:
        await same_answer(
            runtime,
            host.client,
            "echo",
            "GET",
            "/api/ECHO/a%20b/2026-01-01?a=1&a=2&empty=&b=%C3%BC+",
            headers={"X-One": "Value", "x-two": "2"},
            query={"a": "1,2", "b": "ü "},
            params={"tenantId": "a b", "day": "2026-01-01"},
        )
        params = {"tenantId": "t", "day": "d"}
        for body in (b'{"a": [1]}', b"\x00\xff", b"not json", b""):
            await same_answer(runtime, host.client, "echo", "POST", "/api/echo/t/d", params=params, body=body)
        for name in ("text", "binary", "latin", "created", "raises", "nothing", "data", "context"):
            await same_answer(runtime, host.client, name, "GET", f"/api/{name}")


async def test_timers_and_feeds_see_what_the_worker_shows(tmp_path: Path) -> None:
    file = write_app(tmp_path, APP + FEED)
    runtime = await Runtime.load(file)
    times = dict.fromkeys(("Last", "Next", "LastUpdated"), "2026-01-01T03:00:00+00:00")
    status = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": times, "IsPastDue": False}
    documents = json.dumps([{"id": "1", "n": {"a": [1, None]}}, {"id": "2", "kind": "optedOut"}])
    assert (await runtime.call("nightly", "timer", Datum(json.dumps(status), "json")))[0]
    assert (await runtime.call("nightly", "timer", Datum(json.dumps(status | {"IsPastDue": True}), "json")))[0]
    assert (await runtime.call("documents_in", "documents", Datum(documents, "json")))[0]
    failed, _ = await runtime.call("returns", "timer", Datum(json.dumps(status), "json"))
    assert not failed

    async def by_hand(host: SimpleNamespace, name: str, text: str) -> Any:
        run = {"json": {"input": text}, "headers": {"x-local-wait": "true"}}
        return (await (await host.client.post(f"/admin/functions/{name}", **run)).json())["status"]

    state = tmp_path / "s"
    async with running(file, state, COSMOS) as host:  # run_on_startup, not past due
        assert await by_hand(host, "returns", "") == "failed"
        (first,) = host.module.seen
    (state / "timer-nightly.json").write_text('{"from": "2026-01-01T00:00:00+00:00", "last": null}')
    async with running(file, state, COSMOS) as host:  # and now it is
        assert await by_hand(host, "documents_in", documents) == "completed"
        assert [first, *host.module.seen] == runtime.module.seen


async def test_the_worker_and_the_local_host_index_the_same_functions_of_this_repository() -> None:
    file = ROOT / "function_app.py"
    runtime = await Runtime.load(file)
    _, functions = indexed(file, {"COSMOS_CONNECTION": COSMOS["COSMOS"]})
    assert sorted(runtime.functions) == sorted(function.name for function in functions)
