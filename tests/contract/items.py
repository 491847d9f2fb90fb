"""Items and names that no other test has."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from shared.model.deletion import Deletion
from shared.model.grants import AccessRecord, Purpose, ReviewGrant
from shared.model.ledger import FIRST_PREVIOUS_HASH, Change, Enrollment, OptedIn, OptedOut, Setting
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
        "status": "scheduled",
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


def record(tenant: str, sequence: int, **more: Any) -> AccessRecord:
    values: dict[str, Any] = {"at": START, "action": "read", "actor": "reviewer", "purpose": "build"}
    values["record_id"] = uuid.uuid4().hex
    return AccessRecord(tenant_id=tenant, sequence=sequence, **(values | more))


def grant(tenant: str, sequence: int, reviewer: str = "reviewer") -> ReviewGrant:
    return ReviewGrant(
        grant_id=uuid.uuid4().hex,
        tenant_id=tenant,
        enrollment_id=uuid.uuid4().hex,
        sequence=sequence,
        purpose=Purpose.IMPROVE,
        justification="line one\nline two \x1b[31m" + "ü" * 10,
        duration_minutes=60,
        requested_by=reviewer,
        requested_at=START,
    )


def opt_out(before: Change) -> Change:
    enrollment, sequence = before.setting.enrollment, before.setting.sequence + 1
    assert enrollment is not None
    tenant, at = before.setting.tenant_id, START + timedelta(microseconds=1)
    event = OptedOut(
        **dict(enrollment),
        tenant_id=tenant,
        sequence=sequence,
        at=at,
        actor="admin",
        previous_hash=before.event.hash,
        deadline=at + timedelta(days=30),
    )
    return Change(Setting(tenant_id=tenant, sequence=sequence, since=at, ledger_hash=event.hash), event)
