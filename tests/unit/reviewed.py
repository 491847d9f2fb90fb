"""A tenant's captures and a reviewer who may look for them, on fakes."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from shared.model.capture import compressed
from shared.model.containers import DayContainer
from shared.model.labels import Label, ReviewerLabels, labels_blob
from shared.model.selection import Selection
from shared.review.finding import Finding, FoundPage
from shared.review.record import GrantRequest
from shared.stores.memory import MemoryCaptures
from tests.clocks import START
from tests.world import TENANT, World, capture, submission

REVIEWER, APPROVER = "reviewer", "approver"
ASKED = GrantRequest("improve", "To see why formulas are refused so often.", 480)
DAY = START.date()


async def granted(world: World, reviewer: str = REVIEWER, tenant: str = TENANT, asked: GrantRequest = ASKED) -> str:
    """Let a reviewer look, and return the grant's id."""
    grant = await world.access.request(tenant, reviewer, asked)
    await world.access.approve(tenant, grant.grant_id, APPROVER)
    return grant.grant_id


def grant_forever(world: World) -> None:
    """Let all grants outlive days and deadlines, so that it is these that are looked at."""
    ends = {"expires_at": START + timedelta(days=40)}
    granted = world.access_store.granted
    granted.update({key: grant.model_copy(update=ends) for key, grant in granted.items()})


async def reviewed_world() -> World:
    """Return a world whose tenant shares data that a reviewer may look at."""
    world = World()
    await world.opt_in()
    await granted(world)
    return world


async def post(world: World, *captures: Mapping[str, Any], key: str = "key-1") -> str:
    """Store a batch of captures that are as these members say, and return its id."""
    said = [{**capture(world.clock.now()), **each} for each in captures]
    sent = [{name: value for name, value in each.items() if value is not ...} for each in said]
    return (await world.captures.submit(TENANT, submission(*sent, key=key))).batch_id


async def post_texts(world: World, *sizes: int) -> list[str]:
    """Store batches of so many captures each, and return what stands in these, in the order in which they lie."""
    batches = {}
    for n, size in enumerate(sizes):
        texts = [f"{n}.{line}" for line in range(size)]
        batches[await post(world, *({"input": text} for text in texts), key=f"key-{n}")] = texts
    return [text for batch_id in sorted(batches) for text in batches[batch_id]]


def store(world: World) -> MemoryCaptures:
    """Return the account in which the captures lie."""
    found = world.stores["europe"]
    assert isinstance(found, MemoryCaptures)
    return found


def container(world: World, day: date = DAY) -> str:
    """Return the name of the container of a day of the tenant's first enrollment."""
    return DayContainer(world.ledger.events[TENANT][0].enrollment_id, day).name


def put_by_hand(world: World, blob: str, content: bytes, day: date = DAY) -> None:
    """Put into a day's container what no request of ours would."""
    store(world).containers[container(world, day)][blob] = (content, "")


def put_lines(world: World, blob: str, *lines: bytes) -> None:
    """Put a batch there whose lines are anything."""
    put_by_hand(world, blob, compressed(lines))


def label(world: World, batch_id: str, line: int, reviewer: str = REVIEWER, **said: Any) -> None:
    """Let a reviewer label one capture of a batch; it is the reviewer's only label in the batch."""
    labels = ReviewerLabels(reviewer=reviewer, labels={line: Label(at=world.clock.now(), **said)})
    store(world)._put_beside(
        container(world), labels_blob(batch_id, reviewer), labels.model_dump_json(by_alias=True).encode()
    )


def selected(**members: Any) -> Selection:
    """Return what a request asks for that has these members."""
    return Selection.model_validate_json(json.dumps(members, default=str))


def finding(world: World) -> Finding:
    """Return what another process finds with."""
    return world.services().finding


async def find(world: World, limit: int = 50, after: str | None = None, **members: Any) -> FoundPage:
    """Return one page of a search."""
    return await finding(world).find(TENANT, REVIEWER, selected(**members), limit=limit, after=after)


async def find_all(world: World, limit: int = 50, **members: Any) -> list[FoundPage]:
    """Return all pages of a search."""
    pages = [await find(world, limit, None, **members)]
    while pages[-1].cursor is not None:
        pages.append(await find(world, limit, pages[-1].cursor, **members))
        assert len(pages) < 300, "it never ends"
    return pages


async def sample(world: World, size: int, seed: int, progress: str | None = None, **members: Any) -> FoundPage:
    """Return one page of a sample."""
    return await finding(world).sample(TENANT, REVIEWER, selected(**members), size=size, seed=seed, progress=progress)


async def sample_all(world: World, size: int, seed: int, **members: Any) -> list[FoundPage]:
    """Return all pages of a sample."""
    pages = [await sample(world, size, seed, None, **members)]
    while pages[-1].cursor is not None:
        pages.append(await sample(world, size, seed, pages[-1].cursor, **members))
    return pages


def inputs(*pages: FoundPage) -> list[Any]:
    """Return what was said to the assistant in the captures on some pages."""
    return [each.found.capture["input"] for page in pages for each in page.value]


def actions(world: World) -> Sequence[str]:
    """Return what is on the record, but for the grant."""
    return [record.action for record in world.access_store.records[TENANT][2:]]


def slowly(world: World, seconds: float, method: str = "read_batch") -> None:
    """Let each call of storage take so long."""
    inner = getattr(store(world), method)

    async def slow(*args: Any, **kwargs: Any) -> Any:
        answer = await inner(*args, **kwargs)
        world.clock.move(timedelta(seconds=seconds))
        return answer

    setattr(store(world), method, slow)
