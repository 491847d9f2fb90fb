"""P12 and P7: what reviewers say of captures lies beside them, goes with them, and is said only under a live grant."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.items import format_instant
from shared.model.labels import Label, ReviewerLabels, Said, Vocabulary, labels_blob
from shared.ports import Conflict, StoreUnavailable, TryAgain
from shared.problems import GrantRequired, LabelChanged, NotFound, Problem, TooManyLabels, Unavailable, UnknownVerdict
from shared.review import labelling as module
from shared.review import scanning
from shared.review.labelling import ALWAYS, Condition, Labelling
from shared.review.record import GrantRequest
from shared.stores.memory import MemoryCaptures
from tests.changes import opting_out
from tests.clocks import START
from tests.world import OTHER_TENANT, TENANT, Crash, Crashing, Steps, World, capture, submission

REVIEWER, OTHER_REVIEWER, APPROVER = "reviewer", "other-reviewer", "approver"
DAY = START.date()
HOUR = timedelta(hours=1)
CORRECT, INCORRECT = Said(verdict="correct"), Said(verdict="incorrect", score=0.25, tags=("a", "b"), comment="No.")


async def granted(world: World, reviewer: str = REVIEWER, minutes: int = 480) -> str:
    asked = GrantRequest("improve", "To see why formulas are refused so often.", minutes)
    grant = await world.access.request(TENANT, reviewer, asked)
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    return grant.grant_id


async def shared_world(captures: int = 3) -> tuple[World, str]:
    """Return a world with one batch that a reviewer may read, and the batch's id."""
    world = World()
    await world.opt_in()
    now = world.clock.now()
    batch = submission(*(capture(now, f"text {n}") for n in range(captures)))
    stored = await world.captures.submit(TENANT, batch)
    await granted(world)
    return world, stored.batch_id


def labelling(world: World) -> Labelling:
    """Return what another process does with labels."""
    return world.services().labelling


async def put(world: World, batch: str, line: int, said: Said, condition: Condition = ALWAYS, **how: Any) -> Label:
    return await labelling(world).put(
        TENANT, how.get("reviewer", REVIEWER), how.get("day", DAY), batch, line, said, condition
    )


async def withdraw(world: World, batch: str, line: int, condition: Condition = ALWAYS, **how: Any) -> None:
    await labelling(world).withdraw(TENANT, how.get("reviewer", REVIEWER), how.get("day", DAY), batch, line, condition)


async def labels(world: World, batch: str, reviewer: str = REVIEWER) -> dict[tuple[str, int], Label]:
    found = await labelling(world).of_batch(TENANT, reviewer, DAY, batch)
    return {(each.reviewer, line): label for each in found for line, label in each.labels.items()}


def store(world: World) -> MemoryCaptures:
    return world.stores["europe"]


def container(world: World, day: date = DAY) -> str:
    return DayContainer(world.ledger.events[TENANT][0].enrollment_id, day).name


def stored(world: World) -> dict[str, dict[str, Any]]:
    """Return what each blob of labels says."""
    return {name: json.loads(kept.value) for (_, name), kept in store(world).beside.items() if "-labels-" in name}


def actions(world: World) -> list[str]:
    return [record.action for record in world.access_store.records[TENANT]]


async def test_p12_a_label_is_given_changed_and_withdrawn_and_each_is_on_the_record() -> None:
    world, batch = await shared_world()
    first = await put(world, batch, 0, INCORRECT)
    assert (first.verdict, first.score, first.tags, first.comment) == ("incorrect", 0.25, ("a", "b"), "No.")
    await put(world, batch, 2, CORRECT)
    assert await labels(world, batch) == {(REVIEWER, 0): first, (REVIEWER, 2): Label(**dict(CORRECT), at=first.at)}
    [kept] = stored(world).values()
    assert kept["labels"]["2"] == {"verdict": "correct", "tags": [], "at": format_instant(first.at)}
    world.clock.move(HOUR)
    changed = await put(world, batch, 0, CORRECT)
    assert changed.at == first.at + HOUR and changed.version != first.version
    await withdraw(world, batch, 2)
    assert await labels(world, batch) == {(REVIEWER, 0): changed}
    await withdraw(world, batch, 2)
    assert await labels(world, batch) == {(REVIEWER, 0): changed}
    told = [(each.action, each.day, each.batch_id, each.line) for each in world.access_store.records[TENANT][2:]]
    day = DAY.isoformat()
    assert told == [
        ("labelled", day, batch, 0),
        ("labelled", day, batch, 2),
        ("labelsRead", day, batch, None),
        ("labelled", day, batch, 0),
        ("labelWithdrawn", day, batch, 2),
        ("labelsRead", day, batch, None),
        ("labelWithdrawn", day, batch, 2),
        ("labelsRead", day, batch, None),
    ]


