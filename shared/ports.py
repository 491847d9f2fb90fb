"""What the rules ask of storage, and how storage may fail them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Generic, Protocol, TypeVar

from shared.clock import Moment
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.epochs import Epoch
from shared.model.exports import ReviewExport
from shared.model.grants import AccessRecord, ReviewGrant
from shared.model.heartbeats import Heartbeat
from shared.model.ledger import Change, Event, OptedOut, Setting, TenantLedger
from shared.model.posture import PostureCheck

T = TypeVar("T")
_Stream = TypeVar("_Stream", bound=Callable[..., AsyncIterator[Any]])

LOOKUP_MAX = 100
"""How many enrollments one query may ask for by their ids."""

UNREADABLE_ITEM = "cosmos-item-unreadable"
"""The code of ``StoreUnavailable`` where there is an item that nobody understands."""

RETRY_AFTER_MAX = 300.0
"""In seconds. No store is believed to ask for a longer wait: what is further ahead is an error, or hostile."""


class StoreUnavailable(Exception):
    """A store did not do what it was asked; whether it did it without telling is unknown.

    Attributes:
        code: stable, content-free, and fit for an item or a log: ``storage-timeout``, ``cosmos-429`` ...
        throttled: whether the store is there and asks for fewer requests; then nothing is wrong with what was asked.
        retry_after: how many seconds it asked to wait, at most ``RETRY_AFTER_MAX``; None if it did not say.
    """

    def __init__(self, code: str, *, throttled: bool = False, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.throttled = throttled
        self.retry_after = retry_after


class TryAgain(StoreUnavailable):
    """A store did not do what it was asked, for a reason that may pass within seconds."""


class Conflict(Exception):
    """Another writer came first."""


def goes_on(behind: Callable[[Any], Mapping[str, Any]]) -> Callable[[_Stream], _Stream]:
    """Say of a listing or query how it is asked again where a store has refused the rest of it for now (D12).

    What has been read at that place may be read once more.

    Args:
        behind: tells by which arguments, in place of those that it was asked with, it goes on behind an item.
    """

    def declared(stream: _Stream) -> _Stream:
        GOES_ON[stream] = behind
        return stream

    return declared


GOES_ON: dict[Callable[..., Any], Callable[[Any], Mapping[str, Any]]] = {}
"""How each of these goes on; of any other nobody knows."""


def _from_the_start(_: Any) -> Mapping[str, Any]:
    """An answer in no order, whose readers do not mind to read some of it twice."""
    return {}


class ContainerMissing(Exception):
    """The container of a batch does not exist: never created, or deleted."""


class MarkerRefused(Exception):
    """Storage does not go on with a listing where its marker says."""


class BatchMissing(Exception):
    """The container holds no such batch."""


class ContainerBeingDeleted(Exception):
    """The container's name cannot be used yet, because a container of that name is being deleted."""


