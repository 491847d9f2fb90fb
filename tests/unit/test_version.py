"""The version stands in one place, and the changelog's newest release is that version."""

import re
from pathlib import Path

from shared import __version__

RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


def test_the_changelogs_newest_release_is_the_version() -> None:
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    assert RELEASE.findall(changelog)[0] == __version__
