"""The HTTP rules of the platform that bite, on the wire."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from tests.local.host_app import running, until, write_app

ECHO = """
@app.route(route="echo/{tenantId}/{day}", methods=["GET", "PUT", "POST"])
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    shown = dict(method=req.method, headers=dict(req.headers.items()), params=dict(req.params), url=req.url,
                 route=dict(req.route_params), body=req.get_body().decode())
    return func.HttpResponse(json.dumps(shown), mimetype="application/json")
"""


async def test_a_request_arrives_as_the_platform_passes_it(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, ECHO), tmp_path / "s") as host:
        answer = await host.client.put(
            "/API/Echo/a%2Fb%20c/2026/?B=1&b=2&empty=&x=&x=y", data=b"body", headers={"X-One": "A", "Accept": "*/*"}
        )
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        seen = json.loads(await answer.read())
    assert seen["method"] == "PUT"
    assert seen["route"] == {"tenantId": "a%2Fb c", "day": "2026"}
    assert seen["params"] == {"B": "1,2", "x": "y"}
    assert seen["headers"]["x-one"] == "A"
    assert all(name == name.lower() for name in seen["headers"])
    assert seen["body"] == "body"
    assert seen["url"].endswith("/API/Echo/a%2Fb%20c/2026/?B=1&b=2&empty=&x=&x=y")


async def test_a_line_feed_in_a_path_is_a_character_like_any_other(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, ECHO), tmp_path / "s") as host:
        answer = await host.client.get("/api/echo/a%0Ab/%0A")
        assert json.loads(await answer.read())["route"] == {"tenantId": "a\nb", "day": "\n"}


CATCH_ALL = """
@app.route(route="files/{*path}", methods=["GET", "HEAD"])
async def files(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps([dict(req.route_params), req.url]), headers={"X-Method": req.method})
"""


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/api/files", {}),  # nothing left is no parameter
        ("/api/files/", {}),
        ("/API/Files/a", {"path": "a"}),
        ("/api/files/a/b%20c.js", {"path": "a/b c.js"}),
        ("/api/files/a/", {"path": "a/"}),
        ("/api/files/..%2Fa%5Cb", {"path": "..%2Fa\\b"}),
        ("/api/files//etc", {"path": "/etc"}),
    ],
)
async def test_a_catch_all_takes_what_is_left(tmp_path: Path, path: str, parameters: dict[str, str]) -> None:
    async with running(write_app(tmp_path, CATCH_ALL), tmp_path / "s") as host:
        answer = await host.client.get(URL(f"http://127.0.0.1:{host.port}{path}", encoded=True))
        seen, url = json.loads(await answer.read())
        assert seen == parameters
        assert url.endswith(path)


async def test_a_head_request_reaches_the_function_and_its_answer_has_no_body(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, CATCH_ALL), tmp_path / "s") as host:
        answer = await host.client.head("/api/files/a")
        assert (answer.status, answer.headers["X-Method"], await answer.read()) == (200, "HEAD", b"")
        assert int(answer.headers["Content-Length"]) > 0


async def test_a_chunked_body_arrives_empty(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"lost"

    async with running(write_app(tmp_path, ECHO), tmp_path / "s") as host:
        answer = await host.client.post("/api/echo/a/b", data=chunks())
        assert json.loads(await answer.read())["body"] == ""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/echo/a/b"),  # a wrong method is 404, not 405
        ("HEAD", "/api/echo/a/b"),  # HEAD is not implied by GET
        ("GET", "/api/echo/a"),
        ("GET", "/api/echo/a/b/c"),
        ("GET", "/api/echo//b"),
        ("GET", "/echo/a/b"),
        ("GET", "/admin/echo/a/b"),
    ],
)
async def test_no_route_or_no_method_is_404_with_an_empty_body(tmp_path: Path, method: str, path: str) -> None:
    async with running(write_app(tmp_path, ECHO), tmp_path / "s") as host:
        answer = await host.client.request(method, path)
        assert (answer.status, await answer.read()) == (404, b"")


async def test_routes_are_tried_in_the_order_of_function_names(tmp_path: Path) -> None:
    body = """
