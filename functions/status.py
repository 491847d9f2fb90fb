"""For operators and load balancers: do the promises hold, and is this instance ready."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self

import azure.functions as func
from pydantic import Field

from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Operation
from functions._api.parameters import LIMIT
from shared.bootstrap import services
from shared.configuration import AccountState, ConfigurationError
from shared.identity.callers import EVERYBODY, Who
from shared.model.deletion import Deletion
from shared.model.heartbeats import Heartbeat, Postponed
from shared.model.items import EnrollmentId, Instant, TenantId
from shared.model.posture import COSMOS_RULES, STORAGE_RULES, Finding, PostureCheck
from shared.ports import StoreUnavailable
from shared.problems import InternalError, Unavailable
from shared.watch.status import AccountStatus, StatusReport

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


def _is_none(value: object) -> bool:
    return value is None


class HeartbeatAnswer(Heartbeat):
    """The last run of a job. ``geo`` and ``storageAccount`` are absent for the ledger, ``error`` if there was none.

    A sweep may take several runs to come round: ``counts`` are those of the round so far, ``previousCounts`` those of
    the last whole round, ``totals`` those of all rounds ever; ``cursor`` is where the next run goes on, and
    ``roundStartedAt`` when the round began; ``postponed`` are the expired containers that a purge could not delete and
    leaves alone until their ``retryAt``. Each opt-out that was committed before ``scheduledUntil``, in seconds since
    1970, has its deletion.
    """

    geo: Annotated[str | None, Field(exclude_if=_is_none)] = None
    storage_account: Annotated[str | None, Field(exclude_if=_is_none)] = None
    error: Annotated[str | None, Field(exclude_if=_is_none)] = None
    previous_counts: Annotated[Mapping[str, int] | None, Field(exclude_if=_is_none)] = None
    totals: Annotated[Mapping[str, int] | None, Field(exclude_if=_is_none)] = None
    cursor: Annotated[str | None, Field(exclude_if=_is_none)] = None
    postponed: Annotated[tuple[Postponed, ...] | None, Field(exclude_if=_is_none)] = None
    round_started_at: Annotated[Instant | None, Field(exclude_if=_is_none)] = None
    scheduled_until: Annotated[int | None, Field(exclude_if=_is_none)] = None

    @classmethod
    def of(cls, heartbeat: Heartbeat | None) -> Self | None:
        """Return what to say of a job's last run."""
        return None if heartbeat is None else cls(**dict(heartbeat))


class PostureAnswer(AnswerModel):
    """How an account was set up when it was last looked at. ``holds`` is whether promises may rest on it.

    ``development`` says that the account is on the service's own machine, where replication is not demanded.
    """

    at: Instant
    holds: bool
    development: bool
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, check: PostureCheck | None) -> Self | None:
        """Return what to say of an account's last check."""
        if check is None:
            return None
        return cls(at=check.at, holds=check.holds, development=check.development, findings=check.findings)


class AccountAnswer(AnswerModel):
    """What is so in one served storage account; what could not be read is null, and ``error`` says why.

    ``state`` is whether it takes new enrollments. ``posture`` is how it is set up; null if that was never looked at.
    ``unreadable`` is how many of its unfinished deletions, heartbeats and checks cannot be read; the log names each.
    """

    geo: str
    state: AccountState
    error: str | None
    oldest_day: date | None
    pending_deletions: int | None
    overdue_deletions: int | None
    oldest_deadline: Instant | None
    last_purge: HeartbeatAnswer | None
    last_sweep: HeartbeatAnswer | None
    posture: PostureAnswer | None
    unreadable: int = 0

    @classmethod
    def of(cls, each: AccountStatus) -> Self:
        """Return what to say of an account."""
        counts = each.deletions
        return cls(
            geo=each.geo,
            state=each.state,
            error=each.error,
            oldest_day=each.oldest_day,
            pending_deletions=counts.pending if counts else None,
            overdue_deletions=counts.overdue if counts else None,
            oldest_deadline=counts.oldest_deadline if counts else None,
            last_purge=HeartbeatAnswer.of(each.last_purge),
            last_sweep=HeartbeatAnswer.of(each.last_sweep),
            posture=PostureAnswer.of(each.posture),
            unreadable=each.unreadable,
        )