async def test_p12_each_reviewer_has_a_label_of_their_own_and_all_see_all() -> None:
    world, batch = await shared_world()
    await granted(world, OTHER_REVIEWER)
    mine = await put(world, batch, 1, CORRECT)
    others = await put(world, batch, 1, INCORRECT, reviewer=OTHER_REVIEWER)
    both = {(OTHER_REVIEWER, 1): others, (REVIEWER, 1): mine}
    assert await labels(world, batch) == await labels(world, batch, OTHER_REVIEWER) == both
    await withdraw(world, batch, 1, reviewer=OTHER_REVIEWER)
    assert await labels(world, batch) == {(REVIEWER, 1): mine}


async def test_p8_nothing_of_a_label_is_anywhere_but_in_its_blob() -> None:
    world, batch = await shared_world()
    said = Said(verdict="unclear", score=0.123, tags=("tag-of-mine",), comment="Herr Schneider, Rechnung 4711")
    await put(world, batch, 1, said)
    await granted(world, OTHER_REVIEWER)
    await put(world, batch, 1, said, reviewer=OTHER_REVIEWER)
    await labels(world, batch)
    await labelling(world).agreement(TENANT, REVIEWER, None, None)
    await withdraw(world, batch, 1)
    mine, others = labels_blob(batch, REVIEWER), labels_blob(batch, OTHER_REVIEWER)
    assert set(stored(world)) == {mine, others}
    assert stored(world)[mine] == {"reviewer": REVIEWER, "labels": {}}, "nor there, once it is withdrawn"
    items = [
        world.access_store.records,
        world.access_store.granted,
        world.ledger.events,
        world.ledger.settings,
        world.deletion_items.items,
        world.operations.heartbeats,
    ]
    for secret in ("Schneider", "tag-of-mine", "unclear", "0.123"):
        assert secret not in repr(items)
        assert not any(secret in name for _, name in store(world).beside)
        assert secret in json.dumps(stored(world)[others])


async def test_p12_there_is_no_label_for_what_is_not_there() -> None:
    world, batch = await shared_world()
    for place in ((batch, 3, DAY), ("0" * 32, 0, DAY), (batch, 0, DAY - timedelta(days=1))):
        with pytest.raises(NotFound):
            await put(world, place[0], place[1], CORRECT, day=place[2])
        with pytest.raises(NotFound):
            await withdraw(world, place[0], place[1], day=place[2])
    with pytest.raises(NotFound):
        await labels(world, "0" * 32)
    with pytest.raises(NotFound):
        await labels(world, "f" * 32)
    assert stored(world) == {}
    assert list(world.containers()) == [container(world)]


@pytest.mark.parametrize("damaged", [b"garbage", b"\x1f\x8b\x08\x00"], ids=["no gzip", "a header alone"])
async def test_a_damaged_batch_has_no_captures_to_label_and_its_labels_can_be_withdrawn(damaged: bytes) -> None:
    world, batch = await shared_world()
    await put(world, batch, 0, CORRECT)
    [batches] = world.containers().values()
    batches[batch] = (damaged, batches[batch][1])
    with pytest.raises((StoreUnavailable, NotFound)):
        await put(world, batch, 1, CORRECT)
    await withdraw(world, batch, 0)
    assert await labels(world, batch) == {}


async def test_only_the_words_of_the_tenants_vocabulary_are_verdicts() -> None:
    world, batch = await shared_world()
    rule = Labelling(labelling(world).record, Vocabulary(("good", "bad"), {OTHER_TENANT: ("yes",)}))
    assert (rule.verdicts(TENANT), rule.verdicts(OTHER_TENANT)) == (("good", "bad"), ("yes",))
    before = actions(world)
    with pytest.raises(UnknownVerdict) as refused:
        await rule.put(TENANT, REVIEWER, DAY, batch, 0, CORRECT)
    assert "good, bad" in refused.value.detail and "correct" not in refused.value.detail
    assert (actions(world), stored(world)) == (before, {})
    await rule.put(TENANT, REVIEWER, DAY, batch, 0, Said(verdict="bad"))
    await rule.put(TENANT, REVIEWER, DAY, batch, 1, Said(score=1))


