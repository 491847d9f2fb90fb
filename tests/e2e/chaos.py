"""Callers that never give up, what they were told, and a look at whether the stack keeps to it (P9)."""

import asyncio
import gzip
import itertools
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import aiohttp
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from local.client import Answer, Client, containers_in
from local.stack import Stack
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.items import format_instant

STEADY, FICKLE = 2, 6
"""How many tenants stay in, so that retention has work, and how many come and go."""

T = TypeVar("T")

_LOST = (aiohttp.ClientError, OSError, TimeoutError)
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_FEED_SECONDS = 120.0
_RETENTION_DAYS = 30


@dataclass(frozen=True, slots=True)
class Change:
    """An acknowledged change of a tenant's setting; ``at`` is the ledger's, as text."""

    kind: str
    enrollment_id: str
    geo: str
    at: str


@dataclass(frozen=True, slots=True)
class Stored:
    """An acknowledged batch, the day it belongs to, and the texts that were sent."""

    enrollment_id: str
    batch_id: str
    day: date
    inputs: tuple[str, ...]

    @property
    def container(self) -> str:
        return f"{self.enrollment_id[0]}-{self.day:%Y%m%d}-{self.enrollment_id}"


@dataclass
class Tenant:
    """A tenant as its own callers know it.

    Attributes:
        changes: those that were acknowledged, oldest first.
        surely_on: a new object for each acknowledged opt-in; None from the moment an opt-out is wished for.
        off_since: enrollment to the monotonic time at which its opt-out was acknowledged.
    """

    id: str
    steady: bool
    rng: random.Random
    changes: list[Change] = field(default_factory=list)
    surely_on: object | None = None
    off_since: dict[str, float] = field(default_factory=dict)

    @property
    def enrollment(self) -> Change | None:
        last = self.changes[-1] if self.changes else None
        return last if last and last.kind == "optedIn" else None


