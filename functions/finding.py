"""For reviewers: captures that match, page by page, and a sample of them. (Reading batches is in ``reviews``.)"""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import azure.functions as func
from pydantic import BeforeValidator, Field, JsonValue, StringConstraints

from functions._api.answers import SparseAnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.json_text import whole
from functions._api.operations import Answer, Body, Operation
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model.labels import Label
from shared.model.selection import Selection
from shared.problems import GeoNotServed, GrantRequired, NotFound
from shared.review.cursors import CURSOR_MAX
from shared.review.finding import FoundPage, Shown

blueprint = func.Blueprint()

BODY_MAX_BYTES = 16 * 1024
SHOWN_MAX = 200
SEED_MAX = 2**31 - 1


_Cursor = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]+$", max_length=CURSOR_MAX)]


class CaptureSearch(Selection):
    """Which captures are looked for, and how many are to be on a page."""

    limit: Annotated[int, Field(ge=1, le=SHOWN_MAX), BeforeValidator(whole)] = Field(
        50, description="How many captures a page has at most; 50 if absent."
    )
    cursor: _Cursor | None = Field(None, description="Of the page before; with it, all else must be as it was then.")


class CaptureSampling(Selection):
    """Which captures a sample is of, and how large it is."""

    size: Annotated[int, Field(ge=1, le=SHOWN_MAX), BeforeValidator(whole)] = Field(
        description="How many captures the sample has, if so many match."
    )
    seed: Annotated[int, Field(ge=0, le=SEED_MAX), BeforeValidator(whole)] = Field(
        description="With the same seed the same captures make the same sample."
    )
    cursor: _Cursor | None = Field(None, description="Of the page before; with it, all else must be as it was then.")


class FoundLabel(Label):
    """What one reviewer, by object id, says of a capture."""

    reviewer: str


class FoundCapture(SparseAnswerModel):
    """A capture that matches, and where it lies.

    ``language`` is what the capture says its language is, or what its texts seem to be in, by ISO 639.
    """

    day: date
    batch_id: str
    line: Annotated[int, Field(ge=0, description="In its batch, counted from 0.")]
    capture: Annotated[dict[str, JsonValue], Field(description="As it is stored.")]
    language: str | None = None
    labels: list[FoundLabel]


class ScannedCaptures(SparseAnswerModel):
    """What was gone through for a page. ``unreadable`` counts lines of batches, and batches, that are none of ours."""

    captures: int
    batches: int
    unreadable: int


class FoundCapturesAnswer(SparseAnswerModel):
    """Captures that match, the oldest day first; to go on, the same search with ``cursor``, absent on the last page."""

    value: list[FoundCapture]
    scanned: ScannedCaptures
    cursor: str | None = None


class SampledCapturesAnswer(FoundCapturesAnswer):
    """Captures of a sample, and how many ``matched`` so far.

    As long as captures are gone through there is nothing in ``value``.
    """

    matched: int


_TAG = "Review"
_EXAMPLE_ID = "0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a"
_AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
_WHICH: dict[str, Any] = {
    "firstDay": "2026-11-20",
    "language": "en",
    "telemetry": [{"name": "latencyMs", "over": 500}],
    "text": "open orders",
}
_FOUND = FoundCapture(
    day=_AT.date(),
    batch_id=_EXAMPLE_ID,
    line=0,
    capture={
        "capturedAt": "2026-11-21T12:00:00.000000Z",
        "feature": "power-fx.formula",
        "input": "Total of all open orders",
        "output": 'Sum(Filter(Orders, Status = "Open"), Amount)',
        "telemetry": {"latencyMs": 812},
    },
    language="en",
    labels=[
        FoundLabel(
            reviewer="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
            verdict="incorrect",
            score=0.25,
            tags=("wrong-table",),
            comment="It sums the closed orders.",
            at=_AT,
        )
    ],
)
_CURSOR = "Wx6cfT8qSGC3yNng8aKzxAALSmcPjSxLah5NPJt6Xw4dLDtKAAFvVb1Xq0mZJw2c"
_SCANNED = ScannedCaptures(captures=500, batches=12, unreadable=0)
_SEARCH = Body(CaptureSearch.model_validate({**_WHICH, "limit": 50}), BODY_MAX_BYTES)
_SAMPLING = Body(CaptureSampling.model_validate({**_WHICH, "size": 20, "seed": 7}), BODY_MAX_BYTES)
_PROBLEMS = (GrantRequired, NotFound(NotFound.DAY), GeoNotServed(GeoNotServed.TENANTS_GEO))
_FIND = Operation(
    "Captures_Find",
    "POST",
    "tenants/{tenantId}/captures/find",
    "Show captures that match, under the caller's live grant. It is on the record, without what was looked for.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    body=_SEARCH,
    answers={200: Answer("A page of captures.", FoundCapturesAnswer(value=[_FOUND], scanned=_SCANNED, cursor=_CURSOR))},
    problems=_PROBLEMS,
    description="A page ends after a second if there is something on it, and after some seconds if there is nothing. "
    "So it may have fewer captures than limit, or none, and yet a cursor.",
)
_SAMPLE = Operation(
    "Captures_Sample",
    "POST",
    "tenants/{tenantId}/captures/sample",
    "Show captures at random of those that match, under the caller's live grant. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    body=_SAMPLING,
    answers={
        200: Answer("A page of the sample.", SampledCapturesAnswer(value=[_FOUND], scanned=_SCANNED, matched=1)),
    },
    problems=_PROBLEMS,
    description="Each capture that matches is in the sample as likely as any other. All are gone through first, on "
    "pages of some seconds that show nothing; then the sample is shown.",
)


@serves(blueprint, _FIND)
async def captures_find(call: Call) -> func.HttpResponse:
    """Show captures that match."""
    body = call.body(_SEARCH)
    found = await services().finding.find(
        call.tenant_id, call.caller.object_id, _selection(body), limit=body.limit, after=body.cursor
    )
    return json_answer(_page(found))


@serves(blueprint, _SAMPLE)
async def captures_sample(call: Call) -> func.HttpResponse:
    """Show captures at random of those that match."""
    body = call.body(_SAMPLING)
    found = await services().finding.sample(
        call.tenant_id,
        call.caller.object_id,
        _selection(body),
        size=body.size,
        seed=body.seed,
        progress=body.cursor,
    )
    return json_answer({**_page(found), "matched": found.matched})


def _selection(body: Selection) -> Selection:
    """Return the part of a body that says which captures."""
    return Selection.model_construct(**{name: getattr(body, name) for name in Selection.model_fields})


def _page(found: FoundPage) -> dict[str, Any]:
    # Not by the models, which would look at each value of each capture once more.
    scanned = found.scanned
    page = {
        "value": [_capture(each) for each in found.value],
        "scanned": ScannedCaptures(
            captures=scanned.captures, batches=scanned.batches, unreadable=scanned.unreadable
        ).to_json(),
    }
    return page if found.cursor is None else {**page, "cursor": found.cursor}


def _capture(shown: Shown) -> dict[str, Any]:
    found = shown.found
    said = {
        "day": found.day.isoformat(),
        "batchId": found.batch_id,
        "line": found.line,
        "capture": found.capture,
        "labels": [{"reviewer": reviewer, **label.to_json()} for reviewer, label in found.labels],
    }
    return said if shown.language is None else {**said, "language": shown.language}