async def test_a_condition_is_held_to_the_label_that_is_there() -> None:
    world, batch = await shared_world()
    must_be, must_not_be, any_one = Condition(present=True), Condition(present=False), ALWAYS
    with pytest.raises(LabelChanged):
        await put(world, batch, 0, CORRECT, must_be)
    with pytest.raises(LabelChanged):
        await withdraw(world, batch, 0, must_be)
    first = await put(world, batch, 0, CORRECT, must_not_be)
    with pytest.raises(LabelChanged):
        await put(world, batch, 0, INCORRECT, must_not_be)
    second = await put(world, batch, 0, INCORRECT, Condition(frozenset({first.version, "x"})))
    for stale in (
        Condition(frozenset({first.version})),
        Condition(frozenset()),
        Condition(others=frozenset({second.version})),
    ):
        with pytest.raises(LabelChanged):
            await put(world, batch, 0, CORRECT, stale)
        with pytest.raises(LabelChanged):
            await withdraw(world, batch, 0, stale)
    assert await labels(world, batch) == {(REVIEWER, 0): second}
    await put(world, batch, 1, CORRECT, Condition(others=frozenset({second.version})))
    await withdraw(world, batch, 1, any_one)
    await withdraw(world, batch, 0, Condition(frozenset({second.version})))
    assert await labels(world, batch) == {}


# Two at once, crashes, lost answers


def between(world: World, name: str, then: Callable[[], Awaitable[Any]], *, after: bool = False) -> None:
    """Let something happen before the next call of storage's of that name is carried out, or after it."""
    inner = getattr(store(world), name)

    async def call(*args: Any, **how: Any) -> Any:
        setattr(store(world), name, inner)
        if not after:
            await then()
        answer = await inner(*args, **how)
        if after:
            await then()
        return answer

    setattr(store(world), name, call)


async def test_p9_two_pages_of_one_reviewer_at_a_time_lose_nothing() -> None:
    world, batch = await shared_world(captures=12)

    inner = store(world).read_beside

    async def slowly(*args: Any) -> Any:
        found = await inner(*args)
        await asyncio.sleep(0)  # whoever else reads now has read the same
        return found

    store(world).read_beside = slowly  # type: ignore[method-assign]
    await asyncio.gather(*(put(world, batch, line, CORRECT) for line in range(6)))
    assert sorted(await labels(world, batch)) == [(REVIEWER, line) for line in range(6)]
    calls = [withdraw(world, batch, line) for line in range(3)] + [put(world, batch, n, INCORRECT) for n in (3, 6, 7)]
    await asyncio.gather(*calls)
    verdicts = {line: label.verdict for (_, line), label in (await labels(world, batch)).items()}
    assert verdicts == {3: "incorrect", 4: "correct", 5: "correct", 6: "incorrect", 7: "incorrect"}


async def test_p9_a_change_that_comes_between_is_kept_and_a_condition_is_asked_again() -> None:
    world, batch = await shared_world()
    first = await put(world, batch, 0, CORRECT)
    between(world, "write_beside", lambda: put(world, batch, 1, INCORRECT))
    await put(world, batch, 0, INCORRECT)
    assert len(await labels(world, batch)) == 2
    only_now = Condition(frozenset({(await labels(world, batch))[REVIEWER, 0].version}))
    between(world, "write_beside", lambda: put(world, batch, 0, CORRECT))
    world.clock.move(HOUR)
    with pytest.raises(LabelChanged):
        await put(world, batch, 0, Said(verdict="harmful"), only_now)
    assert (await labels(world, batch))[REVIEWER, 0].verdict == "correct"
    between(world, "write_beside", lambda: withdraw(world, batch, 0))
    await withdraw(world, batch, 0, Condition(frozenset({(await labels(world, batch))[REVIEWER, 0].version})))
    assert sorted(await labels(world, batch)) == [(REVIEWER, 1)]
    assert first.version not in repr(stored(world))


