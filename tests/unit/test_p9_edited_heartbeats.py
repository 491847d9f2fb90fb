"""P9, D13: anybody may have edited a heartbeat; what it says blinds no job and no status for good."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.deletion.postponed import PostponedDays
from shared.model import deadlines
from shared.model.heartbeats import Heartbeat, Postponed
from shared.model.posture import Rule, is_off
from shared.ports import Inspected, Setup
from shared.stores.memory import MemoryPosture
from shared.sweep.places import Place
from shared.watch import posture
from tests.clocks import START
from tests.unit.sweeps import STRANGER, put
from tests.world import OTHER_TENANT, TENANT, World

AHEAD = START + timedelta(days=900)
IN_EUROPE = "steurope"
TIMES = ["at", "started_at", "round_started_at"]


async def running() -> World:
    """Return a world in which all jobs have run and all is well."""
    world = World()
    await world.opt_in()
    await world.purge.run()
    await world.sweep.run()
    assert (await world.status.report()).promises["P9"]
    return world


def edit(world: World, kind: str, account: str | None, **members: Any) -> None:
    heartbeats = world.operations.heartbeats
    heartbeats[kind, account] = heartbeats[kind, account].model_copy(update=members)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(("kind", "account"), [("sweep", None), ("sweep", IN_EUROPE), ("purge", IN_EUROPE)])
async def test_p9_a_heartbeat_of_a_time_to_come_is_told_by_the_status_and_replaced_by_the_next_run(
    time: str, kind: str, account: str | None
) -> None:
    world = await running()
    edit(world, kind, account, **{time: AHEAD})
    report = await world.status.report()
    assert report.promises["P9"] is False
    assert (report.ledger.unreadable if account is None else report.accounts[IN_EUROPE].unreadable) == 1
    await (world.purge if kind == "purge" else world.sweep).run()
    report = await world.status.report()
    assert report.promises["P9"] and report.accounts[IN_EUROPE].unreadable == report.ledger.unreadable == 0
    assert all(at <= world.clock.now() for each in world.operations.heartbeats.values() for at in each.times)


async def test_what_is_ahead_by_no_more_than_clocks_may_differ_is_believed() -> None:
    world = await running()
    now = world.clock.now()
    for ahead, holds in ((deadlines.CLOCK_SKEW, True), (deadlines.CLOCK_SKEW + timedelta(microseconds=1), False)):
        edit(world, "sweep", IN_EUROPE, at=now + ahead)
        assert (await world.status.report()).promises["P9"] is holds


async def test_p9_an_account_whose_sweep_says_of_a_time_to_come_that_it_was_judged_is_judged_anew() -> None:
    world = await running()
    name = put(world, "europe", STRANGER, START.date())
    edit(world, "sweep", IN_EUROPE, at=AHEAD, cursor=Place(judged=True, found=("0-",)).cursor, outcome="more")
    heartbeat = (await world.sweep.run())[IN_EUROPE]
    assert (heartbeat.counts["unknownEnrollment"], name in world.containers()) == (1, False)


@pytest.mark.parametrize(
    "cursor",
    [
        '{"judged":true}',
        '{"judged":true,"found":[""]}',
        '{"judged":true,"found":["deployment-"]}',
        '{"judged":true,"found":["g-"]}',
        '{"judged":true,"found":["f-2020"]}',
        '{"judged":true,"found":[' + 100 * '"f-20200101-",' + '"f-20200101-"]}',
        "judge-3",
        "",
    ],
)
async def test_p9_a_cursor_at_which_no_run_ends_begins_a_round(cursor: str) -> None:
    world = await running()
    name = put(world, "europe", STRANGER, START.date())
    edit(world, "sweep", IN_EUROPE, cursor=cursor, outcome="more")
    heartbeat = (await world.sweep.run())[IN_EUROPE]
    assert (heartbeat.counts["unknownEnrollment"], name in world.containers()) == (1, False)


@pytest.mark.parametrize("place", [Place(judged=True, found=("0-20200101-",)), Place(marker="~")])
async def test_p9_what_an_edited_cursor_passes_over_is_found_by_the_round_that_follows(place: Place) -> None:
    world = await running()
    name = put(world, "europe", STRANGER, START.date())
    edit(world, "sweep", IN_EUROPE, cursor=place.cursor, outcome="more")
    await world.sweep.run()
    assert name in world.containers(), "as security.md says"
    heartbeat = (await world.sweep.run())[IN_EUROPE]
    assert (heartbeat.counts["unknownEnrollment"], name in world.containers()) == (1, False)


@pytest.mark.parametrize("counts", ["counts", "previousCounts", "totals"])
@pytest.mark.parametrize("number", [-1, 2**60, 10**30])
def test_p9_a_count_below_none_makes_up_for_nothing(counts: str, number: int) -> None:
    heartbeat = Heartbeat(kind="sweep", started_at=START, at=START, outcome="done", counts={})
    with pytest.raises(ValidationError):
        Heartbeat.from_json({**heartbeat.to_json(), counts: {"strangers": number}})


async def test_d20_an_account_is_not_another_deployments_because_of_a_purge_in_times_to_come() -> None:
    world = World(stores=World().stores | {"europe/2": type(World().stores["europe"])("steurope2")})
    await world.opt_in(OTHER_TENANT, "unitedkingdom")
    await world.purge.run()
    await world.sweep.run()
    put(world, "europe/2", STRANGER, START.date())
    del world.stores["europe/2"]
    world.elsewhere = {"brazil": "https://elsewhere.example"}
    edit(world, "sweep", "steurope2", counts={"containers": 1})
    edit(world, "purge", "steurope2", geo="brazil", at=AHEAD)
    report = await world.status.report()
    assert "steurope2: it is configured no more, and not empty" in report.reasons["P4"]


class Account:
    def __init__(self, account: str | None, on: bool) -> None:
        self.account, self.on = account, on

    async def setup(self) -> Setup:
        return Setup({"on": self.on}, development=False)


async def test_p4_a_check_of_the_posture_in_times_to_come_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posture, "_rules", lambda account: (Rule("on", "false", ("P4",), is_off),))
    kept = MemoryPosture()
    world = World(inspected=Inspected([Account(IN_EUROPE, on=False)], Account(None, on=False), kept))
    await world.services().posture.check()
    assert not [why for why in (await world.status.report()).reasons["P4"] if "not-checked" in why or "on is" in why]
    kept.checks = {name: check.model_copy(update={"at": AHEAD}) for name, check in kept.checks.items()}
    report = await world.status.report()
    assert "steurope: on is not-checked" in report.reasons["P4"]
    assert (report.accounts[IN_EUROPE].unreadable, report.ledger.unreadable) == (1, 1)


# Whatever somebody makes of it

TEXTS = st.text(max_size=8) | st.sampled_from(["", "a", "-", "~", "\u0000", "e-20200101-", "0" * 40])
INSTANTS = st.datetimes(datetime(2001, 1, 1), datetime(8999, 12, 30)).map(lambda at: f"{at.isoformat()}Z") | st.just(  # noqa: DTZ001
    START.isoformat()
)
NUMBERS = st.integers(0, 2**53) | st.integers() | st.just(10**400)
COUNTS = st.dictionaries(
    st.sampled_from(["containers", "strangers", "unjudged", "failures", "", "eventsMissing"]), NUMBERS
)
PLACES = st.builds(
    lambda judged, marker, found: Place.model_construct(judged=judged, marker=marker, found=tuple(found)).cursor,
    st.booleans(),
    st.none() | TEXTS,
    st.lists(TEXTS | st.sampled_from(["f-", "f-20200101-"]), max_size=3),
)
CURSORS = TEXTS | PLACES | st.just(f"{TENANT} chained 5 sound") | st.just("x unchained 999999999 unsound")
POSTPONED = st.fixed_dictionaries(
    {
        "container": TEXTS | st.just(f"f-20261101-{STRANGER}") | st.just(f"f-00010101-{STRANGER}"),
        "failures": NUMBERS | st.integers(-(2**70), -1),
        "error": TEXTS,
        "retryAt": INSTANTS,
    }
)
EDITS = st.fixed_dictionaries(
    {},
    optional={
        "geo": TEXTS,
        "storageAccount": TEXTS,
        "startedAt": INSTANTS,
        "at": INSTANTS,
        "outcome": st.sampled_from(["done", "more", "failed"]),
        "error": TEXTS,
        "counts": COUNTS,
        "previousCounts": COUNTS,
        "totals": COUNTS,
        "cursor": CURSORS,
        "postponed": st.lists(POSTPONED, max_size=4),
        "roundStartedAt": INSTANTS,
        "scheduledUntil": NUMBERS,
    },
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(purge=EDITS, sweep=EDITS, on_ledger=EDITS)
def test_p9_no_edit_of_a_heartbeat_keeps_a_job_from_running_or_the_status_from_being_told(
    purge: Any, sweep: Any, on_ledger: Any
) -> None:
    async def go() -> None:
        world = await running()
        await world.opt_in(OTHER_TENANT)
        await world.opt_out(OTHER_TENANT)
        heartbeats = world.operations.heartbeats
        for key, edited in ((("purge", IN_EUROPE), purge), (("sweep", IN_EUROPE), sweep), (("sweep", None), on_ledger)):
            try:
                heartbeats[key] = Heartbeat.from_json({**heartbeats[key].to_json(), **edited})
            except ValidationError:
                heartbeats[key] = None  # as the store tells of what nobody understands
        await world.status.report()
        for _ in range(3):
            world.clock.move(timedelta(hours=1))
            await world.purge.run()
            await world.sweep.run()
        assert [each for each in heartbeats.values() if each.outcome == "failed"] == []
        assert (await world.status.report()).promises["P9"]
        assert len(world.deletion_items.items) == 1

    asyncio.run(go())


def test_p4_what_is_postponed_is_believed_of_containers_alone() -> None:
    retry = START + timedelta(minutes=5)
    names = ("", "a", "$web", f"f-20261301-{STRANGER}", f"f-20261101-{STRANGER}")
    heartbeat = Heartbeat(
        kind="purge",
        started_at=START,
        at=START,
        outcome="done",
        counts={},
        postponed=tuple(Postponed(container=name, failures=1, error="x", retry_at=retry) for name in names),
    )
    kept = PostponedDays(heartbeat, START, 30).kept
    assert [each.container for each in kept] == [names[-1]]
