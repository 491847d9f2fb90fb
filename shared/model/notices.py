"""What an organisation agrees to when it opts in: versions of a text, each in several languages (decision D15).

The texts stand in ``shared/notices/{version}/{locale}.md``. ``notices.json`` beside them says from when each version
holds, until when an agreement to it counts once it was replaced, and the SHA-256 of each text's bytes. A published
version is never changed: whoever agreed to it can show what it said.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shared.model.items import Sha256

DEFAULT_LOCALE = "en"

_ALWAYS, _NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)

_FOLDER = Path(__file__).parents[1] / "notices"


@dataclass(frozen=True, slots=True)
class Notice:
    """One version of the text.

    Attributes:
        version: its name.
        valid_from: from when on an opt-in names it, until a newer one holds.
        accepted_until: the first instant at which an agreement to it counts no longer; None while it was not replaced.
        sha256: by locale, of the text's bytes.
    """

    version: str
    valid_from: datetime
    accepted_until: datetime | None
    sha256: Mapping[str, Sha256]

    def counts(self, now: datetime) -> bool:
        """Tell whether an agreement to it still counts at ``now``."""
        return self.accepted_until is None or now < self.accepted_until

    def address(self, locale: str) -> str:
        """Return where its text is, below the address of the API."""
        return f"notices/{self.version}?locale={locale}"

    def text(self, locale: str) -> bytes:
        """Return the text, Markdown in UTF-8, exactly as its hash covers it."""
        return (_FOLDER / self.version / f"{locale}.md").read_bytes()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an administrator agrees to: a version of the notice, in the language in which it was shown.

    Without a version it is the one in force, which was not shown by us (D16); its text is then that in ``locale``.
    """

    version: str | None
    locale: str


NOT_SHOWN = Agreement(None, DEFAULT_LOCALE)
"""The agreement of an administrator whose tool knows no notices."""


@dataclass(frozen=True, slots=True)
class Notices:
    """All versions that were ever published, oldest first."""

    published: Sequence[Notice]

    def in_force(self, now: datetime) -> Notice | None:
        """Return the version that an opt-in at ``now`` names; None before there was any."""
        return next((each for each in reversed(self.published) if each.valid_from <= now), None)

    def find(self, version: str) -> Notice | None:
        """Return a version by its name, or None."""
        return next((each for each in self.published if each.version == version), None)

    def agreed_until(self, version: str | None) -> datetime | None:
        """Return the first instant at which an agreement to ``version`` counts no longer.

        What agrees to no version never counts. None for one that is not known here: a newer instance may know it.
        """
        if version is None:
            return _NEVER
        notice = self.find(version)
        return None if notice is None else notice.accepted_until or _ALWAYS


def _published() -> Notices:
    versions = json.loads((_FOLDER / "notices.json").read_text())
    notices = [
        Notice(
            version,
            datetime.fromisoformat(facts["validFrom"]),
            datetime.fromisoformat(facts["acceptedUntil"]) if "acceptedUntil" in facts else None,
            facts["sha256"],
        )
        for version, facts in versions.items()
    ]
    return Notices(sorted(notices, key=lambda each: each.valid_from))


NOTICES = _published()
