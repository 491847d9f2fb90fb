"""P9, D14: an account of any size is swept page by page; a killed sweep leaves nothing out and counts nothing twice."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from shared.model.containers import DayContainer, deployment_container
from shared.model.heartbeats import Heartbeat
from shared.ports import ContainerPage, ListedContainer, StoreUnavailable
from shared.stores.memory import MemoryCaptures
from shared.sweep import storage as storage_sweep
from shared.sweep.places import Place
from shared.sweep.sweep import Bounds
from tests.keeping import keep
from tests.unit.sweeps import put, told, verified
from tests.world import DEPLOYMENT, TENANT, Crash, World

FOREIGN = ("$web", "5-backup", "deployments", "zzz")
FOUND = {"containers": 24, "foreignContainers": 4, "strangers": 5, "unknownEnrollment": 5}


async def mixed(page: int) -> tuple[World, list[str]]:
    """Return a world and what stays in it: strangers have the first, the last and middle names."""
    world = World()
    ids = [f"{digit}{n:031x}" for n, digit in enumerate("037ace", 1)]
    world.ids = iter([*ids, *(f"{n:032x}" for n in range(900, 999))])
    today = world.clock.now().date()
    for n, enrollment_id in enumerate(ids[:5]):
        await world.opt_in(f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30")
        for day in range(3):
            put(world, "europe", enrollment_id, today - timedelta(days=day))
    stay = [*world.containers(), *FOREIGN]
    for enrollment_id in ("0" * 32, "3" * 32, "9" * 32, "f" * 32):
        put(world, "europe", enrollment_id, today)
    put(world, "europe", "0" * 32, today - timedelta(days=9))
    for name in FOREIGN:
        world.stores["europe"].containers[name] = {}
    world.stores["europe"].page_max = page
    assert DayContainer.parse(min(set(world.containers()) - {"$web"})) == DayContainer(
        "0" * 32, today - timedelta(days=9)
    )
    return world, sorted(stay)


async def heartbeat_of(world: World) -> Heartbeat:
    return (await world.operations.read_all("sweep"))["steurope"]  # type: ignore[no-any-return]


async def under_way(world: World) -> bool:
    """Tell whether the round is not over, as far as is on record."""
    last = (await world.operations.read_all("sweep")).get("steurope")
    return last is None or last.cursor is not None


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 7, 24, 25, 26, 5000])
async def test_whatever_the_pages_strays_at_their_first_and_last_names_are_found_once(page: int) -> None:
    world, stay = await mixed(page)
    await world.sweep.run()
    heartbeat = await heartbeat_of(world)
    assert (heartbeat.outcome, heartbeat.counts) == ("done", FOUND)
    assert sorted(world.containers()) == stay


class KillAfter:
    """The operations, behind whose ``at``-th heartbeat the process ends: before it is stored, or after."""

    def __init__(self, world: World, at: int, *, stored: bool) -> None:
        self.inner, self.left, self.stored = world.operations, at, stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def write(self, heartbeat: Heartbeat, etag: str | None) -> None:
        self.left -= heartbeat.storage_account == "steurope"
        if self.left != 0 or self.stored:
            await self.inner.write(heartbeat, etag)
        if self.left == 0:
            raise Crash


@pytest.mark.parametrize("stored", [True, False])
async def test_a_sweep_that_is_killed_after_each_page_finds_the_same_things_once(stored: bool) -> None:
    killed = True
    at = 0
    while killed:
        at += 1
        world, stay = await mixed(3)
        whole, world.operations = world.operations, KillAfter(world, at, stored=stored)
        try:
            await world.sweep.run()
            killed = False
        except Crash:
            killed = True
        world.operations = whole
        if killed and await under_way(world):
            await world.sweep.run()
        counts = dict((await heartbeat_of(world)).counts)
        # It is counted before it is deleted, so that nothing goes unsaid, and again if it is still there.
        assert counts.pop("unknownEnrollment") in ({5, 6} if killed else {5})
        assert counts == {name: count for name, count in FOUND.items() if name != "unknownEnrollment"}
        assert sorted(world.containers()) == stay
    assert at > 9


async def test_each_run_that_is_killed_leaves_the_next_one_less_to_do() -> None:
    world, stay = await mixed(3)
    for _ in range(40):
        whole, world.operations = world.operations, KillAfter(world, 2, stored=True)
        with suppress(Crash):
            await world.sweep.run()
        world.operations = whole
        if (await heartbeat_of(world)).cursor is None:
            break
    heartbeat = await heartbeat_of(world)
    assert (heartbeat.cursor, heartbeat.counts["containers"], heartbeat.counts["strangers"]) == (None, 24, 5)
    assert sorted(world.containers()) == stay


async def test_an_account_of_strangers_over_many_pages_and_runs_loses_nothing() -> None:
    world = World()
    await world.opt_in()
    today = world.clock.now().date()
    for n in range(120):
        put(world, "europe", f"{n % 16:x}{n:031x}", today - timedelta(days=n % 9))
    store, before = world.stores["europe"], world.containers()
    store.page_max, container_page = 7, store.container_page

    async def slow(*which: Any, **more: Any) -> ContainerPage:
        world.clock.move(timedelta(seconds=60))
        return await container_page(*which, **more)  # type: ignore[no-any-return]

    store.container_page = slow
    errors = list[str | None]()
    for _ in range(12):
        heartbeat = (await world.sweep.run())["steurope"]
        errors.append(heartbeat.error)
        assert world.containers() == before
    assert errors.count("ledger-strange") >= 2 and set(errors) == {None, "ledger-strange"}


async def test_no_stranger_goes_anywhere_if_one_page_was_not_judged_in_an_earlier_run() -> None:
    world, _ = await mixed(3)
    before, events_of = world.containers(), world.ledger.events_of_enrollments
    asked = 0

    async def fails_once(enrollment_ids: Sequence[str]) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise StoreUnavailable("cosmos-503")
        async for each in events_of(enrollment_ids):
            yield each

    world.ledger.events_of_enrollments = fails_once
    whole, world.operations = world.operations, KillAfter(world, 4, stored=True)
    with pytest.raises(Crash):
        await world.sweep.run()
    world.operations = whole
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.cursor, heartbeat.counts["unjudged"]) == (None, 1)
    assert world.containers() == before
    await world.sweep.run()
    assert len(world.containers()) == len(before) - 5


async def test_pages_that_are_empty_and_go_on_end_nothing() -> None:
    world, stay = await mixed(4)
    store = world.stores["europe"]
    container_page = store.container_page

    async def unkind(prefix: str, marker: str | None, **more: Any) -> ContainerPage:
        if marker is None or not marker.startswith("then "):
            return ContainerPage([], f"then {marker or ''}")
        return await container_page(prefix, marker.removeprefix("then ") or None, **more)  # type: ignore[no-any-return]

    store.container_page = unkind
    assert (await world.sweep.run())["steurope"].counts == FOUND
    assert sorted(world.containers()) == stay


async def test_where_storage_refuses_a_kept_marker_the_walk_begins_again_and_counts_nothing_twice() -> None:
    world, stay = await mixed(3)
    store = world.stores["europe"]
    whole, world.operations = world.operations, KillAfter(world, 4, stored=True)
    with pytest.raises(Crash):
        await world.sweep.run()
    world.operations = whole
    place = Place.parse((await heartbeat_of(world)).cursor)
    assert place is not None and not place.judged and place.marker is not None
    store.refused_markers = {place.marker}
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "storage-marker-refused"), "seen, if it is always so"
    store.refused_markers = set()
    heartbeat = (await world.sweep.run())["steurope"]
    assert heartbeat.counts == {**FOUND, "failures": 2}
    assert heartbeat.totals is not None and heartbeat.totals["foreignContainers"] == 4
    assert sorted(world.containers()) == stay


async def test_a_marker_that_is_refused_while_things_are_driven_out_begins_their_day_again() -> None:
    world = World(sweep_bounds=Bounds(max_deletes=1))
    await world.opt_in()
    for n in range(4):
        put(world, "europe", f"f{n:031x}", world.clock.now().date())
    store, refused = world.stores["europe"], 0
    store.page_max = 1
    for left in (3, 2, 1, 0):
        heartbeat = (await world.sweep.run())["steurope"]
        assert len(world.containers()) == left and heartbeat.counts["containers"] == 4
        place = Place.parse(heartbeat.cursor)
        store.refused_markers = {place.marker} if place and place.marker else set()
        refused += bool(store.refused_markers)
    assert refused == 3 and heartbeat.counts["unknownEnrollment"] == 4


@pytest.mark.parametrize("cursor", ["all", "judge-3", "judge-8:12567", "4", "4:4f", "f:f", "[]", '{"judged":1}', "{}"])
async def test_a_cursor_of_an_earlier_version_begins_the_round_again(cursor: str) -> None:
    world, stay = await mixed(5)
    now = world.clock.now()
    counted = {"containers": 99, "foreignContainers": 7, "strangers": 99, "unjudged": 3, "unknownEnrollment": 2}
    old = Heartbeat(
        kind="sweep",
        geo="europe",
        storage_account="steurope",
        started_at=now,
        at=now,
        outcome="more",
        counts={} if cursor == "{}" else counted,
        previous_counts={"wrongAccount": 1},
        totals={} if cursor == "{}" else counted,
        cursor=cursor,
    )
    await keep(world.operations, old)
    heartbeat = (await world.sweep.run())["steurope"]
    repaired = 5 if cursor == "{}" else 7
    assert heartbeat.counts == {**FOUND, "unknownEnrollment": repaired}, "what it had repaired is still told"
    assert heartbeat.totals == heartbeat.counts and heartbeat.previous_counts == {"wrongAccount": 1}
    assert sorted(world.containers()) == stay


async def test_what_came_back_after_a_receipt_on_several_pages_is_told_once_with_all_its_containers() -> None:
    world, done = await verified()
    for day in done.days:
        put(world, "europe", done.enrollment_id, day)
    assert len(done.days) > 1
    world.stores["europe"].page_max = 1
    heartbeat = (await world.sweep.run())["steurope"]
    assert heartbeat.counts["afterReceipt"] == len(done.days)
    assert [event.containers_found for event in told(world)] == [len(done.days)]
    assert world.containers() == {}


async def test_an_account_with_data_and_nothing_to_drive_out_is_paired_when_all_of_it_is_judged() -> None:
    world = World()
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    for n in range(5):
        put(world, "europe", live, world.clock.now().date() - timedelta(days=n))
    store = world.stores["europe"]
    del store.containers[deployment_container(DEPLOYMENT)]
    store.page_max = 2
    await world.sweep.run()
    assert deployment_container(DEPLOYMENT) in store.containers


async def test_an_enrollment_on_many_pages_is_asked_of_the_ledger_once_and_its_days_are_judged_all_the_same() -> None:
    world = World()
    await world.opt_in()
    live = world.ledger.settings[TENANT].value.enrollment.enrollment_id
    today = world.clock.now().date()
    for n in range(35):
        put(world, "europe", live, today - timedelta(days=n))
    world.stores["europe"].page_max = 2
    asked, events_of = list[Sequence[str]](), world.ledger.events_of_enrollments

    async def counting(enrollment_ids: Sequence[str]) -> Any:
        asked.append(enrollment_ids)
        async for each in events_of(enrollment_ids):
            yield each

    world.ledger.events_of_enrollments = counting
    heartbeat = (await world.sweep.run())["steurope"]
    assert heartbeat.counts == {"containers": 35, "pastDeadline": 5}
    assert len(asked) == 1 + 5, "once to judge them all, and afresh before each is deleted"


class Endless(MemoryCaptures):
    """An account of so many names, made up as they are asked for, which counts those that somebody still holds."""

    def __init__(self, account: str, names: int) -> None:
        super().__init__(account)
        self.names, self.largest, self.pages = names, 0, 0

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        self.pages += 1
        self.largest = max(self.largest, page_size)
        first = int(marker or 0)
        last = min(self.names, first + page_size)
        listed = [ListedContainer(f"backup-{n:09}") for n in range(first, last)]
        return ContainerPage(listed, str(last) if last < self.names else None)


async def test_a_page_of_an_account_of_any_size_is_all_that_is_asked_for_at_a_time() -> None:
    world = World()
    store = Endless("steurope", 200_001)
    store.containers[deployment_container(DEPLOYMENT)] = {}
    world.stores["europe"] = store

    def whole(*_: Any, **__: Any) -> Any:
        raise AssertionError("a whole listing")

    store.list_containers, listed = whole, store.list_containers  # type: ignore[method-assign]
    store.list_containers = lambda prefix, **more: listed(prefix, **more) if prefix else whole()  # type: ignore[method-assign]
    heartbeat = (await world.sweep.run())["steurope"]
    assert heartbeat.counts == {"containers": 200_001, "foreignContainers": 200_001}
    assert (store.largest, store.pages) == (5000, 41)


def test_what_is_remembered_of_what_was_found_is_bounded() -> None:
    day, place = World().clock.now().date(), Place()
    for n in range(3000):
        container = DayContainer(f"{n % 16:x}{n:031x}", day - timedelta(days=n % 500))
        place = place.after_judging(str(n), [container])
        assert len(place.found) <= 100 and any(container.name.startswith(prefix) for prefix in place.found)
        assert Place.parse(place.cursor) == place
    assert place.found == tuple(f"{digit}-" for digit in "0123456789abcdef")


async def test_what_is_remembered_of_the_living_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_sweep, "_ALIVE_MAX", 1)
    world, stay = await mixed(3)
    assert (await world.sweep.run())["steurope"].counts == FOUND
    assert sorted(world.containers()) == stay
