"""The figures of the status as metrics, as an exporter gets them, in good and in broken states."""

import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from shared.model.containers import DayContainer
from shared.model.findings import FINDINGS
from shared.model.geos import GEOS as ALL_GEOS
from shared.model.metrics import METRICS, Measurement
from shared.ports import StoreUnavailable
from shared.stores.memory import MemoryCaptures
from shared.stores.monitor import Monitor
from shared.watch.metrics import measured, unreadable
from tests.world import GEOS, OTHER_TENANT, TENANT, World

ROOT = Path(__file__).parents[2]
PROMISES = {"P1", "P3", "P4", "P5", "P6", "P9"}
DAY = 86400.0

Values = dict[tuple[str, frozenset[str]], float]


async def seen(monitor: Monitor, reader: InMemoryMetricReader, measurements: Iterable[Measurement]) -> Values:
    """Send measurements, and return the values that a reader then has by name and attribute values."""
    await monitor.send(measurements)
    data = reader.get_metrics_data()
    assert data is not None
    found: Values = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    assert isinstance(point, NumberDataPoint) and point.attributes is not None
                    key = (metric.name.removeprefix("data_sharing."), frozenset(map(str, point.attributes.values())))
                    assert key not in found
                    found[key] = point.value
    return found


async def figures(world: World) -> Values:
    reader = InMemoryMetricReader()
    return await seen(Monitor(reader), reader, measured(await world.status.report()))


def key(name: str, *attributes: str) -> tuple[str, frozenset[str]]:
    accounts = {GEOS[each] for each in attributes if each in GEOS}
    return name, frozenset({*attributes, *accounts})


async def well() -> World:
    """A service that keeps its promises: one tenant shares, one has opted out, every job has just run."""
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
        await world.post("Frau Schneider asks", tenant=tenant)
    await world.opt_out(OTHER_TENANT)
    await world.feed()
    await world.purge.run()
    await world.sweep.run()
    return world


async def test_a_service_that_is_well_has_these_figures() -> None:
    world = await well()
    noon_until_the_31st_day = 29.5 * DAY
    slept = sum(world.clock.slept)  # what the opt-in and the opt-out have waited (D5), since noon
    found = await figures(world)
    assert {name: found.pop(key("promise.holds", name)) for name in PROMISES} == dict.fromkeys(PROMISES, 1)
    assert [found.pop(key("findings", kind)) for kind in FINDINGS] == [0] * len(FINDINGS)
    assert found.pop(key("retention.time_left", "europe")) == noon_until_the_31st_day - slept
    assert 30 * DAY - slept <= found.pop(key("deletions.time_left", "europe")) <= 30 * DAY
    for geo in world.stores:
        assert found.pop(key("geo.readable", geo)) == 1
        assert found.pop(key("items.unreadable", geo)) == 0
        assert found.pop(key("deletions.pending", geo)) == (1 if geo == "europe" else 0)
        for job in ("purge", "sweep"):
            assert found.pop(key("job.failed", job, geo)) == 0
            assert found.pop(key("job.age", job, geo)) == 0
    assert found == {
        key("status.readable"): 1,
        key("deletions.overdue"): 0,
        key("items.unreadable"): 0,
        key("feed.lag"): 0,
        key("opt_outs.unscheduled"): 0,
        key("job.failed", "sweep"): 0,
        key("job.age", "sweep"): 0,
    }


async def fail(*args: object, **kwargs: object) -> Any:
    raise StoreUnavailable("storage-503")


async def a_deletion_is_overdue(world: World) -> None:
    world.clock.move(timedelta(days=30))


async def a_deletion_of_an_account_that_nobody_serves_is_overdue(world: World) -> None:
    world.stores["europe"] = MemoryCaptures("stsomeoneelse")
    world.clock.move(timedelta(days=30))
    await world.purge.run()


async def a_day_is_kept_too_long(world: World) -> None:
    world.clock.move(timedelta(days=29, hours=13))


async def the_feed_loses_an_opt_out(world: World) -> None:
    await world.opt_out(TENANT)  # answered two seconds later (D5)
    world.clock.move(timedelta(hours=4))


