"""The posture: each setting that would break a promise is found, alone; what cannot be read is as bad (fail closed)."""

import copy
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from audit.posture import Row, table
from local import private
from shared import bootstrap
from shared.model.posture import COSMOS_RULES, STORAGE_RULES, Outcome, PostureCheck
from shared.ports import Inspected, Setup, StoreUnavailable
from shared.stores.memory import MemoryPosture
from shared.watch.posture import Posture
from shared.watch.status import Status
from tests.clocks import ManualClock, settle
from tests.unit.management import (
    ACCOUNT,
    ACCOUNT_DIAGNOSTICS,
    BLOBS,
    CONTAINERS,
    COSMOS,
    DEPLOYMENT,
    DIAGNOSTICS,
    GOOD,
    LEDGER,
    LIFECYCLE,
    REPLICATION,
    TABLES,
    WORKSPACE,
    WORKSPACES,
    FakeManager,
    changed,
    setting,
)
from tests.unit.settings import GOOD as SETTINGS
from tests.world import World

# What Azure Resource Manager shows


def broken(rows: Any) -> dict[str, str]:
    return {row.finding.path: row.finding.outcome.value for row in rows if not row.finding.holds}


async def test_a_deployment_that_is_as_it_should_be_holds() -> None:
    rows = await DEPLOYMENT.check(FakeManager(GOOD))
    assert broken(rows) == {}
    assert len(rows) == 36


LOGS = {"categoryGroup": "allLogs", "enabled": True, "retentionPolicy": {"enabled": False, "days": 0}}
RULE = "properties.policy.rules"


def only(**changes: Any) -> Any:
    """The lifecycle rule, changed."""
    rule = copy.deepcopy(GOOD[LIFECYCLE]["properties"]["policy"]["rules"][0])
    for name, value in changes.items():
        setting(name.replace("__", "."), value)(rule)
    return setting(RULE, [rule])


def opened_to(address: Any) -> Any:
    """Cosmos DB, open to the internet but for a rule."""

    def change(answer: Any) -> None:
        answer["properties"] |= {"publicNetworkAccess": "Enabled", "ipRules": [{"ipAddressOrRange": address}]}

    return change


def of_container(name: str, member: str, value: Any) -> Any:
    def change(answer: Any) -> None:
        [container] = [each for each in answer["value"] if each["name"] == name]
        setting(f"properties.{member}", value)(container)

    return change


