"""Schemathesis against the running stack in every role: no 5xx, and every answer is as the document says.

``FUZZ_EXAMPLES`` says how many examples it makes up for each operation and phase.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from local.client import Client
from local.process import ROOT
from local.stack import Stack
from local.tokens import SAMPLE_TENANT_ID, Role

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
CASES_AT_LEAST = 130 * EXAMPLES
SEED = 20261121
HOOKS = "tests.e2e.schemathesis_hooks"
CONFIG = Path(__file__).with_name("schemathesis.toml")
# Without a token every answer but two is 401; with the wrong role many are 403. Together they reach everything.
ROLES: list[Role | None] = [None, *Role]


async def prepare(client: Client) -> None:
    """Give the tenant of the document's examples something to be found: an opt-in, an opt-out, a live grant."""
    tenant = SAMPLE_TENANT_ID
    await client.opt_in(tenant, "europe")
    await client.opt_out(tenant)
    await client.opt_in(tenant, "europe")
    asked = {"purpose": "improve", "justification": "To see what the fuzzer sees.", "durationMinutes": 480}
    grant = (await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", asked)).body
    await client.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant['grantId']}/approve")


async def fuzz(stack: Stack, token: str | None, directory: Path) -> tuple[int, str]:
    """Run Schemathesis once and return its exit code and what it printed."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [f"{stack.description.api}/openapi.json", "--seed", str(SEED), "--max-examples", str(EXAMPLES)]
    # All but one: the Functions host answers a wrong method with 404, not 405, before any code of ours runs.
    command += [
        "--workers",
        "2",
        "--checks",
        "all",
        "--exclude-checks",
        "unsupported_method",
        "--no-color",
        "--request-timeout",
        "30",
        "--generation-database",
        "none",
    ]
    if token is not None:
        command += ["--header", f"Authorization: Bearer {token}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200", "SCHEMATHESIS_HOOKS": HOOKS},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 1800)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_no_case_finds_a_5xx_or_an_answer_that_is_not_documented(
    client: Client, stack: Stack, tmp_path: Path
) -> None:
    await prepare(client)
    cases = 0
    for role in ROLES:
        token = None if role is None else client.token(role, now=await client.now())
        code, output = await fuzz(stack, token, tmp_path)
        generated = re.search(r"(\d+) generated", output.replace(",", ""))
        assert code == 0 and generated, f"{role or 'no token'}:\n{output}"
        cases += int(generated[1])
    print(f"{cases} cases")
    assert cases >= CASES_AT_LEAST
