"""Signing receipts: of what the ledger says and storage has shown, and of nothing else (P6, decision D13)."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass

from shared.clock import Clock
from shared.model import deadlines
from shared.model.deletion import Deletion, Downloads
from shared.model.ledger import OptedOut, Reappeared
from shared.ports import UNREADABLE_ITEM, AccessStore, Conflict, LedgerStore, ReceiptSigner, StoreUnavailable

_ATTEMPTS = 20
_FILES_MAX = 100
_PAGE = 100
"""Records that are read at a time, each time in a call that can be made again."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Gives a deletion its receipt.

    Attributes:
        ledger: the ledger.
        access: the access logs.
        signer: the key.
        clock: time.
    """

    ledger: LedgerStore
    access: AccessStore
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
        downloads = await self._downloads(deletion)
        reappeared = [event for event in events if isinstance(event, Reappeared)]
        verified = deletion.verified(now, opt_out, reappeared, downloads)
        return verified.signed(await self.signer.sign(verified.receipt_claims))

    async def _downloads(self, deletion: Deletion) -> Downloads:
        """Return what the access log tells of an enrollment of which nothing can be read any more.

        The log's head is moved first. Who had found that captures may be read, and has his record still to commit, is
        told to look again, and finds that they are gone: so no record comes after what is signed here.

        Raises:
            StoreUnavailable: if the log cannot be read.
        """
        for _ in range(_ATTEMPTS):
            head = await self.access.head(deletion.tenant_id)
            if head is None:
                return Downloads(records=0, records_hash=hashlib.sha256().hexdigest())
            with suppress(Conflict):
                await self.access.move_head(deletion.tenant_id, head.etag)
                break
        else:
            raise StoreUnavailable("conflict")
        records, files, digest = 0, dict[str, None](), hashlib.sha256()
        after, more = 0, True
        while more:
            page = await self.access.downloads(deletion.tenant_id, deletion.enrollment_id, limit=_PAGE, after=after)
            for record in page:
                if record.sequence <= after:  # else this would go on for ever, whatever the log is made to hold
                    raise StoreUnavailable(UNREADABLE_ITEM)
                records, after = records + 1, record.sequence
                if record.sha256 is not None and len(files) < _FILES_MAX:
                    files[record.sha256] = None
                digest.update(json.dumps(record.to_json(), sort_keys=True, separators=(",", ":")).encode() + b"\n")
            more = len(page) == _PAGE
        return Downloads(records=records, sha256=tuple(files), records_hash=digest.hexdigest())
