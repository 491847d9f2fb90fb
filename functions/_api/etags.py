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


def etag(version: int | str) -> str:
    """Return the ETag of a setting of that ledger sequence, or of a label of that version."""
    return f'"{version}"'


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


def if_match(what: str, example: str, problem: type[PreconditionFailed]) -> Parameter[Tags | None]:
    """Return the parameter If-Match of an operation that changes something.

    Args:
        what: what it changes.
        example: an ETag of that.
        problem: what is answered if it has none of the ETags.
    """
    return text(
        "If-Match",
        "header",
        f"The ETags of which the {what} must still have one, or * for any. If it has none of them it is a 412, and so "
        "is whatever is no list of ETags.",
        _TAGS,
        example,
        PreconditionFailed.NO_ETAG,
        read=_read,
        absent=None,
        problem=problem,
    )


def if_none_match(description: str, example: str) -> Parameter[Tags | None]:
    """Return the parameter If-None-Match.

    Args:
        description: for the document.
        example: an ETag.
    """
    return text(
        "If-None-Match",
        "header",
        description,
        _TAGS,
        example,
        InvalidRequest.NO_ETAG,
        read=_read,
        absent=None,
    )


IF_MATCH = if_match("setting", '"1"', PreconditionFailed)
IF_NONE_MATCH = if_none_match(
    "The ETags of which the setting must have none, or * for any; there always is a setting.", 'W/"0"'
)
PRECONDITIONS = (IF_MATCH.name, IF_NONE_MATCH.name, "If-Unmodified-Since")
"""What guards a change must never be passed over. (What only spares an answer, If-Modified-Since, may be.)"""
