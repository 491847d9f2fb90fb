"""D20: a geo may have several storage accounts; an enrollment stays in its own, and none with data is forgotten."""

import asyncio
import base64
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.accounts import Account, Accounts
from shared.bootstrap import Services
from shared.model import deadlines
from shared.model.containers import deployment_container
from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat
from shared.model.notices import NOTICES, Notices
from shared.ports import StoreUnavailable
from shared.problems import GeoNotServed, GeoPinned, PreconditionFailed, Unavailable
from shared.stores.memory import MemoryCaptures
from tests.changes import opting_in, opting_out
from tests.keeping import keep
from tests.unit.notices import NEW, agreeing
from tests.world import DEPLOYMENT, GEOS, OTHER_TENANT, TENANT, World, capture, submission

ELSEWHERE = "https://eu.example/stamp"


def two(**more: Any) -> World:
    """A world in which one geo has two accounts."""
    stores = {
        **{geo: MemoryCaptures(account) for geo, account in GEOS.items()},
        "europe/2": MemoryCaptures("steurope2"),
    }
    return World(stores=stores, **more)


def tenant(n: int) -> str:
    return f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30"


async def shared(world: World, tenants: int) -> dict[str, str]:
    """Let tenants opt in and post; return the account of each tenant's enrollment."""
    found = {}
    for n in range(tenants):
        enrollment = (await world.opt_in(tenant(n))).enrollment
        assert enrollment is not None
        await world.post(tenant=tenant(n))
        found[tenant(n)] = enrollment.storage_account
    return found


def lying(world: World) -> dict[str, set[str]]:
    """The enrollments of which something lies in each account, by its name."""
    return {
        store.account: {name[-32:] for name in store.containers if not name.startswith("deployment-")}
        for store in world.stores.values()
    }


# Where new enrollments go


def test_enrollments_are_spread_evenly_over_the_open_accounts_and_each_shard_is_too() -> None:
    served = [
        Account(geo, MemoryCaptures(name), 30, state)
        for geo, name, state in (
            ("europe", "stc", "open"),
            ("europe", "sta", "open"),
            ("europe", "stx", "closed"),
            ("europe", "stb", "open"),
            ("japan", "stj", "open"),
        )
    ]
    accounts = Accounts(served, 30)
    ids = [f"{n % 16:x}{n * 7919:031x}" for n in range(16 * 300)]
    placed = {each: accounts.for_opt_in("europe", each).name for each in ids}
    assert placed.keys() == set(ids) and set(placed.values()) == {"sta", "stb", "stc"}
    for shard in "0123456789abcdef":
        of_shard = Counter(account for each, account in placed.items() if each.startswith(shard))
        assert all(60 <= number <= 140 for number in of_shard.values()), (shard, of_shard)
    # In whatever order the setting names them.
    again = Accounts(list(reversed(served)), 30)
    assert all(again.for_opt_in("europe", each).name == account for each, account in placed.items())
    assert accounts.for_opt_in("japan", ids[0]).name == "stj"


async def test_what_a_tenant_shares_lies_in_the_account_of_its_enrollment_alone() -> None:
    world = two()
    accounts = await shared(world, 12)
    assert set(accounts.values()) == {"steurope", "steurope2"}
    of_account: dict[str, set[str]] = {"steurope": set(), "steurope2": set()}
    for stored in world.ledger.settings.values():
        of_account[stored.value.enrollment.storage_account].add(stored.value.enrollment.enrollment_id)
    assert {name: found for name, found in lying(world).items() if found} == of_account


async def test_an_enrollment_stays_where_it_is_whatever_accounts_are_added_or_closed() -> None:
    world = two()
    accounts = await shared(world, 8)
    before = lying(world)
    world.stores |= {f"europe/{n}": MemoryCaptures(f"steurope{n}") for n in (3, 4, 5)}
    world.closed = {"europe"}
    world.captures = world.instance()
    for each in accounts:
        await world.post("again", key="key-2", tenant=each)
    assert {name: found for name, found in lying(world).items() if found} == {
        name: found for name, found in before.items() if found
    }
    batches = [len(batches) for store in world.stores.values() for batches in store.containers.values() if batches]
    assert batches == [2] * 8


