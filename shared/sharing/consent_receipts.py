"""Consent receipts: what the ledger says of an enrollment, signed for others to check (P11)."""

from dataclasses import dataclass

from shared.model.consent import ConsentRecord
from shared.ports import LedgerStore, ReceiptSigner
from shared.problems import NotFound


@dataclass(frozen=True, slots=True)
class ConsentReceipts:
    """Signs them when they are asked for: nothing is kept that the ledger does not say.

    Attributes:
        ledger: the ledger.
        signer: the key that receipts of deletions are signed with, too.
        controller: who operates the service, or None if that is not configured.
        retention_days: how long a capture is kept.
    """

    ledger: LedgerStore
    signer: ReceiptSigner
    controller: str | None
    retention_days: int

    async def of(self, tenant_id: str, enrollment_id: str) -> tuple[ConsentRecord, str]:
        """Return the record of an enrollment, and its signature: a compact JWS over the record's JSON.

        Raises:
            NotFound: if the tenant has no such enrollment.
            StoreUnavailable: if the ledger cannot be read in full, or nothing can be signed.
        """
        events = await self.ledger.events_of(tenant_id, enrollment_id)
        record = ConsentRecord.of(events, self.controller, self.retention_days)
        if record is None:
            raise NotFound(NotFound.NEVER_ENROLLED)
        return record, await self.signer.sign(record.to_json())
