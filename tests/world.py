"""The service on fakes: several instances that share stores, as on Azure, and a clock that the test moves."""

import inspect
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.jwk import ECKey

from shared.accounts import Account, Accounts
from shared.bootstrap import Services, assemble
from shared.clock import Clock, Moment, SystemClock
from shared.deletion.deletions import Deletions
from shared.deletion.purge import Bounds, Purge
from shared.model.capture import CaptureBatch, StoredBatch, Submission
from shared.model.containers import DEPLOYMENT_PREFIX, DayContainer, deployment_container
from shared.model.items import format_instant
from shared.model.ledger import OptedOut, Setting
from shared.model.notices import NOTICES, Notices
from shared.ports import Inspected, Permit, Stores
from shared.review.access import Access
from shared.sharing.captures import Captures
from shared.sharing.data_sharing import DataSharing
from shared.stores.memory import MemoryAccess, MemoryCaptures, MemoryDeletions, MemoryLedger, MemoryOperations
from shared.stores.receipt_keys import LocalSigner
from shared.sweep.sweep import Bounds as SweepBounds
from shared.sweep.sweep import Sweep
from shared.watch.status import Status
from tests.changes import opting_in, opting_out
from tests.clocks import ManualClock

SIGNER = LocalSigner([ECKey.generate_key("P-256")])
TENANT = "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"
OTHER_TENANT = "aaaaaaaa-0c4d-4f18-a7e1-62d05c8f9b30"
DEPLOYMENT = "d" * 32
GEOS = {"unitedstates": "stunitedstates", "europe": "steurope", "unitedkingdom": "stunitedkingdom"}
"""The first account of each geo; a test may add ``europe/2``, and so on, to a world's stores."""


def capture(at: datetime, text: str = "What changed in my flow?") -> dict[str, Any]:
    return {"capturedAt": format_instant(at), "feature": "flow", "input": text, "output": "A trigger."}


def submission(*captures: Mapping[str, Any], key: str = "key-1", app_id: str = "app-1") -> Submission:
    body = json.dumps({"captures": captures}).encode()
    return Submission(app_id, key, body, CaptureBatch.model_validate_json(body))


def permit(seconds_ago: float = 0.0, clock: Clock | None = None) -> Permit:
    """Return what a consent read allows that began so long ago."""
    clock = clock or SystemClock()
    read_at = Moment(clock, clock.monotonic() - seconds_ago, clock.now() - timedelta(seconds=seconds_ago))
    return Permit(Setting(tenant_id=TENANT), read_at, datetime.max.replace(tzinfo=UTC))


