"""P1, P3-P6, P9: which containers a sweep takes for intruders, told from what it has read and nothing else."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.accounts import Account
from shared.model.containers import DayContainer
from shared.model.findings import Trespass
from shared.model.ledger import FIRST_PREVIOUS_HASH, Event, OptedIn, OptedOut
from shared.stores.memory import MemoryCaptures
from shared.sweep.reconciliation import Enrollments, Judgement, judge
from tests.world import OTHER_TENANT, TENANT

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = NOW.date()
EUROPE = Account("europe", MemoryCaptures("steurope"), 30)
MINE, OTHER = "a" * 32, "ab" * 16


def event(enrollment_id: str = MINE, *, account: str = "steurope", geo: str = "europe", tenant: str = TENANT) -> Event:
    return OptedIn(
        enrollment_id=enrollment_id,
        geo=geo,
        storage_account=account,
        started_at=NOW - timedelta(days=90),
        tenant_id=tenant,
        sequence=1,
        at=NOW - timedelta(days=90),
        actor="admin",
        previous_hash=FIRST_PREVIOUS_HASH,
    )


def ended(enrollment_id: str = MINE) -> Event:
    members = {name: value for name, value in dict(event(enrollment_id)).items() if name != "kind"}
    return OptedOut(**{**members, "sequence": 2, "at": NOW, "deadline": NOW + timedelta(days=30)})


def judged(days: Sequence[date], *events: Event | None, verified: bool = False) -> Judgement:
    enrollments = Enrollments(verified={MINE} if verified else set())
    for each in events:
        enrollments.learn(MINE if each is None else each.enrollment_id, each)
    return judge([DayContainer(MINE, day) for day in days], enrollments, EUROPE, NOW)


@pytest.mark.parametrize(
    ("day", "events", "verified", "trespass"),
    [
        (TODAY, [event()], False, None),
        (TODAY, [], False, Trespass.UNKNOWN_ENROLLMENT),
        (TODAY, [event(account="stother")], False, Trespass.WRONG_ACCOUNT),
        (TODAY, [event(), ended()], True, Trespass.AFTER_RECEIPT),
        (TODAY, [event(), ended()], False, None),
        (TODAY, [event()], True, None),
        (TODAY - timedelta(days=29), [event()], False, None),
        (TODAY - timedelta(days=30), [event()], False, Trespass.PAST_DEADLINE),
        (TODAY + timedelta(days=1), [event()], False, Trespass.IMPOSSIBLE_DAY),
        (TODAY - timedelta(days=30), [event(), ended()], True, Trespass.AFTER_RECEIPT),
    ],
    ids=[
        "lawful",
        "of-no-enrollment",
        "of-another-account",
        "after-its-receipt",
        "of-an-ended-enrollment",
        "verified-though-it-never-ended",
        "on-its-last-day",
        "past-its-deadline",
        "of-a-day-to-come",
        "after-its-receipt-and-old",
    ],
)
def test_each_container_is_judged_by_the_first_promise_that_it_breaks(
    day: date, events: Sequence[Event], verified: bool, trespass: Trespass | None
) -> None:
    judgement = judged([day], *events, verified=verified)
    assert [intruder.trespass for intruder in judgement.intruders] == ([trespass] if trespass else [])
    assert judgement.doubts == []
    assert judgement.strangers == int(trespass is Trespass.UNKNOWN_ENROLLMENT)


def test_what_came_back_of_one_enrollment_is_one_intruder_and_all_else_stands_for_itself() -> None:
    days = [TODAY - timedelta(days=n) for n in (3, 2, 1)]
    [returned] = judged(days, event(), ended(), verified=True).intruders
    assert [container.day for container in returned.containers] == days and returned.event is not None
    assert [len(intruder.containers) for intruder in judged(days).intruders] == [1, 1, 1]


@pytest.mark.parametrize(
    "second",
    [event(account="stother"), event(geo="japan"), event(tenant=OTHER_TENANT), None],
    ids=["another-account", "another-geo", "another-tenant", "nobody-understands-it"],
)
def test_an_enrollment_of_which_the_ledger_says_two_things_is_left_alone_and_told(second: Event | None) -> None:
    judgement = judged([TODAY - timedelta(days=40)], event(), second)
    assert (judgement.intruders, judgement.doubts) == ([], ["ledger-unclear"])


def test_an_account_that_the_setting_gives_to_another_geo_is_left_alone_and_told_once() -> None:
    days = [TODAY - timedelta(days=40), TODAY]
    judgement = judged(days, event(geo="japan"))
    assert (judgement.intruders, judgement.doubts) == ([], ["geo-exchanged"])


@pytest.mark.parametrize(
    ("events", "alive"),
    [
        ([event()], True),
        ([event(account="stother")], False),
        ([event(account="stother", geo="japan")], False),
        ([event(geo="japan")], False),
        ([event(), ended()], False),
        ([event(), None], False),
        ([event(), event(tenant=OTHER_TENANT)], False),
    ],
    ids=["lawful", "of-another-account", "of-another-geo", "geo-exchanged", "ended", "unreadable", "unclear"],
)
def test_only_of_who_is_alive_and_the_accounts_the_days_alone_are_judged_further_on(
    events: Sequence[Event | None], alive: bool
) -> None:
    enrollments = Enrollments()
    for each in events:
        enrollments.learn(MINE, each)
    assert enrollments.alive_in(EUROPE) == ({MINE} if alive else set())


@pytest.mark.parametrize("order", [[MINE, OTHER], [OTHER, MINE]], ids=["first", "last"])
@pytest.mark.parametrize("event_of_other", [None, event(OTHER, geo="japan")], ids=["unclear", "of-another-geo"])
def test_what_is_in_doubt_of_one_enrollment_spares_no_other(order: Sequence[str], event_of_other: Event | None) -> None:
    enrollments = Enrollments()
    enrollments.learn(OTHER, event_of_other)
    judgement = judge([DayContainer(each, TODAY) for each in order], enrollments, EUROPE, NOW)
    assert [intruder.containers[0].enrollment_id for intruder in judgement.intruders] == [MINE]
