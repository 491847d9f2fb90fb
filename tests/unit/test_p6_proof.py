"""P6: a deletion is finished only when storage has been read again, later, and found empty; its receipt says so."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.deletion.purge import Bounds
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut, Reappeared
from shared.ports import Conflict, ListedContainer, StoreUnavailable
from tests.unit.opt_outs import look_again, opted_out, purged
from tests.world import OTHER_TENANT, TENANT, World

NO_RECORDS = hashlib.sha256().hexdigest()


async def test_the_first_look_is_no_proof_and_the_second_comes_five_minutes_later() -> None:
    world, deletion = await purged()
    assert (deletion.status, deletion.receipt) == ("purged", None)
    world.clock.move(deadlines.SECOND_LOOK_DELAY - timedelta(microseconds=1))
    await world.purge.run()
    assert (await world.deletions.get(TENANT, deletion.enrollment_id)).status == "purged"
    world.clock.move(timedelta(microseconds=1))
    await world.purge.run()
    verified = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert verified.status == "verified"
    assert verified.receipt is not None and verified.receipt.to_json() == {
        "firstDay": "2026-11-21",
        "lastDay": "2026-11-24",
        "firstLookAt": "2026-11-24T12:00:04.000000Z",
        "secondLookAt": "2026-11-24T12:05:04.000000Z",
        "reappeared": [],
        "downloads": {"records": 0, "sha256": [], "recordsHash": NO_RECORDS, "copiesCovered": False},
        "jws": verified.receipt.jws,
    }


async def test_a_soft_deleted_container_is_found_and_is_no_proof_until_it_is_gone() -> None:
    world, deletion = await purged()
    world.stores["europe"].soft_deleted.add(deletion.containers[0].name)
    for wait in (timedelta(), deadlines.RETRY_FIRST):
        world.clock.move(wait)
        again = await look_again(world, deletion)
        assert (again.status, again.last_error, again.receipt) == ("purged", "soft-deleted", None)
    world.stores["europe"].soft_deleted.clear()
    world.clock.move(deadlines.RETRY_MAX)
    assert (await look_again(world, deletion)).status == "verified"


async def test_a_container_that_is_being_deleted_is_deleted_for_reads_and_not_yet_proved() -> None:
    world, deletion = await opted_out()
    store = world.stores["europe"]
    world.clock.set(deletion.not_before)
    name = deletion.containers[0].name
    store.being_deleted.add(name)
    await world.purge.run()
    assert (await world.deletions.get(TENANT, deletion.enrollment_id)).status == "purged"
    again = await look_again(world, deletion)
    assert (again.status, again.last_error) == ("purged", "being-deleted")
    store.being_deleted.clear()
    assert (await look_again(world, deletion)).status == "verified"


async def test_a_container_of_a_day_that_nobody_computed_is_found_and_deleted() -> None:
    """Retention was late, or a writer's clock was ahead: the second look reads names from storage."""
    world, deletion = await purged()
    stray = DayContainer(deletion.enrollment_id, deletion.days[-1] + timedelta(days=2))
    world.stores["europe"].receive_container(stray.name)
    # Listed before it, and neither an end of the list nor a reason to look no further.
    others = [f"{stray.name[0]}-0-notours", DayContainer(stray.name[0] + "f" * 31, deletion.days[0]).name]
    for other in others:
        world.stores["europe"].receive_container(other)
    again = await look_again(world, deletion)
    assert (again.status, again.last_error, again.containers_deleted) == ("scheduled", "containers-found", 4)
    assert again.days == [*deletion.days, stray.day], "the next look deletes it too"
    assert list(world.containers()) == others
    assert (await look_again(world, deletion)).status == "purged"
    assert (await look_again(world, deletion)).status == "verified"


async def died(*_: Any) -> None:
    raise StoreUnavailable("cosmos-503")


@pytest.mark.parametrize("day", [-1, 9], ids=["of the enrollment", "of a day that nobody computed"])
async def test_p6_whatever_a_second_look_finds_is_looked_for_twice_more_though_its_record_is_lost(day: int) -> None:
    world, deletion = await purged()
    stray = DayContainer(deletion.enrollment_id, deletion.days[-1] + timedelta(days=day + 1)).name
    world.stores["europe"].receive_container(stray)
    replace, world.deletion_items.replace = world.deletion_items.replace, died
    await look_again(world, deletion)
    assert stray in world.stores["europe"].containers, "nothing is deleted that is not on record"
    world.deletion_items.replace = replace
    assert [(await look_again(world, deletion)).status for _ in range(3)] == ["scheduled", "purged", "verified"]


