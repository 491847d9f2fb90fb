"""P12 and P9: what is in an export's file, how it comes to be when others come between, and what is told of it."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import Clock
from shared.model import deadlines
from shared.model.exports import ReviewExport
from shared.model.selection import Selection
from shared.ports import Conflict, StoreUnavailable, TryAgain
from shared.problems import GrantRequired, NotFound
from shared.review import exporting as module
from shared.review.exporting import Exporting
from tests.changes import opting_out
from tests.clocks import START
from tests.unit.reviewed import (
    APPROVER,
    DAY,
    REVIEWER,
    container,
    granted,
    label,
    post,
    reviewed_world,
    selected,
    slowly,
    store,
)
from tests.world import TENANT, World

ALL = Selection()
HOUR, MINUTE, ONE_DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)


def exporting(world: World) -> Exporting:
    """Return what another process makes exports with."""
    return world.services().exporting


async def request(world: World, **members: Any) -> ReviewExport:
    return await exporting(world).request(TENANT, REVIEWER, selected(**members))


async def read(world: World, export: ReviewExport) -> ReviewExport:
    return await exporting(world).read(TENANT, export.export_id)


async def file(world: World, export: ReviewExport, start: int = 0, end: int | None = None) -> bytes:
    return (await exporting(world).download(TENANT, REVIEWER, export.export_id, start, end)).content


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


async def days_world(days: Sequence[int] = (0, 1), each: int = 4) -> World:
    """Return a world with batches of some days, of one capture each, which a reviewer may read."""
    world = World()
    await world.opt_in()
    for day in days:
        world.clock.set(START + timedelta(days=day, hours=1))
        for n in range(each):
            await post(world, {"input": f"{day}.{n}"}, key=f"{day}-{n}")
    await granted(world)
    return world


def spied(world: World, method: str) -> list[Any]:
    """Return a list to which what storage is asked by a method is added, each time it is."""
    asked: list[Any] = []
    inner = getattr(store(world), method)

    async def spy(*args: Any, **how: Any) -> Any:
        asked.append(args)
        return await inner(*args, **how)

    setattr(store(world), method, spy)
    return asked


def once(on: Any, method: str, first: Callable[[], Awaitable[None]], *, after: bool = False) -> None:
    """Let something happen right before the next call of a method, or when it has its answer."""
    inner = getattr(on, method)

    async def call(*args: Any, **how: Any) -> Any:
        setattr(on, method, inner)
        if not after:
            await first()
        found = await inner(*args, **how)
        if after:
            await first()
        return found

    setattr(on, method, call)


def failing(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def fail(*args: Any, **how: Any) -> Any:
        raise error

    return fail


async def cut_short(world: World, **members: Any) -> ReviewExport:
    """Ask for an export whose request is over when it has read some batches."""

    async def late() -> None:
        world.clock.move(timedelta(seconds=module.REQUEST_SECONDS))

    once(store(world), "read_batch", late)
    export = await request(world, **members)
    assert export.status == "running"
    return export


async def test_p12_a_line_says_where_a_capture_lies_its_language_and_what_is_said_of_it_as_it_was_written() -> None:
    world = await reviewed_world()
    batch_id = await post(world, {"input": "Grüße"}, {"input": "数", "language": "ja"})
    label(world, batch_id, 1, verdict="good", comment="schön")
    export = await request(world)
    for number, line in enumerate(gzip.decompress(await file(world, export)).splitlines()):
        said = json.loads(line)
        assert list(said) == ["day", "batchId", "line", "language", "capture", "labels"]
        assert (said["line"], said["language"]) == (number, ["de", "ja"][number])
        assert line == json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


async def test_p12_a_files_hash_and_size_are_those_of_what_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await days_world()
    monkeypatch.setattr(module, "PART_MAX_BYTES", 100)
    export = await request(world)
    assert export.bytes is not None
    whole = b"".join([await file(world, export, start) for start in range(0, export.bytes, 100)])
    assert (len(whole), hashlib.sha256(whole).hexdigest()) == (export.bytes, export.sha256)
    assert await file(world, export, 5, 9) == whole[5:9]


async def test_p9_a_piece_that_is_made_again_has_the_same_bytes_whenever_that_is() -> None:
    world = await days_world()
    pieces = spied(world, "stage")
    await request(world)
    [made] = pieces
    assert made[-1][4:8] == bytes(4), "the time in the header of gzip"


@pytest.mark.parametrize("bound", ["_PIECE_BATCHES", "_PIECE_BYTES"])
async def test_d12_a_piece_has_no_more_batches_and_bytes_than_one_can_hold(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await days_world(days=(0,), each=7)
    export = await request(world)
    first, *others = gzip.decompress(await file(world, export)).splitlines(keepends=True)
    assert {len(first)} == {len(other) for other in others}
    monkeypatch.setattr(module, bound, 3 if bound == "_PIECE_BATCHES" else 3 * len(first))
    pieces = spied(world, "stage")
    await request(world)
    assert [len(lines(piece[-1])) for piece in pieces] == [3, 3, 1]


async def test_p12_the_record_names_what_was_chosen_by_and_the_days_that_the_file_holds() -> None:
    world = await days_world(days=(0, 1, 2))
    export = await request(world, text="1.", lastDay=DAY + ONE_DAY)
    await file(world, export)
    await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    records = world.access_store.records[TENANT][-4:]
    days = "2026-11-21", "2026-11-22"
    said = [(each.action, each.first_day, each.last_day, each.day) for each in records]
    assert said == [
        ("exportRequested", *days, None),
        ("exportReady", days[1], days[1], None),
        ("exportDownloaded", days[1], days[1], days[1]),
        ("exportDeleted", days[1], days[1], None),
    ]
    assert {(each.export_id, each.filtered_by) for each in records} == {(export.export_id, ("text",))}


@pytest.mark.parametrize("end", ["ready", "stopped", "deleted"])
async def test_p12_an_export_says_when_it_ended(end: str) -> None:
    world = await days_world()
    export = await request(world, **({"feature": "none"} if end == "stopped" else {}))
    world.clock.move(HOUR if end == "deleted" else timedelta())
    if end == "deleted":
        await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    export = await read(world, export)
    last = world.access_store.records[TENANT][-1]
    assert (export.status, export.finished_at, last.action) == (end, last.at, f"export{end.capitalize()}")


async def test_p12_a_refusal_says_whether_there_is_no_such_day_no_such_export_or_no_file_any_more() -> None:
    world = await days_world()
    export = await request(world)

    async def refusal(call: Awaitable[Any]) -> str | None:
        with pytest.raises(NotFound) as refused:
            await call
        return refused.value.detail

    assert await refusal(request(world, lastDay=DAY - ONE_DAY)) == NotFound.DAY
    assert await refusal(exporting(world).read(TENANT, "0" * 32)) == NotFound.EXPORT
    store(world)._put_beside(container(world), export.file, b"something else")
    assert await refusal(file(world, export)) == NotFound.EXPORT_GONE
    await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    assert await refusal(file(world, export)) == NotFound.EXPORT_GONE


async def test_p12_exports_are_listed_page_by_page_the_newest_first() -> None:
    world = await days_world()
    asked = [(await request(world)).export_id for _ in range(3)]
    listed: list[str] = []
    before = None
    for _ in asked:
        [export] = (await exporting(world).list(TENANT, limit=1, before=before)).values
        listed.append(export.export_id)
        before = export.sequence
    assert listed == asked[::-1]


async def revoke(world: World) -> None:
    [grant] = (await world.access.grants(TENANT, limit=9, before=None)).values
    await world.access.revoke(TENANT, grant.grant_id, APPROVER, any_grant=True)


async def stop_review(world: World) -> None:
    await world.data_sharing.put(TENANT, opting_out(stop_review=True))


async def fall_silent(world: World) -> None:
    store(world).staged = failing(StoreUnavailable("storage-503"))  # type: ignore[method-assign, assignment]


async def lose_the_container(world: World) -> None:
    await store(world).delete_container(container(world))


@pytest.mark.parametrize("what", [revoke, stop_review, fall_silent, lose_the_container])
async def test_p12_an_export_of_which_nobody_can_tell_how_far_it_is_can_be_read_all_the_same(what: Any) -> None:
    world = await days_world()
    export = await cut_short(world)
    assert await exporting(world).progress(export) is not None
    await what(world)
    assert await exporting(world).progress(export) is None


async def test_p7_a_grant_of_another_enrollment_deletes_no_export_of_this_one() -> None:
    world = await days_world()
    export = await request(world)
    await world.opt_out()
    await world.opt_in()
    world.clock.move(9 * HOUR)
    await granted(world)
    with pytest.raises(GrantRequired):
        await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    assert (await read(world, export)).status == "ready"


async def shortly_before_the_end(world: World) -> str:
    """Go to the last minute of the oldest day's captures, under another grant; return its id."""
    world.clock.set(deadlines.day_deadline(DAY, 30) - MINUTE)
    return await granted(world)


