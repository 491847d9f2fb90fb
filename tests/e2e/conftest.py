"""Calls to the session's stack, over HTTP."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from local.client import Client
from local.process import Process
from local.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def second_host(stack: Stack) -> Process:
    """Another process of the app, on the same Cosmos DB and storage."""
    return await stack.start_host()


@pytest_asyncio.fixture(loop_scope="session")
async def second(stack: Stack, second_host: Process, client: Client) -> AsyncIterator[Client]:
    """A client of that process, whose clock is moved to where the first host's is."""
    async with Client(stack, second_host.url) as second:
        await second.move_to(await client.now())
        yield second


@pytest.fixture
def tenant() -> str:
    return str(uuid.uuid4())


def everything_written(stack: Stack) -> dict[str, bytes]:
    """Return the content of all that the stack writes but storage: logs and the Cosmos DB file, by file name."""
    files = [*Path(stack.directory / "logs").glob("*.log"), *stack.directory.glob("cosmos.sqlite*")]
    return {file.name: file.read_bytes() for file in files}
