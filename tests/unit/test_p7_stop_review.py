"""P7: an administrator who wants it lets nobody read any more from the opt-out on, and the record says so."""

from datetime import timedelta
from typing import Any

import pytest

from shared.model.deletion import Reappearance
from shared.model.ledger import OptedOut, ReviewStopped
from shared.ports import StoreUnavailable
from shared.problems import NotFound
from shared.review import access as module
from shared.review.record import GrantRequest
from shared.sweep.reappearances import Reappearances
from tests.changes import opting_in, opting_out
from tests.world import TENANT, World

REVIEWER, APPROVER = "11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555"
WISH = GrantRequest("improve", "To see why formulas fail.", 480)
STOP = opting_out(stop_review=True)


async def reading(world: World) -> tuple[str, str]:
    """A tenant, one of whose batches a reviewer may read: the enrollment and the batch."""
    setting = await world.opt_in()
    stored = await world.post()
    grant = await world.access.request(TENANT, REVIEWER, WISH)
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    assert setting.enrollment is not None
    return setting.enrollment.enrollment_id, stored.batch_id


async def refused(world: World, batch_id: str) -> None:
    day = world.clock.now().date()
    access = world.services().access  # of any instance
    for look in (
        lambda: access.read(TENANT, REVIEWER, day, batch_id),
        lambda: access.batches(TENANT, REVIEWER, day, limit=10, after=None),
        lambda: access.days(TENANT, REVIEWER),
    ):
        with pytest.raises(NotFound):
            await look()


async def test_nothing_is_read_any_more_and_nothing_new_is_granted() -> None:
    world = World()
    enrollment_id, batch_id = await reading(world)
    await world.data_sharing.put(TENANT, STOP)
    await refused(world, batch_id)
    with pytest.raises(NotFound):
        await world.access.request(TENANT, REVIEWER, GrantRequest(**_named(enrollment_id)))
    event = world.ledger.events[TENANT][-1]
    assert isinstance(event, OptedOut) and event.to_json()["stopReview"] is True


async def test_an_opt_out_without_it_leaves_reading_as_it_was() -> None:
    world = World()
    _, batch_id = await reading(world)
    await world.data_sharing.put(TENANT, opting_out())
    assert await world.access.read(TENANT, REVIEWER, world.clock.now().date(), batch_id)
    assert "stopReview" not in world.ledger.events[TENANT][-1].to_json()


async def test_it_can_be_wished_for_after_the_opt_out_and_is_on_the_ledger_once() -> None:
    world = World()
    enrollment_id, batch_id = await reading(world)
    await world.data_sharing.put(TENANT, opting_out())
    off = (await world.data_sharing.get(TENANT)).since
    for _ in range(2):
        setting = await world.data_sharing.put(TENANT, STOP)
        assert (setting.enabled, setting.since, setting.sequence) == (False, off, 3)
    event = world.ledger.events[TENANT][-1]
    assert isinstance(event, ReviewStopped) and event.enrollment_id == enrollment_id
    await refused(world, batch_id)


async def test_it_ends_the_reading_of_that_enrollment_and_of_no_other() -> None:
    world = World()
    _, first = await reading(world)
    await world.data_sharing.put(TENANT, STOP)
    world.clock.move(timedelta(minutes=1))
    _, second = await reading(world)
    day = world.clock.now().date()
    assert await world.access.read(TENANT, REVIEWER, day, second)
    await world.data_sharing.put(TENANT, opting_out())
    assert await world.access.read(TENANT, REVIEWER, day, second)
    with pytest.raises(NotFound):
        await world.access.read(TENANT, REVIEWER, day, first)


async def test_a_look_that_is_under_way_when_it_is_committed_is_not_answered_after_the_opt_out_is() -> None:
    world = World()
    _, batch_id = await reading(world)
    store = world.stores["europe"]
    read = store.read_batch

    async def slow(*args: Any) -> bytes:
        content: bytes = await read(*args)
        await world.data_sharing.put(TENANT, STOP)  # and is answered
        return content

    store.read_batch = slow
    with pytest.raises(NotFound):
        await world.access.read(TENANT, REVIEWER, world.clock.now().date(), batch_id)


