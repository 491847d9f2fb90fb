"""What the service says of itself, and what it may not say (P8); shares no code with the service."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tests.simulation.oracle import DAY, SKEW, Oracle, Sent

CONTENT = ("tag~", "twin~", "person~")
"""What the input of each capture begins with, and the id of each person: nothing but a batch may hold the one (P8), and
nothing at all the other (D18); no hash or signature can."""

_REFUSED_FOR_NOW = frozenset({"storage-ServerBusy", "cosmos-429"})
"""The codes of calls of which a store has asked for fewer."""

_SAID_OF_THE_RUN_ITSELF = frozenset({"last", "write", "read_all"})


_RUNS_WITHIN = {"purge": 900.0, "sweep": 10800.0}
"""Seconds within which a run of a job has to come."""


class Claims:
    """Watches answers, heartbeats, items and logs."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    # P8

    def item(self, *items: Any) -> None:
        """Something is stored that is no batch, or named, or signed."""
        for item in items:
            # Of a value of the model the members: that is quicker told than what it looks like.
            self.text("an item", repr(item.model_dump() if hasattr(item, "model_dump") else item))

    def text(self, where: str, text: str) -> None:
        """Something is written where content may not be."""
        if any(mark in text for mark in CONTENT):
            self._oracle.fail("P8", f"{where} holds content: {text[:300]}")

    @contextmanager
    def logs(self) -> Iterator[None]:
        """Read what the rules log meanwhile, and let nobody else see it."""
        handler, logger = _Lines(self), logging.getLogger("shared")
        before = (logger.propagate, logger.level)
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = before[0]
            logger.setLevel(before[1])

    # Captures and deletions

    def expires(self, sent: Sent, answer: Any) -> None:
        """A batch was answered with the instant from which it is stored no more."""
        oracle = self._oracle
        midnight = (oracle.base + timedelta(seconds=min(sent.instants))).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        right = {midnight + timedelta(days=days) for days in oracle.retention.since(sent.started)}
        if answer.expires_at not in right:
            oracle.fail(
                "P4", f"captures of {midnight:%d %b} were answered to expire at {answer.expires_at:%d %b %H:%M}"
            )
        if answer.accepted != len(sent.instants):
            oracle.fail("D6", f"{len(sent.instants)} captures were sent and {answer.accepted} accepted")

    def expedited(self, key: tuple[str, str]) -> None:
        """An expedite was answered: the deletion begins now, or has begun."""
        oracle = self._oracle
        oracle.notice(None)
        deletion = oracle._known[key]
        if deletion.status == "scheduled" and oracle._seconds(deletion.not_before) > oracle._time() + SKEW:
            oracle.fail("P9", "a deletion was answered to begin now, and does not")

    # Heartbeats

    def heartbeat(self, heartbeat: Any, work: Any) -> None:
        """One is stored: it says that the run failed if a call to its account had when it was sent."""
        self.item(heartbeat)
        oracle = self._oracle
        if (heartbeat.outcome == "failed") != (heartbeat.error is not None):
            oracle.fail("P9", f"a heartbeat says {heartbeat.outcome}, error {heartbeat.error}")
        before = [] if work is None else work.failed[: work.failed_before.get(id(heartbeat))]
        failed = [code for store, _, code in before if store == heartbeat.storage_account]
        if failed and heartbeat.outcome != "failed":
            oracle.fail("P9", f"a {heartbeat.kind} failed with {failed[0]}, and its heartbeat says {heartbeat.outcome}")
        if failed and not heartbeat.counts.get("failures"):
            oracle.fail("P9", f"a {heartbeat.kind} failed with {failed[0]}, and its heartbeat counts no failure")
        told_to_wait = heartbeat.storage_account in getattr(work, "told_to_wait", ())
        if told_to_wait and not heartbeat.counts.get("throttled"):
            oracle.fail("P9", f"a {heartbeat.kind} was told to wait, and its heartbeat does not say so")
        for each in heartbeat.postponed or ():
            self.postponed(each.error)
        if not -SKEW <= oracle._time() - oracle._seconds(heartbeat.at) <= DAY:
            oracle.fail("P9", f"a heartbeat at {oracle.at(oracle._time())} says {heartbeat.at:%d %b %H:%M}")

    def idle(self, promises: Mapping[str, bool], heartbeats: Mapping[Any, Any], began: float) -> None:
        """The status was answered: where a job has not run for three of its turns, it may not say that all is well.

        Nor where it only says that it will have run.
        """
        oracle = self._oracle
        for (kind, account), heartbeat in heartbeats.items():
            age = began - oracle._seconds(heartbeat.at)
            if (
                not -DAY < age <= _RUNS_WITHIN[kind] + SKEW
                and promises["P9"]
                and (account is None or account in oracle.accounts)
            ):
                at = f"{heartbeat.at:%d %b %H:%M}"
                oracle.fail("P9", f"the status says that P9 holds, and the last {kind} was at {at}")

    def postponed(self, error: str | None) -> None:
        """Something is left alone for a while for what it failed with; an account at its limits is nobody's failure."""
        if error in _REFUSED_FOR_NOW:
            self._oracle.fail("D12", f"what was refused for now ({error}) is postponed as if it had failed")

    def unexpected(self, line: str) -> None:
        """A line was logged: what no rule provides for ends a part of a job, and the others go on."""
        if "failed unexpectedly" in line:
            self._oracle.fail("P9", line)

    def job_answered(self, kind: str, heartbeats: Mapping[str | None, Any], work: Any) -> None:
        """A run of a job has ended: of what it was refused, somebody is told."""
        failed = [each for each in work.failed if each[1] not in _SAID_OF_THE_RUN_ITSELF]
        if failed and all(each.outcome != "failed" for each in heartbeats.values()):
            store, method, code = failed[0]
            self._oracle.fail("P9", f"{method} of {store} failed with {code}, and no heartbeat of the {kind} says so")


class _Lines(logging.Handler):
    def __init__(self, claims: Claims) -> None:
        super().__init__()
        self._claims = claims

    def emit(self, record: logging.LogRecord) -> None:
        told = record.exc_info[1] if record.exc_info else ""
        self._claims.unexpected(record.getMessage())
        self._claims.text("a line of the log", f"{record.getMessage()} {record.args} {told!r}")
