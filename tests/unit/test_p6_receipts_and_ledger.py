"""P5, P6, P9: who can write to Cosmos DB but not use the key gets nothing false signed, and no edit goes unseen."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from audit.receipts import read_keys, read_receipt
from shared.model import deadlines
from shared.model.consent import ConsentRecord
from shared.model.deletion import FACTS, Deletion, Reappearance, Receipt
from shared.model.items import format_instant
from shared.model.ledger import OptedIn, OptedOut, Reappeared, Setting, event_from_json
from shared.ports import Conflict, Stored, StoreUnavailable, TenantDeletions
from shared.stores.receipt_keys import LocalSigner
from shared.sweep import ledger as ledger_sweep
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import SignedReceipts
from tests import world as worlds
from tests.unit.opt_outs import look_again, opted_out, purged
from tests.unit.sweeps import proved_again, put, swept, told, verified
from tests.world import OTHER_TENANT, SIGNER, TENANT, World

BEFORE = json.loads((Path(__file__).parent / "fixtures" / "before-receipts-by-ledger.json").read_text())
"""A tenant's ledger and its deletion as they were when a deletion kept for itself what came back."""

BEFORE_REAPPEARED = Deletion.from_json(BEFORE["cameBack"]).reappeared

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True, params=[1, 500], ids="{} at a time".format)
def _items_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a ledger is: as a whole or in parts it comes to the same."""
    monkeypatch.setattr(ledger_sweep, "_ITEMS_MAX", request.param)


def edit(world: World, deletion: Deletion, **members: Any) -> Deletion:
    """Write to the deletion's item past the service."""
    edited = deletion.model_copy(update=members)
    world.deletion_items.items[TENANT, deletion.enrollment_id] = Stored(edited, "by-hand")
    return edited


def with_receipt(deletion: Deletion, **members: Any) -> dict[str, Any]:
    assert deletion.receipt is not None
    return {"receipt": deletion.receipt.model_copy(update=members)}


async def of_tenant(world: World, deletion: Deletion) -> Deletion:
    return await world.deletions.get(TENANT, deletion.enrollment_id)


async def came_back(world: World, done: Deletion) -> None:
    """Let data be there again after a receipt, and a sweep find it."""
    world.clock.move(HOUR)
    put(world, "europe", done.enrollment_id, done.days[0])
    await world.sweep.run()


async def two_receipts() -> tuple[World, Deletion, Deletion]:
    """Return a world in which data came back once, with the deletion as it was proved first and as it is now."""
    world, first = await verified()
    await came_back(world, first)
    await proved_again(world)
    second = await of_tenant(world, first)
    assert second.receipt is not None and len(second.receipt.reappeared) == 1
    world.clock.move(HOUR)
    return world, first, second


# Before signing


async def test_p6_the_claims_are_those_of_the_event_and_of_the_looks_and_no_others() -> None:
    world, done = await verified()
    event = world.ledger.events[TENANT][-1]
    receipt = done.receipt
    assert receipt is not None
    claims = done.receipt_claims
    members = event.to_json()
    same = ("tenantId", "enrollmentId", "geo", "storageAccount", "startedAt", "deadline", "sequence")
    assert {name: claims[name] for name in same} == {name: members[name] for name in same}
    assert (claims["optedOutAt"], claims["ledgerHash"]) == (members["at"], event.hash)
    assert set(claims) - {*same, "optedOutAt", "ledgerHash"} == {
        "firstDay",
        "lastDay",
        "firstLookAt",
        "secondLookAt",
        "reappeared",
        "downloads",
    }


EDITS: list[Callable[[Deletion], dict[str, Any]]] = [
    lambda deletion: {"deadline": deletion.deadline + 60 * DAY},
    lambda deletion: {"geo": "unitedstates"},
    lambda deletion: {"started_at": deletion.started_at - DAY},
    lambda deletion: {"started_at": deletion.started_at + DAY},
    lambda deletion: {"opted_out_at": deletion.opted_out_at - DAY},
    lambda deletion: {"opted_out_at": deletion.opted_out_at + timedelta(seconds=1)},
    lambda deletion: {"sequence": 3},
    lambda deletion: {"ledger_hash": 64 * "a"},
    lambda deletion: {"reappeared": BEFORE_REAPPEARED},
    lambda deletion: {"purged_at": deletion.opted_out_at - DAY},
]


