"""For reviewers: labels, which lie beside the captures and go with them, and how far two reviewers agree."""

from datetime import UTC, datetime
from typing import Annotated, Self

import azure.functions as func
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from functions._api.answers import SparseAnswerModel, json_answer
from functions._api.etags import Tags, etag, if_match, if_none_match
from functions._api.http import Call, serves
from functions._api.operations import Answer, Body, Operation
from functions._api.parameters import BATCH_ID, DAY, Parameter
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model.agreement import Agreement
from shared.model.capture import BATCH_MAX
from shared.model.items import Instant
from shared.model.labels import COMMENT_MAX, DEFAULT_VOCABULARY, TAGS_MAX, Label, Said, Word
from shared.model.requests import RequestModel
from shared.problems import (
    GeoNotServed,
    GrantRequired,
    InvalidRequest,
    LabelChanged,
    NotFound,
    TooManyLabels,
    UnknownVerdict,
)
from shared.review.labelling import Condition

blueprint = func.Blueprint()

BODY_MAX_BYTES = 32 * 1024


class LabelRequest(RequestModel):
    """The body of a PUT: what a reviewer says of a capture, which is at least one of these."""

    # At least one of these. From anyOf, generators make wrappers.
    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {
                    "verdict": {"type": "null"},
                    "score": {"type": "null"},
                    "tags": {"enum": [None, []]},
                    "comment": {"type": "null"},
                }
            }
        }
    )

    verdict: Word | None = Field(None, description="One of the words of the label vocabulary.")
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="From 0, the worst, to 1."
    )
    tags: Annotated[list[Word], Field(max_length=TAGS_MAX)] | None = Field(
        None, description="The reviewer's own words; one that comes twice counts once."
    )
    comment: Annotated[str, StringConstraints(min_length=1, max_length=COMMENT_MAX)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.verdict is None and self.score is None and not self.tags and self.comment is None:
            raise ValueError("must have a verdict, a score, tags or a comment")
        return self

    def said(self) -> Said:
        """Return what it says."""
        tags = tuple(dict.fromkeys(self.tags or ()))
        return Said(verdict=self.verdict, score=self.score, tags=tags, comment=self.comment)


class LabelAnswer(SparseAnswerModel):
    """What one reviewer says of one capture; ``line`` is the capture's place in its batch, counted from 0."""

    line: int
    reviewer: str
    verdict: str | None = None
    score: float | None = None
    tags: list[str]
    comment: str | None = None
    at: Instant

    @classmethod
    def of(cls, line: int, reviewer: str, label: Label) -> Self:
        """Return what to say of a label."""
        return cls(**dict(label), line=line, reviewer=reviewer)


class LabelsAnswer(SparseAnswerModel):
    """The labels of a batch, by line, and of one line by reviewer."""

    value: list[LabelAnswer]


class LabelVocabularyAnswer(SparseAnswerModel):
    """The verdicts that there are for a tenant's captures."""

    verdicts: list[str]


class VerdictAgreementAnswer(SparseAnswerModel):
    """How far two reviewers agree on one verdict, against all others taken as one.

    ``first`` and ``second`` are how many of the captures the first and the second reviewer gave it, ``both`` how many
    both did. ``kappa`` is absent where it is not defined.
    """

    verdict: str
    kappa: float | None = None
    both: int
    first: int
    second: int


class AgreementAnswer(SparseAnswerModel):
    """How far two reviewers agree on the captures to which both gave a verdict.

    ``observed`` is the share of them to which both gave the same; ``kappa`` is Cohen's, absent where it is not defined
    because chance alone would have them agree on all.
    """

    reviewers: list[str]
    captures: int
    observed: float
    kappa: float | None = None
    verdicts: list[VerdictAgreementAnswer]

    @classmethod
    def of(cls, agreement: Agreement) -> Self:
        """Return what to say of two reviewers."""
        return cls(
            reviewers=list(agreement.reviewers),
            captures=agreement.captures,
            observed=agreement.observed,
            kappa=agreement.kappa,
            verdicts=[
                VerdictAgreementAnswer(
                    verdict=each.verdict, kappa=each.kappa, both=each.both, first=each.first, second=each.second
                )
                for each in agreement.verdicts
            ],
        )


class LabelAgreementAnswer(SparseAnswerModel):
    """How far each two reviewers agree who gave verdicts to the same captures; ``labels`` counts all that there are."""

    value: list[AgreementAnswer]
    labels: int


_TAG = "Review"
_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_REVIEWER = "b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90"
_OTHER = "1f0a9d3c-7b64-4e25-8c1d-2a5e6f7b8c90"
_ETAG = '"0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a"'
_LABEL = LabelAnswer(
    line=3,
    reviewer=_REVIEWER,
    verdict="incorrect",
    score=0.25,
    tags=["wrong-table"],
    comment="It sums the closed orders, too.",
    at=_NOW,
)
_BODY = Body(
    LabelRequest.model_validate(
        {"verdict": _LABEL.verdict, "score": _LABEL.score, "tags": _LABEL.tags, "comment": _LABEL.comment}
    ),
    BODY_MAX_BYTES,
)
_AGREEMENT = AgreementAnswer(
    reviewers=[_OTHER, _REVIEWER],
    captures=50,
    observed=0.7,
    kappa=0.4,
    verdicts=[
        VerdictAgreementAnswer(verdict="correct", kappa=0.4, both=20, first=25, second=30),
        VerdictAgreementAnswer(verdict="incorrect", kappa=0.4, both=15, first=25, second=20),
    ],
)


def _read_line(sent: str) -> int:
    if not sent.isascii() or not sent.isdecimal() or len(sent) > 3 or str(int(sent)) != sent or int(sent) >= BATCH_MAX:
        raise ValueError
    return int(sent)


_LINE: Parameter[int] = Parameter(
    "line",
    "path",
    "A capture's place in its batch, counted from 0.",
    {"type": "integer", "minimum": 0, "maximum": BATCH_MAX - 1},
    _LABEL.line,
    _read_line,
    f"A line must be a whole number from 0 to {BATCH_MAX - 1}.",
)
_FIRST_DAY = DAY.in_query("The first of the days; the oldest that may be read if absent.", "firstDay")
_LAST_DAY = DAY.in_query("The last of the days; the newest if absent.", "lastDay")
_IF_MATCH = if_match("label", _ETAG, LabelChanged)
_IF_NONE_MATCH = if_none_match(
    "The ETags of which the label must have none, or * if there must be no label yet.", _ETAG
)
_ABOUT_CAPTURE = (GrantRequired, NotFound(NotFound.CAPTURE), GeoNotServed(GeoNotServed.TENANTS_GEO))
_LIST = Operation(
    "Labels_List",
    "GET",
    "tenants/{tenantId}/captures/{day}/{batchId}/labels",
    "Show what all reviewers say of the captures of a batch. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(DAY, BATCH_ID),
    answers={200: Answer("The labels, by line.", LabelsAnswer(value=[_LABEL]))},
    problems=(GrantRequired, NotFound(NotFound.BATCH), GeoNotServed(GeoNotServed.TENANTS_GEO)),
)
_PUT = Operation(
    "Labels_Put",
    "PUT",
    "tenants/{tenantId}/captures/{day}/{batchId}/{line}/label",
    "Label a capture, in the place of what the caller has said of it before. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(DAY, BATCH_ID, _LINE, _IF_MATCH, _IF_NONE_MATCH),
    body=_BODY,
    answers={200: Answer("The label.", _LABEL, headers=("ETag",))},
    problems=(*_ABOUT_CAPTURE, LabelChanged, UnknownVerdict),
    description="Each reviewer has one label of a capture. It lies beside the capture and goes with it; the record "
    "says that there is one, and nothing of what it says.",
)
_WITHDRAW = Operation(
    "Labels_Withdraw",
    "DELETE",
    "tenants/{tenantId}/captures/{day}/{batchId}/{line}/label",
    "Withdraw the caller's label of a capture; one that is not there is fine. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(DAY, BATCH_ID, _LINE, _IF_MATCH),
    answers={204: Answer("There is no label of the caller's any more.", None)},
    problems=(*_ABOUT_CAPTURE, LabelChanged),
)
_VOCABULARY = Operation(
    "LabelVocabulary_Show",
    "GET",
    "tenants/{tenantId}/label-vocabulary",
    "Show the verdicts that there are for a tenant's captures.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    answers={
        200: Answer(
            "The verdicts, in the order in which they are offered.",
            LabelVocabularyAnswer(verdicts=list(DEFAULT_VOCABULARY.others)),
        )
    },
)
_AGREE = Operation(
    "LabelAgreement_Show",
    "GET",
    "tenants/{tenantId}/label-agreement",
    "Show how far each two reviewers agree on the captures of some days. It is on the record.",
    tag=_TAG,
    who=(Who.REVIEWER,),
    step_up=True,
    parameters=(_FIRST_DAY, _LAST_DAY),
    answers={
        200: Answer(
            "One entry for each two reviewers who gave a verdict to the same capture.",
            LabelAgreementAnswer(value=[_AGREEMENT], labels=117),
        )
    },
    problems=(GrantRequired, NotFound(NotFound.DAY), TooManyLabels, GeoNotServed(GeoNotServed.TENANTS_GEO)),
)


