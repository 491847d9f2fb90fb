"""P7 and P10: no content without a live grant, a purpose, and a record that was committed before."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.grants import AccessDetails, GrantStatus
from shared.ports import Conflict, StoreUnavailable
from shared.problems import (
    Forbidden,
    GeoNotServed,
    GrantNotPending,
    GrantRequired,
    NotFound,
    Problem,
    PurposeRefused,
    Unavailable,
)
from shared.review.record import GrantRequest
from shared.stores.memory import MemoryCaptures
from tests.clocks import START
from tests.unit.sweeps import put, told, verified
from tests.world import OTHER_TENANT, TENANT, World

REVIEWER, OTHER_REVIEWER, APPROVER = "reviewer", "other-reviewer", "approver"
ASKED = GrantRequest("improve", "To see why formulas are refused so often.", 60)
DAY = START.date()


async def shared_world() -> tuple[World, str]:
    """Return a world with one stored batch, and the batch's id."""
    world = World()
    await world.opt_in()
    return world, (await world.post("hello")).batch_id


async def granted(world: World, reviewer: str = REVIEWER) -> str:
    grant = await world.access.request(TENANT, reviewer, ASKED)
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    return grant.grant_id


async def read(world: World, batch_id: str, reviewer: str = REVIEWER, day: date = DAY) -> list[Any]:
    content = await world.access.read(TENANT, reviewer, day, batch_id)
    return [json.loads(line) for line in content.splitlines()]


def actions(world: World, tenant: str = TENANT) -> list[str]:
    return [record.action for record in world.access_store.records.get(tenant, [])]


async def refused(world: World, batch_id: str, problem: type[Problem]) -> None:
    """Assert that nothing can be seen, and that storage has not even been asked."""
    for store in world.stores.values():
        store.read_batch = store.list_batches = store.list_containers = None
    for look in (
        world.access.read(TENANT, REVIEWER, DAY, batch_id),
        world.access.batches(TENANT, REVIEWER, DAY, limit=10, after=None),
        world.access.days(TENANT, REVIEWER),
    ):
        with pytest.raises(problem):
            await look


async def test_a_reviewer_with_a_live_grant_reads_and_each_look_is_on_the_record() -> None:
    world, batch_id = await shared_world()
    grant_id = await granted(world)
    assert await world.access.days(TENANT, REVIEWER) == [DAY]
    assert await world.access.batches(TENANT, REVIEWER, DAY, limit=10, after=None) == [batch_id]
    assert [line["input"] for line in await read(world, batch_id)] == ["hello"]
    assert actions(world) == ["requested", "approved", "listed", "listed", "read"]
    assert [each.day for each in world.access_store.records[TENANT][2:]] == [None, f"{DAY}", f"{DAY}"]
    last = (await world.access.log(TENANT, limit=1, before=None)).values[0]
    assert last.to_json() == {
        "recordId": last.record_id,
        "tenantId": TENANT,
        "sequence": 5,
        "at": "2026-11-21T12:00:02.000000Z",
        "action": "read",
        "actor": REVIEWER,
        "purpose": "improve",
        "grantId": grant_id,
        "enrollmentId": world.ledger.settings[TENANT].value.enrollment.enrollment_id,
        "justification": ASKED.justification,
        "day": "2026-11-21",
        "batchId": batch_id,
        "lockbox": "notApplicable",
    }


