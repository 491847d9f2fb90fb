"""What Azure Resource Manager shows of a deployment, held to what the promises need: ``python -m audit posture``.

Accounts on this machine have no Resource Manager; of those, what their own data plane shows is checked.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import DefaultAzureCredential

from shared.clock import SystemClock
from shared.configuration import Configuration, ConfigurationError, is_endpoint
from shared.model.geos import GEOS
from shared.model.posture import KEPT, KIND, LEDGER, LEDGER_KEPT, REPLICATION, Finding, Rule, has_one, is_off, is_one_of
from shared.ports import Inspected
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos.account import DATABASE, CosmosAccount
from shared.stores.cosmos.schema import CONTAINERS
from shared.stores.memory import MemoryPosture
from shared.watch.posture import Posture

MANAGEMENT = "https://management.azure.com"
STORAGE_API = "2024-01-01"
COSMOS_API = "2024-11-15"
DIAGNOSTICS_API = "2021-05-01-preview"
LOG_ANALYTICS_API = "2023-09-01"

# The least that a workspace takes. What a table inherits of it is deleted a day late, so a table has to say less.
_WORKSPACE_DAYS_MAX = 30
# A range that is wider names nobody.
_PREFIX_MIN = 8
# Where the service's telemetry and a storage account's own logs go; the others hold nothing of ours.
_LOG_TABLES = ("App", "StorageBlobLogs")
_TIMEOUT = aiohttp.ClientTimeout(total=60)


class PostureError(Exception):
    """The check cannot begin; the message says why and holds no setting's value."""


class Unreadable(Exception):
    """Something could not be read. ``code`` is an HTTP status or the kind of a failure."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ResourceManager(Protocol):
    """Reads what Azure Resource Manager says of a resource."""

    async def get(self, path: str, api_version: str) -> Any:
        """Return the JSON object at ``path``; of a list that is paged, all of its pages.

        Raises:
            Unreadable: if it cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was found of one account."""

    account: str
    finding: Finding


# The rules


def _is_on(value: Any) -> bool:
    return value is True


def _is_off_or_never_was(value: Any) -> bool:
    return value is None or value is False


def _is_absent(value: Any) -> bool:
    return value is None


def _is_empty(value: Any) -> bool:
    return isinstance(value, list) and not value


def _is_closed(properties: Any) -> bool:
    """Tell whether nobody reaches a Cosmos DB account but from a private network or addresses that are named."""
    if not isinstance(properties, Mapping):
        return False
    if properties.get("publicNetworkAccess") == "Disabled":
        return True
    rules = properties.get("ipRules")
    return bool(rules) and _names_addresses(rules, "ipAddressOrRange")


def _are_addresses(value: Any) -> bool:
    return isinstance(value, list) and _names_addresses(value, "value")


def _names_addresses(rules: Any, member: str) -> bool:
    return isinstance(rules, list) and all(isinstance(each, Mapping) and _is_named(each.get(member)) for each in rules)


def _is_named(value: Any) -> bool:
    """Tell whether it is an address or a range that may be somebody's; 0.0.0.0 stands for everybody who is in Azure."""
    try:
        network = ip_network(str(value), strict=False)
    except ValueError:
        return False
    return network.prefixlen >= _PREFIX_MIN and not network.network_address.is_unspecified


def _lets_azure_in(value: Any) -> bool:
    return isinstance(value, str) and "AzureServices" in (each.strip() for each in value.split(","))


def _is_tls_1_2(value: Any) -> bool:
    return value in ("TLS1_2", "TLS1_3")


def _is_in(geo: str) -> Rule:
    regions = GEOS[geo]["regions"]

    def holds(value: Any) -> bool:
        return isinstance(value, str) and value.replace(" ", "").lower() in regions

    return Rule("location", " or ".join(regions), ("P3",), holds)


def _deletes_within(days: int) -> Rule:
    def holds(rules: Any) -> bool:
        return isinstance(rules, list) and any(_deletes_all(each, days) for each in rules)

    needed = f"a rule that deletes every blob after at most {days} days"
    return Rule("properties.policy.rules", needed, ("P4",), holds)


