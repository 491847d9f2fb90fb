"""What must be so of every deployment: each check returns what is not so, in words."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.configuration import Configuration, ConfigurationError
from shared.model import deadlines
from shared.model.geos import GEOS
from shared.model.metrics import METRICS
from shared.stores.cosmos.schema import CONTAINERS
from tests.infra.bicep import PRINCIPAL_ID, Later, Resource, deploy

ROOT = Path(__file__).parents[2]
MAIN = "infra/main.bicep"

ACCOUNT = "Microsoft.Storage/storageAccounts"
COSMOS = "Microsoft.DocumentDB/databaseAccounts"
VAULT = "Microsoft.KeyVault/vaults"
SITE = "Microsoft.Web/sites"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
INSIGHTS = "Microsoft.Insights/components"
ROLE = "Microsoft.Authorization/roleAssignments"

LOCAL_ONLY = {"COSMOS_CONNECTION", "TOKEN_ISSUER", "TOKEN_JWKS_URI"}
"""Settings that would put keys or another issuer in production's place."""

PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "COSMOS_CONNECTION__clientId",
    "COSMOS_CONNECTION__credential",
}
"""What the Functions host, its extensions and the SDKs read."""

FLEX_REFUSES = {
    "ftpsState",
    "functionsRuntimeScaleMonitoringEnabled",
    "linuxFxVersion",
    "netFrameworkVersion",
    "use32BitWorkerProcess",
}
"""Members of ``siteConfig`` with which, by others' reports, a Flex Consumption app cannot be created."""

INSIGHTS_TABLES = {
    "AppAvailabilityResults",
    "AppBrowserTimings",
    "AppDependencies",
    "AppEvents",
    "AppExceptions",
    "AppMetrics",
    "AppPageViews",
    "AppPerformanceCounters",
    "AppRequests",
    "AppSystemEvents",
    "AppTraces",
}
"""Those that keep 90 days by default, according to Azure Monitor's documentation."""

BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
COSMOS_DATA_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"

FLEX_REGIONS = {
    "australiaeast",
    "australiasoutheast",
    "brazilsouth",
    "canadacentral",
    "centralindia",
    "centralus",
    "eastasia",
    "eastus",
    "eastus2",
    "francecentral",
    "germanywestcentral",
    "italynorth",
    "japaneast",
    "koreacentral",
    "northcentralus",
    "northeurope",
    "norwayeast",
    "southafricanorth",
    "southcentralus",
    "southeastasia",
    "southindia",
    "spaincentral",
    "swedencentral",
    "uaenorth",
    "uksouth",
    "ukwest",
    "westcentralus",
    "westeurope",
    "westus",
    "westus2",
    "westus3",
}
"""Where Azure's own templates for Flex Consumption may be deployed."""

API_VERSIONS = {
    "Microsoft.Authorization": "2022-04-01",
    "Microsoft.DocumentDB": "2025-10-15",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/scheduledQueryRules": "2026-03-01",
    "Microsoft.KeyVault": "2025-05-01",
    "Microsoft.ManagedIdentity": "2024-11-30",
    "Microsoft.Network": "2025-05-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.OperationalInsights": "2025-07-01",
    "Microsoft.Resources/resourceGroups": "2025-04-01",
    "Microsoft.Storage": "2025-06-01",
    "Microsoft.Web": "2025-03-01",
}
"""By the beginnings of types, those of which Bicep's linter (0.49.2, ``use-recent-api-versions``) says nothing."""

Findings = Iterator[str]


@dataclass(frozen=True)
class Deployment:
    """What a deployment asks for."""

    resources: Sequence[Resource]
    outputs: Mapping[str, Any]
    sources: Mapping[str, str]

    def of(self, kind: str) -> list[Resource]:
        """Return the resources of a type."""
        return [each for each in self.resources if each.type == kind]

    def one(self, kind: str) -> Resource:
        """Return the only resource of a type."""
        (found,) = self.of(kind)
        return found

    def part(self, whole: Resource, kind: str) -> Mapping[str, Any]:
        """Return the properties of the part that a resource has of a kind; empty if there is none."""
        found = [each for each in self.of(f"{whole.type}/{kind}") if each.parent is whole and each.name == "default"]
        return found[0].properties if found else {}

    @cached_property
    def geo_accounts(self) -> list[Resource]:
        """The storage accounts that captures lie in."""
        return [each for each in self.of(ACCOUNT) if "geo" in each.body["tags"]]

    @cached_property
    def settings(self) -> dict[str, str]:
        """The app's settings."""
        return {each["name"]: each["value"] for each in self.one(SITE).properties["siteConfig"]["appSettings"]}

    @cached_property
    def served(self) -> dict[str, str]:
        """The blob endpoint that the app is given for each geo."""
        return dict(json.loads(self.settings["STORAGE_ACCOUNTS"]))


