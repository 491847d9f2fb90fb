"""What the rules rely on in any ``CaptureStore``."""

import asyncio
from typing import Any

import pytest

from shared.model import deadlines
from shared.ports import CaptureStore, ConsentExpired, ContainerMissing, Put, StoreUnavailable
from tests.contract.items import new_name
from tests.world import permit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_accounts_name(captures: CaptureStore) -> None:
    assert captures.account == "steurope"


async def test_a_batch_needs_its_container(captures: CaptureStore) -> None:
    with pytest.raises(ContainerMissing):
        await captures.put_batch(permit(), new_name(), "batch", b"content", "hash")


async def test_a_batch_is_stored_once_and_told_from_another(captures: CaptureStore) -> None:
    name = new_name()
    await captures.create_container(permit(), name)
    assert await captures.put_batch(permit(), name, "batch", b"content", "hash-1") is Put.CREATED
    assert await captures.put_batch(permit(), name, "batch", b"content", "hash-1") is Put.SAME
    assert await captures.put_batch(permit(), name, "batch", b"else", "hash-2") is Put.OTHER
    assert await captures.put_batch(permit(), name, "other", b"else", "hash-2") is Put.CREATED


async def test_a_batch_is_found_by_its_name_and_told_from_another(captures: CaptureStore) -> None:
    name = new_name()
    assert await captures.find_batch(name, "batch", "hash-1") is None
    await captures.create_container(permit(), name)
    assert await captures.find_batch(name, "batch", "hash-1") is None
    await captures.put_batch(permit(), name, "batch", b"content", "hash-1")
    assert await captures.find_batch(name, "batch", "hash-1") is Put.SAME
    assert await captures.find_batch(name, "batch", "hash-2") is Put.OTHER


async def test_of_concurrent_uploads_exactly_one_creates(captures: CaptureStore) -> None:
    name = new_name()
    await asyncio.gather(*(captures.create_container(permit(), name) for _ in range(4)))
    puts = await asyncio.gather(*(captures.put_batch(permit(), name, "batch", b"content", "hash") for _ in range(8)))
    assert sorted(put.name for put in puts) == ["CREATED"] + ["SAME"] * 7


async def test_deleting_takes_all_and_may_be_repeated(captures: CaptureStore) -> None:
    name = new_name()
    assert await captures.delete_container(name) is False
    await captures.create_container(permit(), name)
    await captures.put_batch(permit(), name, "batch", b"content", "hash")
    assert await captures.delete_container(name) is True
    assert await captures.delete_container(name) is False
    with pytest.raises(ContainerMissing):
        await captures.put_batch(permit(), name, "batch", b"content", "hash")


async def test_a_shard_is_listed_oldest_day_first_across_pages(captures: CaptureStore) -> None:
    days = ["20261231", "20260101", "20261121", "20270101", "20261130"]
    names = [new_name(day, shard="c") for day in days]
    for name in [*names, new_name(shard="d")]:
        await captures.create_container(permit(), name)

    async def listed(**options: Any) -> list[str]:
        # Other tests may have left containers in the shard; their order is not ours to tell.
        found = [each async for each in captures.list_containers("c-", **options)]
        assert not any(each.deleted for each in found)
        assert all(each.name.startswith("c-") for each in found)
        return [each.name for each in found if each.name in names]

    async def by_pages(size: int) -> list[str]:
        marker, found = None, list[str]()
        while not found or marker is not None:
            page = await captures.container_page("c-", marker, page_size=size)
            assert len(page.containers) <= size
            found += [each.name for each in page.containers if each.name in names]
            marker = page.next_marker
        return found

    for options in ({"page_size": 2}, {"page_size": 5000}, {"include_deleted": True}):
        assert await listed(**options) == sorted(names)
    for size in (1, 2, 5000):
        assert await by_pages(size) == sorted(names), "each once"
    for name in names:
        await captures.delete_container(name)
    assert await listed(include_deleted=True) == []


async def test_p2_nothing_is_begun_on_a_permit_that_does_not_hold(captures: CaptureStore) -> None:
    name, late = new_name(), permit(deadlines.CONSENT_LEASE_SECONDS)
    with pytest.raises(ConsentExpired):
        await captures.create_container(late, name)
    assert [each async for each in captures.list_containers(name)] == []
    await captures.create_container(permit(), name)
    with pytest.raises(ConsentExpired):
        await captures.put_batch(late, name, "batch", b"content", "hash")
    assert list(await captures.list_batches(name, limit=1, after=None)) == []


async def test_p2_storage_itself_refuses_what_arrives_after_its_permit_has_expired(
    captures: CaptureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = new_name()
    await captures.create_container(permit(), name)
    monkeypatch.setattr(deadlines, "SIGNATURE_SECONDS", -1.0)
    with pytest.raises(StoreUnavailable, match="storage-Auth"):
        await captures.put_batch(permit(), name, "batch", b"content", "hash")
    monkeypatch.undo()
    assert list(await captures.list_batches(name, limit=1, after=None)) == []
    assert await captures.put_batch(permit(), name, "batch", b"content", "hash") is Put.CREATED
