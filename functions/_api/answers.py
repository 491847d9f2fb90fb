"""What an answer is made of: JSON objects, and pages that link to the next one."""

import json
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import azure.functions as func
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from shared import ports
from shared.problems import Problem

T = TypeVar("T")

ALWAYS: Mapping[str, str] = {
    # No other is of use to an API that no browser renders: there are no frames, scripts or referrers to restrict.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # The platform decides whose pages may call; which headers they may read it does not say.
    "Access-Control-Expose-Headers": "Content-Range, ETag, Link, Location, Repr-Digest, Retry-After, WWW-Authenticate, "
    "x-correlation-id",
}
"""The headers that every answer has, with the same values."""


class AnswerModel(BaseModel):
    """A JSON object that answers a request: camelCase members, null where there is no value."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, hide_input_in_errors=True)

    def to_json(self) -> dict[str, Any]:
        """Return the members as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class SparseAnswerModel(AnswerModel):
    """One whose members are absent where there is no value."""

    def to_json(self) -> dict[str, Any]:
        """Return the members as JSON values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ToolsErrorDetails(AnswerModel):
    """``code`` is stable: a problem's type in one word. ``message`` is for a person to read; its words may change."""

    code: str
    message: str


class ToolsErrorAnswer(AnswerModel):
    """A refusal or failure, as admin tools read it."""

    error: ToolsErrorDetails

    @classmethod
    def of(cls, problem: Problem) -> "ToolsErrorAnswer":
        """Return what to say of a problem."""
        code = "".join(word.capitalize() for word in problem.slug.split("-"))
        return cls(error=ToolsErrorDetails(code=code, message=problem.detail))


class Page(SparseAnswerModel, Generic[T]):
    """One page of a list. ``nextLink``, absent on the last page, is the address of the next one.

    ``unreadable``, absent if there are none, is how many entries are left out because they cannot be read.
    """

    value: list[T]
    unreadable: int | None = None
    next_link: str | None = None


def json_answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """Return an answer whose body is ``body`` as JSON."""
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")


def page_answer(url: str, limit: int, found: ports.Page[Any], values: list[Any]) -> func.HttpResponse:
    """Return one page as ``{value, unreadable?, nextLink?}``, with links to ``url``.

    Args:
        url: the list's address.
        limit: how many entries were asked for.
        found: what there is.
        values: what can be read of it, as JSON.
    """
    body: dict[str, Any] = {"value": values}
    if found.unreadable:
        body["unreadable"] = found.unreadable
    if found.next_before is not None:
        body["nextLink"] = link(url, limit=limit, before=found.next_before)
    return json_answer(body)


def link(url: str, **query: object) -> str:
    """Return the address of ``url``, which has no query, with ``query``."""
    return f"{url}?{urlencode(query)}"
