"""The request that bypasses the SDK: how it fails, is repeated, and is signed for one blob and a minute (D11)."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import UserDelegationKey, generate_blob_sas

from local.ports import free_ports
from local.stack import Stack
from shared.model import deadlines
from shared.ports import (
    BatchMissing,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    Put,
    StoreUnavailable,
    TryAgain,
)
from shared.problems import DataSharingOff
from shared.stores import uploads
from shared.stores.blobs import AzureCaptureStore
from shared.stores.uploads import Answered, ByIdentity, ByKey, Form, Uploads
from tests.clocks import START, ManualClock
from tests.contract.items import new_name
from tests.world import World, permit

HEADERS = {"x-ms-meta-bodysha256": "ab"}
CREATED = Answered(201, "", 0)
LOST = 0
"""Instead of a status: the connection breaks."""


class Account:
    """Answers one request after the other as it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.answers: list[int] = []
        self.code = "SomeCode"
        self.offset = 0
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
        headers = {"x-ms-blob-append-offset": str(self.offset)} if status == 201 else {"x-ms-error-code": self.code}
        if 300 <= status < 400:
            # To where the batch would be taken, and out of the geo: one without an address cannot be followed anyway.
            headers["Location"] = f"http://127.0.0.1:{self.port}/elsewhere"
        return web.Response(status=status or 500, headers=headers)


class Keys:
    """The client that gives user delegation keys, and counts them."""

    def __init__(self, lifetime: float = 24 * 3600.0) -> None:
        self.lifetime = lifetime
        self.given = 0
        self.asked: list[tuple[datetime, datetime]] = []

    async def get_user_delegation_key(self, start: datetime, expiry: datetime) -> UserDelegationKey:
        self.given += 1
        self.asked.append((start, expiry))
        key = UserDelegationKey()
        key.signed_oid = key.signed_tid = "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"
        key.signed_start, key.signed_expiry = f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{expiry:%Y-%m-%dT%H:%M:%SZ}"
        key.signed_service, key.signed_version, key.value = "b", "2023-11-03", "a2V5"
        return key


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


@pytest_asyncio.fixture
async def world(store: AzureCaptureStore) -> World:
    """The rules on that account, with a tenant that shares data."""
    world = World(stores={"europe": store})
    await world.opt_in()
    return world


def uploads_to(account: Account, keys: Any) -> Uploads:
    return Uploads(f"http://127.0.0.1:{account.port}/st", "st", keys)


def by(keys: Any) -> ByIdentity:
    return ByIdentity(keys)


@pytest.mark.parametrize("passing", [408, 429, 500, 502, 503, 504, LOST])
async def test_what_passes_is_tried_again_with_the_same_bytes(account: Account, world: World, passing: int) -> None:
    account.answers = [passing, passing, 201]
    assert (await world.post()).created
    assert len(account.bodies) == 3 and len(set(account.bodies)) == 1 and account.bodies[0]
    assert all(request.headers["If-None-Match"] == "*" for request in account.asked)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([503] * 4, "storage-SomeCode"), ([429] * 4, "storage-SomeCode"), ([LOST] * 12, "storage-unreachable")],
)
async def test_after_a_few_attempts_the_caller_is_told(
    account: Account, world: World, answers: list[int], expected: str
) -> None:
    account.answers = [*answers]
    with pytest.raises(StoreUnavailable, match=expected):
        await world.post()
    # On a connection that breaks the client library itself may send once more.
    assert 4 <= len(account.asked) <= 8


@pytest.mark.parametrize("final", [301, 302, 303, 307, 308, 400, 403, 404, 409, 412, 413])
async def test_what_does_not_pass_is_not_tried_again(account: Account, world: World, final: int) -> None:
    account.answers = [final]
    with pytest.raises(StoreUnavailable, match="storage-SomeCode"):
        await world.post()
    assert len(account.asked) == 1


async def test_p2_each_attempt_is_made_on_consent_that_holds(account: Account, world: World) -> None:
    account.answers, account.code = [403, 201], "AuthenticationFailed"
    assert (await world.post()).created, "a signature that came late is had anew"
    reads = [*world.ledger.events]
    account.answers = [503, 201]
    answer = world.ledger.read_setting

    async def opted_out(tenant_id: str) -> Any:
        world.ledger.read_setting = answer
        await world.opt_out()
        return await answer(tenant_id)

    world.clock.move(timedelta(seconds=1))
    world.ledger.read_setting = opted_out
    with pytest.raises(StoreUnavailable):  # of the first attempt nobody knows; a refusal would say that it failed
        await world.post(key="key-2")
    assert reads and len(account.asked) == 3, "the second attempt was not made"
    with pytest.raises(DataSharingOff):
        await world.post(key="key-2")


