"""How often consent is read, counted on the way to Cosmos DB."""

import uuid
from dataclasses import replace

from bench.interactions import bodies
from bench.load import Load
from bench.proxy import CountingProxy
from bench.scenario import TIMERS_OFF, Bench, host
from bench.tenants import captures_url, service_token, toggle
from local.stack import Stack

SCENARIO = "consent"
CASE = "one busy tenant"
_CONCURRENCY = 8
_CAPTURE_BYTES = 1024


async def measure(bench: Bench, stack: Stack) -> None:
    """Send one tenant's captures at an even rate through a host whose Cosmos DB is behind a counter."""
    plan = bench.plan
    [tenant] = await toggle(stack, [str(uuid.uuid4())], enabled=True)
    cosmos = stack.description.cosmos
    async with CountingProxy(cosmos.endpoint.rstrip("/")) as proxy:
        connection = f"AccountEndpoint={proxy.url}/;AccountKey={cosmos.key};"
        settings = {**stack.app_settings, **TIMERS_OFF, "COSMOS_CONNECTION": connection}
        async with host("host-of-consent", bench.directory, settings) as counted:
            load = Load(
                "post",
                [captures_url(stack, tenant.tenant_id, counted.url)],
                bodies(4, captures=1, capture_bytes=_CAPTURE_BYTES),
                requests=plan.consent_captures,
                concurrency=_CONCURRENCY,
                secret=service_token(stack),
                per_second=plan.consent_captures / plan.consent_seconds,
            )
            # The day's container: until it is there, each POST reads consent afresh before it creates it.
            await bench.generator.run(replace(load, requests=1, per_second=None, name="first"))
            before = proxy.reads["setting"]
            measured = await bench.generator.run(load)
    reads = proxy.reads["setting"] - before
    bench.results.add(
        SCENARIO,
        CASE,
        {
            "captures": plan.consent_captures,
            "seconds": measured.seconds,
            "reads/1,000 captures": reads / plan.consent_captures * 1000,
        },
    )
