"""One run of a timer's job: its bound in time, what it counts, and failures that stay where they happen.

A store that asks for fewer requests (``StoreUnavailable.throttled``) has not failed. Within a run it is asked again
when it says, or later and later if it does not say, and by fewer calls side by side; all others wait with the one that
was refused. Only what is still refused when the run ends is left, to the next run: it is no failure, so nothing is
postponed for it, and the heartbeat says ``more`` and counts ``throttled``.
"""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import cache, partial
from typing import Any, Literal, TypeVar, cast

from shared.accounts import Account
from shared.clock import Clock
from shared.model.heartbeats import THROTTLED, Heartbeat, Job
from shared.ports import GOES_ON, ContainerPage, ContainerStore, ListedContainer, StoreUnavailable, TryAgain

T = TypeVar("T")

CALL_SECONDS = 10.0
"""How long one call of a run to storage may take."""

COSMOS, VAULT = "Cosmos DB", "Key Vault"
"""Those stores' names; an account's is its own, and none has a space in it."""

PAUSE_FIRST, PAUSE_MAX = 1.0, 30.0
"""In seconds: how long a store that does not say is left alone at first, and at most; each time twice as long."""

SIDE_BY_SIDE = 64
"""How many calls of a run to one store may be under way; half as many after a refusal, and one more after an answer."""

_REFUSED_ALONE = 20
"""How often one call is refused, while others are answered, until it is the call that is at fault."""

LOOK_BACK_SECONDS = 30.0
"""For how long a run waits for what the last one came to."""

TELLING_SECONDS = PAUSE_MAX + 10.0
"""For how long a run tries in any case to tell what it came to, whenever that is."""

_LANES = 8

_log = logging.getLogger(__name__)


class LeftOver(Exception):
    """Some of the work is left to the next run: no time is left, or a store kept asking for fewer requests."""


