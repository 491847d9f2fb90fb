"""What the tests keep to, so that each can be run alone, in any order, and beside the others."""

import ast
from pathlib import Path

import pytest

from tests.conftest import LONGEST

TESTS = Path(__file__).parents[1]
MODULES = sorted(TESTS.rglob("*.py"))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(TESTS)))
def test_nothing_is_imported_from_a_module_of_tests(file: Path) -> None:
    imported = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert [name for name in imported if ".test_" in name] == []


def test_the_modules_that_are_begun_first_exist() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
