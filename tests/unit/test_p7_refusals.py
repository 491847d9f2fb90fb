"""P7: whoever is refused a look, or a label, is told in our words what it is that is missing."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.labels import Said
from shared.problems import Forbidden, NotFound, Problem, Unavailable
from shared.review.record import GrantRequest
from tests.changes import opting_out
from tests.unit.reviewed import ASKED, DAY, REVIEWER, container, find, grant_forever, post, reviewed_world, store
from tests.world import OTHER_TENANT, TENANT, World

NOT_THERE = "0" * 32
EARLIER = DAY - timedelta(days=1)
CORRECT = Said(verdict="correct")


def during(world: World, name: str, then: Callable[[], Any], of: Any = None) -> None:
    """Let something happen whenever a store, by itself that of captures, has done what a method of that name does."""
    stored_in = store(world) if of is None else of
    inner = getattr(stored_in, name)

    async def call(*args: Any, **how: Any) -> Any:
        answer = await inner(*args, **how)
        then()
        return answer

    setattr(stored_in, name, call)


async def revoke_anothers(world: World, batch_id: str) -> Any:
    [grant] = (await world.access.grants(TENANT, limit=1, before=None)).values
    return await world.access.revoke(TENANT, grant.grant_id, "another", any_grant=False)


async def approve_ones_own(world: World, batch_id: str) -> Any:
    grant = await world.access.request(TENANT, REVIEWER, ASKED)
    return await world.access.approve(TENANT, grant.grant_id, REVIEWER)


async def put(world: World, batch_id: str, line: int = 0, day: Any = DAY) -> Any:
    return await world.services().labelling.put(TENANT, REVIEWER, day, batch_id, line, CORRECT)


async def labels(world: World, batch_id: str) -> Any:
    return await world.services().labelling.of_batch(TENANT, REVIEWER, DAY, batch_id)


async def labels_of_a_day_that_goes(world: World, batch_id: str) -> Any:
    await put(world, batch_id)
    during(world, "list_blobs", lambda: store(world).being_deleted.add(container(world)))

    async def refuse(*args: Any) -> Any:
        store(world)._refuse_being_deleted(container(world))

    store(world).read_beside = refuse  # type: ignore[method-assign]
    return await labels(world, batch_id)


async def label_of_a_day_that_goes(world: World, batch_id: str) -> Any:
    during(world, "read_beside", lambda: store(world).containers.pop(container(world), None))
    return await put(world, batch_id)


async def label_after_looks_that_are_too_old(world: World, batch_id: str) -> Any:
    inner = store(world).write_beside

    async def late(*args: Any) -> None:
        world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))
        await inner(*args)

    store(world).write_beside = late  # type: ignore[method-assign]
    return await put(world, batch_id)


async def read_with_slow_looks(world: World, batch_id: str) -> Any:
    during(world, "read_grant", lambda: world.clock.move(timedelta(seconds=9)), world.access_store)
    return await world.access.read(TENANT, REVIEWER, DAY, batch_id)


async def read_until_after_the_deadline(world: World, batch_id: str) -> Any:
    event = await world.opt_out()
    grant_forever(world)
    world.retention_days = 60  # so that it is not the day that ends
    world.clock.set(event.deadline - timedelta(seconds=1))
    during(world, "read_grant", lambda: world.clock.set(event.deadline), world.access_store)
    return await world.services().access.read(TENANT, REVIEWER, DAY, batch_id)


async def read_after_the_deadline(world: World, batch_id: str) -> Any:
    event = await world.opt_out()
    grant_forever(world)
    world.retention_days = 60
    world.clock.set(event.deadline)
    return await world.services().access.read(TENANT, REVIEWER, DAY, batch_id)


async def read_after_the_day(world: World, batch_id: str) -> Any:
    grant_forever(world)
    world.clock.set(deadlines.day_deadline(DAY, world.retention_days))
    return await world.access.read(TENANT, REVIEWER, DAY, batch_id)


async def read_after_review_was_stopped(world: World, batch_id: str, *, later: bool) -> Any:
    if later:
        await world.data_sharing.put(TENANT, opting_out())
    await world.data_sharing.put(TENANT, opting_out(stop_review=True))
    return await world.access.read(TENANT, REVIEWER, DAY, batch_id)


async def request_of_another_enrollment(world: World, batch_id: str) -> Any:
    asked = GrantRequest(ASKED.purpose, ASKED.justification, ASKED.duration_minutes, NOT_THERE)
    return await world.access.request(TENANT, REVIEWER, asked)


REFUSALS: dict[str, tuple[Callable[[World, str], Awaitable[Any]], str]] = {
    "another's grant": (revoke_anothers, Forbidden.OTHERS_GRANT),
    "one's own grant": (approve_ones_own, Forbidden.OWN_GRANT),
    "a tenant that never shared": (
        lambda world, _: world.access.request(OTHER_TENANT, REVIEWER, ASKED),
        NotFound.NEVER_SHARED,
    ),
    "batches of no day": (
        lambda world, _: world.access.batches(TENANT, REVIEWER, EARLIER, limit=1, after=None),
        NotFound.DAY,
    ),
    "no batch": (lambda world, _: world.access.read(TENANT, REVIEWER, DAY, NOT_THERE), NotFound.BATCH),
    "search of no day": (lambda world, _: find(world, lastDay=EARLIER), NotFound.DAY),
    "labels of no batch": (lambda world, _: labels(world, NOT_THERE), NotFound.BATCH),
    "labels of a day that goes": (labels_of_a_day_that_goes, NotFound.BATCH),
    "agreement of no day": (
        lambda world, _: world.services().labelling.agreement(TENANT, REVIEWER, None, EARLIER),
        NotFound.DAY,
    ),
    "label on no day": (lambda world, batch_id: put(world, batch_id, day=EARLIER), NotFound.CAPTURE),
    "label on no line": (lambda world, batch_id: put(world, batch_id, 1), NotFound.CAPTURE),
    "label of a day that goes": (label_of_a_day_that_goes, NotFound.CAPTURE),
    "label after old looks": (label_after_looks_that_are_too_old, Unavailable.GRANT),
    "slow looks": (read_with_slow_looks, Unavailable.GRANT),
    "day over": (read_after_the_day, NotFound.DAY_GONE),
    "after the deadline": (read_after_the_deadline, NotFound.ENROLLMENT),
    "deadline meanwhile": (read_until_after_the_deadline, NotFound.DAY_GONE),
    "review stopped": (
        lambda world, batch_id: read_after_review_was_stopped(world, batch_id, later=False),
        NotFound.REVIEW_STOPPED,
    ),
    "review stopped later": (
        lambda world, batch_id: read_after_review_was_stopped(world, batch_id, later=True),
        NotFound.REVIEW_STOPPED,
    ),
    "no enrollment": (request_of_another_enrollment, NotFound.ENROLLMENT),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_p7_who_is_refused_is_told_what_is_missing(what: str) -> None:
    ask, told = REFUSALS[what]
    world = await reviewed_world()
    batch_id = await post(world, {})
    with pytest.raises(Problem) as refused:
        await ask(world, batch_id)
    assert refused.value.detail == told
