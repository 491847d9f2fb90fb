"""Exports: what a reviewer asks for, made into a file that lies beside the captures and goes with them (P12).

A file is made of pieces that nobody can read before they are put together, and the name of each says what it was made
of. So any run, on any instance, goes on where the one before it stopped or was killed; two at once do no harm; and the
file is complete and holds nothing twice. Each write rests on a look at the grant, and storage refuses it a minute later
(D11): what a forgotten process still sends when an export was stopped is deleted by the next look at what is left.
"""

import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from pydantic import ValidationError

from shared.clock import Moment
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.exports import Piece, Place, ReviewExport, StopReason, chain
from shared.model.grants import AccessDetails
from shared.model.selection import Selection
from shared.ports import (
    BatchMissing,
    CaptureStore,
    Conflict,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    Page,
    ReviewPermit,
    Stored,
    StoreUnavailable,
    TryAgain,
)
from shared.problems import (
    ExportNotReady,
    GeoNotServed,
    GrantRequired,
    NotFound,
    RangeNotSatisfiable,
    TooManyExports,
    Unavailable,
)
from shared.review.languages import language_of
from shared.review.record import Entry, Opened, Record
from shared.review.scanning import Found, scan
from shared.runs import Run

RUNNING_MAX = 5
"""Exports of one reviewer that may be under way for one tenant."""

PART_MAX_BYTES = 8 * 1024 * 1024
"""Of a file, in one download."""

REQUEST_SECONDS = 5.0
"""For so long the request for an export makes it itself; then the timer does."""

