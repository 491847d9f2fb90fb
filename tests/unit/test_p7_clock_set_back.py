"""P7, P4, P5: what goes on the record is judged at the instant that it tells, though the clock is set back since."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.problems import GrantRequired, NotFound
from shared.review.record import GrantRequest
from tests.unit.reviewed import (
    APPROVER,
    ASKED,
    DAY,
    REVIEWER,
    find,
    granted,
    post,
    reviewed_world,
    sample,
    selected,
    store,
)
from tests.world import TENANT, World

SECOND = timedelta(seconds=1)
FIRST_DAY = {"firstDay": DAY, "lastDay": DAY}
Wish = Callable[[World, str, str], Awaitable[Any]]
WISHES: dict[str, Wish] = {
    "request": lambda world, grant_id, export_id: world.access.request(TENANT, REVIEWER, ASKED),
    "approve": lambda world, grant_id, export_id: world.access.approve(TENANT, grant_id, APPROVER),
    "list": lambda world, grant_id, export_id: world.access.days(TENANT, REVIEWER),
    "read": lambda world, grant_id, export_id: world.access.read(TENANT, REVIEWER, DAY, "0" * 32),
    "find": lambda world, grant_id, export_id: find(world, **FIRST_DAY),
    "sample": lambda world, grant_id, export_id: sample(world, 1, 1, **FIRST_DAY),
    "compare": lambda world, grant_id, export_id: world.services().labelling.agreement(TENANT, REVIEWER, DAY, DAY),
    "export": lambda world, grant_id, export_id: world.services().exporting.request(
        TENANT, REVIEWER, selected(**FIRST_DAY)
    ),
    "download": lambda world, grant_id, export_id: world.services().exporting.download(
        TENANT, REVIEWER, export_id, 0, None
    ),
}


async def before_the_end(of: str) -> tuple[World, datetime, str, str]:
    """Return a world before something ends, when it does, and the ids of a pending grant and an export."""
    world = await reviewed_world()
    await post(world, {"input": "hello"})
    export = await world.services().exporting.request(TENANT, REVIEWER, selected())
    assert export.status == "ready"
    if of == "grant":
        [end] = [grant.expires_at for grant in world.access_store.granted.values()]
    else:
        end = (await world.opt_out()).deadline if of == "enrollment" else deadlines.day_deadline(DAY, 30)
        world.clock.set(end - timedelta(minutes=10))
        await granted(world)
    pending = await world.access.request(TENANT, REVIEWER, ASKED)
    return world, end, pending.grant_id, export.export_id


def set_back_behind(end: datetime, world: World) -> None:
    """Let the wall clock be set back behind an instant while a setting, or an export, is read after it."""

    def setting_back(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def back(*what: str) -> Any:
            if world.clock.now() >= end:
                world.clock.set(end - timedelta(minutes=6))
            return await read(*what)

        return back

    world.ledger.read_setting = setting_back(world.ledger.read_setting)
    world.access_store.read_export = setting_back(world.access_store.read_export)


@pytest.mark.parametrize(
    ("wish", "end_of"),
    [
        *((wish, "enrollment") for wish in ("request", "approve")),
        *((wish, "grant") for wish in ("list", "read", "find", "sample", "compare", "export", "download")),
        *((wish, "day") for wish in ("read", "find", "sample", "compare", "export", "download")),
    ],
)
async def test_nothing_is_on_the_record_at_an_instant_at_which_it_was_too_late(wish: str, end_of: str) -> None:
    world, end, grant_id, export_id = await before_the_end(end_of)
    before = list(world.access_store.records[TENANT])
    world.clock.set(end + SECOND)
    set_back_behind(end, world)
    with pytest.raises((GrantRequired, NotFound)):
        await WISHES[wish](world, grant_id, export_id)
    assert world.access_store.records[TENANT] == before


async def test_no_export_is_ready_at_an_instant_at_which_its_day_was_over() -> None:
    world, end, _, _ = await before_the_end("day")
    head, files = world.access_store.head, len(store(world).beside)

    async def over(tenant_id: str) -> Any:
        if len(store(world).beside) >= files + 2:  # what was asked for, and the file
            world.clock.set(end + SECOND)
        return await head(tenant_id)

    world.access_store.head = over
    set_back_behind(end, world)
    export = await world.services().exporting.request(TENANT, REVIEWER, selected())
    assert (export.status, export.reason) == ("stopped", "data-gone")


async def test_of_two_grants_the_one_whose_enrollment_was_over_then_hides_the_other_no_more() -> None:
    world, end, _, _ = await before_the_end("enrollment")
    [ended] = {event.enrollment_id for event in world.ledger.events[TENANT]}
    await world.opt_in()
    await granted(world, asked=replace(ASKED, enrollment_id=None))
    await granted(world, asked=GrantRequest(ASKED.purpose, ASKED.justification, 480, ended))
    record = world.access.record
    assert (await record.open(TENANT, REVIEWER, "listed")).enrollment_id == ended
    world.clock.set(end + SECOND)
    set_back_behind(end, world)
    assert (await record.open(TENANT, REVIEWER, "listed")).enrollment_id != ended


async def test_a_day_that_had_begun_then_is_looked_through_though_it_is_yesterday_again() -> None:
    world = await reviewed_world()
    tomorrow = DAY + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)
    world.clock.set(midnight - SECOND)
    await granted(world)
    world.clock.set(midnight)
    set_back_behind(midnight, world)
    await find(world)
    searched = world.access_store.records[TENANT][-2]
    assert (searched.action, searched.at, searched.last_day) == ("searched", midnight, tomorrow.isoformat())
