"""What Schemathesis cannot read in the document: which problems an operation answers, and where more is taken."""

from typing import Any

import schemathesis

from shared.model.geos import GEOS


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out what would fail for no reason of ours.

    An opt-out with a geo that is none: the document names those that mean one, the service takes any. The ``0`` that
    Schemathesis draws by the name of the header If-None-Match, against its pattern, and takes for valid. And a path
    that has lost its end, and so is no route: the platform answers that, as it likes.
    """
    if not case.formatted_path.endswith(case.operation.path.rpartition("}")[2]):
        return False
    if (case.headers or {}).get("If-None-Match") == "0":
        return False
    body = case.body if isinstance(case.body, dict) else {}
    return body.get("enabled") is not False or not isinstance(body.get("geo"), str) or body["geo"] in GEOS


@schemathesis.serializer("application/x-protobuf")
def as_bytes(ctx: Any, value: Any) -> dict[str, Any]:
    """Send a body in protobuf: what is made up for it is bytes, or an example in text."""
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@schemathesis.check
def a_problem_is_among_the_documented(ctx: Any, response: Any, case: Any) -> None:
    """Hold a problem to the examples of its status: its schema is the one of all problems."""
    if not response.headers.get("content-type", [""])[0].startswith("application/problem+json"):
        return
    described = case.operation.definition.raw["responses"][str(response.status_code)]
    if "$ref" in described:
        name = described["$ref"].rpartition("/")[2]
        described = case.operation.schema.raw_schema["components"]["responses"][name]
    examples = described["content"]["application/problem+json"]["examples"].values()
    assert response.json()["type"] in {each["value"]["type"] for each in examples}
