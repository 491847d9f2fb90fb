"""Bugs of what receipts claim, of who signs them and who checks them (P6, decision D13)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.deletion.receipts import Receipts
from shared.model import deadlines
from shared.model.deletion import Deletion, Reappearance
from shared.model.findings import LedgerFault
from shared.model.ledger import Change, Reappeared
from shared.model.signatures import NotSigned, ReceiptKeys, Signed, UnknownKey
from shared.sweep import receipts as sweep_receipts
from shared.sweep.ledger import LedgerSweep
from shared.sweep.reappearances import Reappearances
from shared.sweep.receipts import Compared, SignedReceipts
from tests.simulation.planted.registry import Instead, mutant, patched


@mutant("a receipt is signed on the deletion's word")
def _() -> Iterator[None]:
    async def trusting(self: Receipts, deletion: Deletion) -> Deletion:
        events = await self.ledger.events_of(deletion.tenant_id, deletion.enrollment_id)
        opt_out = next(event for event in events if event.kind == "optedOut")
        told = [event for event in events if isinstance(event, Reappeared)]
        verified = deletion.verified(self.clock.now(), opt_out, told).model_copy(update={"deadline": deletion.deadline})
        return verified.signed(await self.signer.sign(verified.receipt_claims))

    with patched(Receipts, "signed", trusting):
        yield


@mutant("a receipt denies what came back")
def _() -> Iterator[None]:
    verified = Deletion.verified

    def denying(self: Deletion, now: datetime, event: Any, reappeared: Any, downloads: Any = None) -> Deletion:
        return verified(self, now, event, (), downloads)

    with patched(Deletion, "verified", denying):
        yield


@mutant("a receipt counts what a run has deleted")
def _() -> Iterator[None]:
    verified = Deletion.verified

    def counting(self: Deletion, *looked: Any) -> Deletion:
        after = verified(self, *looked)
        assert after.receipt is not None
        counted = after.receipt.model_copy(update={"containers_deleted": self.containers_deleted})
        return after.model_copy(update={"receipt": counted})

    with patched(Deletion, "verified", counting):
        yield


def _claiming(change: Any) -> Any:
    verified = Deletion.verified

    def claiming(self: Deletion, *looked: Any) -> Deletion:
        after = verified(self, *looked)
        assert after.receipt is not None
        return after.model_copy(update={"receipt": after.receipt.model_copy(update=change(self, after.receipt))})

    return patched(Deletion, "verified", claiming)


@mutant("a receipt's first day is that of the opt-out")
def _() -> Iterator[None]:
    with _claiming(lambda deletion, receipt: {"first_day": receipt.last_day}):
        yield


@mutant("a receipt's last day forgets the five minutes ahead")
def _() -> Iterator[None]:
    with _claiming(lambda deletion, receipt: {"last_day": deletion.opted_out_at.date()}):
        yield


@mutant("a receipt's days are those that were found")
def _() -> Iterator[None]:
    with _claiming(lambda deletion, receipt: {"first_day": deletion.days[0], "last_day": deletion.days[-1]}):
        yield


@mutant("a receipt's first look is the start of the deletion")
def _() -> Iterator[None]:
    with _claiming(lambda deletion, receipt: {"first_look_at": max(deletion.not_before, deletion.opted_out_at)}):
        yield


@mutant("a receipt's second look is when it was due")
def _() -> Iterator[None]:
    with _claiming(lambda _, receipt: {"second_look_at": receipt.first_look_at + deadlines.SECOND_LOOK_DELAY}):
        yield


@mutant("what came back is told twice")
def _() -> Iterator[None]:
    tell = Reappearances.tell

    async def twice(self: Reappearances, of: Any, entry: Reappearance) -> None:
        await tell(self, of, entry)
        await tell(self, of, entry.model_copy(update={"proved_at": entry.proved_at + timedelta(seconds=1)}))

    with patched(Reappearances, "tell", twice):
        yield


@mutant("what came back is told again by each attempt")
def _() -> Iterator[None]:
    tell = Reappearances.tell

    async def forgetful(self: Reappearances, of: Any, entry: Reappearance) -> None:
        class Ledger(Instead):
            async def events_of(_, *of: str) -> Sequence[Any]:
                await self.ledger.events_of(*of)
                return ()

        await tell(replace(self, ledger=Ledger(self.ledger)), of, entry)  # type: ignore[arg-type]

    with patched(Reappearances, "tell", forgetful):
        yield


def _committing(change: Any) -> Any:
    tell = Reappearances.tell

    async def telling(self: Reappearances, of: Any, entry: Reappearance) -> None:
        class Ledger(Instead):
            async def commit(_, told: Change, etag: str | None) -> None:
                await self.ledger.commit(replace(told, setting=change(told)), etag)

        await tell(replace(self, ledger=Ledger(self.ledger)), of, entry)  # type: ignore[arg-type]

    return patched(Reappearances, "tell", telling)


@mutant("what came back ends the enrollment that is on")
def _() -> Iterator[None]:
    with _committing(lambda told: told.setting.model_copy(update={"enrollment": None})):
        yield


@mutant("what came back changes since when the setting is so")
def _() -> Iterator[None]:
    with _committing(lambda told: told.setting.model_copy(update={"since": told.event.at})):
        yield


@mutant("the setting does not follow what came back")
def _() -> Iterator[None]:
    with _committing(
        lambda told: told.setting.model_copy(
            update={"sequence": told.event.sequence - 1, "ledger_hash": told.event.previous_hash}
        )
    ):
        yield


@mutant("the sweep believes every signature")
def _() -> Iterator[None]:
    read, last = ReceiptKeys.read, list[Signed]()

    def gullible(self: ReceiptKeys, token: str) -> Signed:
        if token.count(".") != 2:
            return last[-1] if last else Signed({}, "")
        last.append(read(self, token))
        return last[-1]

    compare = SignedReceipts.compare

    async def unchecked(self: SignedReceipts, deletion: Deletion, events: Any) -> Compared:
        if deletion.status == "verified" and deletion.receipt is not None and deletion.receipt.jws == "x":
            return Compared(deletion)
        return await compare(self, deletion, events)

    with patched(ReceiptKeys, "read", gullible), patched(SignedReceipts, "compare", unchecked):
        yield


@mutant("the sweep looks at signatures only, not at what stands beside")
def _() -> Iterator[None]:
    with patched(sweep_receipts, "_compare_shown", lambda deletion, *_: Compared(deletion)):
        yield


@mutant("the sweep takes another deletion's receipt")
def _() -> Iterator[None]:
    compare = SignedReceipts.compare

    async def anybodys(self: SignedReceipts, deletion: Deletion, events: Any) -> Compared:
        compared = await compare(self, deletion, events)
        genuine = deletion.receipt is not None and deletion.receipt.jws.count(".") == 2
        return Compared(deletion) if genuine and compared.deletion.status == "scheduled" else compared

    with patched(SignedReceipts, "compare", anybodys):
        yield


@mutant("the sweep takes a receipt that does not tell what came back")
def _() -> Iterator[None]:
    shown = sweep_receipts._compare_shown

    def lenient(deletion: Deletion, proved: Deletion, reappeared: Any, now: datetime) -> Compared:
        assert proved.receipt is not None
        return shown(deletion, proved, reappeared[: len(proved.receipt.reappeared)], now)

    with patched(sweep_receipts, "_compare_shown", lenient):
        yield


@mutant("a purge in times to come is believed")
def _() -> Iterator[None]:
    bound_to = Deletion.bound_to

    def believing(self: Deletion, event: Any, now: datetime) -> Deletion:
        return bound_to(self, event, max(now, self.purged_at or now))

    with patched(Deletion, "bound_to", believing):
        yield


@mutant("a purge before the opt-out is believed")
def _() -> Iterator[None]:
    bound_to = Deletion.bound_to

    def believing(self: Deletion, event: Any, now: datetime) -> Deletion:
        if self.purged_at is None or self.purged_at >= event.at:
            return bound_to(self, event, now)
        return bound_to(self.model_copy(update={"purged_at": event.at}), event, now).model_copy(
            update={"purged_at": self.purged_at}
        )

    with patched(Deletion, "bound_to", believing):
        yield


@mutant("the sweep reports an edit and leaves it")
def _() -> Iterator[None]:
    mend = LedgerSweep._mend

    async def idle(self: LedgerSweep, event: Any, *, trusted: bool) -> None:
        await mend(self, event, trusted=False)

    with patched(LedgerSweep, "_mend", idle):
        yield


@mutant("the sweep mends an edit and does not say so")
def _() -> Iterator[None]:
    mend = LedgerSweep._mend

    async def silent(self: LedgerSweep, event: Any, *, trusted: bool) -> None:
        before = dict(self.round.run.counts)
        await mend(self, event, trusted=trusted)
        self.round.run.counts.clear()
        self.round.run.counts.update(before)

    with patched(LedgerSweep, "_mend", silent):
        yield


async def _is_of_unknown_key(receipts: SignedReceipts, deletion: Deletion) -> bool:
    """Tell whether a deletion is finished by a receipt that nobody can check."""
    if deletion.status == "verified" and deletion.receipt is not None:
        try:
            await receipts._read(deletion.receipt.jws)
        except UnknownKey:
            return True
        except NotSigned:
            pass
    return False


def _of_unknown_keys(judge: Callable[[Deletion, Compared, datetime], Compared]) -> Any:
    """Let ``judge`` say what becomes of a deletion whose receipt nobody can check, and of what the rules say of it."""
    compare = SignedReceipts.compare

    async def comparing(self: SignedReceipts, deletion: Deletion, events: Any) -> Compared:
        compared = await compare(self, deletion, events)
        return judge(deletion, compared, self.clock.now()) if await _is_of_unknown_key(self, deletion) else compared

    return patched(SignedReceipts, "compare", comparing)


@mutant("a receipt under an unknown key is new for as long as its second look is to come")
def _() -> Iterator[None]:
    def young(deletion: Deletion, compared: Compared, now: datetime) -> Compared:
        assert deletion.receipt is not None
        return Compared(deletion) if deletion.receipt.second_look_at > now else compared

    with _of_unknown_keys(young):
        yield


@mutant("a receipt under an unknown key is left for people whatever it claims")
def _() -> Iterator[None]:
    with _of_unknown_keys(lambda deletion, *_: Compared(deletion, [LedgerFault.RECEIPT])):
        yield


@mutant("a receipt under an unknown key lets all begin again")
def _() -> Iterator[None]:
    with _of_unknown_keys(lambda deletion, *_: Compared(deletion.begun_again(), [LedgerFault.RECEIPT])):
        yield


@mutant("captures belie no receipt that nobody can check")
def _() -> Iterator[None]:
    async def never(self: SignedReceipts, *_: Any) -> bool:
        return False

    with patched(SignedReceipts, "is_left_unchecked", never):
        yield


@mutant("what came back is told on the word of an unknown key")
def _() -> Iterator[None]:
    second_look = SignedReceipts.second_look

    async def trusting(self: SignedReceipts, deletion: Deletion) -> datetime | None:
        if deletion.receipt is not None and await _is_of_unknown_key(self, deletion):
            return deletion.receipt.second_look_at
        return await second_look(self, deletion)

    with patched(SignedReceipts, "second_look", trusting):
        yield