_BEFORE_TIMER = timedelta(seconds=deadlines.SIGNATURE_SECONDS)
_RUN_SECONDS = 200.0
_UNFINISHED_MAX = 1_000
_LISTED = 200
_PIECE_BYTES = 2 * 1024 * 1024  # before it is packed
_PIECE_BATCHES = 1_000
_ATTEMPTS = 4
_COMPRESSION = 6
_GONE = (ContainerMissing, ContainerBeingDeleted, BatchMissing)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an export's file: its bytes, and from which byte on."""

    content: bytes
    start: int
    export: ReviewExport


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export that is under way has come: captures and bytes of the pieces that there are."""

    captures: int
    bytes: int


class _Stopped(Exception):
    """The export cannot go on."""

    def __init__(self, reason: StopReason) -> None:
        self.reason = reason


class _NotRunning(Exception):
    """The export has ended meanwhile: somebody else stopped, deleted or finished it."""


@dataclass(slots=True)
class _Gathered:
    """What the next piece is to hold: from which place on, up to which, and the lines in it."""

    start: Place
    end: Place
    lines: list[tuple[date, bytes]] = field(default_factory=list)
    size: int = 0
    batches: int = 0

    def add(self, end: Place, found: Sequence[Found]) -> None:
        self.end = end
        self.batches += 1
        for each in found:
            self.lines.append((each.day, _line(each)))
            self.size += len(self.lines[-1][1])

    @property
    def is_full(self) -> bool:
        return self.size >= _PIECE_BYTES or self.batches >= _PIECE_BATCHES


@dataclass(frozen=True, slots=True)
class Exporting:
    """Makes exports, and lets them be downloaded and deleted; all of it on the record."""

    record: Record

    async def request(self, tenant_id: str, reviewer: str, selection: Selection) -> ReviewExport:
        """Record a reviewer's wish, make as much of the export as a few seconds allow, and return it.

        Raises:
            GrantRequired: if the reviewer has no live grant.
            NotFound: if nothing of that enrollment, or of those days, may be read.
            TooManyExports: if too many of the reviewer's are under way.
        """
        export_id = self.record.new_id()

        async def decide(now: datetime, sequence: int) -> tuple[Entry, tuple[Opened, ReviewExport]]:
            opened = await self.record.opened(tenant_id, reviewer, now)
            days = selection.among(self.record.days(opened.readable, now))
            if not days:
                raise NotFound(NotFound.DAY)
            await self._refuse_too_many(tenant_id, reviewer)
            export = ReviewExport(
                export_id=export_id,
                tenant_id=tenant_id,
                enrollment=opened.readable.enrollment,
                grant_id=opened.grant.grant_id,
                sequence=sequence,
                requested_by=reviewer,
                requested_at=now,
                first_day=days[0],
                last_day=days[-1],
                filtered_by=selection.filtered_by,
            )
            return Entry("exportRequested", reviewer, opened.grant, _details(export), export=export), (opened, export)

        opened, export = await self.record.commit(tenant_id, decide)
        try:
            if not await self._keep_wish(opened, export, selection):
                return await self._stop(export, "nothing-found")
            # Before anybody is told of it: a run that found no wish, long ago perhaps, stops it no more.
            export = await self._wish_is_kept(export)
        except _NotRunning:
            return await self.read(tenant_id, export_id)
        except (GrantRequired, NotFound) as refusal:
            await self._stop(export, _reason(refusal))  # a run would find no wish, and think that this was cut off
            raise
        with suppress(StoreUnavailable, Conflict):  # the timer goes on with it
            return await self.carry_on(export, REQUEST_SECONDS)
        return await self.read(tenant_id, export_id)

    async def list(self, tenant_id: str, *, limit: int, before: int | None) -> Page[ReviewExport]:
        """Return a tenant's exports, the newest request first: content-free, so this look goes on no record."""
        return await self.record.store.exports(tenant_id, limit=limit, before=before)

    async def read(self, tenant_id: str, export_id: str) -> ReviewExport:
        """Return an export: content-free, so this look goes on no record.

        Raises:
            NotFound: if there is none.
        """
        export = await self.record.store.read_export(tenant_id, export_id)
        if export is None:
            raise NotFound(NotFound.EXPORT)
        return export

    async def progress(self, export: ReviewExport) -> Progress | None:
        """Return how far an export has come; None if it is not under way, or nobody can tell."""
        if export.status != "running":
            return None
        with suppress(GrantRequired, NotFound, StoreUnavailable, *_GONE):
            pieces = await self._pieces(await self.record.reopened(export), export)
            return Progress(sum(piece.captures for piece, _ in pieces), sum(size for _, size in pieces))
        return None

    async def download(self, tenant_id: str, reviewer: str, export_id: str, start: int, end: int | None) -> Part:
        """Return a part of an export's file, at most ``PART_MAX_BYTES``, once the look is on the record.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            export_id: the export.
            start: the first byte that is wanted; a negative one counts from the end.
            end: the first byte that is not; None for all that there is.

        Raises:
            GrantRequired: if the reviewer has no live grant for its enrollment.
            NotFound: if there is no such export, or it is gone.
            ExportNotReady: if it is no file yet.
            RangeNotSatisfiable: if there is no such part.
        """

        async def decide(now: datetime, sequence: int) -> tuple[Entry, tuple[Opened, ReviewExport, int, int]]:
            export = await self.read(tenant_id, export_id)
            if export.status == "running":
                raise ExportNotReady()
            if export.status != "ready" or export.bytes is None or export.day is None:
                raise NotFound(NotFound.EXPORT_GONE)
            first, after_last = _bounds(start, end, export.bytes)
            opened = await self.record.opened(tenant_id, reviewer, now, export.enrollment.enrollment_id)
            self.record.refuse_gone(export.day, now)
            told = {"day": export.day.isoformat(), "first_byte": first, "last_byte": after_last - 1}
            details = _details(export).model_copy(update=told)
            return Entry("exportDownloaded", reviewer, opened.grant, details), (opened, export, first, after_last)

        opened, export, first, after_last = await self.record.commit(tenant_id, decide)
        assert export.day is not None and export.etag is not None
        container = opened.container(export.day)
        try:
            content = await opened.store.read_range(container, export.file, export.etag, first, after_last - first)
        except _GONE:
            raise NotFound(NotFound.EXPORT_GONE) from None
        await self.record.look_again(opened, export.day)
        return Part(content, first, export)

    async def delete(self, tenant_id: str, reviewer: str, export_id: str) -> None:
        """Delete an export, or put an end to making it; one that has ended is left as it is.

        Raises:
            GrantRequired: if the reviewer has no live grant for its enrollment.
            NotFound: if there is no such export, or its enrollment may not be read.
        """

        async def decide(now: datetime, sequence: int) -> tuple[Entry | None, ReviewExport]:
            export = await self.read(tenant_id, export_id)
            opened = await self.record.opened(tenant_id, reviewer, now, export.enrollment.enrollment_id)
            if export.status not in {"running", "ready"}:
                return None, export
            deleted = {"status": "deleted", "unfinished": True, "finished_at": now, "discarded_at": None}
            ended = export.model_copy(update=deleted)
            return Entry("exportDeleted", reviewer, opened.grant, _details(ended), export=ended), ended

        ended = await self.record.commit(tenant_id, decide)
        if ended.unfinished:
            with suppress(StoreUnavailable):  # the timer does it
                await self._discard(ended)

    # Making the file

    async def run(self) -> Run:
        """Go on with all that is unfinished; what a request has begun is left to it for a minute."""
        run = Run("exports", self.record.clock, _RUN_SECONDS)
        with run.under_way():
            unfinished = await self.record.store.unfinished_exports(limit=_UNFINISHED_MAX)
        now = self.record.clock.now()
        waiting = [each for each in unfinished if each.status != "running" or each.requested_at + _BEFORE_TIMER <= now]
        # Each run begins with another one, so that those that hang do not always hold up the same others (D12).
        first = int(now.timestamp()) // 60 % max(len(waiting), 1)
        for place, export in enumerate(waiting[first:] + waiting[:first]):
            if run.out_of_time():
                break
            run.counts["exports"] += 1
            seconds = run.seconds_left / (len(waiting) - place)
            await run.isolated(self._carried_on(export, seconds), seconds=seconds)
        return run

    async def _carried_on(self, export: ReviewExport, seconds: float) -> None:
        with suppress(Conflict):  # the next run sees how it stands
            await self.carry_on(export, seconds)

    async def carry_on(self, export: ReviewExport, seconds: float) -> ReviewExport:
        """Go on with an unfinished export for so many seconds, and return it as it is then.

        Raises:
            StoreUnavailable, Conflict: if that is not possible now.
        """
        try:
            if export.status == "running":
                export = await self._made(export, self.record.clock.monotonic() + seconds)
        except _NotRunning:
            export = await self.read(export.tenant_id, export.export_id)
        except _Stopped as stopped:
            export = await self._stop(export, stopped.reason)
        except (GrantRequired, NotFound) as refusal:
            export = await self._stop(export, _reason(refusal))
        except _GONE:
            export = await self._stop(export, "data-gone")
        except GeoNotServed:
            self._leave_to_others(export)
            export = await self._stop(export, "data-gone")
        if export.status == "running" or not export.unfinished:
            return export
        try:
            return await self._cleaned_up(export)
        except _NotRunning:  # it was ready, and somebody has deleted it since
            return await self.read(export.tenant_id, export.export_id)

    async def _cleaned_up(self, export: ReviewExport) -> ReviewExport:
        """Delete what an export leaves that has ended, twice, and return it as it is then.

        Raises:
            _NotRunning: if it has ended otherwise meanwhile.
        """
        # When its end was stamped says nothing, because that may have been committed much later.
        now = self.record.clock.now()
        if export.discarded_at is not None and export.discarded_at > deadlines.second_look_due(now):
            return export
        try:
            await self._discard(export)
        except GeoNotServed:
            self._leave_to_others(export)
        if export.discarded_at is None:
            return await self._changed(export, lambda ended: ended.model_copy(update={"discarded_at": now}))
        # What had begun before the end has arrived by now, if it ever does.
        return await self._changed(export, lambda ended: ended.model_copy(update={"unfinished": False}))

    def _leave_to_others(self, export: ReviewExport) -> None:
        """Refuse to end what another instance may yet reach; when its days are over, it is gone with its containers.

        Raises:
            StoreUnavailable: as long as there may be something of it.
        """
        if self.record.is_live(export.last_day):
            raise StoreUnavailable("geo-not-served")

    async def _made(self, export: ReviewExport, until: float) -> ReviewExport:
        opened = await self.record.reopened(export)
        there = await self._file(opened, export)
        if there is None:
            selection = await self._wish(opened, export)
            if not export.wish_kept:  # the request for it was killed before it could say so
                export = await self._wish_is_kept(export)
            export = await self._gather(opened, export, selection, until)
            there = await self._file(opened, export)
        return export if there is None else await self._finish(opened, export, there)

    async def _file(self, opened: Opened, export: ReviewExport) -> Stored[int] | None:
        """Return how large the file is, and its etag; None if it is not there yet."""
        return None if export.day is None else await opened.store.size_of(opened.container(export.day), export.file)

    async def _gather(self, opened: Opened, export: ReviewExport, selection: Selection, until: float) -> ReviewExport:
        """Make pieces until time is over or all are there, and then put them together."""
        start = await self._goes_on_at(opened, export)
        gathered = _Gathered(start, start)
        days = [day for day in selection.among(self.record.days(opened.readable)) if day <= export.last_day]
        async with aclosing(scan(opened, days, selection, start)) as batches:
            async for scanned in batches:
                gathered.add(scanned.position, scanned.found)
                is_late = self.record.clock.monotonic() >= until
                if gathered.is_full or is_late:
                    export = await self._keep(opened, export, gathered)
                    gathered = _Gathered(gathered.end, gathered.end)
                if is_late:
                    return export
        if gathered.lines:
            export = await self._keep(opened, export, gathered)
        pieces = [piece for piece, _ in await self._pieces(opened, export)]
        if export.day is None or not any(piece.captures for piece in pieces):
            raise _Stopped("nothing-found")  # or what was found matches no more: labels change
        day, container = export.day, opened.container(export.day)
        names = [piece.name(export.first_day) for piece in pieces]
        with suppress(Conflict):  # whoever was quicker has put together what says the same
            await self._written(
                opened, export, day, lambda permit: opened.store.put_staged(permit, container, export.file, names)
            )
        return export

    async def _goes_on_at(self, opened: Opened, export: ReviewExport) -> Place:
        pieces = await self._pieces(opened, export)
        if pieces:
            return pieces[-1][0].end
        if export.day is None and export.gone_through is not None:
            with suppress(ValueError):
                return Place.parse(export.gone_through, export.first_day)
        return Place(export.first_day)

    async def _keep(self, opened: Opened, export: ReviewExport, gathered: _Gathered) -> ReviewExport:
        """Stage a piece; or, with no capture yet, remember how far the search for the first has come."""
        first_day = export.first_day
        if export.day is None:
            end = gathered.end.text(first_day)
            day = gathered.lines[0][0] if gathered.lines else None

            def place(now: ReviewExport) -> ReviewExport:
                return now if now.day is not None else now.model_copy(update={"day": day, "gone_through": end})

            export = await self._changed(export, place)
            gathered = replace(gathered, start=Place(first_day))
        if export.day is None:
            return export
        # Labels change: what matches on older days by now must not outlive them here (P4).
        lines = [(day, line) for day, line in gathered.lines if day >= export.day]
        newest = lines[-1][0] if lines else export.day
        name = Piece(gathered.start, gathered.end, len(lines), newest).name(first_day)
        content = gzip.compress(b"".join(line for _, line in lines), _COMPRESSION, mtime=0)
        container = opened.container(export.day)
        await self._written(
            opened, export, export.day, lambda permit: opened.store.stage(permit, container, export.file, name, content)
        )
        return export

    async def _pieces(self, opened: Opened, export: ReviewExport) -> Sequence[tuple[Piece, int]]:
        """Return the pieces that follow one another so far, each with its bytes."""
        if export.day is None:
            return []
        sizes: dict[Piece, int] = {}
        for staged in await opened.store.staged(opened.container(export.day), export.file):
            with suppress(ValueError):
                sizes[Piece.parse(staged.name, export.first_day)] = staged.size
        return [(piece, sizes[piece]) for piece in chain(sizes, export.first_day)]

    async def _written(
        self, opened: Opened, export: ReviewExport, day: date, write: Callable[[ReviewPermit], Awaitable[None]]
    ) -> None:
        """Write on the word of a look at the export and at its grant, which holds for a moment (D11).

        Raises:
            _NotRunning: if the export has ended meanwhile.
            GrantRequired, NotFound: if the grant opens that day no more.
            StoreUnavailable: if it is not stored.
        """
        failed = TryAgain("grant-not-read-in-time")
        for _ in range(_ATTEMPTS):
            started = Moment.now(self.record.clock)
            # A live grant is not enough: an export may be deleted under it, and what comes later nobody looks for.
            await self._running(export)
            try:
                permit = await self.record.look_again(opened, day)
                await write(replace(permit, read_at=started))
            except (ConsentExpired, Unavailable):
                continue  # nothing was sent
            except TryAgain as error:
                failed = error
                if error.retry_after:
                    break  # not before it says
                continue
            return
        raise failed

    async def _finish(self, opened: Opened, export: ReviewExport, there: Stored[int]) -> ReviewExport:
        """Read the file through, and tell that it is ready, with its hash and what it holds."""
        day = export.day
        assert day is not None
        container = opened.container(day)
        pieces = await self._pieces(opened, export)
        if not pieces:
            raise _Stopped("data-gone")
        digest = hashlib.sha256()
        for start in range(0, there.value, PART_MAX_BYTES):
            digest.update(await opened.store.read_range(container, export.file, there.etag, start, PART_MAX_BYTES))
        told = {
            "captures": sum(piece.captures for piece, _ in pieces),
            "newest_day": max(piece.newest_day for piece, _ in pieces),
            "bytes": there.value,
            "sha256": digest.hexdigest(),
            "etag": there.etag,
        }

        async def decide(now: datetime, sequence: int) -> tuple[Entry, ReviewExport]:
            current = await self._running(export)
            await self.record.refuse_ended(opened, [day], now)
            ready = {**told, "status": "ready", "finished_at": now}  # and unfinished, until the wish is gone
            done = current.model_copy(update=ready)
            return Entry("exportReady", done.requested_by, opened.grant, _details(done), export=done), done

        return await self.record.commit(export.tenant_id, decide)

    async def _stop(self, export: ReviewExport, reason: StopReason) -> ReviewExport:
        """Tell that an export was stopped, unless it has ended otherwise; return it as it is then."""
        grant = await self.record.grant(export.tenant_id, export.grant_id)

        async def decide(now: datetime, sequence: int) -> tuple[Entry | None, ReviewExport]:
            try:
                current = await self._running(export)
            except _NotRunning:
                return None, await self.read(export.tenant_id, export.export_id)
            if reason == "interrupted" and current.wish_kept != export.wish_kept:
                return None, current  # it has been kept since it was looked for
            ended = current.model_copy(update={"status": "stopped", "finished_at": now, "reason": reason})
            return Entry("exportStopped", ended.requested_by, grant, _details(ended), export=ended), ended

        return await self.record.commit(export.tenant_id, decide)

    async def _running(self, export: ReviewExport) -> ReviewExport:
        current = await self.read(export.tenant_id, export.export_id)
        if current.status != "running":
            raise _NotRunning
        return current

    async def _changed(self, export: ReviewExport, change: Callable[[ReviewExport], ReviewExport]) -> ReviewExport:
        """Change what no record tells of an export that stands as it did.

        Raises:
            _NotRunning: if it has ended meanwhile, or otherwise.
        """

        def unless_ended(now: ReviewExport) -> ReviewExport:
            if now.status != export.status:
                raise _NotRunning
            return change(now)

        return await self.record.quietly(export.tenant_id, export.export_id, unless_ended)

    async def _discard(self, export: ReviewExport) -> None:
        """Delete what was asked for and, unless the export is ready, all that there is of the file."""
        store = self.record.accounts.of(export.enrollment)
        wish = await self._find_wish(store, export)
        if wish is not None:
            await store.delete_beside(wish[0], export.wish)
        if export.day is not None and export.status != "ready":
            await store.delete_beside(_container(export, export.day), export.file)

    async def _refuse_too_many(self, tenant_id: str, reviewer: str) -> None:
        newest = await self.record.store.exports(tenant_id, limit=_LISTED, before=None)
        running = [each for each in newest.values if each.requested_by == reviewer and each.status == "running"]
        if len(running) >= RUNNING_MAX:
            raise TooManyExports(RUNNING_MAX)

    # What was asked for: it may hold what customers said, so it lies beside the captures too, and goes with the end of
    # the export (P8). As long as that is under way it is needed, so it lies where retention comes last.

    async def _keep_wish(self, opened: Opened, export: ReviewExport, selection: Selection) -> bool:
        """Store what was asked for in the newest container that there is; return whether there is one.

        Raises:
            GrantRequired, NotFound: if nothing of that may be read any more.
            _NotRunning: if the export has ended meanwhile.
            StoreUnavailable: if it is not stored.
        """
        content = selection.model_dump_json(by_alias=True).encode()

        async def keep(day: date) -> None:
            container = opened.container(day)
            with suppress(Conflict):  # our own, whose answer was lost
                await self._written(
                    opened,
                    export,
                    day,
                    lambda permit: opened.store.write_beside(permit, container, export.wish, content, None),
                )

        for day in _newest_first(export):  # if one has expired since it was asked for, so have those before it
            with suppress(ContainerMissing, ContainerBeingDeleted):
                await keep(day)
                return True
        return False

    async def _wish_is_kept(self, export: ReviewExport) -> ReviewExport:
        return await self._changed(export, lambda running: running.model_copy(update={"wish_kept": True}))

    async def _wish(self, opened: Opened, export: ReviewExport) -> Selection:
        found = await self._find_wish(opened.store, export)
        if found is not None:
            with suppress(ValidationError):
                return Selection.model_validate_json(found[1])
        elif export.wish_kept:
            raise _Stopped("data-gone")  # the newest container that there was went, with all before it
        raise _Stopped("interrupted")

    async def _find_wish(self, store: CaptureStore, export: ReviewExport) -> tuple[str, bytes] | None:
        """Return in which container it is kept, and what it says."""
        for day in _newest_first(export):
            container = _container(export, day)
            with suppress(ContainerMissing, ContainerBeingDeleted):
                kept = await store.read_beside(container, export.wish)
                if kept is not None:
                    return container, kept.value
        return None


