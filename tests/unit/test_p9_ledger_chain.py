"""P9: an event that somebody changed, took away or put elsewhere is found, by the hashes that chain the ledger."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.model.ledger import OptedIn, OptedOut, Setting, TenantLedger
from shared.ports import Stored, StoreUnavailable
from shared.sweep import ledger as ledger_sweep
from tests.unit.opt_outs import opted_out
from tests.unit.sweeps import STRANGER, swept
from tests.world import OTHER_TENANT, TENANT, World


@pytest.fixture(autouse=True, params=[1, 500], ids="{} at a time".format)
def _items_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a ledger is: as a whole or in parts it comes to the same."""
    monkeypatch.setattr(ledger_sweep, "_ITEMS_MAX", request.param)


def _change(events: list[Any], n: int, **members: Any) -> None:
    events[n] = events[n].model_copy(update=members)


def _swap(events: list[Any]) -> None:
    first, second = events[1], events[2]
    events[1] = second.model_copy(update={"sequence": first.sequence})
    events[2] = first.model_copy(update={"sequence": second.sequence})


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lambda events: _change(events, 0, actor="somebody else"), "eventsChanged"),
        (lambda events: _change(events, 1, deadline=datetime(2027, 6, 1, tzinfo=UTC)), "eventsChanged"),
        (lambda events: _change(events, 0, previous_hash="1" * 64), "eventsChanged"),
        (lambda events: _change(events, -1, geo="unitedstates"), "settingsDisagreeing"),
        (lambda events: events.pop(0), "eventsMissing"),
        (lambda events: events.pop(1), "eventsMissing"),
        (lambda events: events.pop(), "eventsMissing"),
        (lambda events: events.clear(), "eventsMissing"),
        (_swap, "eventsChanged"),
    ],
)
async def test_a_changed_missing_or_reordered_event_is_reported(
    tamper: Callable[[list[Any]], None], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    for _ in range(2):
        await world.opt_in()
        await world.opt_out()
    await world.feed()
    world.clock.move(timedelta(hours=1))
    assert await swept(world) == {"ledgers": 1}
    before = list(world.ledger.events[TENANT])
    tamper(world.ledger.events[TENANT])
    assert (await swept(world))[fault] >= 1
    assert TENANT in caplog.text and fault in caplog.text
    assert (await world.status.report()).promises["P9"] is False
    world.ledger.events[TENANT] = before
    await world.sweep.run()
    await world.purge.run()
    assert (await world.status.report()).promises["P9"] is True, "a whole round has found nothing"


async def test_p9_each_event_that_was_changed_is_counted() -> None:
    world = World()
    for _ in range(2):
        await world.opt_in()
        await world.opt_out()
    await world.feed()
    for n in (0, 2):
        _change(world.ledger.events[TENANT], n, actor="somebody else")
    assert (await swept(world)) == {"ledgers": 1, "eventsChanged": 2}


@pytest.mark.parametrize(
    "update",
    [
        {"enrollment": None},
        {"ledger_hash": "1" * 64},
        {"sequence": 4},
        {"sequence": 2},
    ],
)
async def test_a_setting_that_disagrees_with_its_ledger_is_reported(update: dict[str, Any]) -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.opt_in()
    await world.feed()
    stored = world.ledger.settings[TENANT]
    world.ledger.settings[TENANT] = Stored(stored.value.model_copy(update=update), "by-hand")
    found = await swept(world)
    assert found.keys() & {"settingsDisagreeing", "eventsMissing"}
    assert (await world.status.report()).promises["P9"] is False


async def test_p9_a_setting_that_is_off_and_has_a_notice_all_the_same_is_reported() -> None:
    world = World()
    setting = await world.opt_in()
    await world.opt_out()
    stored = world.ledger.settings[TENANT]
    world.ledger.settings[TENANT] = Stored(stored.value.model_copy(update={"notice": setting.notice}), "by-hand")
    assert await swept(world) == {"ledgers": 1, "settingsDisagreeing": 1}


async def test_a_setting_that_was_lost_or_switched_back_on_is_reported() -> None:
    world = World()
    await world.opt_in()
    on = world.ledger.settings[TENANT].value
    await world.opt_out()
    for setting in (None, on.model_copy(update={"sequence": 2, "ledger_hash": world.ledger.events[TENANT][1].hash})):
        if setting is None:
            del world.ledger.settings[TENANT]
        else:
            world.ledger.settings[TENANT] = Stored(setting, "by-hand")
        assert (await swept(world))["settingsDisagreeing"] == 1


async def test_a_deletion_whose_opt_out_is_gone_from_the_ledger_is_reported() -> None:
    world, _ = await opted_out()
    world.ledger.events.clear()
    world.ledger.settings.clear()
    await world.opt_in()
    assert (await swept(world))["deletionsWithoutEvent"] == 1
    assert (await world.status.report()).promises["P9"] is False


async def test_a_ledger_that_changes_while_it_is_read_is_not_called_broken() -> None:
    world = World()
    await world.opt_in()
    events = list(world.ledger.events[TENANT])
    await world.opt_out()
    await world.feed()
    half = TenantLedger(TENANT, world.ledger.settings[TENANT].value, events)

    async def half_read(after: str, *, at_most: int) -> AsyncIterator[Any]:
        yield half

    world.ledger.ledgers = half_read
    assert await swept(world) == {"ledgers": 1}
    events_after = world.ledger.events_after

    async def busy(tenant: str, sequence: int) -> AsyncIterator[Any]:
        await world.opt_in() if not world.ledger.settings[TENANT].value.enabled else await world.opt_out()
        await world.feed()
        async for event in events_after(tenant, sequence):
            yield event

    world.ledger.events_after = busy
    assert await swept(world) == {"ledgers": 1}, "it keeps changing; the next sweep looks again"


async def test_p9_a_setting_that_goes_on_while_the_events_are_read_is_not_held_against_them() -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.feed()
    events_after = world.ledger.events_after

    async def overtaken(tenant: str, sequence: int) -> AsyncIterator[Any]:
        async for event in events_after(tenant, sequence):
            yield event
        await world.opt_in() if not world.ledger.settings[TENANT].value.enabled else await world.opt_out()
        await world.feed()

    world.ledger.events_after = overtaken
    assert await swept(world) == {"ledgers": 1}
    world.ledger.events_after = events_after
    _change(world.ledger.events[TENANT], 0, actor="somebody else")
    world.ledger.events_after = overtaken
    assert (await swept(world)).keys() <= {"ledgers", "eventsChanged"}
    world.ledger.events_after = events_after
    assert await swept(world) == {"ledgers": 1, "eventsChanged": 1}


async def test_p9_a_change_in_a_long_ledger_is_told_though_its_setting_goes_on_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_sweep, "_ITEMS_MAX", 1)
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.feed()
    _change(world.ledger.events[TENANT], 0, actor="somebody else")
    events_after = world.ledger.events_after

    async def overtaken(tenant: str, sequence: int) -> AsyncIterator[Any]:
        async for event in events_after(tenant, sequence):
            yield event
        if not world.ledger.settings[TENANT].value.enabled:
            await world.opt_in()

    world.ledger.events_after = overtaken
    assert await swept(world) == {"ledgers": 1, "eventsChanged": 1}


