"""Labels: what reviewers say of captures, which lies beside the captures and goes with them (P12).

All that one reviewer says of one batch is one blob, and each change of it is made on what was read, under its etag: no
label is lost where two pages of one reviewer write at a time, and no two reviewers ever write the same blob. Each write
rests on a look at the grant, and storage refuses it a minute later (D11).
"""

import asyncio
import random
from collections.abc import Mapping, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, datetime

from shared.model.agreement import Agreement, Agreements
from shared.model.grants import AccessDetails
from shared.model.labels import Label, ReviewerLabels, Said, Vocabulary, labels_blob, labels_in
from shared.model.selection import within
from shared.ports import (
    BatchMissing,
    Conflict,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    TryAgain,
)
from shared.problems import LabelChanged, NotFound, TooManyLabels, Unavailable, UnknownVerdict
from shared.review.record import Entry, Opened, Record
from shared.review.scanning import blobs_of_batch, blobs_of_batches, lines_of, read_labels

COMPARED_MAX = 5_000
"""Blobs of labels that one comparison reads."""

BATCHES_MAX = 100_000
"""Batches that one comparison goes through."""

_ATTEMPTS = 12
_UNANSWERED_MAX = 4
_BACKOFF_SECONDS = 0.02
_AT_ONCE = 16
_GONE = (ContainerMissing, ContainerBeingDeleted)


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be so of a label for it to be changed.

    Attributes:
        versions: it must be one of these; None for any, or none.
        present: there must be one; True or False, or None if it does not matter.
        others: it must be none of these.
    """

    versions: frozenset[str] | None = None
    present: bool | None = None
    others: frozenset[str] = frozenset()

    def holds(self, label: Label | None) -> bool:
        """Tell whether it is so of a label that there is, or of there being none."""
        version = None if label is None else label.version
        return (
            (self.versions is None or version in self.versions)
            and (self.present is None or self.present == (label is not None))
            and version not in self.others
        )


ALWAYS = Condition()


@dataclass(frozen=True, slots=True)
class Compared:
    """How far reviewers agree, and how many labels there are of the days that were asked for."""

    pairs: Sequence[Agreement]
    labels: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """One reviewer's labels of one batch as they are stored, and the etag of the blob, if there is one."""

    labels: Mapping[int, Label]
    etag: str | None = None
    understood: bool = True