async def test_a_grant_and_its_records_say_who_asked_who_approved_who_revoked_and_when() -> None:
    world, _ = await shared_world()
    asked_at = world.clock.now()
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    world.clock.move(timedelta(minutes=1))
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    world.clock.move(timedelta(minutes=1))
    revoked = await world.access.revoke(TENANT, grant.grant_id, "guard", any_grant=True)
    assert revoked == await world.access_store.read_grant(TENANT, grant.grant_id)
    minute = timedelta(minutes=1)
    assert revoked.model_dump(exclude={"grant_id", "enrollment_id", "tenant_id"}) == {
        "sequence": 1,
        "purpose": "improve",
        "justification": ASKED.justification,
        "duration_minutes": 60,
        "requested_by": REVIEWER,
        "requested_at": asked_at,
        "approved_by": APPROVER,
        "approved_at": asked_at + minute,
        "expires_at": asked_at + 61 * minute,
        "revoked_by": "guard",
        "revoked_at": asked_at + 2 * minute,
    }
    records = (await world.access.log(TENANT, limit=10, before=None)).values
    assert [(record.action, record.actor, record.at - asked_at, record.purpose) for record in reversed(records)] == [
        ("requested", REVIEWER, 0 * minute, "improve"),
        ("approved", APPROVER, minute, "improve"),
        ("revoked", "guard", 2 * minute, "improve"),
    ]
    about = {(record.grant_id, record.enrollment_id, record.justification) for record in records}
    assert about == {(grant.grant_id, grant.enrollment_id, ASKED.justification)}


async def test_what_may_be_read_is_listed_day_by_day_and_page_by_page() -> None:
    world, _ = await shared_world()
    world.clock.move(timedelta(days=1))
    later = sorted([(await world.post(key=f"key-{n}")).batch_id for n in range(3)])
    world.clock.move(timedelta(days=2))
    await world.post()
    await granted(world)
    days = [DAY, DAY + timedelta(days=1), DAY + timedelta(days=3)]
    for _ in range(2):
        assert await world.access.days(TENANT, REVIEWER) == days
        pages = [
            await world.access.batches(TENANT, REVIEWER, days[1], limit=2, after=after) for after in (None, later[1])
        ]
        assert pages == [later[:2], later[2:]]
        await world.opt_out()
    grants = [await granted(world) for _ in range(2)]
    first = await world.access_store.read_grant(TENANT, grants[0])
    [before] = (await world.access.grants(TENANT, limit=1, before=first.sequence)).values
    assert before.sequence == 1


async def test_a_ledger_that_cannot_be_read_in_full_opens_nothing_and_is_not_told_as_empty() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    await world.opt_out()
    history = world.ledger.history

    async def partly(*args: Any, **kwargs: Any) -> Any:
        return replace(await history(*args, **kwargs), values=[], unreadable=1)

    world.ledger.history = partly
    for look in (read(world, batch_id), world.access.request(TENANT, REVIEWER, ASKED)):
        with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
            await look


async def test_whoever_asks_for_a_grant_needs_no_more_of_the_ledger_than_its_newest_event() -> None:
    world, _ = await shared_world()
    history = world.ledger.history

    async def newest_alone(*args: Any, limit: int, **how: Any) -> Any:
        page = await history(*args, limit=limit, **how)
        return replace(page, unreadable=limit - 1)

    world.ledger.history = newest_alone
    assert (await world.access.request(TENANT, REVIEWER, ASKED)).requested_by == REVIEWER


async def test_whoever_asks_for_a_grant_asks_for_the_newest_enrollment_whatever_came_back_of_an_older_one() -> None:
    world, old = await verified()
    setting = await world.opt_in()
    put(world, "europe", old.enrollment_id, world.clock.now().date())
    await world.sweep.run()
    assert [event.enrollment_id for event in told(world)] == [old.enrollment_id]
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    assert setting.enrollment is not None and grant.enrollment_id == setting.enrollment.enrollment_id


async def test_without_a_grant_nothing_is_seen() -> None:
    world, batch_id = await shared_world()
    await refused(world, batch_id, GrantRequired)
    assert actions(world) == []


