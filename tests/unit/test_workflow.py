"""What CI elsewhere may do and must do: .github is read as GitHub reads it, and compared with what .ci/run runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI = ROOT / ".github" / "workflows" / "ci.yml"
USES = re.compile(r"^\s*(?:- )?uses:\s*(.*)$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
MANIFESTS = {"pip": "requirements.txt", "npm": "package-lock.json", "github-actions": ".github/workflows/ci.yml"}


def parsed(workflow: Path) -> Any:
    return yaml.safe_load(workflow.read_text())


def steps_of(job: Any) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.fixture
def ci() -> Any:
    return parsed(CI)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_full_commit_and_says_its_version(workflow: Path) -> None:
    used = USES.findall(workflow.read_text())
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_an_action_has_one_version(workflow: Path) -> None:
    used = set(USES.findall(workflow.read_text()))
    assert len(used) == len({action.partition("@")[0] for action in used})


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_read_the_code_and_nothing_else(workflow: Path) -> None:
    described = parsed(workflow)
    assert described["permissions"] == {"contents": "read"}
    assert [name for name, job in described["jobs"].items() if "permissions" in job] == []
    assert "secrets." not in workflow.read_text()
    for job in described["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_no_command_is_made_of_what_a_pull_request_says(workflow: Path) -> None:
    described = parsed(workflow)
    assert "pull_request_target" not in workflow.read_text()
    commands = [command for job in described["jobs"].values() for command in steps_of(job)]
    assert [command for command in commands if "${{" in command] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_nothing_runs_for_ever_or_twice(workflow: Path) -> None:
    described = parsed(workflow)
    assert all(job["timeout-minutes"] <= 90 for job in described["jobs"].values())
    assert "github.ref" in described["concurrency"]["group"]


def test_the_oldest_and_the_newest_python_are_tested(ci: Any) -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    [newest] = set(re.findall(r'python_version >= "([\d.]+)"', requirements))
    [oldest] = re.findall(r'python_version = "([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    test = ci["jobs"]["test"]
    assert test["strategy"]["matrix"]["python"] == [oldest, newest]
    assert test["env"]["PYTHON"] == "python${{ matrix.python }}"  # what local/setup.sh looks for


def test_everything_that_runs_here_runs_there(ci: Any) -> None:
    here = re.findall(r"^make [\w-]+$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    there = [command for job in ci["jobs"].values() for command in steps_of(job)]
    assert here
    assert [command for command in here if command not in there] == []


def test_only_the_emulator_may_fail(ci: Any) -> None:
    assert [name for name, job in ci["jobs"].items() if "continue-on-error" in job] == ["contract"]
    assert not any("continue-on-error" in step for job in ci["jobs"].values() for step in job["steps"])


def test_the_contract_tests_are_pointed_at_the_emulator(ci: Any) -> None:
    contract = ci["jobs"]["contract"]
    read = set(re.findall(r'os\.environ\["(COSMOS_\w+)"\]', (ROOT / "tests" / "contract" / "conftest.py").read_text()))
    assert read == {name for name in contract["env"] if name.startswith("COSMOS_")}
    [port] = re.findall(r":(\d+)/", contract["env"]["COSMOS_ENDPOINT"])
    assert f"{port}:{port}" in contract["services"]["cosmos"]["ports"]


def test_dependabot_watches_what_there_is() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == set(MANIFESTS)
    for update in updates:
        assert (ROOT / update["directory"].lstrip("/") / MANIFESTS[update["package-ecosystem"]]).is_file()
