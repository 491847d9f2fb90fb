"""A quick run of the simulation, and tests of the simulation itself: that it can fail, and that it is replayable."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.deletion.purge import Purge
from tests.simulation import campaign, crash_points, mutants
from tests.simulation.__main__ import main
from tests.simulation.planted.registry import patched

HERE = Path(__file__).parent
HISTORIES = 100


def test_random_histories_keep_every_promise() -> None:
    summary = campaign.run_chunk(list(range(1, HISTORIES + 1)))
    assert summary.violations == []
    assert summary.histories == HISTORIES
    assert summary.operations["toggle"] > HISTORIES
    assert summary.operations["capture"] > HISTORIES
    assert summary.operations["export"] > HISTORIES
    assert summary.operations["review: read"] > HISTORIES / 10
    for kind in ("export", "download", "find", "label"):
        assert summary.operations[f"review: {kind}"] > HISTORIES / 10
    assert len(summary.faults) >= 15, "most kinds of fault have happened"


@pytest.mark.parametrize("script", crash_points.SCRIPTS)
def test_a_process_killed_at_any_store_call_loses_nothing(script: str) -> None:
    calls = crash_points.calls_of(script)
    assert calls > 10
    seeds = [f"{script}/{call}/{when}" for call in range(0, calls + 1, 3) for when in ("before", "after")]
    assert crash_points.run_chunk(seeds).violations == []


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("no lease wait", "P2"),
        ("other geo's account", "P3"),
        ("off-by-one day: retention a day late", "P4"),
        ("404 taken as an error", "P5"),
        ("receipt without the second look", "P6"),
        ("a conflict taken for success", "P9"),
    ],
)
def test_a_planted_bug_is_found(name: str, promise: str) -> None:
    found = mutants.hunt(name, 60, 2)
    assert found.violation is not None
    assert found.violation.startswith(promise)


def test_a_bug_that_only_breaks_the_program_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*what: Any) -> None:
        what.nothing  # type: ignore[attr-defined]  # noqa: B018

    monkeypatch.setitem(mutants.MUTANTS, "broken", lambda: patched(Purge, "_expire_shard", broken))
    with pytest.raises(RuntimeError, match=r"broken: P9: .*purge failed unexpectedly: AttributeError"):
        mutants.hunt("broken", 60, 2)


def test_no_bug_is_planted_that_cannot_be_called_like_what_it_replaces() -> None:
    for misfit in (lambda self: None, lambda self, store, run, postponed, shard, more: None):
        with pytest.raises(TypeError):
            patched(Purge, "_expire_shard", misfit)


def test_a_planted_bug_is_taken_out_again() -> None:
    found = mutants.hunt("no lease wait", 20, 1)
    assert found.seed is not None
    assert campaign.run_seed(found.seed).violation is None


def test_a_seed_is_the_same_history_each_time_and_in_each_process() -> None:
    here = [campaign.run_seed(seed).trace_hash for seed in (7, 8)]
    assert here == [campaign.run_seed(seed).trace_hash for seed in (7, 8)]
    assert here[0] != here[1]
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "replay", "7"],
            cwd=HERE.parent.parent,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert here[0] in told.stdout


def test_the_oracles_share_no_code_with_the_service() -> None:
    modules = set()
    oracles = ("oracle", "reading", "beside", "claims", "retention", "spans")
    for oracle in oracles:
        for node in ast.walk(ast.parse((HERE / f"{oracle}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                modules.add(node.module)
    one_another = {f"tests.simulation.{oracle}" for oracle in oracles}
    assert modules <= set(sys.stdlib_module_names) | {"collections.abc"} | one_another


def test_a_violation_is_told_with_the_command_that_shows_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    with mutants.MUTANTS["no lease wait"]():
        summary = campaign.run_chunk(list(range(1, 21)))
        seed, what = summary.violations[0]
        assert what.startswith("P2: ")
        assert main(["replay", str(seed)]) == 1
    assert f"seed {seed} at {campaign.commit()}: {what}" in capsys.readouterr().out
    assert main(["replay", str(seed)]) == 0


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_each_bug_can_be_planted_in_the_rules_as_they_are(name: str) -> None:
    with mutants.MUTANTS[name]():
        pass


def test_as_many_known_bugs_are_planted_as_the_documents_say() -> None:
    told = (HERE.parents[1] / "docs" / "simulation.md").read_text(encoding="utf-8")
    assert f"plants {len(mutants.MUTANTS)} known bugs" in told
    assert len(mutants.MUTANTS) >= 90
