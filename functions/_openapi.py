"""What the API says of itself: a declaration for each route and method beside its handler, and the document.

``serves`` takes the place of ``blueprint.route``, so that a route cannot be there without being described::

    _GET = Operation(
        "GET",
        "Show one grant.",
        tag="Review grants",
        who=(Who.REVIEWER, Who.APPROVER),
        answers={200: Answer("The grant.", GrantAnswer(grant_id="0" * 32, ...), headers=("ETag",))},
        problems=(NotFound,),
    )

    @blueprint.function_name("review_grant")
    @serves(blueprint, "tenants/{tenantId}/review-grants/{grantId}", _GET)
    @answering
    async def review_grant(req: func.HttpRequest) -> func.HttpResponse:
        ...
        return json_answer(GrantAnswer.of(grant).to_json())

An example is an instance of the very model that shapes the answer, or validates the request (``body=Body(...)``), and
the model is taken from it. Parameters in the path come from the route's template (``PATH_PARAMETERS``), and these
problems by themselves: 400, 500 and 503 always, 401 and 403 with a ``who``, 413 with a ``body``.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

import azure.functions as func
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from functions._json import DEPTH_MAX, MEMBERS_MAX
from shared.model.items import ENROLLMENT_ID, GUID, Item
from shared.problems import (
    Forbidden,
    InternalError,
    InvalidRequest,
    PayloadTooLarge,
    Problem,
    Unauthenticated,
    Unavailable,
)

Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]
Members = dict[str, Any]
T = TypeVar("T")

_SCHEMA_REF = "#/components/schemas/{model}"


class AnswerModel(BaseModel):
    """A JSON object that answers a request: camelCase members, null where there is no value."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, hide_input_in_errors=True)

    def to_json(self) -> Members:
        """Return the members as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class Page(AnswerModel, Generic[T]):
    """One page of a list. ``nextLink``, absent on the last page, is the address of the next one."""

    value: list[T]
    next_link: str | None = None

    def to_json(self) -> Members:
        """Return the members as JSON values, absent where there is no value."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Who(StrEnum):
    """Who may call an operation; what makes a caller one of them is in ``shared.identity.callers``."""

    TENANT_ADMIN = "tenant-admin"
    CAPTURE_SERVICE = "capture-service"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    APPROVER = "approver"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: ``where`` it is, and the JSON schema of what is taken."""

    name: str
    where: Literal["path", "query", "header"]
    description: str
    schema: Mapping[str, Any]
    example: Any
    required: bool = False

    def to_json(self) -> Members:
        """Return the parameter as an OpenAPI object."""
        return {
            "name": self.name,
            "in": self.where,
            "description": self.description,
            "required": self.required or self.where == "path",
            "schema": dict(self.schema),
            "example": self.example,
        }


def _text(pattern: str, **more: Any) -> Members:
    return {"type": "string", "pattern": f"^{pattern}$", **more}


def _any_case(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.replace("a-f", "a-fA-F")


_ID = "0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a"
_TENANT = "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"

DAY_PATTERN = r"[2-8][0-9]{3}-[0-9]{2}-[0-9]{2}"
DAY_SCHEMA: Members = _text(DAY_PATTERN, format="date")
"""A day of ours; in other millennia its deadline could not be computed."""

PATH_PARAMETERS: Mapping[str, Parameter] = {
    each.name: each
    for each in (
        Parameter(
            "tenantId",
            "path",
            "The customer's Entra tenant id; letter case does not matter.",
            _text(_any_case(GUID), format="uuid"),
            _TENANT,
        ),
        Parameter(
            "enrollmentId",
            "path",
            "The enrollment whose data is deleted: 32 hexadecimal digits; letter case does not matter.",
            _text(_any_case(ENROLLMENT_ID)),
            _ID,
        ),
        Parameter("day", "path", "A UTC day.", DAY_SCHEMA, "2026-11-21"),
        Parameter("batchId", "path", "A batch, as its POST answered it.", _text(_any_case(ENROLLMENT_ID)), _ID),
        Parameter("grantId", "path", "A review grant, as its POST answered it.", _text(_any_case(ENROLLMENT_ID)), _ID),
    )
}
"""What each ``{name}`` in a route stands for."""

LIMIT = Parameter(
    "limit",
    "query",
    "How many entries a page has at most; 50 if absent.",
    {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    20,
)
BEFORE = Parameter(
    "before",
    "query",
    "Only entries whose ledger sequence is lower; nextLink carries it.",
    {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    7,
)
IF_MATCH = Parameter(
    "If-Match",
    "header",
    "The ETag that the setting must still have, or * for any. One that is not current, and anything else, is a 412.",
    _text(r'\s*("[0-9]{1,9}"|\*)\s*'),
    '"1"',
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "Names the batch: send the same bytes with the same key again after a lost answer or a 5xx.",
    _text("[!-~]{1,200}"),
    "8d3f4d0e-4f6b-4a55-9d0c-2f6b1f6f9a51",
    required=True,
)
CORRELATION_ID = Parameter(
    "x-correlation-id",
    "header",
    "Comes back in the answer and is in our logs, if it is 1 to 64 letters, digits, dots, underscores and hyphens; "
    "if it is anything else, as if it were absent, the answer has a new one.",
    {"type": "string"},
    "5d1f0c7e-order-17",
)
COMMON_PARAMETERS = (CORRELATION_ID,)
"""Taken by every operation."""


@dataclass(frozen=True, slots=True)
class _Header:
    description: str
    example: str
    schema: Mapping[str, Any]


HEADERS: Mapping[str, _Header] = {
    "Cache-Control": _Header("No answer is to be stored by anybody on the way.", "no-store", {"const": "no-store"}),
    "X-Content-Type-Options": _Header("The content is what its type says.", "nosniff", {"const": "nosniff"}),
    "x-correlation-id": _Header("The request's, or a new one.", CORRELATION_ID.example, _text("[A-Za-z0-9._-]{1,64}")),
    "Link": _Header("The address of the next page, if there is one (RFC 8288).", '<...>; rel="next"', {}),
    "ETag": _Header("The setting's ledger sequence, for If-Match.", '"1"', _text('"[0-9]{1,9}"')),
    "Retry-After": _Header("Seconds after which to send the same request again.", "5", _text("[0-9]+")),
    "WWW-Authenticate": _Header("The challenge (RFC 6750).", 'Bearer error="invalid_token"', _text("Bearer .*")),
}
"""Every header that an answer of ours can have."""

COMMON_HEADERS = ("Cache-Control", "X-Content-Type-Options", "x-correlation-id")
"""Carried by every answer."""


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON body that a request must have: its model by an example, and its limit in bytes."""

    example: BaseModel
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem: its model by an example, and the headers that only it has.

    An answer that is not JSON (``media_type``) has a text for its example.
    """

    description: str
    example: AnswerModel | Item | str
    headers: tuple[str, ...] = ()
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a route does.

    Attributes:
        method: in capitals.
        summary: in one line.
        tag: the group that it is shown in.
        who: who may call it; nobody named means everybody, without a token.
        answers: by status.
        parameters: in the query and the headers; those in the path follow from the route.
        body: what it takes.
        problems: beyond those that every such operation can have.
        description: what the summary leaves open.
    """

    method: Literal["GET", "PUT", "POST", "DELETE"]
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    who: tuple[Who, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[type[Problem], ...] = ()
    description: str = ""

    @property
    def all_problems(self) -> list[type[Problem]]:
        """The problems that it declares and those that follow from what it is, by status."""
        found: set[type[Problem]] = set(self.problems)
        if self.who:
            found |= {InvalidRequest, Unauthenticated, Forbidden, InternalError, Unavailable}
        if self.body:
            found.add(PayloadTooLarge)
        return sorted(found, key=lambda each: (each.status, each.__name__))


@dataclass(frozen=True, slots=True)
class Declared:
    """An operation where it is served: ``function`` is the name of its handler."""

    route: str
    function: str
    operation: Operation


OPERATIONS: dict[tuple[str, str], Declared] = {}
"""Every declared operation, by route and method."""


def declare(route: str, function: str, operation: Operation) -> None:
    """Add an operation to the document.

    Raises:
        ValueError: if the route has one with this method.
    """
    if (route, operation.method) in OPERATIONS:
        raise ValueError(f"{operation.method} {route} is declared twice")
    OPERATIONS[route, operation.method] = Declared(route, function, operation)


def serves(blueprint: func.Blueprint, route: str, *operations: Operation) -> Callable[[Handler], Any]:
    """Let a handler serve ``route`` with the methods of ``operations``, and declare them."""
    add_route = blueprint.route(route, methods=[each.method for each in operations])

    def add(handler: Handler) -> Any:
        for operation in operations:
            declare(route, handler.__name__, operation)
        return add_route(handler)

    return add


def document() -> Members:
    """Return the OpenAPI 3.1 document of every declared operation."""
    declared = [OPERATIONS[key] for key in sorted(OPERATIONS)]
    names, schemas = _model_schemas([each.operation for each in declared])
    paths: dict[str, Members] = {}
    for each in declared:
        paths.setdefault(f"/{each.route}", {})[each.operation.method.lower()] = _operation(each, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Copilot data sharing",
            "version": "1",
            "summary": "Consent, capture, review and deletion of the data that tenants share.",
            "description": "Off by default, pinned to a geography, kept 30 days at most.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api"}],
        "tags": [{"name": tag} for tag in sorted({each.operation.tag for each in declared})],
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