@dataclass
class World:
    """All stores, and a first instance on them."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(jumping=True))
    ledger: Any = field(default_factory=MemoryLedger)
    deletion_items: Any = field(default_factory=MemoryDeletions)
    access_store: Any = field(default_factory=MemoryAccess)
    operations: Any = field(default_factory=MemoryOperations)
    stores: dict[str, Any] = field(
        default_factory=lambda: {geo: MemoryCaptures(account) for geo, account in GEOS.items()}
    )
    retention_days: int = 30
    bounds: Bounds = field(default_factory=Bounds)
    sweep_bounds: SweepBounds = field(default_factory=SweepBounds)
    ids: Iterator[str] = field(default_factory=lambda: (f"{n % 16:x}{n:031x}" for n in itertools.count(1)))

    elsewhere: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    notices: Notices = NOTICES
    home_geos: dict[str, str] = field(default_factory=lambda: {"*": "europe"})
    inspected: Inspected | None = None
    consent_epochs: bool = False

    def __post_init__(self) -> None:
        self.captures = self.instance()
        self.pair()

    def pair(self) -> None:
        """Let all accounts be this deployment's, as they are from its first purge on (D14)."""
        self.operations.deployment = self.operations.deployment or DEPLOYMENT
        for store in self.stores.values():
            if isinstance(store, MemoryCaptures):
                store.containers.setdefault(deployment_container(DEPLOYMENT), {})

    def services(self, tokens: Any = None) -> Services:
        """Another process: leases of its own, the same stores."""
        stores = Stores(
            ledger=self.ledger,
            deletions=self.deletion_items,
            access=self.access_store,
            operations=self.operations,
            captures=list(self.stores.values()),
            signer=SIGNER,
            inspected=self.inspected,
        )
        return assemble(
            stores,
            self.accounts,
            self.clock,
            tokens=tokens,
            review_auth_context="c1",
            notices=self.notices,
            home_geos=self.home_geos,
            controller="Contoso Ltd, privacy@contoso.example",
            consent_epochs=self.consent_epochs,
            new_id=lambda: next(self.ids),
            purge_bounds=self.bounds,
            sweep_bounds=self.sweep_bounds,
        )

    @property
    def accounts(self) -> Accounts:
        """The accounts that are served."""
        served = [
            Account(place.partition("/")[0], store, self.retention_days, "closed" if place in self.closed else "open")
            for place, store in self.stores.items()
        ]
        return Accounts(served, self.retention_days, self.elsewhere)

    def instance(self) -> Captures:
        """What another process does with captures."""
        return self.services().captures

    @property
    def data_sharing(self) -> DataSharing:
        return self.services().data_sharing

    @property
    def deletions(self) -> Deletions:
        return self.services().deletions

    @property
    def access(self) -> Access:
        return self.services().access

    @property
    def purge(self) -> Purge:
        return self.services().purge

    @property
    def sweep(self) -> Sweep:
        return self.services().sweep

    @property
    def status(self) -> Status:
        return self.services().status

    async def opt_in(self, tenant: str = TENANT, geo: str = "europe") -> Setting:
        return await self.data_sharing.put(tenant, opting_in(geo))

    async def opt_out(self, tenant: str = TENANT) -> OptedOut:
        await self.data_sharing.put(tenant, opting_out())
        event = self.ledger.events[tenant][-1]
        assert isinstance(event, OptedOut)
        return event

    async def feed(self) -> int:
        """Deliver every opt-out there is, as a change feed from the beginning does."""
        events = [e for events in self.ledger.events.values() for e in events if isinstance(e, OptedOut)]
        return await self.deletions.schedule(events)

    async def post(
        self, text: str = "hello", *, key: str = "key-1", tenant: str = TENANT, at: datetime | None = None
    ) -> StoredBatch:
        return await self.captures.submit(tenant, submission(capture(at or self.clock.now(), text), key=key))

    def containers(self, geo: str = "europe") -> dict[str, Any]:
        """What is stored in a geo's account, but for the container that says whose it is."""
        stored = self.stores[geo].containers.items()
        return {name: batches for name, batches in sorted(stored) if not name.startswith(DEPLOYMENT_PREFIX)}

    def stored_containers(self) -> dict[str, list[str]]:
        return {geo: list(found) for geo in self.stores if (found := self.containers(geo))}

    def days(self, geo: str = "europe") -> list[str]:
        found = [DayContainer.parse(name) for name in self.stores[geo].containers]
        return sorted(f"{each.day}" for each in found if each)

    async def run_purges(self, until: datetime, every: timedelta = timedelta(hours=1)) -> None:
        while self.clock.now() < until:
            self.clock.set(min(until, self.clock.now() + every))
            await self.purge.run()


class Crash(BaseException):
    """The process ends here; like SIGKILL it is no exception that anything handles."""


class Crashing:
    """A store whose ``at``-th call never returns: the process ends before it is carried out, or after."""

    def __init__(self, inner: Any, steps: "Steps") -> None:
        self._inner = inner
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if inspect.isasyncgenfunction(attribute) or not callable(attribute):
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._steps.take(lambda: attribute(*args, **kwargs))

        return call


@dataclass
class Steps:
    """Counts the store calls of a process and ends it at one of them."""

    crash_at: int
    after: bool
    taken: int = 0

    async def take(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.taken += 1
        if self.taken < self.crash_at:
            return await call()
        if self.taken == self.crash_at and self.after:
            await call()
        raise Crash
