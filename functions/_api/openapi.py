"""The OpenAPI 3.1 document, made of what is declared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from functions._api.answers import AnswerModel, Page
from functions._api.json_text import DEPTH_MAX, MEMBERS_MAX, NUMBER_MAX, VALUES_MAX
from functions._api.operations import OPERATIONS, Answer, Body, Operation
from functions._api.parameters import CORRELATION_ID, CORRELATION_PATTERN, text_schema
from shared import __version__
from shared.model.items import Item
from shared.problems import Problem

Members = dict[str, Any]

_SCHEMA_REF = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class _Header:
    description: str
    example: str
    schema: Mapping[str, Any]


HEADERS: Mapping[str, _Header] = {
    "Cache-Control": _Header("No answer is to be stored by anybody on the way.", "no-store", {"const": "no-store"}),
    "X-Content-Type-Options": _Header("The content is what its type says.", "nosniff", {"const": "nosniff"}),
    CORRELATION_ID.name: _Header(
        "The request's, or a new one.", CORRELATION_ID.example, text_schema(CORRELATION_PATTERN)
    ),
    "Link": _Header("The address of the next page, if there is one (RFC 8288).", '<...>; rel="next"', {}),
    "ETag": _Header("The setting's ledger sequence, for If-Match.", '"1"', text_schema('"[0-9]{1,9}"')),
    "Accept-Encoding": _Header("The encoding that a body may have.", "gzip", {"const": "gzip"}),
    "Retry-After": _Header("Seconds after which to send the same request again.", "5", text_schema("[0-9]+")),
    "WWW-Authenticate": _Header(
        "The challenge (RFC 6750).", 'Bearer realm="copilot-data-sharing"', text_schema("Bearer .*")
    ),
}
"""Every header that an answer of ours can have."""

COMMON_HEADERS = ("Cache-Control", "X-Content-Type-Options", CORRELATION_ID.name)
"""Carried by every answer."""


def document() -> Members:
    """Return the OpenAPI 3.1 document of every declared operation."""
    operations = sorted(OPERATIONS.values(), key=lambda each: (each.route, each.method))
    names, schemas = _model_schemas(operations)
    paths: dict[str, Members] = {}
    for each in operations:
        paths.setdefault(f"/{each.route}", {})[each.method.lower()] = _operation(each, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Copilot data sharing",
            "version": __version__,
            "summary": "Consent, capture, review and deletion of the data that tenants share.",
            "description": "Off by default, pinned to a geography, kept 30 days at most.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api"}],
        "tags": [{"name": tag} for tag in sorted({each.tag for each in operations})],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM_SCHEMA},
            "responses": {each.__name__: _problem_response([each]) for each in all_problems()},
            "headers": {name: _header(header) for name, header in HEADERS.items()},
            "securitySchemes": {"bearer": _BEARER},
        },
    }


def all_problems(base: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Yield every problem that there is."""
    for each in base.__subclasses__():
        yield each
        yield from all_problems(each)


_BEARER: Members = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An Entra access token (RS256) for one of our audiences. An operation names who may call it: "
    "tenant-admin is an administrator of the tenant in the path (claim wids); capture-service an app of the operator "
    "tenant with app role Captures.Write; operator has Operations.Read; reviewer and approver are people of the "
    "operator tenant with Captures.Review and Captures.Approve.",
}

_PROBLEM_SCHEMA: Members = {
    "type": "object",
    "description": "A refusal or failure (RFC 9457). The detail never repeats what was sent.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "pattern": "^urn:problem:[a-z-]+$",
            "description": "Stable: tell problems apart by it.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "For a person to read; its words may change."},
    },
}


