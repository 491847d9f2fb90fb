"""How an account has to be set up: rules, each a declaration, and what they found.

The service holds its own accounts to those that a data plane shows; ``python -m audit posture`` holds a deployment to
all that Azure Resource Manager shows, by more rules of this kind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.model.items import Instant, Item

_FOUND_MAX = 120


class Outcome(StrEnum):
    """How a rule turned out. Only ``HOLDS`` and ``DEVELOPMENT`` leave the promises as they are."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNREADABLE = "unreadable"
    DEVELOPMENT = "development"
    """Not so, and not demanded, because the account is on this very machine."""


class Finding(Item):
    """What one rule found: ``found`` is a value, ``absent``, or the code of what kept it from being read."""

    path: Annotated[str, Field(alias="property")]
    found: str
    needed: str
    promises: tuple[str, ...]
    outcome: Outcome

    @property
    def holds(self) -> bool:
        """Whether the promises may rest on it."""
        return self.outcome in {Outcome.HOLDS, Outcome.DEVELOPMENT}


@dataclass(frozen=True, slots=True)
class Rule:
    """One property that promises rest on.

    Attributes:
        path: where it is in what was read: names with dots between them.
        needed: what it has to be, in words.
        promises: what rests on it.
        holds: tells whether a value is that; None means absent, and must be allowed on purpose.
        in_development: whether it is demanded of an account on this very machine too.
    """

    path: str
    needed: str
    promises: tuple[str, ...]
    holds: Callable[[Any], bool]
    in_development: bool = True

    def check(self, properties: Any, *, development: bool = False) -> Finding:
        """Return what the rule finds in ``properties``."""
        value = _at(properties, self.path)
        if self.holds(value):
            outcome = Outcome.HOLDS
        elif development and not self.in_development:
            outcome = Outcome.DEVELOPMENT
        else:
            outcome = Outcome.BROKEN if value is not None else Outcome.UNREADABLE
        return self._finding(_shown(value), outcome)

    def unreadable(self, code: str) -> Finding:
        """Return what there is to say if nothing could be read, which is no better than the opposite (fail closed)."""
        return self._finding(code, Outcome.UNREADABLE)

    def _finding(self, found: str, outcome: Outcome) -> Finding:
        return Finding(path=self.path, found=found, needed=self.needed, promises=self.promises, outcome=outcome)


def is_one_of(*values: str) -> Callable[[Any], bool]:
    """Return a test for one of some texts."""
    return lambda value: isinstance(value, str) and value in values


def is_off(value: Any) -> bool:
    """Tell whether somebody has said off; a switch that nobody has set is not known to be."""
    return value is False


def has_one(value: Any) -> bool:
    """Tell whether it is a list of one entry."""
    return isinstance(value, list) and len(value) == 1


KEPT = ("P4", "P5", "P6")
"""What breaks where storage keeps what was deleted."""

REPLICATION = Rule(
    "sku.name",
    "Standard_LRS or Standard_ZRS",
    ("P3",),
    is_one_of("Standard_LRS", "Standard_ZRS"),
    # An emulator is one directory, whatever kind of replication it claims.
    in_development=False,
)
LEDGER = ("tenants", "deletions", "access")
"""The containers in which nothing is ever deleted."""

LEDGER_KEPT = ("P6", "P9")
"""What breaks where an item of the ledger, a receipt or a record of access goes by itself."""

KIND = Rule("kind", "StorageV2", ("P4",), is_one_of("StorageV2"))

STORAGE_RULES = (
    REPLICATION,
    KIND,
    Rule("isHnsEnabled", "false", ("P6",), is_off),
    Rule("deleteRetentionPolicy.enabled", "false", KEPT, is_off),
    # Storage's own logs hold full addresses and callers. An emulator claims to write them, and writes none.
    Rule("logging.enabled", "false", ("P8",), is_off, in_development=False),
)
COSMOS_RULES = (
    Rule("consistencyPolicy.defaultConsistencyLevel", "Strong", ("P2",), is_one_of("Strong")),
    Rule("writeLocations", "1 entry", ("P2",), has_one),
    *(Rule(f"containers.{name}.expires", "false", LEDGER_KEPT, is_off) for name in LEDGER),
)


class PostureCheck(Item):
    """What the last check of an account found; without a ``storage_account`` it is that of the Cosmos DB account."""

    kind: Literal["posture"] = "posture"
    storage_account: str | None = None
    at: Instant
    development: bool
    findings: tuple[Finding, ...]

    @property
    def named(self) -> Mapping[str, str]:
        """See ``Kept``. Its container names it, which knows also the names that earlier versions gave."""
        return {}

    @property
    def times(self) -> Sequence[datetime]:
        """All instants at which it says that something happened."""
        return [self.at]

    @property
    def holds(self) -> bool:
        """Whether every promise may rest on this account."""
        return all(finding.holds for finding in self.findings)


def _at(properties: Any, path: str) -> Any:
    for name in path.split("."):
        properties = properties.get(name) if isinstance(properties, Mapping) else None
    return properties


def _shown(value: Any) -> str:
    match value:
        case None:
            return "absent"
        case bool():
            return str(value).lower()
        case list():
            return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
        case Mapping():
            return "an object"
    text = " ".join(str(value).split())
    return text if len(text) <= _FOUND_MAX else text[: _FOUND_MAX - 3] + "..."