class Load:
    """Concurrent callers: each repeats what it wants, the same way, until it is answered.

    Attributes:
        stored: every acknowledged batch.
        counts: what happened, by kind.
    """

    def __init__(self, client: Client, geos: Sequence[str], seed: object) -> None:
        self.stored: list[Stored] = []
        self.counts: Counter[str] = Counter()
        self.tenants = [
            Tenant(str(uuid.UUID(int=n + 1)), n < STEADY, random.Random(f"{seed} tenant {n}"))
            for n in range(STEADY + FICKLE)
        ]
        self._client = client
        self._geos = geos
        self._rng = random.Random(f"{seed} jobs")
        self._jumps = 0
        self._posts = 0
        self._may_post = asyncio.Event()
        self._no_posts = asyncio.Event()
        self._no_posts.set()
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Call inside; at the end every caller gets its last answer first, so the stack must be up by then."""
        self._may_post.set()
        work: list[Coroutine[Any, Any, None]] = [self._run_jobs()]
        for tenant in self.tenants:
            work += [self._toggle(tenant), self._post(tenant)]
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
            yield
            self._ended.set()

    async def jump(self, to: datetime) -> None:
        """Move the clock forward, between captures: none takes hours from its consent to its write."""
        self._may_post.clear()
        await self._no_posts.wait()
        self._jumps += 1
        await self._client.move_to(to)
        self._may_post.set()

    # Toggles

    async def _toggle(self, tenant: Tenant) -> None:
        await self._opt_in(tenant)
        while not (tenant.steady or await self._ended_within(tenant.rng.uniform(0.1, 3))):
            await self._opt_out(tenant)
            if tenant.rng.random() < 0.4:
                await self._expedite(tenant)
            if tenant.rng.random() < 0.5 and await self._ended_within(tenant.rng.uniform(0.1, 2)):
                return
            await self._opt_in(tenant)

    async def _opt_in(self, tenant: Tenant) -> None:
        geo, jumps = tenant.rng.choice(self._geos), self._jumps
        answer = await self._until_answered(lambda: self._client.opt_in(tenant.id, geo))
        assert (answer.status, answer.body["enabled"], answer.body["geo"]) == (200, True, geo), answer
        tenant.changes.append(Change("optedIn", answer.body["enrollmentId"], geo, answer.body["since"]))
        # A repeat waits for a lease by the clock; one that a jump made look late tells nothing about other requests.
        tenant.surely_on = object() if jumps == self._jumps else None

    async def _opt_out(self, tenant: Tenant) -> None:
        ended, jumps = tenant.changes[-1], self._jumps
        tenant.surely_on = None
        answer = await self._until_answered(lambda: self._client.opt_out(tenant.id))
        assert (answer.status, answer.body["enabled"]) == (200, False), answer
        tenant.changes.append(Change("optedOut", ended.enrollment_id, ended.geo, answer.body["since"]))
        if jumps == self._jumps:
            tenant.off_since[ended.enrollment_id] = time.monotonic()
        self.counts["opt-outs"] += 1

    async def _expedite(self, tenant: Tenant) -> None:
        path = f"deletions/{tenant.changes[-1].enrollment_id}/expedite"
        answer = await self._until_answered(lambda: self._client.as_admin("POST", tenant.id, path))
        assert answer.status == 202 or answer.problem == "not-found", answer  # the feed has not scheduled it yet
        self.counts[f"expedites {answer.status}"] += 1

    # Captures

    async def _post(self, tenant: Tenant) -> None:
        for n in itertools.count():
            taken = await self._post_one(tenant, f"{tenant.id} {n}")
            if await self._ended_within(tenant.rng.uniform(0, 0.25 if taken else 0.5)):
                return

    async def _post_one(self, tenant: Tenant, name: str) -> bool:
        made = (tenant.surely_on, self._jumps)
        instants = await self._instants(tenant)
        captures = [
            {"capturedAt": format_instant(at), "feature": "f", "input": f"{name} {n}", "output": "o"}
            for n, at in enumerate(instants)
        ]
        key = name.replace(" ", "-")
        sent, on = 0.0, tenant.surely_on

        async def post() -> Answer:
            nonlocal sent, on
            await self._may_post.wait()
            self._posts += 1
            self._no_posts.clear()
            sent, on = time.monotonic(), tenant.surely_on
            try:
                return await self._client.post(tenant.id, captures, key=key)
            finally:
                self._posts -= 1
                if not self._posts:
                    self._no_posts.set()

        answer = await self._until_answered(post)
        if answer.status in {200, 201}:
            enrollment_id = answer.body["enrollmentId"]
            assert sent < tenant.off_since.get(enrollment_id, sent + 1), "P2: taken after the opt-out was answered"
            inputs = tuple(str(each["input"]) for each in captures)
            day = min(instants).date()
            self.stored.append(Stored(enrollment_id, answer.body["batchId"], day, inputs))
        elif answer.problem == "data-sharing-off":
            assert on is None or on is not tenant.surely_on, "refused while data sharing was on all the time"
        else:
            assert answer.problem == "captured-too-early", answer
            assert made[0] is None or made != (tenant.surely_on, self._jumps), "refused as too early, and was not"
        self.counts[f"captures {answer.status}"] += 1
        return answer.status < 400

    async def _instants(self, tenant: Tenant) -> list[datetime]:
        enrollment = tenant.enrollment
        now = await self._until_told(self._client.now)
        if enrollment is None:
            return [now]
        span = min(now - datetime.fromisoformat(enrollment.at), timedelta(hours=23))
        return [now - span * tenant.rng.random() for _ in range(tenant.rng.randint(1, 3))]

    # Purge and sweep by hand, at any time

    async def _run_jobs(self) -> None:
        while not await self._ended_within(self._rng.uniform(0, 1.2)):
            job = self._rng.choice(["purge", "purge", "sweep"])
            outcome = await self._answered(self._client.run(job))
            self.counts[f"{job} {outcome or 'killed'}"] += 1

    # What the callers have in common

    async def _until_answered(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        while True:
            answer = await self._until_told(call)
            assert answer.status != 500, "an error of the service's own"
            # 401: the clock was moved while the token was on its way.
            if answer.status < 500 and answer.status != 401:
                return answer
            self.counts[f"answers {answer.status}"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _until_told(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            told = await self._answered(call())
            if told is not None:
                return told
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _answered(self, call: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await call
        except _LOST:
            self.counts["answers lost"] += 1
            return None

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True


class Witness:
    """Holds what the callers were told against what the stack says and holds; it outlasts every look.

    Attributes:
        deadlines: enrollment to its deletion's deadline, as first seen.
        gone: why acknowledged batches were lawfully absent, by batch.
    """

    def __init__(self, client: Client, stack: Stack, load: Load) -> None:
        self.deadlines: dict[str, str] = {}
        self.gone: dict[Stored, str] = {}
        self._client = client
        self._load = load
        self._exit = AsyncExitStack()
        self._settings = stack.description.storage
        self._accounts: dict[str, BlobServiceClient] = {}
        self._account_of: dict[str, str] = {}

    async def __aenter__(self) -> "Witness":
        for setting in self._settings.values():
            client = await self._exit.enter_async_context(BlobServiceClient.from_connection_string(setting))
            self._accounts[str(client.account_name)] = client
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def look(self, *, purged_at: datetime, exactly: bool = False) -> list[dict[str, Any]]:
        """Check everything that was acknowledged before now, and return all deletions.

        Args:
            purged_at: when the last whole purge began.
            exactly: nobody calls meanwhile, so the ledger holds what was acknowledged and no more.
        """
        acknowledged = [(tenant, list(tenant.changes)) for tenant in self._load.tenants]
        stored = list(self._load.stored)
        # Storage between the deletions and the deletions again, and before the ledger: whatever lies there was on the
        # ledger by then, was not verified before, and may only be absent if the deletion's begin is known after.
        verified = {each["enrollmentId"] for each in await self.deletions() if each["status"] == "verified"}
        held = await self._held()
        ledger = [event for each in acknowledged for event in await self._ledger(*each, exactly)]
        deletions = await self._scheduled(acknowledged)
        now = await self._client.now()

        self._account_of = {event["enrollmentId"]: event["storageAccount"] for event in ledger}
        expired = deadlines.newest_expired_day(purged_at, _RETENTION_DAYS)
        for account, containers in held.items():
            for name in containers:
                container = DayContainer.parse(name)
                assert container is not None, f"{name} is none of ours"
                owner = container.enrollment_id
                mine = self._account_of.get(owner)
                assert mine == account, f"P1, P3: {name} lies in {account}, enrolled in {mine}"
                assert container.day > expired, f"P4: {name} outlived a purge at {purged_at}"
                assert owner not in verified, f"P6: {name} is there after the receipt"

        begins = {each["enrollmentId"]: datetime.fromisoformat(each["notBefore"]) for each in deletions}
        for batch in stored:
            there = batch.batch_id in held[self._account_of[batch.enrollment_id]].get(batch.container, ())
            assert not (there and batch in self.gone), f"{batch.container}/{batch.batch_id} is there again"
            if there or batch in self.gone:
                continue
            if now >= deadlines.day_deadline(batch.day, _RETENTION_DAYS) - deadlines.RETENTION_LEAD:
                self.gone[batch] = "retention"
            elif now >= begins.get(batch.enrollment_id, now + timedelta(1)):
                self.gone[batch] = "deletion"
            else:
                raise AssertionError(f"P9: the acknowledged batch {batch.container}/{batch.batch_id} is lost")
        return deletions

    async def read_again(self, rng: random.Random, number: int) -> None:
        """Check of some acknowledged batches, those last seen in storage, that they hold what was sent."""
        live = [batch for batch in self._load.stored if batch not in self.gone]
        for batch in rng.sample(live, min(number, len(live))):
            account = self._accounts[self._account_of[batch.enrollment_id]]
            blob = account.get_blob_client(batch.container, batch.batch_id)
            content = await (await blob.download_blob(decompress=False)).readall()
            inputs = [json.loads(line)["input"] for line in gzip.decompress(content).splitlines()]
            assert inputs == list(batch.inputs), f"{batch.container}/{batch.batch_id} is not what was sent"

    async def deletions(self) -> list[dict[str, Any]]:
        """Return all tenants' deletions."""
        return [each for tenant in self._load.tenants for each in await self._page(tenant, "deletions")]

    async def _held(self) -> dict[str, dict[str, set[str]]]:
        """Return the ids of all batches, by account and container."""
        held: dict[str, dict[str, set[str]]] = {}
        for account, client in self._accounts.items():
            names = await containers_in(client)
            listed = await asyncio.gather(*(_names(client, name) for name in names))
            held[account] = {name: found for name, found in zip(names, listed, strict=True) if found is not None}
        return held

    async def _ledger(self, tenant: Tenant, acknowledged: list[Change], exactly: bool) -> list[dict[str, Any]]:
        """Return a tenant's ledger, oldest first: every acknowledged change is in it once, in order."""
        events = (await self._page(tenant, "data-sharing/history"))[::-1]
        found = [Change(each["kind"], each["enrollmentId"], each["geo"], each["at"]) for each in events]
        assert found[: len(acknowledged)] == acknowledged, "P9: the ledger is not what was acknowledged"
        kinds = [each.kind for each in found]
        assert kinds == (["optedIn", "optedOut"] * len(kinds))[: len(kinds)], f"they do not alternate: {kinds}"
        if exactly:
            assert len(found) == len(acknowledged), "a change that nobody wished for"
            setting = (await self._client.as_admin("GET", tenant.id, "data-sharing")).body
            acked = tenant.enrollment and tenant.enrollment.enrollment_id
            assert (setting["enabled"], setting.get("enrollmentId")) == (acked is not None, acked), setting
        return events

    async def _scheduled(self, acknowledged: Sequence[tuple[Tenant, list[Change]]]) -> list[dict[str, Any]]:
        """Return all deletions, once each acknowledged opt-out has its own: one, with the deadline it always had."""
        opt_outs = {
            each.enrollment_id: datetime.fromisoformat(each.at) + timedelta(days=30)
            for _, changes in acknowledged
            for each in changes
            if each.kind == "optedOut"
        }
        give_up = time.monotonic() + _FEED_SECONDS
        while True:
            deletions = await self.deletions()
            deadline_of = {each["enrollmentId"]: each["deadline"] for each in deletions}
            if opt_outs.keys() <= deadline_of.keys():
                break
            assert time.monotonic() < give_up, "P5: an acknowledged opt-out has no deletion"
            await asyncio.sleep(_PAUSE_SECONDS)
        assert len(deadline_of) == len(deletions), "P5: two deletions of one opt-out"
        wrong = [each for each, by in opt_outs.items() if datetime.fromisoformat(deadline_of[each]) != by]
        assert not wrong, f"P5: {wrong} are not due 30 days after the opt-out"
        assert self.deadlines.items() <= deadline_of.items(), "P5: a deletion was moved or is gone"
        self.deadlines = deadline_of
        return deletions

    async def _page(self, tenant: Tenant, path: str) -> list[dict[str, Any]]:
        """Return a list of a tenant's, which must fit on one page."""
        answer = await self._client.as_admin("GET", tenant.id, f"{path}?limit=200")
        assert answer.status == 200 and "nextLink" not in answer.body, answer
        return list(answer.body["value"])


async def _names(account: BlobServiceClient, container: str) -> set[str] | None:
    """Return what a container holds; None if it was deleted meanwhile."""
    try:
        return {name async for name in account.get_container_client(container).list_blob_names()}
    except ResourceNotFoundError:
        return None
