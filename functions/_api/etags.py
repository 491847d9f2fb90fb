"""Preconditions (RFC 9110, 13): evaluated where an operation declares them, and refused everywhere else."""

import re
from dataclasses import dataclass

from functions._api.parameters import Parameter, text
from shared.problems import InvalidRequest, PreconditionFailed

_TAG = r'(W/)?"[!#-~]*"'
_TAGS = rf"\s*(\*|{_TAG}(\s*,\s*{_TAG})*)\s*"
_EACH = re.compile(r'(W/)?"([!#-~]*)"')
_SEQUENCE = re.compile("0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Tags:
    """What a precondition names: every ETag there is, or some, of which a few may be weak.

    Tags are compared as they are written: ``"01"`` is not ``"1"``.
    """

    every: bool
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    @property
    def strong_sequences(self) -> frozenset[int]:
        """The ledger sequences that its strong tags stand for, as If-Match compares."""
        return _sequences(self.strong)

    @property
    def sequences(self) -> frozenset[int]:
        """The ledger sequences that its tags stand for, as If-None-Match compares."""
        return _sequences(self.strong | self.weak)


def etag(sequence: int) -> str:
    """Return the ETag of a setting of that ledger sequence."""
    return f'"{sequence}"'


def _sequences(tags: frozenset[str]) -> frozenset[int]:
    return frozenset(int(tag) for tag in tags if _SEQUENCE.fullmatch(tag))


def _read(sent: str) -> Tags:
    if sent.strip() == "*":
        return Tags(every=True)
    found = _EACH.findall(sent)
    return Tags(
        every=False,
        strong=frozenset(tag for weak, tag in found if not weak),
        weak=frozenset(tag for weak, tag in found if weak),
    )


IF_MATCH: Parameter[Tags | None] = text(
    "If-Match",
    "header",
    "The ETags of which the setting must still have one, or * for any. If it has none of them it is a 412, and so is "
    "whatever is no list of ETags.",
    _TAGS,
    '"1"',
    PreconditionFailed.NO_ETAG,
    read=_read,
    absent=None,
    problem=PreconditionFailed,
)
IF_NONE_MATCH: Parameter[Tags | None] = text(
    "If-None-Match",
    "header",
    "The ETags of which the setting must have none, or * for any; there always is a setting.",
    _TAGS,
    'W/"0"',
    InvalidRequest.NO_ETAG,
    read=_read,
    absent=None,
)
PRECONDITIONS = (IF_MATCH.name, IF_NONE_MATCH.name, "If-Unmodified-Since")
"""What guards a change must never be passed over. (What only spares an answer, If-Modified-Since, may be.)"""
