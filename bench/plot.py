"""``python -m bench.plot FILE.json``: draw a run's figures beside it, as PNG and SVG.

Runs in an environment of its own, with matplotlib and without the project's packages.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib  # type: ignore[import-not-found]

matplotlib.use("Agg")

from matplotlib import pyplot

_OURS, _OTHERS = "#1f6fb2", "#9aa5b1"
_HELD, _MISSED = "#2e8b57", "#c0392b"
_CAPTURES = "captures one by one"
_PURGE = "opt-out purge"
_OURS_BEGIN = ("POST", "function", "purge")


def main() -> None:
    """Draw."""
    file = Path(sys.argv[1])
    run = json.loads(file.read_text(encoding="utf-8"))
    pyplot.rcParams.update(
        {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "bench"}
    )
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 8), layout="constrained")
    used = _medians(run, _CAPTURES, "client CPU ms/request", ", 8 at a time") | _medians(
        run, _CAPTURES, "host CPU ms/request", ", 8 at a time"
    )
    _bars(axes[0][0], used, "CPU of host or client for one 4 KB capture, 8 at a time (ms)")
    _bars(axes[0][1], _medians(run, _CAPTURES, "requests/s", ", 32 at a time"), "Captures per second, 32 at a time")
    _bars(axes[1][0], _medians(run, _PURGE, "operations"), "Operations to delete one tenant's blobs", log=True)
    _targets(axes[1][1], [each for each in run["targets"] if each["measured"] is not None])
    where = run["machine"]
    figure.suptitle(f"{run['command']}, {where['at'][:16]}Z, {where['cpus']} CPUs, {where['cpu']}")
    for kind in ("png", "svg"):
        figure.savefig(file.with_suffix(f".{kind}"), dpi=120)


def _medians(run: Any, scenario: str, figure: str, ending: str = "") -> dict[str, float]:
    """Return the medians of a figure by case, of the cases with that ending, which is cut off."""
    return {
        each["case"].removesuffix(ending): each["median"]
        for each in run["figures"]
        if each["scenario"] == scenario and each["figure"] == figure and each["case"].endswith(ending)
    }


def _bars(axes: Any, medians: dict[str, float], title: str, *, log: bool = False) -> None:
    colours = [_OURS if name.startswith(_OURS_BEGIN) else _OTHERS for name in medians]
    bars = axes.barh(list(medians), list(medians.values()), color=colours)
    axes.bar_label(
        bars, labels=[f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in medians.values()], padding=3
    )
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_title(title)
    if log and medians:
        axes.set_xscale("log")


def _targets(axes: Any, targets: list[Any]) -> None:
    """Draw how near each target is to its bound: up to 1 it is held, whichever way it goes."""
    parts = []
    for each in targets:
        way, bound = each["target"].split()
        measured = max(each["measured"], 1e-6)
        parts.append(measured / float(bound) if way == "<=" else float(bound) / measured)
    names = [_folded(f"{each['what']} {each['target']}") for each in targets]
    axes.barh(names, parts, color=[_HELD if each["held"] else _MISSED for each in targets])
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_title("Targets: share of the bound, held up to 1")
    if parts:
        axes.set_xscale("log")


def _folded(text: str, width: int = 60) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


if __name__ == "__main__":
    main()