async def test_a_closed_account_takes_no_new_enrollment_and_its_own_end_in_time_with_receipts() -> None:
    world = two()
    accounts = await shared(world, 8)
    mine = [each for each, account in accounts.items() if account == "steurope"]
    world.closed = {"europe"}
    world.captures = world.instance()
    for n in range(8, 16):
        enrollment = (await world.opt_in(tenant(n))).enrollment
        assert enrollment is not None and enrollment.storage_account == "steurope2"
    for each in mine[:2]:
        await world.post("still shared", key="key-2", tenant=each)
        await world.opt_out(each)
    await world.feed()
    await world.run_purges(world.clock.now() + timedelta(days=31), every=timedelta(hours=4))
    assert lying(world)["steurope"] == set(), "opted out, or expired"
    for each in mine[:2]:
        [stored] = [found for (of, _), found in world.deletion_items.items.items() if of == each]
        deletion: Deletion = stored.value
        assert deletion.status == "verified" and deletion.receipt is not None
        assert deletion.receipt.second_look_at <= deletion.deadline
        assert receipt(deletion)["storageAccount"] == "steurope"
    assert (await world.status.report()).accounts["steurope"].state == "closed"


def receipt(deletion: Deletion) -> Any:
    assert deletion.receipt is not None and deletion.receipt.jws is not None
    payload = deletion.receipt.jws.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_both_accounts_of_a_geo_are_purged_swept_and_shown() -> None:
    world = two()
    await shared(world, 8)
    for place in ("europe", "europe/2"):
        world.stores[place].receive_container(f"0-20260101-{'0' * 32}")  # expired
        world.stores[place].receive_container(f"f-{world.clock.now():%Y%m%d}-{'f' * 32}")  # of no enrollment
    purges = await world.purge.run()
    sweeps = await world.sweep.run()
    for name in ("steurope", "steurope2"):
        assert (purges[name].geo, purges[name].storage_account) == ("europe", name)
        assert purges[name].counts == {"expiredContainers": 1}
        assert sweeps[name].counts["unknownEnrollment"] == 1
    assert not any("f" * 32 in found or "0" * 32 in found for found in lying(world).values())
    report = await world.status.report()
    assert report.findings == {"unknownEnrollment": 2}
    assert report.accounts.keys() == {"steurope", "steurope2", "stunitedstates", "stunitedkingdom"}
    for name in ("steurope", "steurope2"):
        each = report.accounts[name]
        assert (each.geo, each.state, each.last_purge, each.last_sweep) == (
            "europe",
            "open",
            purges[name],
            sweeps[name],
        )


async def test_what_lies_in_the_other_account_of_its_geo_is_driven_out() -> None:
    world = two()
    accounts = await shared(world, 1)
    [name] = [name for store in world.stores.values() for name in store.containers if not name.startswith("deployment")]
    other = next(store for store in world.stores.values() if store.account == "steurope2")
    if accounts[tenant(0)] == "steurope2":
        other = world.stores["europe"]
    other.receive_container(name)
    heartbeats = await world.sweep.run()
    assert heartbeats[other.account].counts["wrongAccount"] == 1
    assert sum(name in store.containers for store in world.stores.values()) == 1


