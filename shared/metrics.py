"""The figures of the status as metrics: what each is called, what it says, and its values for one report.

A value is a gauge of what one look has shown. Nothing is counted up in memory: the totals are kept in Cosmos DB, so a
restart, or a run on another instance, takes none of them back to 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared import deadlines, reconciliation
from shared.heartbeats import Heartbeat
from shared.status import GeoStatus, StatusReport


@dataclass(frozen=True, slots=True)
class Metric:
    """A name that never changes, its unit (UCUM), and what its value says."""

    name: str
    unit: str
    meaning: str


STATUS_READABLE = Metric(
    "data_sharing.status.readable", "1", "1 if the status could be read, else 0; then there is no other metric."
)
GEO_READABLE = Metric(
    "data_sharing.geo.readable", "1", "1 if the storage and the deletions of a geo could be read, else 0."
)
PROMISE_HOLDS = Metric("data_sharing.promise.holds", "1", "1 if a promise holds, else 0.")
DELETIONS_OVERDUE = Metric(
    "data_sharing.deletions.overdue",
    "{deletion}",
    "Deletions past their deadline, those of accounts that are no longer served too (P5).",
)
DELETIONS_PENDING = Metric("data_sharing.deletions.pending", "{deletion}", "Deletions of a geo without a receipt.")
DELETIONS_TIME_LEFT = Metric(
    "data_sharing.deletions.time_left",
    "s",
    "Until the first deadline of a geo's deletions without a receipt; negative if overdue, absent if none (P5).",
)
RETENTION_TIME_LEFT = Metric(
    "data_sharing.retention.time_left",
    "s",
    "Until a geo's oldest stored day must be gone; negative if it should be, absent if nothing is stored (P4).",
)
FEED_LAG = Metric(
    "data_sharing.feed.lag", "s", "How long the oldest opt-out without a deletion has waited for one (P9)."
)
OPT_OUTS_UNSCHEDULED = Metric(
    "data_sharing.opt_outs.unscheduled", "{opt_out}", "Opt-outs of the last 31 days without a deletion (P9)."
)
JOB_AGE = Metric(
    "data_sharing.job.age", "s", "Since a job last ran in a geo, or on the ledger (no geo); absent if never (P9)."
)
JOB_FAILED = Metric("data_sharing.job.failed", "1", "1 if the last run of a job failed, else 0; absent if never (P9).")
FINDINGS = Metric(
    "data_sharing.findings", "{finding}", "What the sweeps have found, by kind, since the service began; only grows."
)

METRICS = (
    STATUS_READABLE,
    GEO_READABLE,
    PROMISE_HOLDS,
    DELETIONS_OVERDUE,
    DELETIONS_PENDING,
    DELETIONS_TIME_LEFT,
    RETENTION_TIME_LEFT,
    FEED_LAG,
    OPT_OUTS_UNSCHEDULED,
    JOB_AGE,
    JOB_FAILED,
    FINDINGS,
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value. An attribute is a promise, a geo, a job or a kind of finding, and nothing of a tenant's (P8)."""

    metric: Metric
    value: float
    attributes: Mapping[str, str] = field(default_factory=dict)


def measured(report: StatusReport, retention_days: int) -> Iterator[Measurement]:
    """Yield the values of a report.

    Args:
        report: the state of the service.
        retention_days: how many days a capture is kept.
    """
    yield Measurement(STATUS_READABLE, 1)
    for promise, holds in report.promises.items():
        yield Measurement(PROMISE_HOLDS, int(holds), {"promise": promise})
    yield Measurement(DELETIONS_OVERDUE, report.overdue_deletions)
    yield Measurement(FEED_LAG, report.feed_lag.total_seconds())
    yield Measurement(OPT_OUTS_UNSCHEDULED, report.ledger.unscheduled)
    # Those at 0 too, so that the first one ever is a growth that an alert can see.
    for kind in reconciliation.FINDINGS:
        yield Measurement(FINDINGS, report.findings.get(kind, 0), {"kind": kind})
    yield from _of_job(report.ledger.last_sweep, report.at)
    for geo, status in report.geos.items():
        yield from _of_geo(geo, status, report.at, retention_days)


def unreadable() -> Iterator[Measurement]:
    """Yield the one value that there is if the status could not be read: what was so before is not said again."""
    yield Measurement(STATUS_READABLE, 0)


def _of_geo(geo: str, status: GeoStatus, now: datetime, retention_days: int) -> Iterator[Measurement]:
    here = {"geo": geo}
    yield Measurement(GEO_READABLE, int(status.error is None), here)
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
