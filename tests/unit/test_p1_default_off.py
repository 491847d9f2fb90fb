"""P1: no opt-in on the ledger, no capture stored."""

from datetime import timedelta

import pytest

from shared.model.ledger import Enrollment, Setting
from shared.ports import StoreUnavailable
from shared.problems import DataSharingOff, GeoNotServed, InvalidRequest, UnknownGeo
from tests.changes import AGREEMENT, opting_out
from tests.world import OTHER_TENANT, TENANT, World


async def test_a_tenant_never_seen_is_off_and_stores_nothing() -> None:
    world = World()
    setting = await world.data_sharing.get(TENANT)
    assert (setting.enabled, setting.sequence, setting.since) == (False, 0, None)
    with pytest.raises(DataSharingOff):
        await world.post()
    assert world.stored_containers() == {}
    assert world.ledger.events == {}


async def test_one_tenants_opt_in_says_nothing_about_another() -> None:
    world = World()
    await world.opt_in()
    with pytest.raises(DataSharingOff):
        await world.post(tenant=OTHER_TENANT)
    assert world.stored_containers() == {}


@pytest.mark.parametrize(
    ("geo", "problem"),
    [(None, InvalidRequest), ("atlantis", UnknownGeo), ("japan", GeoNotServed), ("Europe", UnknownGeo)],
)
async def test_an_opt_in_that_is_refused_leaves_it_off(geo: str | None, problem: type[Exception]) -> None:
    world = World()
    with pytest.raises(problem):
        await world.opt_in(geo=geo)  # type: ignore[arg-type]
    assert world.ledger.events == {}
    with pytest.raises(DataSharingOff):
        await world.post()


async def test_consent_that_cannot_be_read_is_not_consent() -> None:
    world = World()
    await world.opt_in()
    await world.post()
    before = world.stored_containers()
    world.clock.set(world.clock.now().replace(hour=13))

    async def fail(tenant_id: str) -> None:
        raise StoreUnavailable("cosmos-unreachable")

    world.ledger.read_setting = fail
    with pytest.raises(StoreUnavailable):
        await world.post("another", key="key-2")
    assert world.stored_containers() == before
    assert sum(len(batches) for batches in world.stores["europe"].containers.values()) == 1


async def test_a_setting_says_what_is_so_since_when_and_by_which_event() -> None:
    world = World()
    for enabled in (True, False):
        at = world.clock.now()
        setting = await (world.opt_in() if enabled else world.data_sharing.put(TENANT, opting_out()))
        event = world.ledger.events[TENANT][-1]
        assert (event.at, event.tenant_id, event.actor, event.geo) == (at, TENANT, "admin", "europe")
        assert (event.storage_account, event.started_at) == ("steurope", world.ledger.events[TENANT][0].at)
        enrollment = Enrollment(**{name: getattr(event, name) for name in Enrollment.model_fields})
        assert setting == Setting(
            tenant_id=TENANT,
            sequence=event.sequence,
            ledger_hash=event.hash,
            enrollment=enrollment if enabled else None,
            notice=AGREEMENT.version if enabled else None,
            since=at,
            person_key=setting.person_key,
        )
        assert (setting.person_key is not None) == enabled
        assert await world.data_sharing.get(TENANT) == setting
        world.clock.move(timedelta(hours=1))
