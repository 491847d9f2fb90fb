"""Checking receipts offline: who signed it, and is what is shown beside it what was signed (P6, P11)."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.model.deletion import Receipt
from shared.model.signatures import NotSigned, ReceiptKeys, object_of

_SAID_TWICE = {"containersDeleted": "containersDeleted", "purgedAt": "firstLookAt"}
"""What a deletion says of itself too, and by what name it was signed; receipts of today say nothing of containers."""

_OF_RECEIPT = {str(field.alias) for field in Receipt.model_fields.values()}


class ReceiptError(Exception):
    """The receipt proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt of a deletion or of consent whose signature is good.

    Attributes:
        claims: what was signed.
        key_id: the thumbprint of the key that signed it.
        compared: what was found to agree with it, a sentence each.
    """

    claims: Mapping[str, Any]
    key_id: str
    compared: tuple[str, ...] = ()

    def table(self) -> str:
        """Return what was signed, a line for each fact, and what was checked."""
        told = dict(_told(self.claims))
        width = max(map(len, told), default=0)
        facts = [f"  {name:{width}}  {value}" for name, value in told.items()]
        return "\n".join([*facts, f"The receipt is genuine: signed by key {self.key_id}.", *self.compared])

    def beside_notice(self, file: Path) -> "SignedReceipt":
        """Return the receipt after a look at the notice: it must be a text that was agreed to.

        Raises:
            ReceiptError: if it is not, or cannot be read.
        """
        try:
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise ReceiptError(f"{file} cannot be read ({error.strerror}).") from None
        agreed = [each for each in self._events if each.get("noticeHash") == sha256]
        if not agreed:
            raise ReceiptError(
                f"Nobody agreed to this text: its SHA-256 is {sha256}, and no event of the receipt has that."
            )
        said = ", ".join(str(each["sequence"]) for each in agreed)
        return replace(
            self, compared=(*self.compared, f"The notice is, byte for byte, what was agreed to (event {said}).")
        )

    def beside_ledger(self, file: Path) -> "SignedReceipt":
        """Return the receipt after a look at the ledger, as the API answers it: it must have the events that are named.

        Raises:
            ReceiptError: if it has not, or cannot be read.
        """
        shown = _parsed(_content(file), f"{file} is not a tenant's history as the API answers it.").get("value")
        if not isinstance(shown, list) or not all(isinstance(each, dict) for each in shown):
            raise ReceiptError(f"{file} is not a tenant's history as the API answers it.")
        tenant = self.claims.get("tenantId")
        events = {each.get("sequence"): each for each in shown if each.get("tenantId") == tenant}
        for named in self._events:
            event = events.get(named.get("sequence"))
            if event is None:
                raise ReceiptError(f"The ledger shows no event {named.get('sequence')} of tenant {tenant}.")
            if _hash_of(event) != named.get("ledgerHash"):
                raise ReceiptError(f"Event {named.get('sequence')} of the ledger is not the one that was signed.")
        return replace(self, compared=(*self.compared, "The ledger shows the events that the receipt names."))

    @property
    def _events(self) -> Sequence[Mapping[str, Any]]:
        """The events that it names: a receipt of a deletion names one, in its own members."""
        events = self.claims.get("events", [self.claims])
        return [each for each in events if isinstance(each, dict)] if isinstance(events, list) else []


def read_keys(file: Path) -> ReceiptKeys:
    """Return the EC P-256 keys of a JWK Set, of private ones the public half.

    Raises:
        ReceiptError: if the file cannot be read, or holds no such key.
    """
    members = _parsed(_content(file), f"{file} is not a JWK Set.")
    try:
        keys = ReceiptKeys(members["keys"])
    except (KeyError, TypeError, ValueError):
        raise ReceiptError(f"{file} is not a JWK Set of EC P-256 keys.") from None
    if not keys:
        raise ReceiptError(f"{file} holds no EC P-256 key.")
    return keys


def read_receipt(file: Path, keys: ReceiptKeys) -> SignedReceipt:
    """Return the receipt in a file: a deletion or a consent receipt as the API answers it, or a compact JWS alone.

    Raises:
        ReceiptError: if the file cannot be read, if none of ``keys`` has signed the receipt, or if it was signed for
            other facts than the file shows.
    """
    text = _content(file).strip()
    if not text.startswith("{"):
        return _verified(text, keys)
    deletion = _parsed(text, f"{file} is not a deletion's JSON.")
    if isinstance(deletion.get("record"), dict):
        return _consent(deletion, keys)
    receipt = deletion.get("receipt")
    if not isinstance(receipt, dict):
        raise ReceiptError("The file is a deletion without a receipt, or none at all.")
    if not receipt.get("jws") or not isinstance(receipt["jws"], str):
        raise ReceiptError("The receipt is not signed.")
    signed = _verified(receipt["jws"], keys)
    _compare(signed.claims, deletion, receipt)
    said = "The deletion shows each of these facts as it was signed; nothing else in it is signed."
    return replace(signed, compared=(said,))


def _consent(shown: Mapping[str, Any], keys: ReceiptKeys) -> SignedReceipt:
    if not shown.get("jws") or not isinstance(shown["jws"], str):
        raise ReceiptError("The receipt is not signed.")
    signed = _verified(shown["jws"], keys)
    # As JSON, because to Python true is 1 and 1 is 1.0.
    record, claims = (json.dumps(each, sort_keys=True) for each in (shown["record"], signed.claims))
    if record != claims:
        raise ReceiptError("The record is not the one that was signed.")
    return replace(signed, compared=("The record shows exactly what was signed.",))


def _verified(token: str, keys: ReceiptKeys) -> SignedReceipt:
    try:
        signed = keys.read(token)
    except NotSigned as error:
        raise ReceiptError(str(error)) from None
    return SignedReceipt(signed.claims, signed.key_id)


def _hash_of(event: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(event, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _compare(claims: Mapping[str, Any], deletion: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
    for name, signed in claims.items():
        shown = receipt if name in _OF_RECEIPT else deletion
        # As JSON, because to Python true is 1 and 1 is 1.0.
        if name not in shown or json.dumps(shown[name], sort_keys=True) != json.dumps(signed, sort_keys=True):
            raise ReceiptError(f"The deletion does not show the {name} that was signed.")
    if receipt.keys() - (claims.keys() & _OF_RECEIPT) - {"jws"}:
        raise ReceiptError("The receipt shows more than was signed.")
    for name, signed_as in _SAID_TWICE.items():
        if name in deletion and signed_as in claims and deletion[name] != claims[signed_as]:
            raise ReceiptError(f"The deletion shows another {name} than was signed.")


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ReceiptError(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not a text'}).") from None


def _parsed(text: str, otherwise: str) -> dict[str, Any]:
    try:
        return object_of(text)
    except ValueError:
        raise ReceiptError(otherwise) from None


def _told(claims: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield each fact by its name, those within others by the names and numbers that lead to them."""
    for name, value in claims.items():
        kinds = {type(each) for each in value} if isinstance(value, list) else set()
        if isinstance(value, dict):
            yield from _told(value, f"{before}{name}.")
        elif kinds == {dict}:
            for number, each in enumerate(value, start=1):
                yield from _told(each, f"{before}{name}.{number}.")
        elif kinds == {str}:
            yield f"{before}{name}", ", ".join(map(_text, value))
        else:
            yield f"{before}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value)
