"""P9: a sweep that stops, is stopped, or fails somewhere loses nothing; the next one goes on from there."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.ports import ContainerPage, StoreUnavailable
from shared.sweep import ledger as ledger_sweep
from shared.sweep import storage as storage_sweep
from shared.sweep.places import Place
from shared.sweep.sweep import Bounds
from tests.unit.sweeps import STRANGER, put, tenant_id
from tests.world import TENANT, Crash, World


async def test_a_bounded_sweep_of_the_ledger_goes_on_where_it_stopped() -> None:
    world = World(sweep_bounds=Bounds(max_ledgers=2))
    for n in range(5):
        await world.opt_in(tenant_id(n))
        await world.opt_out(tenant_id(n))
    world.ledger.events[tenant_id(1)].pop(0)
    world.clock.move(timedelta(hours=1))
    seen = []
    for _ in range(4):
        heartbeat = (await world.sweep.run())[None]
        seen.append((heartbeat.outcome, heartbeat.counts["ledgers"], heartbeat.cursor, len(world.deletion_items.items)))
        assert (await world.status.report()).promises["P9"] is False, (
            "what this round or the last one found still counts"
        )
    assert seen == [
        ("more", 2, tenant_id(1), 5),
        ("more", 4, tenant_id(3), 5),
        ("done", 5, None, 5),
        ("more", 2, tenant_id(1), 5),
    ]
    for _ in range(2):
        assert heartbeat.previous_counts == {"ledgers": 5, "deletionsCreated": 5, "eventsMissing": 1}
        assert heartbeat.totals is not None and heartbeat.totals["eventsMissing"] == 2
        heartbeat = (await world.sweep.run())[None]


async def test_a_sweep_of_the_ledger_that_fails_midway_goes_on_from_there() -> None:
    world = World()
    for n in range(3):
        await world.opt_in(tenant_id(n))
        await world.opt_out(tenant_id(n))
    ledgers = world.ledger.ledgers

    async def fail_after_two(after: str, *, at_most: int) -> AsyncIterator[Any]:
        count = 0
        async for ledger in ledgers(after, at_most=at_most):
            if (count := count + 1) > 2:
                raise StoreUnavailable("cosmos-timeout")
            yield ledger

    world.clock.move(timedelta(hours=1))
    world.ledger.ledgers = fail_after_two
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.cursor) == ("failed", tenant_id(1))
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.cursor, len(world.deletion_items.items)) == ("done", None, 3)


async def test_how_far_a_sweep_of_many_ledgers_has_come_is_on_record_though_it_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_sweep, "_REPORT_EVERY", 2)
    world = World()
    for n in range(6):
        await world.opt_in(tenant_id(n))
    ledgers = world.ledger.ledgers

    async def kill(after: str, *, at_most: int) -> AsyncIterator[Any]:
        async for ledger in ledgers(after, at_most=at_most):
            if ledger.tenant_id == tenant_id(5):
                raise Crash
            yield ledger

    world.ledger.ledgers = kill
    with pytest.raises(Crash):
        await world.sweep.run()
    heartbeat = (await world.operations.read_all("sweep"))[None]
    assert (heartbeat.outcome, heartbeat.cursor, heartbeat.counts) == ("more", tenant_id(3), {"ledgers": 4})


async def test_a_bounded_sweep_of_an_account_goes_on_until_everything_is_repaired() -> None:
    world = World(sweep_bounds=Bounds(max_deletes=2))
    await world.opt_in()
    today = world.clock.now().date()
    for n in range(5):
        put(world, "europe", STRANGER, today - timedelta(days=n))
    outcomes = []
    while world.stored_containers():
        left = sorted(world.containers())
        heartbeat = (await world.sweep.run())["steurope"]
        outcomes.append((heartbeat.outcome, heartbeat.cursor, heartbeat.counts["unknownEnrollment"]))
        gone = set(left) - set(world.containers())
        assert gone == set(left[:2]), "oldest first"
    places = [cursor and Place.parse(cursor) for _, cursor, _ in outcomes]
    assert all(place is None or place.judged for place in places)
    assert [
        (outcome, place and len(place.found), count)
        for (outcome, _, count), place in zip(outcomes, places, strict=True)
    ] == [
        ("more", 3, 2),
        ("more", 1, 4),
        ("done", None, 5),
    ]


async def test_a_bounded_sweep_of_an_account_deletes_just_as_many_as_it_may_however_it_takes_them_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_sweep, "_CHUNK_MAX", 2)
    world = World(sweep_bounds=Bounds(max_deletes=3))
    await world.opt_in()
    for n in range(7):
        put(world, "europe", STRANGER, world.clock.now().date() - timedelta(days=n))
    for left in (4, 1, 0):
        await world.sweep.run()
        assert len(world.containers()) == left


async def test_a_sweep_out_of_time_begins_nothing_more_and_the_next_goes_on() -> None:
    world = World(sweep_bounds=Bounds(seconds=0))
    await world.opt_in()
    put(world, "europe", STRANGER, world.clock.now().date())
    assert (await world.sweep.run())["steurope"].outcome == "more"
    world.sweep_bounds = Bounds()
    assert (await world.sweep.run())["steurope"].outcome == "done"
    assert world.stored_containers() == {}


async def test_what_was_repaired_is_on_record_though_the_sweep_is_killed_later() -> None:
    world = World()
    await world.opt_in()
    put(world, "europe", "0" * 32, world.clock.now().date())
    put(world, "europe", STRANGER, world.clock.now().date())

    async def kill(prefix: str, *which: Any, **more: Any) -> ContainerPage:
        if prefix.startswith("f-"):  # when that day's turn to be repaired has come
            raise Crash
        return await container_page(prefix, *which, **more)  # type: ignore[no-any-return]

    container_page, world.stores["europe"].container_page = world.stores["europe"].container_page, kill
    with pytest.raises(Crash):
        await world.sweep.run()
    world.stores["europe"].container_page = container_page
    assert (await world.status.report()).findings == {"unknownEnrollment": 1}
    assert (await world.sweep.run())["steurope"].counts["unknownEnrollment"] == 2, "the round goes on"


async def test_a_geo_that_fails_delays_no_other_and_no_ledger() -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    put(world, "europe", STRANGER, world.clock.now().date())
    put(world, "unitedstates", STRANGER, world.clock.now().date())
    world.clock.move(timedelta(hours=1))

    async def fail(container: str) -> bool:
        raise StoreUnavailable("storage-503")

    world.stores["europe"].delete_container = fail
    heartbeats = await world.sweep.run()
    assert (heartbeats["steurope"].outcome, heartbeats["steurope"].error) == ("failed", "storage-503")
    assert heartbeats["stunitedstates"].counts["unknownEnrollment"] == 1
    assert heartbeats[None].counts["deletionsCreated"] == 1


async def test_heartbeats_that_cannot_be_read_fail_the_sweep_before_it_begins() -> None:
    world = World()

    async def fail(kind: str) -> None:
        raise StoreUnavailable("cosmos-503")

    world.operations.read_all = fail
    with pytest.raises(StoreUnavailable):
        await world.sweep.run()


async def test_containers_that_cannot_be_deleted_starve_neither_those_behind_them_nor_the_other_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_sweep, "_CHUNK_MAX", 2)
    monkeypatch.setattr(storage_sweep, "_FAILURES_MAX", 4)
    world = World(sweep_bounds=Bounds(max_deletes=3))
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    today = world.clock.now().date()
    stuck = [put(world, "europe", live, today - timedelta(days=40 + n)) for n in range(3)]
    behind = put(world, "europe", live, today - timedelta(days=31))
    other = put(world, "europe", STRANGER, today)
    store = world.stores["europe"]
    delete = store.delete_container

    async def leased(container: str) -> bool:
        if container in stuck:
            raise StoreUnavailable("storage-LeaseIdMissing")
        return await delete(container)  # type: ignore[no-any-return]

    store.delete_container = leased
    for _ in range(3):
        heartbeat = (await world.sweep.run())["steurope"]
        assert (heartbeat.outcome, heartbeat.error) == ("failed", "storage-LeaseIdMissing")
        assert (await world.status.report()).promises["P4"] is False, "never told whole while it lies there"
    assert sorted(world.containers()) == sorted(stuck) and behind != other


async def test_what_cannot_be_deleted_is_tried_so_often_on_each_page_and_what_is_behind_it_has_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_sweep, "_CHUNK_MAX", 2)
    monkeypatch.setattr(storage_sweep, "_FAILURES_MAX", 4)
    world = World()
    await world.opt_in()
    days = [world.clock.now().date() - timedelta(days=9 - n) for n in range(9)]
    many = {put(world, "europe", f"0{n:031x}", days[0]) for n in range(9)}
    few = {put(world, "europe", f"f{n:031x}", days[0]) for n in range(3)}
    behind = put(world, "europe", STRANGER, days[0])
    store, tried = world.stores["europe"], list[str]()
    delete = store.delete_container

    async def leased(container: str) -> bool:
        tried.append(container)
        if container in many | few:
            raise StoreUnavailable("storage-LeaseIdMissing")
        return await delete(container)  # type: ignore[no-any-return]

    store.delete_container = leased
    await world.sweep.run()
    assert tried == [*sorted(many)[:4], *sorted(few), behind]
    assert set(world.containers()) == many | few


async def test_a_sweep_that_takes_all_its_time_to_look_still_does_something_of_what_it_found() -> None:
    world = World(sweep_bounds=Bounds(seconds=100))
    await world.opt_in()
    put(world, "europe", "0" * 32, world.clock.now().date())
    put(world, "europe", STRANGER, world.clock.now().date())
    events_of = world.ledger.events_of_enrollments

    async def slow(enrollment_ids: Sequence[str]) -> AsyncIterator[Any]:
        world.clock.move(timedelta(seconds=150))
        async for each in events_of(enrollment_ids):
            yield each

    world.ledger.events_of_enrollments = slow
    world.stores["europe"].page_max = 2  # the account's own name is on the second page
    for left in (2, 2, 1, 0):  # two runs to judge the account, then
        await world.sweep.run()
        assert len(world.containers()) == left


async def test_a_round_of_a_sound_account_that_takes_many_runs_looks_at_each_page_once() -> None:
    world = World()
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    for n in range(9):
        put(world, "europe", live, world.clock.now().date() - timedelta(days=n))
    store, markers = world.stores["europe"], list[str | None]()
    store.page_max, container_page = 2, store.container_page

    async def slow(prefix: str, marker: str | None, **more: Any) -> ContainerPage:
        assert prefix == ""
        markers.append(marker)
        world.clock.move(timedelta(seconds=90))
        return await container_page(prefix, marker, **more)  # type: ignore[no-any-return]

    store.container_page = slow
    outcomes = [(await world.sweep.run())["steurope"].outcome]
    while outcomes[-1] == "more" and len(outcomes) < 30:
        outcomes.append((await world.sweep.run())["steurope"].outcome)
    assert outcomes == ["more", "done"]
    assert len(markers) == len(set(markers)) == 5


@pytest.mark.parametrize("code", ["storage-unreachable", "storage-timeout", "storage-503"])
async def test_a_run_gives_an_account_up_after_three_listings_in_a_row_that_fail_and_the_next_goes_on(
    code: str,
) -> None:
    world = World()
    await world.opt_in()
    today = world.clock.now().date()
    for enrollment_id in ("1" * 32, "a" * 32, "f" * 32):
        put(world, "europe", enrollment_id, today)
    store, asked, failing = world.stores["europe"], 0, {2, 3, 5, 6, 7}
    store.page_max, container_page = 1, store.container_page

    async def flaky(*which: Any, **more: Any) -> ContainerPage:
        nonlocal asked
        asked += 1
        if asked in failing:
            raise StoreUnavailable(code)
        return await container_page(*which, **more)  # type: ignore[no-any-return]

    store.container_page = flaky
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error, heartbeat.counts["containers"], asked) == ("failed", code, 2, 7)
    place = Place.parse(heartbeat.cursor)
    assert place is not None and not place.judged and place.marker is not None
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.cursor, heartbeat.counts["strangers"]) == ("done", None, 3)
    assert world.containers() == {}
    asked, failing = 0, {1, 2, 3}
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, asked) == ("failed", 3), "from the first on"
