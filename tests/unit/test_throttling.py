"""A store that asks for fewer requests: callers learn when to come back, and jobs wait, go on and keep their deadlines.

The promises that jobs keep are P4 and P5; that nobody is held up by what is no fault of theirs is D12.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from functions._api.http import _without_errors, problem_answer
from shared import runs, unscheduled
from shared.deletion.purge import Bounds
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.heartbeats import THROTTLED
from shared.ports import RETRY_AFTER_MAX, ListedContainer, Permit, Put, StoreUnavailable, TryAgain
from shared.runs import COSMOS, PAUSE_FIRST, PAUSE_MAX, SIDE_BY_SIDE, Run
from shared.stores.calls import retry_after
from shared.stores.memory import MemoryCaptures
from shared.sweep import ledger
from shared.sweep.sweep import Bounds as SweepBounds
from tests.clocks import START, ManualClock
from tests.unit.opt_outs import opted_out
from tests.unit.sweeps import STRANGER, put, tenant_id
from tests.world import TENANT, World

HOUR = timedelta(hours=1)


def busy(asks: float | None = None) -> TryAgain:
    return TryAgain("storage-ServerBusy", throttled=True, retry_after=asks)


class Refusing:
    """Carries out calls of some methods, or refuses them for now.

    Attributes:
        refuses: tells, with the number of the call, whether it does.
        asks: how many seconds it asks to wait, if it does.
        calls: how many came.
    """

    def __init__(self, clock: ManualClock, refuses: Callable[[int], bool], asks: float | None = None) -> None:
        self.clock = clock
        self.refuses = refuses
        self.asks = asks
        self.calls = 0
        self.at: list[float] = []
        self.asked: list[Any] = []

    def look(self) -> None:
        self.calls += 1
        self.at.append(self.clock.monotonic())
        if self.refuses(self.calls):
            raise busy(self.asks)

    def put_before(self, store: Any, *methods: str) -> None:
        for method in methods:
            setattr(store, method, self._checked(getattr(store, method)))

    def put_between(self, store: Any, *methods: str) -> None:
        """Look before each item but the first of a listing or query, as if it were on a page of its own."""
        for method in methods:
            setattr(store, method, self._by_pages(getattr(store, method)))

    def _by_pages(self, method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def pages(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self.asked.append(args)
            is_first = True
            async for item in method(*args, **kwargs):
                if not is_first:
                    self.look()
                is_first = False
                yield item

        return pages

    def _checked(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def checked(*args: Any, **kwargs: Any) -> Any:
            self.look()
            return await method(*args, **kwargs)

        return checked


class _Listing:
    """A listing that may be asked again."""

    def __init__(self, look: Callable[[], None], listed: AsyncIterator[ListedContainer]) -> None:
        self._look = look
        self._listed = listed

    def __aiter__(self) -> "_Listing":
        return self

    async def __anext__(self) -> ListedContainer:
        self._look()
        return await anext(self._listed)


class BusyAccount(MemoryCaptures):
    """Whose calls are refused for now, each page of a listing too."""

    def __init__(self, account: str, refusing: Refusing) -> None:
        super().__init__(account)
        self.refusing = refusing

    async def delete_container(self, container: str) -> bool:
        self.refusing.look()
        return await super().delete_container(container)

    def list_containers(self, prefix: str, **options: Any) -> Any:
        return _Listing(self.refusing.look, super().list_containers(prefix, **options))


def world_of(refuses: Callable[[int], bool], asks: float | None = None) -> tuple[World, Refusing]:
    """Return a world whose account in Europe refuses calls, and what refuses them."""
    clock = ManualClock(jumping=True)
    refusing = Refusing(clock, refuses, asks)
    return World(clock=clock, stores={"europe": BusyAccount("steurope", refusing)}), refusing


# What is answered


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.2"}, 0.2),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20"}, 0.02),
        ({"Retry-After": "7", "x-ms-retry-after-ms": "1500"}, 7.0),
        ({"Retry-After": "soon", "x-ms-retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "86400"}, RETRY_AFTER_MAX),
        ({"x-ms-retry-after-ms": "1e300"}, RETRY_AFTER_MAX),
        ({"Retry-After": "inf"}, RETRY_AFTER_MAX),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Fri, 99 Nov 2026 10:00:00 GMT"}, None),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_a_store_asks_is_believed_within_bounds(headers: dict[str, str] | None, seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_counts_from_now() -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    found = retry_after({"Retry-After": format_datetime(at, usegmt=True)})
    assert found is not None and 0 < found <= 90
    assert retry_after({"Retry-After": format_datetime(at + timedelta(days=300), usegmt=True)}) == RETRY_AFTER_MAX


@pytest.mark.parametrize(("asks", "told"), [(None, "5"), (0.0, "1"), (0.3, "1"), (12.0, "12"), (12.01, "13")])
async def test_a_caller_is_told_what_the_store_asked_in_whole_seconds(asks: float | None, told: str) -> None:
    async def refused() -> Any:
        raise StoreUnavailable("cosmos-429", throttled=True, retry_after=asks)

    answer = await _without_errors(refused, problem_answer)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, told)


async def posted(refuses: Callable[[int], bool], asks: float | None) -> tuple[World, Refusing, Any]:
    world = World()
    refusing = Refusing(world.clock, refuses, asks)
    await world.opt_in()
    refusing.put_before(world.stores["europe"], "put_batch")
    world.clock.slept.clear()
    try:
        return world, refusing, await world.post()
    except StoreUnavailable as error:
        return world, refusing, error


async def test_a_batch_is_not_tried_again_before_the_store_says() -> None:
    _, refusing, stored = await posted(lambda n: n == 1, 4.0)
    assert stored.created
    assert refusing.at[1] - refusing.at[0] == 4.0


async def test_a_batch_is_not_tried_again_where_there_is_no_time_left_for_it() -> None:
    world, refusing, error = await posted(lambda n: True, 60.0)
    assert (refusing.calls, error.retry_after, world.clock.slept) == (1, 60.0, [])


async def test_p2_what_waits_for_the_store_is_stored_on_consent_that_holds_then() -> None:
    world = World()
    await world.opt_in()
    held: list[bool] = []
    store = world.stores["europe"]
    put_batch = store.put_batch

    async def put(permit: Permit, *rest: Any) -> Put:
        held.append(permit.holds)
        if len(held) == 1:
            raise busy(8.0)
        return await put_batch(permit, *rest)  # type: ignore[no-any-return]

    store.put_batch = put
    assert (await world.post()).created
    assert len(held) > 1 and all(held)


# How a run waits


async def called(run: Run, refusing: Refusing, store: str = "steurope") -> str | None:
    async def work() -> None:
        await runs._patiently(store, call)

    async def call() -> None:
        refusing.look()

    return await run.isolated(work())


async def test_a_run_waits_as_long_as_it_is_asked_and_goes_on() -> None:
    clock = ManualClock(jumping=True)
    run, refusing = Run("purge", clock, 200.0), Refusing(clock, lambda n: n < 3, 7.5)
    assert await called(run, refusing) is None
    assert clock.slept == [7.5, 7.5]
    assert (run.errors, run.counts, run.more) == ([], Counter(throttled=2), False)


async def test_a_run_that_is_not_told_how_long_waits_longer_and_longer_up_to_a_bound() -> None:
    clock = ManualClock(jumping=True)
    run, refusing = Run("purge", clock, 2_000.0), Refusing(clock, lambda n: n < 10)
    assert await called(run, refusing) is None
    assert clock.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    assert (clock.slept[0], clock.slept[-1]) == (PAUSE_FIRST, PAUSE_MAX)
    assert await called(run, refusing) is None
    refusing.refuses = lambda n: n == 12
    assert await called(run, refusing) is None
    assert clock.slept[-1] == PAUSE_FIRST, "an answer ends it"


async def test_what_is_refused_until_the_run_ends_is_left_and_no_failure() -> None:
    clock = ManualClock(jumping=True)
    run, refusing = Run("purge", clock, 200.0), Refusing(clock, lambda n: True)
    assert await called(run, refusing) == THROTTLED
    assert clock.monotonic() - 1000.0 <= 200.0 + PAUSE_MAX
    heartbeat = run.heartbeat(None, more=False)
    assert (heartbeat.outcome, heartbeat.error) == ("more", None)
    assert heartbeat.counts == {"throttled": refusing.calls}
    assert "failures" not in run.counts


async def test_a_wait_for_longer_than_the_run_has_is_not_begun() -> None:
    clock = ManualClock(jumping=True)
    run, refusing = Run("purge", clock, 200.0), Refusing(clock, lambda n: True, 250.0)
    assert await called(run, refusing) == THROTTLED
    assert await called(run, refusing) == THROTTLED
    assert (refusing.calls, clock.slept) == (1, []), "and nobody else asks meanwhile"


async def test_another_store_is_not_waited_for() -> None:
    clock = ManualClock(jumping=True)
    run, refusing = Run("purge", clock, 200.0), Refusing(clock, lambda n: n == 1, 250.0)
    assert await called(run, refusing) == THROTTLED
    assert await called(run, refusing, COSMOS) is None
    assert clock.slept == []


async def test_at_the_end_of_a_run_there_is_time_to_tell_what_it_came_to_and_for_nothing_else() -> None:
    clock = ManualClock(jumping=True)
    run, refusing = Run("purge", clock, 0.0), Refusing(clock, lambda n: n < 4)

    async def write() -> None:
        await runs._patiently(COSMOS, call)

    async def call() -> None:
        refusing.look()

    assert await run.isolated(write()) == THROTTLED
    assert (refusing.calls, clock.slept) == (1, [])
    await run.tell(write())
    assert (refusing.calls, run.errors) == (4, [])


async def test_outside_of_a_run_nobody_waits() -> None:
    clock = ManualClock(jumping=True)
    refusing = Refusing(clock, lambda n: True, 3.0)

    async def call() -> None:
        refusing.look()

    with pytest.raises(TryAgain) as refused:
        await runs._patiently("steurope", call)
    assert (refused.value.retry_after, refusing.calls, clock.slept) == (3.0, 1, [])


async def test_fewer_calls_are_side_by_side_after_a_refusal_and_more_again_after_answers() -> None:
    clock = ManualClock()
    run = Run("purge", clock, 1_000.0)
    under_way, most = 0, list[int]()
    gate = asyncio.Event()
    refuse = True

    async def call() -> None:
        nonlocal under_way
        under_way += 1
        most.append(under_way)
        try:
            await gate.wait()
            if refuse:
                raise busy(2.0)
        finally:
            under_way -= 1

    async def work() -> None:
        await runs._patiently("steurope", call)

    working = [asyncio.create_task(run.isolated(work())) for _ in range(16)]
    await clock.advance(timedelta())
    assert max(most) == 16
    gate.set()
    await clock.advance(timedelta())
    most.clear()
    gate.clear()
    await clock.advance(timedelta(seconds=2))
    assert max(most) == 8
    assert run.counts[THROTTLED] == 16, "each is counted, and all of them tell the same news"
    refuse = False
    gate.set()
    await clock.advance(timedelta())
    assert await asyncio.gather(*working) == [None] * 16
    assert SIDE_BY_SIDE >= run.backoff("steurope")._at_most > 8


async def test_d12_a_call_that_alone_is_refused_again_and_again_fails_and_holds_up_nobody_for_ever() -> None:
    clock = ManualClock(jumping=True)
    run = Run("purge", clock, 10_000.0)
    refusals = 0

    async def alone() -> None:
        nonlocal refusals
        refusals += 1
        raise busy()

    async def fine() -> None:
        await asyncio.sleep(0)

    async def others() -> None:
        while not refused.done():
            await runs._patiently("steurope", fine)

    async def work() -> None:
        await runs._patiently("steurope", alone)

    refused = asyncio.create_task(run.isolated(work()))
    await asyncio.gather(refused, run.isolated(others()))
    assert (refused.result(), run.errors) == ("storage-ServerBusy", ["storage-ServerBusy"])
    assert 20 <= refusals <= 21


async def test_a_listing_goes_on_where_it_was_refused() -> None:
    world, _ = world_of(lambda n: n % 3 != 0)
    names = [put(world, "europe", STRANGER, START.date() - timedelta(days=n)) for n in range(9)]
    run, found = Run("sweep", world.clock, 10_000.0), list[str]()

    async def read() -> None:
        found.extend([each.name async for each in runs.BriefStore(world.stores["europe"]).list_containers("f-")])

    assert await run.isolated(read()) is None
    assert found == sorted(names)


async def test_a_listing_that_cannot_go_on_has_failed_and_is_not_at_its_end() -> None:
    class Broken(MemoryCaptures):
        async def list_containers(self, *_: Any, **__: Any) -> AsyncIterator[ListedContainer]:
            yield ListedContainer("a")
            raise busy()

    run, found = Run("sweep", ManualClock(jumping=True), 200.0), list[str]()

    async def read() -> None:
        found.extend([each.name async for each in runs.BriefStore(Broken("st")).list_containers("")])

    assert await run.isolated(read()) == "storage-ServerBusy"
    assert (found, run.errors) == ([], ["storage-ServerBusy"])


# What jobs do


async def test_p4_a_day_is_deleted_by_an_account_that_refuses_two_of_three_calls_and_is_not_postponed() -> None:
    world, refusing = world_of(lambda n: n % 3 != 0)
    deadline = START + timedelta(days=30)
    for n in range(50):
        put(world, "europe", f"{n:032x}", START.date())
    world.clock.set(datetime(deadline.year, deadline.month, deadline.day, tzinfo=UTC) - deadlines.RETENTION_LEAD)
    begun = world.clock.now()
    runs_made = 0
    while world.days():
        heartbeat = (await world.purge.run())["steurope"]
        runs_made += 1
        assert (heartbeat.error, heartbeat.postponed) == (None, None)
        assert heartbeat.counts["throttled"] and "failures" not in heartbeat.counts
        assert world.clock.now() - begun < deadlines.RETENTION_LEAD / 2, "in time, with as much to spare"
        world.clock.move(timedelta(minutes=5))
    assert runs_made > 1 or heartbeat.outcome == "done"
    refusing.refuses = lambda n: False
    assert (await world.purge.run())["steurope"].outcome == "done"


async def test_p5_a_deletion_is_proved_by_stores_that_refuse_two_of_three_calls_and_counts_no_failure() -> None:
    world, deletion = await opted_out()
    account = world.stores["europe"]
    refusing = Refusing(world.clock, lambda n: False)
    refusing.put_before(account, "delete_container")
    refusing.put_before(world.deletion_items, "replace", "read", "create")
    refusing.put_before(world.operations, "read_all", "write", "deployment_id")
    world.clock.set(deletion.not_before)
    while (await world.deletions.get(TENANT, deletion.enrollment_id)).status != "verified":
        refusing.refuses = lambda n: n % 3 != 0
        heartbeat = (await world.purge.run())["steurope"]
        assert heartbeat.error is None
        refusing.refuses = lambda n: False
        found = await world.deletions.get(TENANT, deletion.enrollment_id)
        assert (found.failures, found.retry_at) == (0, None)
        assert world.clock.now() < deletion.deadline - deadlines.DELETION_LEAD / 2
        world.clock.move(timedelta(minutes=5))
    assert world.days() == []


async def test_an_account_that_refuses_everything_leaves_all_to_the_next_run_and_marks_nothing() -> None:
    world, refusing = world_of(lambda n: False)
    put(world, "europe", STRANGER, START.date() - timedelta(days=40))
    refusing.refuses = lambda n: True
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error, heartbeat.postponed) == ("more", None, None)
    assert heartbeat.counts["throttled"] == refusing.calls
    refusing.refuses = lambda n: False
    assert (await world.purge.run())["steurope"].counts["expiredContainers"] == 1


async def test_cosmos_db_that_refuses_in_the_middle_of_a_query_loses_nothing_of_what_it_has_told() -> None:
    world, deletion = await opted_out()
    due = world.deletion_items.due

    async def interrupted(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for each in due(*args, **kwargs):
            yield each
        if kwargs["failed"] is False:
            raise StoreUnavailable("cosmos-429", throttled=True)

    world.deletion_items.due = interrupted
    world.clock.set(deletion.not_before)
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.counts["purgedDeletions"], heartbeat.counts["throttled"]) == ("more", 1, 1)


@pytest.mark.parametrize(
    ("fails", "after", "outcome", "told"),
    [
        (StoreUnavailable("cosmos-503"), 1, "failed", "cosmos-503"),
        (StoreUnavailable("cosmos-503"), 0, "failed", "cosmos-503"),
        (StoreUnavailable("cosmos-429", throttled=True), 0, "more", None),
    ],
)
async def test_p9_a_query_that_fails_in_the_middle_is_told_although_it_has_brought_something(
    fails: StoreUnavailable, after: int, outcome: str, told: str | None
) -> None:
    world, deletion = await opted_out()
    due = world.deletion_items.due

    async def interrupted(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        brought = 0
        async for each in due(*args, **kwargs):
            if brought == after:
                break
            brought += 1
            yield each
        raise fails

    world.deletion_items.due = interrupted
    world.clock.set(deletion.not_before)
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error) == (outcome, told)


async def test_p9_a_sweep_that_is_refused_passes_nothing_over_and_goes_on() -> None:
    world, refusing = world_of(lambda n: False)
    await world.opt_in()
    put(world, "europe", STRANGER, START.date())
    await world.purge.run()
    refusing.refuses = lambda n: True
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error) == ("more", None), "although it has come nowhere"
    assert not (await world.status.report()).promises["P1"], "nobody has seen everything"
    refusing.refuses = lambda n: False
    after = (await world.sweep.run())["steurope"]
    assert (after.outcome, after.counts["unknownEnrollment"], after.counts["strangers"]) == ("done", 1, 1)
    assert after.counts.get("unjudged", 0) == 0


async def test_p9_a_sweep_that_is_refused_at_any_call_finds_the_same_as_one_that_is_not() -> None:
    for nth in range(1, 60):
        world, refusing = world_of(lambda n: False)
        await world.opt_in()
        put(world, "europe", STRANGER, START.date())
        put(world, "europe", STRANGER, START.date() - timedelta(days=1))
        world.stores["europe"].containers["logs"] = {}
        world.stores["europe"].soft_deleted.add(DayContainer(STRANGER, START.date() - timedelta(days=2)).name)
        await world.purge.run()
        refusing.calls = 0
        refusing.refuses = lambda n, nth=nth: n >= nth  # type: ignore[misc]
        first = (await world.sweep.run())["steurope"]
        refusing.refuses = lambda n: False
        last = first
        for _ in range(3):
            if last.outcome == "done" and last.cursor is None:
                break
            last = (await world.sweep.run())["steurope"]
        found = {
            name: last.counts.get(name) for name in ("containers", "foreignContainers", "softDeleted", "strangers")
        }
        assert found == {"containers": 3, "foreignContainers": 1, "softDeleted": 1, "strangers": 2}, nth
        assert last.outcome == "done" and not last.counts.get("unjudged") and "failures" not in last.counts
        assert not [name for name in world.stores["europe"].containers if name.startswith("f-")]


async def test_p9_a_tenant_whose_ledger_cannot_be_compared_for_now_is_compared_by_the_next_sweep() -> None:
    world, deletion = await opted_out()
    del world.deletion_items.items[TENANT, deletion.enrollment_id]
    world.clock.move(HOUR)
    refusing = Refusing(world.clock, lambda n: True, 290.0)
    refusing.put_before(world.deletion_items, "create")
    first = (await world.sweep.run())[None]
    assert (first.outcome, first.error, first.counts.get("ledgers", 0)) == ("more", None, 0)
    refusing.refuses = lambda n: False
    second = (await world.sweep.run())[None]
    assert (second.outcome, second.counts["deletionsCreated"], second.counts["ledgers"]) == ("done", 1, 1)


async def test_the_last_heartbeats_are_asked_for_again_and_the_sweep_is_not_given_up() -> None:
    world = World()
    Refusing(world.clock, lambda n: n < 4).put_before(world.operations, "read_all")
    assert (await world.sweep.run())[None].error is None


async def test_bounds_of_a_run_hold_whatever_a_store_asks() -> None:
    world, refusing = world_of(lambda n: False)
    world.bounds = Bounds(seconds=60.0)
    put(world, "europe", STRANGER, START.date() - timedelta(days=40))
    refusing.refuses, refusing.asks = lambda n: True, RETRY_AFTER_MAX
    began = world.clock.monotonic()
    assert (await world.purge.run())["steurope"].outcome == "more"
    assert world.clock.monotonic() - began < 60.0


async def test_d12_containers_whose_deletes_are_refused_until_the_run_ends_are_not_postponed() -> None:
    world = World()
    name = put(world, "europe", STRANGER, START.date() - timedelta(days=40))
    refusing = Refusing(world.clock, lambda n: True)
    refusing.put_before(world.stores["europe"], "delete_container")
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error, heartbeat.postponed) == ("more", None, None)
    refusing.refuses = lambda n: False
    await world.purge.run()
    assert name not in world.stores["europe"].containers, "with the very next run"


async def test_d12_a_deletion_that_is_refused_until_the_run_ends_is_due_in_the_next_run() -> None:
    world, deletion = await opted_out()
    world.clock.set(deletion.not_before)
    refusing = Refusing(world.clock, lambda n: True)
    refusing.put_before(world.stores["europe"], "delete_container")
    assert (await world.purge.run())["steurope"].error is None
    found = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (found.attempts, found.failures, found.last_error, found.retry_at) == (0, 0, None, None)
    refusing.refuses = lambda n: False
    await world.purge.run()
    assert (await world.deletions.get(TENANT, deletion.enrollment_id)).status == "purged"


async def test_a_container_that_fails_is_told_although_the_ones_before_it_are_refused_until_the_run_ends() -> None:
    world, deletion = await opted_out()
    world.clock.set(deletion.not_before)
    last = deletion.containers[-1].name

    async def refused(container: str) -> bool:
        raise StoreUnavailable("storage-LeaseIdMissing") if container == last else busy()

    world.stores["europe"].delete_container = refused
    await world.purge.run()
    found = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (found.failures, found.last_error) == (1, "storage-LeaseIdMissing")


async def on_and_off(world: World, times: int) -> None:
    """Let one tenant opt in and out, hour after hour."""
    for _ in range(times):
        await world.opt_in()
        await world.opt_out()
        world.clock.move(HOUR)


async def test_p9_no_part_of_a_long_ledger_is_passed_over_by_a_sweep_that_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "_ITEMS_MAX", 2)
    world = World()
    await on_and_off(world, 4)
    refusing = Refusing(world.clock, lambda n: True)
    refusing.put_before(world.deletion_items, "create")
    assert (await world.sweep.run())[None].outcome == "more"
    refusing.refuses = lambda n: False
    assert (await world.sweep.run())[None].counts["deletionsCreated"] == 4


# What is refused in the middle


async def lost(world: World, opt_outs: int, every: timedelta = HOUR) -> None:
    """Let tenants opt out, and the change feed bring nothing of it."""
    for n in range(opt_outs):
        await world.opt_in(tenant_id(n))
        await world.opt_out(tenant_id(n))
        world.clock.move(every)


def in_the_middle(world: World, store: Any, method: str, refuses: Callable[[int], bool], **how: Any) -> Refusing:
    refusing = Refusing(world.clock, refuses, **how)
    refusing.put_between(store, method)
    return refusing


async def test_p9_what_is_lost_behind_a_page_that_is_refused_for_now_is_found_by_the_same_sweep() -> None:
    world = World()
    await lost(world, 9)
    refusing = in_the_middle(world, world.ledger, "opt_outs_committed", lambda n: n in {2, 5}, asks=2.0)
    heartbeat = (await world.sweep.run())[None]
    assert heartbeat.counts["deletionsCreated"] == 9
    assert heartbeat.scheduled_until == await world.ledger.last_commit()
    assert (heartbeat.outcome, heartbeat.error) == ("done", None)
    assert len(refusing.asked) == 4 and refusing.asked[0] < refusing.asked[1], "not from the beginning each time"


@pytest.mark.parametrize(
    "refusal", [TryAgain("cosmos-429", throttled=True, retry_after=30.0), StoreUnavailable("cosmos-timeout")]
)
async def test_p9_what_a_search_has_settled_stays_settled_whatever_ends_it(refusal: StoreUnavailable) -> None:
    world = World(sweep_bounds=SweepBounds(seconds=20.0))
    await lost(world, 9, timedelta(minutes=10))
    await world.sweep.run()
    committed = [each.at async for each in world.ledger.opt_outs_committed(0)]
    opt_outs_committed = world.ledger.opt_outs_committed

    async def five(since: int, before: int | None = None) -> AsyncIterator[Any]:
        async for each in opt_outs_committed(since, before):
            if each.at > committed[4]:
                raise refusal
            yield each

    heartbeats = world.operations.heartbeats
    heartbeats["sweep", None] = heartbeats["sweep", None].model_copy(update={"scheduled_until": committed[0]})
    world.ledger.opt_outs_committed = five
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unscheduled, "LOOKUP_MAX", 1)
        first = (await world.sweep.run())[None]
        assert first.scheduled_until == committed[4]
        assert first.outcome == ("more" if refusal.throttled else "failed")
        world.ledger.opt_outs_committed = opt_outs_committed
        assert (await world.sweep.run())[None].scheduled_until == committed[-1]


@pytest.mark.parametrize(("store", "method"), [("ledger", "ledgers"), ("deletion_items", "tenants")])
async def test_p9_a_sweep_of_the_ledger_goes_on_behind_a_page_that_is_refused_for_now(store: str, method: str) -> None:
    world = World()
    await lost(world, 9)
    await world.sweep.run()
    refusing = in_the_middle(world, getattr(world, store), method, lambda n: n % 3 == 0, asks=2.0)
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.error, heartbeat.counts["ledgers"]) == ("done", None, 9)
    assert [asked[0] for asked in refusing.asked] == ["", tenant_id(2), tenant_id(5)]


async def test_p9_what_the_search_for_opt_outs_has_left_does_not_stop_the_comparison() -> None:
    world = World()
    await lost(world, 5)
    # Asked for longer than the search may take, and for less than the run.
    in_the_middle(world, world.ledger, "opt_outs_committed", lambda n: n == 1, asks=150.0)
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.counts["ledgers"], heartbeat.counts["deletionsCreated"]) == (5, 5)
    assert heartbeat.outcome == "more", "and what was left is told"


async def test_p9_the_next_sweep_goes_on_inside_a_long_ledger_where_this_one_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "_ITEMS_MAX", 2)
    world = World(sweep_bounds=SweepBounds(seconds=20.0))
    await on_and_off(world, 10)
    refusing = in_the_middle(world, world.ledger, "events_after", lambda n: n == 15, asks=30.0)
    first = (await world.sweep.run())[None]
    assert (first.outcome, first.error) == ("more", None)
    assert first.cursor is not None and first.cursor.split()[1:] == ["unchained", "15", "sound"]
    refusing.asked.clear()
    second = (await world.sweep.run())[None]
    assert refusing.asked[0][1] == 14
    assert (second.outcome, second.counts["ledgers"]) == ("done", 1)


@pytest.mark.parametrize(("store", "method"), [("ledger", "events_after"), ("deletion_items", "of_sequences")])
async def test_p9_a_long_ledger_is_compared_by_one_sweep_though_pages_of_it_are_refused_for_now(
    store: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_ITEMS_MAX", 4)
    world = World()
    await on_and_off(world, 6)
    in_the_middle(world, getattr(world, store), method, lambda n: n in {1, 4}, asks=2.0)
    world.ledger.events[TENANT].pop(4)
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.outcome, heartbeat.error) == ("done", None)
    assert heartbeat.counts["throttled"] and heartbeat.counts["eventsMissing"] == 1
    assert heartbeat.counts["deletionsCreated"] == 6


@pytest.mark.parametrize(
    ("store", "method"), [("ledger", "events_of_enrollments"), ("deletion_items", "verified_among")]
)
async def test_p9_an_account_is_judged_by_one_sweep_though_a_page_about_it_is_refused_for_now(
    store: str, method: str
) -> None:
    world = World()
    await lost(world, 3)
    await world.sweep.run()
    world.clock.move(timedelta(days=30))
    for _ in range(2):
        await world.purge.run()
        world.clock.move(timedelta(minutes=6))
    for _, enrollment in world.deletion_items.items:
        put(world, "europe", enrollment, world.clock.now().date())
    in_the_middle(world, getattr(world, store), method, lambda n: n == 1, asks=2.0)
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error, heartbeat.counts["afterReceipt"]) == ("done", None, 3)


async def test_d12_a_page_that_alone_is_refused_again_and_again_fails_and_holds_up_nobody_for_ever() -> None:
    world = World(sweep_bounds=SweepBounds(seconds=1e9))
    await lost(world, 2)
    for event in [events[0] for events in world.ledger.events.values()]:
        put(world, "europe", event.enrollment_id, world.clock.now().date())
    refusing = in_the_middle(world, world.ledger, "events_of_enrollments", lambda n: True)
    heartbeat = (await world.sweep.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error, heartbeat.counts["unjudged"]) == ("failed", "storage-ServerBusy", 1)
    assert refusing.calls == len(refusing.asked) == 3 * 20, "once for each of three steps"


async def test_outside_of_a_run_what_is_refused_in_the_middle_is_not_asked_again() -> None:
    world = World()
    await lost(world, 3)
    refusing = in_the_middle(world, world.ledger, "opt_outs_committed", lambda n: n == 1)
    world.clock.slept.clear()
    with pytest.raises(TryAgain):
        await world.status.report()
    assert (len(refusing.asked), world.clock.slept) == (1, [])
