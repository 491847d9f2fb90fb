"""What would break on Azure and nowhere else, and the contracts that hold the rooms of the code apart."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.clock import SystemClock

ROOT = Path(__file__).parents[2]
OURS = {"functions", "shared", "function_app", "function_app.py", "functions.py", "shared.py"}


def test_no_dependency_ships_a_package_that_would_shadow_ours() -> None:
    shadowing = {
        f"{distribution.name}: {file}"
        for distribution in importlib.metadata.distributions()
        for file in distribution.files or []
        if file.parts[0] in OURS
    }
    assert shadowing == set()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code that a test may spoil."""
    copy = tmp_path_factory.mktemp("layout")
    for package in ("functions", "shared", "audit", "local"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def broken_contracts(copy: Path) -> list[str]:
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(lint, cwd=copy, capture_output=True, text=True, check=False)
    told = done.stdout.partition("Broken contracts")[0]
    broken = [line.partition(" BROKEN")[0] for line in told.splitlines() if " BROKEN" in line]
    assert (done.returncode == 0) == (not broken), done.stdout + done.stderr
    return broken


def test_the_code_keeps_the_contracts(copy: Path) -> None:
    assert broken_contracts(copy) == []


TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("shared/model/deadlines.py", "from shared.stores.memory import MemoryLedger", "Rules know"),
        ("shared/model/deadlines.py", "from shared.clock import Clock", "Rules know"),
        ("shared/model/ledger.py", "import asyncio", "Values ask nobody"),
        ("shared/review/access.py", "from shared.stores.cosmos.access import CosmosAccess", "Rules know"),
        ("shared/review/access.py", f"{TYPE_CHECKING}from shared.stores.azure import connect", "Rules know"),
        ("shared/watch/status.py", "from shared.sweep.sweep import Sweep", "Rules know"),
        ("shared/accounts.py", "from azure.storage.blob import BlobClient", "Only stores"),
        ("shared/stores/memory.py", "from shared.stores.blobs import AzureCaptureStore", "Adapters"),
        ("shared/stores/memory.py", "from shared.sharing.consent import Consent", "Rules know"),
        ("shared/bootstrap.py", "from functions import captures", "Functions and audits"),
        ("shared/deletion/purge.py", f"{TYPE_CHECKING}import functions.purge", "Functions and audits"),
        ("functions/status.py", "from local.stack import Stack", "Functions and audits"),
        ("functions/status.py", "from audit.receipts import read_keys", "Functions and audits"),
        ("functions/captures.py", "from functions.reviews import batch", "Triggers do not"),
        ("functions/status.py", "from shared.stores.memory import MemoryLedger", "Functions speak"),
        ("functions/_api/operations.py", "from functions._api.http import Call", "HTTP and the document"),
        ("shared/sweep/rounds.py", "from shared.sweep.sweep import Sweep", "There are no circles"),
        ("shared/new_room.py", '"""A room that nobody has given a place."""', "Rules know"),
    ],
)
def test_a_line_in_the_wrong_room_breaks_a_contract(copy: Path, file: str, line: str, contract: str) -> None:
    spoilt = copy / file
    before = spoilt.read_text() if spoilt.exists() else None
    spoilt.write_text(f"{before or ''}\n{line}\n")
    try:
        assert any(each.startswith(contract) for each in broken_contracts(copy))
    finally:
        spoilt.unlink() if before is None else spoilt.write_text(before)


async def test_the_machines_clock_waits_at_least_as_long_as_asked() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01
    assert clock.now().tzinfo is not None
