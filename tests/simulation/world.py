"""The service in the simulation: storage that all instances share, and instances that come and go."""

import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import azure.functions as func
from joserfc.jwk import ECKey

from functions import opt_outs
from shared.accounts import Account, Accounts
from shared.bootstrap import assemble
from shared.deletion.purge import Bounds as PurgeBounds
from shared.model.deletion import Deletion
from shared.model.exports import ReviewExport
from shared.model.grants import AccessRecord, ReviewGrant
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import Change
from shared.ports import ContainerPage, ListedContainer, Permit, Put, StagedBlock, Stored, Stores, WritePermit
from shared.stores.memory import MemoryAccess, MemoryCaptures, MemoryDeletions, MemoryLedger, MemoryOperations
from shared.stores.receipt_keys import LocalSigner
from shared.sweep.sweep import Bounds as SweepBounds
from tests.simulation.agreements import FOREVER, Agreements, Text, as_served
from tests.simulation.beside import Beside
from tests.simulation.claims import Claims
from tests.simulation.faults import Faults, Faulty
from tests.simulation.oracle import Oracle
from tests.simulation.reading import Reading
from tests.simulation.scheduler import CURRENT_REQUEST, Process, VirtualLoop
from tests.simulation.spans import Spans

DEPLOYMENT = "d" * 32
NOBODY: Any = None
"""Clients call the rules, with no token."""

_KEY = ECKey.generate_key("P-256")
"""One for all histories: what they do does not depend on it."""

NOBODYS = LocalSigner([ECKey.generate_key("P-256")])
"""Signs with a key that is not the service's, and that nobody publishes."""

_NOTHING_YET = "after an empty page "
"""What a marker begins with that was given with an empty page."""

ACCOUNTS = {
    "stunitedstates": "unitedstates",
    "steurope": "europe",
    "steurope2": "europe",
    "stunitedkingdom": "unitedkingdom",
}
"""The geo of each storage account; in all histories one geo has two (D20)."""


class Signer(LocalSigner):
    """Signs with the same key in each history, and remembers what."""

    def __init__(self) -> None:
        super().__init__([_KEY])
        self.signed: dict[str, Mapping[str, Any]] = {}
        self.claims: Claims

    async def sign(self, claims: Mapping[str, Any]) -> str:
        self.claims.item(claims)
        jws = await super().sign(claims)
        self.signed[jws] = claims
        return jws


class ObservedLedger(MemoryLedger):
    """Container ``tenants`` with its change feed; the oracle is told of each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.oracle: Oracle
        self.claims: Claims
        self.changes: list[tuple[str, str]] = []

    async def commit(self, change: Change, etag: str | None) -> None:
        await super().commit(change, etag)
        self.claims.item(change)
        tenant = change.setting.tenant_id
        self.changes += [(tenant, "setting"), (tenant, change.event.id)]
        self.oracle.notice(CURRENT_REQUEST.get())

    def items(self, changes: Sequence[tuple[str, str]]) -> list[func.Document]:
        """Return the items that changed, each once and as it is now: the latest-version change feed."""
        documents = []
        for tenant, item in dict.fromkeys(changes):
            if item == "setting":
                members, at = self.settings[tenant].value.to_json(), self.settings[tenant].at
            else:
                members = next(event.to_json() for event in self.events[tenant] if event.id == item)
                at = self.committed[tenant, item]
            documents.append(func.Document.from_dict({**members, "id": item, "_ts": at}))
        return documents


class ObservedDeletions(MemoryDeletions):
    """Container ``deletions``; the oracle is told of each change.

    ``proved`` has each deletion as it was when it got its first receipt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.oracle: Oracle
        self.claims: Claims
        self.proved: dict[tuple[str, str], Deletion] = {}

    async def create(self, deletion: Deletion) -> bool:
        self.claims.item(deletion)
        created = await super().create(deletion)
        self.oracle.notice(CURRENT_REQUEST.get())
        return created

    async def replace(self, deletion: Deletion, etag: str) -> None:
        self.claims.item(deletion)
        self.claims.postponed(deletion.last_error)
        await super().replace(deletion, etag)
        if deletion.status == "verified":
            self.proved.setdefault((deletion.tenant_id, deletion.enrollment_id), deletion)
        self.oracle.notice(CURRENT_REQUEST.get())

    def edit(self, kind: str, key: tuple[str, str], edited: Deletion, *, back: bool) -> None:
        """Write to a deletion past the service; ``back`` is whether a sweep can set it back to what it was."""
        self.oracle.edit(kind, key, edited, back=back)
        self.items[key] = Stored(edited, str(next(self._etags)))


