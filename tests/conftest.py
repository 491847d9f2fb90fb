"""One local stack for all tests that need the real parts; it starts when the first of them asks for it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from local.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
