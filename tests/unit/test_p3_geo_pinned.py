"""P3: a capture lies only in a storage account of its enrollment's geo."""

import pytest

from shared.model.containers import DayContainer
from shared.model.geos import GEOS
from shared.problems import GeoNotServed
from shared.stores.memory import MemoryCaptures
from tests.world import OTHER_TENANT, World


async def test_each_tenants_captures_lie_in_its_own_geo_alone() -> None:
    world = World()
    await world.opt_in(geo="europe")
    await world.opt_in(OTHER_TENANT, "unitedkingdom")
    for n in range(5):
        await world.post(key=f"a{n}")
        await world.post(key=f"b{n}", tenant=OTHER_TENANT)
    assert set(world.stored_containers()) == {"europe", "unitedkingdom"}
    enrollments = {
        stored.value.enrollment.geo: stored.value.enrollment.enrollment_id for stored in world.ledger.settings.values()
    }
    for geo, names in world.stored_containers().items():
        assert all(name.endswith(enrollments[geo]) for name in names)


async def test_moving_to_another_geo_takes_an_opt_out_and_leaves_the_old_data_where_it_was() -> None:
    world = World()
    await world.opt_in(geo="europe")
    await world.post(key="a")
    europe = world.stored_containers()["europe"]
    await world.opt_out()
    await world.opt_in(geo="unitedstates")
    await world.post(key="b")
    assert world.stored_containers()["europe"] == europe
    assert len(world.stored_containers()["unitedstates"]) == 1


async def test_an_enrollment_whose_account_was_exchanged_is_refused_rather_than_written_elsewhere() -> None:
    world = World()
    await world.opt_in()
    world.stores["europe"] = MemoryCaptures("stsomeoneelse")
    world.captures = world.instance()
    with pytest.raises(GeoNotServed):
        await world.post()
    del world.stores["europe"]
    world.captures = world.instance()
    with pytest.raises(GeoNotServed):
        await world.post()
    assert world.stored_containers() == {}


def test_every_geo_has_a_region() -> None:
    assert len(GEOS) == 17
    assert all(geo["regions"] for geo in GEOS.values())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "a-20260101",
        "b-20260101-a" + "0" * 31,
        "a-20260230-a" + "0" * 31,
        "a-2026010-a" + "0" * 31,
        "a-20260101-a" + "0" * 30,
        "a-20260101-a" + "0" * 31 + "-x",
        "$logs",
        "A-20260101-A" + "0" * 31,
    ],
)
def test_a_name_that_is_not_ours_is_no_day_container(name: str) -> None:
    assert DayContainer.parse(name) is None


def test_a_container_name_says_its_shard_day_and_enrollment() -> None:
    name = "a-20280229-a" + "0" * 31
    container = DayContainer.parse(name)
    assert container is not None
    assert container.name == name
    assert container.day.isoformat() == "2028-02-29"
