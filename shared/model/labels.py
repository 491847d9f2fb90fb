"""What reviewers say of captures: a verdict, a score, tags, a comment, beside the batch that they speak of (P12)."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from shared.model.items import Instant, Item

COMMENT_MAX = 2000
TAGS_MAX = 10
VERDICTS_MAX = 20
_BLOB = re.compile(r"([0-9a-f]{32})-labels-[0-9a-f]{32}")
_WORD = re.compile(r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")

Word = Annotated[str, StringConstraints(pattern=f"^{_WORD.pattern}$")]
"""A verdict or a tag."""


def is_word(value: object) -> bool:
    """Tell whether a value is a ``Word``."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The verdicts that reviewers may give.

    Attributes:
        others: of the captures of all tenants that have no verdicts of their own.
        of_tenants: by tenant id.
    """

    others: tuple[str, ...]
    of_tenants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Sequence[str]:
        """Return the verdicts of captures of that tenant, in the order in which they are offered."""
        return self.of_tenants.get(tenant_id, self.others)


DEFAULT_VOCABULARY = Vocabulary(("correct", "incorrect", "harmful", "unclear"))


class Said(Item):
    """What one reviewer says of one capture.

    Attributes:
        verdict: one of the words that the deployment, or the tenant, has for it.
        score: from 0, the worst, to 1.
        tags: words of the reviewer's own.
        comment: in the reviewer's own words.
    """

    verdict: Word | None = None
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    tags: Annotated[tuple[Word, ...], Field(max_length=TAGS_MAX)] = ()
    comment: Annotated[str, StringConstraints(max_length=COMMENT_MAX)] | None = None


class Label(Said):
    """What one reviewer says of one capture, and when it was said last (``at``)."""

    at: Instant

    @property
    def version(self) -> str:
        """What tells it from every other label of that reviewer on that capture."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]


class ReviewerLabels(Item):
    """All that one reviewer says of the captures of one batch: the content of one blob.

    Attributes:
        reviewer: the object id.
        labels: by the capture's line in its batch, counted from 0.
    """

    reviewer: str
    labels: Mapping[int, Label]


def labels_blob(batch_id: str, reviewer: str) -> str:
    """Return the name of the blob in which a reviewer's labels of a batch lie: right after the batch's own.

    Opaque, because names are in the storage account's logs.
    """
    return f"{batch_id}-labels-{hashlib.sha256(f'{batch_id}/{reviewer}'.encode()).hexdigest()[:32]}"


def labelled_batch(blob: str) -> str | None:
    """Return the id of the batch whose labels are in a blob of that name, or None if it holds no labels."""
    match = _BLOB.fullmatch(blob)
    return None if match is None else match[1]


def labels_in(blob: str, content: bytes) -> ReviewerLabels | None:
    """Return the labels that a blob holds.

    Args:
        blob: its name.
        content: what it holds.

    Returns:
        None if nobody understands it, or it is not named for its reviewer: somebody put it there by hand.
    """
    try:
        labels = ReviewerLabels.model_validate_json(content)
    except ValidationError:
        return None
    return labels if blob == labels_blob(labelled_batch(blob) or "", labels.reviewer) else None


def of_line(labels: Iterable[ReviewerLabels], line: int) -> Sequence[tuple[str, Label]]:
    """Return what is said of one capture, each with the object id of whoever says it."""
    return [(each.reviewer, each.labels[line]) for each in labels if line in each.labels]
