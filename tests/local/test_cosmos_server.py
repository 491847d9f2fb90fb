"""The server as a process: start, key, death, and the wire without the SDK.."""

import asyncio
import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ServiceRequestError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosAccessConditionFailedError, CosmosHttpResponseError

from local.cosmos import ranges
from tests.local.cosmos_server import KEY, ROOT, RunningServer, fresh_container, request, running
from tests.local.host_app import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("cosmos") / "data.sqlite") as started:
        yield started


async def test_wrong_key_is_401(server: RunningServer) -> None:
    client = CosmosClient(server.url, base64.b64encode(b"another key").decode())
    try:
        with pytest.raises(CosmosHttpResponseError) as refused:
            await client.create_database("never")
    finally:
        await client.close()
    assert refused.value.status_code == 401


@pytest.mark.parametrize("authorization", ["", "type%3Dresource%26ver%3D1.0%26sig%3DAAAA", "type=master&ver=1.0&sig=A"])
async def test_no_signature_is_401(server: RunningServer, authorization: str) -> None:
    status, _, body = await request(server, "GET", "/dbs/tests", authorization=authorization)
    assert (status, body["code"]) == (401, "Unauthorized")


async def test_a_signature_is_good_for_one_address_only(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        path = f"/dbs/tests/colls/{container.id}"
        assert (await request(server, "GET", path))[0] == 200
        assert (await request(server, "GET", path, x_ms_date="Mon, 01 Jan 2024 00:00:00 GMT"))[0] == 401


async def test_account_is_strong_and_echoes_the_host(server: RunningServer) -> None:
    async with CosmosClient(server.url, KEY) as client:
        account = await client._get_database_account()
    assert account.ConsistencyPolicy == {"defaultConsistencyLevel": "Strong"}
    locations = account.WritableLocations + account.ReadableLocations
    assert {location["databaseAccountEndpoint"] for location in locations} == {server.url + "/"}


async def test_databases_and_containers_come_and_go(server: RunningServer) -> None:
    async with CosmosClient(server.url, KEY) as client:
        database = await client.create_database("short-lived")
        with pytest.raises(CosmosHttpResponseError, match="exists") as refused:
            await client.create_database("short-lived")
        assert refused.value.status_code == 409
        policy = {"indexingMode": "consistent", "includedPaths": [{"path": "/at/?"}], "excludedPaths": [{"path": "/*"}]}
        container = await database.create_container(
            "things", PartitionKey("/tenantId"), default_ttl=60, indexing_policy=policy
        )
        properties = await container.read()
        assert (properties["defaultTtl"], properties["indexingPolicy"]) == (60, policy)
        assert properties["partitionKey"] == {"paths": ["/tenantId"], "kind": "Hash", "version": 2}
        with pytest.raises(CosmosHttpResponseError, match="exists") as refused:
            await database.create_container("things", PartitionKey("/tenantId"))
        assert refused.value.status_code == 409
        again = await database.create_container_if_not_exists("things", PartitionKey("/tenantId"))
        assert (await again.read())["_rid"] == properties["_rid"]
        await database.delete_container("things")
        with pytest.raises(CosmosHttpResponseError) as refused:
            await container.read()
        assert refused.value.status_code == 404
        await client.delete_database("short-lived")
        with pytest.raises(CosmosHttpResponseError) as refused:
            await database.read()
        assert refused.value.status_code == 404


async def test_a_container_made_anew_is_another(server: RunningServer) -> None:
    async with fresh_container(server) as container, CosmosClient(server.url, KEY) as other:
        await container.create_item({"id": "old", "tenantId": "t"})
        rid = (await container.read())["_rid"]
        database = other.get_database_client("tests")
        await database.delete_container(container.id)
        await database.create_container(container.id, PartitionKey("/tenantId"))
        with pytest.raises(CosmosHttpResponseError) as refused:  # through the SDK's stale cache: 1024, then afresh
            await container.read_item("old", "t")
        assert refused.value.status_code == 404
        assert (await container.read())["_rid"] != rid
        path, key = f"/dbs/tests/colls/{container.id}/docs/old", '["t"]'
        status, headers, _ = await request(
            server, "GET", path, x_ms_documentdb_partitionkey=key, x_ms_cosmos_intended_collection_rid=rid
        )
        assert (status, headers["x-ms-substatus"]) == (400, "1024")


async def test_missing_container_is_told_from_missing_item(server: RunningServer) -> None:
    await request(server, "POST", "/dbs", b'{"id": "tests"}')
    key = '["t"]'
    status, headers, _ = await request(
        server, "GET", "/dbs/tests/colls/nowhere/docs/a", x_ms_documentdb_partitionkey=key
    )
    assert (status, headers["x-ms-substatus"]) == (404, "1003")
    async with fresh_container(server) as container:
        path = f"/dbs/tests/colls/{container.id}/docs/a"
        status, headers, _ = await request(server, "GET", path, x_ms_documentdb_partitionkey=key)
        assert (status, "x-ms-substatus" in headers) == (404, False)
        with pytest.raises(CosmosHttpResponseError):
            await container.read_item("a", "t")  # fills the client's cache of the container
        await request(server, "DELETE", f"/dbs/tests/colls/{container.id}")
        with pytest.raises(CosmosHttpResponseError) as refused:
            await container.read_item("a", "t")
        assert (refused.value.status_code, refused.value.sub_status) == (404, 1003)


async def test_every_answer_has_the_headers_the_sdk_reads(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        await container.create_item({"id": "a", "tenantId": "t"})
        path = f"/dbs/tests/colls/{container.id}/docs/a"
        _, headers, _ = await request(server, "GET", path, x_ms_documentdb_partitionkey='["t"]', x_ms_activity_id="me")
    assert headers["x-ms-activity-id"] == "me"
    assert headers["x-ms-session-token"] == "0:-1#1"
    assert headers["lsn"] == "1"
    assert float(headers["x-ms-request-charge"]) > 0


@pytest.mark.parametrize(
    ("method", "rest", "headers", "names"),
    [
        ("PATCH", "/docs/a", {}, "PATCH of /dbs/colls/docs"),
        ("GET", "/docs", {}, "A-IM"),
        ("GET", "/docs", {"a_im": "Full-Fidelity Feed"}, "A-IM"),
        ("GET", "/docs", {"a_im": "Incremental Feed", "x_ms_start_epk": "05"}, "x-ms-start-epk"),
        ("POST", "/sprocs", {}, "POST of /dbs/colls/sprocs"),
        ("PUT", "", {}, "PUT of /dbs/colls"),
    ],
)
async def test_what_is_not_implemented_says_so(
    server: RunningServer, method: str, rest: str, headers: dict[str, str], names: str
) -> None:
    async with fresh_container(server) as container:
        path = f"/dbs/tests/colls/{container.id}{rest}"
        status, _, body = await request(server, method, path, b"{}", **headers)
    assert (status, body["code"]) == (501, "NotImplemented")
    assert names in body["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": NaN}', b'{"a": 1e400}', b'{"a": "\\ud800"}', b"\xff", b"[]", b"[" * 100_000]
)
async def test_malformed_body_is_400(server: RunningServer, body: bytes) -> None:
    async with fresh_container(server) as container:
        path = f"/dbs/tests/colls/{container.id}/docs"
        status, _, answer = await request(server, "POST", path, body, x_ms_documentdb_partitionkey='["t"]')
    assert (status, answer["code"]) == (400, "BadRequest")


@pytest.mark.stack
async def test_kill_loses_nothing_and_tokens_go_on(tmp_path: Path) -> None:
    with running(tmp_path / "data.sqlite") as server:
        async with fresh_container(server) as container:
            rid = (await container.read())["_rid"]
            writes = [container.create_item({"id": f"{n:02}", "tenantId": "t", "n": n}) for n in range(40)]
            stored = await asyncio.gather(*writes)
            # Of the one range that all of them lie in.
            feed_ranges = [feed_range async for feed_range in container.read_feed_ranges()]
            start: dict[str, Any] = {"feed_range": feed_ranges[ranges.of_partition('["t"]')], "start_time": "Beginning"}
            feed = container.query_items_change_feed(**start, max_item_count=30)
            first = [item["id"] async for item in await anext(feed.by_page())]
            feed_token = container.client_connection.last_response_headers["etag"]
            ask = {"query": "SELECT * FROM c ORDER BY c.n", "partition_key": "t", "max_item_count": 25}
            pages = container.query_items(**ask).by_page()
            head = [item["id"] async for item in await anext(pages)]
            query_token = pages.continuation_token

            server.kill()
            server.start()

            # The same client goes on, and so does a new one.
            again = await container.read_item("07", "t")
            assert again == stored[7]
            assert (await container.read())["_rid"] == rid
        async with CosmosClient(server.url, KEY) as client:
            container = client.get_database_client("tests").get_container_client(container.id)
            tail = [
                item["id"] async for page in container.query_items(**ask).by_page(query_token) async for item in page
            ]
            assert head + tail == [f"{n:02}" for n in range(40)]
            rest = [item["id"] async for item in container.query_items_change_feed(continuation=feed_token)]
            assert sorted(first + rest) == [f"{n:02}" for n in range(40)]
            assert len(first) == 30
            new = await container.replace_item(
                "07", {**again, "n": -1}, etag=again["_etag"], match_condition=MatchConditions.IfNotModified
            )
            with pytest.raises(CosmosAccessConditionFailedError):
                await container.replace_item(
                    "07", {**again, "n": -2}, etag=again["_etag"], match_condition=MatchConditions.IfNotModified
                )
            assert new["_rid"] == again["_rid"]


@pytest.mark.stack
async def test_kill_amid_writes_keeps_every_answered_one(tmp_path: Path) -> None:
    with running(tmp_path / "data.sqlite") as server:
        async with fresh_container(server) as container:
            answered = set()

            async def write(name: str) -> None:
                number = 0
                with contextlib.suppress(ServiceRequestError, CosmosHttpResponseError):
                    while True:
                        batch = [("create", ({"id": f"{name}-{number}-{half}", "tenantId": "t"},)) for half in "ab"]
                        await container.execute_item_batch(batch, "t", retry_connect=0, retry_read=0)
                        answered.add(f"{name}-{number}")
                        number += 1

            writers = [asyncio.create_task(write(name)) for name in "xyz"]
            await until(lambda: len(answered) > 10)
            server.kill()
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
            server.start()
            found = {item async for item in container.query_items("SELECT VALUE c.id FROM c", partition_key="t")}
    assert {f"{name}-{half}" for name in answered for half in "ab"} <= found
    assert {name[:-1] + "a" for name in found} == {name for name in found if name.endswith("a")}  # no half a batch
    assert {name[:-1] + "b" for name in found} == {name for name in found if name.endswith("b")}


def test_a_second_server_on_the_same_file_does_not_start(server: RunningServer) -> None:
    command = [sys.executable, "-m", "local.cosmos", "--port", "1", "--data", str(server.data), "--key", KEY]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode != 0
    assert "locked" in second.stderr


@pytest.mark.stack
def test_ends_with_its_standard_input(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data.sqlite")
    assert server.end() == b""
    assert server.process.returncode == 0
