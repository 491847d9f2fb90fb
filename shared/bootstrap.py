"""The composition root: the one place where rules, stores, settings and the clock meet."""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import DefaultAzureCredential

from shared import log
from shared.clock import Clock, SystemClock
from shared.configuration import Configuration, ConfigurationError, is_endpoint
from shared.deletion.deletions import Deletions
from shared.deletion.purge import Purge
from shared.identity.signing_keys import SigningKeys
from shared.identity.tokens import Tokens
from shared.review.access import Access
from shared.sharing.captures import Captures
from shared.sharing.consent import Consent
from shared.sharing.data_sharing import DataSharing
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos.access import CosmosAccess
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from shared.stores.cosmos.operations import CosmosOperations, CosmosPosture
from shared.stores.ports import ReceiptSigner
from shared.stores.receipt_keys import KeyVaultSigner, LocalSigner
from shared.stores.signing_keys import fetch_keys
from shared.sweep.sweep import Sweep
from shared.watch.posture import Posture
from shared.watch.status import Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What the functions call."""

    clock: Clock
    tokens: Tokens
    review_auth_context: str
    data_sharing: DataSharing
    captures: Captures
    access: Access
    deletions: Deletions
    purge: Purge
    sweep: Sweep
    status: Status
    signer: ReceiptSigner
    closers: tuple[Callable[[], Awaitable[None]], ...]
    posture: Posture | None = None


class _Process:
    """What there is one of in a process."""

    clock: Clock = SystemClock()
    services: Services | None = None
    first_check: "asyncio.Task[None] | None" = None


def use_clock(clock: Clock) -> None:
    """Let the service live on another clock: for the local host and tests, which have one that can be moved.

    To be called before ``services``, or after ``close``. Deliberately a call and not a setting: nothing that can be
    configured moves time in production.
    """
    assert _Process.services is None
    _Process.clock = clock


def services() -> Services:
    """Return the process's services, made at the first call; one set of SDK clients serves all functions.

    Raises:
        ConfigurationError: naming the setting that is missing or wrong; the next call looks again.
    """
    if _Process.services is None:
        _Process.services = connect(Configuration.read(os.environ), _Process.clock)
        # An account that is set up wrongly is told at once, and no request waits for that.
        assert _Process.services.posture is not None
        _Process.first_check = asyncio.create_task(_look(_Process.services.posture))
    return _Process.services


async def close() -> None:
    """Close the process's connections; the next call of ``services`` opens new ones."""
    made, _Process.services = _Process.services, None
    check, _Process.first_check = _Process.first_check, None
    if check is not None:
        check.cancel()
        await asyncio.wait([check])
    if made is not None:
        for closer in made.closers:
            await closer()


def connect(configuration: Configuration, clock: Clock) -> Services:
    """Return services on the stores that ``configuration`` names; nothing is sent yet. Needs a running event loop.

    Raises:
        ConfigurationError: if a store's setting is not one that its client understands.
    """
    identity = DefaultAzureCredential() if _needs_identity(configuration) else None
    cosmos = _made("COSMOS_CONNECTION", lambda: CosmosAccount.connect(configuration.cosmos, identity))
    stores = {
        geo: _made("STORAGE_ACCOUNTS", partial(AzureCaptureStore.connect, setting, identity))
        for geo, setting in configuration.storage.items()
    }
    accounts = {geo: store.account for geo, store in stores.items()}
    # By the names that the clients came to, however the settings were written: one account is of one geo (P3).
    if len({account.lower() for account in accounts.values()}) < len(accounts):
        raise ConfigurationError("STORAGE_ACCOUNTS must give each geo an account of its own.")
    ledger = CosmosLedger(cosmos)
    deletions = CosmosDeletions(cosmos)
    operations = CosmosOperations(cosmos)
    signer = _made("RECEIPT_KEY", partial(_signer, configuration.receipt_key, identity, clock))
    closers = [cosmos.close, *(store.close for store in stores.values())]
    if isinstance(signer, KeyVaultSigner):
        closers.append(signer.close)
    if identity is not None:
        closers.append(identity.close)
    keys = SigningKeys(partial(fetch_keys, configuration.jwks_uri), clock)
    days = configuration.retention_days
    elsewhere = configuration.geo_endpoints
    posture = Posture(stores, cosmos, CosmosPosture(cosmos), clock)
    return Services(
        clock=clock,
        tokens=Tokens(configuration, keys, clock),
        review_auth_context=configuration.review_auth_context,
        data_sharing=DataSharing(ledger, accounts, clock, new_id, elsewhere),
        captures=Captures(Consent(ledger, clock), stores, clock, days, elsewhere),
        access=Access(CosmosAccess(cosmos), ledger, deletions, stores, clock, days, new_id),
        deletions=Deletions(deletions),
        purge=Purge(stores, deletions, operations, signer, clock, days),
        sweep=Sweep(stores, ledger, deletions, operations, clock, days),
        status=Status(stores, ledger, deletions, operations, clock, days, posture),
        signer=signer,
        closers=tuple(closers),
        posture=posture,
    )


def new_id() -> str:
    """Return a new enrollment or grant id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


async def _look(posture: Posture) -> None:
    with log.during(log.Request("posture", new_id())):  # and not the request that happened to be the first
        await posture.check()


def _needs_identity(configuration: Configuration) -> bool:
    return any(
        is_endpoint(value)
        for value in (configuration.cosmos, configuration.receipt_key, *configuration.storage.values())
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