@pytest.mark.parametrize(
    ("path", "change", "found", "promise"),
    [
        *(
            (COSMOS, setting(name, level), name, "P2")
            for name in ["properties.consistencyPolicy.defaultConsistencyLevel"]
            for level in ("BoundedStaleness", "Session", "ConsistentPrefix", "Eventual")
        ),
        (
            COSMOS,
            setting("properties.enableMultipleWriteLocations", True),
            "properties.enableMultipleWriteLocations",
            "P2",
        ),
        (COSMOS, setting("properties.writeLocations", [{}, {}]), "properties.writeLocations", "P2"),
        (COSMOS, setting("properties.backupPolicy.type", "Periodic"), "properties.backupPolicy.type", "P9"),
        (
            COSMOS,
            setting("properties.backupPolicy.continuousModeProperties.tier", "Continuous30Days"),
            "properties.backupPolicy.continuousModeProperties.tier",
            "P9",
        ),
        (COSMOS, setting("properties.disableLocalAuth", False), "properties.disableLocalAuth", "P7"),
        (COSMOS, setting("properties.publicNetworkAccess", "Enabled"), "properties", "P7"),
        *(
            (COSMOS, opened_to(address), "properties", "P7")
            for address in ("0.0.0.0", "0.0.0.0/0", "128.0.0.0/1", "::/0", "everybody", None)
        ),
        *(
            (LEDGER, of_container(name, "resource." + member, value), "containers", promise)
            for name in ("tenants", "deletions", "access")
            for member, value in (("defaultTtl", -1), ("defaultTtl", 3600), ("analyticalStorageTtl", -1))
            for promise in ("P6", "P9")
        ),
        *(
            (LEDGER, of_container(name, "resource.partitionKey.paths", ["/kind2"]), "containers", "P9")
            for name in ("tenants", "deletions", "access", "operations", "leases")
        ),
        *(
            (ACCOUNT, setting("sku.name", sku), "sku.name", "P3")
            for sku in ("Standard_GRS", "Standard_RAGRS", "Standard_GZRS", "Standard_RAGZRS")
        ),
        (ACCOUNT, setting("kind", "Storage"), "kind", "P4"),
        (ACCOUNT, setting("location", "eastus"), "location", "P3"),
        (ACCOUNT, setting("location", "westeurope2"), "location", "P3"),
        (
            ACCOUNT,
            setting("properties.secondaryLocation", "northeurope"),
            "properties.secondaryLocation",
            "P3",
        ),
        (
            ACCOUNT,
            setting("properties.allowCrossTenantReplication", True),
            "properties.allowCrossTenantReplication",
            "P3",
        ),
        (ACCOUNT, setting("properties.isHnsEnabled", True), "properties.isHnsEnabled", "P6"),
        (
            ACCOUNT,
            setting("properties.immutableStorageWithVersioning", {"enabled": True}),
            "properties.immutableStorageWithVersioning.enabled",
            "P5",
        ),
        (ACCOUNT, setting("properties.allowBlobPublicAccess", True), "properties.allowBlobPublicAccess", "P7"),
        (ACCOUNT, setting("properties.allowSharedKeyAccess", True), "properties.allowSharedKeyAccess", "P7"),
        (ACCOUNT, setting("properties.minimumTlsVersion", "TLS1_1"), "properties.minimumTlsVersion", "P7"),
        (
            ACCOUNT,
            setting("properties.supportsHttpsTrafficOnly", False),
            "properties.supportsHttpsTrafficOnly",
            "P7",
        ),
        (
            ACCOUNT,
            setting("properties.networkAcls.defaultAction", "Allow"),
            "properties.networkAcls.defaultAction",
            "P7",
        ),
        *(
            (ACCOUNT, setting(name, bypass), name, "P4")
            for name in ["properties.networkAcls.bypass"]
            for bypass in ("None", "Logging, Metrics", "")
        ),
        *(
            (ACCOUNT, setting(name, [{"action": "Allow", "value": address}]), name, "P7")
            for name in ["properties.networkAcls.ipRules"]
            for address in ("0.0.0.0/0", "128.0.0.0/1")
        ),
        *(
            (BLOBS, setting(name, True), name, "P6")
            for name in (
                "properties.deleteRetentionPolicy.enabled",
                "properties.containerDeleteRetentionPolicy.enabled",
                "properties.isVersioningEnabled",
                "properties.changeFeed.enabled",
                "properties.restorePolicy.enabled",
            )
        ),
        (LIFECYCLE, setting(RULE, []), RULE, "P4"),
        (LIFECYCLE, only(enabled=False), RULE, "P4"),
        (LIFECYCLE, only(definition__actions__baseBlob__delete={"daysAfterCreationGreaterThan": 31}), RULE, "P4"),
        (
            LIFECYCLE,
            only(definition__actions__baseBlob__delete={"daysAfterLastAccessTimeGreaterThan": 5}),
            RULE,
            "P4",
        ),
        (LIFECYCLE, only(definition__actions__baseBlob={"tierToCool": {}}), RULE, "P4"),
        (LIFECYCLE, only(definition__filters__prefixMatch=["0-"]), RULE, "P4"),
        (LIFECYCLE, only(definition__filters__blobIndexMatch=[{"name": "a"}]), RULE, "P4"),
        (LIFECYCLE, only(definition__filters__blobTypes=["appendBlob"]), RULE, "P4"),
        (REPLICATION, setting("value", [{"properties": {}}]), "objectReplicationPolicies", "P3"),
        *(
            (
                CONTAINERS,
                setting("value", [{"properties": {"hasImmutabilityPolicy": False, "hasLegalHold": False, name: True}}]),
                "containers",
                "P5",
            )
            for name in ("hasImmutabilityPolicy", "hasLegalHold")
        ),
        *(
            (path, setting("value", [{"properties": {"logs": [LOGS], name: "x"}}]), "diagnosticSettings", "P8")
            for path in (DIAGNOSTICS, ACCOUNT_DIAGNOSTICS)
            for name in ("storageAccountId", "eventHubAuthorizationRuleId", "serviceBusRuleId", "marketplacePartnerId")
        ),
        (WORKSPACE, setting("properties.retentionInDays", 31), "properties.retentionInDays", "P8"),
        *(
            (
                TABLES,
                setting("value", [{"name": name, "properties": {"totalRetentionInDays": days}}]),
                "tables",
                "P8",
            )
            for name in ("AppTraces", "AppRequests", "StorageBlobLogs")
            for days in (30, 90)
        ),
    ],
)
async def test_each_setting_that_breaks_a_promise_is_found_alone(
    path: str, change: Any, found: str, promise: str
) -> None:
    rows = await DEPLOYMENT.check(changed(path, change))
    assert broken(rows) == {found: "broken"}
    [finding] = [row.finding for row in rows if not row.finding.holds]
    assert promise in finding.promises


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("answer", ["HTTP 403", "HTTP 404", "HTTP 500", {}, [], None, 5])
async def test_what_cannot_be_read_does_not_hold(path: str, answer: Any) -> None:
    rows = await DEPLOYMENT.check(FakeManager({**GOOD, path: answer}))
    found = broken(rows)
    assert found and set(found.values()) <= {"unreadable", "broken"}
    if isinstance(answer, str):
        assert set(found.values()) == {"unreadable"}
        assert {row.finding.found for row in rows if not row.finding.holds} == {answer}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (COSMOS, "properties.consistencyPolicy"),
        (COSMOS, "properties.enableMultipleWriteLocations"),
        (COSMOS, "properties.writeLocations"),
        (COSMOS, "properties.backupPolicy.type"),
        (COSMOS, "properties.backupPolicy.continuousModeProperties"),
        (COSMOS, "properties.disableLocalAuth"),
        (COSMOS, "properties.publicNetworkAccess"),
        (ACCOUNT, "sku"),
        (ACCOUNT, "kind"),
        (ACCOUNT, "location"),
        (ACCOUNT, "properties.allowCrossTenantReplication"),
        (ACCOUNT, "properties.allowBlobPublicAccess"),
        (ACCOUNT, "properties.allowSharedKeyAccess"),
        (ACCOUNT, "properties.minimumTlsVersion"),
        (ACCOUNT, "properties.supportsHttpsTrafficOnly"),
        (ACCOUNT, "properties.networkAcls.defaultAction"),
        (ACCOUNT, "properties.networkAcls.ipRules"),
        (ACCOUNT, "properties.networkAcls.bypass"),
        (BLOBS, "properties.deleteRetentionPolicy"),
        (BLOBS, "properties.containerDeleteRetentionPolicy"),
        (BLOBS, "properties.isVersioningEnabled"),
        (BLOBS, "properties.changeFeed"),
        (BLOBS, "properties.restorePolicy"),
        (LIFECYCLE, "properties.policy.rules"),
        (WORKSPACE, "properties.retentionInDays"),
    ],
)
async def test_a_member_that_is_missing_does_not_hold(path: str, name: str) -> None:
    assert len(broken(await DEPLOYMENT.check(changed(path, setting(name, ...))))) == 1


