"""Items and names that no other test has."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from shared.model.deletion import Deletion
from shared.model.ledger import FIRST_PREVIOUS_HASH, Change, Enrollment, OptedIn, Setting
from tests.clocks import START


def deletion(
    tenant: str | None = None, account: str = "steurope", opted_out_at: datetime = START, **more: Any
) -> Deletion:
    deadline = opted_out_at + timedelta(days=30)
    values: dict[str, Any] = {
        "tenant_id": tenant or str(uuid.uuid4()),
        "enrollment_id": uuid.uuid4().hex,
        "sequence": 2,
        "ledger_hash": 64 * "a",
        "geo": "europe",
        "storage_account": account,
        "started_at": opted_out_at - timedelta(days=1),
        "opted_out_at": opted_out_at,
        "not_before": deadline - timedelta(days=2),
        "deadline": deadline,
    }
    return Deletion(**(values | more))


def new_account() -> str:
    return f"st{uuid.uuid4().hex[:20]}"


def opt_in(tenant: str, sequence: int = 1, shard: str = "") -> Change:
    enrollment_id = (shard + uuid.uuid4().hex)[:32]
    enrollment = Enrollment(enrollment_id=enrollment_id, geo="europe", storage_account="steurope", started_at=START)
    event = OptedIn(
        **dict(enrollment),
        tenant_id=tenant,
        sequence=sequence,
        at=START,
        actor="admin",
        previous_hash=FIRST_PREVIOUS_HASH,
    )
    return Change(Setting(tenant_id=tenant, sequence=sequence, enrollment=enrollment, since=START), event)


def new_name(day: str = "20261121", shard: str = "a") -> str:
    return f"{shard}-{day}-{shard}{uuid.uuid4().hex[1:]}"
