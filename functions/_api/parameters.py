"""Parameters that parse themselves: what is taken, and what is said of anything else, is what the document shows."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Generic, Literal, TypeVar

import azure.functions as func

from shared.model.items import ENROLLMENT_ID, GUID
from shared.problems import InvalidRequest, Problem

T = TypeVar("T")
D = TypeVar("D")


class _Required(Enum):
    REQUIRED = "required"


REQUIRED = _Required.REQUIRED
"""Stands in the place of a default where there is none."""


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """A parameter of an operation.

    Attributes:
        name: as it is sent; of a header, in any case.
        where: the part of the request that it is in.
        description: for the document.
        schema: the JSON schema of what is taken.
        example: one of those.
        read: makes its value of the text that was sent; raises ValueError if that is not what the schema says.
        sentence: what is said then.
        absent: its value if it was not sent, or ``REQUIRED`` if it must be.
        problem: what is answered if it is wrong.
    """

    name: str
    where: Literal["path", "query", "header"]
    description: str
    schema: Mapping[str, Any]
    example: Any
    read: Callable[[str], T]
    sentence: str
    absent: T | _Required = REQUIRED
    problem: type[Problem] = InvalidRequest

    def of(self, req: func.HttpRequest) -> T:
        """Return its value in a request.

        Raises:
            Problem: of the kind ``problem``, if it is not what the schema says; it never repeats what was sent (P8).
        """
        places: dict[str, Mapping[str, str]] = {"path": req.route_params, "query": req.params, "header": req.headers}
        sent = places[self.where].get(self.name)
        if sent is None and not isinstance(self.absent, _Required):
            return self.absent
        try:
            return self.read(str(sent or ""))
        except ValueError:
            raise self.problem(self.sentence) from None

    def in_query(self, description: str, name: str | None = None) -> "Parameter[T | None]":
        """Return the same of the query, where it may be absent, and may have another name."""
        return Parameter(
            name or self.name, "query", description, self.schema, self.example, self.read, self.sentence, None
        )

    def to_json(self) -> dict[str, Any]:
        """Return the parameter as an OpenAPI object."""
        return {
            "name": self.name,
            "in": self.where,
            "description": self.description,
            "required": self.absent is REQUIRED,
            "schema": dict(self.schema),
            "example": self.example,
        }


def text(
    name: str,
    where: Literal["path", "query", "header"],
    description: str,
    pattern: str,
    example: str,
    sentence: str,
    *,
    read: Callable[[str], T],
    absent: T | _Required = REQUIRED,
    problem: type[Problem] = InvalidRequest,
    format: str | None = None,  # JSON Schema's word
    once: bool = False,
) -> Parameter[T]:
    """Return a parameter that is a text.

    Args:
        name: as in ``Parameter``, like what is not named here.
        where: the part of the request that it is in.
        description: for the document.
        pattern: what the whole text matches.
        example: one that does.
        sentence: what is said of one that does not.
        read: makes the value of a text that does; may still raise ValueError.
        absent: its value if it was not sent.
        problem: what is answered if it is wrong.
        format: JSON Schema's name for such texts, if there is one.
        once: whether one that was sent several times, equal each time, counts as one. The platform passes them on with
            commas between them, so none may be in the pattern.
    """
    taken = re.compile(pattern)

    def read_matching(sent: str) -> T:
        if once:
            sent, *others = {each.strip(" ") for each in sent.split(",")}
            if others:
                raise ValueError
        if not taken.fullmatch(sent):
            raise ValueError
        return read(sent)

    schema = text_schema(pattern, **({} if format is None else {"format": format}))
    return Parameter(name, where, description, schema, example, read_matching, sentence, absent, problem)


def number(
    name: str, description: str, least: int, most: int, example: int, *, absent: D, sentence: str | None = None
) -> Parameter[int | D]:
    """Return a parameter of the query that is a whole number.

    Args:
        name: as it is sent.
        description: for the document.
        least: the smallest that is taken.
        most: the greatest, of 9 digits at most.
        example: one between them.
        absent: its value if it was not sent.
        sentence: what is said of any other; if None, one that names the bounds.
    """

    def read(sent: str) -> int:
        if not _DIGITS.fullmatch(sent) or not least <= int(sent) <= most:
            raise ValueError
        return int(sent)

    schema = {"type": "integer", "minimum": least, "maximum": most} | ({} if absent is None else {"default": absent})
    sentence = sentence or f"{name} must be a whole number from {least} to {most}."
    return Parameter(name, "query", description, schema, example, read, sentence, absent)


def id_in_path(name: str, description: str) -> Parameter[str]:
    """Return the parameter of the path that is the id of an enrollment, batch or grant; its value is lower case."""
    return text(
        name,
        "path",
        description,
        _in_any_case(ENROLLMENT_ID),
        "0f8d2c4b6a1e4d3c9b7a5f0e1d2c3b4a",
        f"The {name} in the path must be 32 hexadecimal digits.",
        read=str.lower,
    )


def text_schema(pattern: str, **more: str) -> dict[str, Any]:
    """Return the JSON schema of texts that match ``pattern`` as a whole."""
    whole = f"(?:{pattern})" if "|" in pattern else pattern  # else ^ would belong to the first choice alone
    return {"type": "string", "pattern": f"^{whole}$", **more}


def _in_any_case(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.replace("a-f", "a-fA-F")


GUID_IN_ANY_CASE = _in_any_case(GUID)
_DIGITS = re.compile("[0-9]{1,9}")

TENANT_ID = text(
    "tenantId",
    "path",
    "The customer's Entra tenant id; letter case does not matter.",
    GUID_IN_ANY_CASE,
    "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30",
    "The tenant id in the path must be a GUID.",
    read=str.lower,
    format="uuid",
)
"""Taken by every operation that has it in its route."""

LIMIT = number("limit", "How many entries a page has at most; 50 if absent.", 1, 200, 20, absent=50)
BEFORE = number(
    "before",
    "Only entries whose ledger sequence is lower; nextLink carries it.",
    0,
    999_999_999,
    7,
    absent=None,
    sentence="before must be the sequence of an entry, from 0 to 999999999.",
)

# In other millennia its deadline could not be computed.
DAY = text(
    "day",
    "path",
    "A UTC day.",
    r"[2-8][0-9]{3}-[0-9]{2}-[0-9]{2}",
    "2026-11-21",
    "A day must be a date between the years 2000 and 8999, written as in 2026-11-21.",
    read=date.fromisoformat,
    format="date",
)

BATCH_ID = id_in_path("batchId", "A batch, as its POST answered it.")

CORRELATION_PATTERN = "[A-Za-z0-9._-]{1,64}"
CORRELATION_ID: Parameter[str | None] = Parameter(
    "x-correlation-id",
    "header",
    "Comes back in the answer and is in our logs, if it is 1 to 64 letters, digits, dots, underscores and hyphens; "
    "if it is anything else, as if it were absent, the answer has a new one.",
    {"type": "string"},
    "5d1f0c7e-order-17",
    lambda sent: sent if re.fullmatch(CORRELATION_PATTERN, sent) else None,
    "",  # nothing is wrong with any
    absent=None,
)
"""Taken by every operation."""
