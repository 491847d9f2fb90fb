"""Listings as Azure's storage may answer them: pages that are short, or empty, and go on all the same."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import pytest
import pytest_asyncio
from aiohttp import web

from local.ports import free_ports
from shared.ports import ContainerPage, ListedContainer, MarkerRefused, StoreUnavailable
from shared.stores.blobs import AzureCaptureStore

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTAINER = "7-20261126-abc"


@dataclass
class Listing:
    """A storage account that lists, page by page, what it is told to.

    Attributes:
        pages: the names on each page; those of deleted containers begin with ``!`` and are there only if asked for.
        fails_at: the number of the page that is answered with 503, as often as it is asked for.
        passing: whether it is answered so only once.
        refuses: the number of the page whose marker is refused.
        asked: the query of each request that came.
    """

    port: int = field(default_factory=lambda: free_ports(1)[0])
    pages: Sequence[Sequence[str]] = ()
    fails_at: int | None = None
    passing: bool = False
    refuses: int | None = None
    asked: list[Mapping[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        number = int(request.query.get("marker") or 0)
        if number == self.fails_at:
            self.fails_at = None if self.passing else number
            headers = {"Retry-After": "3"} if self.passing else {}
            return web.Response(status=503, headers={"x-ms-error-code": "ServerBusy", **headers})
        if number == self.refuses:
            return web.Response(status=400, headers={"x-ms-error-code": "OutOfRangeInput"})
        kind = "Blob" if "restype" in request.query else "Container"
        assert request.method == "GET" and request.query["comp"] == "list"
        with_deleted = "deleted" in request.query.get("include", "").split(",")
        found = "".join(
            f"<{kind}><Name>{escape(name.lstrip('!'))}</Name>{'<Deleted>true</Deleted>' if name[0] == '!' else ''}"
            f"<Version>1</Version><Properties><Etag>x</Etag></Properties></{kind}>"
            for name in self.pages[number]
            if name.lstrip("!").startswith(request.query.get("prefix", "")) and (with_deleted or name[0] != "!")
        )
        marker = f"<NextMarker>{number + 1}</NextMarker>" if number + 1 < len(self.pages) else "<NextMarker />"
        # Azure repeats the size of a page, and the SDK asks for the next one with what was repeated.
        size = f"<MaxResults>{request.query['maxresults']}</MaxResults>" if "maxresults" in request.query else ""
        body = f"<EnumerationResults>{size}<{kind}s>{found}</{kind}s>{marker}</EnumerationResults>"
        return web.Response(text=f"<?xml version='1.0' encoding='utf-8'?>{body}", content_type="application/xml")


@pytest_asyncio.fixture(loop_scope="session")
async def listing() -> AsyncIterator[Listing]:
    listing = Listing()
    app = web.Application()
    app.router.add_get("/{path:.*}", listing.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", listing.port).start()
    yield listing
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session")
async def store(listing: Listing) -> AsyncIterator[AzureCaptureStore]:
    setting = f"AccountName=stlisting;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:{listing.port}/stlisting;"
    store = AzureCaptureStore.connect(setting, None)
    yield store
    await store.close()


UNKIND: list[list[list[str]]] = [
    [[]],
    [["7-a"], ["7-b"]],
    [[], ["7-a"], [], [], ["7-b", "7-c"], []],
    [[], [], []],
    [["7-a"], [], ["7-b"]],
]


@pytest.mark.parametrize("pages", UNKIND)
async def test_containers_are_listed_to_the_end(
    listing: Listing, store: AzureCaptureStore, pages: list[list[str]]
) -> None:
    listing.pages = pages
    found = [each async for each in store.list_containers("7-")]
    assert found == [ListedContainer(name) for page in pages for name in page]
    assert [asked.get("marker") for asked in listing.asked] == [None, *(str(n) for n in range(1, len(pages)))]


async def test_what_is_asked_for_is_the_prefix_and_no_more_at_once(listing: Listing, store: AzureCaptureStore) -> None:
    listing.pages = [["7-a", "8-a"], ["7-b"]]
    assert [each.name async for each in store.list_containers("7-", page_size=300)] == ["7-a", "7-b"]
    assert [(asked["prefix"], asked["maxresults"]) for asked in listing.asked] == [("7-", "300")] * 2
    assert all(not asked.get("include") for asked in listing.asked)


async def test_deleted_containers_are_asked_for_on_every_page_and_only_on_demand(
    listing: Listing, store: AzureCaptureStore
) -> None:
    listing.pages = [[], ["7-a", "!7-b"], [], ["!7-a"]]
    assert [each async for each in store.list_containers("7-")] == [ListedContainer("7-a")]
    listing.asked.clear()
    found = [each async for each in store.list_containers("7-", include_deleted=True)]
    assert found == [ListedContainer("7-a"), ListedContainer("7-b", deleted=True), ListedContainer("7-a", deleted=True)]
    assert [asked["include"] for asked in listing.asked] == ["deleted"] * 4


@pytest.mark.parametrize("pages", UNKIND)
async def test_a_listing_goes_on_where_a_kept_marker_says_whatever_the_pages(
    listing: Listing, store: AzureCaptureStore, pages: list[list[str]]
) -> None:
    listing.pages = pages
    marker, found = None, list[ContainerPage]()
    while not found or marker is not None:
        found.append(await store.container_page("7-", marker, include_deleted=True, page_size=3))
        marker = found[-1].next_marker
    assert [[each.name for each in page.containers] for page in found] == pages
    assert {(asked["maxresults"], asked["include"]) for asked in listing.asked} == {("3", "deleted")}


async def test_a_marker_that_storage_does_not_take_is_refused_and_no_other_request(
    listing: Listing, store: AzureCaptureStore
) -> None:
    listing.pages, listing.refuses = [["7-a"], ["7-b"]], 1
    marker = (await store.container_page("7-", None)).next_marker
    with pytest.raises(MarkerRefused):
        await store.container_page("7-", marker)
    listing.refuses = 0
    with pytest.raises(StoreUnavailable, match="storage-OutOfRangeInput"):
        await store.container_page("7-", None)


@pytest.mark.parametrize("fails_at", [0, 1, 3])
async def test_a_listing_that_breaks_off_is_no_shorter_listing(
    listing: Listing, store: AzureCaptureStore, fails_at: int
) -> None:
    listing.pages, listing.fails_at = [["7-a"], [], ["7-b"], ["7-c"]], fails_at
    with pytest.raises(StoreUnavailable, match="storage-ServerBusy"):
        _ = [each async for each in store.list_containers("7-")]
    assert len([asked for asked in listing.asked if asked.get("marker", "0") == str(fails_at)]) == 3, "tried 3 times"


async def test_batches_are_listed_through_short_and_empty_pages_to_the_limit(
    listing: Listing, store: AzureCaptureStore
) -> None:
    a, b, c, d = (letter * 32 for letter in "abcd")
    listing.pages = [[], [a], [], [b, c], [], [d]]
    assert await store.list_batches(CONTAINER, limit=10, after=None) == [a, b, c, d]
    assert await store.list_batches(CONTAINER, limit=2, after=None) == [a, b]
    listing.asked.clear()
    # A server may know nothing of where to begin.
    assert await store.list_batches(CONTAINER, limit=2, after=b) == [c, d]
    assert {asked["maxresults"] for asked in listing.asked} == {"3"}
    assert listing.asked[0]["startFrom"] == b


async def test_d17_logs_between_the_batches_are_passed_over_and_cost_no_batch(
    listing: Listing, store: AzureCaptureStore
) -> None:
    a, b = "a" * 32, "b" * 32
    listing.pages = [["a-log"], [a, "spans-0000", "spans-0001"], ["spans-0002", b], ["spans-0003"]]
    assert await store.list_batches(CONTAINER, limit=10, after=None) == [a, b]
    assert await store.list_batches(CONTAINER, limit=2, after=None) == [a, b]
    assert await store.list_batches(CONTAINER, limit=2, after=a) == [b]


@pytest.mark.parametrize("page", range(3))
async def test_a_listing_that_was_told_to_wait_goes_on_with_the_page_that_it_was_refused(
    listing: Listing, store: AzureCaptureStore, page: int
) -> None:
    listing.pages = [["7-a", "7-b"], ["7-c"], ["7-d"]]
    listing.fails_at, listing.passing, listing.asked = page, True, []
    found, waits = list[str](), list[float | None]()
    containers = store.list_containers("7-")
    while True:
        try:
            each = await anext(containers, None)
        except StoreUnavailable as refused:
            assert refused.throttled
            waits.append(refused.retry_after)
            continue
        if each is None:
            break
        found.append(each.name)
    listing.passing = False
    assert (found, waits) == (["7-a", "7-b", "7-c", "7-d"], [3.0])
    assert len(listing.asked) == 4, "the SDK does not ask before the account says"