@pytest.mark.parametrize("path", [LEDGER, REPLICATION, CONTAINERS, DIAGNOSTICS, WORKSPACES, TABLES])
@pytest.mark.parametrize("entry", [5, "text", None, [], {"name": "AppX", "properties": 5}])
async def test_an_entry_of_another_shape_does_not_hold(path: str, entry: Any) -> None:
    assert broken(await DEPLOYMENT.check(changed(path, setting("value", [entry]))))


async def test_addresses_that_are_named_may_reach_cosmos_db() -> None:
    for address in ("203.0.113.7", "203.0.113.0/24"):
        assert broken(await DEPLOYMENT.check(changed(COSMOS, opened_to(address)))) == {}


@pytest.mark.parametrize("name", ["tenants", "deletions", "access"])
async def test_a_container_of_the_ledger_that_is_missing_does_not_hold(name: str) -> None:
    def change(answer: Any) -> None:
        answer["value"] = [each for each in answer["value"] if each["name"] != name]

    rows = await DEPLOYMENT.check(changed(LEDGER, change))
    assert [row.finding.path for row in rows if not row.finding.holds] == ["containers", "containers"]


async def test_a_shorter_retention_needs_a_shorter_backstop() -> None:
    shorter = type(DEPLOYMENT)(DEPLOYMENT.group, DEPLOYMENT.cosmos, DEPLOYMENT.storage, 7)
    assert broken(await shorter.check(FakeManager(GOOD))) == {RULE: "broken"}


