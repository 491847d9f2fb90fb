"""The templates hold what the promises need of Azure, and each check would see it if they did not (no cloud)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.bootstrap import connect
from shared.configuration import Configuration
from shared.model.geos import GEOS
from tests.clocks import ManualClock
from tests.infra.bicep import PRINCIPAL_ID, Refused, Resource
from tests.infra.posture import CHECKS, ROOT, SITE, Deployment, parameters, planned


@dataclass(frozen=True)
class Mutation:
    """A change to one template that some check must see; ``given`` are the parameters that it needs."""

    module: str
    old: str
    new: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def texts(self) -> dict[str, str]:
        path = {"main": "infra/main.bicep", "azure.yaml": "azure.yaml"}.get(
            self.module, f"infra/modules/{self.module}.bicep"
        )
        text = (ROOT / path).read_text()
        assert self.old in text, f"{path} does not say {self.old!r}"
        return {path: text.replace(self.old, self.new)}


def geo_storage(old: str, new: str, given: Mapping[str, Any] | None = None) -> Mutation:
    return Mutation("geo-storage", old, new, given or {})


def one_geo(geo: str = "europe", region: str = "westeurope", sku: str = "Standard_ZRS") -> dict[str, Any]:
    return {"servedGeos": [{"geo": geo, "region": region, "sku": sku}]}


FIRST = {"geo": "europe", "region": "westeurope", "sku": "Standard_ZRS"}
SECOND = {"geo": "europe", "region": "northeurope", "sku": "Standard_LRS", "number": 2}
ELSEWHERE = {"geo": "unitedstates", "region": "eastus", "sku": "Standard_ZRS"}
TWO_ACCOUNTS = {"servedGeos": [{**FIRST, "state": "closed"}, ELSEWHERE, SECOND]}
"""Europe has two accounts, the first of them closed."""

BLOBS_OFF = "    deleteRetentionPolicy: { enabled: false }"
CONTAINERS_OFF = "containerDeleteRetentionPolicy: { enabled: false }"
RESTORE_OFF = "restorePolicy: { enabled: false }"
VERSIONS_OFF = "isVersioningEnabled: false"
DAYS = "daysAfterCreationGreaterThan: retentionDays"
IN_GEO = "contains(geos[geo].regions, region) ? region : fail('The region is not one of the geo.')"
OF_CONTAINER = "      id: each.name\n"
SETTINGS_END = "      ]\n      // Pages"

MUTATIONS = {
    "blob_soft_delete_is_off": [
        geo_storage(BLOBS_OFF, "    deleteRetentionPolicy: { enabled: true, days: 7 }"),
        geo_storage(BLOBS_OFF, ""),
        geo_storage("storageAccounts/blobServices@", "storageAccounts/fileServices@"),
    ],
    "container_soft_delete_is_off": [
        geo_storage(CONTAINERS_OFF, "containerDeleteRetentionPolicy: { enabled: true, days: 1 }"),
        geo_storage(CONTAINERS_OFF, ""),
    ],
    "versioning_is_off": [
        geo_storage(VERSIONS_OFF, "isVersioningEnabled: true"),
        geo_storage(VERSIONS_OFF, "isVersioningEnabled: 'false'"),
        geo_storage("isHnsEnabled", "immutableStorageWithVersioning: { enabled: true }\n    isHnsEnabled"),
    ],
    "change_feed_is_off": [geo_storage("changeFeed: { enabled: false }", "changeFeed: { enabled: true }")],
    "restore_is_off": [
        geo_storage(RESTORE_OFF, "restorePolicy: { enabled: true, days: 6 }"),
        geo_storage(RESTORE_OFF, f"{RESTORE_OFF}\n    automaticSnapshotPolicyEnabled: true"),
    ],
    "copies_stay_in_the_region": [
        geo_storage("@allowed(['Standard_LRS', 'Standard_ZRS'])\n", "", one_geo(sku="Standard_GRS")),
        geo_storage("sku: { name: sku }", "sku: { name: 'Standard_RAGZRS' }"),
        Mutation("host-storage", "Standard_LRS", "Standard_GRS"),
    ],
    "nothing_is_replicated_elsewhere": [
        geo_storage("allowCrossTenantReplication: false", "allowCrossTenantReplication: true"),
        geo_storage("/managementPolicies@", "/objectReplicationPolicies@"),
    ],
    "accounts_are_in_their_geo": [
        geo_storage(IN_GEO, "region", one_geo(region="eastus")),
        geo_storage("name: 'st${toLower(geos[geo].code)}${token}${", "name: 'st${token}${"),
        geo_storage("${number == 1 ? '' : number}", "", TWO_ACCOUNTS),
        geo_storage("union(tags, { geo: geo })", "union(tags, { geo: 'europe' })"),
        Mutation("main", "endpoint: geoStorage[i].outputs", "endpoint: geoStorage[0].outputs"),
        Mutation("function-app", "those => length(those) == 1 && ", "those => ", {"servedGeos": [FIRST, SECOND]}),
    ],
    "lifecycle_is_retention": [
        geo_storage(DAYS, "daysAfterCreationGreaterThan: 31"),
        geo_storage(DAYS, "daysAfterModificationGreaterThan: retentionDays"),
        geo_storage("      enabled: true\n", "      enabled: false\n"),
        geo_storage("blobTypes: ", "prefixMatch: ['0-']\n              blobTypes: "),
        geo_storage("/managementPolicies@", "/somethingElse@"),
        Mutation("function-app", "value: string(retentionDays)", "value: '29'"),
    ],
    "the_lifecycle_rule_gets_in": [
        geo_storage("bypass: 'AzureServices'", "bypass: 'None'"),
        geo_storage("      bypass: 'AzureServices'\n", ""),
    ],
    "data_is_not_public": [
        geo_storage("allowBlobPublicAccess: false", "allowBlobPublicAccess: true"),
        Mutation("host-storage", "publicAccess: 'None'", "publicAccess: 'Blob'"),
    ],
    "networks_are_closed": [
        geo_storage("defaultAction: 'Deny'", "defaultAction: 'Allow'"),
        Mutation("key-vault", "defaultAction: 'Deny'", "defaultAction: 'Allow'"),
        Mutation("cosmos", "empty(allowedIpRanges) ? 'Disabled' : 'Enabled'", "'Enabled'"),
        Mutation("main", "targetId: geoStorage[i].outputs.id", "targetId: geoStorage[0].outputs.id"),
    ],
    "there_are_no_keys": [
        geo_storage("allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
        geo_storage("    allowSharedKeyAccess: false\n", ""),
        Mutation("host-storage", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
        Mutation("cosmos", "disableLocalAuth: true", "disableLocalAuth: false"),
        Mutation("monitoring", "DisableLocalAuth: true", "DisableLocalAuth: false"),
        Mutation("function-app", "allow: false", "allow: true"),
        Mutation("function-app", "name: 'scm'", "name: 'ftp'"),
        Mutation("cosmos", "output id", "// account.listKeys()\noutput id"),
    ],
    "everything_is_encrypted_in_transit": [
        geo_storage("supportsHttpsTrafficOnly: true", "supportsHttpsTrafficOnly: false"),
        geo_storage("'TLS1_2'", "'TLS1_0'"),
        Mutation("cosmos", "'Tls12'", "'Tls11'"),
        Mutation("function-app", "httpsOnly: true", "httpsOnly: false"),
        Mutation("function-app", " minTlsVersion: '1.2'", " minTlsVersion: '1.0'"),
    ],
    "roles_are_the_least": [
        geo_storage("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
        geo_storage("  scope: account\n", ""),
        Mutation("key-vault", "  scope: key\n", "  scope: vault\n"),
        Mutation("key-vault", "keys/sign/action'", "keys/*'"),
        Mutation("cosmos", "scope: account.id", "scope: '${account.id}/dbs/${database}'"),
    ],
    "roles_have_names_of_their_own": [
        Mutation("identity", " ${uniqueString(resourceGroup().id)}", ""),
        Mutation("key-vault", " ${uniqueString(resourceGroup().id)}", ""),
    ],
    "api_versions_are_recent": [
        geo_storage("storageAccounts@2025-06-01", "storageAccounts@2024-01-01"),
        Mutation("network", "privateDnsZones@2024-06-01", "privateDnsZones@2020-06-01"),
        Mutation("alerts", "scheduledQueryRules@2026-03-01", "scheduledQueryRules@2022-06-15"),
        Mutation("log-retention", "workspaces@2025-07-01", "workspaces@2023-09-01"),
    ],
    "a_preview_shows_everything": [
        geo_storage("guid(account.id, identity.id, role)", "guid(account.id, identity.properties.principalId, role)"),
        geo_storage(
            "guid(account.id, identity.id, setupReader.id)",
            "guid(account.id, account.properties.primaryEndpoints.blob)",
        ),
        Mutation("main", "name: 'stfunc${token}'", "name: toLower(cosmos.outputs.endpoint)"),
    ],
    "the_identity_comes_before_its_roles": [Mutation("main", "  dependsOn: [identity]\n", "")],
    "tables_come_late": [
        Mutation("main", "    cosmos\n    geoStorage\n", ""),
        Mutation("main", "    logRetention\n", ""),
    ],
    "regions_have_the_plan": [
        Mutation("main", "  'australiaeast'\n", "  'qatarcentral'\n", {"location": "qatarcentral"})
    ],
    "storage_takes_the_addresses": [
        Mutation("main", "fail('Write the addresses of a /31 or /32 one by one.')", "allowedIpRanges", ranges)
        for ranges in ({"allowedIpRanges": ["203.0.113.7/32"]}, {"allowedIpRanges": ["203.0.113.6/31"]})
    ],
    "names_are_long_enough": [geo_storage("@minLength(13)\n", "")],
    "the_app_gets_out": [
        Mutation("network", "          defaultOutboundAccess: true\n", ""),
        Mutation("network", "          defaultOutboundAccess: false\n", ""),
        Mutation("network", "defaultOutboundAccess: true", "defaultOutboundAccess: false"),
    ],
    "an_instance_answers_many_at_a_time": [
        Mutation("main", "perInstanceConcurrency: perInstanceConcurrency", "perInstanceConcurrency: 1"),
        Mutation("function-app", "http: { perInstanceConcurrency: perInstanceConcurrency }", ""),
        Mutation("main", "@allowed([2048, 4096])", "@allowed([512, 2048])", {"instanceMemoryMB": 512}),
    ],
    "zones_are_said": [
        Mutation("function-app", "    zoneRedundant: zoneRedundant\n", ""),
        Mutation("cosmos", "isZoneRedundant: zoneRedundant", "isZoneRedundant: false", {"zoneRedundant": True}),
        Mutation("host-storage", "zoneRedundant ? 'Standard_ZRS' : ", "", {"zoneRedundant": True}),
    ],
    "pages_elsewhere_are_named": [
        Mutation("main", "allowedOrigins: allowedOrigins", "allowedOrigins: ['*']"),
        Mutation("function-app", "supportCredentials: false", "supportCredentials: true"),
    ],
    "consistency_is_strong": [Mutation("cosmos", "'Strong'", "'Session'")],
    "one_region_writes": [
        Mutation("cosmos", "enableMultipleWriteLocations: false", "enableMultipleWriteLocations: true"),
        Mutation("cosmos", "locationName: location", "locationName: 'eastus'"),
    ],
    "containers_are_as_the_code_needs_them": [
        Mutation("cosmos", "        { path: '/kind/?' }\n", ""),
        Mutation("cosmos", "        { path: '/retryAt/?' }\n", ""),
        Mutation("cosmos", "partitionKey: '/kind'", "partitionKey: '/id'"),
        Mutation("cosmos", "name: 'access'", "name: 'reviews'"),
    ],
    "nothing_in_the_ledger_expires": [
        Mutation("cosmos", OF_CONTAINER, f"{OF_CONTAINER}      defaultTtl: 31536000\n"),
        Mutation("cosmos", OF_CONTAINER, f"{OF_CONTAINER}      analyticalStorageTtl: 1\n"),
    ],
    "backup_is_of_seven_days": [Mutation("cosmos", "Continuous7Days", "Continuous30Days")],
    "settings_are_those_that_are_read": [
        Mutation("function-app", "'AZURE_CLIENT_ID'", "'MANAGED_IDENTITY_CLIENT_ID'"),
        Mutation("function-app", "'REVIEW_AUTH_CONTEXT'", "'TOKEN_ISSUER'"),
        Mutation(
            "function-app", SETTINGS_END, f"{{ name: 'FUNCTIONS_WORKER_RUNTIME', value: 'python' }}\n{SETTINGS_END}"
        ),
    ],
    "settings_are_accepted": [
        Mutation("function-app", "each => each.geo", "each => 'mars'", one_geo()),
        Mutation("function-app", "state: each.state", "state: 'shut'", TWO_ACCOUNTS),
        Mutation("key-vault", "key.properties.keyUri", "'${key.properties.keyUri}/0123'"),
    ],
    "settings_hold_no_secret": [Mutation("function-app", "value: tokenAudiences", "value: 'AccountKey=x'")],
    "host_storage_is_apart": [Mutation("main", "hostBlobEndpoint: hostStorage", "hostBlobEndpoint: geoStorage[0]")],
    "runtime_is_the_target": [
        Mutation("function-app", "version: '3.13'", "version: '3.11'"),
        Mutation("function-app", "http20Enabled: true", "http20Enabled: true\n      ftpsState: 'Disabled'"),
    ],
    "azd_finds_its_way": [
        Mutation("function-app", "'azd-service-name': 'app'", "'azd-service-name': 'api'"),
        Mutation("azure.yaml", "  app:", "  api:"),
        Mutation("main", "output FUNCTION_APP", "output OTHER_APP"),
        Mutation("main", "output AZURE_TENANT_ID", "output OTHER_TENANT_ID"),
    ],
    "azd_is_new_enough": [Mutation("azure.yaml", '  azd: ">= 1.23.5"', '  azd: ">= 1.0.0"')],
    "receipt_key_signs_and_stays": [
        Mutation("key-vault", "curveName: 'P-256'", "curveName: 'P-384'"),
        Mutation("key-vault", "enablePurgeProtection: true", "enablePurgeProtection: false"),
        Mutation("key-vault", "type: 'rotate'", "type: 'notify'"),
    ],
    "logs_are_gone_within_30_days": [
        Mutation("log-retention", "  'AppTraces'\n", ""),
        Mutation("log-retention", "totalRetentionInDays: logDays", "totalRetentionInDays: 365"),
        Mutation("log-retention", "    retentionInDays: logDays\n", "    retentionInDays: 90\n"),
        Mutation("monitoring", "immediatePurgeDataOn30Days: true", "immediatePurgeDataOn30Days: false"),
    ],
    "nothing_logs_addresses": [
        Mutation("monitoring", "DisableIpMasking: false", "DisableIpMasking: true"),
        geo_storage("Microsoft.Storage/storageAccounts/managementPolicies@", "Microsoft.Insights/diagnosticSettings@"),
    ],
    "someone_is_told": [
        Mutation("alerts", "data_sharing.feed.lag", "data_sharing.feed.delay"),
        Mutation("alerts", "86400", "8640"),
        Mutation("alerts", ", account = tostring(Properties.account)", ""),
        Mutation("alerts", "enabled: true\n    scopes", "enabled: false\n    scopes"),
        Mutation("alerts", "actionGroups: [people.id]", "actionGroups: []"),
    ],
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_templates_hold(name: str) -> None:
    assert list(CHECKS[name](planned())) == []


@pytest.mark.parametrize(
    ("name", "mutation"),
    [
        pytest.param(name, each, id=f"{name}-{n}")
        for name, mutations in MUTATIONS.items()
        for n, each in enumerate(mutations)
    ],
)
def test_a_check_sees_what_is_wrong(name: str, mutation: Mutation) -> None:
    findings = list(CHECKS[name](planned(mutation.given, mutation.texts())))
    assert findings


def test_each_check_has_been_seen_to_fail() -> None:
    assert MUTATIONS.keys() == CHECKS.keys()


# What the templates refuse by themselves, before anything is deployed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (one_geo(region="eastus"), "not one of the geo"),
        (one_geo(geo="mars"), "mars"),
        (one_geo(sku="Standard_GRS"), "@allowed"),
        ({"servedGeos": []}, "@minLength"),
        ({"servedGeos": [{**FIRST, "state": "shut"}]}, "open or closed"),
        ({"servedGeos": [{**FIRST, "number": 0}]}, "@minValue"),
        ({"servedGeos": [{**FIRST, "number": 1000}]}, "@maxValue"),
        ({"servedGeos": [{**FIRST, "number": "2"}]}, "type int"),
        ({"retentionDays": 31}, "@maxValue"),
        ({"retentionDays": 2}, "@minValue"),
        ({"operatorTenantId": ""}, "@minLength"),
        ({"tokenAudiences": ""}, "@minLength"),
        ({"location": "germanynorth"}, "@allowed"),
        ({"allowedIpRanges": ["203.0.113.7", "203.0.113.7/32"]}, "one by one"),
        ({"allowedIpRanges": ["203.0.113.6/31"]}, "one by one"),
        ({"instanceMemoryMB": 512}, "@allowed"),
        ({"perInstanceConcurrency": 0}, "@minValue"),
    ],
)
def test_wrong_parameters_stop_the_deployment(given: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        planned(given)


@pytest.mark.parametrize("geo", GEOS)
def test_each_geo_can_be_served_and_each_of_its_regions(geo: str) -> None:
    for region in GEOS[geo]["regions"]:
        it = planned(one_geo(geo, region, "Standard_LRS"))
        (account,) = it.geo_accounts
        assert account.body["location"] == region
        assert len(account.name) <= 24 - len("999")
        assert [finding for check in CHECKS.values() for finding in check(it)] == []


def accounts(it: Deployment) -> dict[str, Resource]:
    return {each.name: each for each in it.geo_accounts}


def test_a_geo_can_have_several_accounts_and_each_is_set_up_like_the_first() -> None:
    it = planned(TWO_ACCOUNTS)
    first, elsewhere, second = accounts(it)
    assert second == f"{first}2"
    assert [each.body["location"] for each in it.geo_accounts] == ["westeurope", "eastus", "northeurope"]
    assert [finding for check in CHECKS.values() for finding in check(it)] == []
    found = {(each.geo, each.setting, each.state) for each in Configuration.read(it.settings).storage}
    assert found == {
        ("europe", f"https://{first}.blob.core.windows.net/", "closed"),
        ("europe", f"https://{second}.blob.core.windows.net/", "open"),
        ("unitedstates", f"https://{elsewhere}.blob.core.windows.net/", "open"),
    }


def test_a_geo_whose_only_account_is_closed_is_told_to_be() -> None:
    it = planned({"servedGeos": [{**FIRST, "state": "closed"}, ELSEWHERE]})
    assert {each.geo: each.state for each in Configuration.read(it.settings).storage} == {
        "europe": "closed",
        "unitedstates": "open",
    }


def test_another_account_leaves_what_there_is_as_it_is() -> None:
    before = {(each.id, str(each.body)) for each in planned().resources if each.type != SITE}
    more = {"servedGeos": [*parameters()["servedGeos"], SECOND]}
    after = {(each.id, str(each.body)) for each in planned(more).resources if each.type != SITE}
    assert before < after
    # Nor does the order in which they stand, nor that the first is no longer there.
    last = {(each.id, str(each.body)) for each in planned({"servedGeos": [SECOND]}).resources if each.type != SITE}
    assert last < after


def test_a_deployment_of_one_account_a_geo_is_what_it_was() -> None:
    it = planned()
    token = it.one(SITE).name.removeprefix("func-")
    assert list(accounts(it)) == [f"stemea{token}", f"stna{token}"]
    assert it.settings["STORAGE_ACCOUNTS"] == (
        f'{{"europe":"https://stemea{token}.blob.core.windows.net/",'
        f'"unitedstates":"https://stna{token}.blob.core.windows.net/"}}'
    )
    endpoints = [each.name for each in it.of("Microsoft.Network/privateEndpoints")]
    assert endpoints[-2:] == [f"pe-europe-{token}", f"pe-unitedstates-{token}"]
    assert planned({"servedGeos": [FIRST | {"number": 1, "state": "open"}, ELSEWHERE]}).resources == it.resources


def test_epochs_are_trusted_only_where_somebody_says_so() -> None:
    assert planned().settings["CONSENT_EPOCHS"] == "off"
    assert planned({"consentEpochs": True}).settings["CONSENT_EPOCHS"] == "on"


def test_shorter_retention_reaches_the_app_and_the_backstop() -> None:
    it = planned({"retentionDays": 7})
    assert it.settings["RETENTION_DAYS"] == "7"
    assert list(CHECKS["lifecycle_is_retention"](it)) == []


def test_named_addresses_open_the_stores_to_nobody_else() -> None:
    it = planned({"allowedIpRanges": ["203.0.113.7"]})
    for each in it.geo_accounts:
        assert each.properties["publicNetworkAccess"] == "Enabled"
        assert each.properties["networkAcls"]["defaultAction"] == "Deny"
        assert each.properties["networkAcls"]["ipRules"] == [{"action": "Allow", "value": "203.0.113.7"}]


def test_operators_may_repair_the_ledger_if_they_are_named() -> None:
    operator = "6d1f0b52-3c1e-4b0a-9f57-2f6f4b8f0c11"
    roles = planned({"operatorIds": [operator]}).of("Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments")
    assert [each.properties["principalId"] for each in roles] == [PRINCIPAL_ID, operator]
    assert len({each.name for each in roles}) == 2


def test_pages_that_are_named_may_call() -> None:
    origins = ["https://admin.example.com"]
    it = planned({"allowedOrigins": origins})
    assert it.one(SITE).properties["siteConfig"]["cors"]["allowedOrigins"] == origins
    assert list(CHECKS["pages_elsewhere_are_named"](it)) == []


def test_stamps_do_not_share_a_name() -> None:
    one, other = ({(each.type, each.name) for each in planned({"environmentName": name}).geo_accounts} for name in "ab")
    assert not one & other


def test_a_stamp_knows_where_other_geos_are_served() -> None:
    elsewhere = {"unitedstates": "https://func-other.azurewebsites.net/api"}
    it = planned(one_geo() | {"geoEndpoints": elsewhere})
    assert Configuration.read(it.settings).geo_endpoints == elsewhere
    served_here = planned({"geoEndpoints": elsewhere})
    assert list(CHECKS["settings_are_accepted"](served_here)) != []


async def test_the_app_connects_with_the_settings_of_the_deployment() -> None:
    it = planned()
    services = connect(Configuration.read(it.settings), ManualClock())
    for closer in services.closers:
        await closer()