class LedgerAnswer(AnswerModel):
    """What is so on the ledger: opt-outs that have no deletion yet, the last sweep of it, its account's posture.

    ``unreadable`` is how many unfinished deletions, heartbeats and checks of no served account cannot be read.
    """

    unscheduled_opt_outs: int
    oldest_unscheduled_at: Instant | None
    unreadable_opt_outs: int
    last_sweep: HeartbeatAnswer | None
    posture: PostureAnswer | None
    unreadable: int = 0


class StatusAnswer(AnswerModel):
    """Which promises hold, and from what that follows.

    ``reasons`` says why each promise that does not hold does not. ``feedLagSeconds`` is how long the oldest opt-out
    without a deletion has waited for one; ``findings`` is what the sweeps have found and, where they could, repaired,
    by kind, since the service began, and as ``deletionsLate`` the deletions of the last year that were finished late.
    """

    at: Instant
    holds: bool
    promises: Mapping[str, bool]
    reasons: Mapping[str, tuple[str, ...]]
    overdue_deletions: int
    feed_lag_seconds: float
    findings: Mapping[str, int]
    ledger: LedgerAnswer
    accounts: Mapping[str, AccountAnswer]

    @classmethod
    def of(cls, report: StatusReport) -> Self:
        """Return what to say of a report."""
        return cls(
            at=report.at,
            holds=report.holds,
            promises=dict(report.promises),
            reasons={promise: tuple(why) for promise, why in report.reasons.items() if why},
            overdue_deletions=report.overdue_deletions,
            feed_lag_seconds=report.feed_lag.total_seconds(),
            findings=dict(report.findings) | ({"deletionsLate": report.late} if report.late else {}),
            ledger=LedgerAnswer(
                unscheduled_opt_outs=report.ledger.unscheduled,
                oldest_unscheduled_at=report.ledger.oldest_unscheduled,
                unreadable_opt_outs=report.ledger.unreadable_opt_outs,
                last_sweep=HeartbeatAnswer.of(report.ledger.last_sweep),
                posture=PostureAnswer.of(report.ledger.posture),
                unreadable=report.ledger.unreadable,
            ),
            accounts={name: AccountAnswer.of(each) for name, each in report.accounts.items()},
        )


class OverdueDeletionAnswer(AnswerModel):
    """A deletion that is past its deadline. ``lastError`` is the code of what has kept it, if it was tried."""

    tenant_id: TenantId
    enrollment_id: EnrollmentId
    geo: str
    storage_account: str
    deadline: Instant
    status: str
    attempts: int
    last_error: str | None
    retry_at: Instant | None

    @classmethod
    def of(cls, each: Deletion) -> Self:
        """Return what to say of a deletion."""
        return cls(
            tenant_id=each.tenant_id,
            enrollment_id=each.enrollment_id,
            geo=each.geo,
            storage_account=each.storage_account,
            deadline=each.deadline,
            status=each.status,
            attempts=each.attempts,
            last_error=each.last_error,
            retry_at=each.retry_at,
        )