@serves(blueprint, _LIST)
async def labels(call: Call) -> func.HttpResponse:
    """Show what all reviewers say of the captures of a batch."""
    found = await services().labelling.of_batch(
        call.tenant_id, call.caller.object_id, call.value(DAY), call.value(BATCH_ID)
    )
    value = [LabelAnswer.of(line, each.reviewer, label) for each in found for line, label in each.labels.items()]
    return json_answer(LabelsAnswer(value=sorted(value, key=lambda each: (each.line, each.reviewer))).to_json())


@serves(blueprint, _PUT)
async def label_put(call: Call) -> func.HttpResponse:
    """Label a capture."""
    reviewer, line, said = call.caller.object_id, call.value(_LINE), call.body(_BODY).said()
    condition = _condition(call.value(_IF_MATCH), call.value(_IF_NONE_MATCH))
    label = await services().labelling.put(
        call.tenant_id, reviewer, call.value(DAY), call.value(BATCH_ID), line, said, condition
    )
    return json_answer(LabelAnswer.of(line, reviewer, label).to_json(), headers={"ETag": etag(label.version)})


@serves(blueprint, _WITHDRAW)
async def label_withdraw(call: Call) -> func.HttpResponse:
    """Withdraw the caller's label of a capture."""
    day, batch_id, line = call.value(DAY), call.value(BATCH_ID), call.value(_LINE)
    condition = _condition(call.value(_IF_MATCH), None)
    await services().labelling.withdraw(call.tenant_id, call.caller.object_id, day, batch_id, line, condition)
    return func.HttpResponse(status_code=204)


