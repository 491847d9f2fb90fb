"""Deletions and their receipts compared with the ledger: what was signed, by whom, and what is shown beside it (P6)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import FACTS, Deletion, Reappearance, Receipt
from shared.model.findings import LedgerFault
from shared.model.ledger import Event, OptedOut, Reappeared
from shared.model.signatures import NotSigned, ReceiptKeys, Signed, UnknownKey
from shared.ports import ReceiptSigner

_YIELD_EVERY = 20  # a signature takes about 0.15 ms of CPU, and others wait meanwhile


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of one deletion's comparison with the ledger.

    Attributes:
        deletion: as it should be.
        faults: how it differs from that, or how its receipt does; nothing if all is well.
    """

    deletion: Deletion
    faults: Sequence[LedgerFault] = ()


@dataclass(slots=True)
class SignedReceipts:
    """Tells what the receipts of a run's deletions prove.

    Attributes:
        signer: whose published keys count.
        clock: time.
    """

    signer: ReceiptSigner
    clock: Clock
    _keys: ReceiptKeys | None = field(default=None, init=False)
    _checked: int = field(default=0, init=False)

    async def compare(self, deletion: Deletion, events: Sequence[Event]) -> Compared:
        """Compare a deletion and its receipt with the ledger.

        Args:
            deletion: the deletion.
            events: all events of its enrollment, with its opt-out among them.

        Raises:
            StoreUnavailable: if the keys cannot be had.
        """
        now = self.clock.now()
        opt_out = _opt_out_among(events)
        receipt = deletion.receipt
        if deletion.status != "verified" or receipt is None or not receipt.jws:
            bound = deletion.bound_to(opt_out, now)
            sooner = bound.deadline != Deletion.owed_for(opt_out).deadline
            return Compared(bound, [LedgerFault.DISAGREEING] if sooner or bound != deletion else [])
        begun_again = Compared(deletion.bound_to(opt_out, now), [LedgerFault.RECEIPT])
        try:
            signed = await self._read(receipt.jws)
        except UnknownKey as unknown:
            if _compare_claims(deletion, unknown.claims, events, now).faults:
                return begun_again
            # Of a key version that can be published no more, or not yet, or anybody's. For people to judge: or one
            # version that is disabled would let everything begin again that it has ever signed.
            fresh = deadlines.is_fresh(receipt.second_look_at, now)
            return Compared(deletion, [] if fresh else [LedgerFault.RECEIPT])
        except NotSigned:
            return begun_again
        return _compare_claims(deletion, signed.claims, events, now)

    async def is_left_unchecked(self, deletion: Deletion, events: Sequence[Event]) -> bool:
        """Tell whether a deletion is left finished for people to judge, by a receipt that none of our keys has signed.

        Args:
            deletion: the deletion, of which ``second_look`` is None.
            events: all events of its enrollment, with its opt-out among them.

        Raises:
            StoreUnavailable: if the keys cannot be had.
        """
        compared = await self.compare(deletion, events)
        return compared.deletion == deletion and bool(compared.faults)

    async def second_look(self, deletion: Deletion) -> datetime | None:
        """Return when a deletion was proved, by the word of its receipt; None if none of our keys has signed that.

        Raises:
            StoreUnavailable: if the keys cannot be had.
        """
        if deletion.status != "verified" or deletion.receipt is None:
            return None
        try:
            claims = (await self._read(deletion.receipt.jws)).claims
        except NotSigned:
            return None
        receipt = _receipt_in(claims, deletion)
        return None if receipt is None else receipt.second_look_at

    async def _read(self, jws: str) -> Signed:
        self._checked += 1
        if self._checked % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        if self._keys is not None:
            try:
                return self._keys.read(jws)
            except UnknownKey:
                pass  # there may be a new version since
        self._keys = ReceiptKeys(await self.signer.public_keys())
        return self._keys.read(jws)


def _opt_out_among(events: Sequence[Event]) -> OptedOut:
    return next(event for event in events if isinstance(event, OptedOut))


def _receipt_in(claims: Mapping[str, Any], deletion: Deletion) -> Receipt | None:
    """Return the receipt of a deletion that was signed; None if that is another's, or none: consent is signed too."""
    if (claims.get("tenantId"), claims.get("enrollmentId")) != (deletion.tenant_id, deletion.enrollment_id):
        return None
    try:
        return Receipt.from_json(claims)
    except ValueError:
        return None


def _compare_claims(deletion: Deletion, claims: Mapping[str, Any], events: Sequence[Event], now: datetime) -> Compared:
    """Compare a deletion with what a receipt claims, and that with the ledger, as if our key had signed it."""
    opt_out = _opt_out_among(events)
    assert deletion.receipt is not None
    if _receipt_in(claims, deletion) is None:
        return Compared(deletion.bound_to(opt_out, now), [LedgerFault.RECEIPT])
    try:
        proved = deletion.proved_by(claims, deletion.receipt.jws, opt_out)
    except ValueError:
        # Ledger or receipt is false, and what was signed is evidence of it: for people to judge.
        return Compared(deletion, [LedgerFault.RECEIPT])
    return _compare_shown(deletion, proved, [each for each in events if isinstance(each, Reappeared)], now)


def _compare_shown(deletion: Deletion, proved: Deletion, reappeared: Sequence[Reappeared], now: datetime) -> Compared:
    """Compare a deletion with what was signed for it, and that with what the ledger tells of data that came back."""
    assert proved.receipt is not None
    if not deadlines.may_have_happened(proved.receipt.second_look_at, now):
        return Compared(deletion.begun_again(), [LedgerFault.RECEIPT])
    told = proved.receipt.reappeared
    untold = [each for each in reappeared if Reappearance.told_by(each) not in told]
    if not all(deadlines.is_fresh(each.at, now) for each in untold):
        # An older receipt in place of the newest, or a sweep that died before it had opened the deletion again.
        return Compared(proved.came_back(now), [LedgerFault.RECEIPT])
    if len(told) + len(untold) != len(reappeared):
        return Compared(deletion, [LedgerFault.RECEIPT])  # the ledger has lost what was signed
    if deletion == proved:
        return Compared(deletion)
    faults = [LedgerFault.RECEIPT]
    if any(getattr(deletion, name) != getattr(proved, name) for name in (*FACTS, "deadline")):
        faults.append(LedgerFault.DISAGREEING)
    return Compared(proved, faults)
