"""How exported spans become captures: each tenant's under its consent, and no span twice (decision D17)."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic_core import to_json

from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.persons import pseudonym, without_persons
from shared.model.spans import Span, TooLong, capture_of
from shared.ports import Permit
from shared.problems import (
    AgreementRanOut,
    CapturedTooEarly,
    CapturedTooLate,
    DataSharingOff,
    GeoNotServed,
    InvalidRequest,
    PayloadTooLarge,
    Unavailable,
)
from shared.sharing.captures import Captures, enrollment_of
from shared.sharing.span_logs import SpanLogs

TENANTS_MAX = 512
"""Tenants in one export: as many as a collector's batch has spans."""

_TENANTS_AT_A_TIME = 8
_ATTEMPTS = 3
_PIECE_BYTES, _SPAN_BYTES = 128 * 1024, 1024
"""How much is read before others have their turn, and how much a span counts besides its size."""


class Refusal(StrEnum):
    """Why a span that has content is not stored, and never will be however often it is sent."""

    DATA_SHARING_OFF = DataSharingOff.slug
    NOTICE_OUTDATED = AgreementRanOut.slug
    GEO_NOT_SERVED = GeoNotServed.slug
    TOO_EARLY = CapturedTooEarly.slug
    TOO_LATE = CapturedTooLate.slug
    TOO_LONG = PayloadTooLarge.slug
    NO_TENANT = "no-tenant"
    OTHER_TENANT = "other-tenant"
    INVALID = "invalid-span"


@dataclass(frozen=True, slots=True)
class _Line:
    """What is stored of a span, but for the persons in it."""

    id: bytes
    at: datetime
    capture: Mapping[str, Any]

    def stored(self, person_key: str | None) -> bytes:
        told = dict(self.capture)
        person = told.pop("userId", None)
        if person is not None and person_key is not None:
            told["userId"] = pseudonym(person_key, person)
        told["telemetry"] = without_persons(told["telemetry"], person_key)
        return to_json(told, inf_nan_mode="strings")  # JSON has no numbers for them


class Traces:
    """Stores what spans tell."""

    def __init__(self, captures: Captures) -> None:
        """Prepare.

        Args:
            captures: how captures are stored.
        """
        self._captures = captures
        self._logs = SpanLogs()

    async def take(self, spans: Iterable[Span | None], only_tenant: str | None = None) -> Counter[Refusal]:
        """Store the captures that spans tell of, and return how many are refused for what reason.

        A span without content is passed over.

        Args:
            spans: as they were exported, None for one of which it is known that it has no content. They are read one
                by one, and others have their turn in between.
            only_tenant: whose they must be, if the request names one tenant for all of them.

        Raises:
            InvalidRequest: if they are of too many tenants, or by whatever reads them; nothing is stored then.
            Unavailable, StoreUnavailable: if some could not be stored; sending all of them again is safe.
        """
        refused: Counter[Refusal] = Counter()
        lines: defaultdict[str, dict[bytes, _Line]] = defaultdict(dict)
        taken = 0
        for span in spans:
            taken += _SPAN_BYTES if span is None else _SPAN_BYTES + span.size
            if taken > _PIECE_BYTES:
                taken = 0
                await asyncio.sleep(0)
            if span is None or not span.has_content:
                continue
            tenant_id = span.tenant
            if tenant_id is None:
                refused[Refusal.NO_TENANT] += 1
            elif only_tenant is not None and tenant_id != only_tenant:
                refused[Refusal.OTHER_TENANT] += 1
            elif not span.is_valid:
                refused[Refusal.INVALID] += 1
            else:
                try:
                    line = _Line(span.id, span.ended_at, capture_of(span))
                except TooLong:
                    refused[Refusal.TOO_LONG] += 1
                    continue
                lines[tenant_id].setdefault(line.id, line)
        if len(lines) > TENANTS_MAX:
            raise InvalidRequest.too_many_tenants(TENANTS_MAX)
        for each in await self._of_all(lines):
            refused += each
        return refused

    async def _of_all(self, lines: Mapping[str, Mapping[bytes, _Line]]) -> Sequence[Counter[Refusal]]:
        """Store each tenant's, and only then say that some of them could not be stored."""
        turns = asyncio.Semaphore(_TENANTS_AT_A_TIME)

        async def of_one(tenant_id: str) -> Counter[Refusal]:
            async with turns:
                return await self._of_tenant(tenant_id, list(lines[tenant_id].values()))

        done = await asyncio.gather(*map(of_one, lines), return_exceptions=True)
        results = []
        for each in done:
            if isinstance(each, BaseException):
                raise each
            results.append(each)
        return results

    async def _of_tenant(self, tenant_id: str, lines: Sequence[_Line]) -> Counter[Refusal]:
        minutes: defaultdict[datetime, list[_Line]] = defaultdict(list)
        for line in lines:
            minutes[line.at.replace(second=0, microsecond=0)].append(line)
        refused: Counter[Refusal] = Counter()
        for minute, of_minute in sorted(minutes.items()):
            try:
                refused += await self._of_minute(tenant_id, minute, of_minute)
            except (DataSharingOff, AgreementRanOut, GeoNotServed) as refusal:
                refused[Refusal(refusal.slug)] += len(of_minute)
        return refused

    async def _of_minute(self, tenant_id: str, minute: datetime, lines: Sequence[_Line]) -> Counter[Refusal]:
        permit = await self._captures.permit(tenant_id)
        enrollment = enrollment_of(permit)
        store = self._captures.accounts.of(enrollment)
        container = DayContainer(enrollment.enrollment_id, minute.date())
        for _ in range(_ATTEMPTS):
            now = self._captures.clock.now()
            earliest = deadlines.earliest_capture(now, enrollment.started_at)
            latest = deadlines.latest_capture(now)
            refused = Counter(
                Refusal.TOO_EARLY if line.at < earliest else Refusal.TOO_LATE
                for line in lines
                if not earliest <= line.at <= latest
            )
            wanted = [line for line in lines if earliest <= line.at <= latest]
            if not wanted:
                return refused
            stored = {line.id: line.stored(permit.setting.person_key) for line in wanted}

            async def attempt(permit: Permit, stored: Mapping[bytes, bytes] = stored) -> None:
                await self._logs.store(permit, store, container.name, minute, stored)

            try:
                await self._captures.persist(permit, store, container, [line.at for line in wanted], attempt)
            except (CapturedTooEarly, CapturedTooLate):
                continue  # it has become so meanwhile, and not for all of them
            return refused
        raise Unavailable(Unavailable.CONSENT)