@serves(blueprint, _VOCABULARY)
async def label_vocabulary(call: Call) -> func.HttpResponse:
    """Show the verdicts that there are for a tenant's captures."""
    verdicts = list(services().labelling.verdicts(call.tenant_id))
    return json_answer(LabelVocabularyAnswer(verdicts=verdicts).to_json())


@serves(blueprint, _AGREE)
async def label_agreement(call: Call) -> func.HttpResponse:
    """Show how far each two reviewers agree on the captures of some days."""
    first, last = call.value(_FIRST_DAY), call.value(_LAST_DAY)
    if first is not None and last is not None and first > last:
        raise InvalidRequest(InvalidRequest.DAYS)
    compared = await services().labelling.agreement(call.tenant_id, call.caller.object_id, first, last)
    value = [AgreementAnswer.of(each) for each in compared.pairs]
    return json_answer(LabelAgreementAnswer(value=value, labels=compared.labels).to_json())


def _condition(wanted: Tags | None, unwanted: Tags | None) -> Condition:
    exists = True if wanted is not None and wanted.every else None
    if unwanted is not None and unwanted.every:
        # Both at once never hold; what there must be and must not be is none of all versions.
        return Condition(frozenset() if wanted is not None else None, present=False)
    return Condition(
        versions=None if wanted is None or wanted.every else wanted.strong,
        present=exists,
        others=frozenset() if unwanted is None else unwanted.strong | unwanted.weak,
    )
