"""What the real Functions host's Cosmos DB trigger asks: the change feed processor of the .NET SDK, replayed.

The requests are those of Microsoft.Azure.Cosmos 3.64 in gateway mode, which ``host.json`` asks for. That processor was
tried with these answers; it cannot be part of the tests, because .NET is not.
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from local.cosmos import ranges
from tests.local.cosmos_server import KEY, RunningServer, fresh_container, request, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("cosmos") / "data.sqlite") as started:
        yield started


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class DotNet:
    """The .NET SDK's way to ask."""

    def __init__(self, server: RunningServer, session: aiohttp.ClientSession, database: str, container: str) -> None:
        self.url = server.url
        self.session = session
        self.link = f"dbs/{database}/colls/{container}"

    async def ask(self, method: str, path: str, *, signed: tuple[str, str], body: Any = None, **headers: str) -> Answer:
        """Send one request; ``signed`` is what the SDK signs, the kind of resource and its address."""
        kind, address = signed
        date = formatdate(usegmt=True)
        text = f"{method.lower()}\n{kind}\n{address}\n{date.lower()}\n\n"
        digest = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
        sent = {
            "authorization": quote(f"type=master&ver=1.0&sig={digest}", safe=""),
            "x-ms-date": date,
            "x-ms-version": "2020-07-15",
            "User-Agent": "cosmos-netstandard-sdk/3.64.0",
            "Accept": "application/json",
            "Cache-Control": "no-cache",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = None if body is None else json.dumps(body).encode()
        async with self.session.request(method, f"{self.url}/{path}", data=data, headers=sent) as response:
            raw = await response.read()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                json.loads(raw) if raw else None,
            )

    async def rids(self) -> tuple[str, str]:
        """Of database and container, as the processor looks them up by name."""
        database = self.link.partition("/colls/")[0]
        of_database = await self.ask("GET", database, signed=("dbs", database))
        of_container = await self.ask("GET", self.link, signed=("colls", self.link))
        return of_database.body["_rid"], of_container.body["_rid"]

    async def ranges(self) -> list[dict[str, Any]]:
        """The container's ranges, read by its ``_rid`` as a feed, until nothing is new."""
        database, container = await self.rids()
        found: list[dict[str, Any]] = []
        known: dict[str, str] = {}
        while True:
            answer = await self.ask(
                "GET",
                f"dbs/{database}/colls/{container}/pkranges",
                signed=("pkranges", container.lower()),
                A_IM="Incremental Feed",
                x_ms_max_item_count="-1",
                **known,
            )
            if answer.status == 304:
                return found
            assert answer.status == 200, answer.body
            found += answer.body["PartitionKeyRanges"]
            known = {"If_None_Match": answer.headers["etag"]}

    async def changes(self, range_id: str, token: str | None) -> tuple[list[dict[str, Any]], str]:
        """One page of a range's feed and the token that is written into its lease."""
        answer = await self.ask(
            "GET",
            f"{self.link}/docs",
            signed=("docs", self.link),
            A_IM="Incremental Feed",
            x_ms_documentdb_partitionkeyrangeid=range_id,
            x_ms_max_item_count="100",
            **({} if token is None else {"If_None_Match": token}),
        )
        assert answer.status in (200, 304), answer.body
        return (answer.body["Documents"] if answer.body else []), answer.headers["etag"]

    async def query(self, text: str) -> list[dict[str, Any]]:
        """A query, first planned and then put to each range, page by page."""
        plan = await self.ask(
            "POST",
            f"{self.link}/docs",
            signed=("docs", self.link),
            body={"query": text},
            Content_Type="application/query+json",
            x_ms_cosmos_is_query_plan_request="True",
            x_ms_cosmos_supported_query_features="Aggregate, CompositeAggregate, Distinct, MultipleOrderBy, OrderBy",
            x_ms_cosmos_query_version="1.4",
            x_ms_documentdb_query_enablecrosspartition="True",
        )
        assert plan.status == 200, plan.body
        assert plan.body["queryInfo"]["rewrittenQuery"] == ""
        assert plan.body["queryRanges"] == [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]
        _, rid = await self.rids()
        found = []
        for each in await self.ranges():
            going_on: dict[str, str] = {}
            while True:
                page = await self.ask(
                    "POST",
                    f"{self.link}/docs",
                    signed=("docs", self.link),
                    body={"query": text},
                    Content_Type="application/query+json",
                    x_ms_documentdb_isquery="True",
                    x_ms_documentdb_query_enablecrosspartition="True",
                    x_ms_documentdb_query_iscontinuationexpected="False",
                    x_ms_documentdb_partitionkeyrangeid=f"{rid},{each['id']}",
                    x_ms_max_item_count="100",
                    **going_on,
                )
                assert page.status == 200, page.body
                found += page.body["Documents"]
                if "x-ms-continuation" not in page.headers:
                    break
                going_on = {"x_ms_continuation": page.headers["x-ms-continuation"]}
        return found

    async def write(self, method: str, item: dict[str, Any], if_match: str | None = None) -> Answer:
        """Create (POST), replace (PUT) or delete a lease; leases are partitioned by the tenant here."""
        one = f"{self.link}/docs/{item['id']}"
        path, signed = (f"{self.link}/docs", self.link) if method == "POST" else (one, one)
        return await self.ask(
            method,
            path,
            signed=("docs", signed),
            body=None if method == "DELETE" else item,
            Content_Type="application/json",
            x_ms_documentdb_partitionkey=json.dumps([item["tenantId"]]),
            **({} if if_match is None else {"If_Match": if_match}),
        )