@pytest.mark.parametrize("told", [TryAgain("storage-timeout"), Conflict()], ids=["no answer", "sent twice"])
async def test_p9_a_label_whose_answer_was_lost_is_known_again_and_written_once(told: Exception) -> None:
    world, batch = await shared_world()

    async def lose() -> None:
        raise told

    between(world, "write_beside", lose, after=True)
    first = await put(world, batch, 0, CORRECT, Condition(present=False))
    assert await labels(world, batch) == {(REVIEWER, 0): first}
    between(world, "write_beside", lose, after=True)
    second = await put(world, batch, 0, INCORRECT, Condition(frozenset({first.version})))
    etags = {kept.etag for kept in store(world).beside.values()}
    assert await labels(world, batch) == {(REVIEWER, 0): second}
    between(world, "write_beside", lose, after=True)
    await withdraw(world, batch, 0, Condition(frozenset({second.version})))
    assert await labels(world, batch) == {}
    assert len(etags | {kept.etag for kept in store(world).beside.values()}) == 2, "each was written once"


@pytest.mark.parametrize("after", [False, True])
async def test_p9_killed_at_any_call_a_label_is_stored_whole_or_not_and_can_be_said_again(after: bool) -> None:
    seen = set()
    for crash_at in range(1, 60):
        world, batch = await shared_world()
        await put(world, batch, 1, CORRECT)
        steps, inner, access = Steps(crash_at, after), dict(world.stores), world.access_store
        world.stores["europe"] = Crashing(inner["europe"], steps)
        world.access_store = Crashing(access, steps)
        crashed = False
        try:
            await put(world, batch, 0, INCORRECT)
        except Crash:
            crashed = True
        world.stores["europe"], world.access_store = inner["europe"], access
        found = await labels(world, batch)
        assert found[REVIEWER, 1].verdict == "correct"
        assert set(found) <= {(REVIEWER, 0), (REVIEWER, 1)}
        told = [each for each in access.records[TENANT] if (each.action, each.line) == ("labelled", 0)]
        assert told or (REVIEWER, 0) not in found, "what is stored is on the record"
        seen.add((REVIEWER, 0) in found)
        await put(world, batch, 0, INCORRECT)
        assert len(await labels(world, batch)) == 2
        if not crashed:
            break
    else:
        pytest.fail("it never ends")
    assert seen == {True, False}


async def test_p9_a_label_still_on_its_way_does_not_come_after_it_was_withdrawn() -> None:
    for first in (False, True):
        world, batch = await shared_world()
        if first:
            await put(world, batch, 1, CORRECT)
        late: list[Any] = []

        async def hold(*args: Any, late: list[Any] = late) -> None:
            late.append(args)
            raise StoreUnavailable("storage-timeout")

        inner, store(world).write_beside = store(world).write_beside, hold  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await put(world, batch, 0, CORRECT)
        store(world).write_beside = inner  # type: ignore[method-assign]
        await withdraw(world, batch, 0)
        with pytest.raises(Conflict):
            store(world).receive_beside(*late[0])
        assert (REVIEWER, 0) not in await labels(world, batch)


@pytest.mark.parametrize("error", [Conflict(), TryAgain("storage-503"), StoreUnavailable("storage-403")])
async def test_what_storage_does_not_take_is_given_up_after_a_while(error: Exception) -> None:
    world, batch = await shared_world()
    tries = 0

    async def never(*args: Any) -> None:
        nonlocal tries
        tries += 1
        raise error

    store(world).write_beside = never  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        await put(world, batch, 0, CORRECT)
    assert tries == {Conflict: 12, TryAgain: 4, StoreUnavailable: 1}[type(error)]


async def test_what_storage_asks_to_wait_for_is_not_tried_again_by_the_request() -> None:
    world, batch = await shared_world()
    tries = 0

    async def busy(*args: Any) -> None:
        nonlocal tries
        tries += 1
        raise TryAgain("storage-ServerBusy", throttled=True, retry_after=9.0)

    store(world).write_beside = busy  # type: ignore[method-assign]
    with pytest.raises(TryAgain) as refused:
        await put(world, batch, 0, CORRECT)
    assert (tries, refused.value.retry_after) == (1, 9.0)


# Who has no live grant any more


