"""What the rules rely on in any ``LedgerStore``."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from shared.ledger import Change, Enrollment, OptedIn, OptedOut, Setting
from shared.stores.ports import Conflict, LedgerStore
from tests.clocks import START

pytestmark = pytest.mark.asyncio(loop_scope="session")


def opt_in(tenant: str, sequence: int = 1) -> Change:
    enrollment = Enrollment(enrollment_id=uuid.uuid4().hex, geo="europe", storage_account="steurope", started_at=START)
    event = OptedIn(**dict(enrollment), tenant_id=tenant, sequence=sequence, at=START, actor="admin")
    return Change(Setting(tenant_id=tenant, sequence=sequence, enrollment=enrollment, since=START), event)


def opt_out(before: Change) -> Change:
    enrollment, sequence = before.setting.enrollment, before.setting.sequence + 1
    assert enrollment is not None
    tenant, at = before.setting.tenant_id, START + timedelta(microseconds=1)
    event = OptedOut(
        **dict(enrollment), tenant_id=tenant, sequence=sequence, at=at, actor="admin", deadline=at + timedelta(days=30)
    )
    return Change(Setting(tenant_id=tenant, sequence=sequence, since=at), event)


async def etag_of(ledger: LedgerStore, tenant: str) -> str:
    stored = await ledger.read_setting(tenant)
    assert stored is not None
    return stored.etag


async def test_a_tenant_never_seen_has_no_setting_and_no_history(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    assert await ledger.read_setting(tenant) is None
    assert await ledger.history(tenant, limit=10, before=None) == []


async def test_what_was_committed_is_read_back_to_the_microsecond(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    first = opt_in(tenant)
    await ledger.commit(first, None)
    stored = await ledger.read_setting(tenant)
    assert stored is not None and stored.value == first.setting
    second = opt_out(first)
    await ledger.commit(second, stored.etag)
    stored = await ledger.read_setting(tenant)
    assert stored is not None and stored.value == second.setting and not stored.value.enabled
    assert await ledger.history(tenant, limit=10, before=None) == [second.event, first.event]


async def test_a_stale_etag_changes_neither_setting_nor_ledger(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    first = opt_in(tenant)
    await ledger.commit(first, None)
    stale = await etag_of(ledger, tenant)
    second = opt_out(first)
    await ledger.commit(second, stale)
    for change, etag in ((opt_in(tenant, 3), stale), (opt_in(tenant, 3), None), (opt_in(tenant, 1), None)):
        with pytest.raises(Conflict):
            await ledger.commit(change, etag)
    assert await ledger.history(tenant, limit=10, before=None) == [second.event, first.event]
    stored = await ledger.read_setting(tenant)
    assert stored is not None and stored.value == second.setting


async def test_an_event_that_exists_is_never_replaced_and_takes_the_setting_with_it(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    first = opt_in(tenant)
    await ledger.commit(first, None)
    with pytest.raises(Conflict):
        await ledger.commit(opt_in(tenant, 1), await etag_of(ledger, tenant))
    stored = await ledger.read_setting(tenant)
    assert stored is not None and stored.value == first.setting


async def test_of_concurrent_commits_exactly_one_wins(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    first = await asyncio.gather(*(ledger.commit(opt_in(tenant), None) for _ in range(8)), return_exceptions=True)
    assert first.count(None) == 1
    assert all(isinstance(each, Conflict) for each in first if each is not None)
    etag = await etag_of(ledger, tenant)
    second = await asyncio.gather(*(ledger.commit(opt_in(tenant, 2), etag) for _ in range(8)), return_exceptions=True)
    assert second.count(None) == 1
    assert len(await ledger.history(tenant, limit=10, before=None)) == 2


async def test_history_is_paged_by_sequence_across_ten(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    etag = None
    for sequence in range(1, 13):
        await ledger.commit(opt_in(tenant, sequence), etag)
        etag = await etag_of(ledger, tenant)
    pages = [await ledger.history(tenant, limit=5, before=before) for before in (None, 8, 3)]
    assert [[event.sequence for event in page] for page in pages] == [[12, 11, 10, 9, 8], [7, 6, 5, 4, 3], [2, 1]]
