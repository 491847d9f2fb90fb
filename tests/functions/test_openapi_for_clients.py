"""The OpenAPI document as generators of clients need it, those for C# above all, and its copy in the repository."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from functions._api.openapi import document
from functions._api.operations import OPERATIONS
from shared.model.geos import GEOS
from shared.model.grants import Purpose
from shared.problems import PurposeRefused, UnknownGeo
from tests.functions.api import Api

ROOT = Path(__file__).parents[2]
DOCUMENT = document()
FILE = ROOT / "docs" / "openapi.json"
SCHEMAS = DOCUMENT["components"]["schemas"]
DATA = {"example", "examples", "default", "enum", "const"}
"""Members whose values are no part of the document's own structure."""


def nodes(node: Any, at: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document, and where it is."""
    if isinstance(node, dict):
        yield at, node
        for name, each in node.items():
            if name not in DATA:
                yield from nodes(each, f"{at}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(node, list):
        for index, each in enumerate(node):
            yield from nodes(each, f"{at}/{index}")


NODES = dict(nodes(DOCUMENT))
MEMBERS = {
    f"{at}/{name}": (node, name)
    for at, node in NODES.items()
    if isinstance(node.get("properties"), dict)
    for name in node["properties"]
}


def test_nothing_stands_beside_a_reference() -> None:
    # Kiota loses the problem's detail and title over it.
    assert [at for at, node in NODES.items() if "$ref" in node and len(node) > 1] == []


def test_a_nullable_member_is_one_type_with_null() -> None:
    # Of anyOf, Kiota and NSwag make wrappers into which no answer can be read; a nullable reference has no other form.
    null = {"type": "null"}
    written_otherwise = [
        at
        for at, node in NODES.items()
        for kinds in [node.get("anyOf", node.get("oneOf", []))]
        if null in kinds and not (len(kinds) == 2 and set(kinds[0]) == {"$ref"})
    ]
    assert written_otherwise == []
    lists = [node["type"] for node in NODES.values() if isinstance(node.get("type"), list)]
    assert lists
    assert all(len(each) == 2 and each[1] == "null" and isinstance(each[0], str) for each in lists)


def test_no_member_has_a_default() -> None:
    # Generators take a member with a default for one that is always there.
    defaults = [at for at, (node, name) in MEMBERS.items() if "default" in node["properties"][name]]
    assert defaults == []
    assert set(SCHEMAS["Capture"]["required"]) == {"capturedAt", "feature"}
    assert SCHEMAS["Capture"]["properties"]["userId"]["type"] == ["string", "null"]


def test_every_operation_is_a_noun_and_a_verb() -> None:
    # NSwag makes of it a client and its method, and so do Azure's own tools.
    ids = [node["operationId"] for node in NODES.values() if "operationId" in node]
    assert len(ids) == len(OPERATIONS)
    assert [each for each in ids if not re.fullmatch(r"([A-Z][a-z]+)+_([A-Z][a-z]+)+", each)] == []


def test_a_problem_is_one_schema_whose_detail_is_the_message() -> None:
    # Kiota else says: Exception of type 'Problem' was thrown.
    messages = [at for at, node in NODES.items() if node.get("x-ms-primary-error-message") is True]
    assert messages == ["#/components/schemas/Problem/properties/detail"]
    schemas = [
        node["content"]["application/problem+json"]["schema"]
        for node in NODES.values()
        if "application/problem+json" in node.get("content", {})
    ]
    assert len(schemas) > 20
    assert all(each == {"$ref": "#/components/schemas/Problem"} for each in schemas)


def test_a_pattern_speaks_of_the_whole_text_in_each_of_its_choices() -> None:
    patterns = {at: node["pattern"] for at, node in nodes(DOCUMENT) if isinstance(node.get("pattern"), str)}
    assert len(patterns) > 20
    for at, pattern in patterns.items():
        parts = [str(argument) for _, argument in re._parser.parse(pattern)]  # type: ignore[attr-defined]
        assert (parts[0], parts[-1]) == ("AT_BEGINNING", "AT_END"), at


def test_what_is_not_json_is_binary() -> None:
    media = {
        kind: media["schema"]
        for node in NODES.values()
        for kind, media in node.get("content", {}).items()
        if not re.fullmatch(r"application/(problem\+)?json", kind)
    }
    binary = {"type": "string", "format": "binary"}
    kinds = ("application/gzip", "application/x-ndjson", "application/x-protobuf", "text/markdown")
    assert media == dict.fromkeys(kinds, binary)


def test_a_geo_and_a_purpose_are_among_those_that_there_are() -> None:
    assert SCHEMAS["DataSharingRequest"]["properties"]["geo"]["enum"] == [*sorted(GEOS), None]
    assert SCHEMAS["ReviewGrantRequest"]["properties"]["purpose"]["enum"] == list(Purpose)
    assert [geo for geo in GEOS if not re.search(rf"\b{geo}\b", UnknownGeo().detail)] == []
    assert [purpose for purpose in Purpose if not re.search(rf"\b{purpose}\b", PurposeRefused().detail)] == []


async def test_to_opt_out_any_geo_will_do(api: Api) -> None:
    for geo in ("atlantis", "", None, "japan"):
        assert (await api.call("data_sharing", "PUT", body={"enabled": False, "geo": geo}))[0] == 200


def test_every_component_is_used() -> None:
    used = {node["$ref"] for node in NODES.values() if "$ref" in node}
    mapped = {to for node in NODES.values() for to in node.get("discriminator", {}).get("mapping", {}).values()}
    components = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in DOCUMENT["components"][kind]
    }
    assert components == used | mapped


def test_every_tag_says_what_it_is_for() -> None:
    tags = {each["name"]: each["description"] for each in DOCUMENT["tags"]}
    assert set(tags) == {each.tag for each in OPERATIONS.values()}
    assert all(len(each) > 20 for each in tags.values())


def test_no_description_is_written_for_programmers_of_ours() -> None:
    told = [node["description"] for node in NODES.values() if isinstance(node.get("description"), str)]
    assert [each for each in told if "``" in each or "Attributes:" in each] == []


async def test_the_file_in_the_repository_is_what_is_served(api: Api) -> None:
    _, served, _ = await api.call("openapi", role=None)
    assert served == json.loads(FILE.read_text()), "write it anew with `make openapi`"


def test_a_command_writes_the_file(tmp_path: Path) -> None:
    written = tmp_path / "openapi.json"
    subprocess.run([sys.executable, "-m", "local.openapi", written], cwd=ROOT, check=True)
    assert written.read_bytes() == FILE.read_bytes()
