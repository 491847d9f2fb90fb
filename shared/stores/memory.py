"""In-memory fakes of all stores, for simulation; they pass the contract tests that the Azure adapters pass (D9)."""

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any, TypeVar

from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.epochs import NO_EPOCH, Epoch
from shared.model.exports import ReviewExport
from shared.model.grants import AccessRecord, ReviewGrant
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import Change, Event, OptedOut, Setting, TenantLedger
from shared.model.posture import PostureCheck
from shared.ports import (
    LOOKUP_MAX,
    UNREADABLE_ITEM,
    BatchMissing,
    Committed,
    Conflict,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    ContainerPage,
    DeletionCounts,
    ListedContainer,
    MarkerRefused,
    Page,
    Permit,
    Put,
    StagedBlock,
    Stored,
    StoreUnavailable,
    TenantDeletions,
    TryAgain,
    WritePermit,
)

T = TypeVar("T")


class MemoryLedger:
    """Container ``tenants``."""

    def __init__(self) -> None:
        self.settings: dict[str, Stored[Setting]] = {}
        self.events: dict[str, list[Event]] = {}
        self.now: Callable[[], datetime] | None = None
        """The database's own clock; without one, an event is committed when it happened."""
        self.committed: dict[tuple[str, str], int] = {}
        """When an event was committed, by tenant and id, if that is not when it happened."""
        self._etags = count(1)

    async def read_setting(self, tenant_id: str) -> Stored[Setting] | None:
        """See ``LedgerStore``."""
        return self.settings.get(tenant_id)

    async def commit(self, change: Change, etag: str | None) -> None:
        """See ``LedgerStore``."""
        tenant_id = change.setting.tenant_id
        stored = self.settings.get(tenant_id)
        events = self.events.setdefault(tenant_id, [])
        if (None if stored is None else stored.etag) != etag or any(e.id == change.event.id for e in events):
            raise Conflict
        at = int((change.event.at if self.now is None else self.now()).timestamp())
        self.settings[tenant_id] = Stored(change.setting, str(next(self._etags)), at)
        events.append(change.event)
        if self.now is not None:
            self.committed[tenant_id, change.event.id] = at

    async def agreed_to_others(self, version: str, *, limit: int, after: str) -> Sequence[Setting]:
        """See ``LedgerStore``."""
        settings = [self.settings[tenant_id].value for tenant_id in sorted(self.settings) if tenant_id > after]
        return [each for each in settings if each.enabled and each.notice != version][:limit]

    async def has_enrollment_in(self, storage_account: str) -> bool:
        """See ``LedgerStore``."""
        enrollments = (stored.value.enrollment for stored in self.settings.values())
        return any(each is not None and each.storage_account == storage_account for each in enrollments)

    async def history(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Event]:
        """See ``LedgerStore``."""
        return _newest(self.events.get(tenant_id, []), lambda event: event.sequence, limit, before)

    async def events_of(self, tenant_id: str, enrollment_id: str) -> Sequence[Event]:
        """See ``LedgerStore``."""
        return [event for event in self._events(tenant_id) if event.enrollment_id == enrollment_id]

    async def events_after(self, tenant_id: str, sequence: int) -> AsyncIterator[Event | None]:
        """See ``LedgerStore``."""
        for event in self._events(tenant_id):
            if event.sequence > sequence:
                yield event

    async def ledgers(self, after: str, *, at_most: int) -> AsyncIterator[TenantLedger]:
        """See ``LedgerStore``."""
        for tenant_id in sorted(self.settings.keys() | self.events.keys()):
            if tenant_id > after:
                stored, events = self.settings.get(tenant_id), self._events(tenant_id)
                whole = len(events) + (stored is not None) <= at_most
                setting = None if stored is None else stored.value
                yield TenantLedger(tenant_id, setting, events[:at_most], whole=whole)

    async def events_of_enrollments(self, enrollment_ids: Sequence[str]) -> AsyncIterator[tuple[str, Event | None]]:
        """See ``LedgerStore``."""
        assert len(enrollment_ids) <= LOOKUP_MAX
        for event in self._all_events():
            if event.enrollment_id in enrollment_ids:
                yield event.enrollment_id, event

    async def last_commit(self) -> int | None:
        """See ``LedgerStore``."""
        return max(map(self._committed_at, self._all_events()), default=None)

    async def opt_outs_committed(self, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        """See ``LedgerStore``."""
        opt_outs = [event for event in self._all_events() if isinstance(event, OptedOut)]
        for event in sorted(opt_outs, key=self._committed_at):
            at = self._committed_at(event)
            if at >= since and (before is None or at < before):
                yield Committed(at, event)

    def _committed_at(self, event: Event) -> int:
        return self.committed.get((event.tenant_id, event.id), int(event.at.timestamp()))

    def _events(self, tenant_id: str) -> Sequence[Event]:
        return sorted(self.events.get(tenant_id, []), key=lambda event: event.sequence)

    def _all_events(self) -> Sequence[Event]:
        return _in_no_order(event for events in self.events.values() for event in events)


class MemoryDeletions:
    """Container ``deletions``."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Stored[Deletion]] = {}
        """By tenant and id; what a test puts under another name than its own, nobody can read."""
        self._etags = count(1)

    async def create(self, deletion: Deletion) -> bool:
        """See ``DeletionStore``."""
        key = (deletion.tenant_id, deletion.enrollment_id)
        if key in self.items:
            return False
        self.items[key] = Stored(deletion, str(next(self._etags)))
        return True

    async def read(self, tenant_id: str, enrollment_id: str) -> Stored[Deletion] | None:
        """See ``DeletionStore``."""
        key = (tenant_id, enrollment_id)
        if key not in self.items:
            return None
        if (stored := self._readable(key)) is None:
            raise StoreUnavailable(UNREADABLE_ITEM)
        return stored

    async def replace(self, deletion: Deletion, etag: str) -> None:
        """See ``DeletionStore``."""
        key = (deletion.tenant_id, deletion.enrollment_id)
        if key not in self.items:
            raise StoreUnavailable("cosmos-404")
        if self.items[key].etag != etag:
            raise Conflict
        self.items[key] = Stored(deletion, str(next(self._etags)))

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Deletion]:
        """See ``DeletionStore``."""
        keys = [key for key in self.items if key[0] == tenant_id]
        page = _newest(keys, lambda key: self.items[key].value.sequence, limit, before)
        values = [stored.value for key in page.values if (stored := self._readable(key)) is not None]
        return Page(values, len(page.values) - len(values), page.next_before)

    async def due(
        self, storage_account: str, now: datetime, *, failed: bool | None = None, of_tenant: int | None = None
    ) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        scheduled = [each for each in self._of(storage_account, "scheduled") if each.value.not_before <= now]
        for stored in _shared_out(scheduled, now, failed, of_tenant):
            yield stored

    async def unverified(
        self,
        storage_account: str,
        purged_by: datetime,
        now: datetime,
        *,
        failed: bool | None = None,
        of_tenant: int | None = None,
    ) -> AsyncIterator[Stored[Deletion]]:
        """See ``DeletionStore``."""
        purged = [
            each
            for each in self._of(storage_account, "purged")
            if each.value.purged_at and each.value.purged_at <= purged_by
        ]
        for stored in _shared_out(purged, now, failed, of_tenant):
            yield stored

    async def counts(self, storage_account: str, now: datetime) -> DeletionCounts:
        """See ``DeletionStore``."""
        pending = [each.value for _, each in self._named(storage_account, "scheduled", "purged")]
        deadlines = [deletion.deadline for deletion in pending]
        return DeletionCounts(
            len(pending), sum(deletion.overdue(now) for deletion in pending), min(deadlines, default=None)
        )

    async def overdue(self, now: datetime) -> int:
        """See ``DeletionStore``."""
        return sum(stored.value.overdue(now) for stored in self.items.values())

    async def list_overdue(self, now: datetime, *, limit: int) -> Sequence[Deletion]:
        """See ``DeletionStore``."""
        readable = [stored.value for key in self.items if (stored := self._readable(key)) is not None]
        overdue = [each for each in readable if each.overdue(now)]
        return sorted(overdue, key=lambda each: each.deadline)[:limit]

    async def unreadable(self) -> AsyncIterator[str | None]:
        """See ``DeletionStore``."""
        for key, stored in self.items.items():
            if self._readable(key) is None and stored.value.status != "verified":
                yield stored.value.storage_account

    async def tenants(self, after: str, *, at_most: int) -> AsyncIterator[TenantDeletions]:
        """See ``DeletionStore``."""
        of_tenant: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for key in _in_no_order(self.items):
            of_tenant[key[0]].append(key)
        for tenant_id, keys in sorted(of_tenant.items()):
            if tenant_id > after:
                some = keys[:at_most]
                deletions = [stored for key in some if (stored := self._readable(key)) is not None]
                unreadable = len(some) - len(deletions)
                yield TenantDeletions(tenant_id, deletions, unreadable, whole=len(keys) <= at_most)

    async def of_sequences(self, tenant_id: str, after: int, until: int) -> AsyncIterator[Stored[Deletion] | None]:
        """See ``DeletionStore``."""
        for key, stored in _in_no_order(self.items.items()):
            sequence = stored.value.sequence
            if key[0] == tenant_id and (after < sequence <= until or after == 0 >= sequence):
                yield self._readable(key)

    async def verified_among(self, enrollment_ids: Sequence[str]) -> AsyncIterator[str]:
        """See ``DeletionStore``."""
        assert len(enrollment_ids) <= LOOKUP_MAX
        for stored in _in_no_order(self.items.values()):
            if stored.value.enrollment_id in enrollment_ids and stored.value.status == "verified":
                yield stored.value.enrollment_id

    async def existing(self, keys: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """See ``DeletionStore``."""
        assert len(keys) <= LOOKUP_MAX
        return {key for key in keys if key in self.items}

    def _of(self, storage_account: str, *statuses: str) -> Sequence[Stored[Deletion]]:
        return [stored for key, stored in self._named(storage_account, *statuses) if self._readable(key) is not None]

    def _named(self, storage_account: str, *statuses: str) -> Sequence[tuple[tuple[str, str], Stored[Deletion]]]:
        """Return the items that say so, readable or not."""
        return [
            (key, stored)
            for key, stored in _in_no_order(self.items.items())
            if stored.value.storage_account == storage_account and stored.value.status in statuses
        ]

    def _readable(self, key: tuple[str, str]) -> Stored[Deletion] | None:
        stored = self.items[key]
        return stored if key == (stored.value.tenant_id, stored.value.enrollment_id) else None


class MemoryAccess:
    """Container ``access``."""

    def __init__(self) -> None:
        self.records: dict[str, list[AccessRecord]] = {}
        self.granted: dict[tuple[str, str], ReviewGrant] = {}
        self.exported: dict[tuple[str, str], ReviewExport] = {}
        self.moves: Counter[str] = Counter()
        """How often a tenant's head was moved without a record."""

    async def head(self, tenant_id: str) -> Stored[int] | None:
        """See ``AccessStore``."""
        records = self.records.get(tenant_id)
        return Stored(len(records), f"{len(records)}.{self.moves[tenant_id]}") if records else None

    async def commit(
        self, record: AccessRecord, grant: ReviewGrant | None, etag: str | None, *, export: ReviewExport | None = None
    ) -> None:
        """See ``AccessStore``."""
        head = await self.head(record.tenant_id)
        if etag != (None if head is None else head.etag):
            raise Conflict
        self.records.setdefault(record.tenant_id, []).append(record)
        if grant is not None:
            self.granted[grant.tenant_id, grant.grant_id] = grant
        if export is not None:
            self.exported[export.tenant_id, export.export_id] = export

    async def move_head(self, tenant_id: str, etag: str, *, export: ReviewExport | None = None) -> None:
        """See ``AccessStore``."""
        head = await self.head(tenant_id)
        if head is None or head.etag != etag:
            raise Conflict
        self.moves[tenant_id] += 1
        if export is not None:
            self.exported[export.tenant_id, export.export_id] = export

    async def read_export(self, tenant_id: str, export_id: str) -> ReviewExport | None:
        """See ``AccessStore``."""
        return self.exported.get((tenant_id, export_id))

    async def exports(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewExport]:
        """See ``AccessStore``."""
        exports = [export for (tenant, _), export in _in_no_order(self.exported.items()) if tenant == tenant_id]
        return _newest(exports, lambda export: export.sequence, limit, before)

    async def unfinished_exports(self, *, limit: int) -> Sequence[ReviewExport]:
        """See ``AccessStore``."""
        unfinished = [export for export in _in_no_order(self.exported.values()) if export.unfinished]
        return sorted(unfinished, key=lambda export: export.requested_at)[:limit]

    async def downloads(
        self, tenant_id: str, enrollment_id: str, *, limit: int, after: int = 0
    ) -> Sequence[AccessRecord]:
        """See ``AccessStore``."""
        return [
            record
            for record in self.records.get(tenant_id, [])
            if record.enrollment_id == enrollment_id and record.action == "exportDownloaded" and record.sequence > after
        ][:limit]

    async def uses(self, tenant_id: str, grant_id: str) -> Mapping[str, int]:
        """See ``AccessStore``."""
        return Counter(record.action for record in self.records.get(tenant_id, []) if record.grant_id == grant_id)

    async def read_grant(self, tenant_id: str, grant_id: str) -> ReviewGrant | None:
        """See ``AccessStore``."""
        return self.granted.get((tenant_id, grant_id))

    async def grants(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewGrant]:
        """See ``AccessStore``."""
        return _newest(self._of(tenant_id), lambda grant: grant.sequence, limit, before)

    async def approved_grants(self, tenant_id: str, reviewer: str, now: datetime) -> Sequence[ReviewGrant]:
        """See ``AccessStore``."""
        mine = (grant for grant in self._of(tenant_id) if grant.requested_by == reviewer)
        return [grant for grant in mine if grant.expires_at is not None and grant.expires_at > now]

    async def pending_grants(self, since: datetime, *, limit: int) -> Sequence[ReviewGrant]:
        """See ``AccessStore``."""
        pending = [
            grant
            for grant in _in_no_order(self.granted.values())
            if grant.requested_at > since and grant.approved_at is None and grant.revoked_at is None
        ]
        return sorted(pending, key=lambda grant: grant.requested_at)[:limit]

    async def log(self, tenant_id: str, *, limit: int, before: int | None) -> Page[AccessRecord]:
        """See ``AccessStore``."""
        return _newest(self.records.get(tenant_id, []), lambda record: record.sequence, limit, before)

    def _of(self, tenant_id: str) -> Sequence[ReviewGrant]:
        return [grant for (tenant, _), grant in _in_no_order(self.granted.items()) if tenant == tenant_id]


class _Standing:
    """The etags of what stands in a mapping; a test that writes into that past the store changes them too."""

    def __init__(self) -> None:
        self._tagged: dict[Any, tuple[Any, str]] = {}
        self._etags = count(1)

    def of(self, key: Any, values: Mapping[Any, T]) -> Stored[T | None] | None:
        if key not in values:
            return None
        value, tagged = values[key], self._tagged.get(key)
        if tagged is None or tagged[0] is not value:
            self._tagged[key] = tagged = (value, str(next(self._etags)))
        return Stored(value, tagged[1])

    def replace(self, key: Any, values: dict[Any, T], value: T, etag: str | None) -> None:
        stands = self.of(key, values)
        if etag != (None if stands is None else stands.etag):
            raise Conflict
        values[key] = value
        self._tagged[key] = (value, str(next(self._etags)))  # the same value written again has another one


class MemoryOperations:
    """Container ``operations``."""

    def __init__(self) -> None:
        self.heartbeats: dict[tuple[str, str | None], Heartbeat] = {}
        self._standing = _Standing()
        self.deployment: str | None = None
        self.now: Callable[[], datetime] | None = None
        """The database's own clock; without one, nothing is known to be after anything."""
        self.epochs: dict[str, Epoch] = {}
        self._etags = count(1)

    async def last(self, kind: str, storage_account: str | None) -> Stored[Heartbeat | None] | None:
        """See ``OperationStore``."""
        return self._standing.of((kind, storage_account), self.heartbeats)

    async def write(self, heartbeat: Heartbeat, etag: str | None) -> None:
        """See ``OperationStore``."""
        self._standing.replace((heartbeat.kind, heartbeat.storage_account), self.heartbeats, heartbeat, etag)

    async def deployment_id(self) -> str | None:
        """See ``OperationStore``."""
        return self.deployment

    async def deploy(self, deployment_id: str) -> str:
        """See ``OperationStore``."""
        self.deployment = self.deployment or deployment_id
        return self.deployment

    async def read_all(self, kind: str) -> Mapping[str | None, Heartbeat]:
        """See ``OperationStore``."""
        return {
            account: heartbeat for (each, account), heartbeat in _in_no_order(self.heartbeats.items()) if each == kind
        }

    async def read_epoch(self, shard: str) -> Epoch:
        """See ``OperationStore``."""
        return self.epochs.get(shard, NO_EPOCH)

    async def change_epoch(self, shard: str) -> None:
        """See ``OperationStore``."""
        at = None if self.now is None else int(self.now().timestamp())
        self.epochs[shard] = Epoch(str(next(self._etags)), at)


class MemoryPosture:
    """Container ``operations``: the checks of the posture."""

    def __init__(self) -> None:
        self.checks: dict[str | None, PostureCheck] = {}
        self._standing = _Standing()

    async def last(self, storage_account: str | None) -> Stored[PostureCheck | None] | None:
        """See ``PostureStore``."""
        return self._standing.of(storage_account, self.checks)

    async def write(self, check: PostureCheck, etag: str | None) -> None:
        """See ``PostureStore``."""
        self._standing.replace(check.storage_account, self.checks, check, etag)

    async def read_all(self) -> Mapping[str | None, PostureCheck]:
        """See ``PostureStore``."""
        return dict(_in_no_order(self.checks.items()))


class MemoryCaptures:
    """One storage account.

    A test may put a container's name into ``being_deleted`` or ``soft_deleted``, as Azure would, let a page of a
    listing hold ``page_max`` containers, refuse the markers of ``refused_markers``, and give the account a clock of its
    own by ``now``; without one it has that of whoever writes.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self.now: Callable[[], datetime] | None = None
        self.containers: dict[str, dict[str, tuple[bytes, str]]] = {}
        self.logs: dict[tuple[str, str], bytes] = {}
        self.beside: dict[tuple[str, str], Stored[bytes]] = {}
        """By container and name."""
        self.pieces: dict[tuple[str, str], dict[str, bytes]] = {}
        self.made_of: dict[tuple[str, str], list[StagedBlock]] = {}
        self._etags = count(1)
        self.being_deleted: set[str] = set()
        self.soft_deleted: set[str] = set()
        self.page_max = 5000
        self.refused_markers: set[str | None] = set()

    @property
    def account(self) -> str:
        """The account's name."""
        return self._account

    async def put_batch(self, permit: Permit, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        return self.receive_batch(permit, container, batch_id, content, body_hash)

    def receive_batch(self, permit: Permit, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        """Do what storage does with a ``put_batch`` that arrives now, whenever it began."""
        self._refuse_late(permit)
        self._refuse_missing(container)
        batches = self.containers[container]
        if batch_id in batches:
            return Put.SAME if batches[batch_id][1] == body_hash else Put.OTHER
        batches[batch_id] = (content, body_hash)
        return Put.CREATED

    async def find_batch(self, container: str, batch_id: str, body_hash: str) -> Put | None:
        """See ``CaptureStore``."""
        found = self.containers.get(container, {}).get(batch_id)
        return None if found is None else Put.SAME if found[1] == body_hash else Put.OTHER

    async def create_log(self, permit: Permit, container: str, log: str) -> None:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        self.receive_log(permit, container, log)

    def receive_log(self, permit: Permit, container: str, log: str) -> None:
        """Do what storage does with a ``create_log`` that arrives now."""
        self._refuse_late(permit)
        self._refuse_missing(container)
        self.logs.setdefault((container, log), b"")

    async def append(self, permit: Permit, container: str, log: str, record: bytes) -> int:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        return self.receive_record(permit, container, log, record)

    def receive_record(self, permit: Permit, container: str, log: str, record: bytes) -> int:
        """Do what storage does with an ``append`` that arrives now."""
        self._refuse_late(permit)
        start = len(self._log(container, log))
        self.logs[container, log] += record
        return start

    async def read_log(self, container: str, log: str, start: int) -> bytes:
        """See ``CaptureStore``."""
        return self._log(container, log)[start:]

    def _log(self, container: str, log: str) -> bytes:
        self._refuse_missing(container)
        if (container, log) not in self.logs:
            raise BatchMissing
        return self.logs[container, log]

    async def create_container(self, permit: Permit, container: str) -> None:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        self.receive_container(container)

    def receive_container(self, container: str) -> None:
        """Do what storage does with a ``create_container`` that arrives now."""
        self._refuse_being_deleted(container)
        self.containers.setdefault(container, {})

    async def mark(self, container: str) -> None:
        """See ``CaptureStore``."""
        self.containers.setdefault(container, {})

    async def delete_container(self, container: str) -> bool:
        """See ``CaptureStore``."""
        for kept in (self.logs, self.beside, self.pieces, self.made_of):
            for place in [place for place in kept if place[0] == container]:
                del kept[place]
        return self.containers.pop(container, None) is not None or container in self.being_deleted

    async def list_batches(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        """See ``CaptureStore``."""
        self._refuse_missing(container)
        return [name for name in sorted(self.containers[container]) if after is None or name > after][:limit]

    async def read_batch(self, container: str, batch_id: str, *, most: int | None = None) -> bytes:
        """See ``CaptureStore``."""
        self._refuse_missing(container)
        if batch_id not in self.containers[container]:
            raise BatchMissing
        return self.containers[container][batch_id][0][:most]

    async def list_blobs(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        """See ``CaptureStore``."""
        self._refuse_missing(container)
        others = [place[1] for place in (*self.logs, *self.beside) if place[0] == container]
        names = sorted([*self.containers[container], *others])
        return [name for name in names if after is None or name > after][:limit]

    async def read_beside(self, container: str, blob: str) -> Stored[bytes] | None:
        """See ``CaptureStore``."""
        self._refuse_missing(container)
        return self.beside.get((container, blob))

    async def write_beside(
        self, permit: WritePermit, container: str, blob: str, content: bytes, etag: str | None
    ) -> None:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        self.receive_beside(permit, container, blob, content, etag)

    def receive_beside(self, permit: WritePermit, container: str, blob: str, content: bytes, etag: str | None) -> None:
        """Do what storage does with a ``write_beside`` that arrives now."""
        self._refuse_late(permit)
        self._refuse_missing(container)
        there = self.beside.get((container, blob))
        if (None if there is None else there.etag) != etag:
            raise Conflict
        self._put_beside(container, blob, content)

    def _put_beside(self, container: str, blob: str, content: bytes) -> None:
        self.pieces.pop((container, blob), None)
        self.beside[container, blob] = Stored(content, f'"{next(self._etags)}"')

    async def delete_beside(self, container: str, blob: str) -> None:
        """See ``CaptureStore``."""
        self.beside.pop((container, blob), None)
        self.pieces.pop((container, blob), None)
        self.made_of.pop((container, blob), None)

    async def stage(self, permit: WritePermit, container: str, blob: str, name: str, content: bytes) -> None:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        self.receive_piece(permit, container, blob, name, content)

    def receive_piece(self, permit: WritePermit, container: str, blob: str, name: str, content: bytes) -> None:
        """Do what storage does with a ``stage`` that arrives now."""
        self._refuse_late(permit)
        self._refuse_missing(container)
        pieces = self.pieces.setdefault((container, blob), {})
        if any(len(other) != len(name) for other in pieces) or len(name) > 64:
            raise StoreUnavailable("storage-InvalidBlobOrBlock")
        pieces[name] = content

    async def staged(self, container: str, blob: str) -> Sequence[StagedBlock]:
        """See ``CaptureStore``."""
        self._refuse_missing(container)
        if (container, blob) in self.made_of:
            return self.made_of[container, blob]
        pieces = self.pieces.get((container, blob), {})
        return _in_no_order(StagedBlock(name, len(content)) for name, content in pieces.items())

    async def put_staged(self, permit: WritePermit, container: str, blob: str, names: Sequence[str]) -> None:
        """See ``CaptureStore``."""
        if not permit.holds:
            raise ConsentExpired
        self.receive_staged(permit, container, blob, names)

    def receive_staged(self, permit: WritePermit, container: str, blob: str, names: Sequence[str]) -> None:
        """Do what storage does with a ``put_staged`` that arrives now."""
        self._refuse_late(permit)
        self._refuse_missing(container)
        if (container, blob) in self.beside:
            raise Conflict
        pieces = self.pieces.get((container, blob), {})
        if any(name not in pieces for name in names):
            raise StoreUnavailable("storage-InvalidBlockList")
        self.made_of[container, blob] = [StagedBlock(name, len(pieces[name])) for name in names]
        self._put_beside(container, blob, b"".join(pieces[name] for name in names))

    async def size_of(self, container: str, blob: str) -> Stored[int] | None:
        """See ``CaptureStore``."""
        there = await self.read_beside(container, blob)
        return None if there is None else Stored(len(there.value), there.etag)

    async def read_range(self, container: str, blob: str, etag: str, start: int, length: int) -> bytes:
        """See ``CaptureStore``."""
        there = await self.read_beside(container, blob)
        if there is None or there.etag != etag:
            raise BatchMissing
        return there.value[start : start + length]

    async def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        """See ``CaptureStore``."""
        for each in self._listed(prefix, include_deleted=include_deleted):
            yield each

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        """See ``CaptureStore``."""
        if marker in self.refused_markers:
            raise MarkerRefused
        listed = self._listed(prefix, include_deleted=include_deleted)
        rest = [each for each in listed if marker is None or each.name >= marker]
        size = min(page_size, self.page_max)
        # What soft delete keeps may have the name of what is there: a page ends between names.
        while 0 < size < len(rest) and rest[size].name == rest[size - 1].name:
            size += 1
        return ContainerPage(rest[:size], rest[size].name if size < len(rest) else None)

    def _listed(self, prefix: str, *, include_deleted: bool) -> Sequence[ListedContainer]:
        listed = [ListedContainer(name) for name in self.containers]
        if include_deleted:
            listed += [ListedContainer(name, deleted=True) for name in self.soft_deleted]
        return sorted((each for each in listed if each.name.startswith(prefix)), key=lambda each: each.name)

    def _refuse_late(self, permit: WritePermit) -> None:
        now = self.now or permit.read_at.clock.now
        if now() >= permit.expires_at:
            raise TryAgain("storage-AuthenticationFailed")

    def _refuse_missing(self, container: str) -> None:
        self._refuse_being_deleted(container)
        if container not in self.containers:
            raise ContainerMissing

    def _refuse_being_deleted(self, container: str) -> None:
        if container in self.being_deleted:
            raise ContainerBeingDeleted


def _shared_out(
    work: Sequence[Stored[Deletion]], now: datetime, failed: bool | None, of_tenant: int | None
) -> Iterator[Stored[Deletion]]:
    taken: Counter[str] = Counter()
    for stored in sorted(work, key=lambda each: each.value.deadline):
        if failed is not None and failed != (stored.value.retry_at is not None):
            continue
        tenant_id = stored.value.tenant_id
        if not deadlines.waits(stored.value.retry_at, now) and (of_tenant is None or taken[tenant_id] < of_tenant):
            taken[tenant_id] += 1
            yield stored


def _in_no_order(values: Iterable[T]) -> Sequence[T]:
    """Return what a query without an order finds: of so many items always in the same disorder."""
    found = list(values)
    return [found[n] for n in _disorder(len(found))]


@cache
def _disorder(items: int) -> Sequence[int]:
    # With this seed, two or more never come as they were stored.
    return random.Random(items + 7).sample(range(items), items)  # noqa: S311 (nothing secret)


def _newest(values: Sequence[T], sequence: Callable[[T], int], limit: int, before: int | None) -> Page[T]:
    chosen = [value for value in values if before is None or sequence(value) < before]
    newest = sorted(chosen, key=sequence, reverse=True)[:limit]
    return Page(newest, next_before=sequence(newest[-1]) if len(chosen) > limit else None)
