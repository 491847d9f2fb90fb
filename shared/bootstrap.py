"""The composition root: the one place where rules, stores, settings and the clock meet."""

import asyncio
import os
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from shared import log
from shared.abandoned import Abandoned
from shared.accounts import Account, Accounts
from shared.clock import Clock, SystemClock
from shared.configuration import Configuration, Portal, PublicAddress
from shared.deletion import purge
from shared.deletion.deletions import Deletions
from shared.deletion.purge import Purge
from shared.deletion.receipts import Receipts
from shared.identity.signing_keys import SigningKeys
from shared.identity.tokens import Tokens
from shared.model.labels import DEFAULT_VOCABULARY, Vocabulary
from shared.model.notices import NOTICES, Notices
from shared.pairing import Pairing
from shared.ports import (
    AccessStore,
    CaptureStore,
    DeletionStore,
    LedgerStore,
    OperationStore,
    ReceiptSigner,
    Stores,
    StoreUnavailable,
)
from shared.problems import Unavailable
from shared.review.access import Access
from shared.review.exporting import Exporting
from shared.review.finding import Finding
from shared.review.labelling import Labelling
from shared.review.record import Record
from shared.runs import COSMOS, VAULT, sparing
from shared.sharing.captures import Captures
from shared.sharing.consent import Consent
from shared.sharing.consent_receipts import ConsentReceipts
from shared.sharing.data_sharing import DataSharing
from shared.sharing.epochs import Epochs
from shared.sharing.traces import Traces
from shared.stores import azure
from shared.stores.signing_keys import fetch_keys
from shared.sweep import sweep
from shared.sweep.sweep import Sweep
from shared.watch.posture import Posture
from shared.watch.status import Status

if TYPE_CHECKING:
    from shared.stores.monitor import Monitor


@dataclass(frozen=True, slots=True)
class Services:
    """What the functions call."""

    clock: Clock
    tokens: Tokens
    review_auth_context: str
    public_address: PublicAddress | None
    portal: Portal | None
    accounts: Accounts
    abandoned: Abandoned
    notices: Notices
    data_sharing: DataSharing
    consent_receipts: ConsentReceipts
    captures: Captures
    traces: Traces
    access: Access
    finding: Finding
    exporting: Exporting
    labelling: Labelling
    deletions: Deletions
    pairing: Pairing
    purge: Purge
    sweep: Sweep
    status: Status
    signer: ReceiptSigner
    posture: Posture | None
    epochs: Epochs
    closers: tuple[Callable[[], Awaitable[None]], ...]


class _Process:
    """What there is one of in a process."""

    clock: Clock = SystemClock()
    services: Services | None = None
    first_check: "asyncio.Task[None] | None" = None
    monitor: "Monitor | None" = None


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
        # An account that is set up wrongly, or not at all, is told at once.
        _Process.first_check = asyncio.create_task(_look(_Process.services))
    return _Process.services


def monitor() -> "Monitor | None":
    """Return where the process's metrics go, made at the first call; None where no connection string is set.

    Raises:
        ValueError: if what is set is no connection string.
    """
    connection_string = os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "").strip()
    if connection_string and _Process.monitor is None:
        # Here and not above: of all functions only one should wait for these imports.
        from shared.stores.monitor import Monitor  # noqa: PLC0415

        _Process.monitor = Monitor.connect(connection_string)
    return _Process.monitor


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
    stores = azure.connect(configuration, clock)
    keys = SigningKeys(partial(fetch_keys, configuration.jwks_uri), clock)
    served = [
        Account(each.geo, store, configuration.retention_days, each.state)
        for each, store in zip(configuration.storage, stores.captures, strict=True)
    ]
    return assemble(
        stores,
        Accounts(served, configuration.retention_days, configuration.geo_endpoints),
        clock,
        tokens=Tokens(configuration, keys, clock),
        review_auth_context=configuration.review_auth_context,
        public_address=configuration.public_address,
        portal=configuration.portal,
        home_geos=configuration.home_geos,
        controller=configuration.controller,
        vocabulary=configuration.vocabulary,
        consent_epochs=configuration.consent_epochs,
    )


def new_id() -> str:
    """Return a new enrollment or grant id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def new_key() -> str:
    """Return a new key for an enrollment's pseudonyms: 256 bits, in hexadecimal digits (D18)."""
    return secrets.token_hex(32)