def _deletes_all(rule: Any, days: int) -> bool:
    match rule:
        case {"enabled": True, "type": "Lifecycle", "definition": {"actions": {"baseBlob": {"delete": after}}} as body}:
            filters = body.get("filters") or {}
            everything = not filters.get("prefixMatch") and not filters.get("blobIndexMatch")
            ages = (after.get("daysAfterCreationGreaterThan"), after.get("daysAfterModificationGreaterThan"))
            soon = any(isinstance(age, int) and age <= days for age in ages)
            return everything and soon and "blockBlob" in filters.get("blobTypes", ["blockBlob"])
    return False


def _keeps_no_container(value: Any) -> bool:
    def is_free(container: Any) -> bool:
        match container:
            case {"properties": {"hasImmutabilityPolicy": False, "hasLegalHold": False}}:
                return True
        return False

    return isinstance(value, list) and all(is_free(each) for each in value)


def _ledger_is_kept(value: Any) -> bool:
    found = _containers(value)
    return all(
        name in found and all(found[name].get(each) is None for each in ("defaultTtl", "analyticalStorageTtl"))
        for name in LEDGER
    )


def _is_partitioned_as_needed(value: Any) -> bool:
    found = _containers(value)
    return all(
        name in found and (found[name].get("partitionKey") or {}).get("paths") == [schema.partition_key]
        for name, schema in CONTAINERS.items()
    )


def _containers(value: Any) -> Mapping[str, Mapping[str, Any]]:
    return {each["name"]: each["properties"].get("resource") or {} for each in value or []}


def _logs_go_to_workspaces_alone(value: Any) -> bool:
    """Tell whether no enabled log goes anywhere but to Log Analytics, whose retention has rules of its own."""
    elsewhere = ("storageAccountId", "eventHubAuthorizationRuleId", "serviceBusRuleId", "marketplacePartnerId")
    return isinstance(value, list) and not any(
        properties.get(name) for properties in _logging(value) for name in elsewhere
    )


def _logging(settings: Any) -> Iterator[Mapping[str, Any]]:
    for each in settings if isinstance(settings, list) else []:
        properties = each.get("properties") or {}
        if any(log.get("enabled") is not False for log in properties.get("logs") or []):
            yield properties


