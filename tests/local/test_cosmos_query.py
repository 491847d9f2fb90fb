"""Queries through the real SDK: their shapes, their types, their pages."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.local.cosmos_server import RunningServer, fresh_container, request, running

ITEMS: list[dict[str, Any]] = [
    {"id": "a", "tenantId": "t", "n": 3, "s": "apple", "in": {"ner": {"deep": 1}}, "flag": True},
    {"id": "b", "tenantId": "t", "n": 1, "s": "ant", "in": {"ner": {"deep": 2}}, "flag": False},
    {"id": "c", "tenantId": "t", "n": "3", "s": 'it\'s "q" \\', "order": 5, "flag": None},
    {"id": "d", "tenantId": "u", "n": 2.5, "s": "bee", "flag": 1},
    {"id": "e", "tenantId": "u", "s": "Zoo", "list": [1, 2], "n": None},
    {"id": "f", "tenantId": "u", "s": "éclair"},
]


def composite(*paths: str) -> list[dict[str, str]]:
    """A composite index over these paths; one that starts with ``-`` is descending."""
    return [{"path": p.lstrip("-"), **({"order": "descending"} if p.startswith("-") else {})} for p in paths]


POLICY = {
    "indexingMode": "consistent",
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
    "compositeIndexes": [
        composite("-/tenantId", "/s"),
        composite("/tenantId", "-/id"),
        composite("/tenantId", "/n"),
        composite("-/list", "/id"),
        composite("/in/ner/deep", "/id"),
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("cosmos") / "data.sqlite") as started:
        yield started


@pytest.fixture
async def container(server: RunningServer) -> AsyncIterator[ContainerProxy]:
    async with fresh_container(server, indexing_policy=POLICY) as fresh:
        for item in ITEMS:
            await fresh.create_item(item)
        yield fresh


@pytest.fixture
async def one_partition(server: RunningServer) -> AsyncIterator[ContainerProxy]:
    """The same items, all of tenant ``t``."""
    async with fresh_container(server, indexing_policy=POLICY) as fresh:
        for item in ITEMS:
            await fresh.create_item({**item, "tenantId": "t"})
        yield fresh


async def ask(
    container: ContainerProxy, text: str, partition_key: str | None = None, /, **parameters: Any
) -> list[Any]:
    named = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
    scope = {} if partition_key is None else {"partition_key": partition_key}
    return [result async for result in container.query_items(text, parameters=named, **scope)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("c.n = @three", "a"),
        ("c.n = @text", "c"),
        ("c.n != @three", "bcde"),  # another type is unequal; the undefined n of f is neither
        ("NOT (c.n = @three)", "bcde"),
        ("NOT (c.n > 2)", "b"),  # a string and null are not comparable with a number
        ("c.n >= 1 AND c.n < 3", "bd"),
        ("c.n <= '3'", "c"),
        ("c.n = null", "e"),
        ("c.n = @null", "e"),
        ("IS_DEFINED(c.n)", "abcde"),
        ("NOT IS_DEFINED(c.n)", "f"),
        ("IS_STRING(c.n)", "c"),
        ("IS_NUMBER(c.n)", "abd"),
        ("NOT IS_NUMBER(c.n)", "cef"),
        ("IS_NULL(c.n)", "e"),
        ("NOT IS_NULL(c.n)", "abcdf"),  # what is undefined is not null
        ("RegexMatch(c.s, '^b.e$')", "d"),
        ("RegexMatch(c.n, '3')", "c"),
        ("NOT RegexMatch(c.n, '4')", "c"),  # of what is no text it is undefined
        ("c.n = c.missing", ""),
        ("c.missing != 1", ""),
        ("NOT (c.missing = 1)", ""),
        ("c.missing = 1 OR c.n = 1", "b"),
        ("NOT (c.missing = 1 AND c.n = 1)", "acde"),
        ("c.flag", "a"),
        ("NOT c.flag", "b"),
        ("c.flag = true", "a"),
        ("c.flag = 1", "d"),
        ("c.flag = @true", "a"),
        ("c.n IN (1, @three, 7)", "ab"),
        ("c.n NOT IN (1, @three)", "cde"),
        ("ARRAY_CONTAINS(@some, c.id)", "bf"),
        ("ARRAY_CONTAINS(@none, c.id)", ""),
        ("STARTSWITH(c.s, @start)", "ab"),
        ("STARTSWITH(c.s, 'Z')", "e"),
        ("STARTSWITH(c.n, '3')", "c"),
        ("c.s > 'b' AND c.s < 'c'", "d"),
        ("c.s = @quoted", "c"),
        ("c.s = 'it\\'s \"q\" \\\\'", "c"),
        ('c.s = "bee"', "d"),
        ("c.in.ner.deep = 2", "b"),
        ("c['in']['ner'].deep = 1", "a"),
        ("c.order = 5", "c"),
        ("c.n > -1 AND c.n = 2.5", "d"),
        ("c.tenantId = 't' AND (c.id = 'a' OR c.id = 'd')", "a"),
        ("c._ts > 0 AND c.id = 'a'", "a"),
        ("c.n = 99999999999999999999", ""),
    ],
)
async def test_conditions(container: ContainerProxy, condition: str, expected: str) -> None:
    parameters = {"three": 3, "text": "3", "null": None, "true": True, "start": "a", "quoted": ITEMS[2]["s"]}
    lists = {"some": ["f", "b", "nobody"], "none": []}
    found = await ask(container, f"SELECT VALUE c.id FROM c WHERE {condition}", **parameters, **lists)
    assert "".join(sorted(found)) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("c.status IN ('on', 'off')", "ab"),
        ("c.status = 'on'", "a"),
        ("c.status = 1", "c"),
        ("c.status = true", "g"),
        ("c.status = null", "d"),
        ("NOT (c.status = 'on')", "bcdegh"),
        ("c.status < 'on'", "b"),
        ("c.status > 'off'", "a"),
        ("c.status >= 'off' AND c.status <= 'on'", "ab"),
        ("c.status <= 1", "c"),
        ("c.status > 0", "c"),
        ("c.status <= true", "g"),
        ("NOT (c.status > 'off')", "b"),  # of other types that is undefined
        ("NOT (c.status = 'on' OR c.status < 'on')", ""),
        ("IS_NUMBER(c.status)", "c"),
        ("IS_BOOL(c.status)", "g"),
        ("NOT IS_BOOL(c.status)", "abcdefh"),
        ("c.status < 'on' OR c.status > 'on' OR IS_NUMBER(c.status) OR IS_BOOL(c.status)", "bcg"),
        ("c.status NOT IN ('on')", "bcdegh"),  # other types are unequal; an undefined one is neither
        ("c.status IN ('true', '{}', '1')", ""),
        ("c.status IN (1)", "c"),
    ],
)
async def test_what_is_looked_up_by_an_index_is_compared_by_its_type(
    container: ContainerProxy, condition: str, expected: str
) -> None:
    kinds = {"a": "on", "b": "off", "c": 1, "d": None, "e": {}, "g": True, "h": ["on"]}
    definition = await container.read()
    key = definition["partitionKey"]["paths"][0].strip("/")
    for name, status in kinds.items():
        await container.create_item({"id": f"status-{name}", key: "statuses", "status": status})
    await container.create_item({"id": "status-f", key: "statuses"})
    found = await ask(container, f"SELECT VALUE c.id FROM c WHERE {condition}", "statuses")
    assert "".join(sorted(each.removeprefix("status-") for each in found)) == expected


async def test_projections(container: ContainerProxy) -> None:
    everything = await ask(container, "SELECT * FROM c WHERE c.id = 'a'")
    assert everything == [await container.read_item("a", "t")]
    assert await ask(container, "SELECT VALUE r FROM root r WHERE r.id = 'a'") == everything
    assert await ask(container, "SELECT c.id, c.n FROM c", "u") == [
        {"id": "d", "n": 2.5},
        {"id": "e", "n": None},
        {"id": "f"},
    ]
    assert await ask(container, "SELECT t.id AS name, t.in.ner FROM things t WHERE t.n = 1") == [
        {"name": "b", "ner": {"deep": 2}}
    ]
    assert await ask(container, "SELECT VALUE c.n FROM c", "u") == [2.5, None]  # what is undefined is left out
    assert await ask(container, "SELECT VALUE c.flag FROM c", "t") == [True, False, None]
    assert await ask(container, "SELECT VALUE c.flag FROM c", "u") == [1]
    assert await ask(container, "SELECT VALUE COUNT(1) FROM c") == [6]
    assert await ask(container, "SELECT VALUE COUNT(1) FROM c WHERE c.n > @n", "t", n=1) == [1]


async def test_a_query_is_scoped_by_its_partition(container: ContainerProxy) -> None:
    assert await ask(container, "SELECT VALUE c.id FROM c", "u") == ["d", "e", "f"]
    assert await ask(container, "SELECT VALUE c.id FROM c", "v") == []


async def test_crossing_partitions_must_be_allowed(server: RunningServer, container: ContainerProxy) -> None:
    path = f"/dbs/tests/colls/{container.id}/docs"
    headers = {"content_type": "application/query+json", "x_ms_documentdb_isquery": "true"}
    status, _, _ = await request(server, "POST", path, b'{"query": "SELECT * FROM c"}', **headers)
    assert status == 400


async def ordered(container: ContainerProxy, order: str, size: int) -> str:
    found = container.query_items(f"SELECT VALUE c.id FROM c ORDER BY {order}", max_item_count=size)
    pages = [[result async for result in page] async for page in found.by_page()]
    assert all(len(page) <= size for page in pages)
    return "".join(result for page in pages for result in page)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("c.n", "febdac"),  # undefined, null, numbers, strings
        ("c.n DESC", "cadbef"),
        ("c.flag ASC", "efcbad"),  # undefined twice, null, false, true, number
        ("c.list DESC, c.id", "eabcdf"),
        ("c.in.ner.deep DESC, c.id DESC", "bafedc"),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 100])
async def test_order_within_a_partition_is_by_type_first(
    one_partition: ContainerProxy, order: str, expected: str, size: int
) -> None:
    assert await ordered(one_partition, order, size) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("c.s", "ebadcf"),
        ("c.tenantId DESC, c.s ASC", "edfbac"),
        ("c.tenantId, c.id DESC", "cbafed"),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 100])
async def test_the_sdk_merges_the_order_of_several_ranges(
    container: ContainerProxy, order: str, expected: str, size: int
) -> None:
    assert await ordered(container, order, size) == expected


async def test_the_sdk_cannot_merge_different_types(container: ContainerProxy) -> None:
    """Its known fault (azure-sdk-for-python#43965), which no query of the project may meet."""
    with pytest.raises(ValueError, match="Expected"):
        await ordered(container, "c.n", 100)


async def test_many_partitions_are_merged_counted_and_cut_by_the_sdk(container: ContainerProxy) -> None:
    for number in range(60):
        await container.create_item(
            {"id": "x", "tenantId": f"tenant-{number:02}", "s": f"{number % 7}", "rest": number}
        )
    expected = sorted(f"{number % 7}" for number in range(60))
    where = "FROM c WHERE c.id = 'x'"
    for size in (1, 7, 100):
        found = container.query_items(f"SELECT VALUE c.s {where} ORDER BY c.s", max_item_count=size)
        assert [result async for result in found] == expected
    assert await ask(container, f"SELECT TOP @n VALUE c.s {where} ORDER BY c.s DESC", n=9) == expected[:-10:-1]
    assert len(await ask(container, f"SELECT TOP 3 * {where}")) == 3
    assert await ask(container, f"SELECT VALUE COUNT(1) {where} AND c.rest >= @n", n=20) == [40]
    assert sorted(await ask(container, f"SELECT VALUE c.rest {where}")) == list(range(60))


async def test_each_page_is_less_than_was_asked_for_and_the_first_is_empty(
    server: RunningServer, container: ContainerProxy
) -> None:
    async def pages(**scope: str) -> list[list[str]]:
        path, found, token = f"/dbs/tests/colls/{container.id}/docs", [], dict[str, str]()
        while True:
            _, headers, body = await request(
                server,
                "POST",
                path,
                b'{"query": "SELECT VALUE c.id FROM c"}',
                x_ms_documentdb_isquery="true",
                x_ms_max_item_count="3",
                **scope,
                **token,
            )
            found.append(body["Documents"])
            if "x-ms-continuation" not in headers:
                return found
            token = {"x_ms_continuation": headers["x-ms-continuation"]}

    # In the range of ``v`` lies nothing, in that of ``t`` are three items.
    assert await pages(x_ms_documentdb_partitionkey='["t"]') == [[], ["a", "b"], ["c"]]
    assert await pages(x_ms_documentdb_partitionkey='["v"]') == [[], []]
    by_range = [await pages(x_ms_documentdb_partitionkeyrangeid=f"{number}") for number in range(4)]
    assert all(found[0] == [] and len(found) > 1 for found in by_range)
    assert sorted(result for found in by_range for page in found for result in page) == list("abcdef")
    one_behind_the_other = await pages(x_ms_documentdb_query_enablecrosspartition="true")
    assert one_behind_the_other == [[], *(page for found in by_range for page in found[1:])]


async def test_a_range_that_is_gone_is_410(server: RunningServer, container: ContainerProxy) -> None:
    path, headers = f"/dbs/tests/colls/{container.id}/docs", {"x_ms_documentdb_isquery": "true"}
    body = b'{"query": "SELECT * FROM c"}'
    status, answered, _ = await request(server, "POST", path, body, x_ms_documentdb_partitionkeyrangeid="4", **headers)
    assert (status, answered["x-ms-substatus"]) == (410, "1002")


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("SELECT * FROM c WHERE c.n = 1", {"rewrittenQuery": "", "orderBy": [], "aggregates": [], "top": None}),
        ("SELECT TOP 3 * FROM c", {"rewrittenQuery": "", "top": 3}),
        (
            "SELECT VALUE COUNT(1) FROM c WHERE c.order = 'from'",
            {
                "aggregates": ["Count"],
                "rewrittenQuery": "SELECT VALUE [{\"item\": COUNT(1)}] FROM c WHERE c.order = 'from'",
            },
        ),
        (
            "select top @n value c.where from c where c.from = 1 order by c.n desc, c.where",
            {
                "top": 4,
                "orderBy": ["Descending", "Ascending"],
                "hasSelectValue": True,
                "rewrittenQuery": 'SELECT TOP 4 c._rid, [{"item": c["n"]}, {"item": c["where"]}] AS orderByItems,'
                " c.where AS payload from c WHERE (c.from = 1) AND ({documentdb-formattableorderbyquery-filter})"
                " order by c.n desc, c.where",
            },
        ),
        ("SELECT VALUE c.id FROM c OFFSET 1 LIMIT 2", "OFFSET and LIMIT across"),
        ("SELECT c.id FROM c ORDER BY c.id", "only with * and VALUE"),
        ("SELECT c.id, c.n FROM c ORDER BY c.id", "only with * and VALUE"),
        ("SELECT DISTINCT c.id FROM c", "DISTINCT"),
    ],
)
async def test_a_plan_is_made_of_what_the_project_asks_and_of_nothing_else(
    server: RunningServer, container: ContainerProxy, text: str, info: dict[str, Any] | str
) -> None:
    status, _, body = await request(
        server,
        "POST",
        f"/dbs/tests/colls/{container.id}/docs",
        json.dumps({"query": text, "parameters": [{"name": "@n", "value": 4}]}).encode(),
        content_type="application/query+json",
        x_ms_cosmos_is_query_plan_request="True",
    )
    if isinstance(info, str):
        assert (status, body["code"]) == (501, "NotImplemented") and info in body["message"]
        return
    assert body["queryRanges"] == [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]
    assert {name: " ".join(v.split()) if isinstance(v := body["queryInfo"][name], str) else v for name in info} == info


