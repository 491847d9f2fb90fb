"""D12 for P4, P5, P6 and P9: whatever one tenant does and whatever hangs, everybody else's work is done in its time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from shared.deletion.postponed import PostponedDays
from shared.deletion.purge import Bounds
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.heartbeats import Heartbeat, Postponed
from shared.model.ledger import OptedIn
from shared.ports import ListedContainer, StoreUnavailable
from shared.problems import TooManyOptIns
from shared.runs import BriefStore
from shared.sweep import storage as storage_sweep
from tests.clocks import START
from tests.keeping import keep
from tests.unit.opt_outs import owed, state
from tests.unit.sweeps import put, tenant_id
from tests.world import OTHER_TENANT, TENANT, World

SECOND = timedelta(seconds=1)
BRIEF = Bounds(call_seconds=0.02)


def hang(world: World, hangs: Callable[[str], bool], *, wait: Callable[[], Any] | None = None) -> list[str]:
    """Let each delete of some containers hang for good, and return which were tried."""
    store, tried = world.stores["europe"], list[str]()
    delete = store.delete_container

    async def hanging(container: str) -> bool:
        tried.append(container)
        if hangs(container):
            await (wait() if wait else asyncio.Event().wait())
        return await delete(container)  # type: ignore[no-any-return]

    store.delete_container = hanging
    return tried


# Shared out by tenant (P5, P6)


async def test_p5_a_flood_of_one_tenants_deletions_keeps_no_other_tenants_from_its_receipt() -> None:
    world = World(bounds=Bounds(deletions=20, of_tenant=5))
    flood = [owed(world, TENANT, f"{n % 16:x}{n:031x}", START - timedelta(days=29, seconds=n)) for n in range(2_000)]
    other = owed(world, OTHER_TENANT, "f" * 32, START - timedelta(days=28, hours=1))
    await world.purge.run()
    assert state(world, other).status == "purged", "in the same run"
    begun = [each for each in flood if state(world, each).status == "purged"]
    assert begun == flood[-19:], "and what is left of the run is the flood's, by deadline"
    world.clock.move(timedelta(minutes=5))
    await world.purge.run()
    assert state(world, other).status == "verified", "as it would have been without the flood"


async def test_p5_tenants_with_more_than_their_share_get_what_is_left_by_deadline() -> None:
    world = World(bounds=Bounds(deletions=6, of_tenant=1))
    of = {
        tenant: [owed(world, tenant, f"{place}{n:031x}", START - timedelta(days=29 - place, hours=n)) for n in range(4)]
        for place, tenant in enumerate((TENANT, OTHER_TENANT))
    }
    await world.purge.run()
    begun = {tenant: sum(state(world, each).status == "purged" for each in mine) for tenant, mine in of.items()}
    assert begun == {TENANT: 4, OTHER_TENANT: 2}


# What fails or hangs (P4, P5, P6)


async def test_p9_containers_whose_deletes_hang_keep_the_sweep_from_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_sweep, "BriefStore", partial(BriefStore, seconds=0.02))
    world = World()
    await world.opt_in()
    strays = [put(world, "europe", f"{n:x}" * 32, START.date()) for n in range(16)]
    hang(world, lambda name: name[-1] in "01")
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "storage-timeout")
    assert sorted(world.containers()) == sorted(strays[:2])


async def test_p5_three_enrollments_whose_deletes_hang_keep_no_other_from_its_receipt() -> None:
    world = World(bounds=BRIEF)
    hanging = [owed(world, tenant_id(n), f"{n:x}" * 32, START - timedelta(days=29)) for n in range(3)]
    others = [owed(world, tenant_id(n), f"{n:x}" * 32, START - timedelta(days=28, hours=1)) for n in range(3, 16)]
    hang(world, lambda name: name[-1] in "012")
    await world.purge.run()
    for each in hanging:
        failed = state(world, each)
        assert (failed.status, failed.attempts, failed.last_error) == ("scheduled", 1, "storage-timeout")
        assert failed.retry_at == START + timedelta(minutes=5)
    world.clock.move(timedelta(minutes=5))
    await world.purge.run()
    assert {state(world, each).status for each in others} == {"verified"}


async def test_p5_a_deletion_that_failed_waits_twice_as_long_each_time_and_at_most_an_hour() -> None:
    world = World()
    deletion = owed(world, TENANT, "a" * 32, START - timedelta(days=28, hours=1))
    tried = hang(world, lambda name: True, wait=_unavailable)
    waits = []
    for _ in range(7):
        await world.purge.run()
        failed = state(world, deletion)
        assert failed.retry_at is not None
        waits.append((failed.retry_at - world.clock.now()) / timedelta(minutes=1))
        world.clock.set(failed.retry_at - timedelta(microseconds=1))
        number = len(tried)
        await world.purge.run()
        assert len(tried) == number, "it has left the queue"
        world.clock.move(timedelta(microseconds=1))
    assert waits == [5, 10, 20, 40, 60, 60, 60]
    assert state(world, deletion).attempts == 7


async def test_p5_what_can_be_deleted_again_20_minutes_before_the_deadline_is_proved_gone_by_then() -> None:
    world = World()
    deletion = owed(world, TENANT, "a" * 32, START - timedelta(days=29, hours=18))
    hang(world, lambda name: True, wait=_unavailable)
    await _purge_until(world, deletion.deadline - timedelta(minutes=20))
    assert state(world, deletion).failures > 10
    del world.stores["europe"].delete_container  # as it was
    await _purge_until(world, deletion.deadline)
    assert state(world, deletion).status == "verified"


async def test_p5_a_deletion_that_is_overdue_is_not_tried_more_often_than_one_that_failed_long_before() -> None:
    world = World()
    deletion = owed(world, TENANT, "a" * 32, START - timedelta(days=31), failures=9)
    hang(world, lambda name: True, wait=_unavailable)
    await world.purge.run()
    assert state(world, deletion).retry_at == START + timedelta(hours=1)


def test_p5_a_wait_of_an_hour_is_believed_and_one_of_a_clock_that_is_a_minute_ahead() -> None:
    moment, most = timedelta(microseconds=1), timedelta(hours=1, minutes=1)
    assert [deadlines.waits(START + ahead, START) for ahead in (most, most + moment)] == [True, False]
    assert [deadlines.waits(START + ahead, START) for ahead in (moment, 0 * moment)] == [True, False]


@pytest.mark.parametrize(("left", "wait"), [(300, 60), (240, 60), (120, 30), (20, 5), (1, 5), (0, 60), (-60, 60)])
def test_p5_a_wait_is_at_most_a_quarter_of_the_minutes_left_until_the_deadline(left: int, wait: int) -> None:
    deadline = START + timedelta(minutes=left)
    assert deadlines.retry_at(START, 9, deadline) == START + timedelta(minutes=wait)


async def _purge_until(world: World, end: datetime) -> None:
    while world.clock.now() < end:
        await world.purge.run()
        world.clock.move(timedelta(minutes=5))


async def _unavailable() -> None:
    raise StoreUnavailable("storage-503")


async def test_p5_a_deletion_that_failed_is_not_behind_all_that_come_after_it() -> None:
    world = World(bounds=Bounds(deletions=2))
    old = owed(world, TENANT, "a" * 32, START - timedelta(days=29, hours=23), attempts=9, failures=1, retry_at=START)
    for n in range(10):
        owed(world, tenant_id(n), f"{n:032x}", START - timedelta(days=29))
    await world.purge.run()
    assert state(world, old).status == "purged"


async def test_p5_and_p6_a_deletion_that_was_not_tried_yet_is_not_behind_all_that_failed() -> None:
    """However much earlier they are due, and however many there are of them."""
    world = World(bounds=Bounds(deletions=2))
    failed: dict[str, Any] = {"attempts": 9, "failures": 9, "retry_at": START}
    for n in range(10):
        owed(world, tenant_id(n), f"{n:x}" * 32, START - timedelta(days=29, hours=20), **failed)
        looked_at = {"status": "purged", "purged_at": START - timedelta(hours=1), **failed}
        owed(world, tenant_id(n), f"{n:x}f" * 16, START - timedelta(days=29, hours=20), **looked_at)
    hang(world, lambda name: name[-1] != "a" and not name.endswith("bb"), wait=_unavailable)
    new = owed(world, TENANT, "a" * 32, START - timedelta(days=28, hours=1))
    emptied = {"status": "purged", "purged_at": START - timedelta(hours=1)}
    unproved = owed(world, OTHER_TENANT, "b" * 32, START - timedelta(days=28, hours=1), **emptied)
    await world.purge.run()
    assert state(world, new).status == "purged"
    assert state(world, unproved).status == "verified"


@pytest.mark.parametrize("ahead", [timedelta(hours=1, seconds=60, microseconds=1), timedelta(days=3_000)])
async def test_p5_a_retry_further_ahead_than_any_of_ours_stops_nothing(ahead: timedelta) -> None:
    world = World()
    deletion = owed(world, TENANT, "a" * 32, START - timedelta(days=29), retry_at=START + ahead)
    await world.purge.run()
    assert state(world, deletion).status == "purged"


@pytest.mark.parametrize("failures", [-5, 0, 10**12])
async def test_p5_whatever_stands_for_the_failures_in_an_item_the_next_wait_is_one_of_ours(failures: int) -> None:
    world = World()
    deletion = owed(world, TENANT, "a" * 32, START - timedelta(days=29), failures=failures)
    hang(world, lambda name: True, wait=_unavailable)
    await world.purge.run()
    retry_at = state(world, deletion).retry_at
    assert retry_at is not None and START + timedelta(minutes=5) <= retry_at <= START + timedelta(hours=1)


@pytest.mark.parametrize("code", ["storage-503", "storage-timeout"])
async def test_p6_a_second_look_whose_listing_fails_or_hangs_is_recorded_and_delays_no_other_shard(code: str) -> None:
    world = World(bounds=BRIEF)
    failing = [owed(world, tenant_id(n), f"3{n:031x}", START - timedelta(days=29)) for n in range(2)]
    other = owed(world, OTHER_TENANT, "e" * 32, START - timedelta(days=29))
    await world.purge.run()
    listed = world.stores["europe"].list_containers

    async def failing_shard(prefix: str, **how: Any) -> AsyncIterator[ListedContainer]:
        if prefix == "3-" and how.get("include_deleted"):
            if code == "storage-503":
                raise StoreUnavailable(code)
            await asyncio.Event().wait()
        async for each in listed(prefix, **how):
            yield each

    world.stores["europe"].list_containers = failing_shard
    world.clock.move(timedelta(minutes=5))
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.error, heartbeat.counts["failures"]) == (code, 1)
    for each in failing:
        failed = state(world, each)
        assert (failed.status, failed.attempts, failed.last_error) == ("purged", 2, code)
        assert failed.retry_at == world.clock.now() + timedelta(minutes=5)
    assert state(world, other).status == "verified"


async def test_p6_a_second_look_whose_deletes_hang_is_recorded_and_delays_no_other() -> None:
    world = World(bounds=BRIEF)
    hanging = owed(world, TENANT, "3" + "0" * 31, START - timedelta(days=29))
    others = [owed(world, tenant_id(n), f"3{n:031x}", START - timedelta(days=28, hours=1)) for n in range(1, 16)]
    await world.purge.run()
    hang(world, lambda name: name.endswith("-3" + "0" * 31))
    world.clock.move(timedelta(minutes=5))
    await world.purge.run()
    failed = state(world, hanging)
    assert (failed.status, failed.attempts, failed.last_error) == ("purged", 2, "storage-timeout")
    assert {state(world, each).status for each in others} == {"verified"}


def days_of(world: World) -> list[str]:
    """The containers of ours that are there."""
    return sorted(name for name in world.stores["europe"].containers if DayContainer.parse(name))


async def _expiring(world: World, hanging: int, others: int) -> tuple[Collection[str], Collection[str]]:
    """Put containers into one shard, expired today, of which the oldest hang."""
    day = deadlines.newest_expired_day(world.clock.now(), 30)
    names = [put(world, "europe", f"7{n:031x}", day) for n in range(hanging + others)]
    return names[:hanging], names[hanging:]


async def test_p4_ten_hanging_containers_do_not_keep_a_shards_retention_back() -> None:
    world = World(bounds=Bounds(seconds=200, call_seconds=10))
    hanging, others = await _expiring(world, 10, 30)

    async def ten_seconds() -> None:
        """The call's budget, as the run's clock counts it: several of them pass at the same time."""
        world.clock.move(timedelta(seconds=10 / 4))
        raise StoreUnavailable("storage-timeout")

    tried = hang(world, lambda name: name in hanging, wait=ten_seconds)
    heartbeat = (await world.purge.run())["steurope"]
    assert heartbeat.postponed is not None
    assert {each.container for each in heartbeat.postponed} == set(hanging)
    assert {(each.failures, each.error) for each in heartbeat.postponed} == {(1, "storage-timeout")}
    assert not set(others) & set(world.stores["europe"].containers)
    later = await _expiring(world, 10, 40)
    world.clock.move(timedelta(minutes=4))
    del tried[:]
    await world.purge.run()
    assert sorted(tried) == sorted(later[1]), "what hangs waits, and what is new does not"
    assert days_of(world) == hanging


async def _ten_seconds_alone(world: World) -> None:
    """The call's budget, as the run's clock counts it, and no other call at the same time."""
    world.clock.move(timedelta(seconds=10))
    raise StoreUnavailable("storage-timeout")


async def test_p4_more_hanging_containers_than_a_run_has_time_for_hold_the_rest_up_for_that_run_only() -> None:
    world = World(bounds=Bounds(seconds=200, call_seconds=10))
    hanging, others = await _expiring(world, 24, 5)

    hang(world, lambda name: name in hanging, wait=partial(_ten_seconds_alone, world))
    heartbeat = (await world.purge.run())["steurope"]
    assert set(others) <= set(world.stores["europe"].containers) and heartbeat.counts["failures"] == 20
    await world.purge.run()
    assert not set(others) & set(world.stores["europe"].containers)


async def test_p4_what_has_hung_before_is_tried_again_after_all_that_has_not() -> None:
    world = World(bounds=Bounds(seconds=30, call_seconds=10))
    hanging, others = await _expiring(world, 12, 3)

    hang(world, lambda name: name in hanging, wait=partial(_ten_seconds_alone, world))
    for _ in range(4):
        await world.purge.run()
        world.clock.move(timedelta(minutes=30))  # a timer that ticks so seldom that all that waited may be tried again
    assert not set(others) & set(world.stores["europe"].containers)
    del world.stores["europe"].delete_container
    await world.purge.run()
    await world.purge.run()
    assert days_of(world) == []


async def test_p4_a_hanging_delete_costs_a_call_and_not_the_run() -> None:
    world = World(bounds=BRIEF)
    hanging, others = await _expiring(world, 2, 6)
    hang(world, lambda name: name in hanging)
    async with asyncio.timeout(5):  # of the ten seconds that a call has unless a run is given less
        heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.error, heartbeat.counts["expiredContainers"]) == ("storage-timeout", 6)
    assert days_of(world) == hanging and others


async def test_p4_a_shard_whose_listing_hangs_keeps_no_other_shard_back() -> None:
    world = World(bounds=BRIEF)
    day = deadlines.newest_expired_day(world.clock.now(), 30)
    names = [put(world, "europe", shard * 32, day) for shard in "0123456789abcdef"]
    listed = world.stores["europe"].list_containers

    async def hanging_shard(prefix: str, **how: Any) -> AsyncIterator[ListedContainer]:
        if prefix == "3-":
            await asyncio.Event().wait()
        async for each in listed(prefix, **how):
            yield each

    world.stores["europe"].list_containers = hanging_shard
    assert (await world.purge.run())["steurope"].error == "storage-timeout"
    assert days_of(world) == [names[3]]


async def test_p4_time_is_looked_at_inside_a_shard() -> None:
    world = World(bounds=Bounds(seconds=60))
    await _expiring(world, 0, 100)

    async def slow() -> None:
        world.clock.move(timedelta(seconds=10))

    tried = hang(world, lambda name: True, wait=slow)
    assert (await world.purge.run())["steurope"].outcome == "more"
    assert len(tried) == 8


async def test_p4_what_was_listed_before_time_ran_out_is_deleted_however_slow_the_listing_is() -> None:
    world = World(bounds=Bounds(seconds=50))
    _, expired = await _expiring(world, 0, 5)
    listed = world.stores["europe"].list_containers

    async def slow(prefix: str, **how: Any) -> AsyncIterator[ListedContainer]:
        async for each in listed(prefix, **how):
            world.clock.move(timedelta(seconds=20))
            yield each

    world.stores["europe"].list_containers = slow
    assert (await world.purge.run())["steurope"].outcome == "more"
    assert days_of(world) == expired[1:], "there was time for one"


@pytest.mark.parametrize(
    "edit",
    [{"retry_at": START + timedelta(days=900)}, {"failures": 10**9, "retry_at": START + timedelta(days=900)}],
)
async def test_p4_a_heartbeat_that_somebody_edited_keeps_no_container(edit: dict[str, Any]) -> None:
    world = World()
    hanging, _ = await _expiring(world, 1, 0)
    hang(world, lambda name: True, wait=_unavailable)
    heartbeat = (await world.purge.run())["steurope"]
    assert heartbeat.postponed is not None
    edited = heartbeat.model_copy(update={"postponed": (heartbeat.postponed[0].model_copy(update=edit),)})
    await keep(world.operations, edited)
    del world.stores["europe"].delete_container  # as it was
    assert days_of(world) == hanging
    await world.purge.run()
    assert days_of(world) == []


def test_p4_what_was_postponed_is_believed_for_a_day_and_no_further_ahead_than_any_of_ours() -> None:
    moment, latest = timedelta(microseconds=1), deadlines.latest_retry(START)
    yesterday = START - timedelta(days=1)
    postponed = [
        Postponed(container=DayContainer(f"{n:032x}", START.date()).name, failures=1, error="storage-503", retry_at=at)
        for n, at in enumerate((yesterday, yesterday + moment, latest, latest + moment))
    ]
    last = Heartbeat(kind="purge", started_at=START, at=START, outcome="done", counts={}, postponed=tuple(postponed))
    assert PostponedDays(last, START, 30).kept == tuple(postponed[1:3])
    assert PostponedDays(None, START, 30).kept == ()


async def test_p4_a_container_that_failed_waits_twice_as_long_each_time_and_at_most_an_hour() -> None:
    world = World()
    hanging, _ = await _expiring(world, 2, 0)
    live = put(world, "europe", "7" * 32, world.clock.now().date())
    tried = hang(world, lambda name: True, wait=_unavailable)
    waits = []
    for n in range(1, 8):
        postponed = (await world.purge.run())["steurope"].postponed
        assert postponed is not None
        assert [(each.container, each.failures, each.error) for each in postponed] == [
            (name, n, "storage-503") for name in hanging
        ]
        [retry_at] = {each.retry_at for each in postponed}
        waits.append((retry_at - world.clock.now()) / timedelta(minutes=1))
        world.clock.set(retry_at - timedelta(microseconds=1))
        number = len(tried)
        assert (await world.purge.run())["steurope"].postponed == postponed
        assert len(tried) == number, "they are left alone"
        world.clock.move(timedelta(microseconds=1))
    assert waits == [5, 10, 20, 40, 60, 60, 60]
    del world.stores["europe"].delete_container  # as it was
    assert (await world.purge.run())["steurope"].postponed is None
    assert days_of(world) == [live]


async def test_p4_what_can_be_deleted_again_10_minutes_before_the_deadline_has_gone_by_then() -> None:
    world = World()
    day = deadlines.newest_expired_day(world.clock.now(), 30) + timedelta(days=1)
    deadline = deadlines.day_deadline(day, 30)
    put(world, "europe", "7" * 32, day)
    world.clock.set(deadline - deadlines.RETENTION_LEAD)
    tried = hang(world, lambda name: True, wait=_unavailable)
    await _purge_until(world, deadline - timedelta(minutes=10))
    assert len(tried) > 10
    del world.stores["europe"].delete_container  # as it was
    await _purge_until(world, deadline)
    assert days_of(world) == []


async def test_p4_of_failing_containers_those_are_remembered_that_failed_most_often() -> None:
    world = World()
    often, _ = await _expiring(world, 20, 0)
    hang(world, lambda name: True, wait=_unavailable)
    await world.purge.run()
    world.clock.move(timedelta(minutes=5))
    all_of_them, _ = await _expiring(world, 40, 0)
    other_shard = put(world, "europe", "8" * 32, deadlines.newest_expired_day(world.clock.now(), 30))
    postponed = (await world.purge.run())["steurope"].postponed
    assert postponed is not None
    assert [each.container for each in postponed] == [*often, *all_of_them[20:32], other_shard]
    assert [each.failures for each in postponed] == [2] * 20 + [1] * 13


async def test_p4_what_is_remembered_of_failing_containers_is_bounded() -> None:
    world = World()
    hanging, _ = await _expiring(world, 400, 0)
    hang(world, lambda name: True, wait=_unavailable)
    heartbeat = (await world.purge.run())["steurope"]
    assert heartbeat.postponed is not None and len(heartbeat.postponed) == 32
    del world.stores["europe"].delete_container  # as it was
    world.clock.move(timedelta(hours=1))
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.postponed) == ("done", None) and hanging
    assert all(DayContainer.parse(name) for name in hanging)


# How often a tenant may opt in


async def opted_in_times(world: World, times: int, *, apart: timedelta = SECOND) -> None:
    for _ in range(times):
        await world.opt_in()
        await world.opt_out()
        world.clock.move(apart)


def opt_ins(world: World) -> list[Any]:
    return [event.at for event in world.ledger.events[TENANT] if isinstance(event, OptedIn)]


async def test_p5_the_tenth_opt_in_of_an_hour_is_taken_and_the_eleventh_is_not() -> None:
    world = World()
    await opted_in_times(world, 10)
    asked_at = world.clock.now()
    with pytest.raises(TooManyOptIns) as refused:
        await world.opt_in()
    assert world.clock.now() - asked_at == SECOND * deadlines.CONSENT_LEASE_SECONDS, "it is told that sharing is off"
    first = opt_ins(world)[0]
    wait = int(refused.value.headers["Retry-After"])
    assert world.clock.now() + timedelta(seconds=wait) == first + timedelta(hours=1)
    world.clock.set(first + timedelta(hours=1) - timedelta(microseconds=1))
    with pytest.raises(TooManyOptIns) as refused:
        await world.opt_in()
    assert refused.value.headers["Retry-After"] == "1"
    world.clock.set(first + timedelta(hours=1))
    await world.opt_in()
    assert len(opt_ins(world)) == 11


@pytest.mark.parametrize("page", [1, 2, 7, 61, 100])
async def test_p5_the_thirtieth_opt_in_of_a_day_is_taken_and_the_next_is_not(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.sharing.data_sharing._PAGE", page)
    world = World()
    await opted_in_times(world, 30, apart=timedelta(minutes=7))
    with pytest.raises(TooManyOptIns) as refused:
        await world.opt_in()
    first = opt_ins(world)[0]
    assert world.clock.now() + timedelta(seconds=int(refused.value.headers["Retry-After"])) == first + timedelta(days=1)
    world.clock.set(first + timedelta(days=1) - timedelta(microseconds=1))
    with pytest.raises(TooManyOptIns):
        await world.opt_in()
    world.clock.set(first + timedelta(days=1))
    await world.opt_in()


async def test_p2_opting_out_is_never_limited_and_a_repeat_of_either_costs_no_look_at_the_ledger() -> None:
    world = World()
    await opted_in_times(world, 9)
    await world.opt_in()

    async def unread(*_: object, **__: object) -> None:
        raise AssertionError("nothing changes")

    history, world.ledger.history = world.ledger.history, unread
    await world.opt_in()
    await world.opt_out()
    await world.opt_out()
    world.ledger.history = history
    with pytest.raises(TooManyOptIns):
        await world.opt_in()
    await world.opt_in(OTHER_TENANT)


@pytest.mark.parametrize(("days", "pages"), [(1, 2), (2, 1)])
async def test_p5_no_more_of_a_long_ledger_is_read_than_the_events_of_a_day(
    days: int, pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.sharing.data_sharing._PAGE", 4)
    world = World()
    await opted_in_times(world, 9)
    world.clock.move(timedelta(days=days))
    await opted_in_times(world, 3 - days)
    history, read = world.ledger.history, list[int]()

    async def counted(tenant_id: str, *, limit: int, before: int | None) -> Any:
        read.append(limit)
        return await history(tenant_id, limit=limit, before=before)

    world.ledger.history = counted
    await world.opt_in()
    assert read == [4] * pages


async def test_p5_of_opt_ins_at_once_no_more_are_taken_than_one_by_one() -> None:
    world = World()
    await opted_in_times(world, 9)
    made = await asyncio.gather(*(world.opt_in() for _ in range(5)), return_exceptions=True)
    assert not [each for each in made if isinstance(each, Exception)] and len(opt_ins(world)) == 10
    await world.opt_out()
    made = await asyncio.gather(*(world.opt_in() for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in made] == [TooManyOptIns] * 5


async def test_p5_an_opt_in_that_somebody_stamped_with_a_time_to_come_keeps_nobody_out() -> None:
    world = World()
    await opted_in_times(world, 10, apart=timedelta(minutes=7))
    events = world.ledger.events[TENANT]
    events[:] = [event.model_copy(update={"at": START + timedelta(days=500)}) for event in events]
    await world.opt_in()


async def test_p5_the_flood_of_the_worst_tenant_delays_nobody_by_a_single_run() -> None:
    """Twenty tries a second for hours come to thirty enrollments a day; all are expedited at once, and fail."""
    world = World(bounds=Bounds(deletions=10, of_tenant=3))
    taken = 0
    for _ in range(22 * 60):
        try:
            await world.opt_in()
            taken += 1
            await world.opt_out()
        except TooManyOptIns:
            pass
        world.clock.move(timedelta(minutes=1))
    assert taken == 30
    await world.feed()
    for event in opt_ins_of(world):
        await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    other = owed(world, OTHER_TENANT, "f" * 32, world.clock.now() - timedelta(days=28))
    mine = {event.enrollment_id for event in opt_ins_of(world)}
    hang(world, lambda name: name[-32:] in mine, wait=_unavailable)
    await world.purge.run()
    world.clock.move(timedelta(minutes=5))
    await world.purge.run()
    assert state(world, other).status == "verified"


def opt_ins_of(world: World) -> list[OptedIn]:
    return [event for event in world.ledger.events[TENANT] if isinstance(event, OptedIn)]