@pytest.fixture
async def monitored(server: RunningServer) -> AsyncIterator[DotNet]:
    async with fresh_container(server) as container, aiohttp.ClientSession() as session:
        yield DotNet(server, session, "tests", container.id)


@pytest.fixture
async def leases(server: RunningServer) -> AsyncIterator[DotNet]:
    async with fresh_container(server) as container, aiohttp.ClientSession() as session:
        yield DotNet(server, session, "tests", container.id)


async def test_the_account_says_what_its_query_engine_can_do(monitored: DotNet) -> None:
    account = (await monitored.ask("GET", "", signed=("", ""))).body
    engine = json.loads(account["queryEngineConfiguration"])  # a text, not an object
    assert engine["maxSqlQueryInputLength"] == 262144
    numbers = {"maxJoinsPerSqlQuery", "maxLogicalAndPerSqlQuery", "maxLogicalOrPerSqlQuery", "maxUdfRefPerSqlQuery"}
    numbers |= {"maxInExpressionItemsCount", "queryMaxInMemorySortDocumentCount", "maxQueryRequestTimeoutFraction"}
    assert {type(engine[name]) for name in numbers} <= {int, float}
    flags = {"sqlAllowTop", "sqlAllowSubQuery", "sqlAllowGroupByClause", "sqlAllowLike", "enableSpatialIndexing"}
    assert {engine[name] for name in flags} == {True}


async def test_a_containers_ranges_are_read_by_its_rid_and_cover_everything(monitored: DotNet) -> None:
    found = await monitored.ranges()
    assert [each["id"] for each in found] == [str(number) for number in range(ranges.COUNT)]
    assert ranges.COUNT > 1
    assert found[0]["minInclusive"] == "" and found[-1]["maxExclusive"] == "FF"
    assert [each["maxExclusive"] for each in found[:-1]] == [each["minInclusive"] for each in found[1:]]


async def test_database_and_container_are_read_by_their_rids_too(monitored: DotNet) -> None:
    database, container = await monitored.rids()
    found = await monitored.ask("GET", f"dbs/{database}", signed=("dbs", database.lower()))
    assert (found.status, found.body["_rid"]) == (200, database)
    path = f"dbs/{database}/colls/{container}"
    found = await monitored.ask("GET", quote(path), signed=("colls", container.lower()))
    assert (found.status, found.body["_rid"]) == (200, container)


async def test_an_address_by_rid_is_signed_over_that_rid_in_lower_case_and_nothing_else(monitored: DotNet) -> None:
    database, container = await monitored.rids()
    path = f"dbs/{database}/colls/{container}/pkranges"
    wrong = [
        ("pkranges", f"dbs/{database}/colls/{container}"),
        ("pkranges", database.lower()),
        ("colls", container.lower()),
    ]
    wrong += [("pkranges", container)] if container != container.lower() else []
    for signed in wrong:
        assert (await monitored.ask("GET", path, signed=signed)).status == 401, signed
    # And by names over the names, in the case that they have.
    name = monitored.link.rpartition("/")[2]
    assert (await monitored.ask("GET", f"{monitored.link}/pkranges", signed=("pkranges", name))).status == 401


async def test_what_is_gone_is_404_by_its_rid(server: RunningServer, monitored: DotNet) -> None:
    database, container = await monitored.rids()
    path, signed = f"dbs/{database}/colls/{container}", ("colls", container.lower())
    await request(server, "DELETE", f"/{monitored.link}")
    gone = await monitored.ask("GET", path, signed=signed)
    assert (gone.status, gone.headers.get("x-ms-substatus")) == (404, None)
    gone = await monitored.ask("GET", f"{path}/pkranges", signed=("pkranges", container.lower()))
    assert (gone.status, gone.headers["x-ms-substatus"]) == (404, "1003")
    nowhere = base64.b64encode(b"\0\0\0\0", b"+-").decode()
    gone = await monitored.ask("GET", f"dbs/{nowhere}", signed=("dbs", nowhere.lower()))
    assert gone.status == 404


async def test_items_by_their_rids_and_names_like_rids_are_refused_and_not_guessed(monitored: DotNet) -> None:
    database, container = await monitored.rids()
    item = base64.b64encode(base64.b64decode(container, b"+-") + bytes(8), b"+-").decode()
    path = f"dbs/{database}/colls/{container}/docs/{item}"
    refused = await monitored.ask("GET", path, signed=("docs", item.lower()))
    assert (refused.status, refused.body["code"]) == (501, "NotImplemented")
    refused = await monitored.ask("POST", "dbs", signed=("dbs", ""), body={"id": database})
    assert refused.status == 501