class OverdueDeletionsAnswer(AnswerModel):
    """The deletions that are past their deadline, the longest overdue first. The status says how many there are."""

    value: list[OverdueDeletionAnswer]


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
    counts={"expiredContainers": 3},
)
_LEDGER_SWEEP = HeartbeatAnswer(
    kind="sweep",
    started_at=_AT - timedelta(minutes=40),
    at=_AT - timedelta(minutes=40),
    outcome="done",
    counts={"ledgers": 120},
    previous_counts={"ledgers": 120, "deletionsCreated": 1},
    totals={"ledgers": 2400, "deletionsCreated": 1},
    round_started_at=_AT - timedelta(minutes=40),
    scheduled_until=int((_AT - timedelta(minutes=50)).timestamp()),
)
_SWEEP = _LEDGER_SWEEP.model_copy(
    update={
        "geo": "europe",
        "storage_account": "steurope",
        "counts": {"containers": 900},
        "previous_counts": {"containers": 901, "wrongAccount": 1},
        "totals": {"containers": 18001, "wrongAccount": 1},
        "scheduled_until": None,
    }
)
_COSMOS = {
    "consistencyPolicy": {"defaultConsistencyLevel": "Strong"},
    "writeLocations": ["westeurope"],
    "containers": {name: {"expires": False} for name in ("tenants", "deletions", "access")},
}
_STORAGE = {
    "sku": {"name": "Standard_ZRS"},
    "kind": "StorageV2",
    "isHnsEnabled": False,
    "deleteRetentionPolicy": {"enabled": True},
    "logging": {"enabled": False},
}
_EUROPE = AccountAnswer(
    geo="europe",
    state="open",
    error=None,
    oldest_day=_AT.date(),
    pending_deletions=1,
    overdue_deletions=0,
    oldest_deadline=_AT + timedelta(days=30),
    last_purge=_LAST_PURGE,
    last_sweep=_SWEEP,
    posture=PostureAnswer(
        at=_AT, holds=False, development=False, findings=tuple(rule.check(_STORAGE) for rule in STORAGE_RULES)
    ),
)
_STATUS = Operation(
    "Status_Get",
    "GET",
    "status",
    "Tell which promises hold, and from what that follows.",
    tag=_TAG,
    who=(Who.OPERATOR,),
    answers={
        200: Answer(
            "The state of the service.",
            StatusAnswer(
                at=_AT,
                holds=False,
                promises={
                    "P1": True,
                    "P2": True,
                    "P3": False,
                    "P4": False,
                    "P5": False,
                    "P6": False,
                    "P9": True,
                },
                reasons=dict.fromkeys(("P3", "P4", "P5", "P6"), ("steurope: sku.name is Standard_GRS",)),
                overdue_deletions=0,
                feed_lag_seconds=0.0,
                findings={"deletionsCreated": 1, "wrongAccount": 1},
                ledger=LedgerAnswer(
                    unscheduled_opt_outs=0,
                    oldest_unscheduled_at=None,
                    unreadable_opt_outs=0,
                    last_sweep=_LEDGER_SWEEP,
                    posture=PostureAnswer(
                        at=_AT,
                        holds=True,
                        development=False,
                        findings=tuple(rule.check(_COSMOS) for rule in COSMOS_RULES),
                    ),
                ),
                accounts={"steurope": _EUROPE},
            ),
        )
    },
)
_OVERDUE = Operation(
    "OverdueDeletions_List",
    "GET",
    "overdue-deletions",
    "List the deletions of all tenants that are past their deadline, the longest overdue first.",
    tag=_TAG,
    who=(Who.OPERATOR,),
    parameters=(LIMIT,),
    answers={
        200: Answer(
            "As many as were asked for.",
            OverdueDeletionsAnswer(
                value=[
                    OverdueDeletionAnswer(
                        tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
                        enrollment_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
                        geo="europe",
                        storage_account="steurope",
                        deadline=_AT - timedelta(hours=1),
                        status="scheduled",
                        attempts=7,
                        last_error="storage-ContainerBeingDeleted",
                        retry_at=_AT + timedelta(minutes=40),
                    )
                ]
            ),
        )
    },
)
_HEALTH = Operation(
    "Health_Get",
    "GET",
    "health",
    "Tell whether this instance can work.",
    tag=_TAG,
    who=EVERYBODY,
    answers={
        200: Answer("It can.", HealthAnswer(status="ready")),
        503: Answer("It cannot; why is in its log.", HealthAnswer(status="not ready")),
    },
    problems=(InternalError,),
)
_HEALTH_HEAD = replace(
    _HEALTH,
    id="Health_Check",
    method="HEAD",
    summary="Tell by the status alone whether this instance can work.",
    answers={status: replace(answer, example=None) for status, answer in _HEALTH.answers.items()},
)


@serves(blueprint, _STATUS)
async def status(call: Call) -> func.HttpResponse:
    """Tell which promises hold, and from what that follows."""
    report = await services().status.report()
    return json_answer(StatusAnswer.of(report).to_json())


@serves(blueprint, _OVERDUE)
async def overdue_deletions(call: Call) -> func.HttpResponse:
    """List the deletions that are past their deadline."""
    found = await services().status.overdue(call.value(LIMIT))
    return json_answer(OverdueDeletionsAnswer(value=[OverdueDeletionAnswer.of(each) for each in found]).to_json())


@serves(blueprint, _HEALTH)
async def health(call: Call) -> func.HttpResponse:
    """Tell whether this instance's settings let it work; why they do not is for the log only."""
    return await _health()


@serves(blueprint, _HEALTH_HEAD)
async def health_head(call: Call) -> func.HttpResponse:
    """Tell the same by the status alone; whoever sends it drops the body."""
    return await _health()


async def _health() -> func.HttpResponse:
    try:
        with suppress(StoreUnavailable):  # an outage of the ledger is every instance's: who needs it is told
            await services().abandoned.refuse()
    except (ConfigurationError, Unavailable) as error:
        _log.error("not ready: %s", error)
        return json_answer(HealthAnswer(status="not ready").to_json(), status=503)
    return json_answer(HealthAnswer(status="ready").to_json())
