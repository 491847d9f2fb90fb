"""Linters of OpenAPI documents, with the rule sets that they recommend, have nothing against ours."""

from pathlib import Path

import pytest

from tests.clients.conftest import HERE, run

pytestmark = pytest.mark.long

DOCUMENT = "docs/openapi.json"


def test_redocly_finds_nothing(npm: Path) -> None:
    told = run(npm / "redocly", "lint", "--config", HERE / "redocly.yaml", DOCUMENT)
    assert "Your API description is valid" in told


def test_spectral_finds_nothing(npm: Path) -> None:
    told = run(npm / "spectral", "lint", "--ruleset", HERE / "spectral.yaml", "--fail-severity", "hint", DOCUMENT)
    assert told == "No results with a severity of 'hint' or higher found!\n"