async def test_a_missing_container_is_told_at_once(account: Account, store: AzureCaptureStore) -> None:
    account.answers, account.code = [404], "ContainerNotFound"
    with pytest.raises(ContainerMissing):
        await store.put_batch(permit(), "c", "b", b"content", "hash")


@pytest.mark.parametrize(("body_hash", "expected"), [("hash", Put.SAME), ("other", Put.OTHER)])
async def test_a_batch_that_was_stored_though_its_answer_was_lost_is_recognised(
    account: Account, store: AzureCaptureStore, body_hash: str, expected: Put
) -> None:
    account.lose_after_storing = True
    assert await store.put_batch(permit(), "c", "b", b"content", "hash") is Put.SAME
    assert await store.put_batch(permit(), "c", "b", b"content", body_hash) is expected


async def test_a_key_is_fetched_once_and_again_before_it_expires(account: Account) -> None:
    for lifetime, given in ((24 * 3600.0, 1), (3700.0, 1), (3500.0, 5)):
        keys = Keys()
        puts = uploads_to(account, by(keys))
        fetch = puts._keys._fetch  # type: ignore[attr-defined]

        async def shorter(fetch: Any = fetch, puts: Uploads = puts, lifetime: float = lifetime) -> None:
            await fetch()
            puts._keys._expires_on = time.time() + lifetime  # type: ignore[attr-defined]

        puts._keys._fetch = shorter  # type: ignore[attr-defined]
        for n in range(5):
            assert await puts.put(permit(), "c", f"b{n}", b"x", HEADERS) == CREATED
        assert keys.given == given
        for start, expiry in keys.asked:
            assert start <= datetime.now(UTC) < expiry <= start + timedelta(days=7)
        await puts.close()
    for request in account.asked:
        query = parse_qs(request.query_string)
        assert "Authorization" not in request.headers and query["skoid"] == ["3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"]
        assert (query["sp"], query["sr"], "st" in query) == (["c"], ["b"], False)


async def test_a_key_that_is_refused_is_replaced_but_not_once_for_each_that_comes_late(account: Account) -> None:
    keys = Keys()
    puts = uploads_to(account, by(keys))
    account.answers, account.code = [403, 201, 403, 201], "AuthenticationFailed"
    assert await puts.put(permit(), "c", "b", b"x", HEADERS) == Answered(403, "AuthenticationFailed", 0)
    assert await puts.put(permit(), "c", "b", b"x", HEADERS) == CREATED
    assert keys.given == 1, "the key is a moment old"
    puts._keys._fetched_at -= 61  # type: ignore[attr-defined]
    await puts.put(permit(), "c", "b", b"x", HEADERS)
    assert await puts.put(permit(), "c", "b", b"x", HEADERS) == CREATED
    assert keys.given == 2
    await puts.close()


async def test_many_uploads_fetch_one_key_and_an_old_one_serves_until_its_end(account: Account) -> None:
    keys = Keys()
    puts = uploads_to(account, by(keys))
    await asyncio.gather(*(puts.put(permit(), "c", f"b{n}", b"x", HEADERS) for n in range(8)))
    assert keys.given == 1

    async def fail(*args: Any) -> UserDelegationKey:
        raise ClientAuthenticationError("a text that may say too much")

    keys.get_user_delegation_key = fail  # type: ignore[method-assign]
    puts._keys._expires_on = time.time() + 200  # type: ignore[attr-defined]
    assert await puts.put(permit(), "c", "later", b"x", HEADERS) == CREATED
    puts._keys._expires_on = time.time() + 59  # type: ignore[attr-defined]  # a signature would outlive it
    with pytest.raises(ClientAuthenticationError):
        await puts.put(permit(), "c", "too late", b"x", HEADERS)
    await puts.close()
    await puts.close()


async def test_an_identity_without_a_key_is_a_store_that_is_unavailable(
    account: Account, store: AzureCaptureStore
) -> None:
    class Nobody(ByKey):
        async def current(self) -> Any:
            raise ClientAuthenticationError("a text that may say too much")

    store._uploads = uploads_to(account, Nobody("a2V5"))
    with pytest.raises(StoreUnavailable, match="storage-unauthenticated") as failed:
        await store.put_batch(permit(), "c", "b", b"content", "hash")
    assert "too much" not in repr(failed.value.__cause__) and account.asked == []