async def test_p9_a_setting_that_nobody_understands_is_reported_once() -> None:
    world = World()
    await world.opt_in()
    ledgers = world.ledger.ledgers

    async def damaged(after: str, *, at_most: int) -> AsyncIterator[Any]:
        async for each in ledgers(after, at_most=at_most):
            yield replace(each, setting=None, unreadable=1)

    async def unreadable(tenant: str) -> None:
        raise StoreUnavailable("cosmos-item-unreadable")

    world.ledger.ledgers, world.ledger.read_setting = damaged, unreadable
    heartbeat = (await world.sweep.run())[None]
    assert heartbeat.error is None
    assert heartbeat.counts == {"ledgers": 1, "itemsUnreadable": 1, "settingsDisagreeing": 1}
    assert (await world.status.report()).promises["P9"] is False


async def test_items_that_nobody_understands_are_reported_and_block_no_tenant() -> None:
    world = World()
    for tenant in (TENANT, OTHER_TENANT):
        await world.opt_in(tenant)
        await world.opt_out(tenant)
    ledgers, events_after = world.ledger.ledgers, world.ledger.events_after

    async def damaged(after: str, *, at_most: int) -> AsyncIterator[Any]:
        async for each in ledgers(after, at_most=at_most):
            yield replace(each, events=each.events[:1], unreadable=1) if each.tenant_id == TENANT else each

    async def damaged_again(tenant: str, sequence: int) -> AsyncIterator[Any]:
        async for event in events_after(tenant, sequence):
            yield None if tenant == TENANT and event.sequence > 1 else event

    async def damaged_too(since: int, before: int | None = None) -> AsyncIterator[Any]:
        async for each in opt_outs(since, before):
            yield replace(each, event=None) if each.event.tenant_id == TENANT else each

    opt_outs, world.ledger.opt_outs_committed = world.ledger.opt_outs_committed, damaged_too
    world.ledger.ledgers, world.ledger.events_after = damaged, damaged_again
    world.clock.move(timedelta(hours=1))
    found = await swept(world)
    assert (found["itemsUnreadable"], found["deletionsCreated"]) == (1, 1)
    assert (await world.status.report()).promises["P9"] is False