async def test_p4_a_part_of_a_file_whose_day_ends_while_storage_is_slow_does_not_leave() -> None:
    world = await days_world()
    export = await request(world)
    await shortly_before_the_end(world)

    async def over() -> None:
        world.clock.move(MINUTE)

    once(store(world), "read_range", over, after=True)
    with pytest.raises(NotFound):
        await file(world, export)


async def test_p4_nothing_is_written_beside_a_day_that_ends_while_storage_is_slow() -> None:
    world = await days_world()
    export = await cut_short(world)
    grant_id = await shortly_before_the_end(world)
    kept = world.access_store.exported
    kept[TENANT, export.export_id] = export.model_copy(update={"grant_id": grant_id})

    async def over() -> None:
        world.clock.move(MINUTE)

    once(store(world), "list_blobs", over, after=True)
    written = spied(world, "stage")
    await exporting(world).run()
    assert ((await read(world, export)).reason, written) == ("data-gone", [])


async def test_p12_a_look_at_an_export_that_is_too_old_to_be_believed_lets_nothing_be_written() -> None:
    world = await days_world()
    export = await cut_short(world)
    world.clock.move(MINUTE)
    arrived: list[Any] = []
    store(world).receive_piece = lambda *args: arrived.append(args)  # type: ignore[method-assign]

    async def deleted_meanwhile() -> None:
        await exporting(world).delete(TENANT, REVIEWER, export.export_id)
        world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))

    async def from_now_on() -> None:
        once(world.access_store, "read_export", deleted_meanwhile, after=True)

    once(store(world), "list_blobs", from_now_on, after=True)
    await exporting(world).run()
    assert arrived == []
    assert (await read(world, export)).status == "deleted"


