"""D4: what a capture must say, and from what its caller learns what is wrong with it."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.model.capture import Capture
from shared.model.items import Instant, format_instant
from shared.model.messages import TEXT_MAX_BYTES
from shared.problems import CapturedTooEarly, CapturedTooLate, IdempotencyKeyReused, Problem
from tests.clocks import START
from tests.world import TENANT, World, capture, submission

SENT: dict[str, Any] = {"capturedAt": "2026-11-21T12:00:00Z", "feature": "flow", "input": "a", "output": "b"}
EURO = "\N{EURO SIGN}"
TOO_LONG = f"{EURO * (TEXT_MAX_BYTES // 3)}xy"


@pytest.mark.parametrize(
    "more",
    [
        {"capturedAt": "2026-11-21t12:00:59.5z"},
        {"capturedAt": "2026-11-21T12:00:00-14:00"},
        {"input": "x" * TEXT_MAX_BYTES, "output": TOO_LONG[:-1]},
        {"output": None, "outputMessages": []},
        {"inputMessages": [{"role": "user", "parts": [{"type": "text", "content": TOO_LONG[:-1], "n": 1}]}]},
    ],
)
def test_what_is_as_it_should_be_is_taken(more: dict[str, Any]) -> None:
    Capture.model_validate({**SENT, **more})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"capturedAt": 5}, "must be a text with an instant, as in 2026-11-21T12:00:00Z"),
        ({"capturedAt": "2026-12-31T23:59:60Z"}, "a second goes to 59; send a leap second as 59"),
        ({"capturedAt": "2026-12-31t23:59:60.5+01:00"}, "a second goes to 59; send a leap second as 59"),
        ({"capturedAt": "2026-11-21T12:00:00"}, "needs an offset, Z or as in +01:00"),
        ({"capturedAt": "2026-11-21"}, "must be an instant as in 2026-11-21T12:00:00Z (RFC 3339)"),
        ({"input": TOO_LONG}, "may have at most 262144 bytes of UTF-8"),
        ({"output": "x" * (TEXT_MAX_BYTES + 1)}, "may have at most 262144 bytes of UTF-8"),
        ({"input": None}, "input or inputMessages is missing"),
        ({"output": None}, "output or outputMessages is missing"),
        ({"systemInstructions": [{"type": 5}]}, "needs a type that is a text"),
        (
            {"systemInstructions": [{"type": "text", "n": 1, "content": TOO_LONG}]},
            "may have at most 262144 bytes of UTF-8 in a text",
        ),
    ],
)
def test_what_is_wrong_is_told_in_the_same_words_each_time(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Capture.model_validate({**SENT, **more})
    assert [each["msg"] for each in refused.value.errors()] == [f"Value error, {told}"]


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ((0, -1), CapturedTooEarly.before_opt_in(1, "2026-11-21T12:00:00.000000Z")),
        ((25 * 3600, 3600 - 1), CapturedTooEarly.too_old(1, "2026-11-21T13:00:00.000000Z")),
        ((0, 301), CapturedTooLate.ahead(1, "2026-11-21T12:05:00.000000Z")),
    ],
)
async def test_which_capture_happened_at_the_wrong_time_is_told_and_which_time_is_right(
    places: tuple[int, int], told: Problem
) -> None:
    """Seconds after the opt-in; the first of the two captures is sent when it happened."""
    world = World()
    await world.opt_in()
    first, second = (START + timedelta(seconds=each) for each in places)
    world.clock.set(first)
    with pytest.raises(type(told)) as refused:
        await world.captures.submit(TENANT, submission(capture(first), capture(second)))
    assert refused.value.detail == told.detail
    assert world.stored_containers() == {}


async def test_a_day_of_age_and_five_minutes_ahead_are_taken_to_the_microsecond() -> None:
    world = World()
    await world.opt_in()
    started = world.ledger.settings[TENANT].value.enrollment.started_at
    for at in (started, started + timedelta(minutes=5)):
        world.clock.set(started)
        assert (await world.captures.submit(TENANT, submission(capture(at), key=str(at)))).created
    world.clock.set(started + timedelta(hours=24))
    assert (await world.captures.submit(TENANT, submission(capture(started), key="a day later"))).created


async def test_what_is_a_day_old_is_refused_but_for_a_repeat_of_what_was_stored_in_time() -> None:
    world = World()
    await world.opt_in()
    started = world.ledger.settings[TENANT].value.enrollment.started_at
    sent = submission(capture(started))
    first = await world.captures.submit(TENANT, sent)
    world.clock.set(started + timedelta(hours=24, microseconds=1))
    again = await world.captures.submit(TENANT, sent)
    assert (again.created, again.batch_id) == (False, first.batch_id)
    with pytest.raises(IdempotencyKeyReused):
        await world.captures.submit(TENANT, submission(capture(started, "something else")))
    with pytest.raises(CapturedTooEarly):
        await world.captures.submit(TENANT, submission(capture(started), key="key-2"))
    [batches] = world.containers().values()
    assert list(batches) == [first.batch_id]


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XXX-14")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
async def test_p4_a_captures_day_is_that_of_utc_wherever_the_machine_and_the_caller_are() -> None:
    world = World()
    await world.opt_in()
    sent = {**capture(world.clock.now()), "capturedAt": world.clock.now().astimezone().isoformat()}
    assert sent["capturedAt"].startswith("2026-11-22") and sent["capturedAt"].endswith("+14:00")
    stored = await world.captures.submit(TENANT, submission(sent))
    assert world.days() == ["2026-11-21"]
    assert stored.expires_at == datetime(2026, 12, 21, tzinfo=UTC)


@pytest.mark.usefixtures("_far_from_greenwich")
def test_p4_an_items_instants_are_those_of_utc_wherever_the_machine_is() -> None:
    at = TypeAdapter(Instant).validate_json('"2026-11-21T13:30:00+02:00"')
    assert (at.utcoffset(), at.date(), format_instant(at)) == (
        timedelta(),
        date(2026, 11, 21),
        "2026-11-21T11:30:00.000000Z",
    )