async def end_grant(world: World) -> None:
    [grant, *_] = (await world.access.grants(TENANT, limit=9, before=None)).values
    await world.access.revoke(TENANT, grant.grant_id, APPROVER, any_grant=True)


async def let_expire(world: World) -> None:
    world.clock.move(9 * HOUR)


async def stop_review(world: World) -> None:
    await world.data_sharing.put(TENANT, opting_out(stop_review=True))


async def let_day_end(world: World) -> None:
    granted = world.access_store.granted  # one that outlives the day, so that it is the day that is looked at
    ends = {"expires_at": START + timedelta(days=40)}
    granted.update({key: grant.model_copy(update=ends) for key, grant in granted.items()})
    world.clock.set(deadlines.day_deadline(DAY, 30))


ENDS: dict[str, tuple[Callable[[World], Awaitable[None]], type[Problem]]] = {
    "revoked": (end_grant, GrantRequired),
    "expired": (let_expire, GrantRequired),
    "review stopped": (stop_review, NotFound),
    "day over": (let_day_end, NotFound),
}


@pytest.mark.parametrize("kind", ENDS)
async def test_p7_nothing_is_written_or_read_from_the_end_on(kind: str) -> None:
    end, refusal = ENDS[kind]
    world, batch = await shared_world()
    await put(world, batch, 0, CORRECT)
    before = stored(world)
    await end(world)
    told = actions(world)
    for name in ("read_beside", "write_beside", "list_blobs", "read_batch"):
        setattr(store(world), name, None)  # storage is not even asked
    for call in (
        put(world, batch, 0, INCORRECT),
        put(world, batch, 1, INCORRECT),
        withdraw(world, batch, 0),
        labels(world, batch),
        labelling(world).agreement(TENANT, REVIEWER, None, DAY),
    ):
        with pytest.raises(refusal):
            await call
    assert (stored(world), actions(world)) == (before, told)


@pytest.mark.parametrize("kind", ENDS)
async def test_p7_nothing_is_written_once_the_end_has_come_between_any_two_calls(kind: str) -> None:
    end, refusal = ENDS[kind]
    for name in ("read_batch", "read_beside"):
        for after in (False, True):
            world, batch = await shared_world()
            await put(world, batch, 0, CORRECT)
            before = stored(world)
            for change in (put(world, batch, 0, INCORRECT), withdraw(world, batch, 0)):
                between(world, name, partial(end, world), after=after)
                with pytest.raises(refusal):
                    await change
                assert stored(world) == before


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("asked", ["of_batch", "agreement"])
async def test_p7_nothing_that_storage_gave_leaves_once_the_end_has_come(kind: str, asked: str) -> None:
    end, refusal = ENDS[kind]
    for name in ("list_blobs", "read_beside"):
        for after in (False, True):
            world, batch = await shared_world()
            await put(world, batch, 0, CORRECT)
            between(world, name, partial(end, world), after=after)
            rule = labelling(world)
            with pytest.raises(refusal):
                if asked == "of_batch":
                    await rule.of_batch(TENANT, REVIEWER, DAY, batch)
                else:
                    await rule.agreement(TENANT, REVIEWER, None, None)


@pytest.mark.parametrize("kind", ENDS)
async def test_p7_a_process_that_was_suspended_between_look_and_write_writes_nothing(kind: str) -> None:
    end, refusal = ENDS[kind]
    world, batch = await shared_world()
    await put(world, batch, 0, CORRECT)
    before = stored(world)

    async def sleep_and_end() -> None:
        await end(world)
        world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))  # longer than a look is believed

    for change in (put(world, batch, 0, INCORRECT), withdraw(world, batch, 0)):
        between(world, "write_beside", sleep_and_end)
        with pytest.raises(refusal):
            await change
        assert stored(world) == before


async def test_d11_what_arrives_a_minute_after_the_look_is_refused_by_storage() -> None:
    world, batch = await shared_world()
    sent: list[Any] = []

    async def hold(*args: Any) -> None:
        sent.append(args)
        raise StoreUnavailable("storage-timeout")

    store(world).write_beside = hold  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await put(world, batch, 0, CORRECT)
    world.clock.move(timedelta(seconds=deadlines.SIGNATURE_SECONDS))
    with pytest.raises(TryAgain):
        store(world).receive_beside(*sent[0])
    assert stored(world) == {}


