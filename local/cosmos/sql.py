"""Cosmos DB's SQL, as far as the project uses it, translated into conditions over SQLite's JSON functions.

Every scalar is a pair of its type's rank and its value, because Cosmos DB never coerces: values of different types are
unequal and not comparable, and what is undefined is neither. Conditions are therefore 1, 0 or NULL (undefined), and
SQLite's AND, OR and NOT then do what Cosmos DB's do. Paths and values are always bound, never part of the text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sqlglot import exp, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from local.cosmos.errors import Invalid, NotImplementedHere

UNDEFINED = object()

# The order of types in ORDER BY, lowest first; 0 is undefined.
_RANK = (
    "CASE json_type(body, {path}) WHEN 'null' THEN 1 WHEN 'false' THEN 2 WHEN 'true' THEN 2 WHEN 'integer' THEN 3"
    " WHEN 'real' THEN 3 WHEN 'text' THEN 4 WHEN 'array' THEN 5 WHEN 'object' THEN 6 END"
)
_TYPES = {"IS_DEFINED": "NOT NULL", "IS_NULL": "1", "IS_BOOL": "2", "IS_NUMBER": "3", "IS_STRING": "4"}
_BEFORE_TEXTS = {"IS_BOOL", "IS_NUMBER"}
_COMPARISONS: dict[type[exp.Expression], str] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_SELECT_MEMBERS = {"expressions", "from_", "where", "order", "offset", "limit"}


class _CosmosDialect(Dialect):
    class Tokenizer(tokens.Tokenizer):  # sqlglot finds it by this name
        QUOTES = ["'", '"']  # noqa: RUF012 (declared by sqlglot)
        IDENTIFIERS = ["`"]  # noqa: RUF012 (Cosmos DB has no quoted identifiers, sqlglot insists on one)
        STRING_ESCAPES = ["\\"]  # noqa: RUF012


@dataclass(frozen=True)
class Term:
    """SQLite expressions for a scalar: ``rank`` is NULL where it is undefined."""

    rank: str
    value: str

    @property
    def keys(self) -> tuple[str, str]:
        """What to order by, never NULL; a column first and as it is, so that SQLite's index on it has that order."""
        if self.rank.isdigit():
            return self.value, f"({self.rank} + 0)"  # a number alone would be that of a column of the result
        return f"COALESCE({self.rank}, 0)", f"COALESCE({self.value}, 0)"


# What every item has, always of one type, and what SQLite keeps in a column with an index.
_COLUMNS = {("id",): Term("4", "id"), ("_ts",): Term("3", "ts")}
_ORDERED = {"2", "3", "4"}
# What SQLite has an index on, as that spells it: looked up before types are compared.
_INDEXED: Mapping[tuple[str, ...], str] = {("status",): """'$."status"'"""}


@dataclass(frozen=True)
class Ordering:
    path: tuple[str, ...]
    term: Term
    descending: bool


@dataclass(frozen=True)
class Select:
    """A translated query. ``condition`` and ``ordering`` refer to ``bound`` by name.

    ``project`` makes a result of an item; with ``count``, there is one result, made of the number of items. With
    ``looks_up``, SQLite can look up in an index some of what the condition asks for.
    """

    condition: str
    ordering: tuple[Ordering, ...]
    bound: dict[str, Any]
    project: Callable[[dict[str, Any]], Any]
    count: Callable[[int], Any] | None
    is_value: bool
    skip: int
    take: int | None
    looks_up: bool

    @property
    def is_servable_across_ranges(self) -> bool:
        """Whether the answers of several ranges, one behind the other, are the answer."""
        return not (self.ordering or self.count or self.skip or self.take is not None)