async def test_p6_a_second_look_that_sees_nothing_proves_nothing_while_another_deletes_what_it_has_found() -> None:
    world, deletion = await purged()
    store = world.stores["europe"]
    store.receive_container(deletion.containers[0].name)
    delete_container = store.delete_container

    async def slow(name: str) -> bool:
        gone = await delete_container(name)
        store.delete_container = delete_container
        await world.purge.run()
        return gone

    store.delete_container = slow
    assert (await look_again(world, deletion)).status == "scheduled"
    for status in ("purged", "verified"):
        assert (await look_again(world, deletion)).status == status


async def test_p6_a_purge_that_was_held_up_takes_nothing_away_that_came_back_after_the_receipt() -> None:
    world, deletion = await opted_out()
    world.clock.set(deletion.not_before)
    events_of = world.ledger.events_of

    async def held_up(*args: Any) -> Any:
        world.ledger.events_of = events_of
        await world.purge.run()
        assert (await look_again(world, deletion)).status == "verified"
        world.stores["europe"].receive_container(deletion.containers[0].name)
        return await events_of(*args)

    world.ledger.events_of = held_up
    assert (await world.purge.run())["steurope"].outcome == "more", "the next one sees how it stands"
    await world.sweep.run()
    assert [event.containers_found for event in world.ledger.events[TENANT] if isinstance(event, Reappeared)] == [1]


async def test_a_purge_says_what_it_did_and_why_a_look_was_no_proof() -> None:
    world, deletion = await opted_out()
    await world.deletions.expedite(TENANT, deletion.enrollment_id, now=world.clock.now())
    store, name = world.stores["europe"], deletion.containers[0].name

    async def told() -> tuple[str, str | None, Any]:
        world.clock.move(deadlines.RETRY_MAX)
        heartbeat = (await world.purge.run())["steurope"]
        assert (await world.operations.read_all("purge"))["steurope"] == heartbeat
        return heartbeat.outcome, heartbeat.error, heartbeat.counts

    assert await told() == ("done", None, {"purgedDeletions": 1})
    store.being_deleted.add(name)
    assert await told() == ("done", None, {}), "Azure takes a while, as a rule"
    store.being_deleted.clear()
    store.soft_deleted.add(name)
    assert await told() == ("failed", "soft-deleted", {"failures": 1})
    store.soft_deleted.clear()
    store.receive_container(name)
    assert await told() == ("failed", "containers-found", {"failures": 1})
    before = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (before.attempts, before.failures, before.containers_deleted) == (4, 3, 4)
    assert await told() == ("done", None, {"purgedDeletions": 1})
    assert await told() == ("done", None, {"verifiedDeletions": 1})
    done = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (done.last_error, done.failures, done.retry_at, done.attempts) == (None, 0, None, 5)
    assert await told() == ("done", None, {})


async def test_a_second_look_that_fails_proves_nothing() -> None:
    world, deletion = await purged()
    store = world.stores["europe"]
    delete = store.delete_container

    async def fail(container: str) -> bool:
        raise StoreUnavailable("storage-timeout")

    store.delete_container = fail
    assert (await look_again(world, deletion)).status == "purged"
    store.delete_container = delete
    assert (await look_again(world, deletion)).status == "verified"


async def test_a_listing_slower_than_a_runs_bounds_is_used_all_the_same() -> None:
    world, deletion = await purged()
    store = world.stores["europe"]
    listed = store.list_containers

    async def slowly(*args: Any, **kwargs: Any) -> AsyncIterator[ListedContainer]:
        world.clock.move(timedelta(seconds=world.bounds.seconds * kwargs.get("include_deleted", 0)))
        async for each in listed(*args, **kwargs):
            yield each

    store.list_containers = slowly
    assert (await look_again(world, deletion)).status == "verified"


async def test_someone_elses_containers_in_the_shard_say_nothing_about_this_enrollment() -> None:
    world, deletion = await purged()
    other = deletion.enrollment_id[0] + "f" * 31
    world.stores["europe"].receive_container(DayContainer(other, world.clock.now().date()).name)
    world.stores["europe"].receive_container(f"{deletion.enrollment_id[0]}-something")
    assert (await look_again(world, deletion)).status == "verified"