async def test_a_look_that_is_too_old_again_and_again_is_given_up() -> None:
    world, batch = await shared_world()
    tries = 0
    inner = store(world).write_beside

    async def late(*args: Any) -> None:
        nonlocal tries
        tries += 1
        world.clock.move(timedelta(seconds=deadlines.LOOK_SECONDS))
        await inner(*args)

    store(world).write_beside = late  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await put(world, batch, 0, CORRECT)
    assert (tries, stored(world)) == (4, {})


async def test_p7_there_is_no_label_under_anothers_grant_or_for_another_enrollment() -> None:
    world, batch = await shared_world()
    for call in (put(world, batch, 0, CORRECT, reviewer=OTHER_REVIEWER), labels(world, batch, OTHER_REVIEWER)):
        with pytest.raises(GrantRequired):
            await call
    await world.opt_out()
    await world.opt_in()
    world.clock.move(9 * HOUR)
    await granted(world)
    with pytest.raises(NotFound):
        await put(world, batch, 0, CORRECT)
    assert stored(world) == {}


@pytest.mark.parametrize("error", [StoreUnavailable("cosmos-503"), Conflict()])
async def test_p7_what_cannot_be_recorded_is_neither_written_nor_read(error: Exception) -> None:
    world, batch = await shared_world()

    async def fail(*args: Any, **how: Any) -> None:
        raise error

    world.access_store.commit = fail
    for name in ("read_beside", "write_beside", "list_blobs", "read_batch"):
        setattr(store(world), name, None)
    for call in (put(world, batch, 0, CORRECT), withdraw(world, batch, 0), labels(world, batch)):
        with pytest.raises(type(error)):
            await call


# Where labels end


async def test_p12_labels_go_with_the_day_by_retention_and_not_before() -> None:
    world, batch = await shared_world()
    await put(world, batch, 0, CORRECT)
    end = deadlines.day_deadline(DAY, 30)
    await world.run_purges(end - deadlines.RETENTION_LEAD - HOUR)
    await granted(world)
    assert len(await labels(world, batch)) == 1
    await world.run_purges(end - deadlines.RETENTION_LEAD + HOUR)
    assert store(world).beside == {}
    with pytest.raises(NotFound):
        await labels(world, batch)
    with pytest.raises(NotFound):
        await put(world, batch, 0, CORRECT)
    assert store(world).beside == {}


async def test_p12_after_an_expedited_opt_out_no_label_is_left_and_the_receipt_is_signed() -> None:
    world, batch = await shared_world()
    await put(world, batch, 0, CORRECT)
    event = await world.opt_out()
    await put(world, batch, 1, CORRECT)
    await world.feed()
    await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    await world.purge.run()
    assert store(world).beside == {}
    with pytest.raises(NotFound):
        await put(world, batch, 0, CORRECT)
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()
    [deletion] = (await world.deletions.list(TENANT, limit=5, before=None)).values
    assert (deletion.status, store(world).beside) == ("verified", {})


async def test_p12_a_container_that_goes_while_a_label_is_written_is_not_made_again() -> None:
    for gone in ("deleted", "being deleted"):
        for name in ("read_beside", "write_beside"):
            world, batch = await shared_world()

            async def drop(world: World = world, gone: str = gone) -> None:
                if gone == "deleted":
                    await store(world).delete_container(container(world))
                else:
                    store(world).being_deleted.add(container(world))

            between(world, name, drop)
            with pytest.raises(NotFound):
                await put(world, batch, 0, CORRECT)
            assert store(world).beside == {}
            assert gone == "being deleted" or container(world) not in store(world).containers


# What somebody put there by hand


async def test_blobs_that_nobody_understands_or_under_anothers_name_are_no_labels() -> None:
    world, batch = await shared_world()
    mine = await put(world, batch, 0, CORRECT)
    forged = ReviewerLabels(reviewer="somebody", labels={0: Label(verdict="harmful", at=START)}).model_dump_json()
    for name, content in {
        labels_blob(batch, "nobody"): forged.encode(),
        labels_blob(batch, "garbage"): b"\xff garbage",
        labels_blob(batch, "other json"): b"[1]",
        labels_blob(batch, "deep"): b"[" * 100_000,
        labels_blob("0" * 32, "somebody"): forged.encode(),
        f"{batch}-labels-x": forged.encode(),
        f"{batch}x": forged.encode(),
    }.items():
        store(world)._put_beside(container(world), name, content)
    assert await labels(world, batch) == {(REVIEWER, 0): mine}
    assert (await labelling(world).agreement(TENANT, REVIEWER, None, None)).labels == 1
    with pytest.raises(NotFound):
        await labels(world, "0" * 32)


