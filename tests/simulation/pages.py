"""Stories of the sweep of an account, which is listed in pages: what stands at their borders, and where runs end."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from shared.model.containers import SHARDS
from shared.sweep.sweep import Bounds
from tests.simulation.faults import Aimed, KillAt
from tests.simulation.oracle import Name

if TYPE_CHECKING:
    from tests.simulation.history import History

_RUN_SECONDS = 4.0
"""Of a run while its account is slow: enough for a page or two."""

_CUT_MAX = 12
"""How many runs of a round are cut short; the next ones may come to its end."""

_RUNS_MAX = 40


async def at_the_borders(history: "History", account: str) -> None:
    """Names that do not belong are first, last and neighbours; one round finds all of them, wherever it is cut."""
    random, oracle, store = history.random, history.oracle, history.cloud.captures[account]
    heartbeats = history.cloud.operations.heartbeats
    store.page_max = random.choice((1, 1, 2, 3))
    planted = len(oracle.planted)
    for name in _strays(history):
        if name not in store.containers:
            oracle.plant("foreign" if Name.read(name) is None else "unknown enrollment", account, name, "")
    history.faults.count("names at the borders of pages")
    names = _listed(store)
    await _round(history, account)
    oracle.check_round(account, heartbeats["sweep", account].counts, names, planted)
    history.stop_if_violated()
    history.counted += oracle.planted[planted:]
    before, names = len(oracle.planted), _listed(store)
    await _told_meanwhile(history, account)
    await _round(history, account, cut=2)
    oracle.check_round(account, heartbeats["sweep", account].counts, names, before)


async def strangers(history: "History", account: str) -> None:
    """An account has as many strangers as may be, which go, or one more, of which none may (D14)."""
    random, oracle, store = history.random, history.oracle, history.cloud.captures[account]
    read = [name for each in store.containers if (name := Name.read(each)) is not None]
    already = sum(name.enrollment not in oracle.terms for name in read)
    most = history.setup.strangers
    many = random.random() < 0.7
    number = (max(most, len(_listed(store))) + 1 if many else most) - already
    if not 0 < number <= 30:
        return
    store.page_max = random.choice((2, 3, 5, 7, 5000))
    planted = len(oracle.planted)
    for _ in range(number):
        oracle.plant("unknown enrollment", account, _name(history, random.choice(SHARDS)), "")
    history.faults.count("an account of strangers" if many else "as many strangers as may be")
    names = _listed(store)
    await _round(history, account)
    mine = oracle.planted[planted:]
    if many:
        oracle.check_spared(mine)
        for each in mine:
            store.containers.pop(each.name, None)
        oracle.notice(None)
    else:
        oracle.check_round(account, history.cloud.operations.heartbeats["sweep", account].counts, names, planted)
        history.counted += mine


async def shared_meanwhile(history: "History") -> None:
    """Somebody opts in and shares while a sweep is about to list the account: it knows, though it began before."""
    random, faults = history.random, history.faults
    faults.weather.clear()
    await history.clients_done()
    who = random.choice(history.setup.tenants)
    if history.on(who):
        await history.toggle(who, None)
    faults.aimed += [Aimed("container_page", 9.0, of="sweep") for _ in history.cloud.accounts]
    faults.count("shared while a sweep was about to list")
    history.spawn(history.sweep())
    await history.wait(0.5 * random.random())
    await history.toggle(who, random.choice(history.setup.geos), attempts=1)
    await history.wait(6.0)
    await history.post(who, (-0.5,), attempts=1)
    await history.clients_done()
    faults.aimed.clear()


Story = Callable[["History", str], Awaitable[None]]


async def in_short_runs(history: "History", story: Story) -> None:
    """Tell a story of a round in one account, which begins anew there; not if no sweep would believe the ledger."""
    account = await _at_the_end_of_a_round(history)
    if account is None:
        return
    cloud = history.cloud
    bounds, size = cloud.sweep_bounds, cloud.captures[account].page_max
    cloud.sweep_bounds = Bounds(_RUN_SECONDS)
    history.restart_all()
    await story(history, account)
    history.stop_if_violated()
    cloud.sweep_bounds, cloud.captures[account].page_max = bounds, size
    history.restart_all()
    await history.sweep(awake=True)


async def _at_the_end_of_a_round(history: "History") -> str | None:
    history.faults.weather.clear()
    await history.clients_done()
    if not history.oracle.terms:
        return None
    account = history.random.choice(list(history.cloud.accounts))
    for _ in range(3):
        await history.sweep(awake=True)
        if history.cloud.operations.heartbeats["sweep", account].cursor is None:
            return account
    return None


async def _round(history: "History", account: str, *, cut: int = _CUT_MAX) -> None:
    """Go once round an account: runs end for want of time, are killed at any call, and find markers refused."""
    heartbeats = history.cloud.operations.heartbeats
    before = heartbeats["sweep", account]
    for n in range(_RUNS_MAX):
        await _run(history, account, calm=n >= cut)
        last = heartbeats["sweep", account]
        if last is not before and last.cursor is None:
            return
    history.oracle.fail("P9", f"{_RUNS_MAX} runs of the sweep did not come to the end of a round")


async def _run(history: "History", account: str, *, calm: bool = False) -> None:
    random, faults = history.random, history.faults
    weather, kind = faults.weather, "" if calm else random.choice(("slow", "slow", "killed", "killed", "refused", ""))
    if kind == "slow":
        weather.slow[account] = history.loop.time() + 3600.0
    elif kind == "killed":
        faults.kill_at = KillAt(faults.calls + random.randint(1, 50), random.random() < 0.5)
    elif kind == "refused":
        weather.latency, weather.markers = 0.01, 0.3
    instance = history.instance(awake=True)
    await history.ask(instance, "sweep", instance.sweep.run)
    faults.kill_at = None
    weather.clear()
    history.stop_if_violated()


async def _told_meanwhile(history: "History", account: str) -> None:
    """While the next round is under way the status goes by what the last one has found."""
    last = history.cloud.operations.heartbeats["sweep", account]
    for _ in range(4):
        history.faults.weather.slow[account] = history.loop.time() + 3600.0
        instance = history.instance(awake=True)
        await history.ask(instance, "sweep", instance.sweep.run)
        history.faults.weather.clear()
        under_way = history.cloud.operations.heartbeats["sweep", account]
        if under_way.cursor is None:
            return
        if under_way.previous_counts != last.counts:
            history.oracle.fail("P9", "what the last whole round has counted is told as something else")
        report = await history.status()
        if report is not None and report.promises["P1"]:
            found = dict(last.counts)
            history.oracle.fail("P1", f"the status says that P1 holds, and the last whole round has found {found}")
        history.stop_if_violated()


def _strays(history: "History") -> list[str]:
    random = history.random
    shard = random.choice(SHARDS)
    neighbours = [_name(history, shard) for _ in range(random.choice((0, 2, 3)))]
    others = [_name(history, "0"), _name(history, "f"), _name(history, random.choice(SHARDS))]
    foreign = ["0-0first", "zz-last", f"{random.choice(SHARDS)}-zzz"]
    return [*neighbours, *random.sample(others, 2), *random.sample(foreign, random.choice((0, 1, 2)))]


def _name(history: "History", shard: str) -> str:
    """Return the name of a container of an enrollment that never was, first or last of its shard where possible."""
    first = history.random.choice(("0" * 3, "f" * 3, ""))
    digits = f"{first}{history.random.getrandbits(124):031x}"[:31]
    day = history.now()
    return f"{shard}-{day:%Y%m%d}-{shard}{digits}"


def _listed(store: Any) -> set[str]:
    return {name for name in store.containers if not name.startswith("deployment-")}
