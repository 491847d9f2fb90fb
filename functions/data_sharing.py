"""For the admin center: the toggle and its history."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

import azure.functions as func
from pydantic import ConfigDict, Field

from functions._api.answers import AnswerModel, Page, json_answer, page_answer
from functions._api.etags import IF_MATCH, IF_NONE_MATCH, etag
from functions._api.http import Call, serves
from functions._api.operations import Answer, Body, Operation
from functions._api.parameters import BEFORE, LIMIT
from shared.bootstrap import services
from shared.identity.callers import TENANT_ADMIN_ROLES, Who
from shared.model import deadlines
from shared.model.geos import GEOS
from shared.model.items import EnrollmentId, Instant, TenantId
from shared.model.ledger import FIRST_PREVIOUS_HASH, Administrator, Channel, Event, OptedIn, OptedOut, Setting
from shared.model.notices import NOTICES, Agreement, Notices
from shared.model.requests import RequestModel
from shared.ports import Conflict, StoreUnavailable
from shared.problems import (
    GeoNotServed,
    GeoPinned,
    NoticeOutdated,
    NoticeRequired,
    PreconditionFailed,
    TooManyOptIns,
    UnknownGeo,
)
from shared.sharing.data_sharing import RequestedChange

blueprint = func.Blueprint()

BODY_MAX_BYTES = 4 * 1024

_TO_OPT_IN = ("geo", "notice", "locale")
_NEEDED_TO_OPT_IN: dict[str, Any] = {
    "if": {"properties": {"enabled": {"const": True}}},
    # Linters take what a schema does not name for forbidden, so the others are named again.
    "then": {
        "properties": {"enabled": {}, "stopReview": {}, **{name: {"type": "string"} for name in _TO_OPT_IN}},
        "required": [*_TO_OPT_IN],
    },
}


class DataSharingRequest(RequestModel):
    """The body of a PUT."""

    model_config = ConfigDict(json_schema_extra=_NEEDED_TO_OPT_IN)

    enabled: bool
    # Any text is taken: to opt out it means nothing and must stop nobody. Clients see here which texts mean a geo.
    geo: str | None = Field(
        None,
        description="Where the data shall stay; needed to opt in, without meaning to opt out.",
        json_schema_extra={"enum": [*sorted(GEOS), None]},
    )
    notice: str | None = Field(
        None,
        description="The version of the notice that the organisation agrees to; needed to opt in, without meaning to "
        "opt out.",
    )
    locale: str | None = Field(
        None, description="The language in which it was shown; needed to opt in, without meaning to opt out."
    )
    stop_review: bool = Field(
        False, description="To opt out: nothing of the enrollment shall be read any more, whatever has been granted."
    )


class DataSharingAnswer(AnswerModel):
    """A tenant's setting; ``geo`` and ``enrollmentId`` are null while data sharing is off.

    ``notice`` is the version of the notice that was agreed to last, and ``agreedUntil`` the first instant at which that
    counts no longer; null while it was not replaced. From then on, and with no notice, captures are refused until an
    administrator agrees to the notice in force.
    """

    tenant_id: TenantId
    enabled: bool
    geo: str | None
    enrollment_id: EnrollmentId | None
    since: Instant | None
    notice: str | None
    agreed_until: Instant | None

    @classmethod
    def of(cls, setting: Setting, notices: Notices) -> Self:
        """Return what to say of ``setting``."""
        enrollment = setting.enrollment
        notice = None if setting.notice is None else notices.find(setting.notice)
        return cls(
            notice=setting.notice,
            agreed_until=None if notice is None else notice.accepted_until,
            tenant_id=setting.tenant_id,
            enabled=setting.enabled,
            geo=enrollment.geo if enrollment else None,
            enrollment_id=enrollment.enrollment_id if enrollment else None,
            since=setting.since,
        )


class OwedDeletionAnswer(AnswerModel):
    """The deletion that an opt-out owes; it is shown among the deletions a moment later."""

    enrollment_id: EnrollmentId
    not_before: Instant
    deadline: Instant


class DataSharingSetAnswer(DataSharingAnswer):
    """A tenant's setting after a PUT.

    ``deletion`` is that of the enrollment that ended last. It is null after an opt-in, if there never was an
    enrollment, and if it cannot be read now: the opt-out holds all the same.
    """

    deletion: OwedDeletionAnswer | None = None


class LedgerPageAnswer(Page[Annotated[Event, Field(discriminator="kind")]]):
    """Ledger events, newest first."""


_TAG = "Data sharing"
_SINCE = datetime(2026, 11, 21, 12, tzinfo=UTC)
_OPTED_OUT_AT = _SINCE + timedelta(days=1)
_NOTICE = NOTICES.published[0]
_OPTED_IN = OptedIn(
    enrollment_id="0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
    geo="europe",
    storage_account="steurope",
    started_at=_SINCE,
    tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    sequence=1,
    at=_SINCE,
    actor="b7c1f0de-4a52-4f8e-9a3d-5c2e1f7b8d90",
    channel="api",
    client_id="0c6c1f9e-3e6d-4d55-9a4e-2f8f6f0f7b11",
    role=TENANT_ADMIN_ROLES[0],
    notice=_NOTICE.version,
    notice_hash=_NOTICE.sha256["de"],
    locale="de",
    previous_hash=FIRST_PREVIOUS_HASH,
)
_SETTING = Answer(
    "The setting.",
    DataSharingAnswer(
        tenant_id=_OPTED_IN.tenant_id,
        enabled=True,
        geo=_OPTED_IN.geo,
        enrollment_id=_OPTED_IN.enrollment_id,
        since=_SINCE,
        notice=_OPTED_IN.notice,
        agreed_until=None,
    ),
    headers=("ETag",),
)


_BODY = Body(
    DataSharingRequest.model_validate({"enabled": True, "geo": "europe", "notice": _NOTICE.version, "locale": "de"}),
    BODY_MAX_BYTES,
)
_GET = Operation(
    "DataSharing_Get",
    "GET",
    "tenants/{tenantId}/data-sharing",
    "Show whether a tenant shares data.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.CAPTURE_SERVICE, Who.OPERATOR),
    parameters=(IF_NONE_MATCH,),
    answers={200: _SETTING, 304: Answer("The setting has an ETag of If-None-Match.", None, headers=("ETag",))},
    description="A tenant never seen is off. That a tenant's sharing is off again is told its administrator after two "
    "seconds, as the answer to an opt-out would be.",
)
_PUT = Operation(
    "DataSharing_Set",
    "PUT",
    "tenants/{tenantId}/data-sharing",
    "Switch data sharing on or off.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    parameters=(IF_MATCH, IF_NONE_MATCH),
    body=_BODY,
    answers={
        200: Answer(
            "The setting, and after an opt-out the deletion that it owes.",
            DataSharingSetAnswer(
                tenant_id=_OPTED_IN.tenant_id,
                enabled=False,
                geo=None,
                enrollment_id=None,
                since=_OPTED_OUT_AT,
                notice=None,
                agreed_until=None,
                deletion=OwedDeletionAnswer(
                    enrollment_id=_OPTED_IN.enrollment_id,
                    not_before=deadlines.deletion_not_before(deadlines.deletion_deadline(_OPTED_OUT_AT)),
                    deadline=deadlines.deletion_deadline(_OPTED_OUT_AT),
                ),
            ),
            headers=("ETag",),
        )
    },
    problems=(
        GeoPinned,
        PreconditionFailed,
        GeoNotServed,
        UnknownGeo,
        NoticeRequired,
        NoticeOutdated,
        TooManyOptIns,
    ),
    description="An opt-in agrees to the notice in force. To agree to a newer one while sharing is on adds an event to "
    "the same enrollment. A change is answered after at least two seconds: once the answer to an opt-out has arrived, "
    "no instance accepts captures any more. An answer of 412 comes as late while sharing is off. The same state again "
    "is no new event. To move to another geo, opt out first.",
)
_HISTORY = Operation(
    "DataSharing_ListHistory",
    "GET",
    "tenants/{tenantId}/data-sharing/history",
    "Show a tenant's ledger, newest first.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN, Who.OPERATOR),
    parameters=(LIMIT, BEFORE),
    answers={200: Answer("A page of the ledger.", LedgerPageAnswer(value=[_OPTED_IN]))},
)


@serves(blueprint, _GET)
async def data_sharing_get(call: Call) -> func.HttpResponse:
    """Show whether a tenant shares data."""
    data_sharing, known = services().data_sharing, call.value(IF_NONE_MATCH)
    read = data_sharing.get_settled if call.caller.is_admin_of(call.tenant_id) else data_sharing.get
    setting = await read(call.tenant_id)
    if known is not None and (known.every or setting.sequence in known.sequences):
        return func.HttpResponse(status_code=304, headers=_etag(setting), mimetype="application/json")
    return _setting_answer(setting)


@serves(blueprint, _PUT)
async def data_sharing(call: Call) -> func.HttpResponse:
    """Switch data sharing on or off."""
    body, wanted, unwanted = call.body(_BODY), call.value(IF_MATCH), call.value(IF_NONE_MATCH)
    if unwanted is not None and unwanted.every:
        raise PreconditionFailed(PreconditionFailed.EXISTS)
    caller = call.caller
    requested = RequestedChange(
        body.enabled,
        Administrator(
            actor=caller.object_id, channel=_channel(caller.app_id), client_id=caller.app_id, role=caller.admin_role
        ),
        body.geo,
        None if body.notice is None else Agreement(body.notice, body.locale or ""),
        stop_review=body.stop_review,
        if_sequence=None if wanted is None or wanted.every else wanted.strong_sequences,
        unless_sequence=frozenset() if unwanted is None else unwanted.sequences,
    )
    try:
        setting = await services().data_sharing.put(call.tenant_id, requested)
    except NoticeRequired as refusal:
        refusal.extensions["noticeAddress"] = call.address(refusal.extensions["noticeAddress"])
        raise
    ended = None if body.enabled else await _ended(setting)
    if ended is not None and body.stop_review:
        with suppress(StoreUnavailable, Conflict):  # nobody reads it any more, whatever the record says
            await services().access.end_all(call.tenant_id, ended.enrollment_id, caller.object_id)
    answer = DataSharingSetAnswer(
        **dict(DataSharingAnswer.of(setting, services().notices)),
        deletion=None if ended is None else await _owed(ended),
    )
    return json_answer(answer.to_json(), headers=_etag(setting))


@serves(blueprint, _HISTORY)
async def data_sharing_history(call: Call) -> func.HttpResponse:
    """Show a tenant's ledger, newest first."""
    limit = call.value(LIMIT)
    events = await services().data_sharing.history(call.tenant_id, limit=limit, before=call.value(BEFORE))
    return page_answer(call.url, limit, events, [event.to_json() for event in events.values])


def _channel(app_id: str) -> Channel:
    """Return the way by which a decision came: the portal is an app of its own."""
    portal = services().portal
    return "portal" if portal is not None and app_id == portal.client_id else "api"


# Nothing may make an opt-out that is done look like one that failed.


async def _ended(setting: Setting) -> OptedOut | None:
    with suppress(StoreUnavailable):
        return await services().data_sharing.last_opt_out(setting)
    return None


async def _owed(event: OptedOut) -> OwedDeletionAnswer | None:
    with suppress(StoreUnavailable):
        deletion = await services().deletions.owed_for(event)
        return OwedDeletionAnswer(
            enrollment_id=deletion.enrollment_id, not_before=deletion.not_before, deadline=deletion.deadline
        )
    return None


def _setting_answer(setting: Setting) -> func.HttpResponse:
    return json_answer(DataSharingAnswer.of(setting, services().notices).to_json(), headers=_etag(setting))


def _etag(setting: Setting) -> dict[str, str]:
    return {"ETag": etag(setting.sequence)}
