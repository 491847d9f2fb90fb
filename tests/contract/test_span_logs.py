"""What the rules rely on in the logs of any ``CaptureStore`` (D17)."""

import asyncio
import gzip
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.capture import compressed
from shared.ports import (
    BatchMissing,
    CaptureStore,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    Put,
    StoreUnavailable,
)
from shared.stores.memory import MemoryCaptures
from tests.contract.items import new_name
from tests.world import permit

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOG = "spans-1204"


async def new_log(captures: CaptureStore) -> str:
    """Return the name of a new container with an empty log."""
    name = new_name()
    await captures.create_container(permit(), name)
    await captures.create_log(permit(), name, LOG)
    return name


def batch_id(number: int) -> str:
    """Return the name of a batch; a real account lists nothing that has another form."""
    return f"{number:032x}"


async def test_d17_a_log_is_created_once_and_what_is_in_it_stays(captures: CaptureStore) -> None:
    name = await new_log(captures)
    assert await captures.append(permit(), name, LOG, b"first") == 0
    await captures.create_log(permit(), name, LOG)
    assert await captures.append(permit(), name, LOG, b"second") == 5
    assert await captures.read_log(name, LOG, 0) == b"firstsecond"


async def test_d17_of_concurrent_creations_none_fails(captures: CaptureStore) -> None:
    name = new_name()
    await captures.create_container(permit(), name)
    await asyncio.gather(*(captures.create_log(permit(), name, LOG) for _ in range(6)))
    assert await captures.append(permit(), name, LOG, b"first") == 0


async def test_d17_a_log_is_read_from_where_a_record_begins(captures: CaptureStore) -> None:
    name = await new_log(captures)
    starts = [await captures.append(permit(), name, LOG, record) for record in (b"one", b"three", b"x")]
    assert starts == [0, 3, 8]
    assert [await captures.read_log(name, LOG, start) for start in starts] == [b"onethreex", b"threex", b"x"]


async def test_d17_records_are_read_as_they_were_appended_however_they_are_compressed(captures: CaptureStore) -> None:
    name = await new_log(captures)
    records = [compressed([b'{"batch": "%d"}' % n]) for n in range(3)]
    starts = [await captures.append(permit(), name, LOG, record) for record in records]
    assert starts == [0, len(records[0]), len(records[0] + records[1])]
    assert await captures.read_log(name, LOG, starts[1]) == records[1] + records[2]
    assert gzip.decompress(await captures.read_log(name, LOG, 0)).splitlines()[2] == b'{"batch": "2"}'


async def test_d17_two_writers_appends_have_one_order_and_none_is_lost(captures: CaptureStore) -> None:
    name = await new_log(captures)

    async def write(writer: str) -> list[tuple[int, bytes]]:
        """Append records of several lengths, one after the other."""
        records = [f"<{writer}{n}{'.' * (n % 3)}>".encode() for n in range(10)]
        return [(await captures.append(permit(), name, LOG, record), record) for record in records]

    written = await asyncio.gather(*map(write, "abc"))
    appended = sorted(each for of_writer in written for each in of_writer)
    assert await captures.read_log(name, LOG, 0) == b"".join(record for _, record in appended)
    assert [start for start, _ in appended] == [
        sum(len(record) for _, record in appended[:n]) for n in range(len(appended))
    ]
    assert all(of_writer == sorted(of_writer) for of_writer in written), "each writer's own are in its order"


async def test_d17_logs_know_nothing_of_one_another(captures: CaptureStore) -> None:
    name, other = await new_log(captures), await new_log(captures)
    await captures.create_log(permit(), name, "spans-1205")
    await captures.append(permit(), name, LOG, b"one")
    assert await captures.append(permit(), name, "spans-1205", b"two") == 0
    assert await captures.append(permit(), other, LOG, b"three") == 0
    assert await captures.read_log(name, LOG, 0) == b"one"


async def test_d17_an_append_needs_its_log_and_a_log_its_container(captures: CaptureStore) -> None:
    name = new_name()
    with pytest.raises(ContainerMissing):
        await captures.create_log(permit(), name, LOG)
    with pytest.raises(ContainerMissing):
        await captures.append(permit(), name, LOG, b"record")
    with pytest.raises(ContainerMissing):
        await captures.read_log(name, LOG, 0)
    await captures.create_container(permit(), name)
    with pytest.raises(BatchMissing):
        await captures.append(permit(), name, LOG, b"record")
    with pytest.raises(BatchMissing):
        await captures.read_log(name, LOG, 0)


