"""P7, P8 and P12: what a reviewer finds; it is on the record before it leaves, and what was looked for never is."""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.model import deadlines
from shared.model.items import format_instant
from shared.model.labels import labels_blob
from shared.model.selection import Selection
from shared.ports import Conflict, StoreUnavailable
from shared.problems import GrantRequired, InvalidRequest, NotFound, Problem
from shared.review import finding as module
from shared.review import scanning
from shared.review.cursors import CURSOR_MAX, SampleCursor, SearchCursor, Spot
from shared.review.record import GrantRequest
from tests.changes import opting_out
from tests.clocks import START
from tests.unit.reviewed import (
    APPROVER,
    ASKED,
    DAY,
    REVIEWER,
    actions,
    container,
    find,
    find_all,
    finding,
    grant_forever,
    granted,
    inputs,
    label,
    post,
    post_texts,
    put_by_hand,
    put_lines,
    reviewed_world,
    sample,
    selected,
    slowly,
    store,
)
from tests.world import OTHER_TENANT, TENANT, World

SECRET = "Herr Schneider, Rechnung 4711"
DE = "Wie hoch ist die Summe aller offenen Bestellungen in diesem Monat, und welche Kunden haben noch nicht bezahlt?"
EN = "What is the total of all open orders of this month, and which of our customers have not paid for them yet?"
JA = "今月の未処理の注文の合計はいくらですか。まだ支払いをしていないお客様はどなたですか。"
HOUR = timedelta(hours=1)


def message(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "parts": [{"type": "text", "content": text}]}]


CAPTURES: dict[str, dict[str, Any]] = {
    "german": {"output": DE, "telemetry": {"ok": True, "ms": 812, "gen_ai": {"usage": [3, 5]}, "a/b": "x", "m~n": 1.5}},
    "english": {"output": EN, "feature": "chat", "environmentId": "env-1", "telemetry": {"ok": 1, "ms": 90.5}},
    "japanese": {"output": JA, "conversationId": "talk", "model": "gpt", "telemetry": {"ok": "true", "ms": "812"}},
    "said": {"output": EN, "language": "DE-ch", "telemetry": {"ok": False, "ms": True}},
    "messages": {
        "input": "messages",
        "output": ...,
        "outputMessages": message("ﬁne STRASSE"),
        "telemetry": {"ms": None},
    },
    "earlier": {"output": "12", "capturedAt": format_instant(START - HOUR)},
    "earliest": {"output": "12", "capturedAt": format_instant(START - 2 * HOUR)},
}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, set(CAPTURES)),
        ({"feature": "chat"}, {"english"}),
        ({"feature": "Chat"}, set()),
        ({"environmentId": "env-1"}, {"english"}),
        ({"conversationId": "talk"}, {"japanese"}),
        ({"model": "gpt"}, {"japanese"}),
        ({"model": "gpt", "feature": "chat"}, set()),
        ({"language": "de"}, {"german", "said"}),
        ({"language": "en"}, {"english", "messages", "earlier", "earliest"}),
        ({"language": "ja"}, {"japanese"}),
        ({"telemetry": [{"name": "ok", "equals": True}]}, {"german"}),
        ({"telemetry": [{"name": "ok", "equals": False}]}, {"said"}),
        ({"telemetry": [{"name": "ok", "equals": 1}]}, {"english"}),
        ({"telemetry": [{"name": "ok", "equals": 1.0}]}, {"english"}),
        ({"telemetry": [{"name": "ok", "equals": "true"}]}, {"japanese"}),
        ({"telemetry": [{"name": "ms", "over": 90.5}]}, {"german"}),
        ({"telemetry": [{"name": "ms", "over": 90.4, "under": 812}]}, {"english"}),
        ({"telemetry": [{"name": "ms", "under": 1000}]}, {"german", "english"}),
        ({"telemetry": [{"name": "ms", "under": 1000}, {"name": "ok", "equals": True}]}, {"german"}),
        ({"telemetry": [{"name": "/gen_ai/usage/1", "equals": 5}]}, {"german"}),
        ({"telemetry": [{"name": "/gen_ai/usage/2", "equals": 5}]}, set()),
        ({"telemetry": [{"name": "/gen_ai/usage/-1", "equals": 5}]}, set()),
        ({"telemetry": [{"name": "/gen_ai/usage/1/0", "equals": 5}]}, set()),
        ({"telemetry": [{"name": "/a~1b", "equals": "x"}]}, {"german"}),
        ({"telemetry": [{"name": "a/b", "equals": "x"}]}, {"german"}),
        ({"telemetry": [{"name": "/m~0n", "over": 1}]}, {"german"}),
        ({"telemetry": [{"name": "/", "equals": "x"}]}, set()),
        ({"text": "BESTELLUNGEN"}, {"german"}),
        ({"text": "fine"}, {"messages"}),
        ({"text": "straße"}, {"messages"}),
        ({"text": "open  orders"}, set()),
        ({"text": "支払い"}, {"japanese"}),
        ({"text": "role"}, set()),
        ({"capturedFrom": "2026-11-21T12:00:00+01:00"}, set(CAPTURES) - {"earliest"}),
        ({"capturedBefore": "2026-11-21T11:00:00Z"}, {"earliest"}),
        ({"capturedFrom": "2026-11-21T11:00:00Z", "capturedBefore": "2026-11-21T11:00:00.000001Z"}, {"earlier"}),
    ],
    ids=lambda value: json.dumps(value, ensure_ascii=True) if isinstance(value, dict) else "",
)
async def test_p12_each_member_of_a_search_chooses(members: dict[str, Any], expected: set[str]) -> None:
    world = await reviewed_world_from(START - 3 * HOUR)
    await post(world, *({"input": name, **CAPTURES[name]} for name in list(CAPTURES)[:4]))
    await post(world, *({"input": name, **CAPTURES[name]} for name in list(CAPTURES)[4:]), key="key-2")
    page = await find(world, **members)
    assert (set(inputs(page)), page.cursor) == (expected, None)
    assert (page.scanned.captures, page.scanned.batches, page.scanned.unreadable) == (7, 2, 0)