async def test_a_pending_lapsed_revoked_expired_or_anothers_grant_opens_nothing() -> None:
    for spoil in ("pending", "lapsed", "revoked", "expired", "another's", "another tenant's"):
        world, batch_id = await shared_world()
        if spoil == "another tenant's":
            await world.opt_in(OTHER_TENANT)
            grant = await world.access.request(OTHER_TENANT, REVIEWER, ASKED)
            await world.access.approve(OTHER_TENANT, grant.grant_id, APPROVER)
        elif spoil == "another's":
            await granted(world, OTHER_REVIEWER)
        elif spoil in {"pending", "lapsed"}:
            grant = await world.access.request(TENANT, REVIEWER, ASKED)
            world.clock.move(timedelta(hours=24 * (spoil == "lapsed")))
        else:
            grant_id = await granted(world)
            if spoil == "revoked":
                await world.access.revoke(TENANT, grant_id, REVIEWER, any_grant=False)
            else:
                world.clock.move(timedelta(minutes=60))
        await refused(world, batch_id, GrantRequired)


async def test_a_grant_ends_by_itself_at_its_last_instant() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    world.clock.move(timedelta(minutes=60) - timedelta(microseconds=1))
    assert await read(world, batch_id)
    world.clock.move(timedelta(microseconds=1))
    with pytest.raises(GrantRequired):
        await read(world, batch_id)


async def test_approvers_see_what_waits_in_every_tenant_and_nothing_that_was_decided_on() -> None:
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
    first = await world.access.request(TENANT, REVIEWER, ASKED)
    world.clock.move(timedelta(hours=1))
    second = await world.access.request(OTHER_TENANT, REVIEWER, ASKED)
    assert await world.access.pending(limit=10) == [first, second]
    assert await world.access.pending(limit=1) == [first], "the one that lapses first"
    await world.access.approve(OTHER_TENANT, second.grant_id, APPROVER)
    third = await world.access.request(OTHER_TENANT, REVIEWER, ASKED)
    await world.access.revoke(OTHER_TENANT, third.grant_id, REVIEWER, any_grant=False)
    assert await world.access.pending(limit=10) == [first]
    world.clock.move(timedelta(hours=23) - timedelta(microseconds=1))
    assert await world.access.pending(limit=10) == [first]
    world.clock.move(timedelta(microseconds=1))
    assert await world.access.pending(limit=10) == []
    assert actions(world) == ["requested"], "looking at the list is no look at captures"


async def test_a_grant_that_nobody_approved_within_24_hours_has_lapsed() -> None:
    world, _ = await shared_world()
    for waited, approved in ((timedelta(hours=24) - timedelta(microseconds=1), True), (timedelta(hours=24), False)):
        grant = await world.access.request(TENANT, REVIEWER, ASKED)
        world.clock.set(grant.requested_at + waited)
        if approved:
            granted = await world.access.approve(TENANT, grant.grant_id, APPROVER)
            assert granted.expires_at is not None
            assert granted.status(granted.expires_at - timedelta(microseconds=1)) is GrantStatus.APPROVED
            assert granted.status(granted.expires_at) is GrantStatus.EXPIRED
            continue
        with pytest.raises(GrantNotPending) as refused:
            await world.access.approve(TENANT, grant.grant_id, APPROVER)
        assert "lapsed" in str(refused.value.detail)
        assert grant.status(world.clock.now()) is GrantStatus.LAPSED
        assert await world.access.revoke(TENANT, grant.grant_id, APPROVER, any_grant=True) == grant, "it has ended"


async def test_whoever_asked_does_not_approve() -> None:
    world, _ = await shared_world()
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    with pytest.raises(Forbidden):
        await world.access.approve(TENANT, grant.grant_id, REVIEWER)
    assert actions(world) == ["requested"]


@pytest.mark.parametrize(
    "purpose", ["train", "training", "train-foundation-model", "Foundation model training", "improving", "marketing"]
)
async def test_any_other_purpose_is_refused_by_name_and_recorded(purpose: str) -> None:
    world, _ = await shared_world()
    with pytest.raises(PurposeRefused):
        await world.access.request(TENANT, REVIEWER, GrantRequest(purpose, "x" * 20, 60))
    [record] = (await world.access.log(TENANT, limit=10, before=None)).values
    assert (record.action, record.purpose, record.grant_id) == ("purposeRefused", purpose, None)
    assert (record.actor, record.justification, record.enrollment_id) == (REVIEWER, "x" * 20, None)
    assert (await world.access.grants(TENANT, limit=10, before=None)).values == []


