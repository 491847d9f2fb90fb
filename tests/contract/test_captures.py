"""What the rules rely on in any ``CaptureStore``."""

import asyncio
from typing import Any

import pytest

from shared.ports import CaptureStore, ContainerMissing, Put
from tests.contract.items import new_name

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_accounts_name(captures: CaptureStore) -> None:
    assert captures.account == "steurope"


async def test_a_batch_needs_its_container(captures: CaptureStore) -> None:
    with pytest.raises(ContainerMissing):
        await captures.put_batch(new_name(), "batch", b"content", "hash")


async def test_a_batch_is_stored_once_and_told_from_another(captures: CaptureStore) -> None:
    name = new_name()
    await captures.create_container(name)
    assert await captures.put_batch(name, "batch", b"content", "hash-1") is Put.CREATED
    assert await captures.put_batch(name, "batch", b"content", "hash-1") is Put.SAME
    assert await captures.put_batch(name, "batch", b"else", "hash-2") is Put.OTHER
    assert await captures.put_batch(name, "other", b"else", "hash-2") is Put.CREATED


async def test_of_concurrent_uploads_exactly_one_creates(captures: CaptureStore) -> None:
    name = new_name()
    await asyncio.gather(*(captures.create_container(name) for _ in range(4)))
    puts = await asyncio.gather(*(captures.put_batch(name, "batch", b"content", "hash") for _ in range(8)))
    assert sorted(put.name for put in puts) == ["CREATED"] + ["SAME"] * 7


async def test_deleting_takes_all_and_may_be_repeated(captures: CaptureStore) -> None:
    name = new_name()
    assert await captures.delete_container(name) is False
    await captures.create_container(name)
    await captures.put_batch(name, "batch", b"content", "hash")
    assert await captures.delete_container(name) is True
    assert await captures.delete_container(name) is False
    with pytest.raises(ContainerMissing):
        await captures.put_batch(name, "batch", b"content", "hash")


async def test_a_shard_is_listed_oldest_day_first_across_pages(captures: CaptureStore) -> None:
    days = ["20261231", "20260101", "20261121", "20270101", "20261130"]
    names = [new_name(day, shard="c") for day in days]
    for name in [*names, new_name(shard="d")]:
        await captures.create_container(name)

    async def listed(**options: Any) -> list[str]:
        # Other tests may have left containers in the shard; their order is not ours to tell.
        found = [each async for each in captures.list_containers("c-", **options)]
        assert not any(each.deleted for each in found)
        assert all(each.name.startswith("c-") for each in found)
        return [each.name for each in found if each.name in names]

    for options in ({"page_size": 2}, {"page_size": 5000}, {"include_deleted": True}):
        assert await listed(**options) == sorted(names)
    for name in names:
        await captures.delete_container(name)
    assert await listed(include_deleted=True) == []
