"""Going through captures batch by batch, from any place on: what searches, samples and exports have in common.

What is held in memory are a few batches, however many there are.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from isal import isal_zlib

from shared.model.capture import BATCH_ID, BATCH_MAX
from shared.model.exports import Place
from shared.model.labels import Label, ReviewerLabels, labelled_batch, labels_in, of_line
from shared.model.selection import Selection
from shared.ports import BatchMissing, CaptureStore, ContainerBeingDeleted, ContainerMissing
from shared.review.languages import language_of
from shared.review.record import Opened

BATCH_MAX_BYTES = 32 * 1024 * 1024
"""Of a batch, unpacked. One that was sent has less; what somebody put there by hand may be anything."""

_NAMES = 500
_AT_ONCE = 8
_GZIP = 31


@dataclass(frozen=True, slots=True)
class Found:
    """A capture that is as it should be.

    Attributes:
        day: the day of its container.
        batch_id: its batch.
        line: its place in the batch, counted from 0.
        capture: as it is stored.
        labels: what is said of it, each with the object id of whoever says it.
    """

    day: date
    batch_id: str
    line: int
    capture: Mapping[str, Any]
    labels: Sequence[tuple[str, Label]]

    @property
    def name(self) -> str:
        """What the record calls it."""
        return f"{self.day}/{self.batch_id}/{self.line}"


@dataclass(frozen=True, slots=True)
class Scanned:
    """A batch that was gone through.

    Attributes:
        position: right after it.
        captures: how many it has that can be read.
        unreadable: how many lines it has that cannot; 1 if nothing of it can.
        found: those that are as they should be.
    """

    position: Place
    captures: int
    unreadable: int
    found: Sequence[Found]


@dataclass(frozen=True, slots=True)
class _Group:
    """The name of a batch, and those of the blobs in which its labels are."""

    batch_id: str
    labels: Sequence[str]


async def scan(
    opened: Opened, days: Sequence[date], selection: Selection, after: Place | None = None
) -> AsyncIterator[Scanned]:
    """Yield the batches of some days in their order, the oldest day first.

    A day whose container is not there has none.

    Args:
        opened: where they lie.
        days: the UTC days, in their order.
        selection: which captures are to be found.
        after: where to begin, if not at the first batch.

    Raises:
        StoreUnavailable: if storage does not answer.
    """
    for day in days:
        if after is not None and day < after.day:
            continue
        begin = after.batch_id if after is not None and day == after.day else ""
        container = opened.container(day)
        some: list[_Group] = []
        async for group in _groups(opened.store, container, begin):
            some.append(group)
            if len(some) == _AT_ONCE:
                for each in await _read(opened.store, container, day, some, selection):
                    yield each
                some = []
        for each in await _read(opened.store, container, day, some, selection):
            yield each


def _no_number(name: str) -> None:
    """Refuse NaN and the infinities, which are no JSON, and which no answer could repeat."""
    raise ValueError(name)


async def read_labels(store: CaptureStore, container: str, blobs: Sequence[str]) -> list[ReviewerLabels]:
    """Return the labels that lie in some blobs; what is gone, or nobody understands, is none."""
    found = []
    for blob in blobs:
        stored = await store.read_beside(container, blob)
        if stored is not None:
            labels = labels_in(blob, stored.value)
            if labels is not None:
                found.append(labels)
    return found


async def _groups(store: CaptureStore, container: str, after: str) -> AsyncIterator[_Group]:
    current: str | None = None
    labels: list[str] = []
    last: str | None = after or None
    while True:
        try:
            names = await store.list_blobs(container, limit=_NAMES, after=last)
        except (ContainerMissing, ContainerBeingDeleted):
            return
        for name in names:
            if BATCH_ID.fullmatch(name):
                if current is not None:
                    yield _Group(current, labels)
                current, labels = name, []
            elif current is not None and labelled_batch(name) == current:
                labels.append(name)
        if len(names) < _NAMES:
            break
        last = names[-1]
    if current is not None:
        yield _Group(current, labels)


async def _read(
    store: CaptureStore, container: str, day: date, groups: Sequence[_Group], selection: Selection
) -> list[Scanned]:
    async def read(group: _Group) -> Scanned | None:
        try:
            content = await store.read_batch(container, group.batch_id)
            labels = await read_labels(store, container, group.labels)
        except (BatchMissing, ContainerMissing, ContainerBeingDeleted):
            return None  # gone meanwhile
        return _scanned(content, day, group.batch_id, labels, selection)

    return [each for each in await asyncio.gather(*map(read, groups)) if each is not None]


def _scanned(
    content: bytes, day: date, batch_id: str, labels: Sequence[ReviewerLabels], selection: Selection
) -> Scanned:
    position = Place(day, batch_id)
    try:
        unpacking = isal_zlib.decompressobj(_GZIP)
        lines = unpacking.decompress(content, BATCH_MAX_BYTES).splitlines()
        if not unpacking.eof:
            raise ValueError
    except (ValueError, zlib.error):
        return Scanned(position, 0, 1, [])
    found, captures, unreadable = list[Found](), 0, max(0, len(lines) - BATCH_MAX)
    for line, text in enumerate(lines[:BATCH_MAX]):
        try:
            capture = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            capture = None
        if not isinstance(capture, dict):
            unreadable += 1
            continue
        captures += 1
        said = of_line(labels, line)
        if selection.matches(capture, [label for _, label in said]) and (
            selection.language is None or language_of(capture) == selection.language
        ):
            found.append(Found(day, batch_id, line, capture, said))
    return Scanned(position, captures, unreadable, found)
