"""The commands in the documents that need a stack, as a newcomer copies them: the README's walk and runbooks."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from local.ports import free_ports
from local.stack import Stack
from tests.documents import DOCUMENTS, ROOT, Commands, Where, commands

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

README = ROOT / "README.md"
REVIEWING = ROOT / "docs" / "reviewing.md"
WALK = "".join(block.text for block in commands(README) if block.where is Where.STACK)
OTHERS = [
    block
    for document in DOCUMENTS
    if document not in {README, REVIEWING}
    for block in commands(document)
    if block.where is Where.STACK
]


@dataclass(frozen=True)
class Shell:
    """A newcomer's shell in the project's folder, or in one of their own."""

    stack: Stack

    async def run(self, script: str, folder: Path = ROOT) -> str:
        """Return what is printed, if all commands succeed."""
        child = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script.replace(".venv/bin/python", sys.executable)),
            cwd=folder,
            env=os.environ | {"LOCAL_DIR": str(self.stack.directory), "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(300):
            printed, errors = (each.decode() for each in await child.communicate())
        assert (child.returncode, errors) == (0, ""), printed
        assert "urn:problem:" not in printed, printed
        return printed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    port = free_ports(1)[0]
    async with Stack(tmp_path_factory.mktemp("stack"), port=port) as stack:
        assert stack.description.api == f"http://127.0.0.1:{port}/api"
        yield Shell(stack)


async def test_the_readmes_walk_ends_with_holds_and_can_be_taken_again(shell: Shell) -> None:
    enrollments = set()
    for _ in range(2):
        printed = await shell.run(WALK)
        lines = printed.splitlines()
        assert lines[-1] == "holds: true"
        assert max(map(len, (line for line in lines if '"jws"' not in line))) < 120  # readable: a line for each member
        for told in ('"enabled": false', '"enabled": true', '"accepted": 1', '"status": "scheduled"', "verified"):
            assert told in printed
        assert "The receipt is genuine" in printed
        enrollments |= set(re.findall(r"enrollmentId +(\w+)", printed))
    assert len(enrollments) == 2


async def test_the_reviewers_way_ends_with_what_the_grant_was_used_for(shell: Shell) -> None:
    printed = await shell.run("".join(block.text for block in commands(REVIEWING) if "call" in block.text))
    for action in ("searched", "found", "labelled", "labelsRead", "exportRequested", "exportReady", "exportDownloaded"):
        assert f'"action": "{action}"' in printed


@pytest.mark.skipif(shutil.which("jq") is None, reason="the runbooks use jq")
@pytest.mark.parametrize("block", OTHERS, ids=lambda block: f"{block.document.stem}: {block.lines[0][:60]}")
async def test_a_runbooks_commands_run(shell: Shell, tmp_path: Path, block: Commands) -> None:
    # Where somebody is who follows a runbook: there is an enrollment, and its deletion is done.
    if not (shell.stack.directory / "walked").exists():
        await shell.run(WALK)
        (shell.stack.directory / "walked").touch()
    variables = """
eval "$(.venv/bin/python -m local env)"
ENROLLMENT=$(curl -sS "$API/tenants/$TENANT/deletions" -H "$ADMIN" | jq -r '.value[0].enrollmentId')
"""
    printed = await shell.run(variables + block.text, tmp_path)
    if "verify-receipt" in block.text:
        assert "The receipt is genuine" in printed
    else:
        json.loads("[" + re.sub(r"(?<=[}\]])\s*(?=[{\[])", ",", printed) + "]")
