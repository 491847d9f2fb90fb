"""The REST surface: addresses, headers and errors."""

import asyncio
import logging
import sqlite3
import uuid
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDictProxy

from local.cosmos import batch, change_feed, items, partition_key, plan, query, ranges, signature
from local.cosmos.database import Container, Database
from local.cosmos.errors import ContainerRecreated, Invalid, NotImplementedHere, Refusal, Unavailable

_logger = logging.getLogger(__name__)

# A batch of 2 MB may come with every character escaped; what is too large is refused by its own size.
_MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_PURGE_SECONDS = 10.0
# What would change the answer if it were obeyed; ignoring it would be a wrong answer in silence.
_REFUSED_HEADERS = ("x-ms-documentdb-pre-trigger-include", "x-ms-documentdb-post-trigger-include")
# The .NET SDK, in which the real Functions host's trigger is written, refuses an account without it. The limits are the
# service's own: what is not implemented here is refused by itself.
_QUERY_ENGINE = {
    "maxSqlQueryInputLength": 262144,
    "maxJoinsPerSqlQuery": 5,
    "maxLogicalAndPerSqlQuery": 500,
    "maxLogicalOrPerSqlQuery": 500,
    "maxUdfRefPerSqlQuery": 10,
    "maxInExpressionItemsCount": 16000,
    "queryMaxInMemorySortDocumentCount": 500,
    "maxQueryRequestTimeoutFraction": 0.9,
    "sqlAllowNonFiniteNumbers": False,
    "sqlAllowAggregateFunctions": True,
    "sqlAllowSubQuery": True,
    "sqlAllowScalarSubQuery": True,
    "allowNewKeywords": True,
    "sqlAllowLike": True,
    "sqlAllowGroupByClause": True,
    "maxSpatialQueryCells": 12,
    "spatialMaxGeometryPointCount": 256,
    "sqlDisableOptimizationFlags": 0,
    "sqlAllowTop": True,
    "enableSpatialIndexing": True,
}


