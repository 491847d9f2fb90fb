"""The toggle, and how soon after an opt-out its deletion is scheduled by the change feed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from bench.load import percentile
from bench.plan import Plan
from bench.results import BenchError
from bench.rounds import rounds
from bench.scenario import Bench
from bench.targets import Target
from bench.tenants import Toggled, toggle
from local.stack import Stack
from shared.model.deadlines import CONSENT_LEASE_SECONDS
from shared.ports import LOOKUP_MAX
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions

SCENARIO = "toggle"
CASE = "opt in, opt out, deletion by the change feed"
_PER_SECOND = 20.0
_POLL_SECONDS = 0.02
_GIVE_UP_SECONDS = 30.0


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    what = "opt-out answered to deletion scheduled, p99, minus the lease wait (s)"
    return [Target("scheduling", what, "<=", 1.0, SCENARIO, (CASE, "scheduled after commit p99 s"))]


async def measure(bench: Bench, stack: Stack) -> None:
    """Let tenants opt in and out at an even rate, and look for their deletions in Cosmos DB meanwhile."""
    async with deletions_of(stack) as deletions:

        async def change() -> Mapping[str, float]:
            return await _change(bench, stack, deletions)

        await rounds(bench, SCENARIO, {CASE: change}, targets(bench.plan))


@asynccontextmanager
async def deletions_of(stack: Stack) -> AsyncIterator[CosmosDeletions]:
    """Connect to a stack's deletions."""
    cosmos = CosmosAccount.connect(stack.app_settings["COSMOS_CONNECTION"], None)
    try:
        yield CosmosDeletions(cosmos)
    finally:
        await cosmos.close()


async def scheduled(deletions: CosmosDeletions, enrollments: Mapping[str, str]) -> Mapping[str, float]:
    """Return when (monotonic seconds) the deletion of each enrollment was first there; looks every 20 ms.

    Args:
        deletions: where to look.
        enrollments: the enrollment of each tenant.

    Raises:
        BenchError: if one is not there after half a minute.
    """
    seen: dict[str, float] = {}
    keys = list(enrollments.items())
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while len(seen) < len(keys):
        if time.monotonic() > give_up:
            raise BenchError(f"{len(keys) - len(seen)} opt-outs have no deletion")
        found = [
            enrollment_id
            for n in range(0, len(keys), LOOKUP_MAX)
            for _, enrollment_id in await deletions.existing(keys[n : n + LOOKUP_MAX])
        ]
        now = time.monotonic()
        for each in found:
            seen.setdefault(each, now)
        await asyncio.sleep(_POLL_SECONDS)
    return seen


async def _change(bench: Bench, stack: Stack, deletions: CosmosDeletions) -> Mapping[str, float]:
    tenant_ids = [str(uuid.uuid4()) for _ in range(bench.plan.opt_outs)]
    opted_in = await toggle(stack, tenant_ids, enabled=True, per_second=_PER_SECOND)
    enrollments = {each.tenant_id: each.enrollment_id or "" for each in opted_in}
    watching = asyncio.create_task(scheduled(deletions, enrollments))
    opted_out = await toggle(stack, tenant_ids, enabled=False, per_second=_PER_SECOND)
    seen = await watching
    return {
        **_spread("opt-in answered after", [_waited(each) for each in opted_in]),
        **_spread("opt-out answered after", [_waited(each) for each in opted_out]),
        # The commit, on this machine's clock: the answer comes one lease after it.
        **_spread(
            "scheduled after commit",
            [seen[enrollments[each.tenant_id]] - (each.answered - CONSENT_LEASE_SECONDS) for each in opted_out],
        ),
        **_spread("scheduled after PUT", [seen[enrollments[each.tenant_id]] - each.sent for each in opted_out]),
    }


def _waited(toggled: Toggled) -> float:
    return toggled.answered - toggled.sent


def _spread(what: str, seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {f"{what} p50 s": percentile(ordered, 0.5), f"{what} p99 s": percentile(ordered, 0.99)}
