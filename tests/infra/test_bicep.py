"""The reader of the templates: it works out what Bicep says, and passes over nothing that it does not know."""

from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep import Refused, Resource, deploy

RESOURCE = "resource it 'Some.Provider/things@2024-01-01' = {\n  name: 'it'\n  properties: %s\n}\n"


def read(main: str, given: dict[str, Any] | None = None, **modules: str) -> list[Resource]:
    texts = {"infra/main.bicep": main} | {f"infra/{name}.bicep": text for name, text in modules.items()}
    resources, _ = deploy(Path("/nowhere"), "infra/main.bicep", given or {}, texts)
    return resources


def value(expression: str, before: str = "") -> Any:
    return read(before + RESOURCE % f"{{ v: {expression} }}")[0].properties["v"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'a'", "a"),
        ("'it\\'s ${n} of ${toLower('X')}'", "it's 7 of x"),
        ("'\\${n}'", "${n}"),
        ("n", 7),
        ("'n'", "n"),
        ("!false", True),
        ("empty([]) ? 'none' : fail('not reached')", "none"),
        ("n == 7 ? 'seven' : 'other'", "seven"),
        ("[1, 2]", [1, 2]),
        ("[\n  1 // one\n  2\n]", [1, 2]),
        ("[for x in ['a', 'b']: { n: x }]", [{"n": "a"}, {"n": "b"}]),
        ("[for (x, i) in ['a', 'b']: '${x}${i}']", ["a0", "b1"]),
        ("string({ a: [1, true] })", '{"a":[1,true]}'),
        ("string(n)", "7"),
        ("toObject([{ k: 'a', v: 1 }], each => each.k, each => each.v)", {"a": 1}),
        ("union({ a: 1 }, { b: 2 })", {"a": 1, "b": 2}),
        ("{ 'odd-name': 1 }['odd-name']", 1),
    ],
)
def test_an_expression_means_what_bicep_says(expression: str, expected: Any) -> None:
    assert value(expression, "var n = 7\n") == expected


@pytest.mark.parametrize(
    "text",
    [
        "type t = string\n",
        "import 'x'\n",
        "var x = unknownFunction()\n",
        "var x = 1 + 1\n",
        "var x = true && false\n",
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
