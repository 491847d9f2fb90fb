"""The built pages, served by a stack of this folder's own, in a real browser."""

import os
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from local.client import Client
from local.process import ROOT
from local.sign_in import PEOPLE, Person
from local.stack import Stack
from local.tokens import Role
from tests.portal.browser import Portal, executable, launched
from tests.portal.commands import succeeds
from tests.portal.tenants import Administrator


@pytest.fixture(scope="session")
def built() -> None:
    """portal/dist is what portal/src says."""
    succeeds(ROOT / "local" / "setup.sh", "portal", seconds=600)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if executable() is None:
        why = "There is no Chromium: install Debian's chromium, or let CHROMIUM name one."
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(built: None, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Its own, and not the session's: an operator's page tells of everything on it."""
    async with Stack(tmp_path_factory.mktemp("portal")) as running:
        async with Client(running) as client:
            assert await client.run("purge") == "completed"
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def portal(browser: Browser, stack: Stack) -> AsyncIterator[Portal]:
    """Pages that the test opens, none of which may break the policy or leave an error uncaught."""
    portal = Portal(browser, f"{stack.description.api}/portal/")
    yield portal
    await portal.close()
    assert portal.faults == []


@pytest.fixture
def administrator(monkeypatch: pytest.MonkeyPatch) -> Administrator:
    """Makes administrators of tenants of the test's own: each can sign in like the people that the issuer knows."""

    def make(name: str) -> Person:
        tenant = str(uuid.uuid4())
        person = Person(f"admin-{tenant}", name, f"administrator of {tenant}", Role.TENANT_ADMIN, tenant)
        monkeypatch.setitem(PEOPLE, person.key, person)
        return person

    return make
