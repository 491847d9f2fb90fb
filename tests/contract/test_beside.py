"""What the rules rely on in what lies beside the batches of any ``CaptureStore`` (P12)."""

import asyncio
from datetime import timedelta

import pytest

from shared.clock import Moment, SystemClock
from shared.model import deadlines
from shared.ports import (
    BatchMissing,
    CaptureStore,
    Conflict,
    ConsentExpired,
    ContainerMissing,
    ReviewPermit,
    StagedBlock,
    StoreUnavailable,
)
from tests.contract.items import new_name
from tests.world import permit

pytestmark = pytest.mark.asyncio(loop_scope="session")

BATCH = f"{7:032x}"


def look(minutes: float = 60) -> ReviewPermit:
    """A look at a grant that ends in so many minutes."""
    clock = SystemClock()
    return ReviewPermit(Moment.now(clock), clock.now() + timedelta(minutes=minutes))


async def new_container(captures: CaptureStore) -> str:
    name = new_name()
    await captures.create_container(permit(), name)
    return name


async def test_p12_what_lies_beside_is_replaced_only_by_who_has_read_it(captures: CaptureStore) -> None:
    name = await new_container(captures)
    assert await captures.read_beside(name, "labels") is None
    await captures.write_beside(look(), name, "labels", b"first", None)
    with pytest.raises(Conflict):
        await captures.write_beside(look(), name, "labels", b"other", None)
    read = await captures.read_beside(name, "labels")
    assert read is not None and read.value == b"first"
    await captures.write_beside(look(), name, "labels", b"second", read.etag)
    with pytest.raises(Conflict):
        await captures.write_beside(look(), name, "labels", b"third", read.etag)
    again = await captures.read_beside(name, "labels")
    assert again is not None and (again.value, again.etag != read.etag) == (b"second", True)