async def test_looks_are_bounded_and_taken_up_by_the_next_run() -> None:
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
        await world.opt_out(tenant)
    await world.feed()
    world.clock.move(timedelta(days=28))
    assert (await world.purge.run())["steurope"].counts == {"purgedDeletions": 2}
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    items = dict(world.deletion_items.items)
    assert (await world.purge.run())["steurope"].counts == {"verifiedDeletions": 2}
    world.deletion_items.items.clear()
    world.deletion_items.items.update(items)
    world.bounds = Bounds(deletions=1)
    assert (await world.purge.run())["steurope"].outcome == "more"
    assert (await world.purge.run())["steurope"].outcome == "done"
    assert {each.value.status for each in world.deletion_items.items.values()} == {"verified"}


async def test_a_run_out_of_time_before_its_looks_concludes_nothing() -> None:
    world, deletion = await purged()
    world.bounds = Bounds(seconds=0.0)
    assert (await look_again(world, deletion)).status == "purged"
    world.bounds = Bounds()
    assert (await look_again(world, deletion)).status == "verified"


async def test_two_runs_at_a_time_make_one_receipt() -> None:
    world, deletion = await purged()
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    replace = world.deletion_items.replace

    async def conflicting(changed: Deletion, etag: str) -> None:
        await replace(changed, etag)
        raise Conflict  # what the slower of the two is told

    world.deletion_items.replace = conflicting
    slower = (await world.purge.run())["steurope"]
    assert (slower.outcome, slower.counts) == ("more", {}), "it has not done it"
    verified = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert verified.status == "verified"
    await world.purge.run()
    assert await world.deletions.get(TENANT, deletion.enrollment_id) == verified


async def test_what_was_signed_proves_a_deletion_whatever_was_made_of_it() -> None:
    world, deletion = await purged()
    done = await look_again(world, deletion)
    event = world.ledger.events[TENANT][-1]
    assert done.receipt is not None and isinstance(event, OptedOut)
    assert done.begun_again().status == "scheduled"
    assert done.begun_again().proved_by(done.receipt_claims, done.receipt.jws, event) == done
    for day in ({"firstDay": "2026-11-22"}, {"lastDay": "2026-11-23"}):  # not all of the enrollment's
        with pytest.raises(ValueError, match=r"^the ledger says something else$"):
            done.proved_by({**done.receipt_claims, **day}, done.receipt.jws, event)


@pytest.mark.parametrize("wrong", ["looks", "opt-out"])
async def test_p6_no_receipt_rests_on_looks_too_near_each_other_nor_on_one_before_the_opt_out(wrong: str) -> None:
    world, deletion = await purged()
    done = await look_again(world, deletion)
    event = world.ledger.events[TENANT][-1]
    assert isinstance(event, OptedOut) and done.receipt is not None
    first = done.receipt.first_look_at if wrong == "looks" else event.at - timedelta(hours=1)
    second = first + timedelta(minutes=1) if wrong == "looks" else done.receipt.second_look_at
    receipt = done.receipt.model_copy(update={"first_look_at": first, "second_look_at": second})
    claimed = done.model_copy(update={"purged_at": first, "receipt": receipt})
    with pytest.raises(ValueError, match="two looks"):
        done.proved_by(claimed.receipt_claims, done.receipt.jws, event)


async def test_p6_a_receipt_counts_only_for_what_is_finished() -> None:
    world, deletion = await purged()
    done = await look_again(world, deletion)
    event = world.ledger.events[TENANT][-1]
    assert isinstance(event, OptedOut)
    early = deletion.model_copy(update={"receipt": done.receipt})  # by whomever
    assert early.bound_to(event, world.clock.now()) == deletion


async def test_p9_a_deletion_that_was_finished_right_at_its_deadline_was_not_late() -> None:
    world, deletion = await purged()
    done = await look_again(world, deletion)
    assert done.receipt is not None
    moment = timedelta(microseconds=1)
    for after, late in ((-moment, False), (timedelta(), False), (moment, True)):
        receipt = done.receipt.model_copy(update={"second_look_at": done.deadline + after})
        finished = done.model_copy(update={"receipt": receipt})
        assert finished.finished_late(done.deadline) is late
        assert not finished.finished_late(done.deadline + moment), "that is for a round of before to tell"
