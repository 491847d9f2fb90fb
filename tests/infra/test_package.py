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
import yaml
from pathspec import GitIgnoreSpec

from local.tokens import PORTAL_CLIENT_ID
from tests.infra.posture import ROOT, planned

PAGE = "<!doctype html><title>Built</title>"

# Runs in the package's folder, with the package's own packages. Imports before the settings are there, as on Azure.
PROBE = """
import asyncio, importlib.metadata, json, os, sys
import azure.functions as func
from function_app import app
from shared import bootstrap
functions = {each.get_function_name(): each.get_user_function() for each in app.get_functions()}

async def get(function, path):
    return await functions[function](func.HttpRequest("GET", f"https://app.example/api/{path}", body=b""))

async def health():
    answer = await get("health", "health")
    return [answer.status_code, json.loads(answer.get_body())["status"]]

async def portal():
    answer = await get("portal", "portal/")
    return [answer.status_code, answer.mimetype, answer.get_body().decode()]

async def main():
    without = await health()
    os.environ.update(json.loads(sys.stdin.read()))
    return [without, await health()], await portal(), await bootstrap.close()

answers, page, _ = asyncio.run(main())
print(json.dumps({
    "answers": answers,
    "portal": page,
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
    portal = {file.relative_to(ROOT).as_posix() for file in (ROOT / "portal/dist").rglob("*") if file.is_file()}
    rest = {"function_app.py", "host.json", "requirements.txt", "constraints.txt", "shared/model/geos.json"}
    return sorted(code | notices | portal | rest)


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
        "portal/index.html",
        "portal/package.json",
        "portal/.gitignore",
        "portal/src/main.tsx",
        "portal/node_modules/react/index.js",
    ],
)
def test_what_somebody_leaves_in_the_folder_does_not_come_along(tmp_path: Path, planted: str) -> None:
    for path in (*app(), planted):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(package(tmp_path)) == app()


def test_what_the_portals_build_wrote_comes_along(tmp_path: Path) -> None:
    built = ["portal/dist/assets/index-x.js", "portal/dist/assets/index-x.js.br", "portal/dist/index.html"]
    for path in built:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(package(tmp_path)) == built


@pytest.mark.parametrize("system", ["posix", "windows"])
def test_it_is_built_anew_before_it_is_packed(system: str) -> None:
    hooks = yaml.safe_load((ROOT / "azure.yaml").read_text())["services"]["app"]["hooks"]
    first, then = hooks["prepackage"][system]["run"].split(" && ")
    assert first.startswith("npm ci --prefix portal ") and then == "npm run build --prefix portal"


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Copy the package, install its requirements alone, and run it there: takes about 20 s, most of it pip's."""
    folder = tmp_path_factory.mktemp("package")
    for path in package():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    page = folder / "portal/dist/index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(PAGE)
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
        input=json.dumps(planned({"portalClientId": PORTAL_CLIENT_ID}).settings),
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
def test_the_package_shows_the_portal(probed: dict[str, Any]) -> None:
    assert probed["portal"] == [200, "text/html", PAGE]


@pytest.mark.long
def test_the_package_has_every_function_of_the_project(probed: dict[str, Any]) -> None:
    from tests.functions import FUNCTIONS  # not above: it imports the app

    assert probed["functions"] == sorted(FUNCTIONS)


@pytest.mark.long
def test_nothing_of_development_comes_with_the_package(probed: dict[str, Any]) -> None:
    assert not names("requirements-dev.txt") & set(probed["packages"])
    assert not {"local", "tests", "pytest"} & set(probed["modules"])
