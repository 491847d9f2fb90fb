"""Deletions on the real stack."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from local.client import Client


async def deletion_of(client: Client, tenant: str, enrollment_id: str) -> dict[str, Any]:
    """Return a deletion, once the feed has scheduled it."""
    for _ in range(2000):
        answer = await client.as_admin("GET", tenant, f"deletions/{enrollment_id}")
        if answer.status == 200:
            return dict(answer.body)
        await asyncio.sleep(0.05)
    raise AssertionError("the feed has not scheduled the deletion")


async def purge(client: Client) -> None:
    """Purge as the schedule does, again five minutes later on the moved clock, until all that is due was tried.

    What is tested is what comes of it; how often storage was slow in between is not.
    """
    for _ in range(6):
        begun = await client.now()
        assert await client.run("purge") == "completed"
        last = {geo: each["lastPurge"] for geo, each in (await client.status())["geos"].items()}
        if all(
            each["outcome"] == "done" and datetime.fromisoformat(each["startedAt"]) >= begun for each in last.values()
        ):
            return
        await client.move_to(await client.now() + timedelta(minutes=5))
    raise AssertionError(f"no purge comes through: {last}")