NO_COMPOSITE_INDEX = "The order by query does not have a corresponding composite index that it can be served from."
NO_INDEX = "The index path corresponding to the specified order-by item is excluded."


async def refusal(server: RunningServer, container: ContainerProxy, order: str) -> str | None:
    """What a query with this ORDER BY is refused with, within a partition and within a range alike."""
    answers = [
        await request(
            server,
            "POST",
            f"/dbs/tests/colls/{container.id}/docs",
            json.dumps({"query": f"SELECT * FROM c ORDER BY {order}"}).encode(),
            x_ms_documentdb_isquery="true",
            **scope,
        )
        for scope in (
            {"x_ms_documentdb_partitionkeyrangeid": "0"},
            {"x_ms_documentdb_partitionkey": '["t"]'},
        )
    ]
    (status, _, body), (other_status, _, other_body) = answers
    assert (status, body.get("message")) == (other_status, other_body.get("message"))
    if status == 200:
        return None
    assert (status, body["code"]) == (400, "BadRequest")
    return str(body["message"])


@pytest.mark.parametrize(
    ("index", "order", "served"),
    [
        (composite("/a", "/b"), "c.a, c.b", True),
        (composite("/a", "/b"), "c.a ASC, c.b ASC", True),
        (composite("/a", "/b"), "c.a DESC, c.b DESC", True),
        (composite("/a", "/b"), "c.a, c.b DESC", False),
        (composite("/a", "/b"), "c.a DESC, c.b", False),
        (composite("/a", "-/b"), "c.a, c.b DESC", True),
        (composite("/a", "-/b"), "c.a DESC, c.b", True),
        (composite("/a", "-/b"), "c.a, c.b", False),
        (composite("/a", "/b"), "c.b, c.a", False),
        (composite("/a", "/b"), "c.a, c.c", False),
        (composite("/a", "/b"), "c.a, c.b, c.c", False),
        (composite("/a", "/b", "/c"), "c.a, c.b", False),
        (composite("/a", "/b", "/c"), "c.b, c.c", False),
        (composite("/a", "-/b", "/c"), "c.a DESC, c.b, c.c DESC", True),
        (composite("/a", "-/b", "/c"), "c.a DESC, c.b, c.c", False),
        (composite("/a/x", "/b"), "c.a.x, c.b", True),
        (composite("/a/x", "/b"), "c['a'].x, c['b']", True),
        (composite("/a/x", "/b"), "c.a, c.b", False),
        (composite("/a", "/b"), "c.a.x, c.b", False),
        (composite("/a", "/b"), "c.A, c.b", False),
        (composite('/"a"', '/b/"x y"'), "c.a, c.b['x y']", True),
        ([{"path": "/a", "order": "ascending"}, {"path": "/b"}], "c.a, c.b", True),
    ],
)
async def test_several_orders_need_exactly_their_composite_index(
    server: RunningServer, index: list[dict[str, str]], order: str, served: bool
) -> None:
    policy = {"indexingMode": "consistent", "compositeIndexes": [composite("/other", "/another"), index]}
    async with fresh_container(server, indexing_policy=policy) as container:
        assert await refusal(server, container, order) == (None if served else NO_COMPOSITE_INDEX)


