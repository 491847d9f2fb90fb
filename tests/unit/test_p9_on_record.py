"""What a sweep has found stays on record: whenever a write lands, whoever else runs, and wherever it is killed (P9)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared import standing
from shared.accounts import Account
from shared.model.findings import Trespass
from shared.model.heartbeats import Heartbeat
from shared.ports import Conflict, Stored, StoreUnavailable, TryAgain
from shared.runs import Run
from shared.stores.memory import MemoryOperations
from shared.sweep.places import Place
from shared.sweep.rounds import Round
from tests.clocks import START, ManualClock
from tests.keeping import keep
from tests.unit.sweeps import put, swept, verified
from tests.world import TENANT, Crash, World

ELSEWHERE = "stunitedstates"
LAST = Heartbeat(kind="sweep", started_at=START, at=START, outcome="done", counts={}, totals={})


async def captured() -> tuple[World, str]:
    """Return a world in which a tenant has captures in Europe, and its enrollment."""
    world = World()
    await world.opt_in()
    await world.post()
    await world.sweep.run()
    await world.purge.run()
    return world, world.ledger.events[TENANT][-1].enrollment_id


def before_each_write(
    world: World, of: str | None, act: Callable[[int, Heartbeat, str | None], Awaitable[None]]
) -> Any:
    """Let ``act`` come before each write of an account's sweep; return the write as it was."""
    inner, written = world.operations.write, 0

    async def write(heartbeat: Heartbeat, etag: str | None) -> None:
        nonlocal written
        if heartbeat.kind == "sweep" and heartbeat.storage_account == of:
            written += 1
            await act(written, heartbeat, etag)
        await inner(heartbeat, etag)

    world.operations.write = write  # type: ignore[method-assign]
    return inner


async def test_p3_a_heartbeat_that_lands_late_takes_no_finding_away() -> None:
    world, enrollment_id = await captured()
    put(world, "unitedstates", enrollment_id, world.clock.now().date())
    late = list[tuple[Heartbeat, str | None]]()

    async def lost(n: int, heartbeat: Heartbeat, etag: str | None) -> None:
        if n == 1:
            late.append((heartbeat, etag))
            raise TryAgain("cosmos-timeout")

    inner = before_each_write(world, ELSEWHERE, lost)
    await world.sweep.run()
    assert not world.containers("unitedstates")
    with pytest.raises(Conflict):
        await inner(*late[0])
    report = await world.status.report()
    assert (report.promises["P3"], report.findings[Trespass.WRONG_ACCOUNT]) == (False, 1)


async def test_p3_a_run_that_was_paused_before_its_last_write_takes_no_finding_of_a_later_one_away() -> None:
    world, enrollment_id = await captured()
    paused = False

    async def pause(n: int, heartbeat: Heartbeat, etag: str | None) -> None:
        nonlocal paused
        if heartbeat.cursor is None and not paused:
            paused = True
            world.clock.move(timedelta(hours=1))
            put(world, "unitedstates", enrollment_id, world.clock.now().date())
            await world.sweep.run()

    before_each_write(world, ELSEWHERE, pause)
    await world.sweep.run()
    assert not world.containers("unitedstates")
    stands = world.operations.heartbeats["sweep", ELSEWHERE]
    assert stands.counts["wrongAccount"] == 1 and (stands.totals or {})["wrongAccount"] == 1
    assert stands.started_at == world.clock.now(), "it is the later run's still"
    assert not (await world.status.report()).promises["P3"]


async def test_p4_a_purge_whose_heartbeat_lands_late_does_not_undo_the_next_one() -> None:
    operations, world = MemoryOperations(), World()
    await world.purge.run()
    heartbeat = world.operations.heartbeats["purge", "steurope"]
    await keep(operations, heartbeat)
    stands = await operations.last("purge", "steurope")
    assert stands is not None
    await keep(operations, heartbeat.model_copy(update={"counts": {"failures": 1}}))
    with pytest.raises(Conflict):
        await operations.write(heartbeat, stands.etag)


async def test_nothing_is_deleted_on_the_word_of_a_finding_that_is_not_on_record_and_the_next_run_deletes_it() -> None:
    world, enrollment_id = await captured()
    put(world, "unitedstates", enrollment_id, world.clock.now().date())

    async def fail(n: int, heartbeat: Heartbeat, etag: str | None) -> None:
        if heartbeat.counts.get("wrongAccount"):
            raise StoreUnavailable("cosmos-503")

    inner = before_each_write(world, ELSEWHERE, fail)
    heartbeat = (await world.sweep.run())[ELSEWHERE]
    assert len(world.containers("unitedstates")) == 1
    assert (heartbeat.outcome, heartbeat.error) == ("failed", "cosmos-503")
    world.operations.write = inner  # type: ignore[method-assign]
    assert (await swept(world, "unitedstates"))["wrongAccount"] == 1
    assert not world.containers("unitedstates")


