"""For whoever writes a client: the API's own description."""

import functools
from typing import Any

import azure.functions as func

from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.openapi import document
from functions._api.operations import Answer, Operation
from shared.identity.callers import EVERYBODY
from shared.problems import InternalError

blueprint = func.Blueprint()


class Document(AnswerModel):
    """An OpenAPI 3.1 document."""

    openapi: str


_GET = Operation(
    "OpenApi_Get",
    "GET",
    "openapi.json",
    "Show this document.",
    tag="Service",
    who=EVERYBODY,
    answers={200: Answer("The OpenAPI 3.1 document of this API.", Document(openapi="3.1.0"))},
    problems=(InternalError,),
)

_document = functools.cache(document)


@serves(blueprint, _GET)
async def openapi(call: Call) -> func.HttpResponse:
    """Show the document; it is made once, when every module has declared what it serves."""
    body: dict[str, Any] = _document()
    return json_answer(body)
