"""Reviewers and approvers as clients: grants asked for, approved and revoked, and captures looked at under them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.review.record import GrantRequest
from tests.simulation.faults import Aimed
from tests.simulation.world import Instance

if TYPE_CHECKING:
    from tests.simulation.history import Answer, History
    from tests.simulation.room import Known

MINUTE = 60.0
REVIEWERS = ("ann", "bob")
APPROVERS = ("carol", "dave", "ann")
PURPOSES = ("build", "improve", "validate")
NO_PURPOSES = ("train", "train-foundation-model", "improve?", "")
_HELD_UP = ("read_batch", "read_batch", "commit", "head", "approved_grants", "read_setting", "read_grant", "read_grant")
JUSTIFICATION = "To see why formulas are refused so often."


@dataclass(frozen=True, slots=True)
class Asked:
    """A grant as the clients know it."""

    tenant: str
    grant: str
    reviewer: str
    asked: float
    minutes: int


@dataclass
class Reviewers:
    """What the people of the operator know: their grants, the batches that they were shown, and their exports."""

    asked: list[Asked] = field(default_factory=list)
    exports: list["Known"] = field(default_factory=list)
    shown: dict[str, list[tuple[date, str]]] = field(default_factory=dict)


async def act(history: "History", who: str) -> None:
    """Somebody does something, or several do at a time."""
    random = history.random
    action = random.random()
    who = sharing(history, who)
    mine = [each for each in history.reviewers.asked if each.tenant == who]
    if not mine or action < 0.25:
        asked = await ask(history, who)
        if asked is not None and random.random() < 0.85:
            await approve(history, asked)
            if random.random() < 0.7:
                await approve(history, asked)
            await look(history, who, asked.reviewer)
    elif action < 0.33:
        await asyncio.gather(*(approve(history, random.choice(mine)) for _ in range(2)))
    elif action < 0.6:
        await look(history, who, random.choice(mine).reviewer)
    elif action < 0.65:
        asked = random.choice(mine)
        await revoke(history, asked)
        await look(history, who, asked.reviewer)
    elif action < 0.69:
        await read_the_log(history, who)
    elif action < 0.73:
        await see_what_waits(history)
    else:
        await overtaken(history, who)


def sharing(history: "History", who: str) -> str:
    """Return a tenant that shares data or has done so, as a rule, and not just any."""
    shared = sorted({term.tenant for term in history.oracle.terms.values()})
    return history.random.choice(shared) if shared and history.random.random() < 0.95 else who


async def overtaken(history: "History", who: str) -> None:
    """A look is held up somewhere while its grant is revoked or expires, or while all of it is deleted at once."""
    random = history.random
    asked = await live(history, who)
    if asked is None:
        return
    held = random.choice((1.0, 5.0, 90.0, 600.0)) * random.random()
    of = "review: read" if random.random() < 0.8 else "review: days"
    where, then = random.choice(_HELD_UP), random.choice(("", "slow answer"))
    if where == "read_grant":
        held, then = 0.0, "slow answer"  # what it says is old when it comes
    history.faults.aimed.append(Aimed(where, held, then, of))
    shown = history.reviewers.shown.get(asked.tenant)
    if shown and random.random() < 0.8:
        history.spawn(_read(history, asked.tenant, asked.reviewer, *random.choice(shown)))
    else:
        history.spawn(look(history, asked.tenant, asked.reviewer))
    await asyncio.sleep(random.random())
    if random.random() < 0.7:
        await revoke(history, asked)
    if shown and random.random() < 0.5:
        await _read(history, asked.tenant, asked.reviewer, *random.choice(shown))


async def live(history: "History", who: str) -> Asked | None:
    """Return a grant that should be live, a new one if need be, under which its reviewer has looked."""
    now = history.loop.time()
    live = [each for each in history.reviewers.asked if each.tenant == who and now < each.asked + each.minutes * MINUTE]
    asked = history.random.choice(live) if live else await ask(history, who)
    if asked is not None:
        for _ in range(3):
            await approve(history, asked)
        await look(history, who, asked.reviewer)
    return asked


async def at_its_end(history: "History", wait: Callable[[float], Awaitable[None]]) -> None:
    """Just before or after a grant lapses or expires, somebody approves it, and its reviewer looks."""
    random = history.random
    now = history.loop.time()
    ends = [(each.asked + lasts * MINUTE, each) for each in history.reviewers.asked for lasts in (each.minutes, 1440)]
    coming = [(end, each) for end, each in ends if end > now]
    if not coming:
        return
    end, asked = random.choice(coming)
    await wait(end + random.choice((-40.0, -1.0, 0.0, 1.0, 40.0)) * random.random() - now)
    if random.random() < 0.7:
        history.spawn(approve(history, asked))
    history.spawn(look(history, asked.tenant, asked.reviewer))


async def ask(history: "History", who: str) -> Asked | None:
    """A reviewer asks for a grant: for the newest enrollment as a rule, now and then for any."""
    random, oracle = history.random, history.oracle
    reviewer = random.choice(REVIEWERS)
    purpose = random.choice(NO_PURPOSES if random.random() < 0.15 else PURPOSES)
    named = random.choice((purpose, f" {purpose.upper()}\n")) if purpose in PURPOSES else purpose
    minutes = random.choice((1, 5, 60, 60, 480))
    enrollment = None
    if oracle.terms and random.random() < 0.25:
        enrollment = random.choice(list(oracle.terms))
    started = history.loop.time()
    answer = await wish(
        history,
        "request",
        who,
        reviewer,
        lambda each: each.access.request(who, reviewer, GrantRequest(named, JUSTIFICATION, minutes, enrollment)),
        purpose=purpose,
        justification=JUSTIFICATION,
        minutes=minutes,
        enrollment=enrollment,
    )
    if answer.how != "ok":
        return None
    asked = Asked(who, answer.value.grant_id, reviewer, started, minutes)
    history.reviewers.asked.append(asked)
    return asked


async def approve(history: "History", asked: Asked) -> None:
    """Somebody approves it, sometimes the one who asked for it: that is refused."""
    approver = history.random.choice(APPROVERS)
    await wish(
        history,
        "approve",
        asked.tenant,
        approver,
        lambda each: each.access.approve(asked.tenant, asked.grant, approver),
        grant=asked.grant,
    )


async def revoke(history: "History", asked: Asked) -> None:
    """The reviewer or an approver ends it; another reviewer tries to, and is refused."""
    by = history.random.choice((asked.reviewer, "carol", *REVIEWERS))
    others_too = by in APPROVERS
    await wish(
        history,
        "revoke",
        asked.tenant,
        by,
        lambda each: each.access.revoke(asked.tenant, asked.grant, by, any_grant=others_too),
        grant=asked.grant,
        others_too=others_too,
    )


async def look(history: "History", who: str, reviewer: str) -> None:
    """A reviewer looks at what there is, and reads some of it."""
    random, shown = history.random, history.reviewers.shown.setdefault(who, [])
    answer = await wish(history, "days", who, reviewer, lambda each: each.access.days(who, reviewer))
    if answer.how == "ok" and answer.value:
        day = random.choice(answer.value)
        answer = await wish(
            history,
            "batches",
            who,
            reviewer,
            lambda each: each.access.batches(who, reviewer, day, limit=100, after=None),
            day=day,
        )
        if answer.how == "ok":
            shown += [(day, batch) for batch in answer.value if (day, batch) not in shown]
    for day, batch in random.sample(shown, min(len(shown), random.choice((0, 1, 1, 2)))):
        await _read(history, who, reviewer, day, batch)


async def see_what_waits(history: "History") -> None:
    """An approver looks at what waits, in whatever tenant."""
    await wish(history, "pending", "", "carol", lambda each: each.access.pending(limit=1000))


async def read_the_log(history: "History", who: str) -> None:
    """An administrator of the tenant reads who has seen what."""
    await wish(history, "log", who, "admin", lambda each: each.access.log(who, limit=10_000, before=None))


async def _read(history: "History", who: str, reviewer: str, day: date, batch: str) -> None:
    await wish(
        history,
        "read",
        who,
        reviewer,
        lambda each: each.access.read(who, reviewer, day, batch),
        day=day,
        batch=batch,
    )


async def wish(
    history: "History",
    kind: str,
    tenant: str,
    actor: str,
    call: Callable[[Instance], Coroutine[Any, Any, Any]],
    **what: Any,
) -> "Answer":
    """Somebody asks an instance for something; the oracle knows of it."""
    return await wished(history, history.reading.wished(kind, tenant, actor, **what), call)


async def wished(history: "History", wish: Any, call: Callable[[Instance], Coroutine[Any, Any, Any]]) -> "Answer":
    """Somebody asks an instance for something that the oracle knows of already."""
    instance = history.instance()
    answer, _ = await history.ask(instance, f"review: {wish.kind}", partial(call, instance), wish)
    if answer.how == "ok":
        history.reading.answered(wish, answer.value)
    elif answer.how == "refused":
        history.reading.refused(wish, type(answer.value).__name__)
    return answer
