"""Reads as much Bicep as ``infra/`` uses, and works out what a deployment would ask Azure for.

There is no Bicep compiler to be had without a download, and the posture must be checked without one. What this reader
does not know it refuses, and names. It evaluates parameters, variables, loops and modules as Azure Resource Manager
does, and ``bicep_answers.json`` holds it to what Bicep's own compiler says. What only a deployment can tell (an
endpoint, an identity's id) is made up by ``_ANSWERS`` and is ``Later``, as are the outputs of modules.
"""

import functools
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
PRINCIPAL_ID = "00000000-0000-4000-8000-00000000000a"
CLIENT_ID = "00000000-0000-4000-8000-00000000000b"


class Later(str):
    """A text that is known only while the deployment runs; so is what is made of it."""


class Refused(Exception):
    """The templates are not understood, or say themselves that they must not be deployed so."""


# Tokens

_TOKEN = re.compile(
    r"(?P<space>[ \t]+|//[^\n]*)|(?P<newline>\n)|(?P<number>\d+)|(?P<name>[A-Za-z_]\w*)|(?P<quote>')"
    r"|(?P<mark>=>|==|!=|&&|\|\||\?\?|[{}\[\]():,.?=@!])"
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: Any
    line: int


def _tokens(text: str, line: int = 1) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Refused(f"line {line}: {text[at : at + 20]!r} is not understood")
        at, kind = match.end(), str(match.lastgroup)
        if kind == "quote":
            parts, at = _string(text, at, line)
            found.append(_Token("string", parts, line))
        elif kind != "space":
            found.append(_Token(kind, match.group(), line))
        line += kind == "newline"
    return [*found, _Token("newline", "\n", line), _Token("end", "", line)]


def _string(text: str, at: int, line: int) -> tuple[list[Any], int]:
    """Return a string's literal pieces and parsed interpolations, and where it ends."""
    parts: list[Any] = [""]
    while text[at] != "'":
        if text[at] == "\n":
            raise Refused(f"line {line}: a string does not end")
        if text[at] == "\\":
            escaped = {"n": "\n", "'": "'", "\\": "\\", "$": "$"}.get(text[at + 1])
            if escaped is None:
                raise Refused(f"line {line}: an escape is not understood")
            parts[-1] += escaped
            at += 2
        elif text.startswith("${", at):
            end = text.index("}", at)
            parts += [_Parser(_tokens(text[at + 2 : end], line)).expression(), ""]
            at = end + 1
        else:
            parts[-1] += text[at]
            at += 1
    return parts, at + 1


# Expressions: each is a function of the scope that gives its value.

Expression = Callable[["_Scope"], Any]


@dataclass(frozen=True, slots=True)
class _Declaration:
    kind: str
    symbol: str
    what: str
    decorators: Mapping[str, Any]
    value: Expression | None
    loop: "_Loop | None" = None
    existing: bool = False


@dataclass(frozen=True, slots=True)
class _Loop:
    item: str
    index: str | None
    over: Expression
    body: Expression

    def run(self, scope: "_Scope") -> list[Any]:
        return [self.body(each) for each in self.scopes(scope)]

    def scopes(self, scope: "_Scope") -> "Iterator[_Scope]":
        for index, item in enumerate(self.over(scope)):
            yield scope.within({self.item: item} | ({self.index: index} if self.index else {}))


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def _next(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _sees(self, *values: str) -> bool:
        token = self._tokens[self._at]
        return token.kind in {"mark", "name", "newline"} and token.value in values

    def _takes(self, value: str) -> bool:
        if self._sees(value):
            self._at += 1
            return True
        return False

    def _must(self, value: str) -> None:
        if not self._takes(value):
            token = self._tokens[self._at]
            raise Refused(f"line {token.line}: {value!r} expected, not {token.value!r}")

    def _name(self) -> str:
        token = self._next()
        if token.kind != "name":
            raise Refused(f"line {token.line}: a name expected, not {token.value!r}")
        return str(token.value)

    def _literal(self) -> str:
        token = self._next()
        if token.kind != "string" or len(token.value) != 1:
            raise Refused(f"line {token.line}: a plain string expected")
        return str(token.value[0])

    def _newlines(self) -> None:
        while self._takes("\n"):
            pass

    def declarations(self) -> Iterator[_Declaration]:
        decorators: dict[str, Any] = {}
        self._newlines()
        while self._tokens[self._at].kind != "end":
            if self._takes("@"):
                name = self._name()
                self._must("(")
                decorators[name] = None if self._sees(")") else self.expression()
                self._must(")")
            else:
                yield self._declaration(decorators)
                decorators = {}
            self._must("\n")
            self._newlines()

    def _declaration(self, decorators: Mapping[str, Any]) -> _Declaration:
        kind = self._name()
        if kind == "targetScope":
            self._must("=")
            return _Declaration(kind, kind, "", decorators, self.expression())
        symbol, what = self._name(), ""
        if kind in {"param", "output"}:
            what = self._name()
        elif kind in {"resource", "module"}:
            what = self._literal()
        elif kind != "var":
            raise Refused(f"{kind} is not understood")
        if kind == "param" and not self._sees("="):
            return _Declaration(kind, symbol, what, decorators, None)
        existing = kind == "resource" and self._takes("existing")
        self._must("=")
        loop = self._loop() if kind in {"resource", "module"} and self._sees("[") else None
        return _Declaration(kind, symbol, what, decorators, None if loop else self.expression(), loop, existing)

    def _loop(self) -> _Loop:
        self._must("[")
        self._must("for")
        index = None
        if self._takes("("):
            item = self._name()
            self._must(",")
            index = self._name()
            self._must(")")
        else:
            item = self._name()
        self._must("in")
        over = self.expression()
        self._must(":")
        body = self.expression()
        self._must("]")
        return _Loop(item, index, over, body)

    def expression(self) -> Expression:
        condition = self._either()
        if not self._takes("?"):
            return condition
        yes = self.expression()
        self._must(":")
        no = self.expression()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _either(self) -> Expression:
        left = self._both()
        if self._sees("??"):
            raise Refused(f"line {self._tokens[self._at].line}: ?? is not understood")
        if self._takes("||"):
            right = self._either()
            return lambda scope: left(scope) or right(scope)
        return left

    def _both(self) -> Expression:
        left = self._equality()
        if self._takes("&&"):
            right = self._both()
            return lambda scope: left(scope) and right(scope)
        return left

    def _equality(self) -> Expression:
        left = self._unary()
        for mark, equal in (("==", True), ("!=", False)):
            if self._takes(mark):
                right = self._unary()
                return lambda scope: _equal(left(scope), right(scope)) is equal
        return left

    def _unary(self) -> Expression:
        if self._takes("!"):
            operand = self._unary()
            return lambda scope: not operand(scope)
        value = self._primary()
        while True:
            if self._takes("."):
                value = _member(value, self._name())
            elif self._takes("["):
                value = _element(value, self.expression())
                self._must("]")
            else:
                return value

    def _primary(self) -> Expression:
        if self._sees("{"):
            return self._object()
        if self._sees("["):
            ahead = self._tokens[self._at + 1]
            return self._loop().run if (ahead.kind, ahead.value) == ("name", "for") else self._array()
        token = self._next()
        if token.kind == "number":
            number = int(token.value)
            return lambda scope: number
        if token.kind == "string":
            return _joined(token.value)
        if token.kind != "name":
            raise Refused(f"line {token.line}: {token.value!r} is not understood")
        name = token.value
        if name in {"true", "false", "null"}:
            constant = {"true": True, "false": False, "null": None}[name]
            return lambda scope: constant
        if self._takes("("):
            return _call(name, self._arguments())
        if self._takes("=>"):
            body = self.expression()
            return lambda scope: lambda value: body(scope.within({name: value}))
        return lambda scope: scope.value(name)

    def _arguments(self) -> list[Expression]:
        found = []
        self._newlines()
        while not self._takes(")"):
            found.append(self.expression())
            self._newlines()
            if not self._sees(")"):
                self._must(",")
                self._newlines()
        return found

    def _object(self) -> Expression:
        members: list[tuple[Expression, Expression]] = []
        self._must("{")
        self._newlines()
        while not self._takes("}"):
            token = self._next()
            if token.kind not in {"name", "string"}:
                raise Refused(f"line {token.line}: a member's name expected, not {token.value!r}")
            name = _joined(token.value if token.kind == "string" else [token.value])
            self._must(":")
            members.append((name, self.expression()))
            self._end_of_element("}")
        return lambda scope: _members([(name(scope), value(scope)) for name, value in members])

    def _array(self) -> Expression:
        elements: list[Expression] = []
        self._must("[")
        self._newlines()
        while not self._takes("]"):
            elements.append(self.expression())
            self._end_of_element("]")
        return lambda scope: [each(scope) for each in elements]

    def _end_of_element(self, closing: str) -> None:
        if not self._sees(closing) and not self._takes(","):
            self._must("\n")
        self._newlines()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise Refused(f"a member comes twice among {', '.join(name for name, _ in pairs)}")
    return dict(pairs)


def _joined(parts: list[Any]) -> Expression:
    if len(parts) == 1:
        return lambda scope: parts[0]

    def join(scope: "_Scope") -> str:
        values = [each if isinstance(each, str) else each(scope) for each in parts]
        text = "".join(_within_text(each) for each in values)
        return Later(text) if any(isinstance(each, Later) for each in values) else text

    return join


def _within_text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise Refused("a text takes no object and no array")
    return "" if value is None else _text(value)


def _as_known(result: Any, made_of: Sequence[Any]) -> Any:
    """Return a text as ``Later`` if something of which it is made is."""
    later = isinstance(result, str) and any(isinstance(each, Later) for each in made_of)
    return Later(result) if later else result


def _member(value: Expression, name: str) -> Expression:
    return lambda scope: _get(value(scope), name)


def _element(value: Expression, index: Expression) -> Expression:
    return lambda scope: _get(value(scope), index(scope))


def _get(value: Any, key: Any) -> Any:
    try:
        return value.member(key) if isinstance(value, Resource | _Module) else value[key]
    except (KeyError, IndexError, TypeError):
        raise Refused(f"there is no {key}") from None


# Functions


def _fail(message: str) -> Any:
    raise Refused(message)


def _unique(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:13]


def _guid(*texts: str) -> str:
    return str(uuid.uuid5(_GUIDS, "-".join(texts)))


def _equal(one: Any, other: Any) -> bool:
    # Python takes true for 1.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _lower(text: str) -> str:
    # One character stays one: where Python makes two of it, Bicep leaves it alone.
    return "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, dict):
        return item.lower() in {name.lower() for name in container}
    if isinstance(container, str):
        return item in container
    return any(_equal(each, item) for each in container)


def _union(first: Any, second: Any) -> Any:
    if isinstance(first, list):
        return [*first, *(each for each in second if not _contains(first, each))]
    found = dict(first)
    for name, value in second.items():
        there = next((each for each in found if each.lower() == name.lower()), None)
        before = found.pop(there) if there is not None else None
        found[name] = _union(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def _to_object(
    items: Sequence[Any], key: Callable[[Any], str], value: Callable[[Any], Any] = lambda item: item
) -> dict[str, Any]:
    return _members([(key(item), value(item)) for item in items])


def _group_by(items: Sequence[Any], key: Callable[[Any], str]) -> dict[str, Any]:
    return {name: [each for each in items if key(each) == name] for name in map(key, items)}


def _text(value: Any) -> str:
    if value is None:
        raise Refused("there is no text of null")
    if isinstance(value, bool | str):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "contains": _contains,
    "empty": lambda value: not value,
    "endsWith": lambda text, end: text.lower().endswith(end.lower()),
    "environment": lambda: {"suffixes": {"storage": "core.windows.net"}},
    "fail": _fail,
    "filter": lambda items, keep: [each for each in items if keep(each)],
    "groupBy": _group_by,
    "guid": _guid,
    "length": len,
    "map": lambda items, change: [change(each) for each in items],
    "mapValues": lambda found, change: {name: change(value) for name, value in found.items()},
    "resourceGroup": lambda: {"id": f"{SUBSCRIPTION}/resourceGroups/rg", "name": "rg"},
    "string": _text,
    "subscription": lambda: {"id": SUBSCRIPTION, "tenantId": "00000000-0000-4000-8000-000000000002"},
    "subscriptionResourceId": lambda kind, name: f"{SUBSCRIPTION}/providers/{kind}/{name}",
    "toLower": _lower,
    "toObject": _to_object,
    "union": _union,
    "uniqueString": _unique,
}


def _call(name: str, arguments: list[Expression]) -> Expression:
    if name == "loadJsonContent":
        return lambda scope: json.loads(scope.file.sibling(arguments[0](scope)).text())
    if name not in _FUNCTIONS:
        raise Refused(f"the function {name} is not understood")

    def call(scope: "_Scope") -> Any:
        values = [each(scope) for each in arguments]
        try:
            return _as_known(_FUNCTIONS[name](*values), values)
        except (AttributeError, TypeError):
            raise Refused(f"{name} does not take these arguments") from None

    return call


# What is deployed


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as Azure would be asked for it.

    Attributes:
        file: the template it is from, relative to the project.
        type: such as ``Microsoft.Storage/storageAccounts``.
        api_version: such as ``2024-01-01``.
        body: its members, evaluated, ``name`` among them.
        parent: the resource that it is a part of.
        scope: the resource that it extends, if it is a role assignment.
        after: the resources of the modules for which its own module says that it waits.
        existing: whether it is only spoken of, and deployed elsewhere in the templates.
    """

    file: str
    type: str
    api_version: str
    body: Mapping[str, Any]
    parent: "Resource | None" = None
    scope: "Resource | None" = None
    after: "tuple[Resource, ...]" = ()
    existing: bool = False

    @property
    def name(self) -> str:
        """The name, without those of its parents."""
        name: str = self.body["name"]
        return name

    @property
    def properties(self) -> Mapping[str, Any]:
        """The member ``properties``; empty if there is none."""
        found: Mapping[str, Any] = self.body.get("properties", {})
        return found

    @property
    def id(self) -> str:
        """An id of the right shape."""
        if self.parent is not None:
            return f"{self.parent.id}/{self.type.rsplit('/', 1)[1]}/{self.name}"
        return f"{SUBSCRIPTION}/resourceGroups/rg/providers/{self.type}/{self.name}"

    def member(self, name: str) -> Any:
        """Return what ``symbol.name`` means in a template."""
        match name:
            case "id" | "name":
                return getattr(self, name)
            case "properties":
                answers = _ANSWERS.get(self.type, {})
                return {**self.properties, **{key: _later(answer(self)) for key, answer in answers.items()}}
        return self.body[name]


def _later(answer: Any) -> Any:
    return {key: _later(each) for key, each in answer.items()} if isinstance(answer, dict) else Later(answer)


_ANSWERS: Mapping[str, Mapping[str, Callable[[Resource], Any]]] = {
    "Microsoft.DocumentDB/databaseAccounts": {
        "documentEndpoint": lambda each: f"https://{each.name}.documents.azure.com:443/"
    },
    "Microsoft.Insights/components": {
        "ConnectionString": lambda each: (
            "InstrumentationKey=00000000-0000-4000-8000-00000000000c;"
            "IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/"
        )
    },
    "Microsoft.KeyVault/vaults/keys": {
        "keyUri": lambda each: f"https://{each.parent and each.parent.name}.vault.azure.net/keys/{each.name}"
    },
    "Microsoft.ManagedIdentity/userAssignedIdentities": {
        "clientId": lambda each: CLIENT_ID,
        "principalId": lambda each: PRINCIPAL_ID,
    },
    "Microsoft.Storage/storageAccounts": {
        "primaryEndpoints": lambda each: {"blob": f"https://{each.name}.blob.core.windows.net/"}
    },
    "Microsoft.Web/sites": {"defaultHostName": lambda each: f"{each.name}.azurewebsites.net"},
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the project, or what a test has put in its place."""

    root: Path
    path: PurePosixPath
    instead: Mapping[str, str]

    def sibling(self, relative: str) -> "_File":
        parts: list[str] = []
        for part in (self.path.parent / relative).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        return _File(self.root, PurePosixPath(*parts), self.instead)

    def text(self) -> str:
        instead = self.instead.get(str(self.path))
        return (self.root / self.path).read_text(encoding="utf-8") if instead is None else instead


@functools.cache  # most tests change one file of many
def _declarations(text: str) -> tuple[_Declaration, ...]:
    return tuple(_Parser(_tokens(text)).declarations())


class _Module:
    """One evaluated template file."""

    def __init__(self, file: _File, given: Mapping[str, Any], after: tuple[Resource, ...] = ()) -> None:
        try:
            declarations = _declarations(file.text())
        except Refused as error:
            raise Refused(f"{file.path}: {error}") from None
        self._declared = {each.symbol: each for each in declarations if each.kind != "output"}
        if len(self._declared) < sum(each.kind != "output" for each in declarations):
            raise Refused(f"{file.path}: a name is declared twice")
        self._outputs = {each.symbol: each.value for each in declarations if each.kind == "output"}
        if unknown := given.keys() - {each.symbol for each in declarations if each.kind == "param"}:
            raise Refused(f"{file.path}: there is no parameter {', '.join(sorted(unknown))}")
        self._scope = _Scope(file, self._declared, given, after)
        for each in declarations:
            if each.kind != "output":
                self._scope.value(each.symbol)

    def resources(self) -> Iterator[Resource]:
        for symbol, declared in self._declared.items():
            values = self._scope.value(symbol)
            for each in values if declared.loop else [values]:
                if isinstance(each, Resource):
                    yield each
                elif isinstance(each, _Module):
                    yield from each.resources()

    def outputs(self) -> dict[str, Any]:
        values = {name: value(self._scope) for name, value in self._outputs.items() if value is not None}
        return {name: Later(value) if isinstance(value, str) else value for name, value in values.items()}

    def member(self, name: str) -> Any:
        if name != "outputs":
            raise Refused(f"a module has no {name}")
        return self.outputs()


@dataclass(frozen=True, slots=True)
class _Scope:
    file: _File
    declared: Mapping[str, _Declaration]
    given: Mapping[str, Any]
    after: tuple[Resource, ...] = ()
    local: Mapping[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def within(self, local: Mapping[str, Any]) -> "_Scope":
        return _Scope(self.file, self.declared, self.given, self.after, {**self.local, **local}, self.made)

    def value(self, name: str) -> Any:
        if name in self.local:
            return self.local[name]
        if name not in self.made:
            if name not in self.declared:
                raise Refused(f"{self.file.path}: {name} is not declared")
            self.made[name] = self._make(self.declared[name])
        return self.made[name]

    def _make(self, declared: _Declaration) -> Any:
        outer = _Scope(self.file, self.declared, self.given, self.after, {}, self.made)
        if declared.kind == "param":
            return self._parameter(declared, outer)
        make = {"resource": self._resource, "module": self._module}.get(declared.kind)
        if make is None:
            assert declared.value is not None
            return declared.value(outer)
        if declared.loop:
            return [make(declared, declared.loop.body(each)) for each in declared.loop.scopes(outer)]
        assert declared.value is not None
        return make(declared, declared.value(outer))

    def _parameter(self, declared: _Declaration, outer: "_Scope") -> Any:
        where = f"{self.file.path}: {declared.symbol}"
        if declared.symbol in self.given:
            value = self.given[declared.symbol]
        elif declared.value is not None:
            value = declared.value(outer)
        else:
            raise Refused(f"{where} is missing")
        expected = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}[declared.what]
        if not isinstance(value, expected) or isinstance(value, bool) is not (expected is bool):
            raise Refused(f"{where} must be of type {declared.what}")
        for name, limit in declared.decorators.items():
            if name in _LIMITS and not _LIMITS[name](value, limit(outer)):
                raise Refused(f"{where} does not fit @{name}")
            if name not in _LIMITS and name not in {"description", "metadata"}:
                raise Refused(f"@{name} is not understood")
        return value

    def _resource(self, declared: _Declaration, body: Mapping[str, Any]) -> Resource:
        kind, _, version = declared.what.partition("@")
        if unknown := body.keys() - _MEMBERS:
            raise Refused(f"{self.file.path}: {declared.symbol} has {', '.join(sorted(unknown))}")
        members = {name: value for name, value in body.items() if name not in {"parent", "scope", "dependsOn"}}
        file, parent, scope = str(self.file.path), body.get("parent"), body.get("scope")
        return Resource(file, kind, version, members, parent, scope, self.after, declared.existing)

    def _module(self, declared: _Declaration, body: Mapping[str, Any]) -> _Module:
        waits = (each if isinstance(each, list) else [each] for each in body.get("dependsOn", []))
        after = tuple(each for modules in waits for module in modules for each in module.resources())
        return _Module(self.file.sibling(declared.what), body["params"], after)


_MEMBERS = {"name", "location", "tags", "kind", "sku", "identity", "properties", "parent", "scope", "dependsOn"}

_LIMITS: Mapping[str, Callable[[Any, Any], bool]] = {
    "allowed": lambda value, limit: value in limit,
    "batchSize": lambda value, limit: True,
    "maxLength": lambda value, limit: len(value) <= limit,
    "maxValue": lambda value, limit: value <= limit,
    "minLength": lambda value, limit: len(value) >= limit,
    "minValue": lambda value, limit: value >= limit,
}


def deploy(
    root: Path, template: str, parameters: Mapping[str, Any], instead: Mapping[str, str] | None = None
) -> tuple[list[Resource], dict[str, Any]]:
    """Return the resources and the outputs of a deployment.

    Args:
        root: the project's directory.
        template: the main template, relative to ``root``.
        parameters: the values of its parameters.
        instead: texts to take instead of files, by their paths relative to ``root``.

    Raises:
        Refused: if the templates are not understood, do not take the parameters, or speak of a resource as existing
            that is not among those deployed.
    """
    module = _Module(_File(root, PurePosixPath(template), instead or {}), parameters)
    resources = list(module.resources())
    deployed = [each for each in resources if not each.existing]
    if missing := {each.id for each in resources if each.existing} - {each.id for each in deployed}:
        raise Refused(f"nobody deploys {', '.join(sorted(missing))}")
    return deployed, module.outputs()
