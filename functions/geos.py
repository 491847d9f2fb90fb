"""For whoever asks a tenant where its data shall stay: the geos, and which deployment serves each."""

import azure.functions as func

from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Operation
from shared.bootstrap import services
from shared.identity.callers import EVERYBODY
from shared.model.geos import GEOS
from shared.problems import InternalError, Unavailable

blueprint = func.Blueprint()


class ServedGeoAnswer(AnswerModel):
    """A geo. ``served`` is whether tenants can opt in to it here, ``endpoint`` where they can instead, if known."""

    geo: str
    served: bool
    endpoint: str | None


class GeosAnswer(AnswerModel):
    """All geos that there are, by name."""

    value: list[ServedGeoAnswer]


_LIST = Operation(
    "Geos_List",
    "GET",
    "geos",
    "Show which geos are served here, and where others are.",
    tag="Service",
    who=EVERYBODY,
    answers={
        200: Answer(
            "The geos.",
            GeosAnswer(
                value=[
                    ServedGeoAnswer(geo="europe", served=True, endpoint=None),
                    ServedGeoAnswer(geo="japan", served=False, endpoint="https://sharing-japan.example/api"),
                ]
            ),
        )
    },
    problems=(InternalError, Unavailable),
)


@serves(blueprint, _LIST)
async def geos(call: Call) -> func.HttpResponse:
    """Show which geos are served here, and where others are."""
    accounts = services().accounts
    value = [
        ServedGeoAnswer(geo=geo, served=bool(accounts.open_in(geo)), endpoint=accounts.elsewhere.get(geo))
        for geo in sorted(GEOS)
    ]
    return json_answer(GeosAnswer(value=value).to_json())