@pytest.mark.parametrize("content", [b"\xff garbage", b"{}", b'{"reviewer": "other-reviewer", "labels": {}}'])
async def test_ones_own_blob_that_nobody_understands_is_replaced(content: bytes) -> None:
    world, batch = await shared_world()
    blob = labels_blob(batch, REVIEWER)
    store(world)._put_beside(container(world), blob, content)
    await withdraw(world, batch, 0)
    assert stored(world) == {blob: {"reviewer": REVIEWER, "labels": {}}}
    store(world)._put_beside(container(world), blob, content)
    label = await put(world, batch, 0, CORRECT)
    assert await labels(world, batch) == {(REVIEWER, 0): label}


async def test_p12_a_blob_that_nobody_understands_is_not_taken_for_a_withdrawal_whose_answer_was_lost() -> None:
    world, batch = await shared_world()
    blob = labels_blob(batch, REVIEWER)

    async def garble() -> None:
        store(world)._put_beside(container(world), blob, b"garbage")

    between(world, "write_beside", garble)  # so that the first try is refused, and perhaps was stored
    await withdraw(world, batch, 0)
    assert stored(world) == {blob: {"reviewer": REVIEWER, "labels": {}}}


# Agreement


async def test_p12_how_far_reviewers_agree_is_told_of_the_days_that_were_asked_for() -> None:
    world, first = await shared_world()
    await granted(world, OTHER_REVIEWER)
    world.clock.move(timedelta(hours=1))
    for line, (one, other) in enumerate([("correct", "correct"), ("correct", "incorrect"), ("incorrect", "incorrect")]):
        await put(world, first, line, Said(verdict=one))
        await put(world, first, line, Said(verdict=other), reviewer=OTHER_REVIEWER)
    world.clock.move(timedelta(days=1))
    second = (await world.post("later", key="later")).batch_id
    for reviewer in (REVIEWER, OTHER_REVIEWER):
        await granted(world, reviewer)
        await put(world, second, 0, Said(verdict="harmful"), reviewer=reviewer, day=DAY + timedelta(days=1))
    rule = labelling(world)
    for days, captures, labels_found in (
        ((None, None), 4, 8),
        ((None, DAY), 3, 6),
        ((DAY + timedelta(days=1), None), 1, 2),
    ):
        compared = await rule.agreement(TENANT, REVIEWER, *days)
        [pair] = compared.pairs
        assert (pair.reviewers, pair.captures, compared.labels) == ((OTHER_REVIEWER, REVIEWER), captures, labels_found)
        told = world.access_store.records[TENANT][-1]
        assert (told.action, told.first_day, told.last_day) == (
            "labelsRead",
            (days[0] or DAY).isoformat(),
            (days[1] or DAY + timedelta(days=1)).isoformat(),
        )
    pair = (await rule.agreement(TENANT, REVIEWER, None, DAY)).pairs[0]
    assert pair.observed == pytest.approx(2 / 3) and pair.kappa == pytest.approx(0.4)
    records = len(world.access_store.records[TENANT])
    with pytest.raises(NotFound):
        await rule.agreement(TENANT, REVIEWER, None, DAY - timedelta(days=1))
    assert len(world.access_store.records[TENANT]) == records