async def test_two_approvals_at_a_time_make_one_record_and_one_expiry() -> None:
    world, _ = await shared_world()
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    answers = await asyncio.gather(*(world.access.approve(TENANT, grant.grant_id, f"approver-{n}") for n in range(5)))
    assert len({(answer.approved_by, answer.expires_at) for answer in answers}) == 1
    assert actions(world) == ["requested", "approved"]


async def test_an_approval_that_races_a_revocation_ends_revoked_or_refused() -> None:
    for first in (0, 1):
        world, batch_id = await shared_world()
        grant = await world.access.request(TENANT, REVIEWER, ASKED)
        calls = [
            world.access.approve(TENANT, grant.grant_id, APPROVER),
            world.access.revoke(TENANT, grant.grant_id, REVIEWER, any_grant=False),
        ]
        await asyncio.gather(*(calls if first == 0 else reversed(calls)), return_exceptions=True)
        stored = await world.access_store.read_grant(TENANT, grant.grant_id)
        assert stored.status(world.clock.now()) is GrantStatus.REVOKED
        assert actions(world) in (["requested", "approved", "revoked"], ["requested", "revoked"])
        with pytest.raises(GrantRequired):
            await read(world, batch_id)


async def test_a_revocation_between_decision_and_record_wins() -> None:
    world, batch_id = await shared_world()
    grant_id = await granted(world)
    store = world.access_store
    commit = store.commit

    async def revoked_first(*args: Any, **how: Any) -> None:
        store.commit = commit
        await world.access.revoke(TENANT, grant_id, APPROVER, any_grant=True)
        await commit(*args, **how)

    store.commit = revoked_first
    with pytest.raises(GrantRequired):
        await read(world, batch_id)
    assert actions(world) == ["requested", "approved", "revoked"]


@pytest.mark.parametrize("meanwhile", ["revoked", "expired", "day over", "deadline", "purged"])
@pytest.mark.parametrize("look", ["read", "batches", "days"])
async def test_nothing_leaves_once_its_grant_or_day_has_ended_however_slow_storage_was(
    meanwhile: str, look: str
) -> None:
    world, batch_id = await shared_world()
    grant_id = await granted(world)
    access, store = world.access, world.stores["europe"]
    if meanwhile in {"deadline", "purged"}:
        await world.opt_out()
        await world.feed()

    async def later() -> None:
        if meanwhile == "revoked":
            await access.revoke(TENANT, grant_id, APPROVER, any_grant=True)
        elif meanwhile == "purged":
            [stored] = world.deletion_items.items.values()
            await world.deletion_items.replace(stored.value.model_copy(update={"status": "purged"}), stored.etag)
        elif meanwhile == "expired":
            world.clock.move(timedelta(hours=2))
        else:
            # A grant that outlives both, so that it is the day or the deadline that is looked at.
            granted = world.access_store.granted
            ends = {"expires_at": START + timedelta(days=40)}
            granted.update({key: grant.model_copy(update=ends) for key, grant in granted.items()})
            world.clock.move(timedelta(days=30))

    slow_read, slow_list, slow_containers = store.read_batch, store.list_batches, store.list_containers

    async def slowly_read(*args: Any, **kwargs: Any) -> Any:
        content = await slow_read(*args, **kwargs)
        await later()
        return content

    async def slowly_list(*args: Any, **kwargs: Any) -> Any:
        listed = await slow_list(*args, **kwargs)
        await later()
        return listed

    async def slowly_containers(*args: Any, **kwargs: Any) -> Any:
        async for each in slow_containers(*args, **kwargs):
            yield each
        await later()

    store.read_batch, store.list_batches, store.list_containers = slowly_read, slowly_list, slowly_containers
    looks: dict[str, Callable[[], Awaitable[Any]]] = {
        "read": lambda: access.read(TENANT, REVIEWER, DAY, batch_id),
        "batches": lambda: access.batches(TENANT, REVIEWER, DAY, limit=10, after=None),
        "days": lambda: access.days(TENANT, REVIEWER),
    }
    if (meanwhile, look) == ("day over", "days"):
        assert await looks[look]() == []
        return
    with pytest.raises(GrantRequired if meanwhile in {"revoked", "expired"} else NotFound):
        await looks[look]()
    assert actions(world).count("read" if look == "read" else "listed") == 1