def parameters() -> dict[str, Any]:
    """Return what the parameters file says, with azd's substitutions made as for a first deployment."""
    environment = {
        "AZURE_ENV_NAME": "production",
        "AZURE_LOCATION": "westeurope",
        "OPERATOR_TENANT_ID": "7f9a2c14-5e3b-4d86-9b10-c2d4e6f80a1b",
        "TOKEN_AUDIENCES": "api://copilot-data-sharing,0c1d2e3f-4a5b-4c6d-8e7f-8091a2b3c4d5",
        "ALERT_EMAIL": "operators@example.com",
    }

    def substitute(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return re.sub(r"\$\{(\w+)(?:=([^}]*))?\}", lambda m: environment.get(m[1], m[2]), value)

    file = json.loads((ROOT / "infra/main.parameters.json").read_text())
    return {name: substitute(each["value"]) for name, each in file["parameters"].items()}


def planned(given: Mapping[str, Any] | None = None, instead: Mapping[str, str] | None = None) -> Deployment:
    """Return the deployment of the templates, with other parameters or other texts in their place.

    Raises:
        Refused: if the templates are not understood, or do not take the parameters.
    """
    resources, outputs = deploy(ROOT, MAIN, {**parameters(), **(given or {})}, instead)
    files = (*(ROOT / "infra").rglob("*.bicep"), ROOT / "azure.yaml")
    sources = {str(each.relative_to(ROOT)): each.read_text() for each in files}
    return Deployment(resources, outputs, {**sources, **(instead or {})})


def _expect(of: Resource, values: Mapping[str, Any], path: str, expected: Any) -> Findings:
    """Yield a finding unless the value at ``path`` is said, and is as expected: a default may change."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if found != expected or isinstance(found, bool) is not isinstance(expected, bool):
        yield f"{of.type} {of.name}: {path} is {found!r} and not {expected!r}"


# Deleting is deleting, and within the geo


def blob_soft_delete_is_off(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        yield from _expect(each, it.part(each, "blobServices"), "deleteRetentionPolicy.enabled", False)


def container_soft_delete_is_off(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        yield from _expect(each, it.part(each, "blobServices"), "containerDeleteRetentionPolicy.enabled", False)


def versioning_is_off(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        yield from _expect(each, it.part(each, "blobServices"), "isVersioningEnabled", False)
        if "immutableStorageWithVersioning" in each.properties:
            yield f"{each.name} has immutable storage"


def change_feed_is_off(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        yield from _expect(each, it.part(each, "blobServices"), "changeFeed.enabled", False)


def restore_is_off(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        yield from _expect(each, it.part(each, "blobServices"), "restorePolicy.enabled", False)
        if it.part(each, "blobServices").get("automaticSnapshotPolicyEnabled"):
            yield f"{each.name} takes snapshots"


def copies_stay_in_the_region(it: Deployment) -> Findings:
    for each in it.of(ACCOUNT):
        if each.body["sku"]["name"] not in {"Standard_LRS", "Standard_ZRS"}:
            yield f"{each.name} is {each.body['sku']['name']}"


def nothing_is_replicated_elsewhere(it: Deployment) -> Findings:
    for each in it.of(ACCOUNT):
        yield from _expect(each, each.properties, "allowCrossTenantReplication", False)
    for each in it.resources:
        if each.type.endswith(("/objectReplicationPolicies", "/inventoryPolicies", "/backupInstances", "/locks")):
            yield f"there is a {each.type}"


def accounts_are_in_their_geo(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        geo, region = each.body["tags"]["geo"], each.body["location"]
        if geo not in GEOS or region not in GEOS[geo]["regions"]:
            yield f"{each.name} of {geo} is in {region}"
        if not it.served.get(geo, "").startswith(f"https://{each.name}.blob."):
            yield f"{each.name} is not what the app uses for {geo}"
    if len({each.name for each in it.of(ACCOUNT)}) < len(it.of(ACCOUNT)):
        yield "two accounts have one name"
    if {each.body["tags"]["geo"] for each in it.geo_accounts} != it.served.keys():
        yield "a served geo has no account of its own"


def lifecycle_is_retention(it: Deployment) -> Findings:
    days = int(it.settings["RETENTION_DAYS"])
    if days > deadlines.RETENTION_DAYS_MAX:
        yield f"captures are kept for {days} days"
    for each in it.geo_accounts:
        rules = it.part(each, "managementPolicies").get("policy", {}).get("rules", [])
        if len(rules) != 1:
            yield f"{each.name} has {len(rules)} lifecycle rules"
        for rule in rules:
            yield from _expect(each, rule, "enabled", True)
            yield from _expect(each, rule, "definition.filters", {"blobTypes": ["blockBlob", "appendBlob"]})
            for what in ("baseBlob", "snapshot", "version"):
                path = f"definition.actions.{what}"
                yield from _expect(each, rule, path, {"delete": {"daysAfterCreationGreaterThan": days}})


def the_lifecycle_rule_gets_in(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        yield from _expect(each, each.properties, "networkAcls.bypass", "AzureServices")


# Nobody gets in, and with no key


def data_is_not_public(it: Deployment) -> Findings:
    for each in it.of(ACCOUNT):
        yield from _expect(each, each.properties, "allowBlobPublicAccess", False)
    for each in it.of(f"{ACCOUNT}/blobServices/containers"):
        yield from _expect(each, each.properties, "publicAccess", "None")


def networks_are_closed(it: Deployment) -> Findings:
    for each in (*it.of(ACCOUNT), *it.of(VAULT)):
        yield from _expect(each, each.properties, "networkAcls.defaultAction", "Deny")
    for each in (*it.of(ACCOUNT), *it.of(VAULT), *it.of(COSMOS)):
        yield from _expect(each, each.properties, "publicNetworkAccess", "Disabled")
        if not any(
            connection["properties"]["privateLinkServiceId"] == each.id
            for endpoint in it.of("Microsoft.Network/privateEndpoints")
            for connection in endpoint.properties["privateLinkServiceConnections"]
        ):
            yield f"{each.name} has no private endpoint, so the app cannot reach it"


def there_are_no_keys(it: Deployment) -> Findings:
    for each in it.of(ACCOUNT):
        yield from _expect(each, each.properties, "allowSharedKeyAccess", False)
        yield from _expect(each, each.properties, "isLocalUserEnabled", False)
    yield from _expect(it.one(COSMOS), it.one(COSMOS).properties, "disableLocalAuth", True)
    yield from _expect(it.one(VAULT), it.one(VAULT).properties, "enableRbacAuthorization", True)
    yield from _expect(it.one(INSIGHTS), it.one(INSIGHTS).properties, "DisableLocalAuth", True)
    yield from _expect(it.one(WORKSPACE), it.one(WORKSPACE).properties, "features.disableLocalAuth", True)
    storage = it.one(SITE).properties["functionAppConfig"]["deployment"]["storage"]
    yield from _expect(it.one(SITE), storage, "authentication.type", "UserAssignedIdentity")
    allowed = {each.name: each.properties["allow"] for each in it.of(f"{SITE}/basicPublishingCredentialsPolicies")}
    if allowed != {"scm": False}:  # Flex Consumption has no FTP, and refuses a policy for it
        yield f"passwords for publishing: {allowed}"
    for file, source in it.sources.items():
        if re.search(r"\blist(Keys|Secrets|Sas|AccountSas|ConnectionStrings)\b|@secure", source, re.IGNORECASE):
            yield f"{file} handles secrets"


def everything_is_encrypted_in_transit(it: Deployment) -> Findings:
    for each in it.of(ACCOUNT):
        yield from _expect(each, each.properties, "supportsHttpsTrafficOnly", True)
        yield from _expect(each, each.properties, "minimumTlsVersion", "TLS1_2")
    yield from _expect(it.one(COSMOS), it.one(COSMOS).properties, "minimalTlsVersion", "Tls12")
    site = it.one(SITE)
    yield from _expect(site, site.properties, "httpsOnly", True)
    yield from _expect(site, site.properties, "siteConfig.minTlsVersion", "1.2")
    yield from _expect(site, site.properties, "siteConfig.scmMinTlsVersion", "1.2")


SIGNER_ACTIONS = {"Microsoft.KeyVault/vaults/keys/read", "Microsoft.KeyVault/vaults/keys/sign/action"}
SETUP_READER_ACTIONS = {
    "Microsoft.Storage/storageAccounts/blobServices/read",
    "Microsoft.Storage/storageAccounts/blobServices/getInfo/action",
}


def roles_are_the_least(it: Deployment) -> Findings:
    custom = {each.name: each.properties["permissions"] for each in it.of("Microsoft.Authorization/roleDefinitions")}
    allowed = {name: {*permission["actions"], *permission["dataActions"]} for name, (permission,) in custom.items()}
    signer = next((name for name, actions in allowed.items() if actions == SIGNER_ACTIONS), "")
    setup_reader = next((name for name, actions in allowed.items() if actions == SETUP_READER_ACTIONS), "")
    if allowed.keys() != {signer, setup_reader}:
        yield "a role of our own may do more or less than sign, or read how an account is set up"
    expected = {(each.id, setup_reader) for each in it.geo_accounts}
    expected |= {(each.id, BLOB_DATA_CONTRIBUTOR) for each in it.geo_accounts}
    expected |= {(each.id, BLOB_DATA_OWNER) for each in it.of(ACCOUNT) if each not in it.geo_accounts}
    expected |= {(it.one(INSIGHTS).id, METRICS_PUBLISHER), (it.one(f"{VAULT}/keys").id, signer)}
    found = set()
    for each in it.of(ROLE):
        yield from _expect(each, each.properties, "principalId", PRINCIPAL_ID)
        scope = "the resource group" if each.scope is None else each.scope.id
        found.add((scope, each.properties["roleDefinitionId"].rsplit("/", 1)[1]))
    yield from (f"a role too many: {each}" for each in found - expected)
    yield from (f"a role is missing: {each}" for each in expected - found)
    for each in it.of(f"{COSMOS}/sqlRoleAssignments"):
        yield from _expect(each, each.properties, "scope", it.one(COSMOS).id)
        role = f"{it.one(COSMOS).id}/sqlRoleDefinitions/{COSMOS_DATA_CONTRIBUTOR}"
        yield from _expect(each, each.properties, "roleDefinitionId", role)
        yield from _expect(each, each.properties, "principalId", PRINCIPAL_ID)
    if len(it.of(f"{COSMOS}/sqlRoleAssignments")) != 1:
        yield "not exactly one role in Cosmos DB"


def roles_have_names_of_their_own(it: Deployment) -> Findings:
    for file, source in it.sources.items():
        for name in re.findall(r"roleName: (.*)", source):
            if "${uniqueString(resourceGroup().id)}" not in name:
                yield f"{file}: a tenant has each role name once, and {name} may be another stamp's"


# What Azure takes, and when


def api_versions_are_recent(it: Deployment) -> Findings:
    for file, source in it.sources.items():
        for kind, version in re.findall(r"'(Microsoft\.[\w./]+)@([\w-]+)'", source):
            known = max((name for name in API_VERSIONS if kind.startswith(name)), key=len, default="")
            if version < API_VERSIONS.get(known, "9"):
                yield f"{file}: {kind} is of {version}"


def a_preview_shows_everything(it: Deployment) -> Findings:
    for each in it.resources:
        if isinstance(each.name, Later):
            yield f"{each.file}: a preview leaves out a {each.type}, because a module's output is in its name"


def the_identity_comes_before_its_roles(it: Deployment) -> Findings:
    identity = it.one("Microsoft.ManagedIdentity/userAssignedIdentities")
    for each in (*it.of(ROLE), *it.of(f"{COSMOS}/sqlRoleAssignments")):
        if identity not in each.after:
            yield f"{each.file} does not wait for the identity"


def tables_come_late(it: Deployment) -> Findings:
    slow = (*it.of(ACCOUNT), *it.of(COSMOS), *it.of(VAULT))
    late = [each for each in slow if each.file != "infra/modules/host-storage.bicep"]
    for table in it.of(f"{WORKSPACE}/tables"):
        if not all(each in table.after for each in (*late, it.one(WORKSPACE))):
            yield f"the new workspace may not know its table {table.name} yet"
        if table not in it.one(SITE).after:
            yield f"the app may write to {table.name} while it keeps 90 days"


def regions_have_the_plan(it: Deployment) -> Findings:
    region = it.one(SITE).body["location"]
    if region not in FLEX_REGIONS:
        yield f"there is no Flex Consumption in {region}"


def storage_takes_the_addresses(it: Deployment) -> Findings:
    for each in it.geo_accounts:
        for rule in each.properties["networkAcls"]["ipRules"]:
            if rule["value"].endswith(("/31", "/32")):
                yield f"{each.name} refuses {rule['value']}"


def names_are_long_enough(it: Deployment) -> Findings:
    # The compiler (BCP334) reckons with the shortest token that the parameter takes.
    if "@minLength(13)\n@maxLength(13)\nparam token string\n" not in it.sources["infra/modules/geo-storage.bicep"]:
        yield "an account's name may be two characters long"


def the_app_gets_out(it: Deployment) -> Findings:
    for network in it.of("Microsoft.Network/virtualNetworks"):
        for subnet in network.properties["subnets"]:
            if not isinstance(subnet["properties"].get("defaultOutboundAccess"), bool):
                yield f"of the subnet {subnet['name']} it is not said whether it gets out"
            if "delegations" in subnet["properties"] and not subnet["properties"].get("defaultOutboundAccess"):
                yield "the app cannot fetch Entra's keys"


# The ledger


def consistency_is_strong(it: Deployment) -> Findings:
    account = it.one(COSMOS)
    yield from _expect(account, account.properties, "consistencyPolicy", {"defaultConsistencyLevel": "Strong"})


def one_region_writes(it: Deployment) -> Findings:
    account = it.one(COSMOS)
    yield from _expect(account, account.properties, "enableMultipleWriteLocations", False)
    if [each["locationName"] for each in account.properties["locations"]] != [account.body["location"]]:
        yield "the ledger is in more than its own region"


def containers_are_as_the_code_needs_them(it: Deployment) -> Findings:
    if [each.name for each in it.of(f"{COSMOS}/sqlDatabases")] != ["data-sharing"]:
        yield "the databases are not data-sharing alone"
    found = {each.name: each.properties["resource"] for each in it.of(f"{COSMOS}/sqlDatabases/containers")}
    yield from (f"the container {name} should not be there" for name in found.keys() - CONTAINERS.keys())
    for name, schema in CONTAINERS.items():
        expected = {
            "id": name,
            "partitionKey": {"kind": "Hash", "paths": [schema.partition_key], "version": 2},
            "indexingPolicy": schema.indexing_policy,
        }
        if {key: value for key, value in found.get(name, {}).items() if key in expected} != expected:
            yield f"the container {name} is not as shared/stores/cosmos/schema.py says"


def nothing_in_the_ledger_expires(it: Deployment) -> Findings:
    for each in it.of(f"{COSMOS}/sqlDatabases/containers"):
        if each.properties["resource"].keys() & {"defaultTtl", "analyticalStorageTtl"}:
            yield f"items of {each.name} expire"


def backup_is_of_seven_days(it: Deployment) -> Findings:
    account, tier = it.one(COSMOS), "backupPolicy.continuousModeProperties.tier"
    yield from _expect(account, account.properties, "backupPolicy.type", "Continuous")
    yield from _expect(account, account.properties, tier, "Continuous7Days")


# The app


def settings_are_those_that_are_read(it: Deployment) -> Findings:
    expected = (settings_read_by_the_code() - LOCAL_ONLY) | PLATFORM
    yield from (f"{name} is set and not read" for name in it.settings.keys() - expected)
    yield from (f"{name} is read and not set" for name in expected - it.settings.keys())


def settings_are_accepted(it: Deployment) -> Findings:
    try:
        configuration = Configuration.read(it.settings)
    except ConfigurationError as error:
        yield str(error)
        return
    expected = {each.body["tags"]["geo"]: each.name for each in it.geo_accounts}
    found = {each.geo: str(urlsplit(each.setting).hostname).split(".")[0] for each in configuration.storage}
    if found != expected:
        yield f"the app would use {found} and not {expected}"


def settings_hold_no_secret(it: Deployment) -> Findings:
    for name, value in it.settings.items():
        if re.search(r"AccountKey|SharedAccess|sig=|password|secret", value, re.IGNORECASE):
            yield f"{name} holds a secret"


def host_storage_is_apart(it: Deployment) -> Findings:
    geo_accounts = {each.name for each in it.geo_accounts}
    package = it.one(SITE).properties["functionAppConfig"]["deployment"]["storage"]["value"]
    for address in (package, it.settings["AzureWebJobsStorage__blobServiceUri"]):
        if str(urlsplit(address).hostname).split(".")[0] in geo_accounts:
            yield "the host uses an account of a geo"


def runtime_is_the_target(it: Deployment) -> Findings:
    site = it.one(SITE)
    yield from _expect(site, site.properties, "functionAppConfig.runtime", {"name": "python", "version": "3.13"})
    for name in site.properties["siteConfig"].keys() & FLEX_REFUSES:
        yield f"a Flex Consumption plan refuses {name}"
    plan = it.one("Microsoft.Web/serverfarms")
    yield from _expect(plan, plan.body, "sku", {"name": "FC1", "tier": "FlexConsumption"})
    if list(site.body["identity"]["userAssignedIdentities"]) != [
        it.one("Microsoft.ManagedIdentity/userAssignedIdentities").id
    ]:
        yield "the app has another identity than the one with the roles"


def an_instance_answers_many_at_a_time(it: Deployment) -> Findings:
    site, scale = it.one(SITE), "functionAppConfig.scaleAndConcurrency"
    yield from _expect(site, site.properties, f"{scale}.triggers.http.perInstanceConcurrency", 16)
    if site.properties["functionAppConfig"]["scaleAndConcurrency"]["instanceMemoryMB"] < 2048:
        yield "an instance has no room for sixteen requests"


def zones_are_said(it: Deployment) -> Findings:
    plan, account = it.one("Microsoft.Web/serverfarms"), it.one(COSMOS)
    spread = plan.properties.get("zoneRedundant")
    yield from _expect(plan, plan.properties, "zoneRedundant", spread is True)
    yield from _expect(account, account.properties["locations"][0], "isZoneRedundant", spread)
    (host,) = (each for each in it.of(ACCOUNT) if each not in it.geo_accounts)
    yield from _expect(host, host.body, "sku.name", "Standard_ZRS" if spread else "Standard_LRS")


def pages_elsewhere_are_named(it: Deployment) -> Findings:
    site = it.one(SITE)
    yield from _expect(site, site.properties, "siteConfig.cors.supportCredentials", False)
    for origin in site.properties["siteConfig"]["cors"]["allowedOrigins"]:
        if not re.fullmatch(r"https://[^/*]+", origin):
            yield f"{origin} may call the API from a browser"


def azd_finds_its_way(it: Deployment) -> Findings:
    site, group = it.one(SITE), it.one("Microsoft.Resources/resourceGroups")
    for each in (site, group):
        yield from _expect(each, each.body, "tags.azd-env-name", parameters()["environmentName"])
    service = site.body["tags"].get("azd-service-name")
    if not re.search(rf"^services:\n  {service}:\n", it.sources["azure.yaml"], re.MULTILINE):
        yield f"azure.yaml has no service {service}"
    if missing := {"API_ADDRESS", "AZURE_RESOURCE_GROUP", "AZURE_TENANT_ID", "FUNCTION_APP"} - it.outputs.keys():
        yield f"azd is not told {', '.join(sorted(missing))}"


def azd_is_new_enough(it: Deployment) -> Findings:
    if not re.search(r'^requiredVersions:\n  azd: ">= 1\.23\.5"$', it.sources["azure.yaml"], re.MULTILINE):
        yield "azure.yaml takes any azd"


# Evidence


def receipt_key_signs_and_stays(it: Deployment) -> Findings:
    vault, key = it.one(VAULT), it.one(f"{VAULT}/keys")
    yield from _expect(vault, vault.properties, "enablePurgeProtection", True)
    yield from _expect(key, key.properties, "curveName", "P-256")
    yield from _expect(key, key.properties, "keyOps", ["sign", "verify"])
    if key.properties["kty"] not in {"EC", "EC-HSM"}:
        yield "the key is of another kind than ES256 needs"
    actions = key.properties.get("rotationPolicy", {}).get("lifetimeActions", [])
    if "rotate" not in {each["action"]["type"] for each in actions}:
        yield "the key is not rotated"


def logs_are_gone_within_30_days(it: Deployment) -> Findings:
    workspace = it.one(WORKSPACE)
    yield from _expect(workspace, workspace.properties, "retentionInDays", 30)
    yield from _expect(workspace, workspace.properties, "features.immediatePurgeDataOn30Days", True)
    tables = {each.name: each for each in it.of(f"{WORKSPACE}/tables")}
    yield from (f"{name} keeps 90 days" for name in INSIGHTS_TABLES - tables.keys())
    for each in tables.values():
        days = each.properties["retentionInDays"]
        yield from _expect(each, each.properties, "totalRetentionInDays", days)
        if not 4 <= days < 30:
            yield f"{each.name} keeps {days} days"


def nothing_logs_addresses(it: Deployment) -> Findings:
    yield from _expect(it.one(INSIGHTS), it.one(INSIGHTS).properties, "DisableIpMasking", False)
    for each in it.resources:
        if each.type.lower().endswith("/diagnosticsettings"):
            yield f"{each.name} logs what is done with a store"


def someone_is_told(it: Deployment) -> Findings:
    (group,) = it.of("Microsoft.Insights/actionGroups")
    known, watched, promised = {each.name for each in METRICS}, set(), thresholds()
    for rule in it.of("Microsoft.Insights/scheduledQueryRules"):
        (criterion,) = rule.properties["criteria"]["allOf"]
        named = set(re.findall(r'Name == "([^"]+)"', criterion["query"]))
        yield from (f"{rule.name} waits for {name}, which nobody sends" for name in named - known)
        watched |= named
        for name in named:
            for limit in promised.get(name, set()) - set(re.findall(r"\d+", criterion["query"])):
                yield f"{rule.name} does not know of {limit}"
        yield from _expect(rule, rule.properties, "enabled", True)
        yield from _expect(rule, rule.properties, "actions.actionGroups", [group.id])
        yield from _expect(rule, rule.properties, "scopes", [it.one(WORKSPACE).id])
    yield from (f"nobody is told of {name}" for name in promised.keys() - watched)


def settings_read_by_the_code() -> set[str]:
    """Return the names of the environment variables that the app reads, from its source."""
    read = re.compile(r'(?:environment\.get\(|environ\.get\(|environ\[|_required\(environment, )"(\w+)"')
    files = (*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py"), ROOT / "function_app.py")
    return {name for file in files for name in read.findall(file.read_text())}


def thresholds() -> dict[str, set[str]]:
    """Return the metrics for which docs/operations.md promises an alert, and the limits in seconds that it names."""
    rows = [each.split("|") for each in (ROOT / "docs/operations.md").read_text().splitlines()]
    return {
        row[1].strip(" `"): set(re.findall(r"\b\d{3,}\b", row[5]))
        for row in rows
        if len(row) > 5 and row[1].strip().startswith("`data_sharing.") and not row[5].strip().startswith("none")
    }


CHECKS: Mapping[str, Callable[[Deployment], Findings]] = {
    each.__name__: each
    for each in (
        blob_soft_delete_is_off,
        container_soft_delete_is_off,
        versioning_is_off,
        change_feed_is_off,
        restore_is_off,
        copies_stay_in_the_region,
        nothing_is_replicated_elsewhere,
        accounts_are_in_their_geo,
        lifecycle_is_retention,
        the_lifecycle_rule_gets_in,
        data_is_not_public,
        networks_are_closed,
        there_are_no_keys,
        everything_is_encrypted_in_transit,
        roles_are_the_least,
        roles_have_names_of_their_own,
        api_versions_are_recent,
        a_preview_shows_everything,
        the_identity_comes_before_its_roles,
        tables_come_late,
        regions_have_the_plan,
        storage_takes_the_addresses,
        names_are_long_enough,
        the_app_gets_out,
        consistency_is_strong,
        one_region_writes,
        containers_are_as_the_code_needs_them,
        nothing_in_the_ledger_expires,
        backup_is_of_seven_days,
        settings_are_those_that_are_read,
        settings_are_accepted,
        settings_hold_no_secret,
        host_storage_is_apart,
        runtime_is_the_target,
        an_instance_answers_many_at_a_time,
        zones_are_said,
        pages_elsewhere_are_named,
        azd_finds_its_way,
        azd_is_new_enough,
        receipt_key_signs_and_stays,
        logs_are_gone_within_30_days,
        nothing_logs_addresses,
        someone_is_told,
    )
}
