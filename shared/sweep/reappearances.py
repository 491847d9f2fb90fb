"""Data that came back after a receipt, told by the ledger, where nobody can deny it alone (P6, decision D13)."""

from dataclasses import dataclass

from shared.model.deletion import Reappearance
from shared.model.ledger import Change, Enrollment, Event, Reappeared
from shared.ports import Conflict, LedgerStore, StoreUnavailable

_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Reappearances:
    """Tells the ledger of data that came back.

    Attributes:
        ledger: the ledger.
    """

    ledger: LedgerStore

    async def tell(self, of: Event, entry: Reappearance) -> None:
        """Add an event, unless the ledger tells already that the same receipt was belied.

        The tenant may have opted in again since: its state stays as it is.

        Args:
            of: any event of the enrollment.
            entry: what to tell.

        Raises:
            StoreUnavailable: if that is not on the ledger; then nothing may be deleted yet.
        """
        for _ in range(_ATTEMPTS_MAX):
            # In this order: what is added after the setting was read makes the commit a conflict.
            stored = await self.ledger.read_setting(of.tenant_id)
            if stored is None:
                raise StoreUnavailable("ledger-unsound")
            events = await self.ledger.events_of(of.tenant_id, of.enrollment_id)
            if any(isinstance(each, Reappeared) and each.proved_at == entry.proved_at for each in events):
                return
            setting = stored.value
            event = Reappeared(
                **{name: getattr(of, name) for name in Enrollment.model_fields},
                **dict(entry),
                tenant_id=of.tenant_id,
                sequence=setting.sequence + 1,
                previous_hash=setting.ledger_hash,
            )
            after = setting.model_copy(update={"sequence": event.sequence, "ledger_hash": event.hash})
            try:
                await self.ledger.commit(Change(after, event), stored.etag)
            except Conflict:
                continue
            return
        raise StoreUnavailable("conflict")
