"""P6 in an account of many names: a second look is as complete there, bounded, and rests on nothing that was kept."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from shared.deletion import purge
from shared.deletion.purge import Bounds, Purge
from shared.model import deadlines
from shared.model.containers import DayContainer, prefixes_after
from shared.model.deletion import Deletion
from shared.model.heartbeats import THROTTLED
from shared.ports import ContainerPage, ListedContainer, StoreUnavailable
from shared.stores.memory import MemoryCaptures
from tests import world as world_module
from tests.clocks import START
from tests.unit.opt_outs import owed, state
from tests.unit.sweeps import tenant_id
from tests.world import SIGNER, Crash, World

LISTED = 7


class Unkind(MemoryCaptures):
    """Pages of two names, an empty one before each; ``dies_at`` is the page at which the process ends."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.page_max = 2
        self.pages = 0
        self.dies_at: int | None = None

    async def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        page = ContainerPage([], "")
        while page.next_marker is not None:
            if include_deleted:
                self.pages += 1
                if self.pages == self.dies_at:
                    raise Crash
            await asyncio.sleep(0)
            page = await self.container_page(prefix, page.next_marker or None, include_deleted=include_deleted)
            for each in page.containers:
                yield each


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "LISTED", LISTED)


async def purged_among(others: int) -> tuple[World, Unkind, Deletion]:
    """Return a deletion that awaits its second look; ``others`` have containers on 28 live days of its shard."""
    store = Unkind("steurope")
    world = World(stores={"europe": store})
    deletion = owed(world, tenant_id(1), "7" * 32, START - timedelta(days=29))
    await world.purge.run()
    assert state(world, deletion).status == "purged"
    for n in range(others):
        for day in range(28):
            store.receive_container(DayContainer(f"7{n:031x}", START.date() - timedelta(days=day)).name)
    return world, store, deletion


def test_few_prefixes_hold_all_names_of_later_days_and_no_others() -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(0, 1500, 7)]
    days += [date(2001, 1, 1), date(2099, 12, 31), date(2100, 1, 1), date(8999, 12, 31)]
    for last in (date(2026, 11, 29), date(2027, 12, 31), date(2028, 2, 29), date(2029, 9, 19)):
        prefixes = prefixes_after("7", last)
        assert len(prefixes) <= 50
        for day in days:
            name = DayContainer("7" * 32, day).name
            assert sum(name.startswith(prefix) for prefix in prefixes) == (day > last)


@pytest.mark.parametrize("soft_deleted", [False, True])
@pytest.mark.parametrize("days", [-900, -31, -29, -25, -15, -1, 0, 1, 2, 3, 40, 500, 900_000])
async def test_a_container_of_any_day_is_found_and_is_no_proof(
    days: int, soft_deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, store, deletion = await purged_among(3)

    async def late(*_: Any) -> None:
        """Retention, which would have deleted what is expired by then."""

    monkeypatch.setattr(Purge, "_expire_days", late)
    stray = DayContainer(deletion.enrollment_id, START.date() + timedelta(days=days)).name
    if soft_deleted:
        store.soft_deleted.add(stray)
    else:
        store.receive_container(stray)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()
    again = state(world, deletion)
    found = ("purged", "soft-deleted") if soft_deleted else ("scheduled", "containers-found")
    assert (again.status, again.last_error) == found
    assert stray not in store.containers
    store.soft_deleted.clear()
    for _ in range(1 if soft_deleted else 2):
        world.clock.move(deadlines.RETRY_MAX)
        await world.purge.run()
    assert state(world, deletion).status == "verified"


async def test_a_look_takes_as_long_however_many_names_others_have() -> None:
    pages = set[int]()
    for others in (20, 60):
        world, store, deletion = await purged_among(others)
        store.pages = 0
        world.clock.move(deadlines.SECOND_LOOK_DELAY)
        await world.purge.run()
        assert state(world, deletion).status == "verified"
        pages.add(store.pages)
    assert len(pages) == 1 and pages.pop() < 200


async def test_a_look_is_not_made_day_by_day_through_what_expired_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    world, store, deletion = await purged_among(1)

    async def late(*_: Any) -> None:
        """Retention."""

    monkeypatch.setattr(Purge, "_expire_days", late)
    for n in range(2 * LISTED):
        store.receive_container(DayContainer("7" + "f" * 31, START.date() - timedelta(days=2_000 - n)).name)
    store.pages = 0
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()
    assert state(world, deletion).status == "verified"
    assert store.pages < 200


async def test_a_process_that_ends_at_any_page_of_a_look_has_proved_nothing() -> None:
    world, store, deletion = await purged_among(2)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    before, died = state(world, deletion), 0
    while True:
        store.pages, store.dies_at = 0, died + 1
        try:
            await world.purge.run()
        except BaseException as error:
            assert isinstance(error, Crash)
            died += 1
            assert state(world, deletion) == before
            continue
        break
    assert died > 60
    assert state(world, deletion).status == "verified"


async def test_what_came_while_a_look_was_cut_short_is_found_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    world, store, deletion = await purged_among(2)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    store.dies_at = 60
    with pytest.raises(Crash):
        await world.purge.run()
    store.dies_at = None
    store.receive_container(DayContainer(deletion.enrollment_id, START.date() - timedelta(days=27)).name)
    await world.purge.run()
    assert state(world, deletion).last_error == "containers-found"


async def test_foreign_names_without_end_prove_nothing_and_take_no_longer_than_a_run() -> None:
    world, store, deletion = await purged_among(1)
    world.bounds = Bounds(seconds=100.0)
    for n in range(1_000):
        store.receive_container(f"7-0-{n:04d}")
    container_page = store.container_page

    async def slow(*which: Any, **more: Any) -> ContainerPage:
        world.clock.move(timedelta(seconds=10 * bool(more.get("include_deleted"))))
        return await container_page(*which, **more)

    store.container_page = slow  # type: ignore[method-assign]
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    store.pages = 0
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, state(world, deletion).status, state(world, deletion).retry_at) == (
        "more",
        "purged",
        None,
    )
    assert store.pages <= 12
    store.container_page = container_page  # type: ignore[method-assign]
    await world.purge.run()
    assert state(world, deletion).status == "verified"


