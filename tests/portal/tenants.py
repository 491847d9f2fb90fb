"""Tenants as they are when a story begins, made through the API."""

from collections.abc import Callable, Sequence
from typing import Any

from local.client import Client
from local.samples import load
from local.sign_in import Person
from local.tokens import Role
from shared.model.items import format_instant

Administrator = Callable[[str], Person]
"""Makes an administrator of a new tenant, by a name: the fixture of that name."""

ASKED = {"purpose": "improve", "justification": "To see why the formulas come out wrong.", "durationMinutes": 30}


async def sharing(client: Client, tenant: str, captures: Sequence[dict[str, Any]] = ()) -> tuple[str, str]:
    """Opt a tenant in and store a batch; see ``posted``."""
    assert (await client.opt_in(tenant, "europe")).status == 200
    return await posted(client, tenant, captures)


async def posted(client: Client, tenant: str, captures: Sequence[dict[str, Any]] = ()) -> tuple[str, str]:
    """Store a batch: the given captures, as of now, or two samples. Return its day and id."""
    now = await client.now()
    at = format_instant(now)
    samples = [sample.capture(at) for sample in load()[:2]]
    answer = await client.post(tenant, [{**each, "capturedAt": at} for each in captures or samples])
    assert answer.status == 201, answer.body
    return str(now.date()), answer.body["batchId"]


async def granted(client: Client, tenant: str, **asked: Any) -> str:
    """Let the reviewer ask for a grant and the approver approve it. Return its id."""
    grant = await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", {**ASKED, **asked})
    assert grant.status == 201, grant.body
    path = f"review-grants/{grant.body['grantId']}/approve"
    assert (await client.as_person(Role.APPROVER, "POST", tenant, path)).status == 200
    return str(grant.body["grantId"])
