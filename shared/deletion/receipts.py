"""Signing receipts: of what the ledger says and storage has shown, and of nothing else (P6, decision D13)."""

from dataclasses import dataclass

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import Deletion
from shared.model.ledger import OptedOut, Reappeared
from shared.ports import LedgerStore, ReceiptSigner, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Receipts:
    """Gives a deletion its receipt.

    Attributes:
        ledger: the ledger.
        signer: the key.
        clock: time.
    """

    ledger: LedgerStore
    signer: ReceiptSigner
    clock: Clock

    async def signed(self, deletion: Deletion) -> Deletion:
        """Return the deletion, in which a second look has just found nothing, finished and with a signed receipt.

        Whoever can write to the deletion cannot make the key attest it: each fact is compared with the ledger, and what
        came back is told by the ledger alone.

        Raises:
            StoreUnavailable: if the deletion is not what follows from the ledger, so that the sweep has to mend it
                first; if the ledger cannot be read, or nothing can be signed.
        """
        events = await self.ledger.events_of(deletion.tenant_id, deletion.enrollment_id)
        opt_outs = [event for event in events if isinstance(event, OptedOut)]
        if len(opt_outs) != 1:
            raise StoreUnavailable("deletion-without-event")
        [opt_out] = opt_outs
        now = self.clock.now()
        looked = deletion.purged_at is not None and deletion.purged_at <= deadlines.second_look_due(now)
        # Entries of before D13 are told by the ledger once the sweep has moved them there.
        if not looked or deletion.reappeared or deletion.bound_to(opt_out, now) != deletion:
            raise StoreUnavailable("deletion-disagrees")
        verified = deletion.verified(now, opt_out, [event for event in events if isinstance(event, Reappeared)])
        return verified.signed(await self.signer.sign(verified.receipt_claims))
