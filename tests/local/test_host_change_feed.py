"""The Cosmos DB trigger and its leases, against the development Cosmos DB."""

import asyncio
import base64
import json
import logging
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from local.host import change_feed
from local.host.leases import Lease, LeaseLostError
from local.ports import free_ports
from tests.local.host_app import ROOT, running, until, write_app

KEY = base64.b64encode(b"k" * 32).decode()
FEED = """
@app.cosmos_db_trigger(arg_name="documents", connection="COSMOS", database_name="%DATABASE%", container_name="items",
    lease_acquire_interval=200, lease_renew_interval=200, lease_expiration_interval=1000{extra})
async def feed(documents: func.DocumentList, context: func.Context) -> None:
    assert isinstance(documents, func.DocumentList) and all(isinstance(d, func.Document) for d in documents)
    seen.append(([d["id"] for d in documents], context.retry_context.retry_count))
    {then}
"""
BEGINNING = ", start_from_beginning=True"


def app(tmp_path: Path, extra: str = BEGINNING, then: str = "pass", retry: str = "") -> Path:
    return write_app(tmp_path, retry + FEED.format(extra=extra, then=then))


class Server:
    """A development Cosmos DB that can be killed and started again."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_ports(1)[0]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "local.cosmos", "--port", str(self.port), "--data", str(self.data)]
        self.process = subprocess.Popen(
            [*command, "--key", KEY, "--exit-with-stdin"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1).close()
            except urllib.error.HTTPError as answered:
                answered.close()
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("the development Cosmos DB does not start")

    def kill(self) -> None:
        assert self.process.stdin is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(change_feed, "_RETRY_SECONDS", 0.3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("cosmos") / "data.db")
    yield started
    started.kill()


@pytest.fixture
async def cosmos(server: Server) -> AsyncIterator[SimpleNamespace]:
    """A database of its own with ``items`` and ``leases``, and the settings for a host."""
    name, url = uuid.uuid4().hex, f"http://127.0.0.1:{server.port}/"
    async with CosmosClient(url, KEY) as client:
        database = await client.create_database(name)
        items = await database.create_container("items", PartitionKey("/pk"))
        leases = await database.create_container("leases", PartitionKey("/id"))

        async def put(*ids: str, partition: str = "p") -> None:
            for each in ids:
                await items.upsert_item({"id": each, "pk": partition})

        settings = {"COSMOS": f"AccountEndpoint={url};AccountKey={KEY};", "DATABASE": name}
        yield SimpleNamespace(database=database, leases=leases, put=put, settings=settings, name=name)


def ids(host: SimpleNamespace) -> list[str]:
    return [each for batch, _ in host.module.seen for each in batch]


async def test_batches_come_in_order_and_a_restart_goes_on_from_the_lease(
    tmp_path: Path, cosmos: SimpleNamespace
) -> None:
    file = app(tmp_path, extra=BEGINNING + ", max_items_per_invocation=2")
    await cosmos.put("1", "2", "3")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host) == ["1", "2", "3"])
        assert [batch for batch, _ in host.module.seen] == [["1", "2"], ["3"]]
        await cosmos.put("4")
        await until(lambda: ids(host) == ["1", "2", "3", "4"])
    await cosmos.put("5")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host))
        await asyncio.sleep(0.3)
        assert ids(host) == ["5"]
    lease = await cosmos.leases.read_item(f"{cosmos.name}_items..0", f"{cosmos.name}_items..0")
    assert lease["owner"] is None


async def test_every_range_is_followed_and_goes_on_from_its_own_place(tmp_path: Path, cosmos: SimpleNamespace) -> None:
    async def put_everywhere(name: str) -> None:
        for partition in range(12):
            await cosmos.put(f"{name}{partition}", partition=f"{partition}")

    def everywhere(name: str) -> list[str]:
        return sorted(f"{name}{partition}" for partition in range(12))

    file = app(tmp_path, extra=BEGINNING + ", max_items_per_invocation=1")
    await put_everywhere("a")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        # Stopped while some ranges have been read once, some more often, and perhaps some never.
        await until(lambda: len(ids(host)) >= 3)
    first = ids(host)
    await put_everywhere("b")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: len(first + ids(host)) >= 24)
        await put_everywhere("c")
        await until(lambda: len(first + ids(host)) >= 36)
        assert sorted(first + ids(host)) == everywhere("a") + everywhere("b") + everywhere("c")


async def test_without_start_from_beginning_the_first_start_is_where_the_feed_begins(
    tmp_path: Path, cosmos: SimpleNamespace
) -> None:
    file = app(tmp_path, extra="")
    await cosmos.put("before")
    async with running(file, tmp_path / "s", cosmos.settings):
        await asyncio.sleep(0.4)
    await cosmos.put("while it was down")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host) == ["while it was down"])


ENDLESS = (
    "@app.retry(strategy='exponential_backoff', max_retry_count='-1', minimum_interval='00:00:00', "
    "maximum_interval='00:00:01')"
)


async def test_an_endless_policy_repeats_a_batch_until_it_succeeds(tmp_path: Path, cosmos: SimpleNamespace) -> None:
    await cosmos.put("1")
    file = app(tmp_path, then="assert len(seen) > 3, 'content'", retry=ENDLESS)
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: len(host.module.seen) == 4)
        await asyncio.sleep(0.4)
        assert host.module.seen == [(["1"], 0), (["1"], 1), (["1"], 2), (["1"], 3)]


async def test_a_stop_during_repeats_does_not_pass_the_batch_over(tmp_path: Path, cosmos: SimpleNamespace) -> None:
    await cosmos.put("1")
    file = app(tmp_path, then="raise ValueError", retry=ENDLESS)
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: len(host.module.seen) == 2)
    async with running(app(tmp_path), tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host) == ["1"])


@pytest.mark.parametrize(("retries", "runs"), [(None, 1), (2, 3)])
async def test_after_the_last_repeat_the_batch_is_passed_over(
    tmp_path: Path, cosmos: SimpleNamespace, retries: int | None, runs: int, caplog: pytest.LogCaptureFixture
) -> None:
    policy = f"@app.retry(strategy='fixed_delay', max_retry_count='{retries}', delay_interval='00:00:00')"
    await cosmos.put("lost")
    file = app(tmp_path, then="assert documents[0]['id'] != 'lost'", retry=policy if retries else "")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: len(host.module.seen) == runs)
        await cosmos.put("next")
        await until(lambda: "next" in ids(host))
        assert ids(host) == ["lost"] * runs + ["next"]
    assert "passed over" in caplog.text


async def test_one_of_two_hosts_owns_the_feed_and_the_other_follows_a_clean_stop(
    tmp_path: Path, cosmos: SimpleNamespace
) -> None:
    file = app(tmp_path)
    async with running(file, tmp_path / "a", cosmos.settings) as one:
        await cosmos.put("1")
        await until(lambda: ids(one) == ["1"])
        async with running(file, tmp_path / "b", cosmos.settings) as other:
            await cosmos.put("2")
            await until(lambda: ids(one) == ["1", "2"])
            # Longer than a lease lives unrenewed: the owner keeps it only because it renews.
            await asyncio.sleep(1.3)
            await one.host.stop()
            await cosmos.put("3")
            await until(lambda: ids(other) == ["3"])
            assert ids(one) == ["1", "2"]


async def test_a_dead_owners_lease_is_taken_after_it_expires(tmp_path: Path, cosmos: SimpleNamespace) -> None:
    dead = Lease(cosmos.leases, f"{cosmos.name}_items..0", "dead", expires_after=1.0)
    assert await dead.acquire()
    expiry = time.monotonic() + 1.0
    await cosmos.put("1")
    async with running(app(tmp_path), tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host) == ["1"])
        assert time.monotonic() > expiry
    with pytest.raises(LeaseLostError):
        await dead.advance({"any range": "too late"})


async def test_a_batch_is_not_recorded_under_a_lost_lease(tmp_path: Path, cosmos: SimpleNamespace) -> None:
    await cosmos.put("1")
    async with running(app(tmp_path, then="await asyncio.sleep(0.4)"), tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host) == ["1"])
        lease_id = f"{cosmos.name}_items..0"
        item: dict[str, Any] = dict(await cosmos.leases.read_item(lease_id, lease_id))
        await cosmos.leases.upsert_item(item | {"owner": "thief", "expiresAt": time.time() + 60})
        await asyncio.sleep(1.0)
        lost = await cosmos.leases.read_item(lease_id, lease_id)
        assert lost["continuationTokens"] == item["continuationTokens"]
        assert ids(host) == ["1"]
        await cosmos.leases.upsert_item(item | {"owner": None})
        await until(lambda: ids(host) == ["1", "1"])


async def test_a_lease_has_one_winner(cosmos: SimpleNamespace) -> None:
    leases = [Lease(cosmos.leases, "l", str(owner), expires_after=60) for owner in range(5)]
    assert sum(await asyncio.gather(*(lease.acquire() for lease in leases))) == 1
    # The same owner again is a host that was killed and started again on its port.
    winner = (await cosmos.leases.read_item("l", "l"))["owner"]
    again = Lease(cosmos.leases, "l", winner, expires_after=60)
    assert await again.acquire()


async def test_the_lease_container_is_created_only_if_the_binding_says_so(
    tmp_path: Path, cosmos: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    await cosmos.put("1")
    file = app(tmp_path, extra=BEGINNING + ", lease_container_name='mine'")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await asyncio.sleep(0.4)
        assert ids(host) == []
        assert "Cosmos DB: CosmosResourceNotFoundError 404" in caplog.text
        status = await host.client.get("/admin/host/status")
        assert await status.json() == {"state": "Running"}
    file = app(tmp_path, extra=BEGINNING + ", lease_container_name='mine', create_lease_container_if_not_exists=True")
    async with running(file, tmp_path / "s", cosmos.settings) as host:
        await until(lambda: ids(host) == ["1"])


async def test_the_feed_recovers_when_cosmos_db_comes_back(
    tmp_path: Path, server: Server, cosmos: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(app(tmp_path), tmp_path / "s", cosmos.settings) as host:
        await cosmos.put("1")
        await until(lambda: ids(host) == ["1"])
        server.kill()
        await until(lambda: "trying on" in caplog.text)
        server.start()
        await cosmos.put("2")
        # "1" comes again if Cosmos DB died before the lease moved on: delivery is at least once.
        await until(lambda: ids(host)[-1] == "2")
    assert KEY not in caplog.text


async def test_a_feed_function_is_run_by_hand_with_documents(tmp_path: Path, cosmos: SimpleNamespace) -> None:
    async with running(app(tmp_path), tmp_path / "s", cosmos.settings) as host:

        async def run(text: str) -> tuple[int, Any]:
            answer = await host.client.post(
                "/admin/functions/feed", json={"input": text}, headers={"x-local-wait": "true"}
            )
            return answer.status, await answer.json()

        assert await run("") == (202, {"status": "completed"})
        assert await run(json.dumps([{"id": "by hand"}])) == (202, {"status": "completed"})
        assert host.module.seen == [([], 0), (["by hand"], 0)]
        for wrong in ("{", "{}", "[1]"):
            assert (await run(wrong))[0] == 400
