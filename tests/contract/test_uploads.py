"""The request that bypasses the SDK fails, repeats and authorises itself as the SDK's would."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
import pytest_asyncio
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from local.ports import free_ports
from shared.ports import ContainerMissing, Put, StoreUnavailable
from shared.stores import uploads
from shared.stores.blobs import AzureCaptureStore
from shared.stores.uploads import ByIdentity, ByKey, Uploads

HEADERS = {"x-ms-meta-bodysha256": "ab"}
LOST = 0
"""Instead of a status: the connection breaks."""


class Account:
    """Answers one request after the other as it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.answers: list[int] = []
        self.code = "SomeCode"
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.stored: dict[str, str] = {}
        self.lose_after_storing = False

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.bodies.append(await request.read())
        if request.method == "HEAD":
            return web.Response(status=200, headers={"x-ms-meta-bodysha256": self.stored[request.path]})
        status = self.answers.pop(0) if self.answers else 201
        if status == LOST or self.lose_after_storing:
            if self.lose_after_storing:
                self.stored[request.path] = request.headers["x-ms-meta-bodysha256"]
                self.lose_after_storing = False
            assert request.transport is not None
            request.transport.abort()
        if status == 201 and request.path in self.stored:
            return web.Response(status=409, headers={"x-ms-error-code": "BlobAlreadyExists"})
        return web.Response(status=status or 500, headers={} if status == 201 else {"x-ms-error-code": self.code})


class Credential:
    """Counts the tokens that it gives."""

    def __init__(self, lifetime: float = 3600.0) -> None:
        self.lifetime = lifetime
        self.given = 0

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        self.given += 1
        return AccessToken(f"token-{self.given}", int(time.time() + self.lifetime))


@pytest_asyncio.fixture
async def account() -> AsyncIterator[Account]:
    account = Account()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", account.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", account.port).start()
    yield account
    await runner.cleanup()


