"""P6 on the real stack: a receipt goes from the API to a file, and is checked there by another process."""

import asyncio
import hashlib
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.client import Client
from local.process import ROOT
from local.samples import load
from shared.model.deadlines import SECOND_LOOK_DELAY
from shared.model.items import format_instant
from tests.e2e.deletions import deletion_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def verify(*arguments: object) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "audit", "verify-receipt", *(str(each) for each in arguments)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(300):
        out, err = await child.communicate()
    return child.returncode or 0, out.decode(), err.decode()


async def verified(client: Client, tenant: str) -> dict[str, Any]:
    """Let a tenant share data for a moment, and return its deletion when that is finished."""
    enrollment_id = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    captures = [load()[0].capture(format_instant(await client.now()))]
    assert (await client.post(tenant, captures)).status == 201
    assert (await client.opt_out(tenant)).status == 200
    await deletion_of(client, tenant, enrollment_id)
    assert (await client.as_admin("POST", tenant, f"deletions/{enrollment_id}/expedite")).status == 202
    assert await client.run("purge") == "completed"
    await client.move_to(await client.now() + SECOND_LOOK_DELAY + timedelta(seconds=1))
    assert await client.run("purge") == "completed"
    return dict((await client.as_admin("GET", tenant, f"deletions/{enrollment_id}")).body)


async def test_a_receipt_can_be_checked_offline_and_one_changed_byte_shows(
    client: Client, tenant: str, tmp_path: Path
) -> None:
    members = await verified(client, tenant)
    assert members["status"] == "verified"
    deletion, keys = tmp_path / "deletion.json", tmp_path / "receipt-keys.json"
    deletion.write_text(json.dumps(members))
    answer = await client.call("GET", "receipt-keys")
    assert answer.status == 200
    keys.write_text(json.dumps(answer.body))

    code, out, err = await verify(deletion, "--keys", keys)
    assert (code, err) == (0, "")
    facts = dict(line.split(None, 1) for line in out.splitlines()[:-1])
    assert (facts["tenantId"], facts["reappeared"], facts["geo"]) == (tenant, "[]", "europe")

    token = members["receipt"]["jws"]
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    changed = {**members, "receipt": {**members["receipt"], "jws": token[:middle] + other + token[middle + 1 :]}}
    told_otherwise = {**members, "deadline": format_instant(await client.now())}
    for wrong, why in ((changed, "signature is wrong"), (told_otherwise, "deadline")):
        deletion.write_text(json.dumps(wrong))
        code, out, err = await verify(deletion, "--keys", keys)
        assert (code, out) == (1, "") and why in err and "Traceback" not in err


async def test_a_receipt_is_bound_to_the_ledger_that_the_tenant_sees(client: Client, tenant: str) -> None:
    members = await verified(client, tenant)
    newest, oldest = (await client.as_admin("GET", tenant, "data-sharing/history")).body["value"]
    assert newest["sequence"] == members["sequence"]

    def hash_of(event: dict[str, Any]) -> str:
        return hashlib.sha256(json.dumps(event, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    assert hash_of(newest) == members["ledgerHash"]
    assert (hash_of(oldest), oldest["previousHash"]) == (newest["previousHash"], "0" * 64)
