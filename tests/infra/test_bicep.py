"""The reader of the templates: it works out what Bicep says, and passes over nothing that it does not know."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep import Later, Refused, Resource, deploy

ANSWERS: dict[str, Any] = json.loads((Path(__file__).parent / "bicep_answers.json").read_text(encoding="utf-8"))
"""What the compiler (0.49.2) says that expressions mean; ``var n = 7`` stands before each."""

GROUPED = {"b": [{"k": "b", "v": 1}, {"k": "b", "v": 3}], "a": [{"k": "a", "v": 2}]}

RESOURCE = "resource it 'Some.Provider/things@2024-01-01' = {\n  name: 'it'\n  properties: %s\n}\n"


def read(main: str, given: dict[str, Any] | None = None, **modules: str) -> list[Resource]:
    texts = {"infra/main.bicep": main} | {f"infra/{name}.bicep": text for name, text in modules.items()}
    resources, _ = deploy(Path("/nowhere"), "infra/main.bicep", given or {}, texts)
    return resources


def value(expression: str, before: str = "") -> Any:
    return read(before + RESOURCE % f"{{ v: {expression} }}")[0].properties["v"]


@pytest.mark.parametrize(("expression", "answer"), ANSWERS.items())
def test_an_expression_means_what_the_compiler_says(expression: str, answer: Any) -> None:
    if answer == {"refused": True}:
        with pytest.raises(Refused):
            value(expression, "var n = 7\n")
    else:
        # As JSON, because Python takes true for 1.
        assert json.dumps(value(expression, "var n = 7\n")) == json.dumps(answer)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("empty([]) ? 'none' : fail('not reached')", "none"),
        ("[\n  1 // one\n  2\n]", [1, 2]),
        ("filter(['a', 'b'], each => each == 'b')", ["b"]),
        ("endsWith('10.0.0.0/8', '/8') || fail('not reached')", True),
        ("false || n == 8", False),
        ("true == 1", False),
        ("true || true && false", True),
        ("false && fail('not reached')", False),
        ("length([1, 2])", 2),
        ("map(['a', 'b'], each => '${each}!')", ["a!", "b!"]),
        ("mapValues({ b: 1, a: 2 }, each => each == 1)", {"b": True, "a": False}),
        ("groupBy([{ k: 'b', v: 1 }, { k: 'a', v: 2 }, { k: 'b', v: 3 }], each => each.k)", GROUPED),
    ],
)
def test_more_that_the_templates_say(expression: str, expected: Any) -> None:
    assert value(expression, "var n = 7\n") == expected


@pytest.mark.parametrize(
    "text",
    [
        "type t = string\n",
        "import 'x'\n",
        "var x = unknownFunction()\n",
        "var x = 1 + 1\n",
        "var x = toLower(1)\n",
        "var x = empty('a', 'b')\n",
        "var x = null ?? false\n",
        "var x = a.?b\n",
        "var x = '''a'''\n",
        "var x = 'a\n",
        "var x = y\n",
        "var x = {}.y\n",
        "var x = { a: 1, a: 2 }\n",
        "var x = 1\nvar x = 2\n",
        "var x = fail('no')\n",
        "@secure()\nparam x string = ''\n",
        "@maxLength(1)\nparam x string = 'ab'\n",
        "param x string\n",
        "param x string = 1\n",
        "param x bool = 0\n",
        RESOURCE.replace("properties", "propertes") % "{}",
        RESOURCE % "{}" + RESOURCE % "{}",
        "resource it 'Some.Provider/things@2024-01-01' existing = {\n  name: 'it'\n}\n",
        "resource it 'Some.Provider/things@2024-01-01' = if (true) {\n  name: 'it'\n}\n",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read(text)


def test_modules_are_deployed_with_what_they_are_given() -> None:
    main = (
        "param names array\n"
        "module each 'part.bicep' = [for n in names: {\n  name: n\n  params: { name: n }\n}]\n"
        "module last 'part.bicep' = {\n  name: 'last'\n  params: { name: each[1].outputs.twice }\n}\n"
    )
    part = (
        "param name string\n"
        "resource it 'A/b@1' = {\n  name: name\n}\n"
        "resource child 'A/b/c@1' = {\n  parent: it\n  name: 'c'\n}\n"
        "output twice string = '${it.name}${it.name}'\n"
    )
    found = read(main, {"names": ["a", "b"]}, part=part)
    assert [each.name for each in found] == ["a", "c", "b", "c", "bb", "c"]
    assert [each.parent.name for each in found if each.parent] == ["a", "b", "bb"]


def test_a_module_takes_no_parameter_that_it_does_not_have() -> None:
    with pytest.raises(Refused, match="no parameter other"):
        read(
            "module m 'part.bicep' = {\n  name: 'm'\n  params: { name: 'x', other: 1 }\n}\n", part="param name string\n"
        )


def test_what_exists_is_what_another_module_deploys() -> None:
    main = (
        "module made 'made.bicep' = {\n  name: 'made'\n  params: {}\n}\n"
        "module used 'used.bicep' = {\n  name: 'used'\n  params: {}\n  dependsOn: [made]\n}\n"
    )
    made = "resource it 'A/b@1' = {\n  name: 'it'\n}\n"
    used = "resource it 'A/b@1' existing = {\n  name: 'it'\n}\nresource of 'A/c@1' = {\n  name: it.id\n}\n"
    it, of = read(main, made=made, used=used)
    assert of.name == it.id
    assert of.after == (it,)
    with pytest.raises(Refused, match="nobody deploys"):
        read(main, made=made.replace("'it'", "'other'"), used=used)


def test_what_is_made_of_a_modules_output_is_known_later() -> None:
    main = (
        "module one 'part.bicep' = {\n  name: 'one'\n  params: { name: 'x' }\n}\n"
        "module two 'part.bicep' = {\n  name: 'two'\n  params: { name: guid('a', '${one.outputs.id}') }\n}\n"
    )
    part = "param name string\nresource it 'A/b@1' = {\n  name: name\n}\noutput id string = it.id\n"
    first, second = read(main, part=part)
    assert not isinstance(first.name, Later)
    assert isinstance(second.name, Later)
