"""P4: no capture is stored 30 days after it happened, by ``capturedAt`` (decision D4)."""

from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from shared.deletion.purge import Bounds
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.heartbeats import Postponed
from shared.problems import CapturedTooEarly, CapturedTooLate
from tests.clocks import ManualClock
from tests.world import TENANT, World, capture, submission

MILLISECOND = timedelta(milliseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def enrolled(now: datetime) -> World:
    """Return a world at ``now`` with a tenant that opted in two days before."""
    world = World(clock=ManualClock(now - timedelta(days=2), jumping=True))
    await world.opt_in()
    world.clock.set(now)
    return world


@pytest.mark.parametrize(
    ("captured_at", "day"),
    [
        ("2026-11-20T23:59:59.999", "2026-11-20"),
        ("2026-11-21T00:00:00", "2026-11-21"),
        ("2026-11-21T00:00:00.001", "2026-11-21"),
    ],
)
async def test_a_capture_belongs_to_its_utc_day(captured_at: str, day: str) -> None:
    world = await enrolled(at("2026-11-21T00:01:00"))
    stored = await world.post(at=at(captured_at))
    assert world.days() == [day]
    assert stored.expires_at == at(day) + timedelta(days=30)


async def test_a_batch_across_midnight_goes_to_the_day_of_its_oldest_capture() -> None:
    world = await enrolled(at("2026-11-21T00:01:00"))
    captures = [capture(at(text)) for text in ("2026-11-21T00:00:30", "2026-11-20T23:59:59.999", "2026-11-21T00:01:00")]
    await world.captures.submit(TENANT, submission(*captures))
    assert world.days() == ["2026-11-20"]


async def test_an_offset_other_than_utc_counts_as_the_instant_that_it_is() -> None:
    world = await enrolled(at("2026-11-21T00:01:00"))
    await world.post(at=datetime.fromisoformat("2026-11-21T08:59:59+09:00"))
    assert world.days() == ["2026-11-20"]


async def test_29_february_is_a_day_like_any_other() -> None:
    world = await enrolled(at("2028-02-29T12:00:00"))
    stored = await world.post()
    assert world.days() == ["2028-02-29"]
    assert stored.expires_at == at("2028-03-30T00:00:00")
    world.clock.set(at("2028-03-29T17:59:59.999"))
    await world.purge.run()
    assert world.days() == ["2028-02-29"]
    world.clock.set(at("2028-03-29T18:00:00"))
    await world.purge.run()
    assert world.days() == []


@pytest.mark.parametrize(
    ("offset", "problem"),
    [
        (timedelta(hours=-24), None),
        (timedelta(hours=-24) - MILLISECOND, CapturedTooEarly),
        (timedelta(hours=-24, seconds=-1), CapturedTooEarly),
        (timedelta(minutes=5), None),
        (timedelta(minutes=5) + MILLISECOND, CapturedTooLate),
        (timedelta(minutes=5, seconds=1), CapturedTooLate),
    ],
)
async def test_the_window_of_captured_at(offset: timedelta, problem: type[Exception] | None) -> None:
    world = await enrolled(at("2026-11-21T12:00:00"))
    if problem is None:
        await world.post(at=world.clock.now() + offset)
        return
    with pytest.raises(problem):
        await world.captures.submit(TENANT, submission(capture(world.clock.now()), capture(world.clock.now() + offset)))
    assert world.stored_containers() == {}


async def test_a_capture_from_before_the_opt_in_is_refused() -> None:
    world = World()
    setting = await world.opt_in()
    assert setting.enrollment is not None
    await world.post(at=setting.enrollment.started_at)
    with pytest.raises(CapturedTooEarly):
        await world.post(at=setting.enrollment.started_at - timedelta(microseconds=1), key="other")


@pytest.mark.parametrize(
    ("captured_at", "problem"),
    [("9999-12-31T23:59:59-14:00", CapturedTooLate), ("0001-01-01T00:00:00+14:00", CapturedTooEarly)],
)
async def test_an_instant_at_the_edge_of_the_calendar_is_refused_like_any_other(
    captured_at: str, problem: type[Exception]
) -> None:
    world = await enrolled(at("2026-11-21T12:00:00"))
    with pytest.raises(problem):
        await world.captures.submit(TENANT, submission({**capture(world.clock.now()), "capturedAt": captured_at}))


async def test_no_day_survives_a_purge_at_its_29th_day_18_00_and_none_is_deleted_by_one_before() -> None:
    world = await enrolled(at("2026-11-21T12:00:00"))
    for n in range(5):
        await world.post(key=f"key-{n}")
        world.clock.set(world.clock.now() + timedelta(days=1))
    days = world.days()
    assert days == [f"2026-11-{day}" for day in range(21, 26)]
    for day in days:
        due = at(day) + timedelta(days=29, hours=18)
        world.clock.set(due - MILLISECOND)
        await world.purge.run()
        assert day in world.days(), "not before its lead"
        world.clock.set(due)
        await world.purge.run()
        assert day not in world.days()


async def test_retention_goes_through_every_shard_and_stops_at_the_first_live_day() -> None:
    world = World()
    store = world.stores["europe"]
    for shard in "0123456789abcdef":
        for day in ("20261001", "20261002", "20261121"):
            store.receive_container(f"{shard}-{day}-{shard}{'0' * 31}")
    for name in ("0-0-notours", "0-notours"):  # listed first, and last
        store.receive_container(name)
    heartbeat = (await world.purge.run())["steurope"]
    assert heartbeat.counts == {"expiredContainers": 32}
    assert heartbeat.outcome == "done"
    assert world.days() == ["2026-11-21"] * 16
    assert {"0-0-notours", "0-notours"} <= store.containers.keys(), "what is not ours is left alone"


@pytest.mark.parametrize("most", [1, 3])
async def test_a_bounded_run_is_taken_up_by_the_next(most: int) -> None:
    world = World(bounds=Bounds(containers=most))
    for day in range(1, 10):
        world.stores["europe"].receive_container(f"0-2026100{day}-0{'0' * 31}")
    *first, last = [(await world.purge.run())["steurope"] for _ in range(9 // most)]
    assert {run.outcome for run in first} == {"more"} and last.outcome == "done"
    assert [run.counts for run in (*first, last)] == [{"expiredContainers": most}] * (9 // most)
    assert world.days() == []


async def test_a_run_out_of_time_stops_and_the_next_goes_on() -> None:
    world = World(bounds=Bounds(seconds=0.0))
    world.stores["europe"].receive_container(f"0-20261001-0{'0' * 31}")
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.counts) == ("more", {})
    world.bounds = Bounds()
    assert (await world.purge.run())["steurope"].counts == {"expiredContainers": 1}


@pytest.mark.parametrize(("year", "ours"), [(2000, False), (2001, True), (8999, True), (9000, False)])
def test_a_year_that_no_clock_of_ours_shows_is_in_no_name_and_no_item_of_ours(year: int, ours: bool) -> None:
    day = datetime(year, 6, 1, tzinfo=UTC)
    assert (DayContainer.parse(f"0-{day:%Y%m%d}-{'0' * 32}") is not None) == ours
    with nullcontext() if ours else pytest.raises(ValidationError, match="Value error, no instant of ours"):
        Postponed(container="c", failures=1, error="e", retry_at=day)


@pytest.mark.parametrize("retention_days", [3, 7, 29])
async def test_a_shorter_retention_is_kept_and_never_fights_with_captures_still_taken(retention_days: int) -> None:
    day = date(2026, 11, 21)
    last_accepted = datetime(2026, 11, 21, 23, 59, 59, 999999, UTC) + deadlines.CAPTURE_MAX_AGE
    assert deadlines.newest_expired_day(last_accepted, retention_days) < day
    deadline = deadlines.day_deadline(day, retention_days)
    assert deadline == datetime(2026, 11, 21, tzinfo=UTC) + timedelta(days=retention_days)
    purge_from = deadline - deadlines.RETENTION_LEAD
    assert deadlines.newest_expired_day(purge_from, retention_days) == day
    assert deadlines.newest_expired_day(purge_from - timedelta(microseconds=1), retention_days) < day
