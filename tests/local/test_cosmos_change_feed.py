"""The latest-version change feed through the real SDK."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from local.cosmos import ranges
from tests.local.cosmos_server import RunningServer, fresh_container, request, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("cosmos") / "data.sqlite") as started:
        yield started


@pytest.fixture
async def container(server: RunningServer) -> AsyncIterator[ContainerProxy]:
    async with fresh_container(server) as fresh:
        yield fresh


async def read(container: ContainerProxy, **start: Any) -> tuple[list[dict[str, Any]], str]:
    """All changes from there on, and the token to go on from."""
    changes = [change async for change in container.query_items_change_feed(**start)]
    return changes, container.client_connection.last_response_headers["etag"]


def create(item_id: str, tenant: str = "t") -> tuple[str, tuple[dict[str, str]]]:
    return "create", ({"id": item_id, "tenantId": tenant},)


async def test_an_item_appears_once_with_its_latest_version(container: ContainerProxy) -> None:
    await container.create_item({"id": "a", "tenantId": "t", "n": 1})
    await container.create_item({"id": "b", "tenantId": "u", "n": 1})
    await container.upsert_item({"id": "a", "tenantId": "t", "n": 2})
    await container.replace_item("a", {"id": "a", "tenantId": "t", "n": 3})
    changes, _ = await read(container, start_time="Beginning")
    assert [(change["id"], change["n"], change["_lsn"]) for change in changes] == [("b", 1, 2), ("a", 3, 4)]


async def test_resumes_from_the_etag(container: ContainerProxy) -> None:
    nothing, start = await read(container, start_time="Beginning")
    assert nothing == []
    await container.create_item({"id": "a", "tenantId": "t"})
    await container.create_item({"id": "b", "tenantId": "t"})
    first, token = await read(container, continuation=start)
    assert [change["id"] for change in first] == ["a", "b"]
    nothing, same = await read(container, continuation=token)
    assert nothing == []
    await container.upsert_item({"id": "a", "tenantId": "t"})
    for resume in (token, same):  # a token can be used again: what was read after it may have been lost
        again, _ = await read(container, continuation=resume)
        assert [change["id"] for change in again] == ["a"]


async def test_deletes_do_not_appear(container: ContainerProxy) -> None:
    await container.create_item({"id": "a", "tenantId": "t"})
    await container.create_item({"id": "b", "tenantId": "t"})
    await container.delete_item("a", "t")
    changes, token = await read(container, start_time="Beginning")
    assert [change["id"] for change in changes] == ["b"]
    await container.delete_item("b", "t")
    assert (await read(container, continuation=token))[0] == []


async def test_from_now(container: ContainerProxy) -> None:
    await container.create_item({"id": "old", "tenantId": "t"})
    nothing, token = await read(container, start_time="Now")
    assert nothing == []
    await container.create_item({"id": "new", "tenantId": "t"})
    assert [change["id"] for change in (await read(container, continuation=token))[0]] == ["new"]


async def test_from_a_time(container: ContainerProxy) -> None:
    await container.create_item({"id": "old", "tenantId": "t"})
    await asyncio.sleep(1.1)
    new = await container.create_item({"id": "new", "tenantId": "t"})
    changes, _ = await read(container, start_time=datetime.fromtimestamp(new["_ts"], UTC))
    assert [change["id"] for change in changes] == ["new"]


async def test_pages_have_the_size_asked_for(container: ContainerProxy) -> None:
    for number in range(7):
        await container.create_item({"id": f"{number}", "tenantId": f"{number % 2}"})
    pages = container.query_items_change_feed(start_time="Beginning", max_item_count=3).by_page()
    assert [[change["id"] async for change in page] async for page in pages] == [list("012"), list("345"), list("6")]


async def test_a_transaction_is_one_lsn_and_never_split(container: ContainerProxy) -> None:
    await container.create_item({"id": "x", "tenantId": "t"})
    await container.execute_item_batch([create("a"), create("b"), create("c")], "t")
    await container.create_item({"id": "y", "tenantId": "t"})
    pages = container.query_items_change_feed(start_time="Beginning", max_item_count=2).by_page()
    read_pages = [[(change["id"], change["_lsn"]) async for change in page] async for page in pages]
    assert read_pages == [[("x", 1), ("a", 2), ("b", 2), ("c", 2)], [("y", 3)]]


async def test_writers_at_work_are_never_passed_over(container: ContainerProxy) -> None:
    written: list[str] = []

    async def write(name: str) -> None:
        for number in range(15):
            await container.create_item({"id": f"{name}{number}", "tenantId": name})
            written.append(f"{name}{number}")

    writers = asyncio.gather(*map(write, "uvwx"))
    seen, token = await read(container, start_time="Beginning", max_item_count=3)
    while not writers.done():
        changes, token = await read(container, continuation=token, max_item_count=3)
        seen += changes
    await writers
    seen += (await read(container, continuation=token))[0]
    assert sorted(change["id"] for change in seen) == sorted(written)
    assert sorted(change["_lsn"] for change in seen) == list(range(1, 61))
    for tenant in "uvwx":
        assert [change["id"] for change in seen if change["tenantId"] == tenant] == [f"{tenant}{n}" for n in range(15)]


async def test_the_wire(server: RunningServer, container: ContainerProxy) -> None:
    path = f"/dbs/tests/colls/{container.id}/docs"
    here = ranges.of_partition('["t"]')
    feed = {"a_im": "Incremental Feed", "x_ms_documentdb_partitionkeyrangeid": f"{here}"}
    status, headers, _ = await request(server, "GET", path, **feed)
    assert (status, headers["etag"]) == (304, '"0"')
    await container.create_item({"id": "a", "tenantId": "t"})
    status, headers, body = await request(server, "GET", path, **feed, if_none_match=headers["etag"])
    assert (status, headers["etag"], body["_count"]) == (200, '"1"', 1)
    status, headers, _ = await request(server, "GET", path, **feed, if_none_match="*")
    assert (status, headers["etag"]) == (304, '"1"')
    status, _, body = await request(server, "GET", path, **feed, x_ms_start_epk="", x_ms_end_epk="FF")
    assert (status, len(body["Documents"])) == (200, 1)
    elsewhere = {**feed, "x_ms_documentdb_partitionkeyrangeid": f"{(here + 1) % ranges.COUNT}"}
    status, headers, _ = await request(server, "GET", path, **elsewhere)
    assert (status, headers["etag"]) == (304, '"1"')
    later = format_datetime(datetime.fromtimestamp(body["Documents"][0]["_ts"] + 1, UTC), usegmt=True)
    assert (await request(server, "GET", path, **feed, if_modified_since=later))[0] == 304
    for wrong in ({"if_none_match": '"2"'}, {"if_none_match": "x"}, {"if_modified_since": "yesterday"}):
        # A token from beyond the last write would pass over changes in silence.
        assert (await request(server, "GET", path, **feed, **wrong))[0] == 400


async def test_a_feed_is_that_of_one_range(server: RunningServer, container: ContainerProxy) -> None:
    path = f"/dbs/tests/colls/{container.id}/docs"
    assert (await request(server, "GET", path, a_im="Incremental Feed"))[0] == 400
    gone = {"a_im": "Incremental Feed", "x_ms_documentdb_partitionkeyrangeid": "4"}
    status, headers, _ = await request(server, "GET", path, **gone)
    assert (status, headers["x-ms-substatus"]) == (410, "1002")


async def test_each_feed_range_has_its_own_continuation(container: ContainerProxy) -> None:
    feed_ranges = [feed_range async for feed_range in container.read_feed_ranges()]
    assert len(feed_ranges) == ranges.COUNT
    found, tokens = [], []
    for number in range(20):
        await container.create_item({"id": f"{number}", "tenantId": f"{number}"})
    for feed_range in feed_ranges:
        changes, token = await read(container, start_time="Beginning", feed_range=feed_range)
        found.append({change["id"] for change in changes})
        tokens.append(token)
    assert sum(map(len, found)) == 20 and all(found)
    for number in range(20):
        await container.upsert_item({"id": f"{number}", "tenantId": f"{number}"})
    for before, token in zip(found, tokens, strict=True):
        changes, _ = await read(container, continuation=token)
        assert {change["id"] for change in changes} == before


async def test_one_partition_is_refused(container: ContainerProxy) -> None:
    await container.create_item({"id": "a", "tenantId": "t"})
    with pytest.raises(CosmosHttpResponseError, match="x-ms-start-epk") as refused:
        await read(container, start_time="Beginning", partition_key="t")
    assert refused.value.status_code == 501
