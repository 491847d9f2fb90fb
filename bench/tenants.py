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
from shared.bootstrap import connect
from shared.clock import SystemClock
from shared.configuration import Configuration
from shared.model.ledger import Administrator
from shared.model.notices import DEFAULT_LOCALE, NOTICES, Agreement
from shared.sharing.data_sharing import RequestedChange

_CONCURRENCY = 16


class _Hasty(SystemClock):
    """Does not wait: nobody can have a lease yet of a tenant that is new."""

    async def sleep(self, _: float) -> None:
        """Let others run."""
        await asyncio.sleep(0)


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


async def enrol(stack: Stack, tenant_ids: Sequence[str]) -> dict[str, str]:
    """Opt new tenants in without asking a host, and return their enrollments' ids, in the same order."""
    services = connect(Configuration.read(stack.app_settings), _Hasty())
    agreement = Agreement(NOTICES.published[-1].version, DEFAULT_LOCALE)
    wish = RequestedChange(True, Administrator(actor="bench"), GEO, agreement)
    enrollments = dict.fromkeys(tenant_ids, "")
    left = iter(tenant_ids)

    async def put() -> None:
        for tenant_id in left:
            setting = await services.data_sharing.put(tenant_id, wish)
            assert setting.enrollment is not None
            enrollments[tenant_id] = setting.enrollment.enrollment_id

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONCURRENCY):
                group.create_task(put())
    finally:
        for close in services.closers:
            await close()
    return enrollments


async def toggle(
    stack: Stack, tenant_ids: Sequence[str], *, enabled: bool, per_second: float | None = None
) -> list[Toggled]:
    """Switch data sharing on or off for all by a host, evenly at a rate or all at the same time.

    Raises:
        BenchError: if one is not answered with 200.
    """
    body = to_opt_in(GEO, datetime.now(UTC)) if enabled else {"enabled": False}
    tokens = [stack.issuer.token(Role.TENANT_ADMIN, now=datetime.now(UTC), tenant=each) for each in tenant_ids]

    async def put(number: int, tenant_id: str) -> Toggled:
        if per_second:
            await asyncio.sleep(number / per_second)
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