@dataclass(frozen=True, slots=True)
class Labelling:
    """Lets reviewers label captures, and shows what they say; all of it on the record."""

    record: Record
    vocabulary: Vocabulary

    def verdicts(self, tenant_id: str) -> Sequence[str]:
        """Return the verdicts that there are for a tenant's captures: content-free, so this look goes on no record."""
        return self.vocabulary.of(tenant_id)

    async def put(
        self,
        tenant_id: str,
        reviewer: str,
        day: date,
        batch_id: str,
        line: int,
        said: Said,
        condition: Condition = ALWAYS,
    ) -> Label:
        """Let a reviewer's label of a capture be this, whatever it was, and return it.

        Args:
            tenant_id: the tenant.
            reviewer: the reviewer's object id.
            day: the UTC day of the capture's batch.
            batch_id: the batch.
            line: the capture's place in it, counted from 0.
            said: what the reviewer says.
            condition: what must be so of the label that is there.

        Raises:
            UnknownVerdict: if the tenant's vocabulary has no such verdict; then nothing goes on the record.
            GrantRequired: if the reviewer has no live grant, or has none any more when it is to be stored.
            NotFound: if there is no such capture, or it may no longer be read.
            LabelChanged: if the condition does not hold.
            Conflict, StoreUnavailable, Unavailable: if it is not known to be stored.
        """
        if said.verdict is not None and said.verdict not in self.verdicts(tenant_id):
            raise UnknownVerdict(self.verdicts(tenant_id))
        about = AccessDetails(batch_id=batch_id, line=line)
        opened = await self.record.open(tenant_id, reviewer, "labelled", about, day=day)
        await self._refuse_missing(opened, day, batch_id, line)
        label = Label(**dict(said), at=self.record.clock.now())
        await self._change(opened, day, batch_id, line, label, condition)
        return label

    async def withdraw(
        self, tenant_id: str, reviewer: str, day: date, batch_id: str, line: int, condition: Condition = ALWAYS
    ) -> None:
        """Take a reviewer's label of a capture back; one that is not there is fine.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when it is to be stored.
            NotFound: if there is neither a label nor such a capture, or it may no longer be read.
            LabelChanged: if the condition does not hold.
            Conflict, StoreUnavailable, Unavailable: if it is not known to be stored.
        """
        about = AccessDetails(batch_id=batch_id, line=line)
        opened = await self.record.open(tenant_id, reviewer, "labelWithdrawn", about, day=day)
        await self._change(opened, day, batch_id, line, None, condition)

    async def of_batch(self, tenant_id: str, reviewer: str, day: date, batch_id: str) -> Sequence[ReviewerLabels]:
        """Return what all reviewers say of a batch, once the look is on the record.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if there is no such batch, or it may no longer be read.
        """
        about = AccessDetails(batch_id=batch_id)
        opened = await self.record.open(tenant_id, reviewer, "labelsRead", about, day=day)
        container = opened.container(day)
        blobs = await blobs_of_batch(opened.store, container, batch_id)
        if blobs is None:
            raise NotFound(NotFound.BATCH)
        try:
            found = await read_labels(opened.store, container, blobs.labels)
        except _GONE:
            raise NotFound(NotFound.BATCH) from None
        await self.record.look_again(opened, day)
        return sorted(found, key=lambda each: each.reviewer)

    async def agreement(self, tenant_id: str, reviewer: str, first_day: date | None, last_day: date | None) -> Compared:
        """Return how far each two reviewers agree on the captures of some days, once the look is on the record.

        Should a day end while storage answers, the others are compared once more.

        Args:
            tenant_id: the tenant.
            reviewer: the object id of the reviewer who asks.
            first_day: the oldest UTC day; None for the oldest that may be read.
            last_day: the newest UTC day; None for the newest.

        Raises:
            GrantRequired: if the reviewer has no live grant, or has none any more when storage has answered.
            NotFound: if nothing of those days may be read, or none of what was compared any more.
            TooManyLabels: if there is more to compare than one request does.
        """

        async def decide(now: datetime, sequence: int) -> tuple[Entry, tuple[Opened, Sequence[date]]]:
            opened = await self.record.opened(tenant_id, reviewer, now)
            days = within(self.record.days(opened.readable, now), first_day, last_day)
            if not days:
                raise NotFound(NotFound.DAY)
            about = AccessDetails(first_day=days[0].isoformat(), last_day=days[-1].isoformat())
            return Entry("labelsRead", reviewer, opened.grant, about), (opened, days)

        opened, days = await self.record.commit(tenant_id, decide)
        while True:
            compared, of_days = await self._compared(opened, days)
            await self.record.look_again(opened)
            if all(map(self.record.is_live, of_days)):
                return compared
            # One of them has ended while storage answered: it is no reason to keep back what is said of the others.
            days = [day for day in days if self.record.is_live(day)]
            if not days:
                raise NotFound(NotFound.DAY_GONE)

    async def _compared(self, opened: Opened, days: Sequence[date]) -> tuple[Compared, Set[date]]:
        """Return how far reviewers agree on the captures of some days, and on which of these there are labels."""
        labelled = await self._labelled(opened, days)
        agreements, labels = Agreements(), 0
        for start in range(0, len(labelled), _AT_ONCE):
            some = labelled[start : start + _AT_ONCE]
            for said in await asyncio.gather(*(self._read(opened, day, blobs) for day, blobs in some)):
                agreements.add(said)
                labels += sum(len(each.labels) for each in said)
        return Compared(agreements.of_pairs(), labels), {day for day, _ in labelled}

    async def _labelled(self, opened: Opened, days: Sequence[date]) -> Sequence[tuple[date, Sequence[str]]]:
        """Return the days on which somebody has labelled something; for each batch its day and its blobs of labels."""
        found: list[tuple[date, Sequence[str]]] = []
        batches = blobs = 0
        for day in days:
            async with aclosing(blobs_of_batches(opened.store, opened.container(day))) as each_batch:
                async for each in each_batch:
                    batches += 1
                    blobs += len(each.labels)
                    if batches > BATCHES_MAX or blobs > COMPARED_MAX:
                        raise TooManyLabels(COMPARED_MAX, BATCHES_MAX)
                    if each.labels:
                        found.append((day, each.labels))
        return found

    async def _read(self, opened: Opened, day: date, blobs: Sequence[str]) -> Sequence[ReviewerLabels]:
        try:
            return await read_labels(opened.store, opened.container(day), blobs)
        except _GONE:
            return []  # meanwhile

    async def _refuse_missing(self, opened: Opened, day: date, batch_id: str, line: int) -> None:
        """Refuse what is no capture: there is nothing that could be said of it, and nothing that it would go with."""
        try:
            content = await opened.store.read_batch(opened.container(day), batch_id)
        except (*_GONE, BatchMissing):
            raise NotFound(NotFound.CAPTURE) from None
        lines, _ = lines_of(content)  # what nobody can read has none
        if line >= len(lines):
            raise NotFound(NotFound.CAPTURE)

    # Writing

    async def _change(
        self, opened: Opened, day: date, batch_id: str, line: int, label: Label | None, condition: Condition
    ) -> None:
        """Let a label be this one, or be none, on what is stored, again and again until nobody came between."""
        failed: Exception = Conflict()
        perhaps_stored, unanswered = False, 0
        for attempt in range(_ATTEMPTS):
            # Apart from one another: those who lost against one would all come again at the same time.
            await asyncio.sleep(random.uniform(0, _BACKOFF_SECONDS * min(attempt, 5)))  # noqa: S311
            try:
                kept = await self._kept(opened, day, batch_id)
                there = kept.labels.get(line)
                if perhaps_stored and there == label and kept.understood:
                    return
                if not condition.holds(there):
                    raise LabelChanged()
                if there is None and label is None:
                    await self._refuse_missing(opened, day, batch_id, line)
                # Also where nothing changes: a label that is still on its way, unanswered, finds another etag then.
                await self._write(opened, day, batch_id, kept, _changed(kept.labels, line, label))
                return
            except Conflict as conflict:
                failed, perhaps_stored = conflict, True  # perhaps with our own, whose answer was lost
            except TryAgain as error:
                failed, perhaps_stored, unanswered = error, True, unanswered + 1
                if error.retry_after:
                    break  # not before it says
            except ConsentExpired:
                failed, unanswered = Unavailable(Unavailable.GRANT), unanswered + 1  # nothing was sent
            except _GONE:
                raise NotFound(NotFound.CAPTURE) from None
            if unanswered == _UNANSWERED_MAX:
                break
        raise failed

    async def _kept(self, opened: Opened, day: date, batch_id: str) -> _Kept:
        blob = labels_blob(batch_id, opened.grant.requested_by)
        stored = await opened.store.read_beside(opened.container(day), blob)
        if stored is None:
            return _Kept({})
        labels = labels_in(blob, stored.value)
        return _Kept({}, stored.etag, understood=False) if labels is None else _Kept(labels.labels, stored.etag)

    async def _write(self, opened: Opened, day: date, batch_id: str, kept: _Kept, labels: Mapping[int, Label]) -> None:
        reviewer = opened.grant.requested_by
        content = ReviewerLabels(reviewer=reviewer, labels=labels).model_dump_json(by_alias=True, exclude_none=True)
        permit = await self.record.look_again(opened, day)  # the last thing before it is sent
        blob = labels_blob(batch_id, reviewer)
        await opened.store.write_beside(permit, opened.container(day), blob, content.encode(), kept.etag)


def _changed(labels: Mapping[int, Label], line: int, label: Label | None) -> Mapping[int, Label]:
    others = {each: said for each, said in labels.items() if each != line}
    return others if label is None else dict(sorted({**others, line: label}.items()))