@pytest.mark.parametrize("slow", ["list_blobs", "read_beside"])
async def test_p7_a_day_that_ends_while_labels_are_compared_keeps_back_nothing_of_the_others(slow: str) -> None:
    world, first = await shared_world()
    await granted(world, OTHER_REVIEWER)
    for reviewer in (REVIEWER, OTHER_REVIEWER):
        await put(world, first, 0, CORRECT, reviewer=reviewer)
    world.clock.move(timedelta(days=1))
    second = (await world.post("later", key="later")).batch_id
    for reviewer, said in ((REVIEWER, CORRECT), (OTHER_REVIEWER, INCORRECT)):
        await granted(world, reviewer)
        await put(world, second, 0, said, reviewer=reviewer, day=DAY + timedelta(days=1))

    async def let_it_end(day: date) -> None:
        world.clock.set(deadlines.day_deadline(day, 30))

    async def compared_while_it_ends(day: date) -> module.Compared:
        world.clock.set(deadlines.day_deadline(day, 30) - timedelta(seconds=1))
        await granted(world)
        between(world, slow, partial(let_it_end, day), after=True)
        return await labelling(world).agreement(TENANT, REVIEWER, None, None)

    compared = await compared_while_it_ends(DAY)
    assert (compared.labels, [(pair.captures, pair.observed) for pair in compared.pairs]) == (2, [(1, 0.0)])
    # Where nobody has labelled anything a day may come and go.
    await store(world).delete_container(container(world, DAY + timedelta(days=1)))
    listed = list[str]()
    inner = store(world).list_blobs

    async def spy(name: str, **limits: Any) -> Any:
        listed.append(name)
        return await inner(name, **limits)

    store(world).list_blobs = spy  # type: ignore[method-assign]
    await let_it_end(DAY)
    assert (await labelling(world).agreement(TENANT, REVIEWER, None, None)).labels == 0
    assert len(listed) == len(set(listed))


async def test_p7_if_none_of_what_was_compared_may_be_read_any_more_that_is_refused() -> None:
    world, batch = await shared_world()
    await put(world, batch, 0, CORRECT)
    goes = deadlines.day_deadline(DAY, 30)
    world.clock.set(goes - timedelta(seconds=1))
    await granted(world)

    async def end() -> None:
        world.clock.set(goes)

    between(world, "read_beside", end, after=True)
    with pytest.raises(NotFound, match="gone"):
        await labelling(world).agreement(TENANT, REVIEWER, None, DAY)


async def test_p12_so_much_is_compared_in_one_request_and_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world, batch = await shared_world()
    batches = [batch, *[(await world.post(key=f"more-{key}")).batch_id for key in range(4)]]
    for reviewer in (REVIEWER, OTHER_REVIEWER):
        await granted(world, reviewer)
        for each in batches[1:3]:
            await put(world, each, 0, CORRECT, reviewer=reviewer)
    for name, there in (("COMPARED_MAX", 4), ("BATCHES_MAX", 5)):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, there)
            assert (await labelling(world).agreement(TENANT, REVIEWER, None, None)).labels == 4
            patched.setattr(module, name, there - 1)
            with pytest.raises(TooManyLabels) as refused:
                await labelling(world).agreement(TENANT, REVIEWER, None, None)
            assert f" {there - 1} " in refused.value.detail and "fewer days" in refused.value.detail


async def test_labels_are_found_however_many_names_a_page_of_the_listing_has(monkeypatch: pytest.MonkeyPatch) -> None:
    world, batch = await shared_world()
    batches = [batch, *[(await world.post(key=f"more-{key}")).batch_id for key in range(5)]]
    for reviewer in (REVIEWER, OTHER_REVIEWER):
        await granted(world, reviewer)
        for each in batches:
            await put(world, each, 0, CORRECT, reviewer=reviewer)
    for size in (1, 2, 3, 500):
        monkeypatch.setattr(scanning, "_NAMES", (size, size))
        for each in batches:
            assert len(await labels(world, each)) == 2
        compared = await labelling(world).agreement(TENANT, REVIEWER, None, None)
        assert (compared.labels, compared.pairs[0].captures) == (12, 6)


async def test_what_a_grant_was_used_for_is_counted_by_action() -> None:
    world, batch = await shared_world()
    [grant] = (await world.access.grants(TENANT, limit=9, before=None)).values
    assert await world.access.uses(TENANT, grant.grant_id) == {}
    for line in range(3):
        await put(world, batch, line, CORRECT)
    await labels(world, batch)
    await world.access.read(TENANT, REVIEWER, DAY, batch)
    assert await world.access.uses(TENANT, grant.grant_id) == {"labelled": 3, "labelsRead": 1, "read": 1}
    await end_grant(world)
    await granted(world)
    await labels(world, batch)
    assert await world.access.uses(TENANT, grant.grant_id) == {"labelled": 3, "labelsRead": 1, "read": 1}
    for tenant, other in ((TENANT, "0" * 32), (OTHER_TENANT, grant.grant_id)):
        with pytest.raises(NotFound):
            await world.access.uses(tenant, other)
