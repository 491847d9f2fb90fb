"""Exports: files that are made of captures and lie beside them (P12)."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Field

from shared.model.items import Instant, Item, Sha256, TenantId
from shared.model.ledger import Enrollment

StopReason = Literal["grant-ended", "review-stopped", "data-gone", "nothing-found", "interrupted"]
"""Why an export was stopped: its grant is not live any more; an administrator put an end to reading; the days or the
enrollment are over; no capture was as was asked for; or the request was cut off before it was known to be kept what
that is."""

_PLACE = re.compile(r"[0-9]{2}(\.{22}|[A-Za-z0-9_-]{21}[AQgw])")
_COUNTED = re.compile("[0-9]{11}")

ExportId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class ReviewExport(Item):
    """One export: what was asked for, and how it stands. Content-free; the file, and what it was to hold, are blobs.

    Attributes:
        enrollment: whose captures it holds, and in which account it lies.
        grant_id: the review grant under which it is made; it goes on only while that is live.
        sequence: of the request, in the tenant's access log.
        requested_by: the reviewer's object id.
        first_day, last_day: the UTC days that it goes through.
        filtered_by: by which members it chooses, without their values.
        status: ``running`` until it is ``ready``, was ``stopped``, or ``deleted`` after that.
        unfinished: whether there is something left to do: to make the file, or to delete what there is of it and, also
            if it is ready, what was asked for.
        wish_kept: whether what it is to hold is known to have been stored, by the request for it or by who found it.
        day: the UTC day in whose container the file lies, once there is a capture for it: the oldest that it holds.
        gone_through: after which batch the next run goes on, as long as there is no capture for it yet.
        captures, newest_day, bytes, sha256, etag: of the file, once it is ready.
        finished_at: when it became ready, was stopped or deleted.
        discarded_at: when what was left of it was deleted for the first time; what came after is later on, once more.
        reason: why it was stopped.
    """

    export_id: ExportId
    tenant_id: TenantId
    enrollment: Enrollment
    grant_id: str
    sequence: Annotated[int, Field(ge=1)]
    requested_by: str
    requested_at: Instant
    first_day: date
    last_day: date
    filtered_by: tuple[str, ...] = ()
    status: Literal["running", "ready", "stopped", "deleted"] = "running"
    unfinished: bool = True
    wish_kept: bool = False
    day: date | None = None
    gone_through: str | None = None
    newest_day: date | None = None
    captures: int | None = None
    bytes: int | None = None
    sha256: Sha256 | None = None
    etag: str | None = None
    finished_at: Instant | None = None
    discarded_at: Instant | None = None
    reason: StopReason | None = None

    @staticmethod
    def id_of(export_id: str) -> str:
        """Return the item id of an export."""
        return f"export-{export_id}"

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``."""
        return {"id": self.id_of(self.export_id), "kind": "export"}

    @property
    def file(self) -> str:
        """The name of the blob that is the file."""
        return f"export-{self.export_id}"

    @property
    def wish(self) -> str:
        """The name of the blob that says what was asked for, which may hold what customers said (P8)."""
        return f"export-{self.export_id}-wish"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place between two batches: right after the one of that id; before all of the day with an empty id."""

    day: date
    batch_id: str = ""

    def text(self, first_day: date) -> str:
        """Return it in 24 characters, relative to a first day that is at most 99 days before."""
        batch = base64.urlsafe_b64encode(bytes.fromhex(self.batch_id)).decode().rstrip("=")
        return f"{(self.day - first_day).days:02}{batch:.<22}"

    @classmethod
    def parse(cls, text: str, first_day: date) -> "Place":
        """Return the place that ``text`` denotes.

        Raises:
            ValueError: if it denotes none.
        """
        if not _PLACE.fullmatch(text):
            raise ValueError("no place")
        batch = text[2:].rstrip(".")
        return cls(first_day + timedelta(days=int(text[:2])), base64.urlsafe_b64decode(f"{batch}==").hex())


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a file: what it was made of follows from its name, which storage keeps (``StagedBlock``).

    So whoever goes on with a file needs nobody's word for how far it is: pieces that follow one another are the file,
    whoever made them, and however often (P9).

    Attributes:
        start, end: the places between which its captures lie.
        captures: how many they are.
        newest_day: the newest of their days; the start's if there are none.
    """

    start: Place
    end: Place
    captures: int
    newest_day: date

    def name(self, first_day: date) -> str:
        """Return its name among the pieces of an export that begins with ``first_day``; all are equally long."""
        newest = (self.newest_day - first_day).days
        return f"{self.start.text(first_day)}{self.end.text(first_day)}{self.captures:09}{newest:02}"

    @classmethod
    def parse(cls, name: str, first_day: date) -> "Piece":
        """Return the piece of that name.

        Raises:
            ValueError: if it is none of ours.
        """
        start, end = Place.parse(name[:24], first_day), Place.parse(name[24:48], first_day)
        if not _COUNTED.fullmatch(name[48:]) or end <= start:
            raise ValueError("no piece")
        return cls(start, end, int(name[48:57]), first_day + timedelta(days=int(name[57:])))


def chain(pieces: Iterable[Piece], first_day: date) -> list[Piece]:
    """Return pieces that follow one another from the first day on, as far as any do; none overlaps another.

    Runs that are late, or see more captures, cut the file elsewhere. So of several pieces that begin at a place, the
    longest may be one that nobody goes on from: only the whole way tells which of them lead on.
    """
    begin = Place(first_day)
    reached_by = dict[Place, Piece]()
    for piece in sorted(pieces, key=lambda each: each.start):
        if piece.start == begin or piece.start in reached_by:
            reached_by.setdefault(piece.end, piece)  # of several that lead there, any is true
    found, place = list[Piece](), max(reached_by, default=begin)
    while place in reached_by:
        found.append(reached_by[place])
        place = found[-1].start
    return found[::-1]
