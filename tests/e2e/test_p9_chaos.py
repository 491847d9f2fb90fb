"""P9 on the real stack: whatever is killed, and whenever, what was acknowledged is kept to.

A failure tells its seed: ``CHAOS_SEED`` makes the same choices again (the machine's own timing stays its own), and
``CHAOS_ROUNDS`` more or fewer of them.
"""

import asyncio
import os
import random
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.client import Client
from local.stack import Stack
from shared.model import deadlines
from tests.e2e.chaos import Load, Witness

GEOS = ("europe", "unitedstates")
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "10"))
LOOK_EVERY = 10

OUTAGES = (
    *[("host",)] * 5,
    ("cosmos",),
    ("storage-europe",),
    ("storage-unitedstates",),
    ("host", "cosmos"),
    ("host", "storage-europe"),
)
"""What goes down together; every ten rounds have all of them, in an order of their own."""

# Three steps at least between a deletion's begin and its deadline: one for each of its looks, and one to be lost.
STEP_HOURS = (10, 14)

UNTIL_DUE = timedelta(days=27)
"""How far the clock leaps after a quarter of the rounds: in the others the first deletions and days come due."""

REPAIRS = {"deletionsCreated", "pastDeadline", "failures"}
"""What a sweep may find after a crash, or a clock that jumps; anything else is a promise broken."""


class Chaos:
    """The rounds, one after the other, and the month after them."""

    def __init__(self, stack: Stack, client: Client, seed: int, story: list[str]) -> None:
        self.stack = stack
        self.client = client
        self.rng = random.Random(seed)
        self.load = Load(client, GEOS, seed)
        self.story = story
        self.purged_at: datetime

    async def play(self) -> None:
        begin = await self.client.now()
        async with Witness(self.client, self.stack, self.load) as witness:
            async with self.load.running():
                for n, outage in enumerate(self.outages(), start=1):
                    self.story.append(f"round {n}: {' and '.join(outage)}")
                    await self.step(at_least=begin + UNTIL_DUE if n > ROUNDS // 4 else begin)
                    await self.play_round(outage)
                    if n % LOOK_EVERY == 0:
                        await witness.look(purged_at=self.purged_at)
            self.story.append("the month after")
            await self.purge()
            await witness.look(purged_at=self.purged_at, exactly=True)
            self.check_it_was_chaos(witness)
            await witness.read_again(self.rng, 50)
            await self.outlast_all_deadlines(witness)

    def outages(self) -> Iterable[tuple[str, ...]]:
        order = list(OUTAGES)
        for n in range(ROUNDS):
            if n % len(order) == 0:
                self.rng.shuffle(order)
            yield order[n % len(order)]

    async def play_round(self, outage: tuple[str, ...]) -> None:
        await asyncio.sleep(self.rng.uniform(0, 0.8))
        await asyncio.gather(*(self.end(name) for name in outage))
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        await asyncio.gather(*(self.stack.processes[name].start() for name in outage))
        await self.load.jump(await self.client.now() + deadlines.RETRY_MAX)  # what has failed may be tried again
        await self.purge()
        died = [name for name, process in self.stack.processes.items() if process.died]
        assert not died, f"{died} ended without being killed"

    async def end(self, name: str) -> None:
        process = self.stack.processes[name]
        # Azurite answers before it has written; a SIGKILL of it would lose what no service of ours can give back.
        await (process.stop() if name.startswith("storage") else process.kill())

    async def step(self, *, at_least: datetime) -> None:
        now = await self.client.now()
        await self.load.jump(max(at_least, now + timedelta(hours=self.rng.uniform(*STEP_HOURS))))

    async def purge(self) -> None:
        """Purge as the schedule would have many times between two steps: until a purge has come through everywhere."""
        for _ in range(30):
            self.purged_at = await self.client.now()
            await self.client.run("purge")
            status = await self.client.status()
            last = [each["lastPurge"] for each in status.get("accounts", {}).values()]  # none in a problem
            if last and all(self.came_through(each) for each in last):
                return
        raise AssertionError(f"no purge comes through: {last}")

    def came_through(self, purge: Any) -> bool:
        return purge["outcome"] == "done" and datetime.fromisoformat(purge["startedAt"]) >= self.purged_at

    def check_it_was_chaos(self, witness: Witness) -> None:
        counts = self.load.counts
        if ROUNDS >= 30:  # fewer may end before anything is due
            assert len(self.load.stored) > len(witness.gone) and counts["opt-outs"] and counts["answers lost"], counts
            assert set(witness.gone.values()) == {"retention", "deletion"}, counts

    async def outlast_all_deadlines(self, witness: Witness) -> None:
        while pending := [each for each in await witness.deletions() if each["status"] != "verified"]:
            # Shortly before the first one is due: those of almost two days are begun at once.
            due = min(datetime.fromisoformat(each["deadline"]) for each in pending) - timedelta(hours=1)
            await self.client.move_to(max(due, await self.client.now()))
            await self.purge()
            await self.client.move_to(await self.client.now() + timedelta(minutes=5))
            await self.purge()
        await self.client.move_to(await self.client.now() + timedelta(days=30))
        await self.purge()
        for _ in range(2):
            assert await self.client.run("sweep") == "completed"
        for each in await witness.look(purged_at=self.purged_at, exactly=True):
            assert each["status"] == "verified" and each["overdue"] is False, each
            deadline, receipt = datetime.fromisoformat(each["deadline"]), each["receipt"]
            looks = [datetime.fromisoformat(receipt[name]) for name in ("firstLookAt", "secondLookAt")]
            assert looks[0] + timedelta(minutes=5) <= looks[1] <= deadline, each
            assert receipt.get("reappeared", []) == [], each
        assert not any((await self.client.all_containers()).values()), "the last days are over, and something is stored"
        status = await self.client.status()
        assert status["holds"] is True, status
        assert status["findings"].keys() <= REPAIRS, status["findings"]


@pytest.mark.stack
async def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
    story: list[str] = []
    try:
        async with Stack(tmp_path / "stack", GEOS) as stack, Client(stack) as client:
            await Chaos(stack, client, seed, story).play()
    except Exception as error:
        error.add_note(f"CHAOS_SEED={seed} CHAOS_ROUNDS={ROUNDS}; {'; '.join(story[-3:])}")
        raise
