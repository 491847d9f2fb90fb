"""The movable clock, the timers on it, and the admin API."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.host import timers
from local.host.clock import MovableClock
from local.host.log import to_stderr
from local.host.schedule import following
from tests.local.host_app import running, until, write_app

HOURLY = """
@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *"{extra})
async def Hourly(timer: func.TimerRequest) -> None:
    seen.append((timer.past_due, timer.schedule_status, timer.schedule))
    {then}
"""


def hourly(extra: str = "", then: str = "pass") -> str:
    return HOURLY.format(extra=extra, then=then)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "_POLL_SECONDS", 0.05)


def half_past(tmp_path: Path) -> Path:
    """Return a state directory whose clock stands at half past, so that no real hour strikes during a test."""
    state = tmp_path / "s"
    state.mkdir()
    MovableClock(state).move_to(datetime(2030, 1, 1, 0, 30, tzinfo=UTC))
    return state


async def move(host: SimpleNamespace, **body: str) -> int:
    return int((await host.client.post("/admin/clock", json=body)).status)


async def test_the_clock_moves_through_the_admin_api_and_stays_moved(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, hourly()), tmp_path / "s") as host:
        answer = await (await host.client.get("/admin/clock")).json()
        assert abs(datetime.fromisoformat(answer["now"]) - datetime.now(UTC)) < timedelta(seconds=2)
        assert await move(host, advance="P27D") == 200
        assert await move(host, advance="PT23H") == 200
    moved = MovableClock(tmp_path / "s").now() - datetime.now(UTC)
    assert abs(moved - timedelta(days=28, hours=-1)) < timedelta(seconds=2)
    async with running(tmp_path / "function_app.py", tmp_path / "s") as host:
        answer = await (await host.client.post("/admin/clock", json={"now": "2033-01-01T02:00:00+02:00"})).json()
        assert answer["now"].startswith("2033-01-01T00:00:00")
        assert answer["now"].endswith("Z")


BAD_MOVES = [
    "",
    "[]",
    "{}",
    '{"advance": 5}',
    '{"advance": "5"}',
    '{"advance": "P1X"}',
    '{"now": "2033-01-01T00:00:00"}',
    '{"now": 1}',
    '{"now": "1600-01-01T00:00:00Z"}',
    '{"advance": "P999999D"}',
    '{"advance": "P1D", "now": "2033-01-01T00:00:00Z"}',
    '{"advance": "P1D", "sideways": 1}',
]


async def test_a_move_that_cannot_be_read_is_400_and_moves_nothing(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, hourly()), tmp_path / "s") as host:
        for body in BAD_MOVES:
            answer = await host.client.post("/admin/clock", data=body)
            assert answer.status == 400, body
            assert "ISO 8601" in (await answer.json())["error"]
        assert abs(host.clock.now() - datetime.now(UTC)) < timedelta(seconds=2)


async def test_the_clock_cannot_go_back(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, hourly()), half_past(tmp_path)) as host:
        before = host.clock.now()
        for body in ({"advance": "-PT1H"}, {"advance": "-PT0.5S"}, {"now": "2030-01-01T00:00:00Z"}):
            answer = await host.client.post("/admin/clock", json=body)
            assert answer.status == 400, body
            assert "the clock cannot go back" in (await answer.json())["error"]
        assert timedelta() <= host.clock.now() - before < timedelta(seconds=5)


async def test_who_sends_the_time_back_that_was_just_answered_moves_nothing(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, hourly()), half_past(tmp_path)) as host:
        now = (await (await host.client.get("/admin/clock")).json())["now"]
        await asyncio.sleep(0.2)
        assert await move(host, now=now) == 200
        assert host.clock.now() > datetime.fromisoformat(now) + timedelta(seconds=0.1)


def test_a_line_of_the_log_has_the_machines_time_and_the_stacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = MovableClock(tmp_path)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    to_stderr(clock)
    clock.advance(timedelta(days=28))
    logging.getLogger("local.host").info("one line")
    real, stack, *rest = capsys.readouterr().err.split()
    assert rest == ["INFO", "local.host", "one", "line"]
    assert datetime.fromisoformat(stack.removeprefix("stack=")) - datetime.fromisoformat(real) == timedelta(days=28)


async def test_a_moved_clock_makes_a_timer_due_once(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, hourly()), half_past(tmp_path)) as host:
        await asyncio.sleep(0.3)
        assert host.module.seen == []
        await move(host, advance="P2D")
        await until(lambda: host.module.seen)
        await asyncio.sleep(0.3)
        ((past_due, status, schedule),) = host.module.seen
        assert (past_due, schedule) == (False, {"AdjustForDST": True})
        assert status["Last"] == "0001-01-01T00:00:00+00:00"
        await move(host, advance="PT1H")
        await until(lambda: len(host.module.seen) == 2)
        assert datetime.fromisoformat(host.module.seen[1][1]["Last"]) > datetime(2030, 1, 2, tzinfo=UTC)


async def test_a_missed_run_is_caught_up_once_at_start_as_past_due(tmp_path: Path) -> None:
    file, state = write_app(tmp_path, hourly()), half_past(tmp_path)
    async with running(file, state):
        await asyncio.sleep(0.1)
    MovableClock(state).advance(timedelta(days=3))
    async with running(file, state) as host:
        await until(lambda: host.module.seen)
        await asyncio.sleep(0.3)
        assert [past_due for past_due, _, _ in host.module.seen] == [True]
    async with running(file, state) as host:
        await asyncio.sleep(0.3)
        assert host.module.seen == []


async def test_without_a_monitor_nothing_is_caught_up(tmp_path: Path) -> None:
    file, state = write_app(tmp_path, hourly(extra=", use_monitor=False")), half_past(tmp_path)
    async with running(file, state):
        await asyncio.sleep(0.1)
    MovableClock(state).advance(timedelta(days=3))
    async with running(file, state) as host:
        await asyncio.sleep(0.3)
        assert host.module.seen == []


async def test_run_on_startup_and_a_failing_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    body = hourly(extra=", run_on_startup=True", then="raise ValueError('content')")
    async with running(write_app(tmp_path, body), half_past(tmp_path)) as host:
        await until(lambda: len(host.module.seen) == 1)
        await asyncio.sleep(0.1)
        await move(host, advance="PT1H")
        await until(lambda: len(host.module.seen) == 2)
    assert "ValueError at" in caplog.text
    assert "content" not in caplog.text


async def test_one_run_at_a_time_across_hosts_and_by_hand(tmp_path: Path) -> None:
    file = write_app(tmp_path, hourly(then="seen.append('in'); await asyncio.sleep(0.5); seen.append('out')"))
    state = half_past(tmp_path)
    async with running(file, state) as one, running(file, state) as other:
        await move(one, now="2033-01-01T00:30:00Z")
        await move(other, now="2033-01-01T00:30:00Z")
        await until(lambda: "in" in one.module.seen + other.module.seen)
        by_hand = await other.client.post(
            "/admin/functions/hourly", json={"input": ""}, headers={"x-local-wait": "true"}
        )
        assert (by_hand.status, await by_hand.json()) == (202, {"status": "completed"})
        seen = one.module.seen + other.module.seen
        # The due run once, on either host, and the one by hand after it.
        assert [event for event in seen if isinstance(event, str)] == ["in", "out", "in", "out"]


async def test_a_timer_with_a_retry_policy_is_repeated(tmp_path: Path) -> None:
    body = "@app.retry(strategy='fixed_delay', max_retry_count='2', delay_interval='00:00:00')" + hourly(
        then="assert len(seen) == 3"
    )
    async with running(write_app(tmp_path, body), half_past(tmp_path)) as host:
        await move(host, advance="PT1H")
        await until(lambda: len(host.module.seen) == 3)


async def test_running_a_function_by_hand(tmp_path: Path) -> None:
    body = (
        hourly()
        + """
