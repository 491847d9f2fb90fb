"""How often consent is read, counted on the way to Cosmos DB."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench import listing_account
from bench.interactions import bodies
from bench.load import Load
from bench.plan import Plan
from bench.proxy import CountingProxy
from bench.retention import deployment_id
from bench.rounds import rounds
from bench.scenario import GEO, Bench, host, pid
from bench.targets import Target
from bench.tenants import captures_url, enrol, service_token
from local.stack import Stack

SCENARIO = "consent"
ONE = "one busy tenant"
_CONCURRENCY = 8
_CAPTURE_BYTES = 1024
_FASTER = 5


def spread(tenants: int) -> str:
    """Return the case of captures that are spread over tenants."""
    return f"{tenants:,} tenants"


def confirmed(tenants: int) -> str:
    """Return the case of the same where epochs are trusted (D21), once the instance knows all settings."""
    return f"{tenants:,} tenants, epochs"


def targets(plan: Plan) -> Sequence[Target]:
    """Return this scenario's targets."""
    what = f"consent reads per 1,000 captures of one busy tenant over {plan.consent_seconds:g} s"
    return [Target("consent-reads", what, "<=", 11, SCENARIO, (ONE, "reads/1,000 captures"))]


async def measure(bench: Bench, stack: Stack) -> None:
    """Send captures at an even rate through hosts whose Cosmos DB is behind a counter."""
    plan = bench.plan
    tenants = list(await enrol(stack, [str(uuid.uuid4()) for _ in range(max(plan.consent_tenants))]))

    async def one() -> Mapping[str, float]:
        return await _counted(bench, stack, tenants[:1], plan.consent_per_second, plan.consent_seconds)

    await rounds(bench, SCENARIO, {ONE: one}, targets(plan), seconds=0.5)
    for many in plan.consent_tenants:
        found = await _counted(
            bench, stack, tenants[:many], plan.consent_per_second * _FASTER, plan.consent_seconds / 2
        )
        bench.results.add(SCENARIO, spread(many), found)
    few = plan.consent_tenants[0]
    found = await _counted(
        bench, stack, tenants[:few], plan.consent_per_second * _FASTER, plan.consent_seconds, epochs=True
    )
    bench.results.add(SCENARIO, confirmed(few), found)


async def _counted(
    bench: Bench, stack: Stack, tenants: Sequence[str], per_second: float, seconds: float, *, epochs: bool = False
) -> Mapping[str, float]:
    cosmos = stack.description.cosmos
    captures, deployment = round(per_second * seconds), await deployment_id(stack)
    async with (
        listing_account.running(bench.directory, deployment=deployment) as account,
        CountingProxy(cosmos.endpoint.rstrip("/")) as proxy,
    ):
        # No container is ever missing there: else each tenant's first capture would read its consent twice more.
        storage = {GEO: listing_account.connection(account)}
        settings = {
            **stack.app_settings,
            "COSMOS_CONNECTION": f"AccountEndpoint={proxy.url}/;AccountKey={cosmos.key};",
            "STORAGE_ACCOUNTS": json.dumps(storage),
            "CONSENT_EPOCHS": "on" if epochs else "off",
        }
        async with host("host-of-consent", bench.directory, settings) as counted:
            load = Load(
                "post",
                [captures_url(stack, each, counted.url) for each in tenants],
                bodies(4, captures=1, capture_bytes=_CAPTURE_BYTES),
                requests=captures,
                concurrency=_CONCURRENCY,
                secret=service_token(stack),
                per_second=per_second,
                pids={"host": pid(counted)},
            )
            # The host's first read of keys, and its first connections.
            first = (
                replace(load, requests=len(tenants)) if epochs else replace(load, targets=load.targets[:1], requests=1)
            )
            await bench.generator.run(replace(first, per_second=None))
            before = proxy.reads["setting"] + proxy.reads["epoch"]
            measured = await bench.generator.run(replace(load, name=uuid.uuid4().hex))
            reads = proxy.reads["setting"] + proxy.reads["epoch"] - before
    return {
        "captures": captures,
        "seconds": measured.seconds,
        "reads/1,000 captures": reads / captures * 1000,
        "reads/s": reads / measured.seconds,
        "reads/tenant and second": reads / len(tenants) / measured.seconds,
        "host CPU ms/capture": measured.cpu["host"] / captures * 1000,
    }
