"""How long the status believes a heartbeat follows from how often the job runs: three schedules."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from shared.deletion import purge
from shared.sweep import sweep
from shared.watch import posture, status

FUNCTIONS = Path(__file__).parents[2] / "functions"


def every(function: str) -> timedelta:
    """Return how often a timer ticks, by its NCRONTAB expression: each few minutes, or once in an hour."""
    [schedule] = re.findall(r'timer_trigger\([^)]*schedule="([^"]+)"', (FUNCTIONS / f"{function}.py").read_text())
    second, minutes, *rest = schedule.split(" ")
    assert second == "0" and rest == ["*"] * 4, "what is between two ticks is not always as long"
    step = re.fullmatch(r"(?:\*|\d+-59)/(\d+)", minutes)
    assert step or minutes.isdigit()
    return timedelta(minutes=int(step[1]) if step else 60)


@pytest.mark.parametrize(
    ("function", "max_age"),
    [("purge", status.PURGE_MAX_AGE), ("sweep", status.SWEEP_MAX_AGE), ("sweep", posture.MAX_AGE)],
)
def test_a_heartbeat_is_believed_for_three_schedules(function: str, max_age: timedelta) -> None:
    assert max_age == 3 * every(function)


@pytest.mark.parametrize(("function", "bounds"), [("purge", purge.Bounds()), ("sweep", sweep.Bounds())])
def test_a_run_ends_before_the_next_one_begins(function: str, bounds: purge.Bounds | sweep.Bounds) -> None:
    assert timedelta(seconds=bounds.seconds) < every(function)
