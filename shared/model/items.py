"""What all items in Cosmos DB have in common: frozen, camelCase, and content-free (promise P8)."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel


def format_instant(instant: datetime) -> str:
    """Return ``instant`` as ISO 8601 in UTC, always with microseconds, so that texts sort as the instants do."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _in_utc(instant: datetime) -> datetime:
    if not 2000 < instant.year < 9000:
        raise ValueError("no instant of ours")  # what is left never overflows, whatever a deadline adds to it
    return instant.astimezone(UTC)


GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A tenant or object id, as Entra writes it: lower case."""


def tenant_in_log(tenant_id: object) -> str:
    """Return what a log may say of a tenant's id that comes from an item: somebody may have written content there."""
    return tenant_id if isinstance(tenant_id, str) and GUID.fullmatch(tenant_id) else "unknown"


STORAGE_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
"""A storage account's name."""

ENROLLMENT_ID = re.compile(r"[0-9a-f]{32}")

SHA256 = re.compile(r"[0-9a-f]{64}")

Instant = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(format_instant, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
TenantId = Annotated[str, StringConstraints(pattern=f"^{GUID.pattern}$")]
EnrollmentId = Annotated[str, StringConstraints(pattern=f"^{ENROLLMENT_ID.pattern}$")]
Sha256 = Annotated[str, StringConstraints(pattern=f"^{SHA256.pattern}$")]
PlaceName = Annotated[str, StringConstraints(max_length=64), WithJsonSchema({"type": "string"})]
"""The name of a geo or a storage account: never so long that an item which repeats it is too large for Cosmos DB."""


class Item(BaseModel):
    """A value that is stored as one Cosmos DB item, or as part of one."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    def to_json(self) -> dict[str, Any]:
        """Return the item's members as JSON values, in camelCase, absent where there is no value."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_json(cls, members: Any) -> Self:
        """Return the item that ``members`` describe.

        Raises:
            pydantic.ValidationError: if they do not describe one.
        """
        return cls.model_validate(members, by_alias=True, by_name=False)


class Kept(Protocol):
    """A value that is stored as an item of its own."""

    @property
    def named(self) -> Mapping[str, str]:
        """By what its container knows the item: its id, and its kind where there are several."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return its members, with the partition key among them."""
        ...


K = TypeVar("K", bound=Kept)


def item_of(value: Kept) -> dict[str, Any]:
    """Return the item that ``value`` is stored as."""
    return {**value.named, **value.to_json()}


def as_written(parse: Callable[[Any], K], item: Mapping[str, Any], *, whole: bool = False) -> K:
    """Return the value that an item holds, if it says just what we write for that value, and stands under its name.

    Queries compare what the item says, and rules what was read from it: whoever can write to the database must not make
    them see two different things. What the item does not say is a default that came later; what else it says is
    nothing of ours.

    Args:
        parse: returns the value that an item holds.
        item: as it is stored.
        whole: whether it must say all that we write, and nothing else but what Cosmos DB adds.

    Raises:
        ValueError: if it says anything in another way, or nobody understands it.
    """
    value = parse(item)
    written = item_of(value)
    if not (value.named.items() <= item.items() and _says(item, written)):
        raise ValueError("not as we write it")
    if whole and written.keys() != {name for name in item if not name.startswith("_")}:
        raise ValueError("not all that we write, or more")
    return value


def _says(found: Any, written: Any) -> bool:
    if isinstance(written, dict):
        return isinstance(found, Mapping) and all(
            _says(found[name], value) for name, value in written.items() if name in found
        )
    if isinstance(written, list):
        return isinstance(found, list) and len(found) == len(written) and all(map(_says, found, written))
    # To Python True is 1; to Cosmos DB, which knows one kind of number, 5.0 is 5.
    return isinstance(found, bool) == isinstance(written, bool) and bool(found == written)