def assemble(
    stores: Stores,
    accounts: Accounts,
    clock: Clock,
    *,
    tokens: Tokens,
    review_auth_context: str,
    public_address: PublicAddress | None = None,
    portal: Portal | None = None,
    notices: Notices = NOTICES,
    home_geos: Mapping[str, str] | None = None,
    controller: str | None = None,
    vocabulary: Vocabulary = DEFAULT_VOCABULARY,
    consent_epochs: bool = False,
    new_id: Callable[[], str] = new_id,
    new_key: Callable[[], str] = new_key,
    purge_bounds: purge.Bounds | None = None,
    sweep_bounds: sweep.Bounds | None = None,
) -> Services:
    """Wire rules to stores, for the app, the tests and the simulation alike.

    Args:
        stores: Azure's, or fakes.
        accounts: the storage accounts among them that are served.
        clock: time.
        tokens: who calls.
        review_auth_context: the Conditional Access authentication context that a reviewer's sign-in must satisfy.
        public_address: by what address clients know the API; None for that of their requests.
        portal: how the portal signs its users in; None if there is none.
        notices: what tenants can agree to.
        home_geos: the geos of tenants that opt in by a tool that names none.
        controller: who operates the service, for whoever is shown a consent receipt.
        vocabulary: the verdicts that reviewers may give.
        consent_epochs: whether epochs are trusted; they are always changed (D21).
        new_id: makes ids of 32 hexadecimal digits.
        new_key: makes keys for pseudonyms.
        purge_bounds: how much one purge may do, if not as much as usual.
        sweep_bounds: how much one sweep may do, if not as much as usual.
    """
    ledger = sparing(stores.ledger, LedgerStore, COSMOS)
    deletions = sparing(stores.deletions, DeletionStore, COSMOS)
    operations = sparing(stores.operations, OperationStore, COSMOS)
    access = sparing(stores.access, AccessStore, COSMOS)
    pairing = Pairing(operations, new_id)
    receipts = Receipts(ledger, access, sparing(stores.signer, ReceiptSigner, VAULT), clock)
    posture = None if stores.inspected is None else Posture(stores.inspected, clock)
    record = Record(access, ledger, deletions, accounts, clock, new_id)
    abandoned = Abandoned(accounts, ledger, deletions, operations, clock)
    epochs = Epochs(operations, clock)
    consent = Consent(ledger, notices, clock, epochs if consent_epochs else None)
    captures = Captures(consent, accounts, pairing, abandoned, clock)
    return Services(
        clock=clock,
        tokens=tokens,
        review_auth_context=review_auth_context,
        public_address=public_address,
        portal=portal,
        accounts=accounts,
        notices=notices,
        data_sharing=DataSharing(ledger, accounts, abandoned, epochs, notices, clock, new_id, new_key, home_geos or {}),
        captures=captures,
        traces=Traces(captures),
        access=Access(record),
        finding=Finding(record),
        exporting=Exporting(replace(record, accounts=_spared(accounts))),
        labelling=Labelling(record, vocabulary),
        consent_receipts=ConsentReceipts(ledger, stores.signer, controller, accounts.retention_days),
        deletions=Deletions(deletions),
        pairing=pairing,
        purge=Purge(accounts, pairing, ledger, deletions, operations, receipts, clock, purge_bounds),
        sweep=Sweep(accounts, pairing, ledger, deletions, operations, stores.signer, clock, sweep_bounds),
        abandoned=abandoned,
        status=Status(accounts, abandoned, ledger, deletions, operations, clock, posture),
        signer=stores.signer,
        posture=posture,
        epochs=epochs,
        closers=stores.closers,
    )


def _spared(accounts: Accounts) -> Accounts:
    """Return the accounts as they are reached by a job that needs more of them than their containers."""
    return replace(
        accounts, served=[replace(each, store=sparing(each.store, CaptureStore, each.name)) for each in accounts]
    )


async def _look(made: Services) -> None:
    with log.during(log.Request("posture", new_id())):  # and not the request that happened to be the first
        with suppress(Unavailable, StoreUnavailable):  # whoever needs to know looks too
            await made.abandoned.refuse()
        assert made.posture is not None
        await made.posture.check()
