"""How a request becomes a call of a handler, and what comes of it an answer."""

import functools
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func
from pydantic import BaseModel

from functions._api.answers import ALWAYS, ToolsErrorAnswer, json_answer
from functions._api.content import content
from functions._api.etags import PRECONDITIONS
from functions._api.operations import Body, Export, Operation, declare
from functions._api.parameters import CORRELATION_ID, TENANT_ID, Parameter
from shared import log
from shared.bootstrap import services
from shared.configuration import ConfigurationError
from shared.identity.callers import Caller
from shared.model.items import GUID
from shared.ports import Conflict, StoreUnavailable
from shared.problems import (
    Forbidden,
    InternalError,
    InvalidRequest,
    Problem,
    StepUpRequired,
    Unavailable,
    UnsupportedMediaType,
)

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")

# W3C Trace Context, version 00; ids of zeros alone are invalid there.
_TRACEPARENT = re.compile(r"00-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A request of somebody who may make it. What is asked of it must be what its operation declares."""

    operation: Operation
    request: func.HttpRequest
    known_caller: Caller | None = None
    known_tenant_id: str | None = None

    @property
    def caller(self) -> Caller:
        """Whom its token speaks for; an operation for everybody has no caller."""
        assert self.known_caller is not None
        return self.known_caller

    @property
    def tenant_id(self) -> str:
        """The path's tenant id, lower case."""
        assert self.known_tenant_id is not None
        return self.known_tenant_id

    @property
    def url(self) -> str:
        """Its address without the query, as the client knows it."""
        if services().public_address is None:
            return str(self.request.url).partition("?")[0]
        return self.address(self.operation.route.format_map(self.request.route_params))

    def address(self, path: str) -> str:
        """Return the address of ``path``, which may have a query, as the client knows it.

        Args:
            path: what follows the prefix ``/api``, without a slash at the begin.
        """
        public = services().public_address
        if public is None:
            return f"{self.url.partition('/api/')[0]}/api/{path}"
        return f"{public.for_client(self.request.headers.get('x-forwarded-host'))}/{path}"

    @functools.cached_property
    def content(self) -> bytes:
        """The bytes of its body, whatever its encoding was.

        Raises:
            Problem: if there are none that can be had, or too many.
        """
        assert self.operation.body is not None
        return content(self.request, self.operation.body.max_bytes)

    @property
    def media_type(self) -> str:
        """The media type of its body, one of those that its operation takes.

        Raises:
            UnsupportedMediaType: if it is another.
        """
        assert isinstance(self.operation.body, Export)
        sent: str = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent not in self.operation.body.examples:
            raise UnsupportedMediaType(list(self.operation.body.examples))
        return sent

    def value(self, parameter: Parameter[T]) -> T:
        """Return the value of a parameter.

        Raises:
            Problem: if it is not what its schema says.
        """
        assert parameter in self.operation.parameters
        return parameter.of(self.request)

    def body(self, body: Body[B]) -> B:
        """Return the body as its model.

        Raises:
            LengthRequired, UnsupportedEncoding, PayloadTooLarge, InvalidRequest: if it is none.
        """
        assert body is self.operation.body
        return body.read(self.content)


Handler = Callable[[Call], Awaitable[func.HttpResponse]]


def serves(blueprint: func.Blueprint, operation: Operation) -> Callable[[Handler], Any]:
    """Let a handler serve an operation, as the function of the handler's name; ``answered`` says what is made of it."""

    def serve(handler: Handler) -> Any:
        name = handler.__name__
        refusal = tools_error if operation.for_admin_tools else problem_answer

        # Not by functools.wraps: Azure would follow it to the handler, whose parameter has another name and type.
        async def answer(req: func.HttpRequest) -> func.HttpResponse:
            return await answered(name, req, lambda: _handled(operation, handler, req), ALWAYS, refusal)

        answer.__name__, answer.__qualname__, answer.__doc__ = name, handler.__qualname__, handler.__doc__
        answer.__module__ = handler.__module__
        declare(name, operation)
        return blueprint.function_name(name)(blueprint.route(operation.route, methods=[operation.method])(answer))

    return serve


async def answered(
    function: str,
    req: func.HttpRequest,
    answering: Callable[[], Awaitable[func.HttpResponse]],
    always: Mapping[str, str],
    refusal: Callable[[Problem], func.HttpResponse],
) -> func.HttpResponse:
    """Return what a request is answered by ``answering``.

    Whatever that raises becomes a problem, of which only the type and the places go to the log (P8). All answers carry
    the correlation id, and all records say which request they belong to.

    Args:
        function: the function's name.
        req: the request.
        answering: what answers it.
        always: headers of each answer that does not have them itself.
        refusal: how a problem is answered.
    """
    started = time.monotonic()
    request = _request(function, req)
    with log.during(request):
        response = await _without_errors(answering, refusal)
        for name, value in always.items():
            response.headers.setdefault(name, value)
        response.headers[CORRELATION_ID.name] = request.correlation_id
        measured = {"status": response.status_code, "durationMs": round((time.monotonic() - started) * 1000, 1)}
        _log.info("answered %(status)d in %(durationMs).1f ms", measured)
        return response


async def _handled(operation: Operation, handler: Handler, req: func.HttpRequest) -> func.HttpResponse:
    call = await _admitted(operation, req)
    _refuse_unheeded(operation, req)
    return await handler(call)


async def _without_errors(
    answering: Callable[[], Awaitable[func.HttpResponse]], refusal: Callable[[Problem], func.HttpResponse]
) -> func.HttpResponse:
    try:
        return await answering()
    except Problem as refused:
        problem = refused
    except StoreUnavailable as error:
        _log.warning("store unavailable: %s", error.code)
        problem = Unavailable(Unavailable.STORE, error.retry_after)
    except Conflict:
        problem = Unavailable(Unavailable.CONFLICT)
    except ConfigurationError as error:
        _log.error("not ready: %s", error)
        problem = Unavailable(Unavailable.NOT_READY)
    except Exception as error:
        _log.error("unexpected %s", log.where(error))  # never the message: it may hold what a customer said
        problem = InternalError()
    return refusal(problem)


async def _admitted(operation: Operation, req: func.HttpRequest) -> Call:
    """Return the call that a request is, if its caller may make it; nothing else of it has been looked at then.

    Raises:
        Unauthenticated: if it has no valid token.
        InvalidRequest: if its tenant id is none.
        Forbidden: if the caller is none of those who may.
        StepUpRequired: if the sign-in was not as strong as the operation demands.
    """
    if not operation.who:
        return Call(operation, req)
    header, tools = req.headers.get("authorization"), operation.for_admin_tools
    caller = await services().tokens.caller(header, for_admin_tools=tools)
    tenant_id = TENANT_ID.of(req) if operation.has_tenant else caller.tenant_id if tools else None
    if not caller.is_one_of(operation.who, tenant_id):
        raise Forbidden(Forbidden.ROLE)
    if operation.step_up and services().review_auth_context not in caller.auth_contexts:
        raise StepUpRequired(services().review_auth_context)
    return Call(operation, req, caller, tenant_id)


def _refuse_unheeded(operation: Operation, req: func.HttpRequest) -> None:
    """Refuse what would change the meaning of the request and is not looked at.

    Raises:
        Problem: if there is a parameter of the query that the operation does not declare, in exactly this letter case,
            or that says nothing, or not what its schema says; or a precondition that it does not declare.
    """
    headers = {each.name for each in operation.parameters if each.where == "header"}
    for name in PRECONDITIONS:
        if name in req.headers and name not in headers:
            raise InvalidRequest(f"{name} is not evaluated here; send the request without it.")
    query = operation.query
    # Of the address, because the platform passes on no empty values: who pages by one would begin anew for ever.
    for name, value in parse_qsl(urlsplit(req.url).query, keep_blank_values=True):
        if name not in query:
            raise InvalidRequest.unknown_parameter(query)
        if not value:
            raise query[name].problem(query[name].sentence)
    for each in query.values():
        each.of(req)  # also where the answer would be the same without it


def _request(function: str, req: func.HttpRequest) -> log.Request:
    """Return what the logs say of a request; what is not in its proper form is as if it were not there."""
    trace = _TRACEPARENT.fullmatch(req.headers.get("traceparent", ""))
    tenant_id = str(req.route_params.get(TENANT_ID.name, "")).lower()
    return log.Request(
        operation=function,
        correlation_id=CORRELATION_ID.of(req) or str(uuid.uuid4()),
        trace_id=trace["trace"] if trace else None,
        parent_id=trace["parent"] if trace else None,
        tenant_id=tenant_id if GUID.fullmatch(tenant_id) else None,
    )


def tools_error(problem: Problem) -> func.HttpResponse:
    """Return a problem as admin tools read errors: a problem document means nothing to them (D16)."""
    return json_answer(ToolsErrorAnswer.of(problem).to_json(), status=problem.status, headers=problem.headers)


def problem_answer(problem: Problem) -> func.HttpResponse:
    """Return a problem as RFC 9457 has it."""
    return func.HttpResponse(
        json.dumps(problem.to_json()),
        status_code=problem.status,
        headers=problem.headers,
        mimetype="application/problem+json",
    )