class _Schemas(GenerateJsonSchema):
    """Describes answers as ``to_json`` writes them: every member there, or absent where an Item has no value."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        if self.mode == "serialization" and issubclass(schema["cls"], AnswerModel | Item):
            properties = described.get("properties", {})
            absent = _make_absent(properties) if issubclass(schema["cls"], Page | Item) else set()
            described["required"] = [name for name in properties if name not in absent]
        return described


def _make_absent(properties: dict[str, Members]) -> set[str]:
    """Take null from what the members may be, and return the names of those that may be absent instead."""
    absent = set()
    for name, member in properties.items():
        kinds = [kind for kind in member.get("anyOf", []) if kind != {"type": "null"}]
        if "anyOf" in member and len(kinds) < len(member["anyOf"]):
            absent.add(name)
            rest = {key: value for key, value in member.items() if key not in {"anyOf", "default"}}
            properties[name] = {**rest, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})}
    return absent


_Named = Mapping[tuple[type[Any], JsonSchemaMode], JsonSchemaValue]


def _model_schemas(operations: Sequence[Operation]) -> tuple[_Named, Members]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for operation in operations:
        if operation.body:
            wanted[type(operation.body.example), "validation"] = None
        for answer in operation.answers.values():
            if not isinstance(answer.example, str):
                wanted[type(answer.example), "serialization"] = None
    names, definitions = models_json_schema(list(wanted), ref_template=_SCHEMA_REF, schema_generator=_Schemas)
    schemas: Members = definitions.get("$defs", {})
    return {(model, mode): schema for (model, mode), schema in names.items()}, schemas


def _operation(operation: Operation, names: _Named) -> Members:
    described: Members = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{"bearer": [who.value]} for who in operation.who],
        "parameters": [each.to_json() for each in operation.all_parameters],
        "responses": {
            **{str(status): _answer(answer, names) for status, answer in operation.answers.items()},
            **_problem_responses(operation.all_problems),
        },
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body:
        described["requestBody"] = _request_body(operation.body, names)
    return described


def _request_body(body: Body[Any], names: _Named) -> Members:
    example = body.example.model_dump(mode="json", by_alias=True, exclude_none=True)
    schema = names[type(body.example), "validation"]
    return {
        "required": True,
        "description": f"At most {body.max_bytes} bytes, with a Content-Length. It may be gzip (Content-Encoding), and "
        f"then {body.max_bytes} bytes when it is undone, too. At most {VALUES_MAX} values in all, "
        f"{DEPTH_MAX} objects and arrays within one another, {MEMBERS_MAX} members in one object, and none of them "
        f"twice. A number has at most {NUMBER_MAX} characters.",
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _answer(answer: Answer, names: _Named) -> Members:
    if isinstance(answer.example, str):
        content: Members = {"schema": {"type": "string"}, "example": answer.example}
    else:
        content = {"schema": names[type(answer.example), "serialization"], "example": answer.example.to_json()}
    return {
        "description": answer.description,
        "headers": _header_refs((*COMMON_HEADERS, *answer.headers)),
        "content": {answer.media_type: content},
    }


def _problem_responses(problems: Sequence[type[Problem]]) -> Members:
    """Return the responses by status: a reference where one problem has it, else one response for all that do."""
    by_status: dict[int, list[type[Problem]]] = {}
    for each in problems:
        by_status.setdefault(each.status, []).append(each)
    return {
        str(status): {"$ref": f"#/components/responses/{each[0].__name__}"}
        if len(each) == 1
        else _problem_response(each)
        for status, each in by_status.items()
    }


def _problem_response(problems: Sequence[type[Problem]]) -> Members:
    types = list(dict.fromkeys(f"urn:problem:{each.slug}" for each in problems))
    headers = [name for each in problems for name in each.example().headers]
    return {
        "description": " ".join(dict.fromkeys(each.title for each in problems)),
        "headers": _header_refs((*COMMON_HEADERS, *dict.fromkeys(headers))),
        "content": {
            "application/problem+json": {
                "schema": {
                    "$ref": _SCHEMA_REF.format(model="Problem"),
                    "properties": {
                        "type": {"const": types[0]} if len(types) == 1 else {"enum": types},
                        "status": {"const": problems[0].status},
                        **{
                            name: {"type": "string", "description": description}
                            for each in problems
                            for name, description in each.members.items()
                        },
                    },
                },
                "examples": {each.__name__: {"value": each.example().to_json()} for each in problems},
            }
        },
    }


def _header(header: _Header) -> Members:
    schema = {"type": "string", **header.schema}
    return {"description": header.description, "schema": schema, "example": header.example}


def _header_refs(names: Sequence[str]) -> Members:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