async def test_one_account_that_fails_breaks_a_promise_though_the_other_of_its_geo_is_well() -> None:
    world = two()

    async def fail(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("storage-503")
        yield

    world.stores["europe/2"].list_containers = fail  # type: ignore[method-assign]
    await world.purge.run()
    await world.sweep.run()
    report = await world.status.report()
    assert report.reasons["P9"] == [
        "steurope2: the last purge failed (storage-503)",
        "steurope2: the last sweep failed (storage-503)",
    ]


# Where a geo takes nobody any more


async def test_a_geo_whose_accounts_are_all_closed_takes_no_new_enrollment() -> None:
    world = two(closed={"europe", "europe/2"}, elsewhere={"europe": ELSEWHERE})
    with pytest.raises(GeoNotServed) as refused:
        await world.data_sharing.put(TENANT, opting_in("europe"))
    assert refused.value.extensions == {"endpoint": ELSEWHERE}
    assert not world.ledger.events
    world.elsewhere = {}
    with pytest.raises(GeoNotServed, match="no new tenants") as refused:
        await world.data_sharing.put(TENANT, opting_in("europe"))
    assert refused.value.extensions == {}
    with pytest.raises(GeoNotServed):
        await world.data_sharing.put(TENANT, replace(opting_in("europe"), geo=None, at_home=True))


async def test_in_a_geo_that_is_closed_all_else_goes_on() -> None:
    world = two()
    before = await world.opt_in()
    world.closed = {"europe", "europe/2"}
    world.captures = world.instance()
    await world.post()
    assert (await world.data_sharing.put(TENANT, opting_in("europe"))).enabled, "the same state again"
    with pytest.raises(GeoPinned):
        await world.data_sharing.put(TENANT, opting_in("unitedkingdom"))
    with pytest.raises(PreconditionFailed):
        await world.data_sharing.put(OTHER_TENANT, opting_in("europe", if_sequence=[5]))
    world.notices = Notices([NOTICES.published[-1], replace(NEW, valid_from=world.clock.now())])
    renewed = await world.data_sharing.put(TENANT, agreeing(NEW.version))
    assert renewed.notice == NEW.version and renewed.enrollment == before.enrollment is not None
    event = await world.opt_out()
    assert event.storage_account == renewed.enrollment.storage_account


async def test_p2_a_refusal_that_shows_that_sharing_is_off_comes_as_late_as_the_answer_to_an_opt_out() -> None:
    world = two()
    await world.opt_in()
    await world.opt_out()
    world.closed = {"europe", "europe/2"}
    slept = len(world.clock.slept)
    with pytest.raises(GeoNotServed):
        await world.data_sharing.put(TENANT, opting_in("europe"))
    assert world.clock.slept[slept:] == [deadlines.CONSENT_LEASE_SECONDS]


# An account that is configured no more


async def left_behind(world: World | None = None) -> World:
    """A world in which an account is taken out of the settings while an enrollment runs in it."""
    world = world or two()
    await shared(world, 8)
    await world.purge.run()
    await world.sweep.run()
    del world.stores["europe/2"]
    return world


async def refuses(services: Services) -> bool:
    try:
        await services.abandoned.refuse()
    except Unavailable:
        return True
    return False


async def test_p4_an_account_that_holds_data_and_is_configured_no_more_lets_nobody_share(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await left_behind()
    services = world.services()
    with pytest.raises(Unavailable, match="not ready"):
        await services.captures.submit(tenant(0), submission(capture(world.clock.now())))
    with pytest.raises(Unavailable):
        await services.data_sharing.put(OTHER_TENANT, opting_in("unitedkingdom"))
    with pytest.raises(Unavailable):
        await services.data_sharing.put(OTHER_TENANT, replace(opting_in("europe"), geo=None, at_home=True))
    assert not (await services.data_sharing.put(tenant(0), opting_out())).enabled, "who wants to go may"
    assert "account-abandoned: steurope2 is not configured and not empty" in caplog.text
    report = await world.status.report()
    broken = {promise for promise, why in report.reasons.items() if any(each.startswith("steurope2:") for each in why)}
    assert broken == {"P4", "P5", "P9"}
    assert "steurope2: it is configured no more, and not empty" in report.reasons["P4"]


async def test_p5_the_jobs_go_on_in_the_accounts_that_are_left() -> None:
    world = await left_behind()
    [here, *_] = [
        each.value.tenant_id
        for each in world.ledger.settings.values()
        if each.value.enrollment.storage_account == "steurope"
    ]
    event = await world.opt_out(here)
    await world.feed()
    await world.run_purges(event.deadline, every=timedelta(hours=4))
    stored = await world.deletion_items.read(here, event.enrollment_id)
    assert stored is not None and stored.value.status == "verified"
    assert lying(world)["steurope"] == set()


async def test_it_heals_within_seconds_and_is_looked_at_no_more() -> None:
    world = await left_behind()
    services, reads = world.services(), Counter[str]()
    read_all = world.operations.read_all

    async def counted(kind: str) -> Any:
        reads[kind] += 1
        return await read_all(kind)

    world.operations.read_all = counted
    refused = await asyncio.gather(*(refuses(services) for _ in range(20)))
    assert all(refused) and reads == {"purge": 1, "sweep": 1}, "they share one look"
    assert await refuses(services) and reads == {"purge": 1, "sweep": 1}
    await drain(world)
    reads.clear()
    world.clock.move(timedelta(seconds=10))
    assert not await refuses(services) and reads == {"purge": 1, "sweep": 1}
    await left_behind(world := two())
    assert not await refuses(services) and reads == {"purge": 1, "sweep": 1}, "known for good"


async def drain(world: World) -> None:
    """Empty the account, as it is where somebody configures it again."""
    store = MemoryCaptures("steurope2")
    store.containers[deployment_container(DEPLOYMENT)] = {}
    world.stores["europe/2"] = store
    for each in list(world.ledger.settings.values()):
        if each.value.enrollment is not None and each.value.enrollment.storage_account == "steurope2":
            await world.opt_out(each.value.tenant_id)
    await world.feed()
    await world.run_purges(world.clock.now() + timedelta(days=31), every=timedelta(hours=4))
    await world.sweep.run()
    del world.stores["europe/2"]


async def test_an_account_that_is_empty_is_forgotten_quietly(caplog: pytest.LogCaptureFixture) -> None:
    world = two()
    await shared(world, 8)
    await drain(world)
    assert not await refuses(world.services())
    assert caplog.text.count("steurope2") == 0
    report = await world.status.report()
    assert "steurope2" not in report.accounts and not any("steurope2" in str(why) for why in report.reasons.values())


async def live(world: World) -> None:
    """The sweep has not seen it yet: nothing was captured."""
    enrollment = (await world.opt_in()).enrollment
    assert enrollment is not None
    setting = world.ledger.settings[TENANT].value
    moved = setting.model_copy(update={"enrollment": enrollment.model_copy(update={"storage_account": "steurope2"})})
    world.ledger.settings[TENANT] = replace(world.ledger.settings[TENANT], value=moved)


async def owed(world: World) -> None:
    await world.opt_in()
    event = await world.opt_out()
    await world.deletion_items.create(Deletion.owed_for(event.model_copy(update={"storage_account": "steurope2"})))


async def lost(world: World) -> None:
    """It was opted in and out after the last sweep, and the feed has not brought that yet."""
    world.clock.move(timedelta(hours=1))
    await world.opt_in()
    await world.opt_out()
    events = world.ledger.events[TENANT]
    events[:] = [event.model_copy(update={"storage_account": "steurope2"}) for event in events]


def swept(**changes: Any) -> Any:
    async def change(world: World) -> None:
        last = world.operations.heartbeats["sweep", "steurope2"]
        world.operations.heartbeats["sweep", "steurope2"] = last.model_copy(update=changes)

    return change


async def never_swept(world: World) -> None:
    del world.operations.heartbeats["sweep", "steurope2"]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (live, True),
        (owed, True),
        (lost, True),
        (never_swept, True),
        (swept(counts={"containers": 1}), True),
        (swept(counts={"containers": 1, "foreignContainers": 1}), False),
        (swept(outcome="failed", error="storage-503"), True),
        (swept(outcome="more", cursor="3"), True),
        (swept(outcome="more", cursor="3", previous_counts={"containers": 1}), True),
        (swept(outcome="more", cursor="3", previous_counts={}), False),
        (swept(previous_counts={"containers": 1}), False),
    ],
)
async def test_it_must_have_been_seen_that_nothing_is_left(change: Any, refused: bool) -> None:
    world = two()
    await world.opt_in(OTHER_TENANT, "unitedkingdom")  # a sweep believes no ledger in which there is nobody
    await world.purge.run()
    await world.sweep.run()
    await change(world)
    del world.stores["europe/2"]
    assert await refuses(world.services()) is refused


