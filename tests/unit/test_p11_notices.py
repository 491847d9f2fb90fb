"""P11: what was agreed to can be shown for good: a published text never changes, and who agrees names its version."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.model import notices
from shared.model.notices import DEFAULT_LOCALE, NOTICES, Notice, Notices

LOCALES = ("de", "en", "ja")
# Of all that was ever published, kept here a second time: a text that changes, with its hash beside it, is noticed too.
PUBLISHED = {
    "2026-11-01": {
        "de": "6629669ce3fb3255c7b40cd73daa8fdc72f82a17970d9440810ddcd307fbf41b",
        "en": "897ac13b425aeb12657cbb4387c12e45282cda9631aa390fca6b89c8d18b4086",
        "ja": "9300710c22586a84dc84a1cfb3a906a3bea563fdcaa346d390820d288b892b5d",
    },
}


def test_p11_no_published_text_has_changed_by_a_byte() -> None:
    assert {notice.version: dict(notice.sha256) for notice in NOTICES.published} == PUBLISHED
    for notice in NOTICES.published:
        for locale in LOCALES:
            assert hashlib.sha256(notice.text(locale)).hexdigest() == notice.sha256[locale]


@pytest.mark.parametrize("notice", NOTICES.published, ids=lambda notice: notice.version)
def test_p11_each_language_says_as_much_as_the_others(notice: Notice) -> None:
    """The same sections and the same lists, in the same order: no translation leaves one out."""
    shapes = {
        locale: re.findall(r"^(?:#+|-)(?= )|\*\*", notice.text(locale).decode(), re.MULTILINE) for locale in LOCALES
    }
    assert shapes[DEFAULT_LOCALE].count("##") == 6
    assert shapes["de"] == shapes["ja"] == shapes[DEFAULT_LOCALE]
    for locale in LOCALES:
        text = notice.text(locale).decode()
        assert all(word in text for word in ("30", "Copilot", "Microsoft")), locale


def _notice(version: str, valid_from: datetime, accepted_until: datetime | None = None) -> Notice:
    return Notice(version, valid_from, accepted_until, {})


def test_p11_from_when_and_until_when_a_version_holds_stands_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"validFrom": "2027-03-01T00:00:00Z", "sha256": {"en": "b" * 64}}
    old = {"validFrom": "2026-11-01T00:00:00Z", "acceptedUntil": "2027-06-01T00:00:00Z", "sha256": {"en": "a" * 64}}
    (tmp_path / "notices.json").write_text(json.dumps({"new": new, "old": old}))
    monkeypatch.setattr(notices, "_FOLDER", tmp_path)
    start, replaced, until = (
        datetime(year, month, 1, tzinfo=UTC) for year, month in ((2026, 11), (2027, 3), (2027, 6))
    )
    assert notices._published().published == [
        Notice("old", start, until, {"en": "a" * 64}),
        Notice("new", replaced, None, {"en": "b" * 64}),
    ]


def test_p11_the_version_in_force_is_the_newest_that_holds_already() -> None:
    first, second = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
    published = Notices([_notice("a", first, second + timedelta(days=90)), _notice("b", second)])
    moment = timedelta(microseconds=1)
    for now, version in ((first - moment, None), (first, "a"), (second - moment, "a"), (second, "b")):
        found = published.in_force(now)
        assert (found and found.version) == version
    assert published.find("c") is None


def test_p11_an_agreement_ends_at_that_instant() -> None:
    until = datetime(2027, 6, 1, tzinfo=UTC)
    notice = _notice("a", datetime(2026, 11, 1, tzinfo=UTC), until)
    assert notice.counts(until - timedelta(microseconds=1)) and not notice.counts(until)
    assert _notice("b", until).counts(until + timedelta(days=9_999))
