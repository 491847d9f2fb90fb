"""Bugs of jobs and a status that take a heartbeat's word for what it cannot know (P9)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from shared.sweep import sweep
from shared.watch import status
from tests.simulation.planted.registry import mutant, patched


def _whatever(kept: Mapping[Any, Any], _: datetime) -> Mapping[Any, Any]:
    return kept


@mutant("the status believes that a job has run in times to come")
def _() -> Iterator[None]:
    with patched(status, "believable", _whatever):
        yield


@mutant("a sweep goes on from where somebody says that it will have come")
def _() -> Iterator[None]:
    with patched(sweep, "believable", _whatever):
        yield
