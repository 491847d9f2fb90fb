"""Short scripts, run once for each store call in them: there the process is killed, before the call or after."""

from datetime import UTC, datetime

from tests.simulation import exporting, room
from tests.simulation.campaign import Summary, pool, quiet
from tests.simulation.faults import KillAt
from tests.simulation.history import MINUTE, History, Outcome, Setup, Storm, Story, reckoning, tenant


async def expedited(history: History) -> None:
    """Opt in, share, opt out, and have it deleted at once."""
    who = tenant(0)
    await history.toggle(who, "europe")
    await history.post(who)
    await history.post(who, (-1.0, -5.0))
    await history.toggle(who, None)
    await history.feed()
    for enrollment in list(history.oracle.terms):
        await history.expedite(who, enrollment)
    for _ in range(2):
        await history.purge()
        await history.wait(6.5 * MINUTE)
    await _end(history)


async def off_on_off(history: History) -> None:
    """Change one's mind quickly, and move to another geo."""
    who = tenant(0)
    for geo in ("europe", None, "unitedstates", None):
        await history.toggle(who, geo)
        if geo is not None:
            await history.post(who)
    await history.feed()
    await _end(history)


async def without_feed(history: History) -> None:
    """The sweep alone schedules the deletion."""
    who = tenant(0)
    await history.toggle(who, "europe")
    await history.post(who)
    await history.toggle(who, None)
    await history.wait(7 * MINUTE)
    await history.sweep()
    await _end(history)


async def retention(history: History) -> None:
    """A day expires while data goes on being shared."""
    who = tenant(0)
    await history.toggle(who, "europe")
    await history.post(who, (-1.0,))
    await history.wait_until(history.stored_deadlines()[0] - 3600 if history.stored_deadlines() else 0)
    await history.post(who)
    await history.purge()
    await _end(history)


async def back_again(history: History) -> None:
    """Data comes back after the receipt, and other containers are where they do not belong."""
    who = tenant(0)
    await history.toggle(who, "europe")
    await history.post(who)
    await history.toggle(who, None)
    await history.feed()
    for enrollment in list(history.oracle.terms):
        await history.expedite(who, enrollment)
    await history.purge()
    await history.wait(6.5 * MINUTE)
    await history.purge()
    for term in [each for each in history.oracle.terms.values() if each.verified is not None]:
        name = f"{term.id[0]}-{history.setup.base:%Y%m%d}-{term.id}"
        history.oracle.plant("after receipt", term.account, name, term.id)
        history.oracle.plant("wrong account", "stunitedstates", name, term.id)
    await history.sweep()
    await _end(history)


async def spans(history: History) -> None:
    """Spans are exported, and come again in other groups, to whichever instance."""
    who = tenant(0)
    await history.toggle(who, "europe")
    first, second, third = exporting.spans(history, who, 3)
    for group in ([first, second], [second, third], [first, second, third], [third]):
        await exporting.export(history, group)
    await _end(history)


async def export(history: History) -> None:
    """A reviewer asks for an export, a timer makes what the request has left, and it is downloaded and deleted."""
    who = tenant(0)
    await history.toggle(who, "europe")
    for _ in range(3):
        await history.post(who)
    known = await room.ask(history, who)
    await room.tick(history, 70.0)
    if known is not None:
        await room.download(history, known)
        await room.delete(history, known)
    await _end(history)


async def _end(history: History) -> None:
    """Whatever was killed, the month passes, and nothing is left undone."""
    await reckoning(history, Storm(history.random, history.faults, calm=True))


SCRIPTS: dict[str, tuple[Story, str]] = {
    "expedited": (expedited, "healthy"),
    "off-on-off": (off_on_off, "lossy"),
    "without-feed": (without_feed, "off"),
    "retention": (retention, "healthy"),
    "back-again": (back_again, "healthy"),
    "spans": (spans, "healthy"),
    "export": (export, "healthy"),
}


def run_one(seed: str, *, verbose: bool = False) -> Outcome:
    """Run the script at one crash point.

    Args:
        seed: ``script/call/before`` or ``script/call/after``; call 0 kills nothing.
        verbose: tell of each call.
    """
    name, call, when = seed.split("/")
    script, feed = SCRIPTS[name]
    began, geos = datetime(2026, 11, 21, 23, 40, tzinfo=UTC), ("unitedstates", "europe")
    setup = Setup(began, 3, geos, (tenant(0),), 2, feed, epochs=True)
    history = History(seed, setup, verbose=verbose)
    if int(call):
        history.faults.kill_at = KillAt(int(call), when == "after")
    with quiet():
        return history.run(script)


def calls_of(name: str) -> int:
    """Return at how many store calls the script can be killed: those before its end begins."""
    return run_one(f"{name}/{10**9}/before").scripted_calls


def run_chunk(seeds: list[str]) -> Summary:
    """Run some crash points in this process."""
    summary = Summary()
    for seed in seeds:
        summary.add(run_one(seed))
    summary.crash_points = len(seeds)
    return summary


def run_all(jobs: int) -> Summary:
    """Run every crash point of every script."""
    total = Summary()
    seeds = [
        f"{name}/{call}/{when}"
        for name in SCRIPTS
        for call in range(1, calls_of(name) + 1)
        for when in ("before", "after")
    ]
    with pool(jobs) as workers:
        for summary in workers.map(run_chunk, [seeds[n : n + 20] for n in range(0, len(seeds), 20)]):
            total.merge(summary)
    return total
