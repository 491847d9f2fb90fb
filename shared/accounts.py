"""Which storage accounts this deployment serves, and for which geo: the one place that knows (P3, D20)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.configuration import AccountState
from shared.model.geos import GEOS
from shared.model.ledger import Enrollment
from shared.ports import CaptureStore
from shared.problems import GeoNotServed, UnknownGeo


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account, the geo that it is pinned to, and how long a day's captures are kept in it (P4).

    ``state`` is whether it takes new enrollments. Those that it has stay, and their captures go on being stored there.
    """

    geo: str
    store: CaptureStore
    retention_days: int
    state: AccountState = "open"

    @property
    def name(self) -> str:
        """The account's name, by which enrollments are pinned to it."""
        return self.store.account

    def holds(self, enrollment: Enrollment) -> bool:
        """Tell whether the captures of ``enrollment`` lie here.

        By the account's name and not by the geo, which may have several accounts.
        """
        return enrollment.storage_account == self.name

    def is_of_another_geo(self, enrollment: Enrollment) -> bool:
        """Tell whether the captures lie here and the setting gives this account to another geo: it was exchanged."""
        return self.holds(enrollment) and enrollment.geo != self.geo


@dataclass(frozen=True, slots=True)
class Accounts:
    """The served storage accounts, one or several for each served geo.

    Attributes:
        served: the accounts.
        retention_days: how long a day's captures are kept in them (P4).
        elsewhere: the addresses of the deployments that serve other geos.
    """

    served: Sequence[Account]
    retention_days: int
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Account]:
        return iter(self.served)

    def of(self, enrollment: Enrollment) -> CaptureStore:
        """Return the account in which the captures of ``enrollment`` lie, whether or not it takes new ones.

        Raises:
            GeoNotServed: if that is none of this deployment's.
        """
        for account in self:
            if account.holds(enrollment) and not account.is_of_another_geo(enrollment):
                return account.store
        raise GeoNotServed(GeoNotServed.TENANTS_GEO, self.elsewhere.get(enrollment.geo))

    def check_served(self, geo: str) -> None:
        """Go on if there may be enrollments in ``geo`` here, be it only those that there are.

        Raises:
            UnknownGeo: if there is no such geo.
            GeoNotServed: if this deployment does not serve it.
        """
        if geo not in GEOS:
            raise UnknownGeo()
        if all(account.geo != geo for account in self):
            raise GeoNotServed(GeoNotServed.GEO, self.elsewhere.get(geo))

    def open_in(self, geo: str) -> Sequence[Account]:
        """Return the accounts of ``geo`` that take new enrollments, by name."""
        found = [account for account in self if account.geo == geo and account.state == "open"]
        return sorted(found, key=lambda account: account.name)

    def for_opt_in(self, geo: str, enrollment_id: str) -> Account:
        """Return the account to which an enrollment in ``geo`` that begins now is pinned (D20).

        Raises:
            UnknownGeo: if there is no such geo.
            GeoNotServed: if this deployment does not serve it, or takes no new enrollments there.
        """
        self.check_served(geo)
        candidates = self.open_in(geo)
        if not candidates:
            raise GeoNotServed(GeoNotServed.CLOSED, self.elsewhere.get(geo))
        # Not by the id itself: its first digit is the shard, and all of a shard would lie in the same account.
        spread = int.from_bytes(hashlib.sha256(enrollment_id.encode()).digest()[:8])
        return candidates[spread % len(candidates)]
