"""The OpenAPI 3.1 document, made of what is declared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from functions._api.answers import ALWAYS, AnswerModel, SparseAnswerModel, ToolsErrorAnswer
from functions._api.json_text import MEMBERS_MAX, NUMBER_MAX
from functions._api.operations import OPERATIONS, Answer, Body, Export, Operation
from functions._api.parameters import CORRELATION_ID, CORRELATION_PATTERN, text_schema
from shared import __version__
from shared.model.items import Item
from shared.model.json_shape import DEPTH_MAX, VALUES_MAX
from shared.problems import Problem

Members = dict[str, Any]

# What is neither JSON nor known to a generator reaches its caller as bytes, and only if it is called binary.
_BINARY: Members = {"type": "string", "format": "binary"}
_SCHEMA_REF = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class _Header:
    description: str
    example: str
    schema: Mapping[str, Any]


HEADERS: Mapping[str, _Header] = {
    "Cache-Control": _Header(
        "No answer is to be stored by anybody on the way.", ALWAYS["Cache-Control"], {"const": ALWAYS["Cache-Control"]}
    ),
    "X-Content-Type-Options": _Header(
        "The content is what its type says.",
        ALWAYS["X-Content-Type-Options"],
        {"const": ALWAYS["X-Content-Type-Options"]},
    ),
    "Access-Control-Expose-Headers": _Header(
        "What a page of another origin may read.",
        ALWAYS["Access-Control-Expose-Headers"],
        {},
    ),
    CORRELATION_ID.name: _Header(
        "The request's, or a new one.", CORRELATION_ID.example, text_schema(CORRELATION_PATTERN)
    ),
    "Link": _Header(
        "The address of the next page, if there is one (RFC 8288).",
        "<https://api.example/api/tenants/3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30/captures/2026-11-21/"
        '0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a?limit=100&offset=100>; rel="next"',
        text_schema('<https?://[^>]+>; rel="next"'),
    ),
    "ETag": _Header("The setting's ledger sequence, for If-Match.", '"1"', text_schema('"[0-9]{1,9}"')),
    "Accept-Ranges": _Header("The file can be had in parts.", "bytes", {"const": "bytes"}),
    "Content-Range": _Header(
        "Which part of the file it is, and how many bytes that has.",
        "bytes 0-8388607/12582912",
        text_schema("bytes ([0-9]+-[0-9]+|[*])/[0-9]+"),
    ),
    "Location": _Header(
        "The address of what was made.",
        "https://api.example/api/tenants/3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30/exports/0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
        text_schema("https?://[^ ]+"),
    ),
    "Content-Language": _Header("The language of the text.", "de", text_schema("[a-z]{2}")),
    "Repr-Digest": _Header(
        "The SHA-256 of the text (RFC 9530).",
        "sha-256=:iXrBO0Jem7ZlctuhTMTiQYm8w9d8b/GFhytuJNn3IZw=:",
        text_schema("sha-256=:[A-Za-z0-9+/=]{44}:"),
    ),
    "Vary": _Header("What else the answer depends on.", "Accept-Language", {"const": "Accept-Language"}),
    "Accept-Encoding": _Header("The encoding that a body may have.", "gzip", {"const": "gzip"}),
    "Retry-After": _Header("Seconds after which to send the same request again.", "5", text_schema("[0-9]+")),
    "WWW-Authenticate": _Header(
        "The challenge (RFC 6750).", 'Bearer realm="copilot-data-sharing"', text_schema("Bearer .*")
    ),
}
"""Every header that an answer of ours can have."""

TAGS: Mapping[str, str] = {
    "Captures": "For Copilot services: storing what was captured.",
    "Data sharing": "For a tenant's administrators: the toggle and its history.",
    "Deletions": "For a tenant's administrators: what became of the data after an opt-out, and the proof of it.",
    "Review": "For reviewers and approvers: grants, and reading under them. For the tenant: who has read what.",
    "Service": "For operators and for whoever writes a client: how the service is, and what it takes.",
    "Tenant settings": "For admin tools that there are: the toggle in the shape of Power Platform's tenant settings.",
}
"""What each group of operations is for."""

COMMON_HEADERS = (*ALWAYS, CORRELATION_ID.name)
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
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _problem_schema()},
            "responses": _shared_responses(paths),
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


def _problem_schema() -> Members:
    """Return the one schema of all problems: a client has one type to catch, whatever is refused."""
    return {
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
            "detail": {
                "type": "string",
                "description": "For a person to read; its words may change.",
                "x-ms-primary-error-message": True,  # Kiota makes it the message of its exception
            },
            **{
                name: {"type": "string", "description": description}
                for each in all_problems()
                for name, description in each.members.items()
            },
        },
    }


class _Schemas(GenerateJsonSchema):
    """Describes what ``to_json`` writes and requests say, in the one way that every generator of clients reads.

    Members of answers are all there, or absent where an Item or a sparse one has no value.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        # A generator takes a member with a default for one that is always there; absent is what we mean.
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # From anyOf, generators for C# make wrappers into which nothing can be read. A reference has no other form.
        described = self.generate_inner(schema["schema"])
        if "type" not in described:
            return super().nullable_schema(schema)
        return {**described, "type": [described["type"], "null"]}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        if self.mode == "serialization" and issubclass(schema["cls"], AnswerModel | Item):
            properties = described.get("properties", {})
            absent = _make_absent(properties) if issubclass(schema["cls"], SparseAnswerModel | Item) else set()
            described["required"] = [name for name in properties if name not in absent]
        return described


