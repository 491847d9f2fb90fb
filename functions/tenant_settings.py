"""For the admin tools that there are: the toggle in the shape of Power Platform's tenant settings (decision D16).

A thin translation onto the same rule. The tools send parts of a document of which one value is ours; what they send
beside it is refused unless it says nothing, and is never kept or repeated.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict

from functions._api import json_text
from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Body, Operation
from functions._api.parameters import text
from shared.bootstrap import services
from shared.identity.callers import Who
from shared.model.ledger import Administrator, Setting
from shared.model.notices import NOT_SHOWN
from shared.problems import (
    GeoNotServed,
    HomeGeoUnknown,
    InvalidRequest,
    SettingNotSupported,
    TooManyOptIns,
)
from shared.sharing.data_sharing import RequestedChange

blueprint = func.Blueprint()

BODY_MAX_BYTES = 64 * 1024

_OURS = ("powerplatform", "modelexperimentation", "enablemodeldatasharing")
_FIXED = {("powerplatform", "modelexperimentation", "disabledatalogging"): False}
"""Listed besides, because tools that read and write the whole document expect it; it cannot be changed."""


class ModelExperimentation(AnswerModel):
    """``enableModelDataSharing`` is whether the tenant shares data."""

    enable_model_data_sharing: bool
    disable_data_logging: bool = False


class PowerPlatform(AnswerModel):
    """The one group of settings that there is here."""

    model_experimentation: ModelExperimentation


class TenantSettings(AnswerModel):
    """The tenant's settings, as far as they are kept here."""

    power_platform: PowerPlatform

    @classmethod
    def of(cls, setting: Setting) -> "TenantSettings":
        """Return what to list of ``setting``."""
        ours = ModelExperimentation(enable_model_data_sharing=setting.enabled)
        return cls(power_platform=PowerPlatform(model_experimentation=ours))


class TenantSettingsUpdate(BaseModel):
    """Any part of the settings: an object of objects. What is read of it is told by the operation, not by a schema."""

    model_config = ConfigDict(
        extra="allow", hide_input_in_errors=True, json_schema_extra={"additionalProperties": True}
    )


class TenantAnswer(AnswerModel):
    """The tenant. ``location`` and ``dataStorageGeo`` are where its data lies, or would; null if that is not known."""

    tenant_id: str
    state: str = "Enabled"
    location: str | None
    data_storage_geo: str | None


_TAG = "Tenant settings"
_PROVIDER = "providers/Microsoft.BusinessAppPlatform"
_API_VERSION = text(
    "api-version",
    "query",
    "The version that the tool was written for: any date.",
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?",
    "2020-10-01",
    "api-version must be a date, as in 2020-10-01.",
    read=str,
)
_EXAMPLE = TenantSettings.of(Setting(tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"))
_UPDATE_BODY = Body(
    TenantSettingsUpdate.model_validate(
        {"powerPlatform": {"modelExperimentation": {"enableModelDataSharing": True}, "search": {}}}
    ),
    BODY_MAX_BYTES,
)
_LIST = Operation(
    "TenantSettings_List",
    "POST",
    f"{_PROVIDER}/listTenantSettings",
    "List the tenant settings that are kept here.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    for_admin_tools=True,
    parameters=(_API_VERSION,),
    answers={200: Answer("The settings.", _EXAMPLE)},
    description="A body is passed over, whatever it is.",
)
_UPDATE = Operation(
    "TenantSettings_Update",
    "POST",
    f"{_PROVIDER}/scopes/admin/updateTenantSettings",
    "Switch data sharing on or off, as enableModelDataSharing says.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    for_admin_tools=True,
    parameters=(_API_VERSION,),
    body=_UPDATE_BODY,
    answers={200: Answer("The settings, as they are now.", _EXAMPLE)},
    problems=(SettingNotSupported, HomeGeoUnknown, GeoNotServed, TooManyOptIns),
    description="Names are compared without regard to letter case. null, {} and values that are as they are listed say "
    "nothing; anything else is refused, and nothing is changed. An opt-in agrees to the notice in force, and is on "
    "record as one to which it was not shown here. It goes to the geo of the tenant's last enrollment, or to its home.",
)
_TENANT = Operation(
    "TenantSettings_GetTenant",
    "GET",
    f"{_PROVIDER}/tenant",
    "Show the tenant, and where its data lies.",
    tag=_TAG,
    who=(Who.TENANT_ADMIN,),
    for_admin_tools=True,
    parameters=(_API_VERSION,),
    answers={
        200: Answer(
            "The tenant.",
            TenantAnswer(
                tenant_id="3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30", location="europe", data_storage_geo="europe"
            ),
        )
    },
)


@serves(blueprint, _LIST)
async def tenant_settings_list(call: Call) -> func.HttpResponse:
    """List the tenant settings that are kept here."""
    call.value(_API_VERSION)
    return _settings_answer(await services().data_sharing.get_settled(call.tenant_id))


@serves(blueprint, _UPDATE)
async def tenant_settings_update(call: Call) -> func.HttpResponse:
    """Switch data sharing on or off."""
    call.value(_API_VERSION)
    wanted = _wanted(call.content)
    if wanted is None:
        return _settings_answer(await services().data_sharing.get_settled(call.tenant_id))
    caller = call.caller
    by = Administrator(
        actor=caller.object_id, channel="tenant-settings", client_id=caller.app_id, role=caller.admin_role
    )
    requested = RequestedChange(wanted, by, agreement=NOT_SHOWN, at_home=True)
    return _settings_answer(await services().data_sharing.put(call.tenant_id, requested))


@serves(blueprint, _TENANT)
async def tenant_settings_tenant(call: Call) -> func.HttpResponse:
    """Show the tenant, and where its data lies."""
    call.value(_API_VERSION)
    geo = await services().data_sharing.home(call.tenant_id)
    return json_answer(TenantAnswer(tenant_id=call.tenant_id, location=geo, data_storage_geo=geo).to_json())


def _settings_answer(setting: Setting) -> func.HttpResponse:
    return json_answer(TenantSettings.of(setting).to_json())


def _wanted(body: bytes) -> bool | None:
    """Return whether data shall be shared, as a body of the tools says it; None if it says nothing of that.

    Raises:
        InvalidRequest: if it is no such document.
        SettingNotSupported: if it would change what is not kept here.
    """
    json_text.check(body)
    sent = json.loads(body)
    if not isinstance(sent, dict):
        raise InvalidRequest(InvalidRequest.NO_OBJECT)
    wanted: bool | None = None
    for path, value in _said(sent):
        if path == _OURS and isinstance(value, bool):
            wanted = value
        elif path == _OURS:
            raise InvalidRequest(InvalidRequest.NO_BOOLEAN)
        elif path not in _FIXED or value is not _FIXED[path]:
            raise SettingNotSupported()
    return wanted


def _said(value: Any, path: Sequence[str] = ()) -> Iterator[tuple[Sequence[str], Any]]:
    """Yield each value that says something, with the names that lead to it in lower case."""
    if not isinstance(value, dict):
        if value is not None:
            yield tuple(path), value
        return
    if len({name.lower() for name in value}) < len(value):
        raise InvalidRequest(InvalidRequest.REPEATED_NAME)
    for name, each in value.items():
        yield from _said(each, (*path, name.lower()))
