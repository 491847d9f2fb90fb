"""P7 and P12 on the real stack: captures are found on pages that end inside batches, each look on the record first."""

import asyncio
import gzip
from typing import Any

import pytest

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.conftest import everything_written

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARK = "Sehr geehrter Herr Herbst, Ihre Bestellung 64-29"
SOUGHT = "BESTELLUNG 64-29"
ASKED = {"purpose": "improve", "justification": "To see why formulas are refused.", "durationMinutes": 480}
SIZES = (1, 7, 2, 30, 1, 1, 1, 1, 1, 1, 1)


class Room:
    """A tenant with some batches, and a reviewer with a live grant."""

    def __init__(self, client: Client, tenant: str) -> None:
        self.client, self.tenant = client, tenant
        self.grant = ""

    async def begin(self) -> None:
        await self.client.opt_in(self.tenant, "europe")
        at = format_instant(await self.client.now())
        for n, size in enumerate(SIZES):
            captures = [
                {"capturedAt": at, "feature": f"f{m % 2}", "input": f"{MARK} {n}.{m}", "output": "o", "language": "de"}
                for m in range(size)
            ]
            assert (await self.client.post(self.tenant, captures)).status == 201
        self.grant = (await self.reviewer("review-grants", ASKED)).body["grantId"]
        path = f"review-grants/{self.grant}/approve"
        await self.client.as_person(Role.APPROVER, "POST", self.tenant, path)

    async def reviewer(self, path: str, body: Any) -> Answer:
        return await self.client.as_person(Role.REVIEWER, "POST", self.tenant, path, body)

    async def pages(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while not found or "cursor" in found[-1]:
            cursor = {"cursor": found[-1]["cursor"]} if found else {}
            answer = await self.reviewer(path, {**body, **cursor})
            assert answer.status == 200, answer.body
            found.append(answer.body)
        return found

    async def log(self) -> list[dict[str, Any]]:
        answer = await self.client.as_admin("GET", self.tenant, "access-log?limit=200")
        return list(reversed(answer.body["value"]))[2:]


@pytest.fixture
def room(client: Client, tenant: str) -> Room:
    return Room(client, tenant)


def inputs(pages: list[dict[str, Any]]) -> list[str]:
    return [each["capture"]["input"] for page in pages for each in page["value"]]


ALL = sorted(f"{MARK} {n}.{m}" for n, size in enumerate(SIZES) for m in range(size))


async def test_p12_all_that_matches_is_found_once_however_pages_end(room: Room, stack: Stack) -> None:
    await room.begin()
    for limit in (1, 4, 200):
        pages = await room.pages("captures/find", {"text": SOUGHT, "limit": limit})
        assert sorted(inputs(pages)) == ALL
        places = [(each["day"], each["batchId"], each["line"]) for page in pages for each in page["value"]]
        assert places == sorted(set(places))
        assert sum(page["scanned"]["captures"] for page in pages) == len(ALL)
        assert {each["language"] for page in pages for each in page["value"]} == {"de"}
    assert inputs(await room.pages("captures/find", {"text": SOUGHT, "feature": "f2"})) == []
    told = await room.log()
    assert [each["action"] for each in told] == ["searched", "found"] * (len(told) // 2)
    assert {tuple(each["filteredBy"]) for each in told[:-2:2]} == {("text",)}
    assert sum(each["captures"] for each in told[1::2]) == 3 * len(ALL)
    assert SOUGHT not in str(told) and MARK not in str(told)
    written = everything_written(stack).values()
    assert not any(SOUGHT.encode() in content for content in written)


async def test_p12_a_sample_is_the_same_for_the_same_seed(room: Room) -> None:
    await room.begin()
    samples = [await room.pages("captures/sample", {"text": SOUGHT, "size": 9, "seed": seed}) for seed in (1, 1, 2)]
    first, again, other = map(inputs, samples)
    assert first == again != other and len(set(first)) == len(set(other)) == 9
    assert [pages[-1]["matched"] for pages in samples] == [len(ALL)] * 3


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the SDK's way
async def test_p12_what_somebody_has_put_there_by_hand_keeps_nobody_from_the_rest(room: Room) -> None:
    await room.begin()
    [name] = [each for each in await room.client.containers("europe") if each.endswith(await enrollment(room))]
    container = room.client._storage["europe"].get_container_client(name)
    bomb = gzip.compress(b"\0" * (40 * 1024 * 1024), 1)
    large = b"\x1f\x8b" + bytes(9 * 1024 * 1024)
    for blob, content in (
        ("0" * 32, b"garbage"),
        ("8" * 32, bomb),
        ("f" * 32, large),
        ("notes.txt", b"{}"),
        ("9", b""),
    ):
        await container.upload_blob(blob, content)
    await container.upload_blob("a" * 32, b"")
    pages = await room.pages("captures/find", {"limit": 5})
    assert sorted(inputs(pages)) == ALL
    assert sum(page["scanned"]["unreadable"] for page in pages) == 4


async def enrollment(room: Room) -> str:
    return str((await room.client.as_admin("GET", room.tenant, "data-sharing")).body["enrollmentId"])


async def test_p7_when_the_grant_ends_nothing_more_leaves(room: Room) -> None:
    await room.begin()
    pages = [await room.reviewer("captures/find", {"limit": 1})]
    searches = [asyncio.create_task(room.reviewer("captures/find", {"text": SOUGHT})) for _ in range(6)]
    path = f"review-grants/{room.grant}/revoke"
    assert (await room.client.as_person(Role.APPROVER, "POST", room.tenant, path)).status == 200
    pages += await asyncio.gather(*searches)
    seen = sum(page.status == 200 for page in pages)
    assert {page.status for page in pages} <= {200, 403}
    assert all((page.status == 200) == (MARK in str(page.body)) for page in pages)
    told = [each["action"] for each in await room.log()]
    assert told.count("found") >= seen and "found" not in told[told.index("revoked") :]
    for cursor in ({}, {"cursor": pages[0].body["cursor"]}):
        assert (await room.reviewer("captures/find", {"limit": 1, **cursor})).problem == "grant-required"