def _make_absent(properties: dict[str, Members]) -> set[str]:
    """Take null from what the members may be, and return the names of those that may be absent instead."""
    absent = set()
    for name, member in properties.items():
        rest = {key: value for key, value in member.items() if key not in {"anyOf", "type"}}
        match member:
            case {"type": [kind, "null"]}:
                properties[name] = {"type": kind, **rest}
            case {"anyOf": [kind, {"type": "null"}]}:
                properties[name] = {**kind, **rest}
            case _:
                continue
        absent.add(name)
    return absent


_Named = Mapping[tuple[type[Any], JsonSchemaMode], JsonSchemaValue]


def _model_schemas(operations: Sequence[Operation]) -> tuple[_Named, Members]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for operation in operations:
        if isinstance(operation.body, Body):
            wanted[type(operation.body.example), "validation"] = None
        for answer in operation.answers.values():
            if isinstance(answer.example, AnswerModel | Item):
                wanted[type(answer.example), "serialization"] = None
        if operation.for_admin_tools:
            wanted[ToolsErrorAnswer, "serialization"] = None
    names, definitions = models_json_schema(list(wanted), ref_template=_SCHEMA_REF, schema_generator=_Schemas)
    schemas: Members = definitions.get("$defs", {})
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = _markdown(schema["description"])
    return {(model, mode): schema for (model, mode), schema in names.items()}, schemas


def _markdown(docstring: str) -> str:
    """Return what a class says of itself, without its attributes, which have other names in JSON."""
    return docstring.partition("\n\nAttributes:")[0].replace("``", "`")


def _operation(operation: Operation, names: _Named) -> Members:
    described: Members = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{"bearer": [who.value]} for who in operation.who],
        "parameters": [each.to_json() for each in operation.all_parameters],
        "responses": {
            **{str(status): _answer(answer, names) for status, answer in operation.answers.items()},
            **_problem_responses(operation),
        },
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body:
        described["requestBody"] = _request_body(operation.body, names)
    return described


def _request_body(body: Body[Any] | Export, names: _Named) -> Members:
    if isinstance(body, Export):
        content = {
            media_type: {"schema": _BINARY if isinstance(example, str) else {"type": "object"}, "example": example}
            for media_type, example in body.examples.items()
        }
        return {"required": True, "description": body.description, "content": content}
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
    described: Members = {
        "description": answer.description,
        "headers": _header_refs((*COMMON_HEADERS, *answer.headers)),
    }
    if isinstance(answer.example, str):
        described["content"] = {answer.media_type: {"schema": _BINARY, "example": answer.example}}
    elif answer.example is not None:
        schema = names[type(answer.example), "serialization"]
        described["content"] = {answer.media_type: {"schema": schema, "example": answer.example.to_json()}}
        if answer.binary_type is not None:
            described["content"][answer.binary_type] = {"schema": _BINARY}
    return described


def _problem_responses(operation: Operation) -> Members:
    """Return the responses by status: a reference where one problem has it, else one response for all that do."""
    by_status: dict[int, list[Problem]] = {}
    for kind in operation.all_problems:
        by_status.setdefault(kind.status, []).append(operation.example_of(kind))
    if operation.for_admin_tools:
        return {str(status): _tools_response(problems) for status, problems in by_status.items()}
    return {
        str(status): {"$ref": f"#/components/responses/{_kind(problems[0])}"}
        if [each.detail for each in problems] == [type(problems[0]).example().detail]
        else _problem_response(problems)
        for status, problems in by_status.items()
    }


def _problem_response(problems: Sequence[Problem]) -> Members:
    titles = {f"urn:problem:{each.slug}": each.title for each in problems}
    examples = {_kind(each): {"value": each.to_json()} for each in problems}
    return _refusals(titles, problems, "application/problem+json", "Problem", examples)


def _tools_response(problems: Sequence[Problem]) -> Members:
    answers = {_kind(each): ToolsErrorAnswer.of(each) for each in problems}
    titles = {answer.error.code: each.title for answer, each in zip(answers.values(), problems, strict=True)}
    examples = {kind: {"value": answer.to_json()} for kind, answer in answers.items()}
    return _refusals(titles, problems, "application/json", ToolsErrorAnswer.__name__, examples)


def _refusals(
    titles: Mapping[str, str], problems: Sequence[Problem], media_type: str, model: str, examples: Members
) -> Members:
    headers = dict.fromkeys(name for each in problems for name in each.headers)
    return {
        "description": "\n".join(f"`{type}`: {title}" for type, title in titles.items()),
        "headers": _header_refs((*COMMON_HEADERS, *headers)),
        # Nothing beside the reference: generators drop the rest of the problem over it, or fail.
        "content": {media_type: {"schema": {"$ref": _SCHEMA_REF.format(model=model)}, "examples": examples}},
    }


def _kind(problem: Problem) -> str:
    return type(problem).__name__


def _shared_responses(paths: Members) -> Members:
    """Return the responses that the paths refer to."""
    used = {
        response["$ref"].rpartition("/")[2]
        for methods in paths.values()
        for operation in methods.values()
        for response in operation["responses"].values()
        if "$ref" in response
    }
    return {each.__name__: _problem_response([each.example()]) for each in all_problems() if each.__name__ in used}


def _header(header: _Header) -> Members:
    schema = {"type": "string", **header.schema}
    return {"description": header.description, "schema": schema, "example": header.example}


def _header_refs(names: Sequence[str]) -> Members:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