class Vault:
    """Signs when it is let; ``answer`` is what each call waits for."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.under_way = self.most = 0

    async def sign(self, claims: Mapping[str, Any]) -> str:
        self.asked.append(claims["enrollmentId"])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.answer(claims)
        finally:
            self.under_way -= 1

    async def answer(self, claims: Mapping[str, Any]) -> str:
        for _ in range(20):
            await asyncio.sleep(0)
        return await SIGNER.sign(claims)

    async def public_keys(self) -> Any:
        return await SIGNER.public_keys()


def unproved(world: World, number: int, tenants: int) -> list[Deletion]:
    """Return deletions that await their second look, in the order of their deadlines, of one shard."""
    done = {"status": "purged", "purged_at": START - timedelta(hours=1)}
    return [
        owed(world, tenant_id(n % tenants), f"7{n:031x}", START - timedelta(days=29) + timedelta(seconds=n), **done)
        for n in range(number)
    ]


@pytest.mark.parametrize("tenants", [1, 30])
async def test_receipts_are_signed_some_at_a_time_and_by_deadline(
    monkeypatch: pytest.MonkeyPatch, tenants: int
) -> None:
    vault = Vault()
    monkeypatch.setattr(world_module, "SIGNER", vault)
    world = World()
    deletions = unproved(world, 30, tenants)
    await world.purge.run()
    assert {state(world, each).status for each in deletions} == {"verified"}
    assert vault.most == purge.SIGNED_AT_A_TIME
    order = [vault.asked.index(each.enrollment_id) for each in deletions]
    assert all(abs(place - n) < purge.SIGNED_AT_A_TIME for n, place in enumerate(order))


async def test_a_vault_that_asks_to_wait_is_spared_and_nothing_is_postponed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(Vault):
        refused = 0

        async def answer(self, claims: Mapping[str, Any]) -> str:
            if self.refused < 5:
                self.refused += 1
                raise StoreUnavailable("vault-429", throttled=True, retry_after=7.0)
            return await super().answer(claims)

    monkeypatch.setattr(world_module, "SIGNER", Busy())
    world = World()
    deletions = unproved(world, 12, 12)
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.error, heartbeat.counts[THROTTLED]) == (None, 5)
    assert 7.0 in world.clock.slept
    assert {state(world, each).status for each in deletions} == {"verified"}


async def test_a_vault_that_asks_to_wait_for_ever_is_left_to_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(Vault):
        async def answer(self, claims: Mapping[str, Any]) -> str:
            raise StoreUnavailable("vault-429", throttled=True, retry_after=60.0)

    monkeypatch.setattr(world_module, "SIGNER", Busy())
    world = World()
    deletions = unproved(world, 12, 12)
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error) == ("more", None)
    assert [state(world, each) for each in deletions] == deletions
    monkeypatch.undo()
    await world.purge.run()
    assert {state(world, each).status for each in deletions} == {"verified"}


async def test_a_vault_that_hangs_is_asked_for_a_few_receipts_and_not_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Vault):
        async def answer(self, claims: Mapping[str, Any]) -> str:
            await super().answer(claims)
            raise StoreUnavailable("vault-timeout")

    vault = Hanging()
    monkeypatch.setattr(world_module, "SIGNER", vault)
    world = World()
    unproved(world, 30, 30)
    assert (await world.purge.run())["steurope"].error == "vault-timeout"
    assert len(vault.asked) <= purge.SIGNED_AT_A_TIME
