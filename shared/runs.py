"""One run of a timer's job: its bound in time, what it counts, and failures that stay where they happen."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from shared.accounts import Account
from shared.clock import Clock
from shared.model.heartbeats import Heartbeat, Job
from shared.ports import ContainerPage, ContainerStore, ListedContainer, StoreUnavailable

T = TypeVar("T")

CALL_SECONDS = 10.0
"""How long one call of a run to storage may take."""

_LANES = 8

_log = logging.getLogger(__name__)


class Run:
    """What one run, in one account or on the ledger, has done so far.

    Attributes:
        kind: the job's name.
        started_at: when it began.
        counts: what it did, by kind.
        errors: the codes of what failed, in order.
        more: whether it stopped at its bounds, so that the next run has to go on.
    """

    def __init__(self, kind: Job | Literal["exports"], clock: Clock, seconds: float) -> None:
        """Begin a run.

        Args:
            kind: the job's name, for the log.
            clock: time.
            seconds: no new work is begun this long after now.
        """
        self.kind = kind
        self._clock = clock
        self._ends_at = clock.monotonic() + seconds
        self.started_at = clock.now()
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.more = False

    def out_of_time(self) -> bool:
        """Tell whether no new work may begin; then there is more for the next run."""
        if self._clock.monotonic() >= self._ends_at:
            self.more = True
            return True
        return False

    @property
    def seconds_left(self) -> float:
        """For how long new work may still begin."""
        return max(self._ends_at - self._clock.monotonic(), 0.0)

    def note(self, code: str) -> None:
        """Count a failure."""
        _log.warning("%s: %s", self.kind, code)
        self.errors.append(code)
        self.counts["failures"] += 1

    def heartbeat(self, account: Account | None, *, more: bool) -> Heartbeat:
        """Return what the run has come to, if it ends now.

        Args:
            account: where it ran; None for the ledger.
            more: whether the next run has to go on with what this one has left.
        """
        assert self.kind != "exports"  # no promise waits for it, and the log says what it did
        return Heartbeat(
            kind=self.kind,
            geo=None if account is None else account.geo,
            storage_account=None if account is None else account.name,
            started_at=self.started_at,
            at=self._clock.now(),
            outcome="failed" if self.errors else "more" if more else "done",
            error=self.errors[0] if self.errors else None,
            counts=dict(self.counts),
        )

    async def isolated(self, work: Awaitable[None]) -> str | None:
        """Carry out work whose failure must not keep other work from being done; it is noted, and its code returned."""
        try:
            await work
        except StoreUnavailable as error:
            code = error.code
        except Exception as error:  # an error of ours in one account must not keep the others from their deadlines
            _log.error("%s failed unexpectedly: %s", self.kind, type(error).__name__)
            code = "unexpected"
        else:
            return None
        self.note(code)
        return code

    async def side_by_side(
        self, work: Collection[T], carry_out: Callable[[T], Awaitable[None]], *, at_least: float = 0.0
    ) -> None:
        """Carry out work in its order, some of it at a time, so that what hangs holds up one lane and not the run.

        Args:
            work: what is to be done, each failure isolated.
            carry_out: does one of it.
            at_least: seconds that it is given in any case, even if the run is out of time.
        """
        waiting, until = iter(work), self._clock.monotonic() + at_least

        async def lane() -> None:
            for each in waiting:
                if self._clock.monotonic() >= until and self.out_of_time():
                    return
                await self.isolated(carry_out(each))

        await asyncio.gather(*(lane() for _ in range(min(_LANES, len(work)))))


@dataclass(frozen=True, slots=True)
class BriefStore:
    """A storage account as a run reaches it: no call hangs for longer than a run can bear (D12).

    Attributes:
        store: the account.
        seconds: how long a call, or a page of a listing, may take; then it fails with ``storage-timeout``.
    """

    store: ContainerStore
    seconds: float = CALL_SECONDS

    @property
    def account(self) -> str:
        """The account's name."""
        return self.store.account

    async def mark(self, container: str) -> None:
        """See ``ContainerStore``."""
        async with self._brief():
            await self.store.mark(container)

    async def delete_container(self, container: str) -> bool:
        """See ``ContainerStore``."""
        async with self._brief():
            return await self.store.delete_container(container)

    async def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        """See ``ContainerStore``."""
        listed = self.store.list_containers(prefix, include_deleted=include_deleted, page_size=page_size)
        while True:
            async with self._brief():
                each = await anext(listed, None)
            if each is None:
                return
            yield each

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        """See ``ContainerStore``."""
        async with self._brief():
            return await self.store.container_page(prefix, marker, include_deleted=include_deleted, page_size=page_size)

    @asynccontextmanager
    async def _brief(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError:
            raise StoreUnavailable("storage-timeout") from None