async def test_p2_a_signature_is_for_one_blob_to_create_and_for_sixty_seconds_from_its_read(account: Account) -> None:
    puts = uploads_to(account, ByKey("a2V5"))
    clock = ManualClock(START)  # the service's time may be moved; storage judges by the machine's
    for n, age in enumerate((0.0, 1.5)):
        before = datetime.now(UTC).replace(microsecond=0)
        await puts.put(permit(age, clock), "c", f"b{n}", b"x", HEADERS)
        query = parse_qs(account.asked[-1].query_string)
        expiry = datetime.strptime(query["se"][0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        signed = timedelta(seconds=deadlines.SIGNATURE_SECONDS - age)
        assert before + signed - timedelta(seconds=1) <= expiry <= datetime.now(UTC) + signed
        assert (query["sp"], query["sr"], "st" in query) == (["c"], ["b"], False)
    assert parse_qs(account.asked[0].query_string)["sig"] != parse_qs(account.asked[1].query_string)["sig"]
    await puts.close()


@pytest.mark.parametrize("use", [uploads._CREATE, uploads._ADD, uploads._WRITE], ids=str)
@pytest.mark.parametrize("keys", [ByKey("a2V5"), ByIdentity(Keys())], ids=lambda keys: type(keys).__name__)  # type: ignore[arg-type]
async def test_p2_a_signature_is_the_one_that_the_sdk_makes(keys: ByKey | ByIdentity, use: Any) -> None:
    key = await keys.current()
    its = {"account_key": key} if isinstance(keys, ByKey) else {"user_delegation_key": key}
    for n in range(200):  # so that the signature has each character that a query must escape
        expiry = START + timedelta(seconds=n, milliseconds=n)
        expected = generate_blob_sas("st", "c", f"labels/{n}", permission=use, expiry=expiry, **its)  # type: ignore[arg-type]
        assert Form.of("st", use, key).signature("c", f"labels/{n}", expiry) == expected


def slow_key(clock: ManualClock) -> ByKey:
    """Return a key that takes as long as a consent read counts."""

    class Slow(ByKey):
        async def current(self) -> Any:
            clock.move(timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS))
            return await super().current()

    return Slow("a2V5")


async def test_p2_a_key_that_took_long_to_fetch_leaves_no_upload_on_a_permit_that_ended(account: Account) -> None:
    clock = ManualClock(START)
    puts = uploads_to(account, slow_key(clock))
    with pytest.raises(ConsentExpired):
        await puts.put(permit(clock=clock), "c", "b", b"x", HEADERS)
    assert account.asked == []
    await puts.close()


async def test_p2_a_container_is_asked_for_once_and_only_while_its_permit_holds(
    account: Account, store: AzureCaptureStore
) -> None:
    account.answers = [503, 201]
    with pytest.raises(TryAgain, match="storage-SomeCode"):
        await store.create_container(permit(), "c")
    assert len(account.asked) == 1, "a further attempt reads consent again"
    with pytest.raises(ConsentExpired):
        await store.create_container(permit(deadlines.CONSENT_LEASE_SECONDS), "c")
    assert len(account.asked) == 1


async def test_a_refused_renewal_leaves_nobody_without_a_key(account: Account) -> None:
    keys = Keys()
    puts = uploads_to(account, by(keys))
    await puts.put(permit(), "c", "first", b"x", HEADERS)
    asked, go_on = asyncio.Event(), asyncio.Event()
    fetch = keys.get_user_delegation_key

    async def slow(*args: Any) -> UserDelegationKey:
        asked.set()
        await go_on.wait()
        return await fetch(*args)

    keys.get_user_delegation_key = slow  # type: ignore[method-assign]
    puts._keys._expires_on = time.time() + 200  # type: ignore[attr-defined]
    puts._keys._fetched_at -= 61  # type: ignore[attr-defined]
    renewing = asyncio.create_task(puts.put(permit(), "c", "renews", b"x", HEADERS))
    await asked.wait()
    assert await puts.put(permit(), "c", "meanwhile", b"x", HEADERS) == CREATED, "the old one is good for minutes"
    account.answers, account.code = [403], "AuthenticationFailed"
    assert (await puts.put(permit(), "c", "refused", b"x", HEADERS)).status == 403
    waiting = [asyncio.create_task(puts.put(permit(), "c", f"waits-{n}", b"x", HEADERS)) for n in range(3)]
    go_on.set()
    assert await asyncio.gather(renewing, *waiting) == [CREATED] * 4
    assert keys.given == 2, "one fetch at a time"
    await puts.close()


async def test_an_identity_that_hangs_is_given_up_and_the_old_key_serves(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_FETCH_SECONDS", 0.01)
    keys = Keys()
    puts = uploads_to(account, by(keys))
    await puts.put(permit(), "c", "first", b"x", HEADERS)

    async def hang(*args: Any) -> UserDelegationKey:
        await asyncio.Event().wait()
        raise AssertionError

    keys.get_user_delegation_key = hang  # type: ignore[method-assign]
    puts._keys._expires_on = time.time() + 200  # type: ignore[attr-defined]
    assert await puts.put(permit(), "c", "second", b"x", HEADERS) == CREATED
    await puts.close()


async def test_a_kept_alive_connection_that_breaks_sends_the_whole_batch_again(
    account: Account, store: AzureCaptureStore
) -> None:
    content = b"0123456789" * 80_000
    await store.put_batch(permit(), "c", "warm", b"x", "hash")
    account.bodies.clear()
    account.answers = [LOST, 201]
    for _ in range(2):  # the client library itself may send once more
        try:
            assert await store.put_batch(permit(), "c", "b", content, "hash") is Put.CREATED
            break
        except TryAgain:
            pass
    assert account.bodies[-1] == content


async def test_a_batch_is_put_as_the_blob_service_wants_it(account: Account, store: AzureCaptureStore) -> None:
    await store.put_batch(permit(), "c", "b", b"content", "hash")
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


async def test_d17_a_log_is_created_and_appended_to_as_the_blob_service_wants_it(
    account: Account, store: AzureCaptureStore
) -> None:
    account.offset = 4711
    await store.create_log(permit(), "c", "spans-1204")
    assert await store.append(permit(), "c", "spans-1204", b"record") == 4711
    created, appended = account.asked
    assert account.bodies == [b"", b"record"]
    assert (created.method, created.path, created.headers["If-None-Match"]) == ("PUT", "/st/c/spans-1204", "*")
    assert (created.headers["x-ms-blob-type"], created.headers["Content-Length"]) == ("AppendBlob", "0")
    assert (appended.method, appended.path, appended.query["comp"]) == ("PUT", "/st/c/spans-1204", "appendblock")
    assert appended.headers["Content-Length"] == "6" and "If-None-Match" not in appended.headers
    assert "Authorization" not in {*created.headers, *appended.headers}


async def test_p2_a_signature_to_append_is_for_one_log_and_for_nothing_else(account: Account) -> None:
    puts = uploads_to(account, ByKey("a2V5"))
    for age in (0.0, 1.5):
        before = datetime.now(UTC).replace(microsecond=0)
        await puts.append(permit(age, ManualClock(START)), "c", "log", b"x")
        query = parse_qs(account.asked[-1].query_string)
        expiry = datetime.strptime(query["se"][0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        signed = timedelta(seconds=deadlines.SIGNATURE_SECONDS - age)
        assert before + signed - timedelta(seconds=1) <= expiry <= datetime.now(UTC) + signed
        assert (query["sp"], query["sr"], "st" in query) == (["a"], ["b"], False)
    await puts.put(permit(), "c", "log", b"", {"x-ms-blob-type": "AppendBlob"})
    assert parse_qs(account.asked[-1].query_string)["sp"] == ["c"], "who creates a log need not append to it"
    await puts.close()


def create_log(store: AzureCaptureStore) -> Any:
    return store.create_log(permit(), "c", "log")


def append(store: AzureCaptureStore) -> Any:
    return store.append(permit(), "c", "log", b"record")


WRITES = pytest.mark.parametrize("write", [create_log, append])


@WRITES
@pytest.mark.parametrize("passing", [408, 429, 500, 502, 503, 504, LOST])
async def test_d17_what_passes_may_be_tried_again_and_is_not_without_consent(
    account: Account, store: AzureCaptureStore, write: Any, passing: int
) -> None:
    account.answers = [passing] * 4
    with pytest.raises(TryAgain, match="storage-unreachable" if passing == LOST else "storage-SomeCode"):
        await write(store)
    # On a connection that breaks the client library itself may send once more.
    assert len(account.asked) == 1 or passing == LOST


@WRITES
@pytest.mark.parametrize("final", [301, 307, 400, 403, 404, 409, 412, 413])
async def test_d17_what_does_not_pass_is_told(
    account: Account, store: AzureCaptureStore, write: Any, final: int
) -> None:
    account.answers = [final]
    with pytest.raises(StoreUnavailable, match="storage-SomeCode") as told:
        await write(store)
    assert not isinstance(told.value, TryAgain) and len(account.asked) == 1


@WRITES
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "ContainerNotFound", ContainerMissing),
        (404, "BlobNotFound", BatchMissing),
        (409, "ContainerBeingDeleted", ContainerBeingDeleted),
        (403, "AuthenticationFailed", TryAgain),
    ],
)
async def test_d17_what_is_missing_or_came_late_is_told_from_all_else(
    account: Account, store: AzureCaptureStore, write: Any, status: int, code: str, expected: type[Exception]
) -> None:
    account.answers, account.code = [status], code
    with pytest.raises(expected):
        await write(store)


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "BlobAlreadyExists"), (403, "UnauthorizedBlobOverwrite"), (403, "AuthorizationPermissionMismatch")],
)
async def test_d17_a_log_that_is_there_is_fine(
    account: Account, store: AzureCaptureStore, status: int, code: str
) -> None:
    account.answers, account.code = [status], code
    await store.create_log(permit(), "c", "log")
    account.answers = [status]
    with pytest.raises(StoreUnavailable, match=f"storage-{code}"):
        await store.append(permit(), "c", "log", b"record")