@dataclass(frozen=True)
class _Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Answers the REST calls of one account."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key

    def application(self) -> web.Application:
        """The aiohttp application, which also removes expired items from time to time."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        application.cleanup_ctx.append(self._purging)
        return application

    async def _purging(self, _: web.Application) -> Any:
        async def purge() -> None:
            while True:
                await asyncio.sleep(_PURGE_SECONDS)
                self._database.remove_expired()

        task = asyncio.create_task(purge())
        yield
        task.cancel()

    async def _handle(self, request: web.Request) -> web.Response:
        segments = [unquote(segment) for segment in request.rel_url.raw_path.split("/") if segment]
        try:
            headers = request.headers
            signature.verify(
                self._key, headers.get("authorization", ""), request.method, segments, headers.get("x-ms-date", "")
            )
            answer = self._route(request, self._database.names(segments), await request.read())
        except Refusal as refused:
            answer = _refusal(refused)
        except sqlite3.OperationalError:
            answer = _refusal(Unavailable("The data file cannot be used at the moment."))
        except web.HTTPRequestEntityTooLarge:
            answer = _Answer(413, {"code": "RequestEntityTooLarge", "message": "The body is too large."})
        except Exception as error:
            # Neither the message nor a traceback: both may quote an item.
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
            _logger.error("%s failed with %s at %s", request.method, type(error).__name__, place)
            answer = _Answer(500, {"code": "InternalServerError", "message": "The server failed."})
        activity = request.headers.get("x-ms-activity-id") or str(uuid.uuid4())
        return web.Response(
            status=answer.status,
            text=None if answer.body is None else items.dump(answer.body),
            content_type="application/json",
            headers={"x-ms-activity-id": activity, "x-ms-request-charge": "1", **answer.headers},
        )

    def _route(self, request: web.Request, segments: list[str], raw: bytes) -> _Answer:
        for name in _REFUSED_HEADERS:
            if name in request.headers:
                raise NotImplementedHere(f"The header {name} is not implemented.")
        match request.method, segments:
            case "GET", []:
                answer = _Answer(200, _account(f"{request.scheme}://{request.host}/"))
            case "POST", ["dbs"] if not _is_query(request.headers):
                answer = _Answer(201, self._database.create_database(_object(raw)))
            case "GET", ["dbs", name]:
                answer = _Answer(200, self._database.read_database(name))
            case "DELETE", ["dbs", name]:
                self._database.delete_database(name)
                answer = _Answer(204)
            case "POST", ["dbs", name, "colls"] if not _is_query(request.headers):
                answer = _Answer(201, self._database.create_container(name, _object(raw)))
            case "GET", ["dbs", name, "colls", container]:
                answer = _Answer(200, self._database.read_container(name, container))
            case "DELETE", ["dbs", name, "colls", container]:
                self._database.delete_container(name, container)
                answer = _Answer(204)
            case method, ["dbs", name, "colls", container, child, *rest]:
                found = self._database.container(name, container)
                answer = self._route_in(found, method, [child, *rest], request.headers, raw)
            case _:
                raise NotImplementedHere(f"{request.method} of /{'/'.join(segments[::2])} is not implemented.")
        return answer

    def _route_in(
        self, container: Container, method: str, rest: list[str], headers: CIMultiDictProxy[str], raw: bytes
    ) -> _Answer:
        if headers.get("x-ms-cosmos-intended-collection-rid", container.rid) != container.rid:
            raise ContainerRecreated("The container was made anew.")
        match method, rest:
            case "GET", ["pkranges"]:
                answer = _ranges(container, headers)
            case "GET", ["docs"]:
                answer = self._feed(container, headers)
            case "POST", ["docs"] if "x-ms-cosmos-is-query-plan-request" in headers:
                answer = _Answer(200, plan.make(items.parse(raw)))
            case "POST", ["docs"] if _is_query(headers):
                answer = self._query(container, headers, raw)
            case "POST", ["docs"] if "x-ms-cosmos-is-batch-request" in headers:
                status, results = batch.run(self._database, container, _partition(headers), items.parse(raw))
                answer = _Answer(status, results)
            case "POST", ["docs"]:
                answer = self._store(container, headers, raw)
            case "GET" | "PUT" | "DELETE", ["docs", item_id]:
                answer = self._item(container, method, item_id, headers, raw)
            case _:
                raise NotImplementedHere(f"{method} of /dbs/colls/{'/'.join(rest[::2])} is not implemented.")
        lsn = self._database.container(container.database, container.name).lsn
        position = {
            "lsn": str(lsn),
            "x-ms-session-token": f"0:-1#{lsn}",
            "x-ms-alt-content-path": container.link,
            "x-ms-content-path": container.rid,
        }
        return _Answer(answer.status, answer.body, {**position, **answer.headers})

    def _item(
        self, container: Container, method: str, item_id: str, headers: CIMultiDictProxy[str], raw: bytes
    ) -> _Answer:
        partition, if_match = _partition(headers), headers.get("if-match")
        if method == "GET":
            item = items.read(self._database, container, partition, item_id)
            if headers.get("if-none-match") in ("*", item.etag):
                return _Answer(304, headers={"etag": item.etag})
            return _Answer(200, item.document, {"etag": item.etag})
        _refuse_if_none_match(headers)
        document = items.parse(raw) if method == "PUT" else None
        with items.writing(self._database, container, partition) as writer:
            if method == "DELETE":
                writer.delete(item_id, if_match)
                return _Answer(204)
            return _stored(200, writer.replace(item_id, document, if_match), headers)

    def _store(self, container: Container, headers: CIMultiDictProxy[str], raw: bytes) -> _Answer:
        document = items.parse(raw)
        _refuse_if_none_match(headers)
        with items.writing(self._database, container, _partition(headers)) as writer:
            if headers.get("x-ms-documentdb-is-upsert", "").lower() != "true":
                return _stored(201, writer.create(document), headers)
            item, created = writer.upsert(document, headers.get("if-match"))
            return _stored(201 if created else 200, item, headers)

    def _query(self, container: Container, headers: CIMultiDictProxy[str], raw: bytes) -> _Answer:
        _refuse_part_of_range(headers)
        scope: str | int | None = (
            _partition(headers) if "x-ms-documentdb-partitionkey" in headers else _range(container, headers)
        )
        if scope is None and headers.get("x-ms-documentdb-query-enablecrosspartition", "").lower() != "true":
            raise Invalid("The query crosses partitions, and the request does not allow it.")
        page = query.run(
            self._database,
            container,
            scope,
            items.parse(raw),
            limit=_page(headers),
            token=headers.get("x-ms-continuation"),
        )
        answer = {"_rid": container.rid, "Documents": page.results, "_count": len(page.results)}
        found = {"x-ms-item-count": str(len(page.results))}
        return _Answer(200, answer, found if page.continuation is None else found | _token(page.continuation))

    def _feed(self, container: Container, headers: CIMultiDictProxy[str]) -> _Answer:
        if headers.get("a-im", "") != "Incremental Feed":
            raise NotImplementedHere("GET of /dbs/colls/docs is implemented only with A-IM: Incremental Feed.")
        _refuse_part_of_range(headers)
        if "x-ms-documentdb-partitionkey" in headers:
            raise NotImplementedHere("The change feed of one partition key is not implemented.")
        range_number = _range(container, headers)
        if range_number is None:
            raise Invalid("The change feed is that of one partition key range, which the request does not name.")
        after = change_feed.position(container, headers.get("if-none-match"))
        since = _timestamp(headers["if-modified-since"]) if "if-modified-since" in headers else 0.0
        changes = change_feed.read(self._database, container, range_number, after, since, _page(headers))
        # Without an etag, also on 304, the SDK would begin the feed anew and never end.
        found = {"etag": f'"{changes.lsn}"', "x-ms-item-count": str(len(changes.documents))}
        if not changes.documents:
            return _Answer(304, headers=found)
        answer = {"_rid": container.rid, "Documents": changes.documents, "_count": len(changes.documents)}
        return _Answer(200, answer, found)


def _refusal(refused: Refusal) -> _Answer:
    headers = {"x-ms-substatus": str(refused.substatus)} if refused.substatus else {}
    return _Answer(refused.status, {"code": refused.code, "message": str(refused)}, headers)


def _account(endpoint: str) -> dict[str, Any]:
    here = [{"name": "Local", "databaseAccountEndpoint": endpoint}]
    return {
        "id": "local",
        "_self": "",
        "_rid": "local",
        "_dbs": "//dbs/",
        "writableLocations": here,
        "readableLocations": here,
        "enableMultipleWriteLocations": False,
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Strong"},
        "queryEngineConfiguration": items.dump(_QUERY_ENGINE),
    }


def _ranges(container: Container, headers: CIMultiDictProxy[str]) -> _Answer:
    # The same ranges for ever. The SDK asks again with the etag until it gets a 304.
    etag = '"1"'
    if headers.get("if-none-match") == etag:
        return _Answer(304, headers={"etag": etag})
    found = ranges.described(container.rid)
    return _Answer(200, {"_rid": container.rid, "PartitionKeyRanges": found, "_count": len(found)}, {"etag": etag})


def _stored(status: int, item: items.Item, headers: CIMultiDictProxy[str]) -> _Answer:
    body = None if headers.get("prefer") == "return=minimal" else item.document
    return _Answer(status, body, {"etag": item.etag})


def _token(continuation: str) -> dict[str, str]:
    return {"x-ms-continuation": continuation}


def _is_query(headers: CIMultiDictProxy[str]) -> bool:
    return "x-ms-documentdb-isquery" in headers or headers.get("content-type", "").startswith("application/query+json")


def _object(raw: bytes) -> dict[str, Any]:
    value = items.parse(raw)
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.")
    return value


def _partition(headers: CIMultiDictProxy[str]) -> str:
    if "x-ms-documentdb-partitionkey" not in headers:
        raise Invalid("The header x-ms-documentdb-partitionkey is missing.")
    return partition_key.from_header(headers["x-ms-documentdb-partitionkey"])


def _page(headers: CIMultiDictProxy[str]) -> int:
    try:
        size = int(headers.get("x-ms-max-item-count", "-1"))
    except ValueError:
        raise Invalid("x-ms-max-item-count is not a number.") from None
    return min(size, _MAX_PAGE) if size > 0 else _DEFAULT_PAGE


def _timestamp(header: str) -> float:
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Invalid("If-Modified-Since is not an HTTP date.") from None


def _refuse_if_none_match(headers: CIMultiDictProxy[str]) -> None:
    if "if-none-match" in headers:
        raise NotImplementedHere("If-None-Match on a write is not implemented.")


def _refuse_part_of_range(headers: CIMultiDictProxy[str]) -> None:
    if headers.get("x-ms-start-epk", "") != "" or headers.get("x-ms-end-epk", "FF") != "FF":
        raise NotImplementedHere("A range of effective partition keys (x-ms-start-epk) is not implemented.")


def _range(container: Container, headers: CIMultiDictProxy[str]) -> int | None:
    header = headers.get("x-ms-documentdb-partitionkeyrangeid")
    return None if header is None else ranges.from_header(header, container.rid)