async def test_p9_what_storage_fails_to_write_once_is_written_in_the_same_request() -> None:
    world = await days_world()

    async def fail() -> None:
        raise TryAgain("storage-503")

    once(store(world), "stage", fail)
    assert (await request(world)).status == "ready"


async def test_p9_an_export_that_others_keep_coming_before_is_left_to_the_timer() -> None:
    world = await days_world()
    inner = world.access_store.move_head

    async def once(*args: Any, **how: Any) -> None:
        await inner(*args, **how)  # what was asked for is kept
        world.access_store.move_head = failing(Conflict())

    world.access_store.move_head = once
    export = await request(world)
    assert export.status == "running"
    world.access_store.move_head = inner
    world.clock.move(MINUTE)
    assert (await exporting(world).run()).errors == []
    assert (await read(world, export)).status == "ready"


async def test_p12_a_run_that_found_no_wish_stops_no_export_whose_request_has_kept_it_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await days_world()
    found_none, answered = asyncio.Event(), asyncio.Event()
    keep, stop, runs = store(world).write_beside, Exporting._stop, list[asyncio.Task[Any]]()

    async def suspended(*args: Any) -> ReviewExport:
        found_none.set()
        await answered.wait()
        return await stop(*args)

    async def kept_late(*args: Any) -> Any:
        if not runs:
            world.clock.move(2 * MINUTE)
            runs.append(asyncio.create_task(exporting(world).run()))
            await found_none.wait()
        return await keep(*args)

    monkeypatch.setattr(Exporting, "_stop", suspended)
    store(world).write_beside = kept_late  # type: ignore[method-assign]
    store(world).stage = failing(TryAgain("storage-503"))  # type: ignore[method-assign]
    export = await request(world)
    answered.set()
    await runs[0]
    assert export.status == (await read(world, export)).status == "running"