class ConsentExpired(Exception):
    """The permit of a write no longer held before the write was begun; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value as it was read.

    Attributes:
        value: the value.
        etag: what a replacement must match.
        at: of a setting, when it was committed (``Committed.at``); None of what nobody asks that.
    """

    value: T
    etag: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a tenant's values, newest first.

    Attributes:
        values: those that can be read.
        unreadable: how many others there are between them, of which nobody knows what they say.
        next_before: the sequence below which the next page begins; None if there is no next page.
    """

    values: Sequence[T]
    unreadable: int = 0
    next_before: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """An opt-out as it is stored.

    Attributes:
        at: when it was last written, in whole seconds since 1970, as the database itself says: no clock of ours, and
            nothing that stands in the item, has a part in it.
        event: the opt-out; None if nobody understands it.
    """

    at: int
    event: OptedOut | None


class LedgerStore(Protocol):
    """Container ``tenants``: each tenant's setting and ledger."""

    async def read_setting(self, tenant_id: str) -> Stored[Setting] | None:
        """Return the setting as last committed anywhere, or None for a tenant never seen."""
        ...

    async def commit(self, change: Change, etag: str | None) -> None:
        """Store the event and the setting together or not at all (D1).

        Args:
            change: the event, and the setting after it.
            etag: that of the setting before the change; None if there was none.

        Raises:
            Conflict: if the setting is no longer that one.
        """
        ...

    async def agreed_to_others(self, version: str, *, limit: int, after: str) -> Sequence[Setting]:
        """Return at most ``limit`` settings that are on and whose last agreement is to another notice, by tenant id.

        Args:
            version: the notice.
            limit: how many at most.
            after: only tenants whose id comes after this one.
        """
        ...

    async def has_enrollment_in(self, storage_account: str) -> bool:
        """Tell whether some tenant shares data now whose captures lie in a storage account."""
        ...

    async def history(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Event]:
        """Return at most ``limit`` events, newest first, of a sequence lower than ``before`` if that is given."""
        ...

    async def events_of(self, tenant_id: str, enrollment_id: str) -> Sequence[Event]:
        """Return all events of one enrollment of a tenant, oldest first.

        Raises:
            StoreUnavailable: if nobody understands one of them.
        """
        ...

    @goes_on(lambda event: {"sequence": max(event.sequence, 0)})
    def events_after(self, tenant_id: str, sequence: int) -> AsyncIterator[Event | None]:
        """Yield a tenant's events of a sequence higher than ``sequence``, by sequence; none is read long before it.

        Instead of one that nobody understands, None; those that have no sequence come first of all, after 0.
        """
        ...

    @goes_on(lambda ledger: {"after": ledger.tenant_id})
    def ledgers(self, after: str, *, at_most: int) -> AsyncIterator[TenantLedger]:
        """Yield what is stored of each tenant whose id comes after ``after``, in the order of the ids.

        What changes while it is read may show half.

        Args:
            after: a tenant's id, or "" for all.
            at_most: of how many items; of a tenant that has more some are yielded, which is not whole.
        """
        ...

    @goes_on(_from_the_start)
    def events_of_enrollments(self, enrollment_ids: Sequence[str]) -> AsyncIterator[tuple[str, Event | None]]:
        """Yield the events of these enrollments, whosever they are, each with its enrollment's id, in no order.

        Instead of an event that nobody understands, None.

        Args:
            enrollment_ids: at most ``LOOKUP_MAX``.
        """
        ...

    async def last_commit(self) -> int | None:
        """Return when anything was last written (``Committed.at``), or None if there is nothing."""
        ...

    @goes_on(lambda committed: {"since": committed.at})
    def opt_outs_committed(self, since: int, before: int | None = None) -> AsyncIterator[Committed]:
        """Yield all tenants' opt-outs that were written at ``since`` or later, in the order of ``Committed.at``.

        It takes as long as there are such opt-outs, however many others there are.

        Args:
            since: in seconds since 1970.
            before: only those that were written before; None for all.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeletionCounts:
    """How many deletions of an account are not finished; ``oldest_deadline`` is of those that can be read."""

    pending: int
    overdue: int
    oldest_deadline: datetime | None


@dataclass(frozen=True, slots=True)
class TenantDeletions:
    """The deletions of a tenant, and how many items nobody understands; ``whole`` if there are no others."""

    tenant_id: str
    deletions: Sequence[Stored[Deletion]]
    unreadable: int = 0
    whole: bool = True


class DeletionStore(Protocol):
    """Container ``deletions``."""

    async def create(self, deletion: Deletion) -> bool:
        """Store a new deletion; return False, and change nothing, if that enrollment has one."""
        ...

    async def read(self, tenant_id: str, enrollment_id: str) -> Stored[Deletion] | None:
        """Return one deletion, or None."""
        ...

    async def replace(self, deletion: Deletion, etag: str) -> None:
        """Store a deletion in place of the one that was read with ``etag``.

        Raises:
            Conflict: if it changed meanwhile.
        """
        ...

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Page[Deletion]:
        """Return at most ``limit`` deletions, newest opt-out first, of a sequence lower than ``before`` if given."""
        ...

    def due(
        self, storage_account: str, now: datetime, *, failed: bool | None = None, of_tenant: int | None = None
    ) -> AsyncIterator[Stored[Deletion]]:
        """Yield the deletions of an account whose first look may be taken at ``now``, by deadline (D12).

        What failed is not among them until its ``retry_at``.

        Args:
            storage_account: the account.
            now: the time.
            failed: only those whose last look came to nothing, or only the others; None for all.
            of_tenant: at most so many of each tenant, however many it has; None for all.
        """
        ...

    def unverified(
        self,
        storage_account: str,
        purged_by: datetime,
        now: datetime,
        *,
        failed: bool | None = None,
        of_tenant: int | None = None,
    ) -> AsyncIterator[Stored[Deletion]]:
        """Yield the deletions of an account that await the second look at ``now``, as ``due`` does.

        They are those that were purged at ``purged_by`` or before.
        """
        ...

    async def counts(self, storage_account: str, now: datetime) -> DeletionCounts:
        """Return what is not finished in an account, and how much of it is past its deadline."""
        ...

    async def overdue(self, now: datetime) -> int:
        """Return how many deletions are past their deadline in all accounts, those that nobody serves any more too."""
        ...

    async def list_overdue(self, now: datetime, *, limit: int) -> Sequence[Deletion]:
        """Return at most ``limit`` of them that can be read, by deadline."""
        ...

    def unreadable(self) -> AsyncIterator[str | None]:
        """Yield, for each deletion that is not finished and that nobody understands, the account that it names.

        None if it names none. What a query cannot see, the sweep finds: so it is with a status that is null, a list or
        an object, or that is not there at all. It takes as long however many are finished.
        """
        ...

    @goes_on(lambda deletions: {"after": deletions.tenant_id})
    def tenants(self, after: str, *, at_most: int) -> AsyncIterator[TenantDeletions]:
        """Yield the deletions of each tenant whose id comes after ``after``, in the order of the ids.

        Args:
            after: a tenant's id, or "" for all.
            at_most: how many; of a tenant that has more some are yielded, which is not whole.
        """
        ...

    @goes_on(_from_the_start)
    def of_sequences(self, tenant_id: str, after: int, until: int) -> AsyncIterator[Stored[Deletion] | None]:
        """Yield a tenant's deletions of opt-outs whose sequence comes after ``after``, up to ``until`` itself.

        None for one that nobody understands; those that have no sequence come after 0 too.
        """
        ...

    @goes_on(_from_the_start)
    def verified_among(self, enrollment_ids: Sequence[str]) -> AsyncIterator[str]:
        """Yield those of these enrollments whose deletion is verified, in no order.

        Args:
            enrollment_ids: at most ``LOOKUP_MAX``.
        """
        ...

    async def existing(self, keys: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """Return for which of some enrollments there is a deletion, readable or not; it takes as long for any number.

        Args:
            keys: each a tenant's id and an enrollment's, at most ``LOOKUP_MAX``.
        """
        ...


class OperationStore(Protocol):
    """Container ``operations``."""

    async def last(self, kind: str, storage_account: str | None) -> Stored[Heartbeat | None] | None:
        """Return the last run of a kind of job in a storage account, or with None on the ledger; None if there is none.

        One that nobody understands has the value None. What an earlier version wrote under another name is none.
        """
        ...

    async def write(self, heartbeat: Heartbeat, etag: str | None) -> None:
        """Store a job's last run, in place of the one of the same kind and storage account that has ``etag``.

        Raises:
            Conflict: if that is not the one that stands there; with None, if there is one.
        """
        ...

    async def deployment_id(self) -> str | None:
        """Return the id of the deployment whose database this is, or None if it has none yet (D14)."""
        ...

    async def deploy(self, deployment_id: str) -> str:
        """Give the database's deployment an id unless it has one, and return the one that it has."""
        ...

    async def read_all(self, kind: str) -> Mapping[str | None, Heartbeat | None]:
        """Return the last run of a kind of job by storage account; under None that on the ledger.

        Instead of one that nobody understands, None.
        """
        ...

    async def read_epoch(self, shard: str) -> Epoch:
        """Return the epoch of a shard of tenants as last changed anywhere; ``NO_EPOCH`` if it never was (D21)."""
        ...

    async def change_epoch(self, shard: str) -> None:
        """Give a shard an epoch that it has never had, whatever is there."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """How an account is set up, as far as its data plane shows it.

    Attributes:
        properties: by the names that Azure Resource Manager has for them.
        development: whether the account is on this very machine.
    """

    properties: Mapping[str, Any]
    development: bool


class InspectedAccount(Protocol):
    """An account whose setup promises rest on."""

    @property
    def account(self) -> str | None:
        """The storage account's name; None for Cosmos DB."""
        ...

    async def setup(self) -> Setup:
        """Return how the account is set up now."""
        ...