async def reviewed_world_from(opt_in: Any) -> World:
    world = World()
    world.clock.set(opt_in)
    await world.opt_in()
    world.clock.set(START)
    await granted(world)
    return world


@pytest.mark.parametrize("member", ["firstDay", "lastDay", "capturedFrom", "capturedBefore"])
@pytest.mark.parametrize("value", [1_763_683_200, 1.5, True, "20261121", "1763683200", "21.11.2026"])
def test_p12_a_day_and_an_instant_are_texts_of_their_form_alone(member: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Selection.model_validate_json(json.dumps({member: value}))


def test_p12_what_is_wrong_with_a_search_is_said_in_our_words() -> None:
    for member, value, words in (
        ("firstDay", "2026-11-21T00:00:00Z", "must be a date as in 2026-11-21"),
        ("text", " \u3000", "must have something to look for"),
    ):
        with pytest.raises(ValidationError) as refused:
            Selection.model_validate_json(json.dumps({member: value}))
        assert refused.value.errors()[0]["msg"] == f"Value error, {words}"


def test_p7_a_record_names_all_that_chooses_but_the_days_which_it_has_itself() -> None:
    days = {"firstDay": START.date(), "lastDay": START.date()}
    times = {"capturedFrom": START, "capturedBefore": START}
    selection = Selection.model_validate({**days, **times, "text": "x", "labelled": False})
    assert selection.filtered_by == ("capturedFrom", "capturedBefore", "text", "labelled")


async def test_p12_the_language_is_shown_that_a_capture_says_or_seems_to_be_in() -> None:
    world = await reviewed_world()
    await post(world, {"output": DE}, {"output": "12", "input": "34"}, {"output": EN, "language": "zh-Hant-TW"})
    [page] = await find_all(world)
    assert [each.language for each in page.value] == ["de", None, "zh"]
    assert [each.found.capture.get("language") for each in page.value] == [None, None, "zh-Hant-TW"]


async def test_p12_what_somebody_says_of_a_capture_chooses_and_is_shown() -> None:
    world = await reviewed_world()
    batch_id = await post(world, *({"input": str(n)} for n in range(4)))
    label(world, batch_id, 1, verdict="good", tags=("table", "wrong-unit"), comment="see below")
    label(world, batch_id, 2, "another", verdict="bad", score=0.25)
    store(world)._put_beside(container(world), labels_blob(batch_id, "nobody"), b'{"labels":' + b"[" * 10_000)

    async def found(**members: Any) -> list[Any]:
        return inputs(*await find_all(world, **members))

    assert await found(labelled=True) == ["1", "2"]
    assert await found(labelled=False) == ["0", "3"]
    assert await found(verdict="good") == ["1"]
    assert await found(verdict="bad") == ["2"]
    assert await found(tag="wrong-unit") == ["1"]
    assert await found(tag="wrong") == []
    [page] = await find_all(world, labelled=True)
    said = [[(reviewer, each.to_json()) for reviewer, each in shown.found.labels] for shown in page.value]
    at = {"at": format_instant(world.clock.now())}
    assert said == [
        [(REVIEWER, {"verdict": "good", "tags": ["table", "wrong-unit"], "comment": "see below", **at})],
        [("another", {"verdict": "bad", "score": 0.25, "tags": [], **at})],
    ]


async def test_p12_days_are_gone_through_oldest_first_and_only_those_that_are_asked_for() -> None:
    world = await reviewed_world()
    days = [DAY + timedelta(days=n) for n in range(4)]
    for n, day in enumerate(days):
        world.clock.set(START + timedelta(days=n))
        if n != 2:
            await post(world, {"input": f"{day}"}, key=f"key-{n}")
    await granted(world)
    assert inputs(*await find_all(world)) == [f"{days[n]}" for n in (0, 1, 3)]
    assert inputs(*await find_all(world, firstDay=days[1], lastDay=days[2])) == [f"{days[1]}"]
    records = world.access_store.records[TENANT]
    told = [(each.first_day, each.last_day) for each in records if each.action == "searched"]
    assert told == [(f"{days[0]}", f"{days[3]}"), (f"{days[1]}", f"{days[2]}")]
    with pytest.raises(NotFound):
        await find(world, lastDay=DAY - timedelta(days=1))


async def test_p12_nothing_of_another_tenant_or_another_enrollment_is_found() -> None:
    world = await reviewed_world()
    await post(world, {"input": "mine"})
    await world.opt_in(OTHER_TENANT)
    await world.post("theirs", tenant=OTHER_TENANT)
    await world.opt_out()
    await world.opt_in()
    await post(world, {"input": "of a later enrollment"}, key="key-2")
    assert inputs(*await find_all(world)) == ["mine"]
    with pytest.raises(GrantRequired):
        await finding(world).find(OTHER_TENANT, REVIEWER, Selection(), limit=1, after=None)


# Pages


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20, 21, 50])
@pytest.mark.parametrize("members", [{}, {"text": "."}, {"text": ".1"}])
async def test_p12_pages_that_end_inside_a_batch_go_on_there(limit: int, members: dict[str, str]) -> None:
    world = await reviewed_world()
    texts = await post_texts(world, 9, 1, 4, 6)
    pages = await find_all(world, limit, **members)
    assert inputs(*pages) == [text for text in texts if members.get("text", "") in text]
    assert all(len(page.value) == limit for page in pages[:-1])
    assert len(pages) in {len(inputs(*pages)) // limit + 1, len(inputs(*pages)) // limit}
    scanned = [page.scanned for page in pages]
    assert sum(each.captures for each in scanned) == 20 and sum(each.batches for each in scanned) == 4
    assert all(page.scanned.captures >= len(page.value) for page in pages[:1])


async def test_p12_a_batch_that_goes_while_a_page_is_read_takes_nothing_else_with_it() -> None:
    world = await reviewed_world()
    texts = await post_texts(world, 4, 4, 4)
    batches = world.containers()[container(world)]
    first = await find(world, 6)
    del batches[sorted(batches)[1]]
    rest = await find(world, 50, first.cursor)
    assert inputs(first, rest) == texts[:6] + texts[8:]
    assert rest.scanned.captures == 4


@pytest.mark.parametrize("room", [1, 250, 400, 1_000])
async def test_p12_a_page_has_as_many_captures_as_there_is_room_for_and_at_least_one(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_MAX_BYTES", room)
    world = await reviewed_world()
    texts = await post_texts(world, 1, 3, 1, 2)
    pages = await find_all(world)
    assert inputs(*pages) == texts
    assert sum(page.scanned.captures for page in pages) == 7 and sum(page.scanned.batches for page in pages) == 4
    for page in pages:
        said = sum(len(json.dumps(each.found.capture)) for each in page.value)
        assert said <= room or len(page.value) == 1


async def test_p12_what_is_said_of_a_capture_takes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_MAX_BYTES", 2_000)
    world = await reviewed_world()
    batch_id = await post(world, *({"input": str(n)} for n in range(3)))
    assert len(await find_all(world)) == 1
    label(world, batch_id, 1, comment="x" * 1_900)
    assert [len(page.value) for page in await find_all(world)] == [1, 1, 1]


async def test_p12_the_first_page_comes_soon_though_nothing_was_found_yet() -> None:
    world = await reviewed_world()
    await post_texts(world, *[1] * 40)
    slowly(world, 0.1)
    began = world.clock.monotonic()
    first = await find(world, text="39.")
    assert (first.value, first.cursor is not None) == ([], True)
    assert world.clock.monotonic() - began < 1
    began = world.clock.monotonic()
    second = await find(world, 50, first.cursor, text="39.")
    assert inputs(second) == ["39.0"] and world.clock.monotonic() - began > 1


async def test_p12_a_page_ends_soon_if_it_has_something_and_after_some_seconds_in_any_case() -> None:
    world = await reviewed_world()
    texts = await post_texts(world, *[1] * 24)
    slowly(world, 0.1)
    began = world.clock.monotonic()
    page = await find(world)
    assert page.value and page.cursor and world.clock.monotonic() - began < 1
    pages = await find_all(world)
    assert inputs(*pages) == texts and len(pages) > 1
    slowly(world, 0.5)
    pages, began = [await find(world, text="23.")], world.clock.monotonic()
    while pages[-1].cursor is not None:
        pages.append(await find(world, 50, pages[-1].cursor, text="23."))
        assert world.clock.monotonic() - began <= module.PAGE_SECONDS + 8 * 0.6
        began = world.clock.monotonic()
    assert inputs(*pages) == ["23.0"] and len(pages) > 2
    assert sum(page.scanned.batches for page in pages) == 24


@pytest.mark.parametrize(("seconds", "shown"), [(0.09, 8), (0.11, 1)])
async def test_p12_what_storage_has_answered_already_is_still_shown_if_that_takes_no_time(
    seconds: float, shown: int
) -> None:
    world = await reviewed_world()
    await post_texts(world, *[1] * 24)
    slowly(world, seconds)  # eight are asked for at a time
    assert len((await find(world)).value) == shown


async def test_p12_whoever_waits_elsewhere_gets_a_turn_while_a_batch_is_read() -> None:
    world = await reviewed_world()
    await post(world, *({"output": DE} for _ in range(500)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await scanning.asyncio.sleep(0)

    other = scanning.asyncio.create_task(others())
    await find(world, 1, language="de")
    other.cancel()
    assert turns > 500 / 50


async def test_p12_whoever_waits_elsewhere_gets_a_turn_between_two_long_texts_of_a_capture() -> None:
    world = await reviewed_world()
    long = "x" * (scanning._LONG_LINE_BYTES + 1)
    parts = [{"type": "text", "content": long} for _ in range(40)]
    await post(world, {"input": ..., "inputMessages": [{"role": "user", "parts": parts}]})
    looked = list[int]()
    turns, inner = 0, scanning.plain

    def counted(text: str) -> str:
        if text == long:
            looked.append(turns)
        return inner(text)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "plain", counted)
        other = asyncio.create_task(others())
        assert inputs(await find(world, text="nobody has said that")) == []
        other.cancel()
    assert len(looked) >= 40 and len(set(looked)) == len(looked)


# Cursors


async def test_p12_a_cursor_is_good_for_its_own_search_alone() -> None:
    world = await reviewed_world()
    await post_texts(world, 4)
    cursor = (await find(world, 1)).cursor
    assert cursor is not None and cursor.replace("-", "").replace("_", "").isalnum()
    assert inputs(await find(world, 3, cursor)) == ["0.1", "0.2", "0.3"], "of another size"
    before = actions(world)
    for members in ({"feature": "flow"}, {"text": "0"}, {"firstDay": DAY}, {"labelled": False}):
        with pytest.raises(InvalidRequest, match="cursor"):
            await find(world, 1, cursor, **members)
    with pytest.raises(InvalidRequest, match="cursor"):
        await sample(world, 1, 1, cursor)
    assert actions(world) == before, "nothing was looked at"


async def test_p12_a_cursor_goes_on_in_its_enrollment_whatever_is_granted_later() -> None:
    world = await reviewed_world()
    await post_texts(world, 4)
    cursor = (await find(world, 1)).cursor
    await world.opt_out()
    await world.opt_in()
    await post(world, {"input": "new"}, key="new")
    world.clock.move(timedelta(minutes=1))
    await granted(world)
    assert inputs(await find(world)) == ["new"]
    assert inputs(await find(world, 50, cursor)) == ["0.1", "0.2", "0.3"]
    with pytest.raises(GrantRequired):
        await finding(world).find(TENANT, "another", Selection(), limit=1, after=cursor)


def hostile() -> list[str]:
    enrollment, everything = "e" * 32, Selection()
    spot = Spot(DAY, "b" * 32, 3)
    good = SearchCursor(enrollment, spot).text(everything)
    flipped = [good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :] for at in range(len(good))]
    cut = [good[:length] for length in range(len(good))]
    sealed = [
        SearchCursor("e" * 30, spot).text(everything),
        SearchCursor(enrollment, Spot(DAY, "b" * 32, 500)).text(everything),
        SearchCursor(enrollment, Spot(DAY.replace(year=1999), "b" * 32, 0)).text(everything),
        SearchCursor(enrollment, Spot(DAY.replace(year=9999), "b" * 32, 0)).text(everything),
        SampleCursor(enrollment, 1, spot, []).text(everything, 5, 5),
    ]
    return [*flipped, *cut, *sealed, f"{good}=", f"{good}A", f" {good}", f"{good}\n", good * 2, "ü", "A" * CURSOR_MAX]


@pytest.mark.parametrize("number", range(10))
async def test_p12_a_cursor_that_is_none_is_refused_in_our_words(number: int) -> None:
    world = await reviewed_world()
    await post_texts(world, 2)
    for cursor in hostile()[number::10]:
        for look in (lambda text: find(world, 1, text), lambda text: sample(world, 5, 5, text)):
            try:
                await look(cursor)
            except InvalidRequest as refused:
                assert refused.detail == InvalidRequest.CURSOR
            except GrantRequired:
                # One that is well made, of an enrollment that the reviewer has no grant for.
                assert cursor == SampleCursor("e" * 32, 1, Spot(DAY, "b" * 32, 3), []).text(Selection(), 5, 5)
            else:
                pytest.fail("taken")
    assert "searched" not in actions(world)


def test_p12_a_cursor_says_what_was_put_into_it() -> None:
    spots = [Spot(DAY, "0" * 32, 0), Spot(DAY, "0" * 32, 499), Spot(DAY + HOUR * 24, "f" * 32, 7)]
    everything, chosen = Selection(), selected(text=SECRET, firstDay=DAY)
    for spot in spots:
        search = SearchCursor("a" * 32, spot)
        assert SearchCursor.read(search.text(chosen), chosen) == search
    for cursor in (
        SampleCursor("a" * 32, 2**40, None, spots),
        SampleCursor("a" * 32, 3, spots[0], spots),
        SampleCursor("a" * 32, 0, spots[0], []),
    ):
        text = cursor.text(chosen, 3, 9)
        assert SampleCursor.read(text, chosen, 3, 9) == cursor
        for others in ((everything, 3, 9), (chosen, 2, 9), (chosen, 3, 8)):
            with pytest.raises(ValueError, match="not of this search"):
                SampleCursor.read(text, *others)
    disordered = [
        SampleCursor("a" * 32, 9, None, spots[::-1]),
        SampleCursor("a" * 32, 9, None, [spots[0]] * 2),
        SampleCursor("a" * 32, 2, None, spots),
        SampleCursor("a" * 32, 9, None, [*spots, Spot(DAY + HOUR * 48, "f" * 32, 7)]),
    ]
    for cursor in disordered:
        with pytest.raises(ValueError, match="no sample"):
            SampleCursor.read(cursor.text(chosen, 3, 9), chosen, 3, 9)
    many = [Spot(DAY, f"{n:032x}", 0) for n in range(200)]
    assert len(SampleCursor("a" * 32, 200, many[0], many).text(chosen, 200, 9)) <= CURSOR_MAX


# The record


Looks = dict[str, Callable[[World], Awaitable[Any]]]
LOOKS: Looks = {
    "find": lambda world: find(world, text=SECRET),
    "sample": lambda world: sample(world, 5, 1, text=SECRET),
}


@pytest.mark.parametrize("look", LOOKS)
async def test_p7_each_look_is_on_the_record_before_storage_is_asked_and_what_it_found_before_that_leaves(
    look: str,
) -> None:
    world = await reviewed_world()
    batch_id = await post(world, {}, {"input": SECRET}, {"output": f"Yes, {SECRET.upper()}."})
    told: list[tuple[str, ...]] = []
    for name in ("list_blobs", "read_batch"):
        inner = getattr(store(world), name)

        async def spied(*args: Any, name: str = name, inner: Any = inner, **kwargs: Any) -> Any:
            told.append((name, *actions(world)))
            return await inner(*args, **kwargs)

        setattr(store(world), name, spied)
    page = await LOOKS[look](world)
    assert {each[1:] for each in told} == {("searched",)}
    assert {each[0] for each in told} == {"list_blobs", "read_batch"}
    searched, found = world.access_store.records[TENANT][2:]
    assert (searched.action, found.action) == ("searched", "found")
    common = {"tenantId", "sequence", "recordId", "at", "action", "actor", "purpose", "grantId", "enrollmentId"}
    common |= {"justification", "lockbox"}
    day = f"{DAY}"
    assert {name: value for name, value in searched.to_json().items() if name not in common} == {
        "firstDay": day,
        "lastDay": day,
        "filteredBy": ["text"],
    }
    names = [f"{day}/{batch_id}/{line}" for line in (1, 2)]
    assert {name: value for name, value in found.to_json().items() if name not in common} == {
        "captures": 2,
        "opened": names,
    }
    assert [each.found.name for each in page.value] == names
    assert (found.actor, found.grant_id) == (REVIEWER, searched.grant_id)


async def test_p7_a_look_that_finds_nothing_is_on_the_record_too() -> None:
    world = await reviewed_world()
    await post(world, {})
    page = await find(world, text=SECRET)
    assert page.value == [] and actions(world) == ["searched", "found"]
    assert world.access_store.records[TENANT][-1].captures == 0


@pytest.mark.parametrize("look", LOOKS)
async def test_p7_what_cannot_be_recorded_is_not_looked_for_and_what_was_found_does_not_leave(look: str) -> None:
    for allowed, actions_after in ((0, []), (1, ["searched"])):
        world = await reviewed_world()
        await post(world, {"input": SECRET})
        commit, left = world.access_store.commit, [allowed]

        async def fail(*args: Any, commit: Any = commit, left: list[int] = left, **kwargs: Any) -> None:
            if not left[0]:
                raise StoreUnavailable("cosmos-503")
            left[0] -= 1
            await commit(*args, **kwargs)

        world.access_store.commit = fail
        if not allowed:
            store(world).list_blobs = store(world).read_batch = None  # type: ignore[assignment, method-assign]
        with pytest.raises(StoreUnavailable, match="cosmos-503"):
            await LOOKS[look](world)
        assert actions(world) == actions_after


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("opens", ["nothing", "pending", "another's", "expired", "revoked"])
async def test_p7_without_a_live_grant_storage_is_not_even_asked(opens: str, look: str) -> None:
    world = World()
    await world.opt_in()
    await post(world, {"input": SECRET})
    if opens == "pending":
        await world.access.request(TENANT, REVIEWER, ASKED)
    elif opens == "another's":
        await granted(world, "another")
    elif opens in {"expired", "revoked"}:
        grant_id = await granted(world)
        if opens == "expired":
            world.clock.move(timedelta(hours=8))
        else:
            await world.access.revoke(TENANT, grant_id, REVIEWER, any_grant=False)
    store(world).list_blobs = store(world).read_batch = None  # type: ignore[assignment, method-assign]
    with pytest.raises(GrantRequired):
        await LOOKS[look](world)
    assert "searched" not in [each.action for each in world.access_store.records.get(TENANT, [])]


async def end(world: World, how: str) -> None:
    """Let come to an end what a look rests on."""
    if how == "revoked":
        await world.access.revoke(TENANT, grant_of(world), APPROVER, any_grant=True)
    elif how == "stop review":
        await world.data_sharing.put(TENANT, opting_out(stop_review=True))
    elif how == "purged":
        [stored] = world.deletion_items.items.values()
        await world.deletion_items.replace(stored.value.model_copy(update={"status": "purged"}), stored.etag)
    elif how == "expired":
        world.clock.move(timedelta(hours=8))
    else:  # a grant that outlives both, so that it is the day or the deadline that is looked at
        grant_forever(world)
        world.clock.move(timedelta(days=30))


def grant_of(world: World) -> str:
    [grant_id] = {each.grant_id for each in world.access_store.records[TENANT] if each.action == "approved"}
    return str(grant_id)


ENDS: dict[str, type[Problem]] = {
    "revoked": GrantRequired,
    "expired": GrantRequired,
    "stop review": NotFound,
    "day over": NotFound,
    "deadline": NotFound,
    "purged": NotFound,
}


@pytest.mark.parametrize("slow", ["list_blobs", "read_batch", "read_beside"])
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("look", LOOKS)
async def test_p7_nothing_leaves_once_its_grant_or_day_has_ended_however_slow_storage_was(
    look: str, how: str, slow: str
) -> None:
    world = await reviewed_world()
    batch_id = await post(world, {"input": SECRET})
    label(world, batch_id, 0, verdict="good")
    if how in {"deadline", "purged"}:
        await world.opt_out()
        await world.feed()
    inner = getattr(store(world), slow)
    ended = False

    async def slowly_read(*args: Any, **kwargs: Any) -> Any:
        nonlocal ended
        answer = await inner(*args, **kwargs)
        if not ended:
            ended = True
            await end(world, how)
        return answer

    setattr(store(world), slow, slowly_read)
    try:
        page = await LOOKS[look](world)
    except Problem as refused:
        assert type(refused) is ENDS[how]
    else:
        # What is of a day that has ended is not shown; it is the grant and the enrollment that end a look.
        assert (how, page.value) == ("day over", [])
    assert ended and "searched" in actions(world)
    assert [each.opened for each in world.access_store.records[TENANT] if each.action == "found" and each.opened] == []


@pytest.mark.parametrize("how", ["expired", "stop review", "day over"])
@pytest.mark.parametrize("look", LOOKS)
async def test_p7_nothing_leaves_either_if_it_is_the_record_that_is_slow(look: str, how: str) -> None:
    world = await reviewed_world()
    await post(world, {"input": SECRET})
    commit = world.access_store.commit

    async def slow(record: Any, *args: Any, **kwargs: Any) -> None:
        await commit(record, *args, **kwargs)
        if record.action == "found":
            world.access_store.commit = commit
            await end(world, how)
            world.clock.move(timedelta(seconds=3))

    world.access_store.commit = slow
    if how == "day over":
        assert (await LOOKS[look](world)).value == []
    else:
        with pytest.raises(ENDS[how]):
            await LOOKS[look](world)


@pytest.mark.parametrize("slow", ["read_batch", "read_setting", "commit", "commit again", "slow commit"])
@pytest.mark.parametrize("look", LOOKS)
async def test_p7_a_day_that_ends_while_it_is_looked_at_keeps_back_nothing_of_the_others(look: str, slow: str) -> None:
    world = await reviewed_world()
    await post(world, {"input": SECRET})
    world.clock.move(timedelta(days=1))
    await post(world, {"input": f"{SECRET}, later"}, key="key-2")
    goes = deadlines.day_deadline(DAY, 30)
    world.clock.set(goes - timedelta(milliseconds=100))
    await granted(world)
    commit, read_setting, read_batch = world.access_store.commit, world.ledger.read_setting, store(world).read_batch
    begun = len(world.access_store.records[TENANT])

    async def committed(record: Any, *args: Any, **kwargs: Any) -> None:
        if record.action == "found" and slow == "commit again" and world.clock.now() < goes:
            world.clock.set(goes)
            raise Conflict
        await commit(record, *args, **kwargs)
        if record.action == "found" and "commit" in slow:
            world.clock.set(goes)
            world.clock.move(timedelta(seconds=3 if slow == "slow commit" else 0))

    async def read(*args: Any, **kwargs: Any) -> Any:
        content = await read_batch(*args, **kwargs)
        if slow == "read_batch":
            world.clock.set(goes)
        return content

    async def setting(*args: Any) -> Any:
        answer = await read_setting(*args)
        if slow == "read_setting" and len(world.access_store.records[TENANT]) > begun:
            world.clock.set(goes)
        return answer

    world.access_store.commit, world.ledger.read_setting = committed, setting
    store(world).read_batch = read  # type: ignore[method-assign]
    page = await LOOKS[look](world)
    both = [f"{DAY}/", f"{DAY + timedelta(days=1)}/"]
    left = both if slow == "commit" else both[1:]  # what is looked at in time leaves in the same moment
    assert [each.found.name[:11] for each in page.value] == left
    told = world.access_store.records[TENANT][-1]
    assert told.opened is not None and told.captures == len(told.opened)
    assert [name[:11] for name in told.opened] == (both if slow == "slow commit" else left)


async def test_p7_a_revocation_between_what_was_found_and_its_record_wins() -> None:
    world = await reviewed_world()
    await post(world, {"input": SECRET})
    commit = world.access_store.commit

    async def revoked_first(record: Any, *args: Any, **kwargs: Any) -> None:
        if record.action == "found":
            world.access_store.commit = commit
            await end(world, "revoked")
        await commit(record, *args, **kwargs)

    world.access_store.commit = revoked_first
    with pytest.raises(GrantRequired):
        await find(world, text=SECRET)
    assert actions(world) == ["searched", "revoked"]


async def test_p7_a_search_goes_on_page_by_page_only_while_its_grant_is_live() -> None:
    world = await reviewed_world()
    await post_texts(world, 4)
    cursor = (await find(world, 1)).cursor
    await end(world, "revoked")
    with pytest.raises(GrantRequired):
        await find(world, 1, cursor)


@pytest.mark.parametrize("look", LOOKS)
async def test_p8_neither_what_is_looked_for_nor_what_is_found_is_on_record_in_a_log_or_in_an_error(
    look: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = await reviewed_world()
    batch_id = await post(world, {"input": SECRET, "telemetry": {"order": "4711-X"}})
    label(world, batch_id, 0, verdict="very-good", comment="Comment 4711")
    members = {
        "text": SECRET,
        "telemetry": [{"name": "order", "equals": "4711-X"}],
        "verdict": "very-good",
        "feature": "flow",
        "capturedFrom": "2026-11-21T00:00:00Z",
    }
    page = await (find(world, **members) if look == "find" else sample(world, 3, 3, **members))
    assert len(page.value) == 1
    errors = []
    for fail in (StoreUnavailable("storage-500"), Conflict()):

        async def failing(*args: Any, fail: Exception = fail, **kwargs: Any) -> Any:
            raise fail

        store(world).read_batch = failing  # type: ignore[method-assign]
        with pytest.raises(type(fail)) as caught:
            await (find(world, **members) if look == "find" else sample(world, 3, 3, **members))
        errors.append(repr(caught.value))
    with pytest.raises(InvalidRequest) as refused:
        await find(world, 1, "4711", **members)
    told = json.dumps([each.to_json() for each in world.access_store.records[TENANT]])
    told += "".join([*errors, repr(refused.value), caplog.text])
    for words in ("4711", "Schneider", "very-good", "flow", "2026-11-21T00:00"):
        assert words not in told.replace("2026-11-21T00:00:02", ""), words
    [record] = {each.filtered_by for each in world.access_store.records[TENANT] if each.action == "searched"}
    assert record == ("capturedFrom", "feature", "telemetry", "text", "verdict")


# What somebody has put there by hand


def bomb(size: int, piece: bytes = b"\0" * 1024) -> bytes:
    return gzip.compress(piece * (size // len(piece)), 1, mtime=0)


GOOD = json.dumps(
    {"capturedAt": "2026-11-21T12:00:00.000000Z", "feature": "flow", "input": "good", "output": "o"}
).encode()
DEEP = b'{"input":' + b"[" * 5_000 + b"]" * 5_000 + b',"output":"o"}'
RUBBISH: dict[str, tuple[bytes, int, int]] = {
    # what it is: its bytes, how many captures can be read, how many lines cannot
    "no gzip": (b"garbage", 0, 1),
    "nothing": (b"", 0, 1),
    "cut off": (gzip.compress(GOOD, mtime=0)[:-9], 0, 1),
    "a header alone": (b"\x1f\x8b\x08\x00", 0, 1),
    "damaged": (gzip.compress(GOOD, mtime=0)[:-8] + b"12345678", 0, 1),
    "a bomb": (bomb(40 * 1024 * 1024), 0, 1),
    "a bomb of line feeds": (bomb(40 * 1024 * 1024, b"\n" * 1024), 0, 1),
    "many lines": (gzip.compress(b"{}\n" * 1_700, mtime=0), 500, 1_200),
    "more than is read": (b"\x1f\x8b" + b"x" * (scanning._PACKED_MAX_BYTES + 1), 0, 1),
    "no lines": (gzip.compress(b"", mtime=0), 0, 0),
    "empty lines": (gzip.compress(b"\n\n" + GOOD + b"\n\n", mtime=0), 1, 3),
    "no JSON": (gzip.compress(b"{oops\n" + GOOD + b"\n\xff\xfe\n", mtime=0), 1, 2),
    "no objects": (gzip.compress(b'[]\n1\n"x"\nnull\n' + GOOD, mtime=0), 1, 4),
    "nested lists": (gzip.compress(DEEP + b"\n" + GOOD, mtime=0), 1, 1),
    "nested a little": (gzip.compress(b'{"input":' + b"[" * 150 + b'"good"' + b"]" * 150 + b"}", mtime=0), 1, 0),
    "many values": (gzip.compress(b'{"input":[' + b"[]," * 500_000 + b"[]]}", 1, mtime=0), 0, 1),
    "a long line": (gzip.compress(b'{"input":"' + b"x" * 9_000_000 + b'"}', 1, mtime=0), 0, 1),
    "not a number": (gzip.compress(b'{"input":NaN}\n{"input":Infinity}\n', mtime=0), 0, 2),
    "infinite": (gzip.compress(b'{"input":1e999,"output":"good"}\n', mtime=0), 0, 1),
    "half a character": (gzip.compress(b'{"input":"\\ud800"}\n', mtime=0), 0, 1),
    "odd kinds": (
        gzip.compress(
            b'{"input":5,"output":{"good":[null,true,"good"]},"language":["x"],"capturedAt":7,"telemetry":"t"}', mtime=0
        ),
        1,
        0,
    ),
}


@pytest.mark.parametrize("what", RUBBISH)
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"text": "good"},
        {"language": "en"},
        {"telemetry": [{"name": "/a/0", "over": 1}]},
        {"capturedFrom": "2026-11-21T00:00:00Z"},
    ],
    ids=lambda members: next(iter(members), "all"),
)
async def test_p12_rubbish_is_counted_and_keeps_nobody_from_what_is_beside_it(
    what: str, members: dict[str, Any]
) -> None:
    world = await reviewed_world()
    batch_id = await post(world, {"input": "beside", "output": f"{EN} good", "telemetry": {"a": [2]}})
    content, captures, unreadable = RUBBISH[what]
    put_by_hand(world, "0" * 32, content)
    put_by_hand(world, "e" * 31 + "-no-batch", b"nothing of ours")
    pages = await find_all(world, 3, **members)
    shown = [each.found for page in pages for each in page.value]
    assert [each.batch_id for each in shown][-1] == batch_id
    json.dumps([each.capture for each in shown], allow_nan=False)
    # What nobody is to be shown need not be said.
    matched = what != "infinite" or bool(members.keys() <= {"text", "language"})
    counts = [page.scanned for page in pages]
    assert sum(each.captures for each in counts) == captures + 1 + (not matched)
    assert sum(each.unreadable for each in counts) == (unreadable if matched else 0)
    assert sum(each.batches for each in counts) == 2
    [sampled] = [await sample(world, 200, 7, **members)]
    chosen = [each.found.name for each in sampled.value]
    assert chosen == [each.name for each in shown] if len(shown) <= 200 else len(chosen) == 200


async def test_p12_a_language_that_is_none_is_not_shown() -> None:
    world = await reviewed_world()
    await post(world, {})
    put_lines(world, "0" * 32, b'{"language":"%s"}' % (b"x" * 100_000), b'{"language":5}', b'{"language":"de\\n"}')
    page = await find(world)
    assert [each.language for each in page.value] == [None, None, None, "en"]


async def test_p12_a_grant_for_an_older_enrollment_finds_in_that() -> None:
    world = await reviewed_world()
    await post(world, {"input": "old"})
    old = (await world.opt_out()).enrollment_id
    await world.opt_in()
    await post(world, {"input": "new"}, key="new")
    await granted(world, "another", asked=GrantRequest("build", "x" * 20, 60, old))
    page = await finding(world).find(TENANT, "another", Selection(), limit=5, after=None)
    assert inputs(page) == ["old"]
