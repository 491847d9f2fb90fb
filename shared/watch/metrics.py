"""The figures of the status as metrics: their values for one report."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from shared.model import deadlines, findings
from shared.model.heartbeats import Heartbeat
from shared.model.metrics import (
    DELETIONS_OVERDUE,
    DELETIONS_PENDING,
    DELETIONS_TIME_LEFT,
    FEED_LAG,
    FINDINGS,
    GEO_READABLE,
    ITEMS_UNREADABLE,
    JOB_AGE,
    JOB_FAILED,
    OPT_OUTS_UNSCHEDULED,
    PROMISE_HOLDS,
    RETENTION_TIME_LEFT,
    STATUS_READABLE,
    Measurement,
)
from shared.watch.status import AccountStatus, StatusReport


def measured(report: StatusReport) -> Iterator[Measurement]:
    """Yield the values of a report."""
    yield Measurement(STATUS_READABLE, 1)
    for promise, holds in report.promises.items():
        yield Measurement(PROMISE_HOLDS, int(holds), {"promise": promise})
    yield Measurement(DELETIONS_OVERDUE, report.overdue_deletions)
    yield Measurement(FEED_LAG, report.feed_lag.total_seconds())
    yield Measurement(OPT_OUTS_UNSCHEDULED, report.ledger.unscheduled)
    yield Measurement(ITEMS_UNREADABLE, report.ledger.unreadable + report.ledger.unreadable_opt_outs)
    # Those at 0 too, so that the first one ever is a growth that an alert can see.
    for kind in findings.FINDINGS:
        yield Measurement(FINDINGS, report.findings.get(kind, 0), {"kind": kind})
    yield from _of_job(report.ledger.last_sweep, report.at)
    for name, status in report.accounts.items():
        yield from _of_account(name, status, report.at, report.retention_days)


def unreadable() -> Iterator[Measurement]:
    """Yield the one value that there is if the status could not be read: what was so before is not said again."""
    yield Measurement(STATUS_READABLE, 0)


def _of_account(name: str, status: AccountStatus, now: datetime, retention_days: int) -> Iterator[Measurement]:
    here = {"geo": status.geo, "account": name}
    yield Measurement(GEO_READABLE, int(status.error is None), here)
    yield Measurement(ITEMS_UNREADABLE, status.unreadable, here)
    if status.deletions is not None:
        yield Measurement(DELETIONS_PENDING, status.deletions.pending, here)
        if status.deletions.oldest_deadline is not None:
            yield Measurement(DELETIONS_TIME_LEFT, (status.deletions.oldest_deadline - now).total_seconds(), here)
    if status.oldest_day is not None:
        deadline = deadlines.day_deadline(status.oldest_day, retention_days)
        yield Measurement(RETENTION_TIME_LEFT, (deadline - now).total_seconds(), here)
    for heartbeat in (status.last_purge, status.last_sweep):
        yield from _of_job(heartbeat, now, here)


def _of_job(heartbeat: Heartbeat | None, now: datetime, here: Mapping[str, str] | None = None) -> Iterator[Measurement]:
    if heartbeat is None:
        return
    attributes = {"job": heartbeat.kind, **(here or {})}
    yield Measurement(JOB_AGE, max((now - heartbeat.at).total_seconds(), 0.0), attributes)
    yield Measurement(JOB_FAILED, int(heartbeat.outcome == "failed"), attributes)