async def test_an_enrollment_that_ends_during_the_look_is_not_overlooked() -> None:
    world = two()
    await world.opt_in(OTHER_TENANT, "unitedkingdom")
    await world.purge.run()
    await world.sweep.run()
    await live(world)
    del world.stores["europe/2"]
    counts = world.deletion_items.counts

    async def then_it_ends(*what: Any) -> Any:
        counted = await counts(*what)
        event = await world.opt_out()
        await world.deletion_items.create(Deletion.owed_for(event))
        return counted

    world.deletion_items.counts = then_it_ends
    assert await refuses(world.services())


async def test_what_nobody_can_read_is_not_known_to_be_empty() -> None:
    world = two()
    await world.opt_in(OTHER_TENANT, "unitedkingdom")
    await world.purge.run()
    await world.sweep.run()
    del world.stores["europe/2"]
    read_all = world.operations.read_all

    async def unreadable(kind: str) -> Any:
        return {**await read_all(kind), "steurope2": None, "of europe": None}

    services = world.services()
    world.operations.read_all = unreadable
    assert await services.abandoned.among(await unreadable("purge"), await unreadable("sweep")) == ["steurope2"]
    assert await refuses(services)


@pytest.mark.parametrize("store", ["operations", "ledger", "deletion_items"])
async def test_a_look_that_fails_opens_nothing_and_the_next_request_looks_again(store: str) -> None:
    world = await left_behind()
    method = {"operations": "read_all", "ledger": "has_enrollment_in", "deletion_items": "counts"}[store]
    await drain(world)
    services, calls = world.services(), Counter[str]()
    works = getattr(getattr(world, store), method)

    async def fails(*args: object) -> Any:
        calls[method] += 1
        raise StoreUnavailable("cosmos-503")

    setattr(getattr(world, store), method, fails)
    for n in range(1, 3):
        with pytest.raises(StoreUnavailable):
            await services.captures.submit(TENANT, submission(capture(world.clock.now())))
        assert calls[method] == n
    setattr(getattr(world, store), method, works)
    assert not await refuses(services)