async def test_a_composite_index_serves_paths_that_are_excluded(server: RunningServer) -> None:
    policy = {
        "includedPaths": [],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [composite("/attempts", "/notBefore")],
    }
    async with fresh_container(server, indexing_policy=policy) as container:
        assert await refusal(server, container, "c.attempts, c.notBefore") is None
        assert await refusal(server, container, "c.attempts") == NO_INDEX


async def test_without_a_policy_every_single_order_is_served_and_no_other(server: RunningServer) -> None:
    async with fresh_container(server) as container:
        assert await refusal(server, container, "c.in.ner.deep DESC") is None
        assert await refusal(server, container, "c.tenantId, c.id") == NO_COMPOSITE_INDEX


async def test_the_sdk_shows_the_missing_index(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError, match=NO_COMPOSITE_INDEX) as refused:
        await ask(container, "SELECT * FROM c ORDER BY c.n, c.s")
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("included", "excluded", "order", "served"),
    [
        ("/*", "", "c.a", True),
        ("", "/*", "c.a", False),
        ("", "/*", "c.id", True),
        ("", "/*", "c._ts DESC", True),
        ("", "/*", "c.tenantId", False),  # the partition key is not indexed by itself
        ("/a/?", "/*", "c.a", True),
        ("/a/?", "/*", "c.b", False),
        ("/a/?", "/*", "c.a.x", False),
        ("/a/?", "/*", "c.ab", False),
        ("/a/*", "/*", "c.a.x", True),
        ("/a/*", "/*", "c.a", True),
        ("/a/*", "/*", "c.ab", False),
        ("/a/x/?", "/*", "c.a.x", True),
        ("/a/x/?", "/*", "c.a", False),
        ("/*", "/a/?", "c.a", False),
        ("/*", "/a/?", "c.a.x", True),
        ("/*", '/"a"/?', "c.a", False),
        ("/*", "/a/*", "c.a.x DESC", False),
        ("/* /a/x/*", "/a/*", "c.a.x.y", True),
        ("/* /a/x/*", "/a/* /a/x/y/?", "c.a.x.y", False),
        ("/a/?", "/* /a/*", "c.a", True),
        ("/* /a/*", "/a/?", "c.a", False),
        ("/a/?", "", "c.b", False),  # only what is named
        ("", "/a/?", "c.b", True),
    ],
)
async def test_a_single_order_needs_an_indexed_path(
    server: RunningServer, included: str, excluded: str, order: str, served: bool
) -> None:
    policy = {
        "includedPaths": [{"path": path} for path in included.split()],
        "excludedPaths": [{"path": path} for path in excluded.split()],
    }
    async with fresh_container(server, indexing_policy=policy) as container:
        assert await refusal(server, container, order) == (None if served else NO_INDEX)