def _operation(declared: Declared, names: _Named) -> Members:
    operation = declared.operation
    in_path = [PATH_PARAMETERS[name] for name in re.findall(r"{(\w+)}", declared.route)]
    described: Members = {
        "operationId": f"{operation.method.lower()}_{declared.function}",
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{"bearer": [who.value]} for who in operation.who],
        "parameters": [each.to_json() for each in (*in_path, *operation.parameters, *COMMON_PARAMETERS)],
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


def _request_body(body: Body, names: _Named) -> Members:
    example = body.example.model_dump(mode="json", by_alias=True, exclude_none=True)
    schema = names[type(body.example), "validation"]
    return {
        "required": True,
        "description": f"At most {body.max_bytes} bytes, with a Content-Length; at most {DEPTH_MAX} objects and arrays "
        f"within one another, {MEMBERS_MAX} members in one object, and none of them twice.",
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
    headers = [name for each in problems for name in each("").headers]
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
                "examples": {each.__name__: {"value": _problem_example(each)} for each in problems},
            }
        },
    }


def _problem_example(problem: type[Problem]) -> Members:
    return {
        "type": f"urn:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": " ".join((problem.__doc__ or problem.title).split()),
    }


def _header(header: _Header) -> Members:
    schema = {"type": "string", **header.schema}
    return {"description": header.description, "schema": schema, "example": header.example}


def _header_refs(names: Sequence[str]) -> Members:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