class PostureStore(Protocol):
    """Container ``operations`` again: the last check of each account's posture."""

    async def last(self, storage_account: str | None) -> Stored[PostureCheck | None] | None:
        """Return the last check of a storage account, or with None of the Cosmos DB account; see ``OperationStore``."""
        ...

    async def write(self, check: PostureCheck, etag: str | None) -> None:
        """Store a check, in place of the one of the same account that has ``etag``.

        Raises:
            Conflict: if that is not the one that stands there; with None, if there is one.
        """
        ...

    async def read_all(self) -> Mapping[str | None, PostureCheck | None]:
        """Return the last check by storage account; under None that of the Cosmos DB account.

        Instead of one that nobody understands, None.
        """
        ...


@dataclass(frozen=True, slots=True)
class Inspected:
    """The accounts whose setup promises rest on.

    Attributes:
        storage: the served storage accounts.
        cosmos: the Cosmos DB account.
        checks: where what was found is kept, so that every instance can tell it.
    """

    storage: Sequence[InspectedAccount]
    cosmos: InspectedAccount
    checks: PostureStore


class AccessStore(Protocol):
    """Container ``access``: each tenant's review grants and access log."""

    async def head(self, tenant_id: str) -> Stored[int] | None:
        """Return the sequence of the log's last record as last committed anywhere, or None if there is no record."""
        ...

    async def commit(
        self, record: AccessRecord, grant: ReviewGrant | None, etag: str | None, *, export: ReviewExport | None = None
    ) -> None:
        """Store a record, and a grant or an export as it is after it, together or not at all.

        Args:
            record: the log's next record.
            grant: the grant that it creates or changes, or None.
            etag: that of the head that the record follows; None if it is the first.
            export: the export that it creates or changes, or None.

        Raises:
            Conflict: if the head is no longer that one.
        """
        ...

    async def move_head(self, tenant_id: str, etag: str, *, export: ReviewExport | None = None) -> None:
        """Let whoever has decided on what he read after the log's head decide again: the head gets another etag.

        Args:
            tenant_id: the tenant.
            etag: that of the head.
            export: an export as it is afterwards, stored with it or not at all.

        Raises:
            Conflict: if the head is no longer that one.
        """
        ...

    async def read_export(self, tenant_id: str, export_id: str) -> ReviewExport | None:
        """Return one export, or None."""
        ...

    async def exports(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewExport]:
        """Return at most ``limit`` exports, newest request first, of a sequence lower than ``before`` if given."""
        ...

    async def unfinished_exports(self, *, limit: int) -> Sequence[ReviewExport]:
        """Return at most ``limit`` exports of all tenants that can be read and are unfinished, the oldest first."""
        ...

    async def downloads(
        self, tenant_id: str, enrollment_id: str, *, limit: int, after: int = 0
    ) -> Sequence[AccessRecord]:
        """Return the first records of downloads of an enrollment's exports, by sequence.

        Args:
            tenant_id: the tenant.
            enrollment_id: the enrollment.
            limit: how many at most.
            after: only those with a higher sequence.

        Raises:
            StoreUnavailable: if nobody understands one of them.
        """
        ...

    async def uses(self, tenant_id: str, grant_id: str) -> Mapping[str, int]:
        """Return how many records there are of each action under a grant; an action without any is not named."""
        ...

    async def read_grant(self, tenant_id: str, grant_id: str) -> ReviewGrant | None:
        """Return one grant, or None."""
        ...

    async def grants(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewGrant]:
        """Return at most ``limit`` grants, newest request first, of a sequence lower than ``before`` if given."""
        ...

    async def approved_grants(self, tenant_id: str, reviewer: str, now: datetime) -> Sequence[ReviewGrant]:
        """Return the reviewer's grants that were approved and end after ``now``, also if they were revoked.

        One that nobody understands opens nothing, and is not among them.
        """
        ...

    async def pending_grants(self, since: datetime, *, limit: int) -> Sequence[ReviewGrant]:
        """Return at most ``limit`` grants of all tenants that can be read and are neither approved nor revoked.

        Only those asked for after ``since``, the one asked for first first.
        """
        ...

    async def log(self, tenant_id: str, *, limit: int, before: int | None) -> Page[AccessRecord]:
        """Return at most ``limit`` records, newest first, of a sequence lower than ``before`` if that is given."""
        ...