def _at_most_30(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= _WORKSPACE_DAYS_MAX


def _is_less_than_30(value: Any) -> bool:
    return isinstance(value, int) and 0 < value < _WORKSPACE_DAYS_MAX


def _log_tables_keep_less_than_30(value: Any) -> bool:
    return isinstance(value, list) and all(
        _is_less_than_30((each.get("properties") or {}).get("totalRetentionInDays"))
        for each in value
        if str(each.get("name")).startswith(_LOG_TABLES)
    )


COSMOS_RULES = (
    Rule("properties.consistencyPolicy.defaultConsistencyLevel", "Strong", ("P2",), is_one_of("Strong")),
    Rule("properties.enableMultipleWriteLocations", "false", ("P2",), is_off),
    Rule("properties.writeLocations", "1 entry", ("P2",), has_one),
    Rule("properties.backupPolicy.type", "Continuous", ("P9",), is_one_of("Continuous")),
    Rule(
        "properties.backupPolicy.continuousModeProperties.tier",
        "Continuous7Days",
        ("P9",),
        is_one_of("Continuous7Days"),
    ),
    Rule("properties.disableLocalAuth", "true", ("P7",), _is_on),
    Rule("properties", "publicNetworkAccess Disabled, or ipRules of /8 or narrower", ("P7",), _is_closed),
)

LEDGER_RULES = (
    Rule("containers", "tenants, deletions and access without a time to live", LEDGER_KEPT, _ledger_is_kept),
    Rule("containers", "partitioned as shared/stores/cosmos/schema.py says", LEDGER_KEPT, _is_partitioned_as_needed),
)

ACCOUNT_RULES = (
    REPLICATION,
    KIND,
    Rule("properties.secondaryLocation", "absent", ("P3",), _is_absent),
    Rule("properties.allowCrossTenantReplication", "false", ("P3",), is_off),
    Rule("properties.isHnsEnabled", "false", ("P6",), _is_off_or_never_was),
    Rule("properties.immutableStorageWithVersioning.enabled", "false", ("P5",), _is_off_or_never_was),
    Rule("properties.allowBlobPublicAccess", "false", ("P7",), is_off),
    Rule("properties.allowSharedKeyAccess", "false", ("P7",), is_off),
    Rule("properties.minimumTlsVersion", "TLS1_2 or TLS1_3", ("P7",), _is_tls_1_2),
    Rule("properties.supportsHttpsTrafficOnly", "true", ("P7",), _is_on),
    Rule("properties.networkAcls.defaultAction", "Deny", ("P7",), is_one_of("Deny")),
    Rule("properties.networkAcls.ipRules", "none, or of /8 or narrower", ("P7",), _are_addresses),
    # The lifecycle rule acts from outside of every network.
    Rule("properties.networkAcls.bypass", "AzureServices", ("P4",), _lets_azure_in),
)

BLOB_SERVICE_RULES = (
    Rule("properties.deleteRetentionPolicy.enabled", "false", KEPT, is_off),
    Rule("properties.containerDeleteRetentionPolicy.enabled", "false", KEPT, is_off),
    Rule("properties.isVersioningEnabled", "false", KEPT, is_off),
    Rule("properties.changeFeed.enabled", "false", KEPT, is_off),
    Rule("properties.restorePolicy.enabled", "false", KEPT, is_off),
)

REPLICATION_POLICY_RULES = (Rule("objectReplicationPolicies", "none", ("P3",), _is_empty),)
CONTAINER_RULES = (
    Rule("containers", "none with an immutability policy or a legal hold", ("P5",), _keeps_no_container),
)
DIAGNOSTIC_RULES = (Rule("diagnosticSettings", "no logs but to Log Analytics", ("P8",), _logs_go_to_workspaces_alone),)
WORKSPACE_RULES = (Rule("properties.retentionInDays", "30 or less", ("P8",), _at_most_30),)
_ENDPOINT = Rule("the setting", "an endpoint, unless the account is on this machine", ("P7",), _is_absent)

TABLE_RULES = (
    Rule("tables", "App* and StorageBlobLogs keep less than 30 days", ("P8",), _log_tables_keep_less_than_30),
)


# The check


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is checked.

    Attributes:
        group: the resource group's address, ``/subscriptions/{id}/resourceGroups/{name}``.
        cosmos: the name of its Cosmos DB account.
        storage: the storage accounts, name to geo.
        retention_days: how long a capture is kept.
    """

    group: str
    cosmos: str
    storage: Mapping[str, str]
    retention_days: int

    async def check(self, manager: ResourceManager) -> Sequence[Row]:
        """Return what is found of every account by every rule; what cannot be read is found to be that."""
        rows = await self._check_cosmos(manager)
        workspaces: set[str] = set()
        for account, geo in self.storage.items():
            rows += await self._check_storage(manager, geo, account, workspaces)
        return rows + await self._check_workspaces(manager, workspaces)

    async def _check_cosmos(self, manager: ResourceManager) -> list[Row]:
        path = f"{self.group}/providers/Microsoft.DocumentDB/databaseAccounts/{self.cosmos}"
        look = await _Look(manager, self.cosmos).at(path, COSMOS_API, COSMOS_RULES)
        return (await look.at(f"{path}/sqlDatabases/{DATABASE}/containers", COSMOS_API, LEDGER_RULES)).rows

    async def _check_storage(self, manager: ResourceManager, geo: str, account: str, workspaces: set[str]) -> list[Row]:
        path = f"{self.group}/providers/Microsoft.Storage/storageAccounts/{account}"
        blobs = f"{path}/blobServices/default"
        look = _Look(manager, account)
        await look.at(path, STORAGE_API, (_is_in(geo), *ACCOUNT_RULES))
        await look.at(blobs, STORAGE_API, BLOB_SERVICE_RULES)
        lifecycle = (_deletes_within(self.retention_days),)
        await look.at(f"{path}/managementPolicies/default", STORAGE_API, lifecycle)
        await look.at(f"{path}/objectReplicationPolicies", STORAGE_API, REPLICATION_POLICY_RULES)
        await look.at(f"{blobs}/containers", STORAGE_API, CONTAINER_RULES)
        diagnostics = "providers/Microsoft.Insights/diagnosticSettings"
        for resource in (path, blobs):
            await look.at(f"{resource}/{diagnostics}", DIAGNOSTICS_API, DIAGNOSTIC_RULES)
            workspaces |= {str(each["workspaceId"]) for each in _logging(look.list) if each.get("workspaceId")}
        return look.rows

    async def _check_workspaces(self, manager: ResourceManager, named: set[str]) -> list[Row]:
        """Check the workspaces of the resource group, where the service logs, and those that storage logs to."""
        path = f"{self.group}/providers/Microsoft.OperationalInsights/workspaces"
        look = _Look(manager, "Log Analytics")
        await look.at(path, LOG_ANALYTICS_API, (Rule("workspaces", "to be listed", ("P8",), _are_resources),))
        # An address is the same in any case of its letters.
        listed = [str(each["id"]) for each in look.list] if _are_resources(look.list) else []
        ids = {each.lower(): each for each in (*named, *listed)}
        for workspace in ids.values():
            of_workspace = _Look(manager, workspace.rpartition("/")[2])
            await of_workspace.at(workspace, LOG_ANALYTICS_API, WORKSPACE_RULES)
            await of_workspace.at(f"{workspace}/tables", LOG_ANALYTICS_API, TABLE_RULES)
            look.rows += of_workspace.rows
        return look.rows


def _are_resources(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) and "id" in each for each in value)


class _Look:
    """What the looks at one account have come to; ``list`` is what the last one listed, if it did."""

    def __init__(self, manager: ResourceManager, account: str) -> None:
        self._manager = manager
        self._account = account
        self.rows: list[Row] = []
        self.list: list[Any] = []

    async def at(self, path: str, api_version: str, rules: Sequence[Rule]) -> "_Look":
        self.list = []
        try:
            answer = await self._manager.get(path, api_version)
            if isinstance(answer, Mapping) and isinstance(answer.get("value"), list):
                self.list = answer["value"]
                # By the name that the rules have for a list, which is the last in its address.
                answer = {path.rpartition("/")[2]: answer["value"]}
            findings = [rule.check(answer) for rule in rules]
        except Unreadable as error:
            findings = [rule.unreadable(error.code) for rule in rules]
        except (AttributeError, TypeError):  # an answer of another shape than the API reference describes
            findings, self.list = [rule.unreadable("not understood") for rule in rules], []
        self.rows += [Row(self._account, finding) for finding in findings]
        return self


class AzureResourceManager:
    """Azure Resource Manager over HTTPS."""

    def __init__(
        self, session: aiohttp.ClientSession, credential: AsyncTokenCredential, base: str = MANAGEMENT
    ) -> None:
        self._session = session
        self._credential = credential
        self._base = base

    async def get(self, path: str, api_version: str) -> Any:
        """See ``ResourceManager``."""
        url: str | None = f"{self._base}{path}?api-version={api_version}"
        answer: Any = None
        while url is not None:
            page = await self._page(url)
            if answer is None:
                answer = page
            else:
                answer["value"] += page.get("value") or []
            url = page.get("nextLink") if isinstance(page, dict) else None
            # The token goes to nobody else, whatever an answer says.
            if url and not url.startswith(f"{self._base}/"):
                raise Unreadable("foreign-next-link")
        return answer

    async def _page(self, url: str) -> Any:
        try:
            token = await self._credential.get_token(f"{MANAGEMENT}/.default")
            headers = {"Authorization": f"Bearer {token.token}"}
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    raise Unreadable(f"HTTP {response.status}")
                return await response.json(content_type=None)
        except ClientAuthenticationError:
            raise Unreadable("unauthenticated") from None
        except TimeoutError:
            raise Unreadable("timeout") from None
        except aiohttp.ClientError:
            raise Unreadable("unreachable") from None
        except ValueError:
            raise Unreadable("not JSON") from None


# The command


async def run(settings: Path | None, subscription: str | None, group: str | None) -> int:
    """Check what the settings name, print a table, and return 0 if all of it holds, else 1.

    Args:
        settings: a file of settings; None for the environment.
        subscription: the id of the deployment's subscription; needed unless all of it is on this machine.
        group: the name of its resource group; likewise.

    Raises:
        PostureError: if the settings are not understood, or one of the others is missing.
    """
    configuration = read_settings(settings)
    here = [configuration.cosmos, *(each.setting for each in configuration.storage)]
    on_azure = [setting for setting in here if is_endpoint(setting)]
    if not on_azure:
        rows = await _check_here(configuration)
    elif len(on_azure) < len(here):
        raise PostureError("Some of the accounts are named by endpoints and some by connection strings.")
    elif not subscription or not group:
        raise PostureError("--subscription and --resource-group are needed to look at a deployment on Azure.")
    else:
        deployment = deployment_of(configuration, subscription, group)
        async with DefaultAzureCredential() as credential, aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            rows = await deployment.check(AzureResourceManager(session, credential))
    print(table(rows))
    broken = sum(not row.finding.holds for row in rows)
    print(f"\n{len(rows)} checked, {broken} {'does' if broken == 1 else 'do'} not hold.")
    return 1 if broken else 0


def read_settings(file: Path | None) -> Configuration:
    """Return the settings in ``file``, or the environment's.

    The file is a ``local.settings.json``, or what ``az functionapp config appsettings list`` prints.

    Raises:
        PostureError: if they are not understood.
    """
    try:
        return Configuration.read(os.environ if file is None else _values(json.loads(file.read_text("utf-8"))))
    except OSError:
        raise PostureError(f"{file} cannot be read.") from None
    except ConfigurationError as error:
        raise PostureError(str(error)) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise PostureError(f"{file} holds no settings.") from None


def deployment_of(configuration: Configuration, subscription: str, group: str) -> Deployment:
    """Return the deployment that the settings name, in a resource group."""
    return Deployment(
        group=f"/subscriptions/{subscription}/resourceGroups/{group}",
        cosmos=_account_name(configuration.cosmos),
        storage={_account_name(each.setting): each.geo for each in configuration.storage},
        retention_days=configuration.retention_days,
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    head = ("account", "property", "found", "needed", "promise", "outcome")
    cells = [
        (
            row.account,
            row.finding.path,
            row.finding.found,
            row.finding.needed,
            " ".join(row.finding.promises),
            str(row.finding.outcome),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *cells]) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *cells]
    ]
    return "\n".join(lines)


async def _check_here(configuration: Configuration) -> Sequence[Row]:
    """Check accounts on this machine by their data plane, as the service does itself."""
    cosmos = CosmosAccount.connect(configuration.cosmos, None)
    stores = [AzureCaptureStore.connect(each.setting, None) for each in configuration.storage]
    accounts: Sequence[CosmosAccount | AzureCaptureStore] = (cosmos, *stores)
    # Kept in memory alone: whoever looks must not make the service believe that it has looked.
    posture = Posture(Inspected(stores, cosmos, MemoryPosture()), SystemClock())
    try:
        checks = await posture.check()
    finally:
        for account in accounts:
            await account.close()
    rows = []
    for check in checks:
        # An account elsewhere has properties that a data plane does not show, whoever holds its key.
        more = () if check.development else (_ENDPOINT.unreadable("a connection string"),)
        rows += [Row(check.storage_account or "Cosmos DB", finding) for finding in (*check.findings, *more)]
    return rows


def _values(settings: Any) -> Mapping[str, str]:
    if isinstance(settings, list):
        settings = {each["name"]: each["value"] for each in settings}
    values = settings.get("Values", settings)
    return {str(name): str(value) for name, value in values.items()}


def _account_name(endpoint: str) -> str:
    return (urlsplit(endpoint).hostname or "").partition(".")[0]