async def test_a_workspace_that_storage_logs_to_is_held_to_the_same() -> None:
    elsewhere = "/subscriptions/x/resourceGroups/y/providers/Microsoft.OperationalInsights/workspaces/z"
    logging_there = setting("value", [{"properties": {"logs": [LOGS], "workspaceId": elsewhere}}])
    manager = changed(DIAGNOSTICS, logging_there)
    rows = await DEPLOYMENT.check(manager)
    assert broken(rows) == {"properties.retentionInDays": "unreadable", "tables": "unreadable"}
    manager.answers |= {elsewhere: {"properties": {"retentionInDays": 30}}, f"{elsewhere}/tables": {"value": []}}
    assert broken(await DEPLOYMENT.check(manager)) == {}


async def test_a_workspace_is_checked_once_whoever_names_it() -> None:
    settings = setting("value", [{"properties": {"logs": [LOGS], "workspaceId": WORKSPACE.upper()}}])
    rows = await DEPLOYMENT.check(changed(DIAGNOSTICS, settings))
    assert [row.account for row in rows].count("log-stamp") == 2


async def test_metrics_and_logs_that_are_off_go_anywhere() -> None:
    off = {"logs": [{**LOGS, "enabled": False}], "metrics": [{"enabled": True}], "storageAccountId": "x"}
    assert broken(await DEPLOYMENT.check(changed(DIAGNOSTICS, setting("value", [{"properties": off}])))) == {}


async def test_a_group_without_a_workspace_is_no_fault() -> None:
    assert broken(await DEPLOYMENT.check(changed(WORKSPACES, setting("value", [])))) == {}


async def test_the_table_says_what_was_found_and_what_is_needed() -> None:
    rows: list[Row] = list(await DEPLOYMENT.check(changed(ACCOUNT, setting("sku.name", "Standard_GRS"))))
    [line] = [line for line in table(rows).splitlines() if "broken" in line]
    assert line.split() == [
        "stemea",
        "sku.name",
        "Standard_GRS",
        *["Standard_LRS", "or", "Standard_ZRS"],
        "P3",
        "broken",
    ]


# What the service sees of its own accounts

STORAGE = {
    "sku": {"name": "Standard_LRS"},
    "kind": "StorageV2",
    "isHnsEnabled": False,
    "deleteRetentionPolicy": {"enabled": False},
    "logging": {"enabled": False},
}
COSMOS_DB = {
    "consistencyPolicy": {"defaultConsistencyLevel": "Strong"},
    "writeLocations": [{"name": "West Europe"}],
    "containers": {name: {"expires": False} for name in ("tenants", "deletions", "access")},
}


class Account:
    def __init__(self, account: str | None, properties: Any) -> None:
        self.account = account
        self.properties = properties
        self.development = False
        self.failure: Exception | None = None

    async def setup(self) -> Setup:
        if self.failure is not None:
            raise self.failure
        return Setup(self.properties, self.development)


class Deployed:
    """A world that keeps its promises, on accounts that a test sets up wrongly."""

    def __init__(self) -> None:
        self.world = World()
        self.storage = {
            place: Account(store.account, copy.deepcopy(STORAGE)) for place, store in self.world.stores.items()
        }
        self.cosmos = Account(None, copy.deepcopy(COSMOS_DB))
        self.checks = MemoryPosture()
        self.world.inspected = Inspected(list(self.storage.values()), self.cosmos, self.checks)

    @property
    def posture(self) -> Posture:
        posture = self.world.services().posture
        assert posture is not None
        return posture

    @property
    def status(self) -> Status:
        return self.world.status

    async def run(self) -> None:
        await self.posture.check()
        await self.world.purge.run()
        await self.world.sweep.run()

    async def broken(self) -> list[str]:
        report = await self.status.report()
        return [promise for promise, holds in report.promises.items() if not holds]


@pytest.fixture
async def deployed() -> Deployed:
    deployed = Deployed()
    await deployed.run()
    assert await deployed.broken() == []
    return deployed


async def test_status_tells_p2_to_p6_by_what_they_rest_on(deployed: Deployed) -> None:
    report = await deployed.status.report()
    assert list(report.promises) == ["P1", "P2", "P3", "P4", "P5", "P6", "P9"]
    assert report.ledger.posture is not None and report.ledger.posture.holds
    assert all(geo.posture is not None and geo.posture.holds for geo in report.accounts.values())


