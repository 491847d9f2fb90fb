"""Which span is stored in which batch, so that none is stored twice however exports are cut (decision D17).

An export that is repeated as it was has the same batches, and so stores nothing twice (D6). But a collector on the way
may cut the same spans into other exports. So each span is claimed before it is stored: one append to a log blob beside
the day's batches names the batch and its spans. Storage puts all appends into one order, whoever makes them, and the
first claim of a span counts. A claim whose batch was never stored is void once somebody has put an empty batch in that
batch's place: whoever comes late with the true one finds the place taken, and claims anew.

There is a log for each enrollment and minute in which spans ended, and it is gone with the day.
"""

import gzip
import hashlib
import itertools
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic_core import from_json, to_json

from shared.model.capture import compressed
from shared.ports import BatchMissing, CaptureStore, Permit, Put, TryAgain

_KEPT_MAX = 200_000
"""Claims and logs that an instance remembers; it may forget any."""

_ROUNDS_MAX = 5
"""How often one attempt claims, or finds its batch taken for lost."""

_VOID, _VOID_HASH = compressed(()), hashlib.sha256(b"void").hexdigest()


@dataclass(slots=True)
class _Log:
    """As much of a log as this instance has seen: its first ``end`` bytes, and in them who claims each span.

    ``size`` is what it counts towards ``_KEPT_MAX``, and ``counted`` how much of that is counted already.
    """

    end: int = 0
    claims: defaultdict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    size: int = 1
    counted: int = 0

    def add(self, start: int, records: bytes) -> None:
        """Take note of whole records that stand in the log from ``start`` on, without those that are known.

        Raises:
            OSError, EOFError, ValueError, zlib.error: if they are none: it is not the log that is known.
        """
        if not start <= self.end < start + len(records):
            return
        for line in gzip.decompress(records[self.end - start :]).splitlines():
            record = from_json(line)
            for span in record["spans"]:
                claims = self.claims[bytes.fromhex(span)]
                if record["batch"] not in claims:
                    claims.append(record["batch"])
                    self.size += 1
        self.end = start + len(records)


class SpanLogs:
    """This instance's view of the logs; what it does not know it reads, so it may forget anything."""

    def __init__(self) -> None:
        self._logs: OrderedDict[tuple[str, str], _Log] = OrderedDict()
        self._kept = 0

    async def store(
        self, permit: Permit, store: CaptureStore, container: str, minute: datetime, spans: Mapping[bytes, bytes]
    ) -> None:
        """Store the captures of spans that are not stored yet, as one batch; one attempt.

        Args:
            permit: the consent read that allows it.
            store: the account.
            container: the name of the day's container.
            minute: when all of them ended, in UTC.
            spans: each span's id, and its line in a batch.

        Raises:
            ConsentExpired, TryAgain, ContainerMissing, ContainerBeingDeleted: as ``CaptureStore.put_batch``.
        """
        place = container, f"spans-{minute:%H%M}"
        log = self._logs.setdefault(place, _Log())
        self._logs.move_to_end(place)
        try:
            await _store(permit, store, place, log, spans)
        except (BatchMissing, OSError, EOFError, ValueError, zlib.error):
            # The log has gone with its container, and what stands in its place, if anything, is another.
            if self._logs.get(place) is log:
                self._kept -= self._logs.pop(place).counted
            raise TryAgain("span-log-changed") from None
        finally:
            self._count(place, log)

    def _count(self, place: tuple[str, str], log: _Log) -> None:
        """Count what an attempt has added, however it ended, and forget what is too much."""
        if self._logs.get(place) is log:
            self._kept += log.size - log.counted
            log.counted = log.size
        while self._kept > _KEPT_MAX:
            _, oldest = self._logs.popitem(last=False)
            self._kept -= oldest.counted


async def _store(
    permit: Permit, store: CaptureStore, place: tuple[str, str], log: _Log, spans: Mapping[bytes, bytes]
) -> None:
    container, _ = place
    digest = _digest(spans)
    name = 0
    for _ in range(_ROUNDS_MAX):
        # A further name is claimed only after the one before was lost, so the last that is claimed is the one to try.
        while _is_claimed(log, _batch_id(digest, name + 1), spans):
            name += 1
        batch_id = _batch_id(digest, name)
        if await _claim(permit, store, place, log, batch_id, spans):
            continue  # and what stands before that claim is known now
        others = _Others(permit, store, container)
        lines = [line for span, line in spans.items() if not await others.have_stored(log.claims[span], batch_id)]
        if not lines:
            return  # all of them are stored
        body_hash = hashlib.sha256(batch_id.encode()).hexdigest()
        if await store.put_batch(permit, container, batch_id, compressed(lines), body_hash) is not Put.OTHER:
            return
        name += 1  # somebody took it for lost
    raise TryAgain("span-log-contended")


async def _claim(
    permit: Permit,
    store: CaptureStore,
    place: tuple[str, str],
    log: _Log,
    batch_id: str,
    spans: Collection[bytes],
) -> bool:
    """Claim those spans that the batch does not claim yet, and tell whether others' claims have become known."""
    claimed = [span for span in spans if batch_id not in log.claims.get(span, ())]
    if not claimed:
        return False
    known = log.end
    if known == 0:
        await store.create_log(permit, *place)
    record = compressed([to_json({"batch": batch_id, "spans": [span.hex() for span in claimed]})])
    start = await store.append(permit, *place, record)
    if start < known:
        raise BatchMissing  # it is shorter than the log that is known
    end = log.end  # with what this instance has appended meanwhile, which need not be read
    if start > end:
        log.add(end, await store.read_log(*place, end))
    log.add(start, record)
    return start > known


def _digest(spans: Mapping[bytes, bytes]) -> str:
    digest = hashlib.sha256()
    for span in sorted(spans):
        digest.update(hashlib.sha256(span + spans[span]).digest())
    return digest.hexdigest()


def _batch_id(digest: str, name: int) -> str:
    return hashlib.sha256(f"{digest}\n{name}".encode()).hexdigest()[:32]


def _is_claimed(log: _Log, batch_id: str, spans: Collection[bytes]) -> bool:
    return any(batch_id in log.claims.get(span, ()) for span in spans)


class _Others:
    """Batches that claim a span before one that is to be stored; each is looked for once."""

    def __init__(self, permit: Permit, store: CaptureStore, container: str) -> None:
        self._permit = permit
        self._store = store
        self._container = container
        self._stored: dict[str, bool] = {}

    async def have_stored(self, claims: Sequence[str], batch_id: str) -> bool:
        """Tell whether one that claimed the span before ``batch_id`` is there; those that are not never will be."""
        for owner in itertools.takewhile(lambda owner: owner != batch_id, tuple(claims)):
            if owner not in self._stored:
                self._stored[owner] = await self._is_stored(owner)
            if self._stored[owner]:
                return True
        return False

    async def _is_stored(self, owner: str) -> bool:
        found = await self._store.find_batch(self._container, owner, _VOID_HASH)
        if found is None:
            found = await self._store.put_batch(self._permit, self._container, owner, _VOID, _VOID_HASH)
        return found is Put.OTHER
