"""What all HTTP functions share: problems, tenant and paging parameters, and JSON answers."""

import functools
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import azure.functions as func
from pydantic import BaseModel, ValidationError

from functions import _json
from shared import log
from shared.bootstrap import services
from shared.configuration import ConfigurationError
from shared.identity.callers import Caller
from shared.model.items import ENROLLMENT_ID, GUID
from shared.ports import Conflict, StoreUnavailable
from shared.problems import InternalError, InvalidRequest, PayloadTooLarge, Problem, Unavailable

Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]
B = TypeVar("B", bound=BaseModel)

# No other is of use to an API that no browser renders: there are no frames, scripts or referrers to restrict.
_SECURITY = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_CORRELATION_ID = "x-correlation-id"
_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,64}")
# W3C Trace Context, version 00; ids of zeros alone are invalid there.
_TRACEPARENT = re.compile(r"00-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}")
_PAGE_DEFAULT, _PAGE_MAX = 50, 200
_SEQUENCE = re.compile(r"[0-9]{1,9}")

_log = logging.getLogger(__name__)


def answering(handler: Handler) -> Handler:
    """Make a handler's every answer one of ours.

    Whatever it raises becomes a problem (RFC 9457), of which only the type and the places go to the log (P8). All
    answers carry the security headers and the correlation id, and all records say which request they belong to.
    """

    @functools.wraps(handler)
    async def answer(req: func.HttpRequest) -> func.HttpResponse:
        started = time.monotonic()
        request = _request(handler.__name__, req)
        with log.during(request):
            response = await _answered(handler, req)
            response.headers.update({**_SECURITY, _CORRELATION_ID: request.correlation_id})
            measured = {"status": response.status_code, "durationMs": round((time.monotonic() - started) * 1000, 1)}
            _log.info("answered %(status)d in %(durationMs).1f ms", measured)
        return response

    return answer


async def _answered(handler: Handler, req: func.HttpRequest) -> func.HttpResponse:
    try:
        return await handler(req)
    except Problem as problem:
        return _problem(problem)
    except StoreUnavailable as error:
        _log.warning("store unavailable: %s", error.code)
        return _problem(Unavailable("A store did not answer; send the same request again."))
    except Conflict:
        return _problem(Unavailable("Others are changing the same thing; send the same request again."))
    except ConfigurationError as error:
        _log.error("not ready: %s", error)
        return _problem(Unavailable("The service is not ready."))
    except Exception as error:
        _log.error("unexpected %s", log.where(error))  # never the message: it may hold what a customer said
        return _problem(InternalError("The same request may be sent again."))


def _request(operation: str, req: func.HttpRequest) -> log.Request:
    """Return what the logs say of a request; what is not in its proper form is as if it were not there."""
    sent = req.headers.get(_CORRELATION_ID, "")
    trace = _TRACEPARENT.fullmatch(req.headers.get("traceparent", ""))
    tenant_id = str(req.route_params.get("tenantId", "")).lower()
    return log.Request(
        operation=operation,
        correlation_id=sent if _CORRELATION.fullmatch(sent) else str(uuid.uuid4()),
        trace_id=trace["trace"] if trace else None,
        parent_id=trace["parent"] if trace else None,
        tenant_id=tenant_id if GUID.fullmatch(tenant_id) else None,
    )


async def caller_of(req: func.HttpRequest) -> Caller:
    """Return whom the request's bearer token speaks for.

    Raises:
        Unauthenticated: if it has no valid one.
    """
    return await services().tokens.caller(req.headers.get("authorization"))


def json_answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """Return an answer whose body is ``body`` as JSON."""
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")


def tenant_in_path(req: func.HttpRequest) -> str:
    """Return the path's tenant id, lower case.

    Raises:
        InvalidRequest: if it is no GUID.
    """
    tenant_id = str(req.route_params["tenantId"]).lower()
    if not GUID.fullmatch(tenant_id):
        raise InvalidRequest("The tenant id in the path must be a GUID.")
    return tenant_id


def id_in_path(req: func.HttpRequest, name: str) -> str:
    """Return the id of an enrollment, batch or grant that the path has as ``name``, lower case.

    Raises:
        InvalidRequest: if it is not 32 hexadecimal digits.
    """
    value = str(req.route_params[name]).lower()
    if not ENROLLMENT_ID.fullmatch(value):
        raise InvalidRequest(f"The {name} in the path must be 32 hexadecimal digits.")
    return value


def parsed_body(req: func.HttpRequest, model: type[B], max_bytes: int) -> B:
    """Return the request's body, of ``max_bytes`` at most, as ``model``.

    Raises:
        PayloadTooLarge: if it is longer; it is not looked into.
        InvalidRequest: naming where it is wrong by the model's own words, never by the caller's (P8).
    """
    body = req.get_body()
    if len(body) > max_bytes:
        raise PayloadTooLarge(f"A body may have {max_bytes} bytes here.")
    _json.check(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidRequest("The body is not valid JSON in UTF-8.") from None
        unknown = first["type"] == "extra_forbidden"
        places = first["loc"][:-1] if unknown else first["loc"]
        where = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places)
        what = "unknown member" if unknown else first["type"].replace("_", " ")
        raise InvalidRequest(f"At ${where}: {what}.") from None


def page_of(req: func.HttpRequest) -> tuple[int, int | None]:
    """Return the query's ``limit`` (1 to 200, 50 if absent) and ``before`` (a ledger sequence, or None).

    Raises:
        InvalidRequest: if one is not such a number.
    """
    limit = req.params.get("limit", str(_PAGE_DEFAULT))
    before = req.params.get("before")
    if not _SEQUENCE.fullmatch(limit) or not 1 <= int(limit) <= _PAGE_MAX:
        raise InvalidRequest(f"limit must be a whole number from 1 to {_PAGE_MAX}.")
    if before is not None and not _SEQUENCE.fullmatch(before):
        raise InvalidRequest("before must be the sequence of an entry.")
    return int(limit), None if before is None else int(before)


def page_answer(req: func.HttpRequest, values: list[Any], limit: int, last_sequence: int | None) -> func.HttpResponse:
    """Return one page as ``{value, nextLink?}``; a full page links to the next one."""
    body: dict[str, Any] = {"value": values}
    if len(values) == limit and last_sequence is not None:
        query = urlencode({"limit": limit, "before": last_sequence})
        body["nextLink"] = f"{req.url.partition('?')[0]}?{query}"
    return json_answer(body)


def _problem(problem: Problem) -> func.HttpResponse:
    body = {
        "type": f"urn:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extensions,
    }
    return func.HttpResponse(
        json.dumps(body),
        status_code=problem.status,
        headers=problem.headers,
        mimetype="application/problem+json",
    )
