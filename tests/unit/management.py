"""What Azure Resource Manager answers about a deployment that is as it should be, and how a test makes it otherwise.

The shapes are those of the public API reference: Microsoft.Storage 2024-01-01 (StorageAccountGetProperties,
BlobServicesGet, StorageAccountGetManagementPolicy, StorageAccountListObjectReplicationPolicies), Microsoft.DocumentDB
2024-11-15 (CosmosDBDatabaseAccountGet, CosmosDBSqlContainerList), Microsoft.Insights diagnosticSettings
2021-05-01-preview and Microsoft.OperationalInsights 2023-09-01.
"""

import copy
from collections.abc import Callable
from typing import Any

from audit.posture import Deployment, Unreadable
from shared.stores.cosmos.schema import CONTAINERS as SCHEMA

SUBSCRIPTION = "1d5f0c7e-4f6b-4a55-9d0c-2f6b1f6f9a51"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-stamp"
COSMOS = f"{GROUP}/providers/Microsoft.DocumentDB/databaseAccounts/cosmos-stamp"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stemea"
LEDGER = f"{COSMOS}/sqlDatabases/data-sharing/containers"
BLOBS = f"{ACCOUNT}/blobServices/default"
LIFECYCLE = f"{ACCOUNT}/managementPolicies/default"
REPLICATION = f"{ACCOUNT}/objectReplicationPolicies"
CONTAINERS = f"{BLOBS}/containers"
DIAGNOSTICS = f"{BLOBS}/providers/Microsoft.Insights/diagnosticSettings"
ACCOUNT_DIAGNOSTICS = f"{ACCOUNT}/providers/Microsoft.Insights/diagnosticSettings"
WORKSPACES = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces"
WORKSPACE = f"{WORKSPACES}/log-stamp"
TABLES = f"{WORKSPACE}/tables"

DEPLOYMENT = Deployment(GROUP, "cosmos-stamp", {"stemea": "europe"}, 30)

_REGION = {"id": "cosmos-stamp-westeurope", "locationName": "West Europe", "failoverPriority": 0}

GOOD: dict[str, Any] = {
    COSMOS: {
        "id": COSMOS,
        "name": "cosmos-stamp",
        "location": "West Europe",
        "type": "Microsoft.DocumentDB/databaseAccounts",
        "kind": "GlobalDocumentDB",
        "properties": {
            "provisioningState": "Succeeded",
            "documentEndpoint": "https://cosmos-stamp.documents.azure.com:443/",
            "publicNetworkAccess": "Disabled",
            "ipRules": [],
            "disableLocalAuth": True,
            "enableMultipleWriteLocations": False,
            "consistencyPolicy": {
                "defaultConsistencyLevel": "Strong",
                "maxIntervalInSeconds": 5,
                "maxStalenessPrefix": 100,
            },
            "writeLocations": [_REGION],
            "readLocations": [_REGION],
            "backupPolicy": {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous7Days"}},
        },
    },
    LEDGER: {
        "value": [
            {
                "id": f"{LEDGER}/{name}",
                "name": name,
                "type": "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers",
                "properties": {
                    "resource": {
                        "id": name,
                        "partitionKey": {"paths": [schema.partition_key], "kind": "Hash", "version": 2},
                        "indexingPolicy": schema.indexing_policy,
                    }
                },
            }
            for name, schema in SCHEMA.items()
        ]
    },
    ACCOUNT: {
        "id": ACCOUNT,
        "name": "stemea",
        "type": "Microsoft.Storage/storageAccounts",
        "kind": "StorageV2",
        "location": "westeurope",
        "sku": {"name": "Standard_ZRS", "tier": "Standard"},
        "properties": {
            "primaryLocation": "westeurope",
            "allowBlobPublicAccess": False,
            "allowSharedKeyAccess": False,
            "allowCrossTenantReplication": False,
            "isHnsEnabled": False,
            "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": True,
            "publicNetworkAccess": "Disabled",
            "networkAcls": {
                "bypass": "Logging, AzureServices",
                "defaultAction": "Deny",
                "ipRules": [],
                "virtualNetworkRules": [],
            },
            "primaryEndpoints": {"blob": "https://stemea.blob.core.windows.net/"},
        },
    },
    BLOBS: {
        "id": BLOBS,
        "name": "default",
        "properties": {
            "cors": {"corsRules": []},
            "deleteRetentionPolicy": {"allowPermanentDelete": False, "enabled": False},
            "containerDeleteRetentionPolicy": {"enabled": False},
            "isVersioningEnabled": False,
            "changeFeed": {"enabled": False},
            "restorePolicy": {"enabled": False},
        },
    },
    LIFECYCLE: {
        "id": LIFECYCLE,
        "name": "DefaultManagementPolicy",
        "properties": {
            "policy": {
                "rules": [
                    {
                        "enabled": True,
                        "name": "retention",
                        "type": "Lifecycle",
                        "definition": {
                            "filters": {"blobTypes": ["blockBlob", "appendBlob"]},
                            "actions": {"baseBlob": {"delete": {"daysAfterCreationGreaterThan": 30}}},
                        },
                    }
                ]
            }
        },
    },
    REPLICATION: {"value": []},
    CONTAINERS: {
        "value": [
            {
                "name": "0-20261121-" + "0" * 32,
                "properties": {"hasImmutabilityPolicy": False, "hasLegalHold": False, "publicAccess": "None"},
            }
        ]
    },
    DIAGNOSTICS: {"value": []},
    ACCOUNT_DIAGNOSTICS: {"value": []},
    WORKSPACES: {"value": [{"id": WORKSPACE, "name": "log-stamp", "properties": {"retentionInDays": 30}}]},
    WORKSPACE: {"id": WORKSPACE, "name": "log-stamp", "properties": {"retentionInDays": 30}},
    TABLES: {
        "value": [
            {"name": "AppTraces", "properties": {"retentionInDays": 28, "totalRetentionInDays": 28}},
            {"name": "Usage", "properties": {"retentionInDays": 90, "totalRetentionInDays": 90}},
        ]
    },
}


class FakeManager:
    """Answers what it was told; a text in place of an answer is the code of a failure."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    async def get(self, path: str, api_version: str) -> Any:
        answer = self.answers.get(path, "HTTP 404")
        if isinstance(answer, str):
            raise Unreadable(answer)
        return answer


def changed(path: str, change: Callable[[Any], Any]) -> FakeManager:
    """Return a manager whose answer about ``path`` is changed, in place or to what ``change`` returns."""
    answers = copy.deepcopy(GOOD)
    other = change(answers[path])
    if other is not None:
        answers[path] = other
    return FakeManager(answers)


def setting(name: str, value: Any) -> Callable[[Any], None]:
    """Return a change that puts ``value`` at a dotted ``name``, or takes what is there away if it is ``...``."""
    *parents, last = name.split(".")

    def change(answer: Any) -> None:
        for parent in parents:
            answer = answer.setdefault(parent, {})
        if value is ...:
            del answer[last]
        else:
            answer[last] = value

    return change
