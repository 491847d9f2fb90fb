"""Runs mutmut over the rules and compares what survives with ``survivors.toml``.

    python -m tests.mutants [--folders model,deletion] [--jobs N] [--fresh]

Each folder has a copy of the tree of its own under ``.mutants/``, so that a run can be stopped and resumed, and limited
to a folder. Exits with 1 if a mutant survives that is not on the list.
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import libcst as cst
import libcst.matchers as m

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
COPIES = ROOT / ".mutants"

FOLDERS = ("model", "deletion", "sharing", "review", "sweep")
LISTED = (
    *("model.agreement", "model.capture", "model.consent", "model.containers", "model.deadlines", "model.deletion"),
    *("model.epochs", "model.exports", "model.findings", "model.geos", "model.grants", "model.heartbeats"),
    *("model.items", "model.json_shape", "model.labels", "model.ledger", "model.messages", "model.metrics"),
    *("model.notices", "model.persons", "model.posture", "model.requests", "model.selection", "model.signatures"),
    *("model.spans",),
    *("deletion.deletions", "deletion.postponed", "deletion.purge", "deletion.receipts"),
    *("review.access", "review.cursors", "review.exporting", "review.finding", "review.labelling"),
    *("review.languages", "review.record", "review.scanning"),
    *("sharing.captures", "sharing.consent", "sharing.consent_receipts", "sharing.data_sharing"),
    *("sharing.epochs", "sharing.span_logs", "sharing.traces"),
    *("sweep.ledger", "sweep.opt_outs", "sweep.places", "sweep.reappearances", "sweep.receipts"),
    *("sweep.reconciliation", "sweep.rounds", "sweep.storage", "sweep.sweep"),
)
"""The modules whose survivors have all been looked at; those of others are shown, and nothing follows from them yet."""

BY_TESTS = {1, 3}
BY_TYPES = {37}
HUNG = {-24, 24, 152, 36, 255}
KILLED = BY_TESTS | BY_TYPES | HUNG
"""How mutmut says that a mutant was noticed."""


class PlainProperties(cst.CSTTransformer):
    """Moves the body of a property into a function of its own: mutmut changes none that has a decorator."""

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        body: list[cst.BaseStatement | cst.BaseSmallStatement] = []
        for statement in updated_node.body.body:
            body.append(statement)
            if isinstance(statement, cst.FunctionDef) and m.matches(
                statement, m.FunctionDef(decorators=[m.Decorator(decorator=m.Name("property"))])
            ):
                plain = f"{statement.name.value}_"
                asks = cst.parse_statement(f"return self.{plain}()")
                body[-1] = statement.with_changes(body=cst.IndentedBlock([asks]))
                body.append(statement.with_changes(name=cst.Name(plain), decorators=[]))
        return updated_node.with_changes(body=updated_node.body.with_changes(body=body))


def contents(folder: str) -> Iterator[tuple[Path, bytes]]:
    """What the copy for a folder consists of: each file of the tree, as it is to be there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for path in map(Path, listed.stdout.splitlines()):
        if not (ROOT / path).is_file():
            continue
        content = (ROOT / path).read_bytes()
        if path.match(f"shared/{folder}/*.py"):
            content = cst.parse_module(content).visit(PlainProperties()).bytes
        elif path == Path("pyproject.toml"):
            content += b"\n" + (HERE / "mutmut.toml").read_bytes() + f'only_mutate = ["shared/{folder}/*"]\n'.encode()
        yield path, content


def renew(folder: str) -> str:
    """Brings the copy for a folder up to date, and returns a hash of all its code and tests."""
    copy = COPIES / folder
    wanted = dict(contents(folder))
    configured = copy / "pyproject.toml"
    if configured.is_file() and configured.read_bytes() != wanted[Path("pyproject.toml")]:
        shutil.rmtree(copy)  # other settings number the mutants in another way
    for path, content in wanted.items():
        file = copy / path
        if not file.is_file() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    for top in {path.parts[0] for path in wanted}:
        for file in [each for each in (copy / top).rglob("*") if each.is_file()]:
            if file.relative_to(copy) not in wanted:
                file.unlink()
                (copy / "mutants" / file.relative_to(copy)).unlink(missing_ok=True)
    code = b"".join(content for path, content in sorted(wanted.items()) if path.suffix == ".py")
    return hashlib.sha256(code).hexdigest()


def verdicts(folder: str) -> Mapping[str, int | None]:
    """The exit code of the tests for each mutant of a folder; None where it is still to be tried."""
    return {
        name: code
        for meta in sorted((COPIES / folder / "mutants" / "shared" / folder).rglob("*.meta"))
        for name, code in json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].items()
    }


# Finding plugins takes a third of each run; this is the only one that the tests need.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "pytest_asyncio.plugin",
}


