"""Clients that others' generators make of docs/openapi.json: strictly typed, and at work against the stack."""

import asyncio
import json
import os
import shutil
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from local.client import Client
from local.stack import Stack
from local.tokens import Role
from tests.clients.conftest import HERE, ROOT, run

DOCUMENT = ROOT / "docs" / "openapi.json"
ROLES = {
    "admin": Role.TENANT_ADMIN,
    "service": Role.CAPTURE_SERVICE,
    "reviewer": Role.REVIEWER,
    "approver": Role.APPROVER,
    "operator": Role.OPERATOR,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, npm: Path) -> Path:
    """A folder in which node finds what npm installed."""
    work = tmp_path_factory.mktemp("generated")
    (work / "node_modules").symlink_to(npm.parent)
    return work


@pytest.fixture(scope="module")
def openapi_typescript(work: Path, npm: Path) -> list[str | Path]:
    """The command that plays the story with the types of openapi-typescript, compiled."""
    here = Path(shutil.copytree(HERE / "openapi-typescript", work / "openapi-typescript"))
    run(npm / "openapi-typescript", DOCUMENT, "--output", here / "types.ts")
    run(npm / "tsc", "--project", here)
    return ["node", here / "js" / "story.js"]


@pytest.fixture(scope="module")
def hey_api(work: Path, npm: Path) -> list[str | Path]:
    """The command that plays the story with the client of @hey-api/openapi-ts, compiled."""
    here = Path(shutil.copytree(HERE / "hey-api", work / "hey-api"))
    run(
        npm / "openapi-ts", "--input", DOCUMENT, "--output", here / "sdk", "--client", "@hey-api/client-fetch", cwd=here
    )
    run(npm / "tsc", "--project", here)
    return ["node", here / "js" / "story.js"]


@pytest.fixture(scope="module")
def openapi_python_client(work: Path, python: Path) -> list[str | Path]:
    """The command that plays the story with the client of openapi-python-client, checked by mypy."""
    here = Path(shutil.copytree(HERE / "openapi-python-client", work / "openapi-python-client"))
    run(
        *(python / "openapi-python-client", "generate", "--meta", "none", "--fail-on-warning"),
        *("--path", DOCUMENT, "--config", here / "config.yaml", "--output-path", here / "data_sharing"),
    )
    run(python / "mypy", "--strict", "--cache-dir", work / "mypy", ".", cwd=here)
    return [python / "python", here / "story.py"]


@pytest.mark.parametrize("generator", ["openapi_typescript", "hey_api", "openapi_python_client"])
@pytest.mark.asyncio(loop_scope="session")
async def test_a_generated_client_toggles_captures_reviews_and_reads_the_status(
    generator: str, request: pytest.FixtureRequest, stack: Stack
) -> None:
    command = request.getfixturevalue(generator)
    tenant = str(uuid.uuid4())
    async with Client(stack) as client:
        now = await client.now()
        told = await played(
            command,
            {
                "api": stack.description.api,
                "tenantId": tenant,
                "tokens": {
                    name: client.token(role, now=now, tenant=tenant if role is Role.TENANT_ADMIN else None)
                    for name, role in ROLES.items()
                },
            },
        )
        setting = (await client.as_admin("GET", tenant, "data-sharing")).body
    assert (told["on"]["tenantId"], told["on"]["enabled"], told["on"]["geo"]) == (tenant, True, "europe")
    assert told["postedStatus"] == 201
    assert (told["stored"]["accepted"], told["stored"]["enrollmentId"]) == (1, told["on"]["enrollmentId"])
    assert (told["refused"]["type"], told["refused"]["status"]) == ("urn:problem:grant-required", 403)
    assert told["refused"]["detail"]
    assert (told["approved"]["status"], told["approved"]["purpose"]) == ("approved", "improve")
    [capture] = map(json.loads, told["lines"].splitlines())
    assert (capture["input"], capture["output"]) == ("a question", "an answer")
    assert datetime.fromisoformat(told["europe"]).date() <= now.date()
    for off in (told["off"], setting):
        assert (off["enabled"], off["geo"], off["enrollmentId"]) == (False, None, None)


async def played(command: list[str | Path], story: dict[str, Any]) -> Any:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "STORY": json.dumps(story)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    return json.loads(output)
