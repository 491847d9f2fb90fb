"""P12: pages of a search and of a sample end and go on where they should, and the record names the days of each."""

import gzip
import json
from datetime import date, timedelta
from typing import Any

import pytest

from functions.finding import CaptureSampling, CaptureSearch
from shared.model import deadlines
from shared.model.capture import BATCH_MAX
from shared.model.selection import Selection
from shared.problems import GrantRequired, NotFound
from shared.review import finding as module
from shared.review import scanning
from shared.review.cursors import SampleCursor, SearchCursor, Spot
from tests.unit.reviewed import (
    DAY,
    REVIEWER,
    actions,
    find,
    find_all,
    finding,
    grant_forever,
    granted,
    inputs,
    post,
    post_texts,
    put_by_hand,
    put_lines,
    reviewed_world,
    sample,
    sample_all,
    selected,
    slowly,
)
from tests.world import TENANT, World

EVERYTHING = Selection()


def enrollment_id(world: World) -> str:
    return str(world.ledger.events[TENANT][0].enrollment_id)


def line(text: str) -> bytes:
    return json.dumps({"input": text}).encode()


# Cursors


@pytest.mark.parametrize(("day", "taken"), [("1999-12-31", 0), ("2000-01-01", 1), ("8999-12-31", 1), ("9000-01-01", 0)])
def test_p12_a_cursor_names_a_day_with_which_can_be_reckoned(day: str, taken: bool) -> None:
    spot = Spot(date.fromisoformat(day), "b" * 32, 0)
    if taken:
        assert Spot.read(spot.to_bytes()) == spot
    else:
        with pytest.raises(ValueError, match="no spot"):
            Spot.read(spot.to_bytes())


def test_p12_a_cursor_is_one_of_what_is_searched_for_and_not_of_how_many_are_wanted() -> None:
    spot = Spot(DAY, "b" * 32, 3)
    of, searches = selected(text="x"), [CaptureSearch.model_validate({"text": "x", "limit": n}) for n in (7, 8)]
    search = SearchCursor("a" * 32, spot)
    assert {search.text(each) for each in searches} == {search.text(of)}
    assert SearchCursor.read(search.text(of), searches[0]) == search
    last = SampleCursor("a" * 32, 5, None, [])
    sampling = CaptureSampling.model_validate({"text": "x", "size": 7, "seed": 1, "cursor": search.text(of)})
    assert SampleCursor.read(last.text(of, 7, 1), sampling, 7, 1) == last


async def test_p12_of_a_day_that_is_not_there_a_cursor_finds_nothing_and_does_not_look_like_the_end() -> None:
    world = await reviewed_world()
    await post(world, {})
    spot = Spot(DAY + timedelta(days=1), "b" * 32, 0)  # as of an instance whose clock is ahead
    search = SearchCursor(enrollment_id(world), spot).text(EVERYTHING)
    sampling = SampleCursor(enrollment_id(world), 1, None, [spot]).text(EVERYTHING, 5, 5)
    for look in (find(world, 5, search), sample(world, 5, 5, sampling)):
        with pytest.raises(NotFound) as refused:
            await look
        assert refused.value.detail == NotFound.DAY
    assert actions(world) == []


# Where pages end, and go on


async def test_p12_a_capture_that_just_has_room_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await reviewed_world()
    await post_texts(world, 3)
    [page] = await find_all(world)
    two = sum(len(json.dumps(each.found.capture)) for each in page.value[:2])
    for room, pages in ((two, [2, 1]), (two - 1, [1, 1, 1])):
        monkeypatch.setattr(module, "PAGE_MAX_BYTES", room)
        assert [len(page.value) for page in await find_all(world)] == pages


@pytest.mark.parametrize("batches", [7, 8, 9, 16, 17])
async def test_p12_a_page_goes_on_inside_a_batch_however_many_lie_behind_it(batches: int) -> None:
    world = await reviewed_world()
    texts = await post_texts(world, *[3] * batches)
    pages = await find_all(world, 4)
    assert inputs(*pages) == texts
    assert sum(page.scanned.captures for page in pages) == len(texts)


async def test_p12_a_page_goes_on_inside_a_batch_whose_neighbour_is_the_next_number() -> None:
    world = await reviewed_world()
    await post(world, {"input": "last"})
    for number in range(4):
        put_lines(world, f"{number:032x}", line(f"{number}.0"), line(f"{number}.1"), line(f"{number}.2"))
    expected = [f"{number}.{n}" for number in range(4) for n in range(3)] + ["last"]
    for limit in (1, 2, 4, 5):
        assert inputs(*await find_all(world, limit)) == expected
    assert inputs(await sample(world, 200, 1)) == expected


async def test_p12_a_sample_is_shown_until_the_page_takes_too_long_and_goes_on_there() -> None:
    world = await reviewed_world()
    texts = await post_texts(world, *[1] * 17)
    [page] = await sample_all(world, 200, 1)
    assert inputs(page) == texts, "which takes no time"
    spots = [Spot(each.found.day, each.found.batch_id, each.found.line) for each in page.value]
    slowly(world, module.PAGE_SECONDS / 8)  # eight are asked for at a time
    cursor = SampleCursor(enrollment_id(world), 17, None, spots).text(EVERYTHING, 200, 1)
    pages = [await sample(world, 200, 1, cursor)]
    while pages[-1].cursor is not None:
        pages.append(await sample(world, 200, 1, pages[-1].cursor))
    assert [inputs(page) for page in pages] == [texts[:8], texts[8:16], texts[16:]]