def translate(text: str, parameters: Mapping[str, Any]) -> Select:
    """Translate a query.

    Args:
        text: the query, with parameters as ``@name``.
        parameters: their values by name, with the ``@``.

    Raises:
        NotImplementedHere: the query uses something that is not implemented, which the message names.
        Invalid: a parameter is missing or of the wrong type.
    """
    parsed = _parse(text)
    tree = parsed.tree
    for member, value in tree.args.items():
        if value and member not in _SELECT_MEMBERS:
            raise NotImplementedHere(f"{member.strip('_').upper()} in a query is not implemented.")
    source = tree.args.get("from_")
    table = source.this if source else None
    if not isinstance(table, exp.Table) or any(v for k, v in table.args.items() if v and k not in ("this", "alias")):
        raise NotImplementedHere("A query without a plain FROM is not implemented.")
    translation = _Translation(table.alias_or_name, parameters)
    count = _count(tree.expressions)
    where, order = tree.args.get("where"), tree.args.get("order")
    if count and (not parsed.is_value or order or parsed.top or tree.args.get("limit") or tree.args.get("offset")):
        raise NotImplementedHere("COUNT is implemented only as SELECT VALUE COUNT(1) without ORDER BY, TOP and LIMIT.")
    take = parsed.top or _expression(tree, "limit")
    skip = _expression(tree, "offset")
    condition = translation.condition(where.this) if where else "1"
    return Select(
        condition=condition,
        ordering=tuple(
            translation.ordering(node.this, descending=bool(node.args.get("desc")))
            for node in (order.expressions if order else ())
        ),
        bound=translation.bound,
        project=_no_item if count else translation.projection(tree.expressions, is_value=parsed.is_value),
        count=count,
        is_value=parsed.is_value,
        skip=translation.count(skip) if skip is not None else 0,
        take=translation.count(take) if take is not None else None,
        looks_up=translation.looks_up,
    )


@dataclass(frozen=True)
class Clauses:
    """A query's own text, cut to pieces; those from FROM on are empty if it has none, and begin with their words."""

    alias: str
    selected: str
    source: str
    where: str
    order_by: str
    limit: str


def clauses(text: str) -> Clauses:
    """Cut a query that could be translated."""
    words, _, _ = _without_cosmos_words(list(_CosmosDialect().tokenize(text)))
    # Where each clause begins; a property may be called like one.
    starts = {word.token_type: word.start for dot, word in pairwise(words) if dot.token_type != TokenType.DOT}
    limit = min((starts[kind] for kind in (TokenType.OFFSET, TokenType.LIMIT) if kind in starts), default=len(text))
    order = starts.get(TokenType.ORDER_BY, limit)
    where = starts.get(TokenType.WHERE, order)
    source = starts[TokenType.FROM]
    cuts = [words[1].start, source, where, order, limit, len(text)]
    selected, *others = [text[start:end].strip() for start, end in pairwise(cuts)]
    return Clauses(_parse(text).tree.args["from_"].this.alias_or_name, selected, *others)


@dataclass(frozen=True)
class _Parsed:
    tree: exp.Select
    is_value: bool
    top: exp.Expression | None


@lru_cache(maxsize=256)
def _parse(text: str) -> _Parsed:
    dialect = _CosmosDialect()
    try:
        words, is_value, top = _without_cosmos_words(list(dialect.tokenize(text)))
        trees = dialect.parser().parse(words, text)
    except (SqlglotError, RecursionError):
        raise NotImplementedHere("The query could not be parsed: its syntax is wrong or not implemented.") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Select):
        raise NotImplementedHere("Only a single SELECT is implemented.")
    return _Parsed(trees[0], is_value, top)


def _without_cosmos_words(words: list[Token]) -> tuple[list[Token], bool, exp.Expression | None]:
    """Take ``TOP n`` and ``VALUE`` out from behind SELECT: no dialect that sqlglot knows has both."""
    top: exp.Expression | None = None
    position = 1
    if len(words) > position and words[position].text.upper() == "TOP":
        is_parameter = words[position + 1].token_type == TokenType.PARAMETER
        number = words[position + (2 if is_parameter else 1)]
        top = exp.Parameter(this=exp.Var(this=number.text)) if is_parameter else exp.Literal.number(number.text)
        del words[position : position + (3 if is_parameter else 2)]
    is_value = len(words) > position and words[position].text.upper() == "VALUE"
    if is_value:
        del words[position]
    return words, is_value, top