@app.route(route="x")
def page(req: func.HttpRequest) -> str: return "x"
@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
def broken(timer: func.TimerRequest) -> None: raise ValueError
"""
    )
    async with running(write_app(tmp_path, body), half_past(tmp_path)) as host:
        run = await host.client.post("/admin/functions/HOURLY", json={"input": ""})
        assert (run.status, await run.read()) == (202, b"")
        await until(lambda: host.module.seen)
        run = await host.client.post("/admin/functions/broken", json={}, headers={"x-local-wait": "true"})
        assert (run.status, await run.json()) == (202, {"status": "failed"})
        assert (await host.client.post("/admin/functions/nothing", json={"input": ""})).status == 404
        assert (await host.client.post("/admin/functions/page", json={"input": ""})).status == 400
        assert (await host.client.post("/admin/functions/hourly", data=b"")).status == 400
        status = await host.client.get("/admin/host/status")
        assert (status.status, await status.json()) == (200, {"state": "Running"})
        assert (await host.client.get("/")).status == 204


def test_ncrontab() -> None:
    start = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    assert following("*/10 * * * * *", start) == datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC)
    assert following("30 1 * * *", start) == datetime(2026, 1, 2, 1, 30, tzinfo=UTC)
    # Both days must fit, unlike in cron.
    assert following("0 0 0 1 * MON", start) == datetime(2026, 6, 1, tzinfo=UTC)


async def test_the_state_files_hold_no_more_than_times(tmp_path: Path) -> None:
    async with running(write_app(tmp_path, hourly()), half_past(tmp_path)) as host:
        await move(host, advance="PT1H")
        await until(lambda: host.module.seen)
    files = sorted(file.name for file in (tmp_path / "s").iterdir())
    assert files == ["clock.json", "timer-Hourly.json", "timer-Hourly.lock"]
    assert set(json.loads((tmp_path / "s" / "timer-Hourly.json").read_text())) == {"from", "last"}
