"""P12 and P6: a receipt says what left in files before, and that copies outside are not covered by it."""

import hashlib
import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.grants import AccessDetails
from shared.model.selection import Selection
from shared.ports import UNREADABLE_ITEM, Conflict, StoreUnavailable
from shared.problems import NotFound
from shared.review.record import GrantRequest, Record
from tests.world import TENANT, World

REVIEWER, APPROVER = "reviewer", "approver"


async def shared_world() -> World:
    world = World()
    await world.opt_in()
    await world.post("hello")
    asked = GrantRequest("improve", "To see why formulas are refused so often.", 480)
    grant = await world.access.request(TENANT, REVIEWER, asked)
    await world.access.approve(TENANT, grant.grant_id, APPROVER)
    return world


async def opted_out_and_purged(world: World) -> str:
    event = await world.opt_out()
    await world.feed()
    await world.deletions.expedite(TENANT, event.enrollment_id, now=world.clock.now())
    await world.purge.run()
    return event.enrollment_id


async def proved(world: World, enrollment_id: str) -> Deletion:
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    await world.purge.run()
    return await world.deletions.get(TENANT, enrollment_id)


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_p6_a_receipt_counts_the_downloads_and_names_the_files_and_whoever_has_the_log_can_compare(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the log is read in several pages, and each is refused at first."""
    monkeypatch.setattr("shared.deletion.receipts._PAGE", page)
    world = await shared_world()
    downloads, calls = world.access_store.downloads, count()

    async def every_other(*args: Any, **how: Any) -> Any:
        if next(calls) % 2 == 0:
            raise StoreUnavailable("cosmos-429", throttled=True)
        return await downloads(*args, **how)

    world.access_store.downloads = every_other
    exporting = world.services().exporting
    exports = [await exporting.request(TENANT, REVIEWER, Selection()) for _ in range(2)]
    for export, times in zip(exports, (3, 1), strict=True):
        for _ in range(times):
            await exporting.download(TENANT, REVIEWER, export.export_id, 0, 10)
    deletion = await proved(world, await opted_out_and_purged(world))
    assert deletion.receipt is not None and deletion.receipt.downloads is not None
    told = deletion.receipt_claims["downloads"]
    log = (await world.access.log(TENANT, limit=100, before=None)).values
    records = [each.to_json() for each in reversed(log) if each.action == "exportDownloaded"]
    lines = "".join(json.dumps(each, sort_keys=True, separators=(",", ":")) + "\n" for each in records)
    assert told == {
        "records": 4,
        "sha256": list(dict.fromkeys(export.sha256 for export in exports)),
        "recordsHash": hashlib.sha256(lines.encode()).hexdigest(),
        "copiesCovered": False,
    }


async def test_p6_a_receipt_counts_all_downloads_from_the_logs_first_record_on_and_names_a_hundred_files() -> None:
    world = await shared_world()
    enrollment_id = await opted_out_and_purged(world)
    [record, *_] = (await world.access.log(TENANT, limit=100, before=None)).values
    files = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(101)]
    records = [record.model_copy(update={"sequence": n, "sha256": file}) for n, file in enumerate(files, 1)]

    async def downloads(*_: Any, limit: int, after: int) -> Any:
        return records[after : after + limit]

    world.access_store.downloads = downloads
    told = (await proved(world, enrollment_id)).receipt_claims["downloads"]
    assert (told["records"], told["sha256"]) == (101, files[:100])


async def test_p6_downloads_of_another_enrollment_are_not_counted() -> None:
    world = await shared_world()
    exporting = world.services().exporting
    export = await exporting.request(TENANT, REVIEWER, Selection())
    await exporting.download(TENANT, REVIEWER, export.export_id, 0, None)
    await world.opt_out()
    world.clock.move(timedelta(minutes=1))
    await world.opt_in()
    deletion = await proved(world, await opted_out_and_purged(world))
    assert deletion.receipt is not None and deletion.receipt.downloads is not None
    assert deletion.receipt.downloads.records == 0


async def test_p6_no_download_goes_on_the_record_once_the_receipt_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that found that it may be read, before all was purged, and commits its record only after the receipt."""
    world = await shared_world()
    exporting = world.services().exporting
    export = await exporting.request(TENANT, REVIEWER, Selection())
    commit, signed = world.access_store.commit, list[Deletion]()

    async def suspended(*args: Any, **how: Any) -> None:
        world.access_store.commit = commit
        signed.append(await proved(world, await opted_out_and_purged(world)))
        await commit(*args, **how)

    world.access_store.commit = suspended
    with pytest.raises(NotFound):
        await exporting.download(TENANT, REVIEWER, export.export_id, 0, None)
    assert signed[0].status == "verified"
    assert [each.action for each in world.access_store.records[TENANT]][-1] == "exportReady"


async def test_p6_nothing_is_signed_as_long_as_the_access_log_cannot_be_read() -> None:
    world = await shared_world()
    enrollment_id = await opted_out_and_purged(world)
    head = world.access_store.head

    async def failing(tenant_id: str) -> None:
        raise StoreUnavailable("cosmos-503")

    world.access_store.head = failing
    assert (await proved(world, enrollment_id)).status == "purged"

    async def moved(*args: Any, **how: Any) -> None:
        raise Conflict

    world.access_store.head, move = head, world.access_store.move_head
    world.access_store.move_head = moved
    left = await proved(world, enrollment_id)
    assert (left.status, left.last_error) == ("purged", "conflict")
    world.access_store.move_head = move
    world.clock.move(timedelta(hours=1))
    assert (await proved(world, enrollment_id)).status == "verified"


async def test_p6_a_tenant_of_whom_nothing_was_ever_asked_has_no_log_to_read() -> None:
    world = World()
    await world.opt_in()
    deletion = await proved(world, await opted_out_and_purged(world))
    assert deletion.receipt is not None and deletion.receipt.downloads is not None
    assert deletion.receipt.downloads.records == 0


async def test_p6_a_receipt_of_before_without_downloads_stays_good() -> None:
    world = await shared_world()
    deletion = await proved(world, await opted_out_and_purged(world))
    assert deletion.receipt is not None
    before = deletion.model_copy(update={"receipt": deletion.receipt.model_copy(update={"downloads": None})})
    claims = before.receipt_claims
    assert "downloads" not in claims
    signer = world.services().signer
    event = next(event for event in world.ledger.events[TENANT] if event.kind == "optedOut")
    assert before.proved_by(claims, await signer.sign(claims), event).receipt is not None


async def test_p7_what_a_look_has_come_to_is_told_only_while_it_may_be_seen() -> None:
    world = await shared_world()
    record: Record = world.access.record
    opened = await record.open(TENANT, REVIEWER, "searched")
    day = world.clock.now().date()
    assert await record.tell(opened, "found", [day], lambda live: AccessDetails(captures=len(live))) == {day}
    await opted_out_and_purged(world)
    with pytest.raises(NotFound):
        await record.tell(opened, "found", [], lambda live: AccessDetails(captures=2))
    assert world.access_store.records[TENANT][-1].captures == 1


@pytest.mark.parametrize("numbers", [(9, 5), (9, 9)])
async def test_p9_a_log_that_never_gets_any_further_holds_up_no_receipt_for_ever(
    numbers: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whatever it is made to hold, a page that brings nothing new is not read again and again."""
    monkeypatch.setattr("shared.deletion.receipts._PAGE", 2)
    world = await shared_world()
    enrollment_id = await opted_out_and_purged(world)
    [first, *_] = (await world.access.log(TENANT, limit=100, before=None)).values
    asked = list[int]()

    async def downloads(*_: Any, after: int = 0, **__: Any) -> Any:
        asked.append(after)
        return [first.model_copy(update={"sequence": n}) for n in numbers] if len(asked) < 100 else []

    world.access_store.downloads = downloads
    left = await proved(world, enrollment_id)
    assert (left.status, len(asked)) == ("purged", 1)
    assert (await world.purge.run())["steurope"].error == UNREADABLE_ITEM