@pytest.mark.parametrize("stands_still", ["", "monotonic", "wall"])
async def test_a_last_look_at_the_grant_that_takes_long_is_taken_again_and_then_given_up(stands_still: str) -> None:
    world, batch_id = await shared_world()
    await granted(world)
    read_grant, looks = world.access_store.read_grant, list[Any]()

    async def slowly(*args: Any) -> Any:
        looks.append(args)
        found = await read_grant(*args)
        wall, passed = world.clock.now(), timedelta(seconds=1 if len(looks) == 3 else 2)
        if stands_still == "monotonic":
            world.clock.move_wall(passed)
        else:
            world.clock.move(passed)
        if stands_still == "wall":
            world.clock.set(wall)
        return found

    world.access_store.read_grant = slowly
    assert await read(world, batch_id)
    assert len(looks) == 3
    with pytest.raises(Unavailable):
        await read(world, batch_id)
    assert len(looks) == 6


async def test_what_cannot_be_recorded_is_not_read() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    for error in (StoreUnavailable("cosmos-503"), Conflict()):

        async def fail(*args: Any, error: Exception = error, **how: Any) -> None:
            raise error

        world.access_store.commit = fail
        await refused(world, batch_id, type(error))  # type: ignore[arg-type]
    assert actions(world) == ["requested", "approved"]


@pytest.mark.parametrize("others", [0, 1])
async def test_a_record_whose_answer_was_lost_is_written_once(others: int) -> None:
    world, batch_id = await shared_world()
    await granted(world)
    commit = world.access_store.commit

    async def twice(*args: Any, **how: Any) -> None:
        world.access_store.commit = commit
        await commit(*args, **how)
        for _ in range(others):
            await world.access.days(TENANT, REVIEWER)  # which is the newest on the record now
        raise Conflict

    world.access_store.commit = twice
    assert await read(world, batch_id)
    assert actions(world).count("read") == 1


async def test_equal_looks_at_a_time_are_each_on_the_record() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    looks = await asyncio.gather(*(read(world, batch_id) for _ in range(12)))
    assert len(looks) == actions(world).count("read") == 12, "though reviewer, batch and instant are the same"


async def test_what_storage_gives_only_after_the_days_deadline_stays_here() -> None:
    world, batch_id = await shared_world()
    world.clock.set(START.replace(hour=0) + timedelta(days=30) - timedelta(seconds=1))
    await granted(world)
    store = world.stores["europe"]
    answer = store.read_batch

    async def slowly(*args: Any) -> bytes:
        world.clock.move(timedelta(seconds=1))
        return await answer(*args)  # type: ignore[no-any-return]

    store.read_batch = slowly
    with pytest.raises(NotFound):
        await read(world, batch_id)


@pytest.mark.parametrize(
    "damaged",
    [b"garbage", b"\x1f\x8b\x08\x00", gzip.compress(b"x" * 99, mtime=0)[:-9]],
    ids=["no gzip", "a header alone", "cut off"],
)
async def test_a_damaged_batch_is_told_as_that(damaged: bytes) -> None:
    world, batch_id = await shared_world()
    await granted(world)
    [batches] = world.containers().values()
    batches[batch_id] = (damaged, batches[batch_id][1])
    with pytest.raises(StoreUnavailable, match=r"^batch-unreadable$"):
        await read(world, batch_id)


