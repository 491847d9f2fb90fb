"""P2: once an opt-out has been answered, no capture is accepted, on any instance (decision D5)."""

import asyncio
import gc
from datetime import timedelta

import pytest

from shared.model import deadlines
from shared.model.ledger import Setting
from shared.model.notices import NOTICES
from shared.ports import Conflict, Stored, StoreUnavailable
from shared.problems import DataSharingOff, GeoPinned, PreconditionFailed, Unavailable
from shared.sharing.consent import Consent
from shared.stores.memory import MemoryLedger
from tests.changes import opting_in, opting_out
from tests.clocks import ManualClock, settle
from tests.world import TENANT, World, capture, submission

LEASE = timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS)
OFF = opting_out()


class SlowLedger(MemoryLedger):
    """Reads what is committed when a read arrives, and answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[asyncio.Future[None]] = []
        self.slow = False

    async def read_setting(self, tenant_id: str) -> Stored[Setting] | None:
        stored = await super().read_setting(tenant_id)
        if self.slow:
            self.reads.append(asyncio.get_running_loop().create_future())
            await self.reads[-1]
        return stored


async def opted_in_world() -> World:
    world = World(clock=ManualClock(), ledger=SlowLedger())
    opting_in = asyncio.create_task(world.opt_in())
    await settle()
    await world.clock.advance(LEASE)
    await opting_in
    return world


async def test_the_answer_waits_a_whole_lease_after_the_commit() -> None:
    world = await opted_in_world()
    opting_out = asyncio.create_task(world.data_sharing.put(TENANT, OFF))
    await settle()
    assert world.ledger.settings[TENANT].value.enabled is False, "committed before the wait"
    await world.clock.advance(LEASE - timedelta(milliseconds=1))
    assert not opting_out.done()
    await world.clock.advance(timedelta(milliseconds=1))
    assert opting_out.done() and not (await opting_out).enabled


async def test_a_lease_from_just_before_the_commit_has_expired_when_the_opt_out_is_answered() -> None:
    world = await opted_in_world()
    others = [world.instance() for _ in range(3)]
    for n, instance in enumerate(others):
        await instance.submit(TENANT, submission(capture(world.clock.now()), key=f"before-{n}"))
    opting_out = asyncio.create_task(world.data_sharing.put(TENANT, OFF))
    await settle()
    # Still within their leases, and the opt-out unanswered: these overlap it.
    await others[0].submit(TENANT, submission(capture(world.clock.now()), key="overlapping"))
    await world.clock.advance(LEASE)
    assert opting_out.done()
    for n, instance in enumerate(others):
        with pytest.raises(DataSharingOff):
            await instance.submit(TENANT, submission(capture(world.clock.now()), key=f"after-{n}"))
    stored = [key for batches in world.stores["europe"].containers.values() for key in batches]
    assert len(stored) == 4


async def test_a_read_that_began_before_the_opt_out_and_is_joined_after_its_answer_does_not_count() -> None:
    world = await opted_in_world()
    world.clock.move(LEASE)  # whatever was leased has expired
    world.ledger.slow = True
    early = asyncio.create_task(world.post(key="early"))
    await settle()
    world.ledger.slow = False
    opting_out = asyncio.create_task(world.data_sharing.put(TENANT, OFF))
    await settle()
    await world.clock.advance(LEASE)
    assert opting_out.done()
    late = asyncio.create_task(world.post(key="late"))
    await settle()
    world.ledger.reads[0].set_result(None)  # answers "on", as it was when that read began
    with pytest.raises(DataSharingOff):
        await late
    with pytest.raises(DataSharingOff):
        await early
    assert world.stored_containers() == {}


async def test_the_lease_is_counted_from_the_start_of_the_read_and_not_from_its_answer() -> None:
    clock, ledger = ManualClock(), SlowLedger()
    consent = Consent(ledger, NOTICES, clock)
    ledger.slow = True
    reading = asyncio.create_task(consent.current(TENANT))
    await settle()
    await clock.advance(LEASE - timedelta(milliseconds=1))
    ledger.reads[0].set_result(None)
    await reading
    await clock.advance(timedelta(milliseconds=1))
    again = asyncio.create_task(consent.current(TENANT))
    await settle()
    assert len(ledger.reads) == 2
    ledger.reads[1].set_result(None)
    await again


async def test_concurrent_requests_share_one_read_and_both_answers_are_leased() -> None:
    clock, ledger = ManualClock(), SlowLedger()
    consent = Consent(ledger, NOTICES, clock)
    ledger.slow = True
    waiting = [asyncio.create_task(consent.current(TENANT)) for _ in range(20)]
    await settle()
    assert len(ledger.reads) == 1
    waiting[0].cancel()  # one caller that hangs up takes nothing from the others
    await settle()
    ledger.reads[0].set_result(None)
    assert [permit.setting.enabled for permit in await asyncio.gather(*waiting[1:])] == [False] * 19
    assert (await consent.current(TENANT)).setting.enabled is False
    assert len(ledger.reads) == 1


async def test_a_failed_read_is_never_replaced_by_an_older_answer_and_is_not_leased() -> None:
    clock, ledger = ManualClock(), SlowLedger()
    consent = Consent(ledger, NOTICES, clock)
    await consent.current(TENANT)
    clock.move(LEASE)
    ledger.slow = True
    reading = asyncio.create_task(consent.current(TENANT))
    await settle()
    ledger.reads[0].set_exception(StoreUnavailable("cosmos-timeout"))
    with pytest.raises(StoreUnavailable):
        await reading
    ledger.slow = False
    assert (await consent.current(TENANT)).setting.enabled is False


async def test_a_read_that_fails_when_all_who_asked_have_gone_is_no_error_that_nobody_handled() -> None:
    clock, ledger = ManualClock(), SlowLedger()
    consent = Consent(ledger, NOTICES, clock)
    ledger.slow, unhandled = True, list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    reading = asyncio.create_task(consent.current(TENANT))
    await settle()
    reading.cancel()
    await settle()
    ledger.reads.pop().set_exception(StoreUnavailable("cosmos-timeout"))
    await settle()
    del reading  # what it was cancelled in holds the read
    gc.collect()
    assert unhandled == []


async def test_a_read_that_is_answered_late_takes_no_newer_one_away() -> None:
    clock, ledger = ManualClock(), SlowLedger()
    world = World(clock=clock, ledger=ledger)
    consent = Consent(ledger, NOTICES, clock)
    ledger.slow = True
    older = asyncio.create_task(consent.afresh(TENANT))
    await settle()
    opting_in = asyncio.create_task(world.opt_in())
    await settle()
    ledger.reads[1].set_result(None)
    await settle()
    clock.move(LEASE / 4)
    newer = asyncio.create_task(consent.afresh(TENANT))
    await settle()
    ledger.reads[2].set_result(None)
    assert (await newer).setting.enabled
    ledger.reads[0].set_result(None)
    assert not (await older).setting.enabled
    ledger.slow = False
    assert (await consent.current(TENANT)) is await newer
    await clock.advance(LEASE)
    assert (await opting_in).enabled


async def test_reads_slower_than_the_lease_close_the_door() -> None:
    clock, ledger = ManualClock(), SlowLedger()
    consent = Consent(ledger, NOTICES, clock)
    ledger.slow = True
    reading = asyncio.create_task(consent.current(TENANT))
    for n in range(3):
        await settle()
        clock.move(LEASE)
        ledger.reads[n].set_result(None)
    with pytest.raises(Unavailable, match=Unavailable.CONSENT):
        await reading


async def test_the_leases_of_many_tenants_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.sharing.consent._LEASES_MAX", 10)
    consent = Consent(MemoryLedger(), NOTICES, ManualClock())
    for n in range(50):
        await consent.current(f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30")
    assert len(consent._leases) == 10


@pytest.mark.parametrize("later", [timedelta(seconds=50), timedelta(minutes=3), timedelta(days=3)])
async def test_a_repeated_opt_out_waits_again_and_writes_nothing(later: timedelta) -> None:
    """Its first answer may have been lost, and its commit may be a moment old whenever it was stamped."""
    world = World()
    await world.opt_in()
    await world.opt_out()
    events = len(world.ledger.events[TENANT])
    world.clock.slept.clear()
    world.clock.move(later)
    await world.data_sharing.put(TENANT, OFF)
    assert world.clock.slept == [deadlines.CONSENT_LEASE_SECONDS]
    assert len(world.ledger.events[TENANT]) == events


async def test_an_opt_in_that_changes_nothing_is_answered_at_once() -> None:
    world = World()
    await world.opt_in()
    world.clock.slept.clear()
    await world.opt_in()
    assert world.clock.slept == []


async def test_the_first_write_of_a_day_reads_consent_afresh() -> None:
    """An expedited purge must not be undone on the word of a lease from before the opt-out."""
    world = await opted_in_world()
    await world.captures.consent.current(TENANT)  # leased: on
    opting_out = asyncio.create_task(world.data_sharing.put(TENANT, OFF))
    await settle()
    with pytest.raises(DataSharingOff):
        await world.post()  # within the lease, but there is no container yet
    assert world.stored_containers() == {}
    await world.clock.advance(LEASE)
    await opting_out


async def test_the_first_write_of_a_day_that_finds_another_enrollment_stores_nothing() -> None:
    world = await opted_in_world()
    await world.captures.consent.current(TENANT)
    tasks = [asyncio.create_task(world.data_sharing.put(TENANT, OFF))]
    await settle()
    tasks.append(asyncio.create_task(world.opt_in()))
    await settle()
    with pytest.raises(DataSharingOff, match=DataSharingOff.OFF_MEANWHILE):
        await world.post()
    assert world.stored_containers() == {}
    await world.clock.advance(LEASE)
    await asyncio.gather(*tasks)


async def test_off_on_off_on_makes_two_opt_outs_and_two_enrollments() -> None:
    world = World()
    first = (await world.opt_in()).enrollment
    for _ in range(2):
        await world.opt_out()
        last = (await world.opt_in()).enrollment
    assert [event.kind for event in world.ledger.events[TENANT]] == ["optedIn", *["optedOut", "optedIn"] * 2]
    assert [event.sequence for event in world.ledger.events[TENANT]] == [1, 2, 3, 4, 5]
    assert first is not None and last is not None
    assert len({event.enrollment_id for event in world.ledger.events[TENANT]}) == 3
    assert await world.feed() == 2


async def test_concurrent_toggles_each_make_one_event_in_one_order() -> None:
    world = World()
    await world.opt_in()
    await asyncio.gather(
        *(world.data_sharing.put(TENANT, opting_out() if n % 2 else opting_in("europe")) for n in range(20))
    )
    kinds = [event.kind for event in world.ledger.events[TENANT]]
    assert kinds == [("optedIn", "optedOut")[n % 2] for n in range(len(kinds))]
    assert world.ledger.settings[TENANT].value.sequence == len(kinds)


async def test_a_commit_whose_answer_was_lost_and_that_was_sent_again_is_ours() -> None:
    world = World()
    opted_in = await world.opt_in()
    commit = world.ledger.commit

    async def twice(*args: object) -> None:
        await commit(*args)
        raise Conflict

    world.ledger.commit = twice
    world.clock.slept.clear()
    setting = await world.data_sharing.put(TENANT, opting_out(if_sequence={opted_in.sequence}))
    assert not setting.enabled
    assert world.clock.slept == [deadlines.CONSENT_LEASE_SECONDS]
    assert len(world.ledger.events[TENANT]) == 2


async def test_endless_conflicts_end_in_an_error_and_not_in_a_wrong_answer() -> None:
    world = World()

    async def never(*args: object) -> None:
        raise Conflict

    world.ledger.commit = never
    with pytest.raises(Conflict):
        await world.opt_in()


async def test_if_match_is_honoured() -> None:
    world = World()
    with pytest.raises(PreconditionFailed):
        await world.data_sharing.put(TENANT, opting_in("europe", if_sequence={1}))
    assert (await world.data_sharing.put(TENANT, opting_in("europe", if_sequence={0}))).sequence == 1
    with pytest.raises(PreconditionFailed):
        await world.data_sharing.put(TENANT, opting_out(if_sequence={0}))
    assert len(world.ledger.events[TENANT]) == 1


async def test_the_same_state_again_is_no_event_and_another_geo_is_refused() -> None:
    world = World()
    first = await world.opt_in()
    assert await world.opt_in() == first
    with pytest.raises(GeoPinned):
        await world.opt_in(geo="unitedstates")
    assert len(world.ledger.events[TENANT]) == 1
