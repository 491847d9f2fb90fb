"""The toggle, and how soon after an opt-out its deletion is scheduled by the change feed."""

import asyncio
import time
import uuid
from collections.abc import Collection, Sequence

from bench.load import percentile
from bench.results import BenchError
from bench.scenario import Bench
from bench.tenants import Toggled, toggle
from local.stack import Stack
from shared.model.deadlines import CONSENT_LEASE_SECONDS
from shared.ports import LOOKUP_MAX
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions

SCENARIO = "toggle"
OPT_IN, OPT_OUT = "opt in", "opt out"
SCHEDULED = "opt-out to deletion, by the change feed"
_PER_SECOND = 20.0
_POLL_SECONDS = 0.02
_GIVE_UP_SECONDS = 30.0


async def measure(bench: Bench, stack: Stack) -> None:
    """Let tenants opt in and out at an even rate, and look for their deletions in Cosmos DB meanwhile."""
    cosmos = CosmosAccount.connect(stack.app_settings["COSMOS_CONNECTION"], None)
    try:
        for _ in range(bench.plan.repeat):
            await _round(bench, stack, CosmosDeletions(cosmos))
    finally:
        await cosmos.close()


async def _round(bench: Bench, stack: Stack, deletions: CosmosDeletions) -> None:
    tenant_ids = [str(uuid.uuid4()) for _ in range(bench.plan.opt_outs)]
    opted_in = await toggle(stack, tenant_ids, enabled=True, per_second=_PER_SECOND)
    enrollments = {each.tenant_id: each.enrollment_id or "" for each in opted_in}
    watching = asyncio.create_task(_seen(deletions, set(enrollments.items())))
    opted_out = await toggle(stack, tenant_ids, enabled=False, per_second=_PER_SECOND)
    seen = await watching
    for case, toggled in ((OPT_IN, opted_in), (OPT_OUT, opted_out)):
        bench.results.add(SCENARIO, case, _spread([each.answered - each.sent for each in toggled], "answered after"))
    # The commit, on this machine's clock: the answer comes one lease after it.
    lags = [seen[enrollments[each.tenant_id]] - _committed(each) for each in opted_out]
    since_put = [seen[enrollments[each.tenant_id]] - each.sent for each in opted_out]
    bench.results.add(SCENARIO, SCHEDULED, _spread(lags, "after commit"))
    bench.results.add(SCENARIO, SCHEDULED, _spread(since_put, "after the PUT was sent"))


def _committed(toggled: Toggled) -> float:
    return toggled.answered - CONSENT_LEASE_SECONDS


async def _seen(deletions: CosmosDeletions, wanted: Collection[tuple[str, str]]) -> dict[str, float]:
    """Return when (monotonic seconds) the deletion of each enrollment was first there; looks every 20 ms."""
    seen: dict[str, float] = {}
    keys = sorted(wanted)
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while len(seen) < len(wanted):
        if time.monotonic() > give_up:
            raise BenchError(f"{len(wanted) - len(seen)} opt-outs have no deletion")
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


def _spread(seconds: Sequence[float], what: str) -> dict[str, float]:
    ordered = sorted(seconds)
    return {f"{what} p50 s": percentile(ordered, 0.5), f"{what} p99 s": percentile(ordered, 0.99)}