async def the_sweep_schedules_what_the_feed_lost(world: World) -> None:
    await the_feed_loses_an_opt_out(world)
    await world.sweep.run()


async def a_purge_fails(world: World) -> None:
    world.stores["europe"].delete_container = fail
    world.clock.move(timedelta(days=29))
    await world.purge.run()


async def the_jobs_stop(world: World) -> None:
    world.clock.move(timedelta(hours=5))


async def an_account_cannot_be_read(world: World) -> None:
    world.deletion_items.counts = fail


async def data_lies_in_another_geo(world: World) -> None:
    (name,) = [name for name in world.stores["europe"].containers if DayContainer.parse(name)][:1]
    world.stores["unitedstates"].receive_container(name)
    await world.sweep.run()


async def nobody_opted_in_to_what_is_stored(world: World) -> None:
    world.stores["europe"].receive_container(f"f-20261121-f{'0' * 31}")
    await world.sweep.run()


async def soft_delete_is_on(world: World) -> None:
    world.stores["europe"].soft_deleted.add(f"f-20261121-f{'0' * 31}")
    await world.sweep.run()


async def somebody_uses_our_account(world: World) -> None:
    world.stores["europe"].receive_container("backup-of-something")
    await world.sweep.run()


async def an_event_is_gone(world: World) -> None:
    del world.ledger.events[OTHER_TENANT][0]
    await world.sweep.run()


BROKEN: list[tuple[Callable[[World], Awaitable[None]], dict[Any, float | None]]] = [
    (
        a_deletion_is_overdue,
        {key("deletions.overdue"): 1, key("deletions.pending", "europe"): 1, key("promise.holds", "P5"): 0},
    ),
    (
        a_deletion_of_an_account_that_nobody_serves_is_overdue,
        {
            key("deletions.overdue"): 1,
            key("deletions.pending", "europe"): None,
            key("deletions.time_left", "europe"): None,
            key("promise.holds", "P5"): 0,
        },
    ),
    (a_day_is_kept_too_long, {key("promise.holds", "P4"): 0, key("deletions.overdue"): 0}),
    (
        the_feed_loses_an_opt_out,
        {key("feed.lag"): 4 * 3600 + 2, key("opt_outs.unscheduled"): 1, key("promise.holds", "P9"): 0},
    ),
    (
        the_sweep_schedules_what_the_feed_lost,
        {key("feed.lag"): 0, key("opt_outs.unscheduled"): 0, key("findings", "deletionsCreated"): 1},
    ),
    (
        a_purge_fails,
        {
            key("job.failed", "purge", "europe"): 1,
            key("job.failed", "purge", "unitedstates"): 0,
            key("promise.holds", "P9"): 0,
            key("deletions.overdue"): 0,
        },
    ),
    (
        the_jobs_stop,
        {
            key("job.age", "purge", "europe"): 5 * 3600,
            key("job.age", "sweep", "europe"): 5 * 3600,
            key("job.age", "sweep"): 5 * 3600,
            key("promise.holds", "P9"): 0,
        },
    ),
    (
        an_account_cannot_be_read,
        {
            key("status.readable"): 1,
            key("geo.readable", "europe"): 0,
            key("deletions.pending", "europe"): None,
            key("deletions.time_left", "europe"): None,
            key("retention.time_left", "europe"): None,
            key("promise.holds", "P4"): 0,
        },
    ),
    (
        data_lies_in_another_geo,
        {key("findings", "wrongAccount"): 1, key("promise.holds", "P3"): 0, key("promise.holds", "P1"): 1},
    ),
    (
        nobody_opted_in_to_what_is_stored,
        {key("findings", "unknownEnrollment"): 1, key("promise.holds", "P1"): 0, key("promise.holds", "P3"): 1},
    ),
    (soft_delete_is_on, {key("findings", "softDeleted"): 1, key("promise.holds", "P6"): 0}),
    (somebody_uses_our_account, {key("findings", "foreignContainers"): 1, key("promise.holds", "P9"): 1}),
    (
        an_event_is_gone,
        {key("findings", "eventsMissing"): 1, key("promise.holds", "P9"): 0, key("promise.holds", "P1"): 1},
    ),
]