class ReceiptSigner(Protocol):
    """The key that receipts are signed with; it stays where it is kept."""

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """Return ``claims`` as a compact JWS (ES256) whose ``kid`` is one of ``public_keys``."""
        ...

    async def public_keys(self) -> Sequence[Mapping[str, Any]]:
        """Return the public keys of all receipts that were ever signed, as JWKs."""
        ...


@dataclass(frozen=True, slots=True)
class Permit:
    """What one consent read allows to write, and for how long (D5, D11).

    Attributes:
        setting: as it was read.
        read_at: when the read *started*, of the setting or of the epoch that confirmed it (D21): what was committed
            before and answered, it has seen.
        agreed_until: the first instant at which what the tenant agreed to counts no longer (P11); None if that is not
            known here.
    """

    setting: Setting
    read_at: Moment
    agreed_until: datetime | None

    @property
    def is_fresh(self) -> bool:
        """Whether the setting may still be relied on."""
        return self.read_at.age < deadlines.CONSENT_LEASE_SECONDS

    @property
    def ran_out(self) -> bool:
        """Whether what the tenant agreed to counts no longer."""
        return self.agreed_until is not None and self.read_at.clock.now() >= self.agreed_until

    @property
    def holds(self) -> bool:
        """Whether a write may begin now."""
        return self.is_fresh and self.agreed_until is not None and not self.ran_out

    @property
    def seconds_left(self) -> float:
        """For how long from now a write that has begun may still arrive."""
        left = deadlines.SIGNATURE_SECONDS - self.read_at.age
        if self.agreed_until is None:
            return 0.0
        return min(left, (self.agreed_until - self.read_at.clock.now()).total_seconds())

    @property
    def expires_at(self) -> datetime:
        """When a write that has begun may no longer arrive, by the wall clock of the machine that read."""
        latest = self.read_at.wall + timedelta(seconds=deadlines.SIGNATURE_SECONDS)
        return latest if self.agreed_until is None else min(latest, self.agreed_until)


