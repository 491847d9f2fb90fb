"""Every route for every kind of caller: the table below is the documentation, and what is tested.

401, 403, ... are statuses; ``step`` is the 401 that asks for a stronger sign-in, ``grant`` the 403 ``grant-required``.
"""

import gzip
import json
import uuid
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest

from functions._api.operations import OPERATIONS
from local.tokens import Role
from shared import bootstrap
from shared.model.grants import ReviewGrant
from shared.model.selection import Selection
from shared.review.record import GrantRequest
from tests.changes import AGREED, AGREEMENT
from tests.functions import FUNCTIONS, NO_API
from tests.tokens import Issuer, token, verifier
from tests.world import OTHER_TENANT, TENANT, World, capture

# none: no token         exp: an expired one        adm: admin of the tenant   oth: admin of another tenant
# svc: capture service   opr: operator              wrg: all app roles, assigned in a tenant that is not the operator's
# rev: reviewer          wek: without acrs          pnd, apd, xpd, rvk: with a grant pending, approved, expired, revoked
# apv: approver          slf: approver of a grant that is the approver's own
TABLE = """
function              method  none  exp  adm  oth  svc  opr  wrg    rev   wek    pnd  apd    xpd    rvk  apv  slf
health                GET      200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
health_head           HEAD     200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
geos                  GET      200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
notices               GET      200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
notice                GET      200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
openapi               GET      200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
receipt_keys          GET      200  200  200  200  200  200  200    200   200    200  200    200    200  200  200
data_sharing_get      GET      401  401  200  403  200  200  403    403   403    403  403    403    403  403  403
data_sharing          PUT      401  401  200  403  403  403  403    403   403    403  403    403    403  403  403
outdated_agreements   GET      401  401  403  403  403  200  403    403   403    403  403    403    403  403  403
consent_receipt       GET      401  401  200  403  403  200  403    403   403    403  403    403    403  403  403
data_sharing_history  GET      401  401  200  403  403  200  403    403   403    403  403    403    403  403  403
deletions             GET      401  401  200  403  403  200  403    403   403    403  403    403    403  403  403
deletion              GET      401  401  200  403  403  200  403    403   403    403  403    403    403  403  403
deletion_expedite     POST     401  401  202  403  403  403  403    403   403    403  403    403    403  403  403
captures              POST     401  401  403  403  201  403  403    403   403    403  403    403    403  403  403
traces                POST    401  401  403  403  200  403  403    403   403    403  403    403    403  403  403
traces_of_agents      POST    401  401  403  403  200  403  403    403   403    403  403    403    403  403  403
traces_of_agents_by_node  POST  401  401  403  403  200  403  403  403   403    403  403    403    403  403  403
captures_list         GET      401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
batch                 GET      401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
review_grant_request  POST     401  401  403  403  403  403  403    201  step    201  201    201    201  403  201
review_grants         GET      401  401  403  403  403  403  403    200   200    200  200    200    200  200  200
pending_grants        GET      401  401  403  403  403  403  403    403   403    403  403    403    403  200  200
review_grant_approve  POST     401  401  403  403  403  403  403    403   403    403  403    403    403  200  403
review_grant_revoke   POST     401  401  403  403  403  403  403    403   403    200  200    200    200  200  200
review_grant_uses     GET      401  401  403  403  403  403  403    403   403    403  403    403    403  200  200
labels                GET      401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
label_put             PUT      401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
label_withdraw        DELETE   401  401  403  403  403  403  403  grant  step  grant  204  grant  grant  403  grant
label_vocabulary      GET      401  401  403  403  403  403  403    200  step    200  200    200    200  403  200
label_agreement       GET      401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
captures_find         POST     401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
captures_sample       POST     401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
export_request        POST     401  401  403  403  403  403  403  grant  step  grant  202  grant  grant  403  grant
exports               GET      401  401  403  403  403  403  403    200   200    200  200    200    200  403  200
export_show           GET      401  401  403  403  403  403  403    200   200    200  200    200    200  403  200
export_content        GET      401  401  403  403  403  403  403  grant  step  grant  200  grant  grant  403  grant
export_delete         DELETE   401  401  403  403  403  403  403  grant  step  grant  204  grant  grant  403  grant
access_log            GET      401  401  200  403  403  200  403    403   403    403  403    403    403  403  403
overdue_deletions     GET      401  401  403  403  403  200  403    403   403    403  403    403    403  403  403
status                GET      401  401  403  403  403  200  403    403   403    403  403    403    403  403  403
"""
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [(*row[:2], caller, expected) for row in ROWS for caller, expected in zip(HEADER[2:], row[2:], strict=True)]
OF_TOOLS = {name for name, each in OPERATIONS.items() if each.for_admin_tools}
"""Which only tokens of another audience open: who may is held in test_tenant_settings.py."""

PERSON = "11111111-2222-4333-8444-555555555555"
SOMEONE = "99999999-2222-4333-8444-555555555555"
ALL_ROLES = ["Captures.Write", "Operations.Read", "Captures.Review", "Captures.Approve"]


def token_of(caller: str) -> str | None:
    person = {"oid": PERSON}
    match caller:
        case "none":
            return None
        case "exp":
            return token(claims={"exp": 1})
        case "adm":
            return token()
        case "oth":
            return token(claims={"tid": OTHER_TENANT, "iss": f"http://127.0.0.1:8082/{OTHER_TENANT}/v2.0"})
        case "svc":
            return token(Role.CAPTURE_SERVICE)
        case "opr":
            return token(Role.OPERATOR)
        case "wrg":
            return token(claims={"roles": ALL_ROLES, "acrs": ["c1"], "wids": []})
        case "wek":
            return token(Role.REVIEWER, claims={**person, "acrs": ["c2"]})
        case "apv":
            return token(Role.APPROVER, claims=person)
        case "slf":
            return token(Role.REVIEWER, claims={**person, "roles": ["Captures.Review", "Captures.Approve"]})
    return token(Role.REVIEWER, claims=person)


