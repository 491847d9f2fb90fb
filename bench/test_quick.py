"""The bench runs: every contender of every scenario, in tiny sizes."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import batches, captures, cold_start, concurrency, consent, memory, purge, retention, spans, toggle
from bench.plan import QUICK
from bench.results import Results
from bench.scenario import GEO, TIMERS_OFF
from bench.targets import targets
from local.process import ROOT
from local.stack import Stack

# It takes about 40 s where nothing else runs.
PATIENCE_SECONDS = 240

EXPECTED = {
    captures.SCENARIO: {
        *(
            captures.at(contender, concurrency)
            for contender in (captures.ONE_TENANT, captures.spread(QUICK.tenants), captures.PUT, captures.UPLOAD)
            for concurrency in captures.CONCURRENCIES
        ),
        captures.at(captures.FUNCTION, captures.COMPARED_AT),
    },
    batches.SCENARIO: {batches.batches_of(size) for size in batches.SIZES},
    spans.SCENARIO: {spans.case(form, size) for form in spans.FORMS for size in spans.SIZES},
    consent.SCENARIO: {consent.CASE},
    toggle.SCENARIO: {toggle.OPT_IN, toggle.OPT_OUT, toggle.SCHEDULED},
    retention.SCENARIO: {retention.of(containers) for containers in QUICK.containers},
    cold_start.SCENARIO: {cold_start.SDKS, cold_start.APP, cold_start.FIRST_ANSWER},
    memory.SCENARIO: {memory.CASE},
    purge.SCENARIO: {purge.ours(60), purge.sdk(60), purge.counted(60)},
}


async def test_a_quick_run_measures_every_case_of_every_scenario(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "--quick"),
        cwd=ROOT,
        env=os.environ | {"LOCAL_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output = (await child.communicate())[0].decode()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, output
    run: dict[str, Any] = json.loads((tmp_path / "bench/results/bench.json").read_text())
    measured: dict[str, set[str]] = {}
    for figure in run["figures"]:
        measured.setdefault(figure["scenario"], set()).add(figure["case"])
    assert measured == EXPECTED
    assert [each["what"] for each in run["targets"]] == [each.what for each in targets(Results(), QUICK)]
    assert "No plot" in output


@pytest.mark.stack
async def test_opt_outs_leave_an_instance_to_others_when_it_takes_many_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Stack(tmp_path, (GEO,), settings=TIMERS_OFF) as stack:
        await concurrency.measure(stack, [(1, 40), (16, 40)])
    one, sixteen = (float(each) for each in re.findall(r"([\d.]+) requests/s", capsys.readouterr().out))
    # Two opt-outs: one after the other they take four seconds.
    assert one < 10
    assert one < sixteen
