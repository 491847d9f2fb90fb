"""P2 with settings that are relied on for a minute, as long as the epoch of their shard stays (decision D21)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.epochs import NO_EPOCH, Epoch, shard_of
from shared.model.ledger import Setting
from shared.model.notices import NOTICES
from shared.ports import Stored, StoreUnavailable
from shared.problems import DataSharingOff, PreconditionFailed, Unavailable
from shared.sharing.consent import Consent
from shared.sharing.epochs import Epochs
from shared.stores.memory import MemoryLedger, MemoryOperations
from tests.changes import opting_in, opting_out
from tests.clocks import START, ManualClock, settle
from tests.world import TENANT, World

LEASE = timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS)
MINUTE = timedelta(seconds=deadlines.SETTING_SECONDS)
TICK = timedelta(milliseconds=1)
OFF = opting_out()


def of_shard(shard: str) -> list[str]:
    """Return tenants of one shard."""
    ids = (f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30" for n in range(200))
    return [each for each in ids if shard_of(each) == shard]


SHARDMATE = of_shard(shard_of(TENANT))[0]


class Ledger(MemoryLedger):
    """Remembers what was done, in which order."""

    def __init__(self, did: list[str]) -> None:
        super().__init__()
        self.did = did

    async def read_setting(self, tenant_id: str) -> Stored[Setting] | None:
        self.did.append("read setting")
        return await super().read_setting(tenant_id)

    async def commit(self, change: Any, etag: str | None) -> None:
        await super().commit(change, etag)
        self.did.append("commit")


class Operations(MemoryOperations):
    """Remembers too; an epoch may be out of reach, and a read of one takes until the test says so."""

    def __init__(self, did: list[str]) -> None:
        super().__init__()
        self.did = did
        self.failing: StoreUnavailable | None = None
        self.slow: asyncio.Future[None] | None = None

    async def read_epoch(self, shard: str) -> Epoch:
        self.did.append("read epoch")
        read = await super().read_epoch(shard)
        if self.slow is not None:
            await self.slow
        if self.failing is not None:
            raise self.failing
        return read

    async def change_epoch(self, shard: str) -> None:
        if self.failing is not None:
            raise self.failing
        await super().change_epoch(shard)
        self.did.append("change epoch")


@pytest.fixture
def did() -> list[str]:
    return []


@pytest.fixture
async def world(did: list[str]) -> World:
    """One in which a tenant shares data, and all clocks stand still."""
    clock = ManualClock(jumping=True)
    world = World(clock=clock, ledger=Ledger(did), operations=Operations(did), consent_epochs=True)
    world.operations.now = world.ledger.now = clock.now
    await world.opt_in()
    await world.post()
    clock.move(LEASE)
    did.clear()
    return world


def consent(world: World) -> Consent:
    return Consent(world.ledger, NOTICES, world.clock, Epochs(world.operations, world.clock))


async def dying_before_the_epoch(world: World) -> None:
    """An opt-out whose process ends between its commit and the change of the epoch."""
    world.operations.failing = StoreUnavailable("cosmos-timeout")
    with pytest.raises(StoreUnavailable):
        await world.data_sharing.put(TENANT, OFF)
    world.operations.failing = None
    assert not world.ledger.settings[TENANT].value.enabled


def test_there_are_sixteen_shards_and_a_tenant_is_always_in_the_same() -> None:
    shards = [shard_of(f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30") for n in range(1000)]
    assert set(shards) == set("0123456789abcdef")
    assert max(map(shards.count, set(shards))) < 100
    assert shard_of("7d2f4c1e-5b0a-4e86-9c33-1f6a8e0b2d47") == "0"


async def test_a_thousand_busy_tenants_cost_a_read_a_minute_each_and_eight_a_second_for_all(
    world: World, did: list[str]
) -> None:
    asked, tenants = consent(world), [f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30" for n in range(1000)]
    minutes = 10
    for second in range(minutes * 60):
        for tenant in tenants[second % 2 :: 2]:  # each comes within a lease, not all at once
            await asked.current(tenant)
        world.clock.move(timedelta(seconds=1))
    # A setting is read again a lease before the minute is over, so that no permit outlives it.
    assert did.count("read setting") <= len(tenants) * (minutes * 60 / 58 + 1)
    assert did.count("read epoch") <= 8 * minutes * 60 + 16
    assert len(did) == did.count("read setting") + did.count("read epoch")


async def test_one_read_of_the_epoch_confirms_the_settings_of_all_tenants_of_a_shard(
    world: World, did: list[str]
) -> None:
    asked, tenants = consent(world), of_shard("3")[:5]
    for tenant in tenants:
        await asked.current(tenant)
    assert did == ["read epoch", *["read setting"] * 5]
    did.clear()
    for _ in range(28):
        world.clock.move(LEASE)
        for tenant in tenants:
            await asked.current(tenant)
    assert did == ["read epoch"] * 28
    world.clock.move(LEASE)
    await asked.current(tenants[0])
    assert did == [*["read epoch"] * 29, "read setting"], "58 s old, and a lease would make it a minute"


async def test_without_the_setting_nobody_reads_an_epoch_but_it_is_changed(world: World, did: list[str]) -> None:
    plain = Consent(world.ledger, NOTICES, world.clock)
    for _ in range(3):
        await plain.current(TENANT)
        world.clock.move(LEASE)
    assert did == ["read setting"] * 3
    did.clear()
    await world.data_sharing.put(TENANT, OFF)
    assert did == ["read setting", "commit", "change epoch"]


async def test_an_opt_out_commits_then_changes_the_epoch_then_waits_a_lease(world: World, did: list[str]) -> None:
    sleep = world.clock.sleep

    async def slept(seconds: float) -> None:
        did.append(f"wait {seconds}")
        await sleep(seconds)

    world.clock.sleep = slept  # type: ignore[method-assign]
    assert not (await world.data_sharing.put(TENANT, OFF)).enabled
    assert did == ["read setting", "commit", "change epoch", f"wait {deadlines.CONSENT_LEASE_SECONDS}"]


async def test_once_an_opt_out_is_answered_no_instance_relies_on_what_it_had_read(world: World) -> None:
    others = [world.instance() for _ in range(3)]
    for each in others:
        assert (await each.consent.current(TENANT)).setting.enabled
    await world.data_sharing.put(TENANT, OFF)
    for each in others:
        assert not (await each.consent.current(TENANT)).setting.enabled


async def test_an_opt_in_and_another_notice_are_known_at_once_too(world: World) -> None:
    await world.data_sharing.put(TENANT, OFF)
    other = world.instance()
    assert not (await other.consent.current(TENANT)).setting.enabled
    await world.opt_in()
    assert (await other.consent.current(TENANT)).setting.enabled


async def test_a_change_in_another_tenant_of_the_shard_has_the_setting_read_again(world: World, did: list[str]) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    await world.data_sharing.put(SHARDMATE, opting_in("europe"))
    did.clear()
    assert (await asked.current(TENANT)).setting.enabled
    assert did == ["read epoch", "read epoch", "read setting"][1:]


async def test_the_permit_is_as_old_as_the_read_of_the_epoch_and_not_younger(world: World) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    world.clock.move(LEASE)
    began = world.clock.monotonic()
    world.operations.slow = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(asked.current(TENANT))
    await settle()
    world.clock.move(LEASE - TICK)
    world.operations.slow.set_result(None)
    permit = await reading
    assert permit.read_at.monotonic == began
    assert permit.is_fresh
    world.clock.move(TICK)
    assert not permit.is_fresh


async def test_a_read_of_the_epoch_that_is_joined_after_the_answer_does_not_count(world: World, did: list[str]) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    world.clock.move(LEASE)
    world.operations.slow = slow = asyncio.get_running_loop().create_future()
    early = asyncio.create_task(asked.current(TENANT))
    await settle()  # it has seen the old epoch
    world.operations.slow = None
    await world.data_sharing.put(TENANT, OFF)
    late = asyncio.create_task(asked.current(TENANT))
    await settle()
    slow.set_result(None)
    assert not (await late).setting.enabled
    assert not (await early).setting.enabled


async def test_the_epoch_is_read_before_the_setting_and_that_read_has_ended(world: World, did: list[str]) -> None:
    asked = consent(world)
    world.operations.slow = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(asked.current(TENANT))
    await settle()
    assert did == ["read epoch"]
    world.operations.slow.set_result(None)
    await reading
    assert did == ["read epoch", "read setting"]


async def test_what_was_read_beside_a_change_is_not_confirmed_by_the_epoch_after_it(world: World) -> None:
    """Its epoch is read; the opt-out commits and changes the epoch; only then the setting is read, or it was before."""
    asked, read_setting = consent(world), world.ledger.read_setting
    stale = await read_setting(TENANT)

    async def overtaken(tenant_id: str) -> Any:
        world.ledger.read_setting = read_setting
        await world.data_sharing.put(tenant_id, OFF)
        world.clock.move_wall(-LEASE)  # as if no time had passed
        world.clock._monotonic -= LEASE.total_seconds()
        return stale

    world.ledger.read_setting = overtaken
    assert (await asked.current(TENANT)).setting.enabled, "which overlaps the opt-out"
    world.clock.move(LEASE)
    assert not (await asked.current(TENANT)).setting.enabled


async def test_an_epoch_that_cannot_be_read_is_never_replaced_by_the_one_before(world: World) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    world.clock.move(LEASE)
    world.operations.failing = StoreUnavailable("cosmos-timeout")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await asked.current(TENANT)
    with pytest.raises(StoreUnavailable):
        await asked.afresh(TENANT)
    world.operations.failing = None
    assert (await asked.current(TENANT)).setting.enabled


async def test_epochs_that_are_read_slower_than_the_lease_close_the_door(world: World) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    read = world.operations.read_epoch

    async def slowly(shard: str) -> Epoch:
        epoch = await read(shard)
        world.clock.move(LEASE)
        return epoch

    world.operations.read_epoch = slowly
    world.clock.move(LEASE)
    with pytest.raises(Unavailable, match=Unavailable.CONSENT):
        await asked.current(TENANT)


async def test_a_fresh_consent_reads_the_setting_whatever_the_epoch_confirms(world: World, did: list[str]) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    await dying_before_the_epoch(world)
    did.clear()
    assert (await asked.current(TENANT)).setting.enabled, "the epoch has not changed yet"
    assert not (await asked.afresh(TENANT)).setting.enabled
    assert did == ["read setting"]
    assert not (await asked.current(TENANT)).setting.enabled, "and that is known from now on"


async def test_an_opt_out_that_dies_before_the_epoch_has_effect_within_a_minute(world: World) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    await dying_before_the_epoch(world)
    began, permit = world.clock.monotonic(), await asked.current(TENANT)
    while permit.setting.enabled:
        last = permit.read_at.monotonic + deadlines.CONSENT_LEASE_SECONDS
        world.clock.move(timedelta(seconds=1))
        permit = await asked.current(TENANT)
    assert 50 < last - began <= deadlines.SETTING_SECONDS


async def test_a_wall_clock_that_was_set_back_makes_every_setting_too_old(world: World, did: list[str]) -> None:
    asked = consent(world)
    await asked.current(TENANT)
    world.clock.move_wall(-timedelta(minutes=5))
    did.clear()
    await asked.current(TENANT)
    assert did == ["read epoch", "read setting"]


async def test_an_opt_out_whose_epoch_cannot_be_changed_is_not_answered_and_a_repeat_puts_it_right(
    world: World, did: list[str]
) -> None:
    other = world.instance()
    assert (await other.consent.current(TENANT)).setting.enabled
    await dying_before_the_epoch(world)
    world.clock.slept.clear()
    did.clear()
    assert not (await world.data_sharing.put(TENANT, OFF)).enabled
    assert did == ["read setting", "read epoch", "change epoch"]
    assert world.clock.slept == [deadlines.CONSENT_LEASE_SECONDS]
    assert not (await other.consent.current(TENANT)).setting.enabled


async def test_an_opt_in_whose_epoch_could_not_be_changed_is_put_right_by_a_repeat_without_a_wait(
    world: World, did: list[str]
) -> None:
    await world.data_sharing.put(TENANT, OFF)
    other = world.instance()
    assert not (await other.consent.current(TENANT)).setting.enabled
    world.operations.failing = StoreUnavailable("cosmos-timeout")
    with pytest.raises(StoreUnavailable):
        await world.opt_in()
    world.operations.failing = None
    world.clock.slept.clear()
    assert (await world.opt_in()).enabled
    assert world.clock.slept == []
    world.clock.move(LEASE)
    assert (await other.consent.current(TENANT)).setting.enabled


async def _look(world: World) -> None:
    assert not (await world.data_sharing.get_settled(TENANT)).enabled


async def _refused(world: World) -> None:
    with pytest.raises(PreconditionFailed):
        await world.data_sharing.put(TENANT, opting_in("europe", if_sequence={99}))


@pytest.mark.parametrize("told_off", [_look, _refused])
async def test_whoever_is_told_that_sharing_is_off_rests_on_an_epoch_from_after_the_opt_out(
    world: World, told_off: Any
) -> None:
    other = world.instance()
    assert (await other.consent.current(TENANT)).setting.enabled
    await dying_before_the_epoch(world)
    await told_off(world)
    assert not (await other.consent.current(TENANT)).setting.enabled


async def test_who_is_told_that_nobody_changed_the_epoch_changes_it_once_and_not_each_time(
    world: World, did: list[str]
) -> None:
    """Else whoever may look could have every setting of a shard read again, as often as he looks."""
    await dying_before_the_epoch(world)
    world.clock.move(timedelta(days=3))
    did.clear()
    for _ in range(5):
        await _look(world)
    assert did.count("change epoch") == 1
    assert did.count("read epoch") == 5


async def test_an_epoch_from_about_the_time_of_the_commit_may_be_from_before_it(world: World, did: list[str]) -> None:
    """The database stamps two partitions by two clocks."""
    await world.data_sharing.put(SHARDMATE, opting_in("europe"))
    await dying_before_the_epoch(world)
    world.clock.move(timedelta(days=3))
    did.clear()
    await _look(world)
    assert did.count("change epoch") == 1


@pytest.mark.parametrize(
    ("changed", "committed", "after"),
    [(None, 0, False), (60, None, False), (59, 0, False), (60, 0, True), (0, 60, False), (10**9, 0, True)],
)
def test_an_epoch_is_from_after_a_commit_only_if_the_clocks_of_two_partitions_cannot_say_otherwise(
    changed: int | None, committed: int | None, after: bool
) -> None:
    assert Epoch("x", changed).is_after(committed) is after
    assert not NO_EPOCH.is_after(committed)


def test_what_storage_takes_last_is_there_at_the_second_look() -> None:
    """The first look may be at once after an opt-out of which instances learn as late as they may (D11, P6)."""
    last = timedelta(seconds=deadlines.SETTING_SECONDS + deadlines.SIGNATURE_SECONDS)
    assert last + 2 * deadlines.CLOCK_SKEW < deadlines.SECOND_LOOK_DELAY


async def test_a_change_that_is_repeated_late_brings_no_epoch_back() -> None:
    operations = MemoryOperations()
    marks = [(await operations.read_epoch("0")).mark]
    for _ in range(3):
        await operations.change_epoch("0")
        marks.append((await operations.read_epoch("0")).mark)
    assert len(set(marks)) == 4
    assert await operations.read_epoch("1") == NO_EPOCH


async def test_a_capture_that_was_held_up_is_decided_on_again(world: World) -> None:
    """P2 over the whole way: leased and confirmed on two instances, opted out on a third."""
    others = [world.instance() for _ in range(2)]
    for each in others:
        await each.consent.current(TENANT)
    await world.data_sharing.put(TENANT, OFF)
    world.captures = others[0]
    with pytest.raises(DataSharingOff):
        await world.post(key="after")


def test_the_clock_of_these_tests_is_the_one_of_the_stores(world: World) -> None:
    assert world.ledger.settings[TENANT].at == int(START.timestamp())
