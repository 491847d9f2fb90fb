"""What the documents say and a machine can check: links, settings, commands, bounds and sums."""

import ast
import importlib
import json
import operator
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from functions._api.openapi import all_problems
from tests.documents import DOCUMENTS, FENCE, ROOT

README = ROOT / "README.md"
COST = ROOT / "docs" / "limits-and-cost.md"
ALERTS = ROOT / "infra" / "modules" / "alerts.bicep"

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SETTING = re.compile(r"`([A-Z][A-Z_]+(?:__\w+)?)`")
TIMES = "\N{MULTIPLICATION SIGN}"
SUM = re.compile(rf"`([\d.,(){TIMES}/+\- ]+) = ([\d.,]+)`")
BOUND = re.compile(r"\| ([\d,]+) \| `([\w.]+)` \|")
OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

CITED = re.compile(r"\bD\d{1,2}\b")
PLACE = re.compile(r"`((?:\.ci|\.github|audit|bench|docs|functions|infra|local|shared|tests)/[\w./-]*)`")
MADE_HERE = {"local/node_modules"}

named = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    texts = [re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower() for heading in HEADING.findall(prose(document))]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


@named
def test_every_local_link_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


@named
def test_every_file_that_is_named_is_there(document: Path) -> None:
    named_places = set(PLACE.findall(prose(document))) - MADE_HERE
    assert {place for place in named_places if not (ROOT / place).exists()} == set()


def test_every_decision_that_is_cited_has_an_entry() -> None:
    sources = [
        file
        for folder in ("audit", "bench", "docs", "functions", "infra", "local", "shared", "tests")
        for suffix in ("*.py", "*.md", "*.bicep")
        for file in (ROOT / folder).rglob(suffix)
        if "node_modules" not in file.parts
    ]
    cited = {decision for file in [*sources, *ROOT.glob("*.md")] for decision in CITED.findall(file.read_text())}
    entries = re.findall(r"^### (D\d+) ", (ROOT / "docs" / "design.md").read_text(), re.MULTILINE)
    assert len(cited) > 5
    assert len(entries) == len(set(entries))
    assert cited - set(entries) == set()


@named
def test_every_command_is_one_that_bash_can_read(document: Path) -> None:
    for _, language, block in FENCE.findall(document.read_text()):
        if language == "bash":
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        elif language == "json":
            json.loads(block)


def settings_read() -> set[str]:
    """The names that production code asks its environment for."""
    read = set()
    for file in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in {
                "environment.get",
                "os.environ.get",
                "_required",
            }:
                read |= {
                    argument.value
                    for argument in call.args
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value
                }
    return {name for name in read if re.match("[A-Z]", name)}


def test_the_readme_lists_the_settings_that_are_read_and_no_others() -> None:
    [section] = re.findall(r"^## Settings\n(.*?)^## ", README.read_text(), re.MULTILINE | re.DOTALL)
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    of_azures_libraries = {"APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "AZURE_CLIENT_ID"}
    read = settings_read()
    assert len(read) > 5
    assert {name for row in rows for name in SETTING.findall(row.split("|")[1])} <= read
    assert set(SETTING.findall(section)) - of_azures_libraries == read


def number(text: str) -> float:
    return float(text.replace(",", ""))


def value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as constant):
            return float(constant)
        case ast.BinOp():
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
    raise ValueError(ast.dump(node))


@pytest.mark.parametrize(("calculation", "result"), SUM.findall(prose(COST)))
def test_every_sum_is_right(calculation: str, result: str) -> None:
    right = value(ast.parse(calculation.replace(",", "").replace(TIMES, "*"), mode="eval").body)
    half_of_the_last_digit = 0.5 * 10.0 ** -len(result.partition(".")[2])
    assert abs(right - number(result)) <= half_of_the_last_digit + 1e-9


def test_no_sum_is_left_out() -> None:
    text = prose(COST)
    assert len(SUM.findall(text)) > 40
    assert len(SUM.findall(text)) == len(re.findall(r"`[^`\n]* = [^`\n]*`", text))


def test_the_bounds_are_those_of_the_code() -> None:
    bounds = BOUND.findall(COST.read_text())
    assert len(bounds) == 23
    for told, place in bounds:
        module, _, name = place.rpartition(".")
        if module.endswith(".Bounds"):
            found = getattr(importlib.import_module(module.removesuffix(".Bounds")).Bounds(), name)
        else:
            found = getattr(importlib.import_module(module), name)
        assert number(told) == found, place


def test_every_problem_has_a_row() -> None:
    told = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert len(told) > 30
    assert len(told) == len(set(told))
    assert {(int(status), slug) for status, slug in told} == {(each.status, each.slug) for each in all_problems()}


def rows(document: str, heading: str) -> list[list[str]]:
    """The names in backquotes in the first column of the table below that heading."""
    table = (ROOT / "docs" / document).read_text().partition(heading)[2].partition("\n\n")[0]
    return [re.findall(r"`([\w-]+)`", row.partition(" | ")[0]) for row in table.split("\n|")[2:]]


def test_every_parameter_of_the_templates_has_a_row() -> None:
    parameters = re.findall(r"^param (\w+) ", (ROOT / "infra" / "main.bicep").read_text(), re.MULTILINE)
    told = [name for row in rows("deploy.md", "\n| parameter |") for name in row]
    assert len(parameters) > 15
    assert sorted(told) == sorted(parameters)


def test_every_alert_is_named() -> None:
    [rules] = re.findall(r"^var rules = \[\n(.*?)^\]", ALERTS.read_text(), re.MULTILINE | re.DOTALL)
    names = re.findall(r"^    name: '([a-z-]+)'$", rules, re.MULTILINE)
    assert len(names) > 10
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert {name for name in names if f"`{name}`" not in operations} == set()


def test_every_code_of_ours_has_a_row() -> None:
    """Those of the rules; what the adapters make of a store's own error is told by its beginning."""
    codes = {
        argument.value
        for file in (ROOT / "shared").rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).rpartition(".")[2] in {"StoreUnavailable", "TryAgain", "note", "unreadable"}
        for argument in call.args
        if isinstance(argument, ast.Constant) and re.fullmatch(r"[a-z]+(-[a-z]+)*", str(argument.value))
    }
    told = {code for row in rows("operations.md", "\n| code |") for code in row}
    assert len(codes) > 15
    assert {code for code in codes - told if not code.startswith(("storage-", "cosmos-", "vault-"))} == set()
