"""Items through the real SDK: conditions, partitions, batches, time to live."""

import asyncio
import json
from collections.abc import Awaitable, Iterator

import pytest
from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from tests.local.cosmos_server import RunningServer, fresh_container, request, running

UNCHANGED = MatchConditions.IfNotModified
# aiohttp's client warns of what the SDK does with a body over 1 MiB; here such bodies are the point.
large_bodies = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("cosmos") / "data.sqlite") as started:
        yield started


async def status_of(call: Awaitable[object]) -> int | None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call
    return refused.value.status_code


async def ids(container: ContainerProxy) -> list[str]:
    return [item async for item in container.query_items("SELECT VALUE c.id FROM c ORDER BY c.id")]


async def test_an_item_from_creation_to_deletion(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        created = await container.create_item({"id": "a", "tenantId": "t", "text": "Grüße, 🌍 \u0001", "big": 1 << 60})
        assert {"_rid", "_self", "_etag", "_ts", "_attachments"} <= created.keys()
        assert created["_etag"].startswith('"')
        assert created["_etag"].endswith('"')
        assert await container.read_item("a", "t") == created
        replaced = await container.replace_item("a", {"id": "a", "tenantId": "t", "_etag": "mine", "_lsn": 7})
        assert replaced["_etag"] not in ("mine", created["_etag"])
        assert replaced["_rid"] == created["_rid"]
        assert "text" not in replaced
        assert "_lsn" not in replaced
        assert (await container.upsert_item({"id": "a", "tenantId": "t", "n": 1}))["n"] == 1
        await container.upsert_item({"id": "b", "tenantId": "t"})
        await container.delete_item("a", "t")
        with pytest.raises(CosmosResourceNotFoundError):
            await container.read_item("a", "t")
        with pytest.raises(CosmosResourceNotFoundError):
            await container.delete_item("a", "t")
        with pytest.raises(CosmosResourceNotFoundError):
            await container.replace_item("a", {"id": "a", "tenantId": "t"})
        assert await ids(container) == ["b"]
        assert (await container.create_item({"id": "a", "tenantId": "t"}))["_rid"] != created["_rid"]


async def test_upsert_answers_201_then_200(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        path = f"/dbs/tests/colls/{container.id}/docs"
        headers = {"x_ms_documentdb_partitionkey": '["t"]', "x_ms_documentdb_is_upsert": "True"}
        body = b'{"id": "a", "tenantId": "t"}'
        assert [(await request(server, "POST", path, body, **headers))[0] for _ in range(2)] == [201, 200]


async def test_conditions(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        item = {"id": "a", "tenantId": "t"}
        old = (await container.create_item(item))["_etag"]
        new = (await container.replace_item("a", item, etag=old, match_condition=UNCHANGED))["_etag"]
        for call in (
            container.replace_item("a", item, etag=old, match_condition=UNCHANGED),
            container.upsert_item(item, etag=old, match_condition=UNCHANGED),
            container.delete_item("a", "t", etag=old, match_condition=UNCHANGED),
        ):
            with pytest.raises(CosmosAccessConditionFailedError):
                await call
        assert (await container.read_item("a", "t"))["_etag"] == new
        assert not await container.read_item("a", "t", etag=new, match_condition=MatchConditions.IfModified)  # 304
        assert await container.read_item("a", "t", etag=old, match_condition=MatchConditions.IfModified)
        await container.upsert_item(
            {"id": "b", "tenantId": "t"}, etag=old, match_condition=UNCHANGED
        )  # as on Azure: created
        await container.delete_item("a", "t", etag=new, match_condition=UNCHANGED)
        assert await ids(container) == ["b"]


async def test_create_of_what_exists_is_409(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        await container.create_item({"id": "a", "tenantId": "t", "n": 1})
        with pytest.raises(CosmosResourceExistsError):
            await container.create_item({"id": "a", "tenantId": "t", "n": 2})
        assert (await container.read_item("a", "t"))["n"] == 1


async def test_of_concurrent_conditional_replaces_exactly_one_wins(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        etag = (await container.create_item({"id": "a", "tenantId": "t"}))["_etag"]

        async def replace(number: int) -> int | None:
            try:
                body = {"id": "a", "tenantId": "t", "winner": number}
                await container.replace_item("a", body, etag=etag, match_condition=UNCHANGED)
            except CosmosAccessConditionFailedError:
                return None
            return number

        winners = [number for number in await asyncio.gather(*map(replace, range(20))) if number is not None]
        assert len(winners) == 1
        assert (await container.read_item("a", "t"))["winner"] == winners[0]


async def test_an_id_is_unique_within_its_partition_only(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        keys = ["t", "u", 1, 1.5, True, None]
        for key in keys:
            await container.create_item({"id": "a", "tenantId": key})
        await container.create_item({"id": "a"})  # the undefined key is one of its own
        for key in keys:
            assert (await container.read_item("a", key))["tenantId"] == key
        assert await status_of(container.read_item("a", "v")) == 404
        assert await status_of(container.create_item({"id": "a", "tenantId": 1.0})) == 409
        assert len(await ids(container)) == len(keys) + 1


async def test_body_and_header_must_agree_on_the_partition(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        path = f"/dbs/tests/colls/{container.id}/docs"
        for body in (b'{"id": "a", "tenantId": "u"}', b'{"id": "a"}', b'{"id": "a", "tenantId": ["t"]}'):
            status, _, _ = await request(server, "POST", path, body, x_ms_documentdb_partitionkey='["t"]')
            assert status == 400
        for header in ('["t", "u"]', "t", '"t"', "[[1]]"):
            body = b'{"id": "a", "tenantId": "t"}'
            assert (await request(server, "POST", path, body, x_ms_documentdb_partitionkey=header))[0] == 400
        assert (await request(server, "POST", path, b'{"id": "a", "tenantId": "t"}'))[0] == 400
        assert await ids(container) == []


@pytest.mark.parametrize("item_id", ["", "x" * 256, "a/b", "a\\b", "a?b", "a#b", 1, None])
async def test_bad_ids_are_400(server: RunningServer, item_id: object) -> None:
    async with fresh_container(server) as container:
        body = json.dumps({"id": item_id, "tenantId": "t"}).encode()
        path = f"/dbs/tests/colls/{container.id}/docs"
        assert (await request(server, "POST", path, body, x_ms_documentdb_partitionkey='["t"]'))[0] == 400


async def test_odd_ids_work(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        for item_id in ("with space", "100%25", "ünï🌍", "a+b&c=d", "x" * 255):
            await container.create_item({"id": item_id, "tenantId": "t"})
            assert (await container.read_item(item_id, "t"))["id"] == item_id


@large_bodies
async def test_an_item_over_two_megabytes_is_413(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        limit = 2 * 1024 * 1024
        assert await status_of(container.create_item({"id": "a", "tenantId": "t", "x": "y" * limit})) == 413
        assert await status_of(container.create_item({"id": "a", "tenantId": "t", "x": "y" * limit * 9})) == 413
        await container.create_item({"id": "a", "tenantId": "t", "x": "y" * (limit - 100)})


async def test_an_item_too_deep_for_queries_is_400(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        body = b'{"id": "a", "tenantId": "t", "x": ' + b"[" * 2500 + b"]" * 2500 + b"}"
        path = f"/dbs/tests/colls/{container.id}/docs"
        assert (await request(server, "POST", path, body, x_ms_documentdb_partitionkey='["t"]'))[0] == 400
        assert await ids(container) == []


async def test_a_write_without_response_payload(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        answer = await container.create_item({"id": "a", "tenantId": "t"}, no_response=True)
        assert not answer
        assert answer.get_response_headers()["etag"] == (await container.read_item("a", "t"))["_etag"]


async def test_a_batch_does_everything(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        old = await container.create_item({"id": "old", "tenantId": "t"})
        await container.create_item({"id": "gone", "tenantId": "t"})
        results = await container.execute_item_batch(
            [
                ("create", ({"id": "new", "tenantId": "t"},)),
                ("replace", ("old", {"id": "old", "tenantId": "t", "n": 1}), {"if_match_etag": old["_etag"]}),
                ("upsert", ({"id": "also", "tenantId": "t"},)),
                ("read", ("old",)),
                ("delete", ("gone",)),
            ],
            "t",
        )
        assert [result["statusCode"] for result in results] == [201, 200, 201, 200, 204]
        assert results[3]["resourceBody"] == await container.read_item("old", "t")
        assert results[1]["eTag"] == results[3]["resourceBody"]["_etag"]
        assert await ids(container) == ["also", "new", "old"]


@pytest.mark.parametrize(
    ("failing", "status"),
    [
        (("create", ({"id": "old", "tenantId": "t"},)), 409),
        (("replace", ("old", {"id": "old", "tenantId": "t"}), {"if_match_etag": '"other"'}), 412),
        (("replace", ("missing", {"id": "missing", "tenantId": "t"})), 404),
        (("create", ({"id": "x", "tenantId": "other"},)), 400),
        (("create", ({"id": "x", "tenantId": "t", "ttl": 0},)), 400),
    ],
)
async def test_a_batch_is_all_or_nothing(server: RunningServer, failing: tuple[object, ...], status: int) -> None:
    async with fresh_container(server) as container:
        old = await container.create_item({"id": "old", "tenantId": "t"})
        operations = [
            ("upsert", ({"id": "old", "tenantId": "t", "n": 1},)),
            failing,
            ("create", ({"id": "new", "tenantId": "t"},)),
        ]
        with pytest.raises(CosmosBatchOperationError) as failed:
            await container.execute_item_batch(operations, "t")
        assert (failed.value.status_code, failed.value.error_index) == (status, 1)
        assert [result["statusCode"] for result in failed.value.operation_responses] == [424, status, 424]
        assert await ids(container) == ["old"]
        assert await container.read_item("old", "t") == old
        feed = [item async for item in container.query_items_change_feed(start_time="Beginning")]
        assert [item["_lsn"] for item in feed] == [1]


@large_bodies
async def test_batch_limits(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        creates = [("create", ({"id": f"{n}", "tenantId": "t"},)) for n in range(101)]
        assert await status_of(container.execute_item_batch(creates, "t")) == 400
        assert await status_of(container.execute_item_batch([], "t")) == 400
        patch = [("patch", ("a", [{"op": "add", "path": "/x", "value": 1}]))]
        assert await status_of(container.execute_item_batch(patch, "t")) == 501
        large = [("create", ({"id": f"{n}", "tenantId": "t", "x": "y" * 1_500_000},)) for n in range(2)]
        assert await status_of(container.execute_item_batch(large, "t")) == 413
        assert await ids(container) == []
        assert len(await container.execute_item_batch(creates[:100], "t")) == 100


async def test_time_to_live(server: RunningServer) -> None:
    async with (
        fresh_container(server, default_ttl=2) as short,
        fresh_container(server, default_ttl=-1) as switched_on,
        fresh_container(server) as off,
    ):
        for container in (short, switched_on, off):
            await container.create_item({"id": "default", "tenantId": "t"})
            await container.create_item({"id": "one", "tenantId": "t", "ttl": 2})
            await container.create_item({"id": "never", "tenantId": "t", "ttl": -1})
            await container.create_item({"id": "hour", "tenantId": "t", "ttl": 3600})
            assert len(await ids(container)) == 4
        await asyncio.sleep(2.1)  # counted from _ts, which is whole seconds: at most two of them
        assert await ids(short) == ["hour", "never"]
        assert await ids(switched_on) == ["default", "hour", "never"]
        assert await ids(off) == ["default", "hour", "never", "one"]
        assert await status_of(switched_on.read_item("one", "t")) == 404
        assert await status_of(switched_on.replace_item("one", {"id": "one", "tenantId": "t"})) == 404
        feed = [item["id"] async for item in switched_on.query_items_change_feed(start_time="Beginning")]
        assert feed == ["default", "never", "hour"]
        count = [n async for n in switched_on.query_items("SELECT VALUE COUNT(1) FROM c")]
        assert count == [3]
        await switched_on.create_item({"id": "one", "tenantId": "t"})  # its place is free
        for ttl in (0, -2, "1", 1.5, True, None):
            assert await status_of(switched_on.upsert_item({"id": "x", "tenantId": "t", "ttl": ttl})) == 400
