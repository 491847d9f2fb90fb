"""One local stack for all tests that need the real parts, which tests those are, and what a worker begins with."""

import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from local.client import Client
from local.stack import Stack

TESTS = Path(__file__).parent

# How long an example takes depends on the machine and on what else it does: that is no finding.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# Whoever asks for one of these fixtures, or for one that does, carries the marker `stack`.
STARTING = {"stack", "stamps", "cosmos", "server"}

# Each module is one worker's (--dist=loadfile), in this order: the many short ones, which come last, fill the rest.
LONGEST = (
    "e2e/test_p9_chaos.py",
    "e2e/test_openapi_fuzz.py",
    "clients/test_telemetry.py",
    "e2e/test_documents.py",
    "e2e/test_outages.py",
    "e2e/test_d20_accounts.py",
    "e2e/test_p9_large_account.py",
    "clients/test_generated.py",
    "local/test_stack_command.py",
    "portal/test_administrator.py",
    "portal/test_reviewer.py",
    "portal/test_operator.py",
    "portal/test_approver.py",
    "portal/test_desk.py",
    "simulation/test_simulation.py",
    "e2e/test_p5_purge_killed.py",
    "e2e/test_p9_sweep.py",
    "infra/test_package.py",
    "e2e/test_p7_reviews.py",
    "e2e/test_p3_one_geo.py",
    "contract/test_ledger.py",
    "e2e/test_p6_receipts.py",
    "e2e/test_p2_withdrawal.py",
)

# What takes minutes, alone or together with its like: `make test` has no time for it, CI has.
CAMPAIGNS = (
    "clients/test_generated.py",
    "clients/test_telemetry.py",
    "contract/test_unreadable.py",
    "e2e/test_admin_tools.py",
    "e2e/test_clients_*.py",
    "e2e/test_d20_accounts.py",
    "e2e/test_documents.py",
    "e2e/test_openapi_fuzz.py",
    "e2e/test_outages.py",
    "e2e/test_p12_exports.py",
    "e2e/test_p12_finding.py",
    "e2e/test_p5_purge_killed.py",
    "e2e/test_p9_chaos.py",
    "e2e/test_p9_large_account.py",
    "infra/test_package.py",
    "local/test_demo.py",
    "local/test_stack_command.py",
    "portal/test_administrator.py",
    "portal/test_approver.py",
    "portal/test_desk.py",
    "portal/test_operator.py",
    "portal/test_reviewer.py",
    "portal/test_watching.py",
    "unit/test_docs_commands.py",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("stack")) as running:
        async with Client(running) as client:
            # The first purge, which pairs the accounts while they are empty (D14): tests of the adapters put containers
            # in that no ledger knows, and an account that holds such is never paired.
            assert await client.run("purge") == "completed"
        yield running


@pytest.hookimpl(tryfirst=True)  # before -m chooses by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if STARTING & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stack)
        if any(item.path.match(f"{TESTS.name}/{name}") for name in CAMPAIGNS):
            item.add_marker(pytest.mark.campaign)
    rank = {TESTS / name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


class Watch:
    """Lets no test start a part of a stack but one that carries the marker, or quick runs would not stay quick."""

    item: pytest.Item | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "subprocess.Popen" or self.item is None or self.item.get_closest_marker("stack"):
            return
        command = [str(each) for each in arguments[1]] if isinstance(arguments[1], list | tuple) else [arguments[1]]
        if {"local", "local.cosmos", "local.host"} & set(command) or any("azurite" in each for each in command):
            pytest.fail(f"{self.item.nodeid} starts a part of a stack and is not marked with pytest.mark.stack")


WATCH = Watch()
sys.addaudithook(WATCH)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    WATCH.item = item
    try:
        return (yield)
    finally:
        WATCH.item = None
