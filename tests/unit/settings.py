"""Settings with which a deployment starts, and a value that no message may repeat."""

import json

GOOD = {
    "COSMOS_CONNECTION__accountEndpoint": "https://cosmos.example/",
    "STORAGE_ACCOUNTS": json.dumps(
        {"europe": "https://steurope.blob.core.windows.net", "unitedstates": "https://stus.blob.core.windows.net"}
    ),
    "OPERATOR_TENANT_ID": "7D2F4C1E-5B0A-4E86-9C33-1F6A8E0B2D47",
    "TOKEN_AUDIENCES": "api://one, two",
    "REVIEW_AUTH_CONTEXT": "c1",
    "RECEIPT_KEY": "https://kv-receipts.vault.azure.net/keys/receipts",
}
SECRET = "s3cr3t-value"
