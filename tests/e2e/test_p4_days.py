"""P4 on the real stack: midnight, 29 February, and the day's deadline, seen in storage."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from local.client import Client
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEAP_DAY = datetime(2028, 2, 29, tzinfo=UTC)


def capture(at: datetime) -> dict[str, Any]:
    return {"capturedAt": format_instant(at), "feature": "f", "input": "i", "output": "o"}


async def test_days_at_midnight_before_29_february_and_their_last_instant_in_storage(
    client: Client, tenant: str
) -> None:
    await client.move_to(LEAP_DAY - timedelta(minutes=2))
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    eve, midnight = LEAP_DAY - timedelta(milliseconds=1), LEAP_DAY
    batches = {"eve": [capture(eve)], "midnight": [capture(midnight)], "across": [capture(midnight), capture(eve)]}
    expires = {}
    for key, captures in batches.items():
        answer = await client.post(tenant, captures, key=key)
        assert answer.status == 201
        expires[key] = answer.body["expiresAt"]
    assert expires == {
        "eve": "2028-03-29T00:00:00.000000Z",
        "midnight": "2028-03-30T00:00:00.000000Z",
        "across": "2028-03-29T00:00:00.000000Z",
    }

    async def days() -> dict[str, int]:
        counts: dict[str, int] = {}
        for name, captures in (await client.batches("europe", enrollment_id)).items():
            counts[name[2:10]] = counts.get(name[2:10], 0) + len(captures)
        return counts

    both = {"20280228": 3, "20280229": 1}
    assert await days() == both
    for gone, left in (("20280228", {"20280229": 1}), ("20280229", {})):
        due = datetime.strptime(gone, "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=29, hours=18)
        before = await days()
        await client.move_to(due - timedelta(seconds=30))
        assert await client.run("purge") == "completed"
        assert await days() == before
        await client.move_to(due)
        assert await client.run("purge") == "completed"
        assert await days() == left


@pytest.mark.parametrize("minutes", [330, -480, 840, -720, 1])
async def test_a_capture_is_of_its_day_in_utc_whatever_its_offset(client: Client, tenant: str, minutes: int) -> None:
    # Not the next one, which may be less than 20 minutes away.
    midnight = (await client.now()).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    await client.move_to(midnight - timedelta(minutes=20))
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    await client.move_to(midnight + timedelta(minutes=10))
    zone = timezone(timedelta(minutes=minutes))
    for at in (midnight - timedelta(minutes=5), midnight, midnight + timedelta(minutes=5)):
        sent = at.astimezone(zone).isoformat()
        assert not sent.endswith("Z") and not sent.endswith("+00:00")
        answer = await client.post(tenant, [{**capture(at), "capturedAt": sent}])
        assert answer.status == 201
        assert answer.body["expiresAt"] == f"{(at + timedelta(days=30)).date()}T00:00:00.000000Z"
    days = [name[2:10] for name in await client.batches("europe", enrollment_id)]
    before = f"{midnight - timedelta(days=1):%Y%m%d}"
    assert sorted(days) == [before, f"{midnight:%Y%m%d}", f"{midnight:%Y%m%d}"]
