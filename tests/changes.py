"""What an administrator asks for, in tests that are about something else."""

from typing import Any

from shared.identity.callers import TENANT_ADMIN_ROLES
from shared.model.ledger import Administrator
from shared.model.notices import NOTICES, Agreement
from shared.sharing.data_sharing import RequestedChange

ADMIN = Administrator(actor="admin", channel="api", client_id="app", role=TENANT_ADMIN_ROLES[0])
AGREEMENT = Agreement(NOTICES.published[-1].version, "en")
AGREED = {"notice": AGREEMENT.version, "locale": AGREEMENT.locale}
"""The same as members of a body."""


def opting_in(geo: str, **more: Any) -> RequestedChange:
    return RequestedChange(True, ADMIN, geo, AGREEMENT, **more)


def opting_out(**more: Any) -> RequestedChange:
    return RequestedChange(False, ADMIN, **more)
