"""What the admin tools that there are send to change the one tenant setting that is ours (D16)."""

from typing import Any

GROUPS = ("search", "teamsIntegration", "powerApps", "powerAutomate", "environments", "governance", "licensing")


def listing(on: bool) -> dict[str, Any]:
    ours = {"enableModelDataSharing": on, "disableDataLogging": False}
    return {"powerPlatform": {"modelExperimentation": ours}}


def m365(on: bool) -> Any:
    return {
        "powerPlatform": {**{group: {} for group in GROUPS}, "modelExperimentation": {"enableModelDataSharing": on}}
    }


def powershell(on: bool) -> Any:
    return {"PowerPlatform": {"ModelExperimentation": {"EnableModelDataSharing": on}}}


def dsc(on: bool) -> Any:
    nothing = {group: {"disableThis": None, "enableThat": None} for group in GROUPS}
    ours = {"enableModelDataSharing": on, "disableDataLogging": None}
    return {"walkMeOptOut": None, "powerPlatform": {**nothing, "modelExperimentation": ours}}


def whole_document(on: bool) -> Any:
    return listing(on)


def terraform(on: bool) -> Any:
    ours = {"enableModelDataSharing": on, "disableDataLogging": False}
    return {"powerPlatform": {"modelExperimentation": ours, "search": None, "catalogSettings": {}}}


SHAPES = (m365, powershell, dsc, whole_document, terraform)
