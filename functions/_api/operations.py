"""What the API says of itself: one declaration for each route and method."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from functions._api import json_text
from functions._api.answers import AnswerModel
from functions._api.parameters import CORRELATION_ID, TENANT_ID, Parameter
from functions._api.words import said_of
from shared.identity.callers import Who
from shared.model.items import Item
from shared.problems import (
    Forbidden,
    InternalError,
    InvalidRequest,
    LengthRequired,
    PayloadTooLarge,
    Problem,
    StepUpRequired,
    Unauthenticated,
    Unavailable,
    UnsupportedEncoding,
    UnsupportedMediaType,
)

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Body(Generic[B]):
    """The JSON body that a request must have: its model by an example, and its limit in bytes."""

    example: B
    max_bytes: int

    def read(self, sent: bytes) -> B:
        """Return the body that was sent as the model.

        Args:
            sent: its bytes, which ``content`` has held to ``max_bytes``.

        Raises:
            InvalidRequest: saying where it is wrong, and how.
        """
        json_text.check(sent)
        try:
            return type(self.example).model_validate_json(sent)
        except ValidationError as error:
            if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
                raise InvalidRequest(InvalidRequest.NO_JSON) from None
            raise InvalidRequest(said_of(error)) from None


@dataclass(frozen=True, slots=True)
class Export:
    """A body that another standard describes: an example of it in each media type, and its limit in bytes.

    Attributes:
        examples: by media type; a text where it is binary.
        max_bytes: how long it may be.
        description: where it is described, and what else bounds it.
    """

    examples: Mapping[str, Mapping[str, Any] | str]
    max_bytes: int
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem: its model by an example, and the headers that only it has.

    An answer that is not JSON (``media_type``) has a text for its example, one without a body None. ``binary_type`` is
    the media type of what says the same to those who sent binary.
    """

    description: str
    example: AnswerModel | Item | str | None
    headers: tuple[str, ...] = ()
    media_type: str = "application/json"
    binary_type: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a route does.

    Attributes:
        id: ``Noun_Verb``, where generators of clients split it.
        method: in capitals.
        route: without the prefix ``/api``; ``{name}`` is a parameter.
        summary: in one line.
        tag: the group that it is shown in.
        who: who may call it, or ``EVERYBODY``.
        step_up: whether the sign-in must be as strong as reviewing demands (P7).
        for_admin_tools: whether it is one that existing admin tools call (D16): with tokens of an audience of its own,
            for the token's own tenant, and with errors as those tools read them.
        parameters: those of the path first, in its order and without the tenant's id, which every route has that names
            it; then those of the query and the headers.
        body: what it takes.
        answers: by status.
        problems: beyond those that follow from the rest: 400; 401, 403, 500 and 503 with a ``who``; 411, 413
            and 415 with a body. Either a kind, or one of it as this operation answers it.
        description: what the summary leaves open.
    """

    id: str
    method: Literal["GET", "HEAD", "PUT", "POST", "DELETE"]
    route: str
    summary: str
    _: KW_ONLY
    tag: str
    who: tuple[Who, ...]
    answers: Mapping[int, Answer]
    step_up: bool = False
    for_admin_tools: bool = False
    parameters: tuple[Parameter[Any], ...] = ()
    body: Body[Any] | Export | None = None
    problems: tuple[type[Problem] | Problem, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse a declaration that does not fit its route.

        Raises:
            ValueError: if the parameters of the path are not those of the route.
        """
        declared = [each.name for each in self.all_parameters if each.where == "path"]
        if declared != re.findall(r"{(\w+)}", self.route):
            raise ValueError(f"{self.id} declares {declared} of {self.route}")

    @property
    def has_tenant(self) -> bool:
        """Whether it is about one tenant, that of its path."""
        return f"{{{TENANT_ID.name}}}" in self.route

    @property
    def all_parameters(self) -> tuple[Parameter[Any], ...]:
        """The parameters that it declares and those that follow from what it is, in the document's order."""
        return (*((TENANT_ID,) if self.has_tenant else ()), *self.parameters, CORRELATION_ID)

    @property
    def all_problems(self) -> list[type[Problem]]:
        """The problems that it declares and those that follow from what it is, by status."""
        found: set[type[Problem]] = {InvalidRequest}
        found |= {type(each) if isinstance(each, Problem) else each for each in self.problems}
        if self.who:
            found |= {Unauthenticated, Forbidden, InternalError, Unavailable}
        if self.step_up:
            found.add(StepUpRequired)
        if self.body:
            found |= {LengthRequired, PayloadTooLarge, UnsupportedEncoding}
        if isinstance(self.body, Export):
            found.add(UnsupportedMediaType)
        return sorted(found, key=lambda each: (each.status, each.__name__))

    def example_of(self, kind: type[Problem]) -> Problem:
        """Return a problem of that kind as this operation answers it."""
        for each in self.problems:
            if type(each) is kind:
                return each
        if kind is InvalidRequest:
            return InvalidRequest.unknown_parameter(self.query)
        if kind is PayloadTooLarge and self.body:
            return PayloadTooLarge(self.body.max_bytes)
        if kind is UnsupportedMediaType and isinstance(self.body, Export):
            return UnsupportedMediaType(list(self.body.examples))
        return kind.example()

    @property
    def query(self) -> Mapping[str, Parameter[Any]]:
        """The parameters of its query, by name."""
        return {each.name: each for each in self.parameters if each.where == "query"}


OPERATIONS: dict[str, Operation] = {}
"""Every declared operation, by the name of its function."""


def declare(function: str, operation: Operation) -> None:
    """Add an operation to the API.

    Raises:
        ValueError: if there is one with this function, this id, or this route and method.
    """
    for name, other in OPERATIONS.items():
        if (
            function == name
            or operation.id == other.id
            or (operation.method, operation.route) == (other.method, other.route)
        ):
            raise ValueError(f"{operation.id} ({function}) is declared twice: as {other.id} ({name})")
    OPERATIONS[function] = operation
