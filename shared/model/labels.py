"""What reviewers say of captures: a verdict, a score, tags, a comment, beside the batch that they speak of (P12)."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.model.items import Instant, Item

COMMENT_MAX = 2000
TAGS_MAX = 10
_BLOB = re.compile(r"([0-9a-f]{32})-labels-[0-9a-f]{32}")

Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?$")]
"""A verdict or a tag."""


class Label(Item):
    """What one reviewer says of one capture.

    Attributes:
        verdict: one of the words that the deployment, or the tenant, has for it.
        score: from 0, the worst, to 1.
        tags: words of the reviewer's own.
        comment: in the reviewer's own words.
        at: when it was said last.
    """

    verdict: Word | None = None
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    tags: Annotated[tuple[Word, ...], Field(max_length=TAGS_MAX)] = ()
    comment: Annotated[str, StringConstraints(max_length=COMMENT_MAX)] | None = None
    at: Instant


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


def of_line(labels: Iterable[ReviewerLabels], line: int) -> Sequence[tuple[str, Label]]:
    """Return what is said of one capture, each with the object id of whoever says it."""
    return [(each.reviewer, each.labels[line]) for each in labels if line in each.labels]
