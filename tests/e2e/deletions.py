"""Deletions on the real stack."""

import asyncio
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