async def test_without_indexing_no_order_is_served(server: RunningServer) -> None:
    policy = {"indexingMode": "none", "compositeIndexes": [composite("/a", "/b")]}
    async with fresh_container(server, indexing_policy=policy) as container:
        assert await refusal(server, container, "c.id") == NO_INDEX
        assert await refusal(server, container, "c.a, c.b") == NO_COMPOSITE_INDEX
        assert await ask(container, "SELECT * FROM c") == []


@pytest.mark.parametrize(
    "policy",
    [
        "all",
        {"indexingMode": "Sometimes"},
        {"includedPaths": {"path": "/*"}},
        {"includedPaths": ["/*"]},
        {"includedPaths": [{"path": "/a"}]},
        {"excludedPaths": [{"path": ""}]},
        {"excludedPaths": [{"path": "a/?"}]},
        {"compositeIndexes": [{"path": "/a"}]},
        {"compositeIndexes": [[{"order": "ascending"}]]},
        {"compositeIndexes": [[{"path": "/a"}, {"path": "/b/?"}]]},
        {"compositeIndexes": [[{"path": "/a"}, {"path": "/b", "order": "down"}]]},
    ],
)
async def test_a_policy_that_cannot_be_read_makes_no_container(
    server: RunningServer, container: ContainerProxy, policy: Any
) -> None:
    definition = {"id": f"not-{container.id}", "partitionKey": {"paths": ["/tenantId"], "kind": "Hash", "version": 2}}
    body = json.dumps({**definition, "indexingPolicy": policy}).encode()
    status, _, answer = await request(server, "POST", "/dbs/tests/colls", body)
    assert (status, answer["code"], answer["message"]) == (400, "BadRequest", "The indexingPolicy is malformed.")
    assert (await request(server, "GET", f"/dbs/tests/colls/{definition['id']}"))[0] == 404


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT TOP 3 VALUE c.id FROM c ORDER BY c.id DESC", "fed"),
        ("SELECT TOP @n VALUE c.id FROM c ORDER BY c.id DESC", "fedc"),
        ("SELECT TOP 0 VALUE c.id FROM c", ""),
        ("SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 1 LIMIT 3", "bcd"),
        ("SELECT VALUE c.id FROM c ORDER BY c.id OFFSET @n LIMIT @n", "ef"),
        ("SELECT VALUE c.id FROM c OFFSET 2 LIMIT 1", "c"),
        ("SELECT VALUE c.id FROM c OFFSET 9 LIMIT 1", ""),
    ],
)
async def test_top_offset_and_limit(one_partition: ContainerProxy, text: str, expected: str, size: int) -> None:
    ask = {"parameters": [{"name": "@n", "value": 4}], "partition_key": "t"}
    found = one_partition.query_items(text, max_item_count=size, **ask)
    assert "".join([result async for result in found]) == expected


