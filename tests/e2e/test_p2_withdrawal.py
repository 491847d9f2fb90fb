"""P2 and P5 on the real stack: captures racing an opt-out, on two host processes."""

import asyncio
import time
import uuid
from datetime import timedelta

import pytest

from local.client import Answer, Client
from local.samples import load
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.deletions import deletion_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAMPLES = load()


async def test_every_capture_sent_after_the_opt_outs_answer_is_refused_on_both_hosts(
    client: Client, second: Client, tenant: str
) -> None:
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    now = await client.now()
    token = client.token(Role.CAPTURE_SERVICE, now=now)
    captures = [SAMPLES[n % len(SAMPLES)].capture(format_instant(now)) for n in range(200)]
    sent: list[tuple[float, Answer]] = []
    answered = asyncio.Event()

    async def post(n: int) -> None:
        at = time.monotonic()
        host = (client, second)[n % 2]
        sent.append((at, await host.post(tenant, [captures[n % 200]], key=uuid.uuid4().hex, token=token)))

    async def keep_posting(worker: int) -> None:
        n = worker
        while not answered.is_set() and n < 2000:
            await post(n)
            n += 16

    async def opt_out() -> float:
        await asyncio.sleep(0.3)
        assert (await client.opt_out(tenant)).status == 200
        at = time.monotonic()
        answered.set()
        return at

    *_, answered_at = await asyncio.gather(*(keep_posting(worker) for worker in range(16)), opt_out())
    await asyncio.gather(*(post(n) for n in range(200)))

    accepted = [answer for _, answer in sent if answer.status == 201]
    refused = [answer for _, answer in sent if answer.problem == "data-sharing-off"]
    assert len(accepted) + len(refused) == len(sent)
    assert len(accepted) > 20 and len(refused) >= 200
    late = [answer for at, answer in sent if at > answered_at]
    assert len(late) >= 200 and all(answer.problem == "data-sharing-off" for answer in late)

    stored = await client.batches("europe", enrollment_id)
    assert {name.partition("/")[2] for name in stored} == {answer.body["batchId"] for answer in accepted}
    elsewhere = [name for geo in ("unitedstates", "unitedkingdom") for name in await client.containers(geo)]
    assert not any(name.endswith(enrollment_id) for name in elsewhere)

    before = await deletion_of(client, tenant, enrollment_id)
    expedited = await client.as_admin("POST", tenant, f"deletions/{enrollment_id}/expedite")
    assert expedited.status == 202 and expedited.body["deadline"] == before["deadline"]
    assert await client.run("purge") == "completed"
    await client.move_to(await client.now() + timedelta(minutes=5, seconds=1))
    assert await client.run("purge") == "completed"
    names = [name for names in (await client.all_containers()).values() for name in names]
    assert not any(name.endswith(enrollment_id) for name in names)
    done = await deletion_of(client, tenant, enrollment_id)
    assert (done["status"], done["deadline"]) == ("verified", before["deadline"])


async def test_off_on_off_on_without_a_pause_makes_two_deletions_and_two_enrollments(
    client: Client, tenant: str
) -> None:
    first = (await client.opt_in(tenant, "unitedstates")).body["enrollmentId"]
    started = time.monotonic()
    calls = []
    for n in range(4):  # the answers take a lease each; the commits do not wait for them
        toggle = client.opt_out(tenant) if n % 2 == 0 else client.opt_in(tenant, "unitedstates")
        calls.append(asyncio.create_task(toggle))
        while (await client.as_admin("GET", tenant, "data-sharing")).headers["etag"] != f'"{n + 2}"':
            assert time.monotonic() - started < 30
    assert all(answer.status == 200 for answer in await asyncio.gather(*calls))

    history = (await client.as_admin("GET", tenant, "data-sharing/history")).body["value"]
    assert [event["kind"] for event in history] == ["optedIn", "optedOut", "optedIn", "optedOut", "optedIn"]
    ended = [event["enrollmentId"] for event in history if event["kind"] == "optedOut"]
    begun = {event["enrollmentId"] for event in history if event["kind"] == "optedIn"}
    assert ended[-1] == first and len(begun) == 3
    for enrollment_id in ended:
        await deletion_of(client, tenant, enrollment_id)
    deletions = (await client.as_admin("GET", tenant, "deletions")).body["value"]
    assert [each["enrollmentId"] for each in deletions] == ended
    current = (await client.as_admin("GET", tenant, "data-sharing")).body
    assert current["enabled"] is True and current["enrollmentId"] not in ended
