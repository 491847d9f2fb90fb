"""D17: no span is stored twice and none is lost, whatever comes between any two calls of storage."""

import asyncio
import gzip
import itertools
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from shared.bootstrap import Services
from shared.model.messages import TEXT_MAX_BYTES
from shared.model.persons import pseudonym
from shared.model.spans import Span
from shared.ports import BatchMissing, Put, StoreUnavailable, TryAgain
from shared.problems import InvalidRequest, Unavailable
from shared.sharing import span_logs
from shared.sharing.span_logs import SpanLogs
from shared.sharing.traces import Refusal, Traces
from tests.clocks import START, settle
from tests.spans import TRACE_ID, chat
from tests.world import OTHER_TENANT, TENANT, World

NOW = START + timedelta(hours=1)
CALLS = ("create_log", "append", "put_batch", "read_log", "find_batch")


async def enrolled(*, container: bool = True) -> World:
    """Return a world in which a tenant shares data; as a rule another minute's span made the day's container."""
    world = World()
    await world.opt_in()
    world.clock.set(NOW)  # spans may have ended some minutes ago
    if container:
        assert not await world.services().traces.take([span(99, before=timedelta(minutes=5))])
    return world


def span(number: int, *, before: timedelta = timedelta(), text: str = "hello") -> Span:
    """Return a span that ended when the test began, or so long before: that is the same whenever it is sent."""
    end = round((NOW - before).timestamp() * 1e6) * 1000
    attributes = chat(text, **{"microsoft.tenant.id": TENANT})
    return Span(TRACE_ID, f"{number:016x}", end - 1000, end, attributes, {}, size=500)


def spans(numbers: Sequence[int]) -> list[Span]:
    return [span(number) for number in numbers]


def stored(world: World) -> Counter[int]:
    """Return how often each span is stored, without the one that every world begins with."""
    lines = [
        json.loads(line)
        for batches in world.containers().values()
        for content, _ in batches.values()
        for line in gzip.decompress(content).splitlines()
    ]
    return Counter(number for line in lines if (number := int(line["spanId"], 16)) != 99)


def tombstones(world: World) -> int:
    """Return how many batches stand empty in the place of others."""
    return sum(
        gzip.decompress(content) == b"" for batches in world.containers().values() for content, _ in batches.values()
    )