@pytest_asyncio.fixture
async def store(account: Account) -> AsyncIterator[AzureCaptureStore]:
    setting = f"AccountName=st;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:{account.port}/st;"
    store = AzureCaptureStore.connect(setting, None)
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait between two attempts."""
    monkeypatch.setattr(uploads, "_BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(uploads.random, "random", lambda: 0.0)


@pytest.mark.parametrize("passing", [408, 429, 500, 502, 503, 504, LOST])
async def test_what_passes_is_tried_again_with_the_same_bytes(
    account: Account, store: AzureCaptureStore, passing: int
) -> None:
    account.answers = [passing, passing, 201]
    assert await store.put_batch("c", "b", b"content", "hash") is Put.CREATED
    assert account.bodies == [b"content"] * 3
    assert all(request.headers["If-None-Match"] == "*" for request in account.asked)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([503] * 3, "storage-SomeCode"), ([429] * 3, "storage-SomeCode"), ([LOST] * 9, "storage-unreachable")],
)
async def test_after_three_attempts_the_caller_is_told(
    account: Account, store: AzureCaptureStore, answers: list[int], expected: str
) -> None:
    account.answers = [*answers]
    with pytest.raises(StoreUnavailable, match=expected):
        await store.put_batch("c", "b", b"content", "hash")
    # On a connection that breaks the client library itself may send once more.
    assert 3 <= len(account.asked) <= 6


@pytest.mark.parametrize("final", [302, 307, 400, 403, 404, 409, 412, 413])
async def test_what_does_not_pass_is_not_tried_again(account: Account, store: AzureCaptureStore, final: int) -> None:
    account.answers = [final]
    with pytest.raises(StoreUnavailable, match="storage-SomeCode"):
        await store.put_batch("c", "b", b"content", "hash")
    assert len(account.asked) == 1


async def test_a_missing_container_is_told_at_once(account: Account, store: AzureCaptureStore) -> None:
    account.answers, account.code = [404], "ContainerNotFound"
    with pytest.raises(ContainerMissing):
        await store.put_batch("c", "b", b"content", "hash")


@pytest.mark.parametrize(("body_hash", "expected"), [("hash", Put.SAME), ("other", Put.OTHER)])
async def test_a_batch_that_was_stored_though_its_answer_was_lost_is_recognised(
    account: Account, store: AzureCaptureStore, body_hash: str, expected: Put
) -> None:
    account.lose_after_storing = True
    assert await store.put_batch("c", "b", b"content", "hash") is Put.SAME
    assert await store.put_batch("c", "b", b"content", body_hash) is expected


async def test_a_token_is_asked_for_once_and_again_before_it_expires(account: Account) -> None:
    for lifetime, given in ((3600.0, 1), (301.0, 1), (200.0, 5)):
        credential = Credential(lifetime)
        puts = Uploads(f"http://127.0.0.1:{account.port}/st", ByIdentity(credential))  # type: ignore[arg-type]
        for n in range(5):
            assert await puts.put("c", f"b{n}", b"x", HEADERS) == (201, "")
        assert credential.given == given
        await puts.close()
    assert {request.headers["Authorization"][:12] for request in account.asked} == {"Bearer token"}
    assert all(request.query_string == "" and "x-ms-date" in request.headers for request in account.asked)


async def test_a_token_that_is_refused_is_replaced(account: Account) -> None:
    credential = Credential()
    puts = Uploads(f"http://127.0.0.1:{account.port}/st", ByIdentity(credential))  # type: ignore[arg-type]
    account.answers = [401, 201]
    assert await puts.put("c", "b", b"x", HEADERS) == (401, "SomeCode")
    assert await puts.put("c", "b", b"x", HEADERS) == (201, "")
    assert [request.headers["Authorization"] for request in account.asked] == ["Bearer token-1", "Bearer token-2"]
    await puts.close()


async def test_many_uploads_ask_for_one_token_and_an_old_one_serves_until_its_end(account: Account) -> None:
    credential = Credential()
    puts = Uploads(f"http://127.0.0.1:{account.port}/st", ByIdentity(credential))  # type: ignore[arg-type]
    await asyncio.gather(*(puts.put("c", f"b{n}", b"x", HEADERS) for n in range(8)))
    assert credential.given == 1

    async def fail(*scopes: str, **kwargs: Any) -> AccessToken:
        raise ClientAuthenticationError("a text that may say too much")

    credential.get_token = fail  # type: ignore[method-assign]
    puts._authorization = replace(puts._authorization, expires_on=time.time() + 200)  # type: ignore[type-var]
    assert await puts.put("c", "later", b"x", HEADERS) == (201, "")
    puts._authorization = replace(puts._authorization, expires_on=time.time())  # type: ignore[type-var]
    with pytest.raises(ClientAuthenticationError):
        await puts.put("c", "too late", b"x", HEADERS)
    await puts.close()
    await puts.close()


async def test_an_identity_without_a_token_is_a_store_that_is_unavailable(
    account: Account, store: AzureCaptureStore
) -> None:
    class Nobody:
        async def authorize(self) -> Any:
            raise ClientAuthenticationError("a text that may say too much")

    store._uploads = Uploads(f"http://127.0.0.1:{account.port}/st", Nobody())
    with pytest.raises(StoreUnavailable, match="storage-unauthenticated") as failed:
        await store.put_batch("c", "b", b"content", "hash")
    assert "too much" not in repr(failed.value.__cause__) and account.asked == []


async def test_a_key_signs_no_more_than_the_writing_of_a_blob_for_an_hour(account: Account) -> None:
    puts = Uploads(f"http://127.0.0.1:{account.port}/st", ByKey("st", "a2V5"))
    for n in range(3):
        await puts.put("c", f"b{n}", b"x", HEADERS)
    queries = [parse_qs(request.query_string) for request in account.asked]
    assert queries[0] == queries[1] == queries[2], "one signature for all"
    assert (queries[0]["srt"], queries[0]["ss"]) == (["o"], ["b"]) and set(queries[0]["sp"][0]) <= set("cw")
    await puts.close()


async def test_a_401_and_a_renewal_at_once_leave_nobody_without_a_token(account: Account) -> None:
    credential = Credential()
    puts = Uploads(f"http://127.0.0.1:{account.port}/st", ByIdentity(credential))  # type: ignore[arg-type]
    await puts.put("c", "first", b"x", HEADERS)
    asked, go_on = asyncio.Event(), asyncio.Event()
    get_token = credential.get_token

    async def slow(*scopes: str, **kwargs: Any) -> AccessToken:
        asked.set()
        await go_on.wait()
        return await get_token(*scopes, **kwargs)

    credential.get_token = slow  # type: ignore[method-assign]
    puts._authorization = replace(puts._authorization, expires_on=time.time() + 200)  # type: ignore[type-var]
    renewing = asyncio.create_task(puts.put("c", "renews", b"x", HEADERS))
    await asked.wait()
    assert await puts.put("c", "meanwhile", b"x", HEADERS) == (201, ""), "the old one is good for minutes"
    account.answers = [401]
    assert (await puts.put("c", "refused", b"x", HEADERS))[0] == 401
    waiting = [asyncio.create_task(puts.put("c", f"waits-{n}", b"x", HEADERS)) for n in range(3)]
    go_on.set()
    assert await asyncio.gather(renewing, *waiting) == [(201, "")] * 4
    await puts.close()


async def test_an_identity_that_hangs_is_given_up_and_the_old_token_serves(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_AUTHORIZE_SECONDS", 0.01)
    credential = Credential()
    puts = Uploads(f"http://127.0.0.1:{account.port}/st", ByIdentity(credential))  # type: ignore[arg-type]
    await puts.put("c", "first", b"x", HEADERS)

    async def hang(*scopes: str, **kwargs: Any) -> AccessToken:
        await asyncio.Event().wait()
        raise AssertionError

    credential.get_token = hang  # type: ignore[method-assign]
    puts._authorization = replace(puts._authorization, expires_on=time.time() + 200)  # type: ignore[type-var]
    assert await puts.put("c", "second", b"x", HEADERS) == (201, "")
    await puts.close()


async def test_a_kept_alive_connection_that_breaks_sends_the_whole_batch_again(
    account: Account, store: AzureCaptureStore
) -> None:
    content = b"0123456789" * 80_000
    await store.put_batch("c", "warm", b"x", "hash")
    account.bodies.clear()
    account.answers = [LOST, 201]
    assert await store.put_batch("c", "b", content, "hash") is Put.CREATED
    assert account.bodies[-1] == content


async def test_a_batch_is_put_as_the_blob_service_wants_it(account: Account, store: AzureCaptureStore) -> None:
    await store.put_batch("c", "b", b"content", "hash")
    [request] = account.asked
    assert (request.method, request.path) == ("PUT", "/st/c/b")
    wanted = {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-type": "application/x-ndjson",
        "x-ms-blob-content-encoding": "gzip",
        "x-ms-meta-bodysha256": "hash",
        "If-None-Match": "*",
        "Content-Length": "7",
    }
    assert {name: request.headers[name] for name in wanted} == wanted
