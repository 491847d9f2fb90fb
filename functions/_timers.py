"""What the timers have in common: one log line for each account that a run has been through."""

import logging
from collections.abc import Iterable

from shared.model.heartbeats import Heartbeat
from shared.runs import Run


def log_heartbeats(logger: logging.Logger, heartbeats: Iterable[Heartbeat]) -> None:
    """Log what a run came to, in each account and on the ledger."""
    for heartbeat in heartbeats:
        counts = ", ".join(f"{name} {number}" for name, number in sorted(heartbeat.counts.items()))
        level = logging.ERROR if heartbeat.outcome == "failed" else logging.INFO
        where = "the ledger" if heartbeat.geo is None else f"{heartbeat.storage_account} ({heartbeat.geo})"
        logger.log(
            level, "%s of %s: %s (%s) %s", heartbeat.kind, where, heartbeat.outcome, counts, heartbeat.error or ""
        )


def log_run(logger: logging.Logger, run: Run) -> None:
    """Log what a run came to that has no heartbeat, if it did anything."""
    if run.counts:
        counts = ", ".join(f"{name} {number}" for name, number in sorted(run.counts.items()))
        logger.log(logging.ERROR if run.errors else logging.INFO, "%s (%s) %s", run.kind, counts, " ".join(run.errors))