def run(folder: str, jobs: int) -> None:
    """Tries each mutant of a folder that was not tried, and again those that survived other tests."""
    code = renew(folder)
    copy = COPIES / folder
    measured, tried = copy / "measured", copy / "tried"
    if not _says(measured, code):  # which tests reach a function is measured anew
        (copy / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
        measured.write_text(code)
    mutmut = partial(subprocess.run, cwd=copy, env=ENVIRONMENT, check=True)
    command = [sys.executable, str(HERE / "collected.py"), "run", f"--max-children={jobs}"]
    before = [name for name, verdict in verdicts(folder).items() if verdict not in {None, *KILLED}]
    mutmut(command)
    after = verdicts(folder)
    again = [name for name in before if after.get(name) not in {None, *KILLED}]
    if again and not _says(tried, code):
        mutmut([*command, *again])
    tried.write_text(code)


def _says(mark: Path, code: str) -> bool:
    return mark.is_file() and mark.read_text() == code


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test notices.

    Attributes:
        name: mutmut's name for it, which changes with the function.
        change: its module and function, and the lines before and after; this is what stands on the list.
    """

    name: str
    change: str

    @property
    def module(self) -> str:
        """Its module, below shared/."""
        return ".".join(self.change.partition(":")[0].split(".")[:2])


def survivors(folder: str) -> list[Survivor]:
    """The mutants of a folder that survived, in the order of the code."""
    found = []
    for name, code in verdicts(folder).items():
        if code in {None, *KILLED}:
            continue
        module, _, mutant = name.rpartition(".")
        original, _, _ = mutant.partition("__mutmut_")
        functions = functions_of(COPIES / folder / "mutants" / f"{module.replace('.', '/')}.py")
        before, after = functions[f"{original}__mutmut_orig"], functions[mutant]
        changed = [line for line in difflib.ndiff(before, after) if line[0] in "-+"]
        removed = " ".join(line[2:].strip() for line in changed if line[0] == "-")
        added = " ".join(line[2:].strip() for line in changed if line[0] == "+")
        function = original.removeprefix("x").strip("ǁ_").replace("ǁ", ".")
        found.append(Survivor(name, f"{module.removeprefix('shared.')}.{function}: {removed} -> {added}"))
    return found


_functions: dict[Path, dict[str, list[str]]] = {}


def functions_of(file: Path) -> Mapping[str, list[str]]:
    """The lines of each function that mutmut wrote into a file, without the line that names it."""
    if file not in _functions:
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        _functions[file] = {
            node.name: textwrap.dedent(
                "\n".join([lines[node.lineno - 1].replace(node.name, "f"), *lines[node.lineno : node.end_lineno]])
            ).splitlines()
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name
        }
    return _functions[file]


def listed() -> Mapping[str, str]:
    """Each survivor on the list, and why it changes nothing that anyone relies on."""
    kinds = tomllib.loads((HERE / "survivors.toml").read_text(encoding="utf-8"))["kind"]
    return {change: kind["why"] for kind in kinds for change in kind["changes"]}


def report(folder: str, known: Mapping[str, str]) -> bool:
    """Prints what came of a folder; tells whether all was tried, and what survived in listed modules is on the list."""
    codes = Counter(verdicts(folder).values())
    left = survivors(folder)
    print(
        f"\nshared/{folder}: {codes.total()} mutants, {count(codes, KILLED)} found ({count(codes, BY_TYPES)} by the "
        f"check of types, {count(codes, HUNG)} because a test hangs), {len(left)} survived, {codes[None]} not tried"
    )
    new = [each for each in left if each.change not in known]
    surprising = [each for each in new if each.module in LISTED]
    for each in new:
        what = "survived, and is not on the list" if each in surprising else "survived; nobody has looked at it yet"
        print(f"  {what}: {each.change}\n    {each.name}")
    gone = {change for change in known if change.startswith(f"{folder}.")} - {each.change for each in left}
    for change in sorted(gone):
        print(f"  is on the list, and was found or is no more: {change}")
    return not surprising and not codes[None]


def count(codes: Mapping[int | None, int], of: set[int]) -> int:
    """How many ended with one of these."""
    return sum(codes.get(code, 0) for code in of)


def main() -> int:
    """Runs the folders that were asked for, and prints what is left."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--folders", default=",".join(FOLDERS), help="folders of shared/, divided by commas")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="forget what was tried before")
    asked = parser.parse_args()
    folders = asked.folders.split(",")
    if unknown := set(folders) - set(FOLDERS):
        parser.error(f"not a folder with mutants: {', '.join(sorted(unknown))}")

    known = listed()
    expected = True
    for folder in folders:
        if asked.fresh:
            shutil.rmtree(COPIES / folder, ignore_errors=True)
        run(folder, asked.jobs)
        expected &= report(folder, known)
    return 0 if expected else 1


if __name__ == "__main__":
    sys.exit(main())