@dataclass(frozen=True, slots=True)
class ReviewPermit:
    """What one look at a live review grant allows to write beside the captures, and for how long (D11, P12).

    Attributes:
        read_at: when the look *started*.
        ends_at: the first instant at which the grant, the day or the enrollment is over.
    """

    read_at: Moment
    ends_at: datetime

    @property
    def holds(self) -> bool:
        """Whether a write may begin now."""
        return self.read_at.age < deadlines.LOOK_SECONDS and self.read_at.clock.now() < self.ends_at

    @property
    def seconds_left(self) -> float:
        """For how long from now a write that has begun may still arrive."""
        left = deadlines.SIGNATURE_SECONDS - self.read_at.age
        return min(left, (self.ends_at - self.read_at.clock.now()).total_seconds())

    @property
    def expires_at(self) -> datetime:
        """When a write that has begun may no longer arrive, by the wall clock of the machine that looked."""
        return min(self.ends_at, self.read_at.wall + timedelta(seconds=deadlines.SIGNATURE_SECONDS))


class WritePermit(Protocol):
    """What a write to a storage account rests on: a ``Permit`` or a ``ReviewPermit``."""

    @property
    def read_at(self) -> Moment:
        """When what it rests on began to be read."""
        ...

    @property
    def holds(self) -> bool:
        """Whether a write may begin now."""
        ...

    @property
    def seconds_left(self) -> float:
        """For how long from now a write that has begun may still arrive."""
        ...

    @property
    def expires_at(self) -> datetime:
        """When a write that has begun may no longer arrive."""
        ...


@dataclass(frozen=True, slots=True)
class StagedBlock:
    """A piece of a blob that is not there yet: what names it, and how many bytes it has."""

    name: str
    size: int