@app.route(route="x/{any}", methods=["GET"])
def b_template(req: func.HttpRequest) -> str: return "template " + req.route_params["any"]
@app.route(route="x/literal", methods=["GET"])
def C_literal(req: func.HttpRequest) -> str: return "never"
@app.route(route="x/first", methods=["GET", "PUT"])
def A_first(req: func.HttpRequest) -> str: return "first"
@app.route(route="n/{id:int}", methods=["GET"])
def number(req: func.HttpRequest) -> str: return "number"
@app.route(route="every")
def every(req: func.HttpRequest) -> str: return req.method
"""
    async with running(write_app(tmp_path, body), tmp_path / "s") as host:

        async def get(path: str) -> str:
            return str(await (await host.client.get(path)).text())

        assert await get("/api/x/literal") == "template literal"
        assert await get("/api/x/first") == "first"
        assert await get("/api/n/12") == "number"
        assert (await host.client.get("/api/n/twelve")).status == 404
        # No method declared is every method: the host adds no constraint then.
        assert await (await host.client.request("PATCH", "/api/every")).text() == "PATCH"


ANSWERS = """
@app.route(route="text")
def text(req: func.HttpRequest) -> str: return "grüß"
@app.route(route="rich")
async def rich(req: func.HttpRequest) -> func.HttpResponse:
    answer = func.HttpResponse(b"\\x00\\xff", status_code=201, mimetype="text/csv", charset="latin-1",
                               headers={"ETag": '"1"', "Content-Length": "999"})
    answer.headers.add("Set-Cookie", "a=1; Path=/")
    answer.headers.add("Set-Cookie", "b=2")
    return answer
@app.route(route="empty")
def empty(req: func.HttpRequest) -> func.HttpResponse: return func.HttpResponse(status_code=204)
@app.route(route="none")
def none(req: func.HttpRequest) -> func.HttpResponse: return None
@app.route(route="dict")
def dictionary(req: func.HttpRequest) -> func.HttpResponse: return {"a": 1}
@app.route(route="raise")
async def raises(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("customer content") from KeyError("more content")
@app.route(route="cancelled")
async def cancelled(req: func.HttpRequest) -> func.HttpResponse: raise asyncio.CancelledError
"""


async def test_answers_keep_status_headers_and_bytes(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, ANSWERS), tmp_path / "s") as host:
        answer = await host.client.get("/api/text")
        assert (answer.status, await answer.text()) == (200, "grüß")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        answer = await host.client.get("/api/rich")
        assert (answer.status, await answer.read(), answer.headers["etag"]) == (201, b"\x00\xff", '"1"')
        assert answer.headers["content-type"] == "text/csv; charset=latin-1"
        assert answer.headers.getall("set-cookie") == ["a=1; Path=/", "b=2"]
        answer = await host.client.get("/api/empty")
        assert (answer.status, await answer.read()) == (204, b"")


async def test_what_fails_in_the_worker_is_500_and_no_message_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(write_app(tmp_path, ANSWERS), tmp_path / "s") as host:
        for path in ("none", "dict", "raise", "cancelled"):
            answer = await host.client.get(f"/api/{path}?secret=query", headers={"x-secret": "header"})
            assert (answer.status, await answer.read()) == (500, b""), path
    assert "ValueError at" in caplog.text
    assert "after KeyError" in caplog.text
    assert "function_app.py" in caplog.text
    assert not any(word in caplog.text for word in ("content", "secret", "query"))


async def test_a_context_names_the_invocation(tmp_path: Path) -> None:
    body = """
@app.route(route="c")
def named(req: func.HttpRequest, context: func.Context) -> str:
    local = context.thread_local_storage.invocation_id
    return json.dumps([context.function_name, context.invocation_id == local, context.retry_context.retry_count,
                       context.trace_context.trace_parent, context.function_directory])
"""
    async with running(write_app(tmp_path, body), tmp_path / "s") as host:
        assert await (await host.client.get("/api/c")).json(content_type=None) == ["named", True, 0, "", str(tmp_path)]


async def test_sync_functions_do_not_block_each_other_and_a_hung_up_client_does_not_stop_one(tmp_path: Path) -> None:
    body = """
import threading

all_there, entered, hung_up = threading.Barrier(4), threading.Event(), threading.Event()

@app.route(route="together")
def together(req: func.HttpRequest) -> str:
    all_there.wait(30); return "x"

@app.route(route="slow")
def slow(req: func.HttpRequest) -> str:
    entered.set(); assert hung_up.wait(30); seen.append(1); return "x"
"""
    async with running(write_app(tmp_path, body), tmp_path / "s") as host:
        answers = await asyncio.gather(*(host.client.get("/api/together") for _ in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        call = asyncio.create_task(host.client.get("/api/slow"))
        await until(host.module.entered.is_set)
        call.cancel()
        await asyncio.wait([call])
        host.module.hung_up.set()
        await until(lambda: host.module.seen == [1])


async def test_a_stop_waits_for_what_is_running_and_takes_nothing_new(tmp_path: Path) -> None:
    body = """
@app.route(route="slow")
async def slow(req: func.HttpRequest) -> str:
    await asyncio.sleep(0.5); return "done"
"""
    async with running(write_app(tmp_path, body), tmp_path / "s") as host:
        await host.client.get("/admin/host/status")  # opens the connection that is then kept alive
        under_way = asyncio.create_task(host.client.get("/api/slow"))
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(host.host.stop(5))
        await asyncio.sleep(0.1)
        assert await (await under_way).text() == "done"
        assert await stopping
