"""P12 and P7: an export goes with the days that it holds, and is made and read only under a live grant."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.exports import Piece, Place, ReviewExport, chain
from shared.model.labels import Label, ReviewerLabels, labels_blob
from shared.model.selection import Selection
from shared.ports import StoreUnavailable, TryAgain
from shared.problems import (
    ExportNotReady,
    GrantRequired,
    NotFound,
    Problem,
    RangeNotSatisfiable,
    TooManyExports,
)
from shared.review import exporting as module
from shared.review.exporting import PART_MAX_BYTES, Exporting
from shared.review.record import GrantRequest
from shared.stores.memory import MemoryCaptures
from tests.changes import opting_out
from tests.clocks import START
from tests.world import TENANT, Crash, Crashing, Steps, World

REVIEWER, OTHER_REVIEWER, APPROVER = "reviewer", "other-reviewer", "approver"
DAY = START.date()
HOUR = timedelta(hours=1)
ALL = Selection()


def days_after(days: int) -> date:
    return DAY + timedelta(days=days)


def selected(**members: Any) -> Selection:
    """Return what a request asks for that has these members."""
    return Selection.model_validate_json(json.dumps(members, default=str))


async def granted(world: World, reviewer: str = REVIEWER, minutes: int = 480) -> str:
    asked = GrantRequest("improve", "To see why formulas are refused so often.", minutes)
    grant = await world.access.request(TENANT, reviewer, asked)
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    return grant.grant_id


async def shared_world(days: Sequence[int] = (0, 1, 3), each: int = 4) -> World:
    """Return a world with batches of some days, of one capture each, which a reviewer may read."""
    world = World()
    await world.opt_in()
    for day in days:
        world.clock.set(START + timedelta(days=day, hours=1))
        for n in range(each):
            await world.post(f"day {day} batch {n}", key=f"{day}-{n}")
    await granted(world)
    return world


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_BATCHES", 2)


def exporting(world: World) -> Exporting:
    return world.services().exporting


def enrollment_id(world: World) -> str:
    return next(event.enrollment_id for event in world.ledger.events[TENANT])


def container(world: World, day: date) -> str:
    return DayContainer(enrollment_id(world), day).name


def store(world: World) -> MemoryCaptures:
    return world.stores["europe"]


async def content(world: World, export: ReviewExport, reviewer: str = REVIEWER) -> list[dict[str, Any]]:
    part = await exporting(world).download(TENANT, reviewer, export.export_id, 0, None)
    return [json.loads(line) for line in gzip.decompress(part.content).splitlines()]


def inputs(lines: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(line["capture"]["input"] for line in lines)


def blobs(world: World, kind: str = "export") -> list[tuple[str, str]]:
    """Which blobs there are of exports, staged ones too, each with its container."""
    stored = store(world)
    return sorted({place for kept in (stored.beside, stored.pieces) for place in kept if place[1].startswith(kind)})


def actions(world: World) -> list[str]:
    return [record.action for record in world.access_store.records[TENANT]]


async def test_p12_an_export_holds_what_matches_with_its_labels_and_its_records_say_what_it_is() -> None:
    world = await shared_world()
    first = min(store(world).containers[container(world, DAY)])
    label = Label(verdict="correct", score=0.5, tags=("short",), comment="well", at=START)
    said = ReviewerLabels(reviewer=OTHER_REVIEWER, labels={0: label})
    store(world)._put_beside(container(world, DAY), labels_blob(first, OTHER_REVIEWER), said.model_dump_json().encode())
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    assert (export.status, export.captures, export.day, export.newest_day) == ("ready", 12, DAY, days_after(3))
    lines = await content(world, export)
    assert inputs(lines) == sorted(f"day {day} batch {n}" for day in (0, 1, 3) for n in range(4))
    assert [line["day"] for line in lines] == sorted(line["day"] for line in lines)
    [labelled] = [line for line in lines if line["labels"]]
    assert labelled["batchId"] == first
    assert labelled["labels"] == [
        {"reviewer": OTHER_REVIEWER, "verdict": "correct", "score": 0.5, "tags": ["short"], "comment": "well"}
        | {"at": "2026-11-21T12:00:00.000000Z"}
    ]
    requested, ready, downloaded = world.access_store.records[TENANT][-3:]
    assert [each.action for each in (requested, ready, downloaded)] == [
        "exportRequested",
        "exportReady",
        "exportDownloaded",
    ]
    assert (requested.first_day, requested.last_day, requested.captures) == ("2026-11-21", "2026-11-24", None)
    for record in (ready, downloaded):
        assert (record.captures, record.sha256, record.first_day, record.last_day) == (
            12,
            export.sha256,
            "2026-11-21",
            "2026-11-24",
        )
    assert export.bytes is not None
    assert (downloaded.first_byte, downloaded.last_byte) == (0, export.bytes - 1)


async def test_p12_a_file_lies_in_the_container_of_the_oldest_day_that_it_holds() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, selected(text="day 1"))
    assert (export.day, export.captures) == (days_after(1), 4)
    assert blobs(world) == [(container(world, days_after(1)), export.file)]


async def test_p12_an_export_is_gone_when_its_oldest_day_is_and_not_before() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, selected(firstDay=days_after(1)))
    end = deadlines.day_deadline(days_after(1), 30)
    await world.run_purges(end - deadlines.RETENTION_LEAD - HOUR)
    await granted(world)
    assert len(await content(world, export)) == 8
    await world.run_purges(end - deadlines.RETENTION_LEAD + HOUR)
    assert blobs(world) == []
    with pytest.raises(NotFound):
        await content(world, export)


async def test_p4_nothing_of_an_export_is_read_once_its_oldest_day_is_over_however_late_retention_is() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    world.clock.set(deadlines.day_deadline(DAY, 30))
    await granted(world)
    with pytest.raises(NotFound):
        await content(world, export)
    assert actions(world)[-1] == "approved"


async def test_p12_after_an_expedited_opt_out_no_export_is_left_and_the_receipt_is_signed() -> None:
    world = await shared_world()
    await exporting(world).request(TENANT, REVIEWER, ALL)
    event = await world.opt_out()
    await world.feed()
    await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    await world.purge.run()
    assert blobs(world) == []
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()
    [deletion] = (await world.deletions.list(TENANT, limit=5, before=None)).values
    assert deletion.status == "verified"


async def test_p12_what_matches_nothing_makes_no_file() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, selected(feature="no such"))
    assert (export.status, export.reason, blobs(world)) == ("stopped", "nothing-found", [])
    with pytest.raises(NotFound):
        await content(world, export)


async def test_p12_what_matches_no_more_when_a_killed_export_goes_on_makes_no_file() -> None:
    world = await shared_world(days=(0,), each=1)
    said = ReviewerLabels(reviewer="x", labels={0: Label(verdict="correct", at=START)})
    [batch] = store(world).containers[container(world, DAY)]
    label = container(world, DAY), labels_blob(batch, "x")
    store(world)._put_beside(*label, said.model_dump_json().encode())
    inner = store(world).stage

    async def killed(*_: Any) -> None:
        raise Crash

    store(world).stage = killed  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await exporting(world).request(TENANT, REVIEWER, selected(labelled=True))
    store(world).stage = inner  # type: ignore[method-assign]
    await store(world).delete_beside(*label)
    world.clock.move(timedelta(minutes=1))
    await exporting(world).run()
    [export] = world.access_store.exported.values()
    assert (export.status, export.reason, blobs(world)) == ("stopped", "nothing-found", [])


async def test_p7_an_export_that_is_asked_for_while_its_oldest_day_expires_holds_the_others() -> None:
    world = await shared_world()
    commit = world.access_store.commit

    async def asked_just_before(day: date, selection: Selection) -> ReviewExport:
        """The day expires when the request is on the record."""
        goes = deadlines.day_deadline(day, world.accounts.retention_days)
        world.clock.set(goes - timedelta(seconds=1))
        await granted(world)

        async def slow(*arguments: Any, **more: Any) -> None:
            await commit(*arguments, **more)
            world.clock.set(goes)

        world.access_store.commit = slow  # type: ignore[method-assign]
        try:
            return await exporting(world).request(TENANT, REVIEWER, selection)
        finally:
            world.access_store.commit = commit  # type: ignore[method-assign]

    export = await asked_just_before(DAY, ALL)
    assert (export.status, export.day, export.captures) == ("ready", days_after(1), 8)
    with pytest.raises(NotFound, match="gone"):
        await asked_just_before(days_after(1), selected(lastDay=days_after(1)))
    refused = max(world.access_store.exported.values(), key=lambda each: each.requested_at)
    assert (refused.status, refused.reason, refused.wish_kept) == ("stopped", "data-gone", False)


async def test_p12_an_export_goes_on_though_retention_takes_its_oldest_day_in_which_nothing_matches() -> None:
    world = await shared_world()
    goes = deadlines.day_deadline(DAY, 30) - deadlines.RETENTION_LEAD
    world.clock.set(goes - timedelta(minutes=1))
    await granted(world)
    export = await out_of_time(world, selected(text="day 3"))
    assert blobs(world) == [(container(world, days_after(3)), export.wish)]
    await world.run_purges(goes + timedelta(minutes=1))
    assert container(world, DAY) not in store(world).containers
    await exporting(world).run()
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.captures, export.day) == ("ready", 4, days_after(3))


async def test_p12_an_export_says_that_its_data_is_gone_if_what_was_asked_for_went_with_the_newest_day() -> None:
    world = await shared_world()
    export = await out_of_time(world, selected(text="day 0"))
    await store(world).delete_container(container(world, days_after(3)))
    world.clock.move(timedelta(minutes=1))
    await exporting(world).run()
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.reason) == ("stopped", "data-gone")


async def test_p12_what_a_killed_request_has_kept_and_a_run_has_found_was_not_cut_off() -> None:
    world = await shared_world(each=30)
    inner = world.access_store.move_head

    async def killed(*_: Any, **__: Any) -> None:
        raise Crash

    world.access_store.move_head = killed
    with pytest.raises(Crash):
        await exporting(world).request(TENANT, REVIEWER, ALL)
    world.access_store.move_head = inner
    world.clock.move(timedelta(minutes=1))
    [export] = world.access_store.exported.values()
    assert not export.wish_kept
    assert (await exporting(world).carry_on(export, 0.0)).wish_kept
    for day in (0, 1, 3):
        await store(world).delete_container(container(world, days_after(day)))
    await exporting(world).run()
    assert (await exporting(world).read(TENANT, export.export_id)).reason == "data-gone"


@pytest.mark.parametrize("ended", ["killed", "not deleted", "arrives late"])
async def test_p8_what_was_asked_for_does_not_outlive_its_export_whatever_fails_at_the_end(ended: str) -> None:
    world = await shared_world()
    delete, found = store(world).delete_beside, list[Any]()

    async def failing(name: str, blob: str) -> None:
        found.append((name, blob, store(world).beside[name, blob]))
        if ended == "arrives late":
            return await delete(name, blob)
        raise Crash if ended == "killed" else StoreUnavailable("storage-503")

    store(world).delete_beside = failing  # type: ignore[method-assign]
    if ended == "killed":
        with pytest.raises(Crash):
            await exporting(world).request(TENANT, REVIEWER, ALL)
    else:
        assert (await exporting(world).request(TENANT, REVIEWER, ALL)).status == "ready"
    store(world).delete_beside = delete  # type: ignore[method-assign]
    [(name, blob, stored)] = found
    store(world).beside[name, blob] = stored
    [export] = world.access_store.exported.values()
    assert (blob, export.status, export.unfinished) == (export.wish, "ready", True)
    assert len(await content(world, export)) == 12
    for minutes in (1, 5):
        world.clock.move(timedelta(minutes=minutes))
        assert (await exporting(world).run()).errors == []
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.unfinished, blobs(world)) == ("ready", False, [(container(world, DAY), export.file)])
    assert len(await content(world, export)) == 12
    assert (await exporting(world).run()).counts["exports"] == 0


async def test_p12_an_export_that_is_deleted_while_what_was_asked_for_goes_is_looked_at_twice_from_then_on() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    assert export.discarded_at is not None
    world.clock.move(timedelta(minutes=5))
    read, delete = store(world).read_beside, store(world).delete_beside

    async def left(*_: Any) -> None:
        raise StoreUnavailable("storage-503")

    async def overtaken(*args: Any) -> Any:
        store(world).read_beside = read  # type: ignore[method-assign]
        store(world).delete_beside = left  # type: ignore[method-assign]
        await exporting(world).delete(TENANT, REVIEWER, export.export_id)
        store(world).delete_beside = delete  # type: ignore[method-assign]
        return await read(*args)

    store(world).read_beside = overtaken  # type: ignore[method-assign]
    assert (await exporting(world).run()).errors == []
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.unfinished, export.discarded_at) == ("deleted", True, None)
    assert blobs(world) != []
    for unfinished in (True, False):
        await exporting(world).run()
        assert (await exporting(world).read(TENANT, export.export_id)).unfinished == unfinished
        assert blobs(world) == []
        world.clock.move(timedelta(minutes=5))


async def test_days_without_captures_make_no_export() -> None:
    world = await shared_world()
    with pytest.raises(NotFound):
        await exporting(world).request(TENANT, REVIEWER, selected(lastDay=DAY - timedelta(days=1)))
    nothing = await exporting(world).request(TENANT, REVIEWER, selected(firstDay=days_after(2), lastDay=days_after(2)))
    assert (nothing.status, nothing.reason) == ("stopped", "nothing-found")


async def test_p7_there_is_no_export_without_a_live_grant_or_under_anothers() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    before = actions(world)
    for call in (
        exporting(world).request(TENANT, OTHER_REVIEWER, ALL),
        exporting(world).download(TENANT, OTHER_REVIEWER, export.export_id, 0, None),
        exporting(world).delete(TENANT, OTHER_REVIEWER, export.export_id),
    ):
        with pytest.raises(GrantRequired):
            await call
    assert actions(world) == before
    await granted(world, OTHER_REVIEWER)
    assert len(await content(world, export, OTHER_REVIEWER)) == 12


async def test_p7_a_grant_of_another_enrollment_opens_no_export_of_this_one() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    await world.opt_out()
    await world.opt_in()
    world.clock.move(9 * HOUR)
    await granted(world)
    with pytest.raises(GrantRequired):
        await content(world, export)


async def test_p8_what_was_searched_for_lies_beside_the_captures_and_nowhere_else() -> None:
    world = await shared_world()
    seen: list[Any] = []
    for name in ("write_beside", "stage"):
        original = getattr(store(world), name)

        async def spy(*args: Any, inner: Any = original) -> Any:
            seen.append(args)
            return await inner(*args)

        setattr(store(world), name, spy)
    export = await exporting(world).request(TENANT, REVIEWER, selected(text="Batch 2", feature="chat"))
    assert export.filtered_by == ("feature", "text")
    assert any(b"Batch 2" in args[3] for args in seen if args[2] == export.wish)
    everything = [*world.access_store.records[TENANT], *world.access_store.exported.values()]
    assert not any("batch 2" in repr(each).lower() for each in everything)
    assert [place for place in blobs(world) if place[1] == export.wish] == []


async def out_of_time(world: World, selection: Selection = ALL, *, after_batches: int = 2) -> ReviewExport:
    """Ask for an export whose request is over after some batches."""
    reads = 0
    inner = store(world).read_batch

    async def slow(name: str, batch_id: str, **limits: Any) -> bytes:
        nonlocal reads
        reads += 1
        if reads == after_batches:
            world.clock.move(timedelta(seconds=module.REQUEST_SECONDS))
        return await inner(name, batch_id, **limits)

    store(world).read_batch = slow  # type: ignore[method-assign]
    export = await exporting(world).request(TENANT, REVIEWER, selection)
    store(world).read_batch = inner  # type: ignore[method-assign]
    assert export.status == "running"
    return export


async def test_p9_what_a_request_does_not_finish_the_timer_does() -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world)
    progress = await exporting(world).progress(export)
    assert progress is not None and 0 < progress.captures < 90
    with pytest.raises(ExportNotReady):
        await content(world, export)
    await exporting(world).run()  # it is the request's for a minute yet
    assert (await exporting(world).read(TENANT, export.export_id)).status == "running"
    world.clock.move(timedelta(minutes=1))
    run = await exporting(world).run()
    assert (run.counts["exports"], run.errors) == (1, [])
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.captures) == ("ready", 90)
    assert len({(line["day"], line["batchId"]) for line in await content(world, export)}) == 90


async def test_p9_the_search_for_the_first_capture_goes_on_where_it_stopped() -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world, selected(text="day 3"), after_batches=40)
    assert (export.day, export.gone_through is not None) == (None, True)
    read: list[str] = []
    inner = store(world).read_batch

    async def spy(name: str, batch_id: str, **limits: Any) -> bytes:
        read.append(name)
        return await inner(name, batch_id, **limits)

    store(world).read_batch = spy  # type: ignore[method-assign]
    world.clock.move(timedelta(minutes=1))
    await exporting(world).run()
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.captures, export.day) == ("ready", 30, days_after(3))
    assert container(world, DAY) not in read


async def end_grant(world: World) -> None:
    [grant] = (await world.access.grants(TENANT, limit=9, before=None)).values
    await world.access.revoke(TENANT, grant.grant_id, APPROVER, any_grant=True)


async def let_expire(world: World) -> None:
    world.clock.move(9 * HOUR)


async def stop_review(world: World) -> None:
    await world.data_sharing.put(TENANT, opting_out(stop_review=True))


async def let_days_end(world: World) -> None:
    world.clock.set(deadlines.day_deadline(days_after(3), 30))
    await world.purge.run()


async def purge_all(world: World) -> None:
    event = await world.opt_out()
    await world.feed()
    await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    await world.purge.run()


ENDS = {
    "revoked": (end_grant, "grant-ended"),
    "expired": (let_expire, "grant-ended"),
    "review stopped": (stop_review, "review-stopped"),
    "days over": (let_days_end, "grant-ended"),
    "purged": (purge_all, "data-gone"),
}


@pytest.mark.parametrize("kind", ENDS)
async def test_p7_an_export_under_way_stops_when_it_may_not_go_on_and_nothing_is_left(kind: str) -> None:
    end, reason = ENDS[kind]
    world = await shared_world(each=30)
    export = await out_of_time(world)
    assert blobs(world)
    await end(world)
    world.clock.move(timedelta(minutes=1))
    await exporting(world).run()
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.reason, export.unfinished) == ("stopped", reason, True)
    assert blobs(world) == []
    last = world.access_store.records[TENANT][-1]
    assert (last.action, last.reason, last.export_id) == ("exportStopped", reason, export.export_id)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await exporting(world).run()
    assert not (await exporting(world).read(TENANT, export.export_id)).unfinished
    assert list(await world.access_store.unfinished_exports(limit=9)) == []


@pytest.mark.parametrize("kind", ["revoked", "review stopped"])
async def test_p7_an_export_stops_between_any_two_of_its_calls(kind: str) -> None:
    """Whenever the end comes while it is made, it is not readable after that, and nothing is left of it later."""
    end, reason = ENDS[kind]

    async def ended_at(call: int) -> bool:
        """Let the end come at one of the calls; return whether there was such a call."""
        world, taken = await shared_world(days=(0, 1), each=3), 0

        def spied(inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def spy(*args: Any, **how: Any) -> Any:
                nonlocal taken
                taken += 1
                if taken == call:
                    await end(world)
                return await inner(*args, **how)

            return spy

        for name in ("read_batch", "stage", "put_staged", "size_of", "staged", "read_range", "list_blobs"):
            setattr(store(world), name, spied(getattr(store(world), name)))
        export = await exporting(world).request(TENANT, REVIEWER, ALL)
        if taken >= call:
            assert (export.status, export.reason) == ("stopped", reason), f"call {call}"
            assert blobs(world) == []
            with pytest.raises(NotFound):
                await exporting(world).download(TENANT, REVIEWER, export.export_id, 0, None)
        return taken >= call

    calls = 1
    while await ended_at(calls):
        calls += 1
    assert calls > 10


@pytest.mark.parametrize("after", [False, True])
async def test_p9_killed_at_any_call_an_export_is_made_whole_or_is_gone(after: bool) -> None:
    outcomes = set()
    for crash_at in range(1, 200):
        world = await shared_world(days=(0, 1), each=3)
        steps = Steps(crash_at, after)
        inner = dict(world.stores)
        world.stores["europe"] = Crashing(inner["europe"], steps)  # type: ignore[assignment]
        access, world.access_store = world.access_store, Crashing(world.access_store, steps)
        crashed = False
        try:
            await exporting(world).request(TENANT, REVIEWER, ALL)
        except Crash:
            crashed = True
        world.stores["europe"], world.access_store = inner["europe"], access
        for _ in range(3):
            world.clock.move(timedelta(minutes=6))
            await exporting(world).run()
        for export in list(access.exported.values()):
            outcomes.add((export.status, export.reason))
            assert not export.unfinished
            if export.status == "ready":
                assert inputs(await content(world, export)) == sorted(
                    f"day {day} batch {n}" for day in (0, 1) for n in range(3)
                )
            else:
                assert export.reason == "interrupted"
                assert blobs(world) == []
        if not crashed:
            break
    else:
        pytest.fail("it never came to an end")
    assert ("ready", None) in outcomes


async def test_p9_two_runs_at_once_make_one_file_without_duplicates() -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world)
    world.clock.move(timedelta(minutes=1))
    await asyncio.gather(*(exporting(world).run() for _ in range(3)))
    export = await exporting(world).read(TENANT, export.export_id)
    assert export.status == "ready"
    assert len(await content(world, export)) == 90
    assert actions(world).count("exportReady") == 1


async def test_p12_pieces_that_overlap_make_a_file_without_duplicates() -> None:
    first, names = DAY, [f"{n:032x}" for n in range(1, 6)]

    def piece(start: str, end: str, captures: int = 1) -> Piece:
        return Piece(Place(first, start), Place(first, end), captures, first)

    pieces = [piece("", names[1]), piece("", names[0]), piece(names[1], names[3]), piece(names[0], names[2])]
    assert chain(pieces, first) == [pieces[0], pieces[2]]
    assert chain([piece(names[0], names[1])], first) == []
    # Nobody goes on from where the longest ends.
    pieces[2] = piece(names[2], names[4])
    assert chain(pieces, first) == [pieces[1], pieces[3], pieces[2]]


async def test_p12_a_longer_piece_that_nobody_goes_on_from_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await shared_world(days=(0,), each=7)
    export = await out_of_time(world)
    world.clock.move(timedelta(minutes=1))
    stage, made, quicker_was_there = MemoryCaptures.stage, asyncio.Event(), asyncio.Event()

    async def staged(self: MemoryCaptures, *arguments: Any) -> None:
        if asyncio.current_task() is slow:
            made.set()
            await quicker_was_there.wait()
            await stage(self, *arguments)
            raise Crash
        await stage(self, *arguments)
        quicker_was_there.set()
        await asyncio.wait([slow])

    monkeypatch.setattr(MemoryCaptures, "stage", staged)
    monkeypatch.setattr(module, "_PIECE_BATCHES", 3)
    slow = asyncio.create_task(exporting(world).carry_on(export, 60.0))
    await made.wait()
    monkeypatch.setattr(module, "_PIECE_BATCHES", 2)
    export = await exporting(world).carry_on(export, 60.0)
    assert isinstance(slow.exception(), Crash)
    assert (export.status, export.captures) == ("ready", 7)
    assert len(await content(world, export)) == 7


def test_p12_a_piece_is_what_its_name_says() -> None:
    for start, end in ((Place(DAY), Place(DAY, "f" * 32)), (Place(DAY, "0" * 32), Place(days_after(30), "a1" * 16))):
        piece = Piece(start, end, 123_456_789, days_after(17))
        name = piece.name(DAY)
        assert (len(name), name.isascii(), Piece.parse(name, DAY)) == (59, True, piece)
    good, nothing = (Piece(Place(DAY, "a" * 32), Place(DAY, end * 32), 1, DAY).name(DAY) for end in "ba")
    for wrong in ("", "x" * 59, good[:-1], nothing):  # whoever goes on behind a piece of nothing goes on for ever
        with pytest.raises(ValueError, match="no p"):
            Piece.parse(wrong, DAY)


async def test_p4_what_matches_on_older_days_only_later_does_not_get_into_a_file_that_outlives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world, selected(verdict="correct", lastDay=days_after(3)), after_batches=40)
    label = ReviewerLabels(reviewer="x", labels={0: Label(verdict="correct", at=START)}).model_dump_json().encode()

    def label_first(day: date) -> None:
        first = min(store(world).containers[container(world, day)])
        store(world)._put_beside(container(world, day), labels_blob(first, "x"), label)

    label_first(days_after(3))
    inner = store(world).stage

    async def once_placed(*args: Any) -> None:
        label_first(DAY)  # somebody labels what lies before, when the file has its place
        store(world).stage = inner  # type: ignore[method-assign]
        raise TryAgain("storage-503")

    store(world).stage = once_placed  # type: ignore[method-assign]
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    world.clock.move(timedelta(minutes=1))
    await exporting(world).run()
    await exporting(world).run()
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.day, export.captures) == ("ready", days_after(3), 1)
    assert [line["day"] for line in await content(world, export)] == [days_after(3).isoformat()]


async def test_p7_what_a_process_sends_that_was_suspended_is_not_stored() -> None:
    world = await shared_world()
    inner = store(world).put_staged

    async def suspended(*args: Any) -> None:
        world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))
        await inner(*args)

    store(world).put_staged = suspended  # type: ignore[method-assign]
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    assert export.status == "running"
    assert not any(name == export.file for _, name in store(world).beside)


async def test_an_export_is_deleted_and_what_a_killed_deletion_leaves_is_too() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)

    async def failing(*args: Any) -> None:
        raise StoreUnavailable("storage-503")

    inner, store(world).delete_beside = store(world).delete_beside, failing  # type: ignore[method-assign]
    await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    store(world).delete_beside = inner  # type: ignore[method-assign]
    assert blobs(world) != []
    with pytest.raises(NotFound):
        await content(world, export)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await exporting(world).run()
    assert blobs(world) == []
    assert actions(world)[-1] == "exportDeleted"
    await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    assert actions(world).count("exportDeleted") == 1


async def test_a_file_that_has_been_ready_for_long_is_deleted_when_its_export_is() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    while export.unfinished:
        world.clock.move(deadlines.SECOND_LOOK_DELAY)
        await exporting(world).run()
        export = await exporting(world).read(TENANT, export.export_id)
    assert [name for _, name in blobs(world)] == [export.file]
    await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    assert blobs(world) == []


async def test_p4_whoever_comes_late_with_another_place_for_the_file_leaves_it_where_it_is() -> None:
    world = await shared_world(days=(0, 1), each=2)
    export = await out_of_time(world, selected(verdict="correct"), after_batches=1)
    assert export.day is None
    said = ReviewerLabels(reviewer="x", labels={0: Label(verdict="correct", at=START)}).model_dump_json().encode()
    labelled = []
    for name in (container(world, DAY), container(world, days_after(1))):
        labelled.append((name, labels_blob(max(store(world).containers[name]), "x")))
        store(world)._put_beside(*labelled[-1], said)
    assert (await exporting(world).carry_on(export, 0.0)).day == DAY
    await store(world).delete_beside(*labelled[0])
    export = await exporting(world).carry_on(export, 60.0)  # as it was before its file had a place
    assert (export.status, export.day) == ("ready", DAY)


async def test_p7_a_download_is_on_the_record_before_storage_is_asked_and_not_without() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    asked: list[str] = []
    inner = store(world).read_range

    async def asking(*args: Any) -> bytes:
        asked.append(actions(world)[-1])
        return await inner(*args)

    store(world).read_range = asking  # type: ignore[method-assign]
    await content(world, export)
    assert asked == ["exportDownloaded"]

    async def failing(*args: Any, **how: Any) -> None:
        raise StoreUnavailable("cosmos-503")

    world.access_store.commit = failing  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await content(world, export)
    assert len(asked) == 1


@pytest.mark.parametrize("kind", ["revoked", "expired", "review stopped", "purged"])
async def test_p7_nothing_leaves_when_the_end_comes_while_storage_is_slow(kind: str) -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    inner = store(world).read_range

    async def slow(*args: Any) -> bytes:
        found = await inner(*args)
        await ENDS[kind][0](world)
        return found

    store(world).read_range = slow  # type: ignore[method-assign]
    with pytest.raises(Problem) as refusal:
        await content(world, export)
    assert isinstance(refusal.value, GrantRequired | NotFound)


async def test_a_file_is_downloaded_in_parts() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    size = export.bytes
    assert size is not None

    async def part(start: int, end: int | None) -> tuple[int, int]:
        found = await exporting(world).download(TENANT, REVIEWER, export.export_id, start, end)
        record = world.access_store.records[TENANT][-1]
        assert (record.first_byte, record.last_byte) == (found.start, found.start + len(found.content) - 1)
        return found.start, len(found.content)

    assert await part(0, 10) == (0, 10)
    assert await part(size - 1, None) == (size - 1, 1)
    assert await part(-5, None) == (size - 5, 5)
    assert await part(-size - 100, None) == (0, size)
    assert await part(3, size + 1000) == (3, size - 3)
    for start in (size, size + 7):
        with pytest.raises(RangeNotSatisfiable):
            await part(start, None)


async def test_a_part_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    assert PART_MAX_BYTES == 8 * 1024 * 1024
    monkeypatch.setattr(module, "PART_MAX_BYTES", 100)
    assert len((await exporting(world).download(TENANT, REVIEWER, export.export_id, 0, None)).content) == 100


async def test_p6_a_file_that_somebody_has_replaced_is_not_handed_out() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    store(world)._put_beside(container(world, DAY), export.file, b"something else")
    with pytest.raises(NotFound):
        await content(world, export)


async def test_a_reviewer_has_so_many_exports_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await shared_world()

    async def hanging(*args: Any, **how: Any) -> Any:
        raise StoreUnavailable("storage-timeout")

    inner, store(world).list_blobs = store(world).list_blobs, hanging  # type: ignore[method-assign]
    for _ in range(module.RUNNING_MAX):
        assert (await exporting(world).request(TENANT, REVIEWER, ALL)).status == "running"
    with pytest.raises(TooManyExports):
        await exporting(world).request(TENANT, REVIEWER, ALL)
    await granted(world, OTHER_REVIEWER)
    assert (await exporting(world).request(TENANT, OTHER_REVIEWER, ALL)).status == "running"
    store(world).list_blobs = inner  # type: ignore[method-assign]
    world.clock.move(timedelta(minutes=1))
    await exporting(world).run()
    found = await exporting(world).list(TENANT, limit=50, before=None)
    assert {export.status for export in found.values} == {"ready"}


async def test_p9_an_export_that_fails_keeps_no_other_from_being_made() -> None:
    world = await shared_world()

    async def hanging(*args: Any, **how: Any) -> Any:
        raise StoreUnavailable("storage-timeout")

    inner, store(world).list_blobs = store(world).list_blobs, hanging  # type: ignore[method-assign]
    bad = await exporting(world).request(TENANT, REVIEWER, ALL)
    good = await exporting(world).request(TENANT, REVIEWER, ALL)
    store(world).list_blobs = inner  # type: ignore[method-assign]
    original = store(world).read_beside

    async def failing(name: str, blob: str) -> Any:
        if blob == bad.wish:
            raise RuntimeError("an error of ours")
        return await original(name, blob)

    store(world).read_beside = failing  # type: ignore[method-assign]
    world.clock.move(timedelta(minutes=1))
    run = await exporting(world).run()
    assert run.errors == ["unexpected"]
    assert (await exporting(world).read(TENANT, good.export_id)).status == "ready"
    assert (await exporting(world).read(TENANT, bad.export_id)).status == "running"


async def test_p9_a_grant_that_cannot_be_read_in_time_fails_a_run_by_its_name() -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world)
    world.clock.move(timedelta(minutes=1))
    inner = world.access_store.read_grant

    async def slow(*args: Any) -> Any:
        world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))
        return await inner(*args)

    world.access_store.read_grant = slow  # type: ignore[method-assign]
    run = await exporting(world).run()
    assert run.errors == ["grant-not-read-in-time"]
    world.access_store.read_grant = inner  # type: ignore[method-assign]
    await exporting(world).run()
    assert (await exporting(world).read(TENANT, export.export_id)).status == "ready"


@pytest.mark.parametrize("method", ["list_blobs", "stage"])
async def test_p12_a_run_that_is_overtaken_by_a_deletion_writes_nothing_more(method: str) -> None:
    """The grant is as live as before, so it is the export itself that a write must look at."""
    world = await shared_world(each=30)
    export = await out_of_time(world)
    world.clock.move(timedelta(minutes=1))
    inner = getattr(store(world), method)
    written: list[str] = []

    def unwanted(name: str) -> None:
        async def write(*args: Any) -> None:
            written.append(name)

        setattr(store(world), name, write)

    async def overtaken(*args: Any, **how: Any) -> Any:
        setattr(store(world), method, inner)
        found = await inner(*args, **how)
        await exporting(world).delete(TENANT, REVIEWER, export.export_id)
        unwanted("stage")
        unwanted("put_staged")
        return found

    setattr(store(world), method, overtaken)
    await exporting(world).run()
    assert written == []
    assert (await exporting(world).read(TENANT, export.export_id)).status == "deleted"
    assert blobs(world) == []


async def test_p12_a_wish_whose_request_was_suspended_until_the_export_was_stopped_is_not_kept() -> None:
    world = await shared_world()
    inner, done = world.access_store.commit, list[str]()

    async def unwanted(*args: Any) -> None:
        done.append("written")

    async def suspended(*args: Any, **how: Any) -> None:
        await inner(*args, **how)
        world.access_store.commit = inner  # type: ignore[method-assign]
        world.clock.move(timedelta(minutes=10))
        await exporting(world).run()
        done.append(actions(world)[-1])
        store(world).write_beside = unwanted  # type: ignore[method-assign]

    world.access_store.commit = suspended  # type: ignore[method-assign]
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    assert (done, export.status, export.reason) == (["exportStopped"], "stopped", "interrupted")


async def test_p12_what_is_left_is_looked_for_again_minutes_after_an_end_was_stored_whenever_it_was_stamped() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    inner = world.access_store.commit

    async def suspended(*args: Any, **how: Any) -> None:
        world.clock.move(timedelta(minutes=10))
        await inner(*args, **how)

    world.access_store.commit = suspended  # type: ignore[method-assign]
    await exporting(world).delete(TENANT, REVIEWER, export.export_id)
    world.access_store.commit = inner  # type: ignore[method-assign]
    for minutes, unfinished in ((0, True), (4, True), (1, False)):
        world.clock.move(timedelta(minutes=minutes))
        await exporting(world).run()
        assert (await exporting(world).read(TENANT, export.export_id)).unfinished == unfinished


async def test_p7_no_download_goes_on_the_record_after_the_deletion_of_its_export() -> None:
    world = await shared_world()
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    inner = world.access_store.approved_grants

    async def killed(*args: Any) -> None:
        """Leave everything where it is."""

    async def deleted(*args: Any) -> Any:
        world.access_store.approved_grants = inner  # type: ignore[method-assign]
        store(world).delete_beside = killed  # type: ignore[method-assign]
        await exporting(world).delete(TENANT, REVIEWER, export.export_id)
        return await inner(*args)

    world.access_store.approved_grants = deleted  # type: ignore[method-assign]
    with pytest.raises(NotFound):
        await content(world, export)
    assert actions(world)[-1] == "exportDeleted"


@pytest.mark.parametrize("deleted", [False, True])
async def test_p9_an_export_in_an_account_that_one_instance_does_not_serve_is_left_to_others(deleted: bool) -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world)
    if deleted:
        stopped = {"status": "deleted", "finished_at": world.clock.now()}
        world.access_store.exported[TENANT, export.export_id] = export.model_copy(update=stopped)
    served = world.stores.pop("europe")
    for _ in range(2):
        world.clock.move(deadlines.SECOND_LOOK_DELAY)
        assert (await exporting(world).run()).errors == ["geo-not-served"]
    world.stores["europe"] = served
    assert blobs(world) != []
    await exporting(world).run()
    export = await exporting(world).read(TENANT, export.export_id)
    assert export.status == ("deleted" if deleted else "ready")
    assert [name for _, name in blobs(world)] == ([] if deleted else [export.file])


async def test_p9_an_export_in_an_account_that_nobody_serves_any_more_does_not_stay_unfinished() -> None:
    world = await shared_world(each=30)
    export = await out_of_time(world)
    world.stores.pop("europe")
    world.clock.set(deadlines.day_deadline(export.last_day, 30))
    for _ in range(2):
        world.clock.move(deadlines.SECOND_LOOK_DELAY)
        assert (await exporting(world).run()).errors == []
    export = await exporting(world).read(TENANT, export.export_id)
    assert (export.status, export.reason, export.unfinished) == ("stopped", "data-gone", False)


async def test_d12_each_run_begins_with_another_export() -> None:
    world = await shared_world()

    async def hanging(*args: Any, **how: Any) -> Any:
        world.clock.move(timedelta(seconds=201))
        raise StoreUnavailable("storage-timeout")

    inner, store(world).list_blobs = store(world).list_blobs, hanging  # type: ignore[method-assign]
    asked = [await exporting(world).request(TENANT, REVIEWER, ALL) for _ in range(3)]
    assert {each.status for each in asked} == {"running"}
    begun: list[str] = []
    original = store(world).read_beside

    async def spy(name: str, blob: str) -> Any:
        begun.append(blob)
        return await original(name, blob)

    store(world).read_beside = spy  # type: ignore[method-assign]
    for _ in range(9):
        world.clock.move(timedelta(minutes=1))
        await exporting(world).run()
    assert set(begun) == {each.wish for each in asked}
    store(world).list_blobs = inner  # type: ignore[method-assign]


async def test_an_export_whose_account_asks_to_wait_is_made_by_the_timer_and_is_no_failure() -> None:
    world = await shared_world()
    inner, refused = store(world).stage, list[float]()

    async def busy(*args: Any) -> None:
        refused.append(world.clock.monotonic())
        if len(refused) < 6:
            raise TryAgain("storage-ServerBusy", throttled=True, retry_after=4.0)
        await inner(*args)

    store(world).stage = busy  # type: ignore[method-assign]
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    assert (export.status, len(refused)) == ("running", 1), "a request does not wait"
    world.clock.move(timedelta(minutes=2))
    refused.clear()
    run = await exporting(world).run()
    assert (run.errors, run.counts) == ([], {"exports": 1, "throttled": 5})
    assert refused[1] - refused[0] == 4.0
    assert (await exporting(world).read(TENANT, export.export_id)).status == "ready"


async def test_d12_an_export_whose_account_refuses_it_all_the_time_is_left_to_the_next_run() -> None:
    world = await shared_world()
    inner = store(world).stage

    async def busy(*args: Any) -> None:
        raise TryAgain("storage-ServerBusy", throttled=True)

    store(world).stage = busy  # type: ignore[method-assign]
    export = await exporting(world).request(TENANT, REVIEWER, ALL)
    world.clock.move(timedelta(minutes=2))
    run = await exporting(world).run()
    assert (run.errors, run.more, run.cut_short) == ([], True, True)
    assert (await exporting(world).read(TENANT, export.export_id)).status == "running"
    store(world).stage = inner  # type: ignore[method-assign]
    await exporting(world).run()
    assert (await exporting(world).read(TENANT, export.export_id)).status == "ready"