class Put(Enum):
    """How the upload of a batch ended."""

    CREATED = auto()
    SAME = auto()
    """A batch of that name with the same body was there."""
    OTHER = auto()
    """A batch of that name with another body was there."""


@dataclass(frozen=True, slots=True)
class ListedContainer:
    """A container as a listing shows it; ``deleted`` if soft delete keeps it."""

    name: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ContainerPage:
    """A page of a listing; it may be short, or empty, though there is a next one.

    Attributes:
        containers: those on it, in the order of their names.
        next_marker: storage's own word for where the next page begins, which may be kept; None if there is none.
    """

    containers: Sequence[ListedContainer]
    next_marker: str | None


class ContainerStore(Protocol):
    """The containers of one geo-pinned storage account (P3)."""

    @property
    def account(self) -> str:
        """The account's name."""
        ...

    async def mark(self, container: str) -> None:
        """Create the container that says whose the account is (D14), on no consent; one that exists is fine."""
        ...

    async def delete_container(self, container: str) -> bool:
        """Delete a container with all that it holds, and return whether storage still knew of it.

        While Azure collects a deleted container, reads and listings no longer show it, but a further delete does not
        yet answer that there is none: so False is the proof that it is gone.
        """
        ...

    def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        """Yield the containers whose names begin with ``prefix``, in the order of their names.

        Asked again after a failure that is ``throttled``, the iterator goes on where it was, unless it is a generator.

        Args:
            prefix: what the names begin with.
            include_deleted: also those that soft delete keeps.
            page_size: how many to ask for at a time; fewer if only the first are of interest.
        """
        ...

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        """Return one page of what ``list_containers`` yields.

        Args:
            prefix: what the names begin with.
            marker: that of the page; None for the first.
            include_deleted: also those that soft delete keeps.
            page_size: of how many at most.

        Raises:
            MarkerRefused: if storage does not take the marker, for instance because it was kept for too long.
        """
        ...