def _expression(tree: exp.Select, member: str) -> exp.Expression | None:
    node = tree.args.get(member)
    return node.expression if node else None


def _count(nodes: list[exp.Expression]) -> Callable[[int], Any] | None:
    """What a query returns that counts: the number, or in a range ``[{"item": number}]``; None for any other query."""
    if len(nodes) != 1:
        return None
    if isinstance(nodes[0], exp.Count):
        return lambda number: number
    if [isinstance(value, exp.Count) for each in _objects(nodes[0]) or () for value in each.values()] == [True]:
        return lambda number: [{"item": number}]
    return None


def _objects(node: exp.Expression) -> list[dict[str, exp.Expression]] | None:
    """The members of each object in an array of objects; None for anything else."""
    if not isinstance(node, exp.Array) or not all(isinstance(each, exp.Struct) for each in node.expressions):
        return None
    return [{member.this.name: member.expression for member in each.expressions} for each in node.expressions]


def _no_item(_: dict[str, Any]) -> Any:
    raise AssertionError("a count has no items")


@dataclass
class _Translation:
    """One query's translation; collects what is to be bound."""

    alias: str
    parameters: Mapping[str, Any]
    bound: dict[str, Any] = field(default_factory=dict)
    looks_up: bool = False

    def condition(self, node: exp.Expression, *, negated: bool = False) -> str:
        """A condition that is 1, 0 or NULL.

        Args:
            node: what is translated.
            negated: whether it stands under a NOT, for which 0 and NULL are not the same: then it is not looked up.
        """
        if isinstance(node, exp.Paren):
            return self.condition(node.this, negated=negated)
        if isinstance(node, exp.And | exp.Or):
            word = "AND" if isinstance(node, exp.And) else "OR"
            sides = (self.condition(each, negated=negated) for each in (node.this, node.expression))
            return f"({f' {word} '.join(sides)})"
        if isinstance(node, exp.Not):
            return f"(NOT {self.condition(node.this, negated=True)})"
        looked_up = None if negated else self._looked_up(node)
        return looked_up or self._compared(node)

    def _compared(self, node: exp.Expression) -> str:
        if isinstance(node, exp.EQ | exp.NEQ):
            equal = _equal(self.term(node.this), self.term(node.expression))
            return equal if isinstance(node, exp.EQ) else f"(NOT {equal})"
        if type(node) in _COMPARISONS:
            return _compare(self.term(node.this), _COMPARISONS[type(node)], self.term(node.expression))
        return self._function_or_flag(node)

    def _looked_up(self, node: exp.Expression) -> str | None:
        """The same condition behind one that SQLite looks up in its index, as Cosmos DB would; None if there is none.

        The index has no types: undefined and null are both NULL there, and every number comes before every text. As
        ``unlikely``, or SQLite guesses that each of these conditions finds a part of all items.
        """
        if (
            isinstance(node, exp.Anonymous)
            and node.name.upper() in _BEFORE_TEXTS
            and self._is_indexed(*node.expressions)
        ):
            self.looks_up = True
            return f"(unlikely({self.term(node.expressions[0]).value} < '') AND {self._function_or_flag(node)})"
        operator = "=" if isinstance(node, exp.EQ) else _COMPARISONS.get(type(node))
        if operator is None or not self._is_indexed(node.this):
            return None
        term, other = self.term(node.this), self.term(node.expression)
        if other.rank not in _ORDERED:
            return None
        self.looks_up = True
        typed = _equal(term, other) if operator == "=" else _compare(term, operator, other)
        return f"(unlikely({term.value} {operator} {other.value}) AND {typed})"

    def _function_or_flag(self, node: exp.Expression) -> str:
        if isinstance(node, exp.In) and node.expressions:
            return self._any_equal(node.this, [self.term(choice) for choice in node.expressions])
        if isinstance(node, exp.ArrayContains) and isinstance(node.this, exp.Parameter):
            choices = self._value(node.this)
            if not isinstance(choices, list):
                raise Invalid("ARRAY_CONTAINS needs an array.")
            return self._any_equal(node.expression, [self._constant(choice) for choice in choices])
        if isinstance(node, exp.StartsWith):
            whole, start = self.term(node.this), self.term(node.expression)
            begins = f"substr({whole.value}, 1, length({start.value})) = {start.value}"
            return f"(CASE WHEN {whole.rank} = 4 AND {start.rank} = 4 THEN {begins} END)"
        if isinstance(node, exp.Anonymous) and node.name.upper() in _TYPES and len(node.expressions) == 1:
            return f"({self.path_term(node.expressions[0]).rank} IS {_TYPES[node.name.upper()]})"
        if isinstance(node, exp.Anonymous) and node.name.upper() == "REGEXMATCH" and len(node.expressions) == 2:
            text, pattern = (self.term(each) for each in node.expressions)
            return f"(CASE WHEN {text.rank} = 4 THEN {text.value} REGEXP {pattern.value} END)"
        if isinstance(node, exp.Column | exp.Dot | exp.Bracket | exp.Boolean):
            flag = self.term(node)
            return f"(CASE WHEN {flag.rank} = 2 THEN {flag.value} END)"
        raise NotImplementedHere(f"{_name(node)} in a condition is not implemented.")

    def _any_equal(self, node: exp.Expression, choices: list[Term]) -> str:
        term = self.term(node)
        if choices and term.rank.isdigit():  # so that SQLite can look them up
            return f"({term.value} IN ({', '.join(each.value for each in choices if each.rank == term.rank)}))"
        equal = f"({' OR '.join(_equal(term, choice) for choice in choices)})" if choices else "0"
        if choices and self._is_indexed(node) and all(choice.rank in _ORDERED for choice in choices):
            self.looks_up = True
            return f"({term.value} IN ({', '.join(choice.value for choice in choices)}) AND {equal})"
        return equal

    def _is_indexed(self, node: exp.Expression) -> bool:
        return isinstance(node, exp.Column) and self._path(node) in _INDEXED

    def term(self, node: exp.Expression) -> Term:
        """A path, a literal or a parameter."""
        if isinstance(node, exp.Paren):
            return self.term(node.this)
        if isinstance(node, exp.Column | exp.Dot | exp.Bracket):
            return self.path_term(node)
        return self._constant(self._value(node))

    def path_term(self, node: exp.Expression) -> Term:
        """A property of the item."""
        path = self._path(node)
        if path in _COLUMNS:
            return _COLUMNS[path]
        name = _INDEXED.get(path) or self._bind("$" + "".join(f'."{step}"' for step in path))
        return Term(_RANK.format(path=name), f"json_extract(body, {name})")

    def ordering(self, node: exp.Expression, *, descending: bool) -> Ordering:
        """An item of an ORDER BY."""
        return Ordering(self._path(node), self.path_term(node), descending)

    def count(self, node: exp.Expression) -> int:
        """The number of a TOP, OFFSET or LIMIT."""
        value = self._value(node)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
            raise Invalid("TOP, OFFSET and LIMIT need a whole number from 0 to 2147483647.")
        return value

    def projection(self, nodes: list[exp.Expression], *, is_value: bool) -> Callable[[dict[str, Any]], Any]:
        """What the query returns of an item, or ``UNDEFINED`` to leave it out."""
        if len(nodes) == 1 and isinstance(nodes[0], exp.Star) and not is_value:
            return lambda document: document
        if is_value:
            if len(nodes) != 1:
                raise NotImplementedHere("SELECT VALUE of several expressions is not implemented.")
            return self._shape(nodes[0])
        named = {}
        for node in nodes:
            if isinstance(node, exp.Alias):
                named[node.alias] = self._shape(node.this)
            else:
                path = self._path(node)
                named[(self.alias, *path)[-1]] = self._shape(node)
        return _object(named)

    def _shape(self, node: exp.Expression) -> Callable[[dict[str, Any]], Any]:
        """A property, or an array of objects with properties."""
        objects = _objects(node)
        if objects is None:
            path = self._path(node)
            return lambda document: _walk(document, path)
        shapes = [_object({name: self._shape(value) for name, value in members.items()}) for members in objects]
        return lambda document: [shape(document) for shape in shapes]

    def _path(self, node: exp.Expression) -> tuple[str, ...]:
        names = self._names(node)
        if names[0] != self.alias:
            raise Invalid(f"{names[0]} in the query is not the alias of its FROM.")
        if any(character in name for name in names for character in '"\\'):
            raise NotImplementedHere("Quotes and backslashes in property names are not implemented.")
        return names[1:]

    def _names(self, node: exp.Expression) -> tuple[str, ...]:
        if isinstance(node, exp.Column):
            return tuple(part.name for part in node.parts)
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
            return (*self._names(node.this), node.expression.name)
        if isinstance(node, exp.Bracket):
            key = node.expressions[0] if len(node.expressions) == 1 else None
            if isinstance(key, exp.Literal) and key.is_string:
                return (*self._names(node.this), key.name)
        raise NotImplementedHere(f"{_name(node)} where a property is expected is not implemented.")

    def _value(self, node: exp.Expression) -> Any:
        if isinstance(node, exp.Parameter):
            name = f"@{node.name}"
            if name not in self.parameters:
                raise Invalid(f"The query parameter {name} is missing.")
            return self.parameters[name]
        if isinstance(node, exp.Boolean):
            return bool(node.this)
        if isinstance(node, exp.Null):
            return None
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
            return -self._value(node.this)
        if isinstance(node, exp.Literal):
            return node.this if node.is_string else _number(node.this)
        raise NotImplementedHere(f"{_name(node)} as a value is not implemented.")

    def _constant(self, value: Any) -> Term:
        if isinstance(value, list | dict):
            raise NotImplementedHere("Arrays and objects as values in a condition are not implemented.")
        if isinstance(value, int) and abs(value) >= 1 << 63:
            value = float(value)  # beyond SQLite's integers; what it reads from JSON becomes a float likewise
        rank = 1 if value is None else 2 if isinstance(value, bool) else 4 if isinstance(value, str) else 3
        return Term(str(rank), self._bind(value))

    def _bind(self, value: Any) -> str:
        name = f"p{len(self.bound)}"
        self.bound[name] = value
        return f":{name}"


