"""The composition root: the one place where rules, stores, settings and the clock meet."""

import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from azure.identity.aio import DefaultAzureCredential

from shared.captures import Captures
from shared.clock import Clock, SystemClock
from shared.consent import Consent
from shared.data_sharing import DataSharing
from shared.deletions import Deletions
from shared.purge import Purge
from shared.settings import Settings, is_endpoint
from shared.signing_keys import SigningKeys
from shared.status import Status
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos import CosmosAccount, CosmosDeletions, CosmosLedger, CosmosOperations
from shared.stores.signing_keys import fetch_keys
from shared.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Services:
    """What the functions call."""

    clock: Clock
    tokens: Tokens
    data_sharing: DataSharing
    captures: Captures
    deletions: Deletions
    purge: Purge
    status: Status
    closers: tuple[Callable[[], Awaitable[None]], ...]


class _Process:
    """What there is one of in a process."""

    clock: Clock = SystemClock()
    services: Services | None = None


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
        SettingError: naming the setting that is missing or wrong; the next call looks again.
    """
    if _Process.services is None:
        _Process.services = connect(Settings.read(os.environ), _Process.clock)
    return _Process.services


async def close() -> None:
    """Close the process's connections; the next call of ``services`` opens new ones."""
    made, _Process.services = _Process.services, None
    if made is not None:
        for closer in made.closers:
            await closer()


def connect(settings: Settings, clock: Clock) -> Services:
    """Return services on the stores that ``settings`` name; nothing is sent yet. Needs a running event loop."""
    identity = DefaultAzureCredential() if _needs_identity(settings) else None
    cosmos = CosmosAccount.connect(settings.cosmos, identity)
    stores: Mapping[str, AzureCaptureStore] = {
        geo: AzureCaptureStore.connect(account, identity) for geo, account in settings.storage.items()
    }
    ledger = CosmosLedger(cosmos)
    deletions = CosmosDeletions(cosmos)
    operations = CosmosOperations(cosmos)
    closers = [cosmos.close, *(store.close for store in stores.values())]
    if identity is not None:
        closers.append(identity.close)
    return Services(
        clock=clock,
        tokens=Tokens(settings, SigningKeys(lambda: fetch_keys(settings.jwks_uri), clock), clock),
        data_sharing=DataSharing(
            ledger, {geo: store.account for geo, store in stores.items()}, clock, lambda: uuid.uuid4().hex
        ),
        captures=Captures(Consent(ledger, clock), stores, clock, settings.retention_days),
        deletions=Deletions(deletions),
        purge=Purge(stores, deletions, operations, clock, settings.retention_days),
        status=Status(stores, deletions, operations, clock, settings.retention_days),
        closers=tuple(closers),
    )


def _needs_identity(settings: Settings) -> bool:
    return any(is_endpoint(value) for value in (settings.cosmos, *settings.storage.values()))
