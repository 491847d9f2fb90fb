"""Bugs of exports, searches and labels, and of what ends them (P7, P8, P12)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from shared.clock import Moment
from shared.model import deadlines
from shared.model.exports import Piece, Place, ReviewExport
from shared.model.grants import AccessDetails
from shared.model.selection import Selection
from shared.ports import ConsentExpired, ContainerMissing, ReviewPermit, StoreUnavailable, TryAgain
from shared.problems import GrantRequired, NotFound
from shared.review import exporting
from shared.review.access import Access
from shared.review.exporting import Exporting
from shared.review.finding import Finding
from shared.review.labelling import Labelling
from shared.review.record import Opened, Record
from tests.simulation.planted.registry import mutant, patched

_log = logging.getLogger("shared.review.exporting")


@mutant("an export lies in the newest day's container")
def _() -> Iterator[None]:
    changed = Exporting._changed

    async def later(self: Exporting, export: ReviewExport, change: Any) -> ReviewExport:
        def place(now: ReviewExport) -> ReviewExport:
            placed: ReviewExport = change(now)
            return placed if placed.day == now.day else placed.model_copy(update={"day": export.last_day})

        return await changed(self, export, place)

    with patched(Exporting, "_changed", later):
        yield


async def _hopefully_written(self: Exporting, opened: Opened, export: ReviewExport, day: date, write: Any) -> None:
    for _ in range(4):
        try:
            await write(ReviewPermit(Moment.now(self.record.clock), self.record.clock.now() + timedelta(hours=1)))
        except (ConsentExpired, TryAgain):
            continue
        return
    raise TryAgain("grant-not-read-in-time")


@mutant("an export goes on after its grant has ended")
def _() -> Iterator[None]:
    async def reopened(self: Record, export: ReviewExport) -> Opened:
        grant = await self.grant(export.tenant_id, export.grant_id)
        readable = await self.readable(export.tenant_id, export.enrollment.enrollment_id)
        return Opened(export.tenant_id, grant, readable, self.accounts.of(readable.enrollment))

    with patched(Exporting, "_written", _hopefully_written), patched(Record, "reopened", reopened):
        yield


@mutant("a piece is written on no look at the grant")
def _() -> Iterator[None]:
    with patched(Exporting, "_written", _hopefully_written):
        yield


class _Trusting(Record):
    async def refuse_ended(self, opened: Opened, days: Sequence[date], at: datetime | None = None) -> datetime:
        return self.clock.now() + timedelta(hours=1)


class _Hopeful(Record):
    async def look_again(self, opened: Opened, *days: date) -> ReviewPermit:
        return ReviewPermit(Moment.now(self.clock), self.clock.now() + timedelta(hours=1))


def _as(kind: type[Record], record: Record) -> Record:
    return kind(**{each.name: getattr(record, each.name) for each in fields(Record)})


@mutant("an export is ready without another look at its grant")
def _() -> Iterator[None]:
    finish = Exporting._finish

    async def trusting(self: Exporting, *what: Any) -> ReviewExport:
        return await finish(Exporting(_as(_Trusting, self.record)), *what)

    with patched(Exporting, "_finish", trusting):
        yield


@mutant("a download leaves no record")
def _() -> Iterator[None]:
    commit = Record.commit

    async def unrecorded(self: Record, tenant_id: str, decide: Any) -> Any:
        if "download" not in decide.__qualname__:
            return await commit(self, tenant_id, decide)
        return (await decide(self.clock.now(), 1))[1]

    with patched(Record, "commit", unrecorded):
        yield


@mutant("the record of a download says another part")
def _() -> Iterator[None]:
    details = exporting._details

    class Whole(AccessDetails):
        def model_copy(self, **how: Any) -> Any:
            return super().model_copy(update={**how["update"], "first_byte": 0})

    with patched(exporting, "_details", lambda export: Whole(**dict(details(export)))):
        yield


class _Kept(Exporting):
    async def read(self, tenant_id: str, export_id: str) -> ReviewExport:
        export = await Exporting.read(self, tenant_id, export_id)
        return export if export.etag is None else export.model_copy(update={"status": "ready"})


@mutant("what is left of an export is not deleted")
def _() -> Iterator[None]:
    async def leave(self: Exporting, export: ReviewExport) -> None:
        return None

    with patched(Exporting, "_discard", leave):
        yield


@mutant("what an export was asked for outlives it")
def _() -> Iterator[None]:
    async def file_only(self: Exporting, export: ReviewExport) -> None:
        if export.day is not None and export.status != "ready":
            store = self.record.accounts.of(export.enrollment)
            await store.delete_beside(exporting._container(export, export.day), export.file)

    with patched(Exporting, "_discard", file_only):
        yield


@mutant("what is left of an export is looked for once")
def _() -> Iterator[None]:
    once = SimpleNamespace(**vars(deadlines))
    once.second_look_due = lambda now: now + timedelta(days=1)
    with patched(exporting, "deadlines", once):
        yield


def _all_of_them(pieces: Any, first_day: date) -> list[Piece]:
    return sorted(pieces, key=lambda piece: (piece.start, piece.end))


@mutant("a killed export begins again, and keeps its pieces")
def _() -> Iterator[None]:
    async def at_the_beginning(self: Exporting, opened: Opened, export: ReviewExport) -> Place:
        return Place(export.first_day)

    with patched(exporting, "chain", _all_of_them), patched(Exporting, "_goes_on_at", at_the_beginning):
        yield


@mutant("the last piece of an export is lost")
def _() -> Iterator[None]:
    chain = exporting.chain

    def shorter(pieces: Any, first_day: date) -> list[Piece]:
        found = chain(pieces, first_day)
        return found[:-1] if len(found) > 1 else found

    with patched(exporting, "chain", shorter):
        yield


@mutant("of the pieces of an export the longest hides those that lead on")
def _() -> Iterator[None]:
    def greedy(pieces: Any, first_day: date) -> list[Piece]:
        following = dict[Place, Piece]()
        for piece in sorted(pieces, key=lambda each: each.end):
            following[piece.start] = piece
        place, found = Place(first_day), list[Piece]()
        while place in following:
            found.append(following[place])
            place = found[-1].end
        return found

    with patched(exporting, "chain", greedy):
        yield


@mutant("a run begins behind the batch that it should go on with")
def _() -> Iterator[None]:
    goes_on = Exporting._goes_on_at

    async def behind(self: Exporting, opened: Opened, export: ReviewExport) -> Place:
        place = await goes_on(self, opened, export)
        names = await opened.store.list_blobs(opened.container(place.day), limit=500, after=place.batch_id or None)
        batches = [name for name in names if len(name) == 32]
        return Place(place.day, batches[0]) if place.batch_id and batches else place

    with patched(Exporting, "_goes_on_at", behind):
        yield


@mutant("a search text is on the record")
def _() -> Iterator[None]:
    names = Selection.filtered_by.fget  # type: ignore[attr-defined]

    def told(self: Selection) -> tuple[str, ...]:
        return tuple(f"text: {self.text}" if name == "text" else name for name in names(self))

    with patched(Selection, "filtered_by", property(told)):
        yield


@mutant("what an export was asked for is logged when it cannot be kept")
def _() -> Iterator[None]:
    keep = Exporting._keep_wish

    async def talkative(self: Exporting, opened: Opened, export: ReviewExport, selection: Selection) -> bool:
        try:
            return await keep(self, opened, export, selection)
        except (StoreUnavailable, GrantRequired, NotFound):
            _log.warning("not kept: %s", selection.model_dump_json())
            raise

    with patched(Exporting, "_keep_wish", talkative):
        yield


@mutant("what an export is to hold lies beside its oldest day")
def _() -> Iterator[None]:
    newest_first = exporting._newest_first
    with patched(exporting, "_newest_first", lambda export: newest_first(export)[::-1]):
        yield


@mutant("a grant of another enrollment opens an export")
def _() -> Iterator[None]:
    opened = Record.opened

    async def any_of_them(self: Record, tenant_id: str, reviewer: str, at: datetime, *enrollment_id: str) -> Opened:
        return await opened(self, tenant_id, reviewer, at)

    with patched(Record, "opened", any_of_them):
        yield


@mutant("an export creates the container in which it shall lie")
def _() -> Iterator[None]:
    written = Exporting._written

    async def creating(self: Exporting, opened: Opened, export: ReviewExport, day: date, write: Any) -> None:
        try:
            await written(self, opened, export, day, write)
        except ContainerMissing:
            permit: Any = await self.record.look_again(opened, day)
            await opened.store.create_container(permit, opened.container(day))
            await written(self, opened, export, day, write)

    with patched(Exporting, "_written", creating):
        yield


@mutant("the last day of an export is left out")
def _() -> Iterator[None]:
    among = Selection.among

    def fewer(self: Selection, days: Sequence[date]) -> list[date]:
        found = among(self, days)
        return found[:-1] if len(found) > 1 else found

    with patched(Selection, "among", fewer):
        yield


@mutant("an end to reading ends nothing")
def _() -> Iterator[None]:
    opt_out_of = Record._opt_out_of

    async def goes_on(self: Record, *what: Any) -> Any:
        event, stopped = await opt_out_of(self, *what)
        if event is None and stopped:
            ended = [
                each
                for each in (await self.ledger.history(what[0], limit=200, before=None)).values
                if each.enrollment_id == what[1] and each.kind == "optedOut"
            ]
            event = ended[0]  # type: ignore[assignment]
        return event, False

    with patched(Record, "_opt_out_of", goes_on):
        yield


@mutant("an end to reading leaves a grant as it is")
def _() -> Iterator[None]:
    async def nothing(self: Access, *what: Any) -> None:
        return None

    with patched(Access, "end_all", nothing):
        yield


@mutant("a page of a search begins behind the capture that had no room")
def _() -> Iterator[None]:
    fill = Finding._fill

    async def behind(self: Finding, *what: Any) -> Any:
        spot = await fill(self, *what)
        return spot if spot is None or spot.line == 0 else replace(spot, line=spot.line + 1)

    with patched(Finding, "_fill", behind):
        yield


@mutant("a search leaves out the batch that its page ended with")
def _() -> Iterator[None]:
    fill = Finding._fill

    async def shorter(self: Finding, look: Any, *what: Any) -> Any:
        spot = await fill(self, look, *what)
        if spot is not None and len(look.value) > 1:
            look.value.pop()
        return spot

    with patched(Finding, "_fill", shorter):
        yield


@mutant("the record does not name what was found")
def _() -> Iterator[None]:
    tell = Record.tell

    async def vaguely(self: Record, opened: Opened, action: Any, days: Any, details: Any) -> Any:
        return await tell(self, opened, action, days, lambda live: details(live).model_copy(update={"opened": ()}))

    with patched(Record, "tell", vaguely):
        yield


@mutant("what was found leaves though its grant ended meanwhile")
def _() -> Iterator[None]:
    tell = Record.tell

    async def trusting(self: Record, *what: Any) -> Any:
        return await tell(_as(_Trusting, self), *what)

    with patched(Record, "tell", trusting):
        yield


@mutant("a label is written over whatever is there")
def _() -> Iterator[None]:
    kept = Labelling._kept

    async def before(self: Labelling, opened: Opened, day: date, batch_id: str) -> Any:
        found = await kept(self, opened, day, batch_id)
        return replace(found, labels={})

    with patched(Labelling, "_kept", before):
        yield


@mutant("labels lie beside another day's captures")
def _() -> Iterator[None]:
    write = Labelling._write

    async def elsewhere(self: Labelling, opened: Opened, day: date, *what: Any) -> None:
        days = self.record.days(opened.readable)
        await write(self, opened, days[-1], *what)

    with patched(Labelling, "_write", elsewhere):
        yield


@mutant("what a reviewer thinks is on the record")
def _() -> Iterator[None]:
    put = Labelling.put

    async def told(self: Labelling, *what: Any) -> Any:
        class Talkative(Record):
            async def commit(self, tenant_id: str, decide: Any) -> Any:
                async def more(now: datetime, sequence: int) -> Any:
                    entry, result = await decide(now, sequence)
                    details = entry.details.model_copy(update={"reason": what[5].comment})
                    return replace(entry, details=details), result

                return await Record.commit(self, tenant_id, more)

        return await put(Labelling(_as(Talkative, self.record), self.vocabulary), *what)

    with patched(Labelling, "put", told):
        yield
