"""Going through captures batch by batch, from any place on: what searches, samples and exports have in common.

What is held in memory are a few batches as they lie there, and one that is unpacked, however many there are, and
whatever somebody has put there by hand.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from isal import isal_zlib
from isal.igzip_lib import IsalError
from pydantic_core import from_json

from shared.model.capture import BATCH_ID, BATCH_MAX
from shared.model.exports import Place
from shared.model.json_shape import values_and_depth
from shared.model.labels import Label, ReviewerLabels, labelled_batch, labels_in, of_line
from shared.model.selection import Selection, plain, texts
from shared.ports import BatchMissing, CaptureStore, ContainerBeingDeleted, ContainerMissing
from shared.review.languages import language_of
from shared.review.record import Opened

BATCH_MAX_BYTES = 32 * 1024 * 1024
"""Of a batch, unpacked. One that was sent has less; what somebody put there by hand may be anything."""

_PACKED_MAX_BYTES = 8 * 1024 * 1024
_LINE_MAX_BYTES = 8 * 1024 * 1024
_VALUES_MAX = 400_000  # of one capture; no request has as many
_NAMES = 32, 512  # at first, because who searches waits for them; then twice as many each time, up to these
_AT_ONCE = 8
_LINES_AT_ONCE = 32  # then others have their turn: telling a language takes half a millisecond
_LONG_LINE_BYTES = 32 * 1024  # before each of these, too
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
        at_hand: how many batches behind it storage need not be asked for any more.
    """

    position: Place
    captures: int
    unreadable: int
    found: Sequence[Found]
    at_hand: int = 0


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left of a batch that somebody has gone through up to a line."""

    batch_id: str
    line: int


@dataclass(frozen=True, slots=True)
class Blobs:
    """What lies in a container of one batch: its own blob, and those in which its labels are."""

    batch_id: str
    labels: Sequence[str]


async def scan(
    opened: Opened, days: Sequence[date], selection: Selection, after: Place | None = None, *, line: int = 0
) -> AsyncGenerator[Scanned]:
    """Yield the batches of some days in their order, the oldest day first.

    A day whose container is not there has none. Whoever does not take all of them closes it (``aclosing``).

    Args:
        opened: where they lie.
        days: the UTC days, in their order.
        selection: which captures are to be found.
        after: where to begin, if not at the first batch.
        line: if not 0, the batch right before that place comes once more, from this line on; it counts nothing then,
            because it was counted before.

    Raises:
        StoreUnavailable: if storage does not answer.
    """
    for day in days:
        if after is not None and day < after.day:
            continue
        begin, again = "", None
        if after is not None and day == after.day:
            begin = after.batch_id
            if line:
                begin, again = _right_before(begin), _Rest(begin, line)
        container = opened.container(day)
        some: list[Blobs] = []
        async with aclosing(blobs_of_batches(opened.store, container, begin)) as groups:
            async for group in groups:
                some.append(group)
                if len(some) == _AT_ONCE:
                    async with aclosing(_read(opened.store, container, day, some, selection, again)) as batches:
                        async for each in batches:
                            yield each
                    some = []
        async with aclosing(_read(opened.store, container, day, some, selection, again)) as batches:
            async for each in batches:
                yield each


async def find_again(opened: Opened, day: date, batch_id: str, selection: Selection) -> Sequence[Found]:
    """Return the captures of one batch that are as they should be now; none if it is gone.

    Raises:
        StoreUnavailable: if storage does not answer.
    """
    container = opened.container(day)
    blobs = await blobs_of_batch(opened.store, container, batch_id)
    if blobs is None:
        return []
    return [found async for each in _read(opened.store, container, day, [blobs], selection) for found in each.found]


async def blobs_of_batch(store: CaptureStore, container: str, batch_id: str) -> Blobs | None:
    """Return what lies in a container of one batch, or None if it is not there."""
    async with aclosing(blobs_of_batches(store, container, _right_before(batch_id))) as batches:
        first = await anext(batches, None)
    return first if first is not None and first.batch_id == batch_id else None


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


async def blobs_of_batches(store: CaptureStore, container: str, after: str = "") -> AsyncGenerator[Blobs]:
    """Yield what lies in a container, batch by batch; nothing if there is no such container.

    Args:
        store: the account.
        container: the container's name.
        after: a name after which to begin, if not at the first batch.
    """
    at_once, most = _NAMES
    current: str | None = None
    labels: list[str] = []
    last: str | None = after or None
    while True:
        try:
            names = await store.list_blobs(container, limit=at_once, after=last)
        except (ContainerMissing, ContainerBeingDeleted):
            return
        for name in names:
            if BATCH_ID.fullmatch(name):
                if current is not None:
                    yield Blobs(current, labels)
                current, labels = name, []
            elif current is not None and labelled_batch(name) == current:
                labels.append(name)
        if len(names) < at_once:
            break
        last, at_once = names[-1], min(2 * at_once, most)
    if current is not None:
        yield Blobs(current, labels)


def _right_before(batch_id: str) -> str:
    """Return a name after which the batch is the first of all batches."""
    number = int(batch_id, 16)
    return f"{number - 1:032x}" if number else ""


async def _read(
    store: CaptureStore,
    container: str,
    day: date,
    groups: Sequence[Blobs],
    selection: Selection,
    again: _Rest | None = None,
) -> AsyncGenerator[Scanned]:
    async def read(group: Blobs) -> tuple[str, bytes, Sequence[ReviewerLabels]] | None:
        try:
            content = await store.read_batch(container, group.batch_id, most=_PACKED_MAX_BYTES)
            return group.batch_id, content, await read_labels(store, container, group.labels)
        except (BatchMissing, ContainerMissing, ContainerBeingDeleted):
            return None  # gone meanwhile

    there = [each for each in await asyncio.gather(*map(read, groups)) if each is not None]
    for number, (batch_id, content, labels) in enumerate(there, 1):
        rest = again if again is not None and again.batch_id == batch_id else None
        scanned = await _scanned(content, Place(day, batch_id), labels, selection, rest)
        yield replace(scanned, at_hand=len(there) - number)


async def _scanned(
    content: bytes,
    position: Place,
    labels: Sequence[ReviewerLabels],
    selection: Selection,
    rest: _Rest | None,
) -> Scanned:
    lines, unreadable = lines_of(content)
    found, captures = list[Found](), 0
    for line, text in enumerate(lines):
        if line % _LINES_AT_ONCE == 0 or len(text) > _LONG_LINE_BYTES:
            await asyncio.sleep(0)
        capture = _capture(text)
        if capture is None:
            unreadable += 1
            continue
        said = of_line(labels, line)
        matches = (
            (rest is None or line >= rest.line)
            and selection.matches(capture, [label for _, label in said])
            and (selection.text is None or await _is_said(selection.text, capture))
            and (selection.language is None or language_of(capture) == selection.language)
        )
        if matches and not _can_be_repeated(capture):
            unreadable += 1
            continue
        captures += 1
        if matches:
            found.append(Found(position.day, position.batch_id, line, capture, said))
    return Scanned(position, captures, unreadable, found) if rest is None else Scanned(position, 0, 0, found)


async def _is_said(text: str, capture: Mapping[str, Any]) -> bool:
    """Tell whether a text is part of one in a capture; others have their turn before each that is long."""
    wanted = plain(text)
    for each in texts(capture):
        if len(each) > _LONG_LINE_BYTES:
            await asyncio.sleep(0)
        if wanted in plain(each):
            return True
    return False


def unpacked(content: bytes) -> bytes | None:
    """Return what a batch says, as JSON Lines; None if it is none, or more than any that was sent."""
    try:
        unpacking = isal_zlib.decompressobj(_GZIP)
        lines: bytes = unpacking.decompress(content, BATCH_MAX_BYTES)
    except IsalError:  # type: ignore[misc]  # which is an exception, whatever its stub says
        return None
    return lines if unpacking.eof else None


def lines_of(content: bytes) -> tuple[Sequence[bytes], int]:
    """Return the lines of a batch, and how many cannot be read as far as one can tell; 1 if it is none."""
    whole = unpacked(content)
    if whole is None:
        return [], 1
    *lines, rest = whole.split(b"\n", BATCH_MAX)
    if len(lines) < BATCH_MAX:
        return [*lines, rest] if rest else lines, 0
    return lines, rest.count(b"\n") + (rest[-1:] not in {b"", b"\n"})


def _capture(text: bytes) -> Mapping[str, Any] | None:
    """Return what a line says, or None if nobody can tell, or it would take much memory to."""
    if len(text) > _LINE_MAX_BYTES or (len(text) > _VALUES_MAX and values_and_depth(text, _VALUES_MAX) is None):
        return None
    try:
        capture = from_json(text, allow_inf_nan=False)  # and no deeper than what recursion can go through
    except ValueError:
        return None
    return capture if isinstance(capture, dict) else None


def _can_be_repeated(capture: Mapping[str, Any]) -> bool:
    """Tell whether it has no number that is infinite in double precision, for which JSON has no word."""
    try:
        json.dumps(capture, allow_nan=False)
    except ValueError:
        return False
    return True
