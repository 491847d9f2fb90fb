"""Finding captures: those that match, page by page, and a sample of them; each look on the record (P7, P12)."""

import asyncio
import hashlib
import heapq
import json
from collections.abc import Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from typing import TypeVar

from shared.model.grants import AccessDetails
from shared.model.selection import Selection
from shared.problems import InvalidRequest, NotFound
from shared.review.cursors import SampleCursor, SearchCursor, Spot
from shared.review.languages import language_of
from shared.review.record import Entry, Opened, Record
from shared.review.scanning import Found, Scanned, find_again, scan

PAGE_MAX_BYTES = 4 * 1024 * 1024
"""Of the captures on a page, and what is said of them, in JSON; one capture may have more."""

PAGE_SECONDS = 4.0
"""For so long a page with nothing on it is filled at most; storage that is slow may add a little."""

_ENOUGH_SECONDS = (
    0.6  # then what there is to show is shown, and how far the first page has come: within a second in all
)
_AT_HAND_SECONDS = 0.2  # for so long a page goes on with what has been read already, and would have to be once more
_BATCHES_AT_ONCE = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """A capture that is shown, and in which language it is, if anybody can tell."""

    found: Found
    language: str | None


@dataclass(slots=True)
class Counts:
    """What was gone through: batches, the captures in them, and what nobody could read.

    A batch counts on the page that begins with it.
    """

    captures: int = 0
    batches: int = 0
    unreadable: int = 0

    def add(self, scanned: Scanned, *, begun_before: bool) -> None:
        """Count a batch."""
        self.batches += not begun_before
        self.captures += scanned.captures
        self.unreadable += scanned.unreadable


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page of a search, or of a sample.

    Attributes:
        value: the captures, in the order of their days, batches and lines.
        scanned: what was gone through for this page.
        cursor: to go on with; None at the end.
        matched: of a sample, how many captures matched so far.
    """

    value: Sequence[Shown]
    scanned: Counts
    cursor: str | None
    matched: int = 0


@dataclass(slots=True)
class _Look:
    """A page in the making: what it is made of, and what there is of it.

    Attributes:
        opened: whose captures it shows.
        days: the days that are gone through.
        selection: which captures.
        began: when, by the monotonic clock.
        is_first: whether no page came before.
        value: the captures so far.
        counts: what was gone through so far.
        room: how many bytes there is room for.
    """

    opened: Opened
    days: Sequence[date]
    selection: Selection
    began: float
    is_first: bool
    value: list[Shown] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    room: int = field(default_factory=lambda: PAGE_MAX_BYTES)

    def takes(self, found: Found) -> bool:
        """Take a capture, and tell whether there was room; for the first there always is."""
        size = len(json.dumps(found.capture)) + sum(len(json.dumps(label.to_json())) for _, label in found.labels)
        if self.value and size > self.room:
            return False
        self.room -= size
        self.value.append(Shown(found, language_of(found.capture)))
        return True


class _Lowest:
    """As many captures as are wanted: of all that come, those with the lowest hashes.

    Which these are depends on the seed, and neither on batches nor on pages; and each is as likely as any other.
    """

    def __init__(self, size: int, seed: int, chosen: Sequence[Spot]) -> None:
        self._size = size
        self._key = seed.to_bytes(8)
        self._heap: list[tuple[int, Spot]] = []
        for each in chosen:
            self.add(each)

    def add(self, spot: Spot) -> None:
        """Take a capture, and let go the one with the highest hash if there are too many."""
        digest = hashlib.blake2b(spot.to_bytes(), digest_size=16, key=self._key).digest()
        heapq.heappush(self._heap, (-int.from_bytes(digest), spot))
        if len(self._heap) > self._size:
            heapq.heappop(self._heap)

    def spots(self) -> Sequence[Spot]:
        """Return them in the order in which they lie."""
        return sorted(spot for _, spot in self._heap)


@dataclass(frozen=True, slots=True)
class Finding:
    """Searches and samples, within what a live grant opens.

    A page ends in time, however much there is to go through, and says where it ended; nobody keeps anything in between.
    """

    record: Record

    async def find(
        self, tenant_id: str, reviewer: str, selection: Selection, *, limit: int, after: str | None
    ) -> FoundPage:
        """Return captures that match, from a place on, once the look is on the record.

        A page may have fewer than are wanted, or none, and yet not be the last. It has nothing of a day that has ended
        while storage answered.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            selection: which captures.
            limit: how many at most.
            after: the cursor of the page before, or None.

        Raises:
            InvalidRequest: if the cursor is none of this search's.
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if nothing of the enrollment, or of those days, may be read, or of the enrollment no more.
            StoreUnavailable, Conflict: if the record could not be written, or storage does not answer.
        """
        enrollment_id, start = None, None
        if after is not None:
            cursor = _read(lambda: SearchCursor.read(after, selection))
            enrollment_id, start = cursor.enrollment_id, cursor.spot
        look = await self._begin(tenant_id, reviewer, selection, enrollment_id, None if start is None else start.day)
        goes_on = await self._fill(look, start, limit)
        await self._tell(look)
        text = None if goes_on is None else SearchCursor(look.opened.enrollment_id, goes_on).text(selection)
        return FoundPage(look.value, look.counts, text)

    async def sample(
        self, tenant_id: str, reviewer: str, selection: Selection, *, size: int, seed: int, progress: str | None
    ) -> FoundPage:
        """Return captures at random of all that match, each as likely as any other, once the look is on the record.

        First all are gone through, on as many pages as that takes, which show nothing. Then the sample is shown.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            selection: which captures.
            size: how many of them at most.
            seed: with the same seed the same captures make the same sample.
            progress: the cursor of the page before, or None.

        Raises:
            InvalidRequest, GrantRequired, NotFound, StoreUnavailable, Conflict: as ``find``.
        """
        enrollment_id, matched, start, chosen = None, 0, None, list[Spot]()
        if progress is not None:
            cursor = _read(lambda: SampleCursor.read(progress, selection, size, seed))
            enrollment_id, matched, start, chosen = cursor.enrollment_id, cursor.matched, cursor.spot, [*cursor.chosen]
        is_gone_through = progress is not None and start is None
        # The last page shows what was chosen, on days too that were gone through for the pages before.
        begins = min(filter(None, (start, *chosen)), default=None)
        look = await self._begin(tenant_id, reviewer, selection, enrollment_id, None if begins is None else begins.day)
        if not is_gone_through:
            lowest = _Lowest(size, seed, chosen)
            start, more = await self._choose(look, start, lowest)
            matched, chosen = matched + more, [*lowest.spots()]
        if start is None:
            chosen = await self._show(look, [each for each in chosen if self.record.is_live(each.day)])
        await self._tell(look)
        text = None
        if start is not None or chosen:
            text = SampleCursor(look.opened.enrollment_id, matched, start, chosen).text(selection, size, seed)
        return FoundPage(look.value, look.counts, text, matched)

    async def _begin(
        self, tenant_id: str, reviewer: str, selection: Selection, enrollment_id: str | None, first_day: date | None
    ) -> _Look:
        """Put on the record which days are gone through and by which members captures are chosen.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            selection: which captures.
            enrollment_id: that of the page before, whatever has been granted since; None on the first.
            first_day: where it goes on; None for the first day that there is.
        """
        began = self.record.clock.monotonic()

        async def decide(now: datetime, sequence: int) -> tuple[Entry, _Look]:
            opened = await self.record.opened(tenant_id, reviewer, now, enrollment_id)
            all_days = selection.among(self.record.days(opened.readable, now))
            days = [day for day in all_days if first_day is None or day >= first_day]
            if not days:
                raise NotFound(NotFound.DAY)
            details = AccessDetails(
                first_day=days[0].isoformat(),
                last_day=days[-1].isoformat(),
                filtered_by=selection.filtered_by,
            )
            look = _Look(opened, days, selection, began, is_first=enrollment_id is None)
            return Entry("searched", reviewer, opened.grant, details), look

        return await self.record.commit(tenant_id, decide)

    async def _fill(self, look: _Look, start: Spot | None, limit: int) -> Spot | None:
        """Take what is found, and return where the next page begins; None if all was gone through."""
        after, line, goes_on = None, 0, start
        if start is not None:
            after, line = start.place, start.line
        async with aclosing(scan(look.opened, look.days, look.selection, after, line=line)) as batches:
            async for scanned in batches:
                for each in scanned.found:
                    if len(look.value) < limit and look.takes(each):
                        continue
                    if each.line == 0:
                        return goes_on  # nothing of the batch was taken
                    look.counts.add(scanned, begun_before=scanned.position == after)
                    return Spot(each.day, each.batch_id, each.line)
                look.counts.add(scanned, begun_before=scanned.position == after)
                goes_on = _behind(scanned)
                if len(look.value) == limit or self._is_late(look, scanned):
                    return goes_on
        return None

    async def _choose(self, look: _Look, start: Spot | None, lowest: _Lowest) -> tuple[Spot | None, int]:
        """Go through captures, and return where the next page goes on, if one has to, and how many matched."""
        matched = 0
        after = None if start is None else start.place
        async with aclosing(scan(look.opened, look.days, look.selection, after)) as batches:
            async for scanned in batches:
                look.counts.add(scanned, begun_before=False)
                matched += len(scanned.found)
                for each in scanned.found:
                    lowest.add(Spot(each.day, each.batch_id, each.line))
                if self._is_late(look, scanned):
                    return _behind(scanned), matched
        return None, matched

    async def _show(self, look: _Look, chosen: Sequence[Spot]) -> list[Spot]:
        """Take captures that were chosen, and return those for which there was no more room or time.

        What is gone by now, or does not match any more because of its labels, is passed over.
        """

        async def again(day: date, batch_id: str, lines: set[int]) -> Sequence[Found]:
            found = await find_again(look.opened, day, batch_id, look.selection)
            return [each for each in found if each.line in lines]

        batches = [
            (day, batch_id, {each.line for each in spots})
            for (day, batch_id), spots in groupby(chosen, lambda each: (each.day, each.batch_id))
        ]
        for begin in range(0, len(batches), _BATCHES_AT_ONCE):
            if begin and self._passed(look) >= PAGE_SECONDS:
                return [each for each in chosen if (each.day, each.batch_id) >= batches[begin][:2]]
            some = batches[begin : begin + _BATCHES_AT_ONCE]
            for found in await asyncio.gather(*(again(*each) for each in some)):
                for each in found:
                    if not look.takes(each):
                        return [left for left in chosen if left >= Spot(each.day, each.batch_id, each.line)]
        return []

    async def _tell(self, look: _Look) -> None:
        """Put on the record what was found, and let go what is of days that have ended meanwhile.

        Behind this nothing is waited for until it leaves.
        """

        def details(live: Set[date]) -> AccessDetails:
            names = tuple(each.found.name for each in look.value if each.found.day in live)
            return AccessDetails(captures=len(names), opened=names)

        days = {each.found.day for each in look.value}
        live = await self.record.tell(look.opened, "found", days, details)
        look.value = [each for each in look.value if each.found.day in live]

    def _is_late(self, look: _Look, scanned: Scanned) -> bool:
        until = _ENOUGH_SECONDS if look.value or look.is_first else PAGE_SECONDS
        return self._passed(look) >= until + (_AT_HAND_SECONDS if scanned.at_hand else 0)

    def _passed(self, look: _Look) -> float:
        return self.record.clock.monotonic() - look.began


def _behind(scanned: Scanned) -> Spot:
    return Spot(scanned.position.day, scanned.position.batch_id, 0)


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError:
        raise InvalidRequest(InvalidRequest.CURSOR) from None
