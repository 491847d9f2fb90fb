"""Notices that are replaced and run out, and what may be captured under which; shares no code with the service."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from shared.model.notices import Notice, Notices
from tests.simulation.oracle import DAY, SKEW, Oracle


@dataclass(frozen=True, slots=True)
class Text:
    """A version of the notice; the times are seconds of true time.

    Attributes:
        version: its name.
        valid_from: from when on it is the one to agree to.
        until: when an agreement to it counts no longer; None for never.
    """

    version: str
    valid_from: float
    until: float | None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.version.encode()).hexdigest()


FOREVER = (Text("n0", -400 * DAY, None),)


def drawn(random: Random) -> tuple[Text, ...]:
    """One that is never replaced, or up to three of which the older run out, often while much happens."""
    texts = [Text("n0", -400 * DAY, None)]
    for n in range(random.choice((0, 0, 1, 1, 2))):
        since = max(0.0, texts[-1].valid_from) + random.choice((0.0, 60.0, 3600.0, 20 * DAY)) * random.random()
        until = since + random.choice((0.0, 30.0, 600.0, 3600.0, 10 * DAY)) * random.random()
        texts[-1] = Text(texts[-1].version, texts[-1].valid_from, until)
        texts.append(Text(f"n{n + 1}", since, None))
    return tuple(texts)


def as_served(texts: Sequence[Text], base: datetime) -> Notices:
    """Return the notices as the service has them."""

    def at(seconds: float) -> datetime:
        return base + timedelta(seconds=seconds)

    return Notices(
        [
            Notice(
                each.version,
                at(each.valid_from),
                None if each.until is None else at(each.until),
                {"en": each.sha256},
            )
            for each in texts
        ]
    )


class Agreements:
    """Watches what is agreed to, what is stored under it, and what is refused for it (P11)."""

    def __init__(self, oracle: Oracle, texts: Sequence[Text]) -> None:
        self._oracle = oracle
        self._texts = {each.version: each for each in texts}
        self._order = [each.version for each in texts]
        self._agreed: defaultdict[str, list[Text]] = defaultdict(list)
        self._tenants: defaultdict[str, list[str]] = defaultdict(list)

    def in_force(self, now: float) -> str:
        """Return the version to agree to at ``now``."""
        return next(version for version in reversed(self._order) if self._texts[version].valid_from <= now)

    def event(self, tenant: str, event: Any) -> None:
        """An administrator agreed."""
        text, stamped = self._texts.get(event.notice), self._oracle._seconds(event.at)
        if text is None or event.notice_hash != text.sha256 or event.locale != "en":
            self._oracle.fail("P11", "what was agreed to is no text that there is")
            return
        if event.notice not in {self.in_force(stamped), self.in_force(stamped - SKEW), self.in_force(stamped + SKEW)}:
            self._oracle.fail("P11", f"{event.notice} was agreed to while another notice was in force")
        agreed = self._agreed[event.enrollment_id]
        if agreed and self._order.index(event.notice) <= self._order.index(agreed[-1].version):
            self._oracle.fail("P11", f"{event.notice} was agreed to after {agreed[-1].version}")
        agreed.append(text)
        self._tenants[tenant].append(event.enrollment_id)

    def last(self, enrollment: str) -> str:
        """Return the version that was agreed to last."""
        return self._agreed[enrollment][-1].version

    def ends(self, enrollment: str) -> float | None:
        """Return when something that was agreed to counts no longer, for the first time, or None for never."""
        return min((text.until for text in self._agreed[enrollment] if text.until is not None), default=None)

    def stored(self, enrollment: str, now: float) -> None:
        """Captures arrived in storage."""
        until = self._agreed[enrollment][-1].until
        if until is not None and now >= until:
            self._oracle.fail("P11", f"captures were stored {now - until:.3f} s after the agreement had run out")

    def refused(self, tenant: str, now: float) -> None:
        """Captures were refused because the agreement had run out."""
        ends = [text.until for each in self._tenants[tenant] for text in self._agreed[each] if text.until is not None]
        if not any(until <= now + SKEW for until in ends):
            self._oracle.fail("P11", "captures were refused for an agreement that counts")
