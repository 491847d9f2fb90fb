"""P11: nothing is captured under a text that nobody of the tenant agreed to, and the ledger says who agreed to what."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.ledger import Enrollment, Event, OptedIn, OptedOut, Renewed, Setting, TenantLedger, event_from_json
from shared.model.notices import Agreement, Notice, Notices
from shared.ports import Stored, TryAgain
from shared.problems import (
    AgreementRanOut,
    InvalidRequest,
    NoticeOutdated,
    NoticeRequired,
    Problem,
    Unavailable,
)
from shared.sharing.data_sharing import RequestedChange
from shared.sweep.reconciliation import ledger_faults
from tests.changes import ADMIN, opting_out
from tests.clocks import START
from tests.unit.notices import BOTH, HASHES, NEW, OLD, REPLACED, RUNS_OUT, a_world, agreeing, put
from tests.unit.sweeps import tenant_id
from tests.world import TENANT, World, capture, submission

MOMENT = timedelta(microseconds=1)


def events(world: World) -> list[Event]:
    return list(world.ledger.events.get(TENANT, []))


def faults(world: World) -> dict[str, int]:
    setting = world.ledger.settings[TENANT].value
    return dict(ledger_faults(TenantLedger(TENANT, setting, events(world)), []))


@pytest.mark.parametrize(
    ("now", "version", "refusal", "current"),
    [
        (START, None, NoticeRequired, OLD),
        (START, "2026-13", NoticeRequired, OLD),
        (START, "2026-11 ", NoticeRequired, OLD),
        (REPLACED - MOMENT, NEW.version, NoticeRequired, OLD),
        (REPLACED, None, NoticeRequired, NEW),
        (REPLACED, OLD.version, NoticeOutdated, NEW),
        (RUNS_OUT, OLD.version, NoticeOutdated, NEW),
    ],
)
@pytest.mark.parametrize("on", [False, True])
async def test_without_the_notice_in_force_nothing_changes_and_the_refusal_names_it(
    now: datetime, version: str | None, refusal: type[NoticeRequired], current: Notice, on: bool
) -> None:
    world = a_world()
    if on:
        await put(world, OLD.version)
    before = (events(world), dict(world.ledger.settings))
    world.clock.set(now)
    locale = "en" if version is None else "de"
    with pytest.raises(Problem) as refused:
        await put(world, version)
    assert type(refused.value) is refusal
    assert refused.value.extensions == {
        "notice": current.version,
        "noticeHash": current.sha256[locale],
        "noticeAddress": f"notices/{current.version}?locale={locale}",
    }
    assert (events(world), dict(world.ledger.settings)) == before


async def test_a_language_in_which_there_is_no_text_cannot_have_been_shown() -> None:
    world = a_world()
    for locale in ("", "fr", "DE"):
        with pytest.raises(InvalidRequest, match=InvalidRequest.LOCALE):
            await put(world, OLD.version, locale)
    with pytest.raises(NoticeRequired) as refused:
        await world.data_sharing.put(TENANT, RequestedChange(True, ADMIN, "europe", Agreement("none", "fr")))
    assert refused.value.extensions["noticeHash"] == OLD.sha256["en"]
    assert events(world) == []


async def test_without_a_geo_nobody_is_opted_in_and_the_refusal_says_so() -> None:
    world = a_world()
    with pytest.raises(InvalidRequest, match=InvalidRequest.GEO_NEEDED):
        await world.data_sharing.put(TENANT, RequestedChange(True, ADMIN, None, Agreement(OLD.version, "en")))
    assert events(world) == []


async def test_the_ledger_says_who_agreed_to_which_text_by_which_way_and_right() -> None:
    world = a_world()
    await put(world, OLD.version, "en")
    world.clock.set(REPLACED)
    await put(world, NEW.version)
    await world.data_sharing.put(TENANT, opting_out())
    opted_in, renewed, opted_out = events(world)
    assert isinstance(opted_in, OptedIn) and isinstance(renewed, Renewed) and isinstance(opted_out, OptedOut)
    assert (opted_in.notice, opted_in.notice_hash, opted_in.locale) == (OLD.version, OLD.sha256["en"], "en")
    assert (renewed.notice, renewed.notice_hash, renewed.locale) == (NEW.version, NEW.sha256["de"], "de")
    assert "noticeShown" not in opted_in.to_json(), "said only of a text that was not shown"
    for event in (opted_in, renewed, opted_out):
        assert dict(ADMIN).items() <= dict(event).items()
    assert faults(world) == {}


async def test_agreeing_to_a_newer_notice_while_on_goes_on_with_the_same_enrollment() -> None:
    world = a_world()
    first = await put(world, OLD.version)
    world.clock.set(REPLACED)
    renewed = await put(world, NEW.version)
    assert (renewed.enrollment, renewed.since) == (first.enrollment, first.since)
    assert (renewed.sequence, renewed.notice) == (2, NEW.version)
    assert await put(world, NEW.version, "en") == renewed, "the same notice is no new event"
    assert faults(world) == {}


async def test_a_capture_is_taken_until_the_agreement_runs_out_and_not_at_that_instant_on_any_instance() -> None:
    world = a_world()
    await put(world, OLD.version)
    instances = [world.instance() for _ in range(3)]
    for last, taken in ((RUNS_OUT - MOMENT, True), (RUNS_OUT, False), (RUNS_OUT + timedelta(days=1), False)):
        world.clock.set(last)
        for n, each in enumerate(instances):
            sent = submission(capture(world.clock.now()), key=f"key-{last:%d%H%M%S%f}-{n}")
            if taken:  # which leases what was read until after the instant
                assert (await each.submit(TENANT, sent)).created
            else:
                with pytest.raises(AgreementRanOut) as refused:
                    await each.submit(TENANT, sent)
                assert (refused.value.status, refused.value.slug) == (403, "notice-outdated")
    world.clock.move(timedelta(seconds=2))
    await put(world, NEW.version)
    assert (await world.post("again", key="again")).created


async def test_a_setting_that_epochs_confirm_counts_no_longer_than_the_agreement_and_knows_of_a_newer_one() -> None:
    """Read once, and relied on for a minute in which the notice runs out and an administrator agrees to the next."""
    world = a_world(RUNS_OUT - timedelta(seconds=20))
    world.notices = Notices([OLD, replace(NEW, valid_from=RUNS_OUT - timedelta(seconds=10))])
    world.consent_epochs = True
    instance, other = world.instance(), world.services()
    await other.data_sharing.put(TENANT, agreeing(OLD.version))
    read_at, moments = (await instance.consent.current(TENANT)).read_at, list[bool]()
    while world.clock.now() < RUNS_OUT + timedelta(seconds=10):
        permit = await instance.consent.current(TENANT)
        moments.append(permit.holds)
        assert permit.holds is (world.clock.now() < RUNS_OUT)
        world.clock.move(timedelta(seconds=1))
    assert {True, False} == set(moments)
    renewed = await other.data_sharing.put(TENANT, agreeing(NEW.version))
    permit = await instance.consent.current(TENANT)
    assert permit.setting == renewed and permit.holds and read_at.passed < deadlines.SETTING_SECONDS


async def test_what_is_on_its_way_when_the_agreement_runs_out_is_not_stored() -> None:
    world = a_world()
    await put(world, OLD.version)
    world.clock.set(RUNS_OUT - timedelta(seconds=1))
    await world.post("first", key="first")
    store = world.stores["europe"]
    receive = store.receive_batch

    def late(*args: Any) -> Any:
        world.clock.move(timedelta(seconds=1))
        return receive(*args)

    store.receive_batch = late
    with pytest.raises(TryAgain):  # whether it was stored is not known to whoever sent it
        await world.post("late", key="late")
    assert sum(len(batches) for batches in world.containers().values()) == 1


def _from_before(world: World) -> Setting:
    """A tenant that opted in before there were notices, as it was stored then."""
    event = event_from_json(
        {
            "kind": "optedIn",
            "tenantId": TENANT,
            "enrollmentId": "0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
            "geo": "europe",
            "storageAccount": "steurope",
            "startedAt": "2026-11-20T12:00:00.000000Z",
            "sequence": 1,
            "at": "2026-11-20T12:00:00.000000Z",
            "actor": "b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
            "previousHash": "0" * 64,
        }
    )
    # Computed by the version that wrote it.
    assert event.hash == "85897eb9cc9573badfd3613d697811dc3c96414f2548ef4bf1a06551024a0c23"
    enrollment = Enrollment(**{name: getattr(event, name) for name in Enrollment.model_fields})
    setting = Setting(tenant_id=TENANT, sequence=1, ledger_hash=event.hash, enrollment=enrollment, since=event.at)
    assert "notice" not in setting.to_json()
    world.ledger.events[TENANT] = [event]
    world.ledger.settings[TENANT] = Stored(setting, "from-before")
    return setting


async def test_an_enrollment_from_before_there_were_notices_is_whole_and_takes_captures_once_somebody_agreed() -> None:
    world = a_world()
    before = _from_before(world)
    assert faults(world) == {}
    with pytest.raises(AgreementRanOut):
        await world.post()
    renewed = await put(world, OLD.version)
    assert (renewed.enrollment, renewed.since, renewed.sequence) == (before.enrollment, before.since, 2)
    assert (await world.post(key="key-2")).created
    await world.data_sharing.put(TENANT, opting_out())
    assert [event.kind for event in events(world)] == ["optedIn", "renewed", "optedOut"]
    assert faults(world) == {}


async def test_a_notice_that_this_instance_does_not_know_yet_lets_nothing_in_and_is_not_replaced() -> None:
    world = a_world(REPLACED)
    await put(world, NEW.version)
    world.notices = Notices([Notice(OLD.version, OLD.valid_from, None, HASHES)])
    behind = world.services()
    with pytest.raises(Unavailable, match=Unavailable.NOTICE):
        await behind.captures.submit(TENANT, submission(capture(world.clock.now())))
    with pytest.raises(Unavailable, match=Unavailable.NOTICE):
        await behind.data_sharing.put(TENANT, agreeing(OLD.version))
    assert world.containers() == {} and len(events(world)) == 1


async def test_an_instance_whose_clock_is_behind_goes_back_to_no_older_notice() -> None:
    world = a_world(REPLACED)
    await put(world, NEW.version)
    world.clock.set(REPLACED - timedelta(seconds=30))
    with pytest.raises(Unavailable):
        await put(world, OLD.version)
    assert len(events(world)) == 1


@pytest.mark.parametrize("seed", range(8))
async def test_two_administrators_who_renew_and_opt_out_at_a_time_leave_a_chain_that_is_whole(seed: int) -> None:
    world = a_world()
    await put(world, OLD.version)
    world.clock.set(REPLACED)
    wishes = [agreeing(NEW.version), opting_out(), agreeing(NEW.version), opting_out()]
    answers = await asyncio.gather(
        *(world.services().data_sharing.put(TENANT, wishes[(n + seed) % 4]) for n in range(4)), return_exceptions=True
    )
    assert all(isinstance(each, Setting) for each in answers), answers
    kinds = [event.kind for event in events(world)]
    switches = [kind for kind in kinds if kind != "renewed"]
    assert switches == (["optedIn", "optedOut"] * 4)[: len(switches)]
    assert faults(world) == {}


async def test_an_opt_out_needs_no_notice_even_when_all_have_run_out() -> None:
    world = a_world()
    await put(world, OLD.version)
    world.notices = Notices([])
    world.clock.move(timedelta(seconds=deadlines.CONSENT_LEASE_SECONDS))
    with pytest.raises(Unavailable, match=Unavailable.NO_NOTICE):
        await put(world, OLD.version)
    assert not (await world.data_sharing.put(TENANT, opting_out())).enabled


async def test_who_shares_data_and_has_not_agreed_to_the_notice_in_force_is_listed_by_id() -> None:
    world = a_world()
    tenants = [tenant_id(n) for n in range(5)]
    for tenant in tenants:
        await world.data_sharing.put(tenant, agreeing(OLD.version))
    await world.data_sharing.put(tenants[1], opting_out())

    async def outdated(limit: int = 10, after: str = "") -> list[str]:
        return [each.tenant_id for each in await world.data_sharing.outdated(limit=limit, after=after)]

    assert await outdated() == []
    world.clock.set(REPLACED)
    await world.data_sharing.put(tenants[2], agreeing(NEW.version))
    assert await outdated() == [tenants[0], tenants[3], tenants[4]]
    assert await outdated(limit=2) == [tenants[0], tenants[3]]
    assert await outdated(after=tenants[0]) == [tenants[3], tenants[4]]
    world.notices = Notices([])
    assert len(await outdated()) == 4, "where there is no notice, nobody has agreed to it"


def test_an_agreement_to_none_never_counts() -> None:
    assert BOTH.agreed_until(None) == datetime.min.replace(tzinfo=UTC)
    assert BOTH.agreed_until("2027-01") is None
    assert BOTH.agreed_until(OLD.version) == RUNS_OUT