async def test_p9_what_lies_in_pieces_is_not_read_again() -> None:
    world = await days_world(days=(0, 1), each=20)
    export = await cut_short(world)
    progress = await exporting(world).progress(export)
    assert progress is not None and progress.captures > 0
    again = spied(world, "read_batch")
    world.clock.move(MINUTE)
    await exporting(world).run()
    assert len(again) == 40 - progress.captures
    assert (await read(world, export)).captures == 40


async def test_p12_a_file_that_is_there_holds_what_it_says_whatever_was_stored_since() -> None:
    world = await days_world()
    inner, store(world).read_range = store(world).read_range, failing(StoreUnavailable("storage-503"))  # type: ignore[method-assign, assignment]
    export = await request(world)
    assert export.status == "running"
    store(world).read_range = inner  # type: ignore[method-assign]
    for n in range(8):
        await post(world, {"input": "later"}, key=f"later-{n}")
    world.clock.move(MINUTE)
    listed = spied(world, "list_blobs")
    await exporting(world).run()
    export = await read(world, export)
    assert (export.captures, len(lines(await file(world, export))), listed) == (8, 8, [])


async def test_p12_a_file_whose_place_another_run_has_chosen_stays_there() -> None:
    world = await days_world()

    async def overtaken() -> None:
        [(place, export)] = world.access_store.exported.items()
        world.access_store.exported[place] = export.model_copy(update={"day": DAY})
        raise Conflict

    once(world.access_store, "move_head", overtaken)
    export = await request(world, text="1.")
    assert (export.status, export.day, export.captures) == ("ready", DAY, 4)


@pytest.mark.parametrize("gone", ["missing", "being deleted"])
async def test_p8_what_was_searched_for_lies_in_the_newest_container_that_there_is(gone: str) -> None:
    world = await days_world(days=(0, 1, 2))
    for day in (DAY + ONE_DAY, DAY + 2 * ONE_DAY):
        name = container(world, day)
        if gone == "missing":
            await store(world).delete_container(name)
        else:
            store(world).being_deleted.add(name)
    kept, found = spied(world, "write_beside"), spied(world, "read_beside")
    export = await request(world)
    there = container(world, DAY)
    assert ([args[1] for args in kept][-1], export.status, export.captures) == (there, "ready", 4)
    assert (there, export.wish) in found


async def test_p8_what_was_searched_for_lies_beside_no_day_that_was_not_asked_for() -> None:
    world = await days_world(days=(0, 2))
    kept = spied(world, "write_beside")
    export = await request(world, firstDay=DAY + ONE_DAY, lastDay=DAY + ONE_DAY, text="0.1")
    assert (export.reason, [args[1] for args in kept]) == ("nothing-found", [container(world, DAY + ONE_DAY)])


def begun_at(world: World) -> dict[str, float]:
    """Return a mapping that will say when what was asked for was read first, in seconds from now."""
    begun: dict[str, float] = {}
    clock: Clock = world.clock
    inner, start = store(world).read_beside, clock.monotonic()

    async def spy(name: str, blob: str) -> Any:
        begun.setdefault(blob, clock.monotonic() - start)
        return await inner(name, blob)

    store(world).read_beside = spy  # type: ignore[method-assign, assignment]
    return begun


async def test_d12_each_export_has_its_share_of_a_run_however_slow_storage_is() -> None:
    world = await days_world(days=(0,), each=60)
    exports = [await cut_short(world) for _ in range(3)]
    world.clock.move(MINUTE)
    begun = begun_at(world)
    slowly(world, 3)
    run = await exporting(world).run()
    assert run.counts["exports"] == 3
    times = sorted(begun[export.wish] for export in exports)
    assert [round(time / 10) for time in times] == [0, 7, 14]


async def test_d12_storage_that_refuses_one_export_all_the_time_is_not_asked_beyond_its_share() -> None:
    world = await days_world()
    exports = [await cut_short(world) for _ in range(2)]
    world.clock.move(MINUTE)
    begun = begun_at(world)
    inner = store(world).stage

    async def busy(*args: Any) -> None:
        if args[2] == next(iter(begun)).removesuffix("-wish"):
            raise TryAgain("storage-ServerBusy", throttled=True)
        await inner(*args)

    store(world).stage = busy  # type: ignore[method-assign, assignment]
    await exporting(world).run()
    assert sorted([(await read(world, export)).status for export in exports]) == ["ready", "running"]