async def test_grants_for_purged_data_hide_none_that_is_live_whichever_is_newer() -> None:
    world = World()
    await world.opt_in()
    old = await world.opt_out()
    await world.feed()
    await world.opt_in()
    batch_id = (await world.post()).batch_id
    for enrollment_id in (old.enrollment_id, None, old.enrollment_id):
        world.clock.move(timedelta(minutes=1))
        grant = await world.access.request(TENANT, REVIEWER, GrantRequest("build", "x" * 20, 60, enrollment_id))
        await world.access.approve(TENANT, grant.grant_id, APPROVER)
    await world.deletions.expedite(TENANT, old.enrollment_id, now=world.clock.now())
    await world.purge.run()
    assert await read(world, batch_id)


async def test_many_looks_at_a_time_make_one_log_in_one_order() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    await asyncio.gather(*(read(world, batch_id) for _ in range(8)))
    log = (await world.access.log(TENANT, limit=100, before=None)).values
    assert [record.sequence for record in log] == list(range(10, 0, -1))
    pages = [(await world.access.log(TENANT, limit=4, before=before)).values for before in (None, 7, 3)]
    assert [record for page in pages for record in page] == list(log)


async def test_after_an_opt_out_reading_goes_on_until_the_data_is_purged() -> None:
    world, batch_id = await shared_world()
    event = await world.opt_out()
    await granted(world)
    assert await read(world, batch_id), "before the feed has come to it"
    await world.feed()
    assert await read(world, batch_id)
    assert await world.access.days(TENANT, REVIEWER) == [DAY]
    await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    await world.purge.run()
    await refused(world, batch_id, NotFound)
    with pytest.raises(NotFound):
        await world.access.request(TENANT, REVIEWER, ASKED)


async def test_after_the_deadline_nothing_is_read_however_late_the_purge_is() -> None:
    world, _ = await shared_world()
    event = await world.opt_out()
    await world.feed()
    world.clock.set(event.deadline - timedelta(microseconds=1))
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    assert await world.access.days(TENANT, REVIEWER) == []  # its one day is past its own deadline
    world.clock.set(event.deadline)
    await refused(world, "0" * 32, NotFound)


async def test_after_a_days_deadline_it_is_not_read_however_late_retention_is() -> None:
    world, batch_id = await shared_world()
    world.clock.set(START.replace(hour=0) + timedelta(days=30) - timedelta(microseconds=1))
    await granted(world)
    assert await read(world, batch_id)
    told = actions(world)
    world.clock.move(timedelta(microseconds=1))
    for look in (read(world, batch_id), world.access.batches(TENANT, REVIEWER, DAY, limit=1, after=None)):
        with pytest.raises(NotFound):
            await look
    assert actions(world) == told, "nor is it on the record as looked at"
    assert await world.access.days(TENANT, REVIEWER) == []


@pytest.mark.parametrize("what", ["grant", "day", "enrollment"])
async def test_no_look_is_on_the_record_at_an_instant_at_which_it_was_too_late_though_the_clock_was_set_back(
    what: str,
) -> None:
    world, _ = await shared_world()
    end = deadlines.day_deadline(DAY, 30)
    if what == "enrollment":
        end = (await world.opt_out()).deadline
    world.clock.set(end - timedelta(minutes=10))
    await granted(world)
    if what == "grant":
        end = world.clock.now() + timedelta(minutes=ASKED.duration_minutes)
    record, read_setting = world.access.record, world.ledger.read_setting
    opened = await record.opened(TENANT, REVIEWER, world.clock.now())
    before = actions(world)

    async def set_back(tenant_id: str) -> Any:
        world.ledger.read_setting = read_setting
        world.clock.move_wall(-timedelta(seconds=5))
        return await read_setting(tenant_id)

    world.ledger.read_setting = set_back
    world.clock.set(end + timedelta(seconds=1))
    with pytest.raises((GrantRequired, NotFound)):
        await record.open(TENANT, REVIEWER, "read", day=DAY if what == "day" else None)
    assert actions(world) == before
    world.ledger.read_setting = set_back
    world.clock.set(end + timedelta(seconds=1))
    told = record.tell(opened, "found", [DAY], lambda live: AccessDetails(captures=len(live)))
    if what == "day":
        assert (await told, world.access_store.records[TENANT][-1].captures) == (frozenset(), 0)
    else:
        with pytest.raises((GrantRequired, NotFound)):
            await told
        assert actions(world) == before


