"""P2, P6: nothing about consent rests on how long a process, a retry or the network takes (decision D11)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import Moment
from shared.model import deadlines
from shared.ports import ConsentExpired, ContainerMissing, Permit, Put, StoreUnavailable, TryAgain
from shared.problems import CapturedTooEarly, DataSharingOff, PreconditionFailed, Unavailable
from shared.stores.memory import MemoryCaptures
from tests.changes import opting_out
from tests.clocks import ManualClock
from tests.world import GEOS, TENANT, World, permit

LEASE = timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS)
SIGNED = timedelta(seconds=deadlines.SIGNATURE_SECONDS)
OFF = opting_out()


class HeldUp(MemoryCaptures):
    """Does what a test says before it looks at the permit, between that and the arrival, and after it."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.before: dict[str, list[Callable[[], Awaitable[None]]]] = {}
        self.sent: dict[str, list[Callable[[], Awaitable[None]]]] = {}
        self.after: dict[str, list[Callable[[], Awaitable[None]]]] = {}
        self.begun: list[str] = []

    async def put_batch(self, permit: Permit, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        await self._begin("put", permit)
        put = self.receive_batch(permit, container, batch_id, content, body_hash)
        await _next(self.after, "put")
        return put

    async def create_container(self, permit: Permit, container: str) -> None:
        await self._begin("create", permit)
        self.receive_container(container)
        await _next(self.after, "create")

    async def _begin(self, what: str, permit: Permit) -> None:
        await _next(self.before, what)
        if not permit.holds:
            raise ConsentExpired
        self.begun.append(what)
        await _next(self.sent, what)


async def _next(script: dict[str, list[Callable[[], Awaitable[None]]]], what: str) -> None:
    if script.get(what):
        await script[what].pop(0)()


async def failing() -> None:
    raise TryAgain("storage-503")


@pytest.fixture
async def world() -> World:
    world = World(stores={geo: HeldUp(account) for geo, account in GEOS.items()})
    await world.opt_in()
    return world


def store_of(world: World) -> HeldUp:
    store = world.stores["europe"]
    assert isinstance(store, HeldUp)
    return store


def batches(world: World) -> list[str]:
    return [batch for kept in store_of(world).containers.values() for batch in kept]


def in_the_middle(world: World, hours: float = 0.0) -> Callable[[], Awaitable[None]]:
    async def opt_out() -> None:
        await world.opt_out()
        world.clock.move(timedelta(hours=hours))

    return opt_out


async def test_an_attempt_that_did_not_begin_in_time_reads_consent_again_and_stores_nothing(world: World) -> None:
    await world.post(key="first")  # so that there is a container
    world.clock.move(LEASE)
    store_of(world).before["put"] = [in_the_middle(world, hours=3)]
    begun = len(store_of(world).begun)
    with pytest.raises(DataSharingOff):
        await world.post(key="late")
    assert len(batches(world)) == 1 and len(store_of(world).begun) == begun


async def test_each_further_attempt_rests_on_consent_of_its_own(world: World) -> None:
    await world.post(key="first")
    store = store_of(world)
    store.sent["put"] = [failing, failing]
    assert (await world.post(key="third time lucky")).created
    store.begun.clear()

    async def fail_and_opt_out() -> None:
        await world.opt_out()
        raise TryAgain("storage-503")

    store.sent["put"] = [fail_and_opt_out]
    # Not a refusal: a refusal says that nothing was stored, and of the first attempt nobody knows.
    with pytest.raises(StoreUnavailable, match="storage-503"):
        await world.post(key="late")
    assert store.begun == ["put"] and len(batches(world)) == 2
    with pytest.raises(DataSharingOff):
        await world.post(key="late")


@pytest.mark.parametrize(("ahead", "step"), [(timedelta(minutes=4, seconds=58), -10), (timedelta(), 25 * 3600)])
async def test_a_clock_that_is_set_tells_nobody_that_nothing_was_stored(
    world: World, ahead: timedelta, step: int
) -> None:
    async def set_and_lose_the_answer() -> None:
        world.clock.move_wall(timedelta(seconds=step))
        raise TryAgain("storage-timeout")

    await world.post(key="first")
    at = world.clock.now() + ahead
    store_of(world).after["put"] = [set_and_lose_the_answer]
    with pytest.raises(StoreUnavailable, match="storage-timeout"):
        await world.post(key="second", at=at)
    assert len(batches(world)) == 2


@pytest.mark.parametrize("late", [SIGNED - 2 * LEASE, SIGNED, timedelta(hours=3)])
async def test_what_was_sent_in_time_and_arrives_late_is_refused_by_storage(world: World, late: timedelta) -> None:
    await world.post(key="first")
    world.clock.move(LEASE)

    async def arrive_late() -> None:
        await world.opt_out()
        world.clock.move(late)

    store_of(world).sent["put"] = [arrive_late]
    if late < SIGNED - LEASE:
        assert (await world.post(key="late")).created  # it overlaps the opt-out, whose deletion covers it
        return
    with pytest.raises(StoreUnavailable, match="storage-AuthenticationFailed"):
        await world.post(key="late")
    assert len(batches(world)) == 1


async def test_what_was_refused_as_late_is_tried_again_while_consent_goes_on(world: World) -> None:
    await world.post(key="first")
    world.clock.move(LEASE)

    async def arrive_late() -> None:
        world.clock.move(timedelta(hours=3))

    store_of(world).sent["put"] = [arrive_late]
    world.clock.move(timedelta(hours=1))
    with pytest.raises(StoreUnavailable):  # after hours the caller is told to come back
        await world.post(key="late")
    assert (await world.post(key="late")).created

    async def arrive_a_little_late() -> None:
        world.stores["europe"].now = lambda: world.clock.now() + SIGNED  # the account's clock is ahead

    async def set_right() -> None:
        world.stores["europe"].now = world.clock.now

    store_of(world).sent["put"] = [arrive_a_little_late, set_right]
    assert (await world.post(key="again")).created


@pytest.mark.parametrize("seconds", [0.0, 3.0, 3 * 3600.0])
async def test_a_container_is_created_on_consent_that_holds_when_its_creation_begins(
    world: World, seconds: float
) -> None:
    store_of(world).before["create"] = [in_the_middle(world, hours=seconds / 3600)]
    with pytest.raises(DataSharingOff):
        await world.post()
    assert world.stored_containers() == {} and store_of(world).begun == ["put"]


async def test_after_a_slow_creation_the_upload_rests_on_consent_of_its_own(world: World) -> None:
    store = store_of(world)
    store.after["create"] = [in_the_middle(world)]
    with pytest.raises(DataSharingOff):
        await world.post()
    assert store.begun == ["put", "create"] and batches(world) == []


async def test_a_creation_slower_than_the_lease_is_not_begun_for_ever(world: World) -> None:
    async def slow() -> None:
        world.clock.move(2 * LEASE)

    store = store_of(world)
    store.after["create"] = [slow] * 9
    assert (await world.post()).created
    assert store.begun == ["put", "create", "put"]


async def test_a_process_that_slept_through_its_day_creates_no_container_of_it(world: World) -> None:
    async def sleep() -> None:
        world.clock.move(timedelta(days=31))

    store_of(world).before["create"] = [sleep]
    with pytest.raises(CapturedTooEarly):
        await world.post()
    assert world.stored_containers() == {}


async def test_whoever_is_never_in_time_is_told_to_come_back(world: World) -> None:
    async def slow() -> None:
        world.clock.move(2 * LEASE)

    store_of(world).before["put"] = [slow] * 99
    with pytest.raises(Unavailable, match=Unavailable.CONSENT):
        await world.post()
    store_of(world).before.clear()
    store_of(world).sent["put"] = [failing] * 99
    with pytest.raises(StoreUnavailable):
        await world.post()
    assert len(store_of(world).sent["put"]) > 90, "and not after minutes"


async def test_attempts_are_a_second_or_two_apart_and_none_begins_after_fifteen(world: World) -> None:
    await world.post(key="first")
    store = store_of(world)
    store.begun.clear()
    world.clock.slept.clear()
    store.sent["put"] = [failing] * 99
    for key in ("second", "third"):
        with pytest.raises(StoreUnavailable, match="storage-503"):
            await world.post(key=key)
    assert store.begun == ["put"] * 8
    waits = world.clock.slept
    assert len(waits) == 8 and all(1 <= wait <= 2 for wait in waits)
    assert waits[:4] == [waits[0]] * 4 and waits[4:] == [waits[4]] * 4
    assert waits[0] != waits[4], "batches do not all come again at the same time"

    async def fail_slowly() -> None:
        world.clock.move(timedelta(seconds=8))
        raise TryAgain("storage-503")

    store.sent["put"] = [fail_slowly] * 99
    store.begun.clear()
    with pytest.raises(StoreUnavailable, match="storage-503"):
        await world.post(key="fourth")
    assert store.begun == ["put"] * 2


async def test_a_container_that_vanishes_again_at_once_is_being_deleted(world: World) -> None:
    async def missing() -> None:
        raise ContainerMissing

    store_of(world).sent["put"] = [missing, missing]
    with pytest.raises(Unavailable, match=Unavailable.CONTAINER_BEING_DELETED):
        await world.post()


def stand_still(clock: ManualClock) -> None:
    clock.move_wall(LEASE)


def set_back(clock: ManualClock) -> None:
    clock.move_wall(-timedelta(hours=1))


def set_back_and_wait(clock: ManualClock) -> None:
    clock.move(LEASE)
    clock.move_wall(-LEASE)


@pytest.mark.parametrize("disturb", [stand_still, set_back, set_back_and_wait])
async def test_whichever_clock_says_expired_wins(world: World, disturb: Callable[[ManualClock], None]) -> None:
    held = permit(clock=world.clock)
    assert held.holds and held.seconds_left == deadlines.SIGNATURE_SECONDS
    disturb(world.clock)
    assert not held.holds
    reads: list[str] = []
    read = world.ledger.read_setting

    async def counted(tenant_id: str) -> Any:
        reads.append(tenant_id)
        return await read(tenant_id)

    world.ledger.read_setting = counted
    await world.captures.consent.current(TENANT)
    disturb(world.clock)
    await world.captures.consent.current(TENANT)
    assert reads == [TENANT, TENANT]


async def test_a_permit_is_counted_from_the_start_of_its_read(world: World) -> None:
    world.clock.move(LEASE)
    read = world.ledger.read_setting

    async def slow(tenant_id: str) -> Any:
        stored = await read(tenant_id)
        world.clock.move(timedelta(seconds=1))
        return stored

    world.ledger.read_setting = slow
    for got in (await world.captures.consent.afresh(TENANT), await world.captures.consent.current(TENANT)):
        assert (got.read_at.age, got.seconds_left) == (1.0, deadlines.SIGNATURE_SECONDS - 1)
        assert got.expires_at == world.clock.now() + SIGNED - timedelta(seconds=1)
    world.ledger.read_setting = lambda tenant_id: _move_and(world, LEASE, read(tenant_id))
    with pytest.raises(Unavailable, match=Unavailable.CONSENT):
        await world.captures.consent.afresh(TENANT)


async def _move_and(world: World, by: timedelta, then: Awaitable[Any]) -> Any:
    world.clock.move(by)
    found = await then
    world.clock.move(by)
    return found


def test_what_storage_takes_last_is_there_at_the_second_look() -> None:
    assert SIGNED + deadlines.CLOCK_SKEW < deadlines.SECOND_LOOK_DELAY
    assert deadlines.CONSENT_LEASE_SECONDS < deadlines.SIGNATURE_SECONDS


def test_a_moment_has_the_age_of_the_clock_that_says_more() -> None:
    clock = ManualClock()
    moment = Moment.now(clock)
    clock.move(timedelta(seconds=3))
    assert moment.age == 3.0
    clock.move_wall(timedelta(seconds=-1))
    assert moment.age == 3.0
    clock.move_wall(timedelta(seconds=5))
    assert moment.age == 7.0


# What an administrator is told


async def test_a_precondition_that_fails_on_what_is_off_is_told_after_a_lease() -> None:
    """Another instance may still accept: whoever reads 412, and then looks, must not believe too much."""
    world = World()
    opted_in = await world.opt_in()
    await world.opt_out()
    world.clock.slept.clear()
    with pytest.raises(PreconditionFailed):
        await world.data_sharing.put(TENANT, opting_out(if_sequence={opted_in.sequence}))
    assert world.clock.slept == [deadlines.CONSENT_LEASE_SECONDS]


async def test_what_is_off_is_shown_to_an_administrator_after_a_lease() -> None:
    world = World()
    for _ in range(2):  # one never seen is off, and nobody relies on the opposite; one that is on is not off
        world.clock.slept.clear()
        await world.data_sharing.get_settled(TENANT)
        assert world.clock.slept == []
        await world.opt_in()
    await world.opt_out()
    world.clock.slept.clear()
    assert not (await world.data_sharing.get_settled(TENANT)).enabled
    assert world.clock.slept == [deadlines.CONSENT_LEASE_SECONDS]


async def test_captures_are_accepted_by_nobody_once_an_administrator_was_told_off_by_whatever_answer() -> None:
    world = World(clock=ManualClock())
    opting_in = asyncio.create_task(world.opt_in())
    await world.clock.advance(LEASE)
    await world.clock.advance(LEASE)
    opted_in = await opting_in
    await world.post()
    asyncio.create_task(world.data_sharing.put(TENANT, OFF)).add_done_callback(lambda _: None)
    await world.clock.advance(timedelta(0))
    assert not world.ledger.settings[TENANT].value.enabled
    repeated = opting_out(if_sequence={opted_in.sequence})
    asked = [
        asyncio.create_task(world.data_sharing.put(TENANT, repeated)),
        asyncio.create_task(world.data_sharing.get_settled(TENANT)),
    ]
    await world.clock.advance(timedelta(0))
    await world.clock.advance(timedelta(seconds=1))
    assert (await world.post(key="still leased")).created
    assert not any(task.done() for task in asked)
    await world.clock.advance(timedelta(seconds=1))
    assert all(task.done() for task in asked)
    assert isinstance(asked[0].exception(), PreconditionFailed)
    with pytest.raises(DataSharingOff):
        await world.post(key="after")
