"""The OpenAPI document: valid, complete, and what the functions really do."""

import copy
import itertools
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from openapi_spec_validator import validate
from pydantic import BaseModel, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from functions._api.openapi import COMMON_HEADERS, all_problems, document
from functions._api.operations import OPERATIONS, Operation, declare
from functions.labelling import LabelRequest
from local.tokens import Role
from shared.identity.callers import EVERYBODY, Who
from shared.model.selection import TelemetryCondition
from shared.ports import StoreUnavailable
from shared.problems import InvalidRequest
from tests.changes import AGREED, AGREEMENT
from tests.functions import FUNCTIONS, NO_API
from tests.functions.api import Api

DOCUMENT = document()
IDS = {"enrollmentId": "0" * 32, "grantId": "0" * 32, "batchId": "0" * 32, "day": "2026-11-21"} | {
    "version": AGREEMENT.version
}


def served() -> dict[str, str]:
    """Each method and function of the app, and its route."""
    return {
        f"{getattr(method, 'value', method)} {function.get_function_name()}": binding.get_dict_repr()["route"]
        for function in FUNCTIONS.values()
        for binding in function.get_bindings()
        if binding.type == "httpTrigger" and function.get_function_name() not in NO_API
        for method in binding.get_dict_repr()["methods"]
    }


def declared() -> dict[str, str]:
    return {f"{each.method} {function}": each.route for function, each in OPERATIONS.items()}


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with no member allowed that it does not name."""
    strict = copy.deepcopy(document)
    for name, schema in strict["components"]["schemas"].items():
        if "properties" in schema and "additionalProperties" not in schema and name != "Document":
            schema["additionalProperties"] = False
    return strict


REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:api", Resource.from_contents(closed(DOCUMENT), default_specification=DRAFT202012)
)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference to a component leads to."""
    if set(node) != {"$ref"}:
        return node
    found: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def check(schema: dict[str, Any], value: Any) -> None:
    absolute = json.loads(json.dumps(schema).replace('"$ref": "#/', '"$ref": "urn:api#/'))
    Draft202012Validator(absolute, registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )


class Recorder(Api):
    """Checks every answer against the document."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, int]] = set()
        self.answered: dict[tuple[str, int], list[Any]] = {}

    async def call(self, function: str, method: str = "GET", **kwargs: Any) -> tuple[int, Any, dict[str, str]]:
        status, content, headers = await super().call(function, method, **kwargs)
        each = OPERATIONS[function]
        assert each.method == method
        described = DOCUMENT["paths"][f"/{each.route}"][method.lower()]["responses"]
        assert str(status) in described, f"{method} {function} answered {status}"
        response = resolved(described[str(status)])
        mimetype, media = next(iter(response.get("content", {}).items()), ("", {}))
        if not mimetype:
            assert method == "HEAD" or status == 304, "whatever else is answered has a body"
        elif mimetype == "application/problem+json":
            assert f"urn:problem:{content}" in {each["value"]["type"] for each in media["examples"].values()}
        elif each.for_admin_tools and status >= 400:
            assert content in {shown["value"]["error"]["code"] for shown in media["examples"].values()}
        else:
            check(media["schema"], content)
        names = {name.lower() for name in response["headers"]}
        assert {name.lower() for name in headers} - {"content-type"} <= names
        for name, header in response["headers"].items():
            value = {key.lower(): text for key, text in headers.items()}.get(name.lower())
            assert value is not None or name not in COMMON_HEADERS, name
            if value is not None:
                check(resolved(header)["schema"], value)
        self.seen.add((f"{method} {function}", status))
        if status < 400:
            self.answered.setdefault((each.id, status), []).append(content)
        return status, content, headers


@pytest.fixture
def recorder(api: Api) -> Recorder:
    api.__class__ = Recorder
    assert isinstance(api, Recorder)
    api.seen, api.answered = set(), {}
    return api


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    validate(DOCUMENT)


def test_it_has_every_route_and_method_and_no_other() -> None:
    assert declared() == served(), "declare it with functions._api.http.serves"
    operations = {(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert operations == {(f"/{each.route}", each.method) for each in OPERATIONS.values()}


def test_a_route_cannot_be_declared_twice() -> None:
    each = next(iter(OPERATIONS.values()))
    with pytest.raises(ValueError, match="twice"):
        declare("another", each)
    with pytest.raises(ValueError, match="twice"):
        declare("another", replace(each, method="DELETE"))
    with pytest.raises(ValueError, match="twice"):
        declare("another", replace(each, id="Another_Get"))


def test_it_has_every_problem() -> None:
    used = {each for d in OPERATIONS.values() for each in d.all_problems}
    assert set(all_problems()) == used, "name it among an operation's problems"
    for function, each in OPERATIONS.items():
        responses = DOCUMENT["paths"][f"/{each.route}"][each.method.lower()]["responses"]
        for status in {problem.status for problem in each.all_problems}:
            [media] = resolved(responses[str(status)])["content"].values()
            examples = media["examples"]
            wanted = {problem.__name__ for problem in each.all_problems if problem.status == status}
            assert set(examples) == wanted, function
            for name, example in examples.items():
                [kind] = [problem for problem in each.all_problems if problem.__name__ == name]
                if each.for_admin_tools:
                    code = example["value"]["error"]["code"]
                    assert re.sub("(?<!^)(?=[A-Z])", "-", code).lower() == kind.slug
                    continue
                said = (example["value"]["type"], example["value"]["status"], example["value"]["title"])
                assert said == (f"urn:problem:{kind.slug}", status, kind.title)


def test_every_operation_says_who_may_call_it_and_all_that_it_needs() -> None:
    ids = []
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            ids.append(operation["operationId"])
            assert operation["summary"]
            open_to_all = path.split("/")[1] in {"geos", "health", "notices", "openapi.json", "receipt-keys"}
            assert (operation["security"] == []) == open_to_all
            assert open_to_all or {"401", "403", "500", "503"} <= operation["responses"].keys()
            assert all(each["description"] for each in operation["parameters"])
    assert len(ids) == len(set(ids))


def examples() -> list[Any]:
    found: list[Any] = []

    def walk(node: Any, at: str) -> None:
        if isinstance(node, dict):
            if "schema" in node and "example" in node:
                found.append(pytest.param(node["schema"], node["example"], id=at))
            for each in node.get("examples", {}).values() if "schema" in node else ():
                found.append(pytest.param(node["schema"], each["value"], id=at))
            for name, each in node.items():
                walk(each, f"{at}/{name}")
        elif isinstance(node, list):
            for index, each in enumerate(node):
                walk(each, f"{at}/{index}")

    walk({"paths": DOCUMENT["paths"], "responses": DOCUMENT["components"]["responses"]}, "")
    walk(DOCUMENT["components"]["headers"], "/headers")
    return found


@pytest.mark.parametrize(("schema", "example"), examples())
def test_every_example_is_what_its_schema_says(schema: dict[str, Any], example: Any) -> None:
    check(schema, example)


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        validator_for(schema, default=Draft202012Validator).check_schema(schema)


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (
            LabelRequest,
            {"verdict": (None, "correct"), "score": (None, 0), "tags": (None, [], ["a"]), "comment": (None, "c")},
        ),
        (
            TelemetryCondition,
            {"name": ("a",), "equals": (None, "", 0, False), "over": (None, 0), "under": (None, 0)},
        ),
    ],
)
def test_which_members_need_or_exclude_each_other_the_document_says_too(
    model: type[BaseModel], members: dict[str, tuple[Any, ...]]
) -> None:
    described = Draft202012Validator(DOCUMENT["components"]["schemas"][model.__name__])
    taken = []
    for values in itertools.product(*((..., *values) for values in members.values())):
        body = {name: value for name, value in zip(members, values, strict=True) if value is not ...}
        try:
            model.model_validate_json(json.dumps(body))
            taken.append(True)
        except ValidationError:
            taken.append(False)
        assert described.is_valid(body) is taken[-1], body
    assert {True, False} <= set(taken)


async def test_it_is_answered_to_anybody(recorder: Recorder) -> None:
    status, body, _ = await recorder.call("openapi", role=None)
    assert (status, body) == (200, json.loads(json.dumps(DOCUMENT)))


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("function", OPERATIONS)
async def test_who_may_call_is_who_is_named(recorder: Recorder, function: str, role: Role) -> None:
    each = OPERATIONS[function]
    status, problem, _ = await recorder.call(function, each.method, role=role, **IDS)
    if each.who:
        assert (str(problem).lower() == "forbidden") == (Who(role.value) not in each.who)
    else:
        assert status == 200


async def test_what_is_answered_is_what_it_says(recorder: Recorder) -> None:
    toggle: dict[str, Any] = {"function": "data_sharing", "method": "PUT"}
    await recorder.call("data_sharing_get")
    await recorder.post(recorder.batch())
    for geo in ("atlantis", "japan", "europe", "unitedstates"):
        await recorder.call(**toggle, body={"enabled": True, "geo": geo, **AGREED})
    await recorder.call("data_sharing_get")
    await recorder.call(**toggle, body={"enabled": False}, headers={"if-match": '"7"'})
    await recorder.call(**toggle, body=b" " * 5000)
    await recorder.call(**toggle, body=[], headers={"x-correlation-id": "order-17"})
    batch = recorder.batch(environmentId="env", userId="user", telemetry={"ms": 3})
    for body in (batch, batch, recorder.batch(output="another"), {"captures": []}, b" " * (4 * 1024 * 1024 + 1)):
        await recorder.post(body)
    for capture in batch["captures"]:
        capture["capturedAt"] = "2020-01-01T00:00:00Z"
    await recorder.post(batch, key="key-2")
    await recorder.call("status", role=Role.OPERATOR)
    await recorder.call(**toggle, body={"enabled": False})
    await recorder.world.opt_in()
    event = await recorder.world.opt_out()
    await recorder.world.feed()
    await recorder.call("data_sharing_history", params={"limit": "1"})
    await recorder.call("data_sharing_history", role=None)
    await recorder.call("deletions", params={"limit": "1"})
    await recorder.call("deletion", enrollmentId=event.enrollment_id)
    await recorder.call("deletion_expedite", "POST", enrollmentId=event.enrollment_id)
    await recorder.call("deletion_expedite", "POST", enrollmentId="0" * 32)
    recorder.world.clock.move(timedelta(minutes=10))
    for _ in range(2):
        await FUNCTIONS["purge"].get_user_function()(None)
        await recorder.call("deletion", enrollmentId=event.enrollment_id)
        recorder.world.clock.move(timedelta(minutes=10))
    assert (await recorder.call("deletion", enrollmentId=event.enrollment_id))[1]["status"] == "verified"
    await recorder.call("status", role=Role.OPERATOR)
    await recorder.call("health", role=None)
    assert len(recorder.seen) > 20


async def test_a_failure_of_ours_is_answered_as_it_says(recorder: Recorder) -> None:
    async def fail(*args: object) -> None:
        raise StoreUnavailable("cosmos-timeout")

    recorder.world.ledger.read_setting = fail
    assert (await recorder.call("data_sharing_get"))[:2] == (503, "unavailable")


def test_requests_are_described_as_strictly_as_they_are_checked() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("DataSharingRequest", "CaptureBatch", "Capture"):
        assert schemas[name]["additionalProperties"] is False
    assert schemas["CaptureBatch"]["properties"]["captures"]["maxItems"] == 500
    assert schemas["Capture"]["properties"]["input"]["maxLength"] == 256 * 1024
    assert schemas["Capture"]["properties"]["capturedAt"]["pattern"].startswith("^[0-9]{4}-")
    for right in ({"enabled": False}, {"enabled": False, "geo": None}, {"enabled": True, "geo": "europe", **AGREED}):
        check({"$ref": "#/components/schemas/DataSharingRequest"}, right)
    for wrong in (
        {"enabled": True},
        {"enabled": True, "geo": None, **AGREED},
        {"enabled": True, "geo": "atlantis", **AGREED},
        {"enabled": False, "more": 1},
    ):
        with pytest.raises(Exception, match=r"required|not one of|unexpected|not of type"):
            check({"$ref": "#/components/schemas/DataSharingRequest"}, wrong)


def test_an_operation_for_everybody_has_no_problems_but_its_own() -> None:
    assert Operation("X_Get", "GET", "x", "x", tag="x", who=EVERYBODY, answers={}).all_problems == [InvalidRequest]


def test_an_operation_cannot_leave_out_who_may_call_it() -> None:
    with pytest.raises(TypeError, match="who"):
        Operation("X_Get", "GET", "x", "x", tag="x", answers={})  # type: ignore[call-arg]


@pytest.mark.parametrize("route", ["x/{grantId}", "{tenantId}/x/{grantId}/{batchId}"])
def test_an_operation_declares_every_parameter_of_its_path(route: str) -> None:
    with pytest.raises(ValueError, match="declares"):
        Operation("X_Get", "GET", route, "x", tag="x", who=EVERYBODY, answers={})


def test_the_table_of_routes_in_the_documentation_says_who_may_call() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) /(\S+)` \| ([^|]+) \|", page, re.MULTILINE)
    assert {(method, route): names for method, route, names in rows} == {
        (each.method, each.route): ", ".join(who.replace("-", " ") for who in each.who) or "everybody"
        for each in OPERATIONS.values()
    }
    assert len(rows) == len(OPERATIONS)