async def test_p12_of_writers_at_once_one_wins(captures: CaptureStore) -> None:
    name = await new_container(captures)
    ends = await asyncio.gather(
        *(captures.write_beside(look(), name, "labels", b"%d" % n, None) for n in range(5)), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["Conflict"] * 4 + ["NoneType"]


async def test_p12_what_was_deleted_is_not_replaced(captures: CaptureStore) -> None:
    name = await new_container(captures)
    await captures.write_beside(look(), name, "labels", b"first", None)
    read = await captures.read_beside(name, "labels")
    assert read is not None
    await captures.delete_beside(name, "labels")
    with pytest.raises(Conflict):
        await captures.write_beside(look(), name, "labels", b"second", read.etag)
    assert await captures.read_beside(name, "labels") is None
    await captures.delete_beside(name, "labels")  # again


async def test_p12_nothing_is_written_where_there_is_no_container(captures: CaptureStore) -> None:
    name = new_name()
    for written in (
        captures.write_beside(look(), name, "labels", b"late", None),
        captures.stage(look(), name, "export", "a", b"late"),
        captures.put_staged(look(), name, "export", []),
    ):
        with pytest.raises(ContainerMissing):
            await written
    await captures.delete_beside(name, "labels")
    for read in (
        captures.read_beside(name, "labels"),
        captures.staged(name, "export"),
        captures.size_of(name, "export"),
        captures.list_blobs(name, limit=5, after=None),
    ):
        with pytest.raises(ContainerMissing):
            await read
    assert [each async for each in captures.list_containers(name)] == []


async def test_p12_deleting_a_container_takes_what_lies_beside(captures: CaptureStore) -> None:
    name = await new_container(captures)
    await captures.write_beside(look(), name, "labels", b"first", None)
    await captures.stage(look(), name, "export", "a", b"piece")
    await captures.delete_container(name)
    await captures.create_container(permit(), name)
    assert list(await captures.list_blobs(name, limit=5, after=None)) == []
    assert list(await captures.staged(name, "export")) == []


async def test_p12_names_are_listed_in_their_order_a_batch_before_its_labels(captures: CaptureStore) -> None:
    name = await new_container(captures)
    other = f"{8:032x}"
    await captures.put_batch(permit(), name, other, b"content", "hash")
    await captures.write_beside(look(), name, f"{BATCH}-labels-1", b"labels", None)
    await captures.put_batch(permit(), name, BATCH, b"content", "hash")
    await captures.stage(look(), name, "export", "a", b"nobody sees that")
    names = [BATCH, f"{BATCH}-labels-1", other]
    assert list(await captures.list_blobs(name, limit=5, after=None)) == names
    assert list(await captures.list_blobs(name, limit=2, after=None)) == names[:2]
    assert list(await captures.list_blobs(name, limit=5, after=BATCH)) == names[1:]
    assert list(await captures.list_batches(name, limit=5, after=None)) == [BATCH, other]


async def test_p12_a_file_is_made_of_pieces_that_nobody_sees_before(captures: CaptureStore) -> None:
    name = await new_container(captures)
    pieces = {"00/02": b"first", "02/17": b"second", "17/18": b"third"}
    for piece, content in reversed(pieces.items()):
        await captures.stage(look(), name, "export", piece, content)
    await captures.stage(look(), name, "export", "02/17", b"second again")
    assert await captures.size_of(name, "export") is None
    staged = sorted(await captures.staged(name, "export"), key=lambda each: each.name)
    assert staged == [StagedBlock("00/02", 5), StagedBlock("02/17", 12), StagedBlock("17/18", 5)]
    await captures.put_staged(look(), name, "export", list(pieces))
    size = await captures.size_of(name, "export")
    assert size is not None and size.value == 22
    assert await captures.read_range(name, "export", size.etag, 0, 100) == b"firstsecond againthird"
    assert await captures.read_range(name, "export", size.etag, 5, 6) == b"second"
    assert list(await captures.staged(name, "export")) == staged
    with pytest.raises(Conflict):
        await captures.put_staged(look(), name, "export", [])
    with pytest.raises(BatchMissing):
        await captures.read_range(name, "export", '"0x1"', 0, 100)


async def test_p12_a_file_is_not_made_of_pieces_that_are_not_there(captures: CaptureStore) -> None:
    name = await new_container(captures)
    await captures.stage(look(), name, "export", "00/02", b"first")
    with pytest.raises(StoreUnavailable, match="storage-InvalidBlockList"):
        await captures.put_staged(look(), name, "export", ["00/02", "02/03"])
    assert await captures.size_of(name, "export") is None


async def test_p12_what_is_staged_goes_with_the_file(captures: CaptureStore) -> None:
    name = await new_container(captures)
    await captures.stage(look(), name, "export", "00/02", b"first")
    await captures.delete_beside(name, "export")
    assert list(await captures.staged(name, "export")) == []
    with pytest.raises(StoreUnavailable):
        await captures.put_staged(look(), name, "export", ["00/02"])
    await captures.stage(look(), name, "export", "00/02", b"first")
    await captures.put_staged(look(), name, "export", ["00/02"])
    await captures.delete_beside(name, "export")
    assert await captures.size_of(name, "export") is None
    with pytest.raises(BatchMissing):
        await captures.read_range(name, "export", '"0x1"', 0, 100)


async def test_p7_nothing_is_begun_on_a_look_that_does_not_hold(captures: CaptureStore) -> None:
    name = await new_container(captures)
    over = look(minutes=0)
    for written in (
        captures.write_beside(over, name, "labels", b"late", None),
        captures.stage(over, name, "export", "a", b"late"),
        captures.put_staged(over, name, "export", []),
    ):
        with pytest.raises(ConsentExpired):
            await written
    assert list(await captures.list_blobs(name, limit=5, after=None)) == []


async def test_p7_storage_itself_refuses_what_arrives_after_the_look_has_expired(
    captures: CaptureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await new_container(captures)
    await captures.stage(look(), name, "export", "00/02", b"first")
    monkeypatch.setattr(deadlines, "SIGNATURE_SECONDS", -1.0)
    for written in (
        captures.write_beside(look(), name, "labels", b"late", None),
        captures.stage(look(), name, "export", "a", b"late"),
        captures.put_staged(look(), name, "export", ["00/02"]),
    ):
        with pytest.raises(StoreUnavailable, match="storage-Auth"):
            await written
    monkeypatch.undo()
    assert list(await captures.list_blobs(name, limit=5, after=None)) == []
