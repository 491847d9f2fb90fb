"""Tenants that share data, and who speaks for them and for the services."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from bench.results import BenchError
from bench.scenario import GEO
from local.client import to_opt_in
from local.stack import Stack
from local.tokens import Role

_CONCURRENCY = 150  # each waits for two seconds, and costs next to nothing meanwhile


@dataclass(frozen=True, slots=True)
class Toggled:
    """One PUT of the setting that was answered: when it was sent and answered (monotonic seconds), and its body."""

    tenant_id: str
    enrollment_id: str | None
    sent: float
    answered: float


def service_token(stack: Stack) -> str:
    """Return a capture service's token, good for an hour."""
    return stack.issuer.token(Role.CAPTURE_SERVICE, now=datetime.now(UTC))


def captures_url(stack: Stack, tenant_id: str, host: str | None = None) -> str:
    """Return where a tenant's captures are posted, at the stack's first host or at another one."""
    return f"{host or stack.description.host}/api/tenants/{tenant_id}/captures"


async def toggle(
    stack: Stack, tenant_ids: Sequence[str], *, enabled: bool, per_second: float | None = None
) -> list[Toggled]:
    """Switch data sharing on or off for all, evenly at a rate or as many as possible at a time.

    Raises:
        BenchError: if one is not answered with 200.
    """
    slots = asyncio.Semaphore(len(tenant_ids) if per_second else _CONCURRENCY)
    body = to_opt_in(GEO, datetime.now(UTC)) if enabled else {"enabled": False}
    tokens = [stack.issuer.token(Role.TENANT_ADMIN, now=datetime.now(UTC), tenant=each) for each in tenant_ids]

    async def put(number: int, tenant_id: str) -> Toggled:
        if per_second:
            await asyncio.sleep(number / per_second)
        async with slots:
            url = f"{stack.description.api}/tenants/{tenant_id}/data-sharing"
            sent = time.monotonic()
            headers = {"Authorization": f"Bearer {tokens[number]}"}
            async with session.put(url, json=body, headers=headers) as response:
                answer = await response.json()
                if response.status != 200:
                    raise BenchError(f"PUT data-sharing was answered with {response.status}")
                return Toggled(tenant_id, answer["enrollmentId"], sent, time.monotonic())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return await asyncio.gather(*(put(number, each) for number, each in enumerate(tenant_ids)))