class ObservedAccess(MemoryAccess):
    """Container ``access``; the oracle of the readers is told of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: Reading
        self.claims: Claims

    async def commit(
        self, record: AccessRecord, grant: ReviewGrant | None, etag: str | None, *, export: ReviewExport | None = None
    ) -> None:
        self.claims.item(record, grant, export)
        await super().commit(record, grant, etag, export=export)
        self.reading.committed(CURRENT_REQUEST.get())

    async def move_head(self, tenant_id: str, etag: str, *, export: ReviewExport | None = None) -> None:
        self.claims.item(export)
        await super().move_head(tenant_id, etag, export=export)
        self.reading.beside.moved()


class ObservedOperations(MemoryOperations):
    """Container ``operations``; each heartbeat is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: Claims

    async def write(self, heartbeat: Heartbeat, etag: str | None) -> None:
        stands = self.heartbeats.get((heartbeat.kind, heartbeat.storage_account))
        await super().write(heartbeat, etag)
        uncounted = {"counts": {}, "totals": None}
        adds = stands is not None and stands.model_copy(update=uncounted) == heartbeat.model_copy(update=uncounted)
        # What is added to another run's says nothing of the run that adds it.
        self.claims.heartbeat(heartbeat, None if adds else CURRENT_REQUEST.get())