async def test_p2_nothing_is_sent_to_a_log_on_a_permit_that_ended_while_a_key_was_fetched(account: Account) -> None:
    clock = ManualClock(START)
    puts = uploads_to(account, slow_key(clock))
    with pytest.raises(ConsentExpired):
        await puts.append(permit(clock=clock), "c", "log", b"x")
    assert account.asked == []
    await puts.close()


@pytest_asyncio.fixture
async def azurite(stack: Stack) -> AsyncIterator[AzureCaptureStore]:
    store = AzureCaptureStore.connect(stack.description.storage["europe"], None)
    yield store
    await store.close()


async def test_p2_storage_refuses_a_signature_that_has_expired_and_any_use_but_the_creation_of_its_blob(
    azurite: AzureCaptureStore,
) -> None:
    name, mine, another = new_name(), "a" * 32, "b" * 32
    await azurite.create_container(permit(), name)
    puts = azurite._uploads
    key = await puts._keys.current()
    blob_type = {"x-ms-blob-type": "BlockBlob"}

    async def status(method: str, blob: str, signature: str) -> int:
        async with aiohttp.ClientSession() as session:
            url = f"{puts._endpoint}/{name}/{blob}?{signature}"
            async with session.request(method, url, data=b"mine" if method == "PUT" else None, headers=blob_type) as it:
                return it.status

    signature = puts._sign(permit(), name, mine, uploads._CREATE, key)
    expired = puts._sign(permit(deadlines.SIGNATURE_SECONDS + 1), name, mine, uploads._CREATE, key)
    assert await status("PUT", mine, expired) == 403
    assert await status("PUT", another, signature) == 403
    assert await status("PUT", mine, signature) == 201
    for method in ("PUT", "GET", "DELETE"):  # without If-None-Match, too, nothing is replaced
        assert await status(method, mine, signature) == 403
    assert list(await azurite.list_batches(name, limit=9, after=None)) == [mine]
    assert await azurite.read_batch(name, mine) == b"mine"