@dataclass
class Turns:
    """Lets one actor at a time make its next call of storage; who waits meanwhile is stopped right before one.

    Attributes:
        order: who comes next, one name for each turn; who goes on as long as it can when nobody is named, or who is
            named has nothing to do.
        draw: instead of who goes on, who comes next of those that could.
        ends: how many calls of an actor are carried out; before the next one it ends, like a killed process.
        lost: whether a call is carried out and fails all the same.
        failed: whether a call fails.
        taken: for each turn whose it was, whose it could have been, and who was at it before.
        told: each call that was carried out, by whom.
    """

    order: Sequence[str] = ()
    draw: Callable[[Sequence[str]], str] | None = None
    ends: dict[str, int] = field(default_factory=dict)
    lost: Callable[[str], bool] = lambda told: False
    failed: Callable[[str], bool] = lambda told: False
    taken: list[tuple[str, list[str], str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    _waiting: dict[str, "asyncio.Future[None]"] = field(default_factory=dict)
    _calls: Counter[str] = field(default_factory=Counter)

    async def call(self, actor: str, method: str, carry_out: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call when it is the actor's turn."""
        future = self._waiting[actor] = asyncio.get_running_loop().create_future()
        await future
        self._calls[actor] += 1
        told = f"{actor} {method}"
        if self.failed(told):
            raise TryAgain("storage-503")
        self.told.append(told)
        answer = await carry_out()
        if self.lost(told):
            raise TryAgain("storage-timeout")
        return answer

    async def run(self, actors: dict[str, Awaitable[Any]]) -> dict[str, Any]:
        """Run all to their ends, and return what came of those that were not killed."""
        tasks = {name: asyncio.ensure_future(actor) for name, actor in actors.items()}
        last = ""
        while True:
            for _ in range(1000):
                if all(name in self._waiting or task.done() for name, task in tasks.items()):
                    break
                await asyncio.sleep(0)
            ready = [name for name in self._waiting if self._calls[name] < self.ends.get(name, 1000)]
            if not ready:
                break
            turn = len(self.taken)
            named = self.order[turn] if turn < len(self.order) else self.draw(ready) if self.draw else last
            who = next(name for name in (named, last, *sorted(ready)) if name in ready)
            self.taken.append((who, sorted(ready), last))
            last = who
            self._waiting.pop(who).set_result(None)
        for task in tasks.values():
            task.cancel()  # of those that were killed
        done = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
        for answer in done.values():
            if isinstance(answer, Exception):
                raise answer
        return {name: answer for name, answer in done.items() if not isinstance(answer, BaseException)}


async def in_all_orders(run: Callable[[Turns], Awaitable[None]], interruptions: int, **more: Any) -> int:
    """Run in each order in which an actor comes at most so often between the calls of another; return how many."""
    orders, tried = [list[str]()], 0
    while orders:
        order = orders.pop()
        turns = Turns(order, **more)
        await run(turns)
        tried += 1
        interrupted = 0
        for n, (who, ready, last) in enumerate(turns.taken):
            begun = [each for each, _, _ in turns.taken[:n]]
            for other in ready if n >= len(order) else ():
                if other != who and interrupted + (last in ready and other != last) <= interruptions:
                    orders.append([*begun, other])
            interrupted += last in ready and who != last
    return tried


_ACTOR: ContextVar[str | None] = ContextVar("actor", default=None)
"""Who it is on an instance that serves several at a time."""


class Watched:
    """A storage account as one instance reaches it."""

    def __init__(self, inner: Any, actor: str, turns: Turns) -> None:
        self._inner, self._actor, self._turns = inner, actor, turns

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in {*CALLS, "create_container"}:
            return attribute

        async def call(*args: Any) -> Any:
            return await self._turns.call(_ACTOR.get() or self._actor, name, lambda: attribute(*args))

        return call


def instance(world: World, actor: str, turns: Turns) -> Services:
    """Return another process, whose calls of storage wait for their turn."""
    stores = world.stores
    world.stores = {geo: Watched(store, actor, turns) for geo, store in stores.items()}
    try:
        return world.services()
    finally:
        world.stores = stores


async def exporting(traces: Traces, group: Sequence[Span], attempts: int = 3) -> bool:
    """Export as an exporter does, again when it is told to; tell whether it was acknowledged in the end."""
    for _ in range(attempts):
        try:
            assert not await traces.take(group)
        except (StoreUnavailable, Unavailable):
            continue
        return True
    return False


async def together(
    groups: dict[str, Sequence[int]], turns: Turns, *, container: bool = True, attempts: int = 3
) -> tuple[World, dict[str, bool]]:
    """Export several groups on an instance each, and check that what was acknowledged is stored, and nothing twice."""
    world = await enrolled(container=container)
    told = {
        name: exporting(instance(world, name, turns).traces, spans(group), attempts) for name, group in groups.items()
    }
    acknowledged = await turns.run(told)
    check(world, [group for name, group in groups.items() if acknowledged.get(name)], turns.told)
    return world, acknowledged


def check(world: World, acknowledged: Sequence[Sequence[int]], told: Any = "") -> None:
    """Each span that was acknowledged is stored exactly once, and no other more than that."""
    found = stored(world)
    assert {number: found[number] for group in acknowledged for number in group} == {
        number: 1 for group in acknowledged for number in group
    }, told
    assert max(found.values(), default=1) == 1, told


GROUPS = [
    ([1], [1]),
    ([1, 2], [1, 2]),
    ([1, 2], [2, 3]),
    ([1], [1, 2]),
    ([1, 2, 3], [3, 1]),
    ([1], [2]),
]


@pytest.mark.parametrize(("a", "b"), GROUPS)
async def test_two_instances_store_each_span_once_in_whatever_order_their_calls_come(
    a: Sequence[int], b: Sequence[int]
) -> None:
    async def run(turns: Turns) -> None:
        _, acknowledged = await together({"a": a, "b": b}, turns)
        assert acknowledged == {"a": True, "b": True}, turns.told

    assert await in_all_orders(run, interruptions=4) > 20


@pytest.mark.parametrize(("a", "b"), GROUPS)
async def test_two_exports_on_one_instance_store_each_span_once_in_whatever_order_their_calls_come(
    a: Sequence[int], b: Sequence[int]
) -> None:
    read = 0

    async def run(turns: Turns) -> None:
        nonlocal read
        world = await enrolled()
        traces = instance(world, "", turns).traces

        async def export(name: str, group: Sequence[int]) -> bool:
            _ACTOR.set(name)
            return await exporting(traces, spans(group))

        assert await turns.run({"a": export("a", a), "b": export("b", b)}) == {"a": True, "b": True}, turns.told
        check(world, [a, b], turns.told)
        read += sum("read_log" in each for each in turns.told)

    assert await in_all_orders(run, interruptions=4) >= 20
    assert read == 0, "what an instance has appended itself it need not read"


async def test_the_first_batch_of_a_day_is_stored_once_in_whatever_order_the_calls_of_two_instances_come() -> None:
    async def run(turns: Turns) -> None:
        _, acknowledged = await together({"a": [1, 2], "b": [2, 3]}, turns, container=False)
        assert acknowledged == {"a": True, "b": True}, turns.told

    assert await in_all_orders(run, interruptions=3) > 30


@pytest.mark.parametrize("container", [True, False])
async def test_three_instances_store_each_span_once_in_many_orders(container: bool) -> None:
    groups = {"a": [1, 2], "b": [2, 3], "c": [3, 1]}
    for seed in range(150):
        turns = Turns(draw=Random(seed).choice)
        world, acknowledged = await together(groups, turns, container=container, attempts=5)
        assert set(acknowledged) == set(groups)
        # Who was told to come back does so, when the others have gone.
        for name in groups:
            assert acknowledged[name] or await exporting(world.services().traces, spans(groups[name]))
        check(world, list(groups.values()), turns.told)


@pytest.mark.parametrize(("a", "b"), GROUPS[:5])
async def test_a_process_that_ends_before_any_of_its_calls_costs_no_span(a: Sequence[int], b: Sequence[int]) -> None:
    for calls in itertools.count():
        turns = Turns(ends={"a": calls})
        world, acknowledged = await together({"a": a, "b": b}, turns)  # a until its end, and then b
        assert acknowledged["b"], turns.told
        again = Turns()
        assert await again.run({"c": exporting(instance(world, "c", again).traces, spans(a))}) == {"c": True}
        check(world, [a, b], [turns.told, again.told])
        if "a" in acknowledged:
            break
    assert calls >= 3, "it makes at least three: the log, the claim and the batch"


@pytest.mark.parametrize(("a", "b"), GROUPS[:5])
async def test_a_process_that_stops_before_any_of_its_calls_and_goes_on_after_all_others_stores_nothing_twice(
    a: Sequence[int], b: Sequence[int]
) -> None:
    """And the others have regrouped and repeated everything meanwhile."""
    for calls in range(8):
        turns = Turns([*"a" * calls, *"b" * 40])
        world, acknowledged = await together({"a": a, "b": b, "c": [*a, *b]}, turns)
        assert set(acknowledged.values()) == {True}, turns.told
        check(world, [a, b], turns.told)


async def test_who_finds_a_claim_without_a_batch_takes_its_place_and_who_comes_late_claims_anew() -> None:
    # a claims, and b does all that it does before a puts.
    turns = Turns([*"aabbbbbbbb"])
    world, acknowledged = await together({"a": [1, 2], "b": [2, 3]}, turns)
    assert acknowledged == {"a": True, "b": True}
    assert turns.told.index("b find_batch") < turns.told.index("a put_batch")
    assert turns.told.count("b put_batch") == 2 and turns.told.count("a put_batch") == 2
    assert turns.told.count("a append") == 2, "under another name"
    assert tombstones(world) == 1 and stored(world) == Counter([1, 2, 3])


async def test_who_is_about_to_take_the_place_of_a_batch_that_comes_after_all_stores_nothing_of_it() -> None:
    order = ["a create_log", "a append", "b create_log", "b append", "b read_log", "b find_batch", "a put_batch"]
    turns = Turns([*"aabbbbabb"])
    world, acknowledged = await together({"a": [1, 2], "b": [2, 3]}, turns)
    assert turns.told[: len(order)] == order and turns.told[len(order) :] == ["b put_batch", "b put_batch"]
    assert acknowledged == {"a": True, "b": True}
    assert tombstones(world) == 0 and stored(world) == Counter([1, 2, 3])


async def test_whoever_is_pushed_aside_again_and_again_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await enrolled()
    store = world.stores["europe"]
    put, taken = store.put_batch, list[str]()

    async def too_late(permit: Any, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        if content != span_logs._VOID:
            taken.append(batch_id)
            await put(permit, container, batch_id, span_logs._VOID, span_logs._VOID_HASH)
        return await put(permit, container, batch_id, content, body_hash)  # type: ignore[no-any-return]

    store.put_batch = too_late
    traces = world.services().traces
    with pytest.raises(StoreUnavailable) as refused:
        await traces.take(spans([1]))
    assert refused.value.code == "span-log-contended"
    assert stored(world) == Counter() and len(set(taken)) >= 3, "under a name of its own each time"
    store.put_batch = put
    assert await exporting(world.services().traces, spans([1, 2])), "in another group it has names of its own"
    check(world, [[1, 2]])


async def test_who_was_pushed_aside_can_come_back_as_often_as_it_likes() -> None:
    world = await enrolled()
    store = world.stores["europe"]
    put = store.put_batch

    async def too_late(permit: Any, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        await put(permit, container, batch_id, span_logs._VOID, span_logs._VOID_HASH)
        return await put(permit, container, batch_id, content, body_hash)  # type: ignore[no-any-return]

    store.put_batch = too_late
    assert not await exporting(world.services().traces, spans([1]), attempts=1)
    store.put_batch = put
    assert await exporting(world.services().traces, spans([1]))
    check(world, [[1]])


async def test_two_instances_that_push_each_other_aside_can_come_back_when_the_other_has_gone() -> None:
    # Each finds the other's claim before the other's batch is there, three times.
    order = [*"aa", *"bbbbb", *"aaaaa", *"bbbbb", *"aaaaa", *"bbbbb"]
    turns = Turns(order)
    world, acknowledged = await together({"a": [1, 2], "b": [2, 3]}, turns, attempts=1)
    assert acknowledged["a"] or await exporting(world.services().traces, spans([1, 2])), turns.told
    assert acknowledged["b"] or await exporting(world.services().traces, spans([2, 3])), turns.told
    check(world, [[1, 2], [2, 3]])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", ["lost", "failed"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_call_whose_answer_is_lost_or_that_fails_leaves_nothing_twice(call: str, how: str, nth: int) -> None:
    """It may be any of the calls of ``a``, in any of the orders in which ``b`` may come between."""

    async def run(turns: Turns) -> None:
        seen = Counter[str]()

        def hit(told: str) -> bool:
            seen[told] += 1
            return told == f"a {call}" and seen[told] == nth

        setattr(turns, how, hit)
        _, acknowledged = await together({"a": [1, 2], "b": [2, 3]}, turns)
        assert acknowledged == {"a": True, "b": True}, turns.told

    assert await in_all_orders(run, interruptions=2) > 10


async def test_a_claim_that_was_made_though_its_answer_was_lost_is_made_again_and_counts_once() -> None:
    lost = iter([True, False, False])
    turns = Turns(lost=lambda told: told == "a append" and next(lost))
    world, acknowledged = await together({"a": [1, 2]}, turns)
    assert acknowledged == {"a": True} and turns.told.count("a append") == 2
    [(_, records)] = [(place, each) for place, each in world.stores["europe"].logs.items() if "1255" not in place[1]]
    first, second = gzip.decompress(records).splitlines()
    assert first == second and stored(world) == Counter([1, 2])


async def test_an_instance_whose_view_is_old_reads_what_others_have_claimed_since() -> None:
    world = await enrolled()
    one, other = world.services().traces, world.services().traces
    assert await exporting(one, spans([1]))
    for number in (2, 3, 4):
        assert await exporting(other, spans([number]))
    world.clock.slept.clear()
    assert await exporting(one, spans([2, 5, 4]))
    assert await exporting(other, spans([5, 1]))
    assert world.clock.slept == [], "and that is no failure after which it would wait"
    check(world, [[1, 2, 3, 4, 5]])


async def test_what_is_known_to_be_stored_costs_no_call_of_storage() -> None:
    world = await enrolled()
    turns = Turns()
    traces = instance(world, "a", turns).traces
    await turns.run({"a": exporting(traces, spans([1, 2]))})
    calls = len(turns.told)
    await turns.run({"a": exporting(traces, spans([1, 2]))})
    assert "a append" not in turns.told[calls:], turns.told
    check(world, [[1, 2]])


async def test_a_span_that_comes_again_with_other_words_is_stored_as_it_came_first() -> None:
    world = await enrolled()
    one, other = world.services().traces, world.services().traces
    assert await exporting(one, [span(1, text="first")])
    for traces in (one, other):
        assert await exporting(traces, [span(1, text="second")])
    check(world, [[1]])
    contents = [gzip.decompress(content) for batches in world.containers().values() for content, _ in batches.values()]
    assert any(b"first" in each for each in contents) and not any(b"second" in each for each in contents)


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_an_instance_may_forget_what_it_has_seen_at_any_time(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(span_logs, "_KEPT_MAX", most)
    world = await enrolled()
    traces = world.services().traces
    minutes = [timedelta(minutes=n) for n in range(4)]
    for _ in range(2):
        for n, before in enumerate(minutes, 1):
            group = [span(10 * n + k, before=before) for k in range(2)]
            assert await exporting(traces, group)
            assert await exporting(traces, [*group[1:], span(10 * n + 5, before=before)])
    # All minutes at a time, each of which may push out the others.
    every = [span(10 * n + k, before=before) for n, before in enumerate(minutes, 1) for k in (0, 1, 5)]
    assert all(await asyncio.gather(*(exporting(traces, every[n:]) for n in range(0, 12, 3))))
    check(world, [[10 * n + k for n in range(1, 5) for k in (0, 1, 5)]])
    logs: SpanLogs = traces._logs
    assert sum(remembered(log) for log in logs._logs.values()) <= most


def remembered(log: Any) -> int:
    return 1 + sum(map(len, log.claims.values()))


async def test_what_an_instance_remembers_is_counted_as_it_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_logs, "_KEPT_MAX", 12)
    world = await enrolled()
    traces, store = world.services().traces, world.stores["europe"]
    logs, create_log, find_batch = traces._logs, store.create_log, store.find_batch
    refused = {"create": False, "find": False}

    async def create(*what: Any) -> None:
        if refused["create"]:
            raise TryAgain("storage-503")
        await create_log(*what)

    async def find(*what: Any) -> Any:
        if refused["find"]:
            raise TryAgain("storage-503")
        return await find_batch(*what)

    store.create_log, store.find_batch = create, find
    for n in range(40):
        # Before anything is claimed, after that, and in the end; the same spans in other groups; a log that goes.
        refused.update(create=n % 5 == 1, find=n % 5 == 2)
        before = timedelta(minutes=n % 11)
        await exporting(traces, [span(1 + n % 7 + k, before=before) for k in range(1 + n % 3)])
        if n % 13 == 12:
            await store.delete_container(day_of(world))
        assert logs._kept == sum(remembered(log) for log in logs._logs.values()) <= 12


async def test_a_log_that_has_become_another_is_counted_no_more_and_every_other_is() -> None:
    world = await enrolled()
    traces, store = world.services().traces, world.stores["europe"]
    logs = traces._logs
    assert await exporting(traces, [span(n) for n in range(1, 6)])
    others = set(store.logs)
    assert await exporting(traces, [span(n, before=timedelta(minutes=1)) for n in range(6, 8)])
    [mine] = store.logs.keys() - others
    store.logs[mine] = b""
    await exporting(traces, [span(8, before=timedelta(minutes=1))])
    assert logs._kept == sum(remembered(log) for log in logs._logs.values())


async def test_the_least_recently_used_log_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_logs, "_KEPT_MAX", 6)  # three logs with a claim each
    world = await enrolled()
    traces = world.services().traces
    minutes = [timedelta(minutes=n) for n in range(4)]
    for n in (0, 1, 2, 0, 3):
        assert await exporting(traces, [span(n + 1, before=minutes[n])])
    kept = [name for _, name in traces._logs._logs]
    assert kept == [f"spans-{NOW - minutes[n]:%H%M}" for n in (2, 0, 3)]


def day_of(world: World) -> str:
    [name] = world.containers()
    return name


async def test_a_container_that_is_gone_with_its_logs_is_made_anew_and_so_are_they() -> None:
    world = await enrolled()
    one = world.services().traces
    assert await exporting(one, spans([1]))
    await world.stores["europe"].delete_container(day_of(world))
    assert await exporting(one, spans([2]))
    check(world, [[2]])
    assert await exporting(world.services().traces, spans([2, 3]))
    check(world, [[2, 3]])


@pytest.mark.parametrize("others", [[7], [7, 8, 9, 10]])
async def test_a_log_that_others_made_anew_is_not_taken_for_the_one_that_was_known(others: Sequence[int]) -> None:
    """Its container was deleted by hand. It may be shorter than what is known of the old one, or longer by now."""
    world = await enrolled()
    one, other = world.services().traces, world.services().traces
    assert await exporting(one, spans([1, 2, 3, 4]))
    await world.stores["europe"].delete_container(day_of(world))
    for number in others:
        assert await exporting(other, spans([number]))
    assert await exporting(one, spans([others[-1], 20]))
    check(world, [[*others, 20]])
    assert await exporting(world.services().traces, spans([20, 21]))
    check(world, [[*others, 20, 21]])


async def test_who_finds_another_log_each_time_is_told_to_come_back() -> None:
    world = await enrolled()
    store = world.stores["europe"]
    append = store.append

    async def gone(*args: Any) -> int:
        raise BatchMissing

    store.append = gone
    traces = world.services().traces
    with pytest.raises(StoreUnavailable) as refused:
        await traces.take(spans([1]))
    assert refused.value.code == "span-log-changed"
    store.append = append
    assert await exporting(traces, spans([1]))
    check(world, [[1]])


async def test_two_exports_that_find_at_once_that_their_log_is_another_are_both_stored() -> None:
    world = await enrolled()
    one, other = world.services().traces, world.services().traces
    assert await exporting(one, spans([1, 2, 3, 4]))
    await world.stores["europe"].delete_container(day_of(world))
    assert await exporting(other, spans([7]))
    store = world.stores["europe"]
    append = store.append

    async def slow(*args: Any) -> int:
        await asyncio.sleep(0)
        return await append(*args)  # type: ignore[no-any-return]

    store.append = slow
    assert await asyncio.gather(exporting(one, spans([20]), 1), exporting(one, spans([21]), 1)) == [True, True]
    check(world, [[7, 20, 21]])


async def test_spans_of_one_export_lie_in_the_log_of_the_minute_in_which_each_ended() -> None:
    world = await enrolled()
    across = [timedelta(seconds=1), timedelta(), timedelta(hours=11), timedelta(hours=11, seconds=1)]
    world.clock.move(timedelta(hours=13))
    group = [span(n, before=-after) for n, after in enumerate(across, 1)]
    assert await exporting(world.services().traces, group)
    assert await exporting(world.services().traces, [*reversed(group)])
    assert stored(world) == Counter([1, 2, 3, 4])
    logs = sorted((name[2:10], log) for name, log in world.stores["europe"].logs if log != "spans-1255")
    assert logs == [("20261121", "spans-1300"), ("20261122", "spans-0000")]


async def test_others_have_their_turn_while_many_spans_are_read() -> None:
    world = await enrolled()
    turns, reading = list[int](), True

    async def others() -> None:
        while reading:
            turns.append(len(turns))
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    silent = Span(TRACE_ID, f"{7:016x}", 0, 1, {}, {}, size=128 * 1024)
    for spans_of_one, most in (([None] * 1280, 12), ([silent] * 20, 22)):
        await asyncio.sleep(0)
        before = len(turns)
        await world.services().traces.take(spans_of_one)
        assert most - 4 <= len(turns) - before <= most
    reading = False
    await waiting


async def test_a_span_that_has_become_too_old_meanwhile_is_refused_and_those_beside_it_are_stored() -> None:
    world = await enrolled(container=False)
    world.clock.set(NOW + timedelta(hours=24, seconds=-1))
    store = world.stores["europe"]
    create_log, ages = store.create_log, iter([timedelta(seconds=30)])

    async def slow(*args: Any) -> None:
        world.clock.move(next(ages, timedelta()))
        await create_log(*args)

    store.create_log = slow
    group = [span(1), span(2, before=timedelta(seconds=-50))]
    assert await world.services().traces.take(group) == {Refusal.TOO_EARLY: 1}
    assert stored(world) == Counter([2])


async def test_a_span_whose_storing_was_not_answered_is_not_refused_when_the_clock_is_set_back() -> None:
    world = await enrolled()
    store = world.stores["europe"]
    put_batch = store.put_batch

    async def set_back_and_lose_the_answer(*args: Any) -> None:
        await put_batch(*args)
        store.put_batch = put_batch
        world.clock.move_wall(timedelta(seconds=-10))
        raise TryAgain("storage-timeout")

    store.put_batch = set_back_and_lose_the_answer
    with pytest.raises(StoreUnavailable, match="storage-timeout"):
        await world.services().traces.take([span(1, before=timedelta(minutes=-4, seconds=-58))])
    assert stored(world) == Counter([1])


async def test_what_cannot_be_stored_of_one_tenant_is_told_when_all_others_is_stored() -> None:
    world = await enrolled()
    await world.opt_in(OTHER_TENANT, "unitedkingdom")
    world.clock.move(timedelta(seconds=10))

    async def fail(*args: Any) -> None:
        raise TryAgain("storage-503")

    async def slow(*args: Any) -> int:
        await settle()
        return await append(*args)  # type: ignore[no-any-return]

    append = world.stores["unitedkingdom"].append
    world.stores["europe"].append, world.stores["unitedkingdom"].append = fail, slow
    theirs = replace(span(2, before=timedelta(seconds=-5)), attributes={**chat(), "microsoft.tenant.id": OTHER_TENANT})
    with pytest.raises(StoreUnavailable, match="storage-503"):
        await world.services().traces.take([span(1), theirs])
    assert [len(batches) for batches in world.containers("unitedkingdom").values()] == [1]
    assert stored(world) == Counter()


async def test_a_span_that_comes_twice_in_an_export_is_stored_as_it_came_first() -> None:
    world = await enrolled()
    assert not await world.services().traces.take([span(1, text="first"), span(1, text="second")])
    [content] = [
        gzip.decompress(content)
        for batches in world.containers().values()
        for content, _ in batches.values()
        if f"{1:016x}".encode() in gzip.decompress(content)
    ]
    assert b"first" in content and b"second" not in content


async def test_whatever_becomes_too_old_while_it_is_tried_is_told_to_come_back() -> None:
    world = await enrolled(container=False)
    world.clock.set(NOW + timedelta(hours=24, seconds=-1))
    store = world.stores["europe"]
    create_log = store.create_log

    async def slow(*args: Any) -> None:
        world.clock.move(timedelta(seconds=10))
        await create_log(*args)

    store.create_log = slow
    group = [span(n, before=timedelta(seconds=-10 * n)) for n in range(6)]
    with pytest.raises(Unavailable, match=Unavailable.CONSENT):
        await world.services().traces.take(group)
    assert stored(world) == Counter()


async def test_the_first_and_the_last_instant_of_what_is_taken_are_taken() -> None:
    world = World()
    setting = await world.opt_in()
    assert setting.enrollment is not None
    world.clock.set(setting.enrollment.started_at)
    first, last = (span(n, before=NOW - START - after) for n, after in ((1, timedelta()), (2, timedelta(minutes=5))))
    early, late = (
        replace(each, span_id=f"{n:016x}", end=each.end + by) for n, each, by in ((3, first, -1000), (4, last, 1000))
    )
    refused = await world.services().traces.take([first, last, early, late])
    assert refused == {Refusal.TOO_EARLY: 1, Refusal.TOO_LATE: 1}
    assert stored(world) == Counter([1, 2])


async def test_spans_of_one_minute_are_one_batch_and_each_that_is_refused_is_counted() -> None:
    world = await enrolled()
    group = [span(n, before=timedelta(seconds=-n, microseconds=-n)) for n in range(1, 9)]
    later = [span(n, before=timedelta(minutes=-2, seconds=-n)) for n in range(9, 12)]
    await world.services().traces.take([*group, *later])
    names = [name for batches in world.containers().values() for name in batches]
    assert len(names) == 3, "and one of the span that every world begins with"
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    await world.opt_out()
    world.clock.move(timedelta(seconds=10))
    assert await world.services().traces.take([*group, *later]) == {Refusal.DATA_SHARING_OFF: 11}


async def test_what_is_stored_of_a_span_is_json_and_names_persons_by_their_pseudonyms() -> None:
    world = await enrolled()
    key = world.ledger.settings[TENANT].value.person_key
    told = {"ratio": float("nan"), "custom": {"enduser.id": "adele"}, "user.id": "adele", "microsoft.tenant.id": TENANT}
    assert not await world.services().traces.take([replace(span(1), attributes={**chat(), **told})])
    [line] = [
        json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
        for batches in world.containers().values()
        for content, _ in batches.values()
        for line in gzip.decompress(content).splitlines()
        if f"{1:016x}".encode() in line
    ]
    assert line["userId"] == pseudonym(key, "adele")
    assert line["telemetry"]["ratio"] == "NaN"
    assert line["telemetry"]["custom"] == {"enduser.id": pseudonym(key, "adele")}


async def test_each_span_that_is_refused_is_counted_by_its_reason_and_those_after_it_are_stored() -> None:
    world = await enrolled()
    silent = replace(span(1), attributes={"gen_ai.operation.name": "chat"})
    nobodys = replace(span(2), attributes=chat())
    others = replace(span(3), attributes={**chat(), "microsoft.tenant.id": OTHER_TENANT})
    invalid = replace(span(4), trace_id="0" * 32)
    long = span(5, text="x" * (TEXT_MAX_BYTES + 1))
    refused = [*[nobodys] * 2, *[others] * 3, *[invalid] * 4, *[long] * 5]
    assert await world.services().traces.take([silent, *refused, None, span(6)], TENANT) == {
        Refusal.NO_TENANT: 2,
        Refusal.OTHER_TENANT: 3,
        Refusal.INVALID: 4,
        Refusal.TOO_LONG: 5,
    }
    assert stored(world) == Counter([6])


async def test_an_export_may_have_spans_of_512_tenants_and_of_no_more() -> None:
    world = await enrolled()
    of_each = [
        replace(span(n), attributes={**chat(), "microsoft.tenant.id": f"{n:08x}-0c4d-4f18-a7e1-62d05c8f9b30"})
        for n in range(1, 514)
    ]
    assert await world.services().traces.take(of_each[:512]) == {Refusal.DATA_SHARING_OFF: 512}
    with pytest.raises(InvalidRequest):
        await world.services().traces.take(of_each)