# What the record says of a page


async def three_days() -> World:
    """Return a world with a batch on each of three days, and a grant that outlives them."""
    world = await reviewed_world()
    for day in range(3):
        await post(world, {"input": f"{day}"}, key=f"{day}")
        world.clock.move(timedelta(days=1))
    grant_forever(world)
    return world


def days_told(world: World) -> list[tuple[str | None, str | None]]:
    return [(each.first_day, each.last_day) for each in world.access_store.records[TENANT] if each.action == "searched"]


async def test_p7_the_record_of_a_page_says_from_which_day_on_it_goes_through_captures() -> None:
    days = [f"{DAY + timedelta(days=n)}" for n in range(4)]
    world = await three_days()
    assert inputs(*await find_all(world, 1)) == ["0", "1", "2"]
    # A page begins where the one before has ended, which is behind the last capture on it.
    assert days_told(world) == [(days[0], days[3]), (days[0], days[3]), (days[1], days[3]), (days[2], days[3])]
    world = await three_days()
    spots = [Spot(DAY + timedelta(days=n), "b" * 32, 0) for n in range(3)]
    for start, chosen in ((spots[1], []), (spots[2], spots[1:2]), (None, spots[1:])):
        cursor = SampleCursor(enrollment_id(world), 3, start, chosen).text(EVERYTHING, 5, 5)
        await sample(world, 5, 5, cursor)
    assert days_told(world) == [(days[1], days[3])] * 3


async def test_p7_the_record_of_a_search_after_the_opt_out_names_no_day_behind_it() -> None:
    world = await reviewed_world()
    await post(world, {})
    await world.opt_out()
    grant_forever(world)
    world.clock.move(timedelta(days=3))
    await find_all(world)
    assert days_told(world) == [(f"{DAY}", f"{DAY}")]


async def test_p7_what_took_as_long_to_record_as_a_look_is_believed_is_looked_at_again() -> None:
    world = await reviewed_world()
    await post(world, {})
    [grant] = world.access_store.granted.values()
    world.clock.set(grant.expires_at - timedelta(seconds=1))
    commit = world.access_store.commit

    async def slow(record: Any, *args: Any, **kwargs: Any) -> None:
        await commit(record, *args, **kwargs)
        if record.action == "found":
            world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))

    world.access_store.commit = slow
    with pytest.raises(GrantRequired):
        await find(world)
    assert actions(world) == ["searched", "found"]


async def test_p5_what_is_written_beside_captures_after_an_opt_out_is_sent_before_their_deadline_or_never() -> None:
    world = await reviewed_world()
    event = await world.opt_out()
    world.clock.set(event.deadline - timedelta(hours=1))
    await granted(world)
    record = finding(world).record
    permit = await record.look_again(await record.opened(TENANT, REVIEWER, world.clock.now()))
    assert permit.ends_at == event.deadline, "and the grant goes on behind it"


# What somebody put there by hand


async def test_p12_what_nobody_can_read_is_counted_once_however_pages_are_cut() -> None:
    world = await reviewed_world()
    await post(world, {"input": "last"})
    infinite = b'{"input":1e999}'
    lines = [infinite, line("0"), infinite, b'{"input":NaN}', line("1"), infinite, line("2")]
    put_lines(world, "0" * 32, *lines)
    for limit in (1, 2, 50):
        pages = await find_all(world, limit)
        assert inputs(*pages) == ["0", "1", "2", "last"]
        counts = [page.scanned for page in pages]
        assert (sum(each.captures for each in counts), sum(each.unreadable for each in counts)) == (4, 4)


@pytest.mark.parametrize(("rest", "unreadable"), [(b"", 0), (b"{}", 1), (b"\n{}\n{}", 3), (b"\n{}\n{}\n", 3)])
def test_p12_lines_beyond_those_of_a_batch_are_counted(rest: bytes, unreadable: int) -> None:
    lines, counted = scanning.lines_of(gzip.compress(b"{}\n" * BATCH_MAX + rest, 1, mtime=0))
    assert (len(lines), counted) == (BATCH_MAX, unreadable)


async def test_p12_a_capture_of_many_bytes_is_found_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await reviewed_world()
    await post(world, {})
    put_lines(world, "0" * 32, line("x" * 2 * scanning._VALUES_MAX))
    assert len(inputs(await find(world))) == 2, "it has many bytes, and few values"
    put_lines(world, "0" * 32, line("x" * 500))
    for longest, captures in ((len(line("x" * 500)), 2), (len(line("x" * 500)) - 1, 1)):
        monkeypatch.setattr(scanning, "_LINE_MAX_BYTES", longest)
        page = await find(world)
        assert (len(page.value), page.scanned.unreadable) == (captures, 2 - captures)


async def test_p12_of_a_batch_no_more_is_asked_for_than_was_ever_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await reviewed_world()
    await post(world, {})
    packed = gzip.compress(line("x"), mtime=0)
    put_by_hand(world, "0" * 32, packed)
    monkeypatch.setattr(scanning, "_PACKED_MAX_BYTES", len(packed) + 200)
    assert len(inputs(await find(world))) == 2
    named = (
        packed[:3] + b"\x08" + packed[4:10] + b"n" * 200 + b"\0" + packed[10:]
    )  # the name of a file, which says nothing
    put_by_hand(world, "0" * 32, named)
    page = await find(world)
    assert (len(page.value), page.scanned.unreadable) == (1, 1)