def _equal(left: Term, right: Term) -> str:
    if left.rank == right.rank and left.rank.isdigit():  # so that SQLite can look it up
        return f"({left.value} IS {right.value})"
    return (
        f"(CASE WHEN {left.rank} IS NULL OR {right.rank} IS NULL THEN NULL"
        f" ELSE {left.rank} = {right.rank} AND {left.value} IS {right.value} END)"
    )


def _compare(left: Term, operator: str, right: Term) -> str:
    if left.rank == right.rank and left.rank in _ORDERED:
        return f"({left.value} {operator} {right.value})"
    comparable = f"{left.rank} = {right.rank} AND {left.rank} BETWEEN 2 AND 4"
    return f"(CASE WHEN {comparable} THEN {left.value} {operator} {right.value} END)"


def _object(members: Mapping[str, Callable[[dict[str, Any]], Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def project(document: dict[str, Any]) -> dict[str, Any]:
        values = {name: shape(document) for name, shape in members.items()}
        return {name: value for name, value in values.items() if value is not UNDEFINED}

    return project


def _walk(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name, UNDEFINED) if isinstance(document, dict) else UNDEFINED
    return document


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _name(node: exp.Expression) -> str:
    return node.name.upper() if isinstance(node, exp.Anonymous) else type(node).__name__.upper()
