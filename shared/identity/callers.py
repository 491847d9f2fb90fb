"""Who calls, and what that allows."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

TENANT_ADMIN_ROLES = (
    "62e90394-69f5-4237-9190-012177145e10",  # Global Administrator
    "11648597-926c-4cf3-9c36-bcebb0ba8dcc",  # Power Platform Administrator
    "44367163-eba1-44c3-98af-f5787879f96a",  # Dynamics 365 Administrator
)
"""Role template ids of Entra's built-in directory roles, the same in every tenant (claim ``wids``)."""

CAPTURES_WRITE = "Captures.Write"
OPERATIONS_READ = "Operations.Read"
CAPTURES_REVIEW = "Captures.Review"
CAPTURES_APPROVE = "Captures.Approve"


class Who(StrEnum):
    """Who may call an operation of the API."""

    TENANT_ADMIN = "tenant-admin"
    CAPTURE_SERVICE = "capture-service"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    APPROVER = "approver"


EVERYBODY: tuple[Who, ...] = ()
"""Stands for anyone at all, without a token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a valid token speaks for.

    Attributes:
        tenant_id: the token's ``tid``.
        object_id: the user's or service principal's ``oid``.
        app_id: the client's id, ``azp`` or ``appid``.
        is_app: no user is present.
        operated: the token is of the tenant that operates this service; only there do app roles count, because in any
            other tenant its own administrators could assign them.
        roles: app roles.
        directory_roles: role template ids.
        auth_contexts: the authentication contexts that the sign-in satisfied (``acrs``).
    """

    tenant_id: str
    object_id: str
    app_id: str
    is_app: bool
    operated: bool
    roles: frozenset[str]
    directory_roles: frozenset[str]
    auth_contexts: frozenset[str] = frozenset()

    def is_admin_of(self, tenant_id: str) -> bool:
        """Tell whether this is a user who administers ``tenant_id``."""
        return not self.is_app and self.tenant_id == tenant_id and self.admin_role is not None

    @property
    def admin_role(self) -> str | None:
        """The first of ``TENANT_ADMIN_ROLES`` that it has, on which its rights as an administrator rest."""
        return next((role for role in TENANT_ADMIN_ROLES if role in self.directory_roles), None)

    @property
    def is_capture_service(self) -> bool:
        """Whether this is a Copilot service that may post captures."""
        return self.operated and self.is_app and CAPTURES_WRITE in self.roles

    @property
    def is_operator(self) -> bool:
        """Whether this is a person or job that watches the service."""
        return self.operated and OPERATIONS_READ in self.roles

    @property
    def is_reviewer(self) -> bool:
        """Whether this is a person who may ask for review grants; an app cannot be."""
        return self.operated and not self.is_app and CAPTURES_REVIEW in self.roles

    @property
    def is_approver(self) -> bool:
        """Whether this is a person who may approve them."""
        return self.operated and not self.is_app and CAPTURES_APPROVE in self.roles

    def is_one_of(self, who: Collection[Who], tenant_id: str | None) -> bool:
        """Tell whether this is one of ``who`` where it is about ``tenant_id``, or about no tenant (None)."""
        return any(self._is(each, tenant_id) for each in who)

    def _is(self, who: Who, tenant_id: str | None) -> bool:
        match who:
            case Who.TENANT_ADMIN:
                return tenant_id is not None and self.is_admin_of(tenant_id)
            case Who.CAPTURE_SERVICE:
                return self.is_capture_service
            case Who.OPERATOR:
                return self.is_operator
            case Who.REVIEWER:
                return self.is_reviewer
            case Who.APPROVER:
                return self.is_approver
