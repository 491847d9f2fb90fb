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
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


_EXAMPLE = Document(
    openapi="3.1.0",
    info={"title": "Copilot data sharing", "version": "1.0.0"},
    servers=[{"url": "/api"}],
    tags=[{"name": "Service", "description": "For operators and for whoever writes a client."}],
    paths={},
    components={},
)
_GET = Operation(
    "OpenApi_Get",
    "GET",
    "openapi.json",
    "Show this document.",
    tag="Service",
    who=EVERYBODY,
    answers={200: Answer("The OpenAPI 3.1 document of this API.", _EXAMPLE)},
    problems=(InternalError,),
)

_document = functools.cache(document)


@serves(blueprint, _GET)
async def openapi(call: Call) -> func.HttpResponse:
    """Show the document; it is made once, when every module has declared what it serves."""
    body: dict[str, Any] = _document()
    return json_answer(body)