class Run:
    """What one run, in one account or on the ledger, has done so far.

    Attributes:
        kind: the job's name.
        started_at: when it began.
        counts: what it did, by kind.
        errors: the codes of what failed, in order.
        more: whether it stopped at its bounds, so that the next run has to go on.
        cut_short: whether something was begun and is left, as a rule because a store kept asking for fewer requests.
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
        self.cut_short = False
        self._backoffs: dict[str, Backoff] = {}

    def now(self) -> datetime:
        """Return the time."""
        return self._clock.now()

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
            outcome="failed" if self.errors else "more" if more or self.cut_short else "done",
            error=self.errors[0] if self.errors else None,
            counts=dict(self.counts),
        )

    def backoff(self, store: str) -> "Backoff":
        """Return how the run treats a store, by its name."""
        return self._backoffs.setdefault(store, Backoff(self._clock, self.counts))

    @contextmanager
    def under_way(self, seconds: float | None = None) -> Iterator[None]:
        """Let stores that ask for fewer requests be asked again by what is called within.

        Args:
            seconds: for so long, if not until the run ends.
        """
        until = self._ends_at if seconds is None else min(self._ends_at, self._clock.monotonic() + seconds)
        outer = _UNDER_WAY.get()
        if outer is not None and outer.run is self:
            until = min(until, outer.until)
        token = _UNDER_WAY.set(_UnderWay(self, until))
        try:
            yield
        finally:
            with suppress(ValueError):  # who was dropped in the middle of it is closed by somebody else
                _UNDER_WAY.reset(token)

    async def tell(self, writing: Awaitable[None]) -> bool:
        """Keep what the run has come to, for which there is time also when it has ended; a failure is noted.

        Returns:
            whether it is known to be kept.
        """

        async def patiently() -> None:
            token = _UNDER_WAY.set(_UnderWay(self, max(self._ends_at, self._clock.monotonic() + TELLING_SECONDS)))
            try:
                await writing
            finally:
                with suppress(ValueError):
                    _UNDER_WAY.reset(token)

        return await self.isolated(patiently()) is None

    async def isolated(self, work: Awaitable[None], *, seconds: float | None = None) -> str | None:
        """Carry out work whose failure must not keep other work from being done; it is noted, and its code returned.

        Work that a store kept refusing for now, or that says so itself (``LeftOver``), is left to the next run: that
        is no failure, and its code ``THROTTLED``.

        Args:
            work: the work.
            seconds: for how long such a store is asked again, if not until the run ends.
        """
        try:
            with self.under_way(seconds):
                await work
        except (StoreUnavailable, LeftOver) as error:
            if isinstance(error, LeftOver) or error.throttled:
                self.more = self.cut_short = True
                return THROTTLED
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


class Backoff:
    """How a run treats one store that asks for fewer requests."""

    def __init__(self, clock: Clock, counts: Counter[str]) -> None:
        """Begin with a store that has not asked.

        Args:
            clock: time.
            counts: where each answer that asks to wait is counted.
        """
        self._clock = clock
        self._counts = counts
        self._at_most = SIDE_BY_SIDE
        self._under_way = 0
        self._left = asyncio.Event()
        """Set, and replaced, when a call has ended."""
        self._code = ""
        self._told_at = self._waits_until = float("-inf")
        self._refusals = self._answers = 0

    async def call(self, make: Callable[[], Awaitable[T]], until: float) -> T:
        """Make a call, and make it again as long as it is only refused for now.

        Args:
            make: makes it once.
            until: the clock's ``monotonic`` after which it is given up.

        Raises:
            StoreUnavailable: ``throttled`` if it is given up; not so if only this call is refused, again and again.
        """
        answers, refused = self._answers, 0
        while True:
            await self._turn(until)
            asked_at = self._clock.monotonic()
            try:
                answer = await make()
            except StoreUnavailable as error:
                if not error.throttled:
                    raise
                self.refused(error, asked_at)
                refused += 1
                if refused >= _REFUSED_ALONE and self._answers - answers >= _REFUSED_ALONE:
                    raise StoreUnavailable(error.code) from None
            else:
                self._answered()
                return answer
            finally:
                self._under_way -= 1
                self._left.set()
                self._left = asyncio.Event()

    async def _turn(self, until: float) -> None:
        """Wait until a call may be made, and count it among those under way."""
        while True:
            now = self._clock.monotonic()
            if now < self._waits_until:
                if self._waits_until > until:
                    raise TryAgain(self._code, throttled=True, retry_after=self._waits_until - now)
                await self._clock.sleep(self._waits_until - now)
            elif self._under_way >= self._at_most:
                await self._left.wait()
            else:
                self._under_way += 1
                return

    def refused(self, error: StoreUnavailable, asked_at: float = float("inf")) -> None:
        """Take note that a call was refused that began at ``asked_at``, or just now."""
        now = self._clock.monotonic()
        self._counts[THROTTLED] += 1
        self._code = error.code
        pause = error.retry_after
        if asked_at > self._told_at:  # else it was under way by then, and tells nothing new
            self._told_at = now
            self._at_most = max(min(self._at_most, self._under_way) // 2, 1)
            self._refusals += 1
            pause = pause or min(PAUSE_FIRST * 2.0 ** (self._refusals - 1), PAUSE_MAX)
        self._waits_until = max(self._waits_until, now + (pause or 0.0))

    def _answered(self) -> None:
        self._answers += 1
        self._refusals = 0
        self._at_most = min(self._at_most + 1, SIDE_BY_SIDE)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """The run that a call belongs to, and until when it is made again what a store refuses for now."""

    run: Run
    until: float


_UNDER_WAY: ContextVar[_UnderWay | None] = ContextVar("run", default=None)


async def _patiently(store: str, make: Callable[[], Awaitable[T]]) -> T:
    """Make a call: within a run with its patience, and else once."""
    under_way = _UNDER_WAY.get()
    return await (make() if under_way is None else under_way.run.backoff(store).call(make, under_way.until))


def sparing(store: T, port: Any, name: str) -> T:
    """Return a store whose calls within a run have its patience; to those of requests nothing is different.

    A listing or query that is refused in the middle goes on there, if its port says how (``goes_on``); else it has
    failed.

    Args:
        store: the store.
        port: its protocol, which says what is a listing or a query.
        name: the store's name.
    """
    return cast(T, _Sparing(store, port, name))


class _Sparing:
    def __init__(self, store: Any, port: Any, name: str) -> None:
        self._store = store
        self._port = port
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found: Any = getattr(self._store, attribute)
        declared: Any = getattr(self._port, attribute, None)
        kind = _kind(declared)
        if kind is _Kind.CALL:
            return partial(self._call, found)
        return partial(self._stream, found, declared) if kind is _Kind.STREAM else found

    async def _call(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        return await _patiently(self._name, partial(method, *args, **kwargs))

    async def _stream(
        self, method: Callable[..., AsyncIterator[Any]], declared: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        behind, asked = GOES_ON.get(declared), partial(method, *args, **kwargs)

        async def begun() -> tuple[AsyncIterator[Any], Any]:
            items = aiter(asked())
            return items, await anext(items, _END)

        refused, last = 0, None
        while True:
            items, item = await _patiently(self._name, begun)
            try:
                while item is not _END:
                    last = last if item is None else item
                    yield item
                    item = await anext(items, _END)
            except StoreUnavailable as error:
                under_way = _UNDER_WAY.get()
                if error.throttled and under_way is not None:
                    under_way.run.backoff(self._name).refused(error)
                if not error.throttled or under_way is None or behind is None:
                    raise
                bound = inspect.signature(declared).bind(self._store, *asked.args, **asked.keywords)
                onward = {} if last is None else behind(last)
                refused = refused + 1 if onward.items() <= bound.arguments.items() else 0
                if refused == _REFUSED_ALONE:
                    raise StoreUnavailable(error.code) from None
                bound.arguments.update(onward)
                asked = partial(method, *bound.args[1:], **bound.kwargs)
            else:
                return


class _Kind(Enum):
    """What a port declares under a name."""

    CALL = auto()
    STREAM = auto()
    OTHER = auto()


@cache
def _kind(declared: Any) -> _Kind:
    if inspect.iscoroutinefunction(declared):
        return _Kind.CALL
    return _Kind.STREAM if inspect.isfunction(declared) else _Kind.OTHER


_END = object()


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
        await self._brief(lambda: self.store.mark(container))

    async def delete_container(self, container: str) -> bool:
        """See ``ContainerStore``."""
        return await self._brief(lambda: self.store.delete_container(container))

    async def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        """See ``ContainerStore``."""
        listed = self.store.list_containers(prefix, include_deleted=include_deleted, page_size=page_size)

        async def next_listed() -> ListedContainer | None:
            try:
                return await anext(listed, None)
            except StoreUnavailable as error:
                if error.throttled and isinstance(listed, AsyncGenerator):
                    raise StoreUnavailable(error.code) from None  # one that has failed would seem to be at its end
                raise

        while (each := await self._brief(next_listed)) is not None:
            yield each

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        """See ``ContainerStore``."""
        asked = partial(self.store.container_page, include_deleted=include_deleted, page_size=page_size)
        return await self._brief(partial(asked, prefix, marker))

    async def _brief(self, call: Callable[[], Awaitable[T]]) -> T:
        async def bounded() -> T:
            try:
                async with asyncio.timeout(self.seconds):
                    return await call()
            except TimeoutError:
                raise StoreUnavailable("storage-timeout") from None

        return await _patiently(self.account, bounded)