async def test_what_could_not_be_put_on_record_at_first_is_this_rounds_still() -> None:
    world, enrollment_id = await captured()
    put(world, "unitedstates", enrollment_id, world.clock.now().date())
    failed = False

    async def fail_once(n: int, heartbeat: Heartbeat, etag: str | None) -> None:
        nonlocal failed
        if heartbeat.counts.get("wrongAccount") and not failed:
            failed = True
            raise StoreUnavailable("cosmos-503")

    before_each_write(world, ELSEWHERE, fail_once)
    place = Place.parse((await world.sweep.run())[ELSEWHERE].cursor)
    assert failed and place is not None and place.judged and place.found
    assert len(world.containers("unitedstates")) == 1
    await world.sweep.run()
    assert not world.containers("unitedstates")


async def test_p6_what_another_sweep_has_begun_again_meanwhile_is_the_deletions_to_delete() -> None:
    world, done = await verified()
    put(world, "europe", done.enrollment_id, world.clock.now().date())
    key = (TENANT, done.enrollment_id)
    begun = done.begun_again().model_copy(update={"not_before": done.deadline})

    async def begin_again(n: int, heartbeat: Heartbeat, etag: str | None) -> None:
        if heartbeat.counts.get("afterReceipt"):
            world.deletion_items.items[key] = Stored(begun, "anothers")

    before_each_write(world, "steurope", begin_again)
    assert (await swept(world, "europe"))["afterReceipt"] == 1
    assert len(world.containers("europe")) == 1
    assert world.deletion_items.items[key] == Stored(begun, "anothers")


async def forged() -> World:
    """Return a world with a finished deletion whose receipt nobody has signed."""
    world, deletion = await verified()
    await world.sweep.run()
    key = (TENANT, deletion.enrollment_id)
    receipt = world.deletion_items.items[key].value.receipt
    assert receipt is not None
    receipt = receipt.model_copy(update={"jws": "a.b.c"})
    world.deletion_items.items[key] = Stored(deletion.model_copy(update={"receipt": receipt}), "edited")
    return world


async def test_p6_a_forged_receipt_is_on_record_before_it_is_mended() -> None:
    world = await forged()
    inner = world.deletion_items.replace

    async def killed(*args: Any) -> None:
        await inner(*args)
        raise Crash

    world.deletion_items.replace = killed  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await world.sweep.run()
    world.deletion_items.replace = inner  # type: ignore[method-assign]
    stands = world.operations.heartbeats["sweep", None]
    assert (stands.counts["receiptsInvalid"], (stands.totals or {})["receiptsInvalid"]) == (1, 1)
    assert stands.cursor is not None, "the round is not at its end"
    assert not (await world.status.report()).promises["P6"]


async def test_p6_a_forged_receipt_that_cannot_be_put_on_record_is_mended_by_the_next_round() -> None:
    world = await forged()

    async def fail(n: int, heartbeat: Heartbeat, etag: str | None) -> None:
        raise StoreUnavailable("cosmos-503")

    inner = before_each_write(world, None, fail)
    await world.sweep.run()
    (stored,) = world.deletion_items.items.values()
    assert (stored.value.status, stored.etag) == ("verified", "edited")
    world.operations.write = inner  # type: ignore[method-assign]
    assert (await swept(world))["receiptsInvalid"] == 1
    (stored,) = world.deletion_items.items.values()
    assert stored.value.status != "verified"


# One round beside another


class Rounds:
    """Runs of the ledger's sweep that all write to one store."""

    def __init__(self) -> None:
        self.clock, self.operations = ManualClock(), MemoryOperations()
        self.operations.heartbeats["sweep", None] = LAST

    def begin(self, account: Account | None = None) -> Round:
        run = Run("sweep", self.clock, 100.0)
        return Round(run, self.stands, account=account, operations=self.operations)

    @property
    def stands(self) -> Heartbeat:
        return self.operations.heartbeats["sweep", None]

    async def report(self, round_: Round, cursor: str | None, **found: int) -> bool:
        self.clock.move(timedelta(seconds=1))
        round_.cursor = cursor
        round_.run.counts.update(found)
        return await round_.report()

    def lose(self, *, carried_out: bool) -> None:
        """Lose the answer to the next write."""
        write = self.operations.write

        async def lost(heartbeat: Heartbeat, etag: str | None) -> None:
            self.operations.write = write  # type: ignore[method-assign]
            if carried_out:
                await write(heartbeat, etag)
            raise TryAgain("cosmos-timeout")

        self.operations.write = lost  # type: ignore[method-assign]


