"""Which storage accounts this deployment serves, and for which geo: the one place that knows (P3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shared.model.geos import GEOS
from shared.model.ledger import Enrollment
from shared.ports import CaptureStore
from shared.problems import GeoNotServed, UnknownGeo


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account, the geo that it is pinned to, and how long a day's captures are kept in it (P4)."""

    geo: str
    store: CaptureStore
    retention_days: int

    @property
    def name(self) -> str:
        """The account's name, by which enrollments are pinned to it."""
        return self.store.account

    def holds(self, enrollment: Enrollment) -> bool:
        """Tell whether the captures of ``enrollment`` lie here.

        By the account's name and not by the geo: should the geo get another account later, nobody would look here.
        """
        return enrollment.storage_account == self.name

    def is_of_another_geo(self, enrollment: Enrollment) -> bool:
        """Tell whether the captures lie here and the setting gives this account to another geo: it was exchanged."""
        return self.holds(enrollment) and enrollment.geo != self.geo


@dataclass(frozen=True, slots=True)
class Accounts:
    """The served storage accounts, one for each served geo.

    Attributes:
        stores: the account of each geo.
        retention_days: how long a day's captures are kept in them (P4).
        elsewhere: the addresses of the deployments that serve other geos.
    """

    stores: Mapping[str, CaptureStore]
    retention_days: int
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Account]:
        return iter([Account(geo, store, self.retention_days) for geo, store in self.stores.items()])

    def of(self, enrollment: Enrollment) -> CaptureStore:
        """Return the account in which the captures of ``enrollment`` lie.

        Raises:
            GeoNotServed: if that is none of this deployment's.
        """
        for account in self:
            if account.holds(enrollment) and not account.is_of_another_geo(enrollment):
                return account.store
        raise GeoNotServed(GeoNotServed.TENANTS_GEO, self.elsewhere.get(enrollment.geo))

    def for_opt_in(self, geo: str) -> Account:
        """Return the account to which an enrollment in ``geo`` that begins now is pinned.

        Raises:
            UnknownGeo: if there is no such geo.
            GeoNotServed: if this deployment does not serve it.
        """
        if geo not in GEOS:
            raise UnknownGeo()
        if geo not in self.stores:
            raise GeoNotServed(GeoNotServed.GEO, self.elsewhere.get(geo))
        return Account(geo, self.stores[geo], self.retention_days)
