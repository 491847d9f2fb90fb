"""Where the sweep of an account is: what stands in its heartbeat's cursor."""

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from shared.model.containers import DayContainer, shard_of, shard_prefix
from shared.model.items import Item

_PREFIXES_MAX = 100


Prefix = Annotated[str, StringConstraints(pattern="^[0-9a-f]-([0-9]{8}-)?$")]
"""Of a day's names, or of a shard's."""


class Place(Item):
    """How far a round has come. It begins at the first name with nothing found.

    ``judged`` tells whether the whole account was judged; until then ``marker`` is of the next page of all names.
    ``found`` are the prefixes of the names under which there is something to drive out, or to tell, in their order;
    they are at most 100, or the shards. Once all is judged, ``marker`` is of the next page under the first of them.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    judged: bool = False
    marker: str | None = None
    found: Annotated[tuple[Prefix, ...], Field(max_length=_PREFIXES_MAX)] = ()

    @classmethod
    def parse(cls, cursor: str | None) -> Self | None:
        """Return the place that a cursor names; None for none, and for one that nobody of ours writes, or no more."""
        try:
            return None if cursor is None else cls.model_validate_json(cursor)
        except ValidationError:
            return None

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it: all is judged, and what was found is driven out."""
        return self.judged and not self.found

    @property
    def cursor(self) -> str:
        """The place as a text."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    def found_of(self, enrollment_id: str) -> list[DayContainer]:
        """Return what an enrollment would have on the days under which something was found."""
        parsed = [DayContainer.parse(f"{prefix}{enrollment_id}") for prefix in self.found]
        return [container for container in parsed if container is not None]

    def after_judging(self, next_marker: str | None, found: Iterable[DayContainer]) -> "Place":
        """Return the place after a page of all names, on which there was something."""
        prefixes = set(self.found)
        for container in found:
            if shard_prefix(shard_of(container.enrollment_id)) not in prefixes:
                prefixes.add(container.day_prefix)
        if len(prefixes) > _PREFIXES_MAX:
            prefixes = {shard_prefix(prefix[0]) for prefix in prefixes}
        return Place(judged=next_marker is None, marker=next_marker, found=tuple(sorted(prefixes)))

    def after_driving_out(self, next_marker: str | None) -> "Place":
        """Return the place after a page of the names under the first prefix."""
        return Place(judged=True, marker=next_marker, found=self.found[next_marker is None :])
