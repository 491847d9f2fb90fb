"""The queries of the alerts and of the documents, read by Microsoft's own language service for KQL (no workspace)."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.infra.posture import ROOT, planned

TABLES = json.loads((Path(__file__).parent / "workspace_tables.json").read_text())
"""The tables of a workspace that we ask, with their columns as Azure Monitor's reference has them."""

FENCED = re.compile(r"^ *```kusto\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def of_the_alerts(instead: Mapping[str, str] | None = None) -> dict[str, str]:
    rules = planned(instead=instead).of("Microsoft.Insights/scheduledQueryRules")
    return {each.properties["displayName"]: each.properties["criteria"]["allOf"][0]["query"] for each in rules}


def of_the_documents() -> Iterator[str]:
    for file in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "infra").glob("*.md")):
        for block in FENCED.findall(file.read_text()):
            yield from re.split(r"\n *\n", block.strip())


def one_line(query: str) -> str:
    return " ".join(query.split())


SPOILT = {
    "kind is a word of the language": ("by Kind = tostring(Properties.kind)", "by kind = tostring(Properties.kind)"),
    "unknown column": ("sum(ItemCount)", "sum(ItemsCount)"),
    "unknown table": ("AppRequests |", "AppRequest |"),
    "unknown function": ("tostring(Properties.geo)", "toString(Properties.geo)"),
    "another type": ("most < 86400", 'most < "86400"'),
}
"""Changes of the alerts that must be found; the first is how the alert on findings once was."""


def spoilt(old: str, new: str) -> set[str]:
    path = "infra/modules/alerts.bicep"
    text = (ROOT / path).read_text()
    assert old in text
    return {*of_the_alerts({path: text.replace(old, new)}).values()} - {*of_the_alerts().values()}


@pytest.fixture(scope="module")
def findings() -> dict[str, list[str]]:
    """What the language service has against each query, all asked in one run because its start takes seconds."""
    queries = {*of_the_alerts().values(), *of_the_documents()}.union(*(spoilt(*each) for each in SPOILT.values()))
    ordered = sorted(queries)
    done = subprocess.run(
        ["node", Path(__file__).parent / "kql.cjs"],
        input=json.dumps({"tables": TABLES, "queries": ordered}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(ordered, json.loads(done.stdout), strict=True))


def test_every_query_can_be_run(findings: Mapping[str, list[str]]) -> None:
    queries = [*of_the_alerts().values(), *of_the_documents()]
    assert len(queries) > 12
    assert {each: findings[each] for each in queries if findings[each]} == {}


@pytest.mark.parametrize("how", SPOILT)
def test_a_wrong_query_is_found(how: str, findings: Mapping[str, list[str]]) -> None:
    queries = spoilt(*SPOILT[how])
    assert queries
    assert all(findings[each] for each in queries)


def test_the_documents_ask_what_the_alerts_ask() -> None:
    asked = [one_line(each) for each in of_the_documents()]
    assert asked
    assert set(asked) <= {one_line(each) for each in of_the_alerts().values()}


def test_the_alert_on_requests_counts_what_sampling_left_out() -> None:
    # host.json samples requests: a row stands for ItemCount of them.
    query = of_the_alerts()["requests-failing"]
    assert query.count("ItemCount") == 2
    assert not re.search(r"\bcount(if)?\(", query)
