"""Stories of storage accounts that a deploy leaves out though they are not empty (D20)."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.model.containers import SHARDS
from shared.sweep.sweep import Bounds
from tests.simulation.oracle import LATE_LANDING

if TYPE_CHECKING:
    from tests.simulation.history import History

HOUR = 3600.0
Wait = Callable[[float], Awaitable[None]]


async def leave_out(history: "History") -> None:
    """A deploy leaves out an account: while anything is owed there nobody can share anything, wherever.

    What the jobs have told of the account is all that new instances know of it: both of them, or one that has come by.
    """
    random, cloud, oracle = history.random, history.cloud, history.oracle
    history.faults.weather.clear()
    await history.clients_done()
    await history.wait(LATE_LANDING)  # what was sent before the deploy is no sign that somebody can share after it
    if history.due(history.loop.time() + 2 * HOUR):
        return
    kind = random.choice(("shared", "ended", "ended meanwhile", "stray", "stray", "stray", "whatever"))
    unused = [each for each in sorted(cloud.accounts) if _is_unused(history, each)]
    account = random.choice(unused if kind == "stray" and unused else sorted(cloud.accounts))
    geo = cloud.accounts[account]
    if kind == "stray":
        stray = await _only_a_stray(history, account)
        if stray is None:
            return
    else:
        await _heartbeats(history, account)
        if kind != "whatever":
            await _share(history, account)
        if kind == "ended":
            await _end(history, account)
    if not any(key in cloud.operations.heartbeats for key in (("purge", account), ("sweep", account))):
        return
    history.faults.count("an account left out")
    _deploy(history, frozenset({account}))
    for n in range(3):
        if n == 1 and kind == "ended meanwhile":
            await _end(history, account)
        await history.wait(random.choice((0.5, 11.0, 60.0)))
        owed = kind == "stray" or oracle.owes(account)
        before = (len(oracle.terms), sum(oracle.accepted.values()))
        report = await history.status()
        for who in random.sample(history.setup.tenants, min(2, len(history.setup.tenants))):
            if not history.on(who):
                await history.toggle(who, random.choice(history.setup.geos), attempts=2)
            await history.post(who, attempts=1)
        owed = owed and (kind == "stray" or oracle.owes(account))
        if owed:
            history.faults.count("shared while an account was left out")
            oracle.check_left_out(account, before, {} if report is None else report.promises)
        history.stop_if_violated()
    _deploy(history, frozenset())
    if kind == "stray":
        await history.sweep(awake=True)
    if geo not in {cloud.accounts[each] for each in cloud.accounts if each not in cloud.closed}:
        return
    who = random.choice(history.setup.tenants)
    if not history.on(who):
        await history.toggle(who, geo)


async def _heartbeats(history: "History", account: str) -> None:
    """One or both of the jobs have come by; where it was one, the other has never told anything of the account."""
    told = history.random.choice(("purge", "sweep", "both"))
    if told != "sweep":
        await history.purge(awake=True)
    if told != "purge":
        await history.sweep(awake=True)
    heartbeats = history.cloud.operations.heartbeats
    if told == "sweep":
        heartbeats.pop(("purge", account), None)
    elif told == "purge" and not _planted_in(history, account):  # else what it has found would be forgotten
        heartbeats.pop(("sweep", account), None)


async def _share(history: "History", account: str) -> None:
    """Let a tenant share into the account, if its enrollment happens to be pinned there."""
    cloud, geo = history.cloud, history.cloud.accounts[account]
    for who in history.setup.tenants:
        if not history.on(who):
            await history.toggle(who, geo)
        stored = cloud.ledger.settings.get(who)
        enrollment = None if stored is None else stored.value.enrollment
        if enrollment is not None and enrollment.storage_account == account:
            await history.post(who, attempts=1)
            return


async def _end(history: "History", account: str) -> None:
    """Let all who share into the account opt out; the feed may or may not have brought it."""
    for who in history.setup.tenants:
        stored = history.cloud.ledger.settings.get(who)
        enrollment = None if stored is None else stored.value.enrollment
        if enrollment is not None and enrollment.storage_account == account:
            await history.toggle(who, None)
    if history.random.random() < 0.3:
        await history.feed()


def _planted_in(history: "History", account: str) -> bool:
    return any(each.account == account for each in history.oracle.planted)


def _is_unused(history: "History", account: str) -> bool:
    """Tell whether nothing is owed in an account, and no sweep has found anything there, which would be forgotten."""
    return not history.oracle.owes(account) and not _planted_in(history, account)


async def _only_a_stray(history: "History", account: str) -> str | None:
    """All that is in the account is one container by hand, and its first sweep has not come so far, or has failed."""
    random, cloud, oracle = history.random, history.cloud, history.oracle
    store, heartbeats = cloud.captures[account], cloud.operations.heartbeats
    if not oracle.terms or not _is_unused(history, account):
        return None
    await history.sweep(awake=True)
    if any(not name.startswith("deployment-") for name in store.containers):
        return None
    heartbeats.pop(("sweep", account), None)
    bounds, size = cloud.sweep_bounds, store.page_max
    cloud.sweep_bounds, store.page_max = Bounds(4.0), 1
    history.restart_all()
    await history.purge(awake=True)
    shard = random.choice(SHARDS[-2:])
    name = f"{shard}-{history.now():%Y%m%d}-{shard}{random.getrandbits(124):031x}"
    oracle.plant("unknown enrollment", account, name, "")
    weather = history.faults.weather
    if random.random() < 0.5:
        weather.slow[account] = history.loop.time() + HOUR
    else:
        weather.down[account] = history.loop.time() + HOUR
    instance = history.instance(awake=True)
    await history.ask(instance, "sweep", instance.sweep.run)
    weather.clear()
    cloud.sweep_bounds, store.page_max = bounds, size
    history.restart_all()
    return name if name in store.containers else None


def _deploy(history: "History", left_out: frozenset[str]) -> None:
    """Replace all instances at once by such as do not know some accounts."""
    history.cloud.left_out = left_out
    history.oracle.closing(history.cloud.closed | left_out)
    history.restart_all()
    history.oracle.closed()
