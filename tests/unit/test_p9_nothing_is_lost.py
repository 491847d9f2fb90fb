"""P9, as far as the purge and the status go: what does not run, or fails, is seen."""

from datetime import timedelta

from shared.model import deadlines
from shared.ports import StoreUnavailable
from shared.stores.memory import MemoryCaptures
from tests.unit.opt_outs import opted_out
from tests.world import World


async def test_a_service_that_does_its_work_keeps_its_promises() -> None:
    world = World()
    await world.opt_in()
    await world.post()
    await world.purge.run()
    await world.sweep.run()
    report = await world.status.report()
    assert report.holds
    assert report.promises == dict.fromkeys(["P1", "P3", "P4", "P5", "P6", "P9"], True)
    assert str(report.accounts["steurope"].oldest_day) == "2026-11-21"
    assert report.accounts["stunitedkingdom"].oldest_day is None


async def test_a_purge_that_never_ran_or_stopped_running_is_a_broken_promise() -> None:
    world = World()
    await world.sweep.run()
    assert (await world.status.report()).promises["P9"] is False
    await world.purge.run()
    world.clock.move(timedelta(minutes=15))
    assert (await world.status.report()).promises["P9"] is True
    world.clock.move(timedelta(seconds=1))
    assert (await world.status.report()).promises["P9"] is False


async def test_a_day_past_its_deadline_and_an_overdue_deletion_are_seen_whatever_the_jobs_say() -> None:
    world, deletion = await opted_out()
    world.clock.set(deletion.deadline + timedelta(seconds=1))
    report = await world.status.report()
    assert not any(report.promises.values())
    counts = report.accounts["steurope"].deletions
    assert counts is not None
    assert (counts.pending, counts.overdue, counts.oldest_deadline) == (1, 1, deletion.deadline)
    assert not report.holds


async def test_a_deletion_in_an_account_that_is_no_longer_configured_is_seen() -> None:
    world, deletion = await opted_out()
    world.stores["europe"] = MemoryCaptures("stsomeoneelse")
    world.clock.set(deletion.deadline + timedelta(seconds=1))
    await world.purge.run()
    report = await world.status.report()
    assert (report.overdue_deletions, report.promises["P5"]) == (1, False)


async def test_what_cannot_be_read_does_not_hold() -> None:
    world = World()
    await world.purge.run()

    async def fail(*args: object) -> None:
        raise StoreUnavailable("cosmos-timeout")

    world.deletion_items.counts = fail
    report = await world.status.report()
    assert report.accounts["steurope"].error == "cosmos-timeout"
    assert not report.holds


async def test_a_failed_purge_is_a_broken_promise_until_one_succeeds() -> None:
    world, deletion = await opted_out()
    store = world.stores["europe"]
    delete = store.delete_container

    async def fail(container: str) -> None:
        raise StoreUnavailable("storage-503")

    store.delete_container = fail
    world.clock.set(deletion.not_before)
    await world.sweep.run()
    await world.purge.run()
    assert (await world.status.report()).promises["P9"] is False
    store.delete_container = delete
    world.clock.move(deadlines.RETRY_FIRST)
    await world.purge.run()
    await world.sweep.run()
    assert (await world.status.report()).holds


async def test_a_heartbeat_that_cannot_be_written_fails_no_purge() -> None:
    world, deletion = await opted_out()

    async def fail(*args: object) -> None:
        raise StoreUnavailable("cosmos-503")

    world.operations.write = fail
    world.clock.set(deletion.not_before)
    await world.purge.run()
    assert world.stored_containers() == {}


async def test_heartbeats_that_cannot_be_read_fail_no_purge() -> None:
    world, deletion = await opted_out()

    async def fail(*args: object) -> None:
        raise StoreUnavailable("cosmos-503")

    world.operations.read_all = fail
    world.clock.set(deletion.not_before)
    assert {heartbeat.outcome for heartbeat in (await world.purge.run()).values()} == {"done"}
    assert world.stored_containers() == {}