async def grant_for(world: World, caller: str) -> ReviewGrant:
    """Return the caller's own grant in the state of its column, or another person's pending one."""
    owner = PERSON if caller in {"pnd", "apd", "xpd", "rvk", "slf"} else SOMEONE
    asked = GrantRequest("improve", "To see why formulas fail.", 1 if caller == "xpd" else 60)
    grant = await world.access.request(TENANT, owner, asked)
    if caller in {"apd", "xpd"}:
        await world.access.approve(TENANT, grant.grant_id, SOMEONE)
    if caller == "xpd":
        world.clock.move(timedelta(minutes=1))
    if caller == "rvk":
        await world.access.revoke(TENANT, grant.grant_id, PERSON, any_grant=False)
    return grant


async def export_of_somebody(world: World) -> str:
    """Make an export under a grant that is nobody's of the table."""
    asked = GrantRequest("improve", "To see why formulas fail.", 60)
    grant = await world.access.request(TENANT, "another", asked)
    await world.access.approve(TENANT, grant.grant_id, SOMEONE)
    return (await world.services().exporting.request(TENANT, "another", Selection())).export_id


async def answer_to(world: World, function: str, method: str, caller: str) -> func.HttpResponse:
    await world.opt_in()
    ended = await world.opt_out()
    await world.feed()
    await world.opt_in()
    batch_id = (await world.post()).batch_id
    export_id = await export_of_somebody(world) if function.startswith("export_") else ""
    grant = await grant_for(world, caller)
    bearer = token_of(caller)
    bodies: dict[tuple[str, str], Any] = {
        ("data_sharing", "PUT"): {"enabled": True, "geo": "europe", **AGREED},
        ("captures", "POST"): {"captures": [capture(world.clock.now())]},
        **{(name, "POST"): {"resourceSpans": []} for name in OPERATIONS if name.startswith("traces")},
        ("captures_find", "POST"): {"feature": "flow"},
        ("captures_sample", "POST"): {"feature": "flow", "size": 1, "seed": 1},
        ("export_request", "POST"): {"feature": "flow"},
        ("label_put", "PUT"): {"verdict": "correct"},
        ("review_grant_request", "POST"): {"purpose": "build", "justification": "x" * 20, "durationMinutes": 5},
    }
    body = bodies.get((function, method))
    request = func.HttpRequest(
        method=method,
        url=f"https://api.example/api/{function}",
        headers={"idempotency-key": uuid.uuid4().hex, "content-type": "application/json"}
        | ({"authorization": f"Bearer {bearer}"} if bearer else {}),
        params={},
        route_params={
            "tenantId": TENANT,
            "enrollmentId": ended.enrollment_id,
            "grantId": grant.grant_id,
            "day": world.clock.now().date().isoformat(),
            "batchId": batch_id,
            "exportId": export_id,
            "line": "0",
            "version": AGREEMENT.version,
            "agentId": "orders",
        },
        body=json.dumps(body).encode() if body else b"",
    )
    answer = await FUNCTIONS[function].get_user_function()(request)
    assert isinstance(answer, func.HttpResponse)
    return answer


@pytest.mark.parametrize(("function", "method", "caller", "expected"), CELLS)
async def test_who_may_call_what(
    function: str, method: str, caller: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    monkeypatch.setattr(bootstrap._Process, "services", world.services(verifier(Issuer(), world.clock)))
    answer = await answer_to(world, function, method, caller)
    content = answer.get_body()
    if answer.mimetype == "application/gzip":
        content = gzip.decompress(content)
    problem = json.loads(content)["type"] if answer.status_code >= 400 else None
    challenge = answer.headers.get("WWW-Authenticate", "")
    match expected:
        case "step":
            assert (answer.status_code, problem) == (401, "urn:problem:unauthenticated")
            assert 'error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6' in challenge
        case "grant":
            assert (answer.status_code, problem) == (403, "urn:problem:grant-required")
        case "401":
            assert (answer.status_code, problem) == (401, "urn:problem:unauthenticated")
            assert ('error="invalid_token"' in challenge) == (caller != "none"), "who sends no token has made no error"
        case "403":
            assert (answer.status_code, problem) == (403, "urn:problem:forbidden")
        case _:
            assert answer.status_code == int(expected)
    shows = {"batch", "export_content", "captures_find", "captures_sample"}
    shows_content = function in shows and expected == "200"
    assert (b"hello" in content) == shows_content, "content for nobody else"


def test_the_table_has_every_route() -> None:
    routes = {
        (each.get_function_name(), str(getattr(method, "value", method)))
        for each in FUNCTIONS.values()
        for binding in each.get_bindings()
        if binding.type == "httpTrigger" and each.get_function_name() not in NO_API
        for method in binding.get_dict_repr()["methods"]
    }
    assert routes == {(row[0], row[1]) for row in ROWS} | {(name, OPERATIONS[name].method) for name in OF_TOOLS}


def test_every_blueprint_is_registered() -> None:
    assert set(FUNCTIONS) == {row[0] for row in ROWS} | OF_TOOLS | NO_API | {
        "opt_outs",
        "purge",
        "sweep",
        "metrics",
        "make_exports",
    }
