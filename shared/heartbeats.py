"""What a timer's last run in one geo came to (container ``operations``)."""

from collections.abc import Mapping
from typing import Literal

from shared.items import Instant, Item


class Heartbeat(Item):
    """The last run of a kind of job in a geo.

    ``outcome`` is ``done``; ``more`` if the run stopped at its bounds and the next one goes on; or ``failed``, with the
    first error's code.
    """

    kind: Literal["purge"]
    geo: str
    storage_account: str
    started_at: Instant
    at: Instant
    outcome: Literal["done", "more", "failed"]
    error: str | None = None
    counts: Mapping[str, int]
