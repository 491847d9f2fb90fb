"""The adapters that a configuration calls for."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import DefaultAzureCredential

from shared.clock import Clock
from shared.configuration import Configuration, ConfigurationError, is_endpoint
from shared.ports import Inspected, Stores
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos.access import CosmosAccess
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from shared.stores.cosmos.operations import CosmosOperations, CosmosPosture
from shared.stores.receipt_keys import KeyVaultSigner, LocalSigner

T = TypeVar("T")


def connect(configuration: Configuration, clock: Clock) -> Stores:
    """Return the stores that ``configuration`` names; nothing is sent yet. Needs a running event loop.

    Raises:
        ConfigurationError: if a store's setting is not one that its client understands.
    """
    identity = DefaultAzureCredential() if _needs_identity(configuration) else None
    cosmos = _made("COSMOS_CONNECTION", lambda: CosmosAccount.connect(configuration.cosmos, identity))
    captures = [
        _made("STORAGE_ACCOUNTS", partial(AzureCaptureStore.connect, each.setting, identity))
        for each in configuration.storage
    ]
    # By the names that the clients came to, however the settings were written: one account is of one geo (P3).
    if len({store.account for store in captures}) < len(captures):
        raise ConfigurationError("STORAGE_ACCOUNTS must not name an account twice.")
    signer = _made("RECEIPT_KEY", partial(_signer, configuration.receipt_key, identity, clock))
    closers = [cosmos.close, *(store.close for store in captures)]
    if isinstance(signer, KeyVaultSigner):
        closers.append(signer.close)
    if identity is not None:
        closers.append(identity.close)
    return Stores(
        ledger=CosmosLedger(cosmos),
        deletions=CosmosDeletions(cosmos),
        access=CosmosAccess(cosmos),
        operations=CosmosOperations(cosmos),
        captures=captures,
        signer=signer,
        inspected=Inspected(captures, cosmos, CosmosPosture(cosmos)),
        closers=tuple(closers),
    )


def _needs_identity(configuration: Configuration) -> bool:
    return any(
        is_endpoint(value)
        for value in (
            configuration.cosmos,
            configuration.receipt_key,
            *(account.setting for account in configuration.storage),
        )
    )


def _signer(setting: str, identity: AsyncTokenCredential | None, clock: Clock) -> KeyVaultSigner | LocalSigner:
    if is_endpoint(setting):
        assert identity is not None
        return KeyVaultSigner.connect(setting, identity, clock)
    return LocalSigner.read(Path(setting))


def _made(name: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except Exception:  # of whatever kind: what an SDK says of a value may repeat it
        raise ConfigurationError(f"{name} is not understood.") from None