class CaptureStore(ContainerStore, Protocol):
    """One geo-pinned storage account (P3)."""

    async def put_batch(self, permit: Permit, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        """Store a batch under its id unless one is there (D6); nothing that is there is ever replaced.

        One attempt. It begins only while ``permit`` holds, and storage itself refuses it once ``permit`` has expired,
        however long a process or the network held it up (D11).

        Args:
            permit: the consent read that allows it.
            container: the name of the day's container.
            batch_id: the blob's name.
            content: gzip of JSON Lines.
            body_hash: what tells two bodies apart; kept beside the batch.

        Raises:
            ConsentExpired: if ``permit`` does not hold.
            TryAgain: if another attempt may succeed; this one may have been carried out all the same.
            ContainerMissing: if there is no such container.
            ContainerBeingDeleted: if there is one no longer.
        """
        ...

    async def find_batch(self, container: str, batch_id: str, body_hash: str) -> Put | None:
        """Tell whether a batch of that id is there, with the same body or another; None if there is none."""
        ...

    async def create_log(self, permit: Permit, container: str, log: str) -> None:
        """Create an empty log blob; one that exists is fine.

        One attempt, and storage refuses it late, as with ``put_batch``, which says what is raised.
        """
        ...

    async def append(self, permit: Permit, container: str, log: str, record: bytes) -> int:
        """Append a record to a log, and return where in it the record begins, in bytes.

        Appends have one order, whoever makes them. One attempt, and storage refuses it late, as with ``put_batch``,
        which says what is raised; an attempt that may have been carried out leaves the record there twice.

        Raises:
            BatchMissing: if there is no such log.
        """
        ...

    async def read_log(self, container: str, log: str, start: int) -> bytes:
        """Return what stands in a log from ``start`` on, where there must be something.

        Raises:
            BatchMissing, ContainerMissing, ContainerBeingDeleted: if there is no such log, or container.
        """
        ...

    async def create_container(self, permit: Permit, container: str) -> None:
        """Create a container; one that exists is fine.

        One attempt, which begins only while ``permit`` holds. No signature can bound its arrival: what comes late is an
        empty container, which no batch can follow.

        Raises:
            ConsentExpired: if ``permit`` does not hold.
            TryAgain: if another attempt may succeed.
            ContainerBeingDeleted: if the name is not free yet.
        """
        ...

    async def list_batches(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        """Return at most ``limit`` ids of batches, in their order, that come after ``after`` if that is given.

        Raises:
            ContainerMissing, ContainerBeingDeleted: if there is no such container.
        """
        ...

    async def read_batch(self, container: str, batch_id: str, *, most: int | None = None) -> bytes:
        """Return a batch as it was stored: gzip of JSON Lines.

        Args:
            container: the container.
            batch_id: the batch.
            most: how many bytes of it are wanted at most, if not all.

        Raises:
            ContainerMissing, ContainerBeingDeleted, BatchMissing: if there is none.
        """
        ...

    # What is made of captures lies beside them, and goes with their container (P12). Nothing here creates one: what
    # comes late finds no container.

    async def list_blobs(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        """Return at most ``limit`` names of all blobs, in their order, that come after ``after`` if that is given.

        Raises:
            ContainerMissing, ContainerBeingDeleted: if there is no such container.
        """
        ...

    async def read_beside(self, container: str, blob: str) -> Stored[bytes] | None:
        """Return a blob that lies beside the batches, or None if there is none of that name.

        Raises:
            ContainerMissing, ContainerBeingDeleted: if there is no such container.
        """
        ...

    async def write_beside(
        self, permit: WritePermit, container: str, blob: str, content: bytes, etag: str | None
    ) -> None:
        """Store a blob beside the batches, in place of the one that was read with ``etag``; with None a new one.

        One attempt, and storage refuses it late, as with ``put_batch``, which says what else is raised.

        Raises:
            Conflict: if what is there is not that one any more.
        """
        ...

    async def delete_beside(self, container: str, blob: str) -> None:
        """Delete a blob, and what is staged for one of that name; none is fine, and so is no container."""
        ...

    async def stage(self, permit: WritePermit, container: str, blob: str, name: str, content: bytes) -> None:
        """Keep a piece of a blob that nobody can read before ``put_staged``; one of that name is replaced.

        One attempt, and storage refuses it late, as with ``put_batch``, which says what is raised.

        Args:
            permit: what it rests on.
            container: the container's name.
            blob: the blob's name.
            name: the piece's, in ASCII: of one blob all are equally long, at most 64 characters.
            content: the piece.
        """
        ...

    async def staged(self, container: str, blob: str) -> Sequence[StagedBlock]:
        """Return the pieces that a blob is made of, in their order; before it is there, those staged, in no order.

        Raises:
            ContainerMissing, ContainerBeingDeleted: if there is no such container.
        """
        ...

    async def put_staged(self, permit: WritePermit, container: str, blob: str, names: Sequence[str]) -> None:
        """Make a new blob of staged pieces, in that order, unless one of its name is there.

        One attempt, and storage refuses it late, as with ``put_batch``, which says what else is raised.

        Raises:
            Conflict: if there is one.
        """
        ...

    async def size_of(self, container: str, blob: str) -> Stored[int] | None:
        """Return how many bytes a blob has, and its etag; None if there is none.

        Raises:
            ContainerMissing, ContainerBeingDeleted: if there is no such container.
        """
        ...

    async def read_range(self, container: str, blob: str, etag: str, start: int, length: int) -> bytes:
        """Return at most ``length`` bytes of a blob from ``start`` on, where there must be one.

        Raises:
            BatchMissing, ContainerMissing, ContainerBeingDeleted: if there is no such blob, or only another than that
                of ``etag``, or no such container.
        """
        ...


@dataclass(frozen=True, slots=True)
class Stores:
    """All that the rules are wired to.

    Attributes:
        ledger: the tenants' settings and events.
        deletions: the deletions.
        access: the review grants and access logs.
        operations: the heartbeats.
        captures: the storage accounts, in the order in which the configuration names them.
        signer: the key that receipts are signed with.
        inspected: whose setup promises rest on; None for fakes, of which nothing could be set up.
        closers: what closes their connections.
    """

    ledger: LedgerStore
    deletions: DeletionStore
    access: AccessStore
    operations: OperationStore
    captures: Sequence[CaptureStore]
    signer: ReceiptSigner
    inspected: Inspected | None = None
    closers: tuple[Callable[[], Awaitable[None]], ...] = ()
