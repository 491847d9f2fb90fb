"""What would break on Azure and nowhere else."""

import ast
import importlib.metadata
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


# All but the adapters, and the composition root, which knows everything.
RULES = [
    file
    for file in sorted((ROOT / "shared").rglob("*.py"))
    if file.relative_to(ROOT).parts[1] != "stores" and file.stem != "bootstrap"
]


@pytest.mark.parametrize("file", RULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_rule_imports_azure(file: Path) -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not any(name.split(".")[0] in {"azure", "aiohttp"} for name in imported)


@pytest.mark.parametrize("package", ["functions", "shared"])
def test_production_code_knows_nothing_of_the_local_stack(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        source = file.read_text()
        assert "import local" not in source and "from local" not in source, file


async def test_the_machines_clock_waits_at_least_as_long_as_asked() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01
    assert clock.now().tzinfo is not None
