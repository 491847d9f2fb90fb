"""What all items in Cosmos DB have in common: frozen, camelCase, and content-free (promise P8)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel


def format_instant(instant: datetime) -> str:
    """Return ``instant`` as ISO 8601 in UTC, always with microseconds, so that texts sort as the instants do."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Instant = Annotated[
    AwareDatetime,
    AfterValidator(lambda instant: instant.astimezone(UTC)),
    PlainSerializer(format_instant, when_used="json"),
]
TenantId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
EnrollmentId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


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
