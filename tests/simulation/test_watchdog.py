"""The campaign comes to an end whatever a history does, and tells which one did not."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.simulation import campaign, scheduler
from tests.simulation import history as history_module
from tests.simulation.history import DAY, History, Setup, Storm, month, tenant
from tests.simulation.scheduler import Process, VirtualLoop

SETUP = Setup(datetime(2026, 11, 21, 12, 0, tzinfo=UTC), 3, ("unitedstates", "europe"), (tenant(0),), 2)


async def for_ever(history: History) -> None:
    while True:  # noqa: ASYNC110 - that is the fault
        await asyncio.sleep(0)


async def without_a_turn(history: History) -> None:
    while True:
        pass


async def for_nothing(history: History) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("left", [1.2e-10, 5e-10, 9e-10, 1e-9])
def test_a_pause_with_less_left_than_a_clock_can_tell_ends(monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    monkeypatch.setattr(scheduler, "TURNS_MAX", 100)
    loop = VirtualLoop()
    process = Process("i1", loop, SETUP.base, 0.0, 0.0)

    async def paused() -> float:
        await asyncio.sleep(1e6)
        process.pause(left)
        await process.running()
        return loop.time()

    assert loop.run_until_complete(paused()) == 1e6 + left
    loop.close()


def test_what_was_owed_and_is_gone_when_it_falls_due_ends_the_month() -> None:
    history = History("nothing left", SETUP)

    async def story(history: History) -> None:
        name = f"a-20261121-{'a' * 32}"
        history.oracle.plant("unknown enrollment", "steurope", name, "")
        [(begins, _)] = history.due(None)
        history.loop.call_at(begins - 1, history.cloud.captures["steurope"].containers.pop, name)
        await month(history, Storm(history.random, history.faults, calm=True), begins + DAY)

    assert history.run(story).violation is None


@pytest.mark.parametrize(
    ("story", "what"),
    [
        (for_ever, "1000 turns of the loop and no end"),
        (without_a_turn, "0 s of processor time and no end"),
        (for_nothing, "everything waits, and nothing is left to wait for"),
    ],
)
def test_a_history_without_an_end_is_told_with_its_seed_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, story: history_module.Story, what: str
) -> None:
    monkeypatch.setattr(scheduler, "TURNS_MAX", 1000)
    monkeypatch.setattr(history_module, "HISTORY_SECONDS", 0.3)
    monkeypatch.setattr(history_module, "whole_story", story)
    summary = campaign.run_chunk([1, 2])
    assert [seed for seed, _ in summary.violations] == [1, 2]
    assert all(told.endswith(f"the history came to no end: {what}") for _, told in summary.violations)
