"""P9 and P5: an item is read only if it says just what we write, so that queries and rules see the same in it."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import azure.functions as func
import pytest

from functions import opt_outs
from shared.bootstrap import Services
from shared.model.deletion import Deletion
from shared.model.exports import ReviewExport
from shared.model.grants import AccessRecord, ReviewGrant
from shared.model.heartbeats import Deployment
from shared.model.items import as_written, item_of
from shared.model.ledger import OptedOut, Setting, event_from_json
from tests.contract.items import deletion, grant, opt_in, opt_out, record
from tests.world import TENANT, World

BEFORE = json.loads((Path(__file__).parent / "fixtures" / "before-receipts-by-ledger.json").read_text())
ABSENT = object()

OWED = deletion(TENANT)
BEGUN = OWED.failed(OWED.opted_out_at, "storage-503").purged(OWED.opted_out_at, deleted=3, error="containers-found")
CHANGE = opt_in(TENANT)
RECORD = record(TENANT, 5)
GRANT = grant(TENANT, 7).approved("approver", CHANGE.event.at)
EXPORT = ReviewExport(
    export_id="e" * 32,
    tenant_id=TENANT,
    enrollment=CHANGE.setting.enrollment,
    grant_id=GRANT.grant_id,
    sequence=8,
    requested_by="reviewer",
    requested_at=CHANGE.event.at,
    first_day=CHANGE.event.at.date(),
    last_day=CHANGE.event.at.date(),
)

KINDS: list[tuple[Callable[[Any], Any], Any]] = [
    (Deletion.from_json, OWED),
    (Deletion.from_json, BEGUN),
    (Setting.from_json, CHANGE.setting),
    (Setting.from_json, opt_out(CHANGE).setting),
    (event_from_json, CHANGE.event),
    (event_from_json, opt_out(CHANGE).event),
    (AccessRecord.from_json, RECORD),
    (ReviewGrant.from_json, GRANT),
    (ReviewExport.from_json, EXPORT),
]


def changed(item: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**item, **changes}.items() if value is not ABSENT}


@pytest.mark.parametrize(("parse", "value"), KINDS)
def test_p9_what_we_write_is_read(parse: Callable[[Any], Any], value: Any) -> None:
    item = json.loads(json.dumps(item_of(value)))
    assert as_written(parse, item) == value
    # As Cosmos DB may give it back: with members of its own, and one kind of number.
    more = {name: float(member) if type(member) is int else member for name, member in item.items()}
    assert as_written(parse, {**more, "_etag": "1", "_ts": 5, "ofALaterVersion": {"a": [1]}}) == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (EXPORT, {"id": f"export-{EXPORT.export_id}", "kind": "export"}),
        (GRANT, {"id": f"grant-{GRANT.grant_id}", "kind": "grant"}),
        (RECORD, {"id": f"record-{RECORD.sequence:09}", "kind": "record"}),
        (Deployment(deployment_id="d" * 32), {"id": "deployment", "kind": "deployment"}),
    ],
)
def test_p9_the_names_by_which_items_are_known_stay_as_they_are(value: Any, name: dict[str, str]) -> None:
    assert value.named == name


@pytest.mark.parametrize(("parse", "value"), KINDS)
def test_p9_what_has_to_be_whole_says_all_that_we_write_and_nothing_else(
    parse: Callable[[Any], Any], value: Any
) -> None:
    item = {**item_of(value), "_etag": "1", "_ts": 5}
    assert as_written(parse, item, whole=True) == value
    with pytest.raises(ValueError, match="all that we write"):
        as_written(parse, {**item, "ofALaterVersion": 1}, whole=True)


def test_p9_no_event_is_read_that_names_its_members_otherwise() -> None:
    members = CHANGE.event.to_json()
    members["tenant_id"] = members.pop("tenantId")
    with pytest.raises(ValueError, match="tenantId"):
        event_from_json(members)


def test_p9_what_earlier_versions_wrote_is_read() -> None:
    for item in (BEFORE["verified"], BEFORE["cameBack"], BEFORE["provedAgain"]):
        assert as_written(Deletion.from_json, {"id": item["enrollmentId"], **item}) == Deletion.from_json(item)
    setting = BEFORE["ledger"]["setting"]
    assert as_written(Setting.from_json, {"id": "setting", **setting}) == Setting.from_json(setting)
    for event in BEFORE["ledger"]["events"]:
        item = {"id": f"event-{event['sequence']:09}", **event}
        assert as_written(event_from_json, item) == event_from_json(event)
    later = dict.fromkeys(("attempts", "failures", "containersDeleted", "moreDays"), ABSENT)
    assert as_written(Deletion.from_json, changed(item_of(OWED), later)) == OWED


@pytest.mark.parametrize(
    "changes",
    [
        {"notBefore": 978393600},
        {"notBefore": "978393600"},
        {"notBefore": "2026-11-21T12:00:00Z"},
        {"notBefore": "2026-11-21 12:00:00.000000Z"},
        {"notBefore": "2026-11-21T13:00:00.000000+01:00"},
        {"notBefore": ABSENT, "not_before": "2026-11-21T12:00:00.000000Z"},
        {"purgedAt": 1795262400},
        {"deadline": "2026-12-21T12:00:00.000000z"},
        {"retryAt": 1795262400},
        {"sequence": "2"},
        {"sequence": True},
        {"attempts": "2"},
        {"attempts": True},
        {"containersDeleted": False},
        {"moreDays": [1728000000]},
        {"moreDays": "2026-11-21"},
        {"moreDays": {"2026-11-21": 1}},
        {"id": "1" * 32},
        {"enrollmentId": "1" * 32},
    ],
)
def test_p5_a_deletion_that_a_query_reads_otherwise_than_a_rule_is_not_read(changes: dict[str, Any]) -> None:
    item = changed(item_of(BEGUN.model_copy(update={"attempts": 1, "containers_deleted": 0})), changes)
    with pytest.raises(ValueError):
        as_written(Deletion.from_json, item)


def test_p6_a_receipt_inside_a_deletion_is_compared_too() -> None:
    done = BEFORE["verified"]
    item = {"id": done["enrollmentId"], **done}
    for receipt in ({"secondLookAt": 1795262400}, {"firstDay": 1728000000}, {"containersDeleted": "3"}):
        with pytest.raises(ValueError):
            as_written(Deletion.from_json, {**item, "receipt": {**done["receipt"], **receipt}})


@pytest.mark.parametrize(
    ("parse", "value", "changes"),
    [
        (ReviewGrant.from_json, GRANT, {"grantId": "1" * 32}),
        (ReviewGrant.from_json, GRANT, {"id": f"export-{GRANT.grant_id}"}),
        (ReviewGrant.from_json, GRANT, {"kind": ABSENT}),
        (ReviewGrant.from_json, GRANT, {"kind": "record"}),
        (ReviewGrant.from_json, GRANT, {"expiresAt": 4102444800}),
        (ReviewExport.from_json, EXPORT, {"exportId": "1" * 32}),
        (ReviewExport.from_json, EXPORT, {"kind": ABSENT}),
        (ReviewExport.from_json, EXPORT, {"unfinished": 1}),
        (ReviewExport.from_json, EXPORT, {"unfinished": "false"}),
        (AccessRecord.from_json, RECORD, {"sequence": "5"}),
        (AccessRecord.from_json, RECORD, {"sequence": 6}),
        (AccessRecord.from_json, RECORD, {"kind": "grant"}),
        (Setting.from_json, CHANGE.setting, {"id": "settings"}),
        (Setting.from_json, CHANGE.setting, {"sequence": True}),
        (Setting.from_json, CHANGE.setting, {"enrollment": {**CHANGE.setting.to_json()["enrollment"], "startedAt": 0}}),
        (event_from_json, CHANGE.event, {"sequence": True}),
        (event_from_json, CHANGE.event, {"id": "event-000000002"}),
    ],
)
def test_p7_p9_nothing_is_read_that_says_it_is_another(
    parse: Callable[[Any], Any], value: Any, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):
        as_written(parse, changed(item_of(value), changes))


async def test_p9_the_feed_schedules_nothing_for_an_opt_out_that_the_ledger_cannot_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, event = World(), opt_out(CHANGE).event
    wrong: list[dict[str, Any]] = [{"sequence": "2"}, {"id": "event-000000003"}, {"at": 1795262400}]
    documents = [func.Document.from_dict({**item_of(event), **changes}) for changes in wrong]
    documents.append(func.Document.from_dict({**item_of(event), "_ts": 5, "_etag": "1"}))
    with caplog.at_level(logging.ERROR):
        assert await opt_outs.take(cast(Services, world.services()), documents) == (1, 1)
    assert isinstance(event, OptedOut)
    assert caplog.text.count("malformed") == len(wrong)
