"""All arithmetic with days and deadlines (decision D4), as pure functions of instants in UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

DELETION_PERIOD = timedelta(days=30)
"""P5: nothing of an enrollment is stored this long after its opt-out."""

DELETION_LEAD = timedelta(days=2)
"""How long before its deadline a deletion begins, so that days of retries remain."""

RETENTION_DAYS_MAX = 30
"""P4: no capture is stored this many days after it happened."""

RETENTION_DAYS_MIN = 3
"""A day must be over, and 24 h old captures of it refused, before its purge begins."""

RETENTION_LEAD = timedelta(hours=6)
"""How long before its deadline a day's purge begins."""

CAPTURE_MAX_AGE = timedelta(hours=24)
CAPTURE_MAX_AHEAD = timedelta(minutes=5)

SECOND_LOOK_DELAY = timedelta(minutes=5)
"""P6: storage is read again at least this long after it was emptied."""

RETRY_FIRST = timedelta(minutes=5)
RETRY_MAX = timedelta(hours=1)
"""D12: how long what failed waits before it is tried again, at first and at most."""

OPT_INS_MAX = ((10, timedelta(hours=1)), (30, timedelta(days=1)))
"""D12: how often a tenant may opt in within which time; opting out is never limited."""

CONSENT_LEASE_SECONDS = 2.0
"""D5: how long an instance may rely on a consent read, counted from the moment the read started."""

SETTING_SECONDS = 60.0
"""D21: how long an instance may rely on a setting that the epochs confirm, counted from the moment its read started: so
long an opt-out takes to have effect whose process died before it changed the epoch."""

SIGNATURE_SECONDS = 60.0
"""D11: how long after a consent read began, or that of an epoch (D21), storage still takes an upload on its word. With
``SETTING_SECONDS`` and the skew of storage's clock and ours less than ``SECOND_LOOK_DELAY``: what storage takes last is
there when it is looked at for the second time, however soon after the opt-out the first look was (P6)."""

LOOK_SECONDS = 2.0
"""How long a look at a live review grant is relied on, from its start (P7): no longer than on consent."""

CLOCK_SKEW = timedelta(seconds=60)
"""How far the wall clocks of two instances, or of us and the issuer of a token, may be apart."""

FEED_GRACE = timedelta(minutes=5)
"""How long an opt-out is the change feed's to schedule; then the sweep does it (D2)."""


def is_fresh(at: datetime, now: datetime) -> bool:
    """Tell whether what was written ``at`` may be half done, or not seen everywhere yet, and is no fault so far.

    What bears a time to come is so no longer than what bears one that is past: anybody may have written it.
    """
    return abs(now - at) < FEED_GRACE


def deletion_deadline(opted_out_at: datetime) -> datetime:
    """Return when everything of the enrollment must be gone (P5)."""
    return opted_out_at + DELETION_PERIOD


def deletion_not_before(deadline: datetime) -> datetime:
    """Return when the deletion begins; until then the data may be used."""
    return deadline - DELETION_LEAD


def enrollment_days(started_at: datetime, opted_out_at: datetime) -> list[date]:
    """Return the UTC days for which an ended enrollment may have a container: at most 32, oldest first (D3, D4).

    Days more than ``RETENTION_DAYS_MAX`` before the opt-out were retention's to delete; should one be left, the second
    look finds it, because that reads names from storage and not from here.
    """
    last = (opted_out_at + CAPTURE_MAX_AHEAD).date()
    first = max(started_at.date(), opted_out_at.date() - timedelta(days=RETENTION_DAYS_MAX))
    first = min(first, last)  # an opt-in stamped by a clock that was ahead still has its day
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def day_deadline(day: date, retention_days: int) -> datetime:
    """Return the first instant at which nothing of ``day`` may be stored (P4): 00:00 UTC, ``retention_days`` later."""
    return datetime.combine(day + timedelta(days=retention_days), time(), UTC)


def newest_expired_day(now: datetime, retention_days: int) -> date:
    """Return the newest day whose purge has begun: its deadline is at most ``RETENTION_LEAD`` away."""
    return (now + RETENTION_LEAD).date() - timedelta(days=retention_days)


def earliest_capture(now: datetime, started_at: datetime) -> datetime:
    """Return the oldest ``capturedAt`` that is taken at ``now``: 24 h ago, and not before the enrollment started."""
    return max(now - CAPTURE_MAX_AGE, started_at)


def latest_capture(now: datetime) -> datetime:
    """Return the newest ``capturedAt`` that is taken at ``now``; a caller's clock may be a little ahead."""
    return now + CAPTURE_MAX_AHEAD


def second_look_due(now: datetime) -> datetime:
    """Return the instant at or before which a deletion must have been purged to be looked at again at ``now`` (P6)."""
    return now - SECOND_LOOK_DELAY


def retry_at(now: datetime, failures: int, deadline: datetime) -> datetime:
    """Return when to try again what has failed ``failures`` times in a row, the last time at ``now`` (D12).

    A wait is at most a quarter of what is left until ``deadline``, so that what can be done by then is done; once that
    has passed, nothing is gained by hurry.
    """
    # Bounded before it is a power: the number is read from an item, and anybody may have written it.
    doublings = min(max(failures - 1, 0), 10)
    wait = min(RETRY_FIRST * (1 << doublings), RETRY_MAX)
    if now < deadline:
        wait = min(wait, max((deadline - now) / 4, RETRY_FIRST))
    return now + wait


def latest_retry(now: datetime) -> datetime:
    """Return the latest ``retryAt`` that is believed at ``now``: no failure of ours ever waits for longer (D12)."""
    return now + RETRY_MAX + CLOCK_SKEW


def waits(retry: datetime | None, now: datetime) -> bool:
    """Tell whether what failed is left alone at ``now``; a ``retry`` further ahead than any of ours is not believed."""
    return retry is not None and now < retry <= latest_retry(now)


def may_have_happened(at: datetime, now: datetime) -> bool:
    """Tell whether it is believed at ``now`` that something happened at ``at``, apart from what clocks may differ by.

    Who can write to the database can write a time that is still to come; to believe it would mean to wait for it.
    """
    return at <= now + CLOCK_SKEW


def next_opt_in(opted_in_at: Sequence[datetime], now: datetime) -> datetime | None:
    """Return when a tenant may opt in again, or None if it may at ``now`` (D12).

    Args:
        opted_in_at: when it did so, newest first; those of the last day suffice.
        now: the time.
    """
    believed = [at for at in opted_in_at if may_have_happened(at, now)]
    ends = [believed[most - 1] + within for most, within in OPT_INS_MAX if len(believed) >= most]
    return max((end for end in ends if end > now), default=None)
