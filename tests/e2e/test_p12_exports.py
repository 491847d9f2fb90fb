"""P12 on the real stack: an export is made, downloaded, and gone with what it holds; killed, it is whole or gone."""

import asyncio
import gzip
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from local.client import Answer, Client
from local.process import Process
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.conftest import everything_written

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARK = "Sehr geehrte Frau Winter, Ihre Bestellung 93-12"
ASKED = {"purpose": "improve", "justification": "To see why formulas are refused.", "durationMinutes": 480}
BATCHES = 40


class Room:
    """A tenant with batches of two days, and a reviewer with a live grant."""

    def __init__(self, client: Client, tenant: str) -> None:
        self.client, self.tenant = client, tenant
        self.enrollment = ""

    async def begin(self, batches: int = BATCHES) -> None:
        self.enrollment = (await self.client.opt_in(self.tenant, "europe")).body["enrollmentId"]
        now = await self.client.now()
        # At night, and so that the evening before is not before the enrollment, whenever that began.
        await self.client.move_to((now + timedelta(days=2)).replace(hour=3))
        now = await self.client.now()

        async def post(n: int) -> None:
            at = now - timedelta(hours=2 + 4 * (n % 2))
            capture = {"capturedAt": format_instant(at), "feature": f"f{n % 4}", "input": f"{MARK} {n}", "output": "o"}
            assert (await self.client.post(self.tenant, [capture, {**capture, "output": "p"}])).status == 201

        for start in range(0, batches, 10):
            await asyncio.gather(*(post(n) for n in range(start, start + 10)))
        grant = (await self.reviewer("POST", "review-grants", ASKED)).body["grantId"]
        await self.client.as_person(Role.APPROVER, "POST", self.tenant, f"review-grants/{grant}/approve")

    async def reviewer(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.client.as_person(Role.REVIEWER, method, self.tenant, path, body)

    async def export(self, export_id: str) -> dict[str, Any]:
        return dict((await self.reviewer("GET", f"exports/{export_id}")).body)

    async def lines(self, export_id: str) -> list[dict[str, Any]]:
        file = await self.reviewer("GET", f"exports/{export_id}/content")
        assert file.status == 200, file.body
        assert hashlib.sha256(file.body).hexdigest() == (await self.export(export_id))["sha256"]
        return [json.loads(line) for line in gzip.decompress(file.body).splitlines()]

    async def log(self) -> list[dict[str, Any]]:
        answer = await self.client.as_admin("GET", self.tenant, "access-log?limit=200")
        assert [each["sequence"] for each in answer.body["value"]] == list(range(len(answer.body["value"]), 0, -1))
        return list(reversed(answer.body["value"]))

    async def files(self) -> list[str]:
        return await self.client.beside(self.enrollment)


@pytest.fixture
def room(client: Client, tenant: str) -> Room:
    return Room(client, tenant)


def inputs(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((line["capture"]["input"], line["capture"]["output"]) for line in lines)


def expected(*numbers: int) -> list[tuple[str, str]]:
    return sorted((f"{MARK} {n}", output) for n in numbers for output in "op")


async def test_p12_the_whole_way_of_an_export(room: Room, stack: Stack) -> None:
    await room.begin()
    answer = await room.reviewer("POST", "exports", {"feature": "f1", "text": MARK.upper()})
    assert (answer.status, answer.body["status"], answer.body["captures"]) == (202, "ready", 20)
    export_id = answer.body["exportId"]
    assert answer.headers["location"].endswith(f"/api/tenants/{room.tenant}/exports/{export_id}")
    assert inputs(await room.lines(export_id)) == expected(*range(1, BATCHES, 4))
    [file] = await room.files()
    assert file.endswith(f"{room.enrollment}/export-{export_id}")
    assert answer.body["day"].replace("-", "") in file
    told = [each for each in await room.log() if each["action"].startswith("export")]
    assert [each["action"] for each in told] == ["exportRequested", "exportReady", "exportDownloaded"]
    assert {each.get("sha256") for each in told[1:]} == {answer.body["sha256"]}
    assert not any(MARK.upper().encode() in content for content in everything_written(stack).values())

    await room.client.opt_out(room.tenant)
    for _ in range(100):
        expedited = await room.client.as_admin("POST", room.tenant, f"deletions/{room.enrollment}/expedite")
        if expedited.status == 202:
            break
        await asyncio.sleep(0.05)
    assert await room.client.run("purge") == "completed"
    assert await room.files() == []
    assert (await room.reviewer("GET", f"exports/{export_id}/content")).problem == "not-found"
    await room.client.move_to(await room.client.now() + timedelta(minutes=5))
    assert await room.client.run("purge") == "completed"
    deletion = await room.client.as_admin("GET", room.tenant, f"deletions/{room.enrollment}")
    downloads = deletion.body["receipt"]["downloads"]
    assert (downloads["records"], downloads["sha256"]) == (1, [answer.body["sha256"]])
    assert downloads["copiesCovered"] is False


async def test_p12_retention_takes_an_export_with_the_oldest_day_that_it_holds(room: Room) -> None:
    await room.begin(10)
    export = (await room.reviewer("POST", "exports", {})).body
    assert export["day"] < export["newestDay"]
    await room.client.move_to(datetime.fromisoformat(export["expiresAt"]) - timedelta(hours=6))
    assert await room.client.run("purge") == "completed"
    assert await room.files() == []
    assert any(export["newestDay"].replace("-", "") in each for each in await room.client.containers("europe"))


async def killed(process: Process, room: Room, after: float) -> None:
    """Ask a host for an export, and kill it while it may be at that."""
    async with Client(room.client._stack, process.url) as client:
        await client.move_to(await room.client.now())
        asked = asyncio.create_task(client.as_person(Role.REVIEWER, "POST", room.tenant, "exports", {}))
        await asyncio.sleep(after)
        await process.kill()
        await asyncio.gather(asked, return_exceptions=True)
        if not asked.cancelled() and asked.exception() is not None:
            assert isinstance(asked.exception(), aiohttp.ClientError)
    await process.start()


async def test_p9_killed_at_any_moment_an_export_is_whole_or_gone(room: Room, stack: Stack) -> None:
    await room.begin()
    process = await stack.start_host()
    for after in (0.03, 0.06, 0.09, 0.12, 0.16):
        await killed(process, room, after)
    for _ in range(2):
        await room.client.move_to(await room.client.now() + timedelta(minutes=6))
        assert await room.client.run("make_exports") == "completed"
    exports = (await room.reviewer("GET", "exports")).body["value"]
    for export in exports:
        if export["status"] == "ready":
            assert inputs(await room.lines(export["exportId"])) == expected(*range(BATCHES))
        else:
            assert (export["status"], export["reason"]) == ("stopped", "interrupted")
    ready = [export["exportId"] for export in exports if export["status"] == "ready"]
    assert sorted(each.rpartition("/")[2] for each in await room.files()) == sorted(f"export-{each}" for each in ready)


async def test_p7_an_export_stops_when_its_grant_is_revoked(room: Room, stack: Stack) -> None:
    await room.begin()
    process = await stack.start_host()
    await killed(process, room, 0.1)
    [grant] = (await room.reviewer("GET", "review-grants")).body["value"]
    await room.reviewer("POST", f"review-grants/{grant['grantId']}/revoke")
    for _ in range(2):
        await room.client.move_to(await room.client.now() + timedelta(minutes=6))
        assert await room.client.run("make_exports") == "completed"
    for export in (await room.reviewer("GET", "exports")).body["value"]:
        # It may have been ready when its host was killed.
        assert export["status"] == "ready" or export["reason"] == "grant-ended", export
        assert (await room.reviewer("GET", f"exports/{export['exportId']}/content")).status in {403, 404}
        if export["status"] != "ready":
            assert await room.files() == []