class ObservedCaptures(MemoryCaptures):
    """One storage account, which takes its time to free the name of a deleted container, and may have soft delete on.

    Attributes:
        collecting: seconds for which a name stays unusable, or None for none.
        soft_delete: seconds for which a deleted container is kept, or None for off.
        empty_pages: whether an empty page, with a marker, comes before each page of containers.
    """

    def __init__(self, account: str, loop: VirtualLoop, base: datetime) -> None:
        super().__init__(account)
        self.oracle: Oracle
        self.reading: Reading
        self.claims: Claims
        self.collecting: float | None = None
        self.soft_delete: float | None = None
        self.empty_pages = False
        self.now = lambda: base + timedelta(seconds=loop.time())
        self._loop = loop

    async def put_batch(self, permit: Permit, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        self.claims.item(container, batch_id, body_hash)
        # Whether it may begin was looked at when it began; anything may have come between that and its arrival.
        put = self.receive_batch(permit, container, batch_id, content, body_hash)
        self.oracle.notice(CURRENT_REQUEST.get())
        return put

    async def create_log(self, permit: Permit, container: str, log: str) -> None:
        self.claims.item(container, log)
        self.receive_log(permit, container, log)

    async def append(self, permit: Permit, container: str, log: str, record: bytes) -> int:
        start = self.receive_record(permit, container, log, record)
        self.oracle.spans.record(container, record)
        return start

    async def write_beside(
        self, permit: WritePermit, container: str, blob: str, content: bytes, etag: str | None
    ) -> None:
        self.claims.item(container, blob)
        self.receive_beside(permit, container, blob, content, etag)
        self._came(container, blob, content)

    async def stage(self, permit: WritePermit, container: str, blob: str, name: str, content: bytes) -> None:
        self.claims.item(container, blob, name)
        self.receive_piece(permit, container, blob, name, content)
        self._came(container, blob)
        self.oracle.beside.piece(container, blob, content)

    async def put_staged(self, permit: WritePermit, container: str, blob: str, names: Sequence[str]) -> None:
        self.receive_staged(permit, container, blob, names)
        self._came(container, blob)
        self.oracle.beside.filed(self.account, container, blob)

    def _came(self, container: str, blob: str, content: bytes = b"") -> None:
        self.oracle.notice(CURRENT_REQUEST.get())
        self.oracle.beside.arrived(CURRENT_REQUEST.get(), self.account, container, blob, content)

    async def create_container(self, permit: Permit, container: str) -> None:
        self.receive_container(container)
        self.oracle.notice(CURRENT_REQUEST.get())

    async def delete_container(self, container: str) -> bool:
        existed = container in self.containers
        known = await super().delete_container(container)
        if existed and container not in self.containers:
            if self.collecting is not None:
                self.being_deleted.add(container)
                self._loop.call_later(self.collecting, self.being_deleted.discard, container)
            if self.soft_delete is not None:
                self.soft_deleted.add(container)
                self._loop.call_later(self.soft_delete, self.soft_deleted.discard, container)
            self.oracle.notice(CURRENT_REQUEST.get())
        return known

    async def list_batches(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        self.reading.storage_asked(CURRENT_REQUEST.get(), container, None)
        return await super().list_batches(container, limit=limit, after=after)

    async def read_batch(self, container: str, batch_id: str, *, most: int | None = None) -> bytes:
        self.reading.storage_asked(CURRENT_REQUEST.get(), container, batch_id)
        return await super().read_batch(container, batch_id, most=most)

    async def list_blobs(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        self.reading.storage_asked(CURRENT_REQUEST.get(), container, None)
        return await super().list_blobs(container, limit=limit, after=after)

    async def read_beside(self, container: str, blob: str) -> Stored[bytes] | None:
        self.reading.storage_asked(CURRENT_REQUEST.get(), container, None)
        return await super().read_beside(container, blob)

    async def staged(self, container: str, blob: str) -> Sequence[StagedBlock]:
        self.reading.storage_asked(CURRENT_REQUEST.get(), container, None)
        return await super().staged(container, blob)

    async def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        if include_deleted:
            self.oracle.looked(self.account, prefix, CURRENT_REQUEST.get())
        self.reading.storage_asked(CURRENT_REQUEST.get(), prefix, None)
        async for each in super().list_containers(prefix, include_deleted=include_deleted, page_size=page_size):
            yield each

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        if self.empty_pages and (marker is None or not marker.startswith(_NOTHING_YET)):
            return ContainerPage([], f"{_NOTHING_YET}{marker or ''}")
        begins = (marker or "").removeprefix(_NOTHING_YET) or None
        return await super().container_page(prefix, begins, include_deleted=include_deleted, page_size=page_size)


class Cloud:
    """What outlives every process: the stores, and the feed's position."""

    def __init__(
        self,
        loop: VirtualLoop,
        base: datetime,
        geos: Sequence[str],
        retention_days: int,
        texts: Sequence[Text] = FOREVER,
        ahead: float = 0.0,
    ) -> None:
        self.retention_days = retention_days
        self.texts = texts
        self.notices = as_served(texts, base)
        self.accounts = {name: geo for name, geo in ACCOUNTS.items() if geo in geos}
        self.closed: frozenset[str] = frozenset()
        self.left_out: frozenset[str] = frozenset()
        """The accounts that instances do not know that start now."""
        self.ledger: MemoryLedger = ObservedLedger()
        self.ledger.now = lambda: base + timedelta(seconds=loop.time() + ahead)
        self.deletions: MemoryDeletions = ObservedDeletions()
        self.access = ObservedAccess()
        self.operations: MemoryOperations = ObservedOperations()
        self.captures = {name: ObservedCaptures(name, loop, base) for name in self.accounts}
        self.signer = Signer()
        self.fed = 0
        self.shards = "0123456789abcdef"
        self.consent_epochs = False
        self.purge_bounds: PurgeBounds | None = None
        self.sweep_bounds: SweepBounds | None = None

        self.operations.deployment = DEPLOYMENT
        for store in self.captures.values():
            store.containers[f"deployment-{DEPLOYMENT}"] = {}

    def of_another(self) -> "Cloud":
        """Return another deployment that was given this one's accounts by mistake; its ledger is healthy."""
        another = copy.copy(self)
        another.ledger, another.deletions, another.operations = MemoryLedger(), MemoryDeletions(), MemoryOperations()
        another.operations.deployment = "0" * 32
        return another

    def attach(self, oracle: Oracle) -> None:
        """Let the oracle watch, and those that know of reviewers and of what the service says of itself."""
        self.reading, self.claims = reading, claims = Reading(oracle, self.access), Claims(oracle)
        oracle.agreements, oracle.spans = Agreements(oracle, self.texts), Spans(oracle)
        oracle.beside = reading.beside = Beside(oracle, reading, self.access, self.captures)
        oracle.deployment = DEPLOYMENT
        self.ledger.oracle = self.deletions.oracle = oracle
        self.access.reading = reading
        for each in (self.ledger, self.deletions, self.access, self.operations, self.signer):
            each.claims = claims
        for store in self.captures.values():
            store.oracle, store.reading, store.claims = oracle, reading, claims


class Instance:
    """One process with services of its own on the shared stores."""

    def __init__(self, name: str, cloud: Cloud, loop: VirtualLoop, base: datetime, random: Random, faults: Faults):
        lies = random.choice(("", "", "monotonic", "wall"))  # one of its clocks, but never both
        process = Process(name, loop, base, 60 * random.random() - 30, 2e-4 * random.random() - 1e-4, lies)

        def reached(store: Any, kind: str) -> Any:
            return Faulty(store, kind, process, faults)

        captures = {name: reached(store, name) for name, store in cloud.captures.items() if name not in cloud.left_out}
        self.knows_all = not cloud.left_out and len(captures) == len(set(ACCOUNTS) & set(cloud.accounts))
        served = [
            Account(cloud.accounts[name], store, cloud.retention_days, "closed" if name in cloud.closed else "open")
            for name, store in captures.items()
        ]
        stores = Stores(
            ledger=reached(cloud.ledger, "cosmos"),
            deletions=reached(cloud.deletions, "cosmos"),
            access=reached(cloud.access, "cosmos"),
            operations=reached(cloud.operations, "cosmos"),
            captures=list(captures.values()),
            signer=reached(cloud.signer, "key"),
        )
        services = assemble(
            stores,
            Accounts(served, cloud.retention_days),
            process,
            tokens=NOBODY,
            review_auth_context="c1",
            notices=cloud.notices,
            new_id=lambda: f"{random.choice(cloud.shards)}{random.getrandbits(124):031x}",
            new_key=lambda: f"{random.getrandbits(256):064x}",
            purge_bounds=cloud.purge_bounds,
            sweep_bounds=cloud.sweep_bounds,
            consent_epochs=cloud.consent_epochs,
        )
        self.process, self.services = process, services
        self.data_sharing, self.captures, self.deletions = services.data_sharing, services.captures, services.deletions
        self.access, self.exporting, self.traces = services.access, services.exporting, services.traces
        self.finding, self.labelling = services.finding, services.labelling
        self.purge, self.sweep, self.status = services.purge, services.sweep, services.status

    async def opt_outs(self, documents: Sequence[func.Document]) -> int:
        """Do what the function ``opt_outs`` does with a batch of the feed."""
        created, _ = await opt_outs.take(self.services, documents)
        return created
