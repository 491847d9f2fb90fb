"""Each sentence that is answered stands once, with its kind of problem, and is what the document shows."""

import ast
from pathlib import Path

import pytest

from functions._api.openapi import all_problems
from shared.problems import Problem

ROOT = Path(__file__).parents[2]
KINDS = {each.__name__: each for each in all_problems()}
CODE = [file for package in ("functions", "shared") for file in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_who_raises_a_problem_names_its_sentence_and_has_none(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            texts = [each for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            # Where a body is wrong is known only there; the bound that is named in a sentence stands beside it.
            made = any(isinstance(each, ast.FormattedValue) for each in ast.walk(node)) and "_api" in file.parts
            assert made or not texts, f"{file}:{node.lineno}"


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_example_is_a_whole_problem(kind: type[Problem]) -> None:
    shown = kind.example()
    assert shown.detail.endswith(".") and str(shown) == shown.detail
    assert shown.to_json() == {
        "type": f"urn:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": shown.detail,
        **shown.extensions,
    }
    assert shown.extensions.keys() <= kind.members.keys()