@pytest.mark.parametrize("change", EDITS)
async def test_p6_nothing_is_signed_that_does_not_follow_from_the_ledger_and_the_sweep_mends_it(
    change: Callable[[Deletion], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, deletion = await purged()
    edit(world, deletion, **change(deletion))
    signed: list[Any] = []

    class Recording:
        async def sign(self, claims: Any) -> str:
            signed.append(claims)
            return await SIGNER.sign(claims)

        public_keys = SIGNER.public_keys

    monkeypatch.setattr(worlds, "SIGNER", Recording())
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    heartbeat = (await world.purge.run())["steurope"]
    assert signed == [] and heartbeat.error == "deletion-disagrees"
    assert (await of_tenant(world, deletion)).receipt is None
    assert (await swept(world))["deletionsDisagreeing"] == 1
    assert (await world.status.report()).promises["P9"] is False
    world.clock.set(max(world.clock.now(), deletion.not_before))
    await proved_again(world)
    await proved_again(world)
    done = await of_tenant(world, deletion)
    assert (done.status, done.deadline, done.geo) == ("verified", deletion.deadline, "europe")
    assert (await swept(world)).keys() == {"ledgers"}


async def test_p6_an_account_that_somebody_named_gets_no_receipt_for_another() -> None:
    world, deletion = await purged()
    edit(world, deletion, storage_account="stunitedstates")
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    assert (await world.purge.run())["stunitedstates"].error == "deletion-disagrees"
    assert (await swept(world))["deletionsDisagreeing"] == 1
    await proved_again(world)
    assert (await of_tenant(world, deletion)).storage_account == "steurope"


@pytest.mark.parametrize("events", [0, 2])
async def test_p6_without_one_opt_out_on_the_ledger_nothing_is_signed(events: int) -> None:
    world, deletion = await purged()
    ledger = world.ledger.events[TENANT]
    ledger[1:] = events * [ledger[1]]
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    assert (await world.purge.run())["steurope"].error == "deletion-without-event"
    assert (await of_tenant(world, deletion)).status == "purged"


async def test_p6_an_event_from_a_time_to_come_gets_no_receipt() -> None:
    world, _ = await purged()
    event = world.ledger.events[TENANT][-1]
    world.ledger.events[TENANT][-1] = event.model_copy(update={"at": event.at + 60 * DAY})
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    assert (await world.purge.run())["steurope"].error == "deletion-disagrees"


async def test_p6_a_ledger_that_cannot_be_read_is_no_reason_to_sign() -> None:
    world, deletion = await purged()
    events_of = world.ledger.events_of

    async def unreadable(*of: str) -> Any:
        raise StoreUnavailable("cosmos-item-unreadable")

    world.ledger.events_of = unreadable
    assert (await look_again(world, deletion)).status == "purged"
    world.ledger.events_of = events_of
    assert (await look_again(world, deletion)).status == "verified"


async def test_p5_a_deadline_that_somebody_moved_forward_is_moved_back_by_nobody() -> None:
    world, deletion = await opted_out()
    sooner = edit(world, deletion, deadline=deletion.deadline - 5 * DAY)
    for _ in range(2):
        assert (await swept(world))["deletionsDisagreeing"] == 1, "and it is told until it is finished"
        assert await of_tenant(world, deletion) == sooner
    world.clock.set(deletion.not_before)
    await proved_again(world)
    done = await of_tenant(world, deletion)
    assert done.status == "verified" and done.receipt_claims["deadline"] == deletion.to_json()["deadline"]
    assert (await swept(world)).keys() == {"ledgers"}


async def test_p6_a_first_and_last_day_are_those_of_the_enrollment_whatever_was_found() -> None:
    world, deletion = await purged()
    put(world, "europe", deletion.enrollment_id, deletion.days[-1] + 9 * DAY)
    await look_again(world, deletion)
    await look_again(world, deletion)
    edit(world, await of_tenant(world, deletion), more_days=(deletion.days[0] - 900 * DAY,))
    done = await look_again(world, deletion)
    assert done.receipt is not None
    assert (done.receipt.first_day, done.receipt.last_day) == (deletion.days[0], deletion.days[-1])


async def test_p6_a_crash_between_deletes_and_their_record_makes_no_receipt_false() -> None:
    world, deletion = await opted_out()
    world.clock.set(deletion.not_before)
    replace = world.deletion_items.replace

    async def failing(*change: Any) -> None:
        raise StoreUnavailable("cosmos-timeout")

    world.deletion_items.replace = failing
    await world.purge.run()
    assert world.stored_containers() == {}
    world.deletion_items.replace = replace
    await proved_again(world)
    done = await of_tenant(world, deletion)
    assert done.status == "verified"
    assert "containersDeleted" not in done.receipt_claims and done.receipt is not None
    assert "containersDeleted" not in done.receipt.to_json()
    assert done.containers_deleted == 0, "the run that knew better could not tell; nobody signs this"


# Data that came back


async def test_p6_what_came_back_is_an_event_of_the_chain_before_anything_is_deleted() -> None:
    world, done = await verified()
    world.clock.move(HOUR)
    container = put(world, "europe", done.enrollment_id, done.days[0])
    store, ledger = world.stores["europe"], world.ledger
    delete = store.delete_container
    known: list[int] = []

    async def watched(name: str) -> bool:
        known.append(len(told(world)))
        return await delete(name)  # type: ignore[no-any-return]

    store.delete_container = watched
    found_at = world.clock.now()
    await world.sweep.run()
    assert known == [1] and container not in store.containers
    [event] = told(world)
    assert done.receipt is not None
    assert (event.at, event.containers_found, event.proved_at) == (found_at, 1, done.receipt.second_look_at)
    assert (event.enrollment_id, event.geo, event.storage_account) == (done.enrollment_id, "europe", "steurope")
    assert (event.sequence, event.previous_hash) == (3, ledger.events[TENANT][1].hash)
    setting = ledger.settings[TENANT].value
    assert (setting.sequence, setting.ledger_hash, setting.enabled) == (3, event.hash, False)
    assert setting.since == done.opted_out_at, "the tenant's state has not changed"
    assert "reappeared" not in (await of_tenant(world, done)).to_json()
    assert (await world.data_sharing.history(TENANT, limit=1, before=None)).values == [event]
    assert (await swept(world)).keys() == {"ledgers"}


async def test_p1_a_tenant_that_has_opted_in_again_goes_on_sharing() -> None:
    world, done = await verified()
    setting = await world.opt_in()
    await came_back(world, done)
    now = world.ledger.settings[TENANT].value
    assert (now.enrollment, now.since) == (setting.enrollment, setting.since)
    assert now.sequence == setting.sequence + 1
    await world.post(key="after")
    assert (await swept(world)).keys() == {"ledgers"}
    event = await world.opt_out()
    assert event.previous_hash == told(world)[0].hash
    assert await world.feed() == 1, "an event of data that came back is no opt-out"
    assert (await swept(world)).keys() == {"ledgers"}


async def test_p6_what_came_back_while_the_tenant_changes_its_mind_is_told_once() -> None:
    world, done = await verified()
    commit = world.ledger.commit

    async def overtaken(change: Any, etag: str | None) -> None:
        if isinstance(change.event, Reappeared):
            world.ledger.commit = commit
            await world.opt_in()
        await commit(change, etag)

    world.ledger.commit = overtaken
    await came_back(world, done)
    kinds = [event.kind for event in world.ledger.events[TENANT]]
    assert kinds == ["optedIn", "optedOut", "optedIn", "reappeared"]
    assert world.ledger.settings[TENANT].value.enabled


async def test_p6_a_tenant_that_never_comes_to_rest_keeps_what_came_back_until_it_is_told() -> None:
    world, done = await verified()

    async def busy(change: Any, etag: str | None) -> None:
        raise Conflict

    world.ledger.commit = busy
    world.clock.move(HOUR)
    put(world, "europe", done.enrollment_id, done.days[0])
    assert (await world.sweep.run())["steurope"].error == "conflict"
    assert told(world) == [] and world.stored_containers() != {}


async def test_p6_what_came_back_cannot_be_told_to_a_ledger_whose_setting_is_gone() -> None:
    world, done = await verified()
    setting = world.ledger.settings.pop(TENANT)
    at = world.clock.now()
    with pytest.raises(StoreUnavailable) as refused:
        await Reappearances(world.ledger).tell(
            world.ledger.events[TENANT][-1], Reappearance(at=at, containers_found=1, proved_at=at)
        )
    assert refused.value.code == "ledger-unsound" and told(world) == []
    world.ledger.settings[TENANT] = setting
    assert await of_tenant(world, done) == done


async def test_p6_what_was_told_and_not_opened_again_is_opened_by_the_next_sweep() -> None:
    """A sweep died between the two, and retention has deleted what had come back."""
    world, done = await verified()
    replace = world.deletion_items.replace

    async def failing(*change: Any) -> None:
        raise StoreUnavailable("cosmos-timeout")

    world.deletion_items.replace = failing
    await came_back(world, done)
    assert len(told(world)) == 1 and await of_tenant(world, done) == done
    world.stores["europe"].containers.clear()
    world.deletion_items.replace = replace
    assert "receiptsInvalid" not in await swept(world), "it may be about to be opened"
    world.clock.move(deadlines.FEED_GRACE)
    assert (await swept(world))["receiptsInvalid"] == 1
    await proved_again(world)
    again = await of_tenant(world, done)
    assert again.receipt is not None and len(again.receipt.reappeared) == 1


async def test_p6_a_forged_receipt_lets_nothing_be_deleted_before_its_time_nor_told_on_the_ledger() -> None:
    world, deletion = await opted_out()
    at = world.clock.now()
    receipt = Receipt(first_day=at.date(), last_day=at.date(), first_look_at=at, second_look_at=at, jws="x")
    edit(world, deletion, status="verified", purged_at=at, receipt=receipt)
    before, tenants = world.stored_containers(), world.deletion_items.tenants

    async def failing(after: str, *, at_most: int) -> AsyncIterator[TenantDeletions]:
        if at_most:
            raise StoreUnavailable("cosmos-timeout")
        yield TenantDeletions(TENANT, [])

    world.deletion_items.tenants = failing
    assert (await world.sweep.run())["steurope"].outcome == "done"
    assert world.stored_containers() == before and told(world) == [], "though the sweep of the ledger did not meet it"
    world.deletion_items.tenants = tenants
    assert (await swept(world))["receiptsInvalid"] == 1
    assert world.stored_containers() == before and told(world) == []
    assert await of_tenant(world, deletion) == deletion


# After signing: each edit is found by the next sweep, and mended where the ledger knows better


def _altered(deletion: Deletion) -> dict[str, Any]:
    assert deletion.receipt is not None
    return with_receipt(deletion, second_look_at=deletion.receipt.second_look_at - DAY)


BESIDE_A_TRUE_SIGNATURE: list[Callable[[Deletion], dict[str, Any]]] = [
    lambda deletion: {"deadline": deletion.deadline + 60 * DAY},
    lambda deletion: {"deadline": deletion.deadline - DAY},
    lambda deletion: {"geo": "unitedstates"},
    lambda deletion: {"opted_out_at": deletion.opted_out_at - DAY},
    lambda deletion: {"purged_at": deletion.opted_out_at},
    lambda deletion: {"purged_at": None},
    lambda deletion: {"ledger_hash": 64 * "a"},
    lambda deletion: with_receipt(deletion, last_day=deletion.days[-1] + DAY),
    lambda deletion: with_receipt(deletion, reappeared=BEFORE_REAPPEARED),
    lambda deletion: with_receipt(deletion, containers_deleted=700),
    _altered,
]


@pytest.mark.parametrize("change", BESIDE_A_TRUE_SIGNATURE)
async def test_p6_facts_altered_beside_a_true_signature_are_reported_and_set_back(
    change: Callable[[Deletion], dict[str, Any]],
) -> None:
    world, done = await verified()
    altered = change(done)
    edit(world, done, **altered)
    disagreeing = {"deletionsDisagreeing": 1} if altered.keys() & {*FACTS, "deadline"} else {}
    assert await swept(world) == {"ledgers": 1, "receiptsInvalid": 1, **disagreeing}
    report = await world.status.report()
    assert (report.promises["P6"], report.findings["receiptsInvalid"]) == (False, 1)
    assert await of_tenant(world, done) == done
    assert (await swept(world)).keys() == {"ledgers"}


def _flipped(jws: str) -> str:
    return jws[:-8] + ("AAAA" if jws[-8:-4] != "AAAA" else "BBBB") + jws[-4:]


@pytest.mark.parametrize("jws", [lambda _: "x", _flipped, lambda jws: jws.rpartition(".")[0] + "."])
async def test_p6_a_signature_that_is_none_is_reported_and_all_is_proved_anew(jws: Callable[[str], str]) -> None:
    world, done = await verified()
    assert done.receipt is not None
    edit(world, done, **with_receipt(done, jws=jws(done.receipt.jws)))
    assert (await swept(world))["receiptsInvalid"] == 1
    assert (await world.status.report()).promises["P6"] is False
    assert (await of_tenant(world, done)).status == "scheduled"
    await proved_again(world)
    again = await of_tenant(world, done)
    assert (again.status, again.deadline) == ("verified", done.deadline)
    assert (await swept(world)).keys() == {"ledgers"}


async def test_p6_the_receipt_of_another_enrollment_is_none() -> None:
    world, done = await verified()
    await world.opt_in()
    event = await world.opt_out()
    await world.feed()
    other = await world.deletions.get(TENANT, event.enrollment_id)
    forged = edit(world, other, status="verified", purged_at=done.purged_at, receipt=done.receipt)
    assert (await swept(world))["receiptsInvalid"] == 1
    assert await of_tenant(world, forged) == other


async def test_p6_an_older_receipt_that_denies_what_came_back_is_reported_and_all_is_proved_anew() -> None:
    world, first, second = await two_receipts()
    edit(world, first)
    assert (await swept(world))["receiptsInvalid"] == 1
    await proved_again(world)
    again = await of_tenant(world, second)
    assert again.receipt is not None and second.receipt is not None
    assert again.receipt.reappeared == second.receipt.reappeared


async def test_p6_who_takes_what_came_back_out_of_a_deletion_changes_no_receipt() -> None:
    world, done = await verified()
    await came_back(world, done)
    opened = await of_tenant(world, done)
    edit(world, opened, reappeared=(), more_days=(), containers_deleted=0)
    await proved_again(world)
    again = await of_tenant(world, done)
    assert again.receipt is not None and len(again.receipt.reappeared) == 1


async def test_p6_an_event_of_what_came_back_that_is_gone_from_the_ledger_contradicts_its_receipt() -> None:
    """The newest event, the setting: the tail. Before the receipt nothing would show."""
    world, _, second = await two_receipts()
    setting = world.ledger.settings[TENANT].value
    world.ledger.events[TENANT].pop()
    last = world.ledger.events[TENANT][-1]
    rewritten = setting.model_copy(update={"sequence": last.sequence, "ledger_hash": last.hash})
    world.ledger.settings[TENANT] = Stored(rewritten, "by-hand")
    for _ in range(2):
        assert dict(await swept(world)) == {"ledgers": 1, "receiptsInvalid": 1}
        assert await of_tenant(world, second) == second, "evidence, for people to judge"


async def test_p9_what_came_back_without_its_opt_out_on_the_ledger_is_a_fault_of_the_ledger_and_no_failure() -> None:
    world, done = await verified()
    await came_back(world, done)
    del world.ledger.events[TENANT][1]
    heartbeat = (await world.sweep.run())[None]
    assert heartbeat.outcome == "done"
    faults = {"eventsMissing": 1, "settingsDisagreeing": 1, "deletionsWithoutEvent": 1}
    assert heartbeat.counts == {"ledgers": 1, **faults}


async def test_p6_a_true_receipt_that_contradicts_the_ledger_stays_and_is_reported_each_time() -> None:
    world, done = await verified()
    later = done.model_copy(update={"deadline": done.deadline + 60 * DAY})
    signed_once = later.signed(await SIGNER.sign(later.receipt_claims))
    edit(world, signed_once)
    for _ in range(2):
        assert (await swept(world))["receiptsInvalid"] == 1
        assert await of_tenant(world, done) == signed_once


async def test_p6_a_second_look_in_times_to_come_is_not_believed() -> None:
    world, done = await verified()
    assert done.receipt is not None
    ahead = done.model_copy(update=with_receipt(done, second_look_at=world.clock.now() + HOUR))
    edit(world, ahead.signed(await SIGNER.sign(ahead.receipt_claims)))
    assert (await swept(world))["receiptsInvalid"] == 1
    assert (await of_tenant(world, done)).status == "scheduled"


@pytest.mark.parametrize(("ahead", "believed"), [(timedelta(seconds=60), True), (timedelta(seconds=61), False)])
async def test_p6_a_purge_in_times_to_come_is_not_believed_and_done_anew(ahead: timedelta, believed: bool) -> None:
    world, deletion = await purged()
    edited = edit(world, deletion, purged_at=world.clock.now() + ahead)
    assert (await swept(world)).get("deletionsDisagreeing", 0) == (not believed)
    found = await of_tenant(world, deletion)
    assert found == edited if believed else (found.status, found.purged_at) == ("scheduled", None)
    await proved_again(world)
    await proved_again(world)
    assert (await of_tenant(world, deletion)).status == "verified"


# A signature under a key that is not published: nobody can check it

NOBODYS = LocalSigner([ECKey.generate_key("P-256")])


async def under_nobodys_key(world: World, deletion: Deletion, **claims: Any) -> Deletion:
    """Write a receipt into a deletion, that claims what follows from the ledger, or other things."""
    event = next(each for each in world.ledger.events[TENANT] if each.id == f"event-{deletion.sequence:09d}")
    assert isinstance(event, OptedOut)
    now = world.clock.now()
    first_look = max(now - HOUR, event.at)
    emptied = deletion.model_copy(update={"purged_at": first_look})
    forged = emptied.verified(first_look + deadlines.SECOND_LOOK_DELAY, event, told(world))
    jws = await NOBODYS.sign({**forged.receipt_claims, **claims})
    # What stands beside it says the same, so that nobody sees a difference.
    shown = Receipt.from_json({**forged.receipt_claims, **claims, "jws": jws})
    return edit(world, deletion, status="verified", purged_at=shown.first_look_at, receipt=shown)


def _at(instant: datetime) -> str:
    return format_instant(instant)


FALSE: list[Callable[[Deletion, datetime], dict[str, Any]]] = [
    lambda deletion, now: {"ledgerHash": 64 * "a"},
    lambda deletion, now: {"deadline": _at(deletion.deadline + 60 * DAY)},
    lambda deletion, now: {"geo": "unitedstates"},
    lambda deletion, now: {"enrollmentId": 32 * "0"},
    lambda deletion, now: {"tenantId": OTHER_TENANT},
    lambda deletion, now: {"secondLookAt": _at(now + 70 * 365 * DAY)},
    lambda deletion, now: {"secondLookAt": _at(now + timedelta(seconds=61))},
    lambda deletion, now: {"firstLookAt": _at(deletion.opted_out_at - DAY)},
    lambda deletion, now: {"firstLookAt": _at(now - 9 * MINUTE), "secondLookAt": _at(now - 5 * MINUTE)},
    lambda deletion, now: {
        "reappeared": [{"at": _at(now - DAY), "containersFound": 1, "provedAt": _at(now - 2 * DAY)}]
    },
]


@pytest.mark.parametrize("change", FALSE)
async def test_p6_a_receipt_under_an_unknown_key_that_does_not_follow_from_the_ledger_is_none(
    change: Callable[[Deletion, datetime], dict[str, Any]],
) -> None:
    world, deletion = await opted_out()
    world.clock.move(HOUR)
    await under_nobodys_key(world, deletion, **change(deletion, world.clock.now()))
    assert (await swept(world))["receiptsInvalid"] == 1
    assert await of_tenant(world, deletion) == deletion and told(world) == []
    assert (await swept(world)).keys() == {"ledgers"}


@pytest.mark.parametrize("jws", ["{header}.W10.AAAA", "{header}.e30.AAAA", "{header}.AAAA.AAAA"])
async def test_p6_a_receipt_under_an_unknown_key_that_nobody_can_read_is_none(jws: str) -> None:
    world, deletion = await opted_out()
    forged = await under_nobodys_key(world, deletion)
    assert forged.receipt is not None
    header = forged.receipt.jws.partition(".")[0]
    edit(world, forged, **with_receipt(forged, jws=jws.replace("{header}", header)))
    assert (await swept(world))["receiptsInvalid"] == 1
    assert await of_tenant(world, deletion) == deletion


async def test_p6_what_stands_beside_a_signature_that_nobody_can_check_is_what_it_says_or_it_is_none() -> None:
    world, deletion = await opted_out()
    world.clock.move(HOUR)
    forged = await under_nobodys_key(world, deletion)
    assert forged.receipt is not None
    edit(world, forged, **with_receipt(forged, second_look_at=world.clock.now()))
    assert (await swept(world))["receiptsInvalid"] == 1
    assert await of_tenant(world, deletion) == deletion


async def test_p6_a_receipt_under_an_unknown_key_that_does_follow_is_reported_each_time_and_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version of the key that is disabled lets nothing begin again that it has signed."""
    world, done = await verified()
    monkeypatch.setattr(worlds, "SIGNER", NOBODYS)
    assert "receiptsInvalid" not in await swept(world), "a new version shows only after a while"
    world.clock.move(deadlines.FEED_GRACE)
    for _ in range(2):
        assert (await swept(world))["receiptsInvalid"] == 1
        assert await of_tenant(world, done) == done
    report = await world.status.report()
    assert (report.promises["P6"], report.findings["receiptsInvalid"]) == (False, 2)


@pytest.mark.parametrize(
    ("ahead", "believed"), [(timedelta(seconds=60), True), (timedelta(seconds=61), False), (70 * 365 * DAY, False)]
)
async def test_p6_a_key_that_is_new_excuses_no_second_look_in_times_to_come(ahead: timedelta, believed: bool) -> None:
    world, deletion = await opted_out()
    world.stores["europe"].containers.clear()
    world.clock.move(HOUR)
    forged = await under_nobodys_key(world, deletion, secondLookAt=_at(world.clock.now() + ahead))
    assert (await swept(world)).get("receiptsInvalid", 0) == (not believed)
    assert await of_tenant(world, deletion) == (forged if believed else deletion)


async def test_p5_p6_captures_belie_a_receipt_that_nobody_can_check_and_are_deleted_when_that_is_due() -> None:
    world, deletion = await opted_out()
    world.clock.move(HOUR)
    await under_nobodys_key(world, deletion)
    before = world.stored_containers()
    assert (await swept(world, "europe"))["afterReceipt"] == len(before["europe"]) > 1
    assert await of_tenant(world, deletion) == deletion, "it begins again, and no sooner than it was due"
    assert world.stored_containers() == before, "and nothing is deleted before its time"
    assert told(world) == [], "nor told of a look that may never have been"
    report = await world.status.report()
    assert (report.promises["P5"], report.promises["P6"]) == (False, False)
    world.clock.set(deletion.not_before)
    await proved_again(world)
    done = await of_tenant(world, deletion)
    assert world.stored_containers() == {} and done.receipt is not None
    assert (done.status, done.receipt.reappeared) == ("verified", ())
    assert "receiptsInvalid" not in await swept(world)


async def test_p5_captures_that_are_there_again_under_a_disabled_key_are_deleted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, done = await verified()
    monkeypatch.setattr(worlds, "SIGNER", NOBODYS)
    put(world, "europe", done.enrollment_id, done.days[0])
    assert "afterReceipt" not in await swept(world, "europe"), "its key may show yet, and who came back is told then"
    world.clock.move(deadlines.FEED_GRACE)
    assert (await swept(world, "europe"))["afterReceipt"] == 1
    await proved_again(world)
    again = await of_tenant(world, done)
    assert world.stored_containers() == {} and (again.status, again.deadline) == ("verified", done.deadline)


async def test_p5_what_is_begun_again_while_a_sweep_looks_is_left_to_the_purge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two sweeps at a time: the second finds the deletion begun again, and its time has not come."""
    world, deletion = await opted_out()
    world.clock.move(HOUR)
    await under_nobodys_key(world, deletion)
    replace, before = world.deletion_items.replace, world.stored_containers()

    async def beaten(changed: Deletion, etag: str) -> None:
        edit(world, deletion)
        await replace(changed, etag)

    world.deletion_items.replace = beaten
    await world.sweep.run()
    assert world.stored_containers() == before and told(world) == []
    assert await of_tenant(world, deletion) == deletion


async def test_p5_p6_a_receipt_of_consent_is_no_receipt_of_a_deletion() -> None:
    """Both are signed by one key: whoever holds the one could put it where the other should be."""
    world, deletion = await opted_out()
    events = [each for each in world.ledger.events[TENANT] if each.enrollment_id == deletion.enrollment_id]
    consent = ConsentRecord.of(events, None, 30)
    assert consent is not None
    at = deletion.opted_out_at
    receipt = Receipt(
        first_day=at.date(),
        last_day=at.date(),
        first_look_at=at,
        second_look_at=at,
        jws=await SIGNER.sign(consent.to_json()),
    )
    edit(world, deletion, status="verified", purged_at=at, receipt=receipt)
    before, heartbeats = world.stored_containers(), await world.sweep.run()
    assert [each.outcome for each in heartbeats.values()] == len(heartbeats) * ["done"]
    assert heartbeats[None].counts["receiptsInvalid"] == 1
    assert await of_tenant(world, deletion) == deletion and world.stored_containers() == before


async def test_p6_what_the_ledger_tells_at_a_time_to_come_keeps_no_older_receipt_alive() -> None:
    world, done = await verified()
    event, setting = world.ledger.events[TENANT][-1], world.ledger.settings[TENANT].value
    assert done.receipt is not None
    entry = Reappearance(at=world.clock.now() + 365 * DAY, containers_found=1, proved_at=done.receipt.second_look_at)
    await Reappearances(world.ledger).tell(event, entry)
    assert world.ledger.settings[TENANT].value.sequence == setting.sequence + 1
    assert (await swept(world))["receiptsInvalid"] == 1
    assert (await of_tenant(world, done)).status == "scheduled"


async def test_p6_keys_that_cannot_be_had_are_a_failure_and_nothing_is_held_against_a_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Vault:
        async def public_keys(self) -> Any:
            raise StoreUnavailable("vault-timeout")

    world, done = await verified()
    monkeypatch.setattr(worlds, "SIGNER", Vault())
    heartbeat = (await world.sweep.run())[None]
    assert (heartbeat.error, dict(heartbeat.counts)) == ("vault-timeout", {"ledgers": 1, "failures": 1})
    assert await of_tenant(world, done) == done
    assert (await world.status.report()).promises["P6"] is False, "what was not checked does not hold"


async def test_p9_the_keys_are_asked_for_once_a_run_and_again_for_one_that_is_new() -> None:
    world, done = await verified()
    await world.opt_in(OTHER_TENANT)
    await world.opt_out(OTHER_TENANT)
    await world.feed()
    world.clock.set(done.deadline)
    await proved_again(world)
    asked = 0
    old, new = SIGNER, LocalSigner([ECKey.generate_key("P-256"), *SIGNER._keys])

    class Rotating:
        async def public_keys(self) -> Any:
            nonlocal asked
            asked += 1
            return await (old if asked == 1 else new).public_keys()

    done = await of_tenant(world, done)
    edit(world, done.signed(await new.sign(done.receipt_claims)))
    worlds_signer, worlds.SIGNER = worlds.SIGNER, Rotating()  # type: ignore[assignment]
    try:
        assert (await swept(world)).keys() == {"ledgers"}
    finally:
        worlds.SIGNER = worlds_signer
    assert asked == 2


async def test_p9_others_have_their_turn_while_many_receipts_are_checked() -> None:
    world, done = await verified()
    receipts, checked, turns = SignedReceipts(SIGNER, world.clock), 0, list[int]()

    async def others() -> None:
        while checked < 100:
            turns.append(checked)
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    events = await world.ledger.events_of(TENANT, done.enrollment_id)
    while checked < 100:
        assert not (await receipts.compare(done, events)).faults
        checked += 1
    await waiting
    assert 4 <= len(turns) <= 100


async def test_p9_a_receipt_that_was_replaced_while_the_ledger_was_read_is_not_called_false() -> None:
    """Its deletion came back, was opened and proved again between the two reads."""
    world, first = await verified()
    ledgers = world.ledger.ledgers

    async def meanwhile(after: str, *, at_most: int) -> Any:
        async for ledger in ledgers(after, at_most=at_most):
            yield ledger
        world.ledger.ledgers = ledgers
        await came_back(world, first)
        await proved_again(world)

    world.ledger.ledgers = meanwhile
    assert (await swept(world)).keys() == {"ledgers"}


# What was before


def before(deletion: str) -> World:
    """A world as the service left it before."""
    world = World()
    world.ledger.settings[TENANT] = Stored(Setting.from_json(BEFORE["ledger"]["setting"]), "before")
    world.ledger.events[TENANT] = [event_from_json(event) for event in BEFORE["ledger"]["events"]]
    found = Deletion.from_json(BEFORE[deletion])
    world.deletion_items.items[TENANT, found.enrollment_id] = Stored(found, "before")
    world.clock.set(found.opted_out_at + DAY)
    return world


@pytest.fixture
def both_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [ECKey.import_key(key) for key in BEFORE["keys"]]
    monkeypatch.setattr(worlds, "SIGNER", LocalSigner([*SIGNER._keys, *keys]))


def test_p9_events_of_before_are_valid_and_have_the_hashes_that_they_had() -> None:
    events = [event_from_json(event) for event in BEFORE["ledger"]["events"]]
    assert [event.hash for event in events] == BEFORE["ledger"]["hashes"]
    assert [event.to_json() for event in events] == BEFORE["ledger"]["events"]
    assert isinstance(events[-1], OptedIn)


@pytest.mark.parametrize("item", ["verified", "provedAgain"])
@pytest.mark.parametrize("shown", ["as it was answered", "as it is answered"])
def test_p6_receipts_of_before_can_be_checked(item: str, shown: str, tmp_path: Path) -> None:
    members = BEFORE[item] if shown == "as it was answered" else Deletion.from_json(BEFORE[item]).to_json()
    (tmp_path / "deletion.json").write_text(json.dumps({**members, "overdue": False}))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": BEFORE["keys"]}))
    signed = read_receipt(tmp_path / "deletion.json", read_keys(tmp_path / "keys.json"))
    assert signed.compared and signed.claims["containersDeleted"] == members["receipt"]["containersDeleted"]
    for name in ("receipt", None):
        wrong = json.loads(json.dumps(members))
        (wrong[name] if name else wrong)["containersDeleted"] = 99
        (tmp_path / "deletion.json").write_text(json.dumps(wrong))
        with pytest.raises(Exception, match="containersDeleted"):
            read_receipt(tmp_path / "deletion.json", read_keys(tmp_path / "keys.json"))


@pytest.mark.usefixtures("both_keys")
async def test_p6_a_receipt_of_before_agrees_with_its_ledger() -> None:
    world = before("verified")
    assert (await swept(world)).keys() == {"ledgers"}


@pytest.mark.usefixtures("both_keys")
@pytest.mark.parametrize("item", ["cameBack", "provedAgain"])
async def test_p6_what_a_deletion_of_before_tells_is_moved_to_the_ledger_and_in_its_next_receipt(item: str) -> None:
    world = before(item)
    [entry] = BEFORE[item]["reappeared"]
    if item == "cameBack":
        await proved_again(world)
        found = await world.deletions.get(TENANT, BEFORE[item]["enrollmentId"])
        assert found.status == "purged", "nothing is signed before the ledger tells"
    enrollment = world.ledger.settings[TENANT].value.enrollment
    assert (await swept(world)) == {"ledgers": 1, "deletionsDisagreeing": 1}
    [event] = told(world)
    assert {name: event.to_json()[name] for name in entry} == entry
    assert world.ledger.settings[TENANT].value.enrollment == enrollment
    await proved_again(world)
    assert (await swept(world)).keys() == {"ledgers"}, "once"
    done = await world.deletions.get(TENANT, BEFORE[item]["enrollmentId"])
    assert done.status == "verified" and done.reappeared is None and done.receipt is not None
    assert [each.to_json() for each in done.receipt.reappeared] == [entry]


@pytest.mark.usefixtures("both_keys")
async def test_p9_a_broken_ledger_is_told_nothing_of_what_a_deletion_of_before_tells() -> None:
    world = before("cameBack")
    stored, events = dict(world.deletion_items.items), world.ledger.events[TENANT]
    events[0] = events[0].model_copy(update={"actor": "somebody else"})
    assert (await swept(world)) == {"ledgers": 1, "eventsChanged": 1, "deletionsDisagreeing": 1}
    assert told(world) == [] and world.deletion_items.items == stored