@pytest.mark.parametrize(("breaks", "expected"), BROKEN, ids=lambda each: getattr(each, "__name__", ""))
async def test_what_is_broken_is_in_the_figures(
    breaks: Callable[[World], Awaitable[None]], expected: dict[Any, float | None]
) -> None:
    world = await well()
    before = await figures(world)
    await breaks(world)
    found = await figures(world)
    assert {name: found.get(name) for name in expected} == expected
    assert any(before.get(name) != value for name, value in expected.items())


async def test_time_runs_out_before_a_deadline_and_is_negative_after_it() -> None:
    world = await well()
    days_left, deletion_left = key("retention.time_left", "europe"), key("deletions.time_left", "europe")
    before = await figures(world)
    world.clock.move(timedelta(days=31))
    after = await figures(world)
    assert before[days_left] - after[days_left] == before[deletion_left] - after[deletion_left] == 31 * DAY
    assert after[days_left] < 0 and after[deletion_left] < 0


@pytest.mark.parametrize("days", [3, 30])
async def test_the_retention_that_is_configured_counts(days: int) -> None:
    world = await well()
    world.retention_days = days
    until_the_day_after = 0.5 * DAY - sum(world.clock.slept)
    assert (await figures(world))[key("retention.time_left", "europe")] == until_the_day_after + (days - 1) * DAY


async def test_what_cannot_be_read_any_more_is_not_said_again() -> None:
    world = await well()
    reader = InMemoryMetricReader()
    monitor = Monitor(reader)
    assert len(await seen(monitor, reader, measured(await world.status.report()))) > len(METRICS)
    assert await seen(monitor, reader, unreadable()) == {key("status.readable"): 0}
    del world.stores["europe"]
    later = await seen(monitor, reader, measured(await world.status.report()))
    assert later[key("status.readable")] == 1
    assert not any("europe" in attributes for _, attributes in later)


async def test_totals_are_those_since_the_service_began_in_whatever_process() -> None:
    world = await well()
    for n in range(2):
        world.stores["europe"].receive_container(f"f-20261121-f{n:031x}")
        await world.sweep.run()
    first, second = await figures(world), await figures(world)
    assert first[key("findings", "unknownEnrollment")] == second[key("findings", "unknownEnrollment")] == 2


@pytest.mark.parametrize("breaks", [None, *(breaks for breaks, _ in BROKEN)])
async def test_no_attribute_comes_from_a_customer(breaks: Callable[[World], Awaitable[None]] | None) -> None:
    world = await well()
    if breaks is not None:
        await breaks(world)
    allowed = {
        "promise": PROMISES,
        "geo": ALL_GEOS,
        "account": {*GEOS.values(), "stsomeoneelse"},
        "kind": set(FINDINGS),
        "job": {"purge", "sweep"},
    }
    for each in measured(await world.status.report()):
        assert each.metric in METRICS
        assert all(value in allowed[name] for name, value in each.attributes.items()), each.metric.name


async def test_a_kind_that_an_item_in_the_database_invents_is_not_sent() -> None:
    world = await well()
    heartbeat = world.operations.heartbeats["sweep", "steurope"]
    world.operations.heartbeats["sweep", "steurope"] = heartbeat.model_copy(update={"totals": {"Frau Schneider": 1}})
    assert not any("Schneider" in f"{each}" for each in measured(await world.status.report()))


def test_the_operations_page_has_every_metric_and_a_section_for_every_finding() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = re.findall(r"^\| `(data_sharing\.[a-z_.]+)` \| (\S+) \|", page, re.MULTILINE)
    assert listed == [(metric.name, f"`{metric.unit}`") for metric in METRICS]
    headings = " ".join(re.findall(r"^#+ (.*)$", page, re.MULTILINE))
    assert {kind for kind in FINDINGS if f"`{kind}`" not in headings} == set()