@pytest.mark.parametrize(
    ("name", "value", "promises"),
    [
        ("sku.name", "Standard_RAGRS", ["P3"]),
        ("sku.name", ..., ["P3"]),
        ("kind", "BlobStorage", ["P4"]),
        ("isHnsEnabled", True, ["P6"]),
        ("isHnsEnabled", ..., ["P6"]),
        ("deleteRetentionPolicy.enabled", True, ["P4", "P5", "P6"]),
        ("deleteRetentionPolicy.enabled", None, ["P4", "P5", "P6"]),
        ("deleteRetentionPolicy", ..., ["P4", "P5", "P6"]),
        ("deleteRetentionPolicy.enabled", 0, ["P4", "P5", "P6"]),
    ],
)
async def test_one_account_that_is_set_up_wrongly_breaks_what_rests_on_it(
    deployed: Deployed, name: str, value: Any, promises: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    setting(name, value)(deployed.storage["europe"].properties)
    with caplog.at_level(logging.ERROR):
        await deployed.run()
    assert await deployed.broken() == promises
    assert "posture of steurope" in caplog.text
    deployed.storage["europe"].properties = copy.deepcopy(STORAGE)
    await deployed.run()
    assert await deployed.broken() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("consistencyPolicy.defaultConsistencyLevel", "Session"),
        ("consistencyPolicy", None),
        ("writeLocations", [{}, {}]),
        ("writeLocations", []),
        ("writeLocations", ...),
    ],
)
async def test_without_strong_consistency_in_one_region_withdrawal_is_not_immediate(
    deployed: Deployed, name: str, value: Any
) -> None:
    setting(name, value)(deployed.cosmos.properties)
    await deployed.run()
    assert await deployed.broken() == ["P2"]


@pytest.mark.parametrize("name", ["tenants", "deletions", "access"])
@pytest.mark.parametrize("value", [True, None, ...])
async def test_a_ledger_that_may_expire_is_no_proof_and_loses_something(
    deployed: Deployed, name: str, value: Any
) -> None:
    setting(f"containers.{name}.expires", value)(deployed.cosmos.properties)
    await deployed.run()
    assert await deployed.broken() == ["P6", "P9"]


