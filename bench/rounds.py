"""Rounds: contenders take turns, until the ratios between them are known well enough."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bench.machine import Used
from bench.results import Rounds
from bench.scenario import Bench
from bench.targets import Target

NARROW = 0.05
"""How far the interval of a median may reach to either side of it, as a part of it."""

Contender = Callable[[], Awaitable[Mapping[str, float]]]
"""Does once what is measured, and returns its figures by name."""


class Spoilt(Exception):
    """What a round measured is not what it should have been; it is repeated. The message says why."""


async def rounds(
    bench: Bench,
    scenario: str,
    contenders: Mapping[str, Contender],
    targets: Sequence[Target] = (),
    *,
    seconds: float = 1.0,
) -> None:
    """Let contenders take turns: in each round each once, in the reverse order in every other one.

    There are rounds until all medians that the targets ask for are known narrowly, within the numbers of the plan, and
    none begins when the time is over. A round beside other work is thrown away and repeated.

    Args:
        bench: the run.
        scenario: whose contenders.
        contenders: by case.
        targets: those that compare these contenders.
        seconds: how much time they have, in parts of what the plan gives.

    Raises:
        MachineBusy: if others use the machine for too long.
    """
    plan, compared = bench.plan, [each for each in targets if each.above[0] in contenders]
    began, done, thrown_away, most = time.monotonic(), 0, 0, 0.0
    await bench.watch.until_quiet()
    ended = ""
    while not ended:
        order = list(contenders)[:: -1 if done % 2 else 1]
        before = Used.now()
        try:
            found = {case: await contenders[case]() for case in order}
        except Spoilt as spoilt:
            bench.say(f"  a round is thrown away: {spoilt}")
            bench.watch.lose(time.monotonic() - before.at, f"Rounds were spoilt ({spoilt})")
            thrown_away += 1
            continue
        after = Used.now()
        others = after.others_since(before)
        if bench.watch.disturbed(others, after.at - before.at):
            thrown_away += 1
            await bench.watch.until_quiet()
            continue
        for case in contenders:
            bench.results.add(scenario, case, found[case])
        done, most = done + 1, max(most, others)
        medians = [each.measured(bench.results) for each in compared]
        if done >= plan.rounds_least and all(each is not None and each.is_within(NARROW) for each in medians):
            ended = "narrow"
        elif done >= plan.rounds_most:
            ended = "rounds"
        elif time.monotonic() - began >= seconds * plan.seconds:
            ended = "seconds"
    took = time.monotonic() - began
    bench.results.rounds.append(Rounds(scenario, list(contenders), done, thrown_away, took, most, ended))
    bench.say(f"  {', '.join(contenders)}\n    {done} rounds in {took:.0f} s, ended by {ended}")