async def test_whoever_waits_for_the_look_may_go_away() -> None:
    world = await left_behind()
    services = world.services()
    gone = asyncio.create_task(refuses(services))
    waits = asyncio.create_task(refuses(services))
    await asyncio.sleep(0)
    gone.cancel()
    assert await waits


@pytest.mark.parametrize(("minutes", "refused"), [(14, False), (16, True)])
async def test_an_account_that_another_deployment_serves_is_none_as_long_as_it_does(
    minutes: int, refused: bool
) -> None:
    world = two()
    await shared(world, 8)
    await world.purge.run()
    await world.sweep.run()
    stamp = replace(
        world,
        stores={"unitedkingdom": world.stores["unitedkingdom"]},
        elsewhere={"europe": ELSEWHERE, "unitedstates": ELSEWHERE},
    )
    world.clock.move(timedelta(minutes=minutes))
    assert await refuses(stamp.services()) is refused
    alone = replace(world, stores={"unitedkingdom": world.stores["unitedkingdom"]})
    assert await refuses(alone.services())


async def test_a_first_start_refuses_nothing() -> None:
    assert not await refuses(World().services())
    world = World()
    heartbeat = Heartbeat(
        kind="sweep", started_at=world.clock.now(), at=world.clock.now(), outcome="done", counts={"ledgers": 3}
    )
    await keep(world.operations, heartbeat)
    assert not await refuses(world.services())