async def test_p9_items_that_nobody_understands_beside_a_whole_ledger_are_counted() -> None:
    world = World()
    await world.opt_in()
    ledgers, events_after = world.ledger.ledgers, world.ledger.events_after

    async def damaged(after: str, *, at_most: int) -> AsyncIterator[Any]:
        async for each in ledgers(after, at_most=at_most):
            yield replace(each, unreadable=2)

    async def damaged_again(tenant: str, sequence: int) -> AsyncIterator[Any]:
        async for event in events_after(tenant, sequence):
            yield event
        for _ in range(2):
            yield None

    world.ledger.ledgers, world.ledger.events_after = damaged, damaged_again
    assert await swept(world) == {"ledgers": 1, "itemsUnreadable": 2}


def test_every_setting_and_event_has_a_hash_of_all_its_members() -> None:
    common: dict[str, Any] = {
        "tenant_id": TENANT,
        "enrollment_id": STRANGER,
        "geo": "europe",
        "storage_account": "steurope",
        "started_at": datetime(2026, 11, 21, tzinfo=UTC),
        "sequence": 1,
        "at": datetime(2026, 11, 21, tzinfo=UTC),
        "actor": "admin",
        "previous_hash": "0" * 64,
    }
    event = OptedOut(**common, deadline=datetime(2026, 12, 21, tzinfo=UTC))
    others = {
        "tenant_id": OTHER_TENANT,
        "enrollment_id": "0" * 32,
        "geo": "asia",
        "storage_account": "stasia",
        "started_at": common["at"] - timedelta(microseconds=1),
        "sequence": 2,
        "at": common["at"] + timedelta(microseconds=1),
        "actor": "other",
        "channel": "portal",
        "client_id": "app",
        "role": "Global Administrator",
        "previous_hash": "1" * 64,
        "deadline": event.deadline + timedelta(microseconds=1),
        "stop_review": True,
    }
    hashes = {event.model_copy(update={name: value}).hash for name, value in others.items()}
    assert others.keys() | {"kind"} == OptedOut.model_fields.keys()
    assert len(hashes | {event.hash, OptedIn(**common).hash}) == len(others) + 2
    assert Setting(tenant_id=TENANT).ledger_hash == "0" * 64


def _overwrite(events: list[Any]) -> None:
    events[1] = events[0]


def _copy(events: list[Any]) -> None:
    del events[1]
    events.append(events[0])


@pytest.mark.parametrize("tamper", [_overwrite, _copy])
async def test_an_opt_out_overwritten_with_another_event_is_reported(tamper: Callable[[list[Any]], None]) -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.opt_in()
    tamper(world.ledger.events[TENANT])
    found = await swept(world)
    assert found["eventsMissing"] == 1 and found["eventsChanged"] >= 1
    assert (await world.status.report()).promises["P9"] is False


async def test_a_ledger_that_is_gone_altogether_is_reported_by_what_is_left_of_it() -> None:
    world, _ = await opted_out()
    world.ledger.events.clear()
    world.ledger.settings.clear()
    assert await swept(world) == {"ledgers": 1, "deletionsWithoutEvent": 1}
    await world.opt_in("00000000-0c4d-4f18-a7e1-62d05c8f9b30")
    await world.opt_in("ffffffff-0c4d-4f18-a7e1-62d05c8f9b30")
    assert (await swept(world))["deletionsWithoutEvent"] == 1


async def test_a_ledger_is_shown_newest_first_and_page_by_page() -> None:
    world = World()
    await world.opt_in()
    await world.opt_out()
    await world.opt_in()
    first = await world.data_sharing.history(TENANT, limit=2, before=None)
    second = await world.data_sharing.history(TENANT, limit=2, before=first.next_before)
    assert [(event.sequence, event.kind) for page in (first, second) for event in page.values] == [
        (3, "optedIn"),
        (2, "optedOut"),
        (1, "optedIn"),
    ]
    assert second.next_before is None