@pytest.mark.parametrize("page", [1, 2, 200])
async def test_all_grants_of_the_enrollment_are_revoked_on_the_record(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", page)
    world = World()
    enrollment_id, _ = await reading(world)
    pending = await world.access.request(TENANT, REVIEWER, WISH)
    grants_of, asked = world.access_store.grants, list[int | None]()

    async def told(tenant_id: str, *, limit: int, before: int | None) -> Any:
        assert before not in asked, "the same page again"
        asked.append(before)
        return await grants_of(tenant_id, limit=limit, before=before)

    world.access_store.grants = told
    await world.data_sharing.put(TENANT, STOP)
    for _ in range(2):
        asked.clear()
        await world.access.end_all(TENANT, enrollment_id, "admin")
    asked.clear()
    grants = (await world.access.grants(TENANT, limit=10, before=None)).values
    assert {grant.status(world.clock.now()).value for grant in grants} == {"revoked"}
    records = (await world.access.log(TENANT, limit=10, before=None)).values
    revoked = [record for record in records if record.action == "revoked"]
    assert len(revoked) == 2 and {record.actor for record in revoked} == {"admin"}
    assert pending.grant_id in {record.grant_id for record in revoked}


async def test_a_ledger_on_which_it_may_stand_unread_opens_nothing() -> None:
    world = World()
    _, batch_id = await reading(world)
    await world.data_sharing.put(TENANT, opting_out())
    await world.data_sharing.put(TENANT, STOP)
    history = world.ledger.history

    async def partly(*args: Any, **kwargs: Any) -> Any:
        page = await history(*args, **kwargs)
        return type(page)([each for each in page.values if not isinstance(each, ReviewStopped)], unreadable=1)

    world.ledger.history = partly
    with pytest.raises(StoreUnavailable):
        await world.access.read(TENANT, REVIEWER, world.clock.now().date(), batch_id)


async def test_opting_in_cannot_stop_it_by_the_way() -> None:
    world = World()
    setting = await world.data_sharing.put(TENANT, opting_in("europe", stop_review=True))
    assert setting.enabled
    assert "stopReview" not in world.ledger.events[TENANT][-1].to_json()


def _named(enrollment_id: str) -> dict[str, Any]:
    return {
        "purpose": "improve",
        "justification": "To see why formulas fail.",
        "duration_minutes": 60,
        "enrollment_id": enrollment_id,
    }


async def test_it_can_be_wished_for_however_much_has_come_onto_the_ledger_since_the_opt_out() -> None:
    world = World()
    enrollment_id, _ = await reading(world)
    opted_out = await world.opt_out()
    for n in range(12):
        at = world.clock.now() + timedelta(minutes=n)
        entry = Reappearance(at=at, containers_found=1, proved_at=at)
        await Reappearances(world.ledger).tell(opted_out, entry)
    history, pages = world.ledger.history, list[int | None]()

    async def counted(tenant_id: str, *, limit: int, before: int | None) -> Any:
        pages.append(before)
        assert len(pages) < 10, "it comes to an end"
        return await history(tenant_id, limit=limit, before=before)

    world.ledger.history = counted
    await world.data_sharing.put(TENANT, STOP)
    event = world.ledger.events[TENANT][-1]
    assert isinstance(event, ReviewStopped) and event.enrollment_id == enrollment_id
    assert await world.data_sharing.last_opt_out(await world.data_sharing.get(TENANT)) == opted_out


async def test_the_last_opt_out_of_a_setting_is_not_the_one_that_has_followed_it() -> None:
    world = World()
    await world.opt_in()
    first = await world.opt_out()
    world.clock.move(timedelta(minutes=1))
    setting = await world.opt_in()
    second = await world.opt_out()
    assert second.sequence == setting.sequence + 1
    assert await world.data_sharing.last_opt_out(setting) == first
