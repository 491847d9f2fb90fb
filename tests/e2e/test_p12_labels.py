"""P12 on the real stack: labels are said at once by several hosts, end with their grant, and go with their captures."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.conftest import everything_written

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARK = "Frau Herbst sagt: falsch, siehe 58-41"
TAG = "tag-of-5841"
ASKED = {"purpose": "validate", "justification": "To see why formulas are refused.", "durationMinutes": 60}
ANN, BOB = (f"{digit * 8}-2222-4333-8444-555555555555" for digit in "19")
CAPTURES = 12


class Room:
    """A tenant with one batch, and reviewers with live grants, who may call any host."""

    def __init__(self, client: Client, tenant: str) -> None:
        self.client, self.tenant = client, tenant
        self.enrollment = self.path = ""

    async def begin(self) -> None:
        self.enrollment = (await self.client.opt_in(self.tenant, "europe")).body["enrollmentId"]
        now = await self.client.now()
        captures = [
            {"capturedAt": format_instant(now), "feature": "f", "input": f"{n}", "output": "o"} for n in range(CAPTURES)
        ]
        batch = await self.client.post(self.tenant, captures)
        self.path = f"captures/{now.date()}/{batch.body['batchId']}"
        for reviewer in (ANN, BOB):
            await self.grant(reviewer)

    async def grant(self, reviewer: str) -> str:
        path = f"review-grants/{(await self.call('POST', 'review-grants', ASKED, reviewer=reviewer)).body['grantId']}"
        await self.client.as_person(Role.APPROVER, "POST", self.tenant, f"{path}/approve")
        return path

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        reviewer: str = ANN,
        host: Client | None = None,
        **headers: str,
    ) -> Answer:
        now = await self.client.now()
        token = self.client._stack.issuer.token(Role.REVIEWER, now=now, claims={"oid": reviewer})
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await (host or self.client).call(
            method, f"tenants/{self.tenant}/{path}", token=token, body=body, headers=sent
        )

    async def put(self, line: int, body: Any, **how: Any) -> Answer:
        return await self.call("PUT", f"{self.path}/{line}/label", body, **how)

    async def labels(self) -> dict[tuple[str, int], dict[str, Any]]:
        answer = await self.call("GET", f"{self.path}/labels")
        return {(each["reviewer"], each["line"]): each for each in answer.body["value"]}

    async def log(self) -> list[dict[str, Any]]:
        answer = await self.client.as_admin("GET", self.tenant, "access-log?limit=200")
        assert [each["sequence"] for each in answer.body["value"]] == list(range(len(answer.body["value"]), 0, -1))
        return list(reversed(answer.body["value"]))

    async def blobs(self) -> list[bytes]:
        """What the blobs of labels hold, wherever they are."""
        found = []
        for geo, containers in (await self.client.all_containers()).items():
            for container in containers:
                blobs = self.client._storage[geo].get_container_client(container)
                if container.endswith(self.enrollment):
                    names = [name async for name in blobs.list_blob_names() if "-labels-" in name]
                    found += [await (await blobs.download_blob(name)).readall() for name in names]
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def room(client: Client, tenant: str) -> AsyncIterator[Room]:
    room = Room(client, tenant)
    await room.begin()
    yield room


async def test_p12_the_whole_way_of_a_label(room: Room, stack: Stack) -> None:
    assert (await room.call("GET", "label-vocabulary")).body["verdicts"][0] == "correct"
    said = {"verdict": "incorrect", "score": 0.25, "tags": [TAG], "comment": MARK}
    first = await room.put(3, said, If_None_Match="*")
    assert first.status == 200
    assert first.body == {**said, "line": 3, "reviewer": ANN, "at": first.body["at"]}
    assert (await room.put(3, said, If_None_Match="*")).problem == "precondition-failed"
    others = await room.put(3, {"verdict": "correct"}, reviewer=BOB)
    assert await room.labels() == {(ANN, 3): first.body, (BOB, 3): others.body}
    second = await room.put(3, {**said, "verdict": "correct"}, If_Match=first.headers["etag"])
    assert second.status == 200
    assert (await room.put(3, said, If_Match=first.headers["etag"])).problem == "precondition-failed"
    agreement = (await room.call("GET", "label-agreement")).body
    assert (agreement["labels"], agreement["value"][0]["captures"], agreement["value"][0]["observed"]) == (2, 1, 1.0)
    assert (await room.put(CAPTURES, said)).problem == "not-found"
    assert (await room.put(3, {"verdict": "nonsense"})).problem == "unknown-verdict"
    assert any(MARK.encode() in content and TAG.encode() in content for content in await room.blobs())
    written = everything_written(stack)
    assert not [name for name, content in written.items() if MARK.encode() in content or TAG.encode() in content]
    assert (await room.call("DELETE", f"{room.path}/3/label")).status == 204
    assert await room.labels() == {(BOB, 3): others.body}
    told = Counter(each["action"] for each in await room.log() if each["actor"] == ANN)
    assert {name: told[name] for name in ("labelled", "labelWithdrawn", "labelsRead")} == {
        "labelled": 5,
        "labelWithdrawn": 1,
        "labelsRead": 3,
    }
    [grant] = [each for each in (await room.call("GET", "review-grants")).body["value"] if each["requestedBy"] == ANN]
    uses = await room.client.as_person(Role.APPROVER, "GET", room.tenant, f"review-grants/{grant['grantId']}/uses")
    assert uses.body["value"] == [{"action": name, "count": told[name]} for name in sorted(told) if name != "requested"]


async def test_p9_two_hosts_and_two_pages_of_one_reviewer_lose_no_label(room: Room, second: Client) -> None:
    hosts = (room.client, second)
    answers = await asyncio.gather(
        *(
            room.put(line, {"score": line / CAPTURES, "comment": reviewer}, reviewer=reviewer, host=hosts[line % 2])
            for line in range(CAPTURES)
            for reviewer in (ANN, BOB)
        )
    )
    said = {(answer.body["reviewer"], answer.body["line"]) for answer in answers if answer.status == 200}
    assert {answer.status for answer in answers} <= {200, 503} and len(said) >= CAPTURES
    stored = await room.labels()
    assert said <= stored.keys()
    assert all(each["comment"] == reviewer for (reviewer, _), each in stored.items())
    etags = {answer.body["reviewer"]: answer.headers["etag"] for answer in answers if (answer.body.get("line")) == 0}
    if ANN in etags:
        changes = [room.put(0, {"comment": f"{n}"}, host=hosts[n % 2], If_Match=etags[ANN]) for n in range(6)]
        statuses = [answer.status for answer in await asyncio.gather(*changes)]
        assert statuses.count(200) == 1 and set(statuses) <= {200, 412, 503}


async def test_p7_nothing_is_said_or_shown_once_the_grant_is_revoked(room: Room) -> None:
    assert (await room.put(0, {"comment": MARK})).status == 200
    [grant] = [each for each in (await room.call("GET", "review-grants")).body["value"] if each["requestedBy"] == ANN]
    calls = [asyncio.create_task(room.put(line, {"comment": MARK})) for line in range(1, 8)]
    await asyncio.sleep(0.02)  # some are on their way
    revoked = await room.call("POST", f"review-grants/{grant['grantId']}/revoke")
    assert revoked.body["status"] == "revoked"
    answers = await asyncio.gather(*calls)
    assert {answer.problem for answer in answers} <= {None, "grant-required", "unavailable"}
    before = sorted(await room.blobs())
    for answer in (
        await room.put(9, {"comment": MARK}),
        await room.call("DELETE", f"{room.path}/0/label"),
        await room.call("GET", f"{room.path}/labels"),
        await room.call("GET", "label-agreement"),
    ):
        assert answer.problem == "grant-required"
    assert sorted(await room.blobs()) == before
    await room.grant(ANN)
    stored = await room.labels()
    said = {(ANN, line) for line, answer in enumerate(answers, 1) if answer.status == 200}
    assert said | {(ANN, 0)} <= stored.keys() and (ANN, 9) not in stored
    told = {each["line"] for each in await room.log() if each["action"] == "labelled"}
    assert {line for _, line in stored} <= told, "what is stored is on the record"


async def test_p12_labels_go_with_an_expedited_opt_out_and_the_receipt_is_signed(room: Room) -> None:
    for reviewer in (ANN, BOB):
        assert (await room.put(1, {"comment": MARK}, reviewer=reviewer)).status == 200
    export = (await room.call("POST", "exports", {"labelled": True})).body
    assert (export["status"], export["captures"]) == ("ready", 1)
    assert len(await room.blobs()) == 2
    await room.client.opt_out(room.tenant)
    for _ in range(100):
        expedited = await room.client.as_admin("POST", room.tenant, f"deletions/{room.enrollment}/expedite")
        if expedited.status == 202:
            break
        await asyncio.sleep(0.05)
    assert await room.client.run("purge") == "completed"
    assert await room.blobs() == []
    assert (await room.put(1, {"comment": MARK})).problem == "not-found"
    assert not [each for each in await room.client.containers("europe") if each.endswith(room.enrollment)]
    await room.client.move_to(await room.client.now() + timedelta(minutes=5))
    assert await room.client.run("purge") == "completed"
    deletion = await room.client.as_admin("GET", room.tenant, f"deletions/{room.enrollment}")
    assert deletion.body["status"] == "verified" and MARK not in json.dumps(deletion.body)
