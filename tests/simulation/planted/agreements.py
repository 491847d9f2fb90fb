"""Bugs in what is agreed to, and for how long it counts (P11)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.model.notices import Notice, Notices
from shared.ports import Permit
from shared.sharing.data_sharing import DataSharing
from tests.simulation.planted.registry import mutant, patched


@mutant("an agreement never runs out")
def _() -> Iterator[None]:
    with patched(Notices, "agreed_until", lambda self, version: datetime.max.replace(tzinfo=UTC)):
        yield


@mutant("an agreement counts a minute too long")
def _() -> Iterator[None]:
    agreed_until = Notices.agreed_until

    def longer(self: Notices, version: str | None) -> datetime | None:
        until = agreed_until(self, version)
        return until if until is None or until.year > 9000 or until.year < 2000 else until + timedelta(minutes=1)

    with patched(Notices, "agreed_until", longer):
        yield


@mutant("an agreement that runs out stops nothing that was let in")
def _() -> Iterator[None]:
    # Only whoever lets captures in looks at it, and neither the attempts nor the signature.
    expires = Permit.expires_at.fget  # type: ignore[attr-defined]

    def as_signed(self: Permit) -> datetime:
        signed: datetime = expires(Permit(self.setting, self.read_at, None))
        return signed

    with (
        patched(Permit, "holds", property(lambda self: self.is_fresh)),
        patched(Permit, "expires_at", property(as_signed)),
    ):
        yield


@mutant("any notice that there is can be agreed to")
def _() -> Iterator[None]:
    agreed_to = DataSharing._agreed_to

    def any_of_them(self: DataSharing, agreement: Any, now: datetime) -> Notice:
        named = None if agreement is None else self.notices.find(agreement.version)
        return agreed_to(self, agreement, now) if named is None else named

    with patched(DataSharing, "_agreed_to", any_of_them):
        yield
