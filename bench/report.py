"""What a run says: tables in Markdown, and one JSON document."""

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from bench.results import Results
from bench.targets import Verdict
from shared.model.items import format_instant

_PACKAGES = ("aiohttp", "azure-cosmos", "azure-functions", "azure-storage-blob", "pydantic")
_DASH = "\N{EN DASH}"


def machine() -> dict[str, Any]:
    """Return what the figures depend on, the machine's load before the run included."""
    return {
        "at": format_instant(datetime.now(UTC)),
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "loadBefore": round(os.getloadavg()[0], 2),
    }


def document(
    where: dict[str, Any], command: str, seconds: Mapping[str, float], results: Results, found: Sequence[Verdict]
) -> dict[str, Any]:
    """Return the run as JSON; ``seconds`` is what each scenario took."""
    return {
        "machine": where,
        "command": command,
        "seconds": seconds,
        "targets": [each.to_json() for each in found],
        **results.to_json(),
    }


def text(
    where: Mapping[str, Any], command: str, seconds: Mapping[str, float], results: Results, found: Sequence[Verdict]
) -> Iterator[str]:
    """Yield the lines of the run in Markdown; the arguments are those of ``document``."""
    yield "# What was measured\n"
    yield f"`{command}` at {where['at'][:16]}Z, {sum(seconds.values()):.0f} s; {where['cpus']} CPUs ({where['cpu']}),"
    yield f"Python {where['python']}. [README.md](../README.md) says how, and what each figure means.\n"
    yield "## Targets\n"
    yield from _table(["what", "target", "measured", "95 % interval", "rounds", ""], [_row(each) for each in found])
    yield "\n## Figures\n"
    yield "Medians of the rounds, with the smallest and the largest."
    yield from _tables(results)


def _tables(results: Results) -> Iterator[str]:
    for scenario in dict.fromkeys(scenario for scenario, _ in results.cases):
        cases = {case: figures for (each, case), figures in results.cases.items() if each == scenario}
        columns = list(dict.fromkeys(figure for figures in cases.values() for figure in figures))
        rows = [[case, *(_cell(figures.get(column, [])) for column in columns)] for case, figures in cases.items()]
        yield f"\n### {scenario[0].upper()}{scenario[1:]}\n"
        yield from _table(["case", *columns], rows)


def _row(each: Verdict) -> list[str]:
    target = [each.target.what, f"{'≤' if each.target.way == '<=' else '≥'} {each.target.bound:g}"]
    if each.measured is None:
        return [*target, "", "", "", "not measured"]
    interval = each.measured.interval
    verdict = "held" if each.held else "**missed**"
    if interval is not None and not each.certain:
        verdict += ", the bound is within the interval"
    if each.disturbed:
        verdict += ", beside other work"
    reach = "too few rounds" if interval is None else _DASH.join(_number(end) for end in interval)
    return [*target, _number(each.measured.value), reach, str(each.measured.values), verdict]


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    median = _number(statistics.median(values))
    return median if min(values) == max(values) else f"{median} ({_number(min(values))}{_DASH}{_number(max(values))})"


def _number(value: float) -> str:
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    for row in (head, ["-" * width for width in widths], *rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