async def test_two_rounds_at_a_time_lose_nothing_and_the_first_goes_on() -> None:
    rounds = Rounds()
    first, other = rounds.begin(), rounds.begin()
    assert await rounds.report(first, "b", eventsMissing=1, ledgers=5)
    assert await rounds.report(other, "z", eventsChanged=2, ledgers=9, deletionsLate=1)
    assert rounds.stands.cursor == "b"
    assert dict(rounds.stands.counts) == {"eventsMissing": 1, "eventsChanged": 2, "ledgers": 5}
    assert await rounds.report(first, "c", eventsMissing=1, ledgers=1)
    assert await rounds.report(other, None, eventsChanged=1)
    assert await rounds.report(other, None), "there is nothing more to say"
    assert await rounds.report(first, None, settingsDisagreeing=1)
    stands = rounds.stands
    assert stands.cursor is None
    found = {"eventsMissing": 2, "eventsChanged": 3, "settingsDisagreeing": 1, "ledgers": 6}
    assert dict(stands.counts) == found and stands.totals == found
    assert await rounds.report(rounds.begin(), None, eventsMissing=1)
    assert dict(rounds.stands.counts) == {"eventsMissing": 1} and rounds.stands.previous_counts == found
    assert rounds.stands.totals == {**found, "eventsMissing": 3}


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("mine", [True, False])
async def test_what_is_not_known_to_be_told_is_told_once(carried_out: bool, mine: bool) -> None:
    rounds = Rounds()
    round_ = rounds.begin()
    if not mine:
        await rounds.report(rounds.begin(), "x", ledgers=7)
    rounds.lose(carried_out=carried_out)
    assert not await rounds.report(round_, "b", eventsMissing=1)
    assert await rounds.report(round_, "c", eventsChanged=1)
    assert rounds.stands.cursor == ("c" if mine else "x")
    assert rounds.stands.totals is not None
    assert {name: rounds.stands.totals[name] for name in ("eventsMissing", "eventsChanged")} == {
        "eventsMissing": 1,
        "eventsChanged": 1,
    }


async def test_what_another_run_has_added_is_taken_in_once_though_the_answer_is_lost() -> None:
    rounds = Rounds()
    first, other = rounds.begin(), rounds.begin()
    await rounds.report(first, "b")
    await rounds.report(other, "z", eventsMissing=1)
    rounds.lose(carried_out=False)
    assert not await rounds.report(first, "c")
    assert await rounds.report(first, "d")
    assert (rounds.stands.cursor, rounds.stands.counts["eventsMissing"]) == ("d", 1)


async def test_a_run_that_begins_while_another_writes_takes_the_round_over_and_loses_nothing() -> None:
    rounds = Rounds()
    first = rounds.begin()
    await rounds.report(first, "b", eventsMissing=1)
    second = rounds.begin()
    await rounds.report(second, "c", eventsMissing=1)
    await rounds.report(first, "b2", eventsMissing=1)
    assert await rounds.report(second, None)
    assert (rounds.stands.cursor, rounds.stands.totals) == (None, {"eventsMissing": 3})


async def test_what_was_told_after_a_conflict_is_told_once_when_another_goes_on() -> None:
    rounds = Rounds()
    first, write, tried = rounds.begin(), rounds.operations.write, 0

    async def conflict(heartbeat: Heartbeat, etag: str | None) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise Conflict
        await write(heartbeat, etag)

    rounds.operations.write = conflict  # type: ignore[method-assign]
    await rounds.report(first, "b", eventsMissing=1)
    await rounds.report(first, "c", eventsChanged=1)
    await rounds.report(rounds.begin(), "d", settingsDisagreeing=1)
    await rounds.report(first, "e", eventsMissing=1)
    assert rounds.stands.totals == {"eventsMissing": 2, "eventsChanged": 1, "settingsDisagreeing": 1}


async def test_a_round_of_several_runs_began_with_the_first_of_them() -> None:
    rounds = Rounds()
    began = []
    for cursor in ("b", "c", None, "b", None):
        await rounds.report(rounds.begin(), cursor)
        began.append(rounds.stands.round_started_at)
    assert began == [START + timedelta(seconds=n) for n in (0, 0, 0, 3, 3)]


async def test_a_heartbeat_that_nobody_believes_is_replaced() -> None:
    rounds = Rounds()
    round_ = rounds.begin()
    rounds.operations.heartbeats["sweep", None] = LAST.model_copy(update={"at": START + timedelta(days=9)})
    assert await rounds.report(round_, "b", eventsMissing=1)
    assert (rounds.stands.cursor, rounds.stands.counts) == ("b", {"eventsMissing": 1})


async def test_who_never_gets_a_turn_gives_up() -> None:
    asked = 0

    async def last() -> None:
        return None

    async def write(value: int, etag: str | None) -> None:
        nonlocal asked
        asked += 1
        raise Conflict

    with pytest.raises(StoreUnavailable, match="conflict"):
        await standing.put(last, write, lambda _: 1)
    assert asked == 5