async def test_opting_in_again_opens_nothing_of_the_new_enrollment_to_an_old_grant() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    await world.opt_out()
    await world.opt_in()
    new = await world.post("new", key="new")
    assert await read(world, batch_id)
    with pytest.raises(NotFound):
        await read(world, new.batch_id)


async def test_a_grant_for_an_older_enrollment_is_asked_for_by_its_id() -> None:
    world, batch_id = await shared_world()
    old = (await world.opt_out()).enrollment_id
    await world.opt_in()
    grant = await world.access.request(TENANT, REVIEWER, GrantRequest("build", "x" * 20, 60, old))
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    assert await read(world, batch_id)
    with pytest.raises(NotFound):
        await world.access.request(TENANT, REVIEWER, GrantRequest("build", "x" * 20, 60, "0" * 32))


async def test_what_is_not_there_is_not_found() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    with pytest.raises(NotFound):
        await read(world, "0" * 32)
    with pytest.raises(NotFound):
        await read(world, batch_id, day=DAY + timedelta(days=1))
    with pytest.raises(NotFound):
        await world.access.batches(TENANT, REVIEWER, DAY + timedelta(days=1), limit=1, after=None)
    with pytest.raises(NotFound):
        await world.access.request(OTHER_TENANT, REVIEWER, ASKED)
    for call in (world.access.approve(TENANT, "0" * 32, APPROVER),):
        with pytest.raises(NotFound):
            await call


async def test_data_in_an_account_that_is_not_ours_is_not_looked_for_elsewhere() -> None:
    world, batch_id = await shared_world()
    await granted(world)
    store = MemoryCaptures("stsomeoneelse")
    store.receive_container(DayContainer("1" + "0" * 30 + "1", DAY).name)
    world.stores["europe"] = store
    await refused(world, batch_id, GeoNotServed)


async def test_a_grant_that_has_ended_is_not_approved_and_revoking_it_changes_nothing() -> None:
    world, _ = await shared_world()
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    with pytest.raises(Forbidden):
        await world.access.revoke(TENANT, grant.grant_id, OTHER_REVIEWER, any_grant=False)
    revoked = await world.access.revoke(TENANT, grant.grant_id, APPROVER, any_grant=True)
    assert await world.access.revoke(TENANT, grant.grant_id, APPROVER, any_grant=True) == revoked
    with pytest.raises(GrantNotPending):
        await world.access.approve(TENANT, grant.grant_id, APPROVER)
    assert actions(world) == ["requested", "revoked"]


async def test_of_two_live_grants_the_one_approved_last_counts() -> None:
    world, batch_id = await shared_world()
    first, second = [await world.access.request(TENANT, REVIEWER, ASKED) for _ in range(2)]
    for grant in (second, first):
        await world.access.approve(TENANT, grant.grant_id, APPROVER)
        world.clock.move(timedelta(minutes=1))
    await read(world, batch_id)
    assert world.access_store.records[TENANT][-1].grant_id == first.grant_id
    [newest] = (await world.access.grants(TENANT, limit=1, before=None)).values
    assert newest.grant_id == second.grant_id


async def test_endless_conflicts_end() -> None:
    world, _ = await shared_world()

    async def never(*args: object, **how: object) -> None:
        raise Conflict

    world.access_store.commit = never
    with pytest.raises(Conflict):
        await world.access.request(TENANT, REVIEWER, ASKED)
