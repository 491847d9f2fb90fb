"""The bench runs: every contender of every scenario, in tiny sizes."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench import (
    batches,
    captures,
    cold_start,
    concurrency,
    consent,
    ledgers,
    memory,
    purge,
    retention,
    spans,
    status,
    sweep,
    toggle,
)
from bench.plan import QUICK
from local.process import ROOT

# It takes about a minute and a half where nothing else runs.
PATIENCE_SECONDS = 600

IN_PROCESS = [captures.FUNCTION, captures.WORKER] if captures.HAS_WORKER else [captures.FUNCTION]
MANY = captures.spread(QUICK.tenants)
EXPECTED = {
    captures.SCENARIO: {
        *(captures.at(each, 8) for each in (captures.ONE_TENANT, MANY, captures.UPLOAD, *IN_PROCESS)),
        *(captures.at(each, 32) for each in (captures.ONE_TENANT, captures.PUT)),
        *(captures.at(each, 1) for each in (captures.ONE_TENANT, MANY, captures.PUT, captures.UPLOAD)),
    },
    batches.SCENARIO: {*(batches.batches_of(size) for size in batches.SIZES), captures.UPLOAD},
    spans.SCENARIO: {spans.case(form, size) for form in spans.FORMS for size in spans.SIZES},
    consent.SCENARIO: {
        consent.ONE,
        *(consent.spread(tenants) for tenants in QUICK.consent_tenants),
        consent.confirmed(QUICK.consent_tenants[0]),
    },
    toggle.SCENARIO: {toggle.CASE},
    concurrency.SCENARIO: {
        concurrency.ALONE,
        concurrency.beside(QUICK.waiting),
        *(concurrency.mixed(at_a_time) for at_a_time in concurrency.AT_A_TIME),
    },
    retention.SCENARIO: {retention.of(containers) for containers in QUICK.containers},
    purge.SCENARIO: {
        *(purge.constant(blobs) for blobs in QUICK.purge_blobs),
        *(purge.ours(60), purge.sdk(60), purge.ours(90), purge.counted(90)),
    },
    cold_start.SCENARIO: {cold_start.SDKS, cold_start.APP, cold_start.FIRST_ANSWER},
    memory.SCENARIO: {memory.CASE},
    sweep.SCENARIO: {sweep.of(QUICK.swept_containers)},
    ledgers.SCENARIO: {ledgers.of(number) for number in QUICK.ledgers},
    status.SCENARIO: {each for ended in QUICK.ended for each in (status.of(ended), status.search(ended))},
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
    assert [each["name"] for each in run["targets"] if each["measured"] is None] == ["purge-az"]
    assert "No plot" in output
