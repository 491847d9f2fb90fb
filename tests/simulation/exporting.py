"""Exporters and collectors as clients: spans that are sent again, in other groups, and to several instances at once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.model.spans import Span
from tests.simulation.faults import Aimed
from tests.simulation.oracle import DAY, LATE_LANDING
from tests.simulation.spans import PERSON, Told, nanoseconds

if TYPE_CHECKING:
    from tests.simulation.history import Answer, History

_TRACE = "5b8efff798038103d269b633813fc60c"
_IN_FLIGHT = 5
"""Spans that a collector still has: few, so that groups of them overlap."""

_PERSONS = 3


def spans(history: "History", who: str, count: int) -> list[Told]:
    """Return new spans of a tenant, most of them of the same minute or two; a collector remembers them for a while."""
    made = []
    for _ in range(count):
        history._numbers += 1
        at = timedelta(seconds=history.loop.time() + _offset(history))  # in whole microseconds
        person = f"{PERSON}{history.random.randrange(_PERSONS)}"
        made.append(Told(f"{_TRACE}{history._numbers:016x}", who, at.total_seconds(), person))
    history.in_flight = [*history.in_flight, *made][-_IN_FLIGHT:]
    return made


def _offset(history: "History") -> float:
    random = history.random
    if random.random() < 0.8:
        return -random.choice((0.1, 5.0, 5.0, 90.0)) * random.random()
    edges = (200.0, 200.0, 400.0, -600.0, -0.3 * DAY, -0.99 * DAY, -1.04 * DAY, -2.5 * DAY, -29.5 * DAY)
    return random.choice(edges) - random.random()


def _exported(history: "History", told: Told) -> Span:
    end = nanoseconds(history.setup.base + timedelta(seconds=told.at))
    attributes = {
        "microsoft.tenant.id": told.tenant,
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": f"tag~{told.id}",
        "user.id": told.person,
        "user.name": f"{told.person} by name",
    }
    return Span(told.id[:32], told.id[32:], end - 1000, end, attributes, {}, size=300)


def regrouped(history: "History", group: Sequence[Told]) -> list[Told]:
    """Return what a collector makes of a group: some of it, or some of it with others that it still has."""
    random = history.random
    others = [each for each in history.in_flight if each not in group]
    kept = random.sample(group, random.randint(1, len(group)))
    return kept + random.sample(others, random.randint(0, min(2, len(others))))


async def export(history: "History", group: Sequence[Told], *, attempts: int = 3) -> None:
    """An exporter sends spans until it is answered; a collector on the way may cut them anew before it comes again."""
    random = history.random
    for n in range(attempts):
        answer = await _export_once(history, group)
        if answer.how == "refused" or (answer.how == "ok" and random.random() < 0.85):
            return
        if answer.how == "failed" and n == attempts - 1:
            history.unanswered.append(group)
        await asyncio.sleep(random.choice((0.0, 0.3, 2.0, 40.0)) * random.random())
        if random.random() < 0.4:
            group = regrouped(history, group)


async def _export_once(history: "History", group: Sequence[Told], *, awake: bool = False) -> "Answer":
    oracle = history.oracle.spans
    instance = history.instance(awake=awake)
    sent = oracle.sent(group)
    take = partial(instance.traces.take, [_exported(history, each) for each in group])
    answer, work = await history.ask(instance, "export", take, sent)
    if answer.how == "ok":
        oracle.accepted(sent, {str(reason): n for reason, n in answer.value.items()}, work.lands_until)
    elif answer.how == "refused":
        history.oracle.fail("P9", f"an export was refused as a whole: {answer.value!r}")
    else:
        oracle.failed(sent, max(work.lands_until, history.loop.time() + LATE_LANDING))
    return answer


async def once_more(history: "History") -> None:
    """In calm weather, and with nobody beside it, an export that failed is stored at last."""
    groups, history.unanswered = history.unanswered[-2:], []
    for group in groups:
        for _ in range(3):
            answer = await _export_once(history, group, awake=True)
            if answer.how == "ok":
                break
            await asyncio.sleep(5.0)
        else:
            if getattr(answer.value, "code", "") == "span-log-contended":
                history.oracle.fail("P9", "spans cannot be stored any more, however often they are sent")


async def new(history: "History", who: str, *, attempts: int = 3) -> None:
    """Export some new spans of a tenant, as a rule with some that were exported before."""
    random = history.random
    group = spans(history, who, random.choice((1, 1, 2)))
    if random.random() < 0.6:
        group = [
            *group,
            *random.sample(others := [e for e in history.in_flight if e not in group], min(len(others), 2)),
        ]
    await export(history, group, attempts=attempts)


async def at_once(history: "History", who: str) -> None:
    """A few spans in many groups, to whichever instance, while one of the calls is held up or the last of a process."""
    random = history.random
    if not history.on(who):
        await history.toggle(who, random.choice(history.setup.geos))
    few = spans(history, who, random.randint(1, 3))
    if random.random() < 0.3:
        few += spans(history, random.choice(history.setup.tenants), 1)
    for _ in range(random.choice((0, 1, 1, 2))):
        method = random.choice(("append", "put_batch", "put_batch", "create_log", "read_log", "find_batch"))
        then = random.choice(("", "ambiguous", "slow answer", "crash after"))
        history.faults.aimed.append(
            Aimed(method, random.choice((0.0, 0.5, 5.0, 70.0)) * random.random(), then, "export")
        )
    for _ in range(random.randint(2, 4)):
        group = random.sample(few, random.randint(1, len(few)))
        history.spawn(export(history, group, attempts=random.choice((1, 2, 3))))
        await asyncio.sleep(random.choice((0.0, 0.0, 0.1, 3.0)) * random.random())


def aim(history: "History") -> Any:
    """Return a call of an export that is held up while consent ends."""
    method = history.random.choice(("create_log", "append", "put_batch", "create_container"))
    return Aimed(method, 1200 * history.random.random(), of="export")