async def test_d17_nothing_is_written_to_a_container_that_is_being_deleted() -> None:
    captures = MemoryCaptures("steurope")  # Azurite deletes at once; what Azure answers is in test_failures.py
    name = await new_log(captures)
    captures.being_deleted.add(name)
    for call in (
        captures.create_log(permit(), name, LOG),
        captures.append(permit(), name, LOG, b"record"),
        captures.read_log(name, LOG, 0),
    ):
        with pytest.raises(ContainerBeingDeleted):
            await call


async def test_d17_a_log_is_no_batch(captures: CaptureStore) -> None:
    name = await new_log(captures)
    batches = [batch_id(n) for n in range(5)]
    for each in reversed(batches):
        assert await captures.put_batch(permit(), name, each, b"content", "hash") is Put.CREATED
    for n in range(4):  # "spans-..." comes after all batches, and pages end between them too
        await captures.create_log(permit(), name, f"spans-120{n}")
    assert list(await captures.list_batches(name, limit=99, after=None)) == batches
    listed: list[str] = []
    for _ in range(9):
        page = await captures.list_batches(name, limit=2, after=listed[-1] if listed else None)
        listed += page
        if len(page) < 2:
            break
    assert listed == batches


async def test_d17_a_container_with_logs_alone_has_no_batches(captures: CaptureStore) -> None:
    name = await new_log(captures)
    for n in range(4):
        await captures.create_log(permit(), name, f"spans-000{n}")
    assert list(await captures.list_batches(name, limit=1, after=None)) == []


async def test_d17_logs_go_with_their_container(captures: CaptureStore) -> None:
    name = await new_log(captures)
    await captures.append(permit(), name, LOG, b"record")
    assert await captures.delete_container(name) is True
    with pytest.raises(ContainerMissing):
        await captures.read_log(name, LOG, 0)
    await captures.create_container(permit(), name)
    with pytest.raises(BatchMissing):
        await captures.append(permit(), name, LOG, b"record")
    await captures.create_log(permit(), name, LOG)
    assert await captures.append(permit(), name, LOG, b"anew") == 0
    assert await captures.read_log(name, LOG, 0) == b"anew"


async def test_p2_nothing_is_sent_to_a_log_on_a_permit_that_does_not_hold(captures: CaptureStore) -> None:
    name, late = await new_log(captures), permit(deadlines.CONSENT_LEASE_SECONDS)
    with pytest.raises(ConsentExpired):
        await captures.create_log(late, name, "spans-1205")
    with pytest.raises(ConsentExpired):
        await captures.append(late, name, LOG, b"late")
    with pytest.raises(BatchMissing):
        await captures.read_log(name, "spans-1205", 0)
    assert await captures.append(permit(), name, LOG, b"record") == 0


async def test_p2_storage_itself_refuses_appends_and_logs_that_come_late(
    captures: CaptureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await new_log(captures)
    monkeypatch.setattr(deadlines, "SIGNATURE_SECONDS", -1.0)
    with pytest.raises(StoreUnavailable, match="storage-Auth"):
        await captures.create_log(permit(), name, "spans-1205")
    with pytest.raises(StoreUnavailable, match="storage-Auth"):
        await captures.append(permit(), name, LOG, b"late")
    monkeypatch.undo()
    with pytest.raises(BatchMissing):
        await captures.read_log(name, "spans-1205", 0)
    assert await captures.append(permit(), name, LOG, b"record") == 0


async def test_d17_an_empty_batch_takes_the_place_of_one_that_never_came(captures: CaptureStore) -> None:
    name: Any = await new_log(captures)
    void = compressed(())
    assert await captures.put_batch(permit(), name, batch_id(1), void, "void") is Put.CREATED
    assert await captures.put_batch(permit(), name, batch_id(1), compressed([b"{}"]), "true") is Put.OTHER
    assert await captures.find_batch(name, batch_id(1), "void") is Put.SAME
    assert await captures.find_batch(name, batch_id(1), "true") is Put.OTHER
    assert gzip.decompress(await captures.read_batch(name, batch_id(1))) == b""
    assert list(await captures.list_batches(name, limit=9, after=None)) == [batch_id(1)]
