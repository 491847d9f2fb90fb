"""What ``.funcignore`` leaves of the project is the app: all of it, nothing else, and it runs by itself (no cloud)."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pathspec import GitIgnoreSpec

from tests.infra.posture import ROOT, planned

# Runs in the package's folder, with the package's own packages. Imports before the settings are there, as on Azure.
PROBE = """
import asyncio, importlib.metadata, json, os, sys
import azure.functions as func
from function_app import app
from shared import bootstrap
functions = {each.get_function_name(): each.get_user_function() for each in app.get_functions()}

async def health():
    answer = await functions["health"](func.HttpRequest("GET", "/api/health", body=b""))
    return [answer.status_code, json.loads(answer.get_body())["status"]]

async def main():
    without = await health()
    os.environ.update(json.loads(sys.stdin.read()))
    return without, await health(), await bootstrap.close()

print(json.dumps({
    "answers": asyncio.run(main())[:2],
    "functions": sorted(functions),
    "modules": sorted(sys.modules),
    "packages": sorted(each.metadata["Name"].lower() for each in importlib.metadata.distributions()),
}))
"""


def package(root: Path = ROOT) -> Iterator[str]:
    """Yield the files that a deployment of ``root`` would upload, by their paths."""
    ignored = GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [each for each in folders if not ignored.match_file(f"{(here / each).as_posix()}/")]
        paths = ((here / each).as_posix() for each in files)
        yield from (path for path in paths if not ignored.match_file(path))


def names(requirements: str) -> set[str]:
    """Return the packages that a requirements file names."""
    return {
        each.lower() for each in re.findall(r"^([A-Za-z][\w.-]*)==", (ROOT / requirements).read_text(), re.MULTILINE)
    }


def app() -> list[str]:
    code = {
        file.relative_to(ROOT).as_posix()
        for folder in ("functions", "shared")
        for file in (ROOT / folder).rglob("*.py")
    }
    notices = {file.relative_to(ROOT).as_posix() for file in (ROOT / "shared/notices").rglob("*.*")}
    rest = {"function_app.py", "host.json", "requirements.txt", "constraints.txt", "shared/model/geos.json"}
    return sorted(code | notices | rest)


def test_the_package_is_the_app_and_nothing_else() -> None:
    assert sorted(package()) == app()


@pytest.mark.parametrize(
    "planted",
    [
        "app.json",
        "clients.json",
        "settings.json",
        "local.settings.json",
        "local.settings.sample.json",
        ".env",
        ".venv/bin/python",
        "venv/bin/python",
        "test_env/bin/python",
        "functions/__pycache__/health.pyc",
        "node_modules/azurite/package.json",
        "docs/app.json",
    ],
)
def test_what_somebody_leaves_in_the_folder_does_not_come_along(tmp_path: Path, planted: str) -> None:
    for path in (*app(), planted):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(package(tmp_path)) == app()


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Copy the package, install its requirements alone, and run it there: takes about 20 s, most of it pip's."""
    folder = tmp_path_factory.mktemp("package")
    for path in package():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    venv = tmp_path_factory.mktemp("venv")
    python = venv / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    subprocess.run([*pip, "--no-compile", "-r", "requirements.txt"], cwd=folder, check=True)
    done = subprocess.run(
        [python, "-c", PROBE],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},  # no setting of ours, nor a PYTHONPATH
        input=json.dumps(planned().settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
def test_the_package_runs_and_is_ready_once_it_has_the_deployments_settings(probed: dict[str, Any]) -> None:
    assert probed["answers"] == [[503, "not ready"], [200, "ready"]]


@pytest.mark.long
def test_the_package_has_every_function_of_the_project(probed: dict[str, Any]) -> None:
    from tests.functions import FUNCTIONS  # not above: it imports the app

    assert probed["functions"] == sorted(FUNCTIONS)


@pytest.mark.long
def test_nothing_of_development_comes_with_the_package(probed: dict[str, Any]) -> None:
    assert not names("requirements-dev.txt") & set(probed["packages"])
    assert not {"local", "tests", "pytest"} & set(probed["modules"])