async def test_a_range_may_be_named_behind_its_container_and_not_behind_another(
    monitored: DotNet, leases: DotNet
) -> None:
    _, own = await monitored.rids()
    _, others = await leases.rids()
    assert await monitored.changes(f"{own},0", None) == ([], '"0"')
    ask = {"A_IM": "Incremental Feed", "x_ms_documentdb_partitionkeyrangeid": f"{others},0"}
    refused = await monitored.ask("GET", f"{monitored.link}/docs", signed=("docs", monitored.link), **ask)
    assert (refused.status, refused.headers["x-ms-substatus"]) == (400, "1024")


@dataclass
class Processor:
    """One instance of the host: takes leases, reads the feed of each range, and keeps its place in the lease."""

    name: str
    monitored: DotNet
    leases: DotNet
    prefix: str
    seen: list[str]

    async def start(self) -> None:
        """Make what is not there; two that start together make it once."""
        database, container = await self.monitored.rids()
        common = {"tenantId": "l", "Owner": None, "ContinuationToken": None, "properties": {}}
        lock = {"id": f"{self.prefix}.lock", "tenantId": "l", "ttl": 60}
        assert (await self.leases.write("POST", lock)).status in (201, 409)
        for each in await self.monitored.ranges():
            lease = {
                "id": f"{self.prefix}{database}_{container}..{each['id']}",
                "LeaseToken": each["id"],
                "FeedRange": {"Range": {"min": each["minInclusive"], "max": each["maxExclusive"]}},
                "timestamp": "2026-11-26T10:00:00.0000000Z",
                **common,
            }
            assert (await self.leases.write("POST", lease)).status in (201, 409)
        info = {"id": f"{self.prefix}.info", "tenantId": "l"}
        assert (await self.leases.write("POST", info)).status in (201, 409)
        await self.leases.write("DELETE", lock)

    async def owned(self) -> list[dict[str, Any]]:
        """All leases, as the balancer reads them."""
        found = await self.leases.query(f"SELECT * FROM c WHERE STARTSWITH(c.id, '{self.prefix}')")
        return [lease for lease in found if ".." in lease["id"]]

    async def turn(self) -> None:
        """Take every lease, read what is new in its range, and write down how far that was."""
        for lease in await self.owned():
            taken = await self.leases.write("PUT", {**lease, "Owner": self.name}, lease["_etag"])
            if taken.status == 412:
                continue
            token = lease["ContinuationToken"]
            changes, token = await self.monitored.changes(lease["LeaseToken"], token)
            self.seen += [change["id"] for change in changes]
            kept = await self.leases.write("PUT", {**taken.body, "ContinuationToken": token}, taken.body["_etag"])
            assert kept.status == 200


async def test_the_processor_sees_the_past_and_what_comes_and_hands_over(
    server: RunningServer, monitored: DotNet, leases: DotNet
) -> None:
    path = f"/{monitored.link}/docs"

    async def event(name: str) -> None:
        partition = uuid.uuid4().hex
        body = json.dumps({"id": name, "tenantId": partition}).encode()
        status, _, _ = await request(server, "POST", path, body, x_ms_documentdb_partitionkey=json.dumps([partition]))
        assert status == 201

    past = [f"past-{n}" for n in range(20)]
    for name in past:
        await event(name)
    first = Processor("first", monitored, leases, "host-a", [])
    await first.start()
    assert len(await first.owned()) == ranges.COUNT
    await first.turn()
    assert sorted(first.seen) == sorted(past)  # each once, whichever of the ranges it lies in
    await first.turn()
    assert len(first.seen) == len(past)
    for name in ("new-1", "new-2", "new-3"):
        await event(name)
    second = Processor("second", monitored, leases, "host-a", [])
    await second.start()
    stale = (await first.owned())[0]
    await second.turn()
    assert sorted(second.seen) == ["new-1", "new-2", "new-3"]
    assert {lease["Owner"] for lease in await second.owned()} == {"second"}
    # The first, which still believes that it owns one, cannot write its place over the other's.
    assert (await leases.write("PUT", {**stale, "ContinuationToken": '"0"'}, stale["_etag"])).status == 412


async def test_the_estimator_can_tell_how_much_is_left(server: RunningServer, monitored: DotNet) -> None:
    path = f"/{monitored.link}/docs"
    for n in range(3):
        body = json.dumps({"id": f"{n}", "tenantId": "t"}).encode()
        await request(server, "POST", path, body, x_ms_documentdb_partitionkey='["t"]')
    number = str(ranges.of_partition('["t"]'))
    ask = {"A_IM": "Incremental Feed", "x_ms_documentdb_partitionkeyrangeid": number, "x_ms_max_item_count": "1"}
    answer = await monitored.ask("GET", f"{monitored.link}/docs", signed=("docs", monitored.link), **ask)
    last = int(answer.headers["x-ms-session-token"].rpartition("#")[2])
    [first] = answer.body["Documents"]
    assert last - first["_lsn"] + 1 == 3