async def test_p2_storage_refuses_a_signature_to_append_for_anything_but_to_append_to_its_log(
    azurite: AzureCaptureStore,
) -> None:
    name = new_name()
    await azurite.create_container(permit(), name)
    for log in ("a", "b"):
        await azurite.create_log(permit(), name, log)
    puts = azurite._uploads
    key = await puts._keys.current()

    async def status(method: str, blob: str, signature: str, query: str = "comp=appendblock&") -> int:
        async with aiohttp.ClientSession() as session:
            url = f"{puts._endpoint}/{name}/{blob}?{query}{signature}"
            headers = {} if query else {"x-ms-blob-type": "AppendBlob"}
            async with session.request(method, url, data=b"mine" if method == "PUT" else None, headers=headers) as it:
                return it.status

    signature = puts._sign(permit(), name, "a", uploads._ADD, key)
    expired = puts._sign(permit(deadlines.SIGNATURE_SECONDS + 1), name, "a", uploads._ADD, key)
    to_create = puts._sign(permit(), name, "a", uploads._CREATE, key)
    assert await status("PUT", "a", expired) == 403
    assert await status("PUT", "b", signature) == 403
    assert await status("PUT", "a", signature) == 201
    for method in ("PUT", "GET", "DELETE"):
        assert await status(method, "a", signature, "") == 403
    # As long as a log is there, what creates it does not empty it.
    assert await status("PUT", "a", to_create, "") in {403, 409}
    assert await azurite.read_log(name, "a", 0) == b"mine"
    assert await azurite.append(permit(), name, "b", b"first") == 0
