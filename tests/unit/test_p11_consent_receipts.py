"""P11: what was agreed to can be shown to anybody, and a record, text or ledger that is not the one signed shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.__main__ import main
from shared.model.items import ENROLLMENT_ID
from shared.model.notices import NOTICES
from shared.problems import NotFound
from shared.sharing.consent_receipts import ConsentReceipts
from tests.changes import ADMIN, AGREEMENT
from tests.unit.notices import NEW, OLD, REPLACED, a_world, put
from tests.world import OTHER_TENANT, SIGNER, TENANT, World

CONTROLLER = "Contoso Ltd, privacy@contoso.example"
NOTICE = NOTICES.find(AGREEMENT.version)


class Files:
    """A consent receipt, what belongs to it, and what checking them says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.receipt: dict[str, Any] = {}
        self.ledger: list[dict[str, Any]] = []
        assert NOTICE is not None
        self.notice = NOTICE.text(AGREEMENT.locale)

    async def write(self) -> "Files":
        world = World()
        await world.opt_in()
        event = await world.opt_out()
        record, jws = await ConsentReceipts(world.ledger, SIGNER, CONTROLLER, 30).of(TENANT, event.enrollment_id)
        self.receipt = {"record": record.to_json(), "jws": jws}
        self.ledger = [each.to_json() for each in world.ledger.events[TENANT]]
        keys = {"keys": [dict(key) for key in await SIGNER.public_keys()]}
        (self.directory / "keys.json").write_text(json.dumps(keys))
        return self

    def check(self, capsys: pytest.CaptureFixture[str], *, alone: bool = False) -> tuple[int, str, str]:
        names = {name: self.directory / name for name in ("receipt.json", "notice.md", "ledger.json", "keys.json")}
        names["receipt.json"].write_text(self.receipt["jws"] if alone else json.dumps(self.receipt))
        names["notice.md"].write_bytes(self.notice)
        names["ledger.json"].write_text(json.dumps({"value": self.ledger}))
        arguments = ["--keys", "keys.json", "--notice", "notice.md", "--ledger", "ledger.json"]
        found = [str(self.directory / each) if "." in each else each for each in arguments]
        code = main(["verify-receipt", str(names["receipt.json"]), *found])
        printed = capsys.readouterr()
        return code, printed.out, printed.err


@pytest.fixture
async def files(tmp_path: Path) -> Files:
    return await Files(tmp_path).write()


async def test_the_record_tells_all_decisions_on_an_enrollment_and_what_they_are_about() -> None:
    world = a_world()
    setting = await put(world, OLD.version, "en")
    world.clock.set(REPLACED)
    await put(world, NEW.version)
    event = await world.opt_out()
    assert setting.enrollment is not None
    record, _ = await ConsentReceipts(world.ledger, SIGNER, CONTROLLER, 14).of(TENANT, event.enrollment_id)
    assert record.to_json() == {
        "schemaVersion": "urn:copilot-data-sharing:consent-record:1",
        "recordId": f"{event.enrollment_id}-3",
        "tenantId": TENANT,
        "enrollmentId": event.enrollment_id,
        "piiController": CONTROLLER,
        "purposes": ["build", "improve", "validate"],
        "piiTypes": ["input", "output", "feature", "capturedAt", "environmentId", "userId", "telemetry"],
        "storageLocation": {"geo": "europe", "storageAccount": "steurope"},
        "retentionPeriod": "P14D",
        "withdrawalMethod": record.withdrawal_method,
        "events": [
            {
                "eventType": kind,
                "eventTime": each.to_json()["at"],
                "sequence": each.sequence,
                "ledgerHash": each.hash,
                **ADMIN.to_json(),
                **agreed,
            }
            for kind, each, agreed in zip(
                ("given", "renewed", "withdrawn"),
                world.ledger.events[TENANT],
                (
                    {"notice": OLD.version, "noticeHash": OLD.sha256["en"], "locale": "en"},
                    {"notice": NEW.version, "noticeHash": NEW.sha256["de"], "locale": "de"},
                    {},
                ),
                strict=True,
            )
        ],
    }


async def test_it_is_of_that_enrollment_of_that_tenant_alone() -> None:
    world = World()
    first = await world.opt_in()
    await world.opt_out()
    await world.opt_in()
    assert first.enrollment is not None
    receipts = ConsentReceipts(world.ledger, SIGNER, None, 30)
    record, _ = await receipts.of(TENANT, first.enrollment.enrollment_id)
    assert [event.sequence for event in record.events] == [1, 2] and record.pii_controller is None
    for tenant, enrollment in ((OTHER_TENANT, first.enrollment.enrollment_id), (TENANT, "0" * 32)):
        assert ENROLLMENT_ID.fullmatch(enrollment)
        with pytest.raises(NotFound, match=NotFound.NEVER_ENROLLED):
            await receipts.of(tenant, enrollment)


@pytest.mark.parametrize("alone", [False, True])
async def test_it_is_checked_offline_with_the_text_and_the_ledger(
    files: Files, capsys: pytest.CaptureFixture[str], alone: bool
) -> None:
    code, out, err = files.check(capsys, alone=alone)
    assert (code, err) == (0, "")
    for said in ("is genuine", "byte for byte", "shows the events"):
        assert said in out
    assert ("shows exactly what was signed" in out) is not alone


def _of_another_tenant(files: Files) -> None:
    files.ledger = [{**event, "tenantId": OTHER_TENANT} for event in files.ledger]


def _byte_of_signature(files: Files) -> None:
    head, middle, signature = files.receipt["jws"].split(".")
    other = "A" if signature[9] != "A" else "B"
    files.receipt["jws"] = f"{head}.{middle}.{signature[:9]}{other}{signature[10:]}"


WRONG: dict[str, tuple[Callable[[Files], object], str]] = {
    "the text": (lambda files: setattr(files, "notice", files.notice + b"\n"), "Nobody agreed to this text"),
    "a record's member": (
        lambda files: files.receipt["record"].update(purposes=["train"]),
        "not the one that was signed",
    ),
    "a record's event": (lambda files: files.receipt["record"]["events"][0].update(notice="2020"), "not the one that"),
    "a member more": (lambda files: files.receipt["record"].update(more=1), "not the one that was signed"),
    "the signature": (_byte_of_signature, "signature is wrong"),
    "no signature": (lambda files: files.receipt.update(jws=""), "not signed"),
    "another tenant's ledger": (_of_another_tenant, "shows no event 1 of tenant"),
    "a ledger without it": (lambda files: files.ledger.pop(), "shows no event 2"),
    "an event edited": (lambda files: files.ledger[0].update(actor="another"), "Event 1 of the ledger is not the one"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_whatever_is_not_what_was_signed_is_refused_and_named(
    files: Files, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    spoil, why = WRONG[what]
    spoil(files)
    code, out, err = files.check(capsys)
    assert (code, out) == (1, "") and why in err
