"""What the figures should be; a target that is missed is reported, never adjusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import batches, captures, cold_start, consent, memory, purge, retention, spans, toggle
from bench.plan import Plan
from bench.results import Results


@dataclass(frozen=True, slots=True)
class Target:
    """One target: ``measured`` is None if what it needs was not measured."""

    what: str
    at_most: bool
    bound: float
    measured: float | None

    @property
    def held(self) -> bool | None:
        """Whether it is held."""
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound

    def to_json(self) -> dict[str, Any]:
        """Return it with its verdict."""
        return {
            "what": self.what,
            "target": f"{'<=' if self.at_most else '>='} {self.bound:g}",
            "measured": self.measured,
            "held": self.held,
        }


def targets(results: Results, plan: Plan) -> Sequence[Target]:
    """Return all targets, with the ratio of the medians of one run."""

    def ratio(scenario: str, case: str, to: str, figure: str, to_figure: str | None = None) -> float | None:
        above, below = results.median(scenario, case, figure), results.median(scenario, to, to_figure or figure)
        return None if above is None or not below else above / below

    one = captures.at(captures.ONE_TENANT, captures.COMPARED_AT)
    upload = captures.at(captures.UPLOAD, captures.COMPARED_AT)
    most = captures.CONCURRENCIES[-1]
    theirs = plan.list_and_delete_blobs[0]
    deleted = purge.ours(plan.counted_blobs)
    few, *_, many = plan.containers
    batched = results.median(batches.SCENARIO, batches.batches_of(100), "host CPU ms/capture")
    single = results.median(captures.SCENARIO, upload, "client CPU ms")
    rest, after = (results.median(memory.SCENARIO, memory.CASE, name) for name in ("at rest MB", "afterwards MB"))
    return [
        Target(
            f"host CPU of a one-capture POST / client CPU of upload_blob (both {captures.COMPARED_AT} at a time)",
            True,
            1.0,
            ratio(captures.SCENARIO, one, upload, "host CPU ms", "client CPU ms"),
        ),
        Target(
            f"requests/s of POST / of bare aiohttp PUT, {most} at a time",
            False,
            0.8,
            ratio(
                captures.SCENARIO, captures.at(captures.ONE_TENANT, most), captures.at(captures.PUT, most), "requests/s"
            ),
        ),
        Target(
            "host CPU per capture in batches of 100 / client CPU of one upload_blob",
            True,
            0.05,
            None if batched is None or not single else batched / single,
        ),
        *(
            Target(
                f"host CPU per capture: {form} / POST captures, {size} at a time",
                True,
                1.5,
                ratio(spans.SCENARIO, spans.case(form, size), spans.case(spans.FORMS[0], size), "host CPU ms/capture"),
            )
            for size in spans.SIZES
            for form in spans.FORMS[1:]
        ),
        Target(
            "consent reads per 1,000 captures of one busy tenant over 20 s",
            True,
            11,
            results.median(consent.SCENARIO, consent.CASE, "reads/1,000 captures"),
        ),
        Target(
            "time: purge of 100,000 blobs / of 1,000",
            True,
            1.5,
            ratio(purge.SCENARIO, purge.ours(100_000), purge.ours(1_000), "seconds"),
        ),
        Target(
            f"operations at {plan.counted_blobs:,} blobs over 30 days: SDK list + batch delete / ours",
            False,
            150,
            ratio(purge.SCENARIO, purge.counted(plan.counted_blobs), deleted, "operations"),
        ),
        Target(
            f"time at {theirs:,} blobs: SDK list + batch delete / ours",
            False,
            5,
            ratio(purge.SCENARIO, purge.sdk(theirs), purge.ours(theirs), "seconds"),
        ),
        Target(
            f"time at {theirs:,} blobs: az storage blob delete-batch / ours",
            False,
            20,
            ratio(purge.SCENARIO, purge.az(theirs), purge.ours(theirs), "seconds"),
        ),
        Target(
            f"time: retention with {many:,} containers / with {few:,}, equally many due",
            True,
            2,
            ratio(retention.SCENARIO, retention.of(many), retention.of(few), "seconds"),
        ),
        Target(
            "opt-out answered to deletion scheduled, p99, minus the lease wait (s)",
            True,
            1.0,
            results.median(toggle.SCENARIO, toggle.SCHEDULED, "after commit p99 s"),
        ),
        Target(
            "cold start (import and index) / importing the Azure SDKs alone",
            True,
            1.5,
            ratio(cold_start.SCENARIO, cold_start.APP, cold_start.SDKS, "seconds"),
        ),
        Target(
            f"host memory after {plan.memory_captures:,} captures / at rest",
            True,
            1.3,
            None if rest is None or after is None else after / rest,
        ),
    ]
