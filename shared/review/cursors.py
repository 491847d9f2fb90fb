"""Where a search goes on: texts that clients hand back and that are of use for the same search alone.

They hold places and no content (P8). Whoever makes one up gets nothing by it that the same grant would not open anyway;
the seal is there so that a mistake is refused, and is not answered with what nobody asked for.
"""

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Self

from shared.model.capture import BATCH_MAX
from shared.model.exports import Place
from shared.model.selection import Selection

CURSOR_MAX = 8192
"""Characters."""

_SEAL_BYTES = 12
_SPOT = struct.Struct(">I16sH")
_SAMPLE = struct.Struct(">BQ")


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """A line of a batch, counted from 0.

    Where a search goes on, it is the first line of the batch that was not gone through, or 0 if all were.
    """

    day: date
    batch_id: str
    line: int

    @property
    def place(self) -> Place:
        """The place right after its batch."""
        return Place(self.day, self.batch_id)

    def to_bytes(self) -> bytes:
        """Return it in as many bytes as every other has."""
        return _SPOT.pack(self.day.toordinal(), bytes.fromhex(self.batch_id), self.line)

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Return the spot that some bytes denote.

        Raises:
            ValueError: if they denote none.
        """
        if len(content) != _SPOT.size:
            raise ValueError("no spot")
        day, batch_id, line = _SPOT.unpack(content)
        if not date(2000, 1, 1).toordinal() <= day < date(9000, 1, 1).toordinal() or line >= BATCH_MAX:
            raise ValueError("no spot")
        return cls(date.fromordinal(day), batch_id.hex(), line)


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """Where a search goes on.

    Attributes:
        enrollment_id: whose captures it goes through.
        spot: where.
    """

    enrollment_id: str
    spot: Spot

    def text(self, selection: Selection) -> str:
        """Return it as clients have it, for what is searched for."""
        return _sealed(_search(selection), bytes.fromhex(self.enrollment_id) + self.spot.to_bytes())

    @classmethod
    def read(cls, text: str, selection: Selection) -> Self:
        """Return what a text denotes.

        Raises:
            ValueError: if it is none of this search's.
        """
        content = _unsealed(_search(selection), text)
        return cls(content[:16].hex(), Spot.read(content[16:]))


@dataclass(frozen=True, slots=True)
class SampleCursor:
    """How far a sample is.

    Attributes:
        enrollment_id: of whose captures it is.
        matched: how many captures matched so far.
        spot: from where on the captures are still to be gone through; None if that is done.
        chosen: the captures that are the sample if no more match, in their order; once all are gone through, those of
            the sample that are still to be shown.
    """

    enrollment_id: str
    matched: int
    spot: Spot | None
    chosen: Sequence[Spot]

    def text(self, selection: Selection, size: int, seed: int) -> str:
        """Return it as clients have it, for what the sample is of."""
        spots = [*([] if self.spot is None else [self.spot]), *self.chosen]
        content = (
            bytes.fromhex(self.enrollment_id)
            + _SAMPLE.pack(self.spot is not None, self.matched)
            + b"".join(each.to_bytes() for each in spots)
        )
        return _sealed(_sample(selection, size, seed), content)

    @classmethod
    def read(cls, text: str, selection: Selection, size: int, seed: int) -> Self:
        """Return what a text denotes.

        Raises:
            ValueError: if it is none of this sample's.
        """
        content = _unsealed(_sample(selection, size, seed), text)
        begin = 16 + _SAMPLE.size
        if len(content) < begin:
            raise ValueError("no sample")
        goes_on, matched = _SAMPLE.unpack(content[16:begin])
        spots = [Spot.read(content[at : at + _SPOT.size]) for at in range(begin, len(content), _SPOT.size)]
        spot = spots.pop(0) if goes_on == 1 and spots else None
        fits = goes_on == (spot is not None) and len(spots) <= min(size, matched)
        if not fits or any(not before < after for before, after in pairwise(spots)):
            raise ValueError("no sample")
        return cls(content[:16].hex(), matched, spot, spots)


def _search(selection: Selection) -> bytes:
    return b"search\n" + _said(selection)


def _sample(selection: Selection, size: int, seed: int) -> bytes:
    return b"sample %d %d\n" % (size, seed) + _said(selection)


def _said(selection: Selection) -> bytes:
    return selection.model_dump_json(include=set(Selection.model_fields), exclude_none=True).encode()


def _sealed(about: bytes, content: bytes) -> str:
    return base64.urlsafe_b64encode(content + _seal(about, content)).decode().rstrip("=")


def _unsealed(about: bytes, text: str) -> bytes:
    content = base64.urlsafe_b64decode(f"{text}==")[:-_SEAL_BYTES]  # too many of these are passed over
    # The same bytes have one text alone: what else base64 passes over, we do not.
    if _sealed(about, content) != text:
        raise ValueError("not of this search")
    return content


def _seal(about: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_SEAL_BYTES, key=hashlib.blake2b(about).digest()).digest()
