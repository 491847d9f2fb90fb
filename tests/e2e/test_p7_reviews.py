"""P7 on the real stack: nothing is seen that is not on the record, whatever fails and whoever races."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARK = "Sehr geehrte Frau Sommer, Ihre Bestellung 81-77"
ASKED = {
    "purpose": "validate",
    "justification": "Line one,\nline two \x1b[31mred\x07\u2028 end.",
    "durationMinutes": 30,
}


class Review:
    """A tenant with one batch, and the people who want to see it."""

    def __init__(self, client: Client, tenant: str) -> None:
        self.client, self.tenant = client, tenant
        self.path = ""

    async def begin(self) -> None:
        await self.client.opt_in(self.tenant, "europe")
        now = await self.client.now()
        capture = {"capturedAt": format_instant(now), "feature": "f", "input": MARK, "output": "o"}
        batch = await self.client.post(self.tenant, [capture, {**capture, "output": "p"}])
        self.path = f"captures/{now.date()}/{batch.body['batchId']}"

    async def reviewer(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.client.as_person(Role.REVIEWER, method, self.tenant, path, body)

    async def approver(self, method: str, path: str) -> Answer:
        return await self.client.as_person(Role.APPROVER, method, self.tenant, path)

    async def ask(self) -> str:
        answer = await self.reviewer("POST", "review-grants", ASKED)
        assert answer.status == 201 and answer.body["status"] == "pending"
        return f"review-grants/{answer.body['grantId']}"

    async def log(self) -> list[str]:
        answer = await self.client.as_admin("GET", self.tenant, "access-log")
        assert [each["sequence"] for each in answer.body["value"]] == list(range(len(answer.body["value"]), 0, -1))
        return [each["action"] for each in reversed(answer.body["value"])]


@pytest.fixture
def review(client: Client, tenant: str) -> Review:
    return Review(client, tenant)


async def test_the_whole_way_and_its_record(review: Review) -> None:
    await review.begin()
    grant = await review.ask()
    assert (await review.approver("POST", f"{grant}/approve")).status == 200
    day = review.path.split("/")[1]
    assert (await review.reviewer("GET", "captures")).body == {"value": [{"day": day}]}
    batches = (await review.reviewer("GET", f"captures?day={day}")).body["value"]
    assert [f"captures/{each['day']}/{each['batchId']}" for each in batches] == [review.path]
    first = await review.reviewer("GET", f"{review.path}?limit=1")
    assert [line["output"] for line in first.body] == ["o"]
    assert first.headers["cache-control"] == "no-store" and "offset=1" in first.headers["link"]
    second = await review.reviewer("GET", f"{review.path}?limit=1&offset=1")
    assert [line["output"] for line in second.body] == ["p"] and "link" not in second.headers
    assert (await review.approver("POST", f"{grant}/revoke")).body["status"] == "revoked"
    assert (await review.reviewer("GET", review.path)).problem == "grant-required"
    assert await review.log() == ["requested", "approved", "listed", "listed", "read", "read", "revoked"]


async def test_with_cosmos_db_gone_nothing_of_the_content_leaves(review: Review, stack: Stack) -> None:
    await review.begin()
    grant = await review.ask()
    await review.approver("POST", f"{grant}/approve")
    assert (await review.reviewer("GET", review.path)).status == 200
    reads = [asyncio.create_task(review.reviewer("GET", review.path)) for _ in range(8)]
    await asyncio.sleep(0.02)  # some are on their way
    await stack.processes["cosmos"].kill()
    answers = await asyncio.gather(*reads)
    try:
        answers.append(await review.reviewer("GET", review.path))
    finally:
        await stack.processes["cosmos"].start()
    assert answers[-1].status == 503
    for answer in answers:
        assert (answer.status == 200) == (MARK in str(answer.body)), answer.status
        assert answer.status in {200, 503}
    for _ in range(40):
        if (await review.reviewer("GET", review.path)).status == 200:
            break
        await asyncio.sleep(0.25)
    seen = 2 + sum(answer.status == 200 for answer in answers)
    assert (await review.log()).count("read") >= seen, "each look that was answered is on the record"


async def test_two_hosts_approving_and_revoking_at_a_time_agree(review: Review, second: Client) -> None:
    await review.begin()
    other = Review(second, review.tenant)
    grant = await review.ask()
    both = await asyncio.gather(*(each.approver("POST", f"{grant}/approve") for each in (review, other) for _ in "ab"))
    assert {answer.status for answer in both} == {200}
    assert len({answer.body["expiresAt"] for answer in both}) == 1
    assert await review.log() == ["requested", "approved"]
    grant = await review.ask()
    await asyncio.gather(review.approver("POST", f"{grant}/approve"), other.reviewer("POST", f"{grant}/revoke"))
    assert (await review.log())[2:] in (["requested", "approved", "revoked"], ["requested", "revoked"])


async def test_a_grant_ends_by_itself_and_a_purge_ends_what_it_opened(review: Review) -> None:
    await review.begin()
    enrollment = (await review.client.as_admin("GET", review.tenant, "data-sharing")).body["enrollmentId"]
    await review.client.opt_out(review.tenant)
    grant = await review.ask()
    await review.approver("POST", f"{grant}/approve")
    assert (await review.reviewer("GET", review.path)).status == 200
    for _ in range(100):
        expedited = await review.client.as_admin("POST", review.tenant, f"deletions/{enrollment}/expedite")
        if expedited.status == 202:
            break
        await asyncio.sleep(0.05)
    assert await review.client.run("purge") == "completed"
    assert (await review.reviewer("GET", review.path)).problem == "not-found"
    await review.client.move_to(await review.client.now() + timedelta(minutes=31))
    assert (await review.reviewer("GET", review.path)).problem == "grant-required"