@pytest.mark.parametrize("value", [True, None, ...])
async def test_logs_that_storage_writes_are_told_and_break_no_promise_of_the_status(
    deployed: Deployed, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    setting("logging.enabled", value)(deployed.storage["europe"].properties)
    await deployed.run()
    assert await deployed.broken() == []  # P8 is none of those that the status tells
    assert not deployed.checks.checks["steurope"].holds
    assert "posture of steurope: logging.enabled" in caplog.text


async def test_an_account_that_cannot_be_looked_at_breaks_what_rests_on_it(deployed: Deployed) -> None:
    deployed.storage["europe"].failure = StoreUnavailable("storage-AuthorizationPermissionMismatch")
    deployed.cosmos.failure = KeyError("customer content")
    await deployed.run()
    assert await deployed.broken() == ["P2", "P3", "P4", "P5", "P6", "P9"]
    found = {finding.found for check in deployed.checks.checks.values() for finding in check.findings}
    assert {"storage-AuthorizationPermissionMismatch", "KeyError"} <= found
    assert "customer content" not in str(deployed.checks.checks)


async def test_what_was_checked_three_hours_ago_or_never_does_not_hold(deployed: Deployed) -> None:
    deployed.world.clock.move(timedelta(hours=3))
    assert not {"P2"} & set(await deployed.broken())
    deployed.world.clock.move(timedelta(seconds=1))
    await deployed.world.sweep.run()
    await deployed.world.purge.run()
    assert await deployed.broken() == ["P2", "P3", "P4", "P5", "P6", "P9"]
    await deployed.posture.check()
    assert await deployed.broken() == []
    del deployed.checks.checks["steurope"]
    assert await deployed.broken() == ["P3", "P4", "P5", "P6"]


async def test_a_check_of_the_account_that_a_geo_had_before_says_nothing(deployed: Deployed) -> None:
    deployed.storage["europe"].account = "stnew"
    assert await deployed.broken() == ["P3", "P4", "P5", "P6"]


async def test_a_check_by_older_code_does_not_speak_for_a_rule_that_it_did_not_have(deployed: Deployed) -> None:
    check = deployed.checks.checks["steurope"]
    older = check.model_copy(update={"findings": tuple(f for f in check.findings if f.path != "sku.name")})
    deployed.checks.checks["steurope"] = older
    assert await deployed.broken() == ["P3"]


async def test_replication_and_logging_are_not_judged_on_this_machine_and_all_else_is(deployed: Deployed) -> None:
    europe = deployed.storage["europe"]
    europe.development = True
    europe.properties["sku"]["name"] = "Standard_RAGRS"
    europe.properties["logging"]["enabled"] = True
    await deployed.run()
    assert await deployed.broken() == []
    findings = {finding.path: finding for finding in deployed.checks.checks["steurope"].findings}
    for name, found in (("sku.name", "Standard_RAGRS"), ("logging.enabled", "true")):
        assert (findings[name].found, findings[name].outcome) == (found, Outcome.DEVELOPMENT)
    europe.properties["deleteRetentionPolicy"]["enabled"] = True
    await deployed.run()
    assert await deployed.broken() == ["P4", "P5", "P6"]


@pytest.mark.parametrize(("error", "told"), [(StoreUnavailable("cosmos-429"), "cosmos-429"), (KeyError(), "KeyError")])
async def test_a_check_that_cannot_be_kept_is_told_and_not_raised(
    deployed: Deployed, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    async def fail(check: PostureCheck, etag: str | None) -> None:
        raise error

    deployed.checks.write = fail  # type: ignore[method-assign]
    assert all(check.holds for check in await deployed.posture.check())
    assert told in caplog.text


async def test_an_instance_looks_when_it_starts_and_leaves_nothing_behind_when_it_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private.write(tmp_path / "keys.json", json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=True)]}))
    nowhere = "http://127.0.0.1:1/"
    settings = {
        **SETTINGS,
        "COSMOS_CONNECTION__accountEndpoint": "",
        "COSMOS_CONNECTION": f"AccountEndpoint={nowhere};AccountKey=a2V5;",
        "STORAGE_ACCOUNTS": json.dumps({"europe": f"AccountName=st;AccountKey=a2V5;BlobEndpoint={nowhere}st;"}),
        "RECEIPT_KEY": str(tmp_path / "keys.json"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert bootstrap.services().posture is not None
    look = bootstrap._Process.first_check
    assert look is not None and not look.done(), "nobody has waited for it"
    await settle()
    await bootstrap.close()
    assert look.cancelled() and bootstrap._Process.first_check is None


@pytest.mark.parametrize(("rules", "properties"), [(STORAGE_RULES, STORAGE), (COSMOS_RULES, COSMOS_DB)])
def test_no_rule_of_the_service_accepts_nothing(rules: Any, properties: Any) -> None:
    for rule in rules:
        assert rule.check(properties).outcome is Outcome.HOLDS
        for nothing in ({}, None, [], "text"):
            assert rule.check(nothing).outcome is Outcome.UNREADABLE


def test_what_was_found_is_told_in_one_short_line() -> None:
    found = STORAGE_RULES[1].check({"kind": "a\nb" + "c" * 500}).found
    assert found.startswith("a bc") and len(found) == 120


def test_a_check_is_read_as_it_was_written() -> None:
    clock = ManualClock()
    finding = STORAGE_RULES[0].check(STORAGE)
    check = PostureCheck(geo="europe", storage_account="st", at=clock.now(), development=False, findings=(finding,))
    assert PostureCheck.from_json(check.to_json()) == check
    assert check.to_json()["findings"][0]["property"] == "sku.name"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "absent"),
        (True, "true"),
        ([], "0 entries"),
        (["a"], "1 entry"),
        (["a", "b"], "2 entries"),
        ({"a": "b"}, "an object"),
        (30, "30"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 117 + "..."),
    ],
)
def test_what_was_found_is_shown_in_a_few_words(value: Any, shown: str) -> None:
    finding = STORAGE_RULES[1].check({"kind": value})
    assert (finding.path, finding.found) == ("kind", shown)
    assert finding.outcome is (Outcome.UNREADABLE if value is None else Outcome.BROKEN)


async def test_p6_a_check_that_was_held_up_is_as_old_as_what_it_saw_and_replaces_no_newer_one(
    deployed: Deployed,
) -> None:
    account, clock = deployed.storage["europe"], deployed.world.clock
    began, setup = clock.now(), account.setup
    checked = list[PostureCheck]()

    async def held_up() -> Setup:
        account.setup = setup  # type: ignore[method-assign]
        found = await setup()
        clock.move(timedelta(hours=2))
        account.properties = {**account.properties, "deleteRetentionPolicy": {"enabled": True}}
        await deployed.posture.check()
        checked.append(deployed.checks.checks["steurope"])
        return found

    account.setup = held_up  # type: ignore[method-assign]
    late = {each.storage_account: each for each in await deployed.posture.check()}["steurope"]
    assert (late.at, late.holds) == (began, True)
    assert not checked[0].holds and deployed.checks.checks["steurope"] == checked[0]
