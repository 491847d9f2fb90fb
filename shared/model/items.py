"""What all items in Cosmos DB have in common: frozen, camelCase, and content-free (promise P8)."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self

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
        return cls.model_validate(members)
