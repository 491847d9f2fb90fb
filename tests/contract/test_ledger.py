"""What the rules rely on in any ``LedgerStore``."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from shared.model.ledger import Change, Enrollment, OptedOut, Reappeared
from shared.ports import LOOKUP_MAX, Conflict, LedgerStore
from tests.clocks import START
from tests.contract.items import new_account, opt_in, opt_out

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def etag_of(ledger: LedgerStore, tenant: str) -> str:
    stored = await ledger.read_setting(tenant)
    assert stored is not None
    return stored.etag


async def test_a_tenant_never_seen_has_no_setting_and_no_history(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    assert await ledger.read_setting(tenant) is None
    assert (await ledger.history(tenant, limit=10, before=None)).values == []


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
    (committed,) = [each.at async for each in ledger.opt_outs_committed(0) if each.event == second.event]
    assert stored.at is not None and abs(stored.at - committed) <= 1, "of one batch, by the database's own clock"
    assert (await ledger.history(tenant, limit=10, before=None)).values == [second.event, first.event]


async def test_those_who_agreed_to_another_notice_are_found_by_tenant_and_no_others(ledger: LedgerStore) -> None:
    prefix = uuid.uuid4().hex[:8]
    # Nothing that other tests have stored comes between them, and all of theirs are passed over.
    tenants = [f"{prefix}-0000-4000-8000-{n:012x}" for n in range(6)]
    for tenant, notice in zip(tenants, ("new", "old", None, "old", "new", "old"), strict=True):
        change = opt_in(tenant)
        agreed = {"notice": notice}
        change = Change(change.setting.model_copy(update=agreed), change.event.model_copy(update=agreed))
        await ledger.commit(change, None)
    await ledger.commit(opt_out(opt_in(tenants[5])), await etag_of(ledger, tenants[5]))

    async def found(version: str, after: str, limit: int = 10) -> list[str]:
        settings = await ledger.agreed_to_others(version, limit=limit, after=after)
        return [each.tenant_id for each in settings if each.tenant_id.startswith(prefix)]

    before = f"{prefix}-0000-4000-7000-000000000000"
    assert await found("new", before) == tenants[1:4]
    assert await found("new", before, limit=2) == tenants[1:3]
    assert await found("new", tenants[2]) == tenants[3:4]
    assert await found("", before) == tenants[:5]


async def test_d20_an_account_has_enrollments_as_long_as_somebody_shares_data_there(ledger: LedgerStore) -> None:
    account, change = new_account(), opt_in(tenant := str(uuid.uuid4()))
    assert change.setting.enrollment is not None
    there = change.setting.enrollment.model_copy(update={"storage_account": account})
    await ledger.commit(Change(change.setting.model_copy(update={"enrollment": there}), change.event), None)
    assert await ledger.has_enrollment_in(account)
    assert not await ledger.has_enrollment_in(new_account())
    await ledger.commit(opt_out(change), await etag_of(ledger, tenant))
    assert not await ledger.has_enrollment_in(account), "the events of what has ended do not count"


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
    assert (await ledger.history(tenant, limit=10, before=None)).values == [second.event, first.event]
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
    assert len((await ledger.history(tenant, limit=10, before=None)).values) == 2


async def test_history_is_paged_by_sequence_across_ten(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    etag = None
    for sequence in range(1, 13):
        await ledger.commit(opt_in(tenant, sequence), etag)
        etag = await etag_of(ledger, tenant)
    pages = [(await ledger.history(tenant, limit=5, before=before)).values for before in (None, 8, 3)]
    assert [[event.sequence for event in page] for page in pages] == [[12, 11, 10, 9, 8], [7, 6, 5, 4, 3], [2, 1]]


async def test_an_event_that_was_read_back_has_the_hash_that_it_was_committed_with(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    first = opt_in(tenant)
    await ledger.commit(first, None)
    await ledger.commit(opt_out(first), await etag_of(ledger, tenant))
    second, again = (await ledger.history(tenant, limit=10, before=None)).values
    assert again.hash == first.event.hash == second.previous_hash
    stored = await ledger.read_setting(tenant)
    assert stored is not None and stored.value.ledger_hash == second.hash


@pytest.mark.campaign
async def test_the_ledgers_come_by_tenant_each_with_its_setting_and_events_by_sequence(ledger: LedgerStore) -> None:
    """Over more than a page, with sequences beyond nine."""
    tenants = sorted(str(uuid.uuid4()) for _ in range(90))
    for tenant in tenants:
        etag = None
        for sequence in range(1, 13):
            change = opt_in(tenant, sequence)
            await ledger.commit(change, etag)
            etag = await etag_of(ledger, tenant)
    found = {each.tenant_id: each async for each in ledger.ledgers("", at_most=13)}
    assert list(found) == sorted(found) and found.keys() >= set(tenants)
    for tenant in tenants:
        each = found[tenant]
        assert [event.sequence for event in each.events] == list(range(1, 13)) and each.unreadable == 0
        assert each.setting is not None and each.setting.sequence == 12 and each.whole
    parts = [each async for each in ledger.ledgers(tenants[4], at_most=12) if each.tenant_id in tenants]
    assert [each.tenant_id for each in parts] == tenants[5:]
    assert not any(each.whole for each in parts) and all(len(each.events) <= 12 for each in parts)


async def test_the_events_of_a_tenant_come_by_sequence_from_any_on(ledger: LedgerStore) -> None:
    """Over more than a page."""
    tenant = str(uuid.uuid4())
    etag = None
    for sequence in range(1, 131):
        await ledger.commit(opt_in(tenant, sequence), etag)
        etag = await etag_of(ledger, tenant)
    for after in (0, 1, 100, 129, 130):
        events = [event async for event in ledger.events_after(tenant, after)]
        assert [event and event.sequence for event in events] == list(range(after + 1, 131))


@pytest.mark.parametrize("wanted", [1, 3, LOOKUP_MAX])
async def test_the_events_of_some_enrollments_are_all_of_theirs_whosever_they_are_and_no_others(
    ledger: LedgerStore, wanted: int
) -> None:
    changes = [opt_in(str(uuid.uuid4())) for _ in range(4)]
    for change in changes:
        await ledger.commit(change, None)
    tenant = changes[0].event.tenant_id
    ended = opt_out(changes[0])
    await ledger.commit(ended, await etag_of(ledger, tenant))
    asked = [change.event.enrollment_id for change in changes[:3]]
    asked = (asked + [uuid.uuid4().hex for _ in range(LOOKUP_MAX)])[:wanted]
    found = [each async for each in ledger.events_of_enrollments(asked)]
    events = [ended.event, *(change.event for change in changes)]
    expected = [(event.enrollment_id, event) for event in events if event.enrollment_id in asked]
    assert len(found) == len(expected) and all(each in found for each in expected)


async def test_opt_outs_come_in_the_order_of_their_commits_whatever_instants_stand_in_them(ledger: LedgerStore) -> None:
    """And none but opt-outs; a range includes its first second and not its last."""
    changes = [opt_out(opt_in(str(uuid.uuid4()))) for _ in range(3)]
    events = [change.event for change in changes]
    for change in changes:
        first = opt_in(change.setting.tenant_id)
        await ledger.commit(first, None)
        await ledger.commit(change, await etag_of(ledger, first.setting.tenant_id))
    found = [each async for each in ledger.opt_outs_committed(0)]
    assert sorted(each.at for each in found) == [each.at for each in found]
    assert all(isinstance(each.event, OptedOut | None) for each in found)
    at = {each.event: each.at for each in found if each.event in events}
    assert at.keys() == set(events)
    last_commit = await ledger.last_commit()
    assert last_commit is not None and max(at.values()) <= last_commit
    since, before = at[events[0]], max(at.values()) + 1
    mine = [each.event async for each in ledger.opt_outs_committed(since, before) if each.event in events]
    assert mine[0] == events[0] or at[mine[0]] == since
    assert not [each async for each in ledger.opt_outs_committed(since, since)]
    assert events[0] not in [each.event async for each in ledger.opt_outs_committed(since + 1)]


def came_back(before: Change) -> Change:
    """Data of the enrollment that ``before`` has ended was there again."""
    ended = before.event
    event = Reappeared(
        **{name: getattr(ended, name) for name in (*Enrollment.model_fields, "tenant_id")},
        sequence=ended.sequence + 1,
        at=START + timedelta(hours=1),
        previous_hash=ended.hash,
        containers_found=2,
        proved_at=START,
    )
    after = before.setting.model_copy(update={"sequence": event.sequence, "ledger_hash": event.hash})
    return Change(after, event)


async def test_the_events_of_an_enrollment_are_all_of_its_own_and_nobody_elses(ledger: LedgerStore) -> None:
    tenant, other = str(uuid.uuid4()), str(uuid.uuid4())
    first = opt_in(tenant)
    second = opt_out(first)
    third = came_back(second)
    again = opt_in(tenant, 4)
    stranger = Change(
        first.setting.model_copy(update={"tenant_id": other}), first.event.model_copy(update={"tenant_id": other})
    )
    await ledger.commit(first, None)
    for change in (second, third, again):
        await ledger.commit(change, await etag_of(ledger, tenant))
    await ledger.commit(stranger, None)
    assert await ledger.events_of(tenant, first.event.enrollment_id) == [first.event, second.event, third.event]
    assert await ledger.events_of(tenant, again.event.enrollment_id) == [again.event]
    assert await ledger.events_of(tenant, uuid.uuid4().hex) == []
    assert await ledger.events_of(str(uuid.uuid4()), first.event.enrollment_id) == []


async def test_an_event_that_is_no_change_of_the_state_is_committed_like_any(ledger: LedgerStore) -> None:
    tenant = str(uuid.uuid4())
    first = opt_in(tenant)
    second = opt_out(first)
    third = came_back(second)
    await ledger.commit(first, None)
    stale = await etag_of(ledger, tenant)
    await ledger.commit(second, stale)
    with pytest.raises(Conflict):
        await ledger.commit(third, stale)
    await ledger.commit(third, await etag_of(ledger, tenant))
    assert (await ledger.history(tenant, limit=1, before=None)).values == [third.event]
    events = [event async for event in ledger.events_after(tenant, 0)]
    assert events == [first.event, second.event, third.event]
    stored = await ledger.read_setting(tenant)
    assert stored is not None and stored.value == third.setting
    found = [each.event async for each in ledger.opt_outs_committed(0)]
    assert second.event in found and third.event not in found