@pytest.mark.parametrize("order", ["ORDER BY c.n DESC", "ORDER BY c.tenantId, c.n", ""])
async def test_pages_stay_whole_while_others_write(container: ContainerProxy, order: str) -> None:
    for number in range(20):
        await container.create_item({"id": f"{number:02}", "tenantId": "p", "n": number // 4})
    text = f"SELECT VALUE c.id FROM c {order}"
    before = await ask(container, text, "p")
    seen: list[str] = []
    token = None
    for number in range(30):
        pages = container.query_items(text, partition_key="p", max_item_count=3).by_page(token)
        page = [result async for result in await anext(pages)]
        seen += page
        token = pages.continuation_token
        if token is None:
            break
        await container.create_item({"id": f"before-{number}", "tenantId": "p", "n": 99})
        await container.create_item({"id": f"after-{number}", "tenantId": "p", "n": -1})
        if number == 0:
            await container.delete_item(page[0], "p")
    assert [item_id for item_id in seen if item_id in before] == before
    assert len(set(seen)) == len(seen)


async def test_a_continuation_belongs_to_its_query(container: ContainerProxy) -> None:
    scope: dict[str, Any] = {"partition_key": "t", "max_item_count": 2}
    pages = container.query_items("SELECT * FROM c ORDER BY c.id", **scope).by_page()
    await anext(pages)
    for text, token in (("SELECT * FROM c ORDER BY c.n", pages.continuation_token), ("SELECT * FROM c", "???")):
        with pytest.raises(CosmosHttpResponseError) as refused:
            await anext(container.query_items(text, **scope).by_page(token))
        assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT SUM(c.n) FROM c", "SUM"),
        ("SELECT COUNT(1) FROM c", "COUNT"),
        ("SELECT VALUE COUNT(1) FROM c ORDER BY c.n", "COUNT"),
        ("SELECT DISTINCT c.n FROM c", "DISTINCT"),
        ("SELECT c.n FROM c GROUP BY c.n", "GROUP"),
        ("SELECT c.id FROM c JOIN x ON c.n = x.n", "JOINS"),
        ("SELECT * FROM c WHERE c.s LIKE 'a%'", "LIKE"),
        ("SELECT * FROM c WHERE c.n BETWEEN 1 AND 2", "BETWEEN"),
        ("SELECT * FROM c WHERE c.n + 1 = 2", "ADD"),
        ("SELECT * FROM c WHERE IS_INTEGER(c.n)", "IS_INTEGER"),
        ("SELECT * FROM c WHERE c.n = [1]", "ARRAY"),
        ("SELECT * FROM c WHERE c.tags[0] = 1", "BRACKET"),
        ("SELECT * FROM c WHERE EXISTS(SELECT VALUE 1 FROM c)", ""),
        ("SELECT * FROM c IN c.list", "parsed"),
        ("SELECT 1", "FROM"),
        ("DELETE FROM c", "SELECT"),
        ("SELECT * FROM c; SELECT * FROM c", "single SELECT"),
        ("SELEKT", "SELECT"),
        ("", "SELECT"),
    ],
)
async def test_unsupported_sql_is_501_and_names_it(
    server: RunningServer, container: ContainerProxy, text: str, names: str
) -> None:
    status, _, body = await request(
        server,
        "POST",
        f"/dbs/tests/colls/{container.id}/docs",
        json.dumps({"query": text}).encode(),
        x_ms_documentdb_isquery="true",
        x_ms_documentdb_query_enablecrosspartition="true",
    )
    assert (status, body["code"]) == (501, "NotImplemented")
    assert names in body["message"]


async def test_the_sdk_shows_a_501(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError, match="DISTINCT") as refused:
        await ask(container, "SELECT DISTINCT c.n FROM c")
    assert refused.value.status_code == 501


@pytest.mark.parametrize("text", ["SELECT * FROM c WHERE c.n = @nobody", "SELECT * FROM c WHERE d.n = 1"])
async def test_unknown_names_are_400(container: ContainerProxy, text: str) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await ask(container, text)
    assert refused.value.status_code == 400


async def test_values_never_become_sql(container: ContainerProxy) -> None:
    for evil in ("' OR 1=1 --", '") FROM items; DROP TABLE items; --', '$."x"', "%", ":p0", "\\"):
        assert await ask(container, 'SELECT * FROM c WHERE c.id = @x OR c["\') OR 1=1 --"] = @x', x=evil) == []
    assert await ask(container, "SELECT VALUE COUNT(1) FROM c") == [6]
