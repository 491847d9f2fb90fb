"""For whoever writes a client: the API's own description."""

import functools
from typing import Any

import azure.functions as func

from functions._http import answering, json_answer
from functions._openapi import Answer, AnswerModel, Operation, document, serves
from shared.problems import InternalError

blueprint = func.Blueprint()


class Document(AnswerModel):
    """An OpenAPI 3.1 document."""

    openapi: str


_GET = Operation(
    "GET",
    "Show this document.",
    tag="Service",
    answers={200: Answer("The OpenAPI 3.1 document of this API.", Document(openapi="3.1.0"))},
    problems=(InternalError,),
)

_document = functools.cache(document)


@blueprint.function_name("openapi")
@serves(blueprint, "openapi.json", _GET)
@answering
async def openapi(req: func.HttpRequest) -> func.HttpResponse:
    """Show the document; it is made once, when every module has declared what it serves."""
    body: dict[str, Any] = _document()
    return json_answer(body)
