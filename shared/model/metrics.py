"""The metrics: what each is called, and what it says.

A value is a gauge of what one look has shown. Nothing is counted up in memory: the totals are kept in Cosmos DB, so a
restart, or a run on another instance, takes none of them back to 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    "data_sharing.geo.readable", "1", "1 if a storage account and its deletions could be read, else 0."
)
PROMISE_HOLDS = Metric("data_sharing.promise.holds", "1", "1 if a promise holds, else 0.")
DELETIONS_OVERDUE = Metric(
    "data_sharing.deletions.overdue",
    "{deletion}",
    "Deletions past their deadline, those of accounts that are no longer served too (P5).",
)
DELETIONS_PENDING = Metric("data_sharing.deletions.pending", "{deletion}", "Deletions of an account without a receipt.")
DELETIONS_TIME_LEFT = Metric(
    "data_sharing.deletions.time_left",
    "s",
    "Until the first deadline of an account's deletions without a receipt; negative if overdue, absent if none (P5).",
)
RETENTION_TIME_LEFT = Metric(
    "data_sharing.retention.time_left",
    "s",
    "Until an account's oldest stored day must be gone; negative if it should be, absent if nothing is stored (P4).",
)
ITEMS_UNREADABLE = Metric(
    "data_sharing.items.unreadable",
    "{item}",
    "Unfinished deletions, heartbeats and checks of an account that nobody understands; without one opt-outs too (P5).",
)
FEED_LAG = Metric(
    "data_sharing.feed.lag", "s", "How long the oldest opt-out without a deletion has waited for one (P9)."
)
OPT_OUTS_UNSCHEDULED = Metric(
    "data_sharing.opt_outs.unscheduled", "{opt_out}", "Opt-outs of the last 31 days without a deletion (P9)."
)
JOB_AGE = Metric(
    "data_sharing.job.age",
    "s",
    "Since a job last ran in an account, or on the ledger (no account); absent if never (P9).",
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
    ITEMS_UNREADABLE,
    FEED_LAG,
    OPT_OUTS_UNSCHEDULED,
    JOB_AGE,
    JOB_FAILED,
    FINDINGS,
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value. An attribute is a promise, a geo, an account, a job or a kind of finding; none is a tenant's (P8)."""

    metric: Metric
    value: float
    attributes: Mapping[str, str] = field(default_factory=dict)
