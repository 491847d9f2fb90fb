"""For operators and load balancers: do the promises hold, and is this instance ready."""

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self

import azure.functions as func
from pydantic import Field

from functions._http import answering, caller_of, json_answer
from functions._openapi import Answer, AnswerModel, Operation, Who, serves
from shared.bootstrap import services
from shared.callers import allow
from shared.configuration import ConfigurationError
from shared.heartbeats import Heartbeat
from shared.items import Instant
from shared.problems import InternalError
from shared.status import GeoStatus, StatusReport

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


class HeartbeatAnswer(Heartbeat):
    """The last run of a job; ``error`` is absent if there was none."""

    error: Annotated[str | None, Field(exclude_if=lambda error: error is None)] = None


class GeoAnswer(AnswerModel):
    """What is so in one served geo; what could not be read is null, and ``error`` says why."""

    storage_account: str
    error: str | None
    oldest_day: date | None
    pending_deletions: int | None
    overdue_deletions: int | None
    oldest_deadline: Instant | None
    last_purge: HeartbeatAnswer | None

    @classmethod
    def of(cls, each: GeoStatus) -> Self:
        """Return what to say of a geo."""
        counts = each.deletions
        return cls(
            storage_account=each.storage_account,
            error=each.error,
            oldest_day=each.oldest_day,
            pending_deletions=counts.pending if counts else None,
            overdue_deletions=counts.overdue if counts else None,
            oldest_deadline=counts.oldest_deadline if counts else None,
            last_purge=HeartbeatAnswer(**dict(each.last_purge)) if each.last_purge else None,
        )


class StatusAnswer(AnswerModel):
    """Which promises hold, and from what that follows."""

    at: Instant
    holds: bool
    promises: Mapping[str, bool]
    overdue_deletions: int
    geos: Mapping[str, GeoAnswer]

    @classmethod
    def of(cls, report: StatusReport) -> Self:
        """Return what to say of a report."""
        return cls(
            at=report.at,
            holds=report.holds,
            promises=dict(report.promises),
            overdue_deletions=report.overdue_deletions,
            geos={geo: GeoAnswer.of(each) for geo, each in report.geos.items()},
        )


class HealthAnswer(AnswerModel):
    """Whether this instance can work."""

    status: Literal["ready", "not ready"]


_TAG = "Service"
_AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
_LAST_PURGE = HeartbeatAnswer(
    kind="purge",
    geo="europe",
    storage_account="steurope",
    started_at=_AT - timedelta(minutes=1),
    at=_AT,
    outcome="done",
    counts={"containersDeleted": 3},
)
_EUROPE = GeoAnswer(
    storage_account="steurope",
    error=None,
    oldest_day=_AT.date(),
    pending_deletions=1,
    overdue_deletions=0,
    oldest_deadline=_AT + timedelta(days=30),
    last_purge=_LAST_PURGE,
)
_STATUS = Operation(
    "GET",
    "Tell which promises hold, and from what that follows.",
    tag=_TAG,
    who=(Who.OPERATOR,),
    answers={
        200: Answer(
            "The state of the service.",
            StatusAnswer(
                at=_AT,
                holds=True,
                promises={"P4": True, "P5": True, "P9": True},
                overdue_deletions=0,
                geos={"europe": _EUROPE},
            ),
        )
    },
)
_HEALTH = Operation(
    "GET",
    "Tell whether this instance can work.",
    tag=_TAG,
    answers={
        200: Answer("It can.", HealthAnswer(status="ready")),
        503: Answer("It cannot; why is in its log.", HealthAnswer(status="not ready")),
    },
    problems=(InternalError,),
)


@blueprint.function_name("status")
@serves(blueprint, "status", _STATUS)
@answering
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """Tell which promises hold, and from what that follows."""
    caller = await caller_of(req)
    allow(caller.is_operator)
    report = await services().status.report()
    return json_answer(StatusAnswer.of(report).to_json())


@blueprint.function_name("health")
@serves(blueprint, "health", _HEALTH)
@answering
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Tell whether this instance's settings let it work; which one does not is for the log only."""
    try:
        services()
    except ConfigurationError as error:
        _log.error("not ready: %s", error)
        return json_answer(HealthAnswer(status="not ready").to_json(), status=503)
    return json_answer(HealthAnswer(status="ready").to_json())