def _container(export: ReviewExport, day: date) -> str:
    return DayContainer(export.enrollment.enrollment_id, day).name


def _newest_first(export: ReviewExport) -> Sequence[date]:
    return [export.last_day - timedelta(days=n) for n in range((export.last_day - export.first_day).days + 1)]


def _reason(refusal: GrantRequired | NotFound) -> StopReason:
    if isinstance(refusal, GrantRequired):
        return "grant-ended"
    return "review-stopped" if refusal.detail == NotFound.REVIEW_STOPPED else "data-gone"


def _bounds(start: int, end: int | None, size: int) -> tuple[int, int]:
    """Return from which byte to which, of a file of ``size`` bytes."""
    first = max(size + start, 0) if start < 0 else start
    if first >= size:
        raise RangeNotSatisfiable(size)
    return first, min(size, first + PART_MAX_BYTES, size if end is None else end)


def _details(export: ReviewExport) -> AccessDetails:
    """Return what a record says of an export: the days that it goes through and, once it is a file, holds."""
    return AccessDetails(
        export_id=export.export_id,
        first_day=(export.day if export.sha256 and export.day else export.first_day).isoformat(),
        last_day=(export.newest_day or export.last_day).isoformat(),
        filtered_by=export.filtered_by,
        captures=export.captures,
        sha256=export.sha256,
        reason=export.reason,
    )


def _line(found: Found) -> bytes:
    """Return a capture's line in a file: where it lies, what it is, and what is said of it."""
    said = [{"reviewer": reviewer, **label.to_json()} for reviewer, label in found.labels]
    members = {
        "day": found.day.isoformat(),
        "batchId": found.batch_id,
        "line": found.line,
        "language": language_of(found.capture),
        "capture": found.capture,
        "labels": said,
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
